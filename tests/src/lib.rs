//! The set-up that the stories share: a small world of stand-ins around the real binaries.
#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene has failed")]

pub mod binaries;
pub mod deployed;
pub mod document;
pub mod failure;
pub mod line;
pub mod mill;
pub mod requests;
pub mod telemetry;

use crate::binaries::binary;
use crate::deployed::Deployed;
use crate::failure::Failure;
use aws::{Clock, Dice};
use flate2::read::GzDecoder;
use receiver::Receiver;
use serde_json::{Value, json};
pub use standins::installation::{CUSTOMER_BUCKET as CUSTOMER, SOURCE_BUCKET as SOURCE, STATE_BUCKET as STATE};
pub use standins::installation::{SOURCE_ID, WRITE_KEY};
use standins::lambda::{Function, Lambda};
use standins::{installation, s3, segment};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// The stand-ins for S3, STS and Segment, and the functions' settings for them.
pub struct World {
    /// S3 and STS.
    pub s3: s3::Server,
    /// Segment.
    pub segment: segment::Server,
    /// The endpoint that the ingester sends to: [`World::segment`], or another one that a story sets.
    pub segment_url: String,
    /// The evidence of this world if its story fails.
    pub(crate) failure: Failure,
}

impl World {
    /// The installation that the demo has too. The source bucket keeps no versions. The functions have the rights that
    /// the template gives them, and no others.
    pub async fn new() -> Self {
        let s3 = installation::with_buckets(s3::Server::memory().with_bucket(SOURCE)).start().await.unwrap();
        Deployed::read().grant(s3.directory());
        let segment = installation::segment().start().await.unwrap();
        let segment_url = segment.url();
        Self { s3, segment, segment_url, failure: Failure::of_this_story() }
    }

    /// The same with our receiver as the ingester's endpoint. It keeps the calls that it accepts for the exporter.
    pub async fn with_receiver(include_write_key: bool) -> (Self, Arc<Receiver>) {
        let mut world = Self::new().await;
        let policy = Deployed::read().policy("receiver");
        let key = world.s3.directory().add_user("arn:aws:iam::123456789012:user/receiver", vec![policy]);
        let config = aws::clients::config_at(&world.s3.url(), &key.access_key_id, &key.secret_access_key);
        let mut settings = installation::receiver_settings();
        settings.push(("INCLUDE_WRITE_KEY".to_owned(), include_write_key.to_string()));
        let get = |wanted: &str| settings.iter().find_map(|(name, value)| (name == wanted).then(|| value.clone()));
        let settings = receiver::Settings::parse(&get).unwrap();
        let receiver = Receiver::new(settings, &config, Clock::system(), Dice::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.segment_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(receiver::server::serve(listener, Arc::clone(&receiver), std::future::pending()));
        (world, receiver)
    }

    /// The receiver's binary with its settings.
    pub fn receiver(&self) -> Function {
        Function::new("receiver", binary("receiver"))
            .journal(&self.failure.journal)
            .envs(self.s3.env_as(&Deployed::read().credentials("receiver", self.s3.directory())))
            .envs(installation::receiver_settings())
            .timeout(Duration::from_secs(60))
    }

    /// The ingester's binary with its settings.
    pub fn ingester(&self) -> Function {
        Function::new("ingester", binary("ingester"))
            .journal(&self.failure.journal)
            .envs(self.s3.env_as(&Deployed::read().credentials("ingester", self.s3.directory())))
            .envs(installation::ingester_settings(&self.segment_url))
            .timeout(Duration::from_secs(60))
    }

    /// The exporter's binary with its settings.
    pub fn exporter(&self) -> Function {
        Function::new("exporter", binary("exporter"))
            .journal(&self.failure.journal)
            .envs(self.s3.env_as(&Deployed::read().credentials("exporter", self.s3.directory())))
            .envs(installation::exporter_settings())
            .timeout(Duration::from_secs(60))
    }

    /// Exports everything that waits.
    pub async fn export(&self) -> Value {
        let invocation = self.exporter().deploy().invoke(&event("scheduled.json")).await;
        invocation.response().unwrap_or_else(|| panic!("{invocation:#?}")).clone()
    }

    /// The ids of the calls that Segment received, in the order of their arrival.
    pub fn received_ids(&self) -> Vec<String> {
        self.segment.record().applied().into_iter().filter_map(|call| call.message_id).collect()
    }

    /// Every line of every log object, read as single-member gzip.
    ///
    /// # Panics
    /// When a line is not in the folder of the day on which it was received.
    pub fn logged(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        for key in self.s3.keys(CUSTOMER, "") {
            let mut text = String::new();
            GzDecoder::new(self.s3.bytes(CUSTOMER, &key).unwrap().as_ref()).read_to_string(&mut text).unwrap();
            let of_object: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let folder: i64 = key.split('/').nth(2).unwrap().parse().unwrap();
            for line in &of_object {
                let received: jiff::Timestamp = line["receivedAt"].as_str().unwrap().parse().unwrap();
                assert_eq!(received.as_millisecond() / DAY_MS * DAY_MS, folder, "a line of {key}");
            }
            lines.extend(of_object);
        }
        lines
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let lines = self.failure.journal.lines();
            let undeclared = lines.iter().find_map(|line| telemetry::undeclared(line.split_once(": ")?.1));
            assert_eq!(undeclared, None, "a metric that crates/aws/src/telemetry/metrics.rs does not declare");
        }
        self.failure.keep(|evidence| {
            evidence.s3(&self.s3)?;
            evidence.list("segment-requests.txt", &self.segment.record().deliveries())
        });
    }
}

/// Invokes a function and expects an answer.
pub async fn answer(function: &Lambda, payload: &Value) -> Value {
    let invocation = function.invoke(payload).await;
    invocation.response().unwrap_or_else(|| panic!("{invocation:#?}")).clone()
}

/// A file of `events/`.
pub fn event(name: &str) -> Value {
    let path = root().join("events").join(name);
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// What S3 sends for a key, form-encoded as S3 does.
pub fn created(key: &str) -> Value {
    json!({"Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1",
        "s3": {"bucket": {"name": SOURCE}, "object": {
            "key": standins::s3::form_encoded(key), "sequencer": "0055AED6DCD90281E5",
        }},
    }]})
}

/// A file of `samples/`.
pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(root().join("samples").join(name)).unwrap()
}

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
