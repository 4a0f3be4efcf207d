//! How a file ends, and which changes may happen before.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use standins::faults::{Fault, Gate, Rule, Target};
use standins::iam::Policy;
use standins::lambda::{Function, Outcome};
use standins::s3::Versioning;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use stories::line::{Line, QUEUE};
use stories::mill::{Mill, Rows, killable};
use stories::{SOURCE, STATE, World, answer, created};

/// A day later every lease is over.
fn later(function: Function) -> Function {
    function.env("CLOCK_OFFSET_MS", "86400000")
}

fn outcome(report: &Value) -> &str {
    report["objects"][0]["outcome"].as_str().unwrap()
}

#[tokio::test]
async fn a_file_replaced_while_it_is_read_ends_as_replaced_and_the_new_one_has_its_own_event() {
    // More than one range, so that there is something left to read.
    let mill = Mill::new("track_replaced.csv", Rows::new(12_000, 50, 1_000)).await;
    let gate = Gate::new();
    mill.world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).skip(1).before(Fault::Hold(gate.clone())));
    let (lambda, event) = (mill.ingester().deploy(), mill.event());
    let (report, ()) = tokio::join!(answer(&lambda, &event), async {
        gate.reached(1).await;
        mill.world.s3.put(SOURCE, &mill.key, "userId,event\nnew-1,e\nnew-2,e\n").unwrap();
        gate.open();
    });
    assert_eq!(outcome(&report), "replaced", "{report:#}");
    let ledger = &mill.ledgers()[0];
    assert_eq!(ledger["ended"], "replaced", "{ledger:#}");
    let account = &ledger["account"];
    assert!(account["rows"].as_u64().unwrap() > 0 && ledger["undelivered_from_line"].is_u64(), "{ledger:#}");

    let report = answer(&lambda, &mill.event()).await;
    assert_eq!((outcome(&report), &report["objects"][0]["acknowledged"]), ("finished", &json!(2)), "{report:#}");
    let ids: BTreeSet<_> =
        mill.world.segment.record().applied().into_iter().map(|call| call.message_id.unwrap()).collect();
    let streams: BTreeSet<_> = ids.iter().map(|id| id.split('-').nth(1).unwrap()).collect();
    assert_eq!(streams.len(), 2, "ids of the two uploads cannot be confused");
    assert_eq!(ids.len() as u64, account["acknowledged"].as_u64().unwrap() + 2, "each row once");
}

#[tokio::test]
async fn a_file_replaced_between_two_invocations_ends_as_replaced() {
    let line = Line::new(Mill::new("track_replaced.csv", Rows::new(3_000, 50, 1_000)).await).await;
    line.mill.killed_after_a_commit(line.ingester(), &line.mill.event()).await;
    let stream = line.mill.checkpoints()[0]["object"].clone();
    let rest = json!({"continue": {"bucket": SOURCE, "key": line.mill.key, "hop": {
        "count": 1, "position": 0, "stream": stream_of(&line.mill),
    }}});
    line.mill.world.s3.delete(SOURCE, &line.mill.key).unwrap();
    let report = answer(&later(line.ingester()).deploy(), &rest).await;
    assert_eq!(outcome(&report), "replaced", "{report:#}");
    let ledger = &line.mill.ledgers()[0];
    assert_eq!((&ledger["ended"], &ledger["object"]), (&json!("replaced"), &stream));
    assert_eq!(line.sqs.messages(QUEUE).len(), 0, "nothing is to follow");
}

#[tokio::test]
async fn a_begun_version_without_permission_is_retried() {
    let line = Line::new(Mill::before_upload("track_versions.csv", Rows::new(3_000, 50, 1_000)).await).await;
    let s3 = &line.mill.world.s3;
    s3.set_versioning(SOURCE, Versioning::Enabled).unwrap();
    line.mill.upload();
    line.mill.killed_after_a_commit(line.ingester(), &line.mill.event()).await;
    let rest = json!({"continue": {"bucket": SOURCE, "key": line.mill.key, "hop": {
        "count": 1, "position": 0, "stream": stream_of(&line.mill),
    }}});
    // A later upload is there, and older versions are not to be read for now.
    s3.put(SOURCE, &line.mill.key, "userId,event\nnew-1,e\n").unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},
        {"Effect":"Deny","Action":"s3:GetObjectVersion","Resource":"*"}]}"#;
    let user = s3.directory().add_user("arn:aws:iam::123456789012:user/i", vec![Policy::parse(policy).unwrap()]);
    let denied = later(line.ingester()).envs(s3.env_as(&user)).deploy().invoke(&rest).await;
    let Outcome::Error { message, .. } = &denied.outcome else { panic!("{denied:#?}") };
    assert!(message.contains("s3:GetObjectVersion") && !message.contains("replaced"), "{message}");
    // Nor does another refusal say that it is gone.
    let disabled = Fault::status(400).body("<Error><Code>KMS.DisabledException</Code></Error>");
    s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(disabled));
    let refused = later(line.ingester()).deploy().invoke(&rest).await;
    assert!(matches!(refused.outcome, Outcome::Error { .. }), "{refused:#?}");
    s3.faults().clear();
    assert!(line.mill.ledgers().is_empty(), "nothing has ended");

    let report = answer(&later(line.ingester()).deploy(), &rest).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    line.mill.assert_ingested("the version that was begun");
}

#[tokio::test]
async fn a_begun_version_that_is_gone_ends_as_replaced() {
    let line = Line::new(Mill::before_upload("track_versions.csv", Rows::new(3_000, 50, 1_000)).await).await;
    let s3 = &line.mill.world.s3;
    s3.set_versioning(SOURCE, Versioning::Enabled).unwrap();
    line.mill.upload();
    line.mill.killed_after_a_commit(line.ingester(), &line.mill.event()).await;
    let mut rest = json!({"continue": {"bucket": SOURCE, "key": line.mill.key, "hop": {
        "count": 1, "position": 0, "stream": stream_of(&line.mill),
    }}});
    s3.put(SOURCE, &line.mill.key, "userId,event\nnew-1,e\n").unwrap();
    let gone = Fault::status(404).body("<Error><Code>NoSuchVersion</Code></Error>");
    s3.faults().add(Rule::on("GetObject").bucket(SOURCE).times(1).before(gone));
    let report = answer(&later(line.ingester()).deploy(), &rest).await;
    assert_eq!(outcome(&report), "replaced", "{report:#}");
    assert_eq!(line.mill.ledgers()[0]["ended"], "replaced");
    rest["continue"]["hop"] = Value::Null;
    let report = answer(&later(line.ingester()).deploy(), &rest).await;
    assert_eq!((outcome(&report), &report["objects"][0]["rows"]), ("finished", &json!(1)), "{report:#}");
}

fn stream_of(mill: &Mill) -> String {
    let keys = mill.world.s3.keys(STATE, "ingest/");
    keys[0].split('/').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn an_unreadable_source_names_the_permissions_and_is_not_mistaken_for_deleted() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*",
        "Resource":["arn:aws:s3:::segment-s3-state","arn:aws:s3:::segment-s3-state/*"]}]}"#;
    let policy = Policy::parse(policy).unwrap();
    let user = world.s3.directory().add_user("arn:aws:iam::123456789012:user/ingester", vec![policy]);
    let function = world.ingester().envs(world.s3.env_as(&user)).deploy();
    // One key exists and the other does not. Without s3:ListBucket both look the same.
    for key in ["track_1.csv", "track_gone.csv"] {
        let Outcome::Error { message, .. } = function.invoke(&created(key)).await.outcome else { panic!("an error") };
        for part in ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(!message.contains("deleted") && !message.contains("replaced"), "{message}");
    }
    assert!(world.s3.keys(STATE, "ingest/").is_empty(), "nothing has ended");
}

#[tokio::test]
async fn a_redelivery_of_a_file_that_has_ended_does_nothing() {
    let mill = Mill::new("track_half_bad.csv", Rows::new(4_000, 2, 100)).await;
    let function = mill.ingester().env("REJECT_LIMIT_SHARE", "0.1").deploy();
    let report = answer(&function, &mill.event()).await;
    assert_eq!(outcome(&report), "stopped", "{report:#}");
    let ledger = mill.ledgers()[0].clone();
    assert_eq!(ledger["ended"], "stopped");
    assert!(ledger["reason"].as_str().unwrap().contains("REJECT_LIMIT_SHARE=0.1"), "{ledger:#}");
    let account = &ledger["account"];
    let sum = account["acknowledged"].as_u64().unwrap() + account["rejected"].as_u64().unwrap();
    assert_eq!(account["rows"], sum, "the ledger closes");
    let (requests, before) = (mill.world.segment.record().count(), mill.world.s3.objects(STATE, ""));
    let report = answer(&function, &mill.event()).await;
    assert_eq!(outcome(&report), "already_done", "{report:#}");
    assert_eq!(mill.world.segment.record().count(), requests, "nothing was sent");
    let etags = |objects: Vec<standins::s3::Object>| objects.into_iter().map(|o| (o.key, o.etag)).collect::<Vec<_>>();
    assert_eq!(etags(mill.world.s3.objects(STATE, "")), etags(before), "nothing was written");
}

#[tokio::test]
async fn the_ledger_of_a_file_that_cannot_be_read_has_the_code_of_its_fault() {
    for (csv, code) in [("name,plan\nx,y\n", "missing_column"), ("\n\n", "empty_file"), ("PK\u{3}\u{4}", "not_csv")] {
        let rows = Rows { csv: csv.to_owned(), good: BTreeSet::new(), refused: Vec::new() };
        let mill = Mill::new("track_unreadable.csv", rows).await;
        let report = answer(&mill.ingester().deploy(), &mill.event()).await;
        assert_eq!(outcome(&report), "stopped", "{report:#}");
        let ledger = mill.ledgers()[0].clone();
        assert_eq!(ledger["code"], code, "{ledger:#}");
        assert_eq!(
            (&report["objects"][0]["code"], ledger["reason"].is_string()),
            (&ledger["code"], true),
            "{report:#}"
        );
    }
}

#[tokio::test]
async fn a_ledger_that_a_kill_prevented_is_written_by_the_redelivery() {
    let mill = Mill::new("track_ended.csv", Rows::new(500, 7, 100)).await;
    for key in ["rejects/*", "*ledger.json"] {
        let lambda = later(mill.ingester()).deploy();
        let victim = lambda.clone();
        let kill = Fault::Do(Arc::new(move |_: &Target| victim.kill()));
        mill.world.s3.faults().add(Rule::on("PutObject").key(key).times(1).before(kill));
        mill.world.s3.faults().add(Rule::on("PutObject").key(key).before(Fault::Reset));
        let invocation = lambda.invoke(&mill.event()).await;
        assert!(matches!(invocation.outcome, Outcome::Crashed { .. }), "{key}: {invocation:#?}");
        mill.world.s3.faults().clear();
        assert!(mill.ledgers().is_empty());
    }
    let ingester = mill.ingester().deploy();
    let repaired = ingester.invoke(&mill.event()).await;
    let finished = stories::telemetry::emitted(&repaired, aws::telemetry::metrics::FILES_FINISHED);
    assert_eq!(finished, [json!(1)], "the end is counted once: {repaired:#?}");
    let again = answer(&ingester, &mill.event()).await;
    assert_eq!(outcome(&again), "already_done", "{again:#}");
    mill.assert_ingested("repaired");
    assert_eq!(mill.duplicates(), 0);
}

#[tokio::test]
async fn a_deleted_part_of_the_rejects_ends_the_file_with_the_rest_and_its_rows_are_said_to_be_missing() {
    // Some forty requests: no part has more than fourteen, because a commit has twelve at most.
    let mill = Mill::new("track_refused.csv", Rows::new(2_400, 2, 15_000)).await;
    let function = || later(mill.ingester()).env("REJECT_LIMIT_SHARE", "1").env("COMMIT_SECONDS", "0");
    mill.world.s3.faults().add(Rule::on("PutObject").key("*ledger.json").before(Fault::InternalError));
    function().deploy().invoke(&mill.event()).await;
    mill.world.s3.faults().clear();
    let parts = mill.checkpoints()[0]["rejects"].as_array().unwrap().clone();
    assert!(parts.len() > 1 && mill.ledgers().is_empty(), "{parts:#?}");
    // A part that grew left its shorter forms behind.
    let ending = format!("-{:016}.csv", parts[0]["to"].as_u64().unwrap());
    let key = mill.world.s3.keys(STATE, "ingest/").into_iter().find(|key| key.ends_with(&ending)).unwrap();
    mill.world.s3.delete(STATE, &key).unwrap();

    let invocation = function().deploy().invoke(&mill.event()).await;
    let report = invocation.response().unwrap();
    assert_eq!(outcome(report), "finished", "{report:#}");
    let ledger = mill.ledgers()[0].clone();
    assert_eq!(ledger["rejects_missing"], json!([parts[0]]), "{ledger:#}");
    let said = report["objects"][0]["rejects_missing"][0].as_str().unwrap();
    assert!(said.starts_with(&format!("{} refused rows between the bytes 0 and", parts[0]["rows"])), "{said}");
    let errors = stories::telemetry::lines(&invocation).into_iter().filter(|line| line["level"] == "ERROR");
    assert_eq!(errors.map(|line| line["part"].clone()).collect::<Vec<_>>(), [json!(format!("s3://{STATE}/{key}"))]);
    // The other parts are in the rejects file, and the rows of the account still close.
    let rejects = ledger["rejects"].as_str().unwrap();
    let joined = String::from_utf8(mill.world.s3.bytes(STATE, rejects).unwrap().to_vec()).unwrap();
    let left: u64 = parts[1..].iter().map(|part| part["rows"].as_u64().unwrap()).sum();
    assert_eq!(joined.matches(",missing_user_id,").count() as u64, left);
    assert_eq!(ledger["account"]["rejected"], left + parts[0]["rows"].as_u64().unwrap());
    // The ledger is final, and a redelivery says the same.
    let again = answer(&function().deploy(), &mill.event()).await;
    assert_eq!(again["objects"][0]["rejects_missing"], report["objects"][0]["rejects_missing"]);
}

#[tokio::test]
async fn a_file_whose_name_fills_its_key_has_a_rejects_file_that_can_be_dropped_back() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    let name = format!("track_{}.csv", "x".repeat(1_014));
    assert_eq!(name.len(), 1_024);
    world.s3.put(SOURCE, &name, "userId,event\n1,e\n,e\n").unwrap();
    let report = answer(&ingester, &created(&name)).await;
    let counts =
        |report: &Value| ["outcome", "acknowledged", "rejected"].map(|name| report["objects"][0][name].clone());
    assert_eq!(counts(&report), [json!("finished"), json!(1), json!(1)], "{report:#}");
    let rejects = report["objects"][0]["rejects"].as_str().unwrap().strip_prefix(&format!("s3://{STATE}/")).unwrap();
    assert_eq!(rejects.len(), 1_024);
    let text = String::from_utf8(world.s3.bytes(STATE, rejects).unwrap().to_vec()).unwrap();
    let back = rejects.rsplit('/').next().unwrap();
    world.s3.put(SOURCE, back, text.replace("\n,e", "\n2,e")).unwrap();
    let report = answer(&ingester, &created(back)).await;
    assert_eq!(counts(&report), [json!("finished"), json!(1), json!(0)], "{report:#}");
}

#[tokio::test]
async fn an_object_without_bytes_gives_a_warning_and_no_error() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    world.s3.put(SOURCE, "track_1.csv", "").unwrap();
    let invocation = ingester.invoke(&created("track_1.csv")).await;
    assert_eq!(outcome(invocation.response().unwrap()), "refused");
    let lines = stories::telemetry::lines(&invocation);
    let levels: Vec<_> = lines.iter().filter(|line| line["message"] == "ingested").map(|line| &line["level"]).collect();
    assert_eq!(levels, ["WARN"]);
    assert!(lines.iter().all(|line| line["level"] != "ERROR"), "{lines:#?}");
    assert!(world.s3.keys(STATE, "ingest/").is_empty(), "nothing is kept of it but its outcome");
    // A mount writes the content a moment later.
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    assert_eq!(outcome(&answer(&ingester, &created("track_1.csv")).await), "finished");
}

#[tokio::test]
async fn refused_rows_beyond_one_upload_part_are_joined_although_the_last_answer_is_lost() {
    // Some forty requests: no part has more than fourteen, because a commit has twelve at most.
    let mill = Mill::new("track_refused.csv", Rows::new(2_400, 2, 15_000)).await;
    let lost = Rule::on("CompleteMultipartUpload").times(1).lose_response();
    mill.world.s3.faults().add(lost);
    let function = mill.ingester().env("REJECT_LIMIT_SHARE", "1").env("COMMIT_SECONDS", "0");
    let report = answer(&function.deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    assert_eq!(mill.world.s3.faults().strikes().len(), 1, "the answer was lost");
    mill.assert_ingested("joined in parts");
    let parts = mill.checkpoints()[0]["rejects"].as_array().unwrap().clone();
    let (last, full) = parts.split_last().unwrap();
    let bytes = |part: &Value| part["bytes"].as_u64().unwrap();
    assert!(full.len() > 1 && bytes(last) > 0, "{parts:#?}");
    assert!(full.iter().all(|part| bytes(part) >= protocol::checkpoint::REJECTS_PART_BYTES), "{parts:#?}");
}

#[tokio::test]
async fn commits_of_many_owners_make_one_rejects_part() {
    let mill = Mill::new("track_refused.csv", Rows::new(6_000, 7, 1_000)).await;
    let day = |day: u64| mill.ingester().env("CLOCK_OFFSET_MS", (day * 86_400_000).to_string());
    let mut from = BTreeSet::new();
    for life in 0..3 {
        mill.killed_after_a_commit(day(life), &mill.event()).await;
        let parts = mill.checkpoints()[0]["rejects"].as_array().unwrap().clone();
        assert_eq!(parts.len(), 1, "{parts:#?}");
        from.insert(parts[0]["from"].as_u64().unwrap());
    }
    let report = answer(&killable(day(3)).deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    let parts = mill.checkpoints()[0]["rejects"].as_array().unwrap().clone();
    assert_eq!((parts.len(), &parts[0]["rows"]), (1, &json!(mill.rows.refused.len())), "{parts:#?}");
    from.insert(parts[0]["from"].as_u64().unwrap());
    assert_eq!(from.len(), 1, "each owner went on with the part of the one before: {from:?}");
    let written = mill.world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.contains("/rejects/")).count();
    assert!(written >= 4, "each owner wrote a longer one: {written}");
    mill.assert_ingested("one part");
}

#[tokio::test]
async fn without_time_to_end_a_file_the_next_invocation_ends_it() {
    let line = Line::new(Mill::new("track_ended.csv", Rows::new(500, 7, 100)).await).await;
    line.mill.world.s3.faults().add(Rule::on("GetObject").key("*/rejects/*").before(Fault::Hang));
    let function = line.ingester().timeout(std::time::Duration::from_secs(48));
    let report = answer(&function.deploy(), &line.mill.event()).await;
    assert_eq!(outcome(&report), "continues", "{report:#}");
    assert!(line.mill.ledgers().is_empty() && line.mill.checkpoints()[0]["phase"] == "finished");
    line.mill.world.s3.faults().clear();
    line.run(&line.ingester()).await;
    assert_eq!(line.dead_letters(), 0);
    line.mill.assert_ingested("ended later");
    assert_eq!(line.mill.duplicates(), 0);
}

#[tokio::test]
async fn the_allowance_for_isolating_rows_covers_all_runs() {
    let mill = Mill::new("track_guilty.csv", Rows::new(6_000, 6_001, 1_000)).await;
    mill.world.segment.refuse_user("user-5");
    // At most 20 requests find the row, and a dozen more take the others.
    mill.killed_once_committed(mill.ingester(), &mill.event(), 24, 0).await;
    let checkpoint = mill.world.s3.keys(STATE, "ingest/").into_iter().find(|key| key.ends_with("checkpoint.json"));
    let mut begun = mill.checkpoints()[0].clone();
    assert!(begun["bisection_requests"].as_u64() > Some(10), "{begun:#}");
    begun["bisection_requests"] = json!(2_000);
    mill.world.s3.put(STATE, &checkpoint.unwrap(), begun.to_string()).unwrap();
    mill.world.segment.refuse_user("user-5999");
    let report = answer(&later(mill.ingester()).deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    let refused = &report["objects"][0]["rejected_by"];
    assert_eq!(refused["refused_by_segment"], 1, "{refused}");
    assert!(refused["refused_in_batch"].as_u64() > Some(1), "nothing was left to find the refused one: {refused}");
}

#[tokio::test]
async fn a_replay_sends_a_file_again_with_new_ids() {
    let mill = Mill::new("track_again.csv", Rows::new(50, 51, 10)).await;
    let function = mill.ingester().deploy();
    let mut expected = 0;
    for replay in [Value::Null, json!("monday"), json!("monday"), json!("tuesday")] {
        let mut event = mill.event();
        let repeated = replay == "monday" && expected == 100;
        event["replay"] = replay;
        let report = answer(&function, &event).await;
        expected += if repeated { 0 } else { 50 };
        assert_eq!(outcome(&report), if repeated { "already_done" } else { "finished" }, "{report:#}");
        assert_eq!(mill.world.segment.record().message_ids().len(), expected);
    }
    mill.world.s3.put_with(SOURCE, "track_tagged.csv", "userId,event\n1,e\n", &[("segment-replay", "x")]).unwrap();
    let report = answer(&function, &created("track_tagged.csv")).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
}

#[tokio::test]
async fn new_settings_do_not_change_how_a_begun_file_is_read() {
    let csv = "userId,event,properties.size,properties.text\n".to_owned();
    let body: Vec<String> = (0..3_000).map(|row| format!("user-{row},e,{row},{}\n", "x".repeat(1_000))).collect();
    let good = (0..3_000).map(|row| format!("user-{row}")).collect();
    let rows = Rows { csv: csv + &body.concat(), good, refused: Vec::new() };
    let mill = Mill::new("track_settings.csv", rows).await;
    mill.killed_after_a_commit(mill.ingester(), &mill.event()).await;
    let changed = later(mill.ingester()).env("INFER_TYPES", "true").env("CSV_DELIMITER", "semicolon");
    let report = answer(&changed.deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    mill.assert_ingested("settings changed");
    assert!(mill.ledgers()[0]["committed"].as_array().unwrap().len() > 1, "each owner has an epoch of its own");
    let calls = mill.world.segment.record().applied();
    assert!(calls.iter().all(|call| call.value()["properties"]["size"].is_string()), "all rows are typed alike");
}

#[tokio::test]
async fn a_killed_file_has_the_profile_of_a_whole_run() {
    let mill = Mill::new("track_killed.csv", Rows::new(4_000, 41, 800)).await;
    mill.killed_after_a_commit(mill.ingester(), &mill.event()).await;
    // A begun file is profiled to its end.
    let changed = later(mill.ingester()).env("PROFILE", "false").deploy();
    let report = answer(&changed, &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    mill.assert_ingested("killed");
    let killed = mill.ledgers().remove(0)["profile"].take();
    assert_eq!((&killed["rows"], &killed["columns"][0]["name"]), (&json!(4_000), &json!("userId")));
    assert_eq!(report["objects"][0]["profile"], killed);

    let whole = Mill::new("track_whole.csv", mill.rows.clone()).await;
    answer(&whole.ingester().deploy(), &whole.event()).await;
    assert_eq!(whole.ledgers()[0]["profile"], killed);

    // A file that was begun without a profile ends without one.
    let plain = Mill::new("track_plain.csv", mill.rows.clone()).await;
    plain.killed_after_a_commit(plain.ingester().env("PROFILE", "false"), &plain.event()).await;
    answer(&later(plain.ingester()).deploy(), &plain.event()).await;
    assert_eq!(plain.ledgers()[0].get("profile"), None);
}

#[tokio::test]
async fn the_collection_of_a_begun_file_does_not_change() {
    let mut csv = "id,size\n".to_owned();
    (0..40).for_each(|row| csv.push_str(&format!("r{row},{row}\n")));
    let rows = Rows { csv, good: BTreeSet::new(), refused: Vec::new() };
    let mill = Mill::new("object_room_types_1.csv", rows).await;
    mill.killed_after_a_commit(mill.ingester().env("COLLECTIONS", "room_types"), &mill.event()).await;
    let report = answer(&later(mill.ingester()).deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    let objects = mill.world.segment.record().objects();
    let ids: BTreeSet<_> = objects.iter().map(|object| object.id.clone()).collect();
    assert_eq!(ids.len(), 40);
    assert!(objects.iter().all(|object| object.collection == "room_types"), "{objects:?}");
}

#[tokio::test]
async fn a_begun_file_resumes_after_a_change_of_the_source_id() {
    let line = Line::new(Mill::new("track_moved.csv", Rows::new(3_000, 50, 1_000)).await).await;
    line.mill.killed_after_a_commit(line.ingester(), &line.mill.event()).await;
    let rest = json!({"continue": {"bucket": SOURCE, "key": line.mill.key, "hop": {
        "count": 1, "position": 0, "stream": stream_of(&line.mill),
    }}});
    let report = answer(&later(line.ingester()).env("SOURCE_ID", "anotherSource").deploy(), &rest).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    line.mill.assert_ingested("source id");
}

#[tokio::test]
async fn a_compressed_file_is_inflated_again_up_to_its_position() {
    let rows = Rows::new(6_000, 50, 1_000);
    let mill = Mill::before_upload("track_packed.csv.gz", rows).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(mill.rows.csv.as_bytes()).unwrap();
    mill.world.s3.put(SOURCE, &mill.key, gzip.finish().unwrap()).unwrap();
    mill.killed_after_a_commit(mill.ingester(), &mill.event()).await;
    let report = answer(&later(mill.ingester()).deploy(), &mill.event()).await;
    assert_eq!(outcome(&report), "finished", "{report:#}");
    mill.assert_ingested("compressed");
    mill.assert_exported(later(mill.world.exporter()), "compressed").await;
}

#[tokio::test]
async fn a_file_that_a_newer_version_began_fails_with_what_to_do_and_nothing_of_it_is_sent() {
    let mill = Mill::new("track_newer.csv", Rows::new(3_000, 50, 1_000)).await;
    mill.killed_after_a_commit(mill.ingester(), &mill.event()).await;
    let checkpoint =
        mill.world.s3.keys(STATE, "ingest/").into_iter().find(|key| key.ends_with("checkpoint.json")).unwrap();
    let (begun, sent) = (mill.checkpoints()[0].clone(), mill.world.segment.record().acknowledged().len());
    let function = later(mill.ingester()).deploy();
    for number in ["format", "reading_format"] {
        let mut newer = begun.clone();
        assert!(newer[number].as_u64() < Some(9), "{newer:#}");
        newer[number] = json!(9);
        mill.world.s3.put(STATE, &checkpoint, newer.to_string()).unwrap();
        let invocation = function.invoke(&mill.event()).await;
        let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
        let words =
            format!("checkpoint s3://{STATE}/{checkpoint}: {} 9, and this version reads", number.replace('_', " "));
        assert!(message.contains(&words), "{message}");
        assert!(
            message.contains("a newer version wrote it; deploy that version again, or replay the file"),
            "{message}"
        );
    }
    assert_eq!(mill.world.segment.record().acknowledged().len(), sent);
    assert_eq!(mill.checkpoints()[0]["reading_format"], 9, "the newer version's checkpoint stays as it is");
    mill.world.s3.put(STATE, &checkpoint, begun.to_string()).unwrap();
    answer(&function, &mill.event()).await;
    mill.assert_ingested("the version that began it goes on");
}
