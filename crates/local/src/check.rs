//! `segment-s3 check`: reads CSV as the ingester does, sends nothing, and reports the result.
//!
//! The ingester's own machine ([`Pipeline`]) reads. Each batch is settled as soon as it is handed out. Memory stays
//! flat: a chunk, a batch, and the few rows that are shown.

mod assign;
mod checked;
mod columns;
mod expect;
mod ids;
mod json;
mod preview;
mod profile;
mod progress;
mod tell;
mod view;
mod wire;

use crate::deployed::{Place, Way, deployed, key_in_bucket};
use crate::input::{machine, open, read};
use crate::suggest;
use crate::voice::{self, Voice, say_line, warn};
use anyhow::Context;
use assign::Assigned;
pub(crate) use assign::{Assignment, key_of};
use calls::batches::Batch;
use calls::pipeline::{Next, Pipeline};
use calls::profile::Detail;
use calls::subject::SubjectOf;
pub(crate) use checked::{Checked, Usability};
use clap::Args;
use ingester::Settings;
pub(crate) use json::of as check_json;
use preview::Preview;
pub(crate) use profile::HEADINGS as PROFILE_HEADINGS;
use progress::Progress;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
pub(crate) use tell::{Tone, account as account_in_words, bytes as bytes_in_words, duration, pretty, title};
pub(crate) use view::{ColumnView, RefusedView, Sample, View};

/// Read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The arguments of `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// CSV files, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration with the mappings; without it the document in `CONFIG`
    #[arg(long, value_name = "FILE", conflicts_with = "stack")]
    config: Option<PathBuf>,
    /// The key that a file is read under, as in the bucket; without it the path, or `track_1.csv` for standard input; with --stack the name behind its SourcePrefix
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
    #[command(flatten)]
    way: Way,
}

/// Checks files. The exit status says the worst: 1 when rows are refused, 2 when a file cannot be used or
/// would be stopped.
pub(crate) async fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let (assignment, prefix) = match assignment(args).await {
        Ok(found) => found,
        Err(faults) => {
            faults.iter().for_each(|fault| warn(format_args!("segment-s3: {fault}")));
            if args.config.is_some() && !args.json && !args.calls {
                show_columns(&args.files);
            }
            return Ok(Usability::Unusable.into());
        }
    };
    let mut worst = Usability::Sound;
    let mut is_first = true;
    for path in &args.files {
        for checked in check_all(path, args, &assignment, prefix.as_deref()) {
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
                say_line("");
            }
            match say(&checked, args, &assignment.settings) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(worst.into()),
                said => said.context("failed to write")?,
            }
        }
    }
    Ok(worst.into())
}

/// The settings and the configuration: of this machine, or of the stack.
///
/// With a stack also the prefix of the keys there.
async fn assignment(args: &CheckArgs) -> Result<(Assignment, Option<String>), Vec<String>> {
    if args.key.is_some() && args.files.len() > 1 {
        return Err(vec!["--key names one file: check the files one by one".to_owned()]);
    }
    if args.way.stack.is_none() {
        return Assignment::read(args.config.as_deref()).map(|assignment| (assignment, None));
    }
    let in_words = |error: anyhow::Error| vec![format!("{error:#}")];
    let place = Place::open(&args.way).await.map_err(in_words)?;
    let deployed = deployed(&place).await.map_err(in_words)?;
    Ok((Assignment::with(deployed.settings, deployed.config), Some(deployed.prefix)))
}

/// Shows the columns of files that no mapping reads yet, so that it can be written.
fn show_columns(files: &[PathBuf]) {
    for table in files.iter().filter_map(|file| suggest::columns_of(file).ok()) {
        voice::say(format_args!("{table}"));
    }
}

/// Checks a file once for each mapping that reads it.
fn check_all<'a>(
    path: &'a Path,
    args: &'a CheckArgs,
    assignment: &'a Assignment,
    prefix: Option<&str>,
) -> Box<dyn Iterator<Item = anyhow::Result<Checked>> + 'a> {
    let key = match (&args.key, prefix) {
        (None, Some(prefix)) if path != Path::new("-") => key_in_bucket(prefix, path),
        (None, Some(prefix)) => Ok(format!("{prefix}{}", key_of(path, None))),
        (key, _) => Ok(key_of(path, key.as_deref())),
    };
    let key = match key {
        Ok(key) => key,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
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

fn check(path: &Path, key: &str, args: &CheckArgs, of: (&Settings, Assigned<'_>)) -> anyhow::Result<Checked> {
    let mut calls = args.calls.then(|| BufWriter::with_capacity(CHUNK_BYTES, std::io::stdout().lock()));
    let look = Look { key, collection: args.collection.as_deref(), show: args.show, values: false };
    let checked = look.read_file(path, of, |batch| calls.as_mut().map_or(Ok(()), |calls| write_calls(calls, batch)));
    if let Some(mut calls) = calls {
        calls.flush()?;
    }
    checked
}

/// Checks a file before it is uploaded: once for each mapping that reads it. No cell of it is kept.
pub(crate) fn check_file(path: &Path, key: &str, assignment: &Assignment) -> anyhow::Result<Vec<Checked>> {
    let look = Look { key, collection: None, show: 0, values: false };
    let all = assignment.of(key).map_err(|fault| anyhow::anyhow!(fault))?;
    all.into_iter().map(|assigned| look.read_file(path, (&assignment.settings, assigned), |_| Ok(()))).collect()
}

/// How bytes are looked at.
struct Look<'a> {
    key: &'a str,
    collection: Option<&'a str>,
    /// How many of the first calls, and of the first refused rows, are kept.
    show: usize,
    /// Whether the first values of each column are kept without a mapping too.
    values: bool,
}

impl Look<'_> {
    /// Reads a file, with a bar on a terminal. `each` gets each batch.
    fn read_file(
        &self,
        path: &Path,
        of: (&Settings, Assigned<'_>),
        mut each: impl FnMut(&Batch) -> std::io::Result<()>,
    ) -> anyhow::Result<Checked> {
        let (mut input, size) = open(path)?;
        let mut progress = Progress::new(self.key.rsplit('/').next().unwrap_or(self.key), size);
        let checked = self.read(&mut input, of, |batch, so_far| {
            progress.at(so_far.bytes, so_far.account.rows);
            each(batch)
        });
        progress.clear();
        checked.map(|checked| Checked { bytes: checked.bytes.max(size.unwrap_or_default()), ..checked })
    }

    /// Reads to the end, or to where the ingester would stop. `each` gets each batch, and the result before it is
    /// settled.
    fn read(
        &self,
        input: &mut dyn Read,
        (settings, assigned): (&Settings, Assigned<'_>),
        mut each: impl FnMut(&Batch, &Checked) -> std::io::Result<()>,
    ) -> anyhow::Result<Checked> {
        let name = self.key.rsplit('/').next().unwrap_or(self.key).to_owned();
        let mut checked = Checked { name, key: self.key.to_owned(), ..assigned.checked(settings) };
        let subject = match assigned.reading.subject(self.key, self.collection) {
            Ok(subject) => subject,
            Err(error) => return Ok(Checked { fault: Some(format!("{error}{}", assigned.nearest())), ..checked }),
        };
        let detail = settings.profile.then_some(Detail::CountsAndValues);
        let mut machine = machine(&subject, assigned.reading, detail);
        checked.subject = Some(subject);
        checked.preview = (self.values || assigned.reading.mapping.is_some()).then(Preview::default);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match machine.next_batch() {
                Next::Batch(batch) => {
                    checked.take(&batch, &machine, self.show, settings.delivery.gzip);
                    each(&batch, &checked)?;
                    settle(&mut machine, &batch, &mut checked, settings);
                }
                Next::Hungry => match read(input, &mut chunk).context("failed to read it")? {
                    0 => machine.finish(),
                    length => {
                        machine.push(&chunk[..length]);
                        checked.bytes += length as u64;
                    }
                },
                Next::Paused => {}
                Next::Done => break,
            }
        }
        checked.end(&mut machine);
        checked.warnings.extend(assigned.unmatched());
        Ok(checked)
    }
}

/// Writes the calls of a batch, one a line.
fn write_calls(out: &mut impl Write, batch: &Batch) -> std::io::Result<()> {
    (0..batch.calls.len()).try_for_each(|call| {
        out.write_all(batch.call(call))?;
        out.write_all(b"\n")
    })
}

/// Settles a batch and judges the file where the ingester judges: a file that is bad at its beginning is stopped there,
/// however good the rest is.
fn settle(machine: &mut Pipeline, batch: &Batch, checked: &mut Checked, settings: &Settings) {
    machine.settle(batch, &[]);
    if let Some(commit) = machine.commit() {
        checked.account.add(&commit.account);
        checked.undelivered_from = Some(commit.to);
    }
    checked.stopped = settings.threshold.exceeded(&checked.account);
    if checked.stopped.is_some() {
        machine.stop();
    }
}
