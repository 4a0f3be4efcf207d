//! `segment-s3 redrive`: what lies in the dead-letter queue, with reasons, and back to the queue with it.
//!
//! A message is first sent to the queue and then deleted here. A kill in between leaves it in both queues: the ingester
//! sees the second copy, and sends no row twice. Nothing is lost.

use super::index::Index;
use super::letters::{Letter, Letters};
use super::place::{Place, QueueArg, StateArg, Way};
use super::replay::send;
use super::words::usability;
use crate::voice::{Voice, say, say_line};
use crate::words::{grouped, visible};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use protocol::ledger::rfc3339;
use protocol::outcome::FileOutcome;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

/// Messages that are shown for people.
const SHOWN_MAX: usize = 50;

/// The arguments of `redrive`.
#[derive(Args, Debug)]
pub(crate) struct RedriveArgs {
    /// Show what lies there, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send without asking
    #[arg(long)]
    yes: bool,
    /// Delete the message with this id, and send nothing: for a message that is about no file
    #[arg(long, value_name = "ID", conflicts_with_all = ["dry_run", "yes", "json"])]
    discard: Option<String>,
    /// One JSON document for each message, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    state: StateArg,
    #[command(flatten)]
    queue: QueueArg,
    /// The URL of the dead-letter queue; without it that of the stack
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    dead_letters: Option<String>,
}

/// Shows the dead letters, and sends them again.
pub(super) async fn run(args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    let place = Place::open(&args.way).await?;
    let state = place.state(&args.state)?;
    let from =
        place.named(args.dead_letters.as_deref(), "IngestDeadLetters", "the dead-letter queue", "--dead-letters")?;
    if let Some(id) = &args.discard {
        return discard(&place, &mut Letters::new(&place, &from), id).await;
    }
    let queue = if args.dry_run { None } else { Some(place.queue(&args.queue)?) };
    let index = Index::of(&place, state.name())?;
    let mut letters = Letters::new(&place, &from);
    let shown = letters.look().await.map_err(|fault| place.explained(&fault))?;
    show(&place, &index, &shown, args).await;
    let Some(queue) = queue.filter(|_| !shown.is_empty()) else { return Ok(ExitCode::SUCCESS) };
    if !args.yes && !agreed(shown.len())? {
        return Ok(ExitCode::SUCCESS);
    }
    let wanted: BTreeSet<String> = shown.into_iter().map(|letter| letter.id).collect();
    let sent = again(&place, &mut letters, &queue, wanted.clone()).await?;
    if !args.json {
        let (sent, wanted) = (grouped(sent as u64), grouped(wanted.len() as u64));
        say(format_args!("{sent} of {wanted} messages are sent again\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks, on a terminal. Elsewhere nobody can answer.
fn agreed(count: usize) -> anyhow::Result<bool> {
    anyhow::ensure!(std::io::stdin().is_terminal(), "nothing is sent: add --yes to send these messages, or --dry-run");
    let them = if count == 1 { "it" } else { "all of them" };
    write!(std::io::stderr(), "Is the cause removed? Send {them} again? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Deletes one message.
async fn discard(place: &Place, letters: &mut Letters<'_>, id: &str) -> anyhow::Result<ExitCode> {
    let deleted = take_each(place, letters, None, BTreeSet::from([id.to_owned()])).await;
    let deleted = deleted.map_err(|(_, fault)| place.explained(&fault))?;
    anyhow::ensure!(
        deleted == 1,
        "there is no message {id}, or another process looks at it: `redrive --dry-run` shows all"
    );
    say(format_args!("the message {} is deleted\n", visible(id)));
    Ok(ExitCode::SUCCESS)
}

/// Sends these messages to the queue, each before it is deleted here. Returns how many.
async fn again(
    place: &Place,
    letters: &mut Letters<'_>,
    queue: &str,
    wanted: BTreeSet<String>,
) -> anyhow::Result<usize> {
    take_each(place, letters, Some(queue), wanted).await.map_err(|(sent, fault)| {
        let words = place.explained(&fault);
        anyhow::anyhow!("{sent} messages are sent again, and the others stay: {words:#}")
    })
}

/// Takes these messages, sends each to the queue if there is one, and deletes it. Returns how many, also with a fault.
async fn take_each(
    place: &Place,
    letters: &mut Letters<'_>,
    queue: Option<&str>,
    mut wanted: BTreeSet<String>,
) -> Result<usize, (usize, aws::Fault)> {
    let mut done = 0;
    let mut others = Vec::new();
    let ended = async {
        while !wanted.is_empty() {
            let taken = letters.take().await?;
            if taken.is_empty() {
                break;
            }
            for letter in taken {
                // It came since the list was shown.
                if !wanted.remove(&letter.id) {
                    others.push(letter);
                    continue;
                }
                if let Some(queue) = queue {
                    send(place, queue, &letter.body).await?;
                }
                letters.delete(&letter).await?;
                done += 1;
            }
        }
        Ok(())
    };
    let ended: Result<(), aws::Fault> = ended.await;
    letters.give_back(&others).await;
    ended.map(|()| done).map_err(|fault| (done, fault))
}

/// How an object ended, or why that cannot be read.
type Known = Result<Option<FileOutcome>, String>;

async fn show(place: &Place, index: &Index, letters: &[Letter], args: &RedriveArgs) {
    let voice = Voice::of(&std::io::stdout());
    if letters.is_empty() && !args.json {
        say_line("the dead-letter queue is empty");
    }
    for (at, letter) in letters.iter().enumerate() {
        if !args.json && at >= SHOWN_MAX {
            say(format_args!("and {} more; --json has all\n", grouped((letters.len() - at) as u64)));
            break;
        }
        let objects = letter.objects();
        let mut outcomes = Vec::new();
        for (bucket, key) in &objects {
            let known = index.of_file(bucket, key).await.map(|known| known.into_iter().next());
            outcomes.push(known.map_err(|error| format!("{:#}", place.explain(error))));
        }
        if args.json {
            say_line(json_of(letter, &objects, &outcomes));
        } else {
            say(format_args!("{}", words(letter, &objects, &outcomes, voice)));
        }
    }
}

fn json_of(letter: &Letter, objects: &[(String, String)], outcomes: &[Known]) -> Value {
    let unreadable: Vec<_> = outcomes.iter().filter_map(|known| known.as_ref().err()).collect();
    let outcomes: Vec<_> = outcomes.iter().filter_map(|known| known.as_ref().ok()?.as_ref()).collect();
    let objects: Vec<_> = objects.iter().map(|(bucket, key)| format!("s3://{bucket}/{key}")).collect();
    json!({"message": letter.id, "sent": rfc3339(letter.sent_ms), "receives": letter.receives, "objects": objects,
        "bytes": letter.body.len(), "outcomes": outcomes, "unreadable": unreadable})
}

fn words(letter: &Letter, objects: &[(String, String)], outcomes: &[Known], voice: Voice) -> String {
    let keys: Vec<_> = objects.iter().map(|(_, key)| visible(key)).collect();
    let what = if keys.is_empty() { "a message about no file".to_owned() } else { keys.join(", ") };
    let mut out = format!("{}  sent {}\n", voice.strong(&what), rfc3339(letter.sent_ms));
    if keys.is_empty() {
        let (id, bytes) = (visible(&letter.id), grouped(letter.body.len() as u64));
        out.push_str(&format!("  {bytes} B; if it is not wanted, delete it with --discard {id}\n"));
        return out;
    }
    for known in outcomes {
        let outcome = match known {
            Ok(Some(outcome)) => outcome,
            Ok(None) => continue,
            Err(error) => {
                out.push_str(&format!("  its outcome cannot be read: {}\n", visible(error)));
                continue;
            }
        };
        let nothing = if outcome.outcome.is_final() { "it has ended since, so nothing is sent twice" } else { "" };
        let reason = outcome.reason.as_deref().unwrap_or(nothing);
        out.push_str(&format!(
            "  {}  {}\n",
            super::words::painted(usability(outcome), outcome.outcome.as_str(), voice),
            visible(reason)
        ));
    }
    if outcomes.iter().all(|known| matches!(known, Ok(None))) {
        out.push_str("  no reason is known: read the log of the ingester\n");
    }
    out
}
