//! Chance that repeats, and names that do not.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

/// A number in `0.0..1.0` that depends only on `seed` and `what`. So a schedule of faults does not depend on the order
/// of concurrent requests.
pub(crate) fn roll(seed: u64, what: impl Hash) -> f64 {
    // A float has 53 bits of precision.
    (mix(seed, what) >> 11) as f64 / (1_u64 << 53) as f64
}

/// One of `0..sides`, on the same terms.
pub(crate) fn pick(seed: u64, what: impl Hash, sides: usize) -> usize {
    let sides = u64::try_from(sides.max(1)).unwrap_or(u64::MAX);
    usize::try_from(mix(seed, what) % sides).unwrap_or(0)
}

fn mix(seed: u64, what: impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    what.hash(&mut hasher);
    // FNV alone leaves the high bits of short inputs poor; splitmix64 spreads them.
    let mut z = hasher.finish().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a. The standard library's hashers may change between releases; schedules should not.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// `bytes` random bytes in hex.
pub(crate) fn token(bytes: usize) -> String {
    hex::encode(random(bytes))
}

/// `len` random characters of the alphabet that AWS writes key ids in.
pub(crate) fn base32(len: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    random(len).into_iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// A version 4 UUID.
pub(crate) fn uuid() -> String {
    let hex = token(16);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

thread_local! {
    /// The state of chance that repeats, where this thread wants that.
    static REPEATING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// While it lives, randomness on this thread repeats.
#[cfg(feature = "explorer")]
pub(crate) struct Repeating(());

#[cfg(feature = "explorer")]
impl Repeating {
    pub(crate) fn start() -> Repeating {
        REPEATING.set(Some(0));
        Repeating(())
    }
}

#[cfg(feature = "explorer")]
impl Drop for Repeating {
    fn drop(&mut self) {
        REPEATING.set(None);
    }
}

fn random(bytes: usize) -> Vec<u8> {
    if let Some(drawn) = REPEATING.get() {
        REPEATING.set(Some(drawn + 1));
        return (0..bytes).map(|place| mix(drawn, place).to_le_bytes()[0]).collect();
    }
    let mut buffer = vec![0; bytes];
    // Without a source of randomness nothing here works, and the machine is broken.
    if let Err(error) = getrandom::fill(&mut buffer) {
        panic!("no randomness from the operating system: {error}");
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let rolls = |seed| (0..64).map(|i| pick(seed, ("PutObject", i), 1_000)).collect::<Vec<_>>();
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
    }

    #[test]
    fn a_share_of_requests_is_hit() {
        let hits = (0..10_000).filter(|i| roll(3, ("GetObject", i)) < 0.3).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
    }

    #[test]
    fn a_uuid_has_its_version() {
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
    }
}
