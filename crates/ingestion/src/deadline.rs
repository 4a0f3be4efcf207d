//! How the time of one invocation is divided.

/// Time for one request to Segment.
pub const REQUEST_TIMEOUT_MS: i64 = 20_000;
/// Time to write the fragment of an acknowledged request: one put and one retry.
const KEEP_TIME_MS: i64 = 5_000;
/// Time to commit and to send the rest of the file to the queue.
const COMMIT_TIME_MS: i64 = 8_000;
/// The longest timeout of a function (Lambda quotas: 900 seconds).
const LAMBDA_MAX_MS: i64 = 900_000;

/// The moments of one invocation, in ms since the epoch, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The invocation began.
    pub began_at_ms: i64,
    /// No request to Segment starts after this: there might be no time for its answer.
    pub drain_at_ms: i64,
    /// Requests without an answer fail here, so that the fragments of the others can be written.
    pub answers_until_ms: i64,
    /// All work on rows ends here, so that the run can commit.
    pub cut_at_ms: i64,
    /// Commits end here, so that the rest of the file can be sent to the queue.
    pub hand_on_at_ms: i64,
    /// The invocation ends.
    pub ends_at_ms: i64,
}

impl Deadline {
    /// Divides the time of an invocation that ends at `ends_at_ms`. Emulators pass a moment in the past; then the longest
    /// timeout of Lambda counts.
    #[must_use]
    pub fn of(now_ms: i64, ends_at_ms: i64) -> Self {
        let left_ms = if ends_at_ms > now_ms { ends_at_ms - now_ms } else { LAMBDA_MAX_MS };
        let ends_at_ms = now_ms + left_ms;
        // A short invocation gives each step its share.
        let commit_ms = (left_ms / 6).min(COMMIT_TIME_MS);
        let keep_ms = (left_ms / 12).min(KEEP_TIME_MS);
        let request_ms = (left_ms / 6).min(REQUEST_TIMEOUT_MS);
        let cut_at_ms = ends_at_ms - commit_ms;
        Self {
            began_at_ms: now_ms,
            drain_at_ms: cut_at_ms - keep_ms - request_ms,
            answers_until_ms: cut_at_ms - keep_ms,
            cut_at_ms,
            hand_on_at_ms: ends_at_ms - commit_ms / 4,
            ends_at_ms,
        }
    }

    /// True while most of the invocation is still ahead at `now_ms`.
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        now_ms - self.began_at_ms <= self.drain_at_ms - now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_leaves_time_to_finish_requests_and_to_commit() {
        let long = Deadline::of(0, 900_000);
        let moments = |at: Deadline| [at.drain_at_ms, at.answers_until_ms, at.cut_at_ms, at.hand_on_at_ms];
        assert_eq!(moments(long), [867_000, 887_000, 892_000, 898_000]);
        assert_eq!(long.answers_until_ms - long.drain_at_ms, REQUEST_TIMEOUT_MS, "a request that is begun can finish");
        assert_eq!(moments(Deadline::of(0, 6_000)), [3_500, 4_500, 5_000, 5_750]);
        assert!(long.is_fresh(300_000) && !long.is_fresh(500_000));
        // An emulator's deadline: a moment in 1970.
        assert_eq!(Deadline::of(1_000_000_000_000, 600_000).cut_at_ms, 1_000_000_892_000);
    }
}
