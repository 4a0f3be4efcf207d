//! One row to one call: the plan's pieces written one after the other, straight to bytes.
//!
//! There is no JSON value in between. A row of strings costs the copying of its cells; the encoded
//! length is the length that counts against Segment's limits.

mod cells;

pub(crate) use cells::{Settled, cut, day, fits, note_points, odd};

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use protocol::id::StreamId;

use crate::columns::{CellType, ColumnPlan, ListPlan, Piece, RequiredCell, Slot};
use crate::flaw::{Flaw, Hint};
use crate::ids::{self, Id, Names, Nulls, is_void};
use crate::json;
use crate::kind::Api;
use crate::reading::Reading;
use crate::refusal::{RefusalCode, WarningCode};
use crate::rows::Cell;
use crate::subject::Subject;
use crate::timestamps::Times;
use crate::warnings::Note;

use cells::{OddCells, date, empty, is_blank, shape, time, trim_blanks, typed};

pub use crate::limits::{CALL_BYTES_MAX, MESSAGE_ID_CHARS_MAX, OBJECT_ID_CHARS_MAX};

/// Where the ids of a file's messages come from.
///
/// A row's `messageId` is this and the offset at which its record begins, so the same row of the
/// same object has the same id however often it is sent, and Segment drops what it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageIds(String);

impl MessageIds {
    /// Ids that begin with `s3-` and the 32 hex digits of the file's stream, which is different for
    /// every object, version and replay.
    pub fn new(stream: StreamId) -> MessageIds {
        MessageIds(format!("s3-{stream}"))
    }

    /// The id of the row whose record begins at `start`.
    pub fn of(&self, start: u64) -> String {
        format!("{}-{start}", self.0)
    }
}

/// A record, valid UTF-8, with its cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) cells: &'a [Cell],
    /// Whether JSON escapes nothing in `text`, and so nothing in any cell.
    pub(crate) is_unescaped: bool,
    /// Where the record begins in the source.
    pub(crate) start: u64,
}

impl<'a> Row<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8], cells: &'a [Cell], start: u64) -> Row<'a> {
        Row { text, cells, is_unescaped: json::is_unescaped(text), start }
    }

    /// The same, of a record of which is known whether a cell stands in quotes.
    #[inline]
    pub(crate) fn of_record(text: &'a [u8], cells: &'a [Cell], is_quoted: bool, start: u64) -> Row<'a> {
        Row { text, cells, is_unescaped: !is_quoted && json::is_unescaped(text), start }
    }

    /// The cell of a column, as long as the row has it.
    #[inline]
    fn cell(&self, column: usize) -> Option<&'a Cell> {
        self.cells.get(column)
    }

    /// Whether the last two cells have something: nearly every row has it there.
    #[inline]
    fn ends_filled(&self) -> bool {
        let is_filled = |cell: &Cell| self.text.get(cell.start()).is_some_and(u8::is_ascii_graphic) && !cell.is_empty();
        matches!(self.cells, [.., before, last] if is_filled(last) && is_filled(before))
    }

    /// The only cell that has anything.
    #[cold]
    fn lone_cell(&self) -> Option<usize> {
        let mut filled = self.cells.iter().enumerate().filter(|(_, cell)| !is_void(cell.raw(self.text)));
        let (column, _) = filled.next()?;
        filled.next().is_none().then_some(column)
    }

    /// Appends a value of the row as the inside of a JSON string.
    #[inline]
    fn escape(&self, value: &[u8], out: &mut Vec<u8>) {
        if self.is_unescaped {
            out.extend_from_slice(value);
        } else {
            json::escape(value, out);
        }
    }
}

/// Message ids that are remembered, to find one that comes again: some 4 MB.
const MESSAGE_IDS_REMEMBERED_MAX: usize = 1 << 18;

/// Writes calls.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `{"type":"track","messageId":"`, for objects `{`.
    head: Vec<u8>,
    ids: MessageIds,
    times: Times,
    /// What counts as no id.
    id_nulls: Nulls,
    /// For a second look at ids, of which all doubts are noted.
    no_names: Names,
    /// What counts as an empty cell.
    nulls: Nulls,
    /// Which cells may be a null marker, a spreadsheet's guard or a rounded number.
    odd_cells: OddCells,
    scratch: Vec<u8>,
    /// The arrays by index that the writing is in.
    arrays: Vec<Elements>,
    /// Hashes of the file's own message ids.
    message_ids: HashSet<u64>,
    /// Whether every id of the row is plain.
    plain_ids: bool,
    /// Doubts that hold only for every cell of a column, and are settled by one that speaks against them.
    settled: Settled,
    /// What is doubtful about the row.
    pub(crate) notes: Vec<Note>,
}

/// How far an array by index is written.
#[derive(Clone, Copy, Debug)]
struct Elements {
    /// Where the element begins that comes next.
    next: usize,
    /// Where the last one ends that is not empty.
    filled: usize,
}

impl Encoder {
    pub(crate) fn new(subject: &Subject, ids: MessageIds, reading: &Reading) -> Encoder {
        let head = match subject.kind.api() {
            Api::Objects => b"{".to_vec(),
            Api::Tracking => format!(r#"{{"type":"{}","messageId":""#, subject.kind).into_bytes(),
        };
        Encoder {
            head,
            ids,
            times: Times::new(&reading.timestamp_formats, reading.timestamp_zone.as_deref()),
            id_nulls: Nulls::of_ids(reading),
            no_names: Names::default(),
            nulls: Nulls::new(reading.nulls.clone()),
            odd_cells: OddCells::new(&reading.nulls),
            scratch: Vec::new(),
            arrays: Vec::new(),
            message_ids: HashSet::new(),
            plain_ids: true,
            settled: Settled::default(),
            notes: Vec::new(),
        }
    }

    /// Appends the row's call to `out`. Returns where its timestamp's value stands, counted from the
    /// call's first byte. On a flaw `out` is as it was.
    #[inline]
    pub(crate) fn append(
        &mut self,
        plan: &ColumnPlan,
        row: Row<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Range<usize>>, Flaw> {
        let begin = out.len();
        let written = self.write(plan, row, out).and_then(|timestamp| {
            let length = out.len() - begin;
            if length > CALL_BYTES_MAX {
                return Err(Flaw::new(RefusalCode::CallTooLarge).counting(length));
            }
            Ok(timestamp)
        });
        match written {
            Ok(timestamp) => {
                if plan.roles.required.len() == 1 {
                    self.look_for_line(plan, row);
                }
                Ok(timestamp.map(|at| at.start - begin..at.end - begin))
            }
            Err(flaw) => {
                out.truncate(begin);
                Err(flaw)
            }
        }
    }

    fn write(&mut self, plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<Option<Range<usize>>, Flaw> {
        self.look_at_ids(plan, row)?;
        self.look_for_copy_text(row);
        self.require(plan, row)?;
        out.extend_from_slice(&self.head);
        let mut timestamp = None;
        let is_object = plan.roles.object_id.is_some();
        if !is_object {
            self.message_id(plan, row, out)?;
            timestamp = self.timestamp(plan, row, out)?;
        }
        self.pieces(&plan.pieces, plan, row, out)?;
        if is_object && !out.ends_with(b"},") {
            return Err(Flaw::new(RefusalCode::ObjectEmpty));
        }
        if let Some(last) = out.last_mut() {
            *last = b'}';
        }
        Ok(timestamp)
    }

    /// Appends what the pieces of a plan write of a row.
    fn pieces(&mut self, pieces: &[Piece], plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        self.arrays.clear();
        for piece in pieces {
            match piece {
                Piece::Cell(slot) => {
                    if let Err(flaw) = self.cell(slot, plan, row, out) {
                        self.omit(plan, slot.column, flaw)?;
                    }
                }
                Piece::Open(text) | Piece::Text(text) => out.extend_from_slice(text),
                Piece::Close { opened, bracket } => match out.last_mut() {
                    Some(last) if *last == b',' => {
                        *last = *bracket;
                        out.push(b',');
                    }
                    _ => out.truncate(out.len() - opened),
                },
                Piece::Context(slot) => self.context(slot, plan, row, out)?,
                Piece::Array => self.arrays.push(Elements { next: out.len(), filled: out.len() }),
                Piece::Element => {
                    if let Some(array) = self.arrays.last_mut() {
                        if out.len() == array.next {
                            out.extend_from_slice(b"null,");
                        } else {
                            array.filled = out.len();
                        }
                        array.next = out.len();
                    }
                }
                Piece::ArrayEnd => {
                    if let Some(array) = self.arrays.pop() {
                        out.truncate(array.filled);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a cell of a column has something: neither blanks alone nor what counts as empty.
    pub(crate) fn has_something(&self, plan: &ColumnPlan, column: usize, cell: &[u8]) -> bool {
        let nulls = if plan.roles.ids.contains(&column) { &self.id_nulls } else { &self.nulls };
        !is_void(cell) && !plan.nulls(column, nulls).has(ids::trim(cell))
    }

    /// Whether a cell is bad, and a mapping omits it.
    pub(crate) fn omits(&self, plan: &ColumnPlan, column: usize, cell: Cell, text: &[u8]) -> bool {
        if !plan.omits(column) {
            return false;
        }
        let mut scratch = Vec::new();
        let value = cell.value(text, &mut scratch);
        if plan.roles.ids.contains(&column) {
            return ids::is_rounded(ids::trim(value));
        }
        fits(plan.columns()[column].cell, value, &self.times, &mut Vec::new()).is_err()
    }

    /// Appends an element of a list and a comma, or nothing where the row has nothing of it.
    pub(crate) fn element(
        &mut self,
        list: &ListPlan,
        plan: &ColumnPlan,
        row: Row<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Flaw> {
        let begin = out.len();
        if list.is_object {
            out.push(b'{');
        }
        self.pieces(&list.pieces, plan, row, out).inspect_err(|_| out.truncate(begin))?;
        match out.last_mut() {
            Some(last) if *last == b',' && list.is_object => {
                *last = b'}';
                out.push(b',');
            }
            _ if list.is_object => out.truncate(begin),
            _ => {}
        }
        Ok(())
    }

    /// Notes a bad cell that is omitted. It has written nothing.
    #[cold]
    fn omit(&mut self, plan: &ColumnPlan, column: usize, flaw: Flaw) -> Result<(), Flaw> {
        if !plan.omits(column) {
            return Err(flaw);
        }
        self.notes.push(Note::cell(WarningCode::CellOmitted, column));
        Ok(())
    }

    /// Looks at the ids of a row, whether each is one.
    #[inline]
    fn look_at_ids(&mut self, plan: &ColumnPlan, row: Row<'_>) -> Result<(), Flaw> {
        self.plain_ids = true;
        if !plan.first_is_id
            && let Some(cell) = row.cell(0)
        {
            let value = cell.value(row.text, &mut self.scratch);
            if value.first().is_some_and(|first| ids::may_be_footer(*first)) && ids::is_footer(value) {
                self.notes.push(Note::cell(WarningCode::Footer, 0));
            }
        }
        let mut has_words = false;
        for &column in &plan.roles.ids {
            let Some(cell) = row.cell(column) else { continue };
            let value = cell.value(row.text, &mut self.scratch);
            has_words |= ids::is_words(value);
            if ids::may_be_cut(value) {
                cut(column, value, &mut self.settled, &mut self.notes);
            }
            if ids::is_plain(value, &self.id_nulls, &plan.names) {
                continue;
            }
            self.plain_ids = false;
            let notes = &mut self.notes;
            let nulls = plan.nulls(column, &self.id_nulls);
            // A mapping may have noted it already.
            let id = ids::read(value, &plan.names, nulls, &mut |code| {
                if !Note::is_among(notes, code, column) {
                    notes.push(Note::cell(code, column));
                }
            });
            if id == Id::Rounded {
                self.omit(plan, column, Flaw::new(RefusalCode::RoundedId).in_column(column))?;
            }
        }
        if has_words {
            self.look_for_header(plan, row);
        }
        Ok(())
    }

    /// Notes an id without any other cell that is a line of text, as a spreadsheet fills up the last lines of a report.
    #[inline(never)]
    fn look_for_line(&mut self, plan: &ColumnPlan, row: Row<'_>) {
        if row.ends_filled() {
            return;
        }
        let Some(column) = row.lone_cell().filter(|column| plan.roles.ids.contains(column)) else { return };
        let is_line = ids::is_line(self.id(plan, column, row));
        let is_known = |code| Note::is_among(&self.notes, code, column);
        if is_line && !is_known(WarningCode::IdNoData) && !is_known(WarningCode::IdPlaceholder) {
            self.notes.push(Note::cell(WarningCode::IdNoData, column));
        }
    }

    /// Notes a row that may be a header, as joined exports have it: two of its cells, or half of them, name their columns. A
    /// row with an id that has a warning of its own is not noted again.
    #[cold]
    fn look_for_header(&mut self, plan: &ColumnPlan, row: Row<'_>) {
        let (mut names, mut filled) = (0, 0);
        for (column, cell) in row.cells.iter().enumerate() {
            let value = cell.value(row.text, &mut self.scratch);
            names += usize::from(plan.names.is_of_column(column, value));
            filled += usize::from(!is_void(value));
        }
        let is_known = || self.notes.iter().any(|note| note.code == WarningCode::IdNoData);
        if filled > 1 && (names > 1 || (names > 0 && filled == 2)) && !is_known() {
            self.notes.push(Note::row(WarningCode::OtherHeader));
        }
    }

    /// Notes the escapes of Postgres' `COPY`: a file of tabs with `\N` for nothing has them in place of tabs and line ends.
    #[inline]
    fn look_for_copy_text(&mut self, row: Row<'_>) {
        let is_tab = row.cell(0).is_some_and(|first| row.text.get(first.end()) == Some(&b'\t'));
        if is_tab && memchr::memchr(b'\\', row.text).is_some() {
            let (mut has_null, mut has_escape) = (false, false);
            for cell in row.cells {
                let value = cell.value(row.text, &mut self.scratch);
                has_null |= value == b"\\N";
                has_escape |= value.windows(2).any(|pair| matches!(pair, b"\\\\" | b"\\n" | b"\\t" | b"\\r"));
            }
            // Either alone is no proof: together, in one row or in several, they hold.
            if has_null {
                self.notes.push(Note { hit: false, ..Note::row(WarningCode::CopyEscapes) });
            }
            if has_escape {
                self.notes.push(Note::row(WarningCode::CopyEscapes));
            }
        }
    }

    /// The id in a column: what is sent of it, empty where there is none.
    #[inline]
    fn id<'a>(&'a mut self, plan: &ColumnPlan, column: usize, row: Row<'a>) -> &'a [u8] {
        let Some(cell) = row.cell(column) else { return &[] };
        let value = cell.value(row.text, &mut self.scratch);
        if self.plain_ids {
            return value;
        }
        match ids::read(value, &self.no_names, plan.nulls(column, &self.id_nulls), &mut |_| ()) {
            Id::Sound(id) => id,
            Id::Empty | Id::Null | Id::Rounded => &[],
        }
    }

    #[inline]
    fn has_id(&mut self, plan: &ColumnPlan, column: usize, row: Row<'_>) -> bool {
        if self.plain_ids {
            return row.cell(column).is_some_and(|cell| cell.end() > cell.start());
        }
        !self.id(plan, column, row).is_empty()
    }

    /// Every track row comes here: a call of its own would cost 25 instructions.
    #[inline(always)]
    fn has_title(&mut self, plan: &ColumnPlan, column: usize, row: Row<'_>) -> bool {
        let Some(cell) = row.cell(column) else { return false };
        let value = cell.value(row.text, &mut self.scratch);
        !is_void(value) && !plan.nulls(column, &self.nulls).has(value)
    }

    /// Refuses a row without a field that every row of its kind must have.
    #[inline]
    fn require(&mut self, plan: &ColumnPlan, row: Row<'_>) -> Result<(), Flaw> {
        for required in &plan.roles.required {
            let has = match required.is_id {
                true => self.has_id(plan, required.column, row),
                false => self.has_title(plan, required.column, row),
            };
            if !has && !self.has_other(plan, required, row) {
                return Err(self.lacking(required));
            }
        }
        match plan.roles.object_id {
            Some(column) => self.object_id(plan, column, row),
            None => Ok(()),
        }
    }

    #[inline(never)]
    fn has_other(&mut self, plan: &ColumnPlan, required: &RequiredCell, row: Row<'_>) -> bool {
        required.others.iter().any(|&column| match required.is_id {
            true => self.has_id(plan, column, row),
            false => self.has_title(plan, column, row),
        })
    }

    #[cold]
    fn lacking(&self, required: &RequiredCell) -> Flaw {
        let is_null = Note::is_among(&self.notes, WarningCode::IdNullMarker, required.column);
        let hint = if is_null { Hint::NullMarker } else { Hint::None };
        Flaw::new(required.code).in_column(required.column).hinting(hint)
    }

    fn object_id(&mut self, plan: &ColumnPlan, column: usize, row: Row<'_>) -> Result<(), Flaw> {
        let length = chars(self.id(plan, column, row));
        if length > OBJECT_ID_CHARS_MAX {
            return Err(Flaw::new(RefusalCode::IdTooLong).in_column(column).counting(length));
        }
        Ok(())
    }

    /// The file's own id where it has one, else ours.
    #[inline]
    fn message_id(&mut self, plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let begin = out.len();
        if let Some(column) = plan.roles.message_id {
            let id = self.id(plan, column, row);
            let chars = chars(id);
            if chars > MESSAGE_ID_CHARS_MAX {
                return Err(Flaw::new(RefusalCode::MessageIdTooLong).in_column(column).counting(chars));
            }
            row.escape(id, out);
            if chars > 0 {
                self.remember(column, &out[begin..]);
            }
        }
        if out.len() == begin {
            out.extend_from_slice(self.ids.0.as_bytes());
            out.push(b'-');
            out.extend_from_slice(itoa::Buffer::new().format(row.start).as_bytes());
        }
        out.extend_from_slice(b"\",");
        Ok(())
    }

    /// Notes a message id that came before.
    fn remember(&mut self, column: usize, id: &[u8]) {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let hash = hasher.finish();
        let full = self.message_ids.len() >= MESSAGE_IDS_REMEMBERED_MAX;
        let known = if full { self.message_ids.contains(&hash) } else { !self.message_ids.insert(hash) };
        if known {
            self.notes.push(Note::cell(WarningCode::MessageIdRepeated, column));
        }
    }

    #[inline]
    fn timestamp(&mut self, plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<Option<Range<usize>>, Flaw> {
        let Some(column) = plan.roles.timestamp else {
            return Ok(None);
        };
        let cell = row.cell(column);
        let value = cell.map_or(&[][..], |cell| cell.value(row.text, &mut self.scratch));
        if is_blank(value) || plan.nulls(column, &self.nulls).has(value.trim_ascii()) {
            self.notes.push(Note::cell(WarningCode::TimestampEmpty, column));
            return Ok(None);
        }
        out.extend_from_slice(b"\"timestamp\":\"");
        let begin = out.len();
        let read = date(column, value, &self.times, &mut self.settled, &mut self.notes, out);
        if let Err(flaw) = read {
            self.omit(plan, column, flaw)?;
            out.truncate(begin - b"\"timestamp\":\"".len());
            return Ok(None);
        }
        let end = out.len();
        out.extend_from_slice(b"\",");
        Ok(Some(begin..end))
    }

    #[inline]
    fn cell(&mut self, slot: &Slot, plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        if slot.is_id {
            let id = self.id(plan, slot.column, row);
            if !id.is_empty() {
                out.extend_from_slice(&slot.key);
                row.escape(id, out);
                out.extend_from_slice(b"\",");
            }
            return Ok(());
        }
        let Some(cell) = row.cell(slot.column) else {
            return Ok(());
        };
        let value = cell.value(row.text, &mut self.scratch);
        let (Some(first), Some(last)) = (value.first(), value.last()) else {
            empty(slot, out);
            return Ok(());
        };
        // Cells of other types are asked once their blanks are off.
        if slot.cell.is_text()
            && self.odd_cells.have(value, *first, *last)
            && odd(slot.column, slot.blank_is_empty, value, plan.nulls(slot.column, &self.nulls), &mut self.notes)
        {
            empty(slot, out);
            return Ok(());
        }
        if slot.cell == CellType::String {
            text(slot, value, row, &mut self.notes, out);
            return Ok(());
        }
        if slot.cell == CellType::Timestamp {
            let nulls = plan.nulls(slot.column, &self.nulls);
            return time(slot, value, &self.times, nulls, &mut self.settled, &mut self.notes, out);
        }
        typed(slot, value, plan.nulls(slot.column, &self.nulls), &mut self.settled, &mut self.notes, out)
    }

    /// A whole context in one cell: its own `library` if it has one, else ours.
    fn context(&mut self, slot: &Slot, plan: &ColumnPlan, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let library = json::library_member();
        let value = match row.cell(slot.column) {
            Some(cell) => trim_blanks(cell.value(row.text, &mut self.scratch)),
            None => b"",
        };
        out.extend_from_slice(&slot.key);
        let inside = if value.is_empty() || plan.nulls(slot.column, &self.nulls).has(value) {
            &[][..]
        } else {
            if shape(slot, value, &mut self.notes)?.has_library {
                json::compact(value, out);
                out.push(b',');
                return Ok(());
            }
            value.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(&[]).trim_ascii()
        };
        out.push(b'{');
        out.extend_from_slice(library.as_bytes());
        if inside.is_empty() {
            out.pop();
        }
        json::compact(inside, out);
        out.extend_from_slice(b"},");
        Ok(())
    }
}

/// Writes a cell as a string.
#[inline]
fn text(slot: &Slot, value: &[u8], row: Row<'_>, notes: &mut Vec<Note>, out: &mut Vec<u8>) {
    if slot.blank_is_empty && is_void(value) {
        empty(slot, out);
        return;
    }
    if (slot.is_email || slot.blank_is_empty) && ids::trim(value).len() < value.len() {
        blanks_around(slot, value, notes);
    }
    out.extend_from_slice(&slot.key);
    row.escape(value, out);
    out.extend_from_slice(b"\",");
}

/// Notes blanks and invisible characters around an event or an email address.
#[cold]
fn blanks_around(slot: &Slot, value: &[u8], notes: &mut Vec<Note>) {
    if slot.blank_is_empty {
        notes.push(Note::cell(WarningCode::EventBlanks, slot.column));
    } else if value.contains(&b'@') {
        notes.push(Note::cell(WarningCode::EmailBlanks, slot.column));
    }
}

/// Characters of valid UTF-8.
fn chars(text: &[u8]) -> usize {
    text.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}
