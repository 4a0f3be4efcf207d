//! An event in, a report out.

use crate::queue::Queue;
use crate::report::{FileReport, Report};
use crate::sender::Sender;
use crate::settings::Settings;
use crate::targets::{InForce, Target, Targets};
use aws::configuration::Configuration;
use aws::telemetry::{self, metrics};
use aws::{Bucket, Clock, Dice};
use ingestion::deadline::Deadline;
use ingestion::life::{Close, Outcome};
use ingestion::notification::{Message, Notice, Notification, read};
use protocol::id::SourceId;
use protocol::keys::INGEST_CONFIG;
use serde_json::{Value, json};

/// The function, ready to handle events.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) state: Bucket,
    pub(crate) configuration: Configuration,
    pub(crate) targets: Targets,
    /// Answers in Segment's place.
    #[cfg(test)]
    pub(crate) script: Option<crate::sender::Script>,
    pub(crate) queue: Option<Queue>,
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
    report.objects.iter().map(FileReport::in_words).collect::<Vec<_>>().join("; ")
}

impl App {
    /// Reads the settings and prepares the clients.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub async fn from_environment() -> anyhow::Result<Self> {
        let settings = Settings::read(&config::environment::variable)?;
        Self::new(settings, &aws::clients::config().await, Clock::from_environment(), Dice::system())
    }

    /// Puts the function together.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: Settings, config: &aws::clients::SdkConfig, clock: Clock, dice: Dice) -> anyhow::Result<Self> {
        let s3 = aws::clients::s3(config);
        let queue = |url| Queue::new(aws_sdk_sqs::Client::new(config), url, dice.clone());
        let queue = settings.queue_url.clone().map(queue);
        let state = Bucket::new(s3.clone(), &settings.state_bucket, dice.clone());
        let (from, base) = (settings.config.clone(), settings.reading.clone());
        let configuration = Configuration::new(from, base, config, state.clone(), INGEST_CONFIG);
        let app = Self {
            settings,
            s3,
            state,
            configuration,
            targets: Targets::default(),
            #[cfg(test)]
            script: None,
            queue,
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
            tracing::error!(alarm);
            let name = config::environment::variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
            telemetry::emit(&telemetry::record(
                self.clock.now_ms(),
                &[("Function", &name)],
                &[(metrics::ALARMS, json!(1))],
            ));
        }
        self.targets.of(current, &self.settings, &self.clock, &self.dice)
    }

    /// Handles an event. `ends_at_ms`: when the invocation ends, in ms since the epoch.
    ///
    /// # Errors
    /// When the event is to be delivered again. A queue's messages fail one by one, in the answer.
    pub async fn handle(&self, payload: Value, ends_at_ms: i64) -> anyhow::Result<Value> {
        let deadline = Deadline::of(self.clock.now_ms(), ends_at_ms);
        let notification = read(&payload)?;
        let in_force = self.in_force().await?;
        Ok(match notification {
            Notification::Direct(notices) => self.handle_direct(notices, &in_force, deadline).await?,
            Notification::Queue(messages) => {
                serde_json::to_value(self.handle_queue(messages, &in_force, deadline).await)?
            }
            Notification::Validate(buckets) => serde_json::to_value(self.validate(buckets, &in_force, deadline).await)?,
        })
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
        notices: Vec<Notice>,
        in_force: &InForce,
        deadline: Deadline,
    ) -> anyhow::Result<Value> {
        let mut report = Report::of(in_force);
        let mut failed = false;
        for notice in notices {
            failed |= !self.handle_notice(notice, 1, in_force, deadline, &mut report).await;
        }
        if failed { Err(Failure(report).into()) } else { Ok(serde_json::to_value(report)?) }
    }

    async fn handle_queue(&self, messages: Vec<Message>, in_force: &InForce, deadline: Deadline) -> QueueAnswer {
        let mut report = Report::of(in_force);
        let mut batch_item_failures = Vec::new();
        for message in messages {
            let mut failed = false;
            match message.notices {
                Ok(notices) => {
                    for notice in notices {
                        failed |= !self.handle_notice(notice, message.receives, in_force, deadline, &mut report).await;
                    }
                }
                Err(fault) => {
                    tracing::error!(message = message.id, %fault, "a message cannot be read");
                    failed = true;
                }
            }
            if failed {
                batch_item_failures.push(BatchItemFailure { item_identifier: message.id });
            }
        }
        QueueAnswer { batch_item_failures, report }
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
        let assigned = match in_force.assign(&notice) {
            Ok(assigned) => assigned,
            Err(reason) => {
                let mut file = FileReport::of(&notice.bucket, &notice.key);
                file.close(Close::failed(reason));
                self.summarize(&file, None);
                report.objects.push(file);
                return false;
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

    /// The summary line and the metrics of one object.
    pub(crate) fn summarize(&self, report: &FileReport, source: Option<&SourceId>) {
        let stats = &report.stats;
        let mut summary = json!({
            "message": "ingested",
            "object": report.object,
            "outcome": report.outcome,
            "kind": report.kind,
            "source": report.source,
            "mapping": report.mapping,
            "rows": report.rows,
            "acknowledged": report.acknowledged,
            "rejected": report.rejected,
            "requests": stats.requests,
            "retries": stats.retries,
            "throttles": stats.throttles,
            "bytes_sent": stats.bytes,
            "elapsed_ms": report.elapsed_ms,
            "stream": report.stream,
            "reason": report.reason,
        });
        // One field a code, so that they can be queried; as metrics each would have its price.
        for (code, rows) in &report.rejected_by {
            summary[format!("rejected_{code}")] = json!(rows);
        }
        let level = match report.outcome {
            Outcome::Failed | Outcome::Stopped => "ERROR",
            Outcome::Refused | Outcome::Replaced => "WARN",
            _ => "INFO",
        };
        telemetry::summary(level, summary);
        let settled = &report.settled;
        let mut values = vec![
            (metrics::ROWS, json!(settled.rows)),
            (metrics::ACKNOWLEDGED, json!(settled.acknowledged)),
            (metrics::REJECTED, json!(settled.rejected)),
            (metrics::BATCHES, json!(settled.batches)),
            (metrics::BYTES, json!(stats.bytes)),
            (metrics::RETRIES, json!(stats.retries)),
            (metrics::THROTTLES, json!(stats.throttles)),
        ];
        if !stats.latencies_ms.is_empty() {
            values.push((metrics::DELIVERY_LATENCY, json!(stats.latencies_ms)));
        }
        let source = source.map(ToString::to_string).unwrap_or_default();
        telemetry::emit(&telemetry::record(self.clock.now_ms(), &[("Source", &source)], &values));
    }
}
