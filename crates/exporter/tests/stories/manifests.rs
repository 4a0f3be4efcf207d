//! Manifests, marks of complete days, and the layout with names of partitions.

use std::io::Read;

use flate2::read::GzDecoder;
use protocol::fragment::Origin;
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};

use crate::world::{NOW_MS, SOURCE, STATE, World, tick};

const DAY: &str = "1557532800000";

fn keys(world: &World, ending: &str) -> Vec<String> {
    world.s3.keys("logs", "").into_iter().filter(|key| key.ends_with(ending)).collect()
}

fn manifest(world: &World) -> Value {
    let keys = keys(world, ".json");
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert!(key.starts_with(&format!("segment-logs/_manifests/{SOURCE}/{DAY}/")), "{key}");
    serde_json::from_slice(&world.s3.bytes("logs", key).unwrap()).unwrap()
}

fn stage(world: &World, request: &str, events: u32, at_ms: i64) {
    world.stage(SOURCE, Origin::Request { id: request.parse().unwrap() }, events, at_ms);
}

async fn world(more: &str) -> World {
    let mut world = World::with(&["logs"]).await;
    world.routes.push_str(more);
    world
}

#[tokio::test]
async fn a_closed_plan_has_a_manifest_of_its_objects() {
    let world = world("manifest = true\n").await;
    stage(&world, "r1", 3, NOW_MS);
    stage(&world, "r2", 2, NOW_MS + 1_000);
    let report = tick(&world.app()).await;
    assert_eq!((report.alarms.as_slice(), report.plans_closed), (&[] as &[String], 1), "{report:#?}");
    let (manifest, objects) = (manifest(&world), keys(&world, ".gz"));
    let bytes = world.s3.bytes("logs", &objects[0]).unwrap().len();
    assert_eq!((&manifest["events"], &manifest["bytes"]), (&json!(5), &json!(bytes)), "{manifest:#}");
    assert_eq!((&manifest["objects"][0]["key"], &manifest["day"]), (&json!(objects[0]), &json!("2019-05-11")));
    assert_eq!(manifest["first_received_at"], "2019-05-11T20:32:27.940Z", "{manifest:#}");
    assert_eq!(manifest["last_received_at"], "2019-05-11T20:32:28.940Z", "{manifest:#}");
    assert!(keys(&world, "_complete").is_empty(), "events of the day may come");
}

#[tokio::test]
async fn a_day_is_marked_as_complete_once_nothing_of_it_can_come() {
    let world = world("manifest = true\n").await;
    stage(&world, "r3", 3, NOW_MS);
    tick(&world.app()).await;
    let midnight_ms: i64 = DAY.parse::<i64>().unwrap() + 86_400_000;
    tick(&world.app_at(midnight_ms + 1_800_000)).await;
    assert!(keys(&world, "_complete").is_empty(), "a late request may still be staged");
    // One is, and its plan fails.
    stage(&world, "r4", 1, NOW_MS);
    world.s3.faults().add(Rule::on("PutObject").bucket("logs").before(Fault::status(403)));
    tick(&world.app_at(midnight_ms + 7_200_000)).await;
    assert!(keys(&world, "_complete").is_empty(), "an event of the day is staged");
    world.s3.faults().clear();
    tick(&world.app_at(midnight_ms + 10_800_000)).await;
    assert_eq!(keys(&world, "_complete"), [format!("segment-logs/_manifests/{SOURCE}/{DAY}/_complete")]);
    assert_eq!(keys(&world, ".json").len(), 2);
    assert!(world.s3.keys(STATE, "exports/days/").is_empty());
}

#[tokio::test]
async fn a_manifest_that_is_there_is_no_error_and_an_outage_delays_the_plan() {
    let world = world("manifest = true\n").await;
    stage(&world, "r5", 3, NOW_MS);
    // Its answer is lost, and so are those of all later tries.
    world.s3.faults().add(Rule::on("PutObject").bucket("logs").key("*_manifests*").lose_response());
    let report = tick(&world.app()).await;
    assert_eq!((report.plans_closed, report.alarms.len()), (0, 1), "{report:#?}");
    world.s3.faults().clear();
    let report = tick(&world.app()).await;
    assert_eq!((report.plans_closed, report.alarms.len()), (1, 0), "{report:#?}");
    assert_eq!(manifest(&world)["events"], 3);
}

#[tokio::test]
async fn a_destination_that_refuses_manifests_gets_its_objects_with_an_alarm() {
    let world = world("manifest = true\n").await;
    stage(&world, "r6", 3, NOW_MS);
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("PutObject").bucket("logs").key("*_manifests*").before(denied));
    let report = tick(&world.app()).await;
    assert_eq!(report.plans_closed, 1, "{report:#?}");
    assert!(report.alarms[0].contains("refuses a manifest"), "{report:#?}");
}

#[tokio::test]
async fn the_layout_hive_names_its_partitions_and_open_plans_keep_their_layout() {
    let mut world = world("layout = \"hive\"\nmanifest = true\n").await;
    stage(&world, "r7", 3, NOW_MS);
    // The plan is open when the layout changes.
    world.s3.faults().add(Rule::on("PutObject").bucket("logs").before(Fault::status(403)));
    tick(&world.app()).await;
    world.s3.faults().clear();
    world.routes = world.routes.replace("hive", "segment");
    tick(&world.app()).await;
    let objects = keys(&world, ".gz");
    assert!(objects[0].starts_with(&format!("segment-logs/source={SOURCE}/day=2019-05-11/")), "{objects:?}");
    assert_eq!(manifest(&world)["objects"][0]["key"], json!(objects[0]));
    let mut lines = String::new();
    GzDecoder::new(world.s3.bytes("logs", &objects[0]).unwrap().as_ref()).read_to_string(&mut lines).unwrap();
    assert_eq!(lines.lines().count(), 3);
    // The documented pattern matches log objects and nothing else.
    let others: Vec<String> = world.s3.keys("logs", "").into_iter().filter(|key| !key.ends_with(".gz")).collect();
    assert!(!others.is_empty() && others.iter().all(|key| !key.contains(".gz")), "{others:?}");
}
