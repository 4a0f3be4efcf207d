//! `segment-s3 show`: what became of one file.

use super::follow::{checkpoint, ledger, stream_of};
use super::index::Index;
use super::place::{InboxArg, MappingArg, Place, StateArg, Way};
use super::settings::deployed;
use super::words::{counts, told, usability};
use crate::check::{Assignment, Usability, duration};
use crate::voice::{Voice, say, say_line};
use crate::words::{more, visible};
use aws::{Bucket, Fault};
use clap::Args;
use protocol::checkpoint::Checkpoint;
use protocol::id::StreamId;
use protocol::ledger::Ledger;
use protocol::outcome::FileOutcome;
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;

const COLUMNS_SHOWN_MAX: usize = 40;

/// The arguments of `show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The key of the file, or `s3://BUCKET/KEY`
    key: String,
    #[command(flatten)]
    mapping: MappingArg,
    /// One JSON document for each mapping that reads the file: its outcome and its ledger
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    inbox: InboxArg,
    #[command(flatten)]
    state: StateArg,
}

/// Shows outcome and ledger. The exit status is 1 when rows were refused, 2 when the file did not finish.
pub(super) async fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let place = Place::open(&args.way).await?;
    let (bucket, key) = place.object(&args.key, &args.inbox)?;
    let state = place.state(&args.state)?;
    let index = Index::of(&place, state.name())?;
    let files = index.of_file(&bucket, &key).await.map_err(|error| place.explain(error))?;
    let files = args.mapping.of(files)?;
    let running = running(&place, &state, (&bucket, &key)).await?;
    let running: Vec<_> =
        running.into_iter().filter(|(stream, _)| files.iter().all(|file| file.stream != Some(*stream))).collect();
    for (_, checkpoint) in &running {
        say_running(checkpoint, args.json);
    }
    if files.is_empty() && running.is_empty() {
        anyhow::bail!(
            "no end and no failure of s3://{bucket}/{} is known: it waits in the queue, or is being read, or its event \
             never came, or its outcome has expired; compare the key with the S3 console",
            visible(&key)
        );
    }
    let voice = Voice::of(&std::io::stdout());
    let next = place.next(&args.inbox, Some(&args.state));
    for file in &files {
        let ledger = ledger_of(&state, file).await.map_err(|fault| place.explained(&fault))?;
        if args.json {
            say_line(json!({"outcome": file, "ledger": ledger}));
        } else {
            let of_ledger = ledger.map(|ledger| words(&ledger, file, voice)).unwrap_or_default();
            say(format_args!("{}{of_ledger}", told(file, &next, voice)));
        }
    }
    let of_running = running.iter().map(|_| Usability::Unusable);
    Ok(files.iter().map(usability).chain(of_running).max().unwrap_or(Usability::Sound).into())
}

/// The checkpoints of the latest version that have not ended, one for each mapping. The stack says their names. Without a
/// stack, or if the object cannot be seen, there are none.
async fn running(
    place: &Place,
    state: &Bucket,
    (bucket, key): (&str, &str),
) -> anyhow::Result<Vec<(StreamId, Checkpoint)>> {
    if place.stack().is_none() {
        return Ok(Vec::new());
    }
    let Ok(Some(pin)) = place.bucket(bucket).head(key, None).await else { return Ok(Vec::new()) };
    let Ok(deployed) = deployed(place).await else { return Ok(Vec::new()) };
    let assignment = Assignment::with(deployed.settings, deployed.config);
    let mut found = Vec::new();
    for (mapping, source) in assignment.readers(key) {
        let Some(source) = source.or_else(|| deployed.source.clone()) else { continue };
        let stream = stream_of(bucket, key, &pin, &source, mapping);
        let checkpoint = checkpoint(state, stream).await.map_err(|fault| place.explained(&fault))?;
        found.extend(checkpoint.filter(|found| !found.phase.is_terminal()).map(|found| (stream, found)));
    }
    Ok(found)
}

fn say_running(checkpoint: &Checkpoint, is_json: bool) {
    let Checkpoint { object, account, .. } = checkpoint;
    if is_json {
        return say_line(json!({"running": {"mapping": object.mapping, "rows": account.rows,
            "acknowledged": account.acknowledged, "rejected": account.rejected}}));
    }
    let mapping = object.mapping.as_ref().map(|name| format!("  (mapping {name})")).unwrap_or_default();
    say(format_args!("{}  running  {} so far{}\n", visible(&object.key), counts(account), visible(&mapping)));
}

/// The ledger of a file that has ended.
async fn ledger_of(state: &Bucket, file: &FileOutcome) -> Result<Option<Ledger>, Fault> {
    match file.stream.filter(|_| file.ledger.is_some()) {
        Some(stream) => ledger(state, stream).await,
        None => Ok(None),
    }
}

fn words(ledger: &Ledger, file: &FileOutcome, voice: Voice) -> String {
    let mut out = String::new();
    let seconds = seconds(file, ledger).map(|seconds| format!(", {}", duration(seconds))).unwrap_or_default();
    let runs = if ledger.runs == 1 { String::new() } else { format!(", {} runs", ledger.runs) };
    let _ = writeln!(out, "  from {} to {}{seconds}{runs}", ledger.started, ledger.ended_at);
    let version = ledger.object.version_id.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    let replay = ledger.object.replay.as_ref().map(|tag| format!(", replay {tag}")).unwrap_or_default();
    let _ = writeln!(out, "  {}{version}{replay}", crate::check::bytes_in_words(ledger.object.bytes));
    for warning in &ledger.warnings {
        let _ = writeln!(out, "  {} {}", voice.careful("!"), visible(warning));
    }
    let shown = &ledger.columns[..ledger.columns.len().min(COLUMNS_SHOWN_MAX)];
    for column in shown {
        let _ = writeln!(out, "  {}", voice.dim(&visible(column)));
    }
    more(&mut out, ledger.columns.len() - shown.len(), "columns", voice);
    if let Some(place) = &file.ledger {
        let _ = writeln!(out, "  ledger: {place}");
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(file: &FileOutcome, ledger: &Ledger) -> Option<f64> {
    let started: jiff::Timestamp = ledger.started.parse().ok()?;
    Some((file.at_ms - started.as_millisecond()).max(0) as f64 / 1_000.0)
}
