//! The rejects file and the ledger of a file that has ended.
//!
//! Both follow from the last checkpoint alone. So an invocation that finds them missing writes the same again.

use crate::app::App;
use crate::trouble::of_state;
use aws::bucket::Upload;
use aws::fault::Fault;
use bytes::Bytes;
use calls::rejects::{Rejects, join};
use futures_util::{StreamExt, TryStreamExt, stream};
use ingestion::trouble::{Remedy, Trouble};
use protocol::checkpoint::{Checkpoint, RejectsPart};
use protocol::keys;
use protocol::ledger::Ledger;

/// All but the last part of an upload must have 5 MiB (S3 user guide, "Multipart upload limits").
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Rejects parts that are fetched at once.
const PARTS_AHEAD: usize = 4;

impl App {
    /// Writes rejects file and ledger, unless the ledger is there.
    pub(crate) async fn keep_account(&self, ended: &Checkpoint) -> Result<(), Trouble> {
        let Some(ledger) = Ledger::of(ended) else { return Ok(()) };
        let key = keys::ledger(ledger.stream);
        if self.state.get(&key).await.map_err(|fault| of_state(&fault))?.is_some() {
            return Ok(());
        }
        if let Some(rejects) = &ledger.rejects {
            self.join_rejects(ended, rejects).await?;
        }
        let body = ledger.to_json();
        self.put(&key, body.into(), "application/json").await
    }

    /// Makes one CSV file of the parts. They do not change any more, so this may be done again.
    async fn join_rejects(&self, ended: &Checkpoint, key: &str) -> Result<(), Trouble> {
        let Some(header) = &ended.header else { return Ok(()) };
        let stream = ended.object.stream();
        let head = Rejects::new(header).head().to_vec();
        let mut upload: Option<Upload<'_>> = None;
        // Each part is a CSV file of its own; the header stands once in the whole.
        let mut joined = head.clone();
        let parts = stream::iter(&ended.rejects).map(|part| self.rejects_part(part.key(stream), part));
        let mut parts = parts.buffered(PARTS_AHEAD);
        let failed = |fault: Fault| of_state(&fault);
        while let Some(body) = parts.try_next().await? {
            join(&mut joined, &head, &body);
            if joined.len() >= UPLOAD_PART_BYTES {
                if upload.is_none() {
                    upload = Some(self.state.upload(key, "text/csv").await.map_err(failed)?);
                }
                if let Some(upload) = &mut upload {
                    upload.part(std::mem::take(&mut joined).into()).await.map_err(failed)?;
                }
            }
        }
        let Some(mut upload) = upload else { return self.put(key, joined.into(), "text/csv").await };
        if !joined.is_empty() {
            upload.part(joined.into()).await.map_err(failed)?;
        }
        upload.complete().await.map_err(failed)
    }

    /// A part that counts. If it is missing, a person deleted it, and its rows must not be lost in silence.
    async fn rejects_part(&self, key: String, part: &RejectsPart) -> Result<Bytes, Trouble> {
        let found = self.state.get(&key).await.map_err(|fault| of_state(&fault))?;
        let missing = || {
            let words = format!("s3://{}/{key} is missing: it held {} refused rows", self.state.name(), part.rows);
            Trouble::new(Remedy::Person, words)
        };
        Ok(found.ok_or_else(missing)?.body)
    }

    async fn put(&self, key: &str, body: Bytes, content_type: &str) -> Result<(), Trouble> {
        self.state.put(key, body, content_type).await.map_err(|fault| of_state(&fault))
    }
}
