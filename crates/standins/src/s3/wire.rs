//! Between the socket and `s3s`: the log, faults that need the connection, and STS's error format.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use s3s::service::S3Service;

use super::access::{Trace, as_error};
use super::requests::{self, Requests};
use super::shared_body::SharedBody;
use super::sts;
use crate::clock::Clock;
use crate::dice;
use crate::faults::{Fault, Moment};
use crate::serve::{Body, Reply, cut_short, damaged, made_up};

/// The bytes of an unwanted body that are read, so that the client gets the answer instead of a broken pipe.
const DRAINED_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) service: S3Service,
    pub(crate) requests: Requests,
    pub(crate) clock: Clock,
}

impl Wire {
    /// Handles a request to its end even if the client goes away: what S3 has received whole, it
    /// applies.
    pub(crate) async fn handle(self, request: Request<Body>) -> Reply {
        let handled = tokio::spawn(self.handle_here(request)).await;
        handled.unwrap_or(Reply::Drop)
    }

    /// The same in this very task, for callers that stay to the end.
    pub(crate) async fn handle_here(self, request: Request<Body>) -> Reply {
        let is_sts = sts::is_for_sts(request.method(), request.uri(), request.headers());
        let mut log = log_entry(request.headers());
        let (mut parts, incoming) = request.into_parts();
        join_content_encodings(&mut parts.headers);
        let body = SharedBody::new(incoming);
        let trace = Trace::default();
        trace.with(|traced| traced.body = Some(body.clone()));
        parts.extensions.insert(trace.clone());
        if deletes_many(&parts) {
            body.receive().await;
            parts.extensions.insert(DeletesBody(body.received()));
        }
        let request = Request::from_parts(parts, s3s::Body::http_body(body.clone()));
        let answered = self.service.call(request).await;
        let traced = trace.with(std::mem::take);
        let ended_before = traced.ended.is_some();
        let mut reply = match (answered, traced.ended) {
            (_, Some(Fault::Reset)) | (Err(_), _) => Reply::Drop,
            (_, Some(Fault::CutRequest)) => {
                body.read(log.body_bytes / 2).await;
                Reply::Drop
            }
            (_, Some(Fault::Answer(answer))) => Reply::Answer(made_up(&answer)),
            (Ok(response), _) if is_sts => Reply::Answer(sts::in_its_own_format(response).await),
            (Ok(response), _) => Reply::Answer(response.map(|body| body.boxed_unsync())),
        };
        if let Some(plan) = traced.plan {
            log.faults = plan.names();
            reply = match reply {
                Reply::Answer(response) if !ended_before => match plan.strike(Moment::After).await {
                    None => Reply::Answer(response),
                    Some(fault) => after(&fault, response, is_sts).await,
                },
                reply => reply,
            };
        }
        if let Reply::Answer(response) = &mut reply {
            body.read(DRAINED_BYTES_MAX).await;
            log.status = Some(response.status().as_u16());
            if let Ok(id) = dice::base32(16).parse() {
                response.headers_mut().insert("x-amz-request-id", id);
            }
        }
        if let Some(target) = traced.target {
            log.operation = target.operation;
            log.bucket = target.bucket;
            log.key = target.key;
        }
        log.caller = traced.caller;
        log.at_ms = self.clock.now_ms();
        self.requests.add(log);
        reply
    }
}

/// The body of a `DeleteObjects`, as it was sent. `s3s` makes keys of it and forgets it, and there are digests to compare.
#[derive(Clone, Debug)]
pub(crate) struct DeletesBody(pub(crate) Bytes);

fn deletes_many(request: &http::request::Parts) -> bool {
    let query = request.uri.query().unwrap_or_default();
    request.method == http::Method::POST && query.split('&').any(|pair| pair.split('=').next() == Some("delete"))
}

/// Clients send `gzip` and `aws-chunked` as two headers, which `s3s` refuses. Joined as signatures
/// join them, they are the same to everyone.
fn join_content_encodings(headers: &mut HeaderMap) {
    let values = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let values: Vec<&[u8]> = values.map(http::HeaderValue::as_bytes).collect();
    if values.len() > 1
        && let Ok(joined) = http::HeaderValue::from_bytes(&values.join(&b","[..]))
    {
        headers.insert(http::header::CONTENT_ENCODING, joined);
    }
}

async fn after(fault: &Fault, response: Response<Body>, is_sts: bool) -> Reply {
    match fault {
        Fault::Reset | Fault::CutRequest => Reply::Drop,
        Fault::CutAnswer(bytes) => Reply::Answer(response.map(|body| cut_short(body, *bytes))),
        Fault::DamageAnswer => Reply::Answer(response.map(damaged)),
        Fault::Answer(answer) => Reply::Answer(made_up(answer)),
        fault => match as_error(fault).to_http_response() {
            Ok(error) if is_sts => Reply::Answer(sts::in_its_own_format(error).await),
            Ok(error) => Reply::Answer(error.map(|body| body.boxed_unsync())),
            Err(_) => Reply::Drop,
        },
    }
}

fn log_entry(headers: &HeaderMap) -> requests::Request {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    requests::Request {
        operation: String::from("Unknown"),
        bucket: String::new(),
        key: String::new(),
        caller: None,
        status: None,
        body_bytes: header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0),
        range: header("range"),
        if_match: header("if-match"),
        if_none_match: header("if-none-match"),
        faults: Vec::new(),
        at_ms: 0,
    }
}
