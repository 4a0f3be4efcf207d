//! The only concurrency there is: one `select!` between deliveries, reading and the clock.
//!
//! The machine in `calls` decides; this drives it. What is in memory is one range of the object, one open batch, the
//! batches in flight (and those put aside while nothing of the file was acknowledged yet) and the rejects part that is
//! open, whatever the file's size.

use crate::owner::{Owner, OwnerFault};
use crate::source::{RANGE_BYTES, Source};
use crate::staging::Staging;
use aws::{Clock, Fault};
use bytes::Bytes;
use calls::batches::Batch;
use calls::ingestion::{Guilty, Ingestion, Next, Threshold};
use calls::parcel::{Parcel, REFUSED_FROM_THE_START_OF_FILE_MAX};
use calls::refusal::FileFault;
use delivery::{Deadline, Delivery, FileState, Stats, Undelivered};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use protocol::account::Account;
use protocol::checkpoint::{REJECTS_PART_BYTES, REJECTS_PARTS_MAX, Terms};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

/// The next range is asked for when no more than this is left of the one before.
const READ_AHEAD_BYTES: u64 = RANGE_BYTES / 8;

/// What is said when the time was up before every request was answered and what it acknowledged kept.
const GIVEN_UP: &str = "batches under way were given up for want of time";

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
    /// The time was up while S3 owed an answer.
    Unanswered,
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
    /// Away while it commits.
    pub(crate) owner: Option<&'a mut Owner>,
    pub(crate) committing: Option<Committing<'a>>,
    /// What is committed, or being so.
    pub(crate) account: Account,
    /// Batches of which nothing was taken, while nothing of the file was.
    pub(crate) aside: Vec<Aside>,
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
    /// How many fragments are being kept.
    pub(crate) keeping: &'a Cell<usize>,
}

/// A write of the checkpoint on its way, and the owner that comes back from it.
pub(crate) type Committing<'a> = LocalBoxFuture<'a, (&'a mut Owner, Result<(), OwnerFault>)>;

/// A batch that waits for others to tell whether it is the file that is refused, and the refusal if so.
pub(crate) struct Aside {
    batch: Box<Batch>,
    parcel: Parcel,
    refusal: Undelivered,
}

/// Of two reasons to stop the one that counts. A file ends for good only without a gap in what is settled, so whatever
/// leaves a gap comes before `Exceeded` (the next run judges it again); and what went wrong says more than that the
/// time was up.
fn worse(stop: Option<End>, end: End) -> End {
    match stop {
        None | Some(End::Exceeded(_)) => end,
        Some(End::Undelivered(Undelivered::Deadline) | End::Unanswered) if !matches!(end, End::Exceeded(_)) => end,
        Some(stop) => stop,
    }
}

/// A batch come home.
struct Settled {
    batch: Box<Batch>,
    parcel: Parcel,
    outcome: Result<Vec<Guilty>, End>,
}

/// What a future comes to, if there is one; else nothing ever comes.
async fn arrival<T>(future: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl<'a> Pipeline<'a> {
    /// Runs until the file or the time ends, or something stands in the way.
    pub(crate) async fn run(&mut self) -> End {
        let ended = self.drive().await;
        // What is being written is written to its end, whatever ended the run.
        if let Err(end) = self.finish_commit().await {
            return end;
        }
        if matches!(ended, End::Lost | End::State(_)) {
            return ended;
        }
        if self.machine.can_commit() || self.clock.now_ms() >= self.renew_at_ms() {
            self.commit();
        }
        match self.finish_commit().await {
            Ok(()) => ended,
            Err(end) => end,
        }
    }

    async fn drive(&mut self) -> End {
        let mut deliveries = FuturesUnordered::new();
        let mut reading: Option<LocalBoxFuture<'a, Result<Vec<Bytes>, Fault>>> = None;
        let mut stop = self.exceeded();
        let mut committed_at_ms = self.clock.now_ms();
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms >= self.deadline.cut_at_ms {
                // Whatever is still under way is sent again: there is just the time to write down the rest.
                if !deliveries.is_empty() {
                    tracing::warn!(batches = deliveries.len(), "{GIVEN_UP}");
                }
                return worse(stop, self.out_of_time(reading.is_some() && deliveries.is_empty()));
            }
            if stop.is_none() && now_ms >= self.deadline.drain_at_ms {
                stop = Some(self.out_of_time(reading.is_some() && deliveries.is_empty()));
            }
            if stop.is_none() && deliveries.is_empty() {
                stop = self.refused_whole(false);
            }
            let (mut done, in_flight_max) = (false, self.in_flight_max());
            while stop.is_none() && deliveries.len() < in_flight_max {
                if let Some(Aside { batch, parcel, .. }) = self.taken_up_again() {
                    deliveries.push(self.send(batch, parcel));
                    continue;
                }
                if !self.machine.has_room() {
                    // What was put aside holds everything up, unless a commit makes room.
                    let full = self.machine.is_full_of_rejects() || self.committing.is_some();
                    done = !self.aside.is_empty() && !full;
                    break;
                }
                match self.machine.next_batch() {
                    Next::Batch(batch) if batch.calls.is_empty() => stop = self.settle(&batch, &[]),
                    Next::Batch(batch) => {
                        let parcel = self.file.parcel(&batch);
                        deliveries.push(self.send(batch, parcel));
                    }
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
                return self.ended(stop);
            }
            if stop.is_none() && reading.is_none() && self.source.has(self.offset) && self.held() < READ_AHEAD_BYTES {
                reading = Some(self.read());
            }
            let now_ms = self.clock.now_ms();
            let commit_at_ms = committed_at_ms + self.commit_every_ms;
            let due = self.machine.can_commit() && now_ms >= commit_at_ms || now_ms >= self.renew_at_ms();
            if self.committing.is_none() && (due || self.machine.is_full_of_rejects()) {
                self.commit();
                continue;
            }
            let next_ms = self.next_moment_ms(now_ms, commit_at_ms);
            let tick = Duration::from_millis(u64::try_from(next_ms - now_ms).unwrap_or(0));
            tokio::select! {
                Some(Settled { batch, parcel, outcome }) = deliveries.next(), if !deliveries.is_empty() => {
                    let end = match outcome {
                        Ok(guilty) => self.settle(&batch, &guilty),
                        Err(End::Undelivered(refusal @ Undelivered::PutAside { .. })) => {
                            self.aside.push(Aside { batch, parcel, refusal });
                            None
                        }
                        Err(end) => Some(end),
                    };
                    stop = end.map(|end| worse(stop.take(), end)).or(stop);
                }
                read = arrival(&mut reading) => {
                    reading = None;
                    match read {
                        Ok(chunks) => {
                            self.offset += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                            self.chunks.extend(chunks);
                        }
                        Err(fault) => stop = Some(worse(stop.take(), End::Unread(fault))),
                    }
                }
                (owner, written) = arrival(&mut self.committing) => {
                    if let Err(end) = self.committed(owner, written) {
                        return end;
                    }
                    committed_at_ms = self.clock.now_ms();
                }
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    /// How it ended, when nothing is under way any more.
    fn ended(&mut self, stop: Option<End>) -> End {
        match stop.or_else(|| self.refused_whole(true)) {
            // Nothing ends for good with a gap: the next run judges it again.
            Some(End::Exceeded(_)) if !self.aside.is_empty() => End::Undelivered(Undelivered::Deadline),
            Some(stop) => stop,
            None => self.machine.fault().cloned().map_or(End::Complete, End::Fault),
        }
    }

    /// How many requests may be under way: one after the other for objects, and while nothing was taken yet and
    /// something refused.
    fn in_flight_max(&self) -> usize {
        let careful = self.objects || !self.aside.is_empty() && self.file.acknowledged() == 0;
        if careful { 1 } else { self.delivery.settings().requests_in_flight }
    }

    /// A batch that was put aside, once something of the file was taken: what was refused of it is about its rows.
    fn taken_up_again(&mut self) -> Option<Aside> {
        if self.file.acknowledged() > 0 { self.aside.pop() } else { None }
    }

    /// The refusal of the whole file: when nothing of it was taken, but too much refused, or `all` that there is.
    fn refused_whole(&mut self, all: bool) -> Option<End> {
        let refused: usize = self.aside.iter().map(|aside| aside.parcel.refused_calls()).sum();
        let whole = self.file.acknowledged() == 0 && (all || refused >= REFUSED_FROM_THE_START_OF_FILE_MAX);
        if whole { self.aside.pop().map(|aside| End::Undelivered(aside.refusal)) } else { None }
    }

    /// The time is up: `unread` says that there was nothing to do but to wait for the object.
    fn out_of_time(&self, unread: bool) -> End {
        if unread || self.keeping.get() > 0 { End::Unanswered } else { End::Undelivered(Undelivered::Deadline) }
    }

    /// When something is to be done, whether or not anything comes.
    fn next_moment_ms(&self, now_ms: i64, commit_at_ms: i64) -> i64 {
        let mut moments = vec![self.renew_at_ms(), self.deadline.drain_at_ms, self.deadline.cut_at_ms];
        if self.machine.can_commit() && self.committing.is_none() {
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
    fn send(&self, batch: Box<Batch>, mut parcel: Parcel) -> impl Future<Output = Settled> + use<'a> {
        let (delivery, staging, file, stats) = (self.delivery, self.staging, self.file, self.stats);
        let (objects, deadline, keeping) = (self.objects, self.deadline, self.keeping);
        async move {
            let delivered = delivery.deliver(&batch, &mut parcel, objects, file, deadline, stats).await;
            let outcome = match delivered {
                Err(undelivered) => Err(End::Undelivered(undelivered)),
                Ok(delivered) => match staging.filter(|_| !delivered.staged) {
                    None => Ok(delivered.guilty),
                    Some(staging) => {
                        keeping.update(|fragments| fragments + 1);
                        let kept = staging.keep(&batch, &delivered.guilty, delivered.at_ms).await;
                        keeping.update(|fragments| fragments - 1);
                        kept.map(|()| delivered.guilty).map_err(End::Unkept)
                    }
                },
            };
            Settled { batch, parcel, outcome }
        }
    }

    fn settle(&mut self, batch: &Batch, guilty: &[Guilty]) -> Option<End> {
        self.machine.settle(batch, guilty);
        self.exceeded()
    }

    /// Stops the file if too many of its rows were refused, by earlier runs too.
    fn exceeded(&mut self) -> Option<End> {
        let mut account = self.account.clone();
        account.add(self.machine.uncommitted());
        let parts = self.owner.as_ref().map_or(0, |owner| owner.checkpoint().rejects.len());
        let exceeded = self.threshold.exceeded(&account).or_else(|| {
            let gigabytes = (REJECTS_PARTS_MAX as u64 * REJECTS_PART_BYTES) >> 30;
            (parts >= REJECTS_PARTS_MAX).then(|| format!("its refused rows fill {gigabytes} GB: more than are kept"))
        })?;
        self.machine.stop();
        Some(End::Exceeded(exceeded))
    }

    /// When the lease is to be renewed: never while a commit is under way, which renews it.
    fn renew_at_ms(&self) -> i64 {
        self.owner.as_ref().map_or(i64::MAX, |owner| owner.renew_at_ms())
    }

    /// Begins to write down what is settled, and to renew the lease.
    fn commit(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        let commit = self.machine.commit();
        if let Some(commit) = &commit {
            self.account.add(&commit.account);
        }
        owner.spent(self.file.bisection_requests());
        let (header, terms) = (self.machine.header().cloned(), self.terms.clone());
        self.committing = Some(Box::pin(async move {
            let written = owner.commit(commit, header.as_ref(), &terms).await;
            (owner, written)
        }));
    }

    /// The owner is back from a commit.
    fn committed(&mut self, owner: &'a mut Owner, written: Result<(), OwnerFault>) -> Result<(), End> {
        (self.owner, self.committing) = (Some(owner), None);
        written.map_err(|fault| match fault {
            OwnerFault::Lost => End::Lost,
            fault => End::State(fault),
        })
    }

    /// Waits for a commit that is under way, as long as there is time to hand the rest on.
    async fn finish_commit(&mut self) -> Result<(), End> {
        let Some(committing) = self.committing.take() else { return Ok(()) };
        let left_ms = u64::try_from(self.deadline.hand_on_at_ms - self.clock.now_ms()).unwrap_or(0);
        match tokio::time::timeout(Duration::from_millis(left_ms), committing).await {
            Ok((owner, written)) => self.committed(owner, written),
            Err(_) => Err(End::State(OwnerFault::OutOfTime)),
        }
    }
}
