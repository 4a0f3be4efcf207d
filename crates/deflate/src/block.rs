//! Blocks: the shortest of the three forms of RFC 1951, section 3.2.3.

use crate::bits::{Bits, Room};
use crate::codes::{CodeLengths, Description};
use crate::huffman;
use crate::symbols::{END_OF_BLOCK, LENGTH_SYMBOLS, STORED_MAX, distance_extra_bits, length_extra_bits};
use crate::tokens::{FIRST_LENGTHS, HALVES, SECOND_LITERALS, Token, Tokens};

/// The bits before each block: it is not the final one, and its form.
const FORM_BITS: u32 = 3;
const STORED: u64 = 0b000;
const FIXED: u64 = 0b010;
const DYNAMIC: u64 = 0b100;

/// The most bits of a stored block beside its bytes: its form, up to the next byte, the length twice.
pub(crate) const STORED_FRAME_BITS: u64 = FORM_BITS as u64 + 7 + 32;

/// Appends a block of these tokens, which stand for these bytes.
pub(crate) fn append(bits: &mut Bits<'_>, tokens: &Tokens, bytes: &[u8]) {
    let counts = tokens.counts();
    let best = CodeLengths::best(&counts);
    let description = Description::of(&best);
    let dynamic_bits = description.bits() + counts.bits(&best);
    let fixed_bits = counts.bits(&CodeLengths::FIXED);
    let stored_bits = STORED_FRAME_BITS * bytes.len().div_ceil(STORED_MAX) as u64 + 8 * bytes.len() as u64;
    if stored_bits <= dynamic_bits.min(fixed_bits) {
        append_stored(bits, bytes);
    } else if fixed_bits <= dynamic_bits {
        bits.append(fixed_bits, |room| {
            room.put(FIXED, FORM_BITS);
            TokenCodes::of(&CodeLengths::FIXED).put(room, tokens.list());
        });
    } else {
        bits.append(dynamic_bits, |room| {
            room.put(DYNAMIC, FORM_BITS);
            description.put(room);
            TokenCodes::of(&best).put(room, tokens.list());
        });
    }
}

/// Appends stored blocks: one for each 65,535 bytes.
fn append_stored(bits: &mut Bits<'_>, bytes: &[u8]) {
    for piece in bytes.chunks(STORED_MAX) {
        append_stored_piece(bits, piece);
    }
}

/// Appends an empty stored block, after which the next bit is the first one of a byte.
pub(crate) fn append_sync_flush(bits: &mut Bits<'_>) {
    append_stored_piece(bits, &[]);
}

fn append_stored_piece(bits: &mut Bits<'_>, piece: &[u8]) {
    let len = u16::try_from(piece.len()).expect("a piece is no longer than a stored block");
    bits.append(FORM_BITS.into(), |room| room.put(STORED, FORM_BITS));
    bits.append_bytes(&[&len.to_le_bytes(), &(!len).to_le_bytes(), piece]);
}

/// The code of a half of a token.
#[derive(Clone, Copy, Debug, Default)]
struct HalfCode {
    /// The code. A length's extra bits are in it.
    bits: u32,
    /// How many bits these are. The extra bits of a distance begin here.
    code_bits: u8,
    /// The same with the extra bits of a distance.
    all_bits: u8,
}

/// The codes of all halves of tokens.
struct TokenCodes {
    firsts: [HalfCode; HALVES],
    seconds: [HalfCode; HALVES],
    end: HalfCode,
}

impl TokenCodes {
    fn of(lengths: &CodeLengths) -> Self {
        let codes = huffman::codes(&lengths.literals_and_lengths);
        let plain = |symbol: usize| {
            let code_bits = lengths.literals_and_lengths[symbol];
            HalfCode { bits: codes[symbol].into(), code_bits, all_bits: code_bits }
        };
        let mut all =
            Self { firsts: [HalfCode::default(); _], seconds: [HalfCode::default(); _], end: plain(END_OF_BLOCK) };
        for literal in 0..256 {
            all.firsts[literal] = plain(literal);
            all.seconds[SECOND_LITERALS + literal] = plain(literal);
        }
        for (half, length) in all.firsts[FIRST_LENGTHS..].iter_mut().zip(&LENGTH_SYMBOLS) {
            let code = plain(length.symbol);
            let all_bits = code.code_bits + length_extra_bits(length.symbol);
            *half = HalfCode { bits: code.bits | length.extra << code.code_bits, code_bits: all_bits, all_bits };
        }
        let codes = huffman::codes(&lengths.distances).into_iter().zip(lengths.distances);
        for (symbol, (code, code_bits)) in codes.enumerate() {
            let all_bits = code_bits + distance_extra_bits(symbol);
            all.seconds[symbol] = HalfCode { bits: code.into(), code_bits, all_bits };
        }
        all
    }

    fn put(&self, room: &mut Room<'_>, tokens: &[Token]) {
        room.flush();
        for token in tokens {
            let first = self.firsts[token.first()];
            room.put(first.bits.into(), first.all_bits.into());
            let second = self.seconds[token.second()];
            room.put(u64::from(second.bits) | u64::from(token.extra()) << second.code_bits, second.all_bits.into());
            room.flush();
        }
        room.put(self.end.bits.into(), self.end.all_bits.into());
    }
}
