//! The codes of a block, and how a dynamic block describes them (RFC 1951, sections 3.2.6 and 3.2.7).

use crate::bits::Room;
use crate::huffman;
use crate::symbols::{
    DISTANCES, END_OF_BLOCK, FIRST_LENGTH, LITERALS_AND_LENGTHS, distance_extra_bits, length_extra_bits,
};

/// The longest codes that are made. Deflate allows 15 bits. With these a token and its extra bits fit between two flushes.
const CODE_BITS_MAX: usize = 13;

/// How often a block has each symbol.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) literals_and_lengths: [u32; LITERALS_AND_LENGTHS],
    pub(crate) distances: [u32; DISTANCES],
}

impl Counts {
    /// The bits of a block's tokens with these codes, and of its end.
    pub(crate) fn bits(&self, lengths: &CodeLengths) -> u64 {
        let literals_and_lengths =
            sum(&self.literals_and_lengths, |symbol| lengths.literals_and_lengths[symbol] + length_extra_bits(symbol));
        literals_and_lengths + sum(&self.distances, |symbol| lengths.distances[symbol] + distance_extra_bits(symbol))
    }
}

fn sum(counts: &[u32], bits: impl Fn(usize) -> u8) -> u64 {
    counts.iter().enumerate().map(|(symbol, count)| u64::from(*count) * u64::from(bits(symbol))).sum()
}

/// The lengths of all codes of a block, from which the codes follow.
#[derive(Debug)]
pub(crate) struct CodeLengths {
    pub(crate) literals_and_lengths: [u8; LITERALS_AND_LENGTHS],
    pub(crate) distances: [u8; DISTANCES],
}

impl CodeLengths {
    /// The codes of a fixed block.
    pub(crate) const FIXED: Self = {
        let mut literals_and_lengths = [8; LITERALS_AND_LENGTHS];
        let mut symbol = 144;
        while symbol < 280 {
            literals_and_lengths[symbol] = if symbol < END_OF_BLOCK { 9 } else { 7 };
            symbol += 1;
        }
        Self { literals_and_lengths, distances: [5; DISTANCES] }
    };

    /// The best codes for a block with these counts.
    pub(crate) fn best(counts: &Counts) -> Self {
        Self {
            literals_and_lengths: huffman::lengths(&counts.literals_and_lengths, CODE_BITS_MAX),
            distances: huffman::lengths(&counts.distances, CODE_BITS_MAX),
        }
    }
}

/// The symbols that describe code lengths: a length, or a run.
const DESCRIBING: usize = 19;
const REPEAT: u8 = 16;
const ZEROES: u8 = 17;
const MANY_ZEROES: u8 = 18;
/// Their own codes have at most so many bits.
const DESCRIBING_BITS_MAX: usize = 7;
/// The order in which the lengths of their own codes stand.
const DESCRIBING_ORDER: [usize; DESCRIBING] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The beginning of a dynamic block.
#[derive(Debug)]
pub(crate) struct Description {
    literals_and_lengths: usize,
    distances: usize,
    /// Symbols, each with the value of its extra bits.
    runs: Vec<(u8, u8)>,
    /// The lengths of the symbols' own codes, and how many of them are written.
    lengths: [u8; DESCRIBING],
    written: usize,
}

impl Description {
    pub(crate) fn of(lengths: &CodeLengths) -> Self {
        let literals_and_lengths = used(&lengths.literals_and_lengths).max(FIRST_LENGTH);
        let distances = used(&lengths.distances).max(1);
        let mut described = Vec::with_capacity(LITERALS_AND_LENGTHS + DISTANCES);
        described.extend_from_slice(&lengths.literals_and_lengths[..literals_and_lengths]);
        described.extend_from_slice(&lengths.distances[..distances]);
        let runs = runs(&described);
        let mut counts = [0; DESCRIBING];
        for (symbol, _) in &runs {
            counts[usize::from(*symbol)] += 1;
        }
        let lengths = huffman::lengths(&counts, DESCRIBING_BITS_MAX);
        let written = used(&DESCRIBING_ORDER.map(|symbol| lengths[symbol])).max(4);
        Self { literals_and_lengths, distances, runs, lengths, written }
    }

    /// How many bits it takes.
    pub(crate) fn bits(&self) -> u64 {
        let runs = self
            .runs
            .iter()
            .map(|(symbol, _)| u64::from(self.lengths[usize::from(*symbol)]) + u64::from(run_extra_bits(*symbol)));
        5 + 5 + 4 + 3 * self.written as u64 + runs.sum::<u64>()
    }

    pub(crate) fn put(&self, room: &mut Room<'_>) {
        room.put((self.literals_and_lengths - FIRST_LENGTH) as u64, 5);
        room.put((self.distances - 1) as u64, 5);
        room.put((self.written - 4) as u64, 4);
        room.flush();
        for symbol in &DESCRIBING_ORDER[..self.written] {
            room.put(self.lengths[*symbol].into(), 3);
            room.flush();
        }
        let codes = huffman::codes(&self.lengths);
        for (symbol, extra) in &self.runs {
            let index = usize::from(*symbol);
            room.put(codes[index].into(), self.lengths[index].into());
            room.put((*extra).into(), run_extra_bits(*symbol));
            room.flush();
        }
    }
}

/// How many symbols there are up to the last one with a code.
fn used(lengths: &[u8]) -> usize {
    lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1)
}

fn run_extra_bits(symbol: u8) -> u32 {
    match symbol {
        REPEAT => 2,
        ZEROES => 3,
        MANY_ZEROES => 7,
        _ => 0,
    }
}

/// Lengths as symbols that describe them: equal ones become runs.
fn runs(lengths: &[u8]) -> Vec<(u8, u8)> {
    let mut runs = Vec::with_capacity(lengths.len());
    for equal in lengths.chunk_by(|left, right| left == right) {
        let (length, mut left) = (equal[0], equal.len());
        if length > 0 {
            runs.push((length, 0));
            left -= 1;
        }
        while left >= 3 {
            let (symbol, least, most) = match length {
                0 if left > 10 => (MANY_ZEROES, 11, 138),
                0 => (ZEROES, 3, 10),
                _ => (REPEAT, 3, 6),
            };
            let taken = left.min(most);
            runs.push((symbol, (taken - least) as u8));
            left -= taken;
        }
        runs.extend(std::iter::repeat_n((length, 0), left));
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_become_runs_as_long_as_deflate_has_them() {
        let check = |lengths: &[(u8, usize)], expected: &[(u8, u8)]| {
            let lengths: Vec<u8> =
                lengths.iter().flat_map(|(length, count)| std::iter::repeat_n(*length, *count)).collect();
            assert_eq!(runs(&lengths), expected);
        };
        check(&[(0, 2), (5, 3)], &[(0, 0), (0, 0), (5, 0), (5, 0), (5, 0)]);
        check(&[(0, 3), (5, 4)], &[(ZEROES, 0), (5, 0), (REPEAT, 0)]);
        check(&[(0, 10), (5, 8)], &[(ZEROES, 7), (5, 0), (REPEAT, 3), (5, 0)]);
        check(&[(0, 11)], &[(MANY_ZEROES, 0)]);
        check(&[(0, 138)], &[(MANY_ZEROES, 127)]);
        check(&[(0, 140)], &[(MANY_ZEROES, 127), (0, 0), (0, 0)]);
    }
}
