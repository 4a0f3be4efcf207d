//! `segment-s3 drop`: checks files, uploads them, and follows each of them to its end.

use super::bar::Bar;
use super::dropped::{Dropped, open, rows};
use super::follow::{Before, Expected, Followed};
use super::index::Index;
use super::interrupt::Interrupt;
use super::next::Next;
use super::place::{InboxArg, Place, StateArg, Way, key_of};
use super::settings::deployed;
use super::upload::{INTERRUPTED_IN_WORDS, upload};
use super::words::told;
use crate::check::{Assignment, Checked, Usability, account_in_words, check_file, title};
use crate::voice::{Voice, say, say_line, warn};
use crate::words::visible;
use anyhow::Context;
use aws::{Bucket, Fault};
use clap::Args;
use protocol::id::SourceId;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

const POLL: Duration = Duration::from_secs(1);
/// After so long without a checkpoint or an end, something may be wrong with the trigger.
const SILENT_POLLS: u32 = 120;
/// What a shell shows of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// The arguments of `drop`.
#[derive(Args, Debug)]
pub(crate) struct DropArgs {
    /// CSV files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What stands before the names of the files in their keys, such as `in/`; without it SourcePrefix of the stack
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// The configuration to check by, without a stack; without it the document in `CONFIG`
    #[arg(long, value_name = "FILE", conflicts_with = "stack")]
    config: Option<PathBuf>,
    /// The id of the source, to show rows while the file is sent; without it that of the stack, or `SOURCE_ID`
    #[arg(long, value_name = "ID")]
    source_id: Option<SourceId>,
    /// End when the files are uploaded
    #[arg(long)]
    no_follow: bool,
    /// One JSON document for each file, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    inbox: InboxArg,
    #[command(flatten)]
    state: StateArg,
}

/// What is done with each file.
struct DropCommand<'a> {
    args: &'a DropArgs,
    place: Place,
    assignment: Assignment,
    source: Option<SourceId>,
    inbox: Bucket,
    prefix: String,
    /// Where files are followed; `None` with `--no-follow`.
    state: Option<(Bucket, Index)>,
    interrupt: Interrupt,
}

/// Checks, uploads and follows. The exit status says the worst: 1 when rows are refused, 2 when a file cannot be used, or
/// has failed.
pub(super) async fn run(args: &DropArgs) -> anyhow::Result<ExitCode> {
    one_key_each(&args.files)?;
    let drop = DropCommand::new(args).await?;
    let mut files = Vec::new();
    for path in &args.files {
        let dropped = match drop.interrupt.has_come() {
            true => Err(anyhow::anyhow!("{INTERRUPTED_IN_WORDS}")),
            false => drop.one(path).await,
        };
        let dropped = dropped.unwrap_or_else(|error| {
            // The others are dropped all the same.
            let name = path.display().to_string();
            warn(format_args!("segment-s3: {}", visible(&format!("{name}: {error:#}"))));
            Dropped { path: path.clone(), error: Some(format!("{error:#}")), ..Dropped::default() }
        });
        files.push(dropped);
    }
    let followed = match &drop.state {
        None => Ok(()),
        Some((state, index)) => tokio::select! {
            biased;
            () = drop.interrupt.comes() => Ok(()),
            followed = drop.follow(&mut files, state, index) => followed,
        },
    };
    if args.json {
        files.iter().for_each(|file| say_line(file.json()));
    }
    followed?;
    if drop.interrupt.has_come() {
        drop.interrupted(&mut files);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let is_followed = drop.state.is_some();
    Ok(files.iter().map(|file| file.usability(is_followed)).max().unwrap_or(Usability::Sound).into())
}

/// Refuses files whose keys are the same: one of them would replace the other before it is read.
fn one_key_each(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<&OsStr, &Path> = BTreeMap::new();
    for file in files {
        let Some(name) = file.file_name() else { continue };
        if let Some(other) = seen.insert(name, file) {
            let (one, two) = (other.display().to_string(), file.display().to_string());
            anyhow::bail!(
                "{} and {} have the same name, so the same key: drop one, and the other when it has ended",
                visible(&one),
                visible(&two)
            );
        }
    }
    Ok(())
}

impl<'a> DropCommand<'a> {
    async fn new(args: &'a DropArgs) -> anyhow::Result<DropCommand<'a>> {
        let place = Place::open(&args.way).await?;
        let (assignment, source, prefix) = match place.stack() {
            Some(_) => {
                let deployed = deployed(&place).await?;
                (Assignment::with(deployed.settings, deployed.config), deployed.source, deployed.prefix)
            }
            None => {
                let assignment = Assignment::read(args.config.as_deref());
                let source = config::environment::variable("SOURCE_ID").and_then(|id| id.parse().ok());
                (assignment.map_err(|faults| anyhow::anyhow!(faults.join("; ")))?, source, String::new())
            }
        };
        let inbox = place.bucket(&place.inbox(&args.inbox)?);
        let prefix = args.prefix.clone().unwrap_or(prefix);
        let state = match args.no_follow {
            true => None,
            false => {
                let state = place.state(&args.state)?;
                let index = Index::of(&place, state.name())?;
                Some((state, index))
            }
        };
        let source = args.source_id.clone().or(source);
        let interrupt = Interrupt::default();
        Ok(DropCommand { args, place, assignment, source, inbox, prefix, state, interrupt })
    }

    /// Checks a file, and uploads it unless it cannot be used.
    async fn one(&self, path: &Path) -> anyhow::Result<Dropped> {
        let key = key_of(&self.prefix, path)?;
        self.fits(&key)?;
        let metadata = std::fs::metadata(path).context("failed to open it")?;
        anyhow::ensure!(!metadata.is_dir(), "it is a folder: name the files in it");
        // It is read twice.
        anyhow::ensure!(metadata.is_file(), "it is not a regular file: write it to one first");
        let checked = check_file(path, &key, &self.assignment)?;
        let is_usable = checked.iter().all(|checked| checked.verdict() != Usability::Unusable);
        if !self.args.json {
            self.say_checked(&checked, is_usable, &key);
        }
        let mut dropped = Dropped { path: path.to_owned(), checked, ..Dropped::default() };
        if !is_usable {
            return Ok(dropped);
        }
        let before = match &self.state {
            Some((_, index)) => {
                Before::of(index, self.inbox.name(), &key).await.map_err(|error| self.place.explain(error))?
            }
            None => Before::default(),
        };
        let mut interrupt = pin!(self.interrupt.comes());
        let uploaded = upload(path, &self.inbox, &key, interrupt.as_mut()).await;
        let pin = uploaded.map_err(|error| self.place.explain(error))?;
        if !self.args.json {
            let version = pin.version_id.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
            say(format_args!("  uploaded to {}{version}\n", visible(&self.inbox.target(&key))));
        }
        let expected: Vec<Expected> = dropped.checked.iter().map(|checked| self.expected(checked)).collect();
        dropped.followed = Some(Followed::new(self.inbox.name(), &key, pin, &expected, before));
        Ok(dropped)
    }

    /// Refuses a key whose object starts nothing.
    fn fits(&self, key: &str) -> anyhow::Result<()> {
        let Some(stack) = self.place.stack() else { return Ok(()) };
        let parameter = |name: &str| stack.parameter(name).unwrap_or_default().to_owned();
        let (prefix, suffix) = (parameter("SourcePrefix"), parameter("SourceSuffix"));
        anyhow::ensure!(
            key.starts_with(&prefix),
            "the stack {} reads only keys that begin with {prefix}: write --prefix {prefix}",
            stack.name()
        );
        anyhow::ensure!(
            key.ends_with(&suffix),
            "the stack {} reads only keys that end with {suffix}: rename the file",
            stack.name()
        );
        Ok(())
    }

    fn say_checked(&self, checked: &[Checked], is_usable: bool, key: &str) {
        let voice = Voice::of(&std::io::stdout());
        for checked in checked {
            match is_usable && checked.verdict() == Usability::Sound {
                true => say(format_args!("{}", title(checked, voice))),
                false => say(format_args!("{}", account_in_words(checked, &self.assignment.settings, voice))),
            }
        }
        if is_usable {
            return;
        }
        say(format_args!("  {}\n", voice.bad("it is not uploaded")));
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            let (key, prefix) = (visible(key), visible(&self.prefix));
            say(format_args!("  its key would be {key}: is --prefix {prefix}/ meant?\n"));
        }
    }

    fn expected(&self, checked: &Checked) -> Expected {
        let source = checked.source_id.clone().or_else(|| self.source.clone());
        Expected { mapping: checked.mapping.clone(), source, rows: checked.account.rows }
    }

    /// Waits for the ends, and says each of them.
    async fn follow(&self, files: &mut [Dropped], state: &Bucket, index: &Index) -> anyhow::Result<()> {
        let bar = Bar::of_rows();
        let mut silent_polls = 0;
        let mut seen = (0, open(files));
        while open(files) > 0 {
            for followed in files.iter_mut().filter_map(Dropped::open) {
                self.ask(followed, state, index).await?;
            }
            self.say_ended(files, &bar);
            let now = (rows(files).0, open(files));
            silent_polls = if now == seen { silent_polls + 1 } else { 0 };
            seen = now;
            let (settled, all) = rows(files);
            bar.rows(settled, all, &self.hint(settled, open(files), silent_polls));
            if open(files) > 0 {
                tokio::time::sleep(POLL).await;
            }
        }
        bar.clear();
        Ok(())
    }

    /// Asks once how a file stands. An outage is waited for.
    async fn ask(&self, followed: &mut Followed, state: &Bucket, index: &Index) -> anyhow::Result<()> {
        match followed.ask(state, index).await {
            Err(error) if error.downcast_ref::<Fault>().is_some_and(Fault::is_transient) => Ok(()),
            asked => asked.map_err(|error| {
                let words = self.place.explain(error);
                anyhow::anyhow!("{} is uploaded, and cannot be followed: {words:#}", visible(&followed.key))
            }),
        }
    }

    /// Says how files have ended, each once.
    fn say_ended(&self, files: &mut [Dropped], bar: &Bar) {
        let voice = Voice::of(&std::io::stdout());
        let next = self.next();
        for file in files.iter_mut().filter(|file| !file.is_said) {
            let Some(followed) = file.followed.as_ref().filter(|followed| followed.has_ended()) else { continue };
            file.is_said = true;
            let text: String = followed.ends().map(|end| told(end, &next, voice)).collect();
            if !self.args.json {
                bar.above(|| say(format_args!("{text}")));
            }
        }
    }

    /// What stands beside the bar.
    fn hint(&self, settled: u64, open: usize, silent_polls: u32) -> String {
        match (settled, silent_polls) {
            (_, SILENT_POLLS..) => {
                let command = self.next().redrive().map(|command| format!(" See `{command} --dry-run`"));
                format!("nothing moves: is the bucket connected to the queue?{}", command.unwrap_or_default())
            }
            (0, _) => "waiting for the ingester".to_owned(),
            _ => format!("{open} on the way"),
        }
    }

    fn next(&self) -> Next {
        self.place.next(&self.args.inbox, Some(&self.args.state))
    }

    /// Says what Ctrl-C has ended, and what it has not.
    fn interrupted(&self, files: &mut [Dropped]) {
        let next = self.next();
        let open: Vec<&Followed> = files.iter_mut().filter_map(Dropped::open).map(|followed| &*followed).collect();
        if open.is_empty() {
            warn("\nno file is on its way");
            return;
        }
        warn("\nfollowing has ended; the files are uploaded, and the ingestion goes on. Look later with:");
        for followed in open {
            let command = next.about("show", &followed.bucket, &followed.key);
            warn(format_args!("  {}", command.unwrap_or_else(|| visible(&followed.key))));
        }
    }
}
