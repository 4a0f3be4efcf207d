//! What the stories share: a small world of stand-ins around the real binaries.
#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene has failed")]

pub mod binaries;
pub mod failure;
pub mod line;
pub mod mill;

use crate::binaries::binary;
use crate::failure::Failure;
use aws::{Bucket, Clock, Dice};
use flate2::read::GzDecoder;
use receiver::{Keeping, Keys, Receiver};
use serde_json::{Value, json};
use standins::iam::Role;
use standins::lambda::{Function, Lambda};
use standins::s3::Server;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Where CSV files are dropped; the files in `events/` name it.
pub const SOURCE: &str = "segment-s3-source";
/// Our own bucket.
pub const STATE: &str = "segment-s3-state";
/// The customer's bucket.
pub const CUSTOMER: &str = "customer-logs";
/// The source that the calls belong to.
pub const SOURCE_ID: &str = "storySource";
/// Never to be seen in anything that a function says.
pub const WRITE_KEY: &str = "wk-never-to-be-seen";
/// The customer's role.
pub const ROLE: &str = "arn:aws:iam::111122223333:role/SegmentAWSS3Role";
/// A day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;
/// What the role asks for.
pub const EXTERNAL_ID: &str = "workspace-id";
/// The documented permission ("AWS S3 with IAM Role Support"), and nothing beside it.
pub const ROLE_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"PutObjectsInBucket","Effect":"Allow",
    "Action":["s3:PutObject","s3:PutObjectAcl"],"Resource":"arn:aws:s3:::customer-logs/segment-logs/*"}]}"#;

/// S3, STS and our receiver in Segment's place.
pub struct World {
    /// S3 and STS.
    pub s3: Server,
    /// What Segment received.
    pub segment: Arc<Receiver>,
    /// Where Segment listens.
    pub segment_url: String,
    /// What is kept of this world if its story fails.
    pub(crate) failure: Failure,
}

impl World {
    /// Three buckets, a role, and a Segment that knows the write key. The source bucket keeps no versions.
    pub async fn new() -> Self {
        let role = Role::new(ROLE).trusting("*").external_id(EXTERNAL_ID).policy(ROLE_POLICY);
        let setup = Server::memory().with_bucket(SOURCE).with_bucket(STATE).with_bucket(CUSTOMER).with_role(role);
        let s3 = setup.start().await.unwrap();
        let (segment, segment_url) = receive(None).await;
        Self { s3, segment, segment_url, failure: Failure::of_this_story() }
    }

    /// The same, but the receiver keeps what it takes for the exporter, as it does where it stands in Segment's place.
    pub async fn with_receiver_that_keeps() -> Self {
        let mut world = Self::new().await;
        let key = world.s3.credentials();
        let config = aws::clients::config_at(&world.s3.url(), &key.access_key_id, &key.secret_access_key);
        let state = Bucket::new(aws::clients::s3(&config), STATE, Dice::system());
        (world.segment, world.segment_url) = receive(Some(state)).await;
        world
    }

    /// The ingester's binary with its settings.
    pub fn ingester(&self) -> Function {
        Function::new("ingester", binary("ingester"))
            .journal(&self.failure.journal)
            .envs(self.s3.env())
            .env("WRITE_KEY", WRITE_KEY)
            .env("SOURCE_ID", SOURCE_ID)
            .env("STATE_BUCKET", STATE)
            .env("SEGMENT_ENDPOINT", &self.segment_url)
            .env("SEGMENT_OBJECTS_ENDPOINT", &self.segment_url)
            .timeout(Duration::from_secs(60))
    }

    /// The exporter's binary with its settings.
    pub fn exporter(&self) -> Function {
        Function::new("exporter", binary("exporter"))
            .journal(&self.failure.journal)
            .envs(self.s3.env())
            .env("STATE_BUCKET", STATE)
            .env("DESTINATION_BUCKET", CUSTOMER)
            .env("DESTINATION_REGION", "us-east-1")
            .env("DESTINATION_ROLE_ARN", ROLE)
            .env("DESTINATION_EXTERNAL_ID", EXTERNAL_ID)
            .timeout(Duration::from_secs(60))
    }

    /// Exports everything that waits.
    pub async fn export(&self) -> Value {
        let invocation = self.exporter().deploy().invoke(&event("scheduled.json")).await;
        invocation.response().unwrap_or_else(|| panic!("{invocation:#?}")).clone()
    }

    /// The ids of the calls that Segment received, in the order of their arrival.
    pub fn received_ids(&self) -> Vec<String> {
        let calls = self.segment.recent().all();
        calls.iter().filter_map(|seen| Some(seen.call.get("messageId")?.as_str()?.to_owned())).collect()
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
        self.failure.keep(|evidence| {
            evidence.s3(&self.s3)?;
            let calls = self.segment.recent().all();
            let calls: Vec<_> = calls.iter().map(|seen| Value::Object(seen.call.clone()).to_string()).collect();
            evidence.list("segment-calls.txt", &calls)
        });
    }
}

async fn receive(state: Option<Bucket>) -> (Arc<Receiver>, String) {
    let keeping = state.map(|state| Keeping { state, include_write_key: false });
    let segment =
        Receiver::new(Keys::one(WRITE_KEY, SOURCE_ID.parse().unwrap()), keeping, Clock::system(), Dice::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = receiver::router(Arc::clone(&segment));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (segment, url)
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
        "s3": {"bucket": {"name": SOURCE}, "object": {"key": standins::s3::form_encoded(key)}},
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
