//! The header and the first rows of a file, read as the ingester reads them.

use crate::csv_cells::cells;
use crate::input::{machine, open, read};
use anyhow::Context;
use calls::batches::Batch;
use calls::dialect::Dialect;
use calls::pipeline::{Next, Pipeline};
use calls::subject::SubjectOf;
use protocol::mapping::{Constant, Mapping, Rest};
use protocol::reading::Reading;
use std::path::Path;

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The header and the first rows of a file.
#[derive(Debug)]
pub(super) struct Sample {
    /// The name of the file.
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) columns: Vec<Column>,
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
}

/// Words of programs for an empty cell.
pub(super) const NULL_WORDS: [&str; 7] = ["NULL", "null", "\\N", "N/A", "n/a", "#N/A", "None"];

pub(super) fn is_filled(cell: &str) -> bool {
    !cell.is_empty() && !NULL_WORDS.contains(&cell)
}

impl Sample {
    /// Reads at most about `rows_max` rows.
    pub(super) fn read(file: &Path, rows_max: u64) -> anyhow::Result<Sample> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut rows: Vec<Vec<String>> = Vec::new();
        let machine = read_rows(file, &name, &reading(), rows_max, |batch, delimiter| {
            let calls = batch.calls.iter().map(|call| (call.span.from, &call.record));
            let refused = batch.refused.iter().map(|refused| (refused.refusal.span.from, &refused.record));
            let mut records: Vec<_> = calls.chain(refused).collect();
            records.sort_by_key(|(from, _)| *from);
            rows.extend(records.into_iter().map(|(_, record)| cells(&batch.records[record.clone()], delimiter)));
        })?;
        if let Some(fault) = machine.fault() {
            anyhow::bail!("{fault}");
        }
        let header = machine.header().context("it is empty")?;
        let plan = machine.plan().context("it has no header")?;
        let named = plan
            .columns()
            .iter()
            .enumerate()
            .filter(|(at, column)| plan.source_of(*at) == *at && column.path.is_some() && !column.name.is_empty());
        let cell = |row: &Vec<String>, at: usize| row.get(at).map_or(String::new(), |cell| cell.trim().to_owned());
        let columns = named.map(|(at, column)| Column {
            name: column.name.clone(),
            cells: rows.iter().map(|row| cell(row, at)).collect(),
        });
        let columns: Vec<Column> = columns.collect();
        anyhow::ensure!(!columns.is_empty(), "its header names no column");
        Ok(Sample { name, dialect: header.dialect, columns, rows: rows.len() })
    }
}

/// A reading that takes any header.
fn reading() -> Reading {
    let constant = |to: &str| Constant { to: to.to_owned(), json: "\"x\"".to_owned() };
    let mapping = Mapping {
        name: "sample".to_owned(),
        call: "track".to_owned(),
        set: vec![constant("userId"), constant("event")],
        rest: Rest::Properties,
        ..Mapping::default()
    };
    Reading { encoding_auto: true, mapping: Some(Box::new(mapping)), ..Reading::default() }
}

/// Reads the first rows of a file. `take` gets each batch, and the delimiter of its records.
pub(super) fn read_rows(
    file: &Path,
    key: &str,
    reading: &Reading,
    rows_max: u64,
    mut take: impl FnMut(&Batch, u8),
) -> anyhow::Result<Pipeline> {
    let subject = reading.subject(key, None)?;
    let (mut input, _) = open(file)?;
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
            Next::Done => return Ok(machine),
        }
    }
}
