//! The profile of a file's columns, made while its rows are read, in constant memory.
//!
//! The lengths of all cells are counted. What cells look like is counted in a sample, which the place of a row in the
//! file decides: a run that resumes takes the same rows.

mod dates;
mod kinds;
mod shapes;
mod values;

use crate::ids::{self, Nulls, is_null_marker, is_void};
use crate::rows::Cell;
use kinds::Guesser;
pub use protocol::profile::{
    COLUMNS_MAX, ColumnProfile, EITHER, ISO_8601, Kind, PATTERNS_SHOWN_MAX, Patterns, Profile,
};
pub use values::Values;

/// Every row that begins before this byte is in the sample: small files, and the beginning of large ones.
const DENSE_BYTES: u64 = 256 * 1024;

/// Behind that, one row of so many is in the sample.
const SAMPLE_ONE_IN: u64 = 64;

/// The longest cell that is looked at for a null marker, with some blanks around it.
const MARKER_BYTES_MAX: u32 = 20;

/// The length that stands for a null marker. No row is so long.
const NULL: u32 = u32::MAX;

/// Counts what the columns of a file hold.
///
/// The last row is counted when the next one comes, so that [`Profiler::take`] can leave it to the next part.
#[derive(Debug)]
pub(crate) struct Profiler {
    nulls: Nulls,
    /// How long a cell is at most that may be empty or a null marker, by its first byte.
    odd_bytes_max: [u32; 256],
    guesser: Guesser,
    scratch: Vec<u8>,
    rows: u64,
    sampled_rows: u64,
    columns_left_out: u64,
    lengths: Lengths,
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

/// What is counted of every cell. One list for each count, so that a row is counted many cells at a time.
#[derive(Debug)]
struct Lengths {
    empty: Vec<u64>,
    nulls: Vec<u64>,
    /// One less than the length, so that an empty cell is never the shortest.
    shortest: Vec<u32>,
    longest: Vec<u32>,
}

/// Whether a part of the profile ends behind the last row or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRow {
    /// The last row belongs to the part.
    Included,
    /// The last row belongs to the next part.
    LeftOut,
}

impl Profiler {
    /// Begins to profile a file of so many columns. `nulls` are cells that count as null markers besides ours.
    pub(crate) fn new(columns: usize, nulls: &[String]) -> Profiler {
        let profiled = columns.min(COLUMNS_MAX);
        Profiler {
            nulls: Nulls::new(nulls.to_vec()),
            odd_bytes_max: odd_bytes_max(nulls),
            guesser: Guesser::default(),
            scratch: Vec::new(),
            rows: 0,
            sampled_rows: 0,
            columns_left_out: (columns - profiled) as u64,
            lengths: Lengths::new(profiled),
            samples: vec![ColumnProfile::default(); profiled],
            last: Last { is_counted: true, lengths: vec![0; profiled], ..Last::default() },
            values: None,
        }
    }

    /// The same, with the least and the greatest cell of each column. For a person at a terminal only: these are cells.
    pub(crate) fn with_values(self) -> Profiler {
        Profiler { values: Some(vec![Values::default(); self.samples.len()]), ..self }
    }

    /// Takes a row, valid UTF-8, whose record begins at `start` in the source.
    #[inline]
    pub(crate) fn row(&mut self, start: u64, text: &[u8], cells: &[Cell]) {
        self.count_last();
        let Last { lengths, .. } = &mut self.last;
        for (length, cell) in lengths.iter_mut().zip(cells) {
            let value = cell.value(text, &mut self.scratch);
            *length = match value.first() {
                None => 0,
                Some(first) if bytes(value) > self.odd_bytes_max[usize::from(*first)] => bytes(value),
                Some(_) => odd_length(value, &self.nulls),
            };
        }
        let present = cells.len().min(lengths.len());
        lengths[present..].fill(0);
        self.last.is_counted = false;
        self.last.is_sampled = is_sampled(start);
        if self.last.is_sampled || self.values.is_some() {
            self.look_closer(text, cells);
        }
    }

    /// Takes the profile of the rows since the last part was taken.
    pub(crate) fn take(&mut self, last: LastRow) -> Profile {
        if last == LastRow::Included {
            self.count_last();
        }
        let columns = self.samples.len();
        let lengths = std::mem::replace(&mut self.lengths, Lengths::new(columns));
        let mut profile = Profile {
            rows: std::mem::take(&mut self.rows),
            sampled_rows: std::mem::take(&mut self.sampled_rows),
            columns: std::mem::replace(&mut self.samples, vec![ColumnProfile::default(); columns]),
            columns_left_out: self.columns_left_out,
        };
        for (at, column) in profile.columns.iter_mut().enumerate() {
            column.empty = lengths.empty[at];
            column.nulls = lengths.nulls[at];
            column.filled = profile.rows - column.empty - column.nulls;
            if column.filled > 0 {
                column.shortest_bytes = lengths.shortest[at] + 1;
                column.longest_bytes = lengths.longest[at];
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
        self.lengths.count(&self.last.lengths);
        if self.last.is_sampled {
            self.sample_last();
        }
    }

    /// Keeps a row of the sample until it is counted, and looks for the least and the greatest cells.
    #[cold]
    fn look_closer(&mut self, text: &[u8], cells: &[Cell]) {
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
    fn new(columns: usize) -> Lengths {
        Lengths {
            empty: vec![0; columns],
            nulls: vec![0; columns],
            shortest: vec![u32::MAX; columns],
            longest: vec![0; columns],
        }
    }

    #[inline]
    fn count(&mut self, lengths: &[u32]) {
        let counts = self.empty.iter_mut().zip(&mut self.nulls).zip(self.shortest.iter_mut().zip(&mut self.longest));
        for (length, ((empty, nulls), (shortest, longest))) in lengths.iter().zip(counts) {
            let is_null = *length == NULL;
            *empty += u64::from(*length == 0);
            *nulls += u64::from(is_null);
            *shortest = (*shortest).min(length.wrapping_sub(1));
            *longest = (*longest).max(if is_null { 0 } else { *length });
        }
    }
}

#[inline]
fn bytes(value: &[u8]) -> u32 {
    // A record is at most 1 MiB, plus what one push holds beyond it.
    u32::try_from(value.len()).unwrap_or(NULL - 1)
}

/// The length of a cell that may be empty or a null marker.
#[cold]
fn odd_length(value: &[u8], nulls: &Nulls) -> u32 {
    if is_void(value) {
        0
    } else if nulls.has(value) || is_null_marker(ids::trim(value)) {
        NULL
    } else {
        bytes(value)
    }
}

/// How long a cell is at most that needs a second look, by its first byte.
fn odd_bytes_max(nulls: &[String]) -> [u32; 256] {
    let mut bytes_max = [0; 256];
    for (first, bytes) in (0..=u8::MAX).zip(&mut bytes_max) {
        // A blank, or a character that may be one.
        if !first.is_ascii_graphic() {
            *bytes = u32::MAX;
        }
    }
    for first in *b"\\NnuU([<" {
        bytes_max[usize::from(first)] = MARKER_BYTES_MAX;
    }
    // A column of a spreadsheet that is too narrow is as many `#` as it is wide.
    bytes_max[usize::from(b'#')] = u32::MAX;
    for null in nulls {
        let Some(first) = null.bytes().next() else { continue };
        let most = &mut bytes_max[usize::from(first)];
        *most = bytes(null.as_bytes()).max(*most);
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
