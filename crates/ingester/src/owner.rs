//! The right of one run to work on a file: claimed, renewed, committed, released.
//!
//! Every write is a compare-and-swap on the checkpoint that this owner wrote last. An owner that loses a swap has lost the
//! file and stops at once.

use crate::trouble::{of_checkpoint, of_state};
use aws::document::{Document, Format, Found};
use aws::{Bucket, Clock};
use bytes::Bytes;
use calls::pipeline::Commit;
use calls::rejects::{Rejects, join};
use ingestion::run::Write;
use ingestion::trouble::Trouble;
use protocol::checkpoint::{Checkpoint, Ending, Phase, REJECTS_PART_BYTES, RejectsPart};
use protocol::claim::{Afresh, Claim, Claimant, claim};
use protocol::id::{Nonce, StreamId};
use protocol::keys;
use protocol::position::ByteRange;
use protocol::upload::Identity;

/// A lease is renewed when two thirds of it are left.
const RENEWED_AT_THIRDS: i64 = 2;
/// How often a claim is tried when other owners are faster.
const CLAIMS_MAX: u32 = 4;

/// The result of a claim.
pub(crate) enum Claimed {
    /// The file is ours.
    Owner(Box<Owner>),
    /// Another invocation is at work, or the file waits: until when at least, and when it last made progress (ms since
    /// the epoch).
    Busy { until_ms: i64, progress_ms: i64 },
    /// The file has ended.
    Ended(Box<Checkpoint>),
}

/// The owner of a file, until another one takes it over.
pub(crate) struct Owner {
    state: Bucket,
    document: Document<Checkpoint>,
    held: Found<Checkpoint>,
    stream: StreamId,
    /// The rejects part that still grows, with its content.
    open_part: Option<(RejectsPart, Bytes)>,
    lease_ms: i64,
    clock: Clock,
}

impl Owner {
    /// Tries to become the owner.
    pub(crate) async fn claim(
        state: &Bucket,
        object: &Identity,
        lease_ms: i64,
        afresh: Afresh,
        clock: &Clock,
    ) -> Result<Claimed, Trouble> {
        let stream = object.stream();
        let document = document(state, stream);
        for _ in 0..CLAIMS_MAX {
            let found = document.read().await.map_err(|fault| of_checkpoint(&fault))?;
            let (etag, found) = found.map_or((None, None), |found| (Some(found.etag), Some(found.value)));
            let now_ms = clock.now_ms();
            let by = Claimant { nonce: state.dice().nonce(), now_ms, lease_ms, afresh };
            let wanted = match (claim(found.clone(), object, by), &found) {
                (Claim::Begin(checkpoint) | Claim::TakeOver(checkpoint), _) => *checkpoint,
                (Claim::Busy { until_ms, progress_ms }, _) => return Ok(Claimed::Busy { until_ms, progress_ms }),
                (Claim::Ended(_), Some(ended)) => return Ok(Claimed::Ended(Box::new(ended.clone()))),
                (Claim::Ended(_), None) => continue,
            };
            let swapped = document.swap(etag.as_deref(), wanted).await.map_err(|fault| of_checkpoint(&fault))?;
            if let Some(held) = swapped {
                let (state, clock) = (state.clone(), clock.clone());
                let owner = Box::new(Self { state, document, held, stream, open_part: None, lease_ms, clock });
                return Ok(Claimed::Owner(owner));
            }
        }
        // Other owners are faster every time, so they are at work.
        let now_ms = clock.now_ms();
        Ok(Claimed::Busy { until_ms: now_ms + lease_ms, progress_ms: now_ms })
    }

    /// The checkpoint as this owner wrote it last.
    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.held.value
    }

    /// When the lease has to be renewed, in ms since the epoch.
    pub(crate) fn renew_at_ms(&self) -> i64 {
        self.checkpoint().lease_until_ms - self.lease_ms * RENEWED_AT_THIRDS / 3
    }

    /// Writes the settled rows into the checkpoint, and renews the lease. The rejects part is written first: the parts
    /// that a checkpoint names exist.
    pub(crate) async fn commit(&mut self, write: Write) -> Result<(), Trouble> {
        let now_ms = self.clock.now_ms();
        let mut next = self.checkpoint().next(self.nonce(), now_ms + self.lease_ms);
        next.halving_requests = write.halving_requests;
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
        next.add_profile(write.profile);
        self.write(next).await
    }

    /// Appends refused rows to the open part. The shorter part counts until the checkpoint names the longer one.
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
        let (epoch, to, bytes) = (self.checkpoint().epoch, commit.to.byte, body.len() as u64);
        let part = RejectsPart { epoch, range: ByteRange { from, to }, rows: rows + commit.account.rejected, bytes };
        // A part of this name that is there already is our own: no other owner has this epoch.
        let created = self.state.create(&part.key(self.stream), body.clone(), "text/csv").await;
        created.map_err(|fault| of_state(&fault))?;
        self.open_part = (bytes < REJECTS_PART_BYTES).then_some((part, body));
        Ok(part)
    }

    /// The part that the next refused rows belong to, with its content. If a person deleted it, a new part begins, and
    /// the end of the file says which rows are missing.
    async fn open_part(&mut self) -> Result<Option<(RejectsPart, Bytes)>, Trouble> {
        let Some(part) = self.checkpoint().open_part().copied() else { return Ok(None) };
        match self.open_part.take().filter(|(held, _)| *held == part) {
            Some(held) => Ok(Some(held)),
            None => {
                let object = self.state.get(&part.key(self.stream)).await.map_err(|fault| of_state(&fault))?;
                Ok(object.map(|object| (part, object.body)))
            }
        }
    }

    /// Remembers for the next write how many requests halving has cost the file.
    pub(crate) fn spent(&mut self, halving_requests: u32) {
        self.held.value.halving_requests = halving_requests;
    }

    /// Gives the lease back, so that the next invocation need not wait for its end. No invocation starts before
    /// `not_before_ms`.
    pub(crate) async fn release(
        &mut self,
        trouble_since_ms: Option<i64>,
        given_up: bool,
        not_before_ms: i64,
    ) -> Result<(), Trouble> {
        let next = self.checkpoint().next(self.nonce(), 0);
        self.write(Checkpoint { trouble_since_ms, given_up, not_before_ms, ..next }).await
    }

    /// Writes the last checkpoint.
    pub(crate) async fn end(&mut self, phase: Phase, ending: Ending) -> Result<(), Trouble> {
        self.write(self.checkpoint().end(self.nonce(), phase, ending)).await
    }

    fn nonce(&self) -> Nonce {
        self.state.dice().nonce()
    }

    async fn write(&mut self, next: Checkpoint) -> Result<(), Trouble> {
        let swapped = self.document.swap(Some(&self.held.etag), next).await.map_err(|fault| of_checkpoint(&fault))?;
        self.held = swapped.ok_or_else(Trouble::lost)?;
        Ok(())
    }
}

/// The checkpoint of a stream.
pub(crate) fn document(state: &Bucket, stream: StreamId) -> Document<Checkpoint> {
    let format = Format {
        read: |bytes| Ok(Checkpoint::from_json(bytes)?),
        write: Checkpoint::to_json,
        is_same_write: |one, other| one.nonce == other.nonce,
    };
    Document::new(state.clone(), keys::checkpoint(stream), format)
}
