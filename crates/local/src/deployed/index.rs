//! The outcome index, asked through the ingester's own code: with this person's credentials, and not through Lambda.

use super::place::Place;
use anyhow::Context;
use aws::{Bucket, Clock};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ingester::{App, Settings};
use protocol::keys;
use protocol::outcome::{FileOutcome, ListedOutcome, Outcome};
use serde::Serialize;
use serde_json::{Value, json};

/// The most outcomes of one question.
pub(super) const NEWEST_MAX: usize = ingestion::notification::NEWEST_MAX;

/// Questions at a time.
const AT_A_TIME: usize = 16;

/// How long the answer may take.
const PATIENCE_MS: i64 = 900_000;

const DAY_MS: i64 = 86_400_000;

/// The most that the clock of this machine may differ from AWS's: a signature is then refused (S3 API reference,
/// `RequestTimeTooSkewed`).
const CLOCKS_DIFFER_MAX_MS: i64 = 900_000;

/// The most outcomes that are listed to find those of one file.
const SEARCHED_MAX: usize = 10_000;

/// An outcome in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Listed {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mapping: Option<String>,
    pub(super) rows: u64,
    pub(super) acknowledged: u64,
    pub(super) rejected: u64,
    /// Why it did not finish, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// When it ended or failed, RFC 3339.
    pub(super) at: String,
}

/// Who answers.
pub(super) struct Index {
    app: App,
    state: Bucket,
    clock: Clock,
}

impl Index {
    /// The index in this state bucket. No other setting counts for an answer.
    pub(super) fn of(place: &Place, state: &str) -> anyhow::Result<Index> {
        let settings = Settings::read(&|name| match name {
            "STATE_BUCKET" => Some(state.to_owned()),
            "WRITE_KEY" | "SOURCE_ID" => Some("unused".to_owned()),
            _ => None,
        })?;
        let clock = Clock::system();
        let app = App::new(settings, place.sdk(), clock.clone(), place.dice().clone())?;
        Ok(Index { app, state: place.bucket(state), clock })
    }

    /// The last outcomes of a key, one for each mapping that reads it.
    pub(super) async fn of_file(&self, bucket: &str, key: &str) -> anyhow::Result<Vec<FileOutcome>> {
        let files = self.ask(json!(format!("s3://{bucket}/{key}"))).await?;
        serde_json::from_value(files).context("an outcome cannot be read")
    }

    /// Now, as early as AWS may call it.
    pub(super) fn now_at_the_earliest_ms(&self) -> i64 {
        self.clock.now_ms() - CLOCKS_DIFFER_MAX_MS
    }

    /// All outcomes of a key since then, the newest first. The last outcome of a key replaces those before it; the outcomes
    /// of a day stay.
    pub(super) async fn of_file_since(
        &self,
        bucket: &str,
        key: &str,
        since_ms: i64,
    ) -> anyhow::Result<Vec<FileOutcome>> {
        let is_candidate = |listed: &str| match ListedOutcome::of_day_key(listed) {
            Some(listed) => listed.bucket == bucket && listed.key == key,
            // The key of the document does not say it.
            None => true,
        };
        let mut found = Vec::new();
        for listed in self.listed_since(since_ms).await?.iter().filter(|listed| is_candidate(listed)) {
            let document = self.state.get(listed).await?;
            let outcome = document.and_then(|document| FileOutcome::from_json(&document.body).ok());
            found.extend(outcome.filter(|outcome| outcome.bucket == bucket && outcome.key == key));
        }
        Ok(found)
    }

    /// The keys of all outcomes since then, the newest first.
    async fn listed_since(&self, since_ms: i64) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut at_ms = self.clock.now_ms() + CLOCKS_DIFFER_MAX_MS;
        while at_ms.div_euclid(DAY_MS) >= since_ms.div_euclid(DAY_MS) && found.len() < SEARCHED_MAX {
            let (prefix, mut after) = (keys::outcomes_of_day(at_ms), None);
            loop {
                let (page, next) = self.state.list_page(&prefix, after.as_deref()).await?;
                let is_since =
                    |key: &String| keys::read_outcome_of_day(key).is_some_and(|(at_ms, ..)| at_ms >= since_ms);
                let (all, before) = (page.len(), found.len());
                found.extend(page.into_iter().map(|object| object.key).filter(is_since));
                let is_older = found.len() - before < all;
                after = next.filter(|_| !is_older && found.len() < SEARCHED_MAX);
                if after.is_none() {
                    break;
                }
            }
            at_ms -= DAY_MS;
        }
        Ok(found)
    }

    /// The newest outcomes of all files, without reasons.
    pub(super) async fn newest(&self, number: usize) -> anyhow::Result<Vec<Listed>> {
        let files = self.ask(json!(number)).await?;
        let listed = files.as_array().into_iter().flatten().map(Listed::of).collect::<Option<_>>();
        listed.context("an outcome cannot be read")
    }

    /// Adds the reasons of the files that did not finish.
    pub(super) async fn add_reasons(&self, files: Vec<Listed>) -> anyhow::Result<Vec<Listed>> {
        let with_reason = stream::iter(files).map(async |file| {
            if file.outcome == Outcome::Finished {
                return Ok(file);
            }
            let known = self.of_file(&file.bucket, &file.key).await?;
            let same = known.into_iter().find(|known| known.mapping == file.mapping && known.at == file.at);
            anyhow::Ok(Listed { reason: same.and_then(|same| same.reason), ..file })
        });
        with_reason.buffered(AT_A_TIME).try_collect().await
    }

    async fn ask(&self, question: Value) -> anyhow::Result<Value> {
        let ends_at_ms = self.clock.now_ms() + PATIENCE_MS;
        let mut answer = Box::pin(self.app.handle(json!({"status": question}), ends_at_ms)).await?;
        Ok(answer["files"].take())
    }
}

impl Listed {
    /// Reads an outcome of a list. Its counts stand beside the others, or in the account.
    fn of(file: &Value) -> Option<Listed> {
        let text = |field: &str| file[field].as_str().map(str::to_owned);
        let count = |field: &str| file[field].as_u64().or_else(|| file["account"][field].as_u64());
        Some(Listed {
            bucket: text("bucket")?,
            key: text("key")?,
            outcome: serde_json::from_value(file["outcome"].clone()).ok()?,
            mapping: text("mapping"),
            rows: count("rows")?,
            acknowledged: count("acknowledged")?,
            rejected: count("rejected")?,
            reason: text("reason"),
            at: text("at")?,
        })
    }
}
