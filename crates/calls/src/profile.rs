//! The profile of a file's columns, made while its rows are read, in constant memory.
//!
//! The lengths of all cells are counted. What cells look like is counted in a sample, which the place of a row in the
//! file decides: a run that resumes takes the same rows.

mod dates;
mod kinds;
mod shapes;
mod values;

use crate::call::Row;
use crate::ids::{self, Nulls, is_null_marker, is_void};
use crate::rows::Cell;
use kinds::Guesser;
pub use protocol::profile::{
    COLUMNS_MAX, ColumnProfile, EITHER, ISO_8601, Kind, PATTERNS_SHOWN_MAX, Patterns, Profile,
};
pub use values::Values;

/// Every row that begins before this byte is in the sample: small files, and the beginning of large ones.
const DENSE_BYTES: u64 = 64 * 1024;

/// Behind that, one row of so many is in the sample.
const SAMPLE_ONE_IN: u64 = 512;

/// The longest cell that is looked at for a null marker, with some blanks around it.
const MARKER_BYTES_MAX: u32 = 20;

/// The length that stands for a null marker. No row is so long.
const NULL: u32 = 1 << 31;

/// Counts what the columns of a file hold.
///
/// The last row is counted when the next one comes, so that [`Profiler::take`] can leave it to the next part.
#[derive(Debug)]
pub(crate) struct Profiler {
    /// Null markers besides ours.
    nulls: Option<Nulls>,
    /// How long a cell is at most that may be empty or a null marker, by its first byte.
    odd_bytes_max: [u32; 256],
    guesser: Guesser,
    scratch: Vec<u8>,
    rows: u64,
    sampled_rows: u64,
    columns_left_out: u64,
    lengths: Vec<Lengths>,
    /// What is counted in the sample; the other counts of these are zero.
    samples: Vec<ColumnProfile>,
    last: Last,
    /// The least and the greatest cells, where they are wanted.
    values: Option<Vec<Values>>,
}

/// The row that came last.
#[derive(Debug, Default)]
struct Last {
    is_counted: bool,
    is_sampled: bool,
    /// The lengths of its cells: 0 for an empty one, [`NULL`] for a null marker.
    lengths: Vec<u32>,
    /// Its text and cells, if it is in the sample.
    text: Vec<u8>,
    cells: Vec<Cell>,
}

/// What is counted of every cell of a column.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    /// One less than the shortest length.
    least: u32,
    /// How much longer the longest is.
    width: u32,
    empty: u64,
    nulls: u64,
}

/// Whether a part of the profile ends behind the last row or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRow {
    /// The last row belongs to the part.
    Included,
    /// The last row belongs to the next part.
    LeftOut,
}

/// What a profile is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Counts. They hold no cell.
    Counts,
    /// Counts, and beside them the least and the greatest cell of each column: for a person at a terminal only.
    CountsAndValues,
}

impl Profiler {
    /// Begins to profile a file of so many columns. `nulls` are cells that count as null markers besides ours.
    pub(crate) fn new(columns: usize, nulls: &[String], detail: Detail) -> Profiler {
        let profiled = columns.min(COLUMNS_MAX);
        Profiler {
            nulls: (!nulls.is_empty()).then(|| Nulls::new(nulls.to_vec())),
            odd_bytes_max: odd_bytes_max(nulls),
            guesser: Guesser::default(),
            scratch: Vec::new(),
            rows: 0,
            sampled_rows: 0,
            columns_left_out: (columns - profiled) as u64,
            lengths: vec![Lengths::NONE; profiled],
            samples: vec![ColumnProfile::default(); profiled],
            last: Last { is_counted: true, lengths: vec![0; profiled], ..Last::default() },
            values: (detail == Detail::CountsAndValues).then(|| vec![Values::default(); profiled]),
        }
    }

    /// Takes a row.
    #[inline(never)]
    pub(crate) fn row(&mut self, row: Row<'_>) {
        self.count_last();
        let lengths = &mut self.last.lengths;
        for (length, cell) in lengths.iter_mut().zip(row.cells) {
            let bytes = cell.raw_bytes();
            let first = row.text.get(cell.start()).copied().unwrap_or_default();
            let is_plain = bytes > self.odd_bytes_max[usize::from(first)] && !cell.is_escaped();
            *length = if is_plain { bytes } else { odd_length(cell, row.text, self.nulls.as_ref(), &mut self.scratch) };
        }
        if row.cells.len() < lengths.len() {
            lengths[row.cells.len()..].fill(0);
        }
        self.last.is_counted = false;
        self.last.is_sampled = is_sampled(row.start);
        if self.last.is_sampled || self.values.is_some() {
            self.look_closer(row);
        }
    }

    /// Takes the profile of the rows since the last part was taken.
    pub(crate) fn take(&mut self, last: LastRow) -> Profile {
        if last == LastRow::Included {
            self.count_last();
        }
        let columns = self.samples.len();
        let mut profile = Profile {
            rows: std::mem::take(&mut self.rows),
            sampled_rows: std::mem::take(&mut self.sampled_rows),
            columns: std::mem::replace(&mut self.samples, vec![ColumnProfile::default(); columns]),
            columns_left_out: self.columns_left_out,
        };
        for (column, lengths) in profile.columns.iter_mut().zip(&mut self.lengths) {
            let Lengths { least, width, empty, nulls } = std::mem::replace(lengths, Lengths::NONE);
            column.empty = empty;
            column.nulls = nulls;
            column.filled = profile.rows - empty - nulls;
            if column.filled > 0 {
                column.shortest_bytes = least + 1;
                column.longest_bytes = least + 1 + width;
            }
        }
        profile
    }

    /// The least and the greatest cell of each column; empty unless they are wanted.
    pub(crate) fn values(&self) -> &[Values] {
        self.values.as_deref().unwrap_or_default()
    }

    /// Counts the row that came last, if it is not counted yet.
    #[inline]
    fn count_last(&mut self) {
        if std::mem::replace(&mut self.last.is_counted, true) {
            return;
        }
        self.rows += 1;
        for (counted, length) in self.lengths.iter_mut().zip(&self.last.lengths) {
            // Nearly every cell is as long as another one of its column.
            if !counted.has(*length) {
                counted.add(*length);
            }
        }
        if self.last.is_sampled {
            self.sample_last();
        }
    }

    /// Keeps a row of the sample until it is counted, and looks for the least and the greatest cells.
    #[cold]
    fn look_closer(&mut self, row: Row<'_>) {
        let Row { text, cells, .. } = row;
        let cells = &cells[..cells.len().min(self.samples.len())];
        if self.last.is_sampled {
            self.last.text.clear();
            self.last.text.extend_from_slice(text);
            self.last.cells.clear();
            self.last.cells.extend_from_slice(cells);
        }
        let Some(values) = &mut self.values else { return };
        for ((values, cell), length) in values.iter_mut().zip(cells).zip(&self.last.lengths) {
            if !matches!(*length, 0 | NULL) {
                values.add(ids::trim(cell.value(text, &mut self.scratch)));
            }
        }
    }

    #[cold]
    fn sample_last(&mut self) {
        self.sampled_rows += 1;
        let Last { lengths, text, cells, .. } = &self.last;
        for ((column, cell), length) in self.samples.iter_mut().zip(cells).zip(lengths) {
            if matches!(*length, 0 | NULL) {
                continue;
            }
            let value = cell.value(text, &mut self.scratch);
            let trimmed = ids::trim(value);
            let guess = self.guesser.guess(trimmed);
            *column.kinds.entry(guess.kind).or_default() += 1;
            if guess.kind == Kind::Date {
                column.dates.count(guess.format.as_deref());
            }
            if matches!(guess.kind, Kind::Date | Kind::Integer | Kind::Text) {
                shapes::count(trimmed, &mut column.shapes);
            }
            let is_code = guess.kind == Kind::Integer && trimmed.len() > 1 && trimmed[0] == b'0';
            column.leading_zeros += u64::from(is_code);
            column.blanks_at_ends += u64::from(trimmed.len() < value.len());
        }
    }
}

impl Lengths {
    /// No length is within these.
    const NONE: Lengths = Lengths { least: u32::MAX - 1, width: 0, empty: 0, nulls: 0 };

    /// Whether a filled cell of this length changes nothing. An empty cell and a null marker do.
    #[inline]
    fn has(&self, length: u32) -> bool {
        length.wrapping_sub(1).wrapping_sub(self.least) <= self.width
    }

    #[inline(never)]
    fn add(&mut self, length: u32) {
        match length {
            0 => self.empty += 1,
            NULL => self.nulls += 1,
            _ if self.least == Lengths::NONE.least => self.least = length - 1,
            _ => {
                let (least, most) = (self.least.min(length - 1), (self.least + self.width).max(length - 1));
                (self.least, self.width) = (least, most - least);
            }
        }
    }
}

#[inline]
fn narrow(bytes: usize) -> u32 {
    // A record is at most 1 MiB, plus what one push holds beyond it.
    u32::try_from(bytes).unwrap_or(NULL - 1).min(NULL - 1)
}

/// The length of a cell that may be empty or a null marker, or has doubled quotes.
#[inline(never)]
fn odd_length(cell: &Cell, text: &[u8], nulls: Option<&Nulls>, scratch: &mut Vec<u8>) -> u32 {
    let raw = cell.raw(text);
    if nulls.is_none() {
        if cell.is_escaped() {
            // No null marker of ours has a quote. Half of the quotes are no part of the value.
            let quotes = raw.iter().filter(|byte| **byte == b'"').count();
            return cell.raw_bytes() - narrow(quotes / 2);
        }
        if !may_be_odd(raw) {
            return cell.raw_bytes();
        }
    }
    let value = cell.value(text, scratch);
    if is_void(value) {
        0
    } else if nulls.is_some_and(|nulls| nulls.has(value)) || is_null_marker(ids::trim(value)) {
        NULL
    } else {
        narrow(value.len())
    }
}

/// Whether a cell is as long as a null marker, or may have blanks at its ends.
#[inline]
fn may_be_odd(value: &[u8]) -> bool {
    match value {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() && *first != b'#' => {
            matches!(value.len(), 2..=7 | 9 | 15)
        }
        _ => true,
    }
}

/// First bytes of the characters beyond ASCII that may be blank or invisible.
const MAYBE_NOTHING: [u8; 8] = [0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF3];

/// How long a cell is at most that may be empty or a null marker, by its first byte.
fn odd_bytes_max(nulls: &[String]) -> [u32; 256] {
    let mut bytes_max = [0; 256];
    for (first, bytes) in (0..=u8::MAX).zip(&mut bytes_max) {
        let is_odd = if first.is_ascii() { !first.is_ascii_graphic() } else { MAYBE_NOTHING.contains(&first) };
        // A column of a spreadsheet that is too narrow is as many `#` as it is wide.
        if is_odd || first == b'#' {
            *bytes = u32::MAX;
        }
    }
    for first in *b"\\NnuU([<" {
        bytes_max[usize::from(first)] = MARKER_BYTES_MAX;
    }
    for null in nulls {
        let Some(first) = null.bytes().next() else { continue };
        let most = &mut bytes_max[usize::from(first)];
        *most = narrow(null.len()).max(*most);
    }
    bytes_max
}

/// Whether the row that begins at `start` is in the sample.
#[inline]
fn is_sampled(start: u64) -> bool {
    start < DENSE_BYTES || scattered(start).is_multiple_of(SAMPLE_ONE_IN)
}

/// A number as if by chance, the same for the same place: the last steps of SplitMix64.
#[inline]
fn scattered(start: u64) -> u64 {
    let mut bits = start.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
