//! The checkpoint as it is held by a run: claimed, renewed, committed, given up.
//!
//! Every write is a compare-and-swap on the ETag that this owner wrote last. Whoever loses one is no owner any more and
//! stops at once. An answer that was lost is told from a lost race by reading back: the nonce says whose write it is.

use crate::source::trouble_of_state;
use aws::document::{Document, Format};
use aws::{Bucket, Clock, Fault, Kind};
use bytes::Bytes;
use calls::ingestion::Commit;
use calls::rejects::{Rejects, join};
use ingestion::run::Write;
use ingestion::trouble::{Remedy, Trouble};
use protocol::checkpoint::{Checkpoint, Ending, Phase, REJECTS_PART_BYTES, RejectsPart};
use protocol::claim::{Claim, Claimant, claim};
use protocol::id::{Nonce, StreamId};
use protocol::keys;
use protocol::position::ByteRange;
use protocol::upload::Identity;

/// A lease is renewed when so many parts of it, of three, are left.
const RENEWED_AT_THIRDS: i64 = 2;
/// How often a claim that others keep snatching away is tried again.
const CLAIMS_MAX: u32 = 4;

/// What a claim came to.
pub(crate) enum Claimed {
    /// The file is ours. `was_given_up`: it had failed, and starts afresh.
    Owner { owner: Box<Owner>, was_given_up: bool },
    /// Another invocation is at work, or the file waits: until when at least, and when it last made progress (ms since
    /// the epoch).
    Busy { until_ms: i64, progress_ms: i64 },
    /// There is nothing left to do.
    Ended(Box<Checkpoint>),
}

/// The right to work on a file, until it is lost.
pub(crate) struct Owner {
    state: Bucket,
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
        afresh: bool,
        clock: &Clock,
    ) -> Result<Claimed, Trouble> {
        let stream = object.stream();
        for _ in 0..CLAIMS_MAX {
            let found = read(state, stream).await?;
            let (etag, found) = found.map_or((None, None), |(etag, checkpoint)| (Some(etag), Some(checkpoint)));
            let by_now_ms = clock.now_ms();
            let by = Claimant { nonce: state.dice().nonce(), now_ms: by_now_ms, lease_ms, afresh };
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
            let was_given_up = found.is_some_and(|found| found.given_up) && !wanted.given_up;
            if let Some(etag) = swap(state, stream, etag.as_deref(), &wanted).await? {
                let (state, clock) = (state.clone(), clock.clone());
                let owner = Self { state, stream, etag, checkpoint: wanted, open_part: None, lease_ms, clock };
                return Ok(Claimed::Owner { owner: Box::new(owner), was_given_up });
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

    /// When the lease is so old that it should be renewed, committing or not.
    pub(crate) fn renew_at_ms(&self) -> i64 {
        self.checkpoint.lease_until_ms - self.lease_ms * RENEWED_AT_THIRDS / 3
    }

    /// Commits what was settled, and renews the lease. The refused rows are written first: what a checkpoint counts
    /// is there.
    pub(crate) async fn commit(&mut self, write: Write) -> Result<(), Trouble> {
        let now_ms = self.clock.now_ms();
        self.checkpoint.bisection_requests = write.halving_requests;
        let mut next = self.checkpoint.next(self.nonce(), now_ms + self.lease_ms);
        if let (None, Some(header)) = (&next.header, &write.header) {
            next.keep_header(header, &write.terms);
        }
        if let Some(commit) = write.commit {
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
    async fn keep_rejects(&mut self, commit: &Commit, head: &[u8]) -> Result<RejectsPart, Trouble> {
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
        let created = self.state.create(&part.key(self.stream), body.clone(), "text/csv").await;
        created.map_err(|fault| trouble_of_state(&fault))?;
        self.open_part = (bytes < REJECTS_PART_BYTES).then_some((part, body));
        Ok(part)
    }

    /// The part that the next refused rows belong to, with what is in it. One that somebody deleted is not gone on with:
    /// that its rows are lost is said at the end.
    async fn open_part(&mut self) -> Result<Option<(RejectsPart, Bytes)>, Trouble> {
        let Some(part) = self.checkpoint.open_part().copied() else { return Ok(None) };
        match self.open_part.take().filter(|(held, _)| *held == part) {
            Some(held) => Ok(Some(held)),
            None => {
                let object = self.state.get(&part.key(self.stream)).await.map_err(|fault| trouble_of_state(&fault))?;
                Ok(object.map(|object| (part, object.body)))
            }
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
    ) -> Result<(), Trouble> {
        let next = self.checkpoint.next(self.nonce(), 0);
        self.write(Checkpoint { trouble_since_ms, given_up, not_before_ms, ..next }).await
    }

    /// Writes the last state: from here on nobody has anything to send.
    pub(crate) async fn end(&mut self, phase: Phase, ending: Ending) -> Result<(), Trouble> {
        self.write(self.checkpoint.end(self.nonce(), phase, ending)).await
    }

    fn nonce(&self) -> Nonce {
        self.state.dice().nonce()
    }

    async fn write(&mut self, next: Checkpoint) -> Result<(), Trouble> {
        let etag = swap(&self.state, self.stream, Some(&self.etag), &next).await?;
        self.etag = etag.ok_or_else(Trouble::lost)?;
        self.checkpoint = next;
        Ok(())
    }
}

/// The place of a stream's checkpoint.
fn document(state: &Bucket, stream: StreamId) -> Document<Checkpoint> {
    let format = Format {
        read: |bytes| Ok(Checkpoint::from_json(bytes)?),
        write: |checkpoint| checkpoint.to_json().into(),
        is_same_write: |one, other| one.nonce == other.nonce,
    };
    Document::new(state.clone(), keys::checkpoint(stream), format)
}

/// Puts `wanted` in the place of what has `etag`; the new ETag, or `None` if another owner was faster.
async fn swap(
    state: &Bucket,
    stream: StreamId,
    etag: Option<&str>,
    wanted: &Checkpoint,
) -> Result<Option<String>, Trouble> {
    let swapped = document(state, stream).swap(etag, wanted.clone()).await;
    Ok(swapped.map_err(|fault| trouble_of_checkpoint(&fault))?.map(|found| found.etag))
}

/// The checkpoint of a stream, with its ETag.
pub(crate) async fn read(state: &Bucket, stream: StreamId) -> Result<Option<(String, Checkpoint)>, Trouble> {
    let found = document(state, stream).read().await.map_err(|fault| trouble_of_checkpoint(&fault))?;
    Ok(found.map(|found| (found.etag, found.value)))
}

fn trouble_of_checkpoint(fault: &Fault) -> Trouble {
    match fault.kind {
        Kind::Unreadable => Trouble::new(Remedy::Person, format!("checkpoint {}: {}", fault.target, fault.detail)),
        _ => trouble_of_state(fault),
    }
}
