//! Repeats: where bytes are those that came some distance before.

use crate::symbols::DISTANCE_MAX;

/// The bytes from `at` on are the same as those `distance` bytes earlier. The encoder finds out how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The position in the input.
    pub at: usize,
    /// How far back the same bytes begin.
    pub distance: usize,
}

/// The repeats of an input, in order, in four bytes each.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    /// In the lower 16 bits the step from the repeat before, in the upper ones the distance. An entry with distance 0 is no
    /// repeat. It only moves the position, where 16 bits are too few.
    entries: Vec<u32>,
    last_at: usize,
    input_len: usize,
}

const STEP_BITS: u32 = 16;
const STEP_MAX: usize = (1 << STEP_BITS) - 1;

impl Repeats {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.begin(0);
    }

    /// Adds a repeat. Positions never decrease. One that is too far back for deflate is left out.
    #[inline(always)]
    pub fn push(&mut self, Repeat { at, distance }: Repeat) {
        debug_assert!(at >= self.last_at, "repeats come in order");
        if distance > DISTANCE_MAX {
            return;
        }
        let mut step = at.saturating_sub(self.last_at);
        self.last_at += step;
        while step > STEP_MAX {
            self.entries.push(STEP_MAX as u32);
            step -= STEP_MAX;
        }
        self.entries.push(step as u32 | (distance as u32) << STEP_BITS);
    }

    /// The length of the input that was searched.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// The repeats, in order.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = Repeat> {
        let mut at = 0;
        let all = self.entries.iter().map(move |entry| {
            at += *entry as usize & STEP_MAX;
            Repeat { at, distance: (entry >> STEP_BITS) as usize }
        });
        all.filter(|repeat| repeat.distance > 0)
    }

    pub(crate) fn begin(&mut self, input_len: usize) {
        self.entries.clear();
        (self.last_at, self.input_len) = (0, input_len);
    }
}
