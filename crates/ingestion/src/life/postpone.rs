//! Waiting and giving up: the only place where 12 hours and the number of hops are checked.

use super::{Action, Close, HOPS_MAX, Life, NO_PROGRESS_MAX_MS, Outcome, State, Then};
use crate::notification::{Hop, Notice};
use crate::run::{End, Undelivered};
use crate::trouble::Trouble;
use protocol::claim::Afresh;

/// The longest delay of a message (SQS quotas: 15 minutes).
pub const DELAY_MAX_MS: u64 = 900_000;
/// A successor message is received within its delay, or within an hour more where messages queue up. A dead letter has
/// waited longer: the waits of [`retry_after_s`] between five receives.
const REDRIVEN_AFTER_MS: i64 = 75 * 60_000;
/// Wait after a trouble with S3.
const STORAGE_WAIT_MS: u64 = 30_000;
/// The shortest wait for another invocation that is at work.
const BUSY_WAIT_MIN_MS: u64 = 1_000;
/// The shortest wait for Segment.
const SEGMENT_WAIT_MIN_MS: u64 = 1_000;
/// Wait for an object that does not exist. Its event may be early, or S3 behind a cache may be late.
const MISSING_WAIT_MS: u64 = 60_000;
/// Seconds before a message that failed is received again, by its number of receives. After the last one it is a dead
/// letter.
const RETRY_AFTER_S: [i32; 4] = [60, 300, 900, 3_600];
const NO_PROGRESS: &str = "no progress for 12 hours";

/// A file that cannot continue now.
#[derive(Debug)]
pub(super) struct Pause {
    reason: String,
    /// The wait before the next try; `None` when only a person can help.
    wait_ms: Option<u64>,
    /// Since when the file has made no progress, in ms since the epoch.
    since_ms: Option<i64>,
    hop: Hop,
    /// Whether the lease is ours, and the checkpoint remembers the wait.
    is_owned: bool,
}

impl Pause {
    /// Another invocation is at work, or the file waits. This is not an attempt, so the number of hops stays.
    pub(super) fn busy(hop: &Hop, until_ms: i64, progress_ms: i64, now_ms: i64) -> Self {
        Self {
            reason: "another invocation processes it, or will do so after a wait".to_owned(),
            wait_ms: Some(u64::try_from(until_ms - now_ms).unwrap_or(0).max(BUSY_WAIT_MIN_MS)),
            since_ms: Some(progress_ms),
            hop: Hop { count: hop.count.saturating_sub(1), trouble_since_ms: None, ..hop.clone() },
            is_owned: false,
        }
    }

    /// A request around the rows failed: an outage is waited for, anything else needs a person.
    pub(super) fn of(trouble: &Trouble, hop: Hop, now_ms: i64) -> Self {
        let since_ms = hop.trouble_since_ms.unwrap_or(now_ms);
        Self {
            reason: trouble.to_string(),
            wait_ms: trouble.is_transient().then_some(STORAGE_WAIT_MS),
            since_ms: Some(since_ms),
            hop: Hop { trouble_since_ms: Some(since_ms), ..hop },
            is_owned: false,
        }
    }

    /// A successor message, or the failure of this one. True if it fails because it has waited too long.
    pub(super) fn then(self, has_queue: bool, now_ms: i64) -> (Then, bool) {
        let Self { reason, wait_ms, since_ms, hop, .. } = self;
        let hop = Hop { sent_ms: Some(now_ms), ..hop };
        let Some(wait_ms) = wait_ms else { return (Then::Close(Close::failed(reason)), false) };
        if since_ms.is_some_and(|since_ms| now_ms - since_ms > NO_PROGRESS_MAX_MS) {
            return (Then::Close(Close::failed(format!("{reason} ({NO_PROGRESS})"))), true);
        }
        if hop.count > HOPS_MAX {
            let words = format!("{reason} ({HOPS_MAX} invocations in a row made no progress)");
            return (Then::Close(Close::failed(words)), true);
        }
        let then = match has_queue {
            true => Then::Send { hop, wait_ms: wait_ms.min(DELAY_MAX_MS), reason },
            false => Then::Close(Close::failed(format!(
                "{reason}: the settled rows are committed, and a retry of this S3 event continues behind them"
            ))),
        };
        (then, false)
    }
}

/// The object does not exist, under no key that the message may mean. With a queue, the next message looks once more.
pub(super) fn missing(notice: &Notice, hop: Hop, has_queue: bool, now_ms: i64) -> Then {
    let others = notice.other_keys.iter().map(|key| format!(", nor does `{key}`")).collect::<String>();
    if has_queue && !hop.missing {
        let reason = format!("the object does not exist{others}: it is looked for again in a minute");
        let hop = Hop { missing: true, sent_ms: Some(now_ms), ..hop };
        return Then::Send { hop, wait_ms: MISSING_WAIT_MS, reason };
    }
    let reason = format!(
        "the object does not exist{others}: it was deleted or moved before it was read, or the S3 event has another key"
    );
    Then::Close(Close::done(Outcome::Missing, Some(reason)))
}

/// Seconds before a message that failed comes again, after so many receives. Without it the queue's visibility timeout
/// would decide, which is six times the function's timeout.
///
/// Short enough that a cause which ends by itself, such as a new policy of IAM, costs minutes. Long enough that a person
/// can remove a cause before the last try.
#[must_use]
pub fn retry_after_s(receives: u32) -> i32 {
    let index = usize::try_from(receives).unwrap_or(usize::MAX).saturating_sub(1);
    RETRY_AFTER_S.get(index).copied().unwrap_or(RETRY_AFTER_S[0])
}

/// Whether a message starts the count of hours without progress again.
///
/// A successor message may be received for the first time long after it was sent. Then it is a redriven dead letter,
/// which has used up its receives before. A message without a hop is the event itself.
pub(super) fn afresh(notice: &Notice, receives: u32, now_ms: i64) -> Afresh {
    match &notice.hop {
        _ if receives > 1 => Afresh::No,
        None => Afresh::IfFailed,
        Some(Hop { sent_ms: Some(sent_ms), .. }) if now_ms - sent_ms > REDRIVEN_AFTER_MS => Afresh::Yes,
        Some(_) => Afresh::No,
    }
}

impl Life {
    /// Waits by a successor message, or fails.
    pub(super) fn pause(&mut self, pause: Pause, now_ms: i64) -> Action {
        let Pause { since_ms, is_owned, .. } = pause;
        let (then, given_up) = pause.then(self.rules.has_queue, now_ms);
        if !is_owned {
            return self.released(then);
        }
        // Without a queue each of Lambda's retries is needed when it comes.
        let not_before_ms = match &then {
            Then::Send { wait_ms, .. } => now_ms.saturating_add_unsigned(*wait_ms),
            Then::Close(_) => 0,
        };
        let trouble_since_ms = since_ms;
        self.go(State::Releasing(then), Action::Release { trouble_since_ms, given_up, not_before_ms })
    }

    /// An action around the rows failed: an outage is waited for, anything else needs a person.
    pub(super) fn trouble(&mut self, trouble: &Trouble, now_ms: i64) -> Action {
        self.pause(Pause::of(trouble, self.hop(), now_ms), now_ms)
    }

    /// A run ended before the file did: settled rows are committed, the rest waits.
    pub(super) fn postponed(&self, end: End, has_progressed: bool, is_untroubled: bool, now_ms: i64) -> Pause {
        let hop = self.hop();
        let position = self.checkpoint.as_ref().map_or(hop.position, |checkpoint| checkpoint.position.byte);
        let line = self.checkpoint.as_ref().map_or(1, |checkpoint| checkpoint.position.line);
        let is_hopeless = !has_progressed && self.is_fresh && is_untroubled;
        let (reason, wait_ms) = reason_and_wait(end, has_progressed, is_hopeless, line);
        // Only an outage is counted: a file that needs a person has not waited for Segment.
        let before_ms = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.trouble_since_ms);
        let since_ms = before_ms.or(hop.trouble_since_ms).unwrap_or(now_ms);
        let since_ms = (wait_ms.is_some() && !has_progressed).then_some(since_ms);
        let count = if has_progressed { 0 } else { hop.count };
        let hop = Hop { position, count, trouble_since_ms: since_ms, ..hop };
        Pause { reason, wait_ms, since_ms, hop, is_owned: true }
    }
}

/// Why a run ended early, and how long to wait; `None` when only a person can help. `is_hopeless`: this invocation had its
/// whole time, nothing was slow, and no row was settled.
fn reason_and_wait(end: End, has_progressed: bool, is_hopeless: bool, line: u64) -> (String, Option<u64>) {
    match end {
        End::Undelivered(undelivered) => {
            let wait_ms = match &undelivered {
                Undelivered::Deadline if is_hopeless => {
                    let reason = "the time of one invocation is too short for one batch: raise the function's timeout";
                    return (reason.to_owned(), None);
                }
                Undelivered::Deadline => Some(0),
                Undelivered::Paced { wait_ms } | Undelivered::Unreachable { wait_ms, .. } => {
                    Some((*wait_ms).max(SEGMENT_WAIT_MIN_MS))
                }
                Undelivered::InvalidKey { .. }
                | Undelivered::Configuration { .. }
                | Undelivered::UnknownKey { .. }
                | Undelivered::WholeFile { .. } => None,
            };
            (undelivered.to_string(), wait_ms)
        }
        End::Unanswered if has_progressed => (Undelivered::Deadline.to_string(), Some(0)),
        End::Unanswered => (Trouble::out_of_time().to_string(), Some(STORAGE_WAIT_MS)),
        End::Unread(trouble) | End::Uncommitted(trouble) | End::Unkept(trouble) => {
            (trouble.to_string(), trouble.is_transient().then_some(STORAGE_WAIT_MS))
        }
        End::Unresumed(why) => (format!("failed to continue at line {line}: {why}"), None),
        // These end the file, and do not come here.
        End::Complete | End::Fault(_) | End::Exceeded(_) => (String::new(), None),
    }
}
