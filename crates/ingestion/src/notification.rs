//! The events that invoke the ingester: notifications about objects in every envelope of AWS, an invocation by S3 Batch
//! Operations, or a request to validate buckets.
//!
//! Hand-written payloads count like S3's own (the walkthrough has one). So only the bucket's name and the key are
//! required. A `versionId` is a hint that is tried first. The answer to the first GET decides.

mod batch;
mod envelope;
mod record;

pub use batch::{Batch, BatchAnswer, ResultCode, Task, TaskFault};
use envelope::Around;
use protocol::backfill::Backfill;
use protocol::id::StreamId;
use protocol::upload::Version;
use record::bucket_name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest replay tag; it becomes part of an identity, and people type it.
pub const REPLAY_TAG_BYTES_MAX: usize = 64;

/// The newest outcomes in one answer at most. An answer of Lambda has at most 6 MB (Lambda quotas).
pub const NEWEST_MAX: usize = 1_000;

/// One object to ingest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The other keys that a person may mean who wrote the event by hand, likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_keys: Vec<String>,
    /// The version that the event speaks of, if it is one: by now there may be a later one in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Sends a file again with new message ids, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// When the object was created, as the event says, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_ms: Option<i64>,
    /// The name of the mapping that reads the file, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// The id of the backfill that queued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<String>,
    /// Set when this is the rest of a file that an earlier invocation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
}

impl Notice {
    /// The message about an object, as an event words it.
    #[must_use]
    pub fn of(bucket: &str, key: &str) -> Self {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Self {
            bucket,
            key,
            other_keys: Vec::new(),
            version_id: None,
            replay: None,
            event_ms: None,
            mapping: None,
            backfill: None,
            hop: None,
        }
    }

    /// The message with each key that it may mean in turn, likeliest first. A message about a begun file means one key.
    pub fn spellings(&self) -> impl Iterator<Item = Self> {
        let is_begun = self.hop.as_ref().is_some_and(|hop| hop.stream.is_some());
        let others = if is_begun { 0 } else { self.other_keys.len() };
        (0..=others).map(|chosen| {
            let mut keys = vec![self.key.clone()];
            keys.extend(self.other_keys.iter().cloned());
            let key = keys.remove(chosen);
            Self { key, other_keys: keys, ..self.clone() }
        })
    }

    /// The version to read first.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version_id.clone().map_or(Version::Latest, Version::Hinted)
    }

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
    /// True once the object was looked for in vain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

impl Hop {
    /// The hop behind `before`, if this invocation makes no progress.
    pub(crate) fn after(before: Option<&Self>) -> Self {
        let first = Self { count: 0, position: 0, stream: None, trouble_since_ms: None, sent_ms: None, missing: false };
        let before = before.cloned().unwrap_or(first);
        Self { count: before.count + 1, sent_ms: None, ..before }
    }
}

/// A message of a queue: its id, which reports a failure, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SQS's id of the message.
    pub id: String,
    /// The handle of this receipt; without it nothing can be changed about the message.
    pub receipt: Option<String>,
    /// How often it was received, this time included.
    pub receives: u32,
    /// Its events.
    pub entries: Vec<Entry>,
}

/// The events beside uploads that name an object to ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `INGEST_COPIES`: copies that S3 makes in one request.
    pub copies: bool,
    /// `INGEST_RESTORED`: objects that are back from an archive.
    pub restored: bool,
}

/// One event about one object, out of its envelopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An object to ingest.
    Ingest(Notice),
    /// An S3 event that creates no object.
    Ignored(Ignored),
    /// The rest of a backfill.
    Backfill(Backfill),
    /// A part of the payload that cannot be read. The other parts count.
    Unreadable(NotificationFault),
}

/// An S3 event that creates no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The bucket, if the event names it.
    pub bucket: String,
    /// The key, decoded, if the event names it.
    pub key: String,
    /// Why the event is ignored.
    pub reason: String,
}

/// The event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// The events of one invocation, which fails as a whole.
    Direct(Vec<Entry>),
    /// SQS messages, each failing on its own.
    Queue(Vec<Message>),
    /// An invocation by S3 Batch Operations.
    Batch(Batch),
    /// A request by a person to validate the set-up with these source buckets. An empty list means the buckets of the
    /// settings.
    Validate(Vec<String>),
    /// A question of a person.
    Status(StatusOf),
    /// A person asks to ingest the objects that are there.
    Backfill(Backfill),
}

/// What a person asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusOf {
    /// One object.
    Object {
        /// The bucket's name.
        bucket: String,
        /// The key, as it stands.
        key: String,
    },
    /// So many of the newest outcomes.
    Newest(usize),
}

/// Why a payload, or a part of it, names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotificationFault {
    /// Not one of the known shapes.
    #[error(
        "the payload is not an S3 notification: expected `Records` with `s3.bucket.name` and `s3.object.key`, \
         EventBridge's `Object Created`, either of them in messages of SNS or SQS, or {{\"validate\": [BUCKET, …]}}"
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
    /// A key of S3's own event that is not UTF-8 once decoded.
    #[error("record {index}: `s3.object.key` is not UTF-8 once its percent escapes are decoded")]
    KeyNotText {
        /// Which record, from 0.
        index: usize,
    },
    /// A message whose body is not JSON.
    #[error("the message's body is not JSON")]
    BodyNotJson,
    /// An event in too many envelopes to be one.
    #[error("the S3 event is in more than {} envelopes", envelope::ENVELOPES_MAX)]
    TooManyEnvelopes,
    /// The first message of a subscription that its topic's owner made.
    #[error("SNS asks to confirm a subscription: open the `SubscribeURL` of the message, or no event arrives")]
    Unconfirmed,
    /// A replay tag that cannot be one.
    #[error("`replay` must be 1 to {REPLAY_TAG_BYTES_MAX} letters, digits, `-`, `_` or `.`")]
    ReplayTag,
    /// An invalid list of buckets.
    #[error("`validate` must be a list of bucket names; an empty list means the buckets in SOURCE_BUCKET")]
    NotBuckets,
    /// A question about nothing.
    #[error("`status` must be `s3://BUCKET/KEY`, or a number of outcomes from 1 to {NEWEST_MAX}")]
    NotStatus,
    /// A backfill of nothing.
    #[error("`backfill` must be {{\"bucket\": NAME}}, with `prefix`, `dry_run` and `tag` if wanted")]
    NotBackfill,
}

/// Reads any of the shapes. Each part that cannot be read is an entry of its own, and hides no other part.
///
/// # Errors
/// If a request to validate has no list of buckets, or a question or a backfill is about nothing.
pub fn read(payload: &Value, wanted: Wanted) -> Result<Notification, NotificationFault> {
    if let Some(validate) = payload.get("validate") {
        return buckets(validate).map(Notification::Validate);
    }
    if let Some(status) = payload.get("status") {
        return status_of(status).map(Notification::Status).ok_or(NotificationFault::NotStatus);
    }
    if let Some(backfill) = payload.get("backfill") {
        return backfill_of(backfill).map(Notification::Backfill);
    }
    if let Some(batch) = Batch::read(payload) {
        return Ok(Notification::Batch(batch));
    }
    let around = Around::none(wanted);
    Ok(match messages(payload) {
        Some(messages) => Notification::Queue(messages.iter().map(|one| message(one, around)).collect()),
        None => Notification::Direct(envelope::entries(payload, around)),
    })
}

fn buckets(validate: &Value) -> Result<Vec<String>, NotificationFault> {
    let list = validate.as_array().ok_or(NotificationFault::NotBuckets)?;
    let name = |written: &Value| Some(bucket_name(written.as_str()?).to_owned());
    list.iter().map(|written| name(written).ok_or(NotificationFault::NotBuckets)).collect()
}

fn backfill_of(backfill: &Value) -> Result<Backfill, NotificationFault> {
    let read = serde_json::from_value(backfill.clone()).ok().filter(|read: &Backfill| !read.bucket.is_empty());
    let read = read.ok_or(NotificationFault::NotBackfill)?;
    Ok(Backfill { bucket: bucket_name(&read.bucket).to_owned(), ..read })
}

fn status_of(status: &Value) -> Option<StatusOf> {
    if let Some(number) = status.as_u64() {
        let number = usize::try_from(number).ok()?;
        return (1..=NEWEST_MAX).contains(&number).then_some(StatusOf::Newest(number));
    }
    let (bucket, key) = status.as_str()?.strip_prefix("s3://")?.split_once('/')?;
    let is_object = !bucket.is_empty() && !key.is_empty();
    is_object.then(|| StatusOf::Object { bucket: bucket.to_owned(), key: key.to_owned() })
}

/// The messages, if the payload has nothing else: as `Records`, or as Pipes' list. A failure of anything else could not
/// be reported beside them.
fn messages(payload: &Value) -> Option<&[Value]> {
    let records = payload.as_array().or_else(|| payload.get("Records")?.as_array())?;
    (!records.is_empty() && records.iter().all(envelope::is_message)).then_some(records)
}

fn message(record: &Value, around: Around<'_>) -> Message {
    let receives = record["attributes"]["ApproximateReceiveCount"].as_str().and_then(|count| count.parse().ok());
    Message {
        id: record["messageId"].as_str().unwrap_or_default().to_owned(),
        receipt: record["receiptHandle"].as_str().map(str::to_owned),
        receives: receives.unwrap_or(1),
        entries: envelope::entries(record, around),
    }
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

/// The message that sends the rest of a backfill to the next invocation.
#[must_use]
pub fn rest_of(backfill: &Backfill) -> Value {
    serde_json::json!({ "backfill": backfill })
}

#[cfg(test)]
mod tests;
