//! Bytes in, calls out: the reading side as one push/take machine.
//!
//! `push` a piece of the source, take with [`Translator::next`] until it is starved, `finish`. What
//! is taken depends on the bytes alone, never on how they were cut into pieces.

mod beginnings;
mod grouping;
mod mapped;
mod opening;
mod recognition;
mod records;

use std::ops::Range;

use crate::call::{Encoder, MessageIds, Row};
use crate::columns::ColumnPlan;
use crate::dialect::{Compression, Delimiter, Dialect, Encoding, Measure, StoredHeader};
use crate::inflate::{Inflater, Pulled};
use crate::mapping::Mapper;
use crate::profile::{Detail, LastRow, Part, Profile, Profiler, Values};
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault, Position, RowRefusal, Span, Warning};
use crate::rows::{Advance, Rows};
use crate::subject::Subject;
use crate::text::Transcoder;
use crate::text::without_ctrl_z;
use crate::warnings::Note;
use crate::wording::worded;

use grouping::{Grouping, Step};
use mapped::{Reader, SourceRow};
use records::{Decoded, Quotes, behind, is_blank, is_header, note_shape, sound};

pub use self::grouping::GroupRow;
pub use crate::inflate::ZSTD_WINDOW_BYTES_MAX;
pub use crate::rows::ROW_BYTES_MAX;

/// Longest header. 10,000 columns of 25 characters.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;

/// So much of a file decides how it is written down, and is read before its first row is.
pub const BEGINNING_BYTES: usize = HEADER_BYTES_MAX;

/// Limits on text, of which a small compressed file may have any amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that are inflated before [`Translated::Paused`].
    pub pause_bytes: usize,
    /// Bytes without a row: blank lines, records of delimiters, repeated headers. More of them end the file.
    pub rowless_bytes: u64,
    /// The largest window of a zstd frame. Reading it takes more than three times as much memory.
    pub zstd_window_bytes: u64,
}

impl Default for Limits {
    /// A sheet of a million rows of 1,000 delimiters is within them.
    fn default() -> Limits {
        Limits { pause_bytes: 8 << 20, rowless_bytes: 1 << 30, zstd_window_bytes: ZSTD_WINDOW_BYTES_MAX }
    }
}

/// What a record came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Translated {
    /// A call has been appended.
    Call {
        /// Where its record stands.
        span: Span,
        /// How long the call is, encoded.
        len: usize,
        /// Where the value of its `timestamp` stands in it, without the quotes (24 bytes).
        timestamp: Option<Range<usize>>,
    },
    /// The row is refused.
    Refused(RowRefusal),
    /// The rows of a group are refused, each for a reason of its own or for that of another.
    RefusedGroup(Vec<RowRefusal>),
    /// The record is no row, and nothing is appended.
    Dropped {
        /// Where it stands.
        span: Span,
        /// What it is.
        reason: Dropped,
    },
    /// More bytes are needed: push, or finish.
    Starved,
    /// Much was inflated, and no record came of it. It goes on with the next call, once the clock was looked at.
    Paused,
    /// Every record has been taken.
    End,
}

/// Why a record is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It has nothing but delimiters and blanks.
    Blank,
    /// It repeats the header, cell by cell.
    RepeatedHeader,
    /// A filter of the mapping leaves it out.
    Skipped,
}

/// Translates one file.
#[derive(Debug)]
pub struct Translator {
    subject: Subject,
    reading: Reading,
    inflater: Inflater,
    transcoder: Transcoder,
    /// Decompressed bytes that are still to be passed over, after a resume.
    skip: u64,
    /// Lines before the header that are still to be passed over.
    lines_to_skip: u32,
    /// Where the decompressed bytes end that the transcoder has had.
    transcoded: u64,
    plain: Vec<u8>,
    rows: Rows,
    stage: Stage,
    encoder: Encoder,
    position: Position,
    limits: Limits,
    /// Bytes that were inflated since the last pause.
    inflated: usize,
    /// The bytes of the last records that are no rows, one after the other.
    dropped: Range<u64>,
    /// Set once the header is read.
    header: Option<StoredHeader>,
    plan: Option<ColumnPlan>,
    /// Set once the header is read, where a mapping says what the rows become.
    mapper: Option<Mapper>,
    /// Set where adjacent rows become one call.
    grouping: Option<Grouping>,
    /// The header's cells, by which a repeated header is known.
    names: Vec<Vec<u8>>,
    warnings: Vec<Warning>,
    /// Whether the source breaks off before as much of it is there as decides how it is written down.
    breaks_off: bool,
    /// Blank lines before the record taken last, or at the end of the file.
    blank_lines: u64,
    decoded: Decoded,
    /// What is profiled, if anything is.
    detail: Option<Detail>,
    /// Set once the header is read.
    profiler: Option<Box<Profiler>>,
}

#[derive(Debug)]
enum Stage {
    /// The header is still to come; the delimiter may be known from a setting or a `sep=` line.
    Header {
        delimiter: Option<Delimiter>,
        /// Whether a `sep=` line names it.
        named: bool,
    },
    Rows,
    Broken(FileFault),
}

impl Translator {
    /// Translates a file from its beginning.
    pub fn new(subject: &Subject, reading: &Reading, ids: MessageIds) -> Translator {
        let encoding = reading.encoding.unwrap_or(Encoding::Utf8);
        let transcoder = Transcoder::new(encoding, reading.encoding_auto);
        Translator {
            subject: subject.clone(),
            reading: reading.clone(),
            inflater: Inflater::default(),
            transcoder: if subject.is_called_rejects() { transcoder.may_be_rejects() } else { transcoder },
            skip: 0,
            lines_to_skip: reading.skip_lines,
            transcoded: 0,
            plain: Vec::new(),
            rows: Rows::new(b','),
            stage: Stage::Header { delimiter: reading.delimiter, named: false },
            encoder: Encoder::new(subject, ids, reading),
            position: Position::START,
            limits: Limits::default(),
            inflated: 0,
            dropped: 0..0,
            header: None,
            plan: None,
            mapper: None,
            grouping: None,
            names: Vec::new(),
            warnings: Vec::new(),
            breaks_off: false,
            blank_lines: 0,
            decoded: Decoded::new(reading.encoding_auto),
            detail: None,
            profiler: None,
        }
    }

    /// The same, with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Translator {
        self.limits = limits;
        self.inflater.limit_window(limits.zstd_window_bytes);
        self
    }

    /// The same, with a profile of the columns.
    #[must_use]
    pub fn with_profile(mut self, detail: Detail) -> Translator {
        self.detail = Some(detail);
        self.begin_profile();
        self
    }

    /// Begins the profile, once the columns are known: those of the file, whatever a mapping makes of them.
    fn begin_profile(&mut self) {
        if let (Some(detail), Some(plan)) = (self.detail, &self.plan) {
            let names = self.names.iter().take(plan.own_columns);
            let names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            self.profiler = Some(Box::new(Profiler::new(&names, &self.reading.nulls, detail)));
        }
    }

    /// Goes on with a file at `at`, which an earlier translator had as its [`Translator::position`]
    /// after its [`Translator::header`] was read.
    ///
    /// Of a plain source, push the bytes from `at` on. Of a compressed one
    /// ([`Dialect::compression`]), push all of it again: it is inflated and passed over up to `at`.
    /// The rest of the calls is then the same, ids included.
    ///
    /// # Errors
    ///
    /// If the stored header does not compile, under settings that have changed since.
    pub fn resume(
        subject: &Subject,
        reading: &Reading,
        ids: MessageIds,
        header: &StoredHeader,
        at: Position,
    ) -> Result<Translator, FileFault> {
        let mut translator = Translator::new(subject, reading, ids);
        let Dialect { compression, encoding, .. } = header.dialect;
        translator.transcoder = Transcoder::within(encoding);
        if compression == Compression::None {
            translator.inflater = Inflater::plain();
        } else {
            translator.skip = at.byte;
        }
        translator.position = at;
        translator.transcoded = at.byte;
        translator.begin_rows(header.clone()).map_err(|mut fault| {
            let message = format!("line 1, which was read before: {}", fault.message);
            fault.message = worded(message, reading.mapping.is_some());
            fault
        })?;
        Ok(translator)
    }

    /// Takes the next bytes of the source.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.passes_through() {
            self.rows.push(bytes);
        } else {
            self.inflater.push(bytes);
        }
    }

    /// Says that the source has ended.
    pub fn finish(&mut self) {
        self.inflater.finish();
    }

    /// Appends the next call's JSON to `calls` and its record, in UTF-8 and without its line end,
    /// to `records`. A refused row appends its record only.
    ///
    /// # Errors
    ///
    /// When the file cannot be read further. Everything up to here stands; the same error comes
    /// again on every further call.
    #[inline]
    pub fn next(&mut self, calls: &mut Vec<u8>, records: &mut Vec<u8>) -> Result<Translated, FileFault> {
        loop {
            if !matches!(self.stage, Stage::Rows) {
                if self.read_header()? {
                    continue;
                }
                match self.pull() {
                    Ok(true) if self.pauses() => return Ok(Translated::Paused),
                    Ok(true) => continue,
                    Ok(false) => return Ok(Translated::Starved),
                    // What came before it is read all the same.
                    Err(_) if !self.breaks_off => self.breaks_off = true,
                    Err(fault) => return Err(self.broken(fault)),
                }
                continue;
            }
            let is_held = self.grouping.as_mut().is_some_and(Grouping::release);
            match if is_held { Advance::Record } else { self.rows.advance() } {
                Advance::Record if self.grouping.is_none() => {
                    self.check_blank_lines()?;
                    return Ok(self.translate(calls, records));
                }
                Advance::Record => {
                    self.check_blank_lines()?;
                    let translated = self.translate(calls, records);
                    if let Some(fault) = self.grouping.as_mut().and_then(Grouping::fault) {
                        return Err(self.broken(fault));
                    }
                    // The record belongs to a group that is still open.
                    if translated != Translated::Starved {
                        return Ok(translated);
                    }
                }
                Advance::Starved => {
                    self.check_blank_lines()?;
                    if !self.feed()? {
                        return Ok(Translated::Starved);
                    }
                    if self.pauses() {
                        return Ok(Translated::Paused);
                    }
                }
                Advance::End => {
                    if let Some(translated) = self.close_group(calls, records) {
                        return Ok(translated);
                    }
                    self.check_blank_lines()?;
                    self.pass_trailing();
                    return Ok(Translated::End);
                }
                Advance::TooLong => {
                    let fault = self.row_too_long();
                    return Err(self.broken(fault));
                }
            }
        }
    }

    /// The header, once it is read. With it and a position, [`Translator::resume`] goes on.
    pub fn header(&self) -> Option<&StoredHeader> {
        self.header.as_ref()
    }

    /// What the header was compiled to, once it is read.
    pub fn plan(&self) -> Option<&ColumnPlan> {
        self.plan.as_ref()
    }

    /// Where the record taken last ends, or the group of records. Only here can reading be taken up again.
    pub fn position(&self) -> Position {
        self.grouping.as_ref().and_then(Grouping::begin).unwrap_or(self.position)
    }

    /// What the owner of the file should know about its columns and about how it is written down; complete once the
    /// header is read.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What is doubtful about the record taken last.
    pub fn notes(&self) -> &[Note] {
        &self.encoder.notes
    }

    /// How many blank lines stand before the record taken last, or, at [`Translated::End`], behind the last record.
    pub fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// Takes the counts of the rows since they were taken last; `None` where nothing is profiled, or before the header.
    ///
    /// They are of the rows whose cells are known: those of calls, those that a filter skips, and those that are refused
    /// for what stands in a cell.
    pub fn take_profile(&mut self, last: LastRow) -> Option<Part> {
        self.profiler.as_mut().map(|profiler| profiler.take(last))
    }

    /// Marks the profile before the next record or group, so that it can be left to the next part. Within a group, the
    /// mark stays before the group.
    pub fn mark_profile(&mut self) {
        let is_within_group = self.is_within_group();
        if let Some(profiler) = self.profiler.as_mut().filter(|_| !is_within_group) {
            profiler.mark();
        }
    }

    /// Whether adjacent rows become one call.
    pub(crate) fn is_grouping(&self) -> bool {
        self.grouping.is_some()
    }

    /// Whether rows of a group are read, and the group is not complete.
    pub(crate) fn is_within_group(&self) -> bool {
        self.grouping.as_ref().is_some_and(|grouping| grouping.begin().is_some())
    }

    /// The profile of no rows, to which the parts add up; `None` where nothing is profiled, or before the header.
    pub fn no_profile(&self) -> Option<&Profile> {
        self.profiler.as_ref().map(|profiler| profiler.none())
    }

    /// The least and the greatest cell of each column so far; empty unless [`Detail::CountsAndValues`] is profiled.
    pub fn values(&self) -> &[Values] {
        self.profiler.as_ref().map_or(&[], |profiler| profiler.values())
    }

    /// Whether the cells of a column of the file are sent as they stand, and not through verbs of a mapping.
    pub(crate) fn sends_as_it_stands(&self, column: usize) -> bool {
        self.mapper.as_ref().is_none_or(|mapper| !mapper.makes(column))
    }

    /// How many rows were taken last: 1, or those of a group.
    pub fn rows_taken(&self) -> u64 {
        self.grouping.as_ref().map_or(1, |grouping| grouping.taken_rows)
    }

    /// The rows of the group taken last, if one was and it is not skipped.
    pub fn group(&self) -> &[GroupRow] {
        self.grouping.as_ref().map_or(&[], |grouping| &grouping.taken)
    }

    /// How many bytes are held that have been pushed and not been taken.
    pub fn buffered(&self) -> usize {
        self.inflater.pending() + self.transcoder.held() + self.rows.unread().len()
    }

    /// Whether pushed bytes are text as they are.
    fn passes_through(&self) -> bool {
        self.inflater.compression() == Some(Compression::None)
            && self.inflater.pending() == 0
            && self.transcoder.passes_through()
    }

    /// Moves bytes on towards the rows. Returns whether that changed anything.
    fn feed(&mut self) -> Result<bool, FileFault> {
        self.pull().map_err(|fault| self.broken(fault))
    }

    fn pull(&mut self) -> Result<bool, FileFault> {
        if self.rows.is_finished() {
            return Ok(false);
        }
        self.plain.clear();
        let pulled = match self.inflater.pull(&mut self.plain) {
            Ok(pulled) => pulled,
            Err(fault) => {
                let what = fault.message;
                let line = self.position.line;
                let fault = FileFault::new(fault.code, format!("from line {line} on: {what}"));
                return Err(fault.at(self.position));
            }
        };
        let ended = pulled == Pulled::End;
        if pulled == Pulled::Starved {
            return Ok(false);
        }
        let length = self.plain.len();
        self.inflated += length;
        let skipped = usize::try_from(self.skip).unwrap_or(length).min(length);
        self.skip -= skipped as u64;
        self.transcoded += (length - skipped) as u64;
        let known = self.transcoder.encoding().is_some();
        self.transcoder.feed(&self.plain[skipped..], ended, self.rows.inlet());
        if !known {
            self.position.byte += self.transcoder.bom() as u64;
        }
        if ended {
            self.rows.finish();
        }
        Ok(true)
    }

    /// Whether it is time to look at the clock.
    fn pauses(&mut self) -> bool {
        let is_due = self.inflated >= self.limits.pause_bytes;
        if is_due {
            self.inflated = 0;
        }
        is_due
    }

    /// A fault if too much of the file has no row, with the blank lines before the next record.
    #[inline]
    fn check_blank_lines(&mut self) -> Result<(), FileFault> {
        if self.rows.blank().bytes == 0 {
            return Ok(());
        }
        let at = self.behind_blank_lines();
        self.rowless(at).map_or(Ok(()), |fault| Err(self.broken(fault)))
    }

    /// Counts in a record that is no row. If too much of the file has no row, the file is read no further.
    #[cold]
    fn dropped(&mut self, span: Span) {
        let start = if span.from == self.dropped.end { self.dropped.start } else { span.from };
        self.dropped = start..span.to;
        if let Some(fault) = self.rowless(Position { byte: span.to, ..self.position }) {
            self.broken(fault);
        }
    }

    /// Counts in what was read by a mapping, if it is no row.
    fn read_by_mapping(&mut self, translated: Translated) -> Translated {
        if let Translated::Dropped { span, reason: Dropped::Blank | Dropped::RepeatedHeader } = translated {
            self.dropped(span);
        }
        translated
    }

    /// Whether the file has too much text without a row before `at`.
    fn is_rowless(&self, at: Position) -> bool {
        let last = self.position.byte;
        let begin = if last == self.dropped.end { self.dropped.start } else { last };
        at.byte - begin > self.limits.rowless_bytes
    }

    /// The fault of a file that has too much text without a row before `at`.
    fn rowless(&self, at: Position) -> Option<FileFault> {
        self.is_rowless(at).then(|| {
            let message = format!("line {}: {}", at.line, rowless(self.limits.rowless_bytes));
            FileFault::new(FaultCode::NoRows, message).at(at)
        })
    }

    fn broken(&mut self, mut fault: FileFault) -> FileFault {
        fault.message = worded(fault.message, self.reading.mapping.is_some());
        self.stage = Stage::Broken(fault.clone());
        fault
    }

    /// Translates the record that the rows stand at. Starved: it belongs to a group that is still open.
    fn translate(&mut self, calls: &mut Vec<u8>, records: &mut Vec<u8>) -> Translated {
        let (Some(plan), Some(header), Some(record)) = (&self.plan, &self.header, self.rows.record()) else {
            return Translated::End;
        };
        let dialect = header.dialect;
        let encoding = dialect.encoding;
        let from = self.position.byte;
        let span = Span {
            from,
            start: from + record.blank.bytes * encoding.ascii_bytes(),
            to: behind(from, encoding, &record, self.transcoded),
            line: self.position.line + record.blank.lines,
        };
        let before = self.position;
        self.position = Position { byte: span.to, line: span.line + record.lines };
        self.blank_lines = record.blank.lines;
        self.encoder.notes.clear();
        let ctrl_z = without_ctrl_z(record.text);
        let (text, cells, quotes) =
            if matches!(encoding, Encoding::Legacy(_)) || !dialect.quoting.is_rfc4180() || ctrl_z.is_some() {
                self.decoded.decode(&record, dialect, plan.own_columns, ctrl_z, &mut self.encoder.notes)
            } else {
                (record.text, record.cells, Quotes::of_record(&record))
            };
        let is_header = is_header(text, cells, &self.names, dialect.delimiter);
        if let (Some(mapper), Some(grouping)) = (&mut self.mapper, &mut self.grouping) {
            let row = SourceRow { text, cells, quotes, span, lines: record.lines };
            let profiler = self.profiler.as_deref_mut();
            let reading = Reader { mapper, plan, dialect, encoder: &mut self.encoder, profiler };
            return match grouping.step(row, is_header, (before, record.blank.lines), reading, calls, records) {
                Step::Joined => Translated::Starved,
                Step::Dropped(dropped) => self.read_by_mapping(dropped),
                Step::Closed(translated) => {
                    (self.position, self.blank_lines) = (before, grouping.blank_lines);
                    translated
                }
            };
        }
        if is_header {
            self.encoder.notes.clear();
            self.dropped(span);
            return Translated::Dropped { span, reason: Dropped::RepeatedHeader };
        }
        if let Some(mapper) = &mut self.mapper {
            let row = SourceRow { text, cells, quotes, span, lines: record.lines };
            let profiler = self.profiler.as_deref_mut();
            let reading = Reader { mapper, plan, dialect, encoder: &mut self.encoder, profiler };
            let translated = row.translate(reading, calls, records);
            return self.read_by_mapping(translated);
        }
        let records_from = records.len();
        records.extend_from_slice(text);
        let begin = calls.len();
        let is_sound = sound(text, cells, quotes, plan);
        let is_profiled = is_sound.is_ok() && self.profiler.is_some();
        let written = is_sound.and_then(|()| {
            note_shape(text, cells, plan, &mut self.encoder.notes);
            let row = Row::of_record(text, cells, quotes.has_cell, span.start);
            self.encoder.append(plan, row, calls)
        });
        if let Some(profiler) = &mut self.profiler
            && is_profiled
            && (written.is_ok() || !is_blank(text, cells))
        {
            profiler.row(text, cells, span.start);
        }
        match written {
            Ok(timestamp) => Translated::Call { span, len: calls.len() - begin, timestamp },
            Err(_) if quotes.is_sound() && is_blank(text, cells) => {
                records.truncate(records_from);
                self.encoder.notes.clear();
                self.dropped(span);
                Translated::Dropped { span, reason: Dropped::Blank }
            }
            Err(flaw) => Translated::Refused(flaw.at(span, cells, plan, dialect, record.lines)),
        }
    }

    /// Ends the group that is open where the file ends.
    fn close_group(&mut self, calls: &mut Vec<u8>, records: &mut Vec<u8>) -> Option<Translated> {
        let (Some(mapper), Some(plan), Some(header)) = (&mut self.mapper, &self.plan, &self.header) else {
            return None;
        };
        let grouping = self.grouping.as_mut().filter(|grouping| grouping.begin().is_some())?;
        let encoder = &mut self.encoder;
        let reading = Reader { mapper, plan, dialect: header.dialect, encoder, profiler: None };
        let translated = grouping.close(reading, calls, records);
        self.blank_lines = grouping.blank_lines;
        Some(translated)
    }

    /// Counts the blank lines behind the last record as read.
    fn pass_trailing(&mut self) {
        self.position = self.behind_blank_lines();
        self.blank_lines = self.rows.take_blank().lines;
        self.encoder.notes.clear();
    }

    /// Where the record begins that is read next, or was found and not taken.
    fn behind_blank_lines(&self) -> Position {
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        let blank = self.rows.blank();
        Position {
            byte: self.position.byte + blank.bytes * encoding.ascii_bytes(),
            line: self.position.line + blank.lines,
        }
    }

    fn row_too_long(&self) -> FileFault {
        let at = self.behind_blank_lines();
        FileFault::new(
            FaultCode::RowTooLong,
            format!(
                "line {}: a row begins here that is longer than {ROW_BYTES_MAX} bytes; a quote in it is probably never closed",
                at.line
            ),
        )
        .at(at)
    }
}

fn rowless(bytes: u64) -> String {
    format!(
        "more than {bytes} bytes before this line have no row, only blank lines, lines of delimiters or repeated headers: \
         correct the file and drop it again"
    )
}
