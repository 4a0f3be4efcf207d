//! Fragments: pieces of accepted calls, joined and written for the exporter.

use crate::pieces::Pieces;
use crate::settings::Settings;
use crate::targets::Target;
use aws::{Bucket, Fault};
use bytes::Bytes;
use delivery::Delivery;
use export::fragment::{Piece, crc32, join};
use export::received::Stamp;
use ingestion::run::Accepted;
use protocol::checkpoint::Checkpoint;
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, Epoch, SourceId, StreamId};
use protocol::position::ByteRange;
use std::sync::Arc;

/// Writes the fragments of one run.
pub(crate) struct Fragments {
    state: Bucket,
    source: SourceId,
    /// Set when the lines are to have its write key.
    keyed: Option<Arc<Delivery>>,
    stream: StreamId,
    epoch: Epoch,
    pub(crate) pieces: Pieces,
}

/// A fragment and its key.
pub(crate) struct Fragment {
    key: String,
    body: Bytes,
}

impl Fragments {
    /// `keeps`: whether the run keeps its calls.
    pub(crate) fn new(
        state: &Bucket,
        target: &Target,
        settings: &Settings,
        checkpoint: &Checkpoint,
        keeps: bool,
    ) -> Self {
        let stream = checkpoint.object.stream();
        let keyed = settings.include_write_key.then(|| Arc::clone(&target.delivery));
        let (state, source, pieces) = (state.clone(), target.id.clone(), Pieces::new(keeps));
        Self { state, source, keyed, stream, epoch: checkpoint.epoch, pieces }
    }

    /// Compresses the calls of a batch, without the refused ones.
    pub(crate) fn compress(&self, accepted: &Accepted) {
        let stamp = Stamp::new(accepted.at_ms, &self.source);
        let stamp = match &self.keyed {
            Some(delivery) => stamp.with_write_key(delivery.write_key().reveal()),
            None => stamp,
        };
        self.pieces.compress(accepted, &stamp);
    }

    /// The fragment of batches that were compressed. Its name identifies the rows and the run.
    pub(crate) fn make(&self, range: ByteRange, day: Day, batches: &[Accepted]) -> Fragment {
        let pieces = batches.iter().map(|accepted| {
            #[expect(
                clippy::expect_used,
                reason = "a fragment without it would lose calls; the next run sends them again"
            )]
            self.pieces.take(accepted.batch.number).expect("the batch was compressed")
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

    /// Writes it. A fragment of this name that is there already is our own: the answer was lost.
    pub(crate) async fn write(&self, fragment: Fragment) -> Result<(), Fault> {
        self.state.create(&fragment.key, fragment.body, "application/gzip").await.map(|_| ())
    }
}
