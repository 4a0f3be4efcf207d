//! One cell to JSON, by the type of its column.

use crate::columns::{CellType, Slot};
use crate::decimals;
use crate::flaw::{Flaw, Hint};
use crate::ids::{self, NO_NULLS, Nulls};
use crate::json;
use crate::reading::EmptyCells;
use crate::refusal::{RefusalCode, WarningCode};
use crate::timestamps::{Order, Times, is_sentinel};
use crate::warnings::Note;

/// The longest cell that is looked at for a null marker, with some blanks around it.
const MARKER_BYTES_MAX: usize = 20;

/// The cells that need a second look: they may be a null marker, a guard or a rounded number.
#[derive(Debug)]
pub(super) struct OddCells {
    /// By a cell's first byte, a bit for each length that a null marker or a guard has, and what else to look at.
    firsts: [u32; 256],
}

impl OddCells {
    /// `nulls` are the cells that count as empty by a setting.
    pub(super) fn new(nulls: &[String]) -> OddCells {
        let mut firsts = [0; 256];
        let mut add = |first: u8, more: u32| firsts[usize::from(first)] |= more | OddCells::BLANKS;
        for marker in ids::NULL_MARKERS {
            add(marker.as_bytes()[0], OddCells::length(marker.len()));
        }
        // Null markers behind a blank, and numbers below zero.
        for first in [b' ', b'-'] {
            (1..=MARKER_BYTES_MAX).for_each(|length| add(first, OddCells::length(length)));
        }
        // A guard, and a column of a spreadsheet that is too narrow.
        for first in [b'=', b'#'] {
            (1..=OddCells::LENGTH_MAX).for_each(|length| add(first, OddCells::length(length)));
        }
        for null in nulls {
            if let Some(first) = null.bytes().next() {
                add(first, OddCells::length(null.len()));
            }
        }
        for first in b'0'..=b'9' {
            firsts[usize::from(first)] |= OddCells::NUMBER;
        }
        OddCells { firsts }
    }

    /// Blanks may stand behind a null marker.
    const BLANKS: u32 = 1 << 30;

    /// A number above zero may be rounded.
    const NUMBER: u32 = 1 << 31;

    /// The longest length that has a bit of its own; longer ones share it.
    const LENGTH_MAX: usize = 29;

    const fn length(length: usize) -> u32 {
        1 << if length < OddCells::LENGTH_MAX { length } else { OddCells::LENGTH_MAX }
    }

    /// Whether a cell needs a second look. First one test that cells of one column pass or fail alike, because a
    /// processor guesses its result.
    #[inline]
    pub(super) fn have(&self, value: &[u8], first: u8, last: u8) -> bool {
        let length = OddCells::length(value.len());
        let blanks = if last.is_ascii_graphic() { 0 } else { OddCells::BLANKS };
        let odd = self.firsts[usize::from(first)] & (length | blanks | OddCells::NUMBER);
        odd != 0
            && (odd & length != 0
                || (odd & OddCells::BLANKS != 0 && value.len() <= MARKER_BYTES_MAX)
                || (odd & OddCells::NUMBER != 0 && may_be_rounded(value)))
    }
}

/// Whether a cell that begins with a digit may be a number like `4.479E+11` or `447.9E+9`. No time with a zone behind it
/// is as short.
#[inline]
fn may_be_rounded(value: &[u8]) -> bool {
    const BYTES_MAX: usize = 16;
    let is_scientific = matches!(value.get(1), Some(b'.' | b',' | b'E' | b'e'))
        && value.iter().rev().take(5).any(|byte| matches!(byte, b'E' | b'e'));
    let has_plus = matches!(value, [.., b'+', _] | [.., b'+', _, _] | [.., b'+', _, _, _]);
    is_scientific || (has_plus && value.len() <= BYTES_MAX)
}

/// Whether a cell that may be a null marker is one that counts as empty. Notes those that do not, guards, and numbers
/// that a spreadsheet has rounded.
#[cold]
pub(crate) fn odd(column: usize, is_title: bool, value: &[u8], nulls: &Nulls, notes: &mut Vec<Note>) -> bool {
    if nulls.has(value) {
        return true;
    }
    if ids::is_null_marker(ids::trim(value)) {
        notes.push(Note::cell(WarningCode::NullMarker, column));
    } else if ids::guarded(value).is_some() {
        notes.push(Note::cell(WarningCode::Guard, column));
    } else if is_title && ids::is_formula(value) {
        notes.push(Note::cell(WarningCode::Formula, column));
    } else if ids::is_rounded(value.trim_ascii()) {
        notes.push(Note::cell(WarningCode::RoundedNumber, column));
    }
    false
}

/// Doubts about columns that a cell has spoken against, so that no further cell is looked at.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// By column, a bit for each doubt.
    columns: Vec<u8>,
}

impl Settled {
    /// The bit of a doubt.
    const fn bit(code: WarningCode) -> u8 {
        match code {
            WarningCode::Thousands => 1,
            WarningCode::DayMonthOrder => 2,
            WarningCode::TimestampDigits => 4,
            WarningCode::IdCut => 8,
            WarningCode::DecimalPoints => 16,
            _ => 0,
        }
    }

    #[inline]
    fn has(&self, code: WarningCode, column: usize) -> bool {
        self.columns.get(column).is_some_and(|settled| settled & Settled::bit(code) != 0)
    }

    /// Notes a cell for or against a doubt that is not settled.
    fn note(&mut self, code: WarningCode, column: usize, hit: bool, notes: &mut Vec<Note>) {
        if hit {
            notes.push(Note::cell(code, column));
        } else {
            notes.push(Note::against(code, column));
            if self.columns.len() <= column {
                self.columns.resize(column + 1, 0);
            }
            self.columns[column] |= Settled::bit(code);
        }
    }
}

/// Writes a cell as a timestamp.
#[inline]
pub(super) fn time(
    slot: &Slot,
    value: &[u8],
    times: &Times,
    nulls: &Nulls,
    settled: &mut Settled,
    notes: &mut Vec<Note>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let value = trim_blanks(value);
    if value.is_empty() || nulls.has(value) {
        empty(slot, out);
        return Ok(());
    }
    let begin = out.len();
    out.extend_from_slice(&slot.key);
    let read = date(slot.column, value, times, settled, notes, out);
    if read.is_err() {
        out.truncate(begin);
    } else {
        out.extend_from_slice(b"\",");
    }
    read
}

/// Notes whether a long id has lost its last digits, or speaks against it.
#[cold]
pub(crate) fn cut(column: usize, id: &[u8], settled: &mut Settled, notes: &mut Vec<Note>) {
    if !settled.has(WarningCode::IdCut, column)
        && let Some(is_cut) = ids::is_cut(id)
    {
        settled.note(WarningCode::IdCut, column, is_cut, notes);
    }
}

/// Appends a date, and notes what is doubtful about it.
#[inline]
pub(super) fn date(
    column: usize,
    value: &[u8],
    times: &Times,
    settled: &mut Settled,
    notes: &mut Vec<Note>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    if times.append_canonical(value, out) {
        if is_sentinel(value) {
            notes.push(Note::cell(WarningCode::TimestampSentinel, column));
        }
        return Ok(());
    }
    read_date(column, value, times, settled, notes, out)
}

fn read_date(
    column: usize,
    value: &[u8],
    times: &Times,
    settled: &mut Settled,
    notes: &mut Vec<Note>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let read = times.append(value, out);
    note_order(column, value, times, settled, notes);
    let Some(read) = read else { return Err(no_date(column, value, times)) };
    if read.is_zoneless && !times.zone_is_set() {
        notes.push(Note::cell(WarningCode::TimestampZoneless, column));
    }
    if read.is_ambiguous {
        notes.push(Note::cell(WarningCode::TimestampAmbiguous, column));
    }
    if read.is_number && !settled.has(WarningCode::TimestampDigits, column) {
        settled.note(WarningCode::TimestampDigits, column, read.is_spelled, notes);
    }
    if read.is_sentinel {
        notes.push(Note::cell(WarningCode::TimestampSentinel, column));
    }
    Ok(())
}

/// Appends the day of a date, and notes what is doubtful about it.
pub(crate) fn day(
    column: usize,
    value: &[u8],
    times: &Times,
    settled: &mut Settled,
    notes: &mut Vec<Note>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let is_sentinel = times.append_day(value, out);
    note_order(column, value, times, settled, notes);
    if is_sentinel.ok_or_else(|| no_date(column, value, times))? {
        notes.push(Note::cell(WarningCode::TimestampSentinel, column));
    }
    Ok(())
}

/// Notes whether a date is another date with day and month exchanged, until a cell speaks against it.
fn note_order(column: usize, value: &[u8], times: &Times, settled: &mut Settled, notes: &mut Vec<Note>) {
    if times.may_be_exchanged() && !settled.has(WarningCode::DayMonthOrder, column) {
        match times.order(value) {
            Order::Same => {}
            Order::Fits => settled.note(WarningCode::DayMonthOrder, column, true, notes),
            Order::Unfit => settled.note(WarningCode::DayMonthOrder, column, false, notes),
        }
    }
}

#[cold]
fn no_date(column: usize, value: &[u8], times: &Times) -> Flaw {
    let hint = if is_day_number(value) { Hint::DayNumber } else { Hint::of_time(value, times) };
    Flaw::new(RefusalCode::NotATimestamp).in_column(column).hinting(hint)
}

/// Notes whether the point of a number with a decimal comma may be a decimal point, until a cell speaks against it.
pub(crate) fn note_points(column: usize, value: &[u8], settled: &mut Settled, notes: &mut Vec<Note>) {
    if !settled.has(WarningCode::DecimalPoints, column)
        && let Some(is_doubtful) = decimals::has_doubtful_point(value)
    {
        settled.note(WarningCode::DecimalPoints, column, is_doubtful, notes);
    }
}

/// Whether a cell is of a type, as [`typed`] would have it.
pub(crate) fn fits(cell: CellType, value: &[u8], times: &Times, scratch: &mut Vec<u8>) -> Result<(), Flaw> {
    scratch.clear();
    if cell.is_time() {
        return times.append(trim_blanks(value), scratch).map(|_| ()).ok_or_else(|| no_date(0, value, times));
    }
    if cell.is_text() {
        return Ok(());
    }
    typed(&Slot::of_type(cell), value, &NO_NULLS, &mut Settled::default(), &mut Vec::new(), scratch)
}

/// Whether a cell is a spreadsheet's number of a day: 1 is the first of 1900, 73050 the last of 2099.
fn is_day_number(value: &[u8]) -> bool {
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let whole = text.split(['.', ',']).next().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    digits && whole.len() == 5 && whole.parse().is_ok_and(|day: u32| (10_000..=73_050).contains(&day))
}

/// Writes a number or boolean that is one beyond doubt, else a string.
#[inline]
fn inferred(slot: &Slot, value: &[u8], settled: &mut Settled, notes: &mut Vec<Note>, out: &mut Vec<u8>) {
    if json::is_plain_literal(value) {
        note_literal(slot, value, notes);
        note_thousands(slot, value, settled, notes);
        bare(slot, value, out);
    } else {
        inferred_text(slot, value, notes, out);
    }
}

/// The same where numbers have a decimal comma.
fn inferred_comma(slot: &Slot, value: &[u8], settled: &mut Settled, notes: &mut Vec<Note>, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(slot.bare_key());
    let at = out.len();
    if matches!(value, b"true" | b"false") {
        out.extend_from_slice(value);
    } else {
        decimals::append(value, out);
    }
    if json::is_plain_literal(&out[at..]) {
        note_literal(slot, value, notes);
        note_points(slot.column, value, settled, notes);
        out.push(b',');
    } else {
        out.truncate(begin);
        inferred_text(slot, value, notes, out);
    }
}

#[inline]
fn note_literal(slot: &Slot, value: &[u8], notes: &mut Vec<Note>) {
    notes.push(Note::against(WarningCode::MixedTypes, slot.column));
    let is_boolean = matches!(value, b"true" | b"false");
    let note = if is_boolean { Note::cell } else { Note::against };
    notes.push(note(WarningCode::MixedLiterals, slot.column));
}

#[inline]
fn inferred_text(slot: &Slot, value: &[u8], notes: &mut Vec<Note>, out: &mut Vec<u8>) {
    notes.push(Note::cell(WarningCode::MixedTypes, slot.column));
    out.extend_from_slice(&slot.key);
    json::escape(value, out);
    out.extend_from_slice(b"\",");
}

/// Writes a cell that is more than a string as it stands, and no timestamp.
pub(super) fn typed(
    slot: &Slot,
    value: &[u8],
    nulls: &Nulls,
    settled: &mut Settled,
    notes: &mut Vec<Note>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    if slot.cell == CellType::Inferred {
        inferred(slot, value, settled, notes, out);
        return Ok(());
    }
    if slot.cell == CellType::InferredComma {
        inferred_comma(slot, value, settled, notes, out);
        return Ok(());
    }
    let value = trim_blanks(value);
    if value.is_empty() || nulls.has(value) {
        empty(slot, out);
        return Ok(());
    }
    let is_written = match slot.cell {
        CellType::Number => {
            let is_number = json::is_number(value);
            if is_number {
                note_thousands(slot, value, settled, notes);
                bare(slot, value, out);
            }
            is_number
        }
        CellType::Integer => {
            let is_integer = json::is_integer(value);
            if is_integer {
                bare(slot, value, out);
            }
            is_integer
        }
        CellType::Boolean | CellType::Switch => {
            let boolean = boolean(slot.cell, value);
            if let Some(boolean) = boolean {
                bare(slot, if boolean { b"true" } else { b"false" }, out);
            }
            boolean.is_some()
        }
        CellType::Object | CellType::Json => {
            shape(slot, value, notes)?;
            out.extend_from_slice(slot.bare_key());
            json::compact(value, out);
            out.push(b',');
            true
        }
        // The encoder writes them.
        CellType::String | CellType::Inferred | CellType::InferredComma | CellType::Timestamp => true,
    };
    if is_written {
        return Ok(());
    }
    let code = slot.cell.refusal().map_or(RefusalCode::NotJson, |refusal| refusal.code);
    Err(Flaw::new(code).in_column(slot.column).hinting(Hint::of(value)))
}

/// Notes whether the point of a number may stand before thousands, as German programs write it: `1.234`. A column of such
/// numbers alone is in doubt.
#[inline]
fn note_thousands(slot: &Slot, value: &[u8], settled: &mut Settled, notes: &mut Vec<Note>) {
    if !settled.has(WarningCode::Thousands, slot.column) {
        settle_thousands(slot, value, settled, notes);
    }
}

#[cold]
fn settle_thousands(slot: &Slot, value: &[u8], settled: &mut Settled, notes: &mut Vec<Note>) {
    let Some(at) = value.iter().position(|byte| *byte == b'.') else { return };
    let whole = value[..at].strip_prefix(b"-").unwrap_or(&value[..at]);
    let is_doubtful = value.len() == at + 4
        && matches!(whole.len(), 1..=3)
        && whole.first() != Some(&b'0')
        && value[at + 1..].iter().all(u8::is_ascii_digit);
    settled.note(WarningCode::Thousands, slot.column, is_doubtful, notes);
}

/// The shape of a cell of JSON. Notes the doubts about it. The depth comes first, because a reader of JSON has a limit
/// of its own.
pub(super) fn shape(slot: &Slot, value: &[u8], notes: &mut Vec<Note>) -> Result<json::Shape, Flaw> {
    let flaw = |code| Flaw::new(code).in_column(slot.column);
    if json::depth(value) > json::DEPTH_MAX {
        return Err(flaw(RefusalCode::JsonTooDeep));
    }
    let shape = json::shape(value).ok_or_else(|| flaw(RefusalCode::NotJson).hinting(Hint::of_json(value)))?;
    if slot.cell == CellType::Object && !shape.is_object {
        let hint = if shape.is_encoded_twice { Hint::EncodedTwice } else { Hint::None };
        return Err(flaw(RefusalCode::NotAnObject).hinting(hint));
    }
    if shape.is_encoded_twice {
        notes.push(Note::cell(WarningCode::JsonEncodedTwice, slot.column));
    }
    if shape.repeats_name {
        notes.push(Note::cell(WarningCode::JsonNameRepeated, slot.column));
    }
    Ok(shape)
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

#[inline]
fn bare(slot: &Slot, literal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(slot.bare_key());
    out.extend_from_slice(literal);
    out.push(b',');
}

#[inline]
pub(super) fn empty(slot: &Slot, out: &mut Vec<u8>) {
    match slot.empty {
        EmptyCells::Omit => {}
        EmptyCells::Empty if slot.cell.is_text() => {
            out.extend_from_slice(&slot.key);
            out.extend_from_slice(b"\",");
        }
        EmptyCells::Null | EmptyCells::Empty => bare(slot, b"null", out),
    }
}

/// Whether there is nothing but blanks.
#[inline]
pub(super) fn is_blank(value: &[u8]) -> bool {
    match value.first() {
        None => true,
        // Nearly every cell is decided here.
        Some(first) if first.is_ascii_graphic() => false,
        Some(_) => std::str::from_utf8(value).is_ok_and(|text| text.trim().is_empty()),
    }
}

/// A cell without blanks around it, those of spreadsheets and web pages (U+00A0) among them.
#[inline]
pub(super) fn trim_blanks(value: &[u8]) -> &[u8] {
    match value {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => value,
        _ => std::str::from_utf8(value).map_or(value, |text| text.trim().as_bytes()),
    }
}
