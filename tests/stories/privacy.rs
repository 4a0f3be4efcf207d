//! A person's rows are deleted, as docs/runbook.md says, while a file is in flight.

use flate2::read::GzDecoder;
use serde_json::json;
use standins::faults::{Fault, Gate, Rule};
use standins::s3::Versioning;
use std::io::{ErrorKind, Read};
use std::path::Path;
use stories::mill::{Mill, Rows};
use stories::{CUSTOMER, SOURCE, STATE, World, answer, created};
use tokio::process::Command;

/// The person, who is in each file but one.
const PERSON: &str = "user-600";
/// A file that ends before. One of its refused rows names the person.
const ENDED: &str = "userId,event,properties.name\nuser-600,Seen,x\nuser-6001,Seen,y\n,Seen,user-600\n";
/// A file of other people. Their ids have the person's in them.
const OTHERS: &str = "userId,event\nuser-6001,Seen\nx-user-600,Seen\nuser-600.uk,Seen\nuser-7,user-600 Seen\n";
/// The age of a file whose event is in no queue any more.
const OLD_MS: i64 = 15 * 24 * 3_600_000;

/// What the script printed, and its exit status.
struct Told {
    status: Option<i32>,
    text: String,
}

impl Told {
    /// Whether a line begins with the one and has the other.
    fn has(&self, beginning: &str, part: &str) -> bool {
        self.text.lines().any(|line| line.starts_with(beginning) && line.contains(part))
    }
}

/// Runs the script. `None` if this machine lacks a program that it needs.
async fn forget(world: &World, arguments: &[&str]) -> Option<Told> {
    for program in ["aws", "jq", "gzip"] {
        let found = Command::new(program).arg("--version").output().await;
        if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) && std::env::var_os("CI").is_none() {
            println!("not run: there is no {program}");
            return None;
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/forget.sh");
    let output = Command::new(script).args(arguments).envs(world.s3.env()).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(Told { status: output.status.code(), text: String::from_utf8(text).unwrap() })
}

/// Runs it for the person. It does not name the file of other people.
async fn forget_person(world: &World, options: &[&str]) -> Option<Told> {
    let told = forget(world, &[options, &[PERSON, SOURCE, STATE, CUSTOMER]].concat()).await?;
    assert!(!told.text.contains("track_others"), "{}", told.text);
    Some(told)
}

/// The places that have the person's id: every version of every object, inflated.
fn places(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for bucket in [SOURCE, STATE, CUSTOMER] {
        for object in world.s3.versions(bucket, "") {
            let Some(bytes) = world.s3.bytes_of(bucket, &object) else { continue };
            let mut text = String::new();
            if GzDecoder::new(&bytes[..]).read_to_string(&mut text).is_err() {
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            let is_end = |next: Option<char>| next.is_none_or(|next| matches!(next, ',' | '"' | '\n'));
            let is_named = text.match_indices(PERSON).any(|(at, _)| {
                is_end(text[..at].chars().next_back()) && is_end(text[at + PERSON.len()..].chars().next())
            });
            if is_named {
                found.push(format!("{bucket}/{}", object.key));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_persons_rows_are_in_no_object_after_their_deletion_and_a_file_in_flight_goes_on() {
    let mill = Mill::before_upload("in/track_flying.csv", Rows::new(2_000, 50, 1_000)).await;
    let world = &mill.world;
    for bucket in [SOURCE, CUSTOMER] {
        world.s3.set_versioning(bucket, Versioning::Enabled).unwrap();
    }
    // The person at the keyboard may change the logs, too.
    let may = json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:*",
        "Resource": [format!("arn:aws:s3:::{CUSTOMER}"), format!("arn:aws:s3:::{CUSTOMER}/*")]});
    let policy = json!({"Version": "2012-10-17", "Statement": [may]});
    world.s3.set_bucket_policy(CUSTOMER, &policy.to_string()).unwrap();
    let now_ms = world.s3.clock().now_ms();
    world.s3.clock().set_ms(now_ms - OLD_MS);
    // The key has a tab, a line break, and characters that some encoders leave as they are.
    world.s3.put(SOURCE, "in/track_old\t\n(1)'!*.csv", ENDED).unwrap();
    world.s3.clock().set_ms(now_ms);
    world.s3.put(SOURCE, "in/track_others.csv", OTHERS).unwrap();
    mill.upload();
    // The first run of this file leaves a fragment that never counts.
    world.s3.put(SOURCE, "in/track_ended.csv", ENDED).unwrap();
    mill.killed_after_fragments(mill.ingester(), &created("in/track_ended.csv"), 1).await;
    let later = || mill.ingester().env("CLOCK_OFFSET_MS", "3600000").deploy();
    let report = answer(&later(), &created("in/track_ended.csv")).await;
    assert_eq!(report["objects"][0]["rejected"], 1, "{report:#}");

    // Without a ledger nothing says whether a fragment counts.
    let before = places(world);
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("GetObject").key("ingest/*/ledger.json").before(denied));
    let Some(told) = forget_person(world, &[]).await else { return };
    world.s3.faults().clear();
    assert_eq!(told.status, Some(1), "{}", told.text);
    assert!(told.has("FAILED: left alone", "s3://segment-s3-state/received/"), "{}", told.text);
    assert!(!told.has("would delete", "/received/"), "{}", told.text);
    assert!(told.has("left alone, it may wait in the queue", "in/track_flying.csv"), "{}", told.text);
    assert_eq!(places(world), before, "{}", told.text);

    // The other file begins after the first look at the state bucket. A batch with the person is sent and not committed.
    let gate = Gate::new();
    world.s3.faults().add(Rule::on("ListObjectsV2").bucket(STATE).times(1).after(Fault::Hold(gate.clone())));
    let (told, ()) = tokio::join!(forget_person(world, &["--delete"]), async {
        gate.reached(1).await;
        mill.killed_after_fragments(mill.ingester(), &mill.event(), 2).await;
        gate.open();
    });
    let told = told.unwrap();
    assert_eq!(told.status, Some(0), "{}", told.text);
    assert!(told.has("left alone, it has not ended", "in/track_flying.csv"), "{}", told.text);
    assert!(told.has("left alone, it waits for the exporter", "/received/"), "{}", told.text);
    let kept = places(world);
    assert!(kept.iter().all(|place| place.contains("track_flying") || place.contains("/received/")), "{kept:?}");
    assert_eq!(kept.len(), 3, "{kept:?} {}", told.text);

    let report = answer(&later(), &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    world.export().await;
    let told = forget_person(world, &["--delete"]).await.unwrap();
    assert_eq!((told.status, places(world)), (Some(0), Vec::new()), "{}", told.text);
    assert!(world.s3.bytes(SOURCE, "in/track_others.csv").is_some(), "{}", told.text);

    // The counts say what was sent. The logs have the same without the person's lines.
    let ledgers = mill.ledgers();
    let acknowledged: u64 = ledgers.iter().map(|ledger| ledger["account"]["acknowledged"].as_u64().unwrap()).sum();
    let logged = world.logged();
    assert_eq!(logged.len() as u64 + 2, acknowledged, "{}", told.text);
    assert!(logged.iter().any(|line| line["userId"] == json!("user-6001")), "another person with a similar id");
    let users: std::collections::BTreeSet<_> =
        logged.iter().filter_map(|line| line["userId"].as_str().map(str::to_owned)).collect();
    assert!(mill.rows.good.iter().all(|user| user == PERSON || users.contains(user)));
}

#[tokio::test]
async fn a_deletion_with_wrong_arguments_deletes_nothing() {
    let world = World::new().await;
    for arguments in [
        &[][..],
        &[PERSON],
        &["--delete", "", SOURCE, STATE],
        &["--delete", " ", SOURCE, STATE],
        &[PERSON, "--delete", SOURCE, STATE],
        &[PERSON, SOURCE, STATE, "--delete"],
        &["--delte", PERSON, SOURCE, STATE],
    ] {
        let Some(told) = forget(&world, arguments).await else { return };
        assert_eq!(told.status, Some(2), "{arguments:?} {}", told.text);
        assert!(told.text.starts_with("usage: deploy/forget.sh"), "{arguments:?} {}", told.text);
    }
    assert_eq!(world.s3.requests().all().len(), 0);
}
