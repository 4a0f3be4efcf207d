//! The columns of a file: where they go, as what, and their first values.

use super::checked::Checked;
use super::preview::Pair;
use crate::voice::Voice;
use crate::words::{cut, more, visible};
use calls::columns::Column;
use std::fmt::Write as _;

/// Columns beyond this are counted, not shown.
pub(super) const COLUMNS_SHOWN_MAX: usize = 60;
/// A name longer than this pushes its line out, instead of all lines.
const NAME_CHARS_MAX: usize = 40;

/// A table of the columns. Under a mapping it has their first values, and the columns that are not sent stand below it.
pub(super) fn table(out: &mut String, checked: &Checked, voice: Voice) {
    if checked.columns.is_empty() {
        return;
    }
    let is_mapped = checked.preview.is_some();
    // A list that rows of a group gather has its own columns here, one for each field of its elements.
    let of_table = |column: &Column| !is_mapped || (column.path.is_some() && !column.name.ends_with("[]"));
    let all: Vec<(usize, &Column)> = checked.columns.iter().enumerate().filter(|(_, one)| of_table(one)).collect();
    let path = |column: &Column| column.path.clone().unwrap_or_else(|| "(not sent)".to_owned());
    let shown = &all[..all.len().min(COLUMNS_SHOWN_MAX)];
    let width =
        |texts: &mut dyn Iterator<Item = usize>| texts.map(|chars| chars.min(NAME_CHARS_MAX)).max().unwrap_or(0);
    let names = width(&mut shown.iter().map(|(_, column)| column.name.chars().count())).max("column".len());
    let paths = width(&mut shown.iter().map(|(_, column)| path(column).chars().count())).max("goes to".len());
    let values = if is_mapped { "         first values, before → after" } else { "" };
    let heading = format!("{:<names$}  {:<paths$}  as{values}", "column", "goes to");
    let _ = writeln!(out, "  {}", voice.dim(&heading));
    for (index, column) in shown {
        let cell = if column.path.is_some() { column.cell.as_str() } else { "" };
        let line = format!("{:<names$}  {:<paths$}  {cell:<9}", visible(&column.name), visible(&path(column)));
        let values = checked.preview.as_ref().map_or(String::new(), |preview| first_values(preview.of(*index)));
        let _ = writeln!(out, "  {}", format!("{line}  {values}").trim_end());
    }
    more(out, all.len() - shown.len(), "columns", voice);
    if is_mapped {
        not_sent(out, checked, voice);
    }
    out.push('\n');
}

fn first_values(pairs: &[Pair]) -> String {
    let words = pairs.iter().map(|pair| match &pair.before {
        Some(before) if *before != pair.after => format!("{} → {}", cut(before), cut(&pair.after)),
        _ => cut(&pair.after),
    });
    words.collect::<Vec<_>>().join(" · ")
}

fn not_sent(out: &mut String, checked: &Checked, voice: Voice) {
    let names: Vec<String> = checked
        .columns
        .iter()
        .filter(|column| column.path.is_none() && !column.name.is_empty())
        .map(|column| format!("`{}`", visible(&column.name)))
        .collect();
    if names.is_empty() {
        return;
    }
    let plural = if names.len() == 1 { "column is" } else { "columns are" };
    let more = names.len().saturating_sub(COLUMNS_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let listed = names[..names.len().min(COLUMNS_SHOWN_MAX)].join(", ");
    let text = format!("{} {plural} not sent: {listed}{more}", names.len());
    let _ = writeln!(out, "  {}", voice.dim(&text));
}
