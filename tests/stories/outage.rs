//! Outages: a file waits for Segment up to a limit, then resumes.

use standins::faults::{Fault, Rule, Target};
use standins::segment::too_many_requests;
use std::sync::Arc;
use stories::line::{Line, QUEUE};
use stories::mill::{Mill, Rows};

const HOUR_MS: i64 = 3_600_000;

async fn line() -> Line {
    Line::new(Mill::new("track_waiting.csv", Rows::new(3_000, 50, 1_000)).await).await
}

/// From the third batch Segment answers 429 with `Retry-After: 300`, for this many hours of the queue's time.
fn throttled_for(line: &Line, hours: i64) {
    let (faults, clock) = (line.mill.world.segment.faults().clone(), line.sqs.clock().clone());
    let until_ms = clock.now_ms() + hours * HOUR_MS;
    let relent = Fault::Do(Arc::new(move |_: &Target| {
        if clock.now_ms() >= until_ms {
            faults.clear();
        }
    }));
    line.mill.world.segment.faults().add(Rule::on("batch").skip(2).before(relent));
    line.mill.world.segment.faults().add(Rule::on("batch").skip(2).before(too_many_requests(300)));
}

#[tokio::test]
async fn an_hour_of_429_makes_no_dead_letter() {
    let line = line().await;
    line.announce();
    let began_ms = line.sqs.clock().now_ms();
    throttled_for(&line, 1);
    let invocations = line.run(&line.ingester()).await;
    assert!(line.sqs.clock().now_ms() - began_ms >= HOUR_MS, "the outage lasted an hour");
    // An hour of waits of five minutes: it was asked as often as it wanted to be, and the function did not sit it out.
    assert!((12..=16).contains(&invocations), "{invocations} invocations");
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("outage");
    line.mill.assert_exported(line.mill.world.exporter().env("CLOCK_OFFSET_MS", "7200000"), "outage").await;
}

#[tokio::test]
async fn a_second_message_for_a_throttled_file_waits_too() {
    let line = line().await;
    throttled_for(&line, 1);
    let report = stories::answer(&line.ingester().deploy(), &line.mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "continues", "{report:#}");
    let asked = line.mill.world.segment.record().count();
    let report = stories::answer(&line.ingester().deploy(), &line.mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "continues", "{report:#}");
    assert_eq!(line.mill.world.segment.record().count(), asked, "Segment was asked again before its time");
    line.mill.world.segment.faults().clear();
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("two messages");
}

#[tokio::test]
async fn an_outage_of_s3_fails_the_file_after_twelve_hours() {
    let line = Line::with(Mill::new("track_waiting.csv", Rows::new(100, 50, 10)).await, 60, 1).await;
    let faults = line.mill.world.s3.faults();
    faults.add(Rule::on("GetObject").bucket(stories::SOURCE).before(Fault::SlowDown));
    let report = stories::answer(&line.ingester().deploy(), &line.mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "continues", "{report:#}");
    let messages = line.sqs.messages(QUEUE);
    let mut rest: serde_json::Value = serde_json::from_str(&messages[0].body).unwrap();
    let since_ms = rest["continue"]["hop"]["trouble_since_ms"].as_i64().unwrap();
    rest["continue"]["hop"]["trouble_since_ms"] = (since_ms - 12 * HOUR_MS - 1_000).into();
    let invocation = line.ingester().deploy().invoke(&rest).await;
    let standins::lambda::Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("no progress for 12 hours"), "{message}");
    // A person redrives it too early, so it waits again instead of failing at once.
    rest["continue"]["hop"]["trouble_since_ms"] = (since_ms - 13 * HOUR_MS).into();
    rest["continue"]["hop"]["sent_ms"] = (since_ms - 2 * HOUR_MS).into();
    let report = stories::answer(&line.ingester().deploy(), &rest).await;
    assert_eq!(report["objects"][0]["outcome"], "continues", "{report:#}");
    faults.clear();
    line.run(&line.ingester()).await;
    line.mill.assert_ingested("S3 is back");
}

#[tokio::test]
async fn twelve_hours_without_progress_make_a_dead_letter_and_a_redrive_resumes() {
    let line = line().await;
    line.announce();
    let began_ms = line.sqs.clock().now_ms();
    throttled_for(&line, 1_000);
    line.run(&line.ingester()).await;
    let waited_ms = line.sqs.clock().now_ms() - began_ms;
    assert!(waited_ms >= 12 * HOUR_MS, "given up after {waited_ms} ms");
    assert!(waited_ms <= 24 * HOUR_MS, "given up after {waited_ms} ms only");
    assert_eq!(line.dead_letters(), 1);
    assert!(line.mill.ledgers().is_empty(), "the file has not ended");

    // A person redrives it too early: it waits again instead of failing at once.
    line.mill.world.segment.faults().clear();
    throttled_for(&line, 1);
    line.redrive();
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("twelve hours");
}

#[tokio::test]
async fn a_file_continued_many_times_without_progress_becomes_a_dead_letter() {
    let line = line().await;
    let notice = serde_json::json!({"continue": {
        "bucket": stories::SOURCE, "key": line.mill.key,
        "hop": {"count": 2_000, "position": 0, "sent_ms": line.sqs.clock().now_ms()},
    }});
    line.mill.world.segment.faults().add(Rule::on("batch").before(too_many_requests(300)));
    line.sqs.send(QUEUE, &notice.to_string());
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 1);
    // A person redrives it too early: it waits again instead of failing at once.
    line.mill.world.segment.faults().clear();
    throttled_for(&line, 1);
    line.redrive();
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("hop cap");
}
