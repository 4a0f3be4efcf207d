//! Adjacent rows with the same cell, which become one call.
//!
//! A group ends where the next row has another cell, at a record that is no row, and at the end of the file. Its rows
//! are made one by one, as each arrives. A field takes the first filled cell, and a list takes an element of each row.
//! One bad row refuses all rows of its group.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use crate::call::{Encoder, Row};
use crate::columns::ColumnPlan;
use crate::flaw::Flaw;
use crate::ids;
use crate::limits::GROUP_ROWS_MAX;
use crate::mapping::{MadeRow, Mapper};
use crate::refusal::{FaultCode, FileFault, Position, RefusalCode, RowRefusal, Span, WarningCode};
use crate::rows::Cell;
use crate::warnings::Note;

use super::mapped::{Reader, SourceRow, omit_nothing};
use super::records::{note_shape, sound};
use super::{Dropped, Translated};

/// Most rows of a group that are held to be refused together. More of them end the file.
const HELD_ROWS_MAX: usize = 10 * GROUP_ROWS_MAX;

/// Most bytes of such rows.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Cells of groups that are remembered, to find one that comes again: some 4 MB.
const GROUPS_REMEMBERED_MAX: usize = 1 << 18;

/// A row of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Where the row stands.
    pub span: Span,
    /// Its own bytes in the record of the group.
    pub record: Range<usize>,
}

/// What a record came to.
#[derive(Debug)]
pub(super) enum Step {
    /// It belongs to the group that is open, and is taken with it.
    Joined,
    /// It is no row, and no group is open.
    Dropped(Translated),
    /// The group before it is complete. The record is to be looked at again.
    Closed(Translated),
}

/// Gathers the rows of groups, one group after the other.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    column: usize,
    open: Open,
    /// Whether the record that the rows stand at is still to be taken.
    is_held: bool,
    fault: Option<FileFault>,
    /// Hashes of the cells of groups.
    seen: HashSet<u64>,
    /// How many rows were taken last.
    pub(super) taken_rows: u64,
    /// The rows taken last, unless they are skipped.
    pub(super) taken: Vec<GroupRow>,
    /// Blank lines before the rows taken last.
    pub(super) blank_lines: u64,
}

/// The group that is open.
#[derive(Debug, Default)]
struct Open {
    /// Where its first row, or a blank line before it, begins; `None`: no group is open.
    begin: Option<Position>,
    /// All of it, as far as it is read.
    span: Option<Span>,
    key: Vec<u8>,
    /// Whether the last row cannot be split, so that the next one may be of its group, whatever its cell is.
    is_key_unknown: bool,
    is_skipped: bool,
    row_count: u64,
    rows: Vec<GroupRow>,
    records: Vec<u8>,
    /// The row that all of them make.
    text: Vec<u8>,
    cells: Vec<Cell>,
    /// The row that each cell is of.
    origins: Vec<usize>,
    /// Which of its columns fills each cell.
    choices: Vec<usize>,
    /// Whether each cell has something, and not only blanks or a null marker.
    filled: Vec<bool>,
    /// The elements of each list, each with a comma behind it.
    lists: Vec<Vec<u8>>,
    /// The row that is refused first.
    refusal: Option<(usize, RowRefusal)>,
    notes: Vec<Note>,
    blank_lines: u64,
}

impl Grouping {
    pub(super) fn new(column: usize) -> Grouping {
        Grouping { column, ..Grouping::default() }
    }

    /// Where the open group begins.
    pub(super) fn begin(&self) -> Option<Position> {
        self.open.begin
    }

    /// Whether the record that the rows stand at is still to be taken, which it is once.
    pub(super) fn release(&mut self) -> bool {
        std::mem::take(&mut self.is_held)
    }

    /// Why the file cannot be read on, if it cannot.
    pub(super) fn fault(&mut self) -> Option<FileFault> {
        self.fault.take()
    }

    /// Takes a record. `before` is where the one before it ends, and how many blank lines stand between them.
    #[inline(never)]
    pub(super) fn step(
        &mut self,
        row: SourceRow<'_>,
        is_header: bool,
        before: (Position, u64),
        reader: Reader<'_>,
        calls: &mut Vec<u8>,
        records: &mut Vec<u8>,
    ) -> Step {
        let reason = if is_header { Some(Dropped::RepeatedHeader) } else { row.is_blank().then_some(Dropped::Blank) };
        let is_open = self.open.begin.is_some();
        if is_open && reason == Some(Dropped::Blank) {
            self.open.pass_blank(row.span, before.1);
            return Step::Joined;
        }
        if is_open && (is_header || !self.open.joins(row, self.column, reader.mapper)) {
            self.is_held = true;
            return Step::Closed(self.close(reader, calls, records));
        }
        if let Some(reason) = reason {
            reader.encoder.notes.clear();
            self.taken.clear();
            self.taken_rows = 1;
            return Step::Dropped(Translated::Dropped { span: row.span, reason });
        }
        self.open.add(row, self.column, before, reader);
        if !is_open && self.open.is_of_known_cell() && !self.remember() {
            self.open.notes.push(Note::cell(WarningCode::GroupReturns, self.column));
        }
        if self.open.rows.len() > HELD_ROWS_MAX || self.open.records.len() > HELD_BYTES_MAX {
            self.fault = Some(self.open.too_long());
        }
        Step::Joined
    }
}

impl Grouping {
    /// Remembers the cell of the open group. Returns whether it is new.
    fn remember(&mut self) -> bool {
        let mut hasher = DefaultHasher::new();
        self.open.key.hash(&mut hasher);
        let hash = hasher.finish();
        let is_full = self.seen.len() >= GROUPS_REMEMBERED_MAX;
        if is_full { !self.seen.contains(&hash) } else { self.seen.insert(hash) }
    }

    /// Ends the open group: appends its call and its rows, or refuses or skips them.
    #[cold]
    pub(super) fn close(&mut self, reader: Reader<'_>, calls: &mut Vec<u8>, records: &mut Vec<u8>) -> Translated {
        let open = &mut self.open;
        let span = open.span.unwrap_or(Span { from: 0, start: 0, to: 0, line: 0 });
        reader.encoder.notes.clear();
        self.taken.clear();
        (self.taken_rows, self.blank_lines) = (open.row_count, open.blank_lines);
        if open.is_skipped {
            open.clear();
            return Translated::Dropped { span, reason: Dropped::Skipped };
        }
        reader.encoder.notes.append(&mut open.notes);
        records.extend_from_slice(&open.records);
        let refusal = open.refusal.take();
        let Reader { mapper, plan, dialect, encoder, profiler } = reader;
        let reader = Reader { mapper, plan, dialect, encoder: &mut *encoder, profiler };
        let refused = match refusal {
            Some(refusal) => Err(refusal),
            None => open.append(span, reader, calls),
        };
        let translated = match refused {
            Ok(call) => call,
            Err((at_fault, refusal)) => {
                omit_nothing(&mut encoder.notes);
                Translated::RefusedGroup(open.refuse(at_fault, refusal))
            }
        };
        std::mem::swap(&mut self.taken, &mut open.rows);
        open.clear();
        translated
    }
}

impl Open {
    fn clear(&mut self) {
        (self.begin, self.span, self.refusal) = (None, None, None);
        (self.is_key_unknown, self.is_skipped) = (false, false);
        (self.row_count, self.blank_lines) = (0, 0);
        self.key.clear();
        self.rows.clear();
        self.records.clear();
        self.text.clear();
        self.cells.clear();
        self.origins.clear();
        self.choices.clear();
        self.filled.clear();
        self.lists.iter_mut().for_each(Vec::clear);
        self.notes.clear();
    }

    /// Whether a row is of this group. A row that cannot be split may be of it, and of the one behind it: then all are
    /// refused together. A row with an empty cell is of no other group.
    fn joins(&self, row: SourceRow<'_>, column: usize, mapper: &Mapper) -> bool {
        let is_alone = self.key.is_empty() && !self.is_key_unknown;
        if is_alone {
            return false;
        }
        if !is_split(row) {
            return !self.is_skipped;
        }
        let mut scratch = Vec::new();
        let key = key_of(row, column, mapper, &mut scratch);
        !key.is_empty() && (self.is_key_unknown || key == self.key)
    }

    /// Whether the rows of the group have a cell, and are not skipped.
    fn is_of_known_cell(&self) -> bool {
        !self.is_skipped && !self.is_key_unknown && !self.key.is_empty()
    }

    /// Counts a blank row among the rows of the group. `blank_lines` are those before it.
    fn pass_blank(&mut self, span: Span, blank_lines: u64) {
        self.blank_lines += blank_lines + 1;
        if let Some(all) = &mut self.span {
            all.to = span.to;
        }
        let last = self.rows.len().wrapping_sub(1);
        if let Some(row) = self.rows.last_mut() {
            row.span.to = span.to;
        }
        if let Some((_, refusal)) = self.refusal.as_mut().filter(|(row, _)| *row == last) {
            refusal.span.to = span.to;
        }
    }

    /// Adds a row of the group. `before` is where the record before it ends, and how many blank lines stand between.
    fn add(&mut self, row: SourceRow<'_>, column: usize, before: (Position, u64), mut reader: Reader<'_>) {
        let SourceRow { text, cells, span, .. } = row;
        let is_first = self.begin.is_none();
        self.begin = self.begin.or(Some(before.0));
        self.span = Some(Span { to: span.to, ..self.span.unwrap_or(span) });
        self.row_count += 1;
        self.blank_lines += before.1;
        let is_sound = sound(text, cells, row.quotes, reader.plan);
        if let (Ok(()), Some(profiler)) = (&is_sound, &mut reader.profiler) {
            profiler.row(text, cells, span.start);
        }
        if self.is_skipped {
            return;
        }
        self.is_key_unknown = !is_split(row);
        let mut scratch = Vec::new();
        let key = key_of(row, column, reader.mapper, &mut scratch);
        self.key.clear();
        self.key.extend_from_slice(key);
        if is_first && is_sound.is_ok() && !reader.mapper.passes(text, cells) {
            self.is_skipped = true;
            return;
        }
        let record = self.records.len()..self.records.len() + text.len();
        self.records.extend_from_slice(text);
        self.rows.push(GroupRow { span, record });
        let (plan, dialect) = (reader.plan, reader.dialect);
        if self.refusal.is_none()
            && let Err(flaw) = is_sound.and_then(|()| self.gather(row, column, reader))
        {
            self.refusal = Some((self.rows.len() - 1, flaw.at(span, cells, plan, dialect, row.lines)));
        }
    }

    /// Takes the cells of a row that no earlier row has, and its elements of the lists.
    fn gather(&mut self, row: SourceRow<'_>, column: usize, reader: Reader<'_>) -> Result<(), Flaw> {
        let Reader { mapper, plan, encoder, .. } = reader;
        let index = self.rows.len() - 1;
        if index >= GROUP_ROWS_MAX {
            return Err(Flaw::new(RefusalCode::GroupTooLong).in_column(column));
        }
        note_shape(row.text, row.cells, plan, &mut encoder.notes);
        let made = mapper.make(row.text, row.cells, index == 0, &plan.names, &mut encoder.notes)?;
        self.merge(made, index, plan, encoder)?;
        self.lists.resize(plan.lists.len(), Vec::new());
        for (list, out) in plan.lists.iter().zip(&mut self.lists) {
            encoder.element(list, plan, Row::new(made.text, made.cells, row.span.start), out)?;
        }
        let lines_behind = self.lines_behind(index);
        self.notes.extend(encoder.notes.drain(..).map(|note| Note { lines_behind, ..note }));
        Ok(())
    }

    /// Takes the filled cells of a row that no earlier row has. Where several columns may fill a field, the first choice of
    /// the whole group fills it.
    fn merge(&mut self, made: MadeRow<'_>, index: usize, plan: &ColumnPlan, encoder: &mut Encoder) -> Result<(), Flaw> {
        let MadeRow { text, cells, .. } = made;
        let width = plan.columns().len();
        self.cells.resize(width, Cell::new(0, 0, 0));
        self.origins.resize(width, 0);
        self.filled.resize(width, false);
        self.choices.resize(width, 0);
        for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let is_filled = encoder.has_something(plan, at, cell.raw(text));
            if is_filled && plan.has_one_value(at) && encoder.omits(plan, at, *cell, text) {
                // The next row may have a better one.
                encoder.notes.push(Note::cell(WarningCode::CellOmitted, at));
                continue;
            }
            let is_better = made.choice(at) < self.choices[at];
            if self.filled[at] && !(is_filled && is_better) {
                if is_filled && plan.has_one_value(at) && made.choice(at) == self.choices[at] {
                    self.compare(at, text, *cell, plan, &mut encoder.notes)?;
                }
                continue;
            }
            self.filled[at] = is_filled;
            if is_filled || self.cells[at].is_empty() {
                let begin = self.text.len();
                self.text.extend_from_slice(cell.raw(text));
                self.cells[at] = cell.moved_to(begin);
                self.origins[at] = index;
                self.choices[at] = made.choice(at);
            }
        }
        Ok(())
    }

    /// Refuses a row with another id than an earlier one, which would be a call of several people. Notes other values.
    fn compare(
        &self,
        at: usize,
        text: &[u8],
        cell: Cell,
        plan: &ColumnPlan,
        notes: &mut Vec<Note>,
    ) -> Result<(), Flaw> {
        let (mut first, mut other) = (Vec::new(), Vec::new());
        let (first, other) = (self.cells[at].value(&self.text, &mut first), cell.value(text, &mut other));
        if ids::trim(first) == ids::trim(other) || plan.columns()[at].path.is_none() {
            return Ok(());
        }
        if plan.roles.ids.contains(&at) && plan.roles.message_id != Some(at) {
            return Err(Flaw::new(RefusalCode::GroupIdsDiffer).in_column(at));
        }
        notes.push(Note::cell(WarningCode::GroupValuesDiffer, at));
        Ok(())
    }

    /// How many lines behind the first row of the group a row stands.
    fn lines_behind(&self, index: usize) -> u32 {
        let line = |index: usize| self.rows.get(index).map_or(0, |row| row.span.line);
        u32::try_from(line(index).saturating_sub(line(0))).unwrap_or(u32::MAX)
    }

    /// Appends the call of all rows. If it is refused, the row that is at fault.
    fn append(
        &mut self,
        span: Span,
        reader: Reader<'_>,
        calls: &mut Vec<u8>,
    ) -> Result<Translated, (usize, RowRefusal)> {
        let Reader { mapper, plan, dialect, encoder, .. } = reader;
        for (column, elements) in mapper.lists.iter().zip(&self.lists) {
            let Some((_, elements)) = elements.split_last() else { continue };
            let begin = self.text.len();
            self.text.push(b'[');
            self.text.extend_from_slice(elements);
            self.text.push(b']');
            self.cells[*column] = Cell::new(begin, self.text.len(), 0);
        }
        let (begin, noted) = (calls.len(), encoder.notes.len());
        let row = Row::new(&self.text, &self.cells, span.start);
        let written = encoder.append(plan, row, calls);
        for note in &mut encoder.notes[noted..] {
            let origin = note.column.and_then(|column| self.origins.get(column as usize));
            note.lines_behind = origin.map_or(0, |origin| self.lines_behind(*origin));
        }
        match written {
            Ok(timestamp) => Ok(Translated::Call { span, len: calls.len() - begin, timestamp }),
            Err(flaw) => {
                let at_fault = flaw.column.and_then(|column| self.origins.get(column)).copied().unwrap_or(0);
                let span = self.rows.get(at_fault).map_or(span, |row| row.span);
                // The cells of that row are gone.
                Err((at_fault, flaw.at(span, &[], plan, dialect, 1)))
            }
        }
    }

    /// Refuses every row, all but one for the reason of that one.
    fn refuse(&self, at_fault: usize, refusal: RowRefusal) -> Vec<RowRefusal> {
        let because = refusal.span.line;
        let mut refusals: Vec<RowRefusal> = self.rows.iter().map(|row| refused_with(row.span, because)).collect();
        if let Some(place) = refusals.get_mut(at_fault) {
            *place = refusal;
        }
        refusals
    }

    fn too_long(&self) -> FileFault {
        let line = self.span.map_or(1, |span| span.line);
        let fault = FileFault::new(
            FaultCode::GroupTooLong,
            format!(
                "line {line}: a group begins here that has more than {HELD_ROWS_MAX} rows or {HELD_BYTES_MAX} bytes; its column is probably the same in every row: group by another"
            ),
        );
        match self.begin {
            Some(at) => fault.at(at),
            None => fault,
        }
    }
}

fn refused_with(span: Span, line: u64) -> RowRefusal {
    let code = RefusalCode::GroupRefused;
    let message =
        format!("line {}: refused with line {line}, which is of the same group: correct that line", span.line);
    RowRefusal { span, code, column: None, cell: None, message }
}

/// Whether the cells of a row are known.
fn is_split(row: SourceRow<'_>) -> bool {
    row.quotes.is_sound()
}

/// The cell that says the group of a row; empty if it counts as empty.
fn key_of<'a>(row: SourceRow<'a>, column: usize, mapper: &Mapper, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let key = row.cells.get(column).map_or(&[][..], |cell| cell.value(row.text, scratch));
    if mapper.is_no_group(key) { &[] } else { key }
}
