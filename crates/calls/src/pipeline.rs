//! The pipeline of one file as a push/take machine: bytes in, batches out, deliveries settled in any order.
//!
//! It does not know S3, HTTP or time. Its driver pushes bytes when it is hungry, sends the batches it hands
//! out, and settles each with what came of it. What is settled without a gap from the beginning can be committed.

use crate::batches::{Batch, Envelope, Gatherer, Taken};
use crate::columns::{Column, ColumnPlan};
use crate::dialect::StoredHeader;
use crate::profile::{self, LastRow, Part, Profile, Values};
use crate::refusal::{FileFault, Position, Warning};
use crate::rejects::{Reason, Rejects};
use crate::translator::{Translated, Translator};
use protocol::account::Account;
use std::collections::VecDeque;

/// Batches that may be handed out ahead of the first one that is not settled: what a slow answer can pile up.
pub const BATCHES_AHEAD_MAX: usize = 32;
/// Bytes of refused rows that are held back, at most, before no more rows are taken.
pub const REJECTS_HELD_BYTES_MAX: usize = 4 << 20;
/// How many refused rows are kept for the report; all of them are in the rejects file.
pub const EXAMPLES_MAX: usize = 5;

/// When a file is plainly wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// More refused rows than this stop the file.
    pub rows: Option<u64>,
    /// A larger share of refused rows than this, 0 to 1, stops the file once [`Self::JUDGED_FROM_ROWS`] were settled.
    pub share: f64,
}

impl Threshold {
    /// Fewer rows say little about a file.
    pub const JUDGED_FROM_ROWS: u64 = 1_000;

    /// Why the file is to be stopped, if it is.
    #[must_use]
    pub fn exceeded(&self, account: &Account) -> Option<String> {
        if let Some(limit) = self.rows
            && account.rejected > limit
        {
            return Some(format!("{} rows were refused: more than REJECT_LIMIT_ROWS={limit}", account.rejected));
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of rows needs no more than 52 bits")]
        let share = account.rejected as f64 / account.rows.max(1) as f64;
        (account.rows >= Self::JUDGED_FROM_ROWS && share > self.share).then(|| {
            let (rejected, rows, limit) = (account.rejected, account.rows, self.share);
            format!("{rejected} of {rows} rows were refused: more than REJECT_LIMIT_SHARE={limit}")
        })
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self { rows: None, share: 0.5 }
    }
}

/// A call that Segment would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// Which call of the batch.
    pub call: usize,
    /// A stable code.
    pub code: &'static str,
    /// Segment's words.
    pub message: String,
}

/// A refused row, for the report: where and why, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The line in the file.
    pub line: u64,
    /// The stable code.
    pub code: &'static str,
    /// Our words; empty where only the other side's are known, which might repeat a cell.
    pub message: String,
}

/// What the machine wants next.
#[derive(Debug)]
pub enum Next {
    /// Send this, then settle it.
    Batch(Box<Batch>),
    /// Push more bytes, or say that there are none.
    Hungry,
    /// Ask again, once the clock was looked at: much was inflated, and no batch came of it.
    Paused,
    /// Nothing more will come; settle what is in flight.
    Done,
}

/// What can be committed: every row up to `to` is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Where the settled stretch begins.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// What its rows came to.
    pub account: Account,
    /// Its refused rows, as a CSV file of its own; empty when there are none.
    pub rejects: Vec<u8>,
}

/// A batch that was handed out.
#[derive(Debug)]
struct Pending {
    number: u64,
    to: Position,
    /// The profile of its rows.
    part: Option<Part>,
    settled: Option<Settled>,
}

#[derive(Debug, Default)]
struct Settled {
    account: Account,
    rejects: Vec<u8>,
}

/// The machine.
#[derive(Debug)]
pub struct Pipeline {
    translator: Translator,
    gatherer: Gatherer,
    pending: VecDeque<Pending>,
    /// Bytes of refused rows in `pending` and `settled`.
    rejects_held_bytes: usize,
    rejects: Option<Rejects>,
    committed_to: Position,
    settled_to: Position,
    settled: Settled,
    /// The profile of the rows in `settled`.
    part: Option<Part>,
    examples: Vec<Example>,
    ended: bool,
    fault: Option<FileFault>,
}

impl Pipeline {
    /// Starts at `at`: the beginning of the file, or where the last commit ended.
    #[must_use]
    pub fn new(translator: Translator, envelope: Envelope, at: Position) -> Self {
        Self {
            translator,
            gatherer: Gatherer::new(envelope, at.byte),
            pending: VecDeque::new(),
            rejects_held_bytes: 0,
            rejects: None,
            committed_to: at,
            settled_to: at,
            settled: Settled::default(),
            part: None,
            examples: Vec::new(),
            ended: false,
            fault: None,
        }
    }

    /// Gives it the next bytes of the object, as they were stored.
    pub fn push(&mut self, bytes: &[u8]) {
        self.translator.push(bytes);
    }

    /// Says that there are no more bytes.
    pub fn finish(&mut self) {
        self.translator.finish();
    }

    /// Asks for the next batch.
    pub fn next_batch(&mut self) -> Next {
        while !self.ended {
            if self.gatherer.is_nearly_full() || self.translator.is_grouping() {
                self.translator.mark_profile();
            }
            let (calls, records) = self.gatherer.buffers();
            let record_at = records.len();
            let step = self.translator.next(calls, records);
            let taken = Taken {
                record_at,
                after: self.translator.position(),
                blank_lines: self.translator.blank_lines(),
                notes: self.translator.notes(),
                rows: self.translator.rows_taken(),
                group: self.translator.group(),
            };
            let after = taken.after.byte;
            let is_call = matches!(step, Ok(Translated::Call { .. }));
            let batch = match step {
                Ok(Translated::Call { span, len, timestamp }) => self.gatherer.call(span, len, timestamp, taken),
                Ok(Translated::Refused(refusal)) => self.gatherer.refused(refusal, taken),
                Ok(Translated::RefusedGroup(refusals)) => self.gatherer.refused_group(refusals, taken),
                Ok(Translated::Dropped { span, reason }) => self.gatherer.dropped(reason, span.line, taken),
                Ok(Translated::Starved) => return Next::Hungry,
                Ok(Translated::Paused) => return Next::Paused,
                Ok(Translated::End) => {
                    self.gatherer.trailing(taken.blank_lines, taken.after);
                    self.end(None)
                }
                Err(fault) => self.end(Some(fault)),
            };
            if let Some(batch) = batch {
                // A call that did not fit, or a group that was open where the file cannot be read on.
                let is_left_out = is_call && batch.to != after || self.translator.is_within_group();
                return self.hand_out(batch, if is_left_out { LastRow::LeftOut } else { LastRow::Included });
            }
        }
        match self.gatherer.cut() {
            Some(batch) => self.hand_out(batch, LastRow::Included),
            None => Next::Done,
        }
    }

    fn end(&mut self, fault: Option<FileFault>) -> Option<Batch> {
        self.ended = true;
        self.fault = fault;
        self.gatherer.cut()
    }

    /// Stops handing out batches. The next run, if there is one, sends the other rows.
    pub fn stop(&mut self) {
        self.ended = true;
        self.gatherer.discard();
    }

    fn hand_out(&mut self, batch: Batch, last: LastRow) -> Next {
        let to = Position { byte: batch.to, line: batch.line_after };
        let part = self.translator.take_profile(last);
        self.pending.push_back(Pending { number: batch.number, to, part, settled: None });
        Next::Batch(Box::new(batch))
    }

    /// The result of a batch: Segment accepted all its calls except `refused_calls`.
    pub fn settle(&mut self, batch: &Batch, refused_calls: &[RefusedCall]) {
        let Some(at) = self.pending.iter().position(|pending| pending.number == batch.number) else { return };
        let settled = self.account_for(batch, refused_calls);
        self.rejects_held_bytes += settled.rejects.len();
        self.pending[at].settled = Some(settled);
        while let Some(Pending { settled: Some(_), .. }) = self.pending.front() {
            let Some(Pending { to, part, settled: Some(settled), .. }) = self.pending.pop_front() else { break };
            self.settled_to = to;
            if let Some(mut part) = part {
                match &mut self.part {
                    Some(all) => all.take_from(&mut part),
                    None => self.part = Some(part),
                }
            }
            self.settled.account.add(&settled.account);
            self.settled.rejects.extend_from_slice(&settled.rejects);
        }
    }

    /// What a batch came to, and its refused rows in the order of the file.
    fn account_for(&mut self, batch: &Batch, refused_calls: &[RefusedCall]) -> Settled {
        if self.rejects.is_none() {
            self.rejects = self.translator.header().map(Rejects::new);
        }
        let mut settled = Settled::default();
        settled.account.rows = batch.rows();
        settled.account.blank_rows = batch.blank_rows;
        settled.account.repeated_headers = batch.repeated_headers;
        settled.account.skipped_rows = batch.skipped_rows;
        let columns = self.translator.plan().map_or(&[][..], ColumnPlan::columns);
        let name = |column: u32| columns.get(column as usize).map_or_else(String::new, |column| column.name.clone());
        let is_mapped = self.translator.plan().is_some_and(ColumnPlan::is_mapped);
        settled.account.findings = batch.tally.findings(is_mapped, name);
        settled.account.batches = u64::from(batch.call_count() > 0);
        let rows_refused: usize = refused_calls.iter().map(|g| batch.rows_of(&batch.calls[g.call])).sum();
        settled.account.acknowledged = batch.rows() - (batch.refused.len() + rows_refused) as u64;
        let bytes_refused: usize = refused_calls.iter().map(|g| batch.calls[g.call].body.len()).sum();
        settled.account.call_bytes = batch.call_bytes() - bytes_refused as u64;
        let ours = batch.refused.iter().map(|r| {
            let refusal = &r.refusal;
            (refusal.span, refusal.code.as_str(), refusal.message.as_str(), refusal.message.as_str(), r.record.clone())
        });
        let theirs = refused_calls.iter().flat_map(|g| {
            let call = &batch.calls[g.call];
            let alone = call.group.is_empty().then(|| (call.span, call.record.clone()));
            let grouped = batch.group_rows[call.group.clone()].iter().map(|row| (row.span, row.record.clone()));
            let rows = alone.into_iter().chain(grouped);
            rows.map(move |(span, record)| (span, g.code, g.message.as_str(), "", record))
        });
        let mut refused: Vec<_> = ours.chain(theirs).collect();
        refused.sort_by_key(|(span, ..)| span.from);
        for (span, code, message, public_message, record) in refused {
            settled.account.reject(code);
            let reason = Reason { code, message, line: span.line, byte: span.start };
            if let Some(rejects) = &mut self.rejects {
                rejects.append(&batch.records[record], reason, &mut settled.rejects);
            }
            if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(Example { line: span.line, code, message: public_message.to_owned() });
            }
        }
        settled
    }

    /// Takes what was settled since the last commit, if there is anything.
    pub fn commit(&mut self) -> Option<Commit> {
        if !self.can_commit() {
            return None;
        }
        let settled = std::mem::take(&mut self.settled);
        self.rejects_held_bytes -= settled.rejects.len();
        let from = std::mem::replace(&mut self.committed_to, self.settled_to);
        let rejects = match &self.rejects {
            Some(rejects) if !settled.rejects.is_empty() => [rejects.head(), &settled.rejects].concat(),
            _ => Vec::new(),
        };
        Some(Commit { from, to: self.settled_to, account: settled.account, rejects })
    }

    /// Takes the profile of the rows settled since the last commit; `None` where nothing is profiled, or before the
    /// header. To be asked for with each [`Pipeline::commit`].
    pub fn take_profile(&mut self) -> Option<Profile> {
        let mut profile = self.translator.no_profile()?.clone();
        if let Some(part) = self.part.take() {
            part.add_to(&mut profile);
        }
        Some(profile)
    }

    /// Warnings about the columns of a file with this profile and this account.
    #[must_use]
    pub fn warnings_of(&self, profile: &Profile, account: &Account) -> Vec<Warning> {
        let Some(plan) = self.translator.plan() else { return Vec::new() };
        // Ids are sent without blanks.
        let is_sent = |index: usize| !plan.roles.ids.contains(&index) && self.translator.sends_as_it_stands(index);
        let columns = plan.columns().iter().zip(&profile.columns).enumerate();
        let columns = columns.filter(|(index, _)| is_sent(*index)).map(|(_, column)| column);
        profile::warnings(columns, account)
    }

    /// The least and the greatest cell of each column. They are cells: for a person at a terminal only.
    #[must_use]
    pub fn values(&self) -> &[Values] {
        self.translator.values()
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn can_commit(&self) -> bool {
        self.settled_to != self.committed_to
    }

    /// Batches handed out and not settled.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.iter().filter(|pending| pending.settled.is_none()).count()
    }

    /// Whether another batch may be asked for: not while too much waits for a slow answer, or to be committed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending.len() < BATCHES_AHEAD_MAX && self.rejects_held_bytes < REJECTS_HELD_BYTES_MAX
    }

    /// Whether refused rows should be committed now, so that there is room again.
    #[must_use]
    pub fn is_full_of_rejects(&self) -> bool {
        self.rejects_held_bytes >= REJECTS_HELD_BYTES_MAX && !self.settled.rejects.is_empty()
    }

    /// What was settled without a gap and is not committed yet.
    #[must_use]
    pub fn uncommitted(&self) -> &Account {
        &self.settled.account
    }

    /// The header, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<&StoredHeader> {
        self.translator.header()
    }

    /// What the header was compiled to, once it was read.
    #[must_use]
    pub fn plan(&self) -> Option<&ColumnPlan> {
        self.translator.plan()
    }

    /// What the columns became: `column → path (type)`.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let columns = self.translator.plan().map_or(&[][..], |plan| plan.columns());
        let path = |column: &Column| column.path.clone().unwrap_or_else(|| "ignored".to_owned());
        columns.iter().map(|column| format!("{} → {} ({})", column.name, path(column), column.cell.as_str())).collect()
    }

    /// Why the file cannot be read on, if it cannot. What came before is handed out all the same.
    #[must_use]
    pub fn fault(&self) -> Option<&FileFault> {
        self.fault.as_ref()
    }

    /// What its owner should know about the columns.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        self.translator.warnings()
    }

    /// The first refused rows.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }
}

#[cfg(test)]
mod tests;
