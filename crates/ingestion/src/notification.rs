//! The events that invoke the ingester: notifications about objects in every form of AWS, or a request to validate
//! buckets.
//!
//! Hand-written payloads count like S3's own (the walkthrough has one). So only the bucket's name and the key are
//! required. A `versionId` is a hint that is tried first. The answer to the first GET decides.

use percent_encoding::percent_decode_str;
use protocol::id::StreamId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest replay tag; it becomes part of an identity, and people type it.
pub const REPLAY_TAG_BYTES_MAX: usize = 64;

/// One object to ingest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The version that the event speaks of, if it is one: by now there may be a later one in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Sends a file again with new message ids, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// The name of the mapping that reads the file, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Set when this is the rest of a file that an earlier invocation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
}

impl Notice {
    /// The same, as if no invocation had failed yet: a person sent it.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let hop = self.hop.clone().map(|hop| Hop { count: 0, trouble_since_ms: None, ..hop });
        Self { hop, ..self.clone() }
    }
}

/// The data that a successor message carries to the next invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// How many invocations in a row made no progress.
    pub count: u32,
    /// How many bytes of the file were settled when the message was sent. If the file has progressed since, a message that
    /// is received again is not a failure.
    #[serde(default)]
    pub position: u64,
    /// The upload that was begun, so that a later upload of the same key is not mistaken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// Since when the file has made no progress because of an outage, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble_since_ms: Option<i64>,
    /// When this message was sent, in ms since the epoch. From an old time a redrive is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<i64>,
}

/// A message of a queue: its id, which reports a failure, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SQS's id of the message.
    pub id: String,
    /// How often it was received, this time included.
    pub receives: u32,
    /// The notices in it, or why it cannot be read.
    pub notices: Result<Vec<Notice>, NotificationFault>,
}

/// The event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// S3 itself, EventBridge, a hand-written payload or a successor message.
    Direct(Vec<Notice>),
    /// SQS messages, each failing on its own.
    Queue(Vec<Message>),
    /// A request by a person to validate the set-up with these source buckets. An empty list means the buckets of the
    /// settings.
    Validate(Vec<String>),
}

/// A payload that names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotificationFault {
    /// Not one of the known shapes.
    #[error(
        "the payload is not an S3 notification: expected `Records` with `s3.bucket.name` and `s3.object.key`, \
         SQS messages with such records, EventBridge's `Object Created`, or {{\"validate\": [BUCKET, …]}}"
    )]
    UnknownShape,
    /// A record without its essentials.
    #[error("record {index}: `{field}` is missing")]
    FieldMissing {
        /// Which record, from 0.
        index: usize,
        /// The missing field.
        field: &'static str,
    },
    /// A key that is not UTF-8 once decoded.
    #[error("record {index}: `s3.object.key` is not UTF-8 once its percent escapes are decoded")]
    KeyNotText {
        /// Which record, from 0.
        index: usize,
    },
    /// A message whose body is not JSON.
    #[error("the message's body is not JSON")]
    BodyNotJson,
    /// A replay tag that cannot be one.
    #[error("`replay` must be 1 to {REPLAY_TAG_BYTES_MAX} letters, digits, `-`, `_` or `.`")]
    ReplayTag,
    /// An invalid list of buckets.
    #[error("`validate` must be a list of bucket names; an empty list means the buckets in SOURCE_BUCKET")]
    NotBuckets,
}

/// Reads any of the shapes.
///
/// # Errors
/// If the payload has none of these forms. A queue's message fails alone.
pub fn read(payload: &Value) -> Result<Notification, NotificationFault> {
    if let Some(validate) = payload.get("validate") {
        return buckets(validate).map(Notification::Validate);
    }
    let records = payload.get("Records").and_then(Value::as_array);
    let from_queue =
        |records: &&Vec<Value>| records.first().and_then(|first| first["eventSource"].as_str()) == Some("aws:sqs");
    match records.filter(from_queue) {
        Some(records) => Ok(Notification::Queue(records.iter().map(message).collect())),
        None => notices(payload).map(Notification::Direct),
    }
}

fn buckets(validate: &Value) -> Result<Vec<String>, NotificationFault> {
    let list = validate.as_array().ok_or(NotificationFault::NotBuckets)?;
    list.iter().map(|name| name.as_str().map(str::to_owned).ok_or(NotificationFault::NotBuckets)).collect()
}

fn message(record: &Value) -> Message {
    let receives = record["attributes"]["ApproximateReceiveCount"].as_str().and_then(|count| count.parse().ok());
    let body = record["body"].as_str().unwrap_or_default();
    Message {
        id: record["messageId"].as_str().unwrap_or_default().to_owned(),
        receives: receives.unwrap_or(1),
        notices: serde_json::from_str(body).map_err(|_| NotificationFault::BodyNotJson).and_then(|b| notices(&b)),
    }
}

fn notices(payload: &Value) -> Result<Vec<Notice>, NotificationFault> {
    let replay = match payload.get("replay") {
        None | Some(Value::Null) => None,
        Some(tag) => Some(replay_tag(tag.as_str().unwrap_or_default())?),
    };
    if payload["Event"] == "s3:TestEvent" {
        return Ok(Vec::new());
    }
    if let Some(rest) = payload.get("continue") {
        let notice = serde_json::from_value(rest.clone()).map_err(|_| NotificationFault::UnknownShape)?;
        return Ok(vec![notice]);
    }
    if payload["detail-type"] == "Object Created" {
        return event_bridge(payload).map(|notice| vec![Notice { replay, ..notice }]);
    }
    let records = payload.get("Records").and_then(Value::as_array).ok_or(NotificationFault::UnknownShape)?;
    let created = records.iter().enumerate().filter(|(_, record)| is_creation(record));
    created.map(|(index, record)| s3_record(index, record, replay.as_deref())).collect()
}

/// Whether a record speaks of a new object. A record without an event name was written by hand, to ingest the object.
fn is_creation(record: &Value) -> bool {
    record["eventName"].as_str().is_none_or(|name| name.trim_start_matches("s3:").starts_with("ObjectCreated"))
}

fn s3_record(index: usize, record: &Value, replay: Option<&str>) -> Result<Notice, NotificationFault> {
    let text = |value: &Value, field| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(NotificationFault::FieldMissing { index, field })
    };
    let bucket = text(&record["s3"]["bucket"]["name"], "s3.bucket.name")?;
    let key = text(&record["s3"]["object"]["key"], "s3.object.key")?;
    let key = decode_key(&key).ok_or(NotificationFault::KeyNotText { index })?;
    let version_id = record["s3"]["object"]["versionId"].as_str().map(str::to_owned);
    Ok(Notice { bucket, key, version_id, replay: replay.map(str::to_owned), mapping: None, hop: None })
}

/// EventBridge does not encode the key.
fn event_bridge(payload: &Value) -> Result<Notice, NotificationFault> {
    let detail = &payload["detail"];
    let text = |value: &Value, field| {
        value.as_str().map(str::to_owned).ok_or(NotificationFault::FieldMissing { index: 0, field })
    };
    let bucket = text(&detail["bucket"]["name"], "detail.bucket.name")?;
    let key = text(&detail["object"]["key"], "detail.object.key")?;
    let version_id = detail["object"]["version-id"].as_str().map(str::to_owned);
    Ok(Notice { bucket, key, version_id, replay: None, mapping: None, hop: None })
}

/// Keys in S3's notifications are form-encoded: `+` is a space, the rest percent escapes of UTF-8.
#[must_use]
pub fn decode_key(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A replay tag, checked.
///
/// # Errors
/// When it is empty, too long, or has other characters than letters, digits, `-`, `_` and `.`.
pub fn replay_tag(tag: &str) -> Result<String, NotificationFault> {
    let fits = (1..=REPLAY_TAG_BYTES_MAX).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits { Ok(tag.to_owned()) } else { Err(NotificationFault::ReplayTag) }
}

/// The message that sends the rest of a file to the next invocation.
#[must_use]
pub fn continuation(notice: &Notice) -> Value {
    serde_json::json!({ "continue": notice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(payload: &Value) -> Vec<String> {
        match read(payload).unwrap() {
            Notification::Direct(notices) => notices.into_iter().map(|n| format!("{}/{}", n.bucket, n.key)).collect(),
            Notification::Queue(messages) => messages
                .into_iter()
                .flat_map(|m| m.notices.unwrap())
                .map(|n| format!("{}/{}", n.bucket, n.key))
                .collect(),
            Notification::Validate(buckets) => panic!("validate {buckets:?}"),
        }
    }

    fn s3(key: &str) -> Value {
        json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
               "s3": {"bucket": {"name": "b"}, "object": {"key": key}}})
    }

    #[test]
    fn every_record_counts_and_keys_are_form_decoded() {
        let payload = json!({"Records": [s3("track_1.csv"), s3("a%2Fb+c/%E5%B0%8F%E9%BE%8D%2B1.csv")]});
        assert_eq!(keys(&payload), ["b/track_1.csv", "b/a/b c/小龍+1.csv"]);
    }

    #[test]
    fn a_queue_event_holds_notifications_and_each_message_fails_alone() {
        let body = json!({"Records": [s3("x+y.csv")]}).to_string();
        let record = |id: &str, body: &str| {
            json!({"messageId": id, "eventSource": "aws:sqs", "body": body,
                   "attributes": {"ApproximateReceiveCount": "3"}})
        };
        let payload = json!({"Records": [record("1", &body), record("2", "no json")]});
        let Notification::Queue(messages) = read(&payload).unwrap() else { panic!("a queue") };
        assert_eq!(messages[0].notices.as_ref().unwrap()[0].key, "x y.csv");
        assert_eq!((messages[0].receives, messages[1].id.as_str()), (3, "2"));
        assert_eq!(messages[1].notices, Err(NotificationFault::BodyNotJson));
    }

    #[test]
    fn eventbridge_does_not_encode_the_key() {
        let payload = json!({"detail-type": "Object Created", "source": "aws.s3",
                             "detail": {"bucket": {"name": "b"}, "object": {"key": "a+b.csv"}}});
        assert_eq!(keys(&payload), ["b/a+b.csv"]);
    }

    #[test]
    fn test_events_and_removals_are_ignored() {
        assert!(keys(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})).is_empty());
        let mut removal = s3("k");
        removal["eventName"] = json!("ObjectRemoved:Delete");
        assert!(keys(&json!({"Records": [removal]})).is_empty());
    }

    #[test]
    fn a_continuation_round_trips() {
        let hop = Hop {
            count: 2,
            position: 7,
            stream: Some(StreamId::new([3; 16])),
            trouble_since_ms: Some(9),
            sent_ms: Some(10),
        };
        let notice = Notice {
            bucket: "b".into(),
            key: "k +%.csv".into(),
            version_id: Some("v".into()),
            replay: Some("r1".into()),
            mapping: None,
            hop: Some(hop),
        };
        assert_eq!(read(&continuation(&notice)), Ok(Notification::Direct(vec![notice])));
    }

    #[test]
    fn validation_can_be_invoked_by_a_person_and_not_by_a_queue() {
        assert_eq!(read(&json!({"validate": []})), Ok(Notification::Validate(vec![])));
        assert_eq!(read(&json!({"validate": ["a", "b"]})), Ok(Notification::Validate(vec!["a".into(), "b".into()])));
        for validate in [json!("a"), json!({}), json!([1]), json!(null)] {
            assert_eq!(read(&json!({ "validate": validate })), Err(NotificationFault::NotBuckets));
        }
        let record = json!({"messageId": "1", "eventSource": "aws:sqs", "body": r#"{"validate": []}"#});
        let Ok(Notification::Queue(messages)) = read(&json!({"Records": [record]})) else { panic!("a queue") };
        assert_eq!(messages[0].notices, Err(NotificationFault::UnknownShape));
    }

    #[test]
    fn an_unknown_payload_is_refused_with_the_expected_forms() {
        assert_eq!(read(&json!({"hello": 1})), Err(NotificationFault::UnknownShape));
        let fault = read(&json!({"Records": [{"s3": {"bucket": {"name": "b"}}}]})).unwrap_err();
        assert_eq!(fault.to_string(), "record 0: `s3.object.key` is missing");
        let mut replayed = json!({"Records": [s3("k")], "replay": "a b"});
        assert_eq!(read(&replayed), Err(NotificationFault::ReplayTag));
        replayed["replay"] = json!("monday-2");
        let Ok(Notification::Direct(notices)) = read(&replayed) else { panic!("direct") };
        assert_eq!(notices[0].replay.as_deref(), Some("monday-2"));
    }
}
