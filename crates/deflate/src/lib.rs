#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bits;
mod block;
mod codes;
mod follow;
mod huffman;
mod matches;
mod repeats;
mod symbols;
mod tokens;

use bits::Bits;
use block::STORED_FRAME_BITS;
use follow::Follower;
use matches::{BLOCK_BYTES, BLOCK_BYTES_MAX, Finder};
use symbols::STORED_MAX;
use tokens::Tokens;

pub use repeats::{Repeat, Repeats};
pub use symbols::DISTANCE_MAX;

/// The header of a gzip file: deflate, no flags, no time, no extra flags, operating system unknown (RFC 1952, section 2.3).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty stored block, which is the final one.
const FINAL_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Bytes of a gzip file's checksum and length.
const GZIP_TRAILER_LEN: usize = 8;

/// Compresses bytes. It keeps only memory: the same bytes give the same output, whatever it compressed before.
#[derive(Debug, Default)]
pub struct Encoder {
    finder: Finder,
    tokens: Tokens,
}

impl Encoder {
    /// Appends deflate blocks that hold these bytes.
    ///
    /// None of them is the final one, they refer to nothing before themselves, and they end with a sync flush: an empty
    /// stored block, at the end of a byte. They have at most [`blocks_len_max`] bytes.
    pub fn append_blocks(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        self.search(out, bytes, DISTANCE_MAX);
    }

    /// The same without a search: `repeats` say where bytes repeat earlier ones. A wrong one costs size and changes no byte
    /// of what is inflated.
    pub fn append_blocks_with(&mut self, out: &mut Vec<u8>, bytes: &[u8], repeats: &Repeats) {
        let mut follower = Follower::new(repeats.iter());
        append_all(out, bytes, &mut self.tokens, |from, tokens| follower.follow(bytes, from, tokens));
    }

    fn search(&mut self, out: &mut Vec<u8>, bytes: &[u8], distance_max: usize) {
        self.finder.begin(bytes.len(), distance_max);
        let Self { finder, tokens } = self;
        append_all(out, bytes, tokens, |from, tokens| finder.find(bytes, from, tokens));
    }

    /// The repeats in the bytes that were searched last.
    pub fn repeats(&self) -> &Repeats {
        self.finder.repeats()
    }

    /// Appends a gzip file of one member that holds these bytes. It has at most [`gzip_len_max`] bytes.
    ///
    /// Matches go back at most `distance_max` bytes, and never more than [`DISTANCE_MAX`]. With a smaller one the
    /// [repeats](Self::repeats) also serve a longer text with the same pieces, where each repeat is farther back.
    pub fn append_gzip(&mut self, out: &mut Vec<u8>, bytes: &[u8], distance_max: usize) {
        out.extend_from_slice(&GZIP_HEADER);
        self.search(out, bytes, distance_max.min(DISTANCE_MAX));
        out.extend_from_slice(&FINAL_BLOCK);
        out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        // RFC 1952 says "modulo 2^32".
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    }
}

/// Appends blocks. `find` puts the tokens of the block that begins at a position, and returns where that block ends.
#[inline(always)]
fn append_all(out: &mut Vec<u8>, bytes: &[u8], tokens: &mut Tokens, mut find: impl FnMut(usize, &mut Tokens) -> usize) {
    let mut bits = Bits::after(out);
    let mut from = 0;
    while from < bytes.len() {
        tokens.clear();
        let to = find(from, tokens);
        block::append(&mut bits, tokens, &bytes[from..to]);
        from = to;
    }
    block::append_sync_flush(&mut bits);
}

/// The most bytes that [`Encoder::append_blocks`] appends for so many bytes: those that stored blocks take, and the flush.
pub const fn blocks_len_max(len: usize) -> usize {
    let stored_blocks = BLOCK_BYTES_MAX.div_ceil(STORED_MAX) * (len / BLOCK_BYTES + 1);
    len + (stored_blocks + 1) * (STORED_FRAME_BITS as usize).div_ceil(8)
}

/// The most bytes that [`Encoder::append_gzip`] appends for so many bytes.
pub const fn gzip_len_max(len: usize) -> usize {
    GZIP_HEADER.len() + blocks_len_max(len) + FINAL_BLOCK.len() + GZIP_TRAILER_LEN
}
