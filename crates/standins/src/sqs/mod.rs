//! SQS: standard queues with delays, visibility and dead letters, by a clock that a story can move. The functions only
//! send messages; the [event source](crate::event_source) receives them in process. The command line receives dead letters.
//!
//! Signatures are not verified, so any client may use the queues.

mod protocol;
mod queue;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::faults::{Fault, Faults, Moment, Target};
use crate::s3;
use crate::serve::{self, Listening, Reply, answer, cut_short, made_up};

use protocol::{SqsError, no_such_queue, refused};
use queue::Queue;

pub(crate) use protocol::{arn, md5_hex, system_attributes};
pub use queue::{Message, QueueSettings};

pub(crate) const ACCOUNT: &str = crate::iam::DEFAULT_ACCOUNT;
pub(crate) const REGION: &str = s3::REGION;

/// The configuration of a server. [`start`](Setup::start) makes it so.
#[derive(Debug)]
#[must_use]
pub struct Setup {
    clock: Clock,
    faults: Faults,
    queues: Queues,
}

impl Setup {
    /// Adds a queue with SQS's own defaults.
    pub fn with_queue(self, name: &str) -> Setup {
        self.with_queue_of(name, QueueSettings::default())
    }

    /// Adds a queue. The caller adds its dead-letter queue too.
    pub fn with_queue_of(self, name: &str, settings: QueueSettings) -> Setup {
        self.queues.create(name, settings);
        self
    }

    /// Goes by this clock for delays, visibility and retention.
    pub fn with_clock(mut self, clock: Clock) -> Setup {
        self.clock = clock;
        self
    }

    /// Starts the server on the running tokio runtime.
    pub async fn start(self) -> io::Result<Server> {
        let wire = Wire { queues: self.queues.clone(), clock: self.clock.clone(), faults: self.faults.clone() };
        let listening = serve::listen(serve::any_port(), move |request| wire.clone().handle(request)).await?;
        Ok(Server { listening, queues: self.queues, clock: self.clock, faults: self.faults })
    }
}

/// A running SQS. Dropped, it stops, and its messages are gone.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
    queues: Queues,
    clock: Clock,
    faults: Faults,
}

impl Server {
    /// A server without queues.
    pub fn setup() -> Setup {
        Setup { clock: Clock::real(), faults: Faults::default(), queues: Queues::default() }
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// The environment variables for its endpoint.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![(String::from("AWS_ENDPOINT_URL_SQS"), self.url())]
    }

    /// The URL of a queue, for `QUEUE_URL`.
    pub fn queue_url(&self, name: &str) -> String {
        protocol::queue_url(&self.url(), name)
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its faults: rules name an action, and the queue as the bucket.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Sends a message without a request. A queue that is not there takes nothing.
    pub fn send(&self, queue: &str, body: &str) {
        let sent = self.queues.send(queue, body.to_owned(), 0, self.clock.now_ms());
        if sent.is_err() {
            tracing::warn!(queue, "no such queue");
        }
    }

    /// Everything in a queue: visible, delayed, and lent out.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.queues.with(queue, |queue| queue.messages.clone()).unwrap_or_default()
    }

    /// Moves all messages from one queue to another, as a redrive does. Their counts of receives restart.
    pub fn redrive(&self, from: &str, to: &str) {
        let now_ms = self.clock.now_ms();
        let moved = self.queues.with(from, |queue| std::mem::take(&mut queue.messages)).unwrap_or_default();
        for message in moved {
            let _ = self.queues.send(to, message.body, 0, now_ms);
        }
    }

    /// Sends the notifications of a bucket to a queue, as S3 does. When a client hears of its put,
    /// the message is in the queue.
    pub fn subscribe(&self, queue: &str, s3: &s3::Server, bucket: &str, filter: s3::Filter) {
        let (queues, clock, queue) = (self.queues.clone(), self.clock.clone(), queue.to_owned());
        s3.on_created(bucket, filter, move |notification| {
            let body = notification.to_string();
            if queues.send(&queue, body, 0, clock.now_ms()).is_err() {
                tracing::warn!(queue, "no such queue");
            }
        });
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.queues
    }
}

/// All queues of a server, and word of every change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<BTreeMap<String, Queue>>,
    changes: watch::Sender<u64>,
}

impl Queues {
    pub(crate) fn create(&self, name: &str, settings: QueueSettings) {
        self.lock().entry(name.to_owned()).or_default().settings = settings;
    }

    pub(crate) fn with<R>(&self, name: &str, act: impl FnOnce(&mut Queue) -> R) -> Result<R, SqsError> {
        self.lock().get_mut(name).map(act).ok_or_else(no_such_queue)
    }

    pub(crate) fn send(&self, name: &str, body: String, delay_s: i64, now_ms: i64) -> Result<Message, SqsError> {
        let sent = self.with(name, |queue| queue.send(body, delay_s, now_ms));
        self.changed();
        sent
    }

    /// Lends out up to `count` visible messages, and moves messages that were received too often to the dead letters.
    /// They stay hidden for the seconds of the queue, or for these.
    pub(crate) fn receive(
        &self,
        name: &str,
        count: usize,
        visibility_s: Option<i64>,
        now_ms: i64,
    ) -> Result<Vec<Message>, SqsError> {
        let mut queues = self.lock();
        let queue = queues.get_mut(name).ok_or_else(no_such_queue)?;
        let (lent, dead) = queue.receive(count, visibility_s, now_ms);
        let dead_letters = queue.settings.redrive.clone();
        if let Some((dead_letters, _)) = dead_letters.filter(|_| !dead.is_empty()) {
            queues.entry(dead_letters).or_default().messages.extend(dead);
            drop(queues);
            self.changed();
        }
        Ok(lent)
    }

    /// Wakes the waiters after a change.
    pub(crate) fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Wire {
    queues: Queues,
    clock: Clock,
    faults: Faults,
}

impl Wire {
    async fn handle(self, request: Request<Incoming>) -> Reply {
        let action = request.headers().get("x-amz-target");
        let action = action.and_then(|target| target.to_str().ok()?.strip_prefix("AmazonSQS."));
        let action = action.unwrap_or_default().to_owned();
        let Ok(body) = request.into_body().collect().await else { return Reply::Drop };
        let input: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        // A complete request has its effect even if its client disconnects.
        let acted = tokio::spawn(async move { self.act(&action, &input).await });
        acted.await.unwrap_or(Reply::Drop)
    }

    async fn act(&self, action: &str, input: &Value) -> Reply {
        let queue = protocol::queue_of(input).unwrap_or_default().to_owned();
        let plan = self.faults.plan(&Target { operation: action.to_owned(), bucket: queue, key: String::new() });
        if let Some(fault) = plan.strike(Moment::Before).await {
            return failed(&fault, None);
        }
        let response = match protocol::act(&self.queues, self.clock.now_ms(), action, input) {
            Ok(output) => answer(200, "application/x-amz-json-1.0", output.to_string()),
            Err(refusal) => refused(&refusal),
        };
        match plan.strike(Moment::After).await {
            None => Reply::Answer(response),
            Some(fault) => failed(&fault, Some(response)),
        }
    }
}

fn failed(fault: &Fault, response: Option<http::Response<serve::Body>>) -> Reply {
    let (status, code, message) = match fault {
        Fault::Reset | Fault::CutRequest => return Reply::Drop,
        Fault::Answer(answer) => return Reply::Answer(made_up(answer)),
        Fault::CutAnswer(bytes) => {
            return response
                .map_or(Reply::Drop, |response| Reply::Answer(response.map(|body| cut_short(body, *bytes))));
        }
        Fault::SlowDown => {
            (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
        }
        _ => (
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
    };
    Reply::Answer(refused(&SqsError { status, code, old_code: code, message: message.to_owned() }))
}
