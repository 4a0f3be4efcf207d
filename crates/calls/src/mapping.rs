//! The rows that a mapping makes: cells go through verbs, and stand under the names of Segment's fields.
//!
//! A made row has the cells of the file's row in their places, and further ones behind them. [`ColumnPlan`] and the
//! encoder do the rest, as for any row. Hence a mapping that only renames gives the calls of the renamed file.

mod constants;
mod document;
mod empty;
mod filters;
mod header;
mod names;
mod paths;
mod sense;
mod targets;
mod verbs;

use protocol::mapping::Mapping;
use sha2::{Digest, Sha256};

use crate::columns::{CellType, ColumnPlan};
pub use crate::columns::{MappingFault, Part};
use crate::flaw::Flaw;
use crate::ids::{self, Names};
use crate::kind::Kind;
use crate::reading::Reading;
use crate::refusal::{RefusalCode, WarningCode};
use crate::rows::Cell;
use crate::warnings::Note;

pub use document::check;
use empty::EmptyRule;
use filters::Condition;
use verbs::{Basis, Doubts, Verbs};

/// Makes rows by a mapping.
#[derive(Debug)]
pub(crate) struct Mapper {
    /// How many cells a made row has.
    width: usize,
    /// The cells that are not as they stand in the file.
    made: Vec<(usize, Made)>,
    conditions: Vec<Condition>,
    /// The column whose adjacent equal cells make one call.
    group: Option<(usize, EmptyRule)>,
    /// The columns that gather a list from the rows of a group, in the order of the plan's lists.
    pub(crate) lists: Vec<usize>,
    basis: Basis,
    scratch: Vec<u8>,
    text: Vec<u8>,
    cells: Vec<Cell>,
    choices: Vec<usize>,
}

/// A row that a mapping makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeRow<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) cells: &'a [Cell],
    /// Which of its columns fills each cell, 0 being the first choice; empty where none has several.
    choices: &'a [usize],
}

impl MadeRow<'_> {
    /// Which of its columns fills a cell.
    pub(crate) fn choice(&self, column: usize) -> usize {
        self.choices.get(column).copied().unwrap_or(0)
    }
}

/// How a cell is made.
#[derive(Debug)]
enum Made {
    /// Of the first of these columns that has something: its cell, through its verbs.
    Of(Vec<Candidate>),
    /// It is the same in every row.
    Constant(Vec<u8>),
    /// It is a message id: the mapping's name, and a digest of the cells of these columns.
    MessageId { name: String, columns: Vec<(usize, EmptyRule)> },
}

/// A column that may fill a field.
#[derive(Debug)]
struct Candidate {
    column: usize,
    verbs: Verbs,
    omits_bad: bool,
    /// The type of the field, where several columns may fill it: a bad cell is known by its own column.
    wanted: Option<CellType>,
}

/// Compiles a mapping for a file whose header has the cells `names`.
pub(crate) fn compile(
    mapping: &Mapping,
    names: &[String],
    kind: Kind,
    reading: &Reading,
) -> Result<(Mapper, ColumnPlan), MappingFault> {
    let header = header::Header::read(names);
    let basis = Basis::new(reading);
    let mut layout = targets::lay_out(mapping, &header, kind, (reading, basis.times()))?;
    let decides = format!(" {mapping:?} {:?}", header.names);
    let plan = ColumnPlan::compile_mapped(&layout.targets, kind, reading, decides)?;
    for (column, made) in &mut layout.made {
        if let Made::Of(candidates) = made
            && candidates.len() > 1
        {
            let cell = plan.columns()[*column].cell;
            candidates.iter_mut().for_each(|candidate| candidate.wanted = Some(cell));
        }
    }
    let mapper = Mapper {
        width: plan.columns().len(),
        made: layout.made,
        conditions: layout.conditions,
        group: layout.group,
        lists: layout.lists,
        basis,
        scratch: Vec::new(),
        text: Vec::new(),
        cells: Vec::new(),
        choices: Vec::new(),
    };
    Ok((mapper, plan))
}

/// The names by which the header of a file is recognised that a mapping is for.
pub(crate) fn names(mapping: &Mapping) -> Vec<&str> {
    mapping.columns.iter().flat_map(|column| &column.names).map(|name| name.trim_matches(ids::is_nothing)).collect()
}

impl Mapper {
    /// Whether the cells of a column are not as they stand in the file.
    pub(crate) fn makes(&self, column: usize) -> bool {
        self.made.iter().any(|(made, _)| *made == column)
    }

    /// The column whose adjacent equal cells make one call.
    pub(crate) fn group(&self) -> Option<usize> {
        self.group.as_ref().map(|(column, _)| *column)
    }

    /// Whether a row with this cell in the column of the group is of no group.
    pub(crate) fn is_no_group(&self, cell: &[u8]) -> bool {
        self.group.as_ref().is_none_or(|(_, empty)| empty.is_empty(cell))
    }

    /// Whether a row passes every filter.
    pub(crate) fn passes(&mut self, text: &[u8], cells: &[Cell]) -> bool {
        let scratch = &mut self.scratch;
        self.conditions.iter().all(|condition| condition.is_met(text, cells, scratch))
    }

    /// Makes a row of a row of the file, which is valid UTF-8. Notes cells that are omitted. A message id is made of the
    /// first row of a group alone.
    pub(crate) fn make<'a>(
        &'a mut self,
        text: &'a [u8],
        cells: &'a [Cell],
        is_first: bool,
        names: &Names,
        notes: &mut Vec<Note>,
    ) -> Result<MadeRow<'a>, Flaw> {
        if self.made.is_empty() {
            // A short row stays short: what it lacks is not even empty.
            return Ok(MadeRow { text, cells, choices: &[] });
        }
        self.text.clear();
        self.text.extend_from_slice(text);
        self.cells.clear();
        self.cells.extend_from_slice(cells);
        self.cells.resize(self.width, Cell::new(0, 0, 0));
        self.choices.resize(self.width, 0);
        for (column, made) in &self.made {
            let begin = self.text.len();
            match made {
                Made::Of(candidates) => {
                    let row = (text, cells);
                    let (out, mut doubts) = (&mut self.text, Doubts { column: *column, names, notes });
                    let (choice, cell) =
                        first_filled(candidates, row, &mut self.basis, &mut self.scratch, &mut doubts, out)?;
                    self.choices[*column] = choice;
                    if let Some(cell) = cell {
                        self.cells[*column] = cell;
                        continue;
                    }
                }
                Made::Constant(value) => self.text.extend_from_slice(value),
                Made::MessageId { .. } if !is_first => {}
                Made::MessageId { name, columns } => {
                    message_id(name, columns, (text, cells), &mut self.scratch, &mut self.text)
                        .map_err(|flaw| flaw.in_column(*column))?;
                }
            }
            self.cells[*column] = Cell::new(begin, self.text.len(), 0);
        }
        Ok(MadeRow { text: &self.text, cells: &self.cells, choices: &self.choices })
    }
}

/// Appends the first of the cells that has something, or nothing. Returns which it is, and a cell that stays where it is.
fn first_filled(
    candidates: &[Candidate],
    (text, cells): (&[u8], &[Cell]),
    basis: &mut Basis,
    scratch: &mut Vec<u8>,
    doubts: &mut Doubts<'_>,
    out: &mut Vec<u8>,
) -> Result<(usize, Option<Cell>), Flaw> {
    let begin = out.len();
    let is_only = candidates.len() == 1;
    for (choice, candidate) in candidates.iter().enumerate() {
        let Some(cell) = cells.get(candidate.column) else { continue };
        let stays = candidate.verbs.is_none();
        if stays && is_only {
            return Ok((choice, Some(*cell)));
        }
        let value = cell.value(text, scratch);
        let filled = if stays {
            Ok(candidate.verbs.takes(value, basis))
        } else {
            candidate.verbs.apply(value, basis, doubts, out).map(|()| out.len() > begin)
        };
        let filled = filled.and_then(|is_filled| {
            let made = if stays { value } else { &out[begin..] };
            if is_filled { candidate.check(made, basis).map(|()| true) } else { Ok(false) }
        });
        match filled {
            Ok(true) => return Ok((choice, stays.then_some(*cell))),
            Ok(false) => {}
            Err(_) if candidate.omits_bad => {
                out.truncate(begin);
                doubts.notes.push(Note::cell(WarningCode::CellOmitted, doubts.column));
            }
            Err(flaw) => return Err(flaw.in_column(doubts.column).of_source(candidate.column)),
        }
    }
    Ok((0, None))
}

impl Candidate {
    /// Refuses a value that is not of the type of its field, where several columns may fill it.
    fn check(&self, value: &[u8], basis: &mut Basis) -> Result<(), Flaw> {
        let Some(wanted) = self.wanted else { return Ok(()) };
        if self.verbs.is_id && ids::is_rounded(ids::trim(value)) {
            return Err(Flaw::new(RefusalCode::RoundedId));
        }
        basis.check(wanted, value)
    }
}

/// Appends a message id that is the same wherever the same cells stand.
fn message_id(
    name: &str,
    columns: &[(usize, EmptyRule)],
    (text, cells): (&[u8], &[Cell]),
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Flaw> {
    let (mut digest, mut is_empty) = (Sha256::new(), true);
    for (column, empty) in columns {
        let value = cells.get(*column).map_or(&[][..], |cell| cell.value(text, scratch));
        let value = if empty.is_empty(value) { &[] } else { value };
        is_empty &= value.is_empty();
        digest.update((value.len() as u64).to_be_bytes());
        digest.update(value);
    }
    if is_empty {
        return Err(Flaw::new(RefusalCode::MessageIdEmpty));
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'-');
    verbs::append_hex(&digest.finalize()[..constants::DIGEST_BYTES], out);
    Ok(())
}
