//! The rejects file and the ledger of a file that has ended.
//!
//! Both follow from the last checkpoint and the rejects parts that it names. So an invocation that finds them missing writes
//! the same again.

use crate::app::App;
use crate::report::FileReport;
use crate::trouble::of_state;
use aws::Bucket;
use aws::bucket::Upload;
use aws::fault::{Fault, Kind};
use aws::telemetry::{self, metrics};
use calls::refusal::FaultCode;
use calls::rejects::{Rejects, join};
use futures_util::{StreamExt, TryStreamExt, stream};
use ingestion::announcement::{Announcement, Places};
use ingestion::deadline::Deadline;
use ingestion::life::Outcome;
use ingestion::rejected_folder;
use ingestion::trouble::{Remedy, Trouble};
use protocol::checkpoint::{Checkpoint, RejectsPart};
use protocol::keys;
use protocol::ledger::Ledger;
use serde_json::json;
use std::time::Duration;

/// All but the last part of an upload must have 5 MiB (S3 user guide, "Multipart upload limits").
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Rejects parts that are fetched at once.
const PARTS_AHEAD: usize = 4;

impl App {
    /// Writes rejects file and ledger, unless the ledger is there, and tells the owner of the file before the ledger is
    /// there. Returns the rejects parts that are missing.
    pub(crate) async fn keep_account(
        &self,
        ended: &Checkpoint,
        is_of_backfill: bool,
    ) -> Result<Vec<RejectsPart>, Trouble> {
        let Some(mut ledger) = Ledger::of(ended) else { return Ok(Vec::new()) };
        let key = keys::ledger(ledger.stream);
        if let Some(found) = self.state.get(&key).await.map_err(|fault| of_state(&fault))? {
            return Ok(Ledger::from_json(&found.body).map(|ledger| ledger.rejects_missing).unwrap_or_default());
        }
        if let Some(rejects) = &ledger.rejects {
            let joined = self.join_rejects(ended, &self.state, rejects).await;
            ledger.rejects_missing = joined.map_err(|fault| of_state(&fault))?;
        }
        let in_folder = self.fill_folder(ended, &ledger).await?;
        if !is_of_backfill {
            self.announce(&ledger, in_folder).await?;
        }
        let body = ledger.to_json();
        self.state.put(&key, body.into(), "application/json").await.map_err(|fault| of_state(&fault))?;
        Ok(ledger.rejects_missing)
    }

    /// Puts the refused rows into the folder beside the file. Returns whether they are there.
    async fn fill_folder(&self, ended: &Checkpoint, ledger: &Ledger) -> Result<bool, Trouble> {
        let Some(rejects) = ledger.rejects.as_ref().filter(|_| self.settings.rejected_folder) else { return Ok(false) };
        let name = rejects.rsplit('/').next().unwrap_or_default();
        let Some(key) = rejected_folder::key(&ledger.object.key, name) else {
            tracing::warn!(
                key = ledger.object.key,
                "the refused rows are not in `rejected/`: the key would be too long"
            );
            return Ok(false);
        };
        let bucket = self.source_bucket(&ledger.object.bucket);
        let joined = self.join_rejects(ended, &bucket, &key).await.map(|_| ());
        self.unless_permanent(joined.map_err(|fault| of_folder(&fault)), "the refused rows are not in `rejected/`")
    }

    /// Publishes the message about a file.
    async fn announce(&self, ledger: &Ledger, in_folder: bool) -> Result<(), Trouble> {
        if self.topics.is_empty() {
            return Ok(());
        }
        let places = Places { state_bucket: &self.settings.state_bucket, in_folder };
        let published = self.topics.publish(&Announcement::of(ledger, places)).await;
        self.unless_permanent(published, "the message about a file is not published").map(|_| ())
    }

    /// Publishes the message about an object that is not read. A file without bytes may get its content in a moment.
    pub(crate) async fn announce_unread(&self, report: &FileReport, deadline: Deadline) {
        let is_for_owner = report.outcome == Outcome::Refused
            && report.code.as_deref() != Some(FaultCode::EmptyFile.as_str())
            && report.bucket != self.settings.state_bucket;
        if self.topics.is_empty() || !is_for_owner || report.is_of_backfill {
            return;
        }
        let reason = report.reason.as_deref().unwrap_or_default();
        let message = Announcement::of_unread(&report.bucket, &report.key, reason);
        let left_ms = u64::try_from(deadline.ends_at_ms - self.clock.now_ms()).unwrap_or(0);
        let published = tokio::time::timeout(Duration::from_millis(left_ms), self.topics.publish(&message)).await;
        let published = published.unwrap_or_else(|_| Err(Trouble::out_of_time()));
        if let Err(trouble) = self.unless_permanent(published, "the message about a file is not published") {
            tracing::error!(reason = %trouble, "the message about a file is not published");
        }
    }

    /// True if it was done. A person must remove a permanent trouble, and the file need not wait for that: there is an
    /// alarm. After an outage the message of the file comes again.
    pub(crate) fn unless_permanent(&self, done: Result<(), Trouble>, what: &str) -> Result<bool, Trouble> {
        match done {
            Ok(()) => Ok(true),
            Err(trouble) if trouble.is_transient() => Err(trouble),
            Err(trouble) => {
                tracing::error!(reason = %trouble, "{what}");
                telemetry::emit(self.clock.now_ms(), &[], &[(metrics::ALARMS, json!(1))]);
                Ok(false)
            }
        }
    }

    /// Makes one CSV file of the parts. They do not change any more, so this may be done again. Returns the parts that are
    /// missing: only a person deletes one, and a retry would not bring it back.
    async fn join_rejects(&self, ended: &Checkpoint, to: &Bucket, key: &str) -> Result<Vec<RejectsPart>, Fault> {
        let Some(header) = &ended.header else { return Ok(Vec::new()) };
        let stream = ended.object.stream();
        let head = Rejects::new(header).head().to_vec();
        let mut upload: Option<Upload<'_>> = None;
        // Each part is a CSV file of its own; the header stands once in the whole.
        let mut joined = head.clone();
        let mut missing = Vec::new();
        let parts = stream::iter(&ended.rejects).map(async |part| {
            let key = part.key(stream);
            let found = self.state.get(&key).await?;
            Ok::<_, Fault>((part, key, found))
        });
        let mut parts = parts.buffered(PARTS_AHEAD);
        while let Some((part, part_key, found)) = parts.try_next().await? {
            let Some(found) = found else {
                tracing::error!(
                    part = part_key,
                    rows = part.rows,
                    "a part of the rejects was deleted: its rows are missing"
                );
                missing.push(*part);
                continue;
            };
            join(&mut joined, &head, &found.body);
            if joined.len() >= UPLOAD_PART_BYTES {
                if upload.is_none() {
                    upload = Some(to.upload(key, "text/csv").await?);
                }
                if let Some(upload) = &mut upload {
                    upload.part(std::mem::take(&mut joined).into()).await?;
                }
            }
        }
        let Some(mut upload) = upload else {
            to.put(key, joined.into(), "text/csv").await?;
            return Ok(missing);
        };
        if !joined.is_empty() {
            upload.part(joined.into()).await?;
        }
        upload.complete().await?;
        Ok(missing)
    }
}

/// A refused put into the folder beside a file. The state bucket may be the cause too.
fn of_folder(fault: &Fault) -> Trouble {
    let remedy = if fault.is_transient() { Remedy::Wait } else { Remedy::Person };
    let fix =
        "allow the function's role s3:PutObject on `rejected/` in the source bucket, or set REJECTED_FOLDER=false";
    let words = if fault.kind == Kind::Denied { format!("{fault}: {fix}") } else { fault.to_string() };
    Trouble::new(remedy, words)
}
