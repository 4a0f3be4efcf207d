//! Two exporters at once, and one that sleeps through everything and wakes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use standins::faults::{Fault, Gate, Rule};

use crate::world::{LATER_MS, SOURCE, STATE, World, report, tick};

/// Starts a tick that is held back at the first request that the rule picks; returns when it is there.
async fn asleep_at(world: &World, rule: Rule) -> (Gate, tokio::task::JoinHandle<exporter::Report>) {
    let gate = Gate::new();
    world.s3.faults().add(rule.times(1).before(Fault::Hold(gate.clone())));
    let app = world.app();
    let asleep = tokio::spawn(async move { report(app.handle(json!({}), LATER_MS).await.unwrap()) });
    gate.reached(1).await;
    (gate, asleep)
}

/// Every point at which a run can be suspended while another does all its work.
#[tokio::test]
async fn a_zombie_that_wakes_after_its_plan_was_closed_changes_nothing() {
    let points = [
        Rule::on("GetObject").key("exports/head.json"),
        Rule::on("GetObject").key("exports/head.json").skip(1),
        Rule::on("ListObjectsV2"),
        Rule::on("ListObjectsV2").skip(1),
        Rule::on("GetObject").key("ingest/*"),
        Rule::on("PutObject").key("exports/plans/*"),
        Rule::on("PutObject").key("exports/head.json"),
        Rule::on("PutObject").key("exports/head.json").skip(1),
        Rule::on("AssumeRole"),
        Rule::on("GetObject").key("received/*"),
        Rule::on("GetObject").key("received/*").skip(3),
        Rule::on("PutObject").bucket("their-logs"),
        Rule::on("PutObject").bucket("their-logs").skip(1),
        Rule::on("PutObject").key("exports/done/*"),
        Rule::on("PutObject").key("exports/done/*").skip(1),
        Rule::on("DeleteObjects").bucket(STATE),
        Rule::on("DeleteObjects").bucket(STATE).skip(1),
    ];
    for (seed, point) in (1..).zip(points) {
        let mut world = World::with(&["their-logs"]).await;
        world.seed = seed;
        for request in 0..4 {
            world.receive(SOURCE, &format!("r{request}"), 80);
        }
        world.receive("mctPe02Qp3", "r9", 3);
        let lines = world.stage_rows(0, 0, 100);
        world.commit(&[(0, 0, 100)]);
        world.expect(lines);
        let (gate, asleep) = asleep_at(&world, point).await;
        tick(&world.app()).await;
        // The cycle goes on meanwhile: another plan opens and closes.
        world.receive(SOURCE, "later", 80);
        tick(&world.app()).await;
        gate.open();
        let woken = asleep.await.unwrap();
        assert_eq!(woken.alarms, Vec::<String>::new(), "seed {seed}");
        world.assert_complete("their-logs");
        tick(&world.app()).await;
        world.assert_complete("their-logs");
        world.assert_settled();
    }
}

#[tokio::test]
async fn two_exporters_at_once_export_each_event_once() {
    for seed in 1..=20 {
        let mut world = World::with(&["logs-a", "logs-b"]).await;
        world.seed = seed;
        world.s3.faults().add(Rule::any().share(seed, 0.3).before(Fault::Slow(Duration::from_millis(3))));
        let apps = [world.app(), world.app()].map(Arc::new);
        for round in 0..3 {
            for request in 0..6 {
                world.receive(&format!("source{}", request % 3), &format!("r{round}-{request}"), 80);
            }
            let [a, b] = apps.each_ref().map(|app| {
                let app = Arc::clone(app);
                tokio::spawn(async move { report(app.handle(json!({}), LATER_MS).await.unwrap()) })
            });
            for report in [a.await.unwrap(), b.await.unwrap()] {
                assert_eq!(report.alarms, Vec::<String>::new(), "seed {seed}");
            }
        }
        tick(&apps[0]).await;
        for bucket in ["logs-a", "logs-b"] {
            world.assert_complete(bucket);
        }
        world.assert_settled();
    }
}

/// The plans that are open are the same before and after; the head is not.
#[tokio::test]
async fn a_head_that_looks_the_same_after_a_full_cycle_is_not_taken_for_the_same() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r0", 3);
    tick(&world.app()).await;
    world.receive(SOURCE, "r1", 3);
    // It has listed r1 and is about to swap in a plan for it.
    let (gate, asleep) = asleep_at(&world, Rule::on("PutObject").key("exports/head.json")).await;
    let before = world.s3.bytes(STATE, "exports/head.json").unwrap();
    tick(&world.app()).await;
    let after = world.s3.bytes(STATE, "exports/head.json").unwrap();
    assert_ne!(before, after);
    gate.open();
    let woken = asleep.await.unwrap();
    assert_eq!(woken.planned.plans, 0);
    world.assert_complete("their-logs");
    world.assert_settled();
}
