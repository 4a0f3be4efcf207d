//! Tokens: what a block says, before it has a code.

use crate::codes::Counts;
use crate::symbols::{DISTANCES, END_OF_BLOCK, LENGTH_MIN, LENGTH_SYMBOLS, LITERALS_AND_LENGTHS, distance_symbol};

/// How many values each half of a token can have.
pub(crate) const HALVES: usize = 512;
const HALF_BITS: u32 = 9;

/// The first half of a match says its length. Literals have the values below.
pub(crate) const FIRST_LENGTHS: usize = 256;
/// The second half of a pair of literals says the second one. Distances have the values below.
pub(crate) const SECOND_LITERALS: usize = 256;
/// The second half of a single literal.
pub(crate) const SECOND_NOTHING: usize = DISTANCES;

/// Two literals, one literal, or a match, in 31 bits.
///
/// All three have two halves, and a table has the code of each half. So a token is written without asking what it is: a
/// processor would often guess wrong. A match has the extra bits of its distance in addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u32);

impl Token {
    #[inline(always)]
    fn new(first: usize, second: usize, extra: u32) -> Self {
        Self(first as u32 | (second as u32) << HALF_BITS | extra << (2 * HALF_BITS))
    }

    /// The literal or the length.
    #[inline(always)]
    pub(crate) fn first(self) -> usize {
        self.0 as usize % HALVES
    }

    /// The second literal, the distance's symbol, or nothing.
    #[inline(always)]
    pub(crate) fn second(self) -> usize {
        (self.0 >> HALF_BITS) as usize % HALVES
    }

    /// The value of the distance's extra bits.
    #[inline(always)]
    pub(crate) fn extra(self) -> u32 {
        self.0 >> (2 * HALF_BITS)
    }
}

/// The tokens of one block, and how often each half occurs.
#[derive(Debug)]
pub(crate) struct Tokens {
    list: Vec<Token>,
    firsts: [u32; HALVES],
    seconds: [u32; HALVES],
}

impl Default for Tokens {
    fn default() -> Self {
        Self { list: Vec::new(), firsts: [0; HALVES], seconds: [0; HALVES] }
    }
}

impl Tokens {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.firsts.fill(0);
        self.seconds.fill(0);
    }

    #[inline(always)]
    pub(crate) fn push_pair(&mut self, first: u8, second: u8) {
        self.push(first.into(), SECOND_LITERALS + usize::from(second), 0);
    }

    #[inline(always)]
    pub(crate) fn push_literal(&mut self, literal: u8) {
        self.push(literal.into(), SECOND_NOTHING, 0);
    }

    /// Pushes any number of literals.
    #[inline(always)]
    pub(crate) fn push_literals(&mut self, literals: &[u8]) {
        let (pairs, rest) = literals.as_chunks();
        for [first, second] in pairs {
            self.push_pair(*first, *second);
        }
        for literal in rest {
            self.push_literal(*literal);
        }
    }

    #[inline(always)]
    pub(crate) fn push_match(&mut self, length: usize, distance: usize) {
        let (symbol, extra) = distance_symbol(distance);
        self.push(FIRST_LENGTHS + length - LENGTH_MIN, symbol, extra);
    }

    #[inline(always)]
    fn push(&mut self, first: usize, second: usize, extra: u32) {
        let token = Token::new(first, second, extra);
        self.firsts[token.first()] += 1;
        self.seconds[token.second()] += 1;
        self.list.push(token);
    }

    /// The tokens in order.
    pub(crate) fn list(&self) -> &[Token] {
        &self.list
    }

    /// How often the block has each symbol. It ends once.
    pub(crate) fn counts(&self) -> Counts {
        let (mut literals_and_lengths, mut distances) = ([0; LITERALS_AND_LENGTHS], [0; DISTANCES]);
        let (literals, lengths) = self.firsts.split_at(FIRST_LENGTHS);
        let seconds = &self.seconds[SECOND_LITERALS..];
        for ((count, first), second) in literals_and_lengths.iter_mut().zip(literals).zip(seconds) {
            *count = first + second;
        }
        for (length, count) in LENGTH_SYMBOLS.iter().zip(lengths) {
            literals_and_lengths[length.symbol] += count;
        }
        literals_and_lengths[END_OF_BLOCK] = 1;
        distances.copy_from_slice(&self.seconds[..DISTANCES]);
        Counts { literals_and_lengths, distances }
    }
}
