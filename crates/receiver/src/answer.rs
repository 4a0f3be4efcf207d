//! Answers in the form that Segment's libraries read.

use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracking::refusal::Refusal;

/// True if the received calls are kept for the exporter.
const STAGED: HeaderName = HeaderName::from_static("x-segment-s3-staged");
/// Segment sends it beside `Retry-After` (documentation of the HTTP Tracking API, "Rate limits").
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Seconds after which a request that was not kept may come again.
const RETRY_SECONDS: u64 = 5;

/// A request that is not answered 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    refusal: Refusal,
    retry_seconds: Option<u64>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure { status: StatusCode::BAD_REQUEST, refusal, retry_seconds: None }
    }
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: &str, retry_seconds: Option<u64>) -> Failure {
        Failure { status, refusal: Refusal { code, message: message.to_owned() }, retry_seconds }
    }

    pub(crate) fn no_such_path() -> Failure {
        let message = "no such path; the Tracking API is at /v1/batch, /v1/track and its like";
        Failure::new(StatusCode::NOT_FOUND, "not_found", message, None)
    }

    pub(crate) fn no_such_key() -> Failure {
        Failure { status: StatusCode::NOT_FOUND, ..Failure::from(Refusal::write_key()) }
    }

    pub(crate) fn no_such_webhook() -> Failure {
        let message = "no secret is set for a source of this id; write it into WEBHOOK_SECRETS";
        Failure::new(StatusCode::NOT_FOUND, "not_found", message, None)
    }

    pub(crate) fn unsigned() -> Failure {
        let message = "X-Signature is not the signature of this body with the secret of the source";
        Failure::new(StatusCode::UNAUTHORIZED, "invalid_signature", message, None)
    }

    pub(crate) fn encoding() -> Failure {
        Refusal { code: "invalid_request", message: "the content encoding must be gzip or none".to_owned() }.into()
    }

    pub(crate) fn too_slow() -> Failure {
        Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took too long; send it again", None)
    }

    pub(crate) fn objects() -> Failure {
        let message = "the receiver keeps no objects; send them to Segment's Objects API";
        Failure::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message, None)
    }

    pub(crate) fn unavailable() -> Failure {
        let message = "the calls could not be kept; send them again";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, Some(RETRY_SECONDS))
    }

    pub(crate) fn rate_limited(seconds: u64) -> Failure {
        let message = "the source sends more calls a second than SOURCE_CALLS_PER_SECOND; send them later";
        Failure::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message, Some(seconds))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Refusal { code, message } = self.refusal;
        let mut headers = HeaderMap::new();
        if let Some(seconds) = self.retry_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            if self.status == StatusCode::TOO_MANY_REQUESTS {
                headers.insert(RATE_LIMIT_RESET, HeaderValue::from(seconds));
            }
        }
        (headers, json_of(self.status, &json!({ "success": false, "message": message, "code": code }))).into_response()
    }
}

/// The answer to calls that are kept.
pub(crate) fn kept() -> Response {
    ([(STAGED, "true")], json_of(StatusCode::OK, &json!({ "success": true }))).into_response()
}

/// An answer with a document.
pub(crate) fn json_of(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
