//! The profile of a file's columns, made while its rows are read, in constant memory.
//!
//! The lengths of all cells are counted. What cells look like is counted in a sample, which the place of a row in the
//! file decides: a run that resumes takes the same rows.

mod dates;
mod kinds;
mod markers;
mod part;
mod shapes;
mod values;
mod warnings;

use crate::ids;
use crate::rows::Cell;
use kinds::Guesser;
use markers::Markers;
use part::Length;
pub use part::Part;
pub use protocol::profile::{
    COLUMNS_MAX, ColumnProfile, EITHER, ISO_8601, Kind, PATTERNS_SHOWN_MAX, Patterns, Profile,
};
pub use values::Values;
pub(crate) use warnings::warnings;

/// Every row that begins before this byte is in the sample: small files, and the beginning of large ones.
const DENSE_BYTES: u64 = 64 * 1024;

/// Behind that, one row of so many is in the sample.
const SAMPLE_ONE_IN: u64 = 512;

/// Counts what the columns of a file hold.
#[derive(Debug)]
pub(crate) struct Profiler {
    markers: Markers,
    guesser: Guesser,
    scratch: Vec<u8>,
    /// The names of all columns, with zero counts: what the parts are added to.
    none: Profile,
    /// The rows up to the mark.
    marked: Option<Part>,
    /// The rows since then.
    open: Part,
    /// The least and the greatest cells, where they are wanted.
    values: Option<Vec<Values>>,
}

/// Whether a part of the profile ends behind the last row or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRow {
    /// The last row belongs to the part.
    Included,
    /// The rows since the mark belong to the next part.
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
    /// Begins to profile a file with columns of these names. `nulls` are cells that count as null markers besides ours.
    pub(crate) fn new(names: &[String], nulls: &[String], detail: Detail) -> Profiler {
        let profiled = names.len().min(COLUMNS_MAX);
        Profiler {
            markers: Markers::new(nulls),
            guesser: Guesser::default(),
            scratch: Vec::new(),
            none: Profile::of(names),
            marked: None,
            open: Part::new(profiled),
            values: (detail == Detail::CountsAndValues).then(|| vec![Values::default(); profiled]),
        }
    }

    /// Takes a row that begins at `start`.
    #[inline(never)]
    pub(crate) fn row(&mut self, text: &[u8], cells: &[Cell], start: u64) {
        let columns = self.open.row();
        for (lengths, cell) in columns.iter_mut().zip(cells) {
            // Nearly every cell is as long as another one of its column.
            if !(self.markers.is_plain(cell, text) && lengths.has(cell.bytes())) {
                lengths.add(self.markers.length(cell, text));
            }
        }
        if cells.len() < columns.len() {
            columns[cells.len()..].iter_mut().for_each(|lengths| lengths.add(Length::Empty));
        }
        if is_sampled(start) {
            self.sample(text, cells);
        }
        if self.values.is_some() {
            self.compare(text, cells);
        }
    }

    /// Notes that all rows so far belong to the next part that is taken, whether or not the rows behind them do.
    pub(crate) fn mark(&mut self) {
        let columns = self.open.columns();
        self.marked.get_or_insert_with(|| Part::new(columns)).take_from(&mut self.open);
    }

    /// Takes the rows since the last part was taken. If the last row is left out, the rows since the mark are.
    pub(crate) fn take(&mut self, last: LastRow) -> Part {
        match (self.marked.take(), last) {
            (Some(part), LastRow::LeftOut) => part,
            (None, LastRow::LeftOut) => Part::new(self.open.columns()),
            (Some(mut part), LastRow::Included) => {
                part.take_from(&mut self.open);
                part
            }
            (None, LastRow::Included) => {
                let columns = self.open.columns();
                std::mem::replace(&mut self.open, Part::new(columns))
            }
        }
    }

    /// The profile of no rows.
    pub(crate) fn none(&self) -> &Profile {
        &self.none
    }

    /// The least and the greatest cell of each column; empty unless they are wanted.
    pub(crate) fn values(&self) -> &[Values] {
        self.values.as_deref().unwrap_or_default()
    }

    #[cold]
    fn sample(&mut self, text: &[u8], cells: &[Cell]) {
        for (column, cell) in self.open.sampled_row().iter_mut().zip(cells) {
            if !matches!(self.markers.length(cell, text), Length::Filled(_)) {
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

    /// Looks for the least and the greatest cells.
    #[cold]
    fn compare(&mut self, text: &[u8], cells: &[Cell]) {
        for (values, cell) in self.values.iter_mut().flatten().zip(cells) {
            if matches!(self.markers.length(cell, text), Length::Filled(_)) {
                values.add(ids::trim(cell.value(text, &mut self.scratch)));
            }
        }
    }
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
