//! `segment-s3 replay`: sends all rows of a file again, with new ids.

use super::place::{InboxArg, Place, QueueArg, Way};
use crate::voice::{say, say_line};
use crate::words::visible;
use anyhow::Context;
use aws::bucket::retried;
use aws::fault::{Fault, Kind, Operation};
use clap::Args;
use ingestion::notification::replay_tag;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::process::ExitCode;

/// The arguments of `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The key of the file, or `s3://BUCKET/KEY`
    key: String,
    /// A name for this replay: the same name again sends nothing twice
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// A JSON document instead of a sentence
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    inbox: InboxArg,
    #[command(flatten)]
    queue: QueueArg,
}

/// Sends the message of a replay to the queue.
pub(super) async fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let tag =
        replay_tag(&args.tag).map_err(|_| anyhow::anyhow!("--tag must be 1 to 64 letters, digits, `-`, `_` or `.`"))?;
    let place = Place::open(&args.way).await?;
    let (bucket, key) = place.object(&args.key, &args.inbox)?;
    let queue = place.queue(&args.queue)?;
    let found = place.bucket(&bucket).head(&key, None).await;
    match found {
        // Who may not read the file may still send it.
        Err(fault) if fault.kind == Kind::Denied => {}
        found => {
            let found = found.map_err(|fault| place.explained(&fault))?;
            found.with_context(|| format!("there is no s3://{bucket}/{}: compare the key", visible(&key)))?;
        }
    }
    let sent = send(&place, &queue, &message(&bucket, &key, &tag).to_string()).await;
    let id = sent.map_err(|fault| place.explained(&fault))?;
    if args.json {
        say_line(json!({"object": format!("s3://{bucket}/{key}"), "replay": tag, "message": id}));
    } else {
        let key_in_words = visible(&key);
        say(format_args!(
            "{key_in_words}: all its rows are sent again with new ids; Segment counts them a second time\n"
        ));
        if let Some(command) = place.next(&args.inbox, None).about("show", &bucket, &key) {
            say(format_args!("  see how it ends: {command}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The event of a replay, as a person writes it for an invocation. Keys of such events are encoded.
fn message(bucket: &str, key: &str, tag: &str) -> Value {
    let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
    json!({"replay": tag, "Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]})
}

/// Puts a message into a queue, and returns its id.
pub(super) async fn send(place: &Place, queue: &str, body: &str) -> Result<String, Fault> {
    let sqs = place.sqs();
    retried(place.dice(), || async {
        let sent = sqs.send_message().queue_url(queue).message_body(body).send().await;
        let sent = sent.map_err(|error| Fault::of(Operation::Send, queue, &error))?;
        let foreign = || Fault::foreign(Operation::Send, queue, "the answer has no message id, so it is not from SQS");
        sent.message_id().map(str::to_owned).ok_or_else(foreign)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingestion::notification::{Entry, Notification, Wanted, read};

    #[test]
    fn the_message_means_the_key_as_it_stands() {
        for key in ["in/track_1.csv", "a+b c%20d/ü.csv"] {
            let wanted = Wanted { copies: true, restored: false };
            let Ok(Notification::Direct(entries)) = read(&message("inbox", key, "again"), wanted) else {
                unreachable!("it is no envelope")
            };
            let [Entry::Ingest(notice)] = &entries[..] else { unreachable!("it names one object") };
            assert_eq!((&*notice.key, notice.replay.as_deref()), (key, Some("again")));
        }
    }
}
