//! The envelopes around an event: lists, messages of SQS and SNS, EventBridge, failed invocations, JSON in a string.
//!
//! | envelope | its content |
//! |---|---|
//! | `{"Records": […]}`, or a list as Pipes sends it | each item |
//! | a string, with a byte-order mark or without | JSON |
//! | a message of SQS | `body` |
//! | a message of SNS, as Lambda gets it | `Sns.Message` |
//! | a message of SNS, as SQS gets it | `Message`, or the event itself with raw delivery |
//! | a failed invocation, as Lambda's destinations get it | `requestPayload` |
//! | an event of EventBridge that is not S3's own | `detail`, if that is an envelope |

use super::record::{self, About};
use super::{Entry, Ignored, NotificationFault, Wanted, backfill_of, replay_tag};
use serde_json::Value;

/// Envelopes within envelopes at most. An event of EventBridge, in a message of SNS, in a message of SQS, in a failed
/// invocation has six.
pub(super) const ENVELOPES_MAX: usize = 32;

/// The facts that the envelopes around an event add.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    wanted: Wanted,
    /// The number of envelopes.
    depth: usize,
    /// The place in the innermost list; `None` outside of lists.
    index: Option<usize>,
    /// The replay tag.
    replay: Option<&'a str>,
}

impl Around<'_> {
    /// No envelope.
    pub(super) fn none(wanted: Wanted) -> Self {
        Self { wanted, depth: 0, index: None, replay: None }
    }
}

/// The content of a value.
enum Shape<'a> {
    Text(&'a str),
    List(&'a [Value]),
    Envelope(&'a Value),
    Continuation(&'a Value),
    Backfill(&'a Value),
    EventBridge(&'a str),
    Record,
    /// Nothing to ingest, for this reason.
    Ignored(&'static str),
    Fault(NotificationFault),
}

/// True for a message of SQS.
pub(super) fn is_message(value: &Value) -> bool {
    value["eventSource"] == "aws:sqs"
}

/// The events in a value, in order. Each value but an empty list has at least one.
pub(super) fn entries(value: &Value, around: Around<'_>) -> Vec<Entry> {
    let mut found = Vec::new();
    open(value, around, &mut found);
    found
}

fn open(value: &Value, around: Around<'_>, found: &mut Vec<Entry>) {
    let replay = match value.get("replay") {
        None | Some(Value::Null) => None,
        Some(tag) => match replay_tag(tag.as_str().unwrap_or_default()) {
            Ok(tag) => Some(tag),
            Err(fault) => return found.push(Entry::Unreadable(fault)),
        },
    };
    if around.depth > ENVELOPES_MAX {
        return found.push(Entry::Unreadable(NotificationFault::TooManyEnvelopes));
    }
    // The outer tag is the newer one: a person sends an old event again.
    let within = Around { depth: around.depth + 1, replay: around.replay.or(replay.as_deref()), ..around };
    let about = About { wanted: around.wanted, index: around.index.unwrap_or(0), replay: within.replay };
    match shape(value, around.index.is_some()) {
        Shape::Text(text) => match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(content) => open(&content, Around { index: None, ..within }, found),
            Err(_) => found.push(Entry::Unreadable(NotificationFault::BodyNotJson)),
        },
        Shape::List(items) => {
            for (index, item) in items.iter().enumerate() {
                open(item, Around { index: Some(index), ..within }, found);
            }
        }
        Shape::Envelope(content) => open(content, Around { index: None, ..within }, found),
        Shape::Continuation(rest) => found.push(match serde_json::from_value(rest.clone()) {
            Ok(notice) => Entry::Ingest(notice),
            Err(_) => Entry::Unreadable(NotificationFault::UnknownShape),
        }),
        Shape::Backfill(rest) => {
            found.push(backfill_of(rest).map_or_else(Entry::Unreadable, Entry::Backfill));
        }
        Shape::EventBridge(kind) => match carried(value, kind) {
            Some(content) => open(content, Around { index: None, ..within }, found),
            None => found.push(record::of_event_bridge(value, kind, about)),
        },
        Shape::Record => found.push(record::of_s3(value, about)),
        Shape::Ignored(reason) => found.push(ignored(value, reason)),
        Shape::Fault(fault) => found.push(Entry::Unreadable(fault)),
    }
}

fn shape(value: &Value, is_listed: bool) -> Shape<'_> {
    match value {
        Value::String(text) => return Shape::Text(text),
        Value::Array(items) => return Shape::List(items),
        _ => {}
    }
    if value["Event"] == "s3:TestEvent" {
        return Shape::Ignored("a test event, which S3 sends when notifications are set up");
    }
    if let Some(rest) = value.get("continue") {
        return Shape::Continuation(rest);
    }
    if let Some(rest) = value.get("backfill") {
        return Shape::Backfill(rest);
    }
    if let Some(Value::Array(records)) = value.get("Records") {
        return Shape::List(records);
    }
    if is_message(value) {
        return Shape::Envelope(&value["body"]);
    }
    if let Some(message) = value.get("Sns") {
        return Shape::Envelope(&message["Message"]);
    }
    if let Some(payload) = value.get("requestPayload") {
        return of_destination(value, payload);
    }
    if let Some(kind) = value["detail-type"].as_str() {
        return Shape::EventBridge(kind);
    }
    let is_of_s3 = value["eventSource"].as_str().is_none_or(|source| source.ends_with("s3"));
    if value.get("s3").is_some() || (is_listed && value.is_object() && value.get("Type").is_none() && is_of_s3) {
        return Shape::Record;
    }
    of_topic(value)
}

/// Lambda developer guide, "Retaining records of asynchronous invocations".
fn of_destination<'a>(value: &Value, payload: &'a Value) -> Shape<'a> {
    match value["requestContext"]["condition"] == "Success" {
        // The function that got the event has handled it, and reports it to this destination.
        true => Shape::Ignored(
            "an invocation that has succeeded: its function has handled the event already, so it is not ingested again",
        ),
        false => Shape::Envelope(payload),
    }
}

/// SNS developer guide, "Parsing message formats".
fn of_topic(value: &Value) -> Shape<'_> {
    match value["Type"].as_str() {
        Some("Notification") => Shape::Envelope(&value["Message"]),
        Some("SubscriptionConfirmation") => Shape::Fault(NotificationFault::Unconfirmed),
        Some("UnsubscribeConfirmation") => Shape::Ignored("a subscription of SNS that has ended"),
        _ => Shape::Fault(NotificationFault::UnknownShape),
    }
}

/// The envelope that an event of EventBridge carries: a message from Pipes, or a failed invocation.
fn carried<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    let detail = value.get("detail").filter(|detail| detail.is_object() && !record::is_of_s3(kind))?;
    (!matches!(shape(detail, false), Shape::Ignored(_) | Shape::Fault(_))).then_some(detail)
}

fn ignored(value: &Value, reason: &str) -> Entry {
    let bucket = value["Bucket"].as_str().unwrap_or_default().to_owned();
    Entry::Ignored(Ignored { bucket, key: String::new(), reason: reason.to_owned() })
}
