//! What the columns of a file hold, in counts: how many cells are filled, how long they are, and what they look like.
//!
//! Checkpoint, ledger and report hold a profile, so it never holds a cell. Filled, empty and null cells and their
//! lengths are counted in every row. Kinds, formats and shapes are counted in a sample of the rows. A profile is a sum:
//! the profiles of the parts of a file, added in any order, are the profile of the file.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Columns that are profiled, at most. Each commit writes their profiles.
pub const COLUMNS_MAX: usize = 256;

/// Patterns of a column that people are shown, at most.
pub const PATTERNS_SHOWN_MAX: usize = 8;

/// Patterns of a column that are counted each, at most. Exact parts have to keep more than they show.
const PATTERNS_KEPT_MAX: usize = 2 * PATTERNS_SHOWN_MAX;

/// The columns of a file, or of some of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Rows whose cells were counted: those that could be split into cells, also if they were refused later.
    pub rows: u64,
    /// Rows of the sample.
    pub sampled_rows: u64,
    /// The columns in the header's order, [`COLUMNS_MAX`] at most.
    pub columns: Vec<ColumnProfile>,
    /// How many columns behind them have no profile.
    #[serde(skip_serializing_if = "is_zero")]
    pub columns_left_out: u64,
}

impl Profile {
    /// The profile of no rows of a file with columns of these names.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        let column = |name: &String| ColumnProfile { name: name.clone(), ..ColumnProfile::default() };
        let columns: Vec<ColumnProfile> = names.iter().take(COLUMNS_MAX).map(column).collect();
        let columns_left_out = (names.len() - columns.len()) as u64;
        Self { columns, columns_left_out, ..Self::default() }
    }

    /// Adds the profile of other rows of the same file.
    pub fn add(&mut self, other: &Profile) {
        self.rows += other.rows;
        self.sampled_rows += other.sampled_rows;
        self.columns_left_out = self.columns_left_out.max(other.columns_left_out);
        let columns = self.columns.len().max(other.columns.len());
        self.columns.resize_with(columns, ColumnProfile::default);
        for (column, other) in self.columns.iter_mut().zip(&other.columns) {
            column.add(other);
        }
    }
}

/// One column. `filled + empty + nulls` are the rows of the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnProfile {
    /// The name of the column in the header.
    pub name: String,
    /// Cells with something in them.
    pub filled: u64,
    /// Cells with nothing but blanks, and cells that short rows lack.
    #[serde(skip_serializing_if = "is_zero")]
    pub empty: u64,
    /// Null markers, such as `\N` and `NULL`.
    #[serde(skip_serializing_if = "is_zero")]
    pub nulls: u64,
    /// The length of the shortest filled cell, in bytes of UTF-8; 0 if none is filled.
    pub shortest_bytes: u32,
    /// The length of the longest filled cell.
    pub longest_bytes: u32,
    /// The kinds of the sample's filled cells.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<Kind, u64>,
    /// The formats of the sample's dates.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub dates: Patterns,
    /// The shapes of the sample's dates, integers and texts: `9` for a digit, `A` for a letter (`AAA-999`).
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    pub shapes: Patterns,
    /// Cells of the sample that are digits with a zero in front, such as `00012`.
    #[serde(skip_serializing_if = "is_zero")]
    pub leading_zeros: u64,
    /// Cells of the sample with blanks or invisible characters at their ends.
    #[serde(skip_serializing_if = "is_zero")]
    pub blanks_at_ends: u64,
}

impl ColumnProfile {
    /// Adds the counts of other cells of the column.
    pub fn add(&mut self, other: &ColumnProfile) {
        if self.name.is_empty() {
            self.name.clone_from(&other.name);
        }
        self.shortest_bytes = match (self.filled, other.filled) {
            (0, _) => other.shortest_bytes,
            (_, 0) => self.shortest_bytes,
            _ => self.shortest_bytes.min(other.shortest_bytes),
        };
        self.longest_bytes = self.longest_bytes.max(other.longest_bytes);
        self.filled += other.filled;
        self.empty += other.empty;
        self.nulls += other.nulls;
        for (kind, cells) in &other.kinds {
            *self.kinds.entry(*kind).or_default() += cells;
        }
        self.dates.add(&other.dates);
        self.shapes.add(&other.shapes);
        self.leading_zeros += other.leading_zeros;
        self.blanks_at_ends += other.blanks_at_ends;
    }

    /// How many filled cells are in the sample.
    #[must_use]
    pub fn sampled(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// The kind that every filled cell of the sample has; [`Kind::Text`] if they have several, `None` without cells.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let mut kinds = self.kinds.keys().copied();
        let first = kinds.next()?;
        Some(kinds.fold(first, Kind::and))
    }

    /// The only format of the sample's dates: a strftime format, or one of [`ISO_8601`]. `None` if there are several,
    /// or if the cells do not show whether the day or the month comes first.
    #[must_use]
    pub fn date_format(&self) -> Option<&str> {
        let formats = || self.dates.iter().map(|(format, _)| format);
        let format = formats().find(|format| !format.contains(EITHER))?;
        let fits = |other: &str| other.split(EITHER).any(|order| order == format);
        (self.dates.other == 0 && formats().all(fits)).then_some(format)
    }
}

/// Formats that are read without a setting: a day, a time without a zone, a time with one.
pub const ISO_8601: [&str; 3] = ["ISO 8601 date", "ISO 8601 without zone", "ISO 8601"];

/// What stands between the two formats of a date whose day may be its month.
pub const EITHER: &str = " or ";

/// What a cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Digits, perhaps with a minus sign or leading zeros.
    Integer,
    /// A number as JSON writes it, with a fraction or an exponent.
    Number,
    /// A number with a decimal comma, such as `1.234,56`.
    CommaNumber,
    /// `true`, `false`, `yes` or `no`, in any case.
    Boolean,
    /// A date, or a date and time.
    Date,
    /// A JSON object or array.
    Json,
    /// An email address.
    Email,
    /// A UUID.
    Uuid,
    /// Any other text.
    Text,
}

impl Kind {
    /// The kind of a column that has cells of both.
    fn and(self, other: Kind) -> Kind {
        match (self, other) {
            _ if self == other => self,
            (Kind::Integer, fraction @ (Kind::Number | Kind::CommaNumber))
            | (fraction @ (Kind::Number | Kind::CommaNumber), Kind::Integer) => fraction,
            _ => Kind::Text,
        }
    }

    /// Its name, as people are shown it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::CommaNumber => "number with a decimal comma",
            Kind::Boolean => "boolean",
            Kind::Date => "date",
            Kind::Json => "JSON",
            Kind::Email => "email address",
            Kind::Uuid => "UUID",
            Kind::Text => "text",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many cells have which pattern.
///
/// Of more than 16 patterns, the shortest are kept, and of equally long ones the first by their bytes. A pattern that is
/// kept in the end was kept from its first cell on, in each part of the file. So its count is exact, and the order of the
/// parts changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Patterns {
    /// In the order by which they are kept.
    #[serde(with = "as_map")]
    counts: Vec<(String, u64)>,
    /// Cells with patterns that are not kept.
    #[serde(skip_serializing_if = "is_zero")]
    other: u64,
}

impl Patterns {
    /// Counts a cell with the pattern, or with none that could be kept.
    pub fn count(&mut self, pattern: Option<&str>) {
        let Some(pattern) = pattern else {
            self.other += 1;
            return;
        };
        self.count_cells(pattern, 1);
    }

    fn add(&mut self, other: &Patterns) {
        self.other += other.other;
        for (pattern, cells) in &other.counts {
            self.count_cells(pattern, *cells);
        }
    }

    fn count_cells(&mut self, pattern: &str, cells: u64) {
        match self.counts.binary_search_by(|(kept, _)| order(kept, pattern)) {
            Ok(at) => self.counts[at].1 += cells,
            Err(PATTERNS_KEPT_MAX) => self.other += cells,
            Err(at) => {
                if self.counts.len() == PATTERNS_KEPT_MAX {
                    self.other += self.counts.pop().map_or(0, |(_, cells)| cells);
                }
                self.counts.insert(at, (pattern.to_owned(), cells));
            }
        }
    }

    /// Whether no cell was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.other == 0
    }

    fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(pattern, cells)| (&**pattern, *cells))
    }

    /// The most frequent patterns with their cells, [`PATTERNS_SHOWN_MAX`] at most, and how many cells have others.
    #[must_use]
    pub fn shown(&self) -> (Vec<(&str, u64)>, u64) {
        let mut shown: Vec<(&str, u64)> = self.iter().collect();
        shown.sort_by_key(|(_, cells)| std::cmp::Reverse(*cells));
        let rest = shown.split_off(shown.len().min(PATTERNS_SHOWN_MAX));
        (shown, self.other + rest.iter().map(|(_, cells)| cells).sum::<u64>())
    }
}

/// Shorter patterns come first.
fn order(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Counts by their pattern, as a JSON object.
mod as_map {
    use super::{BTreeMap, order};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(counts: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(counts.iter().map(|(pattern, cells)| (pattern, cells)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, u64)>, D::Error> {
        let counts = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by(|(left, _), (right, _)| order(left, right));
        Ok(counts)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(patterns: &[String]) -> Patterns {
        let mut counted = Patterns::default();
        for pattern in patterns {
            counted.count(Some(pattern));
        }
        counted
    }

    proptest! {
        #[test]
        fn patterns_of_parts_add_up_to_those_of_the_whole(
            patterns in prop::collection::vec("[9A]{1,3}-?[9A]{0,2}", 0..120),
            cut in any::<prop::sample::Index>(),
        ) {
            let (left, right) = patterns.split_at(cut.index(patterns.len() + 1));
            let mut forwards = counted(left);
            forwards.add(&counted(right));
            let mut backwards = counted(right);
            backwards.add(&counted(left));
            prop_assert_eq!(&forwards, &counted(&patterns));
            prop_assert_eq!(&backwards, &forwards);
            let (shown, other) = forwards.shown();
            prop_assert!(shown.len() <= PATTERNS_SHOWN_MAX && forwards.counts.len() <= PATTERNS_KEPT_MAX);
            prop_assert_eq!(shown.iter().map(|(_, cells)| cells).sum::<u64>() + other, patterns.len() as u64);
        }
    }

    #[test]
    fn the_most_frequent_patterns_are_shown_first() {
        let patterns: Vec<String> = (1..=10).flat_map(|n| vec!["9".repeat(n); n]).collect();
        let patterns = counted(&patterns);
        let (shown, other) = patterns.shown();
        assert_eq!((shown[0], shown[7], other), (("9999999999", 10), ("999", 3), 3));
    }

    #[track_caller]
    fn check_kind(kinds: &[Kind], expected: Option<Kind>) {
        let kinds = kinds.iter().map(|kind| (*kind, 1)).collect();
        assert_eq!(ColumnProfile { kinds, ..ColumnProfile::default() }.kind(), expected);
    }

    #[test]
    fn a_column_has_the_kind_that_all_its_cells_fit() {
        check_kind(&[], None);
        check_kind(&[Kind::Uuid], Some(Kind::Uuid));
        check_kind(&[Kind::Number, Kind::Integer], Some(Kind::Number));
        check_kind(&[Kind::Integer, Kind::CommaNumber], Some(Kind::CommaNumber));
        check_kind(&[Kind::Number, Kind::CommaNumber], Some(Kind::Text));
        check_kind(&[Kind::Integer, Kind::Boolean], Some(Kind::Text));
    }

    #[track_caller]
    fn check_format(formats: &[Option<&str>], expected: Option<&str>) {
        let mut column = ColumnProfile::default();
        for format in formats {
            column.dates.count(*format);
        }
        assert_eq!(column.date_format(), expected, "{formats:?}");
    }

    #[test]
    fn one_date_with_a_day_beyond_12_shows_the_order_of_all() {
        let (day, month, either) = ("%d/%m/%Y", "%m/%d/%Y", "%d/%m/%Y or %m/%d/%Y");
        check_format(&[Some(either), Some(day), Some(either)], Some(day));
        check_format(&[Some(either), Some(month)], Some(month));
        check_format(&[Some(either)], None);
        check_format(&[Some(day), Some(month)], None);
        check_format(&[Some(day), Some("%d/%m/%y or %m/%d/%y")], None);
        check_format(&[Some(ISO_8601[0])], Some(ISO_8601[0]));
        check_format(&[Some(day), None], None);
        check_format(&[], None);
    }

    #[test]
    fn a_profile_is_written_without_what_is_zero() {
        let mut column = ColumnProfile {
            name: "day".to_owned(),
            filled: 2,
            shortest_bytes: 10,
            longest_bytes: 10,
            ..ColumnProfile::default()
        };
        column.kinds.insert(Kind::Date, 2);
        column.dates.count(Some("%d.%m.%Y"));
        column.shapes.count(Some("99.99.9999"));
        column.shapes.count(None);
        let profile = Profile { rows: 2, sampled_rows: 2, columns: vec![column], columns_left_out: 0 };
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(
            json,
            r#"{"rows":2,"sampled_rows":2,"columns":[{"name":"day","filled":2,"shortest_bytes":10,"longest_bytes":10,"kinds":{"date":2},"dates":{"counts":{"%d.%m.%Y":1}},"shapes":{"counts":{"99.99.9999":1},"other":1}}]}"#
        );
        assert_eq!(serde_json::from_str::<Profile>(&json).unwrap(), profile);
    }
}
