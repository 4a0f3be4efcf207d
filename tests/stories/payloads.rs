//! Everything that can wake the functions.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::lambda::Outcome;
use stories::{SOURCE, STATE, WRITE_KEY, World, answer, created, event, sample};

#[tokio::test]
async fn the_walkthroughs_manual_payload_works_and_its_invented_version_decides_nothing() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let report = answer(&ingester, &event("s3_manual.json")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 4, "{report:#}");
    // Another file in the same place, invoked with the very same payload: other ids.
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n9,e\n").unwrap();
    let report = answer(&ingester, &event("s3_manual.json")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 1, "{report:#}");
    let ids = world.received_ids();
    assert_eq!(ids.len(), 5);
    let stream = |id: &str| id.split('-').nth(1).unwrap().to_owned();
    assert_ne!(stream(&ids[0]), stream(&ids[4]));
}

#[tokio::test]
async fn every_record_counts_and_odd_keys_work_in_folders_too() {
    let world = World::new().await;
    let odd = "exports/2026 Q4/identify_Zürich+1.csv";
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    world.s3.put(SOURCE, odd, sample("identify_1.csv")).unwrap();
    let ingester = world.ingester().deploy();
    let report = answer(&ingester, &event("s3_two_records.json")).await;
    assert_eq!(report["objects"][1]["object"], format!("s3://{SOURCE}/{odd}"), "{report:#}");
    assert_eq!(report["objects"][1]["acknowledged"], 4);
    for key in ["a b/track_%41.csv", "track_ü€😀.csv", "track_a&b=c?d#e.csv", "x//track_.csv"] {
        world.s3.put(SOURCE, key, "userId,event\n1,e\n").unwrap();
        let report = answer(&ingester, &created(key)).await;
        assert_eq!(report["objects"][0]["acknowledged"], 1, "{key}: {report:#}");
    }
}

/// The functions that an example event is for.
fn functions_of(event: &str) -> &'static [&'static str] {
    match event {
        "flush_full.json" | "scheduled.json" => &["exporter"],
        "validate.json" => &["ingester", "exporter"],
        _ => &["ingester"],
    }
}

#[tokio::test]
async fn each_example_event_has_an_answer_of_its_function() {
    let world = World::new().await;
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../events")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        world.s3.put(SOURCE, "track_1.csv", format!("userId,event\n{name},e\n")).unwrap();
        for function in functions_of(&name) {
            let function = if *function == "exporter" { world.exporter() } else { world.ingester() };
            let invocation = function.deploy().invoke(&event(&name)).await;
            assert!(matches!(invocation.outcome, Outcome::Response(_)), "{name}: {invocation:#?}");
        }
    }
}

#[tokio::test]
async fn messages_of_a_queue_fail_one_by_one_and_each_says_why_for_every_record() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let ingester = world.ingester().deploy();
    let mut queue = event("sqs_s3_put.json");
    let whole = created("track_1.csv")["Records"][0].clone();
    let keyless = json!({"s3": {"bucket": {"name": SOURCE}}});
    for (id, body) in
        [("broken", "not json".to_owned()), ("partly", json!({"Records": [whole, keyless, {"s3": {}}]}).to_string())]
    {
        let mut message = queue["Records"][0].clone();
        (message["messageId"], message["body"]) = (json!(id), json!(body));
        queue["Records"].as_array_mut().unwrap().push(message);
    }
    let invocation = ingester.invoke(&queue).await;
    let Outcome::Response(report) = &invocation.outcome else { panic!("{invocation:#?}") };
    assert_eq!(report["batchItemFailures"], json!([{"itemIdentifier": "broken"}, {"itemIdentifier": "partly"}]));
    let outcomes: Vec<_> = report["objects"].as_array().unwrap().iter().map(|object| &object["outcome"]).collect();
    assert_eq!(outcomes, ["finished", "already_done"], "{report:#}");
    let unreadable = json!([
        {"message_id": "broken", "reason": "the message's body is not JSON"},
        {"message_id": "partly", "reason": "record 1: `s3.object.key` is missing"},
        {"message_id": "partly", "reason": "record 2: `s3.bucket.name` is missing"},
    ]);
    assert_eq!(report["unreadable"], unreadable);
    let logged: Vec<_> = invocation.log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
    let reasons = logged.iter().filter(|line| line["level"] == "ERROR");
    let reasons: Vec<_> =
        reasons.map(|line| json!({"message_id": line["message_id"], "reason": line["reason"]})).collect();
    assert_eq!(json!(reasons), unreadable, "{logged:#?}");
    for line in &invocation.log {
        assert!(!has_a_key_twice(line), "{line}");
    }
}

/// Whether a line of JSON has a key twice. A parser drops one of them, and the line gets shorter.
fn has_a_key_twice(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|parsed| parsed.to_string().len() != line.len())
}

#[test]
fn a_key_that_a_line_has_twice_is_noticed() {
    assert!(!has_a_key_twice(r#"{"message":1,"level":{"message":2}}"#));
    assert!(has_a_key_twice(r#"{"message":1,"level":2,"message":3}"#));
}

#[tokio::test]
async fn an_upload_is_ingested_whatever_envelopes_its_event_comes_in() {
    let world = World::new().await;
    let ingester = world.ingester().env("INGEST_RESTORED", "true").deploy();
    for name in [
        "s3_put.json",
        "s3_copy.json",
        "s3_restore_completed.json",
        "eventbridge_object_created.json",
        "eventbridge_copy.json",
        "eventbridge_restore_completed.json",
        "sns_s3_put.json",
        "sqs_s3_put.json",
        "sqs_eventbridge.json",
        "sqs_sns_s3_put.json",
        "sqs_sns_raw_s3_put.json",
        "sqs_sns_eventbridge.json",
        "sqs_lambda_failure.json",
        "sqs_s3_put_encoded_twice.json",
        "sqs_s3_put_byte_order_mark.json",
        "pipes_sqs_s3_put.json",
    ] {
        world.s3.put(SOURCE, "track_1.csv", format!("userId,event\n{name},e\n")).unwrap();
        let report = answer(&ingester, &event(name)).await;
        assert_eq!(report["objects"][0]["outcome"], "finished", "{name}: {report:#}");
        assert!(report["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "{name}: {report:#}");
    }
}

#[tokio::test]
async fn an_event_that_creates_no_object_is_ignored_without_a_warning() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    for name in [
        "s3_test_event.json",
        "s3_object_removed.json",
        "s3_restore_completed.json",
        "eventbridge_object_deleted.json",
        "eventbridge_restore_completed.json",
        "sqs_sns_s3_test_event.json",
        "scheduled.json",
    ] {
        let invocation = ingester.invoke(&event(name)).await;
        let report = invocation.response().unwrap_or_else(|| panic!("{name}: {invocation:#?}"));
        let outcomes: Vec<_> = report["objects"].as_array().unwrap().iter().map(|object| &object["outcome"]).collect();
        assert_eq!(outcomes, ["ignored"], "{name}: {report:#}");
        assert!(report["batchItemFailures"].as_array().is_none_or(Vec::is_empty), "{name}: {report:#}");
        let loud = |line: &&String| line.contains("WARN") || line.contains("ERROR");
        assert_eq!(invocation.log.iter().find(loud), None, "{name}");
    }
    let without_copies = world.ingester().env("INGEST_COPIES", "false").deploy();
    let report = answer(&without_copies, &event("s3_copy.json")).await;
    let reason = report["objects"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("INGEST_COPIES is false"), "{reason}");
    assert!(world.s3.keys(STATE, "").is_empty(), "nothing is kept of it");
}

#[tokio::test]
async fn an_unfinished_upload_is_left_alone_until_it_has_its_name() {
    let world = World::new().await;
    let ingester = world.ingester().env("IGNORE_KEYS", "drafts/**").deploy();
    for (key, outcome) in [
        ("track_1.csv.filepart", "ignored"),
        ("drafts/track_1.csv", "ignored"),
        ("drafts/", "ignored"),
        ("track_1.csv", "finished"),
    ] {
        world.s3.put(SOURCE, key, "userId,event\n1,e\n").unwrap();
        let invocation = ingester.invoke(&created(key)).await;
        let report = invocation.response().unwrap_or_else(|| panic!("{key}: {invocation:#?}"));
        assert_eq!(report["objects"][0]["outcome"], outcome, "{key}: {report:#}");
        assert!(!invocation.log.iter().any(|line| line.contains("WARN")), "{key}: {invocation:#?}");
    }
    assert_eq!(world.received_ids().len(), 1);
}

#[tokio::test]
async fn the_event_of_the_rule_for_full_objects_is_read() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    answer(&world.ingester().deploy(), &event("s3_put.json")).await;
    let report = answer(&world.exporter().deploy(), &event("flush_full.json")).await;
    assert_eq!(report["waiting"]["not_full"]["events"], 4, "{report:#}");
}

#[tokio::test]
async fn a_name_without_a_kind_is_refused_with_the_valid_prefixes() {
    let world = World::new().await;
    world.s3.put(SOURCE, "customers.csv", "userId\n1\n").unwrap();
    let report = answer(&world.ingester().deploy(), &created("customers.csv")).await;
    let reason = report["objects"][0]["reason"].as_str().unwrap();
    assert_eq!(report["objects"][0]["outcome"], "refused");
    for prefix in ["identify_", "track_", "page_", "screen_", "group_", "alias_", "object_<collection>_"] {
        assert!(reason.contains(prefix), "{prefix} in {reason}");
    }
    assert!(
        world.s3.keys(STATE, "ingest/").is_empty(),
        "it is no file of ours, so nothing is kept of it but its outcome"
    );
}

#[tokio::test]
async fn our_own_bucket_is_never_a_source() {
    let world = World::new().await;
    world.s3.put(STATE, "rejects/x/track_1.rejects.csv", sample("track_1.csv")).unwrap();
    let mut payload = created("rejects/x/track_1.rejects.csv");
    payload["Records"][0]["s3"]["bucket"]["name"] = json!(STATE);
    let report = answer(&world.ingester().deploy(), &payload).await;
    assert_eq!(report["objects"][0]["outcome"], "refused", "{report:#}");
    assert!(world.received_ids().is_empty());
}

#[tokio::test]
async fn a_missing_file_is_reported_and_a_missing_bucket_fails() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    let invocation = ingester.invoke(&created("track_gone.csv")).await;
    let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
    assert_eq!(report["objects"][0]["outcome"], "missing", "{report:#}");
    let error = |line: &String| line.contains(r#""level":"ERROR""#) && line.contains(r#""outcome":"missing""#);
    assert!(invocation.log.iter().any(error), "{invocation:#?}");
    let mut payload = created("track_1.csv");
    payload["Records"][0]["s3"]["bucket"]["name"] = json!("no-such-bucket");
    let Outcome::Error { message, .. } = ingester.invoke(&payload).await.outcome else { panic!("an error") };
    assert!(message.contains("the bucket no-such-bucket does not exist"), "{message}");
}

#[tokio::test]
async fn a_key_that_a_person_wrote_is_tried_as_it_stands_and_decoded_twice() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    let by_hand =
        |written: &str| json!({"Records": [{"s3": {"bucket": {"name": SOURCE}, "object": {"key": written}}}]});
    for (key, written) in [
        ("a/track_h+1.csv", "a/track_h+1.csv"),
        ("a/track_100%25.csv", "a/track_100%25.csv"),
        ("a b/track_2.csv", "a%2Bb%252Ftrack_2.csv"),
        ("a b/track_3.csv", "a%2520b%252Ftrack_3.csv"),
        ("a/track_%E9.csv", "a/track_%E9.csv"),
        ("in/track_4.csv", "in%252Ftrack_4.csv"),
    ] {
        world.s3.put(SOURCE, key, "userId,event\n1,e\n").unwrap();
        let report = answer(&ingester, &by_hand(written)).await;
        let file = &report["objects"][0];
        assert_eq!((&file["outcome"], &file["object"]), (&json!("finished"), &json!(format!("s3://{SOURCE}/{key}"))));
    }
    // S3 encodes each key exactly once.
    let mut own = by_hand("a/track_h+1.csv");
    own["Records"][0]["s3"]["object"]["sequencer"] = json!("0055AED6DCD90281E5");
    let report = answer(&ingester, &own).await;
    assert_eq!(report["objects"][0]["outcome"], "missing", "{report:#}");
    // No key exists: the report names each that was tried.
    let report = answer(&ingester, &by_hand("a/track_x+1.csv")).await;
    let reason = report["objects"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("does not exist, nor does `a/track_x+1.csv`"), "{reason}");
    // Which key is meant cannot be said while S3 denies the answer.
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(denied));
    let Outcome::Error { message, .. } = ingester.invoke(&by_hand("in%252Ftrack_4.csv")).await.outcome else {
        panic!("an error")
    };
    assert!(message.contains("s3:GetObject"), "{message}");
}

#[tokio::test]
async fn every_mapping_reads_a_file_whose_key_a_person_has_encoded_twice() {
    let world = World::new().await;
    world.s3.put(SOURCE, "shop/orders 1.csv", "Id\nu1\n").unwrap();
    let mapping = |name: &str, also: bool| {
        format!(
            "[[mapping]]\nname = \"{name}\"\nmatch = \"shop/*.csv\"\ncall = \"identify\"\nalso = {also}\n\
             columns = {{ Id = \"userId\" }}\n"
        )
    };
    let config = mapping("one", true) + &mapping("two", false);
    let ingester = world.ingester().env("CONFIG", config).deploy();
    let object = json!({"bucket": {"name": SOURCE}, "object": {"key": "shop%252Forders%25201.csv"}});
    let report = answer(&ingester, &json!({"Records": [{"s3": object}]})).await;
    let outcomes: Vec<_> = report["objects"].as_array().unwrap().iter().map(|file| &file["outcome"]).collect();
    assert_eq!(outcomes, ["finished", "finished"], "{report:#}");
}

#[tokio::test]
async fn all_faults_in_the_settings_are_reported_together_by_name() {
    let world = World::new().await;
    let ingester = world.ingester().env("STATE_BUCKET", "s3://segment-s3-state").env("GZIP_REQUESTS", "maybe");
    let invocation = ingester.env("SOURCE_ID", "").deploy().invoke(&event("s3_put.json")).await;
    let said = format!("{:?} {:?}", invocation.outcome, invocation.log);
    for part in ["STATE_BUCKET is a URI", "GZIP_REQUESTS is", "SOURCE_ID is not set"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains(WRITE_KEY), "{said}");
}

#[tokio::test]
async fn an_unknown_payload_is_refused_with_the_expected_forms() {
    let world = World::new().await;
    let outcome = world.ingester().deploy().invoke(&json!({"hello": "world"})).await.outcome;
    let Outcome::Error { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("expected `Records`"), "{message}");
}

#[tokio::test]
async fn the_walkthroughs_own_spelling_of_the_write_key_works() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let ingester = world.ingester().env("WRITE_KEY", "").env("write_key", WRITE_KEY).deploy();
    let report: Value = answer(&ingester, &event("s3_put.json")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 4);
}
