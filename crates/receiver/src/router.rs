//! The paths and their answers.

use crate::keys::Keys;
use crate::recent::{Recent, Seen};
use crate::request::{self, BODY_BYTES_MAX, BadRequest, KINDS, Kind};
use aws::{Bucket, Clock, Dice};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use export::fragment::{crc32, encode};
use export::received::{Stamp, append_call};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Nonce, SourceId};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Where received calls are kept for the exporter, and how.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Our own bucket.
    pub state: Bucket,
    /// Whether the lines have the write key, as Segment's own logs do: `INCLUDE_WRITE_KEY` of the ingester.
    pub include_write_key: bool,
}

/// The state of the API.
pub struct Receiver {
    keys: Keys,
    keeping: Option<Keeping>,
    clock: Clock,
    dice: Dice,
    recent: Recent,
}

/// Who sent a request.
struct Sender {
    write_key: String,
    source: SourceId,
}

impl Receiver {
    /// Accepts calls for `keys` and keeps them for the exporter. Without `keeping` it keeps none.
    #[must_use]
    pub fn new(keys: Keys, keeping: Option<Keeping>, clock: Clock, dice: Dice) -> Arc<Self> {
        Arc::new(Self { keys, keeping, clock, dice, recent: Recent::default() })
    }

    /// The last calls received.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    fn sender(&self, headers: &HeaderMap, body: &Map<String, Value>) -> Result<Sender, BadRequest> {
        let write_key = request::write_key(headers, body).ok_or_else(BadRequest::write_key)?;
        let source = self.keys.source(&write_key).cloned().ok_or_else(BadRequest::write_key)?;
        Ok(Sender { write_key, source })
    }

    /// Makes calls durable: only then may they be acknowledged.
    async fn receive(&self, sender: &Sender, calls: Vec<Map<String, Value>>) -> Result<bool, BadRequest> {
        let now_ms = self.clock.now_ms();
        let request = self.dice.nonce();
        let with_ids: Vec<_> = calls
            .into_iter()
            .enumerate()
            .map(|(index, mut call)| {
                // As Segment does. An empty id counts as missing.
                if call.get("messageId").and_then(Value::as_str).is_none_or(str::is_empty) {
                    call.insert("messageId".to_owned(), Value::from(format!("api-{request}-{index}")));
                }
                call
            })
            .collect();
        let kept = match &self.keeping {
            None => false,
            Some(keeping) => {
                keep(keeping, sender, &with_ids, request, now_ms).await?;
                true
            }
        };
        let source = sender.source.to_string();
        self.recent.note(with_ids.into_iter().map(|call| Seen { at_ms: now_ms, source: source.clone(), call }));
        Ok(kept)
    }
}

/// Writes a request's calls where the exporter finds them.
async fn keep(
    keeping: &Keeping,
    sender: &Sender,
    calls: &[Map<String, Value>],
    request: Nonce,
    now_ms: i64,
) -> Result<(), BadRequest> {
    let stamp = Stamp::new(now_ms, &sender.source);
    let stamp = if keeping.include_write_key { stamp.with_write_key(&sender.write_key) } else { stamp };
    let mut lines = Vec::new();
    for call in calls {
        append_call(&mut lines, call.clone(), &stamp);
    }
    let fragment = encode(&lines);
    let unavailable = |detail: String| {
        tracing::error!(detail, "received calls could not be kept");
        BadRequest {
            status: 503,
            code: "unavailable",
            message: "the calls could not be kept; send them again".to_owned(),
        }
    };
    let request = request.to_string().parse().map_err(|_| unavailable("a nonce is no request id".to_owned()))?;
    let name = FragmentName {
        source: sender.source.clone(),
        day: stamp.day(),
        origin: Origin::Request { id: request },
        events: u32::try_from(calls.len()).unwrap_or(u32::MAX),
        raw_bytes: lines.len() as u64,
        crc32: crc32(&fragment),
    };
    let created = keeping.state.create(&name.to_string(), fragment.into(), "application/gzip").await;
    created.map(|_| ()).map_err(|fault| unavailable(fault.to_string()))
}

/// The API as a router.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let mut router = Router::new()
        .route("/v1/batch", post(batch))
        .route("/v1/b", post(batch))
        .route("/v1/import", post(batch))
        .route("/v1/import/", post(batch))
        .route("/v1/set", post(set))
        .route("/v1/projects/{key}/settings", get(settings));
    for Kind { word: kind, short, .. } in KINDS {
        let handler =
            move |state: State<Arc<Receiver>>, headers: HeaderMap, body: Body| single(kind, state, headers, body);
        router = router.route(&format!("/v1/{kind}"), post(handler)).route(&format!("/v1/{short}"), post(handler));
    }
    // A compressed body is never larger than its inflated limit. The higher limit here makes our own answer reach the
    // client.
    router
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX * 2))
        .layer(middleware::from_fn(preflight))
        .with_state(receiver)
}

/// A body, or why it is missing.
type Body = Result<Bytes, BytesRejection>;

fn whole(body: Body) -> Result<Bytes, BadRequest> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => BadRequest::too_large(),
        _ => BadRequest::malformed(),
    })
}

async fn batch(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    answer(async {
        let body = request::json(&headers, &whole(body)?)?;
        let sender = receiver.sender(&headers, &body)?;
        receiver.receive(&sender, request::batch(body)?).await
    })
    .await
}

async fn single(kind: &str, State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    answer(async {
        let body = request::json(&headers, &whole(body)?)?;
        let sender = receiver.sender(&headers, &body)?;
        receiver.receive(&sender, vec![request::single(kind, body)?]).await
    })
    .await
}

async fn set(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    answer(async {
        let body = request::json(&headers, &whole(body)?)?;
        let source = receiver.sender(&headers, &body)?.source.to_string();
        let (collection, objects) = request::objects(body)?;
        let at_ms = receiver.clock.now_ms();
        receiver.recent.note(objects.into_iter().map(|mut call| {
            call.insert("collection".to_owned(), Value::from(collection.clone()));
            Seen { at_ms, source: source.clone(), call }
        }));
        Ok(false)
    })
    .await
}

/// The settings that browser and mobile libraries request before they send.
async fn settings(State(receiver): State<Arc<Receiver>>, Path(key): Path<String>) -> Response {
    if receiver.keys.source(&key).is_none() {
        let refusal = BadRequest { status: 404, ..BadRequest::write_key() };
        return refuse(&refusal);
    }
    json_response(StatusCode::OK, &json!({ "integrations": { "Segment.io": { "apiKey": key } } }), false)
}

/// Browsers ask before they send with an `Authorization` of their own, at whatever path.
async fn preflight(request: Request, next: Next) -> Response {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    (StatusCode::NO_CONTENT, [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization")])
        .into_response()
}

/// Segment answers a GET as it answers a POST without a body.
async fn other_method() -> Response {
    refuse(&BadRequest::malformed())
}

async fn unknown() -> Response {
    let message = "no such path; the Tracking API is at /v1/batch, /v1/track and its like";
    refuse(&BadRequest { status: 404, code: "not_found", message: message.to_owned() })
}

async fn answer(receive: impl Future<Output = Result<bool, BadRequest>>) -> Response {
    match receive.await {
        Ok(staged) => json_response(StatusCode::OK, &json!({ "success": true }), staged),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &BadRequest) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({ "success": false, "message": refusal.message, "code": refusal.code });
    json_response(status, &body, false)
}

fn json_response(status: StatusCode, body: &Value, staged: bool) -> Response {
    let mut response =
        (status, [(CONTENT_TYPE, "application/json"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")], body.to_string())
            .into_response();
    if staged {
        response.headers_mut().insert("x-segment-s3-staged", axum::http::HeaderValue::from_static("true"));
    }
    response
}
