//! Fragments: calls for the exporter, as compressed lines.
//!
//! A fragment is a valid gzip file of lines. It can also be joined to other fragments without inflating any of them:
//!
//! ```text
//! header 10 │ deflate blocks, none of them final, up to a byte boundary │ final 5 │ crc32 4 │ length 4
//! ```
//!
//! The header is fixed: it has no time and no name. The blocks refer to nothing before themselves and end with a sync
//! flush. The final block is empty and stored. So a joined file is one header, all bodies, one final block and one
//! trailer. It is a *single* gzip member, so readers that stop after the first member (Java's `GZIPInputStream` on some
//! streams) read all of it.

use std::io::{BufRead, BufReader, Read};

use deflate::Repeats;
use flate2::read::DeflateDecoder;
use protocol::fragment::{FINAL_BLOCK, FRAME_LEN, FragmentName, HEADER, TRAILER_LEN};

use crate::lines::Lines;

/// Makes fragments; worth keeping, since the memory of a compressor costs more than a small fragment.
///
/// The ingester compresses every line, so the compressor is our own: README of `deflate` compares it with others.
#[derive(Debug, Default)]
pub struct Encoder {
    deflate: deflate::Encoder,
    blocks: Vec<u8>,
    repeats: Repeats,
}

/// Compressed lines: a part of a fragment.
#[derive(Debug)]
pub struct Piece {
    blocks: Vec<u8>,
    /// Of the lines; it counts their bytes too.
    crc32: crc32fast::Hasher,
    raw_bytes: u64,
}

impl Encoder {
    /// The fragment of these lines. The same lines give the same bytes, whatever was encoded
    /// before.
    pub fn encode(&mut self, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_LEN + lines.len() / 3 + 64);
        out.extend_from_slice(&HEADER);
        self.append_body(&mut out, lines);
        append_end(&mut out, crc32fast::hash(lines), lines.len() as u64);
        out
    }

    /// Compresses lines for a fragment that has more of them. The lines themselves are needed no longer.
    ///
    /// `of_body` is where the body of their calls repeats earlier bytes, if that is known.
    pub fn piece(&mut self, lines: &Lines, of_body: Option<&Repeats>) -> Piece {
        let text = lines.text();
        let mut crc32 = crc32fast::Hasher::new();
        crc32.update(text);
        let mut blocks = std::mem::take(&mut self.blocks);
        if of_body.is_some_and(|of_body| lines.put_repeats(of_body, &mut self.repeats)) {
            self.deflate.append_blocks_with(&mut blocks, text, &self.repeats);
        } else {
            self.append_body(&mut blocks, text);
        }
        let piece = Piece { blocks: blocks.clone(), crc32, raw_bytes: text.len() as u64 };
        blocks.clear();
        self.blocks = blocks;
        piece
    }

    /// Appends deflate blocks that end at a byte boundary, none of them final.
    pub(crate) fn append_body(&mut self, out: &mut Vec<u8>, lines: &[u8]) {
        self.deflate.append_blocks(out, lines);
    }
}

/// The fragment of these pieces, and the bytes of its lines.
pub fn join(pieces: &[Piece]) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(FRAME_LEN + pieces.iter().map(|piece| piece.blocks.len()).sum::<usize>());
    let (mut crc32, mut raw_bytes) = (crc32fast::Hasher::new(), 0);
    out.extend_from_slice(&HEADER);
    for piece in pieces {
        out.extend_from_slice(&piece.blocks);
        crc32.combine(&piece.crc32);
        raw_bytes += piece.raw_bytes;
    }
    append_end(&mut out, crc32.finalize(), raw_bytes);
    (out, raw_bytes)
}

/// The fragment of these lines, by an encoder of its own.
pub fn encode(lines: &[u8]) -> Vec<u8> {
    Encoder::default().encode(lines)
}

/// The CRC-32 of bytes, as names and trailers carry it.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Appends the final block and the trailer.
pub(crate) fn append_end(out: &mut Vec<u8>, raw_crc32: u32, raw_bytes: u64) {
    out.extend_from_slice(&FINAL_BLOCK);
    out.extend_from_slice(&raw_crc32.to_le_bytes());
    // RFC 1952 says "modulo 2^32".
    let [a, b, c, d, ..] = raw_bytes.to_le_bytes();
    out.extend_from_slice(&[a, b, c, d]);
}

/// Why bytes are not the fragment that their name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Shorter than an empty fragment.
    #[error("truncated: {0} bytes are less than an empty fragment")]
    Truncated(usize),
    /// Not the bytes that were written.
    #[error("the bytes do not have the checksum in the name")]
    Checksum,
    /// The checksum is right, but the bytes were never a fragment.
    #[error("not framed as a fragment")]
    Frame,
    /// Name and trailer disagree on the length of the lines.
    #[error("the trailer and the name disagree on the length")]
    Length,
}

/// What is read of a line.
#[derive(serde::Deserialize)]
struct Received<'a> {
    #[serde(rename = "receivedAt")]
    at: &'a str,
}

/// A fragment whose bytes have been checked against its name. Nothing else enters a log object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<B> {
    bytes: B,
    raw_crc32: u32,
    raw_bytes: u64,
}

impl<B: AsRef<[u8]>> Verified<B> {
    /// Checks a whole fragment.
    ///
    /// # Errors
    /// If its bytes do not match its name.
    pub fn new(name: &FragmentName, bytes: B) -> Result<Verified<B>, Damage> {
        let whole = bytes.as_ref();
        let truncated = Damage::Truncated(whole.len());
        if whole.len() < FRAME_LEN {
            return Err(truncated);
        }
        if crc32fast::hash(whole) != name.crc32 {
            return Err(Damage::Checksum);
        }
        let (rest, length) = whole.split_last_chunk::<4>().ok_or(truncated)?;
        let (rest, crc32) = rest.split_last_chunk::<4>().ok_or(truncated)?;
        if !rest.starts_with(&HEADER) || !rest.ends_with(&FINAL_BLOCK) {
            return Err(Damage::Frame);
        }
        if u64::from(u32::from_le_bytes(*length)) != name.raw_bytes & u64::from(u32::MAX) {
            return Err(Damage::Length);
        }
        let raw_crc32 = u32::from_le_bytes(*crc32);
        Ok(Verified { bytes, raw_crc32, raw_bytes: name.raw_bytes })
    }

    /// The deflate blocks, to be put between other fragments' blocks.
    pub fn body(&self) -> &[u8] {
        let whole = self.bytes.as_ref();
        whole.get(HEADER.len()..whole.len() - FINAL_BLOCK.len() - TRAILER_LEN).unwrap_or_default()
    }

    /// The first and the last moment at which its events were received, in ms since the epoch. It reads all lines. `None` if
    /// one has no such moment.
    pub fn received_ms(&self) -> Option<(i64, i64)> {
        // No block says that it is the last one, so the length does.
        let mut reader = BufReader::new(DeflateDecoder::new(self.body()).take(self.raw_bytes));
        let (mut line, mut span) = (Vec::new(), None);
        while reader.read_until(b'\n', &mut line).ok()? > 0 {
            let received: Received<'_> = serde_json::from_slice(&line).ok()?;
            let ms = received.at.parse::<jiff::Timestamp>().ok()?.as_millisecond();
            let (first, last) = span.unwrap_or((ms, ms));
            span = Some((ms.min(first), ms.max(last)));
            line.clear();
        }
        span
    }

    /// The whole fragment.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// The CRC-32 of the lines, from the fragment's own trailer.
    pub fn raw_crc32(&self) -> u32 {
        self.raw_crc32
    }

    /// The length of the lines.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::fragment::Origin;
    use protocol::id::Day;

    use super::*;

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut reader = flate2::bufread::GzDecoder::new(bytes);
        reader.read_to_end(&mut lines).unwrap();
        assert!(reader.into_inner().is_empty(), "bytes after the member");
        lines
    }

    fn name_of(lines: &[u8], bytes: &[u8]) -> FragmentName {
        FragmentName {
            source: "P0OJ3CTID1".parse().unwrap(),
            day: Day::of(0),
            origin: Origin::Request { id: "r1".parse().unwrap() },
            events: 1,
            raw_bytes: lines.len() as u64,
            crc32: crc32(bytes),
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let step = |state: &mut u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 32) as u8
        };
        (0..len).map(|_| step(&mut state)).collect()
    }

    #[test]
    fn a_fragment_is_a_gzip_file_of_its_own() {
        for lines in [b"".to_vec(), b"{}\n".to_vec(), b"{\"type\":\"track\"}\n".repeat(40_000), noise(700_000)] {
            let bytes = encode(&lines);
            assert!(bytes.starts_with(&HEADER));
            assert_eq!(inflate(&bytes), lines);
            let name = name_of(&lines, &bytes);
            let verified = Verified::new(&name, &bytes).unwrap();
            assert_eq!(verified.raw_crc32(), crc32(&lines));
            assert_eq!(verified.body().len() + FRAME_LEN, bytes.len());
        }
    }

    #[test]
    fn pieces_are_one_fragment_with_the_checksum_of_all_their_lines() {
        let stamp = crate::received::Stamp::new(0, &"s1".parse().unwrap());
        let lines_of = |count: usize| {
            let (body, mut lines) = (b"{\"a\":1},".repeat(count), Lines::default());
            (0..count).for_each(|call| lines.append(&body, 8 * call..8 * call + 7, None, &stamp));
            lines
        };
        let all = [lines_of(9_000), lines_of(0), lines_of(100), lines_of(1)];
        let mut encoder = Encoder::default();
        let pieces: Vec<Piece> = all.iter().map(|lines| encoder.piece(lines, None)).collect();
        let (bytes, raw_bytes) = join(&pieces);
        let lines = all.each_ref().map(Lines::text).concat();
        assert_eq!((raw_bytes, inflate(&bytes)), (lines.len() as u64, lines.clone()));
        assert_eq!(Verified::new(&name_of(&lines, &bytes), &bytes).unwrap().raw_crc32(), crc32(&lines));
        assert!(inflate(&join(&[]).0).is_empty());
    }

    #[test]
    fn a_fragment_says_when_its_first_and_its_last_event_were_received() {
        let line = |at: &str| format!("{{\"properties\":{{\"receivedAt\":1}},\"receivedAt\":\"{at}\"}}\n");
        let received = |lines: &str| {
            let bytes = encode(lines.as_bytes());
            Verified::new(&name_of(lines.as_bytes(), &bytes), &bytes).unwrap().received_ms()
        };
        let all =
            ["1970-01-01T00:00:02.000Z", "1970-01-01T00:00:01.500Z", "1970-01-01T00:00:03.000Z"].map(line).concat();
        assert_eq!(received(&all), Some((1_500, 3_000)));
        assert_eq!(received(""), None);
        assert_eq!(received(&(line("1970-01-01T00:00:02.000Z") + "{}\n")), None);
    }

    #[test]
    fn an_encoder_forgets_what_it_encoded_before() {
        let mut encoder = Encoder::default();
        let lines = b"{\"type\":\"track\",\"event\":\"e\"}\n".repeat(1000);
        let first = encoder.encode(&lines);
        encoder.encode(&noise(100_000));
        assert_eq!(encoder.encode(&lines), first);
        assert_eq!(encode(&lines), first);
    }

    /// The output's first guess is a third of the input; every length around the point where it
    /// is exactly full must come out whole.
    #[test]
    fn output_that_just_fills_the_buffer_is_whole() {
        for len in 0..600 {
            let lines = noise(len);
            assert_eq!(inflate(&encode(&lines)), lines, "{len} bytes");
        }
    }

    #[test]
    fn a_damaged_fragment_is_detected() {
        let lines = b"{\"type\":\"track\"}\n".repeat(10);
        let bytes = encode(&lines);
        let name = name_of(&lines, &bytes);
        let check = |name: &FragmentName, bytes: &[u8], expected| {
            assert_eq!(Verified::new(name, bytes).unwrap_err(), expected);
        };
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            check(&name, &flipped, Damage::Checksum);
        }
        check(&name, &bytes[..bytes.len() - 1], Damage::Checksum);
        check(&name, &bytes[..22], Damage::Truncated(22));
        check(&name, b"", Damage::Truncated(0));

        let other = b"not a gzip file, though long enough";
        check(&name_of(&lines, other), other, Damage::Frame);
        let mut last_block_elsewhere = bytes.clone();
        let at = bytes.len() - TRAILER_LEN - FINAL_BLOCK.len();
        last_block_elsewhere[at] = 0;
        check(&name_of(&lines, &last_block_elsewhere), &last_block_elsewhere, Damage::Frame);
        let longer = FragmentName { raw_bytes: name.raw_bytes + 1, ..name };
        check(&longer, &bytes, Damage::Length);
    }

    proptest! {
        #[test]
        fn any_lines_round_trip(lines in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(inflate(&encode(&lines)), lines);
        }
    }
}
