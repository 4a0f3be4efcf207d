//! The answers of `{"validate": …}`.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::iam::{DEFAULT_ACCOUNT, Role};

use crate::troubles::break_role;
use crate::world::{CUSTOMER, EXTERNAL_ID, LATER_MS, NOW_MS, STATE, World, destination, role_arn};

async fn validated(world: &World, names: Value) -> Value {
    serde_json::to_value(world.app().handle(json!({"validate": names}), LATER_MS).await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_documented_role_passes_validation() {
    let world = World::with(&["logs-a", "logs-b"]).await;
    let answer = validated(&world, json!([])).await;
    assert_eq!(answer["summary"], "2 of 2 destinations can be written to, and only with the external id");
    assert_eq!(answer["ok"], true);
    assert_eq!(world.s3.keys("logs-a", ""), ["segment-logs/dummy-object.txt"]);
    let again = validated(&world, json!(["d0"])).await;
    assert_eq!(again["ok"], true, "a dummy that is there already is no obstacle: {again:#}");
    assert_eq!(again["destinations"][0]["steps"][2]["result"], "put again");
    // A bucket whose policy allows puts only where nothing is.
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    world.s3.faults().add(Rule::on("PutObject").bucket("logs-a").skip(1).before(denied));
    let again = validated(&world, json!(["d0"])).await;
    assert_eq!(again["destinations"][0]["steps"][2]["result"], "it exists already, and the role may not replace it");
}

#[tokio::test]
async fn validation_without_time_tries_nothing_and_reports_it() {
    let world = World::with(&["logs-a"]).await;
    let deadline_ms = NOW_MS + exporter::STOP_BEFORE_MS + 2_000;
    let answer = world.app().handle(json!({"validate": []}), deadline_ms).await.unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["ok"], false);
    assert!(answer["destinations"][0]["steps"][0]["result"].as_str().unwrap().contains("name fewer destinations"));
    assert_eq!(world.s3.requests().count("AssumeRole"), 0);
}

/// A mistake, the step that shows it, and the text of its likeliest cause.
async fn check(breaks: impl FnOnce(&mut World), step: usize, expected: &str) {
    let mut world = World::with(&["their-logs"]).await;
    breaks(&mut world);
    let answer = validated(&world, json!(["d0"])).await;
    assert_eq!(answer["ok"], false, "{answer:#}");
    let failed = &answer["destinations"][0]["steps"][step];
    assert_eq!(failed["ok"], false, "{answer:#}");
    let cause = failed["likely_causes"][0]["cause"].as_str().unwrap();
    assert!(cause.contains(expected), "{answer:#}");
}

fn role(world: &World, role: Role) {
    world.s3.directory().add_role(role);
}

#[tokio::test]
async fn each_mistake_is_reported_with_its_likeliest_cause() {
    let put = |resource: &str| {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["s3:PutObject"], "Resource": resource,
        }]})
        .to_string()
    };
    let bare = || Role::new(&role_arn("their-logs")).trusting(DEFAULT_ACCOUNT);
    check(|w| break_role(w, "their-logs"), 0, "does not name this exporter").await;
    check(|w| role(w, bare().external_id("another-id")), 0, "does not name this exporter").await;
    let open = bare().policy(&put("arn:aws:s3:::their-logs/segment-logs/*"));
    check(|w| role(w, open), 1, "does not require an external id").await;
    check(|w| role(w, bare().external_id(EXTERNAL_ID)), 2, "does not allow s3:PutObject").await;
    let unprefixed = bare().external_id(EXTERNAL_ID).policy(&put("arn:aws:s3:::their-logs/segment-logs/*"));
    check(
        |w| {
            role(w, unprefixed);
            w.routes = destination("d0", "their-logs/some/prefix", &["*"]);
        },
        2,
        "without the prefix",
    )
    .await;
    check(|w| w.routes = w.routes.replace("us-east-1", "eu-west-1"), 2, "is in us-east-1").await;
    let elsewhere = bare().external_id(EXTERNAL_ID).policy(&put("*"));
    check(
        |w| {
            role(w, elsewhere);
            w.s3.remove_bucket("their-logs").unwrap();
        },
        2,
        "the bucket their-logs does not exist",
    )
    .await;
    check(
        |w| w.routes.push_str(&format!("expected_bucket_owner = \"{}\"\n", CUSTOMER.replace('2', "3"))),
        2,
        "s3:PutObject",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_destination_is_reported_with_the_known_ones() {
    let world = World::with(&["logs-a", "logs-b"]).await;
    let answer = validated(&world, json!(["d0", "prod"])).await;
    assert_eq!(answer["summary"], "1 of 2 destinations can be written to, and only with the external id");
    assert_eq!(answer["destinations"][1]["steps"][0]["result"], "destination `prod` is unknown; known are d0, d1");
}

#[tokio::test]
async fn validation_checks_the_state_bucket_too() {
    let world = World::with(&["their-logs"]).await;
    world.s3.remove_bucket(STATE).unwrap();
    let answer = validated(&world, json!([])).await;
    assert_eq!(answer["state_bucket"]["ok"], false);
    assert!(answer["summary"].as_str().unwrap().ends_with("; the state bucket does not work"), "{answer:#}");
}
