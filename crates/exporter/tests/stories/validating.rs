//! The answers of `{"validate": …}`.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::iam::{DEFAULT_ACCOUNT, Role};

use crate::troubles::break_role;
use crate::world::{CUSTOMER, EXTERNAL_ID, LATER_MS, NOW_MS, SOURCE, STATE, World, destination, role_arn, tick};

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
async fn validation_without_time_tries_nothing_and_names_the_time_that_it_needs() {
    let world = World::with(&["logs-a"]).await;
    let names = |count| vec!["d0"; count];
    for (destinations, seconds, expected) in [
        (1, 60, "validation may take 95 s, and the function had 60 s: raise its timeout"),
        (
            9,
            30,
            "validation may take 170 s, and the function had 30 s: raise its timeout, or name fewer destinations at once",
        ),
    ] {
        let validate = json!({"validate": names(destinations)});
        let answer = world.app().handle(validate, NOW_MS + seconds * 1_000).await.unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["ok"], false);
        assert_eq!(answer["destinations"][0]["steps"][0]["result"], expected);
    }
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
    check(|w| w.routes = w.routes.replace("us-east-1", "eu-west-1"), 2, "is not in eu-west-1").await;
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
        "their-logs does not belong to account 111133333333",
    )
    .await;
}

#[tokio::test]
async fn after_a_denial_validation_finds_out_whether_the_owner_is_the_cause() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes.push_str("expected_bucket_owner = \"999999999999\"\n");
    let step = async |world: &World| validated(world, json!([])).await["destinations"][0]["steps"][2].clone();
    let owner = step(&world).await;
    assert!(
        owner["result"].as_str().unwrap().ends_with("; without expected_bucket_owner S3 takes the object"),
        "{owner:#}"
    );
    assert_eq!(owner["likely_causes"].as_array().unwrap().len(), 1, "{owner:#}");

    role(&world, Role::new(&role_arn("their-logs")).trusting(DEFAULT_ACCOUNT).external_id(EXTERNAL_ID));
    let permission = step(&world).await;
    let words = permission["result"].as_str().unwrap();
    assert!(words.ends_with("; S3 denies it without expected_bucket_owner too"), "{permission:#}");
    let cause = &permission["likely_causes"][0]["cause"];
    assert!(cause.as_str().unwrap().contains("does not allow s3:PutObject"), "{permission:#}");
}

#[tokio::test]
async fn a_header_that_a_bucket_policy_demands_is_named_and_sent() {
    let mut world = World::with(&["their-logs"]).await;
    let demand = |header: &str, value: &str| {
        json!({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::their-logs/*",
            "Condition": {"StringNotEquals": {format!("s3:{header}"): value}}})
    };
    let demands = [demand("x-amz-server-side-encryption", "AES256"), demand("x-amz-storage-class", "STANDARD_IA")];
    world.s3.set_bucket_policy("their-logs", &json!({"Statement": demands}).to_string()).unwrap();
    let refused = validated(&world, json!([])).await;
    let cause = &refused["destinations"][0]["steps"][2]["likely_causes"][1];
    assert!(cause["cause"].as_str().unwrap().contains("not sent are x-amz-server-side-encryption,"), "{refused:#}");
    assert!(cause["fix"].as_str().unwrap().contains("set sse"), "{refused:#}");

    world.routes.push_str("sse = \"AES256\"\nstorage_class = \"STANDARD_IA\"\n");
    assert_eq!(validated(&world, json!([])).await["ok"], true);
    world.receive(SOURCE, "r1", 3);
    assert_eq!(tick(&world.app()).await.alarms, [""; 0]);
    let objects = world.s3.objects("their-logs", "");
    assert_eq!(objects.len(), 2, "the dummy and the log object");
    for object in objects {
        let headers = (object.server_side_encryption.as_deref(), object.storage_class.as_deref());
        assert_eq!(headers, (Some("AES256"), Some("STANDARD_IA")), "{}", object.key);
    }
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
