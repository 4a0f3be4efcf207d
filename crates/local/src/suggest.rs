//! `segment-s3 suggest`: a commented draft of a mapping, made of the header and the first rows of a file.
//!
//! The ingester's own machine reads the rows. The draft is then tried on the same rows: a type that refuses a cell is
//! taken back.

mod call;
mod column;
mod columns;
mod draft;
mod fields;
mod names;
mod sample;
mod shapes;
mod source;
mod write;

use crate::voice::{say, warn};
use anyhow::Context;
use calls::columns::CellType;
use calls::refusal::RefusalCode;
use clap::Args;
use config::Config;
use draft::Draft;
use protocol::reading::Reading;
use sample::{Sample, read_rows};
use source::Source;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Rows that a draft is made of.
const ROWS_MAX: u64 = 5_000;
/// How often a draft is tried and changed.
const ROUNDS_MAX: usize = 10;
/// The exit status of a file that cannot be used.
const UNUSABLE: u8 = 2;

/// The arguments of `suggest`.
#[derive(Args, Debug)]
pub(crate) struct SuggestArgs {
    /// The CSV file, as a tool exports it, `-` for standard input
    file: PathBuf,
}

/// Prints a draft for a file. The exit status is 2 when the file cannot be read.
pub(crate) fn run(args: &SuggestArgs) -> ExitCode {
    match suggest(&Source::of(&args.file)) {
        Ok(text) => {
            say(format_args!("{text}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            warn(format_args!("segment-s3: {}: {error:#}", args.file.display()));
            ExitCode::from(UNUSABLE)
        }
    }
}

/// A table of the columns of a file, for who writes a mapping.
pub(crate) fn columns_of(file: &Path) -> anyhow::Result<String> {
    Ok(columns::table(&Sample::read(&Source::of(file), ROWS_MAX)?))
}

/// A draft for a file, made of its first bytes.
///
/// # Errors
/// When the bytes cannot be read as a table.
pub(crate) fn of_bytes(name: &str, bytes: &[u8]) -> anyhow::Result<String> {
    suggest(&Source::Bytes { name: name.to_owned(), bytes: bytes.to_vec() })
}

fn suggest(source: &Source) -> anyhow::Result<String> {
    let sample = Sample::read(source, ROWS_MAX)?;
    let mut draft = Draft::of(&sample);
    anyhow::ensure!(
        sample.columns.len() > 1 || !matches!(draft.call, call::Call::Object(_)),
        "only one column is found: separate columns with , ; tab or |, and begin with the row that names them"
    );
    for _ in 0..ROUNDS_MAX {
        let text = write::toml(&draft, &sample);
        if draft.lacks_id() {
            // It is no mapping before someone names the id.
            return Ok(text);
        }
        // A blank is for the user to fill in.
        let tried = try_on(source, &text.replace(draft::BLANK_PREFIX, "tool-"))?;
        if draft.take_back(&tried) {
            continue;
        }
        return match tried.fault {
            Some(fault) => Err(anyhow::anyhow!(fault)),
            None => Ok(text),
        };
    }
    Ok(write::toml(&draft, &sample))
}

/// What came of a draft.
#[derive(Debug, Default)]
struct Tried {
    /// Columns with a cell of another type.
    columns: BTreeSet<String>,
    /// Why the file could not be read to its end.
    fault: Option<String>,
}

fn try_on(source: &Source, text: &str) -> anyhow::Result<Tried> {
    let config = Config::parse(text, &Reading::default()).map_err(|faults| {
        let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("no draft can be made of its header: {}", words.join("; "))
    })?;
    let rule = config.mappings.first().context("the draft has no mapping")?;
    let mut tried = Tried::default();
    let machine = read_rows(source, &rule.reading, ROWS_MAX, |batch, _| {
        let refused = batch.refused.iter().map(|refused| &refused.refusal).filter(|refusal| is_of_type(refusal.code));
        tried.columns.extend(refused.filter_map(|refusal| refusal.column.clone()));
    })?;
    tried.fault = machine.fault().map(ToString::to_string);
    Ok(tried)
}

/// Whether a row is refused because of the type of a cell.
fn is_of_type(code: RefusalCode) -> bool {
    code == RefusalCode::UnknownValue
        || CellType::ALL.iter().filter_map(|cell| cell.refusal()).any(|refusal| refusal.code == code)
}
