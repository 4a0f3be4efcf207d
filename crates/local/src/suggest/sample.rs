//! The header and the first rows of a file, read as the ingester reads them.

use super::source::Source;
use crate::csv_cells::cells;
use crate::input::{machine, read};
use anyhow::Context;
use calls::batches::Batch;
use calls::columns::{Column as PlannedColumn, REJECT_COLUMNS};
use calls::dialect::Dialect;
use calls::pipeline::{Next, Pipeline};
use calls::subject::SubjectOf;
use protocol::mapping::{Constant, Mapping, Rest};
use protocol::reading::Reading;
use std::collections::HashSet;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The header and the first rows of a file.
#[derive(Debug)]
pub(super) struct Sample {
    /// The name of the file.
    pub(super) name: String,
    pub(super) dialect: Dialect,
    /// Lines before the header.
    pub(super) skip_lines: u32,
    pub(super) columns: Vec<Column>,
    /// Columns that are called as those of rejects files, and are never sent.
    pub(super) reserved: Vec<String>,
    /// How many rows were read.
    pub(super) rows: usize,
}

/// A column that can be sent.
#[derive(Debug)]
pub(super) struct Column {
    /// As a mapping names it: the second of two equal names is `Name#2`.
    pub(super) name: String,
    /// Its cells without blanks around them, one for each row.
    pub(super) cells: Vec<String>,
}

impl Column {
    /// The cells that have something, beside null markers.
    pub(super) fn filled(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(String::as_str).filter(|cell| is_filled(cell))
    }

    /// Whether every row has a cell.
    pub(super) fn is_full(&self) -> bool {
        !self.cells.is_empty() && self.cells.iter().all(|cell| is_filled(cell))
    }

    /// Whether each row has a cell of its own.
    pub(super) fn is_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.is_full() && self.cells.iter().all(|cell| seen.insert(cell))
    }
}

/// Words of programs for an empty cell.
pub(super) const NULL_WORDS: [&str; 8] = ["NULL", "null", "\\N", "N/A", "n/a", "#N/A", "None", "-"];

pub(super) fn is_filled(cell: &str) -> bool {
    !cell.is_empty() && !NULL_WORDS.contains(&cell)
}

impl Sample {
    /// Reads at most about `rows_max` rows.
    pub(super) fn read(source: &Source, rows_max: u64) -> anyhow::Result<Sample> {
        anyhow::ensure!(
            !begins_as_json(&mut source.open()?),
            "it is JSON, and a mapping reads CSV: export it as CSV, with a row that names the columns"
        );
        let read = read_by(source, 0, rows_max)?;
        if read.may_have_preamble()
            && let Some(better) = read_behind_preamble(source, &read, rows_max)?
        {
            return better.sample(source.name());
        }
        read.sample(source.name())
    }
}

/// Whether a file begins as JSON does, and no header: with an object, or a list of objects or lists.
fn begins_as_json(input: &mut dyn std::io::Read) -> bool {
    let mut begin = [0; 1024];
    let length = read(input, &mut begin).unwrap_or(0);
    let text = String::from_utf8_lossy(&begin[..length]);
    let signs: String = text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').take(2).collect();
    ["{\"", "[{", "[["].contains(&signs.as_str())
}

/// Lines that may stand before a header.
const PREAMBLE_LINES_MAX: u32 = 30;
/// Rows that tell whether a line is the header.
const PREAMBLE_ROWS: u64 = 50;

/// A file, read behind so many lines.
struct Read {
    skip_lines: u32,
    machine: Pipeline,
    rows: Vec<Vec<String>>,
}

fn read_by(source: &Source, skip_lines: u32, rows_max: u64) -> anyhow::Result<Read> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let machine = read_rows(source, &reading(skip_lines), rows_max, |batch, delimiter| {
        let calls = batch.calls.iter().map(|call| (call.span.from, &call.record));
        let refused = batch.refused.iter().map(|refused| (refused.refusal.span.from, &refused.record));
        let mut records: Vec<_> = calls.chain(refused).collect();
        records.sort_by_key(|(from, _)| *from);
        rows.extend(records.into_iter().map(|(_, record)| cells(&batch.records[record.clone()], delimiter)));
    })?;
    Ok(Read { skip_lines, machine, rows })
}

/// Finds the header behind lines about the report. `first` is the file, read from its first line.
fn read_behind_preamble(source: &Source, first: &Read, rows_max: u64) -> anyhow::Result<Option<Read>> {
    for skip_lines in 1..=PREAMBLE_LINES_MAX {
        let read = read_by(source, skip_lines, PREAMBLE_ROWS)?;
        if read.has_header() && read.is_header_of(first) {
            return read_by(source, skip_lines, rows_max).map(Some);
        }
    }
    Ok(None)
}

impl Read {
    /// The columns of the file, with their places.
    fn columns(&self) -> impl Iterator<Item = (usize, &PlannedColumn)> {
        let plan = self.machine.plan();
        let all = plan.into_iter().flat_map(|plan| plan.columns().iter().enumerate());
        all.filter(move |(at, _)| plan.is_some_and(|plan| plan.source_of(*at) == *at))
    }

    /// How many columns the header has.
    fn width(&self) -> usize {
        self.columns().count()
    }

    /// The names in the header, as far as there are some.
    fn names(&self) -> Vec<&str> {
        let names = self.columns().map(|(_, column)| column.name.as_str());
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Whether the first line may be no header of these rows: it has less cells than they, or hardly any, or a number.
    fn may_have_preamble(&self) -> bool {
        let names = self.names();
        self.width() < 2
            || names.len() * 2 <= self.width()
            || self.rows.iter().any(|row| row.len() > self.width())
            || !names.iter().all(|name| is_name(name))
    }

    /// Whether the first line has names alone, and no row is wider.
    fn has_header(&self) -> bool {
        let names = self.names();
        names.len() > 1
            && names.iter().all(|name| is_name(name))
            && !self.rows.is_empty()
            && self.rows.iter().all(|row| row.len() <= self.width())
    }

    /// Whether this header, behind some lines, is that of a file rather than its first line: it has twice as many names;
    /// or the lines before it are narrower; or the first line has numbers, and all rows have the width of this header.
    fn is_header_of(&self, first: &Read) -> bool {
        let (own, others) = (self.names(), first.names());
        if own.len() >= 2 * others.len() {
            return true;
        }
        let narrow = first.rows.iter().take_while(|row| row.len() < self.width()).count();
        let is_first_wide = first.rows.get(narrow).is_some_and(|row| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
            cells == own
        });
        let is_steady = self.rows.iter().all(|row| row.len() == self.width());
        let has_numbers = !others.iter().all(|name| is_name(name));
        (first.width() < self.width() && narrow > 0 && is_first_wide)
            || (has_numbers && is_steady && first.width() != self.width())
    }

    fn sample(self, name: String) -> anyhow::Result<Sample> {
        if let Some(fault) = self.machine.fault() {
            anyhow::bail!("{fault}");
        }
        let header = self.machine.header().context("it is empty")?;
        let named = self.columns().filter(|(_, column)| column.path.is_some() && !column.name.is_empty());
        let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(String::new(), |cell| cell.trim().to_owned());
        let columns = named.map(|(at, column)| Column {
            name: column.name.clone(),
            cells: self.rows.iter().map(|row| cell(row, at)).collect(),
        });
        let columns: Vec<Column> = columns.collect();
        anyhow::ensure!(!columns.is_empty(), "its header names no column");
        let (dialect, skip_lines, rows) = (header.dialect, self.skip_lines, self.rows.len());
        Ok(Sample { name, dialect, skip_lines, columns, reserved: self.reserved(), rows })
    }

    /// Columns that are called as those of a rejects file. In a rejects file all of them are the last.
    fn reserved(&self) -> Vec<String> {
        let names: Vec<&str> = self.columns().map(|(_, column)| column.name.as_str()).collect();
        if names.ends_with(&REJECT_COLUMNS) {
            return Vec::new();
        }
        names.into_iter().filter(|name| REJECT_COLUMNS.contains(name)).map(str::to_owned).collect()
    }
}

/// Whether a cell may name a column.
fn is_name(cell: &str) -> bool {
    cell.contains(char::is_alphabetic) && !cell.contains('@')
}

/// A reading that takes any header.
fn reading(skip_lines: u32) -> Reading {
    let constant = |to: &str| Constant { to: to.to_owned(), json: "\"x\"".to_owned() };
    let mapping = Mapping {
        name: "sample".to_owned(),
        call: "track".to_owned(),
        set: vec![constant("userId"), constant("event")],
        rest: Rest::Properties,
        ..Mapping::default()
    };
    Reading { encoding_auto: true, skip_lines, mapping: Some(Box::new(mapping)), ..Reading::default() }
}

/// Reads the first rows of a file. `take` gets each batch, and the delimiter of its records.
pub(super) fn read_rows(
    source: &Source,
    reading: &Reading,
    rows_max: u64,
    mut take: impl FnMut(&Batch, u8),
) -> anyhow::Result<Pipeline> {
    let subject = reading.subject(&source.name(), None)?;
    let mut input = source.open()?;
    let mut machine = machine(&subject, reading, None);
    let (mut chunk, mut rows) = (vec![0; CHUNK_BYTES], 0);
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                let delimiter = machine.header().map_or(b',', |header| header.dialect.delimiter.byte());
                take(&batch, delimiter);
                machine.settle(&batch, &[]);
                rows += batch.rows();
                if rows >= rows_max {
                    machine.stop();
                }
            }
            Next::Hungry => match read(&mut input, &mut chunk).context("failed to read it")? {
                0 => machine.finish(),
                length => machine.push(&chunk[..length]),
            },
            Next::Paused => {}
            Next::Done => return Ok(machine),
        }
    }
}
