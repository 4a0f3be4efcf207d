//! One event about one object, as S3 or EventBridge words it.

use super::{Entry, Ignored, Notice, NotificationFault, Wanted};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The API calls that CloudTrail reports. They may create objects, and have another form.
const BY_CLOUD_TRAIL: &str = "AWS API Call via CloudTrail";

/// The facts that the envelopes around a record add.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) wanted: Wanted,
    /// Which record, from 0.
    pub(super) index: usize,
    /// The replay tag.
    pub(super) replay: Option<&'a str>,
}

/// The change of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Created,
    Copied,
    Restored,
    Other,
}

/// The places of bucket, key and version in a record.
struct Places<'a> {
    bucket: (&'a Value, &'static str),
    key: (&'a Value, &'static str),
    version_id: &'a Value,
    /// A person seldom writes it. S3 may leave it out of an event about a restored object.
    sequencer: &'a Value,
    /// RFC 3339.
    time: &'a Value,
}

/// An event of S3. The key is form-encoded.
pub(super) fn of_s3(record: &Value, about: About<'_>) -> Entry {
    let s3 = &record["s3"];
    let places = Places {
        bucket: (&s3["bucket"]["name"], "s3.bucket.name"),
        key: (&s3["object"]["key"], "s3.object.key"),
        version_id: &s3["object"]["versionId"],
        sequencer: &s3["object"]["sequencer"],
        time: &record["eventTime"],
    };
    let name = record["eventName"].as_str();
    places.entry(change_by_name(name), name.unwrap_or_default(), decode_key, about)
}

/// An event of EventBridge. The key is not encoded.
pub(super) fn of_event_bridge(payload: &Value, kind: &str, about: About<'_>) -> Entry {
    if kind.eq_ignore_ascii_case(BY_CLOUD_TRAIL) {
        return Entry::Unreadable(NotificationFault::UnknownShape);
    }
    let detail = &payload["detail"];
    let places = Places {
        bucket: (&detail["bucket"]["name"], "detail.bucket.name"),
        key: (&detail["object"]["key"], "detail.object.key"),
        version_id: &detail["object"]["version-id"],
        sequencer: &detail["object"]["sequencer"],
        time: &payload["time"],
    };
    places.entry(change_by_type(kind, detail), kind, |key| Some(key.to_owned()), about)
}

/// True if EventBridge speaks of an object with this `detail-type`.
pub(super) fn is_of_s3(kind: &str) -> bool {
    change_by_type(kind, &Value::Null) != Change::Other
}

/// S3 user guide, "Supported event types". A record without a name was written by hand, to ingest the object. People and
/// other senders write the names in any case.
fn change_by_name(name: Option<&str>) -> Change {
    let Some(name) = name.map(str::to_ascii_lowercase) else { return Change::Created };
    match name.trim_start_matches("s3:") {
        "objectcreated:copy" => Change::Copied,
        name if name.starts_with("objectcreated") => Change::Created,
        "objectrestore:completed" => Change::Restored,
        _ => Change::Other,
    }
}

/// S3 user guide, "EventBridge event message structure".
fn change_by_type(kind: &str, detail: &Value) -> Change {
    match kind.to_ascii_lowercase().as_str() {
        "object created" if detail["reason"] == "CopyObject" => Change::Copied,
        "object created" => Change::Created,
        "object restore completed" => Change::Restored,
        _ => Change::Other,
    }
}

impl Places<'_> {
    fn entry(&self, change: Change, name: &str, decode: fn(&str) -> Option<String>, about: About<'_>) -> Entry {
        match change {
            Change::Other => self.ignored(decode, format!("`{name}` is no S3 event about a new object")),
            Change::Copied if !about.wanted.copies => {
                self.ignored(decode, "INGEST_COPIES is false, and the object is a copy".to_owned())
            }
            Change::Restored if !about.wanted.restored => {
                self.ignored(decode, "INGEST_RESTORED is false, and the object was restored from an archive".to_owned())
            }
            _ => self.notice(decode, about).map_or_else(Entry::Unreadable, Entry::Ingest),
        }
    }

    fn notice(&self, decode: fn(&str) -> Option<String>, about: About<'_>) -> Result<Notice, NotificationFault> {
        let About { index, replay, .. } = about;
        let text = |(value, field): (&Value, &'static str)| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or(NotificationFault::FieldMissing { index, field })
        };
        let bucket = bucket_name(&text(self.bucket)?).to_owned();
        let written = text(self.key)?;
        // An S3 event without a sequencer may be written by a person: its key may be encoded in several ways, and its time is any.
        let is_of_s3 = self.sequencer.is_string();
        let (key, other_keys) = match is_of_s3 {
            true => (decode(&written).ok_or(NotificationFault::KeyNotText { index })?, Vec::new()),
            false => keys([decode(&written)], written),
        };
        let version_id = self.version_id.as_str().map(str::to_owned);
        let event_ms = self.time.as_str().filter(|_| is_of_s3).and_then(milliseconds);
        Ok(Notice { other_keys, version_id, event_ms, replay: replay.map(str::to_owned), ..Notice::of(&bucket, &key) })
    }

    fn ignored(&self, decode: fn(&str) -> Option<String>, reason: String) -> Entry {
        let bucket = bucket_name(self.bucket.0.as_str().unwrap_or_default()).to_owned();
        Entry::Ignored(Ignored { bucket, key: self.key.0.as_str().and_then(decode).unwrap_or_default(), reason })
    }
}

/// A person may write the ARN of the bucket in place of its name: `arn:aws:s3:::NAME`. The ARN of an access point has a
/// region, and stays: requests to it need all of it.
pub(super) fn bucket_name(written: &str) -> &str {
    match written.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")) {
        Some((_, name)) => name,
        None => written,
    }
}

/// The key that a person probably means, and the others that the person may mean, likeliest first: decoded, if that is text;
/// as it stands, if it was not encoded; decoded once more, if it was encoded twice.
pub(super) fn keys<const N: usize>(decoded: [Option<String>; N], written: String) -> (String, Vec<String>) {
    let twice = decoded.first().and_then(|first| decode_key(first.as_deref()?));
    let mut keys: Vec<String> = Vec::new();
    for key in decoded.into_iter().flatten().chain([written.clone()]).chain(twice) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let others = keys.split_off(1);
    (keys.pop().unwrap_or(written), others)
}

/// Keys in S3's notifications are form-encoded: `+` is a space, the rest percent escapes of UTF-8.
pub(super) fn decode_key(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A time in ms since the epoch.
fn milliseconds(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
