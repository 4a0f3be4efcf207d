//! The commands on AWS, against stand-ins of S3, SQS and CloudFormation.

mod around;
mod dropping;
mod looking;
mod mending;

use crate::scene::Folder;
use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, Ending, Phase};
use protocol::claim::{Afresh, Claim, Claimant, claim};
use protocol::id::{Day, Nonce, StreamId};
use protocol::keys;
use protocol::ledger::{Ledger, rfc3339};
use protocol::outcome::{FileOutcome, KeyOutcomes, Outcome, key_of};
use protocol::upload::Identity;
use standins::cloudformation::{self, Stack};
use standins::iam::{Credentials, Policy};
use standins::{s3, sqs};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

pub(crate) const INBOX: &str = "inbox";
const STATE: &str = "state";
const LOGS: &str = "logs";
const SOURCE: &str = "shop1";
const NOW_MS: i64 = 1_795_651_200_000;
/// No test waits so long; a test that does has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a stack is made of, as far as a person sees it.
pub(crate) struct Aws {
    s3: s3::Server,
    sqs: sqs::Server,
    cloudformation: cloudformation::Server,
    /// The person, who has the rights of docs/commands.md and no others.
    key: Credentials,
}

impl Aws {
    async fn new() -> Aws {
        Aws::with(Stack::default()).await
    }

    /// The stack `shop`, with these parameters too.
    async fn with(stack: Stack) -> Aws {
        let s3 = s3::Server::memory().with_versioned_bucket(INBOX).with_bucket(STATE).with_bucket(LOGS);
        let s3 = s3.start().await.unwrap();
        let sqs = sqs::Server::setup().with_queue("work").with_queue("dead").start().await.unwrap();
        let stack = stack
            .output("SourceBucket", INBOX)
            .output("StateBucket", STATE)
            .output("IngestQueue", &sqs.queue_url("work"))
            .output("IngestDeadLetters", &sqs.queue_url("dead"))
            .parameter("SourceId", SOURCE)
            .parameter("WriteKey", "****")
            .parameter("DestinationBucket", "logs/raw");
        let cloudformation = cloudformation::Server::start([("shop", stack)]).await.unwrap();
        let policy = Policy::parse(&documented_policy()).unwrap();
        let key = s3.directory().add_user("arn:aws:iam::123456789012:user/ann", vec![policy]);
        Aws { s3, sqs, cloudformation, key }
    }

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
        command
            .args(args)
            .env_clear()
            .envs(self.s3.env_as(&self.key))
            .envs(self.sqs.env())
            .env("AWS_ENDPOINT_URL_CLOUDFORMATION", self.cloudformation.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str]) -> Ended {
        ended(self.start(args)).await
    }

    /// Puts an outcome into the index, as the ingester does.
    fn keep(&self, outcome: &FileOutcome) {
        let key = key_of(&outcome.bucket, &outcome.key);
        let before = self.s3.bytes(STATE, &key).map(|json| KeyOutcomes::from_json(&json).unwrap());
        let with = KeyOutcomes::with(before.as_ref(), outcome, Nonce::new([1; 16])).unwrap();
        self.s3.put(STATE, &outcome.day_key(), outcome.to_json()).unwrap();
        self.s3.put(STATE, &key, with.to_json()).unwrap();
    }
}

/// A process that has ended.
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn ended(child: Child) -> Ended {
    let output: Output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Reads the standard output of a process until it has these words.
async fn until(child: &mut Child, words: &str) {
    let out = child.stdout.as_mut().unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(words) {
        let read = tokio::time::timeout(PATIENCE, out.read_buf(&mut text)).await.unwrap().unwrap();
        assert!(read > 0, "no {words:?} in {}", String::from_utf8_lossy(&text));
    }
}

/// Presses Ctrl-C.
fn interrupt(child: &Child) {
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().unwrap().to_string()]).status();
    assert!(killed.unwrap().success());
}

/// The policy of docs/commands.md for these buckets.
fn documented_policy() -> String {
    let text = include_str!("../../../../docs/commands.md");
    let (_, rest) = text.split_once("```json\n{\n  \"Version\"").unwrap();
    let policy = format!("{{\n  \"Version\"{}", rest.split_once("```").unwrap().0);
    [("INBOX", INBOX), ("STATE", STATE), ("LOGS", LOGS)]
        .iter()
        .fold(policy, |text, (name, bucket)| text.replace(name, bucket))
}

fn outcome(key: &str, outcome: Outcome, rejected: u64, at_ms: i64) -> FileOutcome {
    let mut account = Account { rows: 3, acknowledged: 3 - rejected, rejected, ..Account::default() };
    if rejected > 0 {
        account.rejected_by.insert("missing_user_id".to_owned(), rejected);
    }
    FileOutcome {
        format: 1,
        version: "0.2.0".to_owned(),
        bucket: INBOX.to_owned(),
        key: key.to_owned(),
        outcome,
        reason: (outcome == Outcome::Failed).then(|| "the role may not read it".to_owned()),
        code: None,
        source_id: Some(SOURCE.parse().unwrap()),
        mapping: None,
        kind: Some("track".to_owned()),
        collection: None,
        stream: Some(StreamId::new([9; 16])),
        account,
        undelivered_from_line: None,
        ledger: None,
        rejects: (rejected > 0).then(|| "s3://state/rejects/9/track_1.rejects.csv".to_owned()),
        started: None,
        at: rfc3339(at_ms),
        at_ms,
    }
}

/// The latest version of a key, as the ingester identifies it.
fn identity_of_latest(aws: &Aws, key: &str) -> Identity {
    let object = aws.s3.objects(INBOX, key).remove(0);
    Identity {
        source_id: SOURCE.parse().unwrap(),
        bucket: INBOX.to_owned(),
        key: key.to_owned(),
        version_id: object.version_id,
        etag: format!("\"{}\"", object.etag),
        // HTTP dates have seconds.
        modified_ms: object.modified_ms / 1_000 * 1_000,
        bytes: object.size,
        replay: None,
        mapping: None,
    }
}

/// The outcome of the latest version of a key.
fn of_latest(aws: &Aws, one: FileOutcome) -> FileOutcome {
    FileOutcome { stream: Some(identity_of_latest(aws, &one.key).stream()), ..one }
}

/// The last checkpoint of the latest version of `track_1.csv`.
fn ended_checkpoint(aws: &Aws) -> Checkpoint {
    let by = Claimant { now_ms: NOW_MS, lease_ms: 1, nonce: Nonce::new([1; 16]), afresh: Afresh::No };
    let Claim::Begin(mut begun) = claim(None, &identity_of_latest(aws, "track_1.csv"), by) else {
        unreachable!("there is no checkpoint")
    };
    begun.account = outcome("track_1.csv", Outcome::Finished, 1, NOW_MS).account;
    let ending = Ending {
        reason: None,
        code: None,
        kind: "track".to_owned(),
        collection: None,
        columns: Vec::new(),
        warnings: Vec::new(),
        rejects: Some("rejects/9/track_1.rejects.csv".to_owned()),
        at_ms: NOW_MS,
    };
    begun.end(Nonce::new([2; 16]), Phase::Finished, ending)
}
