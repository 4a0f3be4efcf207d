//! The Runtime API itself: next, response, error, init error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::Outcome;
use crate::serve::{Body, Reply, answer};

const PREFIX: &str = "/2018-06-01/runtime/";

/// "6 MB each for request and response", Lambda quotas; the bytes are from the text of the refusal.
const ANSWER_BYTES_MAX: usize = 6_291_556;

/// The job and the answer of one execution environment.
#[derive(Debug)]
pub(crate) struct Desk {
    function: String,
    state: Mutex<State>,
    job_given: Notify,
    /// Counts changes of `state`, for those who wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<Job>,
    /// The request that the function has in hand, and since when.
    taken: Option<(String, Instant)>,
    /// How it ended.
    done: Option<Outcome>,
    /// The function waits for work.
    idle: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    pub(crate) timeout: Duration,
}

impl Desk {
    pub(crate) fn new(function: &str) -> Desk {
        Desk {
            function: function.to_owned(),
            state: Mutex::default(),
            job_given: Notify::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Sets the next job.
    pub(crate) fn give(&self, job: Job) {
        self.change(|state| {
            state.done = None;
            state.taken = None;
            state.waiting = Some(job);
        });
        self.job_given.notify_one();
    }

    /// Returns when the function has taken the job, or has ended it already.
    pub(crate) async fn taken(&self) -> Option<Instant> {
        self.wait(|state| match (&state.taken, &state.done) {
            (Some((_, since)), _) => Some(Some(*since)),
            (None, Some(_)) => Some(None),
            (None, None) => None,
        })
        .await
    }

    /// Returns when the job is done.
    pub(crate) async fn done(&self) -> Outcome {
        self.wait(|state| state.done.clone()).await
    }

    /// Returns when the function has asked for more work.
    pub(crate) async fn idle(&self) {
        self.wait(|state| state.idle.then_some(())).await;
    }

    async fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(seen) = look(&self.lock()) {
                return seen;
            }
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let segments: Vec<&str> = path.split('/').collect();
        let response = match (request.method(), segments.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["init", "error"]) => {
                let body = body(request).await.unwrap_or_default();
                self.change(|state| {
                    state.waiting = None;
                    state.done = Some(reported(&body));
                });
                accepted()
            }
            (&Method::POST, ["invocation", id, end @ ("response" | "error")]) => {
                let body = body(request).await;
                let outcome = match (*end, &body) {
                    (_, None) => too_large(),
                    ("response", Some(body)) => Outcome::Response(lenient_json(body)),
                    (_, Some(body)) => reported(body),
                };
                match (self.end(id, outcome), body) {
                    (answer, None) if answer.status() == StatusCode::ACCEPTED => answer_too_large(),
                    (answer, _) => answer,
                }
            }
            _ => answer(404, "application/json", "{\"errorType\":\"NotFound\"}"),
        };
        Reply::Answer(response)
    }

    async fn next(&self) -> Response<Body> {
        self.change(|state| state.idle = true);
        let job = loop {
            let job = self.change(|state| {
                let job = state.waiting.take()?;
                state.idle = false;
                state.taken = Some((job.request_id.clone(), Instant::now()));
                Some(job)
            });
            match job {
                Some(job) => break job,
                None => self.job_given.notified().await,
            }
        };
        let deadline = SystemTime::now() + job.timeout;
        let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut response = answer(200, "application/json", job.payload);
        let headers = [
            ("lambda-runtime-aws-request-id", job.request_id),
            ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                format!("arn:aws:lambda:us-east-1:123456789012:function:{}", self.function),
            ),
            ("lambda-runtime-trace-id", String::from("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")),
        ];
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    fn end(&self, id: &str, outcome: Outcome) -> Response<Body> {
        let known = self.change(|state| {
            let known = matches!(&state.taken, Some((taken, _)) if taken == id) && state.done.is_none();
            if known {
                state.done = Some(outcome);
            }
            known
        });
        match known {
            true => accepted(),
            false => answer(
                400,
                "application/json",
                "{\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}",
            ),
        }
    }
}

fn accepted() -> Response<Body> {
    answer(202, "application/json", "{\"status\":\"OK\"}")
}

/// `None` if an answer is too large. A truncated body counts as missing.
async fn body(request: Request<Incoming>) -> Option<Bytes> {
    match Limited::new(request.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => Some(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(_) => Some(Bytes::new()),
    }
}

/// The outcome for the invoker.
fn too_large() -> Outcome {
    let message = format!("Response payload size exceeded maximum allowed payload size ({ANSWER_BYTES_MAX} bytes).");
    Outcome::Error { kind: String::from("Function.ResponseSizeTooLarge"), message }
}

/// The job for the function.
fn answer_too_large() -> Response<Body> {
    let message = format!("Exceeded maximum allowed payload size ({ANSWER_BYTES_MAX} bytes).");
    let body = serde_json::json!({"errorMessage": message, "errorType": "RequestEntityTooLarge"});
    answer(413, "application/json", body.to_string())
}

fn reported(body: &[u8]) -> Outcome {
    let report = lenient_json(body);
    let field = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Outcome::Error { kind: field("errorType"), message: field("errorMessage") }
}

fn lenient_json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
