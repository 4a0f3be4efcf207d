//! A Segment that misbehaves. After each failure the acknowledged rows are exactly the good ones.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use standins::faults::{Fault, Gate, Rule};
use standins::lambda::{Invocation, Outcome};
use standins::segment::{too_many_requests, unsuccessful};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;
use stories::{SOURCE, SOURCE_ID, STATE, WRITE_KEY, World, created};

/// Rows fat enough that a file of them makes many batches.
const ROWS: usize = 1_500;

fn rows(count: usize) -> String {
    let mut csv = "userId,event,properties.padding\n".to_owned();
    for row in 0..count {
        let _ = writeln!(csv, "user-{row},e,{}", "x".repeat(2_000));
    }
    csv
}

struct Scene {
    world: World,
}

impl Scene {
    async fn new() -> Self {
        let scene = Self { world: World::new().await };
        scene.world.s3.put(SOURCE, "track_fat.csv", rows(ROWS)).unwrap();
        scene
    }

    async fn ingest(&self) -> Invocation {
        self.ingest_with(&[]).await
    }

    async fn ingest_with(&self, settings: &[(&str, &str)]) -> Invocation {
        let given = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let ingester = self.world.ingester().env("RUST_LOG", "debug").envs(given);
        let invocation = ingester.deploy().invoke(&created("track_fat.csv")).await;
        let said = format!("{:?} {:?}", invocation.outcome, invocation.log);
        let key = settings.iter().find(|(name, _)| *name == "WRITE_KEY").map_or(WRITE_KEY, |(_, key)| key);
        let encoded = STANDARD.encode(format!("{key}:"));
        assert!(!said.contains(WRITE_KEY) && !said.contains(&encoded), "the write key was shown");
        assert!(!said.contains("user-1"), "a cell was shown");
        invocation
    }

    /// Ingests and expects every row but the refused to be acknowledged, kept and exported, and the refused to be in
    /// the rejects file.
    async fn expect_all_but(&self, refused: &[&str]) -> Value {
        let invocation = self.ingest().await;
        let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"))["objects"][0].clone();
        assert_eq!(report["outcome"], "finished", "{report:#}");
        let good = ROWS - refused.len();
        assert_eq!((&report["rows"], &report["acknowledged"]), (&json!(ROWS), &json!(good)), "{report:#}");
        let calls = self.world.segment.record().acknowledged();
        let users: BTreeSet<_> = calls.iter().filter_map(|call| call.user_id.clone()).collect();
        let expected = (0..ROWS).map(|row| format!("user-{row}")).filter(|user| !refused.contains(&user.as_str()));
        assert_eq!(users, expected.collect());
        let ids: BTreeSet<_> = calls.iter().filter_map(|call| call.message_id.clone()).collect();
        assert_eq!(ids.len(), good, "one id a row");

        let rejects = report["rejects"].as_str().and_then(|uri| uri.strip_prefix(&format!("s3://{STATE}/")));
        let rejects = rejects.map(|key| String::from_utf8(self.world.s3.bytes(STATE, key).unwrap().to_vec()).unwrap());
        let lines = rejects.as_deref().unwrap_or_default().lines().skip(1);
        let rejected: Vec<_> = lines.map(|line| line.split(',').next().unwrap().to_owned()).collect();
        assert_eq!(rejected, refused);

        self.world.export().await;
        let logged: Vec<_> =
            self.world.logged().iter().map(|line| line["messageId"].as_str().unwrap().to_owned()).collect();
        assert_eq!((logged.len(), logged.into_iter().collect::<BTreeSet<_>>()), (good, ids), "each once in the logs");
        report
    }
}

#[tokio::test]
async fn throttled_batches_are_sent_again_after_the_wait() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(1, 0.34).before(too_many_requests(1)));
    scene.expect_all_but(&[]).await;
    assert!(!scene.world.segment.faults().strikes().is_empty(), "nothing was throttled");
}

#[tokio::test]
async fn server_errors_at_random_lose_nothing() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(11, 0.4).before(Fault::InternalError));
    scene.expect_all_but(&[]).await;
    assert!(!scene.world.segment.faults().strikes().is_empty());
}

#[tokio::test]
async fn connections_cut_half_way_through_the_body_lose_nothing() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(13, 0.4).before(Fault::CutRequest));
    scene.expect_all_but(&[]).await;
    assert!(!scene.world.segment.faults().strikes().is_empty());
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_sent_again_with_the_same_ids() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(17, 0.4).lose_response());
    scene.expect_all_but(&[]).await;
    let times = scene.world.segment.record().message_ids();
    assert_eq!(times.len(), ROWS, "no row has two ids");
    assert!(times.values().any(|times| *times > 1), "no answer was lost");
}

#[tokio::test]
async fn answers_cut_short_lose_nothing() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(19, 0.4).after(Fault::CutAnswer(5)));
    scene.expect_all_but(&[]).await;
    assert_eq!(scene.world.segment.record().message_ids().len(), ROWS);
}

#[tokio::test]
async fn rows_that_make_segment_refuse_a_batch_are_found_and_the_rest_is_delivered() {
    let scene = Scene::new().await;
    for user in ["user-0", "user-700", "user-701", "user-1499"] {
        scene.world.segment.refuse_user(user);
    }
    let report = scene.expect_all_but(&["user-0", "user-700", "user-701", "user-1499"]).await;
    assert_eq!(report["rejected_by"], json!({"refused_by_segment": 4}));
}

#[tokio::test]
async fn a_proxy_that_takes_only_small_bodies_gets_small_bodies() {
    let scene = Scene::new().await;
    scene.world.segment.refuse_bodies_over(100_000);
    scene.expect_all_but(&[]).await;
}

#[tokio::test]
async fn a_request_without_an_answer_is_sent_again() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").times(1).before(Fault::Hang));
    scene.expect_all_but(&[]).await;
    assert_eq!(scene.world.segment.faults().strikes().len(), 1);
}

#[tokio::test]
async fn a_200_without_success_is_retried() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(23, 0.4).before(unsuccessful()));
    scene.expect_all_but(&[]).await;
    assert!(!scene.world.segment.faults().strikes().is_empty());
}

#[tokio::test]
async fn an_invalid_write_key_rejects_no_row_and_names_the_setting() {
    let scene = Scene::new().await;
    let invocation = scene.ingest_with(&[("WRITE_KEY", "short")]).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("An invalid write key was provided: see WRITE_KEY"), "{message}");
    assert!(message.contains("settled before line 1"), "{message}");
    assert!(scene.world.s3.keys(STATE, "rejects/").is_empty());
    let ledgers: Vec<_> =
        scene.world.s3.keys(STATE, "ingest/").into_iter().filter(|k| k.ends_with("ledger.json")).collect();
    assert!(ledgers.is_empty(), "a configuration error ends no file: {ledgers:?}");
    // With the setting fixed the same event resumes.
    scene.expect_all_but(&[]).await;
}

#[tokio::test]
async fn a_file_of_which_everything_is_refused_fails_and_no_row_is_rejected() {
    let scene = Scene::new().await;
    let no = Fault::status(400).body(r#"{"success":false,"message":"no such thing","code":"bad_request"}"#);
    scene.world.segment.faults().add(Rule::on("batch").before(no));
    let invocation = scene.ingest().await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("refuses this file: status 400, code bad_request"), "{message}");
    assert!(scene.world.s3.keys(STATE, "rejects/").is_empty());
    assert!(scene.world.segment.record().count() < 150, "{} requests", scene.world.segment.record().count());
    // Asked who is refused in vain, the file has as much left for that as before.
    let checkpoint = scene.world.s3.keys(STATE, "ingest/").into_iter().find(|key| key.ends_with("checkpoint.json"));
    let checkpoint = scene.world.s3.bytes(STATE, &checkpoint.unwrap()).unwrap();
    let checkpoint: Value = serde_json::from_slice(&checkpoint).unwrap();
    assert_eq!(checkpoint["bisection_requests"], 0, "{checkpoint:#}");
}

#[tokio::test]
async fn a_file_of_which_all_objects_are_refused_fails() {
    let scene = Scene::new().await;
    let mut csv = "id,name\n".to_owned();
    (0..200).for_each(|row| writeln!(csv, "room-{row},Room {row}").unwrap());
    scene.world.s3.put(SOURCE, "object_rooms.csv", csv).unwrap();
    (0..200).for_each(|row| scene.world.segment.refuse_user(&format!("room-{row}")));
    let ingester = scene.world.ingester().deploy();
    let invocation = ingester.invoke(&created("object_rooms.csv")).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("refuses this file"), "{message}");
    assert!(scene.world.segment.record().count() < 100, "{} requests", scene.world.segment.record().count());
    assert!(scene.world.s3.keys(STATE, "rejects/").is_empty());
}

#[tokio::test]
async fn a_refused_first_request_of_objects_does_not_fail_the_file() {
    let scene = Scene::new().await;
    let mut csv = "id,name\n".to_owned();
    (0..95).for_each(|row| writeln!(csv, "room-{row},Room {row}").unwrap());
    scene.world.s3.put(SOURCE, "object_rooms.csv", csv).unwrap();
    (0..20).for_each(|row| scene.world.segment.refuse_user(&format!("room-{row}")));
    let ingester = scene.world.ingester().deploy();
    let report = stories::answer(&ingester, &created("object_rooms.csv")).await;
    let report = &report["objects"][0];
    assert_eq!((&report["outcome"], &report["acknowledged"]), (&json!("finished"), &json!(75)), "{report:#}");
    assert_eq!(report["rejected_by"], json!({"refused_by_segment": 20}));
    assert_eq!(scene.world.segment.record().in_flight_max(), 1);
}

#[tokio::test]
async fn a_first_batch_with_one_refused_call_does_not_fail_the_file() {
    let scene = Scene::new().await;
    let mut csv = "userId,event\n".to_owned();
    (0..2_499).for_each(|_| csv.push_str(",e\n"));
    csv.push_str("user-bad,e\n");
    (0..100).for_each(|row| writeln!(csv, "user-{row},e").unwrap());
    scene.world.s3.put(SOURCE, "track_fat.csv", csv).unwrap();
    scene.world.segment.refuse_user("user-bad");
    let invocation = scene.ingest_with(&[("REJECT_LIMIT_SHARE", "1"), ("REQUESTS_IN_FLIGHT", "1")]).await;
    let report = &invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"))["objects"][0];
    assert_eq!((&report["outcome"], &report["acknowledged"]), (&json!("finished"), &json!(100)), "{report:#}");
    assert_eq!(report["rejected_by"], json!({"missing_user_id": 2_499, "refused_by_segment": 1}));
}

#[tokio::test]
async fn a_refusal_with_a_truncated_text_is_asked_for_again() {
    let scene = Scene::new().await;
    scene.world.s3.put(SOURCE, "track_fat.csv", "userId,event\nuser-2,e\n").unwrap();
    scene.world.segment.faults().add(Rule::on("batch").times(1).after(Fault::CutAnswer(5)));
    let invocation = scene.ingest_with(&[("WRITE_KEY", "short")]).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("An invalid write key was provided: see WRITE_KEY"), "{message}");
    assert_eq!(scene.world.segment.record().count(), 2);
}

#[tokio::test]
async fn statuses_that_no_retry_changes_name_the_setting() {
    for (status, setting) in
        [(401, "WRITE_KEY"), (403, "WRITE_KEY"), (404, "SEGMENT_ENDPOINT"), (301, "SEGMENT_ENDPOINT")]
    {
        let scene = Scene::new().await;
        scene.world.segment.faults().add(Rule::on("batch").before(Fault::status(status)));
        let invocation = scene.ingest().await;
        let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
        assert!(message.contains(&format!("status {status}")) && message.contains(setting), "{message}");
        assert!(
            scene.world.segment.record().count() <= 4,
            "asked again {} times",
            scene.world.segment.record().count()
        );
    }
}

#[tokio::test]
async fn a_403_for_one_request_loses_no_row_and_blames_no_setting() {
    let scene = Scene::new().await;
    // Not the first request: by then something of the file was accepted.
    scene.world.segment.faults().add(Rule::on("batch").skip(2).times(1).before(Fault::status(403)));
    let invocation = scene.ingest_with(&[("REQUESTS_IN_FLIGHT", "1")]).await;
    let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"))["objects"][0].clone();
    assert_eq!(scene.world.segment.faults().strikes().len(), 1);
    assert_eq!([&report["outcome"], &report["rejected"]], [&json!("finished"), &json!(0)], "{report:#}");
    assert_eq!(scene.world.segment.record().acknowledged().len(), ROWS);
}

#[tokio::test]
async fn rows_not_delivered_in_time_are_sent_by_the_next_invocation() {
    let scene = Scene::new().await;
    let url = scene.world.segment.url();
    let slow = scene.world.ingester().env("SEGMENT_ENDPOINT", &url).env("EVENTS_PER_SECOND", "1");
    let invocation = slow.deploy().invoke(&created("track_fat.csv")).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("after the end of this invocation"), "{message}");
    let first = scene.world.segment.record().acknowledged().len();
    assert!(first > 0 && first < ROWS, "{first} calls in the first invocation");
    scene.expect_all_but(&[]).await;
    let times = scene.world.segment.record().message_ids();
    assert!(times.values().all(|times| *times == 1), "an orderly end repeats nothing");
}

#[tokio::test]
async fn no_second_has_more_calls_than_the_pace_plus_one_batch() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").share(5, 0.34).before(Fault::InternalError));
    let invocation = scene.ingest_with(&[("EVENTS_PER_SECOND", "600")]).await;
    assert!(invocation.succeeded(), "{invocation:#?}");
    assert!(!scene.world.segment.faults().strikes().is_empty());
    // The times of sending, from the function's log. It does not know the times of arrival.
    let sent = departures(&invocation);
    assert_eq!(sent.len(), scene.world.segment.record().count(), "each request is told");
    let largest = sent.iter().map(|(_, calls)| *calls).max().unwrap();
    for (first_ms, _) in &sent {
        let second = *first_ms..*first_ms + 1_000;
        let calls: usize = sent.iter().filter(|(ms, _)| second.contains(ms)).map(|(_, calls)| calls).sum();
        assert!(calls <= 600 + largest, "{calls} calls in a second: {sent:?}");
    }
}

/// When each request left, and with how many calls.
fn departures(invocation: &Invocation) -> Vec<(i64, usize)> {
    let lines = invocation.log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let sent = lines.filter(|line| line["message"] == "a request is sent");
    sent.map(|line| (line["sent_ms"].as_i64().unwrap(), usize::try_from(line["calls"].as_u64().unwrap()).unwrap()))
        .collect()
}

/// The function has no more time than that.
async fn within_a_minute(waiting: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it never came");
}

#[tokio::test]
async fn a_slow_commit_does_not_delay_delivery() {
    let scene = Scene::new().await;
    // The claim is the first write of the checkpoint.
    let gate = Gate::new();
    let commits = Rule::on("PutObject").key("*checkpoint.json").skip(1);
    scene.world.s3.faults().add(commits.before(Fault::Hold(gate.clone())));
    let settings = [("COMMIT_SECONDS", "0"), ("REQUESTS_IN_FLIGHT", "2"), ("EVENTS_PER_SECOND", "1000")];
    let (invocation, ()) = tokio::join!(scene.ingest_with(&settings), async {
        within_a_minute(gate.reached(1)).await;
        let all = async {
            while scene.world.segment.record().applied().len() < ROWS {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within_a_minute(all).await;
        gate.open();
    });
    assert!(invocation.succeeded(), "{invocation:#?}");
    let sent = departures(&invocation);
    for (first_ms, _) in &sent {
        let second = *first_ms..*first_ms + 1_000;
        let calls: usize = sent.iter().filter(|(ms, _)| second.contains(ms)).map(|(_, calls)| calls).sum();
        assert!(calls <= 1_000 + 300, "{calls} calls in a second: {sent:?}");
    }
}

#[tokio::test]
async fn ten_bad_rows_at_the_beginning_do_not_fail_the_file() {
    let scene = Scene::new().await;
    let refused: Vec<String> = (0..12).map(|row| format!("user-{row}")).collect();
    refused.iter().for_each(|user| scene.world.segment.refuse_user(user));
    scene.expect_all_but(&refused.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn requests_in_flight_are_limited() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene.world.segment.faults().add(Rule::on("batch").before(Fault::Hold(gate.clone())));
    let (invocation, ()) = tokio::join!(scene.ingest_with(&[("REQUESTS_IN_FLIGHT", "3")]), async {
        within_a_minute(gate.reached(3)).await;
        let fourth = tokio::time::timeout(Duration::from_secs(1), gate.reached(4)).await;
        gate.open();
        assert!(fourth.is_err(), "a fourth request was sent");
    });
    assert!(invocation.succeeded(), "{invocation:#?}");
    assert_eq!(scene.world.segment.record().in_flight_max(), 3);
}

#[tokio::test]
async fn requests_share_a_connection() {
    let scene = Scene::new().await;
    // A connection comes back to the pool a moment after its answer: between two requests there is most of a second.
    let invocation = scene.ingest_with(&[("REQUESTS_IN_FLIGHT", "1"), ("EVENTS_PER_SECOND", "300")]).await;
    assert!(invocation.succeeded(), "{invocation:#?}");
    assert!(scene.world.segment.record().count() >= 5);
    assert_eq!(scene.world.segment.connections(), 1);
}

#[tokio::test]
async fn objects_are_sent_ten_at_a_time_in_sequence() {
    let scene = Scene::new().await;
    let mut csv = "id,name\n".to_owned();
    (0..95).for_each(|row| writeln!(csv, "room-{row},Room {row}").unwrap());
    scene.world.s3.put(SOURCE, "object_rooms.csv", csv).unwrap();
    scene.world.segment.faults().add(Rule::on("set").share(29, 0.3).before(Fault::InternalError));
    let ingester = scene.world.ingester().deploy();
    let report = stories::answer(&ingester, &created("object_rooms.csv")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 95, "{report:#}");
    let deliveries = scene.world.segment.record().deliveries();
    let applied: Vec<_> = deliveries.iter().filter(|delivery| delivery.is_acknowledged()).collect();
    assert_eq!(applied.len(), 10);
    assert!(applied.iter().all(|delivery| delivery.synchronous && delivery.objects.len() <= 10));
    assert_eq!(scene.world.segment.record().in_flight_max(), 1);
    let ids: Vec<_> = scene.world.segment.record().objects().into_iter().map(|object| object.id).collect();
    assert_eq!(ids, (0..95).map(|row| format!("room-{row}")).collect::<Vec<_>>(), "in order, each once");
    assert!(scene.world.s3.keys(STATE, "received/").is_empty(), "objects are not logged");
}

#[tokio::test]
async fn bodies_are_compressed_by_default_and_within_every_limit() {
    for (setting, gzip) in [("true", true), ("false", false)] {
        let scene = Scene::new().await;
        assert!(scene.ingest_with(&[("GZIP_REQUESTS", setting)]).await.succeeded());
        for delivery in scene.world.segment.record().deliveries() {
            assert_eq!(delivery.gzip, gzip);
            assert!(delivery.json_bytes <= 475_000 && delivery.calls.len() <= 2_500, "{}", delivery.json_bytes);
            assert!(!delivery.sent_at, "sentAt would shift historical times");
        }
        let largest = scene.world.segment.record().deliveries().iter().map(|delivery| delivery.json_bytes).max();
        assert!(largest > Some(470_000), "batches are filled: {largest:?}");
        assert!(scene.world.segment.record().dropped().is_empty());
    }
}

/// The same lines become other bytes by the repeats of their request than by a search.
#[tokio::test]
async fn lines_are_compressed_by_the_repeats_of_their_request_if_that_is_compressed() {
    let mut csv = "userId,event,properties.text\n".to_owned();
    (0..500).for_each(|row| writeln!(csv, "user-{},e,{}", row * 7_919, "word ".repeat(row * row % 17)).unwrap());
    for gzip in [true, false] {
        let world = World::new().await;
        world.s3.put(SOURCE, "track_words.csv", &csv).unwrap();
        let ingester = world.ingester().env("GZIP_REQUESTS", gzip.to_string()).deploy();
        let report = stories::answer(&ingester, &created("track_words.csv")).await;
        assert_eq!(report["objects"][0]["acknowledged"], 500, "{report:#}");
        let keys = world.s3.keys(STATE, "received/");
        let [key] = keys.as_slice() else { panic!("{keys:?}") };
        let (fragment, mut lines) = (world.s3.bytes(STATE, key).unwrap(), Vec::new());
        flate2::read::GzDecoder::new(&fragment[..]).read_to_end(&mut lines).unwrap();
        let is_searched = export::fragment::encode(&lines) == fragment;
        assert_eq!(is_searched, !gzip, "requests are compressed: {gzip}");
    }
}

#[tokio::test]
async fn a_summary_line_and_a_metrics_record_are_written_for_each_object() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("batch").times(1).before(too_many_requests(0)));
    let invocation = scene.ingest().await;
    let lines: Vec<Value> = invocation.log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let summary: Vec<_> = lines.iter().filter(|line| line["message"] == "ingested").collect();
    assert_eq!(summary.len(), 1, "{:#?}", invocation.log);
    assert_eq!((&summary[0]["rows"], &summary[0]["acknowledged"]), (&json!(ROWS), &json!(ROWS)));
    let metrics: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    assert_eq!(metrics.len(), 1);
    assert_eq!(
        (&metrics[0]["Rows"], &metrics[0]["Throttles"], &metrics[0]["Retries"]),
        (&json!(ROWS), &json!(1), &json!(1))
    );
    assert_eq!(metrics[0]["Source"], SOURCE_ID);
}
