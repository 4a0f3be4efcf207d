//! A doubt about rows that were read: how many rows, and the line of the first.

use serde::{Deserialize, Serialize};

/// Findings that an account holds, at most. Further kinds and columns are counted together.
///
/// Each commit writes them, so they have to stay small: 200 of them are some 40 kB.
pub const FINDINGS_MAX: usize = 200;

/// How many columns the message of one kind lists.
const COLUMNS_LISTED_MAX: usize = 10;

/// The code of the findings beyond [`FINDINGS_MAX`].
pub const MORE: &str = "more_warnings";

/// Something about rows that their owner should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The stable code.
    pub code: String,
    /// The column, by its name in the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// Of how many rows that could have been so, as far as that is counted. With [`Holds::Beside`], how many rows have
    /// what it goes with.
    pub of: u64,
    /// The line of the first. With [`Holds::Most`], of the first exception, if there is one.
    pub line: u64,
    /// When it is reported.
    #[serde(default)]
    pub holds: Holds,
    /// The problem and the fix.
    pub message: String,
}

/// When a finding is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// With the first row.
    #[default]
    Any,
    /// Where every cell of the column has it: a single one speaks against all.
    Every,
    /// Where some cells of the column have it, and others do not.
    Some,
    /// Where more than half of them have it.
    Most,
    /// Where a row has it, and the same or another row has what it goes with.
    Beside,
}

impl Finding {
    /// Whether it is reported.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.holds {
            Holds::Any => self.rows > 0,
            Holds::Every => self.rows > 0 && self.rows == self.of,
            Holds::Some => self.rows > 0 && self.rows < self.of,
            Holds::Most => self.rows > self.of - self.rows.min(self.of),
            Holds::Beside => self.rows > 0 && self.of > 0,
        }
    }

    /// The messages of the findings that are reported: one of each kind, for all columns that have it.
    #[must_use]
    pub fn all_in_words(all: &[Finding]) -> Vec<String> {
        let mut kinds: Vec<Vec<&Finding>> = Vec::new();
        for finding in all.iter().filter(|finding| finding.holds()) {
            let is_same = |kind: &&mut Vec<&Finding>| {
                kind.iter().all(|one| (&one.code, &one.message) == (&finding.code, &finding.message))
            };
            match kinds.iter_mut().find(is_same) {
                Some(kind) if finding.column.is_some() => kind.push(finding),
                _ => kinds.push(vec![finding]),
            }
        }
        kinds.iter().map(|kind| Finding::kind_in_words(kind)).collect()
    }

    /// The message of findings of one kind.
    fn kind_in_words(kind: &[&Finding]) -> String {
        let [first, _, ..] = kind else { return kind.first().map_or_else(String::new, |one| one.in_words()) };
        let shown = kind.iter().take(COLUMNS_LISTED_MAX);
        let columns = shown.map(|one| format!("`{}` ({})", one.column.as_deref().unwrap_or_default(), one.counted()));
        let columns: Vec<String> = columns.collect();
        let more = kind.len() - columns.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("columns {}{more}: {}", columns.join(", "), first.message)
    }

    /// The message: where, how many rows, what to do.
    #[must_use]
    pub fn in_words(&self) -> String {
        let column = self.column.as_ref().map(|column| format!("column `{column}`: ")).unwrap_or_default();
        format!("{column}{}: {}", self.counted(), self.message)
    }

    /// How many rows, and where.
    fn counted(&self) -> String {
        let has_exception = self.holds == Holds::Most && self.rows < self.of;
        let of = if self.holds == Holds::Some || has_exception { format!(" of {}", self.of) } else { String::new() };
        let rows = if self.rows == 1 && of.is_empty() { "row" } else { "rows" };
        let first = match self.rows {
            _ if has_exception => "the first exception on",
            1 => "on",
            _ => "the first on",
        };
        format!("{}{of} {rows}, {first} line {}", self.rows, self.line)
    }

    /// Merges findings with those of earlier rows.
    pub fn merge(all: &mut Vec<Finding>, more: &[Finding]) {
        for finding in more {
            let same = |known: &&mut Finding| known.code == finding.code && known.column == finding.column;
            if let Some(known) = all.iter_mut().find(same) {
                let is_first = match known.holds {
                    Holds::Most => known.rows == known.of && finding.rows < finding.of,
                    _ => known.rows == 0,
                };
                if is_first {
                    known.line = finding.line;
                }
                known.rows += finding.rows;
                known.of += finding.of;
            } else if all.len() < FINDINGS_MAX {
                all.push(finding.clone());
            } else if finding.rows > 0 {
                Self::count_beyond(all, finding);
            }
        }
    }

    fn count_beyond(all: &mut Vec<Finding>, finding: &Finding) {
        if let Some(known) = all.iter_mut().find(|known| known.code == MORE) {
            known.rows += finding.rows;
            return;
        }
        all.push(Finding {
            code: MORE.to_owned(),
            column: None,
            holds: Holds::Any,
            message: "further kinds of warnings, which are counted together".to_owned(),
            ..finding.clone()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(holds: Holds, rows: u64, of: u64) -> Finding {
        Finding { code: "code".to_owned(), column: None, rows, of, line: 3, holds, message: "words".to_owned() }
    }

    #[test]
    fn a_finding_about_most_rows_names_the_first_exception() {
        let mut all = vec![finding(Holds::Most, 3, 3)];
        assert_eq!(all[0].in_words(), "3 rows, the first on line 3: words");
        Finding::merge(&mut all, &[Finding { line: 9, ..finding(Holds::Most, 1, 2) }]);
        Finding::merge(&mut all, &[Finding { line: 12, ..finding(Holds::Most, 1, 2) }]);
        assert_eq!(all[0].in_words(), "5 of 7 rows, the first exception on line 9: words");
    }

    #[test]
    fn findings_of_one_kind_are_one_message_that_names_their_columns() {
        let of = |column: &str, rows| Finding { column: Some(column.to_owned()), ..finding(Holds::Any, rows, rows) };
        let other = Finding { code: "other".to_owned(), ..finding(Holds::Any, 1, 1) };
        let words = Finding::all_in_words(&[of("a", 1), other, of("c", 0), of("b", 2)]);
        let expected =
            ["columns `a` (1 row, on line 3), `b` (2 rows, the first on line 3): words", "1 row, on line 3: words"];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_finding_counts_cells_by_the_rule_of_its_kind() {
        for (holds, rows, of, expected) in [
            (Holds::Every, 3, 3, true),
            (Holds::Every, 3, 4, false),
            (Holds::Every, 0, 0, false),
            (Holds::Some, 3, 4, true),
            (Holds::Some, 4, 4, false),
            (Holds::Some, 0, 4, false),
            (Holds::Most, 3, 4, true),
            (Holds::Most, 2, 4, false),
            (Holds::Most, 0, 0, false),
            (Holds::Beside, 1, 1, true),
            (Holds::Beside, 3, 0, false),
            (Holds::Beside, 0, 3, false),
            (Holds::Any, 1, 1, true),
            (Holds::Any, 0, 1, false),
        ] {
            assert_eq!(finding(holds, rows, of).holds(), expected, "{holds:?} {rows} {of}");
        }
    }

    #[test]
    fn findings_of_one_kind_and_column_are_one_with_the_first_line() {
        let mut all = vec![finding(Holds::Some, 0, 2)];
        Finding::merge(&mut all, &[Finding { line: 9, ..finding(Holds::Some, 1, 1) }]);
        assert_eq!(all, [Finding { line: 9, ..finding(Holds::Some, 1, 3) }]);
        assert_eq!(all[0].in_words(), "1 of 3 rows, on line 9: words");
    }

    #[test]
    fn an_account_holds_no_more_findings_than_the_limit() {
        let mut all = Vec::new();
        for column in 0..2 * FINDINGS_MAX {
            let column = Some(column.to_string());
            Finding::merge(&mut all, &[Finding { column, ..finding(Holds::Any, 1, 1) }]);
        }
        assert_eq!(all.len(), FINDINGS_MAX + 1);
        assert_eq!(all.last().map(|finding| finding.rows), Some(FINDINGS_MAX as u64));
    }
}
