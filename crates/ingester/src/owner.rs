//! The checkpoint as it is held by a run: claimed, renewed, committed, given up.
//!
//! Every write is a compare-and-swap on the ETag that this owner wrote last. Whoever loses one is no owner any more and
//! stops at once. An answer that was lost is told from a lost race by reading back: the nonce says whose write it is.

use aws::bucket::{ATTEMPTS_MAX, BACKOFF_BASE_MS, Bucket, Swapped};
use aws::clock::jitter_ms;
use aws::{Clock, Fault};
use bytes::Bytes;
use calls::ingestion::Commit;
use calls::rejects::{Rejects, join};
use protocol::checkpoint::{Checkpoint, Ending, Phase, REJECTS_PART_BYTES, RejectsPart, Terms};
use protocol::claim::{Claim, Claimant, claim};
use protocol::id::{Nonce, StreamId};
use protocol::keys;
use protocol::position::ByteRange;
use protocol::reading::StoredHeader;
use protocol::upload::Identity;
use std::time::Duration;

const JSON: &str = "application/json";
/// A lease is renewed when so many parts of it, of three, are left.
const RENEWED_AT_THIRDS: i64 = 2;
/// How often a claim that others keep snatching away is tried again.
const CLAIMS_MAX: u32 = 4;

/// Why an owner cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerFault {
    /// Somebody else owns the file now.
    #[error("another invocation has taken this file over")]
    Lost,
    /// It did not answer while there was time, or there was too much to do.
    #[error("S3 was not done with it in the time of this invocation: if that repeats, raise the function's timeout")]
    OutOfTime,
    /// The state bucket does not answer as it should.
    #[error("{0}")]
    State(#[from] Fault),
    /// What is in the checkpoint's place is none that we can read.
    #[error("checkpoint s3://{bucket}/{key}: {detail}")]
    Unreadable { bucket: String, key: String, detail: String },
}

impl OwnerFault {
    /// True when another try, by a later invocation, may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Lost | Self::OutOfTime => true,
            Self::State(fault) => fault.is_transient(),
            Self::Unreadable { .. } => false,
        }
    }
}

/// What a claim came to.
pub(crate) enum Claimed {
    Owner(Box<Owner>),
    /// Somebody is at work, or it is to wait: until when at least, and when there last was progress (ms since the
    /// epoch).
    Busy {
        until_ms: i64,
        progress_ms: i64,
    },
    /// There is nothing left to do.
    Ended(Box<Checkpoint>),
}

/// The right to work on a file, until it is lost.
pub(crate) struct Owner {
    state: Bucket,
    key: String,
    stream: StreamId,
    etag: String,
    checkpoint: Checkpoint,
    /// The rejects part that still grows, as it was written last.
    open_part: Option<(RejectsPart, Bytes)>,
    lease_ms: i64,
    clock: Clock,
}

impl Owner {
    /// Tries to become the owner of a file.
    pub(crate) async fn claim(
        state: &Bucket,
        object: &Identity,
        lease_ms: i64,
        clock: &Clock,
    ) -> Result<Claimed, OwnerFault> {
        let stream = object.stream();
        let key = keys::checkpoint(stream);
        for _ in 0..CLAIMS_MAX {
            let found = read(state, &key).await?;
            let (etag, found) = found.map_or((None, None), |(etag, checkpoint)| (Some(etag), Some(checkpoint)));
            let by_now_ms = clock.now_ms();
            let by = Claimant { nonce: nonce(), now_ms: by_now_ms, lease_ms };
            let wanted = match claim(found.clone(), object, by) {
                Claim::Begin(checkpoint) | Claim::TakeOver(checkpoint) => *checkpoint,
                Claim::Busy(until_ms) => {
                    // One that waits for its turn is looked after by the message that is to come then.
                    let at_work = found.filter(|checkpoint| by_now_ms < checkpoint.lease_until_ms);
                    let progress_ms = at_work.map_or(until_ms, |checkpoint| checkpoint.progress_ms);
                    return Ok(Claimed::Busy { until_ms, progress_ms });
                }
                Claim::Ended(_) => match found {
                    Some(checkpoint) => return Ok(Claimed::Ended(Box::new(checkpoint))),
                    None => continue,
                },
            };
            match swap(state, &key, etag.as_deref(), &wanted).await {
                Ok(etag) => {
                    let (state, clock) = (state.clone(), clock.clone());
                    let checkpoint = wanted;
                    let owner = Self { state, key, stream, etag, checkpoint, open_part: None, lease_ms, clock };
                    return Ok(Claimed::Owner(Box::new(owner)));
                }
                Err(OwnerFault::Lost) => {}
                Err(fault) => return Err(fault),
            }
        }
        // Others are quicker every time: they are at work.
        let now_ms = clock.now_ms();
        Ok(Claimed::Busy { until_ms: now_ms + lease_ms, progress_ms: now_ms })
    }

    /// What is committed.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Names the file's checkpoint, fragments and message ids.
    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// When the lease is so old that it should be renewed, committing or not.
    pub(crate) fn renew_at_ms(&self) -> i64 {
        self.checkpoint.lease_until_ms - self.lease_ms * RENEWED_AT_THIRDS / 3
    }

    /// Commits what was settled, and renews the lease. The refused rows are written first: what a checkpoint counts
    /// is there.
    pub(crate) async fn commit(
        &mut self,
        commit: Option<Commit>,
        header: Option<&StoredHeader>,
        terms: &Terms,
    ) -> Result<(), OwnerFault> {
        let now_ms = self.clock.now_ms();
        let mut next = self.checkpoint.next(nonce(), now_ms + self.lease_ms);
        if let (None, Some(header)) = (&next.header, header) {
            next.keep_header(header, terms);
        }
        if let Some(commit) = commit {
            let rejects = match next.header.as_ref().filter(|_| !commit.rejects.is_empty()) {
                Some(header) => Some(self.keep_rejects(&commit, Rejects::new(header).head()).await?),
                None => None,
            };
            next.commit(commit.to, &commit.account, rejects, now_ms);
        }
        self.write(next).await
    }

    /// Writes the refused rows, behind those of the part that is open. The shorter one counts until the checkpoint names
    /// the longer.
    async fn keep_rejects(&mut self, commit: &Commit, head: &[u8]) -> Result<RejectsPart, OwnerFault> {
        let before = self.open_part().await?;
        let (from, rows) = before.as_ref().map_or((commit.from.byte, 0), |(part, _)| (part.range.from, part.rows));
        let body = match before {
            None => Bytes::copy_from_slice(&commit.rejects),
            Some((_, before)) => {
                let mut whole = Vec::with_capacity(before.len() + commit.rejects.len());
                whole.extend_from_slice(&before);
                join(&mut whole, head, &commit.rejects);
                whole.into()
            }
        };
        let (epoch, to, bytes) = (self.checkpoint.epoch, commit.to.byte, body.len() as u64);
        let part = RejectsPart { epoch, range: ByteRange { from, to }, rows: rows + commit.account.rejected, bytes };
        // One that is there already is our own: nobody else has this epoch.
        self.state.create(&part.key(self.stream), body.clone(), "text/csv").await?;
        self.open_part = (bytes < REJECTS_PART_BYTES).then_some((part, body));
        Ok(part)
    }

    /// The part that the next refused rows belong to, with what is in it. One that somebody deleted is not gone on with:
    /// that its rows are lost is said at the end.
    async fn open_part(&mut self) -> Result<Option<(RejectsPart, Bytes)>, OwnerFault> {
        let Some(part) = self.checkpoint.open_part().copied() else { return Ok(None) };
        match self.open_part.take().filter(|(held, _)| *held == part) {
            Some(held) => Ok(Some(held)),
            None => Ok(self.state.get(&part.key(self.stream)).await?.map(|object| (part, object.body))),
        }
    }

    /// Notes for the next write how many requests were spent on finding out which calls are guilty.
    pub(crate) fn spent(&mut self, bisection_requests: u32) {
        self.checkpoint.bisection_requests = bisection_requests;
    }

    /// Lets go of the file, so that the next invocation need not wait for the lease to end. Nobody is to begin before
    /// `not_before_ms`.
    pub(crate) async fn release(
        &mut self,
        trouble_since_ms: Option<i64>,
        given_up: bool,
        not_before_ms: i64,
    ) -> Result<(), OwnerFault> {
        let next = self.checkpoint.next(nonce(), 0);
        self.write(Checkpoint { trouble_since_ms, given_up, not_before_ms, ..next }).await
    }

    /// A message that was never received before asks for a file that was given up: a person sent it. True if so.
    pub(crate) fn start_afresh(&mut self) -> bool {
        let given_up = std::mem::take(&mut self.checkpoint.given_up);
        if given_up {
            self.checkpoint.trouble_since_ms = None;
        }
        given_up
    }

    /// Writes the last state: from here on nobody has anything to send.
    pub(crate) async fn end(&mut self, phase: Phase, ending: Ending) -> Result<(), OwnerFault> {
        self.write(self.checkpoint.end(nonce(), phase, ending)).await
    }

    async fn write(&mut self, next: Checkpoint) -> Result<(), OwnerFault> {
        self.etag = swap(&self.state, &self.key, Some(&self.etag), &next).await?;
        self.checkpoint = next;
        Ok(())
    }
}

/// The mark of a single write.
fn nonce() -> Nonce {
    aws::clock::nonce().parse().expect("a nonce is 32 hexadecimal digits")
}

/// Puts `wanted` in the place of what has `etag`, through lost answers and conflicts; the new ETag.
async fn swap(state: &Bucket, key: &str, etag: Option<&str>, wanted: &Checkpoint) -> Result<String, OwnerFault> {
    let mut attempt = 1;
    loop {
        let unsure = match state.swap(key, etag, wanted.to_json().into(), JSON).await? {
            Swapped::Done(etag) => return Ok(etag),
            Swapped::Lost => None,
            Swapped::Unsure(fault) => Some(fault),
        };
        let found = read(state, key).await?;
        match (found, unsure) {
            (Some((etag, found)), _) if found.nonce == wanted.nonce => return Ok(etag),
            // Nothing happened yet, and somebody says it may: try again.
            (found, Some(fault)) if found.as_ref().map(|(etag, _)| etag.as_str()) == etag => {
                if attempt >= ATTEMPTS_MAX {
                    return Err(OwnerFault::State(Fault { attempts: attempt, ..fault }));
                }
                tokio::time::sleep(Duration::from_millis(jitter_ms(BACKOFF_BASE_MS << attempt))).await;
                attempt += 1;
            }
            _ => return Err(OwnerFault::Lost),
        }
    }
}

/// The checkpoint there, with its ETag.
pub(crate) async fn read(state: &Bucket, key: &str) -> Result<Option<(String, Checkpoint)>, OwnerFault> {
    let Some(object) = state.get(key).await? else { return Ok(None) };
    match Checkpoint::from_json(&object.body) {
        Ok(checkpoint) => Ok(Some((object.etag, checkpoint))),
        Err(error) => Err(unreadable(state, key, error.to_string())),
    }
}

fn unreadable(state: &Bucket, key: &str, detail: String) -> OwnerFault {
    OwnerFault::Unreadable { bucket: state.name().to_owned(), key: key.to_owned(), detail }
}
