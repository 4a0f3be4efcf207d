//! The parts, and the way between them: S3 → queue → ingester → receiver → exporter.

use super::ServeArgs;
use super::buckets::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_in};
use super::document::Documents;
use super::entries::{entry, exported, failure, rejected};
use super::feed::{Change, Feed, Seer};
use super::files::{Files, ended};
use super::functions::{Functions, Parts, tick};
use super::receiving;
use super::settings;
use anyhow::Context;
use aws::clients::config_at;
use aws::{Bucket, Clock, Dice};
use axum::Router;
use config::Config;
use protocol::keys;
use protocol::reading::Reading;
use serde_json::{Value, json};
use standins::event_source::{EventSource, Polling};
use standins::installation::{SOURCE_BUCKET, STATE_BUCKET};
use standins::{s3, sqs};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::net::TcpListener;

const QUEUE: &str = "segment-s3";
const DEAD_LETTERS: &str = "segment-s3-dead-letters";
/// Files that are read at the same time.
const CONCURRENCY: usize = 2;
/// Tries before a message is a dead letter, and seconds between them. A run that a restart cut off holds its lease for 5.
const RECEIVES_MAX: u32 = 3;
const RETRY_SECONDS: i64 = 6;
/// Longer than an invocation lasts.
const VISIBILITY_SECONDS: i64 = 25 * 60 * 60;

/// The whole system.
pub(super) struct System {
    pub(super) s3: s3::Server,
    pub(super) source: Bucket,
    pub(super) feed: Arc<Feed>,
    pub(super) files: Arc<Files>,
    pub(super) documents: Mutex<Documents>,
    /// The settings in force, with the configuration.
    pub(super) in_force: RwLock<(settings::Functions, Arc<Config>)>,
    /// The last report of the exporter.
    pub(super) exported: Mutex<Option<Value>>,
    /// The events of log objects that were counted, by bucket, key and ETag.
    pub(super) counted: Mutex<HashMap<String, u64>>,
    pub(super) receiver: Router,
    pub(super) receiver_url: String,
    pub(super) keys: String,
    pub(super) clock: Clock,
    queue: sqs::Server,
    functions: Functions,
    polling: Mutex<Option<Polling>>,
    sdk: aws::clients::SdkConfig,
}

impl System {
    /// Starts everything but the servers of receiver and page.
    pub(super) async fn start(args: &ServeArgs, text: String, receiver: &TcpListener) -> anyhow::Result<Arc<System>> {
        let receiver_url = url(receiver.local_addr()?);
        let base = settings::read(&config::environment::variable, &Config::default(), &receiver_url)?.ingester.reading;
        let documents = Documents::open(text, args.folder.join("mappings.toml"));
        let config = parse(&documents.text(), &base)?;
        let in_force = settings::read(&config::environment::variable, &config, &receiver_url)?;

        let clock = Clock::system();
        let s3 = s3_in(&args.folder.join("buckets"), args.s3, &in_force).await?;
        let sdk = config_at(&url(s3.address()), ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        let bucket = |name: &str| Bucket::new(aws::clients::s3(&sdk), name, Dice::system());
        let queue = queue_of(&s3).await?;
        let functions = Functions::start(Parts { settings: in_force.clone(), sdk: sdk.clone(), clock: clock.clone() })?;
        let router = receiving::api(&config::environment::variable, &in_force.keys, &sdk, clock.clone())?;

        let feed = Arc::new(Feed::new(u64::try_from(clock.now_ms()).unwrap_or(0)));
        let system = Arc::new(System {
            source: bucket(SOURCE_BUCKET),
            s3,
            feed,
            files: Arc::default(),
            documents: Mutex::new(documents),
            keys: in_force.keys.clone(),
            in_force: RwLock::new((in_force, Arc::new(config))),
            exported: Mutex::default(),
            counted: Mutex::default(),
            receiver: router,
            receiver_url,
            clock,
            queue,
            functions,
            polling: Mutex::default(),
            sdk,
        });
        system.watch();
        Ok(system)
    }

    /// Tells open pages of each change of a bucket, and begins to empty the queue.
    fn watch(self: &Arc<Self>) {
        for (bucket, prefix) in [(SOURCE_BUCKET, ""), (STATE_BUCKET, keys::INGEST), (STATE_BUCKET, keys::OUTCOMES)] {
            let (feed, files) = (Arc::clone(&self.feed), Arc::clone(&self.files));
            self.s3.on_created(bucket, s3::Filter::all().prefix(prefix), move |notification| {
                // Keys of the state bucket stand in a notification as they are: they need no escape.
                if let Some(key) = notification["Records"][0]["s3"]["object"]["key"].as_str() {
                    files.created(key);
                }
                feed.changed(Change::Files);
            });
        }
        let source = EventSource::on(&self.queue, QUEUE).concurrency_max(CONCURRENCY).retry_after_s(RETRY_SECONDS);
        // The polling belongs to the system, so it must not hold it.
        let system = Arc::downgrade(self);
        let polling = source.to(move |event| {
            let system = system.upgrade();
            async move {
                match system {
                    Some(system) => system.ingest(event).await,
                    None => Err("the system has ended".to_owned()),
                }
            }
        });
        *self.polling.lock().unwrap_or_else(PoisonError::into_inner) = Some(polling);
    }

    async fn ingest(&self, event: Value) -> Result<Value, String> {
        let answer = self.functions.ingest(event).await;
        let at_ms = self.clock.now_ms();
        if let Ok(report) = &answer {
            self.files.note(report, at_ms);
            let objects = report["objects"].as_array().into_iter().flatten();
            self.feed.add(objects.flat_map(|object| rejected(object, at_ms).chain([entry(object, at_ms)])));
        }
        if let Err(fault) = &answer {
            self.feed.add([failure(Seer::Ingester, fault, at_ms)]);
        }
        self.feed.changed(Change::Files);
        answer
    }

    /// Runs the exporter.
    pub(super) async fn export(&self, is_full: bool) {
        let answer = self.functions.export(tick(is_full)).await;
        let at_ms = self.clock.now_ms();
        let has_news = |report: &Value| {
            let objects = report["destinations"].as_object();
            report["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty())
                || objects.is_some_and(|all| all.values().any(|put| put["objects_put"] != 0))
        };
        match answer {
            Ok(report) => {
                if has_news(&report) {
                    self.feed.add([exported(&report, at_ms)]);
                }
                let report = json!({"at_ms": at_ms, "report": report});
                *self.exported.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
            }
            Err(fault) => {
                self.feed.add([failure(Seer::Exporter, &fault, at_ms)]);
                let report = json!({"at_ms": at_ms, "report": {"summary": "the exporter failed", "alarms": [fault]}});
                *self.exported.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
            }
        }
        // Only tests read the log of requests, and it would grow for as long as this runs.
        self.s3.requests().clear();
        self.feed.changed(Change::Exports);
    }

    /// Sends a message for each file that no run has ended: the queue itself is not kept.
    pub(super) fn find_unfinished(&self) {
        let ended = ended(&self.s3);
        let config = Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner).1);
        for object in self.s3.objects(SOURCE_BUCKET, "").into_iter().filter(|object| !object.delete_marker) {
            let readers = config.for_key(&object.key).map_or(1, |all| all.len());
            let upload = (object.key, object.version_id);
            if ended.get(&upload).copied().unwrap_or(0) < readers {
                self.notify(&upload.0, None);
            }
        }
    }

    /// Sends a message about an object. With a tag, all its rows are sent again under new ids.
    pub(super) fn notify(&self, key: &str, replay: Option<&str>) {
        let object = json!({"bucket": {"name": SOURCE_BUCKET}, "object": {"key": s3::form_encoded(key)}});
        let mut event = json!({"Records": [{"s3": object}]});
        if let Some(tag) = replay {
            event["replay"] = Value::from(tag);
        }
        self.queue.send(QUEUE, &event.to_string());
        self.feed.changed(Change::Files);
    }

    /// Moves the messages that were given up back to the queue.
    pub(super) fn redrive(&self) {
        self.queue.redrive(DEAD_LETTERS, QUEUE);
        self.feed.changed(Change::Files);
    }

    /// How many messages wait, or are being worked on; and how many have failed too often.
    pub(super) fn messages(&self) -> (usize, usize) {
        (self.queue.messages(QUEUE).len(), self.queue.messages(DEAD_LETTERS).len())
    }

    /// Puts mappings of the page in force.
    ///
    /// # Errors
    /// Every fault of the text.
    pub(super) async fn map(&self, text: &str, key: &str) -> Result<(), Vec<String>> {
        let (own, config) = self.tried(text, key)?;
        let in_words = |error: anyhow::Error| vec![format!("{error:#}")];
        let settings = settings::read(&config::environment::variable, &config, &self.receiver_url).map_err(in_words)?;
        self.functions.configure(settings.clone()).await.map_err(|fault| vec![fault])?;
        let kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner).keep(own);
        kept.map_err(|error| vec![format!("the mapping cannot be kept: {error}")])?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = (settings, Arc::new(config));
        Ok(())
    }

    /// The configuration that mappings of the page would make.
    ///
    /// # Errors
    /// Every fault of the text.
    pub(super) fn with(&self, text: &str, key: &str) -> Result<Config, Vec<String>> {
        self.tried(text, key).map(|(_, config)| config)
    }

    fn tried(&self, text: &str, key: &str) -> Result<(String, Config), Vec<String>> {
        let base = self.in_force.read().unwrap_or_else(PoisonError::into_inner).0.ingester.reading.clone();
        let tried = self.documents.lock().unwrap_or_else(PoisonError::into_inner).with(text, &base)?;
        mapped(&tried.1, text, key, &base)?;
        Ok(tried)
    }

    /// A bucket, through the S3 protocol.
    pub(super) fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(aws::clients::s3(&self.sdk), name, Dice::system())
    }
}

/// Checks that a mapping of `text` reads the key.
fn mapped(config: &Config, text: &str, key: &str, base: &Reading) -> Result<(), Vec<String>> {
    let named = Config::parse(text, base).map(|alone| alone.mappings).unwrap_or_default();
    let readers = config.for_key(key).unwrap_or_default();
    let is_read = readers.iter().any(|reader| named.iter().any(|rule| rule.mapping().name == reader.mapping_name()));
    let fault = || vec![format!("no `match` of this mapping takes the key {key}: write match = {:?}", key)];
    if is_read { Ok(()) } else { Err(fault()) }
}

fn parse(text: &str, base: &Reading) -> anyhow::Result<Config> {
    let in_words =
        |faults: Vec<config::fault::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Config::parse(text, base)
        .map_err(|faults| anyhow::anyhow!("the configuration cannot be used: {}", in_words(faults)))
}

async fn queue_of(s3: &s3::Server) -> anyhow::Result<sqs::Server> {
    let settings = sqs::QueueSettings::default().visibility_s(VISIBILITY_SECONDS).redrive(DEAD_LETTERS, RECEIVES_MAX);
    let queue = sqs::Server::setup().with_queue_of(QUEUE, settings).with_queue(DEAD_LETTERS).start().await;
    let queue = queue.context("failed to start the queue")?;
    queue.subscribe(QUEUE, s3, SOURCE_BUCKET, s3::Filter::all());
    Ok(queue)
}

/// The URL of an address; of the unspecified one, that of this machine.
fn url(address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}
