//! How the columns of a CSV file of another tool become calls, as plain data.
//!
//! The crate `config` reads a mapping from a document, the crate `calls` reads rows by it. A checkpoint keeps it inside
//! [`crate::reading::Reading`], so that a file is read to its end as it was begun.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One `[[mapping]]`: the call, and what its fields are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mapping {
    /// The mapping's name: letters, digits, `.`, `_` and `-`. It stands in stream, ledger, report and made message ids.
    pub name: String,
    /// The kind of every call, as names of files have it: `identify`, …, `object`.
    pub call: String,
    /// The Objects API collection of an `object`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Named columns, in the order of the document: of several with one path, the first filled cell of a row wins.
    pub columns: Vec<Column>,
    /// Constants, in the order of the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Constant>,
    /// What becomes of columns that are not named.
    pub rest: Rest,
    /// How numbers are written in columns without a type, where types are inferred. A field says it for itself.
    #[serde(skip_serializing_if = "Decimal::is_point")]
    pub decimal: Decimal,
    /// Rows that do not pass every filter are skipped.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "where")]
    pub filters: Vec<Filter>,
    /// Columns whose cells, with the mapping's name, make the message id; empty: the row's place makes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub message_id: Vec<String>,
    /// The column whose adjacent equal cells make one call of several rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A column of the file, and the fields that its cells go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Column {
    /// Its name in the header, then other names for it. The second of two equal names is `Name#2`.
    pub names: Vec<String>,
    /// Whether the file may lack it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Where its cells go; each field has verbs of its own.
    pub fields: Vec<Field>,
}

/// A field of the call, and the verbs that a cell goes through on its way, in the order of this declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Field {
    /// The path, as headers write it (`traits.email`, `properties.products[].sku`), without a type.
    pub to: String,
    /// Cells that count as empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// Characters that are taken off the ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip: Option<Strip>,
    /// Whether white space is taken off both ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trim: bool,
    /// Whether letters become small.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lower: bool,
    /// Cells and what they become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
    /// The separator at which a cell becomes a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What is put before a cell that is not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Whether the cell becomes the 64 hex digits of its SHA-256; an empty cell stays empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sha256: bool,
    /// The type, as headers write it (`number`, `json`, …), or `date`, which keeps the day whatever the zone.
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub cell: Option<String>,
    /// How numbers are written.
    #[serde(skip_serializing_if = "Decimal::is_point")]
    pub decimal: Decimal,
    /// What becomes of a cell that its verbs or its type refuse.
    #[serde(skip_serializing_if = "IfBad::is_refuse")]
    pub if_bad: IfBad,
}

/// Characters that are taken off a cell's ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strip {
    /// Each of these characters, as often as it stands there.
    pub characters: String,
    /// At which end.
    pub side: Side,
}

/// An end of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Both ends.
    #[default]
    Both,
    /// The beginning.
    Left,
    /// The end.
    Right,
}

/// A table of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Cells, in exactly this spelling, and what they become.
    pub table: BTreeMap<String, String>,
    /// What every other filled cell becomes; without it, the row is refused.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "else")]
    pub otherwise: Option<String>,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decimal {
    /// `1234.56`, as JSON has it.
    #[default]
    Point,
    /// `1.234,56`: points separate thousands, and a misplaced one refuses the cell.
    Comma,
}

impl Decimal {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_point(&self) -> bool {
        *self == Decimal::Point
    }
}

/// What becomes of a bad cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfBad {
    /// The row is refused.
    #[default]
    Refuse,
    /// The row is sent without the cell, and the cell is counted.
    Omit,
}

impl IfBad {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_refuse(&self) -> bool {
        *self == IfBad::Refuse
    }
}

/// A constant: a field and its value, in every call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constant {
    /// The field's path.
    pub to: String,
    /// Its value as JSON.
    pub json: String,
}

/// What becomes of columns that are not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// They are sent as traits, under their names.
    Traits,
    /// They are sent as properties, under their names.
    Properties,
    /// They are not sent.
    Drop,
    /// The file is refused if it has one.
    #[default]
    Refuse,
}

/// A condition on the cell of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// The column's name in the header.
    pub column: String,
    /// The cell is one of these; empty: no condition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<String>,
    /// The cell is none of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<String>,
    /// `Some(true)`: the cell has something else than white space; `Some(false)`: it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filled: Option<bool>,
}
