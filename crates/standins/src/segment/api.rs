//! Segment's decision on a request.

use std::collections::BTreeSet;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::record::{Call, Delivery, Judgement, Object};

/// The limits of a request (Segment docs, HTTP Tracking API). Where clients disagree about the meaning of "KB", the
/// smaller one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// "500KB per batch request", measured before compression; more is 400.
    pub body_bytes_max: usize,
    /// "32KB per API request" and per call of a batch; more is 400.
    pub call_bytes_max: usize,
    /// "2,500 events per batch"; more is answered 200 and rejected.
    pub calls_max: usize,
    /// Segment docs, Objects API: "up to 10 objects"; more is 400.
    pub objects_max: usize,
    /// Shorter write keys are refused; others that are unknown are not.
    pub write_key_chars_min: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 500_000,
            call_bytes_max: 32_000,
            calls_max: 2_500,
            objects_max: 10,
            write_key_chars_min: 8,
        }
    }
}

/// Segment docs, Objects API.
const OBJECT_ID_CHARS_MAX: usize = 100;
const COLLECTION_CHARS_MAX: usize = 100;
const OBJECT_VALUE_BYTES_MAX: usize = 32 * 1024;

/// The kinds of calls: their `type`, which is also their path, and their short path.
pub const KINDS: [(&str, &str); 6] =
    [("identify", "i"), ("track", "t"), ("page", "p"), ("screen", "s"), ("group", "g"), ("alias", "a")];

fn is_kind(word: &str) -> bool {
    KINDS.iter().any(|(kind, _)| *kind == word)
}

/// The last part of the path, long forms and short.
pub(crate) fn operation(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let long = KINDS.iter().find_map(|(kind, short)| (*short == last).then_some(*kind));
    if last == "b" { "batch" } else { long.unwrap_or(last) }
}

pub(crate) struct Judge<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) write_keys: Option<&'a BTreeSet<String>>,
    pub(crate) refused_users: &'a BTreeSet<String>,
    pub(crate) body_bytes_max: Option<usize>,
    pub(crate) api_host: &'a str,
}

/// The fields of a body of either API that are read.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    batch: Option<Vec<&'a RawValue>>,
    #[serde(rename = "writeKey")]
    write_key: Option<String>,
    /// The Objects API spells it so.
    #[serde(rename = "write_key")]
    write_key_of_objects: Option<String>,
    #[serde(rename = "sentAt")]
    sent_at: Option<Value>,
    collection: Option<Value>,
    objects: Option<Vec<Value>>,
}

/// The fields of a call that are read.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    #[serde(rename = "userId")]
    user_id: Option<Value>,
    #[serde(rename = "anonymousId")]
    anonymous_id: Option<Value>,
    event: Option<Value>,
}

struct ApiError {
    status: u16,
    message: String,
}

fn refuse(status: u16, message: impl Into<String>) -> ApiError {
    ApiError { status, message: message.into() }
}

impl Judge<'_> {
    pub(crate) fn judge(
        &self,
        method: &Method,
        headers: &HeaderMap,
        body: Bytes,
        delivery: &mut Delivery,
    ) -> (u16, String) {
        let judged = match (method, delivery.operation.as_str()) {
            (&Method::GET, "settings") => return self.settings(delivery),
            (_, "set") => self.objects(headers, body, delivery),
            (_, "batch" | "import") => self.calls(headers, body, delivery),
            (_, operation) if is_kind(operation) => self.calls(headers, body, delivery),
            _ => Err(refuse(404, "not found")),
        };
        match judged {
            Ok(verdict) => {
                delivery.verdict = verdict;
                (200, String::from(r#"{"success":true}"#))
            }
            Err(ApiError { status, message }) => {
                let code = if status == 404 { "not_found" } else { "invalid_request" };
                let answer = serde_json::json!({
                    "success": false,
                    "message": message,
                    "code": code,
                    // The libraries of the Objects API read this field.
                    "error": {"message": message},
                });
                delivery.verdict = Judgement::Refused(message);
                (status, answer.to_string())
            }
        }
    }

    /// The settings of a source, at `/v1/projects/{write key}/settings`. Segment answers 404 to an unknown key
    /// (analytics-react-native, "WRITE_KEY giving 404 when fetching settings"), in these words (analytics.js-integrations,
    /// `compiler/scripts/settings.js`).
    fn settings(&self, delivery: &mut Delivery) -> (u16, String) {
        let key = delivery.path.strip_prefix("/v1/projects/").and_then(|rest| rest.strip_suffix("/settings"));
        let key = key.unwrap_or_default();
        key.clone_into(&mut delivery.write_key);
        let known = self.write_keys.is_none_or(|known| known.contains(key));
        if !known || key.len() < self.limits.write_key_chars_min {
            delivery.verdict = Judgement::Refused(String::from("not found"));
            return (404, String::from("Invalid path or write key provided."));
        }
        delivery.verdict = Judgement::Applied;
        let api_host = self.api_host;
        let settings = serde_json::json!({"integrations": {"Segment.io": {"apiKey": key, "apiHost": api_host}}});
        (200, settings.to_string())
    }

    fn calls(&self, headers: &HeaderMap, body: Bytes, delivery: &mut Delivery) -> Result<Judgement, ApiError> {
        let body = self.inflated(headers, body, delivery)?;
        let envelope = envelope(&body)?;
        delivery.sent_at = envelope.sent_at.is_some();
        let known = self.check_key(headers, &envelope, delivery)?;
        let in_batch = matches!(delivery.operation.as_str(), "batch" | "import");
        let size_max = if in_batch { self.limits.body_bytes_max } else { self.limits.call_bytes_max };
        if body.len() > size_max {
            return Err(refuse(400, "Exceed payload limit"));
        }
        if in_batch {
            let batch = envelope.batch.ok_or_else(malformed)?;
            delivery.calls = batch
                .into_iter()
                .map(|call| call_of(body.slice_ref(call.get().as_bytes()), None))
                .collect::<Result<_, _>>()?;
        } else {
            let kind = delivery.operation.clone();
            delivery.calls = vec![call_of(body.clone(), Some(kind))?];
        }
        if delivery.calls.iter().any(|call| call.json.len() > self.limits.call_bytes_max) {
            return Err(refuse(400, "Exceed payload limit"));
        }
        let guilty = |call: &Call| call.user_id.as_ref().is_some_and(|id| self.refused_users.contains(id));
        if delivery.calls.iter().any(guilty) {
            return Err(refuse(400, "a call of this batch is refused"));
        }
        Ok(match delivery.calls.len() {
            _ if !known => Judgement::Dropped(String::from("unknown_source")),
            0 => Judgement::Dropped(String::from("empty_batch")),
            many if many > self.limits.calls_max => Judgement::Dropped(String::from("too many calls")),
            _ => Judgement::Applied,
        })
    }

    fn objects(&self, headers: &HeaderMap, body: Bytes, delivery: &mut Delivery) -> Result<Judgement, ApiError> {
        delivery.synchronous = headers.get("synchronous").is_some_and(|value| value == "true");
        let body = self.inflated(headers, body, delivery)?;
        let mut envelope = envelope(&body)?;
        let known = self.check_key(headers, &envelope, delivery)?;
        if body.len() > self.limits.body_bytes_max {
            return Err(refuse(400, "Exceed payload limit"));
        }
        let collection = envelope.collection.as_ref().and_then(Value::as_str).unwrap_or_default();
        let named = collection.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if collection.is_empty()
            || collection.len() > COLLECTION_CHARS_MAX
            || !named
            || collection.starts_with('_')
            || collection.ends_with('_')
        {
            return Err(refuse(400, "invalid collection"));
        }
        let collection = collection.to_owned();
        let objects = envelope.objects.take().unwrap_or_default();
        if objects.is_empty() || objects.len() > self.limits.objects_max {
            return Err(refuse(400, "a request holds 1 to 10 objects"));
        }
        delivery.objects =
            objects.into_iter().map(|object| object_of(&collection, object)).collect::<Result<_, _>>()?;
        if delivery.objects.iter().any(|object| self.refused_users.contains(&object.id)) {
            return Err(refuse(400, "an object of this request is refused"));
        }
        Ok(match known {
            true => Judgement::Applied,
            false => Judgement::Dropped(String::from("unknown_source")),
        })
    }

    fn inflated(&self, headers: &HeaderMap, body: Bytes, delivery: &mut Delivery) -> Result<Bytes, ApiError> {
        let encoding = headers.get(http::header::CONTENT_ENCODING);
        delivery.gzip = encoding.is_some_and(|encoding| encoding == "gzip");
        let body = match delivery.gzip {
            false => body,
            true => {
                // One byte more than the limits shows that the body is too large.
                let most = self.body_bytes_max.unwrap_or(0).max(self.limits.body_bytes_max) as u64 + 1;
                let mut inflated = Vec::new();
                let mut decoder = flate2::read::MultiGzDecoder::new(body.as_ref()).take(most);
                decoder.read_to_end(&mut inflated).map_err(|_| malformed())?;
                Bytes::from(inflated)
            }
        };
        delivery.json_bytes = body.len();
        if self.body_bytes_max.is_some_and(|max| body.len() > max) {
            return Err(refuse(413, "Payload Too Large"));
        }
        // A body cut off at the limit would pass for malformed.
        if body.len() > self.limits.body_bytes_max {
            return Err(refuse(400, "Exceed payload limit"));
        }
        Ok(body)
    }

    /// Whether the key is known. An invalid key is refused.
    fn check_key(
        &self,
        headers: &HeaderMap,
        envelope: &Envelope<'_>,
        delivery: &mut Delivery,
    ) -> Result<bool, ApiError> {
        let in_body = envelope.write_key.clone().or_else(|| envelope.write_key_of_objects.clone());
        let write_key = in_header(headers).or(in_body).unwrap_or_default();
        delivery.write_key.clone_from(&write_key);
        if write_key.len() < self.limits.write_key_chars_min {
            return Err(refuse(400, "An invalid write key was provided"));
        }
        Ok(self.write_keys.is_none_or(|known| known.contains(&write_key)))
    }
}

/// `Basic base64("<writeKey>:")`; the colon may be missing.
fn in_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split(':').next().unwrap_or_default().to_owned())
}

fn malformed() -> ApiError {
    refuse(400, "malformed JSON")
}

fn envelope(body: &[u8]) -> Result<Envelope<'_>, ApiError> {
    serde_json::from_slice(body).map_err(|_| malformed())
}

fn call_of(json: Bytes, kind: Option<String>) -> Result<Call, ApiError> {
    let head: Head = serde_json::from_slice(&json).map_err(|_| malformed())?;
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    let filled = |value: &Option<Value>| text(value).is_some_and(|text| !text.is_empty());
    let kind = kind.or(head.kind).unwrap_or_default();
    // Segment docs, Delivery Overview: discarded after the answer.
    let discarded = if !filled(&head.user_id) && !filled(&head.anonymous_id) {
        Some("no_user_anon_id")
    } else if kind == "track" && !filled(&head.event) {
        Some("event_not_defined")
    } else if !is_kind(&kind) {
        Some("bad_request")
    } else {
        None
    };
    Ok(Call { kind, message_id: head.message_id, user_id: text(&head.user_id), json, discarded })
}

fn object_of(collection: &str, mut object: Value) -> Result<Object, ApiError> {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if id.is_empty() || id.chars().count() > OBJECT_ID_CHARS_MAX {
        return Err(refuse(400, "invalid object id"));
    }
    let properties = object.get_mut("properties").map(Value::take).unwrap_or_default();
    let Value::Object(fields) = &properties else {
        return Err(refuse(400, "properties is not an object"));
    };
    for value in fields.values() {
        if value.is_array() || value.is_object() {
            return Err(refuse(400, "a property is a list or an object"));
        }
        if value.as_str().is_some_and(|text| text.len() >= OBJECT_VALUE_BYTES_MAX) {
            return Err(refuse(400, "a property is too large"));
        }
    }
    Ok(Object { collection: collection.to_owned(), id, properties })
}
