//! Something between the exporter and S3 answers 200 with a page of HTML, as proxies and captive portals do.

use futures_util::future::join_all;
use serde_json::json;
use standins::faults::{Fault, Rule};

use crate::world::{LATER_MS, SOURCE, STATE, World, tick};

/// More requests than a tick of one plan makes.
const REQUESTS_MAX: u64 = 100;

#[tokio::test]
async fn a_gateway_that_answers_any_one_request_of_a_tick_loses_nothing() {
    for applied in [false, true] {
        let mut answered = Vec::new();
        for request in 0..REQUESTS_MAX {
            let mut world = World::with(&["their-logs"]).await;
            world.receive(SOURCE, "r1", 3);
            let rule = Rule::any().skip(request).times(1);
            let page = Fault::gateway_page();
            world.s3.faults().add(if applied { rule.after(page) } else { rule.before(page) });
            let report = tick(&world.app()).await;
            let Some(strike) = world.s3.faults().strikes().pop() else { break };
            assert_eq!(report.alarms, Vec::<String>::new(), "{strike:?}");
            world.assert_complete("their-logs");
            world.assert_settled();
            answered.push(strike.target.operation);
        }
        for operation in ["GetObject", "ListObjectsV2", "PutObject", "AssumeRole", "DeleteObjects"] {
            assert!(answered.iter().any(|answered| answered == operation), "{operation} is not in {answered:?}");
        }
    }
}

#[tokio::test]
async fn while_a_gateway_answers_for_a_destination_no_plan_is_closed_and_no_fragment_is_deleted() {
    let mut world = World::with(&["their-logs"]).await;
    let fragment = world.receive(SOURCE, "r1", 3);
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").before(Fault::gateway_page()));
    let report = tick(&world.app()).await;
    assert!(report.alarms[0].contains("the answer has no ETag, so it is not from S3"), "{:?}", report.alarms);
    assert_eq!((report.plans_open, report.destinations["d0"].objects_put), (1, 0));
    assert_eq!(world.s3.keys("their-logs", ""), Vec::<String>::new());
    assert_eq!(world.s3.keys(STATE, "received/"), [fragment]);
    assert_eq!(world.s3.keys(STATE, "exports/done/"), Vec::<String>::new());

    world.s3.faults().clear();
    tick(&world.app()).await;
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn while_a_gateway_answers_for_the_state_bucket_no_fragment_is_deleted() {
    let plan = |operation, key| (operation, key);
    let operations = [
        plan("GetObject", "exports/head.json"),
        plan("GetObject", "received/*"),
        plan("ListObjectsV2", "*"),
        plan("PutObject", "exports/plans/*"),
        plan("PutObject", "exports/head.json"),
        plan("PutObject", "exports/done/*"),
        plan("DeleteObjects", "*"),
    ];
    join_all(operations.map(async |(operation, key)| {
        let mut world = World::with(&["their-logs"]).await;
        let fragment = world.receive(SOURCE, "r1", 3);
        world.s3.faults().add(Rule::on(operation).bucket(STATE).key(key).before(Fault::gateway_page()));
        let failed = world.app().handle(json!({}), LATER_MS).await.unwrap_err();
        assert!(format!("{failed:#}").contains("not"), "{operation} {key}: {failed:#}");
        assert_eq!(world.s3.keys(STATE, "received/"), [fragment], "{operation} {key}");
        let [put, done] = [world.s3.keys("their-logs", ""), world.s3.keys(STATE, "exports/done/")];
        assert!(done.len() <= put.len(), "{operation} {key}: {done:?} of {put:?}");

        world.s3.faults().clear();
        tick(&world.app()).await;
        world.assert_complete("their-logs");
        world.assert_settled();
    }))
    .await;
}
