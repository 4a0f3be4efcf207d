//! Everything that runs on AWS or at Segment, on this machine.

use anyhow::Context;
use aws::clients::{SdkConfig, config_at};
use aws::{Bucket, Clock, Dice};
use config::Config;
use serde_json::{Map, Value, json};
use standins::installation::{self, CUSTOMER_BUCKET, SOURCE_BUCKET};
use standins::s3::{self, Filter, Notifications};
use standins::segment;
use std::path::Path;

/// How long an invocation may take here.
const INVOCATION_MS: i64 = 900_000;

/// S3 with STS, Segment, and the two functions between them.
pub(crate) struct Machine {
    pub(crate) s3: s3::Server,
    pub(crate) segment: segment::Server,
    config: SdkConfig,
    /// The clients' configuration of the customer, who owns the bucket of the logs.
    customer: SdkConfig,
    /// The mappings that files are read by.
    pub(crate) mappings: Config,
    ingester: ingester::App,
    exporter: exporter::App,
    created: Notifications,
    clock: Clock,
}

impl Machine {
    /// Starts everything, with the buckets under `folder`. `document` is the setting `CONFIG`.
    pub(crate) async fn start(folder: &Path, document: Option<String>) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let s3 = installation::with_buckets(s3::Server::folder(folder).with_versioned_bucket(SOURCE_BUCKET))
            .start()
            .await
            .with_context(|| format!("failed to keep buckets under {}", folder.display()))?;
        let created = s3.notifications(SOURCE_BUCKET, Filter::all());
        let key = s3.credentials();
        let config = config_at(&s3.url(), &key.access_key_id, &key.secret_access_key);
        let key = installation::customer(&s3);
        let customer = config_at(&s3.url(), &key.access_key_id, &key.secret_access_key);

        let segment = installation::segment().start().await.context("failed to start Segment's stand-in")?;
        let mut settings =
            [installation::ingester_settings(&segment.url()), installation::exporter_settings()].concat();
        settings.extend(document.map(|document| ("CONFIG".to_owned(), document)));
        let setting = |wanted: &str| settings.iter().find_map(|(name, value)| (name == wanted).then(|| value.clone()));
        let of_ingester = ingester::Settings::read(&setting)?;
        let mappings = of_ingester.config.here().cloned().unwrap_or_default();
        let ingester = ingester::App::new(of_ingester, &config, clock.clone(), Dice::system())?;
        let exporter = exporter::Settings::parse(&setting)?;
        let exporter = exporter::App::new(exporter, &config, "segment-s3-demo", clock.clone(), Dice::system());
        Ok(Self { s3, segment, config, customer, mappings, ingester, exporter, created, clock })
    }

    /// A bucket, seen as its owner sees it.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        let config = if name == CUSTOMER_BUCKET { &self.customer } else { &self.config };
        Bucket::new(aws::clients::s3(config), name, Dice::system())
    }

    /// The calls that Segment accepted, then the objects, each with its collection.
    pub(crate) fn received(&self) -> Vec<Map<String, Value>> {
        let record = self.segment.record();
        let calls = record.applied().into_iter().map(|call| call.value());
        let objects = record
            .objects()
            .into_iter()
            .map(|object| json!({"collection": object.collection, "id": object.id, "properties": object.properties}));
        calls.chain(objects).filter_map(|received| received.as_object().cloned()).collect()
    }

    /// Waits for the notification of a new object and ingests it.
    pub(crate) async fn ingest_next(&mut self) -> anyhow::Result<Value> {
        let notification = self.created.recv().await.context("S3 has stopped")?;
        self.ingester.handle(notification, self.clock.now_ms() + INVOCATION_MS).await
    }

    /// Runs the exporter, as EventBridge does at :40.
    pub(crate) async fn export(&self) -> anyhow::Result<Value> {
        let time = protocol::ledger::rfc3339(self.clock.now_ms());
        let event = json!({
            "detail-type": "Scheduled Event", "source": "aws.events", "time": time, "detail": {},
        });
        let answer = self.exporter.handle(event, self.clock.now_ms() + INVOCATION_MS).await?;
        Ok(serde_json::to_value(answer)?)
    }
}
