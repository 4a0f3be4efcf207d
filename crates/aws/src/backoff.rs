//! How long to wait between two tries, and how often to try.

use crate::dice::Dice;
use std::time::Duration;

/// Exponential backoff with full jitter: a limit doubles with each try, and the wait is a random share of it.
///
/// Full jitter spreads the requests of many clients best (AWS Architecture Blog, "Exponential Backoff And Jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The limit of the wait after the first try.
    pub base_ms: u64,
    /// The limit of every wait.
    pub limit_ms_max: u64,
    /// Tries, the first included.
    pub attempts_max: u32,
}

/// For a request to S3, STS or SQS, and for a compare-and-swap.
pub const REQUESTS: Backoff = Backoff { base_ms: 100, limit_ms_max: 5_000, attempts_max: 6 };

impl Backoff {
    /// The limit of the wait after try `attempt`, which counts from 1.
    #[must_use]
    pub fn limit_ms(&self, attempt: u32) -> u64 {
        let factor = 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
        self.base_ms.saturating_mul(factor).min(self.limit_ms_max)
    }

    /// The wait after try `attempt`, which counts from 1; `None` if that was the last.
    #[must_use]
    pub fn wait(&self, attempt: u32, dice: &Dice) -> Option<Duration> {
        (attempt < self.attempts_max).then(|| Duration::from_millis(dice.jitter_ms(self.limit_ms(attempt))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_double_up_to_the_largest() {
        for (attempt, limit_ms) in [(1, 100), (2, 200), (5, 1_600), (6, 3_200), (7, 5_000), (64, 5_000), (500, 5_000)] {
            assert_eq!(REQUESTS.limit_ms(attempt), limit_ms, "{attempt}");
        }
    }

    #[test]
    fn waits_keep_their_limits_and_end_with_the_last_try() {
        let dice = Dice::seeded(1);
        for attempt in 1..REQUESTS.attempts_max {
            let waits = || REQUESTS.wait(attempt, &dice).unwrap();
            let limit = Duration::from_millis(REQUESTS.limit_ms(attempt));
            let longest = (0..100).map(|_| waits()).max().unwrap();
            assert!(longest <= limit && longest > limit / 2, "{longest:?} of {limit:?}");
        }
        assert_eq!(REQUESTS.wait(REQUESTS.attempts_max, &dice), None);
    }
}
