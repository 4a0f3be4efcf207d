//! Warnings about rows whose meaning is doubtful: counted for each code and column, with the first line.
//!
//! While a row is read, each doubt about it becomes a [`Note`]. A batch gathers the notes of its rows in a [`Tally`].
//! When the batch is settled, the tally becomes [`Finding`]s of the account, so that a row counts once however often
//! it is read.

use std::collections::HashMap;

pub use protocol::finding::{Finding, Holds};

use crate::refusal::WarningCode;
use crate::wording::worded;

/// A doubt about one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What kind of doubt.
    pub(crate) code: WarningCode,
    /// The column that it is about, if it is about one.
    pub(crate) column: Option<u32>,
    /// Whether the row is one of those. If not, it only could have been, and speaks against the others; or, with
    /// [`Holds::Beside`], it has what they go with.
    pub(crate) hit: bool,
    /// How many lines behind the first row of its group the row stands, where rows are grouped.
    pub(crate) lines_behind: u32,
}

impl Note {
    /// A doubt about the row as a whole.
    pub(crate) fn row(code: WarningCode) -> Note {
        Note { code, column: None, hit: true, lines_behind: 0 }
    }

    /// A doubt about a cell.
    pub(crate) fn cell(code: WarningCode, column: usize) -> Note {
        Note { column: u32::try_from(column).ok(), ..Note::row(code) }
    }

    /// Whether a doubt about that cell is among `notes`.
    pub(crate) fn is_among(notes: &[Note], code: WarningCode, column: usize) -> bool {
        let column = Note::cell(code, column).column;
        notes.iter().any(|note| note.code == code && note.column == column)
    }

    /// A cell that speaks against a doubt about its column.
    pub(crate) fn against(code: WarningCode, column: usize) -> Note {
        Note { hit: false, ..Note::cell(code, column) }
    }
}

/// How often something was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    rows: u64,
    of: u64,
    /// The line of the first, or of the first exception where a majority holds.
    line: u64,
    /// In the order in which they came.
    order: usize,
}

/// The doubts about the rows of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: HashMap<(WarningCode, Option<u32>), Count>,
}

impl Tally {
    /// Counts in what was noted of the row on `line`, or of the group that begins there.
    pub fn add(&mut self, notes: &[Note], line: u64) {
        for note in notes {
            let line = line + u64::from(note.lines_behind);
            let order = self.counts.len();
            let count = self.counts.entry((note.code, note.column)).or_insert(Count { rows: 0, of: 0, line, order });
            let against = !note.hit && note.code.holds() == Holds::Most && count.rows == count.of;
            if (note.hit && count.rows == 0 && note.code.holds() != Holds::Most) || against {
                count.line = line;
            }
            count.rows += u64::from(note.hit);
            count.of += u64::from(!note.hit || note.code.holds() != Holds::Beside);
        }
    }

    /// The findings, the columns called as `name` says, and in the words of a mapping if one reads the file.
    pub fn findings(&self, is_mapped: bool, name: impl Fn(u32) -> String) -> Vec<Finding> {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(_, count)| count.order);
        counts
            .into_iter()
            .map(|((code, column), count)| Finding {
                code: code.as_str().to_owned(),
                column: column.map(&name),
                rows: count.rows,
                of: count.of,
                line: count.line,
                holds: code.holds(),
                message: worded(code.advice_for(is_mapped).to_owned(), is_mapped),
            })
            .collect()
    }
}

impl WarningCode {
    /// When a warning is reported.
    pub(crate) fn holds(self) -> Holds {
        match self {
            WarningCode::DayMonthOrder
            | WarningCode::TimestampDigits
            | WarningCode::Thousands
            | WarningCode::DecimalPoints
            | WarningCode::IdCut => Holds::Every,
            WarningCode::LooksLikeUtf8 => Holds::Most,
            WarningCode::MixedTypes | WarningCode::MixedLiterals => Holds::Some,
            WarningCode::CopyEscapes => Holds::Beside,
            _ => Holds::Any,
        }
    }

    /// The text of the warning, with the mend that a mapping has, if one reads the file.
    pub(crate) fn advice_for(self, is_mapped: bool) -> &'static str {
        match self {
            WarningCode::MixedTypes if is_mapped => {
                "text, but other cells of the column are sent as numbers or booleans by INFER_TYPES; name the column in the mapping with type = \"string\", or another type"
            }
            WarningCode::MixedLiterals if is_mapped => {
                "booleans, but other cells of the column are sent as numbers by INFER_TYPES; name the column in the mapping with type = \"boolean\", or another type"
            }
            WarningCode::Thousands if is_mapped => {
                "each point in the column has three digits after it and is read as a decimal point; if the point separates thousands, set `decimal = \",\"`"
            }
            _ => self.advice(),
        }
    }

    /// The text of the warning.
    fn advice(self) -> &'static str {
        match self {
            WarningCode::ShortRow => {
                "fewer cells than the header has columns, so the missing cells count as empty; an unquoted line break may have cut a row in two"
            }
            WarningCode::IdNullMarker => "a null marker in place of an id, which counts as empty (ID_NULLS)",
            WarningCode::IdPlaceholder => {
                "the id looks like a placeholder such as `nan`, and is sent; add it to ID_NULLS if it is not an id"
            }
            WarningCode::IdNoData => {
                "the id looks like a total, a comment, a line of text, a rule, a type or the name of a column; it is sent; remove the row if it is not a record"
            }
            WarningCode::IdInvisible => {
                "characters inside the id that are invisible or lost (U+FFFD), or blanks other than U+0020; it is sent with them"
            }
            WarningCode::IdGuard => "the id is in a spreadsheet's guard (=\"…\"), which is removed",
            WarningCode::IdApostrophe => {
                "the id begins with an apostrophe and is sent with it; set CSV_QUOTE=single if it is a quote"
            }
            WarningCode::IdDecimal => "the id ends in `.0` and is sent unchanged; export the column as text",
            WarningCode::IdExponent => {
                "the id is a number in exponent notation, which may have lost digits, and is sent unchanged; format the column as text and export it again"
            }
            WarningCode::IdCut => {
                "each id with more than 15 digits has only zeros after the 15th digit; a spreadsheet keeps 15 digits, so several ids may have become one; format the column as text and export it again"
            }
            WarningCode::IdQuotes => {
                "the id has quotes around it and is sent with them; export it without, or with other quotes"
            }
            WarningCode::IdNotation => {
                "the id is in the notation of a program, such as `ObjectId(…)`, and is sent unchanged; export the id alone"
            }
            WarningCode::Footer => {
                "the row begins like a total or the end of a report, and is sent; remove the row if it is not a record"
            }
            WarningCode::OtherHeader => {
                "the row looks like another header, as in joined files, and is sent; remove the row if it is not a record"
            }
            WarningCode::RoundedNumber => {
                "a number in exponent notation, which a spreadsheet may have rounded, is sent unchanged; format the column as text and export it again"
            }
            WarningCode::NullMarker => "a null marker, which is sent as text; set NULLS to make it empty",
            WarningCode::Guard => "a spreadsheet's guard (=\"…\"), which is sent unchanged; export the values",
            WarningCode::Formula => {
                "a cell that begins with `=`, as a formula of a spreadsheet, is sent unchanged; export the values"
            }
            WarningCode::JsonEncodedTwice => {
                "a JSON string that holds JSON, which is sent as a string; export it encoded once"
            }
            WarningCode::JsonNameRepeated => {
                "a JSON object has the same name twice and is sent unchanged; remove one of the names"
            }
            WarningCode::SingleQuotes => {
                "every cell has single quotes around it, which are sent; set CSV_QUOTE=single if they are quotes"
            }
            WarningCode::TimestampEmpty => "no timestamp: Segment gives the call the time of its arrival",
            WarningCode::TimestampSentinel => {
                "a placeholder date such as 1970-01-01 or 9999-12-31, or a year of two digits with an uncertain century; it is sent unchanged; set NULLS if it is a placeholder"
            }
            WarningCode::TimestampDigits => {
                "these numbers are read as Unix time, but could also be dates such as 1905112032 (19-05-11 20:32); set TIMESTAMP_FORMATS if they are dates"
            }
            WarningCode::TimestampZoneless => "times without a zone, read as UTC; set TIMESTAMP_ZONE if they are not",
            WarningCode::TimestampAmbiguous => {
                "this local time does not exist, or exists twice, because of daylight saving; the offset before the change is used"
            }
            WarningCode::DayMonthOrder => {
                "each date is also valid with day and month exchanged; check TIMESTAMP_FORMATS"
            }
            WarningCode::MixedTypes => {
                "text, but other cells of the column are sent as numbers or booleans by INFER_TYPES; name the type in the header, as in `:string`"
            }
            WarningCode::CopyEscapes => {
                "backslashes as Postgres' COPY writes them in place of tabs and line ends; they are sent unchanged; export with COPY … (FORMAT csv)"
            }
            WarningCode::MixedLiterals => {
                "booleans, but other cells of the column are sent as numbers by INFER_TYPES; name the type in the header, as in `:boolean`"
            }
            WarningCode::Thousands => {
                "each point in the column has three digits after it and is read as a decimal point; if the point separates thousands, export without it"
            }
            WarningCode::DecimalPoints => {
                "each point in the column has three digits after it, and `decimal` of the mapping reads it as a separator of thousands; if it is a decimal point, remove `decimal`"
            }
            WarningCode::MessageIdRepeated => "repeats an earlier message id; Segment keeps only the first call",
            WarningCode::EventBlanks => "blanks or invisible characters around an event, which are sent",
            WarningCode::EmailBlanks => "blanks or invisible characters around an email address, which are sent",
            WarningCode::LooksLikeUtf8 => {
                "the text is valid UTF-8, but CSV_ENCODING reads it in another encoding; set CSV_ENCODING=utf-8, or write the whole file in one encoding"
            }
            WarningCode::CtrlZ => "the row ends with Ctrl-Z, which is removed",
            WarningCode::GroupReturns => {
                "the group has the cell of an earlier group, so its rows become several calls; sort the file by the column"
            }
            WarningCode::GroupValuesDiffer => {
                "rows of a group have different values, and only the first is sent; collect them in a list, as in `properties.items[].name`"
            }
            WarningCode::CellOmitted => {
                "a cell that its steps or its type refuse; the row is sent without it, because the mapping says `if_bad = \"omit\"`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_once_per_kind_and_column_with_the_first_line() {
        let mut tally = Tally::default();
        tally.add(&[Note::cell(WarningCode::NullMarker, 1), Note::row(WarningCode::ShortRow)], 7);
        tally.add(&[Note::against(WarningCode::MixedTypes, 2)], 8);
        tally.add(&[Note::cell(WarningCode::NullMarker, 1), Note::cell(WarningCode::MixedTypes, 2)], 9);
        let findings = tally.findings(false, |column| format!("c{column}"));
        let found: Vec<_> =
            findings.iter().map(|f| (f.code.as_str(), f.column.as_deref(), f.rows, f.of, f.line)).collect();
        assert_eq!(
            found,
            [("null_marker", Some("c1"), 2, 2, 7), ("short_row", None, 1, 1, 7), ("mixed_types", Some("c2"), 1, 2, 9)]
        );
        assert!(findings[0].in_words().starts_with("column `c1`: 2 rows, the first on line 7: "));
        assert!(findings[2].in_words().starts_with("column `c2`: 1 of 2 rows, on line 9: "));
    }

    #[test]
    fn a_row_with_both_signs_of_copy_counts_once() {
        let mut tally = Tally::default();
        let has_null = Note { hit: false, ..Note::row(WarningCode::CopyEscapes) };
        tally.add(&[has_null, Note::row(WarningCode::CopyEscapes)], 7);
        let findings = tally.findings(false, |column| format!("c{column}"));
        assert!(findings[0].holds());
        assert!(findings[0].in_words().starts_with("1 row, on line 7: "), "{}", findings[0].in_words());
    }

    #[test]
    fn the_readme_lists_every_warning() {
        let document = include_str!("../README.md");
        for code in WarningCode::ALL {
            assert!(document.contains(&format!("`{code}`")), "{code}");
        }
        assert!(document.contains(&format!("`{}`", protocol::finding::MORE)));
    }
}
