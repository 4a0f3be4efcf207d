//! Chance that repeats: a seed gives the same throws, so that what failed can be done again.

/// `SEED=…`: the one seed that is to be thrown again.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn only_seed() -> Option<u64> {
    std::env::var("SEED").ok().map(|seed| seed.parse().unwrap())
}

/// Splitmix64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.throw() % sides.max(1)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
