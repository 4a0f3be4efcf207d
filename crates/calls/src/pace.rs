//! How fast calls may leave: a budget of events per second that retries draw from as well.
//!
//! A batch leaves whole, and pays afterwards: the next one waits until what was sent has been earned. So no second sees
//! more than the budget and one batch. Nothing is promised ahead: who wakes late from a wait asks again, and so do those
//! who waited beside him.

/// A wait is rounded up to the millisecond: so much of coming late is no fault of who waited.
const ROUNDING_US: i64 = 1_000;

/// Says who may send now.
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

    /// Takes `events` that are sent at this very moment.
    ///
    /// # Errors
    /// When they may not be sent now: after how many milliseconds to ask again.
    pub fn take(&mut self, events: usize, now_ms: i64) -> Result<(), u64> {
        if self.events_per_second == 0 {
            return Ok(());
        }
        let now_us = now_ms * 1_000;
        if let Ok(wait_us @ 1..) = u64::try_from(self.free_at_us - now_us) {
            return Err(wait_us.div_ceil(1_000));
        }
        // Time in which nothing was sent is not saved up.
        let start_us = if now_us - self.free_at_us < ROUNDING_US { self.free_at_us } else { now_us };
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.free_at_us = start_us.saturating_add(events.saturating_mul(1_000_000) / i64::from(self.events_per_second));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any senders, any sizes, however late they wake, retries or not: they all ask here.
        #[test]
        fn no_second_sees_more_than_the_budget_and_one_batch(
            budget in 1_u32..5_000,
            batches in proptest::collection::vec((1_usize..2_500, 0_i64..2_000, 0_i64..20_000), 1..100),
        ) {
            let (mut pace, mut asked_ms, mut sent) = (Pace::new(budget), 1_000_000_i64, Vec::new());
            // Who is to ask next, and when.
            let mut senders = std::collections::BinaryHeap::new();
            for (number, (events, later_ms, late_ms)) in batches.into_iter().enumerate() {
                asked_ms += later_ms;
                senders.push(std::cmp::Reverse((asked_ms, number, events, late_ms)));
            }
            while let Some(std::cmp::Reverse((now_ms, number, events, late_ms))) = senders.pop() {
                match pace.take(events, now_ms) {
                    Ok(()) => sent.push((now_ms, events)),
                    // It is late once.
                    Err(wait_ms) => {
                        let wakes_ms = now_ms + i64::try_from(wait_ms).unwrap() + late_ms;
                        senders.push(std::cmp::Reverse((wakes_ms, number, events, 0)));
                    }
                }
            }
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
            let (mut pace, mut now_ms) = (Pace::new(budget), 0);
            let expected = |nth: u64| (nth * (events as u64 * 1_000_000 / u64::from(budget))).div_ceil(1_000);
            for nth in 0..10 {
                if let Err(wait_ms) = pace.take(events, now_ms) {
                    now_ms += i64::try_from(wait_ms).unwrap();
                    prop_assert_eq!(pace.take(events, now_ms), Ok(()));
                }
                prop_assert_eq!(now_ms.unsigned_abs(), expected(nth));
            }
        }
    }

    #[test]
    fn no_limit_never_waits_and_idle_time_is_not_saved_up() {
        let mut free = Pace::new(0);
        assert_eq!((free.take(1_000_000, 0), free.take(1, 0)), (Ok(()), Ok(())));
        let mut pace = Pace::new(1_000);
        assert_eq!((pace.take(500, 0), pace.take(500, 10_000), pace.take(500, 10_000)), (Ok(()), Ok(()), Err(500)));
    }

    #[test]
    fn a_delayed_send_shifts_the_schedule_of_later_sends() {
        let mut pace = Pace::new(1_000);
        assert_eq!((pace.take(2_500, 0), pace.take(2_500, 0), pace.take(2_500, 0)), (Ok(()), Err(2_500), Err(2_500)));
        // Two senders wake together after eight seconds in which nobody could be heard.
        assert_eq!((pace.take(2_500, 8_000), pace.take(2_500, 8_000)), (Ok(()), Err(2_500)));
    }
}
