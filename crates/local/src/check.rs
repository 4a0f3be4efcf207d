//! `segment-s3 check`: reads CSV as the ingester does, sends nothing, and reports the result.
//!
//! The ingester's own machine ([`Pipeline`]) reads. Each batch is settled as soon as it is handed out. Memory stays
//! flat: a chunk, a batch, and the few rows that are shown.

mod expect;
mod json;
mod profile;
mod progress;
mod tell;

use crate::voice::Voice;
use anyhow::Context;
use calls::batches::{Batch, Envelope};
use calls::call::MessageIds;
use calls::columns::Column;
use calls::dialect::StoredHeader;
use calls::pipeline::{Next, Pipeline};
use calls::profile::{Detail, Profile, Values};
use calls::refusal::{FaultCode, Position, RowRefusal, Warning};
use calls::subject::Subject;
use calls::translator::Translator;
use clap::Args;
use expect::Wire;
use ingester::Settings;
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
    /// CSV files, `-` for standard input; their names say what they hold, as they do in the bucket
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The name to read standard input under
    #[arg(long, default_value = "track_1.csv")]
    name: String,
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

/// The result for a file.
#[derive(Debug, Default)]
struct Checked {
    name: String,
    subject: Option<Subject>,
    header: Option<StoredHeader>,
    columns: Vec<Column>,
    warnings: Vec<Warning>,
    account: Account,
    profile: Option<Profile>,
    /// The least and the greatest cell of each column in the profile.
    values: Vec<Values>,
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
    let settings = match settings() {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("segment-s3: {faults}");
            return Ok(Usability::Unusable.into());
        }
    };
    let mut worst = Usability::Sound;
    for (index, path) in args.files.iter().enumerate() {
        let checked = match check(path, args, &settings) {
            Ok(checked) => checked,
            // The reader of the calls closed the pipe.
            Err(error) if is_broken_pipe(&error) => return Ok(worst.into()),
            Err(error) => {
                Checked { name: path.display().to_string(), fault: Some(format!("{error:#}")), ..Checked::default() }
            }
        };
        worst = worst.max(checked.verdict());
        if index > 0 && !args.json && !args.calls {
            println!();
        }
        match say(&checked, args, &settings) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            said => said.context("failed to write")?,
        }
    }
    Ok(worst.into())
}

/// Reports the result for a file in one line.
fn say(checked: &Checked, args: &CheckArgs, settings: &Settings) -> std::io::Result<()> {
    let (mut stdout, mut stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
    if args.json {
        writeln!(stdout, "{}", json::of(checked, settings))
    } else if args.calls {
        stderr.write_all(tell::account(checked, settings, Voice::of(&stderr)).as_bytes())
    } else {
        stdout.write_all(tell::all(checked, settings, Voice::of(&stdout)).as_bytes())
    }
}

/// The function's own settings; those that a check does not need may be missing.
fn settings() -> Result<Settings, config::environment::Faults> {
    Settings::read(&|name| {
        config::environment::variable(name).or_else(|| match name {
            "WRITE_KEY" | "SOURCE_ID" => Some("check".to_owned()),
            "STATE_BUCKET" => Some("segment-s3-check".to_owned()),
            _ => None,
        })
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Opens a file, or standard input. Returns the name that it is read under and its size, as far as that is known.
fn open(path: &Path, args: &CheckArgs) -> anyhow::Result<(Box<dyn Read>, String, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin().lock()), args.name.clone(), None));
    }
    let file = File::open(path).context("failed to open it")?;
    let metadata = file.metadata().context("failed to read its size")?;
    anyhow::ensure!(!metadata.is_dir(), "it is a folder: name the files in it");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((Box::new(file), name, Some(metadata.len())))
}

fn check(path: &Path, args: &CheckArgs, settings: &Settings) -> anyhow::Result<Checked> {
    let (mut input, name, size) = open(path, args)?;
    let mut checked = Checked { name: name.clone(), ..Checked::default() };
    let subject = match Subject::of(&name, &settings.reading.collections, args.collection.as_deref()) {
        Ok(subject) => subject,
        Err(error) => return Ok(Checked { fault: Some(error.to_string()), ..checked }),
    };
    let envelope = Envelope::of(&subject);
    // Ids derive from the bucket and the version, which do not exist here.
    let mut translator = Translator::new(&subject, &settings.reading, MessageIds::new(StreamId::new([0; 16])));
    if settings.profile {
        translator = translator.with_profile(Detail::CountsAndValues);
    }
    let mut machine = Pipeline::new(translator, envelope, Position::START);
    checked.subject = Some(subject);
    let mut calls = args.calls.then(|| BufWriter::with_capacity(CHUNK_BYTES, std::io::stdout().lock()));
    let mut progress = Progress::new(&name, size);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut settled_to = None;
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                checked.take(&batch, args.show, settings.delivery.gzip);
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
    checked.end(&mut machine, settled_to);
    Ok(checked)
}

/// Reads something, unless there is nothing more.
fn read(input: &mut dyn Read, chunk: &mut [u8]) -> std::io::Result<usize> {
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

    fn end(&mut self, machine: &mut Pipeline, settled_to: Option<Position>) {
        self.profile = machine.take_profile();
        self.values = machine.values().to_vec();
        self.header = machine.header().cloned();
        self.columns = machine.plan().map_or(Vec::new(), |plan| plan.columns().to_vec());
        self.warnings = machine.warnings().to_vec();
        if let Some(profile) = &self.profile {
            self.warnings.extend(machine.warnings_of(profile, &self.account));
        }
        let fault = machine.fault();
        self.fault = fault.map(ToString::to_string);
        self.fault_code = fault.map(|fault| fault.code);
        self.fault_at = fault.and_then(|fault| fault.at);
        if self.verdict() == Usability::Unusable {
            self.undelivered_from = settled_to.or(self.header.as_ref().map(|header| header.rows_from));
        }
    }
}
