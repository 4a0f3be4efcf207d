//! Segment: the Tracking API and the Objects API, as strict as Segment's documentation and the observed behaviour. It
//! records all requests.
//!
//! It misbehaves by [`Faults`]. The operation of a rule is the last part of the path (`batch`, `import`, `set`,
//! `track`, …), and the key is the whole path.

mod api;
mod record;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::faults::{Answer, Fault, Faults, Moment, Target};
use crate::serve::{self, Listening, Reply, answer, cut_short, made_up};

pub use api::{KINDS, Limits};
pub use record::{Answered, Call, Delivery, Judgement, Object, Record};

/// 429 with a wait of this many seconds.
pub fn too_many_requests(retry_after_s: u64) -> Answer {
    Fault::status(429)
        .header("Retry-After", &retry_after_s.to_string())
        .header("X-RateLimit-Reset", &retry_after_s.to_string())
        .body(r#"{"success":false,"message":"too many requests","code":"rate_limited"}"#)
}

/// 200 that is not a success.
pub fn unsuccessful() -> Answer {
    Fault::status(200).body(r#"{"success":false}"#)
}

/// The configuration of a server. [`start`](Setup::start) makes it so.
#[derive(Debug)]
#[must_use]
pub struct Setup {
    address: SocketAddr,
    limits: Limits,
    write_keys: Option<BTreeSet<String>>,
    api_host: String,
    sink: bool,
    clock: Clock,
    faults: Faults,
}

impl Setup {
    /// Knows this write key. From then on, calls with any other well-formed key are answered 200 and dropped, as by
    /// Segment. The settings of such a key are not found.
    pub fn with_write_key(mut self, write_key: &str) -> Setup {
        self.write_keys.get_or_insert_default().insert(write_key.to_owned());
        self
    }

    /// Names another API in the settings of its sources: `events.eu1.segmentapis.com/v1`.
    pub fn with_api_host(mut self, api_host: &str) -> Setup {
        api_host.clone_into(&mut self.api_host);
        self
    }

    /// Takes every body without reading it, and keeps it as it travelled: for measurements, which read it later.
    pub fn sink(mut self) -> Setup {
        self.sink = true;
        self
    }

    /// Goes by this clock for arrival times.
    pub fn with_clock(mut self, clock: Clock) -> Setup {
        self.clock = clock;
        self
    }

    /// Listens here instead of at any free port of 127.0.0.1.
    pub fn at(mut self, address: SocketAddr) -> Setup {
        self.address = address;
        self
    }

    /// Starts the server on the running tokio runtime.
    pub async fn start(self) -> io::Result<Server> {
        let shared = Arc::new(Shared {
            limits: self.limits,
            write_keys: self.write_keys,
            api_host: self.api_host,
            sink: self.sink,
            clock: self.clock,
            faults: self.faults,
            grudges: Mutex::default(),
            record: Record::default(),
            in_flight: AtomicUsize::new(0),
        });
        let handler = Arc::clone(&shared);
        let listening = serve::listen(self.address, move |request| Arc::clone(&handler).handle(request)).await?;
        Ok(Server { listening, shared })
    }
}

/// A running Segment. Dropped, it stops.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    write_keys: Option<BTreeSet<String>>,
    api_host: String,
    sink: bool,
    clock: Clock,
    faults: Faults,
    grudges: Mutex<Grudges>,
    record: Record,
    in_flight: AtomicUsize,
}

/// Further refusals, until the story lifts them.
#[derive(Debug, Default)]
struct Grudges {
    users: BTreeSet<String>,
    body_bytes_max: Option<usize>,
}

impl Server {
    /// A server with Segment's limits that knows every well-formed write key.
    pub fn setup() -> Setup {
        Setup {
            address: serve::any_port(),
            limits: Limits::default(),
            write_keys: None,
            api_host: String::from("api.segment.io/v1"),
            sink: false,
            clock: Clock::real(),
            faults: Faults::default(),
        }
    }

    /// The endpoint, for `SEGMENT_ENDPOINT`, `SEGMENT_OBJECTS_ENDPOINT` and `SEGMENT_SETTINGS_ENDPOINT` alike.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The record of requests.
    pub fn record(&self) -> &Record {
        &self.shared.record
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.listening.connections()
    }

    /// Answers 400 to every batch with a call of this user, or an object of this id.
    pub fn refuse_user(&self, user_id: &str) {
        self.shared.grudges().users.insert(user_id.to_owned());
    }

    /// Answers 413 to bodies (before compression) above this size.
    pub fn refuse_bodies_over(&self, bytes: usize) {
        self.shared.grudges().body_bytes_max = Some(bytes);
    }

    /// Forgets both of the above.
    pub fn relent(&self) {
        *self.shared.grudges() = Grudges::default();
    }
}

/// Counts a request as under way until it is dropped, which also happens when its client goes.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// Handles a request to its end even if the client disconnects, because a complete request counts.
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        let handled = tokio::spawn(async move {
            let _in_flight = InFlight(&self.in_flight);
            let path = request.uri().path().to_owned();
            let mut delivery = Delivery {
                operation: api::operation(&path).to_owned(),
                path,
                arrived_ms: self.clock.now_ms(),
                in_flight,
                ..Delivery::default()
            };
            let reply = self.reply(request, &mut delivery).await;
            delivery.answered = match (&reply, delivery.answered) {
                (Reply::Answer(response), Answered::Nothing) => Answered::Status(response.status().as_u16()),
                _ => Answered::Cut,
            };
            self.record.add(delivery);
            reply
        });
        handled.await.unwrap_or(Reply::Drop)
    }

    async fn reply(&self, request: Request<Incoming>, delivery: &mut Delivery) -> Reply {
        let plan = self.faults.plan(&Target {
            operation: delivery.operation.clone(),
            bucket: String::new(),
            key: delivery.path.clone(),
        });
        delivery.faults = plan.names();
        let (parts, mut incoming) = request.into_parts();
        if plan.cuts_request() {
            // Whatever else the plan holds comes first: a wait, a word to the story.
            if let Some(Fault::CutRequest) = plan.strike(Moment::Before).await {
                read_half(&mut incoming, &parts.headers).await;
            }
            return Reply::Drop;
        }
        let Ok(body) = incoming.collect().await.map(|body| body.to_bytes()) else {
            return Reply::Drop;
        };
        delivery.wire_bytes = body.len();
        if let Some(fault) = plan.strike(Moment::Before).await {
            delivery.verdict = Judgement::Refused(format!("fault {}", fault.name()));
            return Reply::Answer(refusal(&fault));
        }
        let response = self.judge(&parts.method, &parts.headers, body, delivery);
        match plan.strike(Moment::After).await {
            None => Reply::Answer(response),
            Some(Fault::Reset | Fault::CutRequest) => Reply::Drop,
            Some(Fault::CutAnswer(bytes)) => {
                delivery.answered = Answered::Cut;
                Reply::Answer(response.map(|body| cut_short(body, bytes)))
            }
            Some(fault) => Reply::Answer(refusal(&fault)),
        }
    }

    fn judge(
        &self,
        method: &http::Method,
        headers: &HeaderMap,
        body: Bytes,
        delivery: &mut Delivery,
    ) -> http::Response<serve::Body> {
        if self.sink {
            delivery.verdict = Judgement::Applied;
            delivery.unread = body;
            return json(200, r#"{"success":true}"#);
        }
        let grudges = self.grudges();
        let judge = api::Judge {
            limits: &self.limits,
            write_keys: self.write_keys.as_ref(),
            refused_users: &grudges.users,
            body_bytes_max: grudges.body_bytes_max,
            api_host: &self.api_host,
        };
        let (status, answer) = judge.judge(method, headers, body, delivery);
        json(status, &answer)
    }

    fn grudges(&self) -> MutexGuard<'_, Grudges> {
        self.grudges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn json(status: u16, body: &str) -> http::Response<serve::Body> {
    answer(status, "application/json", body.to_owned())
}

fn refusal(fault: &Fault) -> http::Response<serve::Body> {
    match fault {
        Fault::Answer(made) => made_up(made),
        Fault::SlowDown => {
            json(503, r#"{"success":false,"message":"service unavailable","code":"service_unavailable"}"#)
        }
        _ => json(500, r#"{"success":false,"message":"internal server error","code":"internal_error"}"#),
    }
}

async fn read_half(incoming: &mut Incoming, headers: &HeaderMap) {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let half = length.and_then(|length| length.parse::<usize>().ok()).unwrap_or(2) / 2;
    let mut read = BytesMut::new();
    while read.len() < half {
        match incoming.frame().await {
            Some(Ok(frame)) => read.extend(frame.into_data()),
            _ => return,
        }
    }
}
