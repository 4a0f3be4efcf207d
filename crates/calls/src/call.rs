//! One row to one call: the plan's pieces written one after the other, straight to bytes.
//!
//! There is no JSON value in between. A row of strings costs the copying of its cells; the encoded
//! length is the length that counts against Segment's limits.

use std::ops::Range;

use protocol::id::StreamId;

use crate::columns::{CellType, Piece, Plan, Slot};
use crate::flaw::Flaw;
use crate::json;
use crate::reading::EmptyCells;
use crate::refusal::RefusalCode;
use crate::rows::Cell;
use crate::subject::{Kind, Subject};
use crate::timestamps;

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
    /// Where the record begins in the source.
    pub(crate) start: u64,
}

impl<'a> Row<'a> {
    /// The cell of a column, as long as the row has it.
    #[inline]
    fn cell(&self, column: usize) -> Option<&'a Cell> {
        self.cells.get(column)
    }

    /// Whether the column has more than blanks and control characters.
    #[inline]
    fn has(&self, column: Option<usize>) -> bool {
        column.and_then(|column| self.cell(column)).is_some_and(|cell| {
            // Allocates only for a cell with quotes in it.
            !is_void(cell.value(self.text, &mut Vec::new()))
        })
    }
}

/// Writes calls.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `{"type":"track","messageId":"`, for objects `{`.
    head: Vec<u8>,
    ids: MessageIds,
    formats: Vec<String>,
    scratch: Vec<u8>,
    /// The arrays by index that the writing is in.
    arrays: Vec<Elements>,
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
    pub(crate) fn new(subject: &Subject, ids: MessageIds, formats: Vec<String>) -> Encoder {
        let head = match subject.kind {
            Kind::Object => b"{".to_vec(),
            kind => format!(r#"{{"type":"{kind}","messageId":""#).into_bytes(),
        };
        Encoder { head, ids, formats, scratch: Vec::new(), arrays: Vec::new() }
    }

    /// Appends the row's call to `out`. Returns where its timestamp's value stands, counted from the
    /// call's first byte. On a flaw `out` is as it was.
    #[inline]
    pub(crate) fn append(
        &mut self,
        plan: &Plan,
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
            Ok(timestamp) => Ok(timestamp.map(|at| at.start - begin..at.end - begin)),
            Err(flaw) => {
                out.truncate(begin);
                Err(flaw)
            }
        }
    }

    fn write(&mut self, plan: &Plan, row: Row<'_>, out: &mut Vec<u8>) -> Result<Option<Range<usize>>, Flaw> {
        require(plan, row)?;
        out.extend_from_slice(&self.head);
        let mut timestamp = None;
        if plan.kind() != Kind::Object {
            self.message_id(plan, row, out)?;
            timestamp = self.timestamp(plan, row, out)?;
        }
        self.arrays.clear();
        for piece in &plan.pieces {
            match piece {
                Piece::Cell(slot) => self.cell(slot, row, out)?,
                Piece::Open(text) | Piece::Text(text) => out.extend_from_slice(text),
                Piece::Close { opened, bracket } => match out.last_mut() {
                    Some(last) if *last == b',' => {
                        *last = *bracket;
                        out.push(b',');
                    }
                    _ => out.truncate(out.len() - opened),
                },
                Piece::Context(slot) => self.context(slot, row, out)?,
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
        if plan.kind() == Kind::Object && !out.ends_with(b"},") {
            return Err(Flaw::new(RefusalCode::ObjectEmpty));
        }
        if let Some(last) = out.last_mut() {
            *last = b'}';
        }
        Ok(timestamp)
    }

    /// The file's own id where it has one, else ours.
    #[inline]
    fn message_id(&mut self, plan: &Plan, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let own = plan.roles.message_id.filter(|column| row.has(Some(*column)));
        match own.and_then(|column| Some((column, row.cell(column)?))) {
            None => {
                out.extend_from_slice(self.ids.0.as_bytes());
                out.push(b'-');
                out.extend_from_slice(itoa::Buffer::new().format(row.start).as_bytes());
            }
            Some((column, cell)) => {
                let value = trim(cell.value(row.text, &mut self.scratch));
                let chars = chars(value);
                if chars > MESSAGE_ID_CHARS_MAX {
                    return Err(Flaw::new(RefusalCode::MessageIdTooLong).in_column(column).counting(chars));
                }
                json::escape(value, out);
            }
        }
        out.extend_from_slice(b"\",");
        Ok(())
    }

    #[inline]
    fn timestamp(&mut self, plan: &Plan, row: Row<'_>, out: &mut Vec<u8>) -> Result<Option<Range<usize>>, Flaw> {
        let Some(column) = plan.roles.timestamp else {
            return Ok(None);
        };
        let Some(cell) = row.cell(column) else {
            return Ok(None);
        };
        let value = cell.value(row.text, &mut self.scratch);
        if is_blank(value) {
            return Ok(None);
        }
        out.extend_from_slice(b"\"timestamp\":\"");
        let begin = out.len();
        if !timestamps::append(value, &self.formats, out) {
            return Err(Flaw::new(RefusalCode::NotATimestamp).in_column(column));
        }
        let end = out.len();
        out.extend_from_slice(b"\",");
        Ok(Some(begin..end))
    }

    #[inline]
    fn cell(&mut self, slot: &Slot, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let Some(cell) = row.cell(slot.column) else {
            return Ok(());
        };
        let value = cell.value(row.text, &mut self.scratch);
        if slot.cell == CellType::String {
            let value = if slot.trim { trim(value) } else { value };
            if value.is_empty() || (slot.blank_is_empty && is_void(value)) {
                empty(slot, out);
            } else {
                out.extend_from_slice(&slot.key);
                json::escape(value, out);
                out.extend_from_slice(b"\",");
            }
            return Ok(());
        }
        typed(slot, value, &self.formats, out)
    }

    /// A whole context in one cell: its own `library` if it has one, else ours.
    fn context(&mut self, slot: &Slot, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let library = json::library_member();
        let value = match row.cell(slot.column) {
            Some(cell) => cell.value(row.text, &mut self.scratch).trim_ascii(),
            None => b"",
        };
        out.extend_from_slice(&slot.key);
        let inside = if value.is_empty() {
            &[][..]
        } else {
            let members = object(value).ok_or_else(|| not_an_object(slot, value))?;
            if members.contains_key("library") {
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

/// Writes a cell that is more than a string as it stands.
fn typed(slot: &Slot, value: &[u8], formats: &[String], out: &mut Vec<u8>) -> Result<(), Flaw> {
    if slot.cell == CellType::Inferred {
        if value.is_empty() {
            empty(slot, out);
        } else if json::is_plain_literal(value) {
            bare(slot, value, out);
        } else {
            out.extend_from_slice(&slot.key);
            json::escape(value, out);
            out.extend_from_slice(b"\",");
        }
        return Ok(());
    }
    let value = value.trim_ascii();
    if value.is_empty() {
        empty(slot, out);
        return Ok(());
    }
    let flaw = |code| Err(Flaw::new(code).in_column(slot.column));
    match slot.cell {
        CellType::Number if json::is_number(value) => bare(slot, value, out),
        CellType::Number => return flaw(RefusalCode::NotANumber),
        CellType::Integer if json::is_integer(value) => bare(slot, value, out),
        CellType::Integer => return flaw(RefusalCode::NotAnInteger),
        CellType::Boolean | CellType::Switch => match boolean(slot.cell, value) {
            Some(true) => bare(slot, b"true", out),
            Some(false) => bare(slot, b"false", out),
            None => return flaw(RefusalCode::NotABoolean),
        },
        CellType::Timestamp => {
            let begin = out.len();
            out.extend_from_slice(&slot.key);
            if !timestamps::append(value, formats, out) {
                out.truncate(begin);
                return flaw(RefusalCode::NotATimestamp);
            }
            out.extend_from_slice(b"\",");
        }
        CellType::Object if object(value).is_none() => return Err(not_an_object(slot, value)),
        // Read into a value, not skipped over: what we send has to be JSON to the strictest reader.
        CellType::Json if serde_json::from_slice::<serde_json::Value>(value).is_err() => {
            return flaw(RefusalCode::NotJson);
        }
        CellType::Object | CellType::Json => {
            out.extend_from_slice(slot.bare_key());
            json::compact(value, out);
            out.push(b',');
        }
        CellType::String | CellType::Inferred => {}
    }
    Ok(())
}

fn object(value: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_slice(value).ok()
}

fn not_an_object(slot: &Slot, value: &[u8]) -> Flaw {
    let code = match serde_json::from_slice::<serde_json::Value>(value) {
        Ok(_) => RefusalCode::NotAnObject,
        Err(_) => RefusalCode::NotJson,
    };
    Flaw::new(code).in_column(slot.column)
}

/// The spellings of true and false: JSON's, Excel's (`TRUE`), PostgreSQL's (`t`), people's.
fn boolean(cell: CellType, value: &[u8]) -> Option<bool> {
    const TRUE: [&str; 5] = ["true", "t", "yes", "y", "1"];
    const FALSE: [&str; 5] = ["false", "f", "no", "n", "0"];
    // Of a switch, only the first: nobody said that the column is a boolean.
    let spellings = if cell == CellType::Switch { 1 } else { 5 };
    let is = |words: &[&str]| words.iter().take(spellings).any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is(&TRUE) {
        Some(true)
    } else if is(&FALSE) {
        Some(false)
    } else {
        None
    }
}

fn bare(slot: &Slot, literal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(slot.bare_key());
    out.extend_from_slice(literal);
    out.push(b',');
}

#[inline]
fn empty(slot: &Slot, out: &mut Vec<u8>) {
    match slot.empty {
        EmptyCells::Omit => {}
        EmptyCells::Empty if matches!(slot.cell, CellType::String | CellType::Inferred) => {
            out.extend_from_slice(&slot.key);
            out.extend_from_slice(b"\",");
        }
        EmptyCells::Null | EmptyCells::Empty => bare(slot, b"null", out),
    }
}

/// What every row of a kind must have.
///
/// Segment docs: Spec, Identify, Track, Group, Alias; Object API. Page and screen need no name.
#[inline]
fn require(plan: &Plan, row: Row<'_>) -> Result<(), Flaw> {
    let roles = &plan.roles;
    let missing = |code, column: Option<usize>| {
        let flaw = Flaw::new(code);
        Err(match column {
            Some(column) => flaw.in_column(column),
            None => flaw,
        })
    };
    if plan.kind() == Kind::Object {
        let Some(column) = roles.id.filter(|_| row.has(roles.id)) else {
            return missing(RefusalCode::MissingId, roles.id);
        };
        let mut scratch = Vec::new();
        let length = row.cell(column).map_or(0, |cell| chars(trim(cell.value(row.text, &mut scratch))));
        if length > OBJECT_ID_CHARS_MAX {
            return Err(Flaw::new(RefusalCode::IdTooLong).in_column(column).counting(length));
        }
        return Ok(());
    }
    let named = row.has(roles.user_id) || (plan.kind() != Kind::Alias && row.has(roles.anonymous_id));
    if !named {
        return missing(RefusalCode::MissingUserId, roles.user_id.or(roles.anonymous_id));
    }
    match plan.kind() {
        Kind::Track if !row.has(roles.event) => missing(RefusalCode::EventMissing, roles.event),
        Kind::Group if !row.has(roles.group_id) => missing(RefusalCode::MissingGroupId, roles.group_id),
        Kind::Alias if !row.has(roles.previous_id) => missing(RefusalCode::MissingPreviousId, roles.previous_id),
        _ => Ok(()),
    }
}

/// Whether there is nothing but blanks.
#[inline]
fn is_blank(value: &[u8]) -> bool {
    match value.first() {
        None => true,
        // Nearly every cell is decided here.
        Some(first) if first.is_ascii_graphic() => false,
        Some(_) => std::str::from_utf8(value).is_ok_and(|text| text.trim().is_empty()),
    }
}

/// Whether there is nothing but blanks and control characters, such as the NULs and the Ctrl-Z that
/// some programs end a file with: nothing that an id or an event could be.
#[inline]
fn is_void(value: &[u8]) -> bool {
    match value.first() {
        None => true,
        Some(first) if first.is_ascii_graphic() => false,
        Some(_) => {
            std::str::from_utf8(value).is_ok_and(|text| text.chars().all(|c| c.is_whitespace() || c.is_control()))
        }
    }
}

/// An id without the blanks around it, those of spreadsheets and web pages (U+00A0) among them.
#[inline]
fn trim(value: &[u8]) -> &[u8] {
    match value {
        [one] if one.is_ascii_graphic() => value,
        // Nearly every id is decided here.
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => value,
        _ => std::str::from_utf8(value).map_or(value, |text| text.trim().as_bytes()),
    }
}

/// Characters of valid UTF-8.
fn chars(text: &[u8]) -> usize {
    text.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}
