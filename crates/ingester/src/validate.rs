//! Finding out whether the function is set up right: the write key, our own bucket, the buckets that files come from.
//!
//! The queue is not checked, because a test message would be processed.

use crate::App;
use crate::causes;
use crate::targets::{InForce, Target};
use aws::validation::{Cause, Check, TRIAL, cause};
use aws::{Fault, telemetry};
use bytes::Bytes;
use config::environment::source_bucket_fault;
use delivery::Looked;
use futures_util::{StreamExt, stream};
use ingestion::deadline::Deadline;
use protocol::keys::INGEST_TRIAL;
use protocol::upload::Version;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use tracing::Level;

/// The time limit of one step.
const STEP_MS_MAX: i64 = 10_000;
/// Buckets that are checked at a time.
const AT_A_TIME: usize = 8;

/// The answer to `{"validate": [BUCKET, …]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Validated {
    /// True if every check passed.
    pub ok: bool,
    /// The result in one sentence.
    pub summary: String,
    /// Whether Segment knows the write key.
    pub write_key: Check,
    /// Our own bucket.
    pub state_bucket: Check,
    /// Each source bucket.
    pub sources: Vec<Checked>,
}

/// The result for a source bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its name.
    pub bucket: String,
    /// True if files that are dropped into it can be read.
    pub ok: bool,
    /// The steps, in order.
    pub steps: Vec<Check>,
}

impl App {
    /// Runs all checks at once. Each step has its own timeout, and all end before the deadline.
    pub(crate) async fn validate(&self, buckets: Vec<String>, in_force: &InForce, deadline: Deadline) -> Validated {
        let buckets = if buckets.is_empty() { self.settings.source_bucket.iter().cloned().collect() } else { buckets };
        let checking = stream::iter(buckets).map(|bucket| self.check_source(bucket, deadline)).buffered(AT_A_TIME);
        let (write_key, state_bucket, sources) =
            tokio::join!(self.check_keys(in_force, deadline), self.check_state(deadline), checking.collect::<Vec<_>>());
        let validated = Validated::new(write_key, state_bucket, sources);
        let level = if validated.ok { Level::INFO } else { Level::ERROR };
        telemetry::summary(level, "validated", json!({"ok": validated.ok, "summary": validated.summary}));
        validated
    }

    /// The time that is left for a step.
    fn patience(&self, deadline: Deadline) -> Duration {
        let left_ms = (deadline.cut_at_ms - self.clock.now_ms()).clamp(0, STEP_MS_MAX);
        Duration::from_millis(left_ms.unsigned_abs())
    }

    /// A step that calls S3. `result` describes a success.
    async fn step<T>(
        &self,
        tried: String,
        deadline: Deadline,
        asking: impl Future<Output = Result<T, Fault>>,
        result: impl FnOnce(&T) -> String,
        causes: impl FnOnce(&Fault) -> Vec<Cause>,
    ) -> (Check, Option<T>) {
        let patience = self.patience(deadline);
        match tokio::time::timeout(patience, asking).await {
            Ok(ended) => Check::of(tried, ended, result, causes),
            Err(_) => {
                let result = format!("no answer in {:.1} s", patience.as_secs_f64());
                (Check::ill(tried, result, vec![causes::late()]), None)
            }
        }
    }

    /// The write key of each source.
    async fn check_keys(&self, in_force: &InForce, deadline: Deadline) -> Check {
        let checking = in_force.targets.iter().map(|target| self.check_key(target, deadline));
        let mut checks = stream::iter(checking).buffered(AT_A_TIME).collect::<Vec<_>>().await;
        if checks.len() == 1 {
            return checks.remove(0);
        }
        let words =
            |checks: &[Check]| checks.iter().map(|check| format!("{}: {}", check.tried, check.result)).collect();
        let ill: Vec<Check> = checks.iter().filter(|check| !check.ok).cloned().collect();
        let tried = format!("look up the write keys of {} sources", checks.len());
        if ill.is_empty() {
            return Check::well(tried, "all are known");
        }
        let result: Vec<String> = words(&ill);
        Check::ill(tried, result.join("; "), ill.into_iter().flat_map(|check| check.likely_causes).collect())
    }

    /// Segment answers 200 to calls with an unknown key and drops them. Only the settings show it.
    async fn check_key(&self, target: &Target, deadline: Deadline) -> Check {
        let delivery = &target.delivery;
        let host = delivery.settings_host();
        let tried = match &target.name {
            Some(name) => format!("ask {host} for the settings of the source {name} by its write key"),
            None => format!("ask {host} for the settings of the source with this write key"),
        };
        if let Err(reason) = delivery.read_key().await {
            let result = format!("the secret of the write key cannot be used: {reason}");
            return Check::ill(tried, result, causes::of_secret());
        }
        match delivery.look_up_key(self.patience(deadline)).await {
            Looked::Known { sends_to: None } => Check::well(tried, "the write key is known"),
            Looked::Known { sends_to: Some(api) } => match delivery.settings().other_region(&api) {
                None => Check::well(tried, "the write key is known"),
                Some(right) => {
                    let ours = &delivery.settings().tracking_endpoint;
                    let result = format!("the write key is known, but its calls belong to {api}, not to {ours}");
                    Check::ill(tried, result, causes::of_region(right))
                }
            },
            Looked::Unknown { status } => {
                let result = format!("the write key is unknown (status {status})");
                Check::ill(tried, result, causes::of_unknown_key(host))
            }
            Looked::Unclear { reason } => {
                let result = format!("failed to check the write key: {reason}");
                Check::ill(tried, result, causes::of_unclear_key(host))
            }
        }
    }

    /// Our own bucket: all that a run does with it. The lifecycle rule for checkpoints removes the object: we may not.
    async fn check_state(&self, deadline: Deadline) -> Check {
        let name = self.state.name();
        let tried = format!("put s3://{name}/{INGEST_TRIAL}, read it back, and list it");
        let asking = async {
            self.state.put(INGEST_TRIAL, Bytes::from_static(TRIAL), "text/plain").await?;
            let found = self.state.get(INGEST_TRIAL).await?;
            self.state.list_page(INGEST_TRIAL, None).await?;
            Ok(found.is_some_and(|object| object.body == TRIAL))
        };
        let result = |_: &bool| "it can be written, read and listed".to_owned();
        let (step, found) = self.step(tried.clone(), deadline, asking, result, |f| causes::of_state(f, name)).await;
        if found == Some(false) {
            let cause =
                cause("another program writes to this bucket, or deletes from it", "let only segment-s3 write there");
            return Check::ill(tried, "the object that was read differs from the one that was put", vec![cause]);
        }
        step
    }

    /// A source bucket: listed, and its first object read as a file is, first by its key and then by its version.
    async fn check_source(&self, bucket: String, deadline: Deadline) -> Checked {
        let mut steps = vec![self.check_name(&bucket)];
        if steps[0].ok {
            let (step, first) = self.list_source(&bucket, deadline).await;
            steps.push(step);
            if let Some(Some(key)) = first {
                steps.push(self.read_source(&bucket, &key, deadline).await);
            }
        }
        Checked { ok: steps.iter().all(|step| step.ok), bucket, steps }
    }

    fn check_name(&self, bucket: &str) -> Check {
        let tried = "check whether it can be a source";
        if bucket == self.settings.state_bucket {
            let cause = cause(
                "it is STATE_BUCKET, which cannot be a source: the ingester would read its own rejects",
                "drop files into another bucket",
            );
            return Check::ill(tried, "it cannot", vec![cause]);
        }
        match source_bucket_fault(bucket) {
            Some(fault) => Check::ill(tried, format!("the name {fault}"), Vec::new()),
            None => Check::well(tried, "it can"),
        }
    }

    async fn list_source(&self, bucket: &str, deadline: Deadline) -> (Check, Option<Option<String>>) {
        let source = self.source_bucket(bucket);
        let result = |first: &Option<String>| match first {
            Some(_) => "listed".to_owned(),
            None => "listed; it is empty, so reading an object was not tried".to_owned(),
        };
        let tried = format!("list s3://{bucket}/");
        self.step(tried, deadline, source.first_key(), result, |fault| causes::of_source(fault, bucket)).await
    }

    async fn read_source(&self, bucket: &str, key: &str, deadline: Deadline) -> Check {
        let source = self.source_bucket(bucket);
        let asking = async {
            let pin = source.open(key, &Version::Latest, 1).await?.pin;
            source.read(key, &pin, 0, 1).await?;
            Ok(pin.version_id.is_some())
        };
        let result = |versions: &bool| match versions {
            true => "read, also by its version".to_owned(),
            false => "read; the bucket keeps no versions".to_owned(),
        };
        let tried = format!("read the first byte of s3://{bucket}/{key}");
        self.step(tried, deadline, asking, result, |fault| causes::of_source(fault, bucket)).await.0
    }
}

impl Validated {
    fn new(write_key: Check, state_bucket: Check, sources: Vec<Checked>) -> Self {
        let well = sources.iter().filter(|checked| checked.ok).count();
        let ok = write_key.ok && state_bucket.ok && well == sources.len();
        let mut words = vec![match sources.len() {
            0 => "no source bucket is named, neither in the request nor by SOURCE_BUCKET".to_owned(),
            all => format!("{well} of {all} source buckets can be read"),
        }];
        words.push(write_key.result.clone());
        words
            .push(if state_bucket.ok { "the state bucket works" } else { "the state bucket does not work" }.to_owned());
        Self { ok, summary: words.join("; "), write_key, state_bucket, sources }
    }
}
