//! Requests and their bytes, counted without sending them.

use calls::batches::Batch;
use deflate::Encoder;
use export::lines::distance_max;

/// Compresses the first batches and a sample of later batches, and estimates the rest. Compression is the most expensive
/// part of this estimate.
const COMPRESSED_FIRST: u64 = 8;
const COMPRESSED_THEN_EACH: u64 = 32;

/// Requests, counted as they would be sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    pub(super) requests: u64,
    /// Bodies before compression.
    pub(super) json_bytes: u64,
    sampled_bytes: u64,
    sampled_compressed_bytes: u64,
}

impl Wire {
    pub(super) fn send(&mut self, batch: &Batch, gzip: bool) {
        let body = batch.body.as_slice();
        self.requests += 1;
        self.json_bytes += body.len() as u64;
        if gzip && (self.requests <= COMPRESSED_FIRST || self.requests.is_multiple_of(COMPRESSED_THEN_EACH)) {
            let mut compressed = Vec::new();
            Encoder::default().append_gzip(&mut compressed, body, distance_max(body.len(), batch.calls.len()));
            self.sampled_bytes += body.len() as u64;
            self.sampled_compressed_bytes += compressed.len() as u64;
        }
    }

    /// Bodies as they are sent; an estimate where not every one was compressed.
    pub(super) fn wire_bytes(&self) -> u64 {
        if self.sampled_bytes == 0 {
            return self.json_bytes;
        }
        let whole = u128::from(self.json_bytes) * u128::from(self.sampled_compressed_bytes);
        u64::try_from(whole / u128::from(self.sampled_bytes)).unwrap_or(self.json_bytes)
    }
}
