//! Repeats: where bytes are those that came some distance before.

use crate::matches::{BLOCK_BYTES, match_at};
use crate::symbols::{DISTANCE_MAX, LENGTH_MAX};
use crate::tokens::Tokens;

/// From `at` on, bytes are those that came `distance` before. How far is for the encoder to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The position in the input.
    pub at: usize,
    /// How many bytes before it the same bytes begin. More than [`DISTANCE_MAX`](crate::DISTANCE_MAX) is too far.
    pub distance: usize,
}

/// The repeats of an input, in order, in four bytes each.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// In the lower 16 bits the step from the repeat before, in the upper ones the distance. Nothing is 0 bytes before, so
    /// that this is only a step.
    steps: Vec<u32>,
    last_at: usize,
    input_len: usize,
}

const STEP_BITS: u32 = 16;
const STEP_MAX: usize = (1 << STEP_BITS) - 1;

impl Repeats {
    /// Begins with none, and with memory for so many.
    pub fn with_capacity(input_len: usize, count: usize) -> Self {
        Self { steps: Vec::with_capacity(count), last_at: 0, input_len }
    }

    /// Adds one. They come in the order of their positions. One whose distance is too far is left out.
    #[inline(always)]
    pub fn push(&mut self, Repeat { at, distance }: Repeat) {
        debug_assert!(at >= self.last_at, "repeats come in order");
        if distance > DISTANCE_MAX {
            return;
        }
        let mut step = at.saturating_sub(self.last_at);
        while step > STEP_MAX {
            self.steps.push(STEP_MAX as u32);
            step -= STEP_MAX;
        }
        self.steps.push(step as u32 | (distance as u32) << STEP_BITS);
        self.last_at = at;
    }

    /// How many there are at most.
    pub fn count_max(&self) -> usize {
        self.steps.len()
    }

    /// The length of the input.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// The repeats, in order.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = Repeat> {
        let mut at = 0;
        self.steps.iter().map(move |step| {
            at += *step as usize & STEP_MAX;
            Repeat { at, distance: (step >> STEP_BITS) as usize }
        })
    }

    pub(crate) fn begin(&mut self, input_len: usize) {
        self.steps.clear();
        (self.last_at, self.input_len) = (0, input_len);
    }
}

/// Makes tokens of bytes whose repeats are given, without a search.
///
/// Each match is as long as the bytes are the same, so a repeat that is none costs size and changes no byte.
pub(crate) struct Follower<I> {
    repeats: I,
    next: Option<Repeat>,
    /// The distance of the match before.
    distance: usize,
}

impl<I: Iterator<Item = Repeat>> Follower<I> {
    pub(crate) fn new(mut repeats: I) -> Self {
        let next = repeats.next();
        Self { repeats, next, distance: 0 }
    }

    /// Puts the tokens of a block that begins at `from`, and returns where it ends.
    pub(crate) fn follow(&mut self, bytes: &[u8], from: usize, tokens: &mut Tokens) -> usize {
        let end = bytes.len().min(from + BLOCK_BYTES);
        let mut at = from;
        while at < end
            && let Some(repeat) = self.next
        {
            if repeat.at > at {
                let to = repeat.at.min(end);
                tokens.push_literals(&bytes[at..to]);
                at = to;
                continue;
            }
            // The match before has passed it. At the same distance that one found no more.
            let is_over = repeat.at < at && repeat.distance == self.distance;
            let length = if is_over { None } else { match_at(bytes, at, repeat.distance, DISTANCE_MAX) };
            if let Some(length) = length {
                tokens.push_match(length, repeat.distance);
                at += length;
                self.distance = repeat.distance;
            }
            self.next = match length {
                Some(LENGTH_MAX) => Some(Repeat { at, ..repeat }),
                _ => self.repeats.next(),
            };
        }
        tokens.push_literals(bytes.get(at..end).unwrap_or_default());
        at.max(end)
    }
}
