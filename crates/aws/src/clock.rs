//! The only place that asks for the time, so that a story can run at another one.

use aws_smithy_async::time::TimeSource;
use config::settings::CLOCK_OFFSET_MS;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time in milliseconds since the Unix epoch.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|| i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)))
    }

    /// The machine's clock, moved by `CLOCK_OFFSET_MS` if that is set. Tests use it to cross midnight. It does not move
    /// the SDK's clock, because real services compare the time of a signature with their own.
    #[must_use]
    pub fn from_environment() -> Self {
        let offset_ms = config::environment::variable(CLOCK_OFFSET_MS.name).and_then(|text| text.parse().ok());
        let (system, offset_ms) = (Self::system(), offset_ms.unwrap_or(0_i64));
        Self::from_fn(move || system.now_ms() + offset_ms)
    }

    /// A clock that asks `now_ms`.
    #[must_use]
    pub fn from_fn(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// A moment of the machine's clock by this one. Lambda gives the deadline of an invocation by the machine's clock.
    #[must_use]
    pub fn of_machine(&self, at_ms: i64) -> i64 {
        at_ms.saturating_add(self.now_ms() - Self::system().now_ms())
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

/// With it as its time source (see [`crate::clients::with_clock`]) the SDK signs requests at this time too.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now_ms()).unwrap_or(0))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_machine_moves_with_the_clock() {
        let hour_ahead = Clock::from_fn(|| Clock::system().now_ms() + 3_600_000);
        let moved_ms = hour_ahead.of_machine(1_000) - 1_000;
        assert!((3_540_000..3_660_000).contains(&moved_ms), "{moved_ms}");
        assert_eq!(hour_ahead.of_machine(i64::MAX), i64::MAX);
    }
}
