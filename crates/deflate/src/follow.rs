//! Follows repeats: finds matches without a search.

use crate::matches::{BLOCK_BYTES, match_at};
use crate::repeats::Repeat;
use crate::symbols::{DISTANCE_MAX, LENGTH_MAX};
use crate::tokens::Tokens;

/// Makes tokens of bytes whose repeats are given, without a search.
///
/// A match is as long as the bytes are the same. So a wrong repeat costs size and changes no byte.
pub(crate) struct Follower<I> {
    repeats: I,
    next: Option<Repeat>,
}

impl<I: Iterator<Item = Repeat>> Follower<I> {
    pub(crate) fn new(mut repeats: I) -> Self {
        let next = repeats.next();
        Self { repeats, next }
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
            // The match before may reach beyond its position. Then it is tried where that match ends.
            let length = match_at(bytes, at, repeat.distance, DISTANCE_MAX);
            if let Some(length) = length {
                tokens.push_match(length, repeat.distance);
                at += length;
            }
            // A match of the greatest length goes on in another one.
            if length != Some(LENGTH_MAX) {
                self.next = self.repeats.next();
            }
        }
        tokens.push_literals(bytes.get(at..end).unwrap_or_default());
        at.max(end)
    }
}
