//! Any JSON → the events in it. There is always an answer, and a creation beside it is never lost.
//!
//! The first six bytes of the input choose envelopes around a creation, the rest is JSON that stands beside the creation
//! in each of them. Seeds: `events/` (`fuzz/seed.sh`).
#![no_main]

use ingestion::notification::{Entry, Notice, Notification, Wanted, read};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const WANTED: Wanted = Wanted { copies: false, restored: false };

fuzz_target!(|input: &[u8]| {
    let Some((choices, text)) = input.split_at_checked(6) else { return };
    let Ok(other) = serde_json::from_slice::<Value>(text) else { return };
    let answer = entries(&other);
    assert!(!answer.is_empty() || other.to_string().contains('['), "only a list may have no event");

    let created = json!({"s3": {"bucket": {"name": "bucket"}, "object": {"key": "key", "sequencer": "00"}}});
    let payload =
        choices.iter().fold(json!({"Records": [other, created]}), |inner, choice| wrap(inner, *choice, &other));
    let expected = Entry::Ingest(Notice::of("bucket", "key"));
    assert!(entries(&payload).contains(&expected), "lost in {payload}");
});

/// All events of a payload; one at least for a request to validate.
fn entries(payload: &Value) -> Vec<Entry> {
    match read(payload, WANTED) {
        Ok(Notification::Direct(entries)) => entries,
        Ok(Notification::Queue(messages)) => messages.into_iter().flat_map(|message| message.entries).collect(),
        Ok(Notification::Batch(batch)) => {
            batch.tasks.into_iter().filter_map(|task| Some(Entry::Ingest(task.notice.ok()?))).collect()
        }
        Ok(Notification::Validate(_) | Notification::Status(_) | Notification::Backfill(_)) => {
            vec![Entry::Ingest(Notice::of("validate", ""))]
        }
        Err(fault) => vec![Entry::Unreadable(fault)],
    }
}

fn wrap(inner: Value, choice: u8, other: &Value) -> Value {
    let message = |body: &Value| json!({"messageId": "1", "eventSource": "aws:sqs", "body": body.to_string()});
    match choice % 10 {
        0 => json!({"Records": [inner, other]}),
        1 => json!([other, inner]),
        2 => json!(inner.to_string()),
        3 => json!(format!("\u{feff}{inner}")),
        4 => json!({"Records": [message(other), message(&inner)]}),
        5 => json!([message(&inner), other]),
        6 => json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": inner.to_string()}}]}),
        7 => json!({"Type": "Notification", "Message": inner.to_string()}),
        8 => json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": inner}),
        // A detail is always an object.
        _ if inner.is_object() => json!({"detail-type": "Event from aws:sqs", "source": "Pipe p", "detail": inner}),
        _ => inner,
    }
}
