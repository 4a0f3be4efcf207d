//! An event in, a report out.

use crate::queue::Queue;
use crate::report::{FileReport, Report, Unreadable};
use crate::sender::Sender;
use crate::settings::Settings;
use crate::targets::{InForce, Target, Targets};
use crate::topics::Topics;
use aws::configuration::Configuration;
use aws::secrets::Secrets;
use aws::telemetry::{self, Per, metrics};
use aws::{Bucket, Clock, Dice};
use config::environment::source_bucket_fault;
use config::source::Secret;
use delivery::WriteKey;
use ingestion::deadline::Deadline;
use ingestion::life::{Close, Outcome, retry_after_s};
use ingestion::notification::{Entry, Message, Notice, Notification, read};
use ingestion::rejected_folder;
use protocol::id::SourceId;
use protocol::keys::INGEST_CONFIG;
use serde_json::{Value, json};
use tracing::Level;

/// The function, ready to handle events.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) state: Bucket,
    pub(crate) configuration: Configuration,
    pub(crate) targets: Targets,
    pub(crate) secrets: Secrets,
    /// Answers in Segment's place.
    #[cfg(test)]
    pub(crate) script: Option<crate::sender::Script>,
    pub(crate) queue: Option<Queue>,
    pub(crate) topics: Topics,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
}

/// The reason for delivering an event again. It says which rows were sent.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(.0))]
pub struct Failure(pub Report);

/// The answer to SQS: the messages to deliver again, and a report for people. Lambda developer guide, "Partial batch
/// responses": the messages named come again, the others are deleted.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueAnswer {
    batch_item_failures: Vec<BatchItemFailure>,
    #[serde(flatten)]
    report: Report,
}

#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

fn words(report: &Report) -> String {
    let unreadable = report.unreadable.iter().map(Unreadable::in_words);
    unreadable.chain(report.objects.iter().map(FileReport::in_words)).collect::<Vec<_>>().join("; ")
}

impl App {
    /// Reads the settings and prepares the clients.
    ///
    /// # Errors
    /// When the settings cannot be used, or the secret of the write key cannot be read.
    pub async fn from_environment() -> anyhow::Result<Self> {
        let mut settings = Settings::read(&config::environment::variable)?;
        let sdk = aws::clients::config().await;
        let from = Secret::read(settings.delivery.write_key.reveal());
        let write_key = WriteKey::read(&from, &Secrets::new(&sdk)).await;
        settings.delivery.write_key =
            write_key.map_err(|what| anyhow::anyhow!("WRITE_KEY refers to a secret that cannot be used: {what}"))?;
        Self::new(settings, &sdk, Clock::from_environment(), Dice::system())
    }

    /// Puts the function together.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: Settings, config: &aws::clients::SdkConfig, clock: Clock, dice: Dice) -> anyhow::Result<Self> {
        let s3 = aws::clients::s3(config);
        let queue = |url| Queue::new(aws_sdk_sqs::Client::new(config), url, dice.clone());
        let queue = settings.queue_url.clone().map(queue);
        let topics = Topics::new(config, &settings.notice_topics, dice.clone());
        let state = Bucket::new(s3.clone(), &settings.state_bucket, dice.clone());
        let (from, base) = (settings.config.clone(), settings.reading.clone());
        let configuration = Configuration::new(from, base, config, state.clone(), Some(INGEST_CONFIG));
        let app = Self {
            settings,
            s3,
            state,
            configuration,
            targets: Targets::default(),
            secrets: Secrets::new(config),
            #[cfg(test)]
            script: None,
            queue,
            topics,
            clock,
            dice,
        };
        Ok(app)
    }

    /// The configuration in force, with its targets.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub(crate) async fn in_force(&self) -> anyhow::Result<InForce> {
        let current = self.configuration.current().await?;
        if let Some(alarm) = &current.alarm {
            tracing::error!(alarm, "an older configuration is in force");
            telemetry::emit(self.clock.now_ms(), &[], &[(metrics::ALARMS, json!(1))]);
        }
        self.targets.of(current, &self.settings, &self.secrets, &self.clock, &self.dice)
    }

    /// Handles an event. `ends_at_ms`: when the invocation ends, in ms since the epoch.
    ///
    /// # Errors
    /// When the event is to be delivered again. A queue's messages fail one by one, in the answer.
    pub async fn handle(&self, payload: Value, ends_at_ms: i64) -> anyhow::Result<Value> {
        let deadline = Deadline::of(self.clock.now_ms(), ends_at_ms);
        Ok(match read(&payload, self.settings.wanted)? {
            Notification::Direct(entries) => self.handle_direct(entries, &self.in_force().await?, deadline).await?,
            Notification::Queue(messages) => {
                serde_json::to_value(self.handle_queue(messages, &self.in_force().await?, deadline).await)?
            }
            Notification::Backfill(backfill) => {
                serde_json::to_value(self.backfill(&backfill, &self.in_force().await?, deadline).await?)?
            }
            Notification::Status(of) => serde_json::to_value(self.status(&of).await?)?,
            Notification::Batch(batch) => serde_json::to_value(self.queue_batch(&batch, deadline).await)?,
            Notification::Validate(buckets) => {
                serde_json::to_value(self.validate(buckets, &self.in_force().await?, deadline).await)?
            }
        })
    }

    /// A bucket that files come from.
    pub(crate) fn source_bucket(&self, name: &str) -> Bucket {
        Bucket::new(self.s3.clone(), name, self.dice.clone()).paid_by_us(self.settings.pays_for_reads)
    }

    /// The sender of requests to Segment.
    pub(crate) fn sender<'a>(&'a self, target: &'a Target) -> Sender<'a> {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return Sender::Script(script);
        }
        Sender::Delivery(&target.delivery)
    }

    async fn handle_direct(
        &self,
        entries: Vec<Entry>,
        in_force: &InForce,
        deadline: Deadline,
    ) -> anyhow::Result<Value> {
        let mut report = Report::of(in_force);
        let is_done = self.handle_entries(entries, None, in_force, deadline, &mut report).await;
        if is_done { Ok(serde_json::to_value(report)?) } else { Err(Failure(report).into()) }
    }

    async fn handle_queue(&self, messages: Vec<Message>, in_force: &InForce, deadline: Deadline) -> QueueAnswer {
        let mut report = Report::of(in_force);
        let mut batch_item_failures = Vec::new();
        for Message { id, receipt, receives, entries } in messages {
            if !self.handle_entries(entries, Some((&id, receives)), in_force, deadline, &mut report).await {
                if let (Some(queue), Some(receipt)) = (&self.queue, receipt) {
                    queue.retry_after(&receipt, retry_after_s(receives)).await;
                }
                batch_item_failures.push(BatchItemFailure { item_identifier: id });
            }
        }
        QueueAnswer { batch_item_failures, report }
    }

    /// Handles all events of one message. `message` is its id, and how often it was received. False if it is to be
    /// delivered again.
    async fn handle_entries(
        &self,
        entries: Vec<Entry>,
        message: Option<(&str, u32)>,
        in_force: &InForce,
        deadline: Deadline,
        report: &mut Report,
    ) -> bool {
        let (message_id, receives) = message.unzip();
        let mut is_done = true;
        for entry in entries {
            is_done &= match entry {
                Entry::Ingest(notice) => {
                    self.handle_notice(notice, receives.unwrap_or(1), in_force, deadline, report).await
                }
                Entry::Ignored(ignored) => {
                    self.conclude(&ignored.bucket, &ignored.key, Close::ignored(ignored.reason), deadline, report).await
                }
                Entry::Backfill(backfill) => match self.backfill(&backfill, in_force, deadline).await {
                    Ok(backfilled) => {
                        report.backfills.push(backfilled);
                        true
                    }
                    Err(trouble) => {
                        tracing::error!(bucket = backfill.bucket, reason = %trouble, "a backfill has failed");
                        false
                    }
                },
                Entry::Unreadable(fault) => {
                    tracing::error!(message_id, reason = %fault, "a part of the event cannot be read");
                    let message_id = message_id.map(str::to_owned);
                    report.unreadable.push(Unreadable { message_id, reason: fault.to_string() });
                    false
                }
            };
        }
        is_done
    }

    /// Reports an object that is not opened. False if its message is to be delivered again.
    async fn conclude(&self, bucket: &str, key: &str, close: Close, deadline: Deadline, report: &mut Report) -> bool {
        let is_done = close.is_done();
        let mut file = FileReport::of(bucket, key);
        if bucket.is_empty() {
            "an event without an object".clone_into(&mut file.object);
        }
        file.close(close);
        self.concluded(&file, None, deadline).await;
        report.objects.push(file);
        is_done
    }

    /// Handles one object: once for each mapping that reads it. False if the message is to be delivered again.
    pub(crate) async fn handle_notice(
        &self,
        notice: Notice,
        receives: u32,
        in_force: &InForce,
        deadline: Deadline,
        report: &mut Report,
    ) -> bool {
        let (bucket, key) = (notice.bucket.clone(), notice.key.clone());
        if let Some(fault) = source_bucket_fault(&bucket) {
            let close = Close::failed(format!("the name of the bucket `{bucket}` {fault}"));
            return self.conclude(&bucket, &key, close, deadline, report).await;
        }
        let notice = match self.spelled(notice, receives, in_force, deadline).await {
            Ok(notice) => notice,
            Err(close) => return self.conclude(&bucket, &key, close, deadline, report).await,
        };
        // A file that was begun is finished, whatever the settings say now.
        if notice.hop.is_none() && self.settings.ignored.leave_alone(&notice.key, &in_force.config) {
            let reason = "the key is that of an unfinished upload or of a tool, or IGNORE_KEYS has it";
            let close = Close::ignored(reason.to_owned());
            return self.conclude(&notice.bucket, &notice.key, close, deadline, report).await;
        }
        if self.settings.rejected_folder && rejected_folder::has(&notice.key) {
            let reason = "it is in a folder `rejected/`, which has refused rows (REJECTED_FOLDER)";
            let close = Close::ignored(reason.to_owned());
            return self.conclude(&notice.bucket, &notice.key, close, deadline, report).await;
        }
        let assigned = match in_force.assign(&notice) {
            Ok(assigned) => assigned,
            Err(reason) => {
                return self.conclude(&notice.bucket, &notice.key, Close::failed(reason), deadline, report).await;
            }
        };
        let mut is_done = true;
        for assigned in assigned {
            let (file, ok) = self.handle_file(notice.clone(), receives, in_force, &assigned, deadline).await;
            is_done &= ok;
            report.objects.push(file);
        }
        is_done
    }

    /// Tells the owner of an object that is not read, keeps its outcome in the index, and writes its summary line and metrics. An object that was not opened
    /// has no source.
    pub(crate) async fn concluded(&self, report: &FileReport, source: Option<&SourceId>, deadline: Deadline) {
        self.announce_unread(report, deadline).await;
        self.keep_outcome(report, source, deadline).await;
        self.summarize(report, source);
    }

    fn summarize(&self, report: &FileReport, source: Option<&SourceId>) {
        let level = match report.outcome {
            Outcome::Failed | Outcome::Stopped | Outcome::Missing => Level::ERROR,
            Outcome::Refused | Outcome::Replaced => Level::WARN,
            _ => Level::INFO,
        };
        telemetry::summary(level, "ingested", report.summary());
        let mut values = report.outcome_metrics();
        if source.is_some() {
            values.extend(report.row_metrics());
        }
        let of: Vec<_> = source.iter().map(|source| (Per::Source, source.as_str())).collect();
        if !values.is_empty() {
            telemetry::emit(self.clock.now_ms(), &of, &values);
        }
    }
}
