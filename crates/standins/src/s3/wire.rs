//! Between the socket and `s3s`: the log, faults that need the connection, and STS's error format.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use s3s::service::S3Service;

use super::access::{Trace, as_error};
use super::requests::{self, Requests};
use crate::clock::Clock;
use crate::dice;
use crate::faults::{Fault, Moment};
use crate::serve::{Body, BoxError, Reply, cut_short, made_up};
use crate::sts;

/// How much of a body that nobody wanted is read all the same, so that the client hears the
/// answer instead of a broken pipe.
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
    pub(crate) async fn handle(self, request: Request<Incoming>) -> Reply {
        let handled = tokio::spawn(self.handle_here(request)).await;
        handled.unwrap_or(Reply::Drop)
    }

    async fn handle_here(self, request: Request<Incoming>) -> Reply {
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

/// A request's body that `s3s` reads, and that the wire can still read when `s3s` did not.
#[derive(Clone, Debug)]
pub(crate) struct SharedBody(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    /// Read ahead.
    buffered: VecDeque<Result<Bytes, BoxError>>,
    incoming: Incoming,
}

impl SharedBody {
    fn new(incoming: Incoming) -> SharedBody {
        SharedBody(Arc::new(Mutex::new(Shared { buffered: VecDeque::new(), incoming })))
    }

    /// Reads to the end, for whoever comes later: a request that is held back has been received.
    pub(crate) async fn receive(&self) {
        while let Some(chunk) = self.next().await {
            let failed = chunk.is_err();
            self.lock().buffered.push_back(chunk);
            if failed {
                return;
            }
        }
    }

    /// What was read ahead.
    fn received(&self) -> Bytes {
        let shared = self.lock();
        let chunks = shared.buffered.iter().flatten();
        chunks
            .fold(BytesMut::new(), |mut all, chunk| {
                all.extend_from_slice(chunk);
                all
            })
            .freeze()
    }

    /// Reads and forgets up to about so many bytes.
    async fn read(&self, bytes: u64) {
        self.lock().buffered.clear();
        let mut read = 0;
        while read < bytes {
            match self.next().await {
                Some(Ok(chunk)) => read += chunk.len() as u64,
                _ => return,
            }
        }
    }

    async fn next(&self) -> Option<Result<Bytes, BoxError>> {
        std::future::poll_fn(|cx| self.lock().poll_incoming(cx)).await
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error.into())),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_trailers) => continue,
                },
            });
        }
    }
}

impl hyper::body::Body for SharedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.lock();
        let chunk = match shared.buffered.pop_front() {
            Some(chunk) => Some(chunk),
            None => ready!(shared.poll_incoming(cx)),
        };
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        shared.buffered.is_empty() && shared.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let ahead = shared.buffered.iter().flatten().map(|chunk| chunk.len() as u64);
        let ahead: u64 = ahead.sum();
        let rest = shared.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(ahead + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(ahead + upper);
        }
        hint
    }
}
