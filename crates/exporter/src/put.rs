//! One log object: fetched in pieces, verified, joined, put in one request.

use aws::answer::etag_of;
use aws::{Backoff, Bucket, Fault, Kind, Operation};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption, StorageClass};
use bytes::Bytes;
use export::fragment::Verified;
use export::object::{NotTheLines, Rewriter, Stitcher};
use export::routes::Destination;
use futures_util::{Stream, StreamExt, stream};
use protocol::fragment::Staged;
use protocol::keys;
use protocol::plan::{Plan, PlannedObject, Quarantined};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{self, Maker, Progress};

/// After this time without progress or answer, a put is cancelled and tried again.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Attempts to fetch a damaged fragment, because the transfer may have damaged it.
const FETCHES_MAX: u32 = 3;

/// Of one put to a destination.
pub(crate) const PUTS: Backoff = Backoff { base_ms: 400, limit_ms_max: 5_000, attempts_max: 4 };

/// Memory that all puts of this process share. Permits are given in the order of the requests. So the next fragment of
/// an object never waits behind later ones.
pub(crate) struct Memory {
    kib: Arc<Semaphore>,
    kib_max: u32,
}

impl Memory {
    pub(crate) fn of(bytes_max: u64) -> Memory {
        let kib_max = u32::try_from(bytes_max.div_ceil(1024)).unwrap_or(u32::MAX);
        Memory { kib: Arc::new(Semaphore::new(kib_max as usize)), kib_max }
    }

    /// The most that one object may take of it. The objects that are put to one place at a time may take a quarter
    /// together, so that a slow place leaves enough for others.
    fn of_an_object(&self, objects: usize) -> Memory {
        let kib = self.kib_max / 4 / u32::try_from(objects.max(1)).unwrap_or(u32::MAX);
        Memory::of(u64::from(kib.max(1)) * 1024)
    }

    /// A share of this many bytes. A request above the total gets the total.
    async fn share(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.kib).acquire_many_owned(kib.clamp(1, self.kib_max)).await.ok()
    }
}

/// How a put ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// The object was put now, with this many bytes.
    Put(u64),
    /// It was there already, as the destination said.
    AlreadyThere,
    /// Another exporter wrote down that it is there.
    ByAnother,
    /// There was nothing to put: all its fragments are quarantined.
    Nothing,
}

/// When the first and the last event of an object were received, in ms since the epoch, if that was read.
pub(crate) type Received = Option<(i64, i64)>;

/// The facts about an object for its mark: the same, whichever run put it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) bytes: Option<u64>,
    pub(crate) received_ms: Received,
}

/// Why an object was not put.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The destination does not take it.
    Destination(Fault),
    /// The state bucket failed.
    State(Fault),
}

/// Why an object cannot be made.
enum Unmade {
    State(Fault),
    Unfit(Unfit),
}

/// A fragment that cannot be part of an object.
struct Unfit {
    /// Its place in the plan.
    fragment: usize,
    /// The fault.
    why: String,
    /// The bytes in its place, if any.
    bytes: Option<Bytes>,
}

/// The limits that all puts of a tick share.
pub(crate) struct Puts<'a> {
    pub(crate) state: &'a Bucket,
    pub(crate) client: Client,
    pub(crate) destination: &'a Destination,
    /// The account that must own the bucket.
    pub(crate) expected_owner: Option<&'a str>,
    /// For fragments that are fetched and not yet sent.
    pub(crate) fetched: &'a Memory,
    /// For objects that are compressed again.
    pub(crate) rewritten: &'a Memory,
    pub(crate) fetch_ahead: usize,
    /// How many objects are put to this place at a time.
    pub(crate) objects: usize,
    pub(crate) backoff: Backoff,
}

impl Puts<'_> {
    /// Puts one object of a plan under `key` of `bucket`, unless it is there; `None` if a fragment of it is unfit.
    pub(crate) async fn put(
        &self,
        plan: &Plan,
        object: &PlannedObject,
        bucket: &str,
        key: &str,
    ) -> Result<Option<(Placed, Made)>, Trouble> {
        match self.put_content(plan, object, bucket, key).await {
            Ok(Ok(placed)) => Ok(Some(placed)),
            Ok(Err(fault)) => Err(Trouble::Destination(fault)),
            Err(Unmade::State(fault)) => Err(Trouble::State(fault)),
            Err(Unmade::Unfit(_)) => Ok(None),
        }
    }

    async fn put_content(
        &self,
        plan: &Plan,
        object: &PlannedObject,
        bucket: &str,
        key: &str,
    ) -> Result<Result<(Placed, Made), Fault>, Unmade> {
        let content: Vec<(usize, &Staged)> = plan.content(object).collect();
        if content.is_empty() {
            return Ok(Ok((Placed::Nothing, Made::default())));
        }
        // Held until the put has ended. Compressed together, lines are shorter than each for itself.
        let apart = content.iter().map(|(_, staged)| staged.bytes).sum();
        let (_permit, rewritten) = if object.rewrite {
            let permit = self.rewritten.share(apart).await;
            (permit, Some(self.rewrite(&content).await?))
        } else {
            (None, None)
        };
        let length = |(pieces, _): &(Vec<Bytes>, Received)| pieces.iter().map(|piece| piece.len() as u64).sum();
        let bytes = rewritten.as_ref().map_or_else(|| plan.object_bytes(object), length);
        let mut attempts = 1;
        loop {
            let (maker, body, progress) = body::body(bytes);
            let make = async {
                match &rewritten {
                    Some((pieces, received)) => hand_over(pieces, maker).await.map(|()| *received),
                    None => self.join(&content, maker).await,
                }
            };
            // Both to their ends: when the fragments are at fault, so is the put.
            let (made, put) = tokio::join!(make, self.send(bucket, key, bytes, body, progress));
            let made = Made { bytes: Some(bytes), received_ms: made? };
            match put {
                Ok(()) => return Ok(Ok((Placed::Put(bytes), made))),
                // Only this plan has this name. So another run put the object, or the answer was lost.
                Err(fault) if fault.kind == Kind::Precondition => return Ok(Ok((Placed::AlreadyThere, made))),
                Err(fault) => match self.backoff.wait(attempts, self.state.dice()).filter(|_| fault.is_transient()) {
                    None => return Ok(Err(fault.after(attempts))),
                    Some(wait) => {
                        tracing::debug!(%fault, attempts, "will put again");
                        tokio::time::sleep(wait).await;
                        attempts += 1;
                    }
                },
            }
        }
    }

    async fn send(
        &self,
        bucket: &str,
        key: &str,
        bytes: u64,
        body: ByteStream,
        progress: Progress,
    ) -> Result<(), Fault> {
        let at = format!("s3://{bucket}/{key}");
        let put = put_request(&self.client, self.destination, self.expected_owner, bucket, key)
            .content_type("text/plain")
            .content_encoding("gzip")
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX))
            .if_none_match("*")
            .body(body)
            .send();
        tokio::select! {
            biased;
            put = put => {
                let answer = put.map_err(|error| Fault::of(Operation::Put, &at, &error))?;
                etag_of(answer.e_tag(), Operation::Put, &at).map(|_| ())
            }
            () = progress.stalled(STALLED_AFTER) => Err(Fault::stalled(Operation::Put, at, STALLED_AFTER)),
        }
    }

    /// Sends the fragments' bodies as one gzip member, each verified before its first byte is sent.
    async fn join(&self, content: &[(usize, &Staged)], maker: Maker) -> Result<Received, Unmade> {
        let mut stitcher = Stitcher::default();
        let mut received = Received::default();
        let mut fetched = std::pin::pin!(self.fetched(content));
        if maker.send(Bytes::from_static(&Stitcher::HEADER)).await.is_err() {
            return Ok(Received::default());
        }
        while let Some(next) = fetched.next().await {
            let Fetched { fragment, permits, .. } = match next {
                Ok(fetched) => fetched,
                Err(unmade) => {
                    maker.break_off().await;
                    return Err(unmade);
                }
            };
            stitcher.push(&fragment);
            self.note_received(&mut received, &fragment);
            if maker.send(fragment.bytes().slice_ref(fragment.body())).await.is_err() {
                // Not all of them were read.
                return Ok(Received::default());
            }
            drop(permits);
        }
        let _ = maker.send(Bytes::copy_from_slice(&stitcher.finish())).await;
        Ok(received)
    }

    /// Only manifests have the times, and reading them costs time.
    fn note_received(&self, received: &mut Received, fragment: &Verified<Bytes>) {
        if let Some((from, to)) = self.destination.manifest.then(|| fragment.received_ms()).flatten() {
            let (first, last) = received.unwrap_or((from, to));
            *received = Some((first.min(from), last.max(to)));
        }
    }

    /// Returns all unfit fragments of an object, after a copy of each was kept for a person.
    ///
    /// All of them, since where one is, more may be, and each revision of a plan is written whole.
    pub(crate) async fn keep_for_inspection(
        &self,
        plan: &Plan,
        object: &PlannedObject,
    ) -> Result<Vec<Quarantined>, Fault> {
        let content: Vec<(usize, &Staged)> = plan.content(object).collect();
        let mut rewriter = Rewriter::default();
        let mut quarantined = Vec::new();
        let mut fetched = std::pin::pin!(self.fetched(&content));
        while let Some(next) = fetched.next().await {
            let unfit = match next {
                Ok(fetched) if object.rewrite => fetched.rewritten(&mut rewriter).err(),
                Ok(_) => None,
                Err(Unmade::Unfit(unfit)) => Some(unfit),
                Err(Unmade::State(fault)) => return Err(fault),
            };
            let Some(Unfit { fragment, why, bytes }) = unfit else { continue };
            if let (Some(bytes), Some(staged)) = (bytes, plan.fragments.get(fragment)) {
                let copy = keys::quarantine(&staged.name);
                self.state.put(&copy, bytes, "application/gzip").await?;
            }
            quarantined.push(Quarantined { fragment, why });
        }
        Ok(quarantined)
    }

    /// Compresses small fragments together, into the pieces of an object.
    async fn rewrite(&self, content: &[(usize, &Staged)]) -> Result<(Vec<Bytes>, Received), Unmade> {
        let mut rewriter = Rewriter::default();
        let mut received = Received::default();
        let mut fetched = std::pin::pin!(self.fetched(content));
        while let Some(next) = fetched.next().await {
            let fetched = next?;
            self.note_received(&mut received, &fetched.fragment);
            fetched.rewritten(&mut rewriter).map_err(Unmade::Unfit)?;
        }
        Ok((rewriter.finish().into_iter().map(Bytes::from).collect(), received))
    }

    /// The fragments in their order, some of them fetched ahead.
    fn fetched<'a>(&'a self, content: &'a [(usize, &Staged)]) -> impl Stream<Item = Result<Fetched, Unmade>> + 'a {
        let own = Arc::new(self.fetched.of_an_object(self.objects));
        let fetch = move |(index, staged): &'a (usize, &Staged)| {
            let own = Arc::clone(&own);
            async move {
                let permits = (own.share(staged.bytes).await, self.fetched.share(staged.bytes).await);
                Ok(Fetched { index: *index, fragment: self.fetch(*index, staged).await?, permits })
            }
        };
        stream::iter(content).map(fetch).buffered(self.fetch_ahead)
    }

    /// Fetches one fragment whole and checks it.
    async fn fetch(&self, index: usize, staged: &Staged) -> Result<Verified<Bytes>, Unmade> {
        let key = staged.name.to_string();
        let unfit = |why: &str, bytes| Unmade::Unfit(Unfit { fragment: index, why: why.to_owned(), bytes });
        let mut fetches = 1;
        loop {
            // A fragment that was damaged on its way is told from one that is damaged in S3 by the checksum that S3 keeps.
            let got = if fetches == 1 { self.state.get_of_many(&key).await } else { self.state.get(&key).await };
            let Some(object) = got.map_err(Unmade::State)? else {
                return Err(unfit("it is gone", None));
            };
            let wrong = match Verified::new(&staged.name, object.body.clone()) {
                // The object's length was promised from the listing.
                Ok(fragment) if object.body.len() as u64 == staged.bytes => return Ok(fragment),
                Ok(_) => "its length differs from the listed one".to_owned(),
                Err(damage) => damage.to_string(),
            };
            if fetches == FETCHES_MAX {
                return Err(unfit(&wrong, Some(object.body)));
            }
            fetches += 1;
        }
    }
}

/// A fragment that was fetched, and its share of the memory.
struct Fetched {
    index: usize,
    fragment: Verified<Bytes>,
    permits: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
}

impl Fetched {
    fn rewritten(&self, rewriter: &mut Rewriter) -> Result<(), Unfit> {
        let Fetched { index, fragment, .. } = self;
        let bytes = || Some(fragment.bytes().clone());
        let unfit = |error: NotTheLines| Unfit { fragment: *index, why: error.to_string(), bytes: bytes() };
        rewriter.push(fragment).map_err(unfit)
    }
}

/// Sends pieces that are there already.
async fn hand_over(pieces: &[Bytes], maker: Maker) -> Result<(), Unmade> {
    for piece in pieces {
        if maker.send(piece.clone()).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A put to a destination, with the options of its settings. S3 refuses it if another account than `expected_owner` has
/// the bucket.
pub(crate) fn put_request(
    client: &Client,
    destination: &Destination,
    expected_owner: Option<&str>,
    bucket: &str,
    key: &str,
) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
    client
        .put_object()
        .bucket(bucket)
        .key(key)
        .set_server_side_encryption(destination.sse.as_deref().map(ServerSideEncryption::from))
        .set_ssekms_key_id(destination.kms_key_arn.clone())
        .set_storage_class(destination.storage_class.as_deref().map(StorageClass::from))
        .set_acl(destination.acl.as_deref().map(ObjectCannedAcl::from))
        .set_expected_bucket_owner(expected_owner.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_objects_of_a_place_take_at_most_a_quarter_of_the_memory_and_any_fragment_gets_a_share() {
        for (bytes_max, objects, kib) in
            [(64 << 20, 1, 16 << 10), (64 << 20, 4, 4 << 10), (16 << 20, 4, 1 << 10), (1, 4, 1)]
        {
            let own = Memory::of(bytes_max).of_an_object(objects);
            let all = own.share(u64::MAX).await.unwrap();
            assert_eq!((all.num_permits(), own.kib.available_permits()), (kib, 0));
        }
    }
}
