//! The types of cells. One table declares all of a type but its writer, which is an arm of `call::cells::typed`.

use std::fmt;

use crate::refusal::RefusalCode;
use crate::table::table;

/// What the table declares of a type.
#[derive(Debug)]
pub struct TypeEntry {
    /// Its name in the report of `check`.
    pub name: &'static str,
    /// The word behind the colon by which a header names the type, if it can.
    pub word: Option<&'static str>,
    /// Words that other programs use for it. They belong to the column's name, and are warned about.
    pub other_words: &'static [&'static str],
    /// What its cells become, in the words of the documents.
    pub becomes: &'static str,
    /// Whether its cells may hold lists and objects, which the Objects API does not take.
    pub nests: bool,
    /// What is written of a cell.
    pub form: Form,
}

/// What is written of a cell.
#[derive(Debug)]
pub enum Form {
    /// A string, of any cell. With `EMPTY_CELLS=empty` an empty cell is `""`.
    Text,
    /// A time, as a string. With `EMPTY_CELLS=empty` an empty cell is `null`.
    Time(TypeRefusal),
    /// JSON that is no string of ours. With `EMPTY_CELLS=empty` an empty cell is `null`.
    Literal(TypeRefusal),
}

/// The refusal of a cell that is not what its type says.
#[derive(Debug)]
pub struct TypeRefusal {
    /// The code.
    pub code: RefusalCode,
    /// What the message says if nothing is known about the cause.
    pub what: &'static str,
}

table! {
    /// What a column's cells become.
    CellType of TypeEntry {
        /// A string, as the cell stands.
        String {
            name: "string",
            becomes: "a string, as it stands",
            word: Some("string"),
            other_words: &["text"],
            nests: false,
            form: Form::Text,
        }
        /// A number or boolean where the cell looks like one beyond doubt, else a string.
        Inferred {
            name: "inferred",
            becomes: "a number or a boolean without doubt, else a string",
            word: None,
            other_words: &[],
            nests: false,
            form: Form::Text,
        }
        /// A number, written as it stands in the cell.
        Number {
            name: "number",
            becomes: "a number, in the spelling of the cell",
            word: Some("number"),
            other_words: &["float", "double", "decimal"],
            nests: false,
            form: Form::Literal(TypeRefusal {
                code: RefusalCode::NotANumber,
                what: "not a number: write digits with at most a `-`, a `.` and an exponent",
            }),
        }
        /// A number without fraction or exponent.
        Integer {
            name: "integer",
            becomes: "a number without fraction and exponent",
            word: Some("integer"),
            other_words: &["int", "long"],
            nests: false,
            form: Form::Literal(TypeRefusal {
                code: RefusalCode::NotAnInteger,
                what: "not an integer: write digits with at most a `-`",
            }),
        }
        /// `true` or `false`, out of the spellings that databases and spreadsheets use.
        Boolean {
            name: "boolean",
            becomes: "`true` or `false`, of `true`, `t`, `yes`, `y`, `1`, `false`, `f`, `no`, `n`, `0` in any case",
            word: Some("boolean"),
            other_words: &["bool"],
            nests: false,
            form: Form::Literal(NOT_A_BOOLEAN),
        }
        /// An integration: `true` or `false` in any case, and nothing else, because Segment takes any
        /// string for true, `"false"` as well.
        Switch {
            name: "boolean",
            becomes: "`true` or `false`, in any case",
            word: None,
            other_words: &[],
            nests: false,
            form: Form::Literal(NOT_A_BOOLEAN),
        }
        /// Any JSON value.
        Json {
            name: "json",
            becomes: "the JSON value that it holds",
            word: Some("json"),
            other_words: &[],
            nests: true,
            form: Form::Literal(TypeRefusal { code: RefusalCode::NotJson, what: "not JSON" }),
        }
        /// A JSON object: a whole `properties`, `traits`, `context` or `integrations` in one column.
        Object {
            name: "json object",
            becomes: "the JSON object that it holds",
            word: None,
            other_words: &[],
            nests: true,
            form: Form::Literal(TypeRefusal { code: RefusalCode::NotAnObject, what: "not a JSON object" }),
        }
        /// ISO 8601, UTC, milliseconds.
        Timestamp {
            name: "timestamp",
            becomes: "ISO 8601 in UTC, with milliseconds",
            word: Some("timestamp"),
            other_words: &["date", "datetime"],
            nests: false,
            form: Form::Time(TypeRefusal {
                code: RefusalCode::NotATimestamp,
                what: "not a date: write 2019-05-11T20:32:27Z, Unix time, or set TIMESTAMP_FORMATS",
            }),
        }
    }
}

const NOT_A_BOOLEAN: TypeRefusal =
    TypeRefusal { code: RefusalCode::NotABoolean, what: "not a boolean: write true or false" };

impl CellType {
    /// The type's name in a plan as people are shown it.
    pub const fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// Whether its cells are times.
    pub fn is_time(self) -> bool {
        matches!(self.entry().form, Form::Time(_))
    }

    /// Whether its cells may be any text.
    pub(crate) fn is_text(self) -> bool {
        matches!(self.entry().form, Form::Text)
    }

    /// Whether its cells are written in quotes.
    pub(crate) fn is_quoted(self) -> bool {
        !matches!(self.entry().form, Form::Literal(_))
    }

    /// The refusal of a cell that is not of this type, if there is such a cell.
    pub fn refusal(self) -> Option<&'static TypeRefusal> {
        match &self.entry().form {
            Form::Text => None,
            Form::Time(refusal) | Form::Literal(refusal) => Some(refusal),
        }
    }

    /// The refusal with that code, if it is about the type of a cell.
    pub(crate) fn refusal_of(code: RefusalCode) -> Option<&'static TypeRefusal> {
        CellType::ALL.iter().filter_map(|cell| cell.refusal()).find(|refusal| refusal.code == code)
    }

    /// The type that a header names by `word`.
    pub(super) fn named(word: &str) -> Option<CellType> {
        CellType::ALL.iter().copied().find(|cell| cell.entry().word == Some(word))
    }

    /// Our word for the type that other programs, or other capitals, call `word`.
    pub(super) fn meant(word: &str) -> Option<&'static str> {
        let lower = word.to_ascii_lowercase();
        let is_meant = |entry: &TypeEntry| entry.word == Some(&lower) || entry.other_words.contains(&lower.as_str());
        CellType::ALL.iter().map(|cell| cell.entry()).find(|entry| is_meant(entry))?.word
    }
}

impl fmt::Display for CellType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
