//! The columns of a file, before a mapping reads it.

use super::sample::{Column, Sample};
use crate::words::{cut, visible};
use std::collections::HashSet;
use std::fmt::Write as _;

/// Values that are shown of a column.
const VALUES_MAX: usize = 3;
/// A name longer than this pushes its line out, instead of all lines.
const NAME_CHARS_MAX: usize = 40;

/// A table of the columns: how many cells are filled, how many are different, and the first of them.
pub(super) fn table(sample: &Sample) -> String {
    let names = sample.columns.iter().map(|column| column.name.chars().count().min(NAME_CHARS_MAX));
    let width = names.max().unwrap_or(0).max("column".len());
    let mut out = format!("{}: the columns of the first {} rows\n\n", visible(&sample.name), sample.rows);
    let _ = writeln!(out, "  {:<width$}  {:>6}  {:>9}  first values", "column", "filled", "different");
    for column in &sample.columns {
        let (filled, different) = (column.filled().count(), different(column));
        let values = first_values(column).join(" · ");
        let line = format!("  {:<width$}  {filled:>6}  {different:>9}  {values}", visible(&column.name));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn different(column: &Column) -> usize {
    column.filled().collect::<HashSet<_>>().len()
}

fn first_values(column: &Column) -> Vec<String> {
    let mut values: Vec<&str> = Vec::new();
    for cell in column.filled() {
        if values.len() < VALUES_MAX && !values.contains(&cell) {
            values.push(cell);
        }
    }
    values.into_iter().map(cut).collect()
}
