//! A CSV becomes calls, and received events become logs.

use protocol::fragment::{FragmentName, Origin};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use stories::{CUSTOMER, SOURCE, SOURCE_ID, STATE, WRITE_KEY, World, answer, created, event, sample};

#[tokio::test]
async fn the_walkthroughs_track_file_becomes_the_calls_that_it_describes() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let report = answer(&world.ingester().deploy(), &event("s3_put.json")).await;
    let object = &report["objects"][0];
    assert_eq!((&object["outcome"], &object["kind"]), (&json!("finished"), &json!("track")), "{report:#}");
    assert_eq!((&object["rows"], &object["acknowledged"], &object["rejected"]), (&json!(4), &json!(4), &json!(0)));

    let calls = world.segment.record().applied();
    let (first, id) = (calls[0].value(), calls[0].message_id.as_deref().unwrap());
    assert_eq!(first["type"], "track");
    assert_eq!((&first["userId"], &first["event"]), (&json!("1"), &json!("test event")));
    assert_eq!(first["timestamp"], "2019-05-11T20:32:27.940Z");
    assert_eq!(first["properties"], json!({"plan": "bronze", "accountType": "Facebook"}));
    assert_eq!((&first["context"]["ip"], &first["context"]["device"]), (&json!("175.154.50.123"), &json!({"id": "1"})));
    assert!(id.starts_with("s3-") && id.len() < 100, "{id}");
    let ids: BTreeSet<_> = world.received_ids().into_iter().collect();
    assert_eq!((calls.len(), ids.len()), (4, 4));
}

#[tokio::test]
async fn a_file_delivered_again_is_not_sent_again_and_would_have_the_same_ids() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let ingester = world.ingester().deploy();
    answer(&ingester, &event("s3_put.json")).await;
    let first = world.received_ids();
    let report = answer(&ingester, &event("s3_put.json")).await;
    assert_eq!(report["objects"][0]["outcome"], "already_done");
    assert_eq!(world.received_ids(), first, "nothing was sent again");

    // A person deleted the state bucket's documents.
    for key in world.s3.keys(STATE, "") {
        world.s3.delete(STATE, &key).unwrap();
    }
    answer(&ingester, &event("s3_put.json")).await;
    assert_eq!(world.received_ids()[4..], first, "the same rows have the same ids");
}

#[tokio::test]
async fn every_kind_has_its_file_and_each_call_is_found_once_in_the_logs() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    let mut acknowledged = 0;
    for (name, kind, rows) in [
        ("identify_1.csv", "identify", 4),
        ("track_1.csv", "track", 4),
        ("page_1.csv", "page", 3),
        ("screen_1.csv", "screen", 2),
        ("group_1.csv", "group", 2),
        ("alias_1.csv", "alias", 2),
        ("object_rooms_lihue.csv", "object", 3),
    ] {
        world.s3.put(SOURCE, name, sample(name)).unwrap();
        let report = answer(&ingester, &created(name)).await;
        let object = &report["objects"][0];
        assert_eq!((&object["kind"], &object["acknowledged"]), (&json!(kind), &json!(rows)), "{report:#}");
        acknowledged += if kind == "object" { 0 } else { rows };
    }
    assert_eq!(report_of_objects(&world), ["rooms", "rooms", "rooms"]);

    let report = world.export().await;
    assert_eq!(report["alarms"], json!([]), "{report:#}");
    let logged = world.logged();
    let ids: BTreeSet<_> = logged.iter().map(|line| line["messageId"].as_str().unwrap().to_owned()).collect();
    assert_eq!((logged.len(), ids.len()), (acknowledged, acknowledged), "each once");
    assert_eq!(ids, world.received_ids().into_iter().collect());
    for line in &logged {
        for field in ["type", "messageId", "timestamp", "originalTimestamp", "receivedAt"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert_eq!(
            (&line["projectId"], &line["version"], &line["channel"]),
            (&json!(SOURCE_ID), &json!(2), &json!("server"))
        );
        assert_eq!(line.get("writeKey"), None);
    }
    assert!(world.s3.keys(STATE, "received/").is_empty(), "what was exported waits no more");
}

#[tokio::test]
async fn calls_that_our_receiver_keeps_are_exported_once() {
    let (world, receiver) = World::with_receiver(false).await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let ingester = world.ingester().env("KEEP_FOR_EXPORT", "true").deploy();
    let report = answer(&ingester, &event("s3_put.json")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 4, "{report:#}");
    let waiting = world.s3.keys(STATE, "received/");
    let names: Vec<FragmentName> = waiting.iter().map(|key| key.parse().unwrap()).collect();
    let of_receiver = names.iter().all(|name| matches!(name.origin, Origin::Request { .. }));
    assert!(of_receiver && names.iter().map(|name| name.events).sum::<u32>() == 4, "{waiting:?}");

    world.export().await;
    let logged = world.logged();
    let ids: BTreeSet<_> = logged.iter().map(|line| line["messageId"].as_str().unwrap().to_owned()).collect();
    let received = receiver.recent().all();
    let received = received.iter().map(|seen| seen.call["messageId"].as_str().unwrap().to_owned()).collect();
    assert_eq!((logged.len(), ids), (4, received), "each once");
    assert!(world.s3.keys(STATE, "received/").is_empty(), "what was exported waits no more");
}

fn report_of_objects(world: &World) -> Vec<String> {
    world.segment.record().objects().into_iter().map(|object| object.collection).collect()
}

#[tokio::test]
async fn a_log_object_has_its_documented_name_and_headers_and_is_read_by_zcat_and_python() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    answer(&world.ingester().deploy(), &created("track_1.csv")).await;
    world.export().await;
    let objects = world.s3.objects(CUSTOMER, "");
    assert_eq!(objects.len(), 1);
    let (object, parts) = (&objects[0], objects[0].key.split('/').collect::<Vec<_>>());
    let [folder, source, day, file] = parts[..] else { panic!("{}", object.key) };
    assert_eq!((folder, source), ("segment-logs", SOURCE_ID));
    let day: i64 = day.parse().unwrap();
    assert_eq!(day % 86_400_000, 0, "midnight in UTC, in milliseconds");
    assert!(file.ends_with(".gz"), "{file}");
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(object.content_encoding.as_deref(), Some("gzip"));

    let bytes = world.s3.bytes(CUSTOMER, &object.key).unwrap();
    let zcat = piped(&bytes, "zcat", &[]);
    let read = "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    assert_eq!(piped(&bytes, "python3", &["-c", read]), zcat);
    let lines: Vec<Value> = zcat.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["timestamp"], "2019-05-11T20:32:27.940Z");
    assert_eq!(lines[0]["originalTimestamp"], "2019-05-11T20:32:27.940Z");
}

fn piped(input: &[u8], program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_bad_row_does_not_stop_the_file_and_can_be_fixed_and_dropped_back() {
    let world = World::new().await;
    let name = "track_with_bad_rows.csv";
    world.s3.put(SOURCE, name, sample(name)).unwrap();
    let ingester = world.ingester().deploy();
    let report = answer(&ingester, &created(name)).await;
    let object = &report["objects"][0];
    assert_eq!((&object["rows"], &object["acknowledged"], &object["rejected"]), (&json!(6), &json!(2), &json!(4)));
    assert_eq!(object["rejected_by"]["missing_user_id"], 1);
    assert!(object["first_rejected"][0].as_str().unwrap().starts_with("line 3"), "{report:#}");

    let key = object["rejects"].as_str().unwrap().strip_prefix(&format!("s3://{STATE}/")).unwrap();
    assert!(key.ends_with("/track_with_bad_rows.rejects.csv"), "{key}");
    let rejects = String::from_utf8(world.s3.bytes(STATE, key).unwrap().to_vec()).unwrap();
    assert_eq!(rejects.lines().count(), 5, "{rejects}");
    assert!(rejects.starts_with("userId,event,properties.product,properties.price:number,timestamp,_error_code,"));

    // The row without an id gets one; the other three stay as they are.
    let fixed = rejects.replacen("\n,Product Viewed", "\n7,Product Viewed", 1);
    world.s3.put(SOURCE, "track_with_bad_rows.rejects.csv", fixed).unwrap();
    let report = answer(&ingester, &created("track_with_bad_rows.rejects.csv")).await;
    let object = &report["objects"][0];
    assert_eq!((&object["acknowledged"], &object["rejected"]), (&json!(1), &json!(3)), "{report:#}");
    assert_eq!(world.received_ids().len(), 3);
}

#[tokio::test]
async fn an_unreachable_segment_fails_the_invocation_and_a_retry_resumes() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let nowhere =
        world.ingester().timeout(std::time::Duration::from_secs(20)).env("SEGMENT_ENDPOINT", "http://127.0.0.1:9");
    let invocation = nowhere.deploy().invoke(&event("s3_put.json")).await;
    let standins::lambda::Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("settled before line 1"), "{message}");
    assert!(message.contains("127.0.0.1:9 did not accept the calls"), "{message}");
    assert!(!invocation.log.iter().any(|line| line.contains(WRITE_KEY)), "{:?}", invocation.log);

    let report = answer(&world.ingester().deploy(), &event("s3_put.json")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 4, "{report:#}");
    world.export().await;
    assert_eq!(world.logged().len(), 4);
}

#[tokio::test]
async fn the_ledger_accounts_for_every_row() {
    let world = World::new().await;
    let name = "track_with_bad_rows.csv";
    world.s3.put(SOURCE, name, sample(name)).unwrap();
    let report = answer(&world.ingester().deploy(), &created(name)).await;
    let stream = report["objects"][0]["stream"].as_str().unwrap();
    let ledger = world.s3.bytes(STATE, &format!("ingest/{stream}/ledger.json")).unwrap();
    let ledger: Value = serde_json::from_slice(&ledger).unwrap();
    assert_eq!(ledger["ended"], "finished");
    assert_eq!(ledger["object"]["key"], name);
    let account = &ledger["account"];
    assert_eq!((&account["rows"], &account["acknowledged"], &account["rejected"]), (&json!(6), &json!(2), &json!(4)));
    let size = sample(name).len();
    assert_eq!(ledger["committed"], json!([{"epoch": 0, "from": 0, "to": size}]), "every byte is accounted for");
    assert!(ledger["columns"][3].as_str().unwrap().contains("properties.price"), "{ledger:#}");
}

#[tokio::test]
async fn a_profile_holds_no_cell() {
    let world = World::new().await;
    let rows: String = (0..50)
        .map(|row| format!("person-{row},Zebra Sighted, giraffe{row} ,0004711{row},\"okapi, \"\"{row}\"\"\"\n"))
        .collect();
    let csv = format!("userId,event,properties.note,properties.code,properties.text\n{rows}");
    world.s3.put(SOURCE, "track_1.csv", csv).unwrap();
    let invocation = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    let report = invocation.response().unwrap();
    let profile = &report["objects"][0]["profile"];
    assert_eq!((&profile["rows"], &profile["columns"][3]["leading_zeros"]), (&json!(50), &json!(50)), "{report:#}");
    let warnings = report["objects"][0]["warnings"].to_string();
    assert!(warnings.contains("`properties.note` (50 of 50 sampled cells): blanks"), "{warnings}");
    let mut texts = vec![report.to_string(), invocation.log.join("\n")];
    let documents = world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.ends_with(".json"));
    texts.extend(documents.map(|key| String::from_utf8(world.s3.bytes(STATE, &key).unwrap().to_vec()).unwrap()));
    assert_eq!(texts.len(), 4, "report, log, checkpoint, ledger");
    for text in texts {
        for cell in ["person-", "Zebra", "giraffe", "4711", "okapi"] {
            assert!(!text.contains(cell), "{cell} in {text}");
        }
    }
}
