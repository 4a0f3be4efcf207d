//! The commands on AWS, against stand-ins of S3, SQS and CloudFormation.

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

#[tokio::test]
async fn a_dropped_file_is_followed_to_the_end_of_its_own_version() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/")).await;
    let folder = Folder::new("aws-drop");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let key = "in/track_1.csv";
    aws.keep(&outcome(key, Outcome::Finished, 0, NOW_MS));
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/in/track_1.csv, version ").await;
    let ours = of_latest(&aws, outcome(key, Outcome::Finished, 1, NOW_MS + 2));
    // Another version ends in between.
    let another =
        FileOutcome { stream: Some(StreamId::new([8; 16])), ..outcome(key, Outcome::Finished, 0, NOW_MS + 1) };
    aws.keep(&another);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(drop.try_wait().unwrap().is_none(), "it was another version");
    aws.keep(&ours);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("finished  3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    assert!(ended.stdout.contains("segment-s3 rejects in/track_1.csv --stack shop"), "{}", ended.stdout);
    let put = aws.s3.bytes(INBOX, key).unwrap();
    assert_eq!(&put[..], std::fs::read(&file).unwrap());
}

#[tokio::test]
async fn a_dropped_file_ends_although_another_version_ends_right_after_it() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-shared");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    // Without a stack the source is not known, so the checkpoint is not either.
    for args in [&["--stack", "shop"][..], &["--inbox", INBOX, "--state", STATE]] {
        let mut drop = aws.start(&[&["drop", &file], args].concat());
        until(&mut drop, "uploaded to").await;
        let now_ms = aws::Clock::system().now_ms();
        let ours = of_latest(&aws, outcome("track_1.csv", Outcome::Finished, 1, now_ms));
        aws.s3.put(STATE, &keys::checkpoint(ours.stream.unwrap()), ended_checkpoint(&aws).to_json()).unwrap();
        let another = outcome("track_1.csv", Outcome::Finished, 0, now_ms + 1);
        aws.keep(&ours);
        aws.keep(&FileOutcome { stream: Some(StreamId::new([8; 16])), ..another });
        let ended = ended(drop).await;
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert!(ended.stdout.contains("3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_dropped_file_ends_with_its_ledger_if_its_outcome_is_not_kept() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-ledger");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let checkpoint = ended_checkpoint(&aws);
    let stream = checkpoint.object.stream();
    aws.s3.put(STATE, &keys::checkpoint(stream), checkpoint.to_json()).unwrap();
    aws.s3.put(STATE, &keys::ledger(stream), Ledger::of(&checkpoint).unwrap().to_json()).unwrap();
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("finished  3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    assert!(ended.stdout.contains("refused rows: s3://state/rejects/9/track_1.rejects.csv"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_document_of_a_newer_version_ends_the_following_with_its_reason() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-newer");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let stream = ended_checkpoint(&aws).object.stream();
    aws.s3.put(STATE, &keys::checkpoint(stream), r#"{"format":999}"#).unwrap();
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("checkpoint.json") && ended.stderr.contains("999"), "{}", ended.stderr);
}

#[tokio::test]
async fn two_files_with_one_key_are_refused_before_the_upload() {
    let aws = Aws::new().await;
    let (one, two) = (Folder::new("aws-drop-one"), Folder::new("aws-drop-two"));
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (one.file("track_1.csv", text), two.file("track_1.csv", text));
    let ended = aws.run(&["drop", &one, &two, "--stack", "shop"]).await;
    assert!(ended.status == Some(2) && ended.stderr.contains("the same key"), "{}", ended.stderr);
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn without_versions_etag_and_date_identify_the_upload() {
    let aws = Aws::new().await;
    aws.s3.set_versioning(INBOX, s3::Versioning::Off).unwrap();
    let folder = Folder::new("aws-drop-unversioned");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/track_1.csv\n").await;
    aws.keep(&of_latest(&aws, outcome("track_1.csv", Outcome::Finished, 0, NOW_MS)));
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_that_fails_has_status_2_and_says_why() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-fails");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--inbox", INBOX, "--state", STATE, "--json"]);
    while aws.s3.objects(INBOX, "track_1.csv").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(drop.try_wait().unwrap().is_none());
    }
    // The message failed before the object was read.
    aws.keep(&FileOutcome { stream: None, ..outcome("track_1.csv", Outcome::Failed, 0, NOW_MS) });
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["outcomes"][0]["reason"], "the role may not read it", "{told:#}");
    assert_eq!(told["checked"][0]["rows"], 1, "{told:#}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_not_uploaded() {
    let aws = Aws::with(Stack::default().parameter("MoreSettings", "REJECT_LIMIT_ROWS=1")).await;
    let folder = Folder::new("aws-drop-bad");
    for (name, text, words) in [
        ("track_1.csv", "userId,event\n,Seen\n,Seen\n", "would be stopped"),
        ("notes.csv", "a\n1\n", "no known prefix"),
        ("track_2.csv", "", "empty"),
    ] {
        let file = folder.file(name, text);
        let ended = aws.run(&["drop", &file, "--stack", "shop"]).await;
        assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        assert!(ended.stdout.contains(words) && ended.stdout.contains("it is not uploaded"), "{}", ended.stdout);
    }
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn a_key_that_starts_nothing_is_refused_before_the_upload() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/").parameter("SourceSuffix", ".csv")).await;
    let folder = Folder::new("aws-drop-prefix");
    let file = folder.file("track_1.txt", "userId,event\nu1,Seen\n");
    for (prefix, words) in [("out/", "write --prefix in/"), ("in/", "rename the file")] {
        let ended = aws.run(&["drop", &file, "--stack", "shop", "--prefix", prefix]).await;
        assert_eq!(ended.status, Some(2));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn without_following_the_check_gives_the_exit_status() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/")).await;
    let folder = Folder::new("aws-drop-unfollowed");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let gone = folder.0.join("track_2.csv");
    let ended = aws.run(&["drop", &file, "--stack", "shop", "--no-follow"]).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert_eq!(aws.s3.keys(INBOX, ""), ["in/track_1.csv"]);
    let ended = aws.run(&["drop", gone.to_str().unwrap(), &file, "--stack", "shop", "--no-follow", "--json"]).await;
    let told: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.status, told.len()), (Some(2), 2), "each file has a document: {}", ended.stdout);
    assert!(told[0]["error"].as_str().unwrap().contains("failed to open it"), "{}", told[0]);
}

#[tokio::test]
async fn check_and_drop_read_a_file_under_the_same_key() {
    let mapping = "[[mapping]]\nname = \"orders\"\nmatch = \"in/orders*.csv\"\ncall = \"track\"\nset.event = \"Ordered\"\n\
        columns.\"Email\" = \"userId\"\nrest = \"drop\"\n";
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/").parameter("Config", mapping)).await;
    let folder = Folder::new("aws-same-key");
    let file = folder.file("orders_1.csv", "Email,Total\nann@example.com,1\n");
    let checked = aws.run(&["check", &file, "--stack", "shop", "--json"]).await;
    let checked: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    let dropped = aws.run(&["drop", &file, "--stack", "shop", "--no-follow", "--json"]).await;
    let dropped: serde_json::Value = serde_json::from_str(&dropped.stdout).unwrap();
    assert_eq!((&checked["mapping"], &dropped["checked"][0]["mapping"]), (&"orders".into(), &"orders".into()));
    assert_eq!(dropped["object"], "s3://inbox/in/orders_1.csv");
    let mistaken = aws.run(&["drop", &file, "--stack", "shop", "--prefix", "in"]).await;
    assert!(mistaken.status == Some(2) && mistaken.stderr.contains("write --prefix in/"), "{}", mistaken.stderr);
}

#[tokio::test]
async fn a_drop_goes_on_when_its_output_cannot_be_written() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-unread");
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (folder.file("track_1.csv", text), folder.file("track_2.csv", text));
    for key in ["track_1.csv", "track_2.csv"] {
        // The message failed before the object was read.
        let failed = FileOutcome { stream: None, ..outcome(key, Outcome::Failed, 0, NOW_MS) };
        aws.keep(&failed);
    }
    let args = ["drop", &one, &two, "--stack", "shop", "--no-follow"];
    let mut closed = aws.start(&args);
    drop(closed.stdout.take());
    let closed = ended(closed).await;
    assert_eq!((closed.status, &*closed.stderr), (Some(0), ""), "a closed pipe is ignored");
    assert_eq!(aws.s3.versions(INBOX, "").len(), 2);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut full_disk = aws.command(&args);
    let full_disk = ended(full_disk.stdout(full).spawn().unwrap()).await;
    assert_eq!(full_disk.status, Some(2), "{}", full_disk.stderr);
    assert!(full_disk.stderr.contains("failed to write to standard output"), "{}", full_disk.stderr);
    assert_eq!(aws.s3.versions(INBOX, "").len(), 4);
    for args in [&["files", "--stack", "shop"][..], &["show", "track_1.csv", "--stack", "shop"]] {
        let mut closed = aws.start(args);
        drop(closed.stdout.take());
        assert_eq!(ended(closed).await.stderr, "", "{args:?}");
    }
}

#[tokio::test]
async fn ctrl_c_in_an_upload_gives_it_up_and_says_what_is_uploaded() {
    use standins::faults::{Fault, Gate, Rule};
    let aws = Aws::new().await;
    let gate = Gate::new();
    let folder = Folder::new("aws-drop-interrupted-upload");
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (folder.file("track_1.csv", text), folder.file("track_2.csv", text));
    aws.s3.faults().add(Rule::on("UploadPart").key("track_2.csv").before(Fault::Hold(gate.clone())));
    let three = folder.file("track_3.csv", text);
    let mut drop = aws.start(&["drop", &one, &two, &three, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/track_1.csv").await;
    gate.reached(1).await;
    interrupt(&drop);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    for name in ["track_2.csv", "track_3.csv"] {
        assert!(ended.stderr.contains(&format!("{name}: Ctrl-C: it is not uploaded")), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("segment-s3 show track_1.csv --stack shop"), "{}", ended.stderr);
    assert_eq!(aws.s3.requests().count("AbortMultipartUpload"), 1);
    assert_eq!(aws.s3.keys(INBOX, ""), ["track_1.csv"]);
}

#[tokio::test]
async fn ctrl_c_ends_the_following_and_not_the_ingestion() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-interrupted");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let questions = || aws.s3.requests().count("GetObject");
    let before = questions();
    while questions() < before + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    interrupt(&drop);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(130));
    assert!(ended.stderr.contains("the ingestion goes on"), "{}", ended.stderr);
    assert!(ended.stderr.contains("segment-s3 show track_1.csv --stack shop"), "{}", ended.stderr);
    assert_eq!(aws.s3.keys(INBOX, ""), ["track_1.csv"]);
}

#[tokio::test]
async fn check_reads_by_what_is_deployed() {
    let mapping = "[[mapping]]\nname = \"orders\"\nmatch = \"orders*.csv\"\ncall = \"track\"\nset.event = \"Ordered\"\n\
        columns.\"Email\" = \"userId\"\nrest = \"drop\"\n";
    let folder = Folder::new("aws-check");
    let file = folder.file("orders_1.csv", "Email,Total\nann@example.com,1\n");
    let inline = Aws::with(Stack::default().parameter("Config", mapping)).await;
    let in_object = Aws::with(Stack::default().parameter("Config", "s3://state/ingest/config.toml")).await;
    in_object.s3.put(STATE, "ingest/config.toml", mapping).unwrap();
    for aws in [inline, in_object] {
        let ended = aws.run(&["check", &file, "--key", "orders_1.csv", "--stack", "shop", "--json"]).await;
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&told["mapping"], &told["rows"]), (&"orders".into(), &1.into()), "{told:#}");
        assert_eq!(aws.run(&["check", &file, "--key", "orders_1.csv"]).await.status, Some(2), "not without the stack");
    }
}

#[tokio::test]
async fn files_are_listed_with_their_last_outcome() {
    let aws = Aws::new().await;
    let now_ms = aws::Clock::system().now_ms();
    aws.keep(&outcome("a.csv", Outcome::Failed, 0, now_ms - 4_000));
    aws.keep(&outcome("b.csv", Outcome::Failed, 0, now_ms - 3_000));
    aws.keep(&outcome("a.csv", Outcome::Finished, 1, now_ms - 2_000));
    let all = aws.run(&["files", "--stack", "shop"]).await;
    let lines: Vec<_> = all.stdout.lines().collect();
    assert_eq!((all.status, lines.len()), (Some(0), 4), "{} {}", all.stdout, all.stderr);
    assert!(lines[1].ends_with("a.csv") && lines[1].contains("finished"), "{}", all.stdout);
    assert!(lines[2].ends_with("b.csv") && lines[3].contains("the role may not read it"), "{}", all.stdout);
    let failed = aws.run(&["files", "--failed", "--json", "--state", STATE]).await;
    let file: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    let expected = serde_json::json!({"bucket": INBOX, "key": "b.csv", "outcome": "failed", "rows": 3, "acknowledged": 3,
        "rejected": 0, "reason": "the role may not read it", "at": rfc3339(now_ms - 3_000)});
    assert_eq!(file, expected);
}

#[tokio::test]
async fn rejects_are_fetched_under_their_own_name_and_replace_nothing() {
    let aws = Aws::new().await;
    let rows = "userId,event,_error_code,_error,_line,_byte\n,Seen,missing_user_id,x,3,20\n";
    aws.s3.put(STATE, "rejects/9/track_1.rejects.csv", rows).unwrap();
    aws.keep(&outcome("track_1.csv", Outcome::Finished, 1, NOW_MS));
    let folder = Folder::new("aws-rejects");
    let to = folder.0.to_str().unwrap();
    let fetched = aws.run(&["rejects", "track_1.csv", "--stack", "shop", "--folder", to]).await;
    assert_eq!(fetched.status, Some(0), "{}", fetched.stderr);
    let path = folder.0.join("track_1.rejects.csv");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), rows);
    std::fs::write(&path, "corrected").unwrap();
    let again = aws.run(&["rejects", "track_1.csv", "--stack", "shop", "--folder", to]).await;
    assert!(again.status == Some(2) && again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "corrected");
    let printed = aws.run(&["rejects", "s3://inbox/track_1.csv", "--state", STATE, "--stdout"]).await;
    assert_eq!(printed.stdout, rows);
    let unknown = aws.run(&["rejects", "other.csv", "--stack", "shop"]).await;
    assert!(unknown.status == Some(2) && unknown.stderr.contains("no end of it is known"), "{}", unknown.stderr);
}

#[tokio::test]
async fn the_rejects_of_two_mappings_are_two_files() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-rejects-two");
    let to = folder.0.to_str().unwrap();
    for mapping in ["carts", "orders"] {
        let rejects = format!("rejects/9/{mapping}.rejects.csv");
        aws.s3.put(STATE, &rejects, mapping).unwrap();
        let refused = outcome("a.csv", Outcome::Finished, 1, NOW_MS);
        let rejects = Some(format!("s3://{STATE}/{rejects}"));
        aws.keep(&FileOutcome { mapping: Some(mapping.to_owned()), rejects, ..refused });
    }
    let joined = aws.run(&["rejects", "a.csv", "--stack", "shop", "--stdout"]).await;
    assert!(joined.status == Some(2) && joined.stderr.contains("name one with --mapping"), "{}", joined.stderr);
    assert_eq!(joined.stdout, "");
    let one = aws.run(&["rejects", "a.csv", "--stack", "shop", "--stdout", "--mapping", "orders"]).await;
    assert_eq!((one.status, &*one.stdout), (Some(0), "orders"), "{}", one.stderr);
    let unknown = aws.run(&["show", "a.csv", "--stack", "shop", "--mapping", "other"]).await;
    assert!(unknown.status == Some(2) && unknown.stderr.contains("carts, orders"), "{}", unknown.stderr);
    let corrected = folder.file("carts.rejects.csv", "corrected");
    let both = aws.run(&["rejects", "a.csv", "--stack", "shop", "--folder", to]).await;
    assert!(both.status == Some(2) && both.stderr.contains("is there already"), "{}", both.stderr);
    assert_eq!(std::fs::read_to_string(corrected).unwrap(), "corrected");
    assert_eq!(std::fs::read_to_string(folder.0.join("orders.rejects.csv")).unwrap(), "orders");
}

#[tokio::test]
async fn a_file_that_is_being_read_shows_its_rows_so_far() {
    let aws = Aws::new().await;
    aws.s3.put(INBOX, "track_1.csv", "userId,event\nu1,Seen\n").unwrap();
    let running = Checkpoint { phase: Phase::Running, ending: None, ..ended_checkpoint(&aws) };
    aws.s3.put(STATE, &keys::checkpoint(running.object.stream()), running.to_json()).unwrap();
    let shown = aws.run(&["show", "track_1.csv", "--stack", "shop"]).await;
    assert_eq!(shown.status, Some(2), "it has not finished: {}", shown.stderr);
    assert!(shown.stdout.contains("running  3 rows = 2 accepted + 1 refused so far"), "{}", shown.stdout);
}

#[tokio::test]
async fn a_replay_is_a_message_in_the_queue() {
    let aws = Aws::new().await;
    aws.s3.put(INBOX, "in/a b.csv", "userId,event\nu1,Seen\n").unwrap();
    let sent = aws.run(&["replay", "in/a b.csv", "--tag", "2026-fix", "--stack", "shop"]).await;
    assert_eq!(sent.status, Some(0), "{}", sent.stderr);
    assert!(sent.stdout.contains("segment-s3 show 'in/a b.csv' --stack shop"), "{}", sent.stdout);
    let messages = aws.sqs.messages("work");
    let body: serde_json::Value = serde_json::from_str(&messages[0].body).unwrap();
    assert_eq!((messages.len(), &body["replay"]), (1, &"2026-fix".into()));
    let key = &body["Records"][0]["s3"]["object"]["key"];
    assert_eq!(key, "in%2Fa%20b%2Ecsv");
    let queue = aws.sqs.queue_url("work");
    let other = ["replay", "in/a b.csv", "--tag", "2026-fix", "--queue", &queue, "--inbox", INBOX];
    let other = aws.run(&other).await;
    assert!(other.status == Some(0) && !other.stdout.contains("show"), "it would not find the state: {}", other.stdout);
    for (key, tag, words) in
        [("other.csv", "x", "there is no s3://inbox/other.csv"), ("in/a b.csv", "a/b", "--tag must be 1 to 64")]
    {
        let refused = aws.run(&["replay", key, "--tag", tag, "--stack", "shop"]).await;
        assert!(refused.status == Some(2) && refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(aws.sqs.messages("work").len(), 2);
}

#[tokio::test]
async fn dead_letters_are_shown_with_reasons_and_go_back_to_the_queue() {
    let aws = Aws::new().await;
    let event = |key: &str| {
        format!(
            r#"{{"Records":[{{"s3":{{"bucket":{{"name":"inbox"}},"object":{{"key":"{key}","sequencer":"1"}}}}}}]}}"#
        )
    };
    for number in 0..25 {
        aws.sqs.send("dead", &event(&format!("track_{number}.csv")));
    }
    aws.keep(&outcome("track_7.csv", Outcome::Failed, 0, NOW_MS));
    let shown = aws.run(&["redrive", "--stack", "shop", "--dry-run"]).await;
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("failed  the role may not read it"), "{}", shown.stdout);
    let dead = aws.sqs.messages("dead");
    let now_ms = aws.sqs.clock().now_ms();
    assert!(dead.len() == 25 && dead.iter().all(|message| message.visible_ms <= now_ms), "they are given back");
    let unasked = aws.run(&["redrive", "--stack", "shop"]).await;
    assert!(unasked.status == Some(2) && unasked.stderr.contains("add --yes"), "{}", unasked.stderr);
    assert!(aws.sqs.messages("work").is_empty());
    let sent = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(sent.stdout.contains("25 of 25 messages are sent again"), "{} {}", sent.stdout, sent.stderr);
    assert!(aws.sqs.messages("dead").is_empty());
    let mut bodies: Vec<_> = aws.sqs.messages("work").into_iter().map(|message| message.body).collect();
    let mut expected: Vec<_> = (0..25).map(|number| event(&format!("track_{number}.csv"))).collect();
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
    let empty = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(empty.stdout.contains("the dead-letter queue is empty"), "{}", empty.stdout);
}

#[tokio::test]
async fn a_dead_letter_about_no_file_keeps_none_from_being_sent() {
    let aws = Aws::new().await;
    let of_test =
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-27T00:00:00.000Z","Bucket":"inbox"}"#;
    let of_file = r#"{"Records":[{"s3":{"bucket":{"name":"inbox"},"object":{"key":"a.csv","sequencer":"1"}}}]}"#;
    for body in [of_test, of_file] {
        aws.sqs.send("dead", body);
    }
    aws.s3.put(STATE, &key_of(INBOX, "a.csv"), "no document").unwrap();
    let shown = aws.run(&["redrive", "--stack", "shop", "--dry-run"]).await;
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(
        shown.stdout.contains("a.csv  sent") && shown.stdout.contains("its outcome cannot be read"),
        "{}",
        shown.stdout
    );
    let (_, id) = shown.stdout.split_once("delete it with --discard ").unwrap();
    let id = id.lines().next().unwrap();
    let discarded = aws.run(&["redrive", "--stack", "shop", "--discard", id]).await;
    assert_eq!(discarded.status, Some(0), "{}", discarded.stderr);
    let left: Vec<_> = aws.sqs.messages("dead").into_iter().map(|message| message.body).collect();
    assert_eq!(left, [of_file]);
    let again = aws.run(&["redrive", "--stack", "shop", "--discard", id]).await;
    assert!(again.status == Some(2) && again.stderr.contains("there is no message"), "{}", again.stderr);
    let sent = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(sent.stdout.contains("1 of 1 messages are sent again"), "{} {}", sent.stdout, sent.stderr);
}

#[tokio::test]
async fn a_redrive_that_ends_between_its_two_requests_loses_no_message() {
    use standins::faults::{Fault, Rule};
    let aws = Aws::new().await;
    aws.sqs.send("dead", "{}");
    let denied = Fault::status(403).body(r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#);
    aws.sqs.faults().add(Rule::on("DeleteMessage").bucket("dead").before(denied));
    let ended = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("ask for sqs:DeleteMessage"), "{}", ended.stderr);
    assert_eq!((aws.sqs.messages("dead").len(), aws.sqs.messages("work").len()), (1, 1));
}

#[tokio::test]
async fn log_objects_are_listed_and_their_lines_written() {
    let aws = Aws::new().await;
    let day = Day::of(NOW_MS);
    let gz = |text: &str| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop1/{}/1.a.gz", day.ms()), gz("{\"a\":1}\n")).unwrap();
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop1/{}/2.b.gz", day.ms()), gz("{\"b\":2}\n")).unwrap();
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop2/{}/3.c.gz", day.ms()), gz("{\"c\":3}\n")).unwrap();
    let date = rfc3339(day.ms())[..10].to_owned();
    let lines = aws.run(&["logs", "--stack", "shop", "--day", &date]).await;
    assert_eq!((lines.status, &*lines.stdout), (Some(0), "{\"a\":1}\n{\"b\":2}\n"), "{}", lines.stderr);
    let listed =
        aws.run(&["logs", "--logs", "logs/raw", "--source", "shop2", "--day", &date, "--list", "--json"]).await;
    let object: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(object["object"].as_str().unwrap().ends_with("/3.c.gz"), "{object}");
    let none = aws.run(&["logs", "--stack", "shop", "--day", "2001-01-01"]).await;
    assert!(none.status == Some(0) && none.stderr.contains("there are no log objects"), "{}", none.stderr);
}

#[tokio::test]
async fn each_trouble_is_a_sentence_with_what_to_do() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-trouble");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    for (args, words) in [
        (
            &["files", "--stack", "other"][..],
            "there is no such stack in this region and account: name another with --stack",
        ),
        (&["files"], "the state bucket is not known: name the stack with --stack, or the state bucket with --state"),
        (&["files", "--state", "missing"], "there is no such bucket"),
        (&["files", "--state", "s3://state"], "--state s3://state is a URI"),
        (&["show", "a.csv", "--state", STATE, "--inbox", "s3://inbox"], "--inbox s3://inbox is a URI"),
        (&["show", "", "--stack", "shop"], "the key is empty"),
        (&["show", "a\u{1b}\r\u{202e}.csv", "--stack", "shop"], "s3://inbox/a·⏎·.csv is known"),
        (&["replay", "a\u{1b}.csv", "--tag", "x", "--stack", "shop"], "there is no s3://inbox/a·.csv"),
        (&["drop", "/dev/null", "--inbox", INBOX, "--state", STATE], "it is not a regular file"),
        (&["files", "--stack", ""], "a value is required for '--stack <NAME>'"),
        (&["show", "track_1.csv", "--stack", "shop"], "no end and no failure of s3://inbox/track_1.csv is known"),
        (&["show", "s3://inbox", "--stack", "shop"], "write s3://BUCKET/KEY"),
        (&["drop", &file, "--inbox", LOGS, "--state", STATE], "your credentials may not do this: ask for s3:PutObject"),
        (
            &["redrive", "--state", STATE, "--dead-letters", "http://127.0.0.1:9/1/none", "--dry-run"],
            "there is no such queue",
        ),
    ] {
        let ended = aws.run(args).await;
        assert_eq!(ended.status, Some(2), "{args:?}: {}", ended.stdout);
        assert!(ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
    let config = folder.file(
        "config",
        "[profile sso]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\nregion = \
        us-east-1\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.invalid/start\n",
    );
    for (settings, args, words) in [
        (&[][..], &["files", "--state", STATE][..], "there is no region: name it with --region"),
        (
            &[("AWS_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")],
            &["files", "--state", STATE],
            "there are no AWS credentials: name a profile with --profile",
        ),
        (
            &[("AWS_CONFIG_FILE", config.as_str()), ("HOME", folder.0.to_str().unwrap())],
            &["files", "--state", STATE, "--profile", "sso"],
            "the SSO session has expired, or there was no login: run `aws sso login --profile sso`",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
        let child = command.args(args).env_clear().envs(settings.iter().copied()).stderr(Stdio::piped()).spawn();
        let ended = ended(child.unwrap()).await;
        assert!(ended.status == Some(2) && ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_named_profile_counts_before_the_keys_of_the_environment() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-profile");
    let Credentials { access_key_id, secret_access_key, .. } = &aws.key;
    let file = folder.file(
        "credentials",
        format!("[ann]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"),
    );
    let run = async |profile: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
        command.args(["files", "--state", STATE]).args(args).env_clear().envs(aws.s3.env_as(&aws.key));
        command.envs([("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN"), ("AWS_SECRET_ACCESS_KEY", "unknown")]);
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).envs(profile.iter().copied());
        ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).await
    };
    let named = run(&[], &["--profile", "ann"]).await;
    assert_eq!(named.status, Some(0), "{}", named.stderr);
    let unknown = run(&[], &["--profile", "bob"]).await;
    assert!(
        unknown.status == Some(2) && unknown.stderr.contains("the profile bob is not defined"),
        "{}",
        unknown.stderr
    );
    let keys = run(&[("AWS_PROFILE", "ann")], &[]).await;
    assert_eq!(keys.status, Some(2), "keys of the environment count before AWS_PROFILE: {}", keys.stdout);
}

#[test]
fn bash_completes_the_options_of_a_command() {
    let script = crate::scene::run(&["completions", "bash"], &[], b"");
    // `complete -p` prints the function: `complete … -F NAME … segment-s3`.
    let complete = "set -- $(complete -p segment-s3); while [ \"$1\" != -F ]; do shift; done; \
        COMP_WORDS=(segment-s3 drop --no-f); COMP_CWORD=2; \"$2\" segment-s3 --no-f drop; echo ${COMPREPLY[@]}";
    let text = format!("{}\n{complete}\n", crate::scene::stdout(&script));
    // Where there is no bash, nothing can be completed.
    let Ok(output) = std::process::Command::new("bash").arg("-c").arg(text).output() else { return };
    assert_eq!(crate::scene::stdout(&output).trim(), "--no-follow", "{}", crate::scene::stderr(&output));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = crate::scene::run(&["completions", shell], &[], b"");
        let text = crate::scene::stdout(&output);
        assert!(output.status.success() && text.contains("redrive") && text.contains("dead-letters"), "{shell}");
    }
}
