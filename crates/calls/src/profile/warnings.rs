//! Warnings that a profile gives, where no row alone shows the problem.

use protocol::account::Account;
use protocol::profile::{ColumnProfile, Kind};

use crate::columns::{CellType, Column};
use crate::refusal::{Warning, WarningCode};

/// Warnings about columns whose cells are sent as they stand.
pub(crate) fn warnings<'a>(
    columns: impl Iterator<Item = (&'a Column, &'a ColumnProfile)>,
    account: &Account,
) -> Vec<Warning> {
    let is_text = |column: &Column| column.path.is_some() && column.cell == CellType::String;
    columns
        .filter(|(column, _)| is_text(column))
        .flat_map(|(column, counts)| [blanks(column, counts, account), decimal_commas(column, counts)])
        .flatten()
        .collect()
}

/// Blanks at the ends, unless rows have shown them already.
fn blanks(column: &Column, counts: &ColumnProfile, account: &Account) -> Option<Warning> {
    const SHOWN: [WarningCode; 2] = [WarningCode::EmailBlanks, WarningCode::EventBlanks];
    let is_known = account.findings.iter().any(|finding| {
        finding.column.as_ref() == Some(&column.name) && SHOWN.iter().any(|code| code.as_str() == finding.code)
    });
    let words = "have blanks or invisible characters at their ends, which are sent; export the column without them";
    (counts.blanks_at_ends > 0 && !is_known).then(|| warning(column, counts.blanks_at_ends, counts, words))
}

/// Numbers with a decimal comma, where every cell is one or an integer.
fn decimal_commas(column: &Column, counts: &ColumnProfile) -> Option<Warning> {
    let cells = counts.kinds.get(&Kind::CommaNumber).copied().unwrap_or_default();
    let words = "are numbers with a decimal comma, which are sent as text; to send numbers, write them with a point, or \
                 set `decimal = \",\"` in a mapping";
    (counts.kind() == Some(Kind::CommaNumber)).then(|| warning(column, cells, counts, words))
}

fn warning(column: &Column, cells: u64, counts: &ColumnProfile, words: &str) -> Warning {
    let of = counts.sampled();
    let message = format!("column `{}`: {cells} of {of} sampled cells {words}", column.name);
    Warning { column: column.name.clone(), message }
}
