//! The only concurrency there is: one `select!` between deliveries, reading and the clock.
//!
//! The machine in `calls` decides; this drives it. What is in memory is one range of the object, one open batch and the
//! batches in flight, whatever the file's size.

use crate::owner::{Owner, OwnerFault};
use crate::source::{RANGE_BYTES, Source};
use crate::staging::Staging;
use aws::{Clock, Fault};
use bytes::Bytes;
use calls::batches::Batch;
use calls::checkpoint::Terms;
use calls::ingestion::{Guilty, Ingestion, Next, Threshold};
use calls::refusal::FileFault;
use delivery::{Deadline, Delivery, FileState, Stats, Undelivered};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

/// The next range is asked for when no more than this is left of the one before.
const READ_AHEAD_BYTES: u64 = RANGE_BYTES / 8;

/// How a run ended. Everything that was settled is committed, except after `Lost` and `State`.
#[derive(Debug)]
pub(crate) enum End {
    /// Every row is settled.
    Complete,
    /// The file cannot be read on.
    Fault(FileFault),
    /// Too many rows were refused.
    Exceeded(String),
    /// Segment did not take the rest.
    Undelivered(Undelivered),
    /// What Segment took could not be kept.
    Unkept(Fault),
    /// What was begun cannot be read on under any settings that are known.
    Unresumed(FileFault),
    /// The object could not be read on.
    Unread(Fault),
    /// Somebody else owns the file now.
    Lost,
    /// The state bucket does not answer as it should.
    State(OwnerFault),
}

/// What a run needs.
pub(crate) struct Pipeline<'a> {
    pub(crate) machine: Ingestion,
    pub(crate) source: Source,
    /// Where reading goes on, and what of it is here already.
    pub(crate) offset: u64,
    pub(crate) chunks: VecDeque<Bytes>,
    pub(crate) owner: &'a mut Owner,
    pub(crate) delivery: &'a Delivery,
    pub(crate) staging: Option<&'a Staging>,
    pub(crate) objects: bool,
    pub(crate) file: &'a FileState,
    pub(crate) threshold: Threshold,
    /// What the file is read by, for the checkpoint.
    pub(crate) terms: Terms,
    pub(crate) commit_every_ms: i64,
    pub(crate) deadline: Deadline,
    pub(crate) clock: &'a Clock,
    /// What was sent: counted outside, since a run may end in the middle of a request.
    pub(crate) stats: &'a RefCell<Stats>,
}

/// Of two reasons to stop the one that counts. A file ends for good only without a gap in what is settled, so whatever
/// leaves a gap comes before `Exceeded` (the next run judges it again); and what went wrong says more than that the
/// time was up.
fn worse(stop: Option<End>, end: End) -> End {
    match stop {
        None | Some(End::Exceeded(_)) => end,
        Some(End::Undelivered(Undelivered::Deadline)) if !matches!(end, End::Exceeded(_)) => end,
        Some(stop) => stop,
    }
}

/// A batch come home.
struct Settled {
    batch: Box<Batch>,
    outcome: Result<Vec<Guilty>, End>,
}

impl<'a> Pipeline<'a> {
    /// Runs until the file or the time ends, or something stands in the way.
    pub(crate) async fn run(&mut self) -> End {
        let ended = self.drive().await;
        if matches!(ended, End::Lost | End::State(_)) {
            return ended;
        }
        match self.commit().await {
            Ok(()) => ended,
            Err(end) => end,
        }
    }

    async fn drive(&mut self) -> End {
        let in_flight_max = if self.objects { 1 } else { self.delivery.settings().requests_in_flight };
        let mut deliveries = FuturesUnordered::new();
        let mut reading: Option<LocalBoxFuture<'a, Result<Vec<Bytes>, Fault>>> = None;
        let mut stop = self.exceeded();
        let mut committed_at_ms = self.clock.now_ms();
        loop {
            let now_ms = self.clock.now_ms();
            if stop.is_none() && now_ms >= self.deadline.drain_at_ms {
                stop = Some(End::Undelivered(Undelivered::Deadline));
            }
            if now_ms >= self.deadline.cut_at_ms {
                // Whatever is still under way is sent again: there is just the time to write down the rest.
                return worse(stop, End::Undelivered(Undelivered::Deadline));
            }
            let mut done = false;
            while stop.is_none() && deliveries.len() < in_flight_max && self.machine.has_room() {
                match self.machine.next_batch() {
                    Next::Batch(batch) if batch.calls.is_empty() => stop = self.settle(&batch, &[]),
                    Next::Batch(batch) => deliveries.push(self.send(batch)),
                    Next::Done => {
                        done = true;
                        break;
                    }
                    Next::Hungry => match self.chunks.pop_front() {
                        Some(chunk) => self.machine.push(&chunk),
                        None if reading.is_none() && !self.source.has(self.offset) => self.machine.finish(),
                        None => break,
                    },
                }
            }
            if deliveries.is_empty() && (done || stop.is_some()) {
                return stop.unwrap_or_else(|| self.machine.fault().cloned().map_or(End::Complete, End::Fault));
            }
            if stop.is_none() && reading.is_none() && self.source.has(self.offset) && self.held() < READ_AHEAD_BYTES {
                reading = Some(self.read());
            }
            let now_ms = self.clock.now_ms();
            let commit_at_ms = committed_at_ms + self.commit_every_ms;
            let due = self.machine.can_commit() && now_ms >= commit_at_ms || now_ms >= self.owner.renew_at_ms();
            if due || self.machine.is_full_of_rejects() {
                if let Err(end) = self.commit().await {
                    return end;
                }
                committed_at_ms = self.clock.now_ms();
                continue;
            }
            let next_ms = self.next_moment_ms(now_ms, commit_at_ms);
            let tick = Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or(0));
            tokio::select! {
                Some(settled) = deliveries.next(), if !deliveries.is_empty() => {
                    let Settled { batch, outcome } = settled;
                    let end = match outcome {
                        Ok(guilty) => self.settle(&batch, &guilty),
                        Err(end) => Some(end),
                    };
                    stop = end.map(|end| worse(stop.take(), end)).or(stop);
                }
                read = async { match reading.as_mut() { Some(read) => read.await, None => std::future::pending().await } } => {
                    reading = None;
                    match read {
                        Ok(chunks) => {
                            self.offset += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                            self.chunks.extend(chunks);
                        }
                        Err(fault) => stop = Some(worse(stop.take(), End::Unread(fault))),
                    }
                }
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    /// When something is to be done, whether or not anything comes.
    fn next_moment_ms(&self, now_ms: i64, commit_at_ms: i64) -> i64 {
        let mut moments = vec![self.owner.renew_at_ms(), self.deadline.drain_at_ms, self.deadline.cut_at_ms];
        if self.machine.can_commit() {
            moments.push(commit_at_ms);
        }
        moments.into_iter().filter(|moment| *moment > now_ms).min().unwrap_or(now_ms + 1)
    }

    fn held(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }

    fn read(&self) -> LocalBoxFuture<'a, Result<Vec<Bytes>, Fault>> {
        let (source, offset) = (self.source.clone(), self.offset);
        Box::pin(async move { source.range(offset).await })
    }

    /// Delivers a batch and keeps what was acknowledged: only then are its rows settled.
    fn send(&self, batch: Box<Batch>) -> impl Future<Output = Settled> + use<'a> {
        let (delivery, staging, file, stats) = (self.delivery, self.staging, self.file, self.stats);
        let (objects, deadline) = (self.objects, self.deadline);
        async move {
            let delivered = delivery.deliver(&batch, objects, file, deadline, stats).await;
            let outcome = match delivered {
                Err(undelivered) => Err(End::Undelivered(undelivered)),
                Ok(delivered) => match staging.filter(|_| !delivered.staged) {
                    None => Ok(delivered.guilty),
                    Some(staging) => match staging.keep(&batch, &delivered.guilty, delivered.at_ms).await {
                        Ok(()) => Ok(delivered.guilty),
                        Err(fault) => Err(End::Unkept(fault)),
                    },
                },
            };
            Settled { batch, outcome }
        }
    }

    fn settle(&mut self, batch: &Batch, guilty: &[Guilty]) -> Option<End> {
        self.machine.settle(batch, guilty);
        self.exceeded()
    }

    /// Stops the file if too many of its rows were refused, by earlier runs too.
    fn exceeded(&mut self) -> Option<End> {
        let mut account = self.owner.checkpoint().account.clone();
        account.add(self.machine.uncommitted());
        let exceeded = self.threshold.exceeded(&account)?;
        self.machine.stop();
        Some(End::Exceeded(exceeded))
    }

    async fn commit(&mut self) -> Result<(), End> {
        let commit = self.machine.commit();
        if commit.is_none() && self.clock.now_ms() < self.owner.renew_at_ms() {
            return Ok(());
        }
        self.owner.commit(commit, self.machine.header(), &self.terms).await.map_err(|fault| match fault {
            OwnerFault::Lost => End::Lost,
            fault => End::State(fault),
        })
    }
}
