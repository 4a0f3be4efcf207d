//! A world for stories: the state bucket, customers' buckets behind roles, and the received lines.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws::{Bucket, Clock, Dice};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::SharedHttpClient;
use config::{Config, ConfigFrom};
use export::cut::Limits;
use export::fragment;
use export::received::{Stamp, append_own_call};
use export::routes::Routes;
use exporter::{Answer, App, AtATime, Caps, Report, Settings};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Epoch, Nonce, SourceId};
use protocol::position::ByteRange;
use protocol::reading::Reading;
use serde_json::{Value, json};
use standins::iam::Role;
use standins::installation;
pub(crate) use standins::installation::{
    CUSTOMER_ACCOUNT as CUSTOMER, EXTERNAL_ID, STATE_BUCKET as STATE, customer_policy as documented_policy,
};
use standins::s3::{Server, Setup};

pub(crate) const STREAM: &str = "00112233445566778899aabbccddeeff";
pub(crate) const SOURCE: &str = "qv5iYYMxd94DahFpRzm58y";

/// 2019-05-11T20:32:27.940Z.
pub(crate) const NOW_MS: i64 = 1_557_606_747_940;

/// A deadline that no story reaches.
pub(crate) const LATER_MS: i64 = i64::MAX / 2;

/// The received lines that count, by source.
pub(crate) type Lines = BTreeMap<String, Vec<String>>;

pub(crate) struct World {
    pub(crate) s3: Server,
    pub(crate) routes: String,
    pub(crate) received: Lines,
    http: SharedHttpClient,
    drawn: Arc<AtomicU64>,
    pub(crate) seed: u64,
}

/// A destination's table in a `CONFIG` document.
pub(crate) fn destination(name: &str, bucket: &str, sources: &[&str]) -> String {
    format!(
        "[[destination]]\nname = {name:?}\nregion = \"us-east-1\"\nbucket = {bucket:?}\n\
         role_arn = \"{}\"\nexternal_id = {EXTERNAL_ID:?}\nsources = {sources:?}\n",
        role_arn(bucket)
    )
}

/// `CONFIG` with this document.
pub(crate) fn described(document: &str) -> ConfigFrom {
    let config = Config { routes: routes(document), ..Config::default() };
    ConfigFrom::Settings(Box::new(config))
}

/// The routes of a `CONFIG` document.
pub(crate) fn routes(document: &str) -> Routes {
    Config::parse(document, &Reading::default()).unwrap().routes
}

pub(crate) fn role_arn(bucket: &str) -> String {
    format!("arn:aws:iam::{CUSTOMER}:role/logs-{}", bucket.split('/').next().unwrap())
}

/// The documented role for a bucket with an optional prefix.
pub(crate) fn documented_role(place: &str) -> Role {
    installation::customer_role(&role_arn(place), place)
}

impl World {
    /// Our state bucket, and these buckets of a customer's, each with its role; one destination for each takes all.
    pub(crate) async fn with(places: &[&str]) -> World {
        let (setup, routes) = World::setup(places);
        World::on(setup.start().await.unwrap(), routes)
    }

    /// The same with another clock of S3.
    pub(crate) async fn at(places: &[&str], clock: standins::Clock) -> World {
        let (setup, routes) = World::setup(places);
        World::on(setup.with_clock(clock).start().await.unwrap(), routes)
    }

    /// The same without a socket, where time stands still: only clients that [`app_through`](World::app_through) is
    /// given reach it.
    pub(crate) fn in_process(places: &[&str]) -> World {
        let (setup, routes) = World::setup(places);
        World::on(setup.with_clock(standins::Clock::frozen_at(NOW_MS)).in_process().unwrap(), routes)
    }

    fn setup(places: &[&str]) -> (Setup, String) {
        let mut setup = Server::memory().with_bucket(STATE);
        let mut routes = String::new();
        for (number, place) in places.iter().enumerate() {
            let bucket = place.split('/').next().unwrap();
            setup = setup.with_foreign_bucket(bucket, CUSTOMER, "us-east-1").with_role(documented_role(place));
            routes.push_str(&destination(&format!("d{number}"), place, &["*"]));
        }
        (setup, routes)
    }

    /// A world on this S3, with these routes.
    pub(crate) fn on(s3: Server, routes: String) -> World {
        // One for all apps, and without TLS: loading the machine's certificates takes most of a story's time.
        let http = aws_smithy_http_client::Builder::new().build_http();
        World { s3, routes, received: Lines::new(), http, drawn: Arc::default(), seed: 1 }
    }

    /// The exporter for the explorer. Its requests go through `http` in sequence, and its randomness follows from
    /// `seed`.
    pub(crate) fn app_through(&self, http: SharedHttpClient, seed: u64) -> App {
        let settings = Settings { at_a_time: AtATime::ONE, ..self.settings() };
        let clock = Clock::from_fn(|| NOW_MS);
        App::new(settings, &self.config_through(http), "exporter-under-test", clock, dice(Arc::default(), seed))
    }

    /// Our own bucket.
    pub(crate) fn bucket(&self) -> Bucket {
        self.bucket_through(self.http.clone())
    }

    /// The same through `http`.
    pub(crate) fn bucket_through(&self, http: SharedHttpClient) -> Bucket {
        Bucket::new(aws::clients::s3(&self.config_through(http)), STATE, dice(Arc::default(), 0))
    }

    fn config_through(&self, http: SharedHttpClient) -> SdkConfig {
        let config = self.config_as(&self.s3.credentials()).into_builder().http_client(http).build();
        aws::clients::without_stalled_streams(aws::clients::with_clock(config, &Clock::from_fn(|| NOW_MS)))
    }

    fn config_as(&self, keys: &standins::iam::Credentials) -> SdkConfig {
        let keys = keys.clone();
        let keys = Credentials::new(keys.access_key_id, keys.secret_access_key, keys.session_token, None, "story");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.s3.url())
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(self.http.clone())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            state_bucket: STATE.to_owned(),
            config: described(&self.routes),
            single: None,
            expire_days: 30,
            limits: Limits::default(),
            caps: Caps::default(),
            at_a_time: AtATime::default(),
        }
    }

    pub(crate) fn app(&self) -> App {
        self.app_with(self.settings(), Clock::from_fn(|| NOW_MS))
    }

    /// The exporter at another time.
    pub(crate) fn app_at(&self, now_ms: i64) -> App {
        self.app_with(self.settings(), Clock::from_fn(move || now_ms))
    }

    /// The exporter with a role's session in place of the administrator's key.
    pub(crate) fn app_as(&self, keys: &standins::iam::Credentials) -> App {
        let clock = Clock::from_fn(|| NOW_MS);
        App::new(self.settings(), &self.config_as(keys), "exporter-under-test", clock, self.dice())
    }

    pub(crate) fn app_with(&self, settings: Settings, clock: Clock) -> App {
        let config = self.config_as(&self.s3.credentials());
        App::new(settings, &config, "exporter-under-test", clock, self.dice())
    }

    /// Nonces that are the same in every run of a seed, and never the same twice in a run.
    fn dice(&self) -> Dice {
        dice(Arc::clone(&self.drawn), self.seed)
    }

    /// Stages `events` events of one request, as the receiver does. Returns its key.
    pub(crate) fn receive(&mut self, source: &str, request: &str, events: u32) -> String {
        let origin = Origin::Request { id: request.parse().unwrap() };
        let (key, lines) = self.stage(source, origin, events, NOW_MS);
        self.received.entry(source.to_owned()).or_default().extend(lines);
        key
    }

    /// Stages one call of one request.
    pub(crate) fn receive_call(&mut self, source: &str, request: &str, call: &str) {
        let origin = Origin::Request { id: request.parse().unwrap() };
        let (_, lines) = self.stage_calls(source, origin, &[call.to_owned()], NOW_MS);
        self.received.entry(source.to_owned()).or_default().extend(lines);
    }

    /// Stages a fragment that may or may not count. Returns its key and its lines.
    pub(crate) fn stage(&self, source: &str, origin: Origin, events: u32, at_ms: i64) -> (String, Vec<String>) {
        let id = match &origin {
            Origin::Request { id } => id.to_string(),
            Origin::File { stream, epoch, range } => format!("{stream}-{epoch}-{}", range.from),
        };
        let call = |n| format!(r#"{{"type":"track","messageId":"{id}-{n}","event":"e","userId":"u{n}"}}"#);
        self.stage_calls(source, origin, &(0..events).map(call).collect::<Vec<_>>(), at_ms)
    }

    fn stage_calls(&self, source: &str, origin: Origin, calls: &[String], at_ms: i64) -> (String, Vec<String>) {
        let source: SourceId = source.parse().unwrap();
        let stamp = Stamp::new(at_ms, &source);
        let mut lines = Vec::new();
        for call in calls {
            append_own_call(&mut lines, call.as_bytes(), None, &stamp);
        }
        let bytes = fragment::encode(&lines);
        let name = FragmentName {
            source,
            day: stamp.day(),
            origin,
            events: u32::try_from(calls.len()).unwrap(),
            raw_bytes: lines.len() as u64,
            crc32: fragment::crc32(&bytes),
        };
        self.s3.put(STATE, &name.to_string(), bytes).unwrap();
        let lines = String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
        (name.to_string(), lines)
    }

    /// Stages rows `[from, to)` of a file, as `epoch` sent them. They count once [`commit`](World::commit) says so.
    pub(crate) fn stage_rows(&self, epoch: u32, from: u64, to: u64) -> Vec<String> {
        let range = ByteRange { from, to };
        let origin = Origin::File { stream: STREAM.parse().unwrap(), epoch: Epoch(epoch), range };
        self.stage(SOURCE, origin, 2, NOW_MS).1
    }

    /// Writes the file's checkpoint.
    pub(crate) fn commit(&self, committed: &[(u32, u64, u64)]) {
        self.account("checkpoint", committed);
    }

    /// Writes the file's account under either name.
    pub(crate) fn account(&self, name: &str, committed: &[(u32, u64, u64)]) {
        let ranges: Vec<Value> =
            committed.iter().map(|(epoch, from, to)| json!({"epoch": epoch, "from": from, "to": to})).collect();
        let account = json!({"format": 1, "sequence": 3, "committed": ranges}).to_string();
        self.s3.put(STATE, &format!("ingest/{STREAM}/{name}.json"), account).unwrap();
    }

    /// Adds lines that must be exported.
    pub(crate) fn expect(&mut self, lines: Vec<String>) {
        self.received.entry(SOURCE.to_owned()).or_default().extend(lines);
    }

    /// Every line in a bucket's log objects, by source; each object is one gzip member and nothing after it.
    pub(crate) fn exported(&self, bucket: &str) -> Lines {
        let mut exported = Lines::new();
        for object in self.s3.objects(bucket, "") {
            let source = object.key.split("segment-logs/").nth(1).unwrap().split('/').next().unwrap().to_owned();
            let bytes = self.s3.bytes(bucket, &object.key).unwrap();
            let mut reader = flate2::bufread::GzDecoder::new(&bytes[..]);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert!(reader.into_inner().is_empty(), "{} has bytes after its member", object.key);
            assert!(text.ends_with('\n'));
            exported.entry(source).or_default().extend(text.lines().map(str::to_owned));
        }
        exported.values_mut().for_each(|lines| lines.sort());
        exported
    }

    /// Asserts that a bucket has each received event once, and no other.
    pub(crate) fn assert_complete(&self, bucket: &str) {
        let sources: Vec<&str> = self.received.keys().map(String::as_str).collect();
        self.assert_complete_of(bucket, &sources);
    }

    /// The same of a bucket that takes these sources.
    pub(crate) fn assert_complete_of(&self, bucket: &str, sources: &[&str]) {
        let mut received = self.received.clone();
        received.retain(|source, lines| {
            lines.sort();
            sources.contains(&source.as_str()) && !lines.is_empty()
        });
        let exported = self.exported(bucket);
        if exported != received {
            let count = |lines: &Lines| lines.iter().map(|(s, l)| (s.clone(), l.len())).collect::<Vec<_>>();
            let (is, should) = (count(&exported), count(&received));
            panic!("seed {}: {bucket} has {is:?} lines and should have {should:?}, or others", self.seed);
        }
    }

    /// Asserts that no fragment waits and no plan is open.
    pub(crate) fn assert_settled(&self) {
        self.assert_settled_but_for(&[]);
    }

    /// The same, but for fragments that never counted.
    pub(crate) fn assert_settled_but_for(&self, garbage: &[String]) {
        let mut garbage = garbage.to_vec();
        garbage.sort();
        assert_eq!(self.s3.keys(STATE, "received/"), garbage, "seed {}", self.seed);
        assert_eq!(self.head()["open"], json!([]), "seed {}", self.seed);
    }

    /// Asserts that only the head and the plans that it remembers are left of the exports.
    pub(crate) fn assert_tidy(&self) {
        let remembered = self.head()["closed"].as_array().cloned().unwrap_or_default();
        let document =
            |closed: &Value| format!("exports/plans/{}.{}.json", closed["plan"].as_str().unwrap(), closed["revision"]);
        let mut keys: Vec<String> = remembered.iter().map(document).collect();
        keys.push("exports/head.json".to_owned());
        keys.sort();
        assert_eq!(self.s3.keys(STATE, "exports/"), keys, "seed {}", self.seed);
    }

    /// The head in the state bucket.
    pub(crate) fn head(&self) -> Value {
        let head = self.s3.bytes(STATE, "exports/head.json").unwrap_or_else(|| r#"{"open":[]}"#.into());
        serde_json::from_slice(&head).unwrap()
    }
}

fn dice(drawn: Arc<AtomicU64>, seed: u64) -> Dice {
    Dice::seeded(seed).with_nonces(move || {
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&seed.to_be_bytes());
        bits[8..].copy_from_slice(&drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        Nonce::new(bits)
    })
}

/// Days in milliseconds.
pub(crate) fn days(days: i64) -> i64 {
    days * 86_400_000
}

/// The report of a tick.
pub(crate) async fn tick(app: &App) -> Report {
    report(app.handle(json!({}), LATER_MS).await.unwrap())
}

pub(crate) fn report(answer: Answer) -> Report {
    match answer {
        Answer::Report(report) => *report,
        other => panic!("no report: {other:?}"),
    }
}
