//! A batch under way.

use crate::refusals::Parcel;
use calls::batches::Batch;
use calls::pipeline::RefusedCall;

/// A batch, from its first request until it is settled.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) batch: Box<Batch>,
    pub(super) parcel: Parcel,
    pub(super) stage: Stage,
    /// Bytes of the JSON that was sent last.
    pub(super) sent_bytes: usize,
    /// When Segment accepted the last calls, in ms since the epoch.
    pub(super) at_ms: i64,
    /// True when the receiver writes all accepted calls for export itself.
    is_staged: bool,
}

/// How far a batch is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Some calls need an answer.
    Sending,
    /// Its fragment is being written, without these refused calls.
    Keeping(Vec<RefusedCall>),
}

impl Stage {
    pub(super) fn refused_calls(&self) -> &[RefusedCall] {
        match self {
            Stage::Sending => &[],
            Stage::Keeping(refused_calls) => refused_calls,
        }
    }
}

impl Open {
    pub(super) fn new(batch: Box<Batch>, parcel: Parcel) -> Self {
        Self { batch, parcel, stage: Stage::Sending, sent_bytes: 0, at_ms: 0, is_staged: true }
    }

    /// Segment accepted the calls that were sent last. One request that the receiver does not stage is enough for us to
    /// write all of them.
    pub(super) fn accepted(&mut self, staged: bool, at_ms: i64) {
        self.is_staged &= staged;
        self.at_ms = at_ms;
    }

    /// True when its accepted calls need a fragment of ours.
    pub(super) fn is_to_be_kept(&self) -> bool {
        self.parcel.accepted_calls() > 0 && !self.is_staged
    }
}
