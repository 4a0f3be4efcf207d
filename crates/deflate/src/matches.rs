//! Finds matches: bytes that repeat earlier ones.

use crate::repeats::{Repeat, Repeats};
use crate::symbols::LENGTH_MAX;
use crate::tokens::Tokens;

/// Bytes of input after which a block ends, at the next token. More would follow changes in the data less well, fewer would
/// repeat the table of codes more often.
pub(crate) const BLOCK_BYTES: usize = 128_000;
/// No block is longer: its last token begins before it is full.
pub(crate) const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + LENGTH_MAX;

/// The shortest match that is taken. In calls a shorter one is mostly chance, such as digits of an id, and literals with
/// short codes take less than its distance.
const MATCH_MIN: usize = 6;

/// The places of keys: 128 KB, which stay in the second cache. Half as many are a little faster and have 1.5 % more output.
const PLACES_MAX: usize = 1 << 14;
const PLACES_MIN: usize = 1 << 8;

/// The six bytes at a position, above 16 bits that are free for the position.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64);

impl Key {
    /// The key of the first six bytes of a word.
    #[inline(always)]
    fn of(word: u64) -> Self {
        Self(word << 16)
    }

    /// Knuth's multiplicative hash: 2^64 divided by the golden ratio.
    #[inline(always)]
    fn hash(self) -> u64 {
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// A key and the lower 16 bits of its position.
///
/// It has the bytes themselves, so that a miss, which is by far the most frequent case, reads nothing else.
#[derive(Clone, Copy, Debug, Default)]
struct Place(u64);

impl Place {
    #[inline(always)]
    fn new(key: Key, at: usize) -> Self {
        Self(key.0 | (at & 0xffff) as u64)
    }

    #[inline(always)]
    fn has(self, key: Key) -> bool {
        (self.0 ^ key.0) >> 16 == 0
    }

    /// How far back from `at` it is, if it is younger than 2^16 bytes. For an older place the result is wrong;
    /// [`match_at`] compares the bytes there.
    #[inline(always)]
    fn distance(self, at: usize) -> usize {
        (at.wrapping_sub(self.0 as usize)) & 0xffff
    }
}

/// The latest place of each hash.
#[derive(Debug)]
struct Places {
    places: Box<[Place; PLACES_MAX]>,
    /// Of a hash's 64 bits, those that are not used.
    shift: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self { places: Box::new([Place::default(); PLACES_MAX]), shift: 0 }
    }
}

impl Places {
    /// Forgets all places. Short input uses few, so that it costs little.
    fn clear(&mut self, input_len: usize) {
        let used = input_len.next_power_of_two().clamp(PLACES_MIN, PLACES_MAX);
        self.places[..used].fill(Place::default());
        self.shift = u64::BITS - used.ilog2();
    }

    /// Puts the key's place, and returns the place before it with the same hash.
    #[inline(always)]
    fn replace(&mut self, key: Key, at: usize) -> Place {
        let index = (key.hash() >> self.shift) as usize % PLACES_MAX;
        std::mem::replace(&mut self.places[index], Place::new(key, at))
    }
}

/// Makes tokens of bytes. It looks at each position once, and takes the latest match at the first position that has one.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    places: Places,
    repeats: Repeats,
    distance_max: usize,
}

impl Finder {
    /// Begins new input, of which nothing has been seen. Matches refer back at most so far.
    pub(crate) fn begin(&mut self, input_len: usize, distance_max: usize) {
        self.distance_max = distance_max;
        self.places.clear(input_len);
        self.repeats.begin(input_len);
    }

    /// The matches that were found so far.
    pub(crate) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    /// Puts the tokens of a block that begins at `from`, and returns where it ends.
    ///
    /// Positions inside a match are left out: a match of a later record begins where this one begins.
    pub(crate) fn find(&mut self, bytes: &[u8], from: usize, tokens: &mut Tokens) -> usize {
        let end = bytes.len().min(from + BLOCK_BYTES);
        let distance_max = self.distance_max;
        let mut at = from;
        while at + 1 < end
            && let Some(word) = word_at(bytes, at)
        {
            let (key, next_key) = (Key::of(word), Key::of(word >> 8));
            let place = self.places.replace(key, at);
            let next_place = self.places.replace(next_key, at + 1);
            let [first, second, ..] = word.to_le_bytes();
            let (distance, next_distance) = (place.distance(at), next_place.distance(at + 1));
            if place.has(key)
                && let Some(length) = match_at(bytes, at, distance, distance_max)
            {
                tokens.push_match(length, distance);
                self.repeats.push(Repeat { at, distance });
                at += length;
            } else if next_place.has(next_key)
                && let Some(length) = match_at(bytes, at + 1, next_distance, distance_max)
            {
                tokens.push_literal(first);
                tokens.push_match(length, next_distance);
                self.repeats.push(Repeat { at: at + 1, distance: next_distance });
                at += 1 + length;
            } else {
                tokens.push_pair(first, second);
                at += 2;
            }
        }
        tokens.push_literals(bytes.get(at..end).unwrap_or_default());
        at.max(end)
    }
}

/// The eight bytes from `at` on, if there are so many.
#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The length of the match between `at` and `distance` bytes before, if there is one. The distance may be 0, or larger than
/// `at`.
#[inline(always)]
pub(crate) fn match_at(bytes: &[u8], at: usize, distance: usize, distance_max: usize) -> Option<usize> {
    if distance == 0 || distance > at.min(distance_max) {
        return None;
    }
    let length_max = LENGTH_MAX.min(bytes.len() - at);
    let length = common_prefix(&bytes[at..][..length_max], &bytes[at - distance..][..length_max]);
    (length >= MATCH_MIN).then_some(length)
}

/// How many bytes two slices of one length have in common at the beginning.
#[inline(always)]
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    let (left_words, left_rest) = left.as_chunks::<16>();
    let (right_words, right_rest) = right.as_chunks::<16>();
    for (index, (left, right)) in left_words.iter().zip(right_words).enumerate() {
        let difference = u128::from_le_bytes(*left) ^ u128::from_le_bytes(*right);
        if difference != 0 {
            return 16 * index + difference.trailing_zeros() as usize / 8;
        }
    }
    16 * left_words.len() + left_rest.iter().zip(right_rest).take_while(|(left, right)| left == right).count()
}
