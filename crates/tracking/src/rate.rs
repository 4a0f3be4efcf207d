//! A limit of calls a second.

/// Seconds of the limit that an idle source may save up, for bursts.
const BURST_SECONDS: i64 = 2;

/// Counts down the calls of one source. A request passes whole if anything is left, and pays afterwards.
#[derive(Debug, Clone)]
pub struct Rate {
    calls_per_second: i64,
    /// Thousandths of calls that are left; below zero, what is owed.
    left_milli: i64,
    at_ms: i64,
}

impl Rate {
    /// A full allowance.
    #[must_use]
    pub fn new(calls_per_second: u32, now_ms: i64) -> Rate {
        let calls_per_second = i64::from(calls_per_second.max(1));
        Rate { calls_per_second, left_milli: calls_per_second * BURST_SECONDS * 1_000, at_ms: now_ms }
    }

    /// Takes `calls`.
    ///
    /// # Errors
    /// If nothing is left: the seconds until something is.
    pub fn take(&mut self, calls: usize, now_ms: i64) -> Result<(), u64> {
        let earned = now_ms.saturating_sub(self.at_ms).max(0).saturating_mul(self.calls_per_second);
        let full = self.calls_per_second * BURST_SECONDS * 1_000;
        self.left_milli = self.left_milli.saturating_add(earned).min(full);
        self.at_ms = self.at_ms.max(now_ms);
        if self.left_milli <= 0 {
            let wait_ms = 1 + self.left_milli.unsigned_abs() / self.calls_per_second.unsigned_abs();
            return Err(wait_ms.div_ceil(1_000));
        }
        self.left_milli -= i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(1_000);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_a_longer_one_is_told_when_to_come_again() {
        let mut rate = Rate::new(10, 0);
        assert!((0..20).all(|_| rate.take(1, 0) == Ok(())));
        assert_eq!(rate.take(1, 0), Err(1));
        assert_eq!(rate.take(100, 100), Ok(()), "a batch passes whole");
        assert_eq!(rate.take(1, 100), Err(10));
        assert_eq!(rate.take(1, 10_001), Ok(()));
    }

    proptest! {
        #[test]
        fn no_time_sees_more_than_its_calls_a_burst_and_one_request(
            limit in 1_u32..1_000,
            requests in proptest::collection::vec((1_usize..500, 0_i64..3_000), 1..100),
        ) {
            let (mut rate, mut now_ms, mut taken) = (Rate::new(limit, 0), 0, 0);
            for (calls, later_ms) in requests {
                now_ms += later_ms;
                match rate.take(calls, now_ms) {
                    Ok(()) => taken += calls as i64,
                    Err(seconds) => prop_assert_eq!(rate.take(1, now_ms + seconds as i64 * 1_000).map(|()| now_ms += seconds as i64 * 1_000), Ok(())),
                }
                prop_assert!(taken <= i64::from(limit) * (now_ms / 1_000 + 1 + BURST_SECONDS) + 500);
            }
        }
    }
}
