//! An estimate for sending the file: time and money.

use super::checked::Checked;
use calls::kind::Api;
use ingestion::cost::{Processor, Work};

/// The function's memory in the template.
const MEMORY_MB: u32 = 512;
/// The working time of an invocation: Lambda's 15 minutes without the time to end.
const INVOCATION_SECONDS: f64 = 14.0 * 60.0;
/// A request to the Objects API. One is sent at a time, so that objects keep their order.
const OBJECTS_REQUEST_SECONDS: f64 = 0.1;

/// The time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) seconds: f64,
    pub(super) invocations: u64,
}

/// `None` where no pace is set: the network decides then.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of invocations")]
pub(super) fn expected(checked: &Checked) -> Option<Expected> {
    let (calls, pace) = (checked.calls as f64, checked.pace);
    let is_object = checked.subject.as_ref().is_some_and(|subject| subject.kind.api() == Api::Objects);
    let one_by_one = if is_object { checked.wire.requests as f64 * OBJECTS_REQUEST_SECONDS } else { 0.0 };
    if pace == 0 && !is_object {
        return None;
    }
    let paced = if pace == 0 { 0.0 } else { calls / f64::from(pace) };
    let seconds = paced.max(one_by_one);
    let invocations = (seconds / INVOCATION_SECONDS).ceil().max(1.0);
    Some(Expected { seconds, invocations: invocations as u64 })
}

/// What the file costs at AWS in dollars, with its export, without traffic. `docs/cost.md` says what that assumes.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
pub(super) fn dollars(checked: &Checked) -> f64 {
    let calls = checked.calls as f64;
    let is_object = checked.subject.as_ref().is_some_and(|subject| subject.kind.api() == Api::Objects);
    let work = Work {
        rows: calls,
        files: 1.0,
        stored_bytes: checked.bytes as f64,
        requests: checked.wire.requests as f64,
        events_per_second: expected(checked).map_or(0, |expected| (calls / expected.seconds).ceil() as u32),
        memory_mb: MEMORY_MB,
        processor: Processor::X86,
        keeps: !is_object,
    };
    work.bill().total()
}
