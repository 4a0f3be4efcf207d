//! Backfills: objects that were there before are put on the function's own queue.
//!
//! A backfill goes through the keys in their order, and writes down the last one after each slice. So any invocation can
//! continue it. A slice that a kill interrupts is queued again; the files of it that have ended are not sent again.

use crate::app::App;
use crate::queue::Queue;
use crate::report::Backfilled;
use crate::targets::{Assigned, InForce};
use crate::trouble::{of_source, of_state};
use aws::bucket::Listed;
use aws::document::{Document, Format, Found};
use aws::telemetry;
use calls::subject::SubjectOf;
use config::environment::source_bucket_fault;
use futures_util::{StreamExt, TryStreamExt, stream};
use ingestion::announcement::Announcement;
use ingestion::deadline::Deadline;
use ingestion::estimate::{Estimate, Way};
use ingestion::notification::Notice;
use ingestion::rejected_folder;
use ingestion::trouble::{Remedy, Trouble};
use protocol::backfill::{Backfill, Passed, Progress};
use protocol::id::Nonce;
use protocol::ledger::rfc3339;
use serde_json::json;
use tracing::Level;

/// Objects between two writes of the progress.
const SLICE_OBJECTS: usize = 200;
/// Messages that are sent at a time.
const SENDS: usize = 16;
/// Endings of compressed files.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

impl App {
    /// Counts or queues the objects of a backfill, as far as the time goes. The queue gets the rest.
    pub(crate) async fn backfill(
        &self,
        backfill: &Backfill,
        in_force: &InForce,
        deadline: Deadline,
    ) -> Result<Backfilled, Trouble> {
        if let Some(fault) = source_bucket_fault(&backfill.bucket) {
            let words = format!("the name of the bucket `{}` {fault}", backfill.bucket);
            return Err(Trouble::new(Remedy::Person, words));
        }
        if backfill.bucket == self.settings.state_bucket {
            return Err(Trouble::new(Remedy::Person, "`bucket` is STATE_BUCKET, which is never a source"));
        }
        let result = match &self.queue {
            _ if backfill.dry_run => self.count(backfill, in_force, deadline).await?,
            Some(queue) => self.fill(backfill, queue, in_force, deadline).await?,
            None => return Err(Trouble::new(Remedy::Person, "QUEUE_URL is not set: a backfill goes into the queue")),
        };
        telemetry::summary(Level::INFO, "backfill", json!(result));
        Ok(result)
    }

    /// A dry run.
    async fn count(&self, backfill: &Backfill, in_force: &InForce, deadline: Deadline) -> Result<Backfilled, Trouble> {
        let bucket = self.source_bucket(&backfill.bucket);
        let mut progress = Progress::begin(backfill, Nonce::new([0; 16]), &rfc3339(self.clock.now_ms()));
        while !progress.done && self.clock.now_ms() < deadline.drain_at_ms {
            let listed = bucket.list_page(&backfill.prefix, progress.after.as_deref()).await;
            let (page, next) = listed.map_err(|fault| of_source(&fault))?;
            let passed = self.wanted(&page, in_force).1;
            let after = page.last().map(|object| object.key.clone());
            progress = progress.pass(&passed, after, progress.nonce, "");
            progress.done = next.is_none();
        }
        let target = in_force.targets.first().map(|target| target.delivery.settings());
        let way = Way {
            events_per_second: target.map_or(0, |settings| settings.events_per_second),
            concurrency: target.map_or(1, |settings| settings.concurrency),
            memory_mb: aws::memory_mb(),
        };
        let estimate = Estimate::of(&progress.passed, way);
        let until = if progress.done { "" } else { ", as far as the time went: raise the function's timeout" };
        let summary = format!(
            "{} files with {} bytes would be queued; about {} hours and {} dollars{until}",
            progress.passed.files, progress.passed.bytes, estimate.hours, estimate.dollars
        );
        Ok(Backfilled { estimate: Some(estimate), ..Backfilled::of(&progress, summary) })
    }

    async fn fill(
        &self,
        backfill: &Backfill,
        queue: &Queue,
        in_force: &InForce,
        deadline: Deadline,
    ) -> Result<Backfilled, Trouble> {
        let document = self.progress_of(backfill);
        let bucket = self.source_bucket(&backfill.bucket);
        let Some(mut held) = self.begun(&document, backfill).await? else { return Ok(taken_over(backfill)) };
        while !held.value.done {
            if self.clock.now_ms() >= deadline.drain_at_ms {
                queue.send_backfill(backfill).await?;
                let summary = format!("{} files are queued; the queue has the rest", held.value.passed.files);
                return Ok(Backfilled::of(&held.value, summary));
            }
            let listed = bucket.list_page(&backfill.prefix, held.value.after.as_deref()).await;
            let (page, next) = listed.map_err(|fault| of_source(&fault))?;
            let slice = &page[..page.len().min(SLICE_OBJECTS)];
            let is_last = next.is_none() && slice.len() == page.len();
            let Some(swapped) = self.fill_slice(&document, &held, slice, is_last, queue, in_force).await? else {
                return Ok(taken_over(backfill));
            };
            held = swapped;
        }
        let summary = format!("all {} files are queued", held.value.passed.files);
        Ok(Backfilled::of(&held.value, summary))
    }

    /// The progress as it was written last; `None` if another invocation begins at the same time.
    async fn begun(
        &self,
        document: &Document<Progress>,
        backfill: &Backfill,
    ) -> Result<Option<Found<Progress>>, Trouble> {
        if let Some(found) = document.read().await.map_err(|fault| of_state(&fault))? {
            return Ok(Some(found));
        }
        let begun = Progress::begin(backfill, self.dice.nonce(), &rfc3339(self.clock.now_ms()));
        document.swap(None, begun).await.map_err(|fault| of_state(&fault))
    }

    /// Queues some objects and writes the progress; `None` if another invocation wrote it.
    async fn fill_slice(
        &self,
        document: &Document<Progress>,
        held: &Found<Progress>,
        slice: &[Listed],
        is_last: bool,
        queue: &Queue,
        in_force: &InForce,
    ) -> Result<Option<Found<Progress>>, Trouble> {
        let backfill = &held.value.backfill;
        let (wanted, passed) = self.wanted(slice, in_force);
        let (event_ms, id) = (Some(self.clock.now_ms()), Some(backfill.id()));
        let notices = wanted.into_iter().map(|key| {
            let notice = Notice::of(&backfill.bucket, key);
            Notice { event_ms, backfill: id.clone(), ..notice }
        });
        let sends = stream::iter(notices).map(async |notice| queue.send(&notice, 0).await).buffer_unordered(SENDS);
        sends.try_collect::<Vec<()>>().await?;
        let after = slice.last().map(|object| object.key.clone());
        let mut next = held.value.pass(&passed, after, self.dice.nonce(), &rfc3339(self.clock.now_ms()));
        if is_last {
            next.done = true;
            self.announce_backfill(&next).await?;
        }
        document.swap(Some(&held.etag), next).await.map_err(|fault| of_state(&fault))
    }

    async fn announce_backfill(&self, progress: &Progress) -> Result<(), Trouble> {
        if self.topics.is_empty() {
            return Ok(());
        }
        let published = self.topics.publish(&Announcement::of_backfill(progress)).await;
        self.unless_permanent(published, "the message about a backfill is not published").map(|_| ())
    }

    /// The keys of the objects that are ours, and the counts.
    fn wanted<'a>(&self, objects: &'a [Listed], in_force: &InForce) -> (Vec<&'a str>, Passed) {
        let mut passed = Passed::default();
        let mut keys = Vec::new();
        for Listed { key, bytes, .. } in objects {
            if *bytes == 0 || !self.is_ours(key, in_force) {
                passed.left_alone += 1;
                continue;
            }
            keys.push(key.as_str());
            passed.files += 1;
            passed.bytes += bytes;
            if COMPRESSED.iter().any(|ending| key.ends_with(ending)) {
                passed.compressed_bytes += bytes;
            }
        }
        (keys, passed)
    }

    /// Whether a key alone lets the ingester read its object.
    fn is_ours(&self, key: &str, in_force: &InForce) -> bool {
        let is_left_alone = self.settings.ignored.leave_alone(key, &in_force.config)
            || (self.settings.rejected_folder && rejected_folder::has(key));
        let is_named =
            |assigned: Vec<Assigned<'_>>| assigned.iter().any(|one| one.reading.subject(key, Some("any")).is_ok());
        !is_left_alone && in_force.assign(&Notice::of("", key)).is_ok_and(is_named)
    }

    fn progress_of(&self, backfill: &Backfill) -> Document<Progress> {
        let format = Format {
            read: |bytes| Ok(Progress::from_json(bytes)?),
            write: Progress::to_json,
            is_same_write: |one, other| one.nonce == other.nonce,
        };
        Document::new(self.state.clone(), backfill.key(), format)
    }
}

fn taken_over(backfill: &Backfill) -> Backfilled {
    let summary = "another invocation continues this backfill".to_owned();
    let (backfill, passed) = (backfill.clone(), Passed::default());
    Backfilled { backfill, done: false, summary, passed, estimate: None }
}
