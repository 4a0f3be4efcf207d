//! Calls gathered into request bodies, within the limits of every Segment library at once.
//!
//! A batch covers one stretch of the file: each row in it is either a call in its body or a refusal beside it, so that
//! settling batches settles rows. Cutting depends on the bytes alone: the same rows give the same batches.

use crate::limits::CALL_BYTES_MAX;
use crate::refusal::{Position, RowRefusal, Span};
use crate::subject::Subject;
use crate::translator::{Dropped, GroupRow};
use crate::warnings::{Note, Tally};
use std::ops::Range;

/// A body before compression: the smallest limit among Segment's libraries (analytics-python, analytics-kotlin), all
/// of them below the documented 500 KB.
pub const BODY_BYTES_MAX: usize = 475_000;
/// Calls in a batch; beyond it Segment answers 200 and drops (HTTP API documentation, "Batch").
pub const BATCH_CALLS_MAX: usize = 2_500;
/// Objects in a request (Objects API documentation: 1 to 10).
pub const OBJECTS_MAX: usize = 10;
/// Records that one batch may stand for, refused and dropped ones included.
const BATCH_ROWS_MAX: usize = 2_500;
/// Bytes of original records, and of what is said of the refused ones, that one batch may hold for the rejects file.
const RECORDS_BYTES_MAX: usize = 1 << 20;

/// Where a body begins and ends, and how many calls go into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    head: Vec<u8>,
    calls_max: usize,
}

impl Envelope {
    /// The envelope of a file's calls.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        match &subject.collection {
            Some(collection) => Self::objects(collection),
            None => Self::batch(),
        }
    }

    /// `POST /v1/batch`.
    #[must_use]
    pub fn batch() -> Self {
        Self { head: br#"{"batch":["#.to_vec(), calls_max: BATCH_CALLS_MAX }
    }

    /// `POST /v1/set` of the Objects API.
    #[must_use]
    pub fn objects(collection: &str) -> Self {
        let mut head = br#"{"collection":"#.to_vec();
        head.extend_from_slice(serde_json::Value::from(collection).to_string().as_bytes());
        head.extend_from_slice(br#","objects":["#);
        Self { head, calls_max: OBJECTS_MAX }
    }

    /// The same with at most so many calls in a body.
    #[must_use]
    pub fn with_calls_max(self, calls_max: usize) -> Self {
        Self { calls_max: self.calls_max.min(calls_max), ..self }
    }
}

/// How every body ends.
const TAIL: &[u8] = b"]}";

/// A call in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its bytes in the body.
    pub body: Range<usize>,
    /// Where the 24 characters of its `timestamp` stand in the body, if it has one.
    pub timestamp: Option<Range<usize>>,
    /// The row it was made of.
    pub span: Span,
    /// That row's own bytes among the batch's records.
    pub record: Range<usize>,
    /// The rows of a group that it was made of, among the batch's; empty where it was made of one row.
    pub group: Range<usize>,
}

/// What is still known of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many they were.
    pub calls: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A row that makes no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Why.
    pub refusal: RowRefusal,
    /// The row's own bytes among the batch's records.
    pub record: Range<usize>,
}

/// One stretch of the file, ready to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its place among the batches of this run, from 0.
    pub number: u64,
    /// Where its first row begins.
    pub from: u64,
    /// Where its last row ends.
    pub to: u64,
    /// The line after its last row.
    pub line_after: u64,
    /// The request's body; meaningless without calls.
    pub body: Vec<u8>,
    /// The calls in the body, in the order of the rows.
    pub calls: Vec<Call>,
    /// Calls that were accepted and forgotten.
    pub forgotten: Forgotten,
    /// The rows refused before the wire, in the order of the rows.
    pub refused: Vec<RefusedRow>,
    /// The rows as they stood in the file, for the rejects file.
    pub records: Vec<u8>,
    /// Blank lines, and records of nothing but delimiters and blanks.
    pub blank_rows: u64,
    /// Records that repeat the header.
    pub repeated_headers: u64,
    /// Rows that a filter leaves out.
    pub skipped_rows: u64,
    /// The rows of groups that make calls, each with its own bytes among the batch's records.
    pub group_rows: Vec<GroupRow>,
    /// Rows that make calls, beyond one for each call.
    pub further_rows: u64,
    /// What is doubtful about the rows.
    pub tally: Tally,
}

/// What is known of the record that was taken last, besides what it came to.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Where its own bytes begin among the records of the open batch.
    pub record_at: usize,
    /// Where reading goes on behind it.
    pub after: Position,
    /// How many blank lines stand before it.
    pub blank_lines: u64,
    /// What is doubtful about it.
    pub notes: &'a [Note],
    /// How many rows it is: 1, or those of a group.
    pub rows: u64,
    /// The rows of a group.
    pub group: &'a [GroupRow],
}

impl Batch {
    /// How many rows it stands for.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.call_count() + self.refused.len() as u64 + self.further_rows
    }

    /// How many calls it has.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.calls.len() as u64 + self.forgotten.calls
    }

    /// The bytes of its calls.
    pub(crate) fn call_bytes(&self) -> u64 {
        self.calls.iter().map(|call| call.body.len() as u64).sum::<u64>() + self.forgotten.bytes
    }

    /// Frees the memory of calls that were all accepted and are needed no longer.
    pub fn forget_calls(&mut self) {
        self.forgotten = Forgotten { calls: self.call_count(), bytes: self.call_bytes() };
        (self.body, self.calls) = (Vec::new(), Vec::new());
    }

    /// How many rows a call was made of.
    #[must_use]
    pub fn rows_of(&self, call: &Call) -> usize {
        call.group.len().max(1)
    }

    /// How many records it stands for, those included that are no rows.
    fn records_read(&self) -> u64 {
        self.rows() + self.blank_rows + self.repeated_headers + self.skipped_rows
    }

    /// The JSON of one call.
    #[must_use]
    pub fn call(&self, index: usize) -> &[u8] {
        &self.body[self.calls[index].body.clone()]
    }

    /// A body with only some of the calls, to find the refused ones.
    #[must_use]
    pub fn body_of(&self, calls: Range<usize>) -> Vec<u8> {
        let (Some(first), Some(last)) = (self.calls.get(calls.start), self.calls.get(calls.end.wrapping_sub(1))) else {
            return Vec::new();
        };
        let head = &self.body[..self.calls[0].body.start];
        [head, &self.body[first.body.start..last.body.end], TAIL].concat()
    }
}

/// Gathers rows until a limit is reached.
#[derive(Debug)]
pub struct Gatherer {
    envelope: Envelope,
    open: Batch,
    /// Bytes of what is said of the refused rows in `open`.
    said_bytes: usize,
    next_number: u64,
}

impl Gatherer {
    /// Starts at a position of the file.
    #[must_use]
    pub fn new(envelope: Envelope, from: u64) -> Self {
        let open = Batch { from, to: from, body: envelope.head.clone(), ..Batch::default() };
        Self { envelope, open, said_bytes: 0, next_number: 0 }
    }

    /// Where the next call and the next record are to be appended.
    pub fn buffers(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>) {
        if !self.open.calls.is_empty() && self.open.body.last() != Some(&b',') {
            self.open.body.push(b',');
        }
        (&mut self.open.body, &mut self.open.records)
    }

    /// Whether the next call may be too long for the open batch.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        !self.open.calls.is_empty() && self.open.body.len() + CALL_BYTES_MAX + 1 + TAIL.len() > BODY_BYTES_MAX
    }

    /// Counts in the call of `len` bytes that was appended last, whose record is `taken`. Hands out the
    /// batch before it when the call no longer fits into that.
    pub fn call(&mut self, span: Span, len: usize, timestamp: Option<Range<usize>>, taken: Taken<'_>) -> Option<Batch> {
        let record_at = taken.record_at;
        let start = self.open.body.len() - len;
        let full = !self.open.calls.is_empty() && self.open.body.len() + TAIL.len() > BODY_BYTES_MAX;
        let (done, start, record) = if full {
            let call = self.open.body[start..].to_vec();
            let record = self.open.records.split_off(record_at);
            self.open.body.truncate(start);
            let done = self.cut();
            let start = self.open.body.len();
            self.open.body.extend_from_slice(&call);
            self.open.records = record;
            (done, start, 0..self.open.records.len())
        } else {
            (None, start, record_at..self.open.records.len())
        };
        let timestamp = timestamp.map(|at| start + at.start..start + at.end);
        let group = if taken.group.is_empty() { 0..0 } else { self.place_group(record.start, taken) };
        self.open.calls.push(Call { body: start..start + len, timestamp, span, record, group });
        self.reached(span.line, taken);
        // Where both happen at once the second waits for the next row: one batch is handed out at a time.
        done.or_else(|| self.cut_if_full())
    }

    /// Keeps the rows of a group, whose record begins at `record_at` among the batch's.
    #[cold]
    fn place_group(&mut self, record_at: usize, taken: Taken<'_>) -> Range<usize> {
        let first = self.open.group_rows.len();
        self.open.group_rows.extend(
            taken.group.iter().map(|row| GroupRow {
                span: row.span,
                record: record_at + row.record.start..record_at + row.record.end,
            }),
        );
        self.open.further_rows += taken.rows - 1;
        first..self.open.group_rows.len()
    }

    /// Counts in a refused row.
    pub fn refused(&mut self, refusal: RowRefusal, taken: Taken<'_>) -> Option<Batch> {
        let (line, record_at) = (refusal.span.line, taken.record_at);
        self.said_bytes += refusal.message.len() + refusal.column.as_ref().map_or(0, String::len);
        self.open.refused.push(RefusedRow { refusal, record: record_at..self.open.records.len() });
        self.reached(line, taken);
        self.cut_if_full()
    }

    /// Counts in the rows of a group that is refused.
    pub fn refused_group(&mut self, refusals: Vec<RowRefusal>, taken: Taken<'_>) -> Option<Batch> {
        debug_assert_eq!(refusals.len(), taken.group.len(), "each row of a refused group has its refusal");
        let line = refusals.first().map_or(0, |refusal| refusal.span.line);
        for (refusal, row) in refusals.into_iter().zip(taken.group) {
            self.said_bytes += refusal.message.len() + refusal.column.as_ref().map_or(0, String::len);
            let record = taken.record_at + row.record.start..taken.record_at + row.record.end;
            self.open.refused.push(RefusedRow { refusal, record });
        }
        self.reached(line, taken);
        self.cut_if_full()
    }

    /// Counts in a record that is no row, or rows that are skipped.
    pub fn dropped(&mut self, reason: Dropped, line: u64, taken: Taken<'_>) -> Option<Batch> {
        match reason {
            Dropped::Blank => self.open.blank_rows += 1,
            Dropped::RepeatedHeader => self.open.repeated_headers += 1,
            Dropped::Skipped => self.open.skipped_rows += taken.rows,
        }
        self.reached(line, taken);
        self.cut_if_full()
    }

    /// Counts in the blank lines behind the last record.
    pub fn trailing(&mut self, blank_lines: u64, after: Position) {
        if blank_lines > 0 {
            self.open.blank_rows += blank_lines;
            (self.open.to, self.open.line_after) = (after.byte, after.line);
        }
    }

    /// Hands out what is open, if there is anything.
    pub fn cut(&mut self) -> Option<Batch> {
        if self.open.records_read() == 0 {
            return None;
        }
        let next = Batch {
            from: self.open.to,
            to: self.open.to,
            body: self.fresh_body(),
            records: Vec::with_capacity(self.open.records.len()),
            calls: Vec::with_capacity(self.open.calls.len()),
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.open, next);
        self.said_bytes = 0;
        if batch.body.last() == Some(&b',') {
            batch.body.pop();
        }
        batch.body.extend_from_slice(TAIL);
        batch.number = self.next_number;
        self.next_number += 1;
        Some(batch)
    }

    /// Drops the open batch, because no caller will send it.
    pub fn discard(&mut self) {
        let _ = self.cut();
    }

    fn fresh_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.open.body.len() + self.envelope.head.len());
        body.extend_from_slice(&self.envelope.head);
        body
    }

    #[inline]
    fn reached(&mut self, line: u64, taken: Taken<'_>) {
        self.open.to = taken.after.byte;
        self.open.line_after = taken.after.line;
        self.open.blank_rows += taken.blank_lines;
        if !taken.notes.is_empty() {
            self.open.tally.add(taken.notes, line);
        }
    }

    fn cut_if_full(&mut self) -> Option<Batch> {
        let full = self.open.calls.len() >= self.envelope.calls_max
            || self.open.records_read() >= BATCH_ROWS_MAX as u64
            || self.open.records.len() + self.said_bytes >= RECORDS_BYTES_MAX;
        if full { self.cut() } else { None }
    }
}
