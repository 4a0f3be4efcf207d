//! What the end of a run means for its file: a last state, another invocation, or a person.
//!
//! The last checkpoint is the end, and it is won by compare-and-swap like every other. Rejects file and ledger are made
//! of it alone and afterwards, so that no owner of old can spoil them, and whoever finds them missing makes them.

use crate::app::{App, HOPS_MAX};
use crate::file::{Ended, Fate, NO_PROGRESS, NO_PROGRESS_MAX_MS, Run, STORAGE_WAIT_MS};
use crate::owner::{Owner, OwnerFault};
use crate::pipeline::End;
use crate::report::{FileReport, Outcome};
use crate::source::explain;
use aws::bucket::Upload;
use aws::fault::{Fault, Kind};
use calls::notification::Hop;
use calls::rejects::{Rejects, join};
use calls::subject::Subject;
use delivery::{Deadline, Undelivered};
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::checkpoint::{Checkpoint, Ending, Phase, RejectsPart};
use protocol::keys;
use protocol::ledger::Ledger;

/// All but the last part of an upload must have 5 MiB (S3 user guide, "Multipart upload limits").
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Rejects parts that are fetched at once: what hides the way to S3, and no more than that in memory.
const PARTS_AHEAD: usize = 4;

impl App {
    /// What the end of a run means for the file.
    pub(crate) async fn conclude(
        &self,
        owner: &mut Owner,
        run: &Run<'_>,
        mut report: FileReport,
        end: End,
        progressed: bool,
    ) -> Ended {
        let (phase, reason) = match end {
            End::Complete => (Phase::Finished, None),
            End::Fault(fault) => {
                report.code = Some(fault.code.as_str().to_owned());
                (Phase::Stopped, Some(fault.to_string()))
            }
            End::Exceeded(reason) => (Phase::Stopped, Some(reason)),
            End::Unread(fault) if matches!(fault.kind, Kind::Missing | Kind::Precondition) => {
                let reason = "it was replaced or deleted while it was read; what came in its place has its own event";
                (Phase::Replaced, Some(reason.to_owned()))
            }
            unfinished => return self.postpone(owner, run, report, unfinished, progressed).await,
        };
        report.outcome = match phase {
            Phase::Finished => Outcome::Finished,
            Phase::Stopped => Outcome::Stopped,
            _ => Outcome::Replaced,
        };
        report.reason.clone_from(&reason);
        match self.end(owner, &mut report, phase, reason.as_deref(), run.deadline).await {
            Ok(()) => (report, Fate::Done),
            Err(fault) => self.in_trouble(run.notice, Some(report), &fault),
        }
    }

    /// Writes the last checkpoint, then what follows from it.
    pub(crate) async fn end(
        &self,
        owner: &mut Owner,
        report: &mut FileReport,
        phase: Phase,
        reason: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), OwnerFault> {
        let checkpoint = owner.checkpoint();
        let ending = Ending {
            reason: reason.map(str::to_owned),
            code: report.code.clone(),
            kind: report.kind.unwrap_or_default().to_owned(),
            collection: report.collection.clone(),
            columns: report.columns.clone(),
            rejects: rejects_key(checkpoint),
            at_ms: self.clock.now_ms(),
        };
        let ending = async {
            owner.end(phase, ending).await?;
            self.keep_account(owner.checkpoint(), report).await
        };
        self.in_time(deadline.hand_on_at_ms, ending).await
    }

    /// Makes the rejects file and the ledger of a file that has ended, unless they are there.
    pub(crate) async fn settle(
        &self,
        ended: &Checkpoint,
        report: &mut FileReport,
        deadline: Deadline,
    ) -> Result<(), OwnerFault> {
        let settling = async {
            match self.state.get(&keys::ledger(ended.object.stream())).await? {
                Some(_) => Ok(()),
                None => self.keep_account(ended, report).await,
            }
        };
        self.in_time(deadline.hand_on_at_ms, settling).await
    }

    async fn keep_account(&self, ended: &Checkpoint, report: &mut FileReport) -> Result<(), OwnerFault> {
        let Some(ledger) = Ledger::of(ended) else { return Ok(()) };
        if let Some(key) = &ledger.rejects {
            self.join_rejects(ended, key).await?;
            report.rejects = Some(format!("s3://{}/{key}", self.state.name()));
        }
        report.undelivered_from_line = ledger.undelivered_from_line;
        let body = serde_json::to_vec_pretty(&ledger).unwrap_or_default();
        self.state.put(&keys::ledger(ledger.stream), body.into(), "application/json").await?;
        Ok(())
    }

    /// Unfinished: what is settled is committed; the rest waits for another invocation, or for a person.
    async fn postpone(
        &self,
        owner: &mut Owner,
        run: &Run<'_>,
        mut report: FileReport,
        end: End,
        progressed: bool,
    ) -> Ended {
        let checkpoint = owner.checkpoint();
        report.undelivered_from_line = Some(checkpoint.position.line);
        let hop = Hop {
            position: checkpoint.position.byte,
            count: if progressed { 0 } else { self.hop(run.notice, None).count },
            ..self.hop(run.notice, Some(owner.stream()))
        };
        let (reason, wait_ms) = match end {
            End::Undelivered(undelivered) => match &undelivered {
                // Nothing was slow but us: the next invocation would fare no better.
                Undelivered::Deadline if !progressed && run.fresh && report.stats.is_untroubled() => (
                    "the time of one invocation is too short for one batch: raise the function's timeout".to_owned(),
                    None,
                ),
                Undelivered::Deadline => (undelivered.to_string(), Some(0)),
                Undelivered::Paced { wait_ms } | Undelivered::Unreachable { wait_ms, .. } => {
                    (undelivered.to_string(), Some((*wait_ms).max(1_000)))
                }
                _ => (undelivered.to_string(), None),
            },
            End::Unanswered if progressed => (Undelivered::Deadline.to_string(), Some(0)),
            End::Unanswered => (OwnerFault::OutOfTime.to_string(), Some(STORAGE_WAIT_MS)),
            End::Unread(fault) | End::Unkept(fault) if fault.is_transient() => {
                (fault.to_string(), Some(STORAGE_WAIT_MS))
            }
            End::Unread(fault) => (explain(&fault), None),
            End::Unkept(fault) => (format!("{fault}: see STATE_BUCKET and the function's role"), None),
            End::Unresumed(fault) => (
                format!(
                    "it cannot be read on from line {}: {fault}; mend the settings of its reading",
                    checkpoint.position.line
                ),
                None,
            ),
            End::Lost => (OwnerFault::Lost.to_string(), Some(STORAGE_WAIT_MS)),
            End::State(fault) if fault.is_transient() => (fault.to_string(), Some(STORAGE_WAIT_MS)),
            End::State(fault) => (fault.to_string(), None),
            // Concluded before it comes here.
            End::Complete | End::Fault(_) | End::Exceeded(_) => (String::new(), None),
        };
        // Only an outage is counted: a file that waited for a person has not been waiting for Segment.
        let now_ms = self.clock.now_ms();
        let trouble_since_ms = match wait_ms {
            Some(_) if !progressed => owner.checkpoint().trouble_since_ms.or(hop.trouble_since_ms).or(Some(now_ms)),
            _ => None,
        };
        let hop = Hop { trouble_since_ms, ..hop };
        let stalled = trouble_since_ms.is_some_and(|since_ms| now_ms - since_ms > NO_PROGRESS_MAX_MS);
        let given_up = stalled || hop.count > HOPS_MAX;
        // Without a queue nobody could come at the right moment: each of Lambda's retries is needed when it comes.
        let waits = wait_ms.filter(|_| !given_up && self.queue.is_some());
        let not_before_ms = waits.map_or(0, |wait_ms| now_ms.saturating_add_unsigned(wait_ms));
        // Whoever cannot even let go leaves the lease to end by itself.
        let release = owner.release(trouble_since_ms, given_up, not_before_ms);
        if let Err(fault) = self.in_time(run.deadline.hand_on_at_ms, release).await {
            tracing::warn!(%fault, "the lease was not released");
        }
        match wait_ms {
            Some(wait_ms) if !stalled => {
                report.outcome = Outcome::Continues;
                report.reason = Some(reason);
                (report, Fate::Again { wait_ms, hop })
            }
            _ => {
                report.outcome = Outcome::Failed;
                let stalled = if stalled { NO_PROGRESS } else { "" };
                report.reason = Some(format!("{reason}{stalled}"));
                (report, Fate::Fail)
            }
        }
    }

    /// Makes one rejects file of the parts that count. The parts of a file that has ended stay as they are, so this may
    /// be done again.
    async fn join_rejects(&self, ended: &Checkpoint, key: &str) -> Result<(), OwnerFault> {
        let Some(header) = &ended.header else { return Ok(()) };
        let stream = ended.object.stream();
        let head = Rejects::new(header).head().to_vec();
        let mut upload: Option<Upload<'_>> = None;
        // Each part is a CSV file of its own; the header stands once in the whole.
        let mut joined = head.clone();
        let parts = stream::iter(&ended.rejects).map(|part| self.rejects_part(part.key(stream), part));
        let mut parts = parts.buffered(PARTS_AHEAD);
        while let Some(body) = parts.try_next().await? {
            join(&mut joined, &head, &body);
            if joined.len() >= UPLOAD_PART_BYTES {
                if upload.is_none() {
                    upload = Some(self.state.upload(key, "text/csv").await?);
                }
                if let Some(upload) = &mut upload {
                    upload.part(std::mem::take(&mut joined).into()).await?;
                }
            }
        }
        match upload {
            None => self.state.put(key, joined.into(), "text/csv").await?,
            Some(mut upload) => {
                if !joined.is_empty() {
                    upload.part(joined.into()).await?;
                }
                upload.complete().await?;
            }
        }
        Ok(())
    }

    /// A part that counts: somebody deleted it if it is not there, and its rows must not be lost in silence.
    async fn rejects_part(&self, key: String, part: &RejectsPart) -> Result<bytes::Bytes, OwnerFault> {
        let found = self.state.get(&key).await?;
        let missing = || Fault {
            kind: Kind::Missing,
            operation: "get",
            target: format!("s3://{}/{key}", self.state.name()),
            detail: format!("{} refused rows were kept there", part.rows),
            code: String::new(),
            attempts: 1,
        };
        Ok(found.ok_or_else(missing)?.body)
    }
}

/// Where the refused rows of a file go, if it has any.
fn rejects_key(checkpoint: &Checkpoint) -> Option<String> {
    let object = &checkpoint.object;
    let collection = checkpoint.terms.as_ref().and_then(|terms| terms.collection.as_deref());
    let subject = Subject::of(&object.key, &[], collection).ok()?;
    let some = !checkpoint.rejects.is_empty() && checkpoint.header.is_some();
    some.then(|| keys::rejects(object.stream(), &subject.rejects_name()))
}
