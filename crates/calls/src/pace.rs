//! How fast calls may leave: a budget of events per second that retries draw from as well.
//!
//! A batch leaves whole, and pays afterwards: the next one waits until what was sent has been earned. So no second sees
//! more than the budget and one batch.

/// Hands out moments to send at.
#[derive(Debug, Clone)]
pub struct Pace {
    events_per_second: u32,
    free_at_us: i64,
}

impl Pace {
    /// A budget; 0 is no limit.
    #[must_use]
    pub fn new(events_per_second: u32) -> Self {
        Self { events_per_second, free_at_us: 0 }
    }

    /// Books `events`; tells how many milliseconds to wait before they may be sent.
    pub fn book(&mut self, events: usize, now_ms: i64) -> u64 {
        if self.events_per_second == 0 {
            return 0;
        }
        let now_us = now_ms * 1_000;
        // Time in which nothing was sent is not saved up.
        let start_us = self.free_at_us.max(now_us);
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.free_at_us = start_us.saturating_add(events.saturating_mul(1_000_000) / i64::from(self.events_per_second));
        u64::try_from(start_us - now_us).unwrap_or(0).div_ceil(1_000)
    }

    /// Gives back what was booked last and not sent.
    pub fn unbook(&mut self, events: usize) {
        if self.events_per_second > 0 {
            let events = i64::try_from(events).unwrap_or(i64::MAX);
            self.free_at_us -= events.saturating_mul(1_000_000) / i64::from(self.events_per_second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any senders, any sizes, retries or not: they all book here.
        #[test]
        fn no_second_sees_more_than_the_budget_and_one_batch(
            budget in 1_u32..5_000,
            batches in proptest::collection::vec((1_usize..2_500, 0_i64..2_000), 1..200),
        ) {
            let (mut pace, mut now_ms, mut sent) = (Pace::new(budget), 1_000_000_i64, Vec::new());
            for (events, later_ms) in batches {
                now_ms += later_ms;
                let wait_ms = i64::try_from(pace.book(events, now_ms)).unwrap();
                sent.push((now_ms + wait_ms, events));
            }
            sent.sort_unstable();
            for (at, (start_ms, _)) in sent.iter().enumerate() {
                let second = sent[at..].iter().take_while(|(ms, _)| *ms < start_ms + 1_000);
                let (count, largest) = second.fold((0, 0), |(sum, max), (_, events)| (sum + events, max.max(*events)));
                // Moments are whole milliseconds: one may fall a little before the budget was quite earned.
                let slack = budget as usize / 1_000 + 1;
                prop_assert!(count <= budget as usize + largest + slack, "{count} in a second at {budget}");
            }
        }

        #[test]
        fn the_budget_is_used_up(budget in 1_u32..5_000, events in 1_usize..2_500) {
            let mut pace = Pace::new(budget);
            let waits: Vec<u64> = (0..10).map(|_| pace.book(events, 0)).collect();
            let expected = |nth: u64| (nth * (events as u64 * 1_000_000 / u64::from(budget))).div_ceil(1_000);
            for (nth, wait_ms) in waits.iter().enumerate() {
                prop_assert_eq!(*wait_ms, expected(nth as u64));
            }
        }
    }

    #[test]
    fn no_limit_never_waits_and_idle_time_is_not_saved_up() {
        let mut free = Pace::new(0);
        assert_eq!((free.book(1_000_000, 0), free.book(1, 0)), (0, 0));
        let mut pace = Pace::new(1_000);
        assert_eq!((pace.book(500, 0), pace.book(500, 10_000), pace.book(500, 10_000)), (0, 0, 500));
    }
}
