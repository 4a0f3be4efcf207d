//! The only place that asks for the time, so that a story can run at another one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the time in milliseconds since the Unix epoch.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|| i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)))
    }

    /// The machine's clock, moved by `CLOCK_OFFSET_MS` where that is set: stories cross midnight so. Requests are
    /// signed by the SDK's own clock.
    #[must_use]
    pub fn from_environment() -> Self {
        let offset_ms = crate::settings::from_environment("CLOCK_OFFSET_MS").and_then(|text| text.parse().ok());
        let (system, offset_ms) = (Self::system(), offset_ms.unwrap_or(0_i64));
        Self::from_fn(move || system.now_ms() + offset_ms)
    }

    /// A clock that asks `now_ms`.
    #[must_use]
    pub fn from_fn(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.0)()
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

/// A random 128-bit number in hex: a nonce for checkpoints, plans and owners.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that we do would be safe then.
#[must_use]
pub fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    #[expect(clippy::expect_used, reason = "there is no sensible way on without randomness")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    hex::encode(bytes)
}

/// A random share of `limit_ms`, for full-jitter backoff.
#[must_use]
pub fn jitter_ms(limit_ms: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness the whole wait is as good a wait as any.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % (limit_ms + 1),
        Err(_) => limit_ms,
    }
}
