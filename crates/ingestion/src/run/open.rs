//! A batch under way.

use super::gathered::Accepted;
use crate::refusals::Parcel;
use calls::batches::Batch;

/// A batch, from its first request until Segment has decided about each call.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) batch: Box<Batch>,
    pub(super) parcel: Parcel,
    /// Bytes of the JSON that was sent last.
    pub(super) sent_bytes: usize,
    /// When Segment accepted the last calls, in ms since the epoch.
    at_ms: i64,
    /// True when the receiver writes all accepted calls for export itself.
    is_staged: bool,
}

impl Open {
    pub(super) fn new(batch: Box<Batch>, parcel: Parcel) -> Self {
        Self { batch, parcel, sent_bytes: 0, at_ms: 0, is_staged: true }
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

    /// The batch for a fragment, once each call has its answer.
    pub(super) fn into_accepted(self) -> Accepted {
        Accepted { refused_calls: self.parcel.refused_calls(), batch: self.batch, at_ms: self.at_ms }
    }
}
