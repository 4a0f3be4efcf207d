//! The rejects file and the ledger of a file that has ended.
//!
//! Both follow from the last checkpoint and the rejects parts that it names. So an invocation that finds them missing writes
//! the same again.

use crate::app::App;
use crate::trouble::of_state;
use aws::bucket::Upload;
use aws::fault::Fault;
use bytes::Bytes;
use calls::rejects::{Rejects, join};
use futures_util::{StreamExt, TryStreamExt, stream};
use ingestion::trouble::Trouble;
use protocol::checkpoint::{Checkpoint, RejectsPart};
use protocol::keys;
use protocol::ledger::Ledger;

/// All but the last part of an upload must have 5 MiB (S3 user guide, "Multipart upload limits").
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Rejects parts that are fetched at once.
const PARTS_AHEAD: usize = 4;

impl App {
    /// Writes rejects file and ledger, unless the ledger is there. Returns the rejects parts that are missing.
    pub(crate) async fn keep_account(&self, ended: &Checkpoint) -> Result<Vec<RejectsPart>, Trouble> {
        let Some(mut ledger) = Ledger::of(ended) else { return Ok(Vec::new()) };
        let key = keys::ledger(ledger.stream);
        if let Some(found) = self.state.get(&key).await.map_err(|fault| of_state(&fault))? {
            return Ok(Ledger::from_json(&found.body).map(|ledger| ledger.rejects_missing).unwrap_or_default());
        }
        if let Some(rejects) = &ledger.rejects {
            ledger.rejects_missing = self.join_rejects(ended, rejects).await?;
        }
        let body = ledger.to_json();
        self.put(&key, body.into(), "application/json").await?;
        Ok(ledger.rejects_missing)
    }

    /// Makes one CSV file of the parts. They do not change any more, so this may be done again. Returns the parts that are
    /// missing: only a person deletes one, and a retry would not bring it back.
    async fn join_rejects(&self, ended: &Checkpoint, key: &str) -> Result<Vec<RejectsPart>, Trouble> {
        let Some(header) = &ended.header else { return Ok(Vec::new()) };
        let stream = ended.object.stream();
        let head = Rejects::new(header).head().to_vec();
        let mut upload: Option<Upload<'_>> = None;
        // Each part is a CSV file of its own; the header stands once in the whole.
        let mut joined = head.clone();
        let mut missing = Vec::new();
        let parts = stream::iter(&ended.rejects).map(async |part| {
            let key = part.key(stream);
            let found = self.state.get(&key).await.map_err(|fault| of_state(&fault))?;
            Ok::<_, Trouble>((part, key, found))
        });
        let mut parts = parts.buffered(PARTS_AHEAD);
        let failed = |fault: Fault| of_state(&fault);
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
                    upload = Some(self.state.upload(key, "text/csv").await.map_err(failed)?);
                }
                if let Some(upload) = &mut upload {
                    upload.part(std::mem::take(&mut joined).into()).await.map_err(failed)?;
                }
            }
        }
        let Some(mut upload) = upload else {
            self.put(key, joined.into(), "text/csv").await?;
            return Ok(missing);
        };
        if !joined.is_empty() {
            upload.part(joined.into()).await.map_err(failed)?;
        }
        upload.complete().await.map_err(failed)?;
        Ok(missing)
    }

    async fn put(&self, key: &str, body: Bytes, content_type: &str) -> Result<(), Trouble> {
        self.state.put(key, body, content_type).await.map_err(|fault| of_state(&fault))
    }
}
