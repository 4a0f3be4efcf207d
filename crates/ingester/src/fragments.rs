//! Fragments: accepted calls as compressed lines for the exporter.

use crate::settings::Settings;
use crate::targets::Target;
use aws::{Bucket, Fault};
use bytes::Bytes;
use delivery::Delivery;
use export::fragment::{Encoder, crc32};
use export::received::{Stamp, append_own_call};
use ingestion::run::Accepted;
use protocol::checkpoint::Checkpoint;
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, Epoch, SourceId, StreamId};
use protocol::position::ByteRange;
use std::cell::RefCell;
use std::sync::Arc;

/// Writes the fragments of one run.
pub(crate) struct Fragments {
    state: Bucket,
    source: SourceId,
    /// Set when the lines are to have its write key.
    keyed: Option<Arc<Delivery>>,
    stream: StreamId,
    epoch: Epoch,
    encoder: RefCell<Encoder>,
}

/// A fragment and its key.
pub(crate) struct Fragment {
    key: String,
    body: Bytes,
}

impl Fragments {
    pub(crate) fn new(state: &Bucket, target: &Target, settings: &Settings, checkpoint: &Checkpoint) -> Self {
        let stream = checkpoint.object.stream();
        let keyed = settings.include_write_key.then(|| Arc::clone(&target.delivery));
        let (state, source) = (state.clone(), target.id.clone());
        Self { state, source, keyed, stream, epoch: checkpoint.epoch, encoder: RefCell::default() }
    }

    /// The fragment of some batches, without their refused calls. Its name identifies the rows and the run.
    pub(crate) fn make(&self, range: ByteRange, day: Day, batches: &[Accepted]) -> Fragment {
        let mut lines = Vec::with_capacity(batches.iter().map(|one| one.batch.body.len() * 3 / 2).sum());
        let events = batches.iter().map(|accepted| self.append(accepted, &mut lines)).sum();
        let body = self.encoder.borrow_mut().encode(&lines);
        let name = FragmentName {
            source: self.source.clone(),
            day,
            origin: Origin::File { stream: self.stream, epoch: self.epoch, range },
            events,
            raw_bytes: lines.len() as u64,
            crc32: crc32(&body),
        };
        Fragment { key: name.to_string(), body: body.into() }
    }

    /// Appends the accepted calls of a batch as lines. Returns how many they are.
    fn append(&self, accepted: &Accepted, lines: &mut Vec<u8>) -> u32 {
        let Accepted { batch, refused_calls, at_ms } = accepted;
        let stamp = Stamp::new(*at_ms, &self.source);
        let stamp = match &self.keyed {
            Some(delivery) => stamp.with_write_key(delivery.write_key().reveal()),
            None => stamp,
        };
        let mut events = 0;
        for (index, call) in batch.calls.iter().enumerate() {
            if refused_calls.binary_search_by_key(&index, |refused| refused.call).is_err() {
                let timestamp = call.timestamp.as_ref().map(|at| at.start - call.body.start..at.end - call.body.start);
                append_own_call(lines, batch.call(index), timestamp, &stamp);
                events += 1;
            }
        }
        events
    }

    /// Writes it. A fragment of this name that is there already is our own: the answer was lost.
    pub(crate) async fn write(&self, fragment: Fragment) -> Result<(), Fault> {
        self.state.create(&fragment.key, fragment.body, "application/gzip").await.map(|_| ())
    }
}
