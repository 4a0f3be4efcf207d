//! A request's body as calls, or a refusal in the API's own form.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};
use std::io::Read;

/// A body once inflated (HTTP Tracking API documentation: 500 KB a batch).
pub(crate) const BODY_BYTES_MAX: usize = 512_000;
/// One call (HTTP Tracking API documentation: 32 KB).
pub(crate) const CALL_BYTES_MAX: usize = 32_768;
/// Calls in a batch (HTTP Tracking API documentation); Segment answers 200 to more, and drops them.
pub(crate) const BATCH_CALLS_MAX: usize = 2_500;
/// The value of an object's property (Objects API documentation: less than 32 KB).
const OBJECT_VALUE_BYTES_MAX: usize = 32_767;
/// Objects in a request (Objects API documentation).
pub(crate) const OBJECTS_MAX: usize = 10;
/// A message id (HTTP Tracking API documentation: less than 100 characters).
const MESSAGE_ID_CHARS_MAX: usize = 99;

/// A kind of call, as this API takes it.
pub(crate) struct Kind {
    /// Its `type`, which is also its path.
    pub(crate) word: &'static str,
    /// Its short path.
    pub(crate) short: &'static str,
    /// The field that it needs beside the user, and the code of a call without it.
    needs: Option<(&'static str, &'static str)>,
}

/// Every kind. The specification has them, so the list is not that of the files.
pub(crate) const KINDS: [Kind; 6] = [
    Kind { word: "identify", short: "i", needs: None },
    Kind { word: "track", short: "t", needs: Some(("event", "event_not_defined")) },
    Kind { word: "page", short: "p", needs: None },
    Kind { word: "screen", short: "s", needs: None },
    Kind { word: "group", short: "g", needs: Some(("groupId", "bad_request")) },
    Kind { word: "alias", short: "a", needs: Some(("previousId", "bad_request")) },
];

/// Why a request is not taken. The codes are those of Segment's delivery overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRequest {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl BadRequest {
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    pub(crate) fn too_large() -> Self {
        Self::bad("invalid_request", "Exceed payload limit")
    }

    pub(crate) fn malformed() -> Self {
        Self::bad("invalid_request", "malformed JSON")
    }

    pub(crate) fn write_key() -> Self {
        Self::bad("invalid_request", "An invalid write key was provided")
    }
}

/// The body as JSON, whatever its content type says: analytics.js and analytics-kotlin send `text/plain`.
pub(crate) fn json(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, BadRequest> {
    let encoding = headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes().to_ascii_lowercase());
    let gzip = match encoding.as_deref() {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(BadRequest::bad("invalid_request", "the content encoding must be gzip or none")),
    };
    let mut inflated = Vec::new();
    let body = if gzip {
        // One byte more than the limit shows that a body is too large.
        let mut decoder = MultiGzDecoder::new(body).take(BODY_BYTES_MAX as u64 + 1);
        decoder.read_to_end(&mut inflated).map_err(|_| BadRequest::bad("invalid_request", "malformed gzip"))?;
        &inflated
    } else {
        body
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(BadRequest::too_large());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(BadRequest::malformed()),
    }
}

/// The write key: Basic (with or without the colon), else in the body, where OAuth's bearers put it too.
pub(crate) fn write_key(headers: &HeaderMap, body: &Map<String, Value>) -> Option<String> {
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        let decoded = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let text = String::from_utf8(decoded).ok()?;
        Some(text.split(':').next().unwrap_or_default().to_owned())
    });
    let in_body = || ["writeKey", "write_key"].iter().find_map(|name| body.get(*name)?.as_str().map(str::to_owned));
    // Libraries that put the key into the body may send Basic with an empty name.
    basic.filter(|key| !key.is_empty()).or_else(in_body).filter(|key| !key.is_empty())
}

/// The calls of a batch, with the fields of the batch merged into each.
pub(crate) fn batch(mut body: Map<String, Value>) -> Result<Vec<Map<String, Value>>, BadRequest> {
    let Some(Value::Array(items)) = body.remove("batch") else {
        return Err(BadRequest::bad("bad_request", "`batch` must be a list of calls"));
    };
    if items.is_empty() {
        return Err(BadRequest::bad("empty_batch", "`batch` holds no calls"));
    }
    if items.len() > BATCH_CALLS_MAX {
        return Err(BadRequest::bad("bad_request", format!("`batch` holds more than {BATCH_CALLS_MAX} calls")));
    }
    let calls = items.into_iter().enumerate().map(|(index, item)| {
        let Value::Object(mut call) = item else {
            return Err(BadRequest::bad("bad_request", format!("call {index}: not an object")));
        };
        for name in ["context", "integrations"] {
            merge(&mut call, name, body.get(name));
        }
        if let (Some(sent_at), false) = (body.get("sentAt"), call.contains_key("sentAt")) {
            call.insert("sentAt".to_owned(), sent_at.clone());
        }
        check(call).map_err(|refusal| BadRequest { message: format!("call {index}: {}", refusal.message), ..refusal })
    });
    calls.collect()
}

/// A call that came alone, at the path of its kind.
pub(crate) fn single(kind: &str, mut call: Map<String, Value>) -> Result<Map<String, Value>, BadRequest> {
    call.insert("type".to_owned(), Value::from(kind));
    call.remove("writeKey");
    check(call)
}

/// The call's own fields win over the batch's.
fn merge(call: &mut Map<String, Value>, name: &str, common: Option<&Value>) {
    let Some(Value::Object(common)) = common else { return };
    let own = call.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(own) = own {
        for (key, value) in common {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Checks the required fields of each kind.
fn check(call: Map<String, Value>) -> Result<Map<String, Value>, BadRequest> {
    let has = |name: &str| match call.get(name) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    };
    let word = call.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = KINDS.iter().find(|kind| kind.word == word) else {
        let words = KINDS.map(|kind| kind.word).join(", ");
        return Err(BadRequest::bad("bad_request", format!("`type` must be one of {words}")));
    };
    if let Some((name, code)) = kind.needs.filter(|(name, _)| !has(name)) {
        return Err(BadRequest::bad(code, format!("`{name}` is missing")));
    }
    if !has("userId") && !has("anonymousId") {
        return Err(BadRequest::bad("no_user_anon_id", "`userId` and `anonymousId` are missing"));
    }
    for (name, code) in [("properties", "properties_not_object"), ("traits", "traits_not_object")] {
        if call.get(name).is_some_and(|value| !value.is_object() && !value.is_null()) {
            return Err(BadRequest::bad(code, format!("`{name}` must be an object")));
        }
    }
    match call.get("messageId") {
        None | Some(Value::Null) => {}
        Some(Value::String(id)) if id.chars().count() <= MESSAGE_ID_CHARS_MAX => {}
        Some(Value::String(_)) => return Err(BadRequest::bad("bad_request", "`messageId` has 100 characters or more")),
        Some(_) => return Err(BadRequest::bad("bad_request", "`messageId` must be a string")),
    }
    if serde_json::to_vec(&call).is_ok_and(|bytes| bytes.len() > CALL_BYTES_MAX) {
        return Err(BadRequest::bad("invalid_request", "Exceed payload limit"));
    }
    Ok(call)
}

/// The collection and the objects of a request of the Objects API.
pub(crate) fn objects(mut body: Map<String, Value>) -> Result<(String, Vec<Map<String, Value>>), BadRequest> {
    let collection = body.get("collection").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fits = (1..=100).contains(&collection.len())
        && collection.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        && !collection.starts_with('_')
        && !collection.ends_with('_');
    if !fits {
        let message = "`collection` must be 1 to 100 of a-z and `_`, not beginning or ending with `_`";
        return Err(BadRequest::bad("bad_request", message));
    }
    let Some(Value::Array(items)) = body.remove("objects") else {
        return Err(BadRequest::bad("bad_request", "`objects` must be a list"));
    };
    if items.is_empty() || items.len() > OBJECTS_MAX {
        return Err(BadRequest::bad("bad_request", format!("`objects` must hold 1 to {OBJECTS_MAX}")));
    }
    let objects = items.into_iter().enumerate().map(|(index, item)| {
        let bad = |message: &str| BadRequest::bad("bad_request", format!("object {index}: {message}"));
        let Value::Object(object) = item else { return Err(bad("not an object")) };
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if id.is_empty() || id.chars().count() > 100 {
            return Err(bad("`id` must be a string of 1 to 100 characters"));
        }
        let Some(Value::Object(properties)) = object.get("properties") else {
            return Err(bad("`properties` must be an object"));
        };
        if properties.values().any(|value| value.is_array() || value.is_object()) {
            return Err(bad("`properties` must be flat"));
        }
        if properties.values().any(|value| value.as_str().is_some_and(|text| text.len() > OBJECT_VALUE_BYTES_MAX)) {
            return Err(bad("a value of `properties` has 32 KB or more"));
        }
        Ok(object)
    });
    objects.collect::<Result<_, _>>().map(|objects| (collection, objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            other => panic!("{other}"),
        }
    }

    fn code(refusal: Result<Vec<Map<String, Value>>, BadRequest>) -> &'static str {
        refusal.unwrap_err().code
    }

    #[test]
    fn a_batch_gives_its_context_to_each_call_and_a_call_keeps_its_own() {
        let calls = batch(fields(json!({
            "context": {"app": "a", "ip": "1"}, "integrations": {"All": true}, "sentAt": "s",
            "batch": [{"type": "identify", "userId": "u", "context": {"ip": "2"}}],
        })))
        .unwrap();
        assert_eq!(calls[0]["context"], json!({"app": "a", "ip": "2"}));
        assert_eq!((&calls[0]["integrations"], &calls[0]["sentAt"]), (&json!({"All": true}), &json!("s")));
    }

    #[test]
    fn calls_that_segment_drops_later_are_refused_at_once() {
        let one = |call: Value| batch(fields(json!({ "batch": [call] })));
        assert_eq!(code(one(json!({"type": "track", "event": "e"}))), "no_user_anon_id");
        assert_eq!(code(one(json!({"type": "track", "userId": "u"}))), "event_not_defined");
        assert_eq!(
            code(one(json!({"type": "track", "userId": "u", "event": "e", "properties": 1}))),
            "properties_not_object"
        );
        assert_eq!(code(one(json!({"type": "wave", "userId": "u"}))), "bad_request");
        assert_eq!(code(one(json!({"type": "identify", "userId": "u", "messageId": "m".repeat(100)}))), "bad_request");
        assert_eq!(code(one(json!({"type": "identify", "userId": "u", "messageId": 7}))), "bad_request");
        assert_eq!(code(one(json!({"type": "identify", "userId": "u".repeat(33_000)}))), "invalid_request");
        assert_eq!(code(batch(fields(json!({"batch": []})))), "empty_batch");
        let many = vec![json!({"type": "identify", "userId": "u"}); BATCH_CALLS_MAX + 1];
        assert_eq!(code(batch(fields(json!({ "batch": many })))), "bad_request");
    }

    #[test]
    fn the_kinds_are_those_that_files_have_and_need_what_their_rows_need() {
        let ours = || calls::kind::Kind::ALL.iter().filter(|kind| kind.api() == calls::kind::Api::Tracking);
        assert_eq!(KINDS.map(|kind| kind.word).to_vec(), ours().map(|kind| kind.as_str()).collect::<Vec<_>>());
        for kind in ours() {
            let required = kind.entry().required;
            let call = |without: &str| {
                let names = required.iter().map(|one| one.any_of[0]).filter(|name| *name != without);
                single(kind.as_str(), names.map(|name| (name.to_owned(), json!("v"))).collect())
            };
            assert!(call("").is_ok(), "{kind}");
            assert!(required.iter().all(|one| call(one.any_of[0]).is_err()), "{kind}");
        }
    }

    #[test]
    fn objects_are_flat_at_most_ten_and_in_a_valid_collection() {
        let body = |collection: &str, count: usize, properties: Value| {
            fields(
                json!({"collection": collection, "objects": vec![json!({"id": "1", "properties": properties}); count]}),
            )
        };
        assert_eq!(objects(body("rooms", 10, json!({"a": 1}))).unwrap().1.len(), 10);
        for bad in [
            body("rooms", 11, json!({})),
            body("rooms", 0, json!({})),
            body("rooms_1", 1, json!({})),
            body("_rooms", 1, json!({})),
            body("rooms", 1, json!({"a": []})),
            body("rooms", 1, json!({"a": "v".repeat(32_768)})),
        ] {
            assert!(objects(bad).is_err());
        }
    }

    #[test]
    fn a_body_is_gzip_or_plain() {
        let header = |value: &str| HeaderMap::from_iter([(CONTENT_ENCODING, value.parse().unwrap())]);
        for taken in ["identity", ""] {
            assert!(json(&header(taken), b"{}").is_ok(), "{taken}");
        }
        for refused in ["zstd", "br", "gzip, gzip"] {
            assert_eq!(json(&header(refused), b"{}").unwrap_err().code, "invalid_request", "{refused}");
        }
    }

    #[test]
    fn the_write_key_is_found_in_the_header_or_the_body() {
        let header = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let body = fields(json!({"writeKey": "in-body"}));
        let basic = format!("Basic {}", STANDARD.encode("in-header:"));
        assert_eq!(write_key(&header(&basic), &body).as_deref(), Some("in-header"));
        let bare = format!("basic {}", STANDARD.encode("in-header"));
        assert_eq!(write_key(&header(&bare), &body).as_deref(), Some("in-header"));
        let nobody = format!("Basic {}", STANDARD.encode(":"));
        assert_eq!(write_key(&header(&nobody), &body).as_deref(), Some("in-body"));
        assert_eq!(write_key(&header(&nobody), &Map::new()), None);
        assert_eq!(write_key(&header("Bearer token"), &body).as_deref(), Some("in-body"));
        assert_eq!(write_key(&HeaderMap::new(), &Map::new()), None);
    }
}
