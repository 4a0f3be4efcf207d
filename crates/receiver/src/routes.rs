//! What each path does.

use crate::answer::{Failure, json_of, kept};
use crate::receive::{Facts, Receiver, write_key};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use tracking::address::client;
use tracking::body::Body;
use tracking::calls::{self, Limits};
use tracking::refusal::Refusal;
use tracking::{pixel, webhook};

/// Asks that one bad call refuses all of its request, with 400. The ingester sends it.
const STRICT: &str = "x-segment-s3-strict";
/// The signature of a webhook.
const SIGNATURE: &str = "x-signature";

type App = State<Arc<Receiver>>;
/// A body, or why it is missing.
type Sent = Result<Bytes, BytesRejection>;
/// The address of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);
type From = Option<Extension<Peer>>;

/// Calls in a batch.
pub(crate) async fn batch(is_client: bool, State(app): App, from: From, headers: HeaderMap, sent: Sent) -> Response {
    answer(async {
        let limits = app.settings.limits;
        let body = read(&headers, sent, limits)?;
        let fields = body.fields()?;
        let source = app.source(write_key(&headers, &fields)).await?;
        let facts = facts(&app, is_client, from, &headers);
        app.receive(source, facts, |sender| calls::batch(&fields, limits, sender)).await
    })
    .await
}

/// A call alone.
pub(crate) async fn single(
    kind: &'static str,
    is_client: bool,
    State(app): App,
    from: From,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    answer(async {
        let limits = app.settings.limits;
        let body = read(&headers, sent, limits)?;
        let source = app.source(write_key(&headers, &body.fields()?)).await?;
        let facts = facts(&app, is_client, from, &headers);
        app.receive(source, facts, |sender| calls::single(kind, &body, limits, sender)).await
    })
    .await
}

/// A call in the query of an image. The answer is the image, whatever becomes of the call.
pub(crate) async fn pixel(
    kind: &'static str,
    State(app): App,
    from: From,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let received: Result<(), Failure> = async {
        let limits = app.settings.limits;
        let body = Body::read(&pixel::body(&query.unwrap_or_default()));
        let source = app.source(body.fields()?.write_key()).await?;
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let facts = Facts { user_agent, ..facts(&app, true, from, &headers) };
        app.receive(source, facts, |sender| calls::single(kind, &body, limits, sender)).await
    }
    .await;
    if let Err(failure) = received {
        // The client does not learn it.
        tracing::warn!(?failure, "the call of a pixel is not kept");
    }
    ([(CONTENT_TYPE, "image/gif"), (CACHE_CONTROL, "no-store")], pixel::GIF).into_response()
}

/// Events that a workspace forwards.
pub(crate) async fn hook(
    State(app): App,
    Path(source): Path<String>,
    from: From,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    answer(async {
        let bytes = whole(sent)?;
        let (id, secret) = app.settings.secrets.of(&source).ok_or_else(Failure::no_such_webhook)?;
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !webhook::is_signed(&bytes, signature, secret) {
            return Err(Failure::unsigned());
        }
        let limits = Limits::WEBHOOK;
        let body = bounded(&headers, bytes, limits)?;
        let facts = facts(&app, false, from, &headers);
        let source = crate::receive::Source { id: id.clone(), write_key: None };
        app.receive(source, facts, |sender| calls::webhook(&body, limits, sender)).await
    })
    .await
}

/// Objects of the Objects API. The body is read, so that the answer reaches the client.
pub(crate) async fn objects(_: Sent) -> Failure {
    Failure::objects()
}

/// The settings that libraries for browsers and devices request before they send. `apiHost` leads them here.
pub(crate) async fn settings(State(app): App, Path(key): Path<String>, headers: HeaderMap) -> Response {
    if let Err(failure) = app.source(Some(key.clone())).await {
        let is_unknown = failure == Refusal::write_key().into();
        return if is_unknown { Failure::no_such_key() } else { failure }.into_response();
    }
    let mut integration = json!({ "apiKey": key });
    if let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) {
        integration["apiHost"] = format!("{host}/v1").into();
    }
    // Without it, analytics.js sends measurements of itself.
    let metrics = json!({ "sampleRate": 0 });
    json_of(StatusCode::OK, &json!({ "integrations": { "Segment.io": integration }, "metrics": metrics, "plan": {} }))
}

/// That the process serves requests.
pub(crate) async fn health() -> Response {
    json_of(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Segment answers a GET as it answers a POST without a body.
pub(crate) async fn other_method() -> Failure {
    Refusal::malformed().into()
}

pub(crate) async fn unknown() -> Failure {
    Failure::no_such_path()
}

/// The facts that the headers and the connection say.
fn facts(app: &Receiver, is_client: bool, from: From, headers: &HeaderMap) -> Facts {
    let forwarded: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let peer = from.and_then(|Extension(Peer(peer))| peer);
    Facts {
        is_client: is_client || headers.contains_key(ORIGIN),
        is_strict: headers.get(STRICT).is_some_and(|value| value == "true"),
        ip: client(&forwarded, peer, app.settings.trusted_hops).map(|ip| ip.to_string()),
        user_agent: None,
    }
}

fn read(headers: &HeaderMap, sent: Sent, limits: Limits) -> Result<Body, Failure> {
    bounded(headers, whole(sent)?, limits)
}

fn whole(sent: Sent) -> Result<Bytes, Failure> {
    sent.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large().into(),
        _ => Refusal::malformed().into(),
    })
}

/// The body as text, whatever its content type says: analytics.js and analytics-kotlin send `text/plain`.
fn bounded(headers: &HeaderMap, bytes: Bytes, limits: Limits) -> Result<Body, Failure> {
    // A layer has inflated gzip and removed the header.
    if headers.get(CONTENT_ENCODING).is_some_and(|value| !value.is_empty() && value != "identity") {
        return Err(Failure::encoding());
    }
    if bytes.len() > limits.body_bytes_max {
        return Err(Refusal::too_large().into());
    }
    Ok(Body::read(&bytes))
}

async fn answer(receive: impl Future<Output = Result<(), Failure>>) -> Response {
    match receive.await {
        Ok(()) => kept(),
        Err(failure) => failure.into_response(),
    }
}
