//! Measures answers from an outcome index of many files, against the stand-in on loopback. Each of its answers takes as long
//! as one of S3.
//!
//! ```sh
//! cargo build --workspace --bins --example outcomes
//! target/debug/examples/outcomes [FILES] [FILES A DAY]
//! ```
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up is none")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use protocol::account::Account;
use protocol::id::{Nonce, StreamId};
use protocol::ledger::rfc3339;
use protocol::outcome::{FileOutcome, KeyOutcomes, Outcome, key_of};
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use std::time::{Duration, Instant};
use stories::{DAY_MS, SOURCE, STATE, World, answer};

/// Answers of S3 to small requests take 10 to 30 ms.
const ANSWER_MS: u64 = 20;

fn outcome(number: u32, now_ms: i64, every_ms: i64) -> FileOutcome {
    let at_ms = now_ms - i64::from(number) * every_ms;
    let mut stream = [0; 16];
    stream[..4].copy_from_slice(&number.to_be_bytes());
    let stream = StreamId::new(stream);
    FileOutcome {
        format: 1,
        version: "0.2.0".to_owned(),
        bucket: SOURCE.to_owned(),
        key: format!("in/track_{number}.csv"),
        outcome: Outcome::Finished,
        reason: None,
        code: None,
        source_id: Some("demoSource1".parse().unwrap()),
        mapping: None,
        kind: Some("track".to_owned()),
        collection: None,
        stream: Some(stream),
        account: Account { rows: 2_000, acknowledged: 2_000, batches: 4, ..Account::default() },
        undelivered_from_line: None,
        ledger: Some(format!("s3://{STATE}/ingest/{stream}/ledger.json")),
        rejects: None,
        started: Some(rfc3339(at_ms - 1_000)),
        at: rfc3339(at_ms),
        at_ms,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = |place| std::env::args().nth(place).map(|number| number.parse::<u32>().unwrap());
    let (files, a_day) = (argument(1).unwrap_or(100_000), argument(2).unwrap_or(100_000));
    let world = World::new().await;
    let now_ms = world.s3.clock().now_ms();
    for number in 0..files {
        let one = outcome(number, now_ms, DAY_MS / i64::from(a_day));
        world.s3.put(STATE, &one.day_key(), one.to_json()).unwrap();
        let of_key = KeyOutcomes::with(None, &one, Nonce::new([1; 16])).unwrap();
        world.s3.put(STATE, &key_of(&one.bucket, &one.key), of_key.to_json()).unwrap();
    }
    for operation in ["GetObject", "ListObjectsV2"] {
        world.s3.faults().add(Rule::on(operation).before(Fault::Slow(Duration::from_millis(ANSWER_MS))));
    }
    let ingester = world.ingester().timeout(Duration::from_secs(60)).deploy();
    // The first invocation starts the process.
    answer(&ingester, &json!({"status": 1})).await;
    let by_key = json!({"status": format!("s3://{SOURCE}/in/track_{}.csv", files / 2)});
    for (name, question) in [("status by key", by_key), ("the newest 1,000", json!({"status": 1_000}))] {
        world.s3.requests().clear();
        let begun = Instant::now();
        let told: Value = answer(&ingester, &question).await;
        let (ms, requests) = (begun.elapsed().as_millis(), world.s3.requests());
        let (reads, lists) = (requests.count("GetObject"), requests.count("ListObjectsV2"));
        let found = told["files"].as_array().unwrap().len();
        println!("{files} files, {name}: {found} outcomes in {ms} ms, {reads} reads, {lists} listings");
    }
}
