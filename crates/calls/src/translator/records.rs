//! One record: in UTF-8 and by RFC 4180, whatever the file's dialect; what it is, and what it must be before its cells
//! are looked at.

use crate::columns::ColumnPlan;
use crate::dialect::{Delimiter, Dialect, Encoding, Measure};
use crate::flaw::{Flaw, Hint};
use crate::ids::is_void;
use crate::quoting::{blank_before_quote, quote_cell};
use crate::refusal::{RefusalCode, WarningCode};
use crate::rows::{Cell, Record, Splitter, strip_marks};
use crate::text::{first_non_utf8, transcode};
use crate::warnings::Note;

use super::beginnings::{Named, named_delimiter};
use super::recognition::plain;

/// A record that is not read as it stands: transcoded, or rewritten as RFC 4180 has it.
#[derive(Debug)]
pub(super) struct Decoded {
    text: Vec<u8>,
    scratch: Vec<u8>,
    pub(super) splitter: Splitter,
    /// Whether the encoding of the file is a guess, if it is neither UTF-8 nor UTF-16.
    is_guess: bool,
}

/// What is wrong with the quotes of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quotes {
    pub(super) unclosed: bool,
    /// The cell that has a misplaced one.
    pub(super) stray: Option<usize>,
    /// Whether the record does not fit the file's dialect; no cell of it is known then.
    pub(super) misfit: bool,
}

impl Quotes {
    pub(super) fn is_sound(self) -> bool {
        !self.unclosed && self.stray.is_none() && !self.misfit
    }
}

impl Decoded {
    pub(super) fn new(is_guess: bool) -> Decoded {
        Decoded { text: Vec::new(), scratch: Vec::new(), splitter: Splitter::new(b','), is_guess }
    }

    /// The record in UTF-8, as RFC 4180 writes it.
    pub(super) fn decode(
        &mut self,
        record: &Record<'_>,
        dialect: Dialect,
        columns: usize,
        without_ctrl_z: Option<&[u8]>,
        notes: &mut Vec<Note>,
    ) -> (&[u8], &[Cell], Quotes) {
        let mut raw = record.text;
        if let Some(text) = without_ctrl_z {
            raw = text;
            notes.push(Note::row(WarningCode::CtrlZ));
        }
        if !dialect.encoding.may_hide_backslash() {
            raw = strip_marks(raw);
        }
        if matches!(dialect.encoding, Encoding::Legacy(_)) && !raw.is_ascii() {
            let hit = std::str::from_utf8(raw).is_ok();
            // Where the encoding is a guess, the other rows are the cause of it, and do not speak against these.
            if hit || !self.is_guess {
                notes.push(Note { hit, ..Note::row(WarningCode::LooksLikeUtf8) });
            }
        }
        self.text.clear();
        transcode(raw, dialect.encoding, &mut self.text);
        if !dialect.quoting.is_rfc4180() {
            std::mem::swap(&mut self.text, &mut self.scratch);
            self.text.clear();
            let delimiter = dialect.delimiter.byte();
            if plain(&self.scratch, dialect.quoting, delimiter, columns, &mut self.text) {
                // One cell, and a cell too many, so that the row is refused again unless a person corrects it.
                self.text.clear();
                quote_cell(&self.scratch, &mut self.text);
                self.text.extend(std::iter::repeat_n(delimiter, columns));
                self.splitter.split(&self.text);
                return (&self.text, self.splitter.cells(), Quotes { unclosed: false, stray: None, misfit: true });
            }
        }
        let unclosed = self.splitter.split(&self.text);
        let quotes = Quotes { unclosed, stray: self.splitter.stray(), misfit: false };
        (&self.text, self.splitter.cells(), quotes)
    }
}

/// Whether a record repeats the header, cell by cell, or the line before it that names the delimiter (`sep=;`).
#[inline]
pub(super) fn is_header(text: &[u8], cells: &[Cell], names: &[Vec<u8>], delimiter: Delimiter) -> bool {
    let (Some(first), Some(name)) = (cells.first(), names.first()) else { return false };
    (first.end() - first.start() == name.len() && cells.len() == names.len() && repeats(text, cells, names))
        || (text.len() <= NAMED_BYTES_MAX && text.contains(&b'=') && names_delimiter(text, delimiter))
}

/// `sep=;` in quotes, behind a byte order mark.
const NAMED_BYTES_MAX: usize = 10;

#[inline(never)]
fn names_delimiter(text: &[u8], delimiter: Delimiter) -> bool {
    named_delimiter(text) == Some(Named::Delimiter(delimiter))
}

#[inline(never)]
fn repeats(text: &[u8], cells: &[Cell], names: &[Vec<u8>]) -> bool {
    let mut scratch = Vec::new();
    cells.iter().zip(names).all(|(cell, name)| cell.value(text, &mut scratch) == name)
}

/// Whether a row has nothing but blanks.
#[cold]
pub(super) fn is_blank(text: &[u8], cells: &[Cell]) -> bool {
    cells.iter().all(|cell| is_void(cell.raw(text)))
}

/// Notes what is doubtful about a record as a whole.
#[inline]
pub(super) fn note_shape(text: &[u8], cells: &[Cell], plan: &ColumnPlan, notes: &mut Vec<Note>) {
    if cells.len() < plan.own_columns {
        notes.push(Note::row(WarningCode::ShortRow));
    }
    if text.first() == Some(&b'\'') && is_single_quoted(text, cells) {
        notes.push(Note::row(WarningCode::SingleQuotes));
    }
}

/// Whether every cell stands in single quotes.
#[cold]
fn is_single_quoted(text: &[u8], cells: &[Cell]) -> bool {
    cells.iter().map(|cell| cell.raw(text)).all(|raw| raw.len() > 1 && raw.starts_with(b"'") && raw.ends_with(b"'"))
}

/// Where a record ends, with its line end, of which the blank lines before it begin at `from`.
#[inline]
pub(super) fn behind(from: u64, encoding: Encoding, record: &Record<'_>, transcoded: u64) -> u64 {
    let ascii = record.blank.bytes + record.line_end as u64;
    behind_text(from + ascii * encoding.ascii_bytes(), encoding, record.text, transcoded)
}

/// Where a text ends that begins at `from`.
#[inline]
pub(super) fn behind_text(from: u64, encoding: Encoding, text: &[u8], transcoded: u64) -> u64 {
    let end = from + encoding.source_bytes(text);
    match encoding {
        // Half a character at the very end is one byte, not two, and there what was transcoded is
        // all there is.
        Encoding::Utf16Le | Encoding::Utf16Be => end.min(transcoded),
        Encoding::Utf8 | Encoding::Legacy(_) => end,
    }
}

/// What a record must be before its cells are looked at.
#[inline]
pub(super) fn sound(text: &[u8], cells: &[Cell], quotes: Quotes, plan: &ColumnPlan) -> Result<(), Flaw> {
    if quotes.unclosed {
        let last = cells.len().saturating_sub(1);
        return Err(Flaw::new(RefusalCode::UnclosedQuote).in_column(last));
    }
    if quotes.misfit {
        return Err(Flaw::new(RefusalCode::StrayQuote));
    }
    if let Some(column) = quotes.stray {
        return Err(Flaw::new(RefusalCode::StrayQuote)
            .in_column(column)
            .hinting(cause_of_quote(text, cells.get(column))));
    }
    if let Some(at) = first_non_utf8(text) {
        let flaw = Flaw::new(RefusalCode::InvalidEncoding);
        let column = cells.iter().position(|cell| at < cell.end());
        return Err(column.map_or(flaw, |column| flaw.in_column(column)));
    }
    // Of a rejects file's four columns a row has all or none: where a few cells stand in them, one of
    // them is probably the row's own, which a delimiter in another one has moved there.
    let (own, all) = (plan.own_columns, plan.source_columns);
    if cells.len() > own && cells.len() != all {
        return Err(Flaw::new(RefusalCode::TooManyCells).counting(cells.len()).hinting(surplus(text, cells, own)));
    }
    Ok(())
}

/// Why a quote of a cell is misplaced.
#[cold]
fn cause_of_quote(text: &[u8], cell: Option<&Cell>) -> Hint {
    if text.windows(2).any(|pair| pair == b"\\\"") {
        return Hint::Backslash;
    }
    // A cell in quotes has text behind them.
    let bare = cell.filter(|cell| cell.start() == 0 || text[cell.start() - 1] != b'"');
    let blank = bare.and_then(|cell| blank_before_quote(cell.raw(text), b'"'));
    blank.filter(|blank| !blank.is_ascii()).map_or(Hint::None, Hint::Character)
}

/// Why a row may have more cells than the header.
#[cold]
fn surplus(text: &[u8], cells: &[Cell], own: usize) -> Hint {
    let are_empty = cells[own..].iter().all(|cell| cell.raw(text).is_empty());
    if are_empty { Hint::TrailingDelimiter } else { Hint::None }
}
