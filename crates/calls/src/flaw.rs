//! What is wrong with a row, and how it is said.

use crate::columns::{Plan, REJECT_COLUMNS};
use crate::dialect::Encoding;
use crate::limits::{CALL_BYTES_MAX, MESSAGE_ID_CHARS_MAX, OBJECT_ID_CHARS_MAX};
use crate::refusal::{Refusal, RefusalCode, Span};
use crate::rows::Cell;
use crate::subject::Kind;

/// What is wrong with a row, before its place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) code: RefusalCode,
    pub(crate) column: Option<usize>,
    /// A number that the message speaks of.
    pub(crate) number: usize,
}

impl Flaw {
    pub(crate) fn new(code: RefusalCode) -> Flaw {
        Flaw { code, column: None, number: 0 }
    }

    pub(crate) fn in_column(mut self, column: usize) -> Flaw {
        self.column = Some(column);
        self
    }

    pub(crate) fn counting(mut self, number: usize) -> Flaw {
        self.number = number;
        self
    }

    /// The refusal: where, what, and what to write instead. `lines` is how many the row takes.
    #[cold]
    pub(crate) fn at(self, span: Span, cells: &[Cell], plan: &Plan, encoding: Encoding, lines: u64) -> Refusal {
        let columns = plan.columns();
        let column = self.column.and_then(|column| columns.get(column)).map(|column| column.name.clone());
        let at_fault = match self.code {
            RefusalCode::TooManyCells => {
                let first = if cells.len() > columns.len() { columns.len() } else { plan.own_columns };
                cells.get(first).zip(cells.last())
            }
            _ => self.column.and_then(|column| cells.get(column)).map(|cell| (cell, cell)),
        };
        let cell = at_fault.map(|(first, last)| first.start()..last.end());
        let what = self.say(plan, encoding, lines);
        let line = span.line;
        let message = match &column {
            Some(column) => format!("line {line}, column `{column}`: {what}"),
            None => format!("line {line}: {what}"),
        };
        Refusal { span, code: self.code, column, cell, message }
    }

    fn say(self, plan: &Plan, encoding: Encoding, lines: u64) -> String {
        let (kind, number) = (plan.kind(), self.number);
        match self.code {
            RefusalCode::MissingUserId if kind == Kind::Alias => "empty, and every alias needs a user id".to_owned(),
            RefusalCode::MissingUserId => {
                format!("empty, and every {kind} needs a `userId` or an `anonymousId`")
            }
            RefusalCode::EventMissing => "empty, and every track needs an event".to_owned(),
            RefusalCode::MissingGroupId => "empty, and every group needs a group id".to_owned(),
            RefusalCode::MissingPreviousId => "empty, and every alias needs a previous id".to_owned(),
            RefusalCode::MissingId => "empty, and every object needs an id".to_owned(),
            RefusalCode::IdTooLong => {
                format!("{number} characters, an object's id has at most {OBJECT_ID_CHARS_MAX}")
            }
            RefusalCode::MessageIdTooLong => {
                format!("{number} characters, a message id has at most {MESSAGE_ID_CHARS_MAX}")
            }
            RefusalCode::ObjectEmpty => "every property is empty".to_owned(),
            RefusalCode::CallTooLarge => {
                format!("the call is {number} bytes, Segment takes at most {CALL_BYTES_MAX}")
            }
            RefusalCode::TooManyCells if number <= plan.columns().len() => format!(
                "{number} cells, the header has {} before `{}` and {} in all; a cell with a delimiter in it has to be quoted",
                plan.own_columns,
                REJECT_COLUMNS[0],
                plan.columns().len()
            ),
            RefusalCode::TooManyCells => format!(
                "{number} cells, the header has {}; a cell with a delimiter in it has to be quoted",
                plan.columns().len()
            ),
            RefusalCode::UnclosedQuote => {
                format!("a quote is never closed, so this row took the rest of the file ({} lines)", lines.max(1))
            }
            RefusalCode::StrayQuote => format!(
                "text behind a closing quote: a quote inside a quoted cell must be doubled, the row may hold several ({} lines)",
                lines.max(1)
            ),
            RefusalCode::InvalidEncoding if encoding == Encoding::Utf8 => {
                "not UTF-8: save the file as UTF-8, or set CSV_ENCODING, for instance to windows-1252".to_owned()
            }
            RefusalCode::InvalidEncoding => format!("not {encoding}"),
            RefusalCode::NotATimestamp => {
                "not a date: write 2019-05-11T20:32:27Z, Unix time, or set TIMESTAMP_FORMATS".to_owned()
            }
            RefusalCode::NotANumber => {
                "not a number: write digits with at most a `-`, a `.` and an exponent".to_owned()
            }
            RefusalCode::NotAnInteger => "not an integer: write digits with at most a `-`".to_owned(),
            RefusalCode::NotABoolean => "not a boolean: write true or false".to_owned(),
            RefusalCode::NotJson => "not JSON".to_owned(),
            RefusalCode::NotAnObject => "not a JSON object".to_owned(),
        }
    }
}
