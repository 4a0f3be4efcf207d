//! The faults of a row, and their messages.

mod notation;

use crate::columns::{CellType, ColumnPlan, REJECT_COLUMNS, TypeRefusal};
use crate::dialect::{Dialect, Encoding, Quoting};
use crate::ids;
use crate::json;
use crate::limits::{CALL_BYTES_MAX, GROUP_ROWS_MAX, MESSAGE_ID_CHARS_MAX, OBJECT_ID_CHARS_MAX};
use crate::refusal::{RefusalCode, RowRefusal, Span};
use crate::rows::Cell;
use crate::timestamps::{Likeness, Times};
use crate::wording::worded;

/// A fault of a row, before its place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) code: RefusalCode,
    pub(crate) column: Option<usize>,
    /// The column of the file, where several may fill that column.
    source: Option<usize>,
    /// The number in the message.
    pub(crate) number: usize,
    /// The probable cause.
    pub(crate) hint: Hint,
}

/// The probable cause of a flaw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Nothing is known.
    #[default]
    None,
    /// The cell is a null marker.
    NullMarker,
    /// The cell is a spreadsheet's number of a day.
    DayNumber,
    /// A blank other than U+0020, or an invisible character.
    Character(char),
    /// The cell is in a spreadsheet's guard.
    Guard,
    /// A placeholder date.
    Sentinel,
    /// A time with the name of its zone.
    NamedZone,
    /// A time with AM or PM.
    HalfDay,
    /// Digits that are no Unix time.
    TimeNumber,
    /// JSON as Python prints it.
    Python,
    /// A map as Java and Hive print it.
    JavaMap,
    /// An array as Postgres prints it.
    PostgresArray,
    /// JSON with names without quotes.
    BareName,
    /// `undefined`, `NaN` or `Infinity` of JavaScript in JSON.
    ScriptValue,
    /// `TRUE` or `Null`, which JSON writes in small letters.
    Capitals,
    /// JSON with curly quotes.
    CurlyQuotes,
    /// JSON with a line break, or another control character, in a string.
    LineBreak,
    /// JSON with a comma before a closing bracket.
    LastComma,
    /// Several JSON values.
    SeveralValues,
    /// JSON without its end.
    CutOff,
    /// A string that holds JSON.
    EncodedTwice,
    /// The cells that are too many are empty.
    TrailingDelimiter,
    /// A backslash is before a quote.
    Backslash,
    /// The cell should be a number with a decimal comma.
    DecimalComma,
}

impl Hint {
    pub(crate) fn of(value: &[u8]) -> Hint {
        if ids::is_null_marker(ids::trim(value)) {
            return Hint::NullMarker;
        }
        if ids::guarded(value.trim_ascii()).is_some() {
            return Hint::Guard;
        }
        let text = std::str::from_utf8(value).unwrap_or_default();
        let hidden = text.chars().find(|c| !c.is_ascii() && (c.is_whitespace() || ids::is_invisible(*c)));
        hidden.map_or(Hint::None, Hint::Character)
    }

    /// The hint for a cell that is not a date.
    pub(crate) fn of_time(value: &[u8], times: &Times) -> Hint {
        match times.likeness(value) {
            Some(Likeness::Sentinel) => Hint::Sentinel,
            Some(Likeness::NamedZone) => Hint::NamedZone,
            Some(Likeness::HalfDay) => Hint::HalfDay,
            Some(Likeness::Number) => Hint::TimeNumber,
            None => Hint::of(value),
        }
    }
}

impl Flaw {
    pub(crate) fn new(code: RefusalCode) -> Flaw {
        Flaw { code, column: None, source: None, number: 0, hint: Hint::None }
    }

    pub(crate) fn in_column(mut self, column: usize) -> Flaw {
        self.column = Some(column);
        self
    }

    pub(crate) fn of_source(mut self, column: usize) -> Flaw {
        self.source = Some(column);
        self
    }

    pub(crate) fn counting(mut self, number: usize) -> Flaw {
        self.number = number;
        self
    }

    pub(crate) fn hinting(mut self, hint: Hint) -> Flaw {
        self.hint = hint;
        self
    }

    /// The refusal: where, what, and what to write instead. `lines` is how many the row takes.
    #[cold]
    pub(crate) fn at(self, span: Span, cells: &[Cell], plan: &ColumnPlan, dialect: Dialect, lines: u64) -> RowRefusal {
        let columns = plan.columns();
        let source = self.source.or_else(|| self.column.map(|column| plan.source_of(column)));
        let is_other = self.column.map(|column| plan.source_of(column)) != source;
        let named = if is_other { source } else { self.column };
        let column = named.and_then(|column| columns.get(column)).map(|column| column.name.clone());
        let at_fault = match self.code {
            RefusalCode::TooManyCells => {
                let all = plan.source_columns;
                let first = if cells.len() > all { all } else { plan.own_columns };
                cells.get(first).zip(cells.last())
            }
            _ => source.and_then(|column| cells.get(column)).map(|cell| (cell, cell)),
        };
        let cell = at_fault.map(|(first, last)| first.start()..last.end());
        let what = worded(self.say(plan, dialect, lines), plan.is_mapped());
        let line = span.line;
        let message = match &column {
            Some(column) => format!("line {line}, column `{column}`: {what}"),
            None => format!("line {line}: {what}"),
        };
        RowRefusal { span, code: self.code, column, cell, message }
    }

    /// The fault and its fix.
    fn say(self, plan: &ColumnPlan, dialect: Dialect, lines: u64) -> String {
        let kind = plan.kind();
        if let Some(required) = kind.requirement(self.code) {
            let empty = if self.hint == Hint::NullMarker { "a null marker, which counts as empty," } else { "empty," };
            return format!("{empty} and every {kind} needs {}", required.needs);
        }
        match CellType::refusal_of(self.code) {
            Some(refusal) => self.about_cell(refusal),
            None => self.about_row(plan, dialect, lines),
        }
    }

    /// The message about a cell that does not have the type of its column.
    fn about_cell(self, refusal: &TypeRefusal) -> String {
        let what = match self.hint {
            Hint::NullMarker => {
                return format!("a null marker and {}: set NULLS to make it empty", words(self.code));
            }
            Hint::Character(c) if self.code != RefusalCode::NotJson => {
                return format!(
                    "a blank or an invisible character (U+{:04X}) in it: write the cell without it",
                    u32::from(c)
                );
            }
            Hint::Guard if self.code != RefusalCode::NotJson => {
                "a spreadsheet's guard (=\"…\") around it: write the cell without it"
            }
            Hint::DayNumber => {
                "not a date but the number of a day, as a spreadsheet stores it: format the column as a date and export it again"
            }
            Hint::Sentinel => "a placeholder date such as 9999-12-31: set NULLS to make it empty",
            Hint::NamedZone => "a time with the name of its zone: write `Z` or an offset such as +02:00 instead",
            Hint::HalfDay => {
                "a time with AM or PM: set TIMESTAMP_FORMATS, for instance to %Y-%m-%d %I:%M:%S %p;%Y-%m-%d %I:%M %p"
            }
            Hint::TimeNumber => {
                "digits that are not Unix time for certain: write 2019-05-11T20:32:27Z, or set TIMESTAMP_FORMATS"
            }
            Hint::Python => "not JSON, it looks like Python: JSON has double quotes and true, false, null",
            Hint::JavaMap => "not JSON, it looks like a map of Hive or Java ({a=1}): write {\"a\":1}",
            Hint::PostgresArray => {
                "not JSON, it looks like an array of Postgres ({a,b}): write [\"a\",\"b\"], for instance with to_json"
            }
            Hint::BareName => "not JSON, a name in it has no quotes: write {\"a\":1} for {a:1}",
            Hint::ScriptValue => "not JSON, which does not have undefined, NaN and Infinity: write null",
            Hint::Capitals => "not JSON, which writes true, false and null in small letters",
            Hint::CurlyQuotes => "not JSON, it has curly quotes: write straight ones (\")",
            Hint::LineBreak => "not JSON, a string in it has a line break or a control character: write \\n or \\t",
            Hint::LastComma => "not JSON, it has a comma before a closing bracket: remove it",
            Hint::SeveralValues => "not JSON but several values: write them as an array, or remove all but one",
            Hint::CutOff => "not JSON, its end is missing: the export may have cut long cells off",
            Hint::EncodedTwice => "not a JSON object but a string that holds one: it was encoded twice",
            Hint::DecimalComma => {
                "not a number with a decimal comma: write 1234,56, or 1.234,56 with a point before each three digits"
            }
            Hint::None | Hint::Character(_) | Hint::Guard | Hint::TrailingDelimiter | Hint::Backslash => refusal.what,
        };
        what.to_owned()
    }

    /// The message about a fault that depends neither on the kind nor on a column's type.
    fn about_row(self, plan: &ColumnPlan, dialect: Dialect, lines: u64) -> String {
        let (number, encoding, own) = (self.number, dialect.encoding, plan.own_columns);
        match self.code {
            RefusalCode::RoundedId => {
                "an id in exponent notation has lost digits: format the column as text and export it again".to_owned()
            }
            RefusalCode::IdTooLong => {
                format!("{number} characters, an object's id has at most {OBJECT_ID_CHARS_MAX}: shorten the id")
            }
            RefusalCode::MessageIdTooLong => {
                format!("{number} characters, a message id has at most {MESSAGE_ID_CHARS_MAX}: shorten the id")
            }
            RefusalCode::ObjectEmpty => "every property is empty: fill in one, or remove the row".to_owned(),
            RefusalCode::CallTooLarge => {
                format!("the call has {number} bytes, Segment takes at most {CALL_BYTES_MAX}: shorten or remove cells")
            }
            RefusalCode::TooManyCells if self.hint == Hint::TrailingDelimiter => trailing_delimiters(number, own),
            RefusalCode::TooManyCells if number <= plan.source_columns => format!(
                "{number} cells, the header has {} before `{}` and {} in all: quote a cell that contains the delimiter",
                plan.own_columns, REJECT_COLUMNS[0], plan.source_columns
            ),
            RefusalCode::TooManyCells => format!(
                "{number} cells, the header has {}: quote a cell that contains the delimiter",
                plan.source_columns
            ),
            RefusalCode::UnclosedQuote | RefusalCode::StrayQuote if dialect.quoting != Quoting::default() => {
                format!("the row does not fit {}, the dialect of this file{}", dialect.quoting, spans(lines))
            }
            RefusalCode::UnclosedQuote => {
                format!("a quote is never closed, so this row contains the rest of the file: close it{}", spans(lines))
            }
            RefusalCode::StrayQuote if matches!(self.hint, Hint::Character(_)) => {
                let Hint::Character(blank) = self.hint else { return String::new() };
                format!(
                    "a quote after a blank or an invisible character (U+{:04X}): remove that character{}",
                    u32::from(blank),
                    spans(lines)
                )
            }
            RefusalCode::StrayQuote if self.hint == Hint::Backslash => format!(
                "text after a closing quote, and a backslash before a quote: set CSV_ESCAPE=backslash if backslashes escape quotes in this file, or else double each quote inside a quoted cell{}",
                spans(lines)
            ),
            RefusalCode::StrayQuote => format!(
                "text after a closing quote, or a quote after a blank: double each quote inside a quoted cell{}",
                spans(lines)
            ),
            RefusalCode::InvalidEncoding if encoding == Encoding::Utf8 && dialect.bom => {
                "not UTF-8, and the byte order mark of the file, which says UTF-8, overrides CSV_ENCODING: save the file again as UTF-8"
                    .to_owned()
            }
            RefusalCode::InvalidEncoding if encoding == Encoding::Utf8 => {
                "not UTF-8: save the file as UTF-8, or set CSV_ENCODING, for instance to windows-1252".to_owned()
            }
            RefusalCode::InvalidEncoding if matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be) => format!(
                "not {encoding}: it has half a character, because the file breaks off or bytes were added to it; save the file again"
            ),
            RefusalCode::InvalidEncoding => {
                format!("not {encoding}: set CSV_ENCODING to the encoding of the file, or save it as UTF-8")
            }
            RefusalCode::JsonTooDeep => format!("JSON that nests more than {} levels deep: flatten it", json::DEPTH_MAX),
            RefusalCode::UnknownValue => {
                "not among the `values` of the mapping: add it there, or set `else` for every other cell"
                    .to_owned()
            }
            RefusalCode::GroupRefused => "another row of its group is refused: correct that row".to_owned(),
            RefusalCode::GroupTooLong => format!(
                "a group has at most {GROUP_ROWS_MAX} rows, and more adjacent rows have the same cell: group by another column"
            ),
            RefusalCode::GroupIdsDiffer => {
                "another id than in the rows before it in the group: correct it, or group by another column".to_owned()
            }
            RefusalCode::MessageIdEmpty => "empty, as are all cells of `message_id`".to_owned(),
            code => words(code),
        }
    }
}

fn trailing_delimiters(number: usize, own: usize) -> String {
    let (last, delimiters) = match number.saturating_sub(own) {
        1 => ("the last is empty".to_owned(), "delimiter"),
        more => (format!("the last {more} are empty"), "delimiters"),
    };
    format!(
        "{number} cells, the header has {own}, and {last}: remove the {delimiters} at the end of each row, or add as many to the header"
    )
}

/// The warning that a row over several lines may contain several rows.
fn spans(lines: u64) -> String {
    if lines > 1 { format!("; the row spans {lines} lines, so it may contain several rows") } else { String::new() }
}

/// The words of a code.
fn words(code: RefusalCode) -> String {
    code.as_str().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Compression, Delimiter};
    use crate::kind::Kind;
    use crate::reading::Reading;
    use crate::subject::Subject;

    #[test]
    fn each_code_has_a_text() {
        let reading = Reading::default();
        let subject = Subject::of("track_1.csv", &[], None).unwrap();
        let plan = ColumnPlan::compile(&["userId".to_owned(), "event".to_owned()], &subject, &reading).unwrap();
        let dialect = Dialect {
            compression: Compression::None,
            encoding: Encoding::Utf8,
            bom: false,
            delimiter: Delimiter::Comma,
            quoting: Quoting::default(),
        };
        for &code in RefusalCode::ALL {
            let is_required = Kind::ALL.iter().any(|kind| kind.requirement(code).is_some());
            let text = Flaw::new(code).say(&plan, dialect, 1);
            assert!(is_required || text != words(code), "{code}");
        }
    }
}
