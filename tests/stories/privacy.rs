//! A person's rows are deleted, as docs/runbook.md says, while a file is in flight.

use flate2::read::GzDecoder;
use serde_json::json;
use standins::s3::Versioning;
use std::io::{ErrorKind, Read};
use std::path::Path;
use stories::mill::{Mill, Rows};
use stories::{CUSTOMER, SOURCE, STATE, World, answer, created};
use tokio::process::Command;

/// The person, who is in both files.
const PERSON: &str = "user-600";
/// A file that ends before. One of its refused rows names the person.
const ENDED: &str = "userId,event,properties.name\nuser-600,Seen,x\nuser-6001,Seen,y\n,Seen,user-600\n";

/// Runs the script. `None` if this machine lacks a program that it needs.
async fn forget(world: &World, arguments: &[&str]) -> Option<String> {
    for program in ["aws", "jq", "gzip"] {
        let found = Command::new(program).arg("--version").output().await;
        if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) && std::env::var_os("CI").is_none() {
            println!("not run: there is no {program}");
            return None;
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/forget.sh");
    let mut command = Command::new(script);
    command.args(arguments).args([PERSON, SOURCE, STATE, CUSTOMER]).envs(world.s3.env());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
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
            let is_named = text
                .match_indices(PERSON)
                .any(|(at, _)| !text[at + PERSON.len()..].starts_with(|next: char| next.is_ascii_digit()));
            if is_named {
                found.push(format!("{bucket}/{}", object.key));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_persons_rows_are_in_no_object_after_their_deletion_and_a_file_in_flight_goes_on() {
    let mill = Mill::new("in/track_flying.csv", Rows::new(2_000, 50, 1_000)).await;
    let world = &mill.world;
    for bucket in [SOURCE, CUSTOMER] {
        world.s3.set_versioning(bucket, Versioning::Enabled).unwrap();
    }
    // The person at the keyboard may change the logs, too.
    let may = json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:*",
        "Resource": [format!("arn:aws:s3:::{CUSTOMER}"), format!("arn:aws:s3:::{CUSTOMER}/*")]});
    let policy = json!({"Version": "2012-10-17", "Statement": [may]});
    world.s3.set_bucket_policy(CUSTOMER, &policy.to_string()).unwrap();
    // The first run of this file leaves a fragment that never counts.
    world.s3.put(SOURCE, "in/track_ended.csv", ENDED).unwrap();
    mill.killed_after_fragments(mill.ingester(), &created("in/track_ended.csv"), 1).await;
    let later = || mill.ingester().env("CLOCK_OFFSET_MS", "3600000").deploy();
    let report = answer(&later(), &created("in/track_ended.csv")).await;
    assert_eq!(report["objects"][0]["rejected"], 1, "{report:#}");
    // The person is in a batch of the other file that is sent and not committed.
    mill.killed_after_fragments(mill.ingester(), &mill.event(), 2).await;

    let before = places(world);
    let Some(told) = forget(world, &[]).await else { return };
    assert!(told.contains("\nleft alone, it waits for the exporter: s3://segment-s3-state/received/"), "{told}");
    assert_eq!(places(world), before, "{told}");
    world.export().await;
    let told = forget(world, &["--delete"]).await.unwrap();
    for place in ["s3://segment-s3-source/in/track_flying.csv", "s3://segment-s3-state/received/"] {
        assert!(told.lines().any(|line| line.starts_with("left alone") && line.contains(place)), "{told}");
    }
    assert_eq!(places(world).len(), 2, "{told}");

    let report = answer(&later(), &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    world.export().await;
    let told = forget(world, &["--delete"]).await.unwrap();
    assert_eq!(places(world), Vec::<String>::new(), "{told}");

    // The counts say what was sent. The logs have the same without the person's lines.
    let ledgers = mill.ledgers();
    let acknowledged: u64 = ledgers.iter().map(|ledger| ledger["account"]["acknowledged"].as_u64().unwrap()).sum();
    let logged = world.logged();
    assert_eq!(logged.len() as u64 + 2, acknowledged, "{told}");
    assert!(logged.iter().any(|line| line["userId"] == json!("user-6001")), "another person with a similar id");
    let users: std::collections::BTreeSet<_> =
        logged.iter().filter_map(|line| line["userId"].as_str().map(str::to_owned)).collect();
    assert!(mill.rows.good.iter().all(|user| user == PERSON || users.contains(user)));
}
