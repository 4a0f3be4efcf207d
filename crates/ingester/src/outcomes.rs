//! The outcome index: written at the end or failure of a file, and read by `status`.

use crate::app::App;
use crate::report::FileReport;
use crate::trouble::of_state;
use aws::document::{Document, Format};
use aws::telemetry::{self, metrics};
use aws::{Bucket, Fault};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use ingestion::deadline::Deadline;
use ingestion::notification::StatusOf;
use ingestion::trouble::Trouble;
use protocol::id::SourceId;
use protocol::keys;
use protocol::outcome::{FileOutcome, KeyOutcomes, ListedOutcome, key_of};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// How often an outcome is added to the document of its key when other writers are faster.
const ROUNDS_MAX: u32 = 4;
/// Documents that are read at a time, where their keys do not say enough.
const READS: usize = 64;
/// The days that are searched for the newest outcomes.
const DAYS_MAX: i64 = 92;
const DAY_MS: i64 = 86_400_000;

/// The answer to `{"status": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// About one object.
    Object {
        /// The object.
        object: String,
        /// Why there is no outcome.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        /// The outcomes, the latest first. Each mapping that reads the object has its own.
        files: Vec<FileOutcome>,
    },
    /// About the newest outcomes of all files.
    Newest {
        /// The outcomes, the latest first.
        files: Vec<ListedOutcome>,
    },
}

impl App {
    /// Keeps the outcome of a file in the index. A failure changes nothing about the file: a redelivery repairs the index.
    pub(crate) async fn keep_outcome(&self, report: &FileReport, source: Option<&SourceId>, deadline: Deadline) {
        // The explorer plays every order of requests. No promise about rows depends on these.
        #[cfg(test)]
        if self.script.is_some() {
            return;
        }
        let Some(outcome) = report.to_keep(source, &self.settings.state_bucket, self.clock.now_ms()) else { return };
        let left_ms = u64::try_from(deadline.ends_at_ms - self.clock.now_ms()).unwrap_or(0);
        let keeping = Box::pin(keep(&self.state, &outcome));
        let kept = tokio::time::timeout(Duration::from_millis(left_ms), keeping).await;
        let failed = match kept {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => of_state(&fault),
            Err(_) => Trouble::out_of_time(),
        };
        tracing::error!(object = report.object, reason = %failed, "the outcome is not in the index; a redelivery adds it");
        telemetry::emit(self.clock.now_ms(), &[], &[(metrics::ALARMS, json!(1))]);
    }

    /// Answers from the index.
    pub(crate) async fn status(&self, of: &StatusOf) -> Result<Status, Fault> {
        match of {
            StatusOf::Object { bucket, key } => {
                let found = document(&self.state, bucket, key).read().await?;
                let files = found.map(|found| found.value.files).unwrap_or_default();
                let reason = files.is_empty().then_some(
                    "no end and no failure of this object is known: it waits in the queue, or a run reads it, or its \
                     event never came, or its outcome has expired",
                );
                Ok(Status::Object { object: format!("s3://{bucket}/{key}"), reason, files })
            }
            StatusOf::Newest(number) => {
                let keys = self.newest(*number).await?;
                let listed = stream::iter(keys).map(|key| listed(&self.state, key)).buffered(READS);
                let files: Vec<_> = listed.try_collect().await?;
                Ok(Status::Newest { files: files.into_iter().flatten().collect() })
            }
        }
    }

    /// The keys of the newest outcomes, day by day backwards. Where a day has few, more days are listed at a time.
    async fn newest(&self, number: usize) -> Result<Vec<String>, Fault> {
        let now_ms = self.clock.now_ms();
        let mut newest = Vec::new();
        let (mut day, mut at_a_time) = (0, 1);
        while newest.len() < number && day < DAYS_MAX {
            let days = day..DAYS_MAX.min(day + at_a_time);
            let lists = days.map(|day| keys::outcomes_of_day(now_ms - day * DAY_MS));
            let lists = lists.map(async |prefix| self.state.list(&prefix, number).await);
            for listed in future::try_join_all(lists).await? {
                newest.extend(listed.into_iter().map(|object| object.key));
            }
            (day, at_a_time) = (day + at_a_time, at_a_time * 2);
        }
        newest.truncate(number);
        Ok(newest)
    }
}

/// Writes the document of the day, then that of the key. So an outcome that is in the second is in the first.
async fn keep(state: &Bucket, outcome: &FileOutcome) -> Result<(), Fault> {
    let document = document(state, &outcome.bucket, &outcome.key);
    let mut is_kept = false;
    for _ in 0..ROUNDS_MAX {
        let before = document.read().await?;
        let known = before.as_ref().map(|found| &found.value);
        if known.is_some_and(|known| known.files.contains(outcome)) {
            return Ok(());
        }
        if !is_kept {
            state.put(&outcome.day_key(), outcome.to_json().into(), "application/json").await?;
            is_kept = true;
        }
        let Some(next) = KeyOutcomes::with(known, outcome, state.dice().nonce()) else { return Ok(()) };
        if document.swap(before.as_ref().map(|found| found.etag.as_str()), next).await?.is_some() {
            return Ok(());
        }
    }
    tracing::warn!(object = outcome.key, "other outcomes of this key were kept at the same time");
    Ok(())
}

/// An outcome of a day, from the key of its document, or else from the document. One that has expired since the listing, or
/// that a newer version wrote, is left out.
async fn listed(state: &Bucket, key: String) -> Result<Option<ListedOutcome>, Fault> {
    if let Some(listed) = ListedOutcome::of_day_key(&key) {
        return Ok(Some(listed));
    }
    let found = state.get(&key).await?;
    let file = found.and_then(|object| FileOutcome::from_json(&object.body).ok());
    Ok(file.as_ref().map(ListedOutcome::from))
}

fn document(state: &Bucket, bucket: &str, key: &str) -> Document<KeyOutcomes> {
    let format = Format {
        read: |bytes| Ok(KeyOutcomes::from_json(bytes)?),
        write: KeyOutcomes::to_json,
        is_same_write: |one, other| one.nonce == other.nonce,
    };
    Document::new(state.clone(), key_of(bucket, key), format)
}
