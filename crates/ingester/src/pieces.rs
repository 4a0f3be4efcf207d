//! Pieces of fragments: the accepted calls of a batch, compressed as lines.
//!
//! The search of a batch's body serves its lines ([`export::lines`]), if the whole batch was accepted in one request.

use deflate::Repeats;
use export::fragment::{Encoder, Piece};
use export::lines::{Lines, distance_max};
use export::received::Stamp;
use ingestion::run::Accepted;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The pieces of one run that are in no fragment yet.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Whether the run keeps its calls.
    keeps: bool,
    encoder: RefCell<Encoder>,
    /// The lines of one batch; kept, since it is large.
    lines: RefCell<Lines>,
    /// The batch of the request that was answered last, and where its body repeats itself.
    sent: RefCell<Option<(u64, Repeats)>>,
    /// What was compressed, and how many events, by the numbers of the batches.
    compressed: RefCell<BTreeMap<u64, (Piece, u32)>>,
}

impl Pieces {
    pub(crate) fn new(keeps: bool) -> Self {
        Self { keeps, ..Self::default() }
    }

    /// How far back the body of so many calls may repeat itself, if its repeats are wanted.
    pub(crate) fn repeats_within(&self, body_len: usize, calls: usize) -> Option<usize> {
        self.keeps.then(|| distance_max(body_len, calls))
    }

    /// A request of this batch was answered. If the whole batch is accepted now, the run asks for its compression before any
    /// other answer is read.
    pub(crate) fn sent(&self, batch: u64, repeats: Option<Repeats>) {
        *self.sent.borrow_mut() = repeats.map(|repeats| (batch, repeats));
    }

    /// Compresses the calls of a batch, without the refused ones.
    pub(crate) fn compress(&self, accepted: &Accepted, stamp: &Stamp) {
        let Accepted { batch, refused_calls, .. } = accepted;
        let lines = &mut *self.lines.borrow_mut();
        lines.clear();
        for (index, call) in batch.calls.iter().enumerate() {
            if refused_calls.binary_search_by_key(&index, |refused| refused.call).is_err() {
                lines.append(&batch.body, call.body.clone(), call.timestamp.clone(), stamp);
            }
        }
        let sent = self.sent.borrow_mut().take();
        let of_body = sent.filter(|(number, _)| *number == batch.number).map(|(_, repeats)| repeats);
        let piece = self.encoder.borrow_mut().piece(lines, of_body.as_ref());
        self.compressed.borrow_mut().insert(batch.number, (piece, lines.count()));
    }

    /// Takes the piece of a batch, and how many events it has.
    pub(crate) fn take(&self, batch: u64) -> Option<(Piece, u32)> {
        self.compressed.borrow_mut().remove(&batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calls::batches::{Batch, Call};
    use calls::pipeline::RefusedCall;
    use calls::refusal::Span;
    use std::io::Read;

    /// A batch of calls with cells of different lengths.
    fn batch(number: u64) -> Batch {
        let (mut body, mut calls) = (b"{\"batch\":[".to_vec(), Vec::new());
        for call in 0..300_u64 {
            let cell = "city ".repeat((call * call % 17) as usize);
            let from = body.len();
            body.extend_from_slice(
                format!("{{\"type\":\"track\",\"messageId\":\"{}\",\"cell\":\"{cell}\"}}", call * 7919).as_bytes(),
            );
            let span = Span { from: 0, start: 0, to: 0, line: 0 };
            calls.push(Call { body: from..body.len(), timestamp: None, span, record: 0..0, group: 0..0 });
            body.push(b',');
        }
        body.pop();
        body.extend_from_slice(b"]}");
        Batch { number, body, calls, ..Batch::default() }
    }

    fn fragment(pieces: &Pieces, batch: &Batch, refused_calls: Vec<RefusedCall>) -> Vec<u8> {
        let stamp = Stamp::new(0, &"s1".parse().unwrap());
        pieces.compress(&Accepted { batch: Box::new(batch.clone()), refused_calls, at_ms: 0 }, &stamp);
        let (piece, _) = pieces.take(batch.number).unwrap();
        export::fragment::join(&[piece]).0
    }

    fn lines(fragment: &[u8]) -> String {
        let mut lines = String::new();
        flate2::read::GzDecoder::new(fragment).read_to_string(&mut lines).unwrap();
        lines
    }

    /// The repeats of a body as it is sent.
    fn repeats(pieces: &Pieces, body: &[u8], calls: usize) -> Option<Repeats> {
        let mut encoder = deflate::Encoder::default();
        let within = pieces.repeats_within(body.len(), calls)?;
        encoder.append_gzip(&mut Vec::new(), body, within);
        Some(encoder.repeats().clone())
    }

    #[test]
    fn a_batch_that_was_accepted_in_one_request_is_compressed_by_the_repeats_of_its_body() {
        let (pieces, batch) = (Pieces::new(true), batch(3));
        let searched = fragment(&pieces, &batch, Vec::new());
        let whole = repeats(&pieces, &batch.body, batch.calls.len());
        let half = repeats(&pieces, &batch.body_of(0..150), 150);
        let sent = |number, repeats: &Option<Repeats>, refused_calls: &[usize]| {
            pieces.sent(number, repeats.clone());
            let refused = |call: &usize| RefusedCall { call: *call, code: "c", message: String::new() };
            fragment(&pieces, &batch, refused_calls.iter().map(refused).collect())
        };
        let followed = sent(3, &whole, &[]);
        assert_ne!(followed, searched, "by the repeats of its body it has other bytes");
        assert_eq!(lines(&followed), lines(&searched));
        assert_eq!(sent(4, &whole, &[]), searched, "of another batch");
        assert_eq!(sent(3, &half, &[]), searched, "of a part of it");
        assert_eq!(sent(3, &None, &[]), searched);
        assert_eq!(lines(&sent(3, &whole, &[0, 7, 299])).lines().count(), 297);
        // Used once.
        assert_eq!(fragment(&pieces, &batch, Vec::new()), searched);
    }

    #[test]
    fn a_run_that_keeps_no_calls_asks_for_no_repeats() {
        assert_eq!(Pieces::new(false).repeats_within(475_000, 1_000), None);
    }
}
