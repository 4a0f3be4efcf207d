//! `segment-s3 check`: reads CSV as the ingester does, sends nothing, and reports the result.
//!
//! The ingester's own machine ([`Pipeline`]) reads. Each batch is settled as soon as it is handed out. Memory stays
//! flat: a chunk, a batch, and the few rows that are shown.

mod assign;
mod columns;
mod expect;
mod json;
mod preview;
mod progress;
mod tell;

use crate::voice::Voice;
use anyhow::Context;
pub(crate) use assign::key_of;
use assign::{Assigned, Assignment};
use calls::batches::{Batch, Envelope};
use calls::call::MessageIds;
use calls::columns::Column;
use calls::dialect::StoredHeader;
use calls::pipeline::{Next, Pipeline};
use calls::reading::Reading;
use calls::refusal::{FaultCode, Position, RowRefusal, Warning};
use calls::subject::{Subject, SubjectOf};
use calls::translator::Translator;
use clap::Args;
use expect::Wire;
use ingester::Settings;
use preview::Preview;
use progress::Progress;
use protocol::account::Account;
use protocol::id::StreamId;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// CSV files, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration with the mappings; without it the document in `CONFIG`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The key that a file is read under, as in the bucket; without it the path, or `track_1.csv` for standard input
    #[arg(long)]
    key: Option<String>,
    /// The collection of an object file, as its metadata `segment-collection` would name it
    #[arg(long)]
    collection: Option<String>,
    /// How many of the first calls, and of the first refused rows, are shown
    #[arg(long, default_value_t = 2)]
    show: usize,
    /// One JSON document for each file, on a line of its own
    #[arg(long, conflicts_with = "calls")]
    json: bool,
    /// Write every call to standard output, one a line, and the account to standard error
    #[arg(long)]
    calls: bool,
}

/// How a check ends, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Usability {
    Sound,
    RowsRefused,
    Unusable,
}

impl From<Usability> for ExitCode {
    fn from(verdict: Usability) -> ExitCode {
        ExitCode::from(match verdict {
            Usability::Sound => 0,
            Usability::RowsRefused => 1,
            Usability::Unusable => 2,
        })
    }
}

/// The result for a file, as one mapping reads it.
#[derive(Debug, Default)]
struct Checked {
    name: String,
    /// The key that it is read under.
    key: String,
    /// The names of the mapping and of the source, if there are such.
    mapping: Option<String>,
    source: Option<String>,
    /// Calls a second; 0 is no limit.
    pace: u32,
    /// The zone of times without one, if it is set.
    zone: Option<String>,
    subject: Option<Subject>,
    header: Option<StoredHeader>,
    columns: Vec<Column>,
    warnings: Vec<Warning>,
    account: Account,
    /// Calls; several rows may be one.
    calls: u64,
    /// The first values of each column, before and after; only of a mapping.
    preview: Option<Preview>,
    /// The stored size of the file.
    bytes: u64,
    first_calls: Vec<String>,
    /// The first refused rows, with their records.
    first_refused: Vec<(RowRefusal, Vec<u8>)>,
    wire: Wire,
    /// Why the file cannot be used, or not be read to its end.
    fault: Option<String>,
    /// The stable code of that, and where it is, when it is the file's own fault.
    fault_code: Option<FaultCode>,
    fault_at: Option<Position>,
    /// Why the ingester would stop it, though it can be read.
    stopped: Option<String>,
    /// Where the first row begins that would not be sent, when the file is not read to its end.
    undelivered_from: Option<Position>,
}

impl Checked {
    fn verdict(&self) -> Usability {
        if self.fault.is_some() || self.stopped.is_some() {
            Usability::Unusable
        } else if self.account.rejected > 0 {
            Usability::RowsRefused
        } else {
            Usability::Sound
        }
    }
}

/// Checks files. The exit status says the worst: 1 when rows are refused, 2 when a file cannot be used or
/// would be stopped.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let assignment = match Assignment::read(args) {
        Ok(assignment) => assignment,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("segment-s3: {fault}"));
            return Ok(Usability::Unusable.into());
        }
    };
    let mut worst = Usability::Sound;
    let mut is_first = true;
    for path in &args.files {
        for checked in check_all(path, args, &assignment) {
            let checked = match checked {
                Ok(checked) => checked,
                // The reader of the calls closed the pipe.
                Err(error) if is_broken_pipe(&error) => return Ok(worst.into()),
                Err(error) => Checked {
                    name: path.display().to_string(),
                    fault: Some(format!("{error:#}")),
                    ..Checked::default()
                },
            };
            worst = worst.max(checked.verdict());
            if !std::mem::take(&mut is_first) && !args.json && !args.calls {
                println!();
            }
            match say(&checked, args, &assignment.settings) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(worst.into()),
                said => said.context("failed to write")?,
            }
        }
    }
    Ok(worst.into())
}

/// Checks a file once for each mapping that reads it.
fn check_all<'a>(
    path: &'a Path,
    args: &'a CheckArgs,
    assignment: &'a Assignment,
) -> Box<dyn Iterator<Item = anyhow::Result<Checked>> + 'a> {
    let key = key_of(path, args.key.as_deref());
    let all = assignment.of(&key);
    let is_stdin = path == Path::new("-");
    match all {
        Err(fault) => Box::new(std::iter::once(Err(anyhow::anyhow!(fault)))),
        Ok(all) if is_stdin && all.len() > 1 => Box::new(std::iter::once(Err(anyhow::anyhow!(
            "several mappings read this key, and standard input can be read once: name a file"
        )))),
        Ok(all) => {
            Box::new(all.into_iter().map(move |assigned| check(path, &key, args, (&assignment.settings, assigned))))
        }
    }
}

/// Reports the result for a file.
fn say(checked: &Checked, args: &CheckArgs, settings: &Settings) -> std::io::Result<()> {
    let (mut stdout, mut stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
    if args.json {
        writeln!(stdout, "{}", json::of(checked))
    } else if args.calls {
        stderr.write_all(tell::account(checked, settings, Voice::of(&stderr)).as_bytes())
    } else {
        stdout.write_all(tell::all(checked, settings, Voice::of(&stdout)).as_bytes())
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Opens a file, or standard input. Returns its size too, if it is known.
pub(crate) fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin().lock()), None));
    }
    let file = File::open(path).context("failed to open it")?;
    let metadata = file.metadata().context("failed to read its size")?;
    anyhow::ensure!(!metadata.is_dir(), "it is a folder: name the files in it");
    Ok((Box::new(file), Some(metadata.len())))
}

/// The machine that reads a file as the ingester does. Ids derive from bucket and version, which do not exist here.
pub(crate) fn machine(subject: &Subject, reading: &Reading) -> Pipeline {
    let translator = Translator::new(subject, reading, MessageIds::new(StreamId::new([0; 16])));
    Pipeline::new(translator, Envelope::of(subject), Position::START)
}

fn check(
    path: &Path,
    key: &str,
    args: &CheckArgs,
    (settings, assigned): (&Settings, Assigned<'_>),
) -> anyhow::Result<Checked> {
    let (mut input, size) = open(path)?;
    let name = key.rsplit('/').next().unwrap_or(key).to_owned();
    let mut checked = Checked { name: name.clone(), key: key.to_owned(), ..assigned.checked(settings) };
    let subject = match assigned.reading.subject(key, args.collection.as_deref()) {
        Ok(subject) => subject,
        Err(error) => return Ok(Checked { fault: Some(format!("{error}{}", assigned.nearest())), ..checked }),
    };
    let mut machine = machine(&subject, assigned.reading);
    checked.subject = Some(subject);
    checked.preview = assigned.reading.mapping.is_some().then(Preview::default);
    let mut calls = args.calls.then(|| BufWriter::with_capacity(CHUNK_BYTES, std::io::stdout().lock()));
    let mut progress = Progress::new(&name, size);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut settled_to = None;
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                checked.take(&batch, args.show, settings.delivery.gzip);
                if let (Some(preview), Some(header), Some(plan)) =
                    (&mut checked.preview, machine.header(), machine.plan())
                {
                    preview.take(&batch, header, plan);
                }
                if let Some(calls) = &mut calls {
                    for call in 0..batch.calls.len() {
                        calls.write_all(batch.call(call)).and_then(|()| calls.write_all(b"\n"))?;
                    }
                }
                machine.settle(&batch, &[]);
                if let Some(commit) = machine.commit() {
                    checked.account.add(&commit.account);
                    settled_to = Some(commit.to);
                }
                // Judged where the ingester judges: a file that is bad at its beginning is stopped there, however
                // good the rest is.
                checked.stopped = settings.threshold.exceeded(&checked.account);
                if checked.stopped.is_some() {
                    machine.stop();
                }
            }
            Next::Hungry => match read(&mut input, &mut chunk).context("failed to read it")? {
                0 => machine.finish(),
                length => {
                    machine.push(&chunk[..length]);
                    checked.bytes += length as u64;
                    progress.at(checked.bytes, checked.account.rows);
                }
            },
            Next::Done => break,
        }
    }
    progress.clear();
    if let Some(mut calls) = calls {
        calls.flush()?;
    }
    checked.bytes = checked.bytes.max(size.unwrap_or_default());
    checked.end(&machine, settled_to);
    checked.warnings.extend(assigned.unmatched());
    Ok(checked)
}

/// Reads something, unless there is nothing more.
pub(crate) fn read(input: &mut dyn Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match input.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

impl Checked {
    /// Counts a batch: its size, and its first calls and refused rows.
    fn take(&mut self, batch: &Batch, show: usize, gzip: bool) {
        self.calls += batch.calls.len() as u64;
        if !batch.calls.is_empty() {
            self.wire.send(&batch.body, gzip);
        }
        for call in 0..batch.calls.len().min(show - self.first_calls.len().min(show)) {
            self.first_calls.push(String::from_utf8_lossy(batch.call(call)).into_owned());
        }
        for refused in batch.refused.iter().take(show - self.first_refused.len().min(show)) {
            let record = batch.records[refused.record.clone()].to_vec();
            self.first_refused.push((refused.refusal.clone(), record));
        }
    }

    fn end(&mut self, machine: &Pipeline, settled_to: Option<Position>) {
        self.header = machine.header().cloned();
        self.columns = machine.plan().map_or(Vec::new(), |plan| plan.columns().to_vec());
        self.warnings = machine.warnings().to_vec();
        let fault = machine.fault();
        self.fault = fault.map(ToString::to_string);
        self.fault_code = fault.map(|fault| fault.code);
        self.fault_at = fault.and_then(|fault| fault.at);
        if self.verdict() == Usability::Unusable {
            self.undelivered_from = settled_to.or(self.header.as_ref().map(|header| header.rows_from));
        }
    }
}
