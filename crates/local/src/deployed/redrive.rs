//! `segment-s3 redrive`: what lies in the dead-letter queue, with reasons, and back to the queue with it.
//!
//! A message is first sent to the queue and then deleted here. A kill in between leaves it in both queues: the ingester
//! sees the second copy, and sends no row twice. Nothing is lost.

use super::index::Index;
use super::letters::{Letter, Letters};
use super::place::{Place, QueueArg, StateArg, Way};
use super::replay::send;
use super::words::usability;
use crate::voice::Voice;
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
    let queue = if args.dry_run { None } else { Some(place.queue(&args.queue)?) };
    let index = Index::of(&place, state.name())?;
    let mut letters = Letters::new(&place, &from);
    let shown = letters.look().await.map_err(|fault| place.explained(&fault))?;
    show(&place, &index, &shown, args).await?;
    let Some(queue) = queue.filter(|_| !shown.is_empty()) else { return Ok(ExitCode::SUCCESS) };
    if !args.yes && !agreed(shown.len())? {
        return Ok(ExitCode::SUCCESS);
    }
    let wanted: BTreeSet<String> = shown.into_iter().map(|letter| letter.id).collect();
    let sent = again(&place, &mut letters, &queue, wanted.clone()).await?;
    if !args.json {
        println!("{} of {} messages are sent again", grouped(sent as u64), grouped(wanted.len() as u64));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks, on a terminal. Elsewhere nobody can answer.
fn agreed(count: usize) -> anyhow::Result<bool> {
    anyhow::ensure!(std::io::stdin().is_terminal(), "nothing is sent: add --yes to send these messages, or --dry-run");
    eprint!("Is the cause removed? Send {} again? [y/N] ", if count == 1 { "it" } else { "all of them" });
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Sends these messages to the queue, each before it is deleted here. Returns how many.
async fn again(
    place: &Place,
    letters: &mut Letters<'_>,
    queue: &str,
    mut wanted: BTreeSet<String>,
) -> anyhow::Result<usize> {
    let mut sent = 0;
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
                send(place, queue, &letter.body).await?;
                letters.delete(&letter).await?;
                sent += 1;
            }
        }
        Ok(())
    };
    let ended: Result<(), aws::Fault> = ended.await;
    letters.give_back(&others).await;
    ended.map_err(|fault| {
        let words = place.explained(&fault);
        anyhow::anyhow!("{sent} messages are sent again, and the others stay: {words:#}")
    })?;
    Ok(sent)
}

async fn show(place: &Place, index: &Index, letters: &[Letter], args: &RedriveArgs) -> anyhow::Result<()> {
    let voice = Voice::of(&std::io::stdout());
    if letters.is_empty() && !args.json {
        println!("the dead-letter queue is empty");
    }
    for (at, letter) in letters.iter().enumerate() {
        if !args.json && at >= SHOWN_MAX {
            println!("and {} more; --json has all", grouped((letters.len() - at) as u64));
            break;
        }
        let objects = letter.objects();
        let mut outcomes = Vec::new();
        for (bucket, key) in &objects {
            let known = index.of_file(bucket, key).await.map_err(|error| place.explain(error))?;
            outcomes.extend(known.into_iter().next());
        }
        if args.json {
            println!("{}", json_of(letter, &objects, &outcomes));
        } else {
            print!("{}", words(letter, &objects, &outcomes, voice));
        }
    }
    Ok(())
}

fn json_of(letter: &Letter, objects: &[(String, String)], outcomes: &[FileOutcome]) -> Value {
    let objects: Vec<_> = objects.iter().map(|(bucket, key)| format!("s3://{bucket}/{key}")).collect();
    json!({"message": letter.id, "sent": rfc3339(letter.sent_ms), "receives": letter.receives, "objects": objects,
        "outcomes": outcomes})
}

fn words(letter: &Letter, objects: &[(String, String)], outcomes: &[FileOutcome], voice: Voice) -> String {
    let keys: Vec<_> = objects.iter().map(|(_, key)| visible(key)).collect();
    let what = if keys.is_empty() { "a message without an object".to_owned() } else { keys.join(", ") };
    let mut out = format!("{}  sent {}\n", voice.strong(&what), rfc3339(letter.sent_ms));
    for outcome in outcomes {
        let nothing = if outcome.outcome.is_final() { "it has ended since, so nothing is sent twice" } else { "" };
        let reason = outcome.reason.as_deref().unwrap_or(nothing);
        out.push_str(&format!(
            "  {}  {}\n",
            super::words::painted(usability(outcome), outcome.outcome.as_str(), voice),
            visible(reason)
        ));
    }
    if outcomes.is_empty() {
        out.push_str("  no reason is known: read the log of the ingester\n");
    }
    out
}
