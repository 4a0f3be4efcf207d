//! The file of two owners, its S3, and Segment's side.

use crate::app::App;
use crate::report::Report;
use crate::sender::Script;
use crate::settings::Settings;
use crate::targets::{Target, Targets};
use aws::{Clock, Dice};
use aws_sdk_s3::config::SharedHttpClient;
use delivery::Delivery;
use ingestion::deadline::Deadline;
use ingestion::notification::Notice;
use ingestion::refusals::RefusedRequest;
use ingestion::run::{Sent, Undelivered};
use serde_json::Value;
use standins::explorer::{Running, Start};
pub(super) use standins::installation::STATE_BUCKET as STATE;
use standins::s3::Server;
use std::cell::Cell;
use std::sync::{Arc, OnceLock};

/// The notes of a test for its checks. They are part of the server's content, so that the explorer distinguishes states
/// with different notes.
pub(super) const NOTES: &str = "notes";
const DROP: &str = "drop";
const KEY: &str = "track_owners.csv";
/// 2019-05-11T08:32:27.940Z: no owner works past midnight.
const NOW_MS: i64 = 1_557_563_547_940;
const HOUR_MS: i64 = 3_600_000;
/// Calls in a request.
const BATCH_CALLS_MAX: usize = 2;

/// The rows, named by their events. The second has no id, and Segment refuses the fourth.
pub(super) const CSV: &str = "event,userId\ne1,u1\ne2,\ne3,u3\ne4,u4\ne5,u5\n";
pub(super) const REFUSED: [&str; 2] = ["e2", "e4"];

/// A file in an S3 in process.
pub(super) struct World {
    pub(super) s3: Server,
}

/// One handling of the message for the file.
#[derive(Clone, Copy)]
pub(super) struct Handler {
    /// A later one finds each lease of an earlier one over.
    pub(super) number: u8,
    /// The request to Segment that is accepted without an answer, counted from 1.
    pub(super) lost_answer: Option<u32>,
}

impl World {
    pub(super) fn new() -> World {
        let setup = Server::memory().with_bucket(DROP).with_bucket(STATE).with_bucket(NOTES);
        let setup = setup.with_credentials("owner", "secret").with_clock(standins::Clock::frozen_at(NOW_MS));
        let world = World { s3: setup.in_process().unwrap() };
        world.s3.put(DROP, KEY, CSV).unwrap();
        world
    }

    /// Notes a value. Panics if another one is noted under this name.
    pub(super) fn note(&self, name: &str, value: &str) {
        match self.noted(name) {
            Some(noted) => assert_eq!(noted, value, "{name} differs from what it was"),
            None => drop(self.s3.put(NOTES, name, value).unwrap()),
        }
    }

    pub(super) fn noted(&self, name: &str) -> Option<String> {
        Some(String::from_utf8(self.s3.bytes(NOTES, name)?.to_vec()).unwrap())
    }

    fn app(self: &Arc<Self>, http: SharedHttpClient, handler: Handler) -> App {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        static TARGETS: OnceLock<Arc<Vec<Target>>> = OnceLock::new();
        let settings = SETTINGS.get_or_init(settings).clone();
        let now_ms = NOW_MS + HOUR_MS * i64::from(handler.number);
        let (clock, dice) = (Clock::from_fn(move || now_ms), Dice::seeded(handler.number.into()));
        // The script answers in its place, and it takes long to make.
        let targets = || {
            let delivery = Delivery::new(settings.delivery.clone(), clock.clone(), dice.clone()).unwrap();
            Arc::new(vec![Target { name: None, id: settings.source.clone().unwrap(), delivery: Arc::new(delivery) }])
        };
        let targets = Targets::ready(Arc::clone(TARGETS.get_or_init(targets)));
        let config = aws::clients::config_at(&self.s3.url(), "owner", "secret");
        let config = aws::clients::without_stalled_streams(aws::clients::with_clock(config, &clock));
        let config = config.into_builder().http_client(http).build();
        let script = Some(self.script(handler, now_ms));
        App { targets, script, ..App::new(settings, &config, clock, dice).unwrap() }
    }

    /// Segment's side: it notes the rows that it accepts, by requests, and the message id of each row.
    fn script(self: &Arc<Self>, handler: Handler, now_ms: i64) -> Script {
        let (world, requests) = (Arc::clone(self), Cell::new(0));
        Box::new(move |body| {
            requests.set(requests.get() + 1);
            let body: Value = serde_json::from_slice(body).unwrap();
            let calls = body["batch"].as_array().unwrap();
            let event = |call: &Value| call["event"].as_str().unwrap().to_owned();
            for call in calls {
                world.note(&format!("id of {}", event(call)), call["messageId"].as_str().unwrap());
            }
            let events: Vec<String> = calls.iter().map(event).collect();
            if events.iter().any(|event| REFUSED.contains(&event.as_str())) {
                let (message, public) = ("a call is invalid".to_owned(), "Segment refuses".to_owned());
                return Ok(Sent::Refused(RefusedRequest { message, public, too_large: false }));
            }
            world.note(&format!("accepted {}", events.join(" ")), "");
            if handler.lost_answer == Some(requests.get()) {
                let (host, reason) = ("api.segment.io".to_owned(), "the connection broke".to_owned());
                return Err(Undelivered::Unreachable { host, reason, attempts: 1, elapsed_ms: 0, wait_ms: 0 });
            }
            Ok(Sent::Accepted { staged: false, at_ms: now_ms })
        })
    }

    /// Handles the message once. `judge` sees the report, and whether the message is done.
    pub(super) fn handle(
        self: &Arc<Self>,
        handler: Handler,
        judge: impl Fn(&World, crate::FileReport, bool) + 'static,
    ) -> Start {
        let world = Arc::clone(self);
        Box::new(move |http| -> Running {
            Box::pin(async move {
                let app = world.app(http, handler);
                let now_ms = app.clock.now_ms();
                let notice = Notice::of(DROP, KEY);
                let in_force = app.in_force().await.unwrap();
                let mut report = Report::default();
                let deadline = Deadline::of(now_ms, now_ms + 900_000);
                let is_done = app.handle_notice(notice, 1, &in_force, deadline, &mut report).await;
                judge(&world, report.objects.remove(0), is_done);
                Ok(())
            })
        })
    }
}

/// Settled rows are committed at once, and two calls are a batch.
fn settings() -> Settings {
    let get = |name: &str| {
        let value = match name {
            "WRITE_KEY" | "SOURCE_ID" => "s",
            "STATE_BUCKET" => STATE,
            "COMMIT_SECONDS" => "0",
            "REQUESTS_IN_FLIGHT" => "1",
            _ => return None,
        };
        Some(value.to_owned())
    };
    Settings { batch_calls_max: BATCH_CALLS_MAX, ..Settings::read(&get).unwrap() }
}
