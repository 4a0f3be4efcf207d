//! Fragments: accepted calls as compressed lines for the exporter.

use crate::settings::Settings;
use crate::targets::Target;
use aws::{Bucket, Fault};
use bytes::Bytes;
use deflate::Repeats;
use delivery::Delivery;
use export::fragment::{Encoder, Piece, crc32, join};
use export::lines::Lines;
use export::received::Stamp;
use ingestion::run::Accepted;
use protocol::checkpoint::Checkpoint;
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, Epoch, SourceId, StreamId};
use protocol::position::ByteRange;
use std::cell::RefCell;
use std::collections::BTreeMap;
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
    /// The lines of one batch; kept, since it is large.
    lines: RefCell<Lines>,
    /// The batch of the request that was answered last, and where its body repeats.
    sent: RefCell<Option<(u64, Repeats)>>,
    /// What was compressed, by the numbers of the batches.
    pieces: RefCell<BTreeMap<u64, (Piece, u32)>>,
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
        let (encoder, lines, pieces) = (RefCell::default(), RefCell::default(), RefCell::default());
        let sent = RefCell::default();
        Self { state, source, keyed, stream, epoch: checkpoint.epoch, encoder, lines, sent, pieces }
    }

    /// A request of this batch was answered. If that was all of the batch, its lines are compressed next.
    pub(crate) fn sent(&self, batch: u64, repeats: Repeats) {
        *self.sent.borrow_mut() = Some((batch, repeats));
    }

    /// Compresses the calls of a batch, without the refused ones.
    pub(crate) fn compress(&self, accepted: &Accepted) {
        let lines = &mut *self.lines.borrow_mut();
        lines.clear();
        self.append(accepted, lines);
        let sent = self.sent.borrow_mut().take();
        // Without the refused calls the lines repeat other ones than the body does.
        let of_body = sent.filter(|(batch, _)| *batch == accepted.batch.number && accepted.refused_calls.is_empty());
        let piece = self.encoder.borrow_mut().piece(lines, of_body.as_ref().map(|(_, repeats)| repeats));
        let events = u32::try_from(lines.count()).unwrap_or(u32::MAX);
        self.pieces.borrow_mut().insert(accepted.batch.number, (piece, events));
    }

    /// The fragment of batches that were compressed. Its name identifies the rows and the run.
    pub(crate) fn make(&self, range: ByteRange, day: Day, batches: &[Accepted]) -> Fragment {
        let mut held = self.pieces.borrow_mut();
        let pieces = batches.iter().map(|accepted| {
            #[expect(
                clippy::expect_used,
                reason = "a fragment without it would lose calls; the next run sends them again"
            )]
            held.remove(&accepted.batch.number).expect("the batch was compressed")
        });
        let (pieces, events): (Vec<Piece>, Vec<u32>) = pieces.unzip();
        let (body, raw_bytes) = join(&pieces);
        let name = FragmentName {
            source: self.source.clone(),
            day,
            origin: Origin::File { stream: self.stream, epoch: self.epoch, range },
            events: events.iter().sum(),
            raw_bytes,
            crc32: crc32(&body),
        };
        Fragment { key: name.to_string(), body: body.into() }
    }

    /// Appends the accepted calls of a batch as lines.
    fn append(&self, accepted: &Accepted, lines: &mut Lines) {
        let Accepted { batch, refused_calls, at_ms } = accepted;
        let stamp = Stamp::new(*at_ms, &self.source);
        let stamp = match &self.keyed {
            Some(delivery) => stamp.with_write_key(delivery.write_key().reveal()),
            None => stamp,
        };
        for (index, call) in batch.calls.iter().enumerate() {
            if refused_calls.binary_search_by_key(&index, |refused| refused.call).is_err() {
                lines.append(&batch.body, call.body.clone(), call.timestamp.clone(), &stamp);
            }
        }
    }

    /// Writes it. A fragment of this name that is there already is our own: the answer was lost.
    pub(crate) async fn write(&self, fragment: Fragment) -> Result<(), Fault> {
        self.state.create(&fragment.key, fragment.body, "application/gzip").await.map(|_| ())
    }
}
