//! An event in, a report out.

use crate::queue::Queue;
use crate::report::{FileReport, Report};
use crate::sender::Sender;
use crate::settings::Settings;
use anyhow::Context;
use aws::telemetry::{self, metrics};
use aws::{Bucket, Clock, Dice};
use delivery::Delivery;
use ingestion::deadline::Deadline;
use ingestion::life::Outcome;
use ingestion::notification::{Message, Notice, Notification, read};
use serde_json::{Value, json};
use std::sync::Arc;

/// The function, ready to handle events.
pub struct App {
    pub(crate) settings: Settings,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) state: Bucket,
    pub(crate) delivery: Arc<Delivery>,
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
        let delivery = Delivery::new(settings.delivery.clone(), clock.clone(), dice.clone());
        let delivery = delivery.context("failed to set up HTTP")?;
        let queue = |url| Queue::new(aws_sdk_sqs::Client::new(config), url, dice.clone());
        let queue = settings.queue_url.clone().map(queue);
        let state = Bucket::new(s3.clone(), &settings.state_bucket, dice.clone());
        Ok(Self {
            settings,
            s3,
            state,
            delivery: Arc::new(delivery),
            #[cfg(test)]
            script: None,
            queue,
            clock,
            dice,
        })
    }

    /// Handles an event. `ends_at_ms`: when the invocation ends, in ms since the epoch.
    ///
    /// # Errors
    /// When the event is to be delivered again. A queue's messages fail one by one, in the answer.
    pub async fn handle(&self, payload: Value, ends_at_ms: i64) -> anyhow::Result<Value> {
        let deadline = Deadline::of(self.clock.now_ms(), ends_at_ms);
        match read(&payload)? {
            Notification::Direct(notices) => self.handle_direct(notices, deadline).await,
            Notification::Queue(messages) => Ok(serde_json::to_value(self.handle_queue(messages, deadline).await)?),
            Notification::Validate(buckets) => Ok(serde_json::to_value(self.validate(buckets, deadline).await)?),
        }
    }

    /// The sender of requests to Segment.
    pub(crate) fn sender(&self) -> Sender<'_> {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return Sender::Script(script);
        }
        Sender::Delivery(&self.delivery)
    }

    async fn handle_direct(&self, notices: Vec<Notice>, deadline: Deadline) -> anyhow::Result<Value> {
        let mut report = Report::default();
        let mut failed = false;
        for notice in notices {
            let (object, ok) = self.handle_notice(notice, 1, deadline).await;
            failed |= !ok;
            report.objects.push(object);
        }
        if failed { Err(Failure(report).into()) } else { Ok(serde_json::to_value(report)?) }
    }

    async fn handle_queue(&self, messages: Vec<Message>, deadline: Deadline) -> QueueAnswer {
        let mut report = Report::default();
        let mut batch_item_failures = Vec::new();
        for message in messages {
            let mut failed = false;
            match message.notices {
                Ok(notices) => {
                    for notice in notices {
                        let (object, ok) = self.handle_notice(notice, message.receives, deadline).await;
                        failed |= !ok;
                        report.objects.push(object);
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

    /// The summary line and the metrics of one object.
    pub(crate) fn summarize(&self, report: &FileReport) {
        let stats = &report.stats;
        let mut summary = json!({
            "message": "ingested",
            "object": report.object,
            "outcome": report.outcome,
            "kind": report.kind,
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
        let source = self.settings.source.to_string();
        telemetry::emit(&telemetry::record(self.clock.now_ms(), &[("Source", &source)], &values));
    }
}
