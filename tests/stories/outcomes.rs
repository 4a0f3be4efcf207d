//! What became of a file, as the index knows it.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use stories::telemetry::lines;
use stories::{SOURCE, STATE, World, answer, created};

const CSV: &str = "userId,event\nu1,Seen\n,Seen\nu3,Seen\n";

fn status(key: &str) -> Value {
    json!({"status": format!("s3://{SOURCE}/{key}")})
}

async fn dropped(key: &str) -> World {
    let world = World::new().await;
    world.s3.put(SOURCE, key, CSV).unwrap();
    world
}

#[tokio::test]
async fn the_status_of_a_file_is_one_read_and_a_redelivery_says_the_same() {
    let world = dropped("in/track_1.csv").await;
    let ingester = world.ingester().deploy();
    let report = answer(&ingester, &created("in/track_1.csv")).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    world.s3.requests().clear();
    let told = answer(&ingester, &status("in/track_1.csv")).await;
    let requests: Vec<_> = world.s3.requests().all().into_iter().map(|request| request.operation).collect();
    assert_eq!(requests, ["GetObject"]);
    let file = &told["files"][0];
    assert_eq!((&file["outcome"], &file["key"]), (&json!("finished"), &json!("in/track_1.csv")), "{told:#}");
    assert_eq!(file["account"]["rejected_by"], json!({"missing_user_id": 1}), "{told:#}");
    for link in [&file["ledger"], &file["rejects"]] {
        let key = link.as_str().unwrap().strip_prefix("s3://segment-s3-state/").unwrap();
        assert!(world.s3.bytes(STATE, key).is_some(), "{link}");
    }
    let before = world.s3.objects(STATE, "outcomes/");
    assert_eq!(before.len(), 2);

    let again = answer(&ingester, &created("in/track_1.csv")).await;
    let again = &again["objects"][0];
    assert_eq!((&again["outcome"], &again["ended"]), (&json!("already_done"), &json!("finished")), "{again:#}");
    for field in ["ledger", "rejects"] {
        assert_eq!(again[field], file[field], "{again:#}");
    }
    assert_eq!(again["ended_at"], file["at"]);
    let etags = |objects: Vec<standins::s3::Object>| objects.into_iter().map(|one| one.etag).collect::<Vec<_>>();
    assert_eq!(etags(world.s3.objects(STATE, "outcomes/")), etags(before), "nothing was written");
    let unknown = answer(&ingester, &status("in/track_2.csv")).await;
    assert_eq!(unknown["files"], json!([]), "{unknown:#}");
    assert!(unknown["reason"].as_str().unwrap().starts_with("no end and no failure"), "{unknown:#}");
}

#[tokio::test]
async fn a_failure_is_in_the_index_until_the_file_ends() {
    let world = dropped("track_1.csv").await;
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(denied));
    let invocation = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert!(invocation.response().is_none(), "{invocation:#?}");
    world.s3.faults().clear();
    let ingester = world.ingester().deploy();
    let failed = &answer(&ingester, &status("track_1.csv")).await["files"][0];
    assert_eq!(failed["outcome"], "failed");
    assert!(failed["reason"].as_str().unwrap().contains("s3:GetObject"), "{failed:#}");

    // Another name that is none of ours, in between.
    world.s3.put(SOURCE, "notes.csv", "a\n1\n").unwrap();
    answer(&ingester, &created("notes.csv")).await;
    answer(&ingester, &created("track_1.csv")).await;
    assert_eq!(answer(&ingester, &status("track_1.csv")).await["files"][0]["outcome"], "finished");
    let newest = answer(&ingester, &json!({"status": 2})).await;
    let newest: Vec<_> = newest["files"].as_array().unwrap().iter().map(|file| file["outcome"].clone()).collect();
    assert_eq!(newest, ["finished", "refused"]);
    let days = world.s3.keys(STATE, "outcomes/by-day/");
    assert!(days.len() == 3 && days.iter().any(|key| key.contains("-failed/")), "{days:?}");
}

#[tokio::test]
async fn the_newest_outcomes_are_listed_and_read_only_where_a_key_does_not_say_enough() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    for key in ["track_1.csv", "track_2.csv"] {
        world.s3.put(SOURCE, key, CSV).unwrap();
        answer(&ingester, &created(key)).await;
    }
    world.s3.requests().clear();
    let newest = answer(&ingester, &json!({"status": 2})).await;
    let file = &newest["files"][1];
    assert_eq!((&file["key"], &file["outcome"]), (&json!("track_1.csv"), &json!("finished")), "{newest:#}");
    assert_eq!([&file["rows"], &file["acknowledged"], &file["rejected"]], [&json!(3), &json!(2), &json!(1)]);
    let requests: Vec<_> = world.s3.requests().all().into_iter().map(|request| request.operation).collect();
    assert_eq!(requests, ["ListObjectsV2"]);

    // An older version wrote the first outcome, under a key that says less.
    let keys = world.s3.keys(STATE, "outcomes/by-day/");
    let (latest, first) = (&keys[0], &keys[1]);
    let older = format!("{}.json", first.split("/rows=").next().unwrap());
    let document = world.s3.bytes(STATE, first).unwrap();
    world.s3.put(STATE, &older, document).unwrap();
    world.s3.delete(STATE, first).unwrap();
    world.s3.requests().clear();
    assert_eq!(answer(&ingester, &json!({"status": 2})).await, newest, "{latest} {older}");
    assert_eq!(world.s3.requests().count("GetObject"), 1);
}

#[tokio::test]
async fn an_index_that_cannot_be_written_fails_no_file_and_a_redelivery_repairs_it() {
    for key in ["outcomes/by-day/*", "outcomes/by-key/*"] {
        let world = dropped("track_1.csv").await;
        let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
        world.s3.faults().add(Rule::on("PutObject").key(key).before(denied));
        let ingester = world.ingester().deploy();
        let invocation = ingester.invoke(&created("track_1.csv")).await;
        let report = invocation.response().unwrap();
        assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
        let is_told = |line: &Value| line["message"] == "the outcome is not in the index; a redelivery adds it";
        let lines = lines(&invocation);
        assert!(lines.iter().any(|line| is_told(line) && line["level"] == "ERROR"), "{lines:#?}");
        assert!(lines.iter().any(|line| line["Alarms"] == 1), "{lines:#?}");
        world.s3.faults().clear();
        answer(&ingester, &created("track_1.csv")).await;
        assert_eq!(answer(&ingester, &status("track_1.csv")).await["files"][0]["outcome"], "finished", "{key}");
        assert_eq!(world.s3.keys(STATE, "outcomes/by-day/").len(), 1, "{key}");
    }
}

/// The state bucket may notify the function by mistake. A document about its object would be the next object.
#[tokio::test]
async fn an_object_of_the_state_bucket_leaves_no_outcome() {
    let world = World::new().await;
    let mut payload = created("track_1.csv");
    payload["Records"][0]["s3"]["bucket"]["name"] = json!(STATE);
    let report = answer(&world.ingester().deploy(), &payload).await;
    assert_eq!(report["objects"][0]["outcome"], "refused", "{report:#}");
    assert!(world.s3.keys(STATE, "outcomes/").is_empty());
}

#[tokio::test]
async fn each_mapping_of_a_file_has_its_own_outcome() {
    let world = World::new().await;
    let mapping = |name: &str, also: bool| {
        format!(
            "[[mapping]]\nname = \"{name}\"\nmatch = \"in/*.csv\"\ncall = \"identify\"\nrest = \"drop\"\nalso = {also}\n\
             columns = {{ Id = \"userId\" }}\n"
        )
    };
    let document = format!("{}{}", mapping("a", true), mapping("b", false));
    world.s3.put(SOURCE, "in/people.csv", "Id\nu1\n").unwrap();
    let ingester = world.ingester().env("CONFIG", document).deploy();
    answer(&ingester, &created("in/people.csv")).await;
    let files = answer(&ingester, &status("in/people.csv")).await["files"].clone();
    let mut names: Vec<_> = files.as_array().unwrap().iter().map(|file| file["mapping"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"], "{files:#}");
}
