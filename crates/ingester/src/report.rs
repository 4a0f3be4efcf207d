//! The report of an event: one entry for each object, for people and machines.

use crate::targets::{Assigned, InForce};
use aws::telemetry::metrics::{self, Metric};
use calls::pipeline::{Example, Pipeline};
use delivery::Stats;
use ingestion::estimate::Estimate;
use ingestion::life::{Close, Life, Outcome, column_warnings};
use protocol::account::Account;
use protocol::backfill::{Backfill, Passed, Progress};
use protocol::checkpoint::{Checkpoint, Phase, RejectsPart};
use protocol::id::{SourceId, StreamId};
use protocol::ledger::rfc3339;
use protocol::outcome::FileOutcome;
use protocol::profile::Profile;
use protocol::{format, keys};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// `s3://bucket/key`.
    pub object: String,
    /// How it ended, or why it waits.
    pub outcome: Outcome,
    /// The reason, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of that reason, when it is a fault of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The source that its calls go to, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The mapping that reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// The configuration in force: its place, and the beginning of its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// The kind of its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The collection, for objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Rows settled so far, by earlier runs too.
    pub rows: u64,
    /// Of these, acknowledged by Segment.
    pub acknowledged: u64,
    /// Of these, refused.
    pub rejected: u64,
    /// The refused rows by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected_by: BTreeMap<String, u64>,
    /// The first refused rows of this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_rejected: Vec<String>,
    /// Where the refused rows are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// Where the ledger is, if the file has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// How the file ended, if an earlier message ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Phase>,
    /// When the file ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The refused rows that are in no rejects file, because a part of the rejects was deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejects_missing: Vec<String>,
    /// The first line that is not settled, if the file did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undelivered_from_line: Option<u64>,
    /// Dropped blank lines and rows of only delimiters.
    #[serde(skip_serializing_if = "is_zero")]
    pub blank_rows: u64,
    /// Repeats of the header, dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub repeated_headers: u64,
    /// Rows that a filter of the mapping leaves out.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_rows: u64,
    /// Warnings about columns and rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The warnings about the columns and the dialect.
    #[serde(skip)]
    pub column_warnings: Vec<String>,
    /// The profile of the columns, of the rows settled so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Where checkpoint and ledger are: `ingest/{stream}/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// The bucket's name; empty for an event without an object.
    #[serde(skip)]
    pub bucket: String,
    /// The key, decoded.
    #[serde(skip)]
    pub key: String,
    /// The account of the file so far.
    #[serde(skip)]
    pub account: Account,
    /// When the file was begun, in ms since the epoch, if it was.
    #[serde(skip)]
    pub started_ms: Option<i64>,
    /// When it ended, likewise.
    #[serde(skip)]
    pub ended_ms: Option<i64>,
    /// The meaning of each column.
    #[serde(skip)]
    pub columns: Vec<String>,
    /// The time of this run, in ms.
    pub elapsed_ms: i64,
    /// From the event to the end of the file, if this message ended it and the event has a time.
    #[serde(skip)]
    pub seconds_to_done: Option<i64>,
    /// The requests of this run.
    #[serde(skip)]
    pub stats: Stats,
    /// The rows that this run settled.
    #[serde(skip)]
    pub settled: Account,
    /// True if Segment does not know the write key of its source.
    #[serde(skip)]
    pub has_unknown_key: bool,
    /// True for a file of a backfill, which has no message of its own.
    #[serde(skip)]
    pub is_of_backfill: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl FileReport {
    /// The report of an object before it was opened.
    pub(crate) fn of(bucket: &str, key: &str) -> Self {
        Self {
            object: format!("s3://{bucket}/{key}"),
            outcome: Outcome::Failed,
            reason: None,
            code: None,
            source: None,
            mapping: None,
            config: None,
            kind: None,
            collection: None,
            rows: 0,
            acknowledged: 0,
            rejected: 0,
            rejected_by: BTreeMap::new(),
            first_rejected: Vec::new(),
            rejects: None,
            ledger: None,
            ended: None,
            ended_at: None,
            rejects_missing: Vec::new(),
            undelivered_from_line: None,
            blank_rows: 0,
            repeated_headers: 0,
            skipped_rows: 0,
            warnings: Vec::new(),
            column_warnings: Vec::new(),
            profile: None,
            stream: None,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            account: Account::default(),
            started_ms: None,
            ended_ms: None,
            columns: Vec::new(),
            elapsed_ms: 0,
            seconds_to_done: None,
            stats: Stats::default(),
            settled: Account::default(),
            has_unknown_key: false,
            is_of_backfill: false,
        }
    }

    /// How it ended. The end of a file that had ended before is in the report already.
    pub(crate) fn close(&mut self, close: Close) {
        self.outcome = close.outcome;
        if close.outcome != Outcome::AlreadyDone {
            (self.reason, self.code, self.ended) = (close.reason, close.code, None);
        }
        if !self.has_ended() && close.outcome != Outcome::AlreadyDone {
            (self.ledger, self.ended_at, self.ended_ms) = (None, None, None);
        }
    }

    /// The outcome for the index, if this message ended in one. Objects of the state bucket are left out: a document about
    /// them would be another object there, with an event of its own.
    pub(crate) fn to_keep(&self, source: Option<&SourceId>, state_bucket: &str, now_ms: i64) -> Option<FileOutcome> {
        let outcome = self.outcome.to_keep(self.ended)?;
        if self.bucket.is_empty() || self.bucket == state_bucket {
            return None;
        }
        let at_ms = self.ended_ms.unwrap_or(now_ms);
        Some(FileOutcome {
            format: format::OUTCOME.newest,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            outcome,
            reason: self.reason.clone(),
            code: self.code.clone(),
            source_id: source.cloned(),
            mapping: self.mapping.clone(),
            kind: self.kind.map(str::to_owned),
            collection: self.collection.clone(),
            stream: self.stream,
            account: Account { findings: Vec::new(), ..self.account.clone() },
            undelivered_from_line: self.undelivered_from_line,
            ledger: self.ledger.clone(),
            rejects: self.rejects.clone().filter(|_| self.ledger.is_some()),
            started: self.started_ms.map(rfc3339),
            at: rfc3339(at_ms),
            at_ms,
        })
    }

    /// Adds its source and its mapping.
    pub(crate) fn assigned(&mut self, in_force: &InForce, assigned: &Assigned<'_>, source: &SourceId) {
        self.source = in_force.target(source).and_then(|target| target.name.clone());
        self.config.clone_from(&in_force.version);
        self.mapping = assigned.reading.mapping.as_ref().map(|mapping| mapping.name.clone());
    }

    /// Adds the kind of the file and the counts of its checkpoint.
    pub(crate) fn describe(&mut self, life: &Life, state_bucket: &str) {
        self.kind = life.subject().map(|subject| subject.kind.as_str());
        self.collection = life.subject().and_then(|subject| subject.collection.clone());
        self.stream = life.stream();
        let Some(checkpoint) = life.checkpoint() else { return };
        let account = &checkpoint.account;
        self.account = account.clone();
        self.started_ms = Some(checkpoint.started_ms);
        if let Some(ending) = &checkpoint.ending {
            (self.reason, self.code) = (ending.reason.clone(), ending.code.clone());
            (self.ended, self.ended_ms) = (Some(checkpoint.phase), Some(ending.at_ms));
            self.ended_at = Some(rfc3339(ending.at_ms));
            self.ledger = self.stream.map(|stream| format!("s3://{state_bucket}/{}", keys::ledger(stream)));
        }
        (self.rows, self.acknowledged, self.rejected) = (account.rows, account.acknowledged, account.rejected);
        self.rejected_by = account.rejected_by.clone();
        self.blank_rows = account.blank_rows;
        self.repeated_headers = account.repeated_headers;
        self.skipped_rows = account.skipped_rows;
        self.warnings = [self.column_warnings.as_slice(), &account.warnings()].concat();
        self.profile.clone_from(&checkpoint.profile);
        if checkpoint.phase != Phase::Finished {
            self.undelivered_from_line = Some(checkpoint.position.line);
        }
        let rejects = checkpoint.ending.as_ref().and_then(|ending| ending.rejects.as_ref());
        self.rejects = rejects.map(|key| format!("s3://{state_bucket}/{key}"));
    }

    /// Adds the columns, warnings and examples of the run.
    pub(crate) fn describe_rows(&mut self, rows: &Pipeline, checkpoint: &Checkpoint) {
        self.columns = rows.columns();
        self.column_warnings = column_warnings(rows, checkpoint);
        let words = |example: &Example| {
            let words =
                if example.message.is_empty() { format!("line {}", example.line) } else { example.message.clone() };
            format!("{words} ({})", example.code)
        };
        self.first_rejected = rows.examples().iter().map(words).collect();
    }

    /// The fields of the log line.
    pub(crate) fn summary(&self) -> Value {
        let stats = &self.stats;
        let mut summary = json!({
            "object": self.object,
            "outcome": self.outcome,
            "code": self.code,
            "kind": self.kind,
            "source": self.source,
            "mapping": self.mapping,
            "rows": self.rows,
            "acknowledged": self.acknowledged,
            "rejected": self.rejected,
            "requests": stats.requests,
            "retries": stats.retries,
            "throttles": stats.throttles,
            "bytes_sent": stats.bytes,
            "elapsed_ms": self.elapsed_ms,
            "stream": self.stream,
            "reason": self.reason,
            "rejects_missing": self.rejects_missing,
        });
        // One field a code, so that they can be queried; as metrics each would have its price.
        for (code, rows) in &self.rejected_by {
            summary[format!("rejected_{code}")] = json!(rows);
        }
        summary
    }

    /// The metrics about the end of the message.
    pub(crate) fn outcome_metrics(&self) -> Vec<(Metric, Value)> {
        let ended = match self.outcome {
            Outcome::Finished => Some(metrics::FILES_FINISHED),
            Outcome::Stopped => Some(metrics::FILES_STOPPED),
            Outcome::Failed => Some(metrics::FILES_FAILED),
            Outcome::Missing => Some(metrics::FILES_MISSING),
            _ => None,
        };
        let time = self.seconds_to_done.map(|seconds| (metrics::SECONDS_TO_DONE, json!(seconds)));
        ended.map(|metric| (metric, json!(1))).into_iter().chain(time).collect()
    }

    /// The metrics about the rows and requests of this run.
    pub(crate) fn row_metrics(&self) -> Vec<(Metric, Value)> {
        let (settled, stats) = (&self.settled, &self.stats);
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
        if self.has_unknown_key {
            values.push((metrics::UNKNOWN_WRITE_KEY, json!(1)));
        }
        if self.has_ended() && self.rows > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
            let share = 100.0 * self.rejected as f64 / self.rows as f64;
            values.push((metrics::REJECTED_SHARE, json!(share)));
        }
        values
    }

    /// True if this message ended the file.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.outcome, Outcome::Finished | Outcome::Stopped | Outcome::Replaced)
    }

    /// The report in a line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let outcome = serde_json::to_value(self.outcome).ok();
        let outcome = outcome.as_ref().and_then(|value| value.as_str()).unwrap_or_default().replace('_', " ");
        let counts = match self.rows {
            0 => String::new(),
            rows => format!(", {rows} rows: {} acknowledged, {} rejected", self.acknowledged, self.rejected),
        };
        let rest = self.undelivered_from_line.map(|line| format!(", settled before line {line}")).unwrap_or_default();
        let code = self.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}{code}")).unwrap_or_default();
        format!("{} {outcome}{counts}{rest}{reason}", self.object)
    }
}

/// A part of the rejects that was deleted, in words.
pub(crate) fn missing_in_words(part: &RejectsPart) -> String {
    let RejectsPart { range, rows, .. } = part;
    format!(
        "{rows} refused rows between the bytes {} and {} of the file: the part with them was deleted",
        range.from, range.to
    )
}

/// A part of an event that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The id of the message that it is in, for messages of SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why it cannot be read.
    pub reason: String,
}

impl Unreadable {
    /// In a line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let message = self.message_id.as_ref().map(|id| format!("message {id}: ")).unwrap_or_default();
        format!("{message}{}", self.reason)
    }
}

/// The answer to `{"backfill": …}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backfilled {
    /// The request.
    pub backfill: Backfill,
    /// True once all objects are in the queue, or counted.
    pub done: bool,
    /// The result in one sentence.
    pub summary: String,
    /// The objects so far.
    #[serde(flatten)]
    pub passed: Passed,
    /// What it will take, of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
}

impl Backfilled {
    pub(crate) fn of(progress: &Progress, summary: String) -> Self {
        let Progress { backfill, passed, done, .. } = progress;
        Self { backfill: backfill.clone(), done: *done, summary, passed: passed.clone(), estimate: None }
    }
}

/// Every object of an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Why an older configuration is in force than the one that `CONFIG` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// The parts of the event that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
    /// The backfills that the event continues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backfills: Vec<Backfilled>,
    /// In the order of the event.
    pub objects: Vec<FileReport>,
}

impl Report {
    /// A report of no object yet.
    pub(crate) fn of(in_force: &InForce) -> Report {
        Report { alarms: in_force.alarm.iter().cloned().collect(), ..Report::default() }
    }
}
