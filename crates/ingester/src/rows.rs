//! Sends the rows of a file: performs the steps of [`Run`], any number at once, and reports their results.

use crate::fragments::Fragments;
use crate::owner::Owner;
use crate::sender::Sender;
use crate::source::Source;
use crate::trouble::{of_source, of_state};
use aws::Clock;
use bytes::Bytes;
use delivery::{Encoded, Stats};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use ingestion::deadline::Deadline;
use ingestion::run::{End, Run, Sent, Step, Undelivered};
use ingestion::trouble::Trouble;
use protocol::checkpoint::Checkpoint;
use std::cell::RefCell;
use std::time::Duration;

/// Where the steps of a run lead.
pub(crate) struct Way<'a> {
    pub(crate) sender: Sender<'a>,
    /// True for the Objects API.
    pub(crate) objects: bool,
    pub(crate) fragments: Fragments,
    pub(crate) source: Source,
    pub(crate) deadline: Deadline,
    pub(crate) clock: &'a Clock,
    /// Counted outside of the futures, since a run may end in the middle of a request.
    pub(crate) stats: &'a RefCell<Stats>,
}

/// The result of a step.
enum Report<'a> {
    Answered(u64, Result<Sent, Undelivered>),
    Kept(u64, Result<(), Trouble>),
    Read(Result<Vec<Bytes>, Trouble>),
    Committed(&'a mut Owner, Result<(), Trouble>),
}

/// Work under way.
type Work<'a> = FuturesUnordered<LocalBoxFuture<'a, Report<'a>>>;

/// Runs until the machine says that it is over.
pub(crate) async fn drive(run: &mut Run, owner: &mut Owner, way: &Way<'_>) -> End {
    let mut work = Work::new();
    // Away while it commits.
    let mut owner = Some(owner);
    loop {
        let now_ms = way.clock.now_ms();
        match run.next(now_ms) {
            Step::Over(end) => return end,
            Step::Commit(write) => {
                let Some(owner) = owner.take() else { return End::Uncommitted(Trouble::lost()) };
                work.push(Box::pin(async move {
                    let committed = owner.commit(*write).await;
                    Report::Committed(owner, committed)
                }));
            }
            Step::Pause => {
                // Without it no answer would be received while text without rows is inflated.
                let report = tokio::select! {
                    biased;
                    Some(report) = work.next(), if !work.is_empty() => report,
                    () = tokio::task::yield_now() => continue,
                };
                owner = report.give(run, way.clock).or(owner);
            }
            Step::Wait { until_ms } => {
                let left = Duration::from_millis(u64::try_from(until_ms - now_ms).unwrap_or(0));
                let report = tokio::select! {
                    biased;
                    Some(report) = work.next(), if !work.is_empty() => report,
                    () = tokio::time::sleep(left) => continue,
                };
                owner = report.give(run, way.clock).or(owner);
            }
            Step::Compress(accepted) => {
                way.fragments.compress(accepted);
                run.compressed();
            }
            step => way.start(step, &mut work),
        }
    }
}

impl<'a> Way<'a> {
    /// Starts a request, a fragment or a range.
    fn start<'w>(&'w self, step: Step<'_>, work: &mut Work<'w>) {
        match step {
            Step::Send { batch, body, calls } => {
                let pieces = &self.fragments.pieces;
                let Encoded { body, repeats } = self.sender.encode(&body, pieces.repeats_within(body.len(), calls));
                work.push(Box::pin(async move {
                    let answer = self.sender.send(self.objects, body, calls, self.deadline, self.stats).await;
                    pieces.sent(batch, repeats);
                    Report::Answered(batch, answer)
                }));
            }
            Step::Keep { fragment: number, range, day, batches } => {
                let fragment = self.fragments.make(range, day, batches);
                work.push(Box::pin(async move {
                    let kept = self.fragments.write(fragment).await;
                    Report::Kept(number, kept.map_err(|fault| of_state(&fault)))
                }));
            }
            Step::Read { from } => work.push(Box::pin(async move {
                Report::Read(self.source.range(from).await.map_err(|fault| of_source(&fault)))
            })),
            // The caller has these.
            Step::Commit(_) | Step::Compress(_) | Step::Pause | Step::Wait { .. } | Step::Over(_) => {}
        }
    }
}

impl<'a> Report<'a> {
    /// Reports to the machine; the owner comes back from a commit.
    fn give(self, run: &mut Run, clock: &Clock) -> Option<&'a mut Owner> {
        match self {
            Report::Answered(batch, answer) => run.answered(batch, answer),
            Report::Kept(fragment, kept) => run.kept(fragment, kept),
            Report::Read(read) => run.read(read),
            Report::Committed(owner, committed) => {
                let held: (&Checkpoint, i64) = (owner.checkpoint(), owner.renew_at_ms());
                run.committed(committed.map(|()| held), clock.now_ms());
                return Some(owner);
            }
        }
        None
    }
}
