//! The only source of randomness of the functions. A seed repeats a run, so stories draw their chances here too.

use protocol::id::Nonce;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where nonces and jitter come from. Clones share the source.
#[derive(Clone)]
pub struct Dice {
    nonces: Arc<dyn Fn() -> Nonce + Send + Sync>,
    numbers: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Dice {
    /// The operating system's randomness.
    ///
    /// Drawing a nonce panics without randomness, because no write would be safe.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::expect_used, reason = "there is no sensible way on without randomness")]
        let nonce = || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
            Nonce::new(bytes)
        };
        // Without randomness the longest wait is as good a wait as any.
        let number = || {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).map_or(u64::MAX, |()| u64::from_le_bytes(bytes))
        };
        Self { nonces: Arc::new(nonce), numbers: Arc::new(number) }
    }

    /// The same sequence for the same seed. No nonce comes twice.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let (nonces, numbers) = (sequence(seed), sequence(!seed));
        let nonce = move || {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&seed.to_be_bytes());
            bytes[8..].copy_from_slice(&nonces().to_be_bytes());
            Nonce::new(bytes)
        };
        Self { nonces: Arc::new(nonce), numbers: Arc::new(numbers) }
    }

    /// The same jitter with nonces from elsewhere; no nonce may come twice.
    #[must_use]
    pub fn with_nonces(self, nonces: impl Fn() -> Nonce + Send + Sync + 'static) -> Self {
        Self { nonces: Arc::new(nonces), ..self }
    }

    /// A number that was never drawn before.
    #[must_use]
    pub fn nonce(&self) -> Nonce {
        (self.nonces)()
    }

    /// Any number.
    #[must_use]
    pub fn number(&self) -> u64 {
        (self.numbers)()
    }

    /// One of `0..sides`; 0 if there are no sides.
    #[must_use]
    pub fn below(&self, sides: u64) -> u64 {
        self.number() % sides.max(1)
    }

    /// A random wait of at most `limit_ms`, for full-jitter backoff.
    #[must_use]
    pub fn jitter_ms(&self, limit_ms: u64) -> u64 {
        match limit_ms {
            u64::MAX => self.number(),
            limit_ms => self.below(limit_ms + 1),
        }
    }
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dice")
    }
}

/// SplitMix64 from `seed` on: within 2^64 numbers none comes twice.
fn sequence(seed: u64) -> impl Fn() -> u64 + Send + Sync {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let at = AtomicU64::new(seed.wrapping_add(STEP));
    move || {
        let mut mixed = at.fetch_add(STEP, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_repeats_its_nonces_and_its_jitter() {
        let drawn = |seed| {
            let dice = Dice::seeded(seed);
            (0..50).map(|_| (dice.nonce(), dice.jitter_ms(1_000))).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn no_nonce_comes_twice() {
        for dice in [Dice::seeded(0), Dice::system()] {
            let drawn: BTreeSet<_> = (0..1_000).map(|_| dice.clone().nonce()).collect();
            assert_eq!(drawn.len(), 1_000);
        }
    }

    #[test]
    fn jitter_keeps_its_limit_and_uses_all_of_it() {
        for dice in [Dice::seeded(1), Dice::system()] {
            let drawn: BTreeSet<_> = (0..1_000).map(|_| dice.jitter_ms(3)).collect();
            assert_eq!(drawn, BTreeSet::from([0, 1, 2, 3]));
            assert_eq!(dice.jitter_ms(0), 0);
        }
    }
}
