//! Everything that runs on AWS or at Segment, on this machine.

use anyhow::Context;
use aws::clients::{SdkConfig, config_at};
use aws::{Bucket, Clock, Dice};
use receiver::{Keys, Receiver};
use serde_json::Value;
use standins::iam::Role;
use standins::s3::{Filter, Notifications, Server};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Where CSV files are dropped.
pub(crate) const SOURCE_BUCKET: &str = "segment-s3-source";
/// Our own bucket.
pub(crate) const STATE_BUCKET: &str = "segment-s3-state";
/// The customer's bucket.
pub(crate) const CUSTOMER_BUCKET: &str = "customer-logs";
/// The source that the calls belong to.
pub(crate) const SOURCE_ID: &str = "demoSource1";
/// The customer's role.
pub(crate) const ROLE_ARN: &str = "arn:aws:iam::111122223333:role/SegmentAWSS3Role";
/// What the role asks for.
pub(crate) const EXTERNAL_ID: &str = "demo-workspace";
const WRITE_KEY: &str = "demo-write-key";
/// The permission that Segment's documentation has customers give ("AWS S3 with IAM Role Support").
const ROLE_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"PutObjectsInBucket","Effect":"Allow",
    "Action":["s3:PutObject","s3:PutObjectAcl"],"Resource":"arn:aws:s3:::customer-logs/segment-logs/*"}]}"#;
/// How long an invocation may take here.
const INVOCATION_MS: i64 = 900_000;

/// S3 with STS, Segment, and the two functions between them.
pub(crate) struct Machine {
    pub(crate) s3: Server,
    pub(crate) segment: Arc<Receiver>,
    pub(crate) segment_url: String,
    pub(crate) config: SdkConfig,
    ingester: ingester::App,
    exporter: exporter::App,
    created: Notifications,
    clock: Clock,
    serving: JoinHandle<()>,
}

impl Machine {
    /// Starts everything, with the buckets under `folder`.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let role = Role::new(ROLE_ARN).trusting("*").external_id(EXTERNAL_ID).policy(ROLE_POLICY);
        let s3 = Server::folder(folder)
            .with_versioned_bucket(SOURCE_BUCKET)
            .with_bucket(STATE_BUCKET)
            .with_bucket(CUSTOMER_BUCKET)
            .with_role(role)
            .start()
            .await
            .with_context(|| format!("failed to keep buckets under {}", folder.display()))?;
        let created = s3.notifications(SOURCE_BUCKET, Filter::all());
        let key = s3.credentials();
        let config = config_at(&s3.url(), &key.access_key_id, &key.secret_access_key);

        let source = SOURCE_ID.parse().context("failed to name the source")?;
        // As Segment itself it keeps nothing for us: what was acknowledged the ingester keeps. All of it is compared
        // with the logs afterwards.
        let segment = Receiver::remembering(Keys::one(WRITE_KEY, source), None, clock.clone(), Dice::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("failed to listen on 127.0.0.1")?;
        let segment_url = format!("http://{}", listener.local_addr()?);
        let app = receiver::router(Arc::clone(&segment));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the receiver stopped");
            }
        });

        let settings = |name: &str| setting(name, &segment_url);
        let ingester =
            ingester::App::new(ingester::Settings::read(&settings)?, &config, clock.clone(), Dice::system())?;
        let settings = exporter::Settings::parse(&settings)?;
        let exporter = exporter::App::new(settings, &config, "segment-s3-demo", clock.clone(), Dice::system());
        Ok(Self { s3, segment, segment_url, config, ingester, exporter, created, clock, serving })
    }

    /// A bucket, seen as its owner sees it.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        Bucket::new(aws::clients::s3(&self.config), name, Dice::system())
    }

    /// Waits for S3 to tell of a new object, and has it ingested.
    pub(crate) async fn ingest_next(&mut self) -> anyhow::Result<Value> {
        let notification = self.created.recv().await.context("S3 has stopped")?;
        self.ingester.handle(notification, self.clock.now_ms() + INVOCATION_MS).await
    }

    /// What EventBridge does at :40.
    pub(crate) async fn export(&self) -> anyhow::Result<Value> {
        let time = protocol::ledger::rfc3339(self.clock.now_ms());
        let event = serde_json::json!({
            "detail-type": "Scheduled Event", "source": "aws.events", "time": time, "detail": {},
        });
        let answer = self.exporter.handle(event, self.clock.now_ms() + INVOCATION_MS).await?;
        Ok(serde_json::to_value(answer)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The functions' settings, as environment variables would give them.
fn setting(name: &str, segment_url: &str) -> Option<String> {
    let value = match name {
        "WRITE_KEY" => WRITE_KEY,
        "SOURCE_ID" => SOURCE_ID,
        "STATE_BUCKET" => STATE_BUCKET,
        "SEGMENT_ENDPOINT" | "SEGMENT_OBJECTS_ENDPOINT" => segment_url,
        "DESTINATION_BUCKET" => CUSTOMER_BUCKET,
        "DESTINATION_REGION" => "us-east-1",
        "DESTINATION_ROLE_ARN" => ROLE_ARN,
        "DESTINATION_EXTERNAL_ID" => EXTERNAL_ID,
        _ => return None,
    };
    Some(value.to_owned())
}
