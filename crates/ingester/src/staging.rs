//! What was acknowledged, kept as fragments for the exporter.

use crate::settings::Settings;
use aws::{Bucket, Fault};
use calls::batches::Batch;
use calls::ingestion::Guilty;
use delivery::WriteKey;
use export::fragment::{Encoder, crc32};
use export::received::{Stamp, append_own_call};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Epoch, SourceId, StreamId};
use protocol::position::ByteRange;
use std::cell::RefCell;

/// Keeps a batch's acknowledged calls.
pub(crate) struct Staging {
    state: Bucket,
    source: SourceId,
    /// Set when the lines are to have it.
    write_key: Option<WriteKey>,
    stream: StreamId,
    epoch: Epoch,
    encoder: RefCell<Encoder>,
}

impl Staging {
    pub(crate) fn new(state: Bucket, settings: &Settings, stream: StreamId, epoch: Epoch) -> Self {
        let write_key = settings.include_write_key.then(|| settings.delivery.write_key.clone());
        let source = settings.source.clone();
        Self { state, source, write_key, stream, epoch, encoder: RefCell::new(Encoder::default()) }
    }

    /// Writes the fragment of a batch; nothing when none of its calls was acknowledged.
    ///
    /// Its name says which rows of which run it holds. That one is there already means that our own answer was lost.
    pub(crate) async fn keep(&self, batch: &Batch, guilty: &[Guilty], received_at_ms: i64) -> Result<(), Fault> {
        let stamp = Stamp::new(received_at_ms, &self.source);
        let stamp = match &self.write_key {
            Some(write_key) => stamp.with_write_key(write_key.reveal()),
            None => stamp,
        };
        let mut lines = Vec::with_capacity(batch.body.len() * 3 / 2);
        let mut events = 0;
        for (index, call) in batch.calls.iter().enumerate() {
            if guilty.binary_search_by_key(&index, |guilty| guilty.call).is_err() {
                let timestamp = call.timestamp.as_ref().map(|at| at.start - call.body.start..at.end - call.body.start);
                append_own_call(&mut lines, batch.call(index), timestamp, &stamp);
                events += 1;
            }
        }
        if events == 0 {
            return Ok(());
        }
        let fragment = self.encoder.borrow_mut().encode(&lines);
        let range = ByteRange { from: batch.from, to: batch.to };
        let name = FragmentName {
            source: self.source.clone(),
            day: stamp.day(),
            origin: Origin::File { stream: self.stream, epoch: self.epoch, range },
            events,
            raw_bytes: lines.len() as u64,
            crc32: crc32(&fragment),
        };
        self.state.create(&name.to_string(), fragment.into(), "application/gzip").await.map(|_| ())
    }
}
