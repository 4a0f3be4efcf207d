//! One run over the rows of a file, as a state machine without IO.
//!
//! [`Run::next`] returns the next action: send a request, write a fragment, read a range, commit, or wait. The driver
//! does it and reports the result. Any number of these may be under way at once; the machine bounds them. In memory are
//! one range of the object, one open batch, the batches under way, the deferred ones, and the compressed ones of two
//! fragments, whatever the size of the file.

mod compressed;
mod gathered;
mod open;
mod start;

use crate::deadline::Deadline;
use crate::refusals::{Refusals, RefusedRequest, Ruling};
use crate::trouble::Trouble;
use bytes::Bytes;
use calls::batches::Batch;
use calls::pipeline::{Commit, Next, Pipeline, RefusedCall, Threshold};
use calls::refusal::FileFault;
use gathered::Gathered;
use open::Open;
use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, REJECTS_PART_BYTES, REJECTS_PARTS_MAX, Terms};
use protocol::id::Day;
use protocol::position::ByteRange;
use protocol::profile::Profile;
use protocol::reading::StoredHeader;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

pub use gathered::{Accepted, FRAGMENT_BATCHES};
pub use start::{Begin, Start};

/// How much of the object one GET reads: requests cost money, memory too.
pub const RANGE_BYTES: u64 = 2 << 20;
/// A commit waits for a fragment that is being written, at most this fraction of the time between commits.
const FRAGMENT_WAIT_SHARE: i64 = 5;
/// The next range is read when no more than this is left of the one before.
const READ_AHEAD_BYTES: u64 = RANGE_BYTES / 4;

/// After so many rows a commit is due, however short the time since the one before. A kill then repeats these rows and the
/// batches under way. A commit is one put: twenty for a million rows, beside a hundred of fragments.
pub const COMMIT_ROWS: u64 = 50_000;

/// The next action of the driver.
#[derive(Debug)]
pub enum Step<'a> {
    /// Send this request to Segment and report [`Run::answered`].
    Send {
        /// Names the batch in the report.
        batch: u64,
        /// The JSON.
        body: Cow<'a, [u8]>,
        /// How many calls it has.
        calls: usize,
    },
    /// Compress the calls of this batch, without the refused ones, and report [`Run::compressed`] before the next step.
    Compress(&'a Accepted),
    /// Write a fragment of these batches, which were compressed, and report [`Run::kept`].
    Keep {
        /// Names the fragment in the report.
        fragment: u64,
        /// The range of their rows.
        range: ByteRange,
        /// The day on which Segment accepted them.
        day: Day,
        /// The batches, in the order of the rows.
        batches: &'a [Accepted],
    },
    /// Read the object from this byte and report [`Run::read`].
    Read {
        /// The first byte, as stored.
        from: u64,
    },
    /// Write the checkpoint, which also renews the lease, and report [`Run::committed`].
    Commit(Box<Write>),
    /// Let the work under way proceed, then ask again: the next step takes much computing.
    Pause,
    /// Wait for a report, at most until this moment.
    Wait {
        /// In ms since the epoch.
        until_ms: i64,
    },
    /// The run is over. Reports that are still due do not count.
    Over(End),
}

/// The content of the next checkpoint.
#[derive(Debug)]
pub struct Write {
    /// The settled rows since the last one, if there are any.
    pub commit: Option<Commit>,
    /// The profile of the settled rows since the last one, if the file is profiled and its header is read.
    pub profile: Option<Profile>,
    /// The header of the file, once it is read.
    pub header: Option<StoredHeader>,
    /// The settings by which the file is read.
    pub terms: Terms,
    /// Requests that halving has cost the file.
    pub halving_requests: u32,
}

/// A final answer of Segment to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Segment accepted every call.
    Accepted {
        /// True when the receiver writes the events for export itself.
        staged: bool,
        /// When, in ms since the epoch.
        at_ms: i64,
    },
    /// Segment refused the request as a whole.
    Refused(RefusedRequest),
    /// The answer was 403. It is about the calls where others were accepted: then something in between refuses them, such
    /// as a firewall. Else it is about a setting.
    Forbidden {
        /// The message about the calls.
        refused: RefusedRequest,
        /// The message about the setting.
        otherwise: Undelivered,
    },
}

/// Why a request has no final answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// No time left in this invocation.
    #[error("the time of this invocation is used up")]
    Deadline,
    /// Earlier calls of this process have used the budget up.
    #[error("the next calls are allowed in {wait_ms} ms, after the end of this invocation")]
    Paced {
        /// How long to wait before the next try.
        wait_ms: u64,
    },
    /// Segment is out of reach, or asks for a wait that is too long for this invocation.
    #[error("{host} did not accept the calls: {reason} ({attempts} attempts in {elapsed_ms} ms)")]
    Unreachable {
        /// The host.
        host: String,
        /// The last answer, in short.
        reason: String,
        /// How many requests were sent.
        attempts: u32,
        /// The time that they took.
        elapsed_ms: i64,
        /// How long to wait before the next try.
        wait_ms: u64,
    },
    /// Segment does not take the write key.
    #[error("{host} refuses every call: {message}")]
    InvalidKey {
        /// The host.
        host: String,
        /// The fault, and the setting to check.
        message: String,
    },
    /// Segment refuses every call until a person corrects a setting.
    #[error("{host} refuses every call: {message}")]
    Configuration {
        /// The host.
        host: String,
        /// The fault, and the setting to check.
        message: String,
    },
    /// Segment does not know the write key. It would answer 200 to every call and drop it.
    #[error("the write key is unknown, so nothing was sent: {words}")]
    UnknownKey {
        /// Who said so, the cause and what to do.
        words: String,
    },
    /// Segment refuses the whole file.
    #[error("{public}")]
    WholeFile {
        /// Words for report and log, with the host.
        public: String,
    },
}

/// How a run ended. Settled rows are committed, except after `Uncommitted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every row is settled.
    Complete,
    /// The rest of the file cannot be read.
    Fault(FileFault),
    /// Too many rows are refused, or the compressed file is too large.
    Exceeded(String),
    /// Segment did not accept the rest.
    Undelivered(Undelivered),
    /// The time was over while a request to S3 had no answer.
    Unanswered,
    /// The fragment of accepted calls was not written.
    Unkept(Trouble),
    /// The rest cannot be read as the file was begun.
    Unresumed(String),
    /// The object could not be read on.
    Unread(Trouble),
    /// The checkpoint could not be written.
    Uncommitted(Trouble),
}

/// Whether a run still begins work.
#[derive(Debug)]
enum Mode {
    /// Rows are sent.
    Working,
    /// Nothing new starts; `committed` once the last commit is written.
    Closing { end: End, committed: bool },
}

/// The machine.
#[derive(Debug)]
pub struct Run {
    mode: Mode,
    rows: Pipeline,
    threshold: Threshold,
    refusals: Refusals<Open, Undelivered>,
    /// Objects go one request after the other: their order counts.
    is_in_order: bool,
    /// Whether accepted calls are kept for the exporter.
    keeps: bool,
    requests_in_flight: usize,

    /// Size of the object as stored, and where the next range begins.
    object_bytes: u64,
    read_to: u64,
    chunks: VecDeque<Bytes>,
    is_reading: bool,
    /// Whether the rows are to be asked again, without a report.
    is_paused: bool,

    /// Batches in progress, by number, and those with a request to send.
    open: BTreeMap<u64, Open>,
    ready: VecDeque<u64>,
    /// Accepted batches whose fragment is not written yet.
    gathered: Gathered,
    /// The first reason to stop.
    stop: Option<End>,

    terms: Terms,
    /// Rows that are committed, or being committed.
    account: Account,
    rejects_parts: usize,
    is_committing: bool,
    commit_every_ms: i64,
    committed_at_ms: i64,
    renew_at_ms: i64,
    deadline: Deadline,
}

/// Returns the reason to stop with the higher priority. A file stops for too many refused rows only without a gap in
/// its settled rows. So a reason that leaves a gap replaces `Exceeded`, which the next run judges again. A fault says
/// more than the end of the time.
fn worse(stop: Option<End>, end: End) -> End {
    match stop {
        None | Some(End::Exceeded(_)) => end,
        Some(End::Undelivered(Undelivered::Deadline) | End::Unanswered) if !matches!(end, End::Exceeded(_)) => end,
        Some(stop) => stop,
    }
}

impl Run {
    /// The next thing to do.
    pub fn next(&mut self, now_ms: i64) -> Step<'_> {
        if matches!(self.mode, Mode::Working) {
            self.advance(now_ms);
        }
        match &self.mode {
            Mode::Working => self.working_step(now_ms),
            Mode::Closing { .. } => self.closing_step(now_ms),
        }
    }

    /// Checks the clock, opens batches, and closes the run if nothing is left to do.
    fn advance(&mut self, now_ms: i64) {
        let out_of_time = self.out_of_time();
        if now_ms >= self.deadline.cut_at_ms {
            let end = worse(self.stop.take(), out_of_time);
            return self.close(end);
        }
        if self.stop.is_none() && now_ms >= self.deadline.drain_at_ms {
            self.stop = Some(out_of_time);
        }
        if self.stop.is_none() && self.open.is_empty() {
            self.stop = self.whole_file(false);
        }
        let is_done = self.open_batches();
        let no_more_comes = self.open.is_empty() && (is_done || self.stop.is_some());
        let is_late = now_ms >= self.commit_at_ms();
        // With the batches that wait, enough rows are accepted for a commit. Those of a fragment that is being written are
        // looked at once they are settled.
        let settled = self.rows.uncommitted().rows;
        let is_rest =
            settled < COMMIT_ROWS && settled + self.gathered.rows() >= COMMIT_ROWS && !self.gathered.is_working();
        let has_room = self.gathered.has_room() && self.rows.has_room();
        // Without room, an answer or a written fragment makes some. If neither is to come, what waits has to go.
        let is_stuck = !has_room && self.open.is_empty() && !self.gathered.is_working();
        if no_more_comes || is_late || is_rest || is_stuck || self.stop.is_some() {
            self.gathered.close();
        }
        if no_more_comes && !self.gathered.is_working() {
            let end = self.end();
            self.close(end);
        }
    }

    /// Opens as many batches as may be under way. True when the file has no more.
    fn open_batches(&mut self) -> bool {
        self.is_paused = false;
        while self.stop.is_none() && self.open.len() < self.in_flight_max() && self.gathered.has_room() {
            if let Some(deferred) = self.refusals.resume() {
                self.go_on(deferred);
                continue;
            }
            if !self.rows.has_room() {
                // Deferred batches hold everything up, unless a commit makes room.
                let room_comes = self.rows.is_full_of_rejects() || self.is_committing;
                return self.refusals.has_deferred() && !room_comes;
            }
            match self.rows.next_batch() {
                Next::Batch(batch) if batch.calls.is_empty() => self.settle(&batch, &[]),
                Next::Batch(batch) => {
                    let parcel = self.refusals.parcel(&batch);
                    self.open(Open::new(batch, parcel));
                }
                Next::Done => return true,
                Next::Paused => {
                    self.is_paused = true;
                    return false;
                }
                Next::Hungry => match self.chunks.pop_front() {
                    Some(chunk) => self.rows.push(&chunk),
                    None if !self.is_reading && self.read_to >= self.object_bytes => self.rows.finish(),
                    None => return false,
                },
            }
        }
        false
    }

    fn open(&mut self, open: Open) {
        let number = open.batch.number;
        self.open.insert(number, open);
        self.ready.push_back(number);
    }

    fn working_step(&mut self, now_ms: i64) -> Step<'_> {
        if let Some(number) = self.ready.pop_front()
            && self.open.contains_key(&number)
        {
            return self.send(number);
        }
        if self.gathered.is_compressing() {
            #[expect(clippy::expect_used, reason = "there is one")]
            return Step::Compress(self.gathered.to_compress().expect("a batch is to be compressed"));
        }
        if let Some(fragment) = self.gathered.next() {
            #[expect(clippy::expect_used, reason = "a fragment that is closed stays until it is written")]
            return self.gathered.keep(fragment).expect("the fragment is closed");
        }
        let held: u64 = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let has_more = self.read_to < self.object_bytes;
        if self.stop.is_none() && !self.is_reading && has_more && held < READ_AHEAD_BYTES {
            self.is_reading = true;
            return Step::Read { from: self.read_to };
        }
        let is_due = self.rows.can_commit() && self.is_commit_due(now_ms) || now_ms >= self.renew_at_ms;
        if !self.is_committing && (is_due || self.rows.is_full_of_rejects()) {
            return self.commit();
        }
        if self.is_paused {
            return Step::Pause;
        }
        let mut moments = vec![self.deadline.drain_at_ms, self.deadline.cut_at_ms];
        if !self.is_committing {
            moments.push(self.renew_at_ms);
            let has_rows = self.rows.can_commit() || self.gathered.is_waiting();
            let commit_at_ms = self.commit_at_ms();
            moments.extend([commit_at_ms, commit_at_ms + self.fragment_wait_ms()].into_iter().filter(|_| has_rows));
        }
        let until_ms = moments.into_iter().filter(|moment| *moment > now_ms).min().unwrap_or(now_ms + 1);
        Step::Wait { until_ms }
    }

    /// When the time between commits is over.
    fn commit_at_ms(&self) -> i64 {
        self.committed_at_ms + self.commit_every_ms
    }

    fn fragment_wait_ms(&self) -> i64 {
        self.commit_every_ms / FRAGMENT_WAIT_SHARE
    }

    /// Whether settled rows are to be committed: there are many, or the time is over. Then a fragment that is being written
    /// is waited for, since its rows belong to this commit.
    fn is_commit_due(&self, now_ms: i64) -> bool {
        let late_ms = now_ms - self.commit_at_ms();
        let is_time_over = late_ms >= 0 && !self.gathered.is_working() || late_ms >= self.fragment_wait_ms();
        is_time_over || self.rows.uncommitted().rows >= COMMIT_ROWS
    }

    /// The next request of a batch under way.
    fn send(&mut self, number: u64) -> Step<'_> {
        #[expect(clippy::expect_used, reason = "the caller has looked, and a ready batch has a request")]
        let Open { batch, parcel, sent_bytes, .. } = self.open.get_mut(&number).expect("the batch is open");
        #[expect(clippy::expect_used, reason = "the caller has looked, and a ready batch has a request")]
        let calls = parcel.next().expect("the batch has a request");
        let body = if calls.len() == batch.calls.len() {
            Cow::Borrowed(batch.body.as_slice())
        } else {
            Cow::Owned(batch.body_of(calls.clone()))
        };
        *sent_bytes = body.len();
        Step::Send { batch: number, body, calls: calls.len() }
    }

    /// Commits a last time, then ends.
    fn closing_step(&mut self, now_ms: i64) -> Step<'_> {
        let Mode::Closing { end, committed } = &mut self.mode else { return Step::Wait { until_ms: now_ms + 1 } };
        if self.is_committing {
            if now_ms < self.deadline.hand_on_at_ms {
                return Step::Wait { until_ms: self.deadline.hand_on_at_ms };
            }
            return Step::Over(End::Uncommitted(Trouble::out_of_time()));
        }
        if !*committed && (self.rows.can_commit() || now_ms >= self.renew_at_ms) {
            return self.commit();
        }
        Step::Over(end.clone())
    }

    fn commit(&mut self) -> Step<'_> {
        if let Mode::Closing { committed, .. } = &mut self.mode {
            *committed = true;
        }
        let commit = self.rows.commit();
        if let Some(commit) = &commit {
            self.account.add(&commit.account);
        }
        self.is_committing = true;
        Step::Commit(Box::new(Write {
            commit,
            profile: self.rows.take_profile(),
            header: self.rows.header().cloned(),
            terms: self.terms.clone(),
            halving_requests: self.refusals.halving_requests(),
        }))
    }

    /// Reports the answer to a request.
    pub fn answered(&mut self, batch: u64, answer: Result<Sent, Undelivered>) {
        let Some(mut open) = self.open.remove(&batch) else { return };
        match answer {
            Ok(Sent::Accepted { staged, at_ms }) => {
                self.refusals.accept(&mut open.parcel);
                open.accepted(staged, at_ms);
            }
            Ok(Sent::Refused(refused)) => {
                let ruling = self.refusals.refuse(&mut open.parcel, &refused, open.sent_bytes);
                let failure = Undelivered::WholeFile { public: refused.public };
                return self.rule(open, ruling, failure, false);
            }
            Ok(Sent::Forbidden { refused, otherwise }) => {
                let ruling = self.refusals.forbid(&mut open.parcel, &refused);
                return self.rule(open, ruling, otherwise, true);
            }
            Err(undelivered) => return self.stop_with(End::Undelivered(undelivered)),
        }
        self.go_on(open);
    }

    /// Applies the ruling to a refused batch. `failure` is how the file fails if the refusal is about the file.
    fn rule(&mut self, open: Open, ruling: Ruling, failure: Undelivered, is_forbidden: bool) {
        match ruling {
            Ruling::GoOn => self.go_on(open),
            Ruling::Defer => {
                let refused_calls = open.parcel.refused_calls().len();
                self.refusals.defer(open, refused_calls, failure, is_forbidden);
            }
            Ruling::Fail => self.stop_with(End::Undelivered(failure)),
        }
    }

    /// The next step of a batch: another request, its fragment, or its end.
    fn go_on(&mut self, open: Open) {
        if open.parcel.next().is_some() {
            self.open(open);
        } else if self.keeps && open.is_to_be_kept() {
            self.gathered.add(open.into_accepted());
        } else {
            let refused_calls = open.parcel.refused_calls();
            self.settle(&open.batch, &refused_calls);
        }
    }

    /// Reports that the calls of a batch are compressed. Their JSON is needed no longer.
    pub fn compressed(&mut self) {
        self.gathered.compressed();
    }

    /// Whether accepted calls are kept for the exporter.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Reports that a fragment is written.
    pub fn kept(&mut self, fragment: u64, result: Result<(), Trouble>) {
        let Some(batches) = self.gathered.take(fragment) else { return };
        match result {
            Ok(()) => batches.iter().for_each(|accepted| self.settle(&accepted.batch, &accepted.refused_calls)),
            Err(trouble) => self.stop_with(End::Unkept(trouble)),
        }
    }

    /// Reports a range. It may be shorter than asked for: the rest is read next.
    pub fn read(&mut self, result: Result<Vec<Bytes>, Trouble>) {
        self.is_reading = false;
        match result {
            Ok(chunks) => {
                self.read_to += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                self.chunks.extend(chunks);
            }
            Err(trouble) => self.stop_with(End::Unread(trouble)),
        }
    }

    /// Reports a commit: the new checkpoint, and when its lease must be renewed.
    pub fn committed(&mut self, result: Result<(&Checkpoint, i64), Trouble>, now_ms: i64) {
        self.is_committing = false;
        match result {
            Ok((checkpoint, renew_at_ms)) => {
                self.rejects_parts = checkpoint.rejects.len();
                (self.committed_at_ms, self.renew_at_ms) = (now_ms, renew_at_ms);
            }
            Err(trouble) => {
                self.mode = Mode::Closing { end: End::Uncommitted(trouble), committed: true };
            }
        }
    }

    /// The rows that the run read: header, columns, warnings, examples of refused rows.
    #[must_use]
    pub fn rows(&self) -> &Pipeline {
        &self.rows
    }

    /// Requests that halving has cost the file.
    #[must_use]
    pub fn halving_requests(&self) -> u32 {
        self.refusals.halving_requests()
    }

    fn settle(&mut self, batch: &Batch, refused_calls: &[RefusedCall]) {
        self.rows.settle(batch, refused_calls);
        if let Some(exceeded) = self.exceeded() {
            self.rows.stop();
            self.stop_with(End::Exceeded(exceeded));
        }
    }

    /// Why the file stops, if too many of its rows are refused, in earlier runs too.
    fn exceeded(&self) -> Option<String> {
        let mut account = self.account.clone();
        account.add(self.rows.uncommitted());
        self.threshold.exceeded(&account).or_else(|| {
            let gigabytes = REJECTS_PARTS_MAX as u64 * REJECTS_PART_BYTES / 1_000_000_000;
            (self.rejects_parts >= REJECTS_PARTS_MAX).then(|| {
                format!(
                    "its refused rows fill {gigabytes} GB, more than the ingester keeps; correct the file and drop it \
                         again"
                )
            })
        })
    }

    fn stop_with(&mut self, end: End) {
        self.stop = Some(worse(self.stop.take(), end));
    }

    fn close(&mut self, end: End) {
        // Batches under way are sent again by the next run.
        self.open.clear();
        self.ready.clear();
        self.gathered.clear();
        self.mode = Mode::Closing { end, committed: false };
    }

    /// How the run ends when nothing is under way any more.
    fn end(&mut self) -> End {
        match self.stop.take().or_else(|| self.whole_file(true)) {
            // Deferred batches are a gap: the next run judges the file again.
            Some(End::Exceeded(_)) if self.refusals.has_deferred() => End::Undelivered(Undelivered::Deadline),
            Some(stop) => stop,
            None => self.rows.fault().cloned().map_or(End::Complete, End::Fault),
        }
    }

    fn whole_file(&mut self, is_all: bool) -> Option<End> {
        self.refusals.whole_file(is_all).map(End::Undelivered)
    }

    fn in_flight_max(&self) -> usize {
        if self.is_in_order || self.refusals.is_in_doubt() { 1 } else { self.requests_in_flight }
    }

    /// The time is over. If a request to S3 has no answer, S3 is the reason.
    fn out_of_time(&self) -> End {
        let waits_for_range = self.is_reading && self.open.is_empty();
        if waits_for_range || self.gathered.is_writing() {
            End::Unanswered
        } else {
            End::Undelivered(Undelivered::Deadline)
        }
    }
}

#[cfg(test)]
mod tests;
