//! Everything that can go wrong with every request, by seeded schedules: nothing is lost or doubled.

use aws::Dice;
use futures_util::future::join_all;
use serde_json::Value;
use standins::event_source::EventSource;
use standins::faults::{Fault, Rule};
use standins::seeds::seeds;
use std::time::Duration;
use stories::line::{Line, QUEUE, answered};
use stories::mill::{Mill, Rows};
use stories::{STATE, answer, event};

/// A share of all requests fails in every way that S3 and SQS know.
fn unruly(line: &Line, seed: u64, share: f64) {
    let s3 = line.mill.world.s3.faults();
    s3.add(Rule::any().share(seed, share).chaos());
    s3.add(Rule::on("PutObject").key("*checkpoint.json").share(seed + 1, share).before(Fault::Conflict));
    s3.add(Rule::on("GetObject").share(seed + 2, share / 2.0).after(Fault::CutAnswer(100_000)));
    s3.add(Rule::on("PutObject").share(seed + 3, share / 2.0).before(Fault::CutRequest));
    line.sqs.faults().add(Rule::any().share(seed + 4, share / 2.0).chaos());
    let segment = line.mill.world.segment.faults();
    segment.add(Rule::any().share(seed + 5, share).chaos());
}

/// A gateway answers a share of all requests in the place of S3, SQS and the settings of Segment. What it says of a call is
/// Segment's answer, as far as anybody can see.
fn behind_a_gateway(line: &Line, seed: u64, share: f64) {
    line.mill.world.s3.faults().add(Rule::any().share(seed, share).gateway());
    line.sqs.faults().add(Rule::any().share(seed + 1, share).gateway());
    let segment = line.mill.world.segment.faults();
    segment.add(Rule::on("settings").share(seed + 2, 0.9).gateway());
    segment.add(Rule::on("batch").share(seed + 3, share).before(Fault::gateway_page()).after(Fault::gateway_page()));
}

/// Returns the number of faults that struck.
async fn a_file_among_faults(seed: u64, make: fn(&Line, u64, f64)) -> usize {
    let told = format!("seed {seed}");
    let dice = Dice::seeded(seed);
    let share = [0.15, 0.3, 0.5][usize::try_from(dice.below(3)).unwrap()];
    let rows = Rows::new(4_000, 41, 1_200);
    let line = Line::with(Mill::new("track_among_faults.csv", rows).await, 60, 100).await;
    // Each rule has a seed of its own.
    make(&line, seed * 10, share);
    line.announce();
    let exporter = line.mill.world.exporter().timeout(Duration::from_secs(20)).deploy();
    let function = line.ingester().env("COMMIT_SECONDS", "0.05").env("LEASE_SECONDS", "5");
    let function = function.env("SEGMENT_SETTINGS_ENDPOINT", line.mill.world.segment.url());
    let clock = line.sqs.clock().clone();
    let polling = EventSource::on(&line.sqs, QUEUE).fast_forward().to(move |event: Value| {
        let offset_ms = clock.now_ms() - standins::Clock::real().now_ms();
        let lambda = function.clone().env("CLOCK_OFFSET_MS", offset_ms.to_string()).deploy();
        async move { answered(lambda.invoke(&event).await.outcome) }
    });
    tokio::select! {
        () = polling.drained() => {}
        () = async {
            loop {
                exporter.invoke(&event("scheduled.json")).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        } => {}
    }
    assert_eq!(line.dead_letters(), 0, "{told}");
    let struck = line.mill.world.s3.faults().strikes().len() + line.mill.world.segment.faults().strikes().len();
    line.mill.assert_ingested(&told);
    line.mill.world.s3.faults().clear();
    // Hours ahead, so that the function does not take the end of its invocation for near.
    let later_ms = line.sqs.clock().now_ms() - standins::Clock::real().now_ms() + 2 * 3_600_000;
    let exporter = line.mill.world.exporter().env("CLOCK_OFFSET_MS", later_ms.to_string());
    line.mill.assert_exported(exporter, &told).await;
    println!("{told}: {struck} faults, {} invocations", polling.invocations());
    struck
}

/// A gateway between the function and its state bucket answers 200 with a page of HTML. It answers so to the first
/// request of each kind before it takes effect, and to the second after it took effect.
#[tokio::test]
async fn a_gateway_that_answers_for_the_state_bucket_loses_no_row() {
    let mill = Mill::new("track_gateway.csv", Rows::new(1_600, 2, 15_000)).await;
    let operations = [
        ("PutObject", "*/checkpoint.json"),
        ("PutObject", "received/*"),
        ("PutObject", "*/rejects/*"),
        ("PutObject", "*/ledger.json"),
        ("GetObject", "*"),
        ("CreateMultipartUpload", "*"),
        ("UploadPart", "*"),
        ("CompleteMultipartUpload", "*"),
    ];
    for (operation, key) in operations {
        let rule = || Rule::on(operation).bucket(STATE).key(key).times(1);
        mill.world.s3.faults().add(rule().before(Fault::gateway_page()));
        mill.world.s3.faults().add(rule().skip(1).after(Fault::gateway_page()));
    }
    let function = mill.ingester().env("REJECT_LIMIT_SHARE", "1").env("COMMIT_SECONDS", "0");
    let report = answer(&function.deploy(), &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    assert_eq!(mill.world.s3.faults().strikes().len(), 2 * operations.len(), "each was answered twice");
    mill.assert_ingested("a gateway");
    mill.assert_exported(mill.world.exporter(), "a gateway").await;
}

/// The seeds of a usual test run.
const SEEDS: std::ops::Range<u64> = 0..12;
/// Files that are ingested at a time.
const AT_A_TIME: usize = 4;

async fn files_among_faults(make: fn(&Line, u64, f64)) {
    let seeds: Vec<u64> = seeds(SEEDS).collect();
    let mut struck = 0;
    for together in seeds.chunks(AT_A_TIME) {
        let files = together.iter().map(|seed| a_file_among_faults(*seed, make));
        struck += join_all(files).await.iter().sum::<usize>();
    }
    assert!(struck > 8 * seeds.len(), "{struck} faults are few");
}

#[tokio::test]
async fn every_row_ends_in_one_place_through_random_faults() {
    files_among_faults(unruly).await;
}

#[tokio::test]
async fn every_row_ends_in_one_place_although_a_gateway_answers_any_request() {
    files_among_faults(behind_a_gateway).await;
}
