//! The outcome index, asked through the ingester's own code: with this person's credentials, and not through Lambda.

use super::place::Place;
use anyhow::Context;
use aws::Clock;
use ingester::{App, Settings};
use protocol::outcome::FileOutcome;
use serde_json::{Value, json};

/// The most outcomes of one question.
pub(super) const NEWEST_MAX: usize = ingestion::notification::NEWEST_MAX;

/// How long the answer may take.
const PATIENCE_MS: i64 = 900_000;

/// Who answers.
pub(super) struct Index {
    app: App,
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
        Ok(Index { app, clock })
    }

    /// The last outcomes of a key, one for each mapping that reads it.
    pub(super) async fn of_file(&self, bucket: &str, key: &str) -> anyhow::Result<Vec<FileOutcome>> {
        self.ask(json!(format!("s3://{bucket}/{key}"))).await
    }

    /// The newest outcomes of all files.
    pub(super) async fn newest(&self, number: usize) -> anyhow::Result<Vec<FileOutcome>> {
        self.ask(json!(number)).await
    }

    async fn ask(&self, question: Value) -> anyhow::Result<Vec<FileOutcome>> {
        let ends_at_ms = self.clock.now_ms() + PATIENCE_MS;
        let mut answer = Box::pin(self.app.handle(json!({"status": question}), ends_at_ms)).await?;
        serde_json::from_value(answer["files"].take()).context("an outcome cannot be read")
    }
}
