//! The file of refused rows: the original columns as they were, and four more that say why.
//!
//! After its rows are corrected, the file can be dropped back unchanged. The reader ignores the four columns. The
//! delimiter is that of the source. The text is always UTF-8.

use crate::columns::REJECT_COLUMNS;
use crate::dialect::{Encoding, StoredHeader};
use crate::refusal::RefusalCode;
use crate::rows::{Cell, Splitter};

/// Writes the refused rows of one source file.
#[derive(Debug)]
pub struct Rejects {
    head: Vec<u8>,
    /// How many cells a row keeps: as many as the header has columns, but for those that an earlier
    /// rejects file has put behind the original ones.
    width: usize,
    /// Whether the source is itself a rejects file that came back.
    came_back: bool,
    delimiter: u8,
    splitter: Splitter,
}

/// Why a row stands in a rejects file.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    /// The stable code.
    pub code: &'a str,
    /// The message.
    pub message: &'a str,
    /// The line on which the row began in the source.
    pub line: u64,
    /// The byte at which it began.
    pub byte: u64,
}

impl Rejects {
    /// For rows under that header.
    pub fn new(header: &StoredHeader) -> Rejects {
        let delimiter = header.dialect.delimiter.byte();
        let text = header.text.as_bytes();
        let mut splitter = Splitter::new(delimiter);
        splitter.split(text);
        let width = original_columns(splitter.cells(), text);
        let mut head = Vec::new();
        if header.dialect.bom || header.dialect.encoding != Encoding::Utf8 {
            // The mark wins over CSV_ENCODING, which would be wrong for this file.
            head.extend_from_slice("\u{FEFF}".as_bytes());
        }
        head.extend_from_slice(&text[..end_of(splitter.cells(), width, text)]);
        for name in REJECT_COLUMNS {
            head.push(delimiter);
            head.extend_from_slice(name.as_bytes());
        }
        head.push(b'\n');
        Rejects { head, width, came_back: width < splitter.cells().len(), delimiter, splitter }
    }

    /// The header, with its line end. It stands once at the beginning of the file.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends a refused row to `out`. `record` is what
    /// [`Translator::next`](crate::translator::Translator::next) gave for it.
    ///
    /// A short row is padded, so that the four columns stand where they belong. A row that ends
    /// within quotes gets its closing quote and one cell too many, so that it is refused again unless
    /// a person corrects it.
    pub fn append(&mut self, record: &[u8], reason: Reason<'_>, out: &mut Vec<u8>) {
        let unclosed = self.splitter.split(record);
        let cells = self.splitter.cells();
        // Of a row that came back, the four cells that an earlier refusal put behind it go; unless quotes are misplaced, and
        // they may hold another row.
        let has_misplaced = unclosed || reason.code == RefusalCode::StrayQuote.as_str();
        let width = if self.came_back && !has_misplaced && cells.len() >= self.width + REJECT_COLUMNS.len() {
            cells.len() - REJECT_COLUMNS.len()
        } else {
            cells.len()
        };
        out.extend_from_slice(&record[..end_of(cells, width, record)]);
        if unclosed {
            out.push(b'"');
        }
        let wanted = self.width + usize::from(unclosed);
        out.extend(std::iter::repeat_n(self.delimiter, wanted.saturating_sub(width)));
        let (line, byte) = (reason.line.to_string(), reason.byte.to_string());
        for text in [reason.code, reason.message, &line, &byte] {
            out.push(self.delimiter);
            append_cell(text, self.delimiter, out);
        }
        out.push(b'\n');
    }
}

/// Appends the rows of a rejects part, which is a CSV file of its own, to a whole that has the header already.
pub fn join(whole: &mut Vec<u8>, head: &[u8], part: &[u8]) {
    whole.extend_from_slice(part.strip_prefix(head).unwrap_or(part));
}

fn append_cell(text: &str, delimiter: u8, out: &mut Vec<u8>) {
    let special = |b: u8| b == delimiter || matches!(b, b'"' | b'\n' | b'\r');
    if text.bytes().any(special) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// How many columns of a header are the source's own: all, unless the last four are those of a
/// rejects file.
fn original_columns(cells: &[Cell], header: &[u8]) -> usize {
    let all = cells.len();
    let Some(first) = all.checked_sub(REJECT_COLUMNS.len()) else {
        return all;
    };
    let ours = cells
        .iter()
        .skip(first)
        .zip(REJECT_COLUMNS)
        .all(|(cell, name)| cell.raw(header).trim_ascii() == name.as_bytes());
    if ours { first } else { all }
}

/// Where the first `width` cells of a record end.
fn end_of(cells: &[Cell], width: usize, record: &[u8]) -> usize {
    let Some(next) = cells.get(width) else {
        return record.len();
    };
    let start = next.start();
    let quoted = start > 0 && record.get(start - 1) == Some(&b'"');
    // The delimiter before it goes as well.
    (start - usize::from(quoted)).saturating_sub(1)
}
