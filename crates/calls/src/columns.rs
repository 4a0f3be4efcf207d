//! The header, compiled once to a [`ColumnPlan`]: for each column where its cells go and as what, and for
//! the call as a whole the JSON around them.
//!
//! Names are paths: `context.device.id` is nested, `tags.0` and `products.0.id` are arrays by
//! index, `tags[]` repeated is an array in the order of its columns. A name with an empty part
//! (`a..b`) stays one key, as the walkthrough has it. A last colon may say the type
//! (`properties.price:number`).

mod compiler;
mod doubts;
mod fields;
mod heading;
mod mapped;
mod snake;
mod tree;
mod types;
mod words;

use crate::ids::{NO_NULLS, Names, Nulls};
use crate::kind::Kind;
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault, RefusalCode, Warning};
use crate::subject::Subject;

use compiler::Compiler;
pub use fields::is_never_sent;
pub(crate) use fields::{near, plain};
use heading::Heading;
pub use mapped::{MappingFault, Part};
pub(crate) use mapped::{Target, Targets, To};
pub(crate) use tree::{Piece, Slot};
pub use types::{CellType, Form, TypeEntry, TypeRefusal, TypeWord};

/// Most columns of a file.
///
/// Segment docs: Rate limits, "properties per event: 10,000; extra ones are dropped".
pub const COLUMNS_MAX: usize = 10_000;

/// Longest name of a column. Every refusal in that column repeats it, and no warehouse that Segment
/// loads has longer ones (BigQuery: 300 characters, Redshift: 127 bytes).
pub const COLUMN_NAME_CHARS_MAX: usize = 1_000;

/// Most parts of a column's path. Deeper paths are mistakes.
pub const PATH_PARTS_MAX: usize = 32;

/// The columns that a rejects file adds. They are ignored on reading, so that the file can be
/// dropped back unchanged after its rows are corrected.
pub const REJECT_COLUMNS: [&str; 4] = ["_error_code", "_error", "_line", "_byte"];

/// One column of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name as the header has it, without blanks around it.
    pub name: String,
    /// Where its cells go in the call (`properties.plan`, `tags[1]`), or `None` when they are not
    /// sent.
    pub path: Option<String>,
    /// What its cells become.
    pub cell: CellType,
}

/// Columns that rules about whole rows look at.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    /// The columns that hold ids.
    pub(crate) ids: Vec<usize>,
    /// The columns whose cells are empty if they have only blanks, such as `event`.
    pub(crate) titles: Vec<usize>,
    pub(crate) message_id: Option<usize>,
    pub(crate) timestamp: Option<usize>,
    /// The `id` of an object.
    pub(crate) object_id: Option<usize>,
    /// What each row must have, in the order in which it is checked.
    pub(crate) required: Vec<RequiredCell>,
}

/// A field that each row must have, by its columns.
#[derive(Debug)]
pub(crate) struct RequiredCell {
    pub(crate) code: RefusalCode,
    /// Whether its columns hold ids.
    pub(crate) is_id: bool,
    pub(crate) column: usize,
    /// The columns that will do as well.
    pub(crate) others: Vec<usize>,
}

/// The header, compiled.
#[derive(Debug)]
pub struct ColumnPlan {
    kind: Kind,
    columns: Vec<Column>,
    /// How many columns are the source's own: all, unless the last are those of a rejects file.
    pub(crate) own_columns: usize,
    pub(crate) roles: Roles,
    /// Whether the first column holds ids.
    pub(crate) first_is_id: bool,
    /// The names of the columns, to find a header among the rows.
    pub(crate) names: Names,
    pub(crate) pieces: Vec<Piece>,
    /// How many columns the file has. A mapping adds others behind them.
    pub(crate) source_columns: usize,
    /// The column of the file that each column is made of, where a mapping adds some.
    sources: Vec<usize>,
    /// Whether a bad cell of each column is omitted; empty where none is.
    pub(crate) omits: Vec<bool>,
    /// Whether a mapping makes the cells of each column; empty where it makes none.
    made: Vec<bool>,
    /// Whether each column goes to a field that has one value in a group of rows; empty without a mapping.
    singles: Vec<bool>,
    /// The lists whose elements are gathered from the rows of a group.
    pub(crate) lists: Vec<ListPlan>,
    warnings: Vec<Warning>,
    fingerprint: String,
}

/// What writes an element of a list that is gathered from several rows.
#[derive(Debug)]
pub(crate) struct ListPlan {
    pub(crate) pieces: Vec<Piece>,
    /// Whether an element is an object, or else a value.
    pub(crate) is_object: bool,
}

impl ColumnPlan {
    /// The column of the file in which the cells of `column` stand. A constant has none: a number beyond the last.
    pub fn source_of(&self, column: usize) -> usize {
        self.sources.get(column).copied().unwrap_or(column)
    }

    /// Whether a bad cell of that column is omitted.
    pub(crate) fn omits(&self, column: usize) -> bool {
        self.omits.get(column).is_some_and(|omits| *omits)
    }

    /// Of words that count as nothing, those of a column: none where a mapping makes the cells, since it looks for them in
    /// the cells of the file.
    #[inline]
    pub(crate) fn nulls<'a>(&self, column: usize, nulls: &'a Nulls) -> &'a Nulls {
        if self.made.get(column).is_some_and(|made| *made) { &NO_NULLS } else { nulls }
    }

    /// Whether a mapping reads the file.
    pub fn is_mapped(&self) -> bool {
        // Only a mapping makes rows, and says what each cell is made of.
        !self.sources.is_empty()
    }

    /// Whether a column goes to a field that has one value in a group of rows.
    pub(crate) fn has_one_value(&self, column: usize) -> bool {
        self.singles.get(column).is_some_and(|single| *single)
    }

    /// The kind of the calls.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The columns, in the header's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What the owner of the file should know about its columns.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Two plans of the same fingerprint make the same calls of the same rows.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Compiles a header. `names` are its cells.
    pub(crate) fn compile(names: &[String], subject: &Subject, reading: &Reading) -> Result<ColumnPlan, FileFault> {
        check_number(names.len())?;
        let kind = subject.kind;
        let headings: Vec<Heading<'_>> = names.iter().map(|name| Heading::read(name)).collect();
        // Before anything that would repeat a name: where the header is missing, its first row
        // stands in its place, and that is personal data.
        fields::require(kind, &headings)?;
        check_lengths(headings.iter().map(|heading| heading.full))?;
        let mut compiler = Compiler::new(kind, reading, names.len());
        for heading in &headings {
            compiler.add(heading)?;
        }
        compiler.finish()
    }
}

/// The type of the cells at a path of a mapping that says none.
pub(crate) fn type_at(path: &str, kind: Kind, reading: &Reading) -> CellType {
    Compiler::new(kind, reading, 0).type_at(path)
}

/// Refuses a header of too many columns.
fn check_number(columns: usize) -> Result<(), FileFault> {
    if columns > COLUMNS_MAX {
        return Err(FileFault::new(
            FaultCode::TooManyColumns,
            format!("{columns} columns, at most {COLUMNS_MAX} can be read"),
        ));
    }
    Ok(())
}

/// Refuses a name that is too long.
fn check_lengths<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), FileFault> {
    for (name, number) in names.zip(1..) {
        let chars = name.chars().count();
        if chars > COLUMN_NAME_CHARS_MAX {
            return Err(FileFault::new(
                FaultCode::BadColumn,
                format!(
                    "the name of column {number} has {chars} characters, at most {COLUMN_NAME_CHARS_MAX} can be read"
                ),
            ));
        }
    }
    Ok(())
}
