//! Warnings that a profile gives, where no row alone shows the problem.

use protocol::account::Account;
use protocol::profile::{ColumnProfile, Kind};

use crate::columns::{CellType, Column};
use crate::refusal::{Warning, WarningCode};

/// Warnings about columns whose cells are sent as they stand: one of each kind, for all columns that have it.
pub(crate) fn warnings<'a>(
    columns: impl Iterator<Item = (&'a Column, &'a ColumnProfile)>,
    account: &Account,
) -> Vec<Warning> {
    let is_text = |column: &Column| column.path.is_some() && column.cell == CellType::String;
    let columns: Vec<_> = columns.filter(|(column, _)| is_text(column)).collect();
    let with_blanks = columns.iter().filter_map(|(column, counts)| blanks(column, counts, account));
    let with_commas = columns.iter().filter_map(|(column, counts)| decimal_commas(column, counts));
    [joined(&with_blanks.collect::<Vec<_>>(), BLANKS), joined(&with_commas.collect::<Vec<_>>(), DECIMAL_COMMAS)]
        .into_iter()
        .flatten()
        .collect()
}

const BLANKS: &str = "blanks or invisible characters at the ends of cells, which are sent; export them without";
const DECIMAL_COMMAS: &str = "numbers with a decimal comma, which are sent as text; to send numbers, write them with a \
                              point, or set `decimal = \",\"` in a mapping";
/// How many columns a warning lists.
const LISTED_MAX: usize = 10;

/// A column, and how many of how many sampled cells the warning is about.
struct Affected<'a> {
    name: &'a str,
    cells: u64,
    of: u64,
}

/// One warning for all of these columns.
fn joined(all: &[Affected<'_>], words: &str) -> Option<Warning> {
    let first = all.first()?;
    let one = |one: &Affected<'_>| format!("`{}` ({} of {} sampled cells)", one.name, one.cells, one.of);
    let listed: Vec<String> = all.iter().take(LISTED_MAX).map(one).collect();
    let more = all.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let plural = if all.len() > 1 { "columns" } else { "column" };
    let message = format!("{plural} {}{more}: {words}", listed.join(", "));
    Some(Warning { column: first.name.to_owned(), message })
}

/// Blanks at the ends, unless rows have shown them already.
fn blanks<'a>(column: &'a Column, counts: &ColumnProfile, account: &Account) -> Option<Affected<'a>> {
    const SHOWN: [WarningCode; 2] = [WarningCode::EmailBlanks, WarningCode::EventBlanks];
    let is_known = account.findings.iter().any(|finding| {
        finding.column.as_ref() == Some(&column.name) && SHOWN.iter().any(|code| code.as_str() == finding.code)
    });
    let cells = counts.blanks_at_ends;
    (cells > 0 && !is_known).then(|| Affected { name: &column.name, cells, of: counts.sampled() })
}

/// Numbers with a decimal comma, where every cell is one or an integer.
fn decimal_commas<'a>(column: &'a Column, counts: &ColumnProfile) -> Option<Affected<'a>> {
    let cells = counts.kinds.get(&Kind::CommaNumber).copied().unwrap_or_default();
    (counts.kind() == Some(Kind::CommaNumber)).then(|| Affected { name: &column.name, cells, of: counts.sampled() })
}
