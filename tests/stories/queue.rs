//! Files that outlive their invocations, with nothing but a queue to carry them on.

use futures_util::future::join_all;
use serde_json::{Value, json};
use standins::event_source::EventSource;
use standins::faults::{Fault, Gate, Rule};
use standins::lambda::{Function, Invocation, Outcome};
use standins::s3::Filter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use stories::line::{Line, QUEUE};
use stories::mill::{Mill, Rows, kill_once_committed, killable};
use stories::{SOURCE, answer, event};

const REFUSAL: &str = r#"{"success":false,"message":"An invalid write key was provided","code":"invalid_request"}"#;

async fn line(rows: Rows) -> Line {
    Line::new(Mill::new("track_long.csv", rows).await).await
}

/// Two minutes of an invocation stand as six seconds, six minutes of the file as eighteen: 7,200 rows at 400 a second.
#[tokio::test]
async fn a_file_that_takes_three_times_its_invocation_finishes_unattended() {
    // On a machine that is too slow for the six seconds a message comes again soon, and its file is taken over.
    let mill = Mill::before_upload("track_long.csv", Rows::new(7_200, 50, 1_800)).await;
    let line = Line::with(mill, 12, 100).await;
    let function = line.ingester().env("EVENTS_PER_SECOND", "400").env("LEASE_SECONDS", "5");
    let timeout = Duration::from_secs(6);
    let function = function.timeout(timeout).deploy();
    // After the upload no person acts.
    line.sqs.subscribe(QUEUE, &line.mill.world.s3, SOURCE, Filter::all());
    let (orderly, seen) = (Arc::new(AtomicBool::new(true)), Arc::new(tokio::sync::Notify::new()));
    let (all_orderly, uploaded) = (Arc::clone(&orderly), Arc::clone(&seen));
    let polling = EventSource::on(&line.sqs, QUEUE).to(move |event| {
        let (function, all_orderly, uploaded) = (function.clone(), Arc::clone(&all_orderly), Arc::clone(&uploaded));
        async move {
            uploaded.notify_one();
            let invocation = function.invoke(&event).await;
            all_orderly.fetch_and(ended_in_order(&invocation, timeout), Ordering::Relaxed);
            stories::line::answered(invocation.outcome)
        }
    });
    line.mill.upload();
    seen.notified().await;
    polling.drained().await;
    assert!(polling.invocations() >= 3, "{} invocations", polling.invocations());
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("unattended");
    if orderly.load(Ordering::Relaxed) {
        assert_eq!(line.mill.duplicates(), 0, "nobody was cut off, so nothing was sent twice");
    }
    line.mill.assert_exported(line.mill.world.exporter(), "unattended").await;
}

/// Whether an invocation ended before its requests had to be answered, which is at three quarters of its time. A stalled
/// machine makes it end later, and then rows may be sent again.
fn ended_in_order(invocation: &Invocation, timeout: Duration) -> bool {
    invocation.duration < timeout * 3 / 4
}

#[tokio::test]
async fn a_message_received_again_after_progress_is_replaced() {
    // Two receives are all that is allowed: only renewal keeps the file out of the dead letters.
    // The rows are more than twenty requests, and a life that is killed has one of them answered.
    let line = Line::with(Mill::new("track_long.csv", Rows::new(10_000, 50, 1_000)).await, 60, 2).await;
    line.announce();
    // The lease of a killed life is over when its message comes again.
    let (function, clock) = (killable(line.ingester()).env("LEASE_SECONDS", "30"), line.sqs.clock().clone());
    let (s3, segment) = (line.mill.world.s3.faults().clone(), line.mill.world.segment.faults().clone());
    let (lives, replaced) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let messages_replaced = Arc::clone(&replaced);
    let polling = EventSource::on(&line.sqs, QUEUE).fast_forward().to(move |event| {
        let offset_ms = clock.now_ms() - standins::Clock::real().now_ms();
        let lambda = function.clone().env("CLOCK_OFFSET_MS", offset_ms.to_string()).deploy();
        s3.clear();
        segment.clear();
        if lives.fetch_add(1, Ordering::Relaxed) < 8 {
            kill_once_committed(&s3, &segment, &lambda, 1, 0);
        }
        let replaced = Arc::clone(&replaced);
        async move {
            let outcome = lambda.invoke(&event).await.outcome;
            if format!("{outcome:?}").contains("a new message replaces it") {
                replaced.fetch_add(1, Ordering::Relaxed);
            }
            stories::line::answered(outcome)
        }
    });
    polling.drained().await;
    assert_eq!(line.dead_letters(), 0);
    assert!(messages_replaced.load(Ordering::Relaxed) > 0);
    assert!(polling.invocations() > 8, "{} invocations", polling.invocations());
    line.mill.assert_ingested("renewed");
}

#[tokio::test]
async fn a_file_of_another_owner_is_left_alone_and_tried_later() {
    let line = line(Rows::new(3_000, 50, 1_000)).await;
    line.announce();
    line.announce();
    let lambda = line.ingester().concurrency(2).deploy();
    // The owner waits for Segment until the other message is to come again.
    let gate = Gate::new();
    line.mill.world.segment.faults().add(Rule::on("batch").before(Fault::Hold(gate.clone())));
    let postponed = Fault::act(move |_| gate.open());
    line.sqs.faults().add(Rule::on("SendMessage").after(postponed));
    let polling = EventSource::on(&line.sqs, QUEUE).concurrency_max(2).fast_forward().to_lambda(&lambda);
    polling.drained().await;
    assert!(polling.invocations() >= 3, "the second message had to come again");
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("busy");
    assert_eq!(line.mill.ledgers()[0]["runs"], 1, "one owner did it all");
    assert_eq!(line.mill.duplicates(), 0);
}

#[tokio::test]
async fn a_missing_object_is_looked_for_again_and_makes_no_dead_letter() {
    let line = line(Rows::new(50, 51, 100)).await;
    let missing = || Fault::status(404).body("<Error><Code>NoSuchKey</Code></Error>");
    let s3 = &line.mill.world.s3;
    let function = line.ingester();
    // It is there when the second message comes.
    s3.faults().add(Rule::on("GetObject").bucket(SOURCE).times(1).before(missing()));
    line.announce();
    assert_eq!(line.run(&function).await, 2);
    line.mill.assert_ingested("late");
    // It never comes.
    s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(missing()));
    line.announce();
    assert_eq!(line.run(&function).await, 2);
    assert_eq!(line.dead_letters(), 0);
}

#[tokio::test]
async fn an_outage_while_the_key_of_a_message_is_looked_for_loses_no_file() {
    let line = Line::new(Mill::new("in/track_long.csv", Rows::new(50, 51, 100)).await).await;
    let html = |status| Fault::status(status).header("Content-Type", "text/html").body("<html>a gateway</html>");
    let outages = [Fault::SlowDown, Fault::Answer(html(200)), Fault::Answer(html(404))];
    let count = outages.len();
    let on_get = |strikes: std::ops::Range<usize>| {
        Rule::on("GetObject").bucket(SOURCE).skip(strikes.start as u64).times(strikes.len() as u64)
    };
    let faults = line.mill.world.s3.faults();
    for (index, outage) in outages.into_iter().enumerate() {
        // All six tries of one invocation.
        faults.add(on_get(6 * index..6 * index + 6).before(outage));
    }
    // Then the object is not there yet, under none of its three keys.
    let missing = Fault::status(404).body("<Error><Code>NoSuchKey</Code></Error>");
    faults.add(on_get(6 * count..6 * count + 3).before(missing));
    // As it stands the key has a name without a kind.
    let object = json!({"bucket": {"name": SOURCE}, "object": {"key": "in%252Ftrack_long.csv"}});
    line.sqs.send(QUEUE, &json!({"Records": [{"s3": object}]}).to_string());
    assert_eq!(line.run(&line.ingester()).await, count + 2);
    line.mill.assert_ingested("looked for");
    assert_eq!(line.dead_letters(), 0);
}

#[tokio::test]
async fn a_wrong_setting_makes_a_dead_letter_and_a_redrive_resumes() {
    let line = line(Rows::new(3_000, 50, 1_000)).await;
    line.announce();
    let refused = Fault::status(401).header("Content-Type", "application/json").body(REFUSAL);
    line.mill.world.segment.faults().add(Rule::on("batch").skip(3).before(refused));
    line.run(&line.ingester().env("COMMIT_SECONDS", "0").env("REQUESTS_IN_FLIGHT", "1")).await;
    assert_eq!(line.dead_letters(), 1);
    assert!(line.mill.ledgers().is_empty(), "the file has not ended");
    let checkpoints = line.mill.checkpoints();
    assert_eq!(checkpoints[0]["phase"], "running");
    let settled = checkpoints[0]["account"]["rows"].as_u64().unwrap();
    assert!(settled > 0, "{:#}", checkpoints[0]);

    let before = line.mill.world.segment.record().applied().len();
    line.mill.world.segment.faults().clear();
    line.redrive();
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("redriven");
    let after = line.mill.world.segment.record().applied().len();
    assert_eq!(after, line.mill.rows.good.len(), "what was settled was not sent again ({before} calls before)");
    line.mill.assert_exported(line.mill.world.exporter(), "redriven").await;
}

#[tokio::test]
async fn a_message_that_fails_comes_again_within_minutes_and_is_a_dead_letter_within_two_hours() {
    let line = line(Rows::new(3, 50, 100)).await;
    line.announce();
    let refused = Fault::status(401).header("Content-Type", "application/json").body(REFUSAL);
    line.mill.world.segment.faults().add(Rule::on("batch").before(refused));
    let begin_ms = line.sqs.clock().now_ms();
    assert_eq!(line.run(&line.ingester()).await, 5);
    let minutes = (line.sqs.clock().now_ms() - begin_ms) / 60_000;
    assert!((82..100).contains(&minutes), "waits of 1, 5, 15 and 60 minutes, then one more: {minutes}");
    assert_eq!(line.dead_letters(), 1);
}

#[tokio::test]
async fn a_message_that_cannot_be_postponed_comes_again_after_the_visibility_timeout() {
    let line = line(Rows::new(3, 50, 100)).await;
    line.announce();
    let refused = Fault::status(401).header("Content-Type", "application/json").body(REFUSAL);
    line.mill.world.segment.faults().add(Rule::on("batch").times(1).before(refused));
    let denied = Fault::status(403).body(r#"{"__type":"com.amazonaws.sqs#AccessDenied","message":"no"}"#);
    line.sqs.faults().add(Rule::on("ChangeMessageVisibility").before(denied));
    let begin_ms = line.sqs.clock().now_ms();
    assert_eq!(line.run(&line.ingester()).await, 2);
    let minutes = (line.sqs.clock().now_ms() - begin_ms) / 60_000;
    assert!((90..100).contains(&minutes), "the queue's own timeout: {minutes}");
    line.mill.assert_ingested("late");
}

#[tokio::test]
async fn an_invocation_too_short_for_one_batch_is_reported_and_retried() {
    let line = line(Rows::new(300, 50, 1_000)).await;
    // The only batch takes longer than the invocation, although no wait was asked for. Isolating its refused row takes
    // some fifteen answered requests.
    line.mill.world.segment.refuse_user("user-200");
    line.mill.world.segment.faults().add(Rule::on("batch").before(Fault::Slow(Duration::from_millis(1_000))));
    let lambda = line.ingester().timeout(Duration::from_secs(20)).deploy();
    let report = answer(&lambda, &message(&line)).await;
    assert_eq!(report["batchItemFailures"][0]["itemIdentifier"], "1", "{report:#}");
    let reason = report["objects"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("too short for one batch: raise the function's timeout"), "{reason}");
}

/// A message of a queue that is received for the first time.
fn message(line: &Line) -> Value {
    json!({"Records": [{
        "eventSource": "aws:sqs", "messageId": "1", "body": line.mill.event().to_string(),
        "attributes": {"ApproximateReceiveCount": "1"},
    }]})
}

#[tokio::test]
async fn an_s3_without_answers_is_reported_as_an_outage() {
    // The first read of the object, and one in its middle; the claim, and a commit; a fragment; the ledger.
    let requests = [
        ("GetObject", "track_long.csv", 0),
        ("GetObject", "track_long.csv", 1),
        ("PutObject", "*checkpoint.json", 0),
        ("PutObject", "*checkpoint.json", 1),
        ("PutObject", "received/*", 0),
        ("PutObject", "*ledger.json", 0),
    ];
    let outage = async |(operation, key, skip): (&str, &str, u64)| {
        let line = line(Rows::new(300, 50, 1_000)).await;
        let faults = line.mill.world.s3.faults();
        faults.add(Rule::on(operation).key(key).skip(skip).before(Fault::Hang));
        if operation == "GetObject" && skip > 0 {
            faults.add(Rule::on(operation).key(key).after(Fault::CutAnswer(10)));
        }
        let report = answer(&line.ingester().timeout(Duration::from_secs(48)).deploy(), &message(&line)).await;
        assert_eq!(report["batchItemFailures"], json!([]), "{operation} {key}: {report:#}");
        assert_eq!(report["objects"][0]["outcome"], "continues", "{operation} {key}: {report:#}");
        faults.clear();
        line.run(&line.ingester()).await;
        assert_eq!(line.dead_letters(), 0);
        line.mill.assert_ingested(&format!("{operation} {key}"));
    };
    join_all(requests.map(outage)).await;
}

#[tokio::test]
async fn later_records_of_an_event_are_not_blamed_for_the_time_of_the_first() {
    let line = line(Rows::new(8_000, 50, 1_800)).await;
    let mut event = line.mill.event();
    for name in ["track_second.csv", "track_third.csv"] {
        line.mill.world.s3.put(SOURCE, name, "userId,event\n1,e\n2,e\n").unwrap();
        let record = stories::created(name)["Records"][0].clone();
        event["Records"].as_array_mut().unwrap().push(record);
    }
    // Between the end of the first and the cut there are six seconds for the two others.
    let slow = line.ingester().timeout(Duration::from_secs(24)).env("EVENTS_PER_SECOND", "250");
    let report = answer(&slow.deploy(), &event).await;
    let outcomes: Vec<_> = report["objects"].as_array().unwrap().iter().map(|object| &object["outcome"]).collect();
    assert_eq!(outcomes, ["continues", "continues", "continues"], "{report:#}");
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    let ended = line.mill.ledgers();
    assert!(ended.len() == 3 && ended.iter().all(|ledger| ledger["ended"] == "finished"), "{ended:#?}");
}

#[tokio::test]
async fn without_a_queue_each_retry_of_lambda_resumes() {
    // More than one attempt can send at this pace, and less than half of what three can.
    let mill = Mill::new("track_direct.csv", Rows::new(2_500, 50, 1_800)).await;
    let timeout = Duration::from_secs(20);
    let function = mill.ingester().timeout(timeout).env("EVENTS_PER_SECOND", "150").deploy();
    let attempts = function.invoke_event(&mill.event()).await;
    let Outcome::Error { message, .. } = &attempts[0].outcome else { panic!("{:#?}", attempts[0]) };
    assert!(message.contains("a retry of this S3 event continues behind them"), "{message}");
    assert!(attempts.len() > 1 && attempts.last().unwrap().succeeded(), "{attempts:#?}");
    mill.assert_ingested("direct");
    if attempts.iter().all(|attempt| ended_in_order(attempt, timeout)) {
        assert_eq!(mill.duplicates(), 0, "nobody was cut off, so nothing was sent twice");
    }
}

/// The results of an invocation by S3 Batch Operations: code and words for each task.
fn results(answer: &Value, payload: &Value) -> Vec<(String, String)> {
    for field in ["invocationSchemaVersion", "invocationId"] {
        assert_eq!(answer[field], payload[field]);
    }
    assert_eq!(answer["treatMissingKeysAs"], "TemporaryFailure");
    let results = answer["results"].as_array().unwrap();
    let ids = |list: &[Value]| list.iter().map(|one| one["taskId"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(results), ids(payload["tasks"].as_array().unwrap()));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results.iter().map(|result| (text(&result["resultCode"]), text(&result["resultString"]))).collect()
}

#[tokio::test]
async fn a_batch_operation_queues_its_objects_and_they_are_ingested_from_the_queue() {
    for sample in ["batch_operations_1.json", "batch_operations_2.json"] {
        let mill = Mill::new("folder name/track_ü+1.csv", Rows::new(50, 10, 10)).await;
        let line = Line::new(mill).await;
        let mut payload = event(sample);
        payload["tasks"][0]["s3Key"] = json!("folder%20name/track_%C3%BC%2B1.csv");
        let invocation = line.ingester().deploy().invoke(&payload).await;
        let answer = invocation.response().unwrap();
        assert_eq!(results(answer, &payload), [("Succeeded".to_owned(), "queued".to_owned())]);
        assert_eq!(line.mill.world.segment.record().count(), 0, "nothing is sent before the queue's turn");
        line.run(&line.ingester()).await;
        line.mill.assert_ingested(sample);
    }
}

#[tokio::test]
async fn a_batch_operation_says_which_objects_are_not_queued_and_whether_a_retry_helps() {
    let line = line(Rows::new(1, 10, 10)).await;
    let mut payload = event("batch_operations_1.json");
    let task = |id: &str, key: &str, bucket: &str| json!({"taskId": id, "s3Key": key, "s3BucketArn": bucket});
    let bucket = format!("arn:aws:s3:::{SOURCE}");
    payload["tasks"] = json!([
        task("good", "track_long.csv", &bucket),
        task("key", "", &bucket),
        task("bucket", "track_long.csv", "arn:aws:s3:eu-west-1:123456789012:accesspoint/inbox"),
    ]);
    let codes = |results: Vec<(String, String)>| results.into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    let invoke = async |function: Function| function.deploy().invoke(&payload).await;

    let invocation = invoke(line.ingester()).await;
    let mixed = results(invocation.response().unwrap(), &payload);
    assert!(mixed[1].1.contains("`s3Key` is missing") && mixed[2].1.contains("s3BucketArn"), "{mixed:?}");
    assert_eq!(codes(mixed), ["Succeeded", "PermanentFailure", "PermanentFailure"]);
    assert_eq!(line.sqs.messages(QUEUE).len(), 1);
    let errors = stories::telemetry::lines(&invocation).into_iter().filter(|line| line["level"] == "ERROR");
    assert_eq!(errors.count(), 2, "{invocation:#?}");

    // An outage of the queue, and its end.
    line.sqs.faults().add(Rule::on("SendMessage").before(Fault::InternalError));
    let invocation = invoke(line.ingester()).await;
    assert_eq!(
        codes(results(invocation.response().unwrap(), &payload)),
        ["TemporaryFailure", "PermanentFailure", "PermanentFailure"]
    );
    line.sqs.faults().clear();

    // A refusal that lasts.
    let refusal =
        r#"{"__type":"com.amazonaws.sqs#KmsDisabled","message":"arn:aws:kms:eu-west-1:1:key/k is disabled."}"#;
    let disabled = Fault::status(400).header("Content-Type", "application/x-amz-json-1.0").body(refusal);
    line.sqs.faults().add(Rule::on("SendMessage").before(disabled));
    let invocation = invoke(line.ingester()).await;
    let lasting = results(invocation.response().unwrap(), &payload);
    assert!(lasting[0].1.contains("the KMS key is disabled"), "{lasting:?}");
    assert_eq!(codes(lasting), ["PermanentFailure"; 3]);
    line.sqs.faults().clear();

    let without_queue = line.ingester().env("QUEUE_URL", "");
    let invocation = invoke(without_queue).await;
    let refused = results(invocation.response().unwrap(), &payload);
    assert!(refused[0].1.starts_with("QUEUE_URL is not set"), "{refused:?}");
    assert_eq!(codes(refused), ["PermanentFailure"; 3]);
    assert_eq!(line.sqs.messages(QUEUE).len(), 1);
    assert_eq!(line.mill.world.segment.record().count(), 0, "nothing is ingested in place");
}
