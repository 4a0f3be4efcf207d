//! The receiver, and a look at each of its requests for the page.

use super::feed::{Entry, Feed, Seer};
use super::system::System;
use aws::clients::SdkConfig;
use aws::{Clock, Dice};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use receiver::Receiver;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use standins::installation::STATE_BUCKET;
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Larger than any body that the receiver takes.
const BODY_BYTES_MAX: usize = 8 << 20;
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Calls of a request that are shown.
const CALLS_MAX: usize = 20;
/// Between two requests that are read for the page. A large file makes many more.
const EACH_MS: i64 = 100;
/// Fields that hold write keys.
const KEY_FIELDS: [&str; 2] = ["writeKey", "write_key"];

/// The receiver's own API, which keeps calls in the state bucket. `keys` is `key=source id`, separated by commas; `get`
/// reads the other settings.
pub(super) fn api(
    get: &dyn Fn(&str) -> Option<String>,
    keys: &str,
    sdk: &SdkConfig,
    clock: Clock,
) -> anyhow::Result<Router> {
    let setting = |name: &str| match name {
        "WRITE_KEYS" => Some(keys.to_owned()),
        "STATE_BUCKET" => Some(STATE_BUCKET.to_owned()),
        // The sources of the document are among the keys.
        "CONFIG" => None,
        _ => get(name),
    };
    let settings = receiver::Settings::parse(&setting)?;
    Ok(receiver::router(&Receiver::new(settings, sdk, clock, Dice::system())))
}

/// The fields of an object, each as it was written.
type Fields = BTreeMap<String, Box<RawValue>>;

/// A look at requests.
struct Observer {
    /// Which write key belongs to which source.
    sources: HashMap<String, String>,
    system: Arc<System>,
    looked_ms: AtomicI64,
    /// Requests and bytes that were not read since.
    unread: Mutex<(u64, u64)>,
}

/// The receiver, observed.
pub(super) fn observed(system: &Arc<System>) -> Router {
    let pairs = system.keys.split(',').filter_map(|pair| pair.split_once('='));
    let observer = Arc::new(Observer {
        sources: pairs.map(|(key, source)| (key.to_owned(), source.to_owned())).collect(),
        system: Arc::clone(system),
        looked_ms: AtomicI64::new(0),
        unread: Mutex::default(),
    });
    system.receiver.clone().layer(middleware::from_fn_with_state(observer, observe))
}

async fn observe(State(observer): State<Arc<Observer>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (headers, path) = (parts.headers.clone(), parts.uri.path().to_owned());
    // The receiver keeps no objects. In Segment's place, this machine takes them and shows them on the page.
    let answer = match path.trim_end_matches('/') {
        "/v1/set" => json!({"success": true}).to_string().into_response(),
        _ => next.run(Request::from_parts(parts, Body::from(body.clone()))).await,
    };
    let (parts, answered) = answer.into_parts();
    let answered = to_bytes(answered, ANSWER_BYTES_MAX).await.unwrap_or_default();
    observer.note(&path, &headers, &body, parts.status, &answered);
    Response::from_parts(parts, Body::from(answered))
}

impl Observer {
    fn note(&self, path: &str, headers: &HeaderMap, body: &Bytes, status: StatusCode, answer: &Bytes) {
        let at_ms = self.system.clock.now_ms();
        let feed: &Feed = &self.system.feed;
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_success() && at_ms - self.looked_ms.load(Ordering::Relaxed) < EACH_MS {
            unread.0 += 1;
            unread.1 += body.len() as u64;
            return;
        }
        self.looked_ms.store(at_ms, Ordering::Relaxed);
        let (requests, bytes) = std::mem::take(&mut *unread);
        drop(unread);
        let json = fields_of(body);
        let source = self.source(headers, &json);
        let entry = |kind: &str, title: String, whole: String, is_refused: bool| Entry {
            number: 0,
            at_ms,
            seer: Seer::Receiver,
            source: source.clone(),
            kind: kind.to_owned(),
            title,
            whole,
            is_refused,
        };
        let mut entries = Vec::new();
        if requests > 0 {
            let bytes = crate::check::bytes_in_words(bytes);
            let more = format!("{requests} more requests with {bytes}, too fast to show each");
            entries.push(entry("", more, String::new(), false));
        }
        if !status.is_success() {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            let why = answer["message"].as_str().unwrap_or("refused").to_owned();
            entries.push(entry("refused", format!("{} {path}: {why}", status.as_u16()), answer.to_string(), true));
        } else {
            let calls = calls_of(path, json);
            let surplus = calls.len().saturating_sub(CALLS_MAX);
            if surplus > 0 {
                entries.push(entry("", format!("{surplus} more calls in the same request"), String::new(), false));
            }
            // The newest stands first, so the first call of the request is added last.
            entries.extend(calls.into_iter().take(CALLS_MAX).rev().map(|call| {
                let (kind, title) = named(path, &call);
                entry(&kind, title, serde_json::to_string(&call).unwrap_or_default(), false)
            }));
        }
        feed.add(entries);
    }

    /// The source of the write key in header or body.
    fn source(&self, headers: &HeaderMap, body: &Fields) -> String {
        let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let decoded = basic.and_then(|basic| String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok());
        let in_header = decoded.map(|text| text.split(':').next().unwrap_or_default().to_owned());
        let in_body = || KEY_FIELDS.iter().find_map(|field| text(body, field));
        let key = in_header.filter(|key| !key.is_empty()).or_else(in_body).unwrap_or_default();
        self.sources.get(&key).cloned().unwrap_or_default()
    }
}

/// The fields of a body, inflated if it is compressed; nothing if it is no JSON object.
fn fields_of(body: &[u8]) -> Fields {
    let mut inflated = Vec::new();
    if body.starts_with(&[0x1f, 0x8b]) {
        let _ = MultiGzDecoder::new(body).take(BODY_BYTES_MAX as u64).read_to_end(&mut inflated);
        return serde_json::from_slice(&inflated).unwrap_or_default();
    }
    serde_json::from_slice(body).unwrap_or_default()
}

/// A field that is a text with something in it.
fn text(fields: &Fields, name: &str) -> Option<String> {
    let text: String = serde_json::from_str(fields.get(name)?.get()).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// The calls, or objects, of a body, without write keys.
fn calls_of(path: &str, mut body: Fields) -> Vec<Fields> {
    let items = |list: Option<Box<RawValue>>| -> Vec<Fields> {
        list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default()
    };
    let mut calls = match path.trim_end_matches('/').rsplit('/').next() {
        Some("batch" | "b" | "import") => items(body.remove("batch")),
        Some("set") => {
            let mut objects = items(body.remove("objects"));
            let collection = body.remove("collection");
            for object in &mut objects {
                object.extend(collection.clone().map(|collection| ("collection".to_owned(), collection)));
            }
            objects
        }
        _ => vec![body],
    };
    calls.iter_mut().for_each(|call| call.retain(|field, _| !KEY_FIELDS.contains(&field.as_str())));
    calls
}

/// The kind of a call, and its name. A single call has its kind in the path.
fn named(path: &str, call: &Fields) -> (String, String) {
    if let Some(collection) = text(call, "collection") {
        return ("object".to_owned(), format!("{collection} {}", text(call, "id").unwrap_or_default()));
    }
    let of_path = || path.rsplit('/').next().unwrap_or_default().to_owned();
    let name = text(call, "event").or_else(|| text(call, "name"));
    let person = text(call, "userId").or_else(|| text(call, "anonymousId"));
    let title = name.into_iter().chain(person).collect::<Vec<_>>().join(" · ");
    (text(call, "type").unwrap_or_else(of_path), title)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn each_path_gives_its_calls_as_they_were_written_without_the_write_key() {
        let call = r#"{"type":"track","event":"e","userId":"u","price":249.00,"writeKey":"secret"}"#;
        for (path, body, kinds_and_titles) in [
            ("/v1/batch", format!(r#"{{"batch":[{call},{call}],"writeKey":"secret"}}"#), vec![("track", "e · u"); 2]),
            (
                "/v1/page",
                r#"{"name":"Home","userId":"u","price":249.00,"writeKey":"secret"}"#.to_owned(),
                vec![("page", "Home · u")],
            ),
            (
                "/v1/set",
                r#"{"collection":"rooms","objects":[{"id":"1","price":249.00}],"write_key":"secret"}"#.to_owned(),
                vec![("object", "rooms 1")],
            ),
            ("/v1/batch", "{}".to_owned(), vec![]),
            ("/v1/batch", "no JSON".to_owned(), vec![]),
        ] {
            let calls = calls_of(path, fields_of(body.as_bytes()));
            let named: Vec<_> = calls.iter().map(|call| named(path, call)).collect();
            let named: Vec<_> = named.iter().map(|(kind, title)| (kind.as_str(), title.as_str())).collect();
            assert_eq!(named, kinds_and_titles, "{path}");
            let text = serde_json::to_string(&calls).unwrap();
            assert!(!text.contains("secret"), "{path}: {text}");
            assert_eq!(text.matches("249.00").count(), calls.len(), "{path}: {text}");
        }
    }
}
