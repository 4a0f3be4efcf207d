//! The header of the rows that a mapping makes: the columns of the file in their places, then further fields.

use crate::kind::Kind;
use crate::reading::Reading;
use crate::refusal::FileFault;

use super::compiler::Compiler;
use super::fields;
use super::heading::{Heading, Mapped};
use super::tree::Tree;
use super::{CellType, ColumnPlan, check_lengths, check_number};

/// The part of a mapping that a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The mapping as a whole.
    Whole,
    /// A field of a column, by the places of both.
    Field {
        /// The place of the column.
        column: usize,
        /// The place of the field in it.
        field: usize,
    },
    /// A constant, by its place.
    Constant(usize),
    /// A condition, by its place.
    Condition(usize),
    /// The columns of the message id.
    MessageId,
    /// The columns that are not named.
    Rest,
}

/// Why a mapping reads no file, or not this one.
#[derive(Clone, Debug)]
pub struct MappingFault {
    /// The part at fault.
    pub part: Part,
    /// The key of that part that makes no sense, empty if it is about no single key; `None` if it does not compile.
    pub key: Option<&'static str>,
    /// Code and message. About what makes no sense, the message follows on the name of the part.
    pub fault: FileFault,
    /// The part that it contradicts, if it contradicts one.
    pub(crate) other: Option<Part>,
}

impl MappingFault {
    pub(crate) fn of(part: Part, fault: FileFault) -> MappingFault {
        MappingFault { part, key: None, fault, other: None }
    }
}

impl From<FileFault> for MappingFault {
    fn from(fault: FileFault) -> MappingFault {
        MappingFault::of(Part::Whole, fault)
    }
}

impl From<MappingFault> for FileFault {
    fn from(fault: MappingFault) -> FileFault {
        fault.fault
    }
}

/// A column of the rows that a mapping makes.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name in messages: the name of the file's column.
    pub(crate) name: String,
    /// The column of the file that its cells are made of.
    pub(crate) source: usize,
    pub(crate) to: To,
    pub(crate) cell: Option<CellType>,
    /// Whether a bad cell is omitted.
    pub(crate) omits_bad: bool,
    /// Whether verbs or a constant make its cells, which then stand as they are: no null marker is looked for in them.
    pub(crate) is_made: bool,
    /// The part of the mapping that it is for.
    pub(crate) part: Part,
}

/// Where the cells of a column go.
#[derive(Debug)]
pub(crate) enum To {
    /// They are not sent.
    Nowhere,
    /// To a field, as headers write it, without a type.
    Path(String),
    /// To one key below a container, whatever signs the key has.
    Key(&'static str, String),
    /// To a field of each element of a list: the list, by its number, and the path in the element. An empty path: the
    /// cell is the element.
    Element { list: usize, path: String, whole: String },
}

/// The header of the rows that a mapping makes.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// First the columns of the file, in their order.
    pub(crate) columns: Vec<Target>,
    /// How many are the file's.
    pub(crate) source_columns: usize,
    /// How many of them are its own: all, unless the last are those of a rejects file.
    pub(crate) own_columns: usize,
    /// How many lists are gathered.
    pub(crate) lists: usize,
    /// Of several columns with one field, all but the one that its cells stand in, and that one.
    pub(crate) merged: Vec<(usize, usize)>,
}

impl Target {
    /// Whether its field has one value, and is no list of those of several rows.
    fn has_one_value(&self) -> bool {
        matches!(self.to, To::Path(_) | To::Key(..))
    }

    fn heading(&self) -> Heading<'_> {
        let (name, mapped) = match &self.to {
            To::Nowhere => ("", Mapped::Path),
            To::Path(path) => (path.as_str(), Mapped::Path),
            To::Key(container, key) => (key.as_str(), Mapped::Key(container, key)),
            To::Element { whole, .. } => (whole.as_str(), Mapped::Path),
        };
        Heading { full: &self.name, name, named: self.cell, mapped: Some(mapped) }
    }
}

impl ColumnPlan {
    /// Compiles the header of the rows that a mapping makes. `basis` is what decides their cells.
    pub(crate) fn compile_mapped(
        targets: &Targets,
        kind: Kind,
        reading: &Reading,
        basis: String,
    ) -> Result<ColumnPlan, MappingFault> {
        let columns = &targets.columns;
        check_number(columns.len())?;
        check_lengths(columns.iter().map(|target| target.name.as_str()))?;
        let headings: Vec<Heading<'_>> = columns.iter().map(Target::heading).collect();
        fields::require_mapped(kind, &headings)?;
        let mut compiler = Compiler::new(kind, reading, columns.len());
        compiler.basis = basis;
        let mut lists: Vec<Tree> = (0..targets.lists).map(|_| Tree::default()).collect();
        for (target, heading) in columns.iter().zip(&headings) {
            let added = match &target.to {
                To::Nowhere if !target.name.is_empty() => {
                    compiler.leave_out(heading);
                    Ok(())
                }
                To::Element { list, path, .. } => compiler.add_to_list(heading, &mut lists[*list], path),
                _ => compiler.add(heading),
            };
            let other = || compiler.contradicted().map(|other| columns[other].part);
            added.map_err(|fault| MappingFault { other: other(), ..MappingFault::of(target.part, fault) })?;
        }
        let lists = lists.iter().map(|list| compiler.list_plan(list)).collect();
        let mut plan = compiler.finish()?;
        for (other, column) in &targets.merged {
            plan.columns[*other].path = plan.columns[*column].path.clone();
        }
        for (column, target) in plan.columns.iter_mut().zip(columns) {
            if let To::Element { whole, .. } = &target.to {
                column.path = Some(whole.clone());
            }
        }
        plan.own_columns = targets.own_columns;
        plan.source_columns = targets.source_columns;
        plan.sources = columns.iter().map(|target| target.source).collect();
        plan.lists = lists;
        if columns.iter().any(|target| target.omits_bad) {
            plan.omits = columns.iter().map(|target| target.omits_bad).collect();
        }
        plan.singles = columns.iter().map(Target::has_one_value).collect();
        if columns.iter().any(|target| target.is_made) {
            plan.made = columns.iter().map(|target| target.is_made).collect();
        }
        Ok(plan)
    }
}
