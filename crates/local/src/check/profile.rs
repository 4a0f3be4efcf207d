//! The profile of the columns as a table.

use super::checked::Checked;
use super::columns::COLUMNS_SHOWN_MAX;
use crate::voice::Voice;
use crate::words::{grouped, more, visible};
use calls::profile::{ColumnProfile, Kind, Values};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr;

pub(crate) const HEADINGS: [&str; 6] = ["column", "filled", "empty", "bytes", "holds", "least to greatest"];
/// Columns of numbers stand on the right.
const NUMBERS: std::ops::Range<usize> = 1..4;
/// A cell that is wider than this pushes its line out, instead of all lines.
const WIDTH_MAX: usize = 40;
/// How much of the least and the greatest cell is shown.
const VALUE_CHARS: usize = 24;

/// What each column holds.
pub(super) fn table(out: &mut String, checked: &Checked, voice: Voice) {
    let Some(profile) = checked.profile.as_ref().filter(|profile| profile.rows > 0) else { return };
    let shown = &profile.columns[..profile.columns.len().min(COLUMNS_SHOWN_MAX)];
    let lines: Vec<[String; 6]> =
        shown.iter().enumerate().map(|(index, column)| line(column, checked.values.get(index))).collect();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(|at| width(at, &lines)).collect();
    let _ = writeln!(out, "{}", voice.strong("The profile"));
    let _ = writeln!(out, "  {}", voice.dim(&aligned(&HEADINGS.map(str::to_owned), &widths)));
    for line in &lines {
        let _ = writeln!(out, "  {}", aligned(line, &widths));
    }
    more(out, profile.columns.len() - shown.len(), "columns", voice);
    if profile.columns_left_out > 0 {
        let _ = writeln!(out, "  {}", voice.dim(&format!("{} columns are not profiled", profile.columns_left_out)));
    }
    if profile.sampled_rows < profile.rows {
        let sampled = format!("types and shapes are those of a sample of {} rows", grouped(profile.sampled_rows));
        let _ = writeln!(out, "  {}", voice.dim(&sampled));
    }
    out.push('\n');
}

fn width(at: usize, lines: &[[String; 6]]) -> usize {
    let widths = lines.iter().map(|line| line[at].width().min(WIDTH_MAX));
    widths.max().unwrap_or_default().max(HEADINGS[at].len())
}

fn aligned(cells: &[String; 6], widths: &[usize]) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        let (before, behind) = if NUMBERS.contains(&at) { (&*blanks, "") } else { ("", &*blanks) };
        let _ = write!(line, "{before}{cell}{behind}  ");
    }
    line.trim_end().to_owned()
}

/// A column under the headings.
pub(super) fn line(column: &ColumnProfile, values: Option<&Values>) -> [String; 6] {
    let bytes = match (column.shortest_bytes, column.longest_bytes) {
        _ if column.filled == 0 => String::new(),
        (shortest, longest) if shortest == longest => grouped(u64::from(longest)),
        (shortest, longest) => format!("{}–{}", grouped(u64::from(shortest)), grouped(u64::from(longest))),
    };
    let empty = match column.nulls {
        0 => grouped(column.empty),
        nulls => format!("{} + {} null", grouped(column.empty), grouped(nulls)),
    };
    let range = values.and_then(Values::range);
    let range = range.map(|(least, greatest)| format!("{} … {}", value(least), value(greatest)));
    [visible(&column.name), grouped(column.filled), empty, bytes, holds(column), range.unwrap_or_default()]
}

/// The kind of a column, its format or its shape, and what is odd about it.
fn holds(column: &ColumnProfile) -> String {
    let Some(kind) = column.kind() else { return String::new() };
    let (shapes, others) = column.shapes.shown();
    let detail = match (kind, &shapes[..]) {
        (Kind::Date, _) => column.date_format().map(|format| format!(" {format}")),
        (Kind::Text | Kind::Integer, [(shape, _)]) if others == 0 => Some(format!(" {}", visible(shape))),
        _ => None,
    };
    let zeros = if column.leading_zeros > 0 { ", leading zeros" } else { "" };
    let blanks = if column.blanks_at_ends > 0 { ", blanks at ends" } else { "" };
    format!("{kind}{}{zeros}{blanks}", detail.unwrap_or_default())
}

fn value(cell: &str) -> String {
    let mut shown: String = visible(cell).chars().take(VALUE_CHARS).collect();
    if cell.chars().count() > VALUE_CHARS {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(column: &ColumnProfile, expected: &str) {
        assert_eq!(holds(column), expected);
    }

    #[test]
    fn a_column_is_described_by_its_kind_its_format_and_its_shape() {
        let mut column = ColumnProfile::default();
        check(&column, "");
        column.kinds.insert(Kind::Integer, 2);
        column.shapes.count(Some("99999"));
        column.leading_zeros = 1;
        check(&column, "integer 99999, leading zeros");
        column.shapes.count(Some("9999"));
        column.blanks_at_ends = 1;
        check(&column, "integer, leading zeros, blanks at ends");
        let mut dates = ColumnProfile::default();
        dates.kinds.insert(Kind::Date, 1);
        dates.dates.count(Some("%d.%m.%Y"));
        check(&dates, "date %d.%m.%Y");
    }

    #[test]
    fn a_line_has_counts_lengths_and_nulls() {
        let column = ColumnProfile {
            name: "a\tb".to_owned(),
            filled: 1_200,
            empty: 3,
            nulls: 4,
            shortest_bytes: 2,
            longest_bytes: 12,
            ..ColumnProfile::default()
        };
        assert_eq!(line(&column, None), ["a→b", "1,200", "3 + 4 null", "2–12", "", ""]);
    }
}
