//! What is counted of some rows of a file. Parts add up to the profile of the file.

use protocol::profile::{ColumnProfile, Profile};

/// What is counted of a cell besides its length.
pub(super) enum Length {
    /// The cell has nothing.
    Empty,
    /// The cell is a null marker.
    Null,
    /// Bytes of a filled cell.
    Filled(u32),
}

/// The counts of some rows.
#[derive(Clone, Debug, Default)]
pub struct Part {
    rows: u64,
    lengths: Vec<Lengths>,
    sampled_rows: u64,
    /// The counts of the sample, once a row is in it; the other counts of these are zero.
    samples: Vec<ColumnProfile>,
}

impl Part {
    /// No rows of so many columns.
    pub(super) fn new(columns: usize) -> Part {
        Part { lengths: vec![Lengths::NONE; columns], ..Part::default() }
    }

    /// Begins a row. Its cells are to be counted in these.
    #[inline]
    pub(super) fn row(&mut self) -> &mut [Lengths] {
        self.rows += 1;
        &mut self.lengths
    }

    /// Begins a row of the sample. Its cells are to be counted in these.
    pub(super) fn sampled_row(&mut self) -> &mut [ColumnProfile] {
        self.sampled_rows += 1;
        self.samples.resize_with(self.lengths.len(), ColumnProfile::default);
        &mut self.samples
    }

    pub(super) fn columns(&self) -> usize {
        self.lengths.len()
    }

    /// Adds the rows of another part of the file, and leaves none in it.
    pub(crate) fn take_from(&mut self, other: &mut Part) {
        self.rows += std::mem::take(&mut other.rows);
        for (lengths, other) in self.lengths.iter_mut().zip(&mut other.lengths) {
            lengths.merge(std::mem::replace(other, Lengths::NONE));
        }
        if other.sampled_rows > 0 {
            self.sampled_rows += std::mem::take(&mut other.sampled_rows);
            self.samples.resize_with(self.lengths.len(), ColumnProfile::default);
            for (sample, other) in self.samples.iter_mut().zip(std::mem::take(&mut other.samples)) {
                sample.add(&other);
            }
        }
    }

    /// Adds these rows to the profile of the file.
    pub fn add_to(&self, profile: &mut Profile) {
        profile.rows += self.rows;
        profile.sampled_rows += self.sampled_rows;
        for (column, lengths) in profile.columns.iter_mut().zip(&self.lengths) {
            column.add(&lengths.counted(self.rows));
        }
        for (column, sample) in profile.columns.iter_mut().zip(&self.samples) {
            column.add(sample);
        }
    }
}

/// What is counted of every cell of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// The shortest filled cell.
    least: u32,
    /// How much longer the longest is.
    width: u32,
    empty: u64,
    nulls: u64,
}

impl Lengths {
    /// No length is within these.
    const NONE: Lengths = Lengths { least: u32::MAX, width: 0, empty: 0, nulls: 0 };

    /// Whether a filled cell of this length changes nothing.
    #[inline]
    pub(super) fn has(&self, bytes: u32) -> bool {
        bytes.wrapping_sub(self.least) <= self.width
    }

    #[inline]
    pub(super) fn add(&mut self, length: Length) {
        match length {
            Length::Empty => self.empty += 1,
            Length::Null => self.nulls += 1,
            Length::Filled(bytes) => self.widen(bytes, bytes),
        }
    }

    fn widen(&mut self, least: u32, most: u32) {
        if self.least == Lengths::NONE.least {
            (self.least, self.width) = (least, most - least);
        } else {
            let most = most.max(self.least + self.width);
            self.least = self.least.min(least);
            self.width = most - self.least;
        }
    }

    fn merge(&mut self, other: Lengths) {
        self.empty += other.empty;
        self.nulls += other.nulls;
        if other.least != Lengths::NONE.least {
            self.widen(other.least, other.least + other.width);
        }
    }

    /// As the profile of a column in so many rows.
    fn counted(&self, rows: u64) -> ColumnProfile {
        let filled = rows - self.empty - self.nulls;
        let (shortest_bytes, longest_bytes) = if filled > 0 { (self.least, self.least + self.width) } else { (0, 0) };
        let (empty, nulls) = (self.empty, self.nulls);
        ColumnProfile { filled, empty, nulls, shortest_bytes, longest_bytes, ..ColumnProfile::default() }
    }
}
