//! A clock that a story can move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// The time of the stand-ins: the machine's time plus an offset that only a story changes.
///
/// Clones share the offset. One clock given to several servers keeps them in step.
/// It never goes backwards unless [`set_ms`](Clock::set_ms) says so.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    offset_ms: AtomicI64,
    frozen: bool,
    moved: watch::Sender<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::real()
    }
}

impl Clock {
    /// The machine's time, until it is advanced.
    pub fn real() -> Clock {
        Clock::new(0, false)
    }

    /// A clock that stands still at `ms` since 1970. It moves only by `advance`.
    pub fn frozen_at(ms: i64) -> Clock {
        Clock::new(ms, true)
    }

    fn new(offset_ms: i64, frozen: bool) -> Clock {
        Clock(Arc::new(Inner { offset_ms: AtomicI64::new(offset_ms), frozen, moved: watch::Sender::new(0) }))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let base_ms = if self.0.frozen { 0 } else { machine_ms() };
        base_ms + self.0.offset_ms.load(Ordering::SeqCst)
    }

    /// Moves the clock forward and wakes everyone who waits on it.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.offset_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.0.moved.send_modify(|moves| *moves += 1);
    }

    /// Sets the clock to `ms` since 1970.
    pub fn set_ms(&self, ms: i64) {
        let base_ms = if self.0.frozen { 0 } else { machine_ms() };
        self.0.offset_ms.store(ms - base_ms, Ordering::SeqCst);
        self.0.moved.send_modify(|moves| *moves += 1);
    }

    /// Returns when this clock shows `ms` or later, whether time has passed or was advanced.
    pub async fn sleep_until_ms(&self, ms: i64) {
        let mut moved = self.0.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let left_ms = ms - self.now_ms();
            let Ok(left_ms) = u64::try_from(left_ms) else { return };
            if left_ms == 0 {
                return;
            }
            if self.0.frozen {
                // The sender lives in `self`: this ends with the next move.
                let _ = moved.changed().await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(left_ms)) => {}
                    _ = moved.changed() => {}
                }
            }
        }
    }

    /// As [`sleep_until_ms`](Clock::sleep_until_ms), counted from now.
    pub async fn sleep(&self, wait: Duration) {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.sleep_until_ms(self.now_ms().saturating_add(wait_ms)).await;
    }
}

fn machine_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-21T20:32:27.940Z`
pub(crate) fn iso_ms(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => String::from("1970-01-01T00:00:00.000Z"),
    }
}

/// `2026-11-21T20:32:27Z`
pub(crate) fn iso_seconds(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.0}"),
        Err(_) => String::from("1970-01-01T00:00:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_advanced_clock_wakes_its_waiters() {
        let clock = Clock::frozen_at(1_000);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(3_600)).await;
                clock.now_ms()
            }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3_599));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.ok(), Some(3_601_000));
    }

    #[test]
    fn times_are_written_as_aws_writes_them() {
        assert_eq!(iso_ms(1_557_606_747_940), "2019-05-11T20:32:27.940Z");
        assert_eq!(iso_seconds(1_557_606_747_940), "2019-05-11T20:32:27Z");
    }
}
