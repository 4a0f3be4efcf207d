//! The types of cells. One table declares all of a type but its writer, which is an arm of `call::cells::typed`.

use std::fmt;

use crate::refusal::RefusalCode;
use crate::table::table;

/// What the table declares of a type.
#[derive(Debug)]
pub struct TypeEntry {
    /// Its name in the report of `check`.
    pub name: &'static str,
    /// How a header names it, if it can.
    pub word: Option<TypeWord>,
    /// Whether its cells may hold lists and objects, which the Objects API does not take.
    pub nests: bool,
    /// What is written of a cell.
    pub form: Form,
}

/// How a header names a type.
#[derive(Debug)]
pub struct TypeWord {
    /// The word behind the colon.
    pub word: &'static str,
    /// Words that other programs use. They belong to the column's name, and are warned about.
    pub others: &'static [&'static str],
    /// What its cells become, in the words of the documents.
    pub becomes: &'static str,
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
            word: Some(TypeWord {
                word: "string",
                others: &["text"],
                becomes: "a string, as it stands",
            }),
            nests: false,
            form: Form::Text,
        }
        /// A number or boolean where the cell looks like one beyond doubt, else a string.
        Inferred {
            name: "inferred",
            word: None,
            nests: false,
            form: Form::Text,
        }
        /// The same where numbers have a decimal comma.
        InferredComma {
            name: "inferred",
            word: None,
            nests: false,
            form: Form::Text,
        }
        /// A number, written as it stands in the cell.
        Number {
            name: "number",
            word: Some(TypeWord {
                word: "number",
                others: &["float", "double", "decimal"],
                becomes: "a number, in the spelling of the cell",
            }),
            nests: false,
            form: Form::Literal(TypeRefusal {
                code: RefusalCode::NotANumber,
                what: "not a number: write digits with at most a `-`, a `.` and an exponent",
            }),
        }
        /// A number without fraction or exponent.
        Integer {
            name: "integer",
            word: Some(TypeWord {
                word: "integer",
                others: &["int", "long"],
                becomes: "a number without fraction and exponent",
            }),
            nests: false,
            form: Form::Literal(TypeRefusal {
                code: RefusalCode::NotAnInteger,
                what: "not an integer: write digits with at most a `-`",
            }),
        }
        /// `true` or `false`, out of the spellings that databases and spreadsheets use.
        Boolean {
            name: "boolean",
            word: Some(TypeWord {
                word: "boolean",
                others: &["bool"],
                becomes: "`true` or `false`, of `true`, `t`, `yes`, `y`, `1`, `false`, `f`, `no`, `n`, `0` in any case",
            }),
            nests: false,
            form: Form::Literal(NOT_A_BOOLEAN),
        }
        /// An integration: `true` or `false` in any case, and nothing else, because Segment takes any
        /// string for true, `"false"` as well.
        Switch {
            name: "boolean",
            word: None,
            nests: false,
            form: Form::Literal(NOT_A_BOOLEAN),
        }
        /// Any JSON value.
        Json {
            name: "json",
            word: Some(TypeWord {
                word: "json",
                others: &[],
                becomes: "the JSON value that it holds",
            }),
            nests: true,
            form: Form::Literal(TypeRefusal { code: RefusalCode::NotJson, what: "not JSON" }),
        }
        /// A JSON object: a whole `properties`, `traits`, `context` or `integrations` in one column.
        Object {
            name: "json object",
            word: None,
            nests: true,
            form: Form::Literal(TypeRefusal { code: RefusalCode::NotAnObject, what: "not a JSON object" }),
        }
        /// ISO 8601, UTC, milliseconds.
        Timestamp {
            name: "timestamp",
            word: Some(TypeWord {
                word: "timestamp",
                others: &["date", "datetime"],
                becomes: "ISO 8601 in UTC, with milliseconds",
            }),
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

    /// How a header names it, if it can.
    pub fn word(self) -> Option<&'static TypeWord> {
        self.entry().word.as_ref()
    }

    /// The type that a header names by `word`.
    pub(crate) fn named(word: &str) -> Option<CellType> {
        CellType::ALL.iter().copied().find(|cell| cell.word().is_some_and(|named| named.word == word))
    }

    /// Our word for the type that other programs, or other capitals, call `word`.
    pub fn meant(word: &str) -> Option<&'static str> {
        let lower = word.to_ascii_lowercase();
        let mut words = CellType::ALL.iter().filter_map(|cell| cell.word());
        words.find(|named| named.word == lower || named.others.contains(&lower.as_str())).map(|named| named.word)
    }
}

impl fmt::Display for CellType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
