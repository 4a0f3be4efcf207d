//! Alarm drills: the trouble of each alarm is made, and the metric that the alarm looks at appears.

use aws::telemetry::metrics;
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::installation::{EXTERNAL_ID, ROLE_ARN, exporter_settings};
use standins::lambda::Invocation;
use std::collections::{BTreeMap, BTreeSet};
use stories::deployed::{AlarmMetric, Deployed};
use stories::requests::{batch, to_url};
use stories::telemetry::lines;
use stories::{CUSTOMER, DAY_MS, SOURCE, STATE, World, created, event};

/// The alarms on metrics that AWS itself makes, with what makes them.
const OF_AWS: [&str; 9] = [
    // SQS counts messages. The stories of the queue show that a failed file becomes a dead letter.
    "DeadLettersAlarm",
    "IngesterErrorsAlarm",
    "IngesterThrottlesAlarm",
    "ExporterErrorsAlarm",
    "ExporterThrottlesAlarm",
    "ExporterStillAlarm",
    "ReceiverErrorsAlarm",
    "ReceiverThrottlesAlarm",
    // Beside SQS's metrics it looks at `Rows`: the drill of `RejectedShareNotice` makes these.
    "StandstillAlarm",
];

/// A value of a metric, with one of its sets of dimensions.
struct Seen {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
    value: f64,
}

impl Seen {
    /// What CloudWatch reads out of the log of an invocation.
    fn of(invocation: &Invocation) -> Vec<Self> {
        let mut seen = Vec::new();
        for line in lines(invocation) {
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
                for set in directive["Dimensions"].as_array().unwrap() {
                    let names = set.as_array().unwrap().iter().map(text);
                    let dimensions: BTreeMap<_, _> = names.map(|name| (name.clone(), text(&line[&name]))).collect();
                    for metric in directive["Metrics"].as_array().unwrap() {
                        let (namespace, name) = (text(&directive["Namespace"]), text(&metric["Name"]));
                        // A list of values is a distribution, which no alarm looks at.
                        let Some(value) = line[&name].as_f64() else { continue };
                        seen.push(Self { namespace, name, dimensions: dimensions.clone(), value });
                    }
                }
            }
        }
        seen
    }

    fn is_of(&self, metric: &AlarmMetric) -> bool {
        (&self.namespace, &self.name, &self.dimensions) == (&metric.namespace, &metric.name, &metric.dimensions)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Whether each metric of ours that the alarm looks at was emitted above its threshold.
fn rings(alarm: &str, invocation: &Invocation) -> bool {
    let seen = Seen::of(invocation);
    let mut ours = Deployed::read().alarms[alarm].iter().filter(|metric| metric.namespace == "SegmentS3");
    ours.all(|metric| seen.iter().any(|one| one.is_of(metric) && one.value > f64::from(metric.threshold)))
}

fn assert_rings(alarm: &str, invocation: &Invocation) {
    assert!(rings(alarm, invocation), "{alarm} is silent: {invocation:#?}");
}

fn assert_silent(alarm: &str, invocation: &Invocation) {
    assert!(!rings(alarm, invocation), "{alarm} rings: {invocation:#?}");
}

#[test]
fn every_alarm_looks_at_a_metric_that_exists() {
    let declared: BTreeSet<_> = [metrics::ALL, metrics::INGESTER, metrics::RECEIVER, metrics::EXPORTER]
        .concat()
        .iter()
        .map(|metric| metric.name)
        .collect();
    for (alarm, looked_at) in &Deployed::read().alarms {
        let ours: Vec<_> = looked_at.iter().filter(|metric| metric.namespace == "SegmentS3").collect();
        assert!(!ours.is_empty() || OF_AWS.contains(&alarm.as_str()), "{alarm} has no drill");
        for metric in ours {
            assert!(declared.contains(metric.name.as_str()), "{alarm}: {} is not declared", metric.name);
        }
    }
}

#[tokio::test]
async fn a_file_without_trouble_rings_no_alarm() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let ingested = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    let exported = world.exporter().deploy().invoke(&event("scheduled.json")).await;
    assert!(ingested.succeeded() && exported.succeeded(), "{ingested:#?} {exported:#?}");
    for alarm in Deployed::read().alarms.keys().filter(|alarm| !OF_AWS.contains(&alarm.as_str())) {
        assert_silent(alarm, &ingested);
        assert_silent(alarm, &exported);
    }
}

#[tokio::test]
async fn a_missing_right_rings_at_the_first_try() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(denied));
    let invocation = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert_rings("FilesFailedAlarm", &invocation);
    assert_silent("FilesStoppedNotice", &invocation);
}

#[tokio::test]
async fn an_unknown_write_key_rings() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let ingester = world.ingester().env("WRITE_KEY", "a-key-of-a-deleted-source");
    let ingester = ingester.env("SEGMENT_SETTINGS_ENDPOINT", world.segment.url()).deploy();
    assert_rings("UnknownWriteKeyAlarm", &ingester.invoke(&created("track_1.csv")).await);
}

#[tokio::test]
async fn a_file_of_refused_rows_is_noticed_and_rings_no_alarm() {
    let world = World::new().await;
    let rows = "a\n".repeat(2_001);
    world.s3.put(SOURCE, "track_1.csv", format!("event\n{rows}")).unwrap();
    let invocation = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert_rings("FilesStoppedNotice", &invocation);
    assert_silent("FilesFailedAlarm", &invocation);
    world.s3.put(SOURCE, "track_2.csv", "userId,event\n1,e\n,e\n").unwrap();
    let invocation = world.ingester().deploy().invoke(&created("track_2.csv")).await;
    assert_rings("RejectedShareNotice", &invocation);
    assert_silent("FilesStoppedNotice", &invocation);
}

#[tokio::test]
async fn a_file_that_is_gone_is_noticed() {
    let world = World::new().await;
    let invocation = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert_rings("FilesMissingNotice", &invocation);
}

#[tokio::test]
async fn a_faulty_configuration_rings() {
    let world = World::new().await;
    let document = "config/segment-s3.toml";
    world.s3.put(SOURCE, document, "[reading]\n").unwrap();
    let ingester = world.ingester().env("CONFIG", format!("s3://{SOURCE}/{document}")).deploy();
    assert_silent("ConfigurationAlarm", &ingester.invoke(&json!({"validate": []})).await);
    world.s3.put(SOURCE, document, "[redaing]\n").unwrap();
    assert_rings("ConfigurationAlarm", &ingester.invoke(&json!({"validate": []})).await);
}

/// A world with one accepted call.
async fn with_a_call() -> World {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let ingested = world.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert!(ingested.succeeded(), "{ingested:#?}");
    world
}

#[tokio::test]
async fn a_failing_destination_rings() {
    let world = with_a_call().await;
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("PutObject").bucket(CUSTOMER).before(denied));
    let failing = world.exporter().deploy().invoke(&event("scheduled.json")).await;
    assert_rings("DestinationFailingAlarm", &failing);
    assert_rings("ExportAlarm", &failing);
    assert_silent("ExpiredAlarm", &failing);
}

#[tokio::test]
async fn events_that_expire_ring() {
    let world = with_a_call().await;
    let elsewhere = format!(
        "[[destination]]\nname = \"d\"\nregion = \"us-east-1\"\nbucket = \"{CUSTOMER}\"\nrole_arn = \"{ROLE_ARN}\"\n\
         external_id = \"{EXTERNAL_ID}\"\nsources = [\"another\"]\n"
    );
    let after = async |days: i64| {
        let mut exporter = world.exporter().env("CONFIG", &elsewhere).env("EXPIRE_DAYS", "1");
        for (name, _) in exporter_settings().into_iter().filter(|(name, _)| name.starts_with("DESTINATION_")) {
            exporter = exporter.env(&name, "");
        }
        exporter.env("CLOCK_OFFSET_MS", (days * DAY_MS).to_string()).deploy().invoke(&json!({"flush": "all"})).await
    };
    let waiting = after(0).await;
    assert_rings("ExportAlarm", &waiting);
    assert_silent("ExpiredAlarm", &waiting);
    assert_rings("ExpiredAlarm", &after(3).await);
    assert_eq!(world.s3.keys(STATE, "received/"), [] as [String; 0], "nothing waits");
}

#[tokio::test]
async fn an_event_that_waits_for_hours_rings() {
    let world = with_a_call().await;
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("PutObject").bucket(CUSTOMER).before(denied));
    let after = async |hours: i64| {
        let offset_ms = hours * DAY_MS / 24;
        let exporter = world.exporter().env("CLOCK_OFFSET_MS", offset_ms.to_string()).deploy();
        exporter.invoke(&json!({"flush": "all"})).await
    };
    assert_silent("OldestUnexportedAlarm", &after(2).await);
    assert_rings("OldestUnexportedAlarm", &after(4).await);
}

#[tokio::test]
async fn events_that_are_discarded_without_an_account_ring() {
    let world = with_a_call().await;
    for key in world.s3.keys(STATE, "ingest/") {
        world.s3.delete(STATE, &key).unwrap();
    }
    let after = async |days: i64| {
        let exporter = world.exporter().env("CLOCK_OFFSET_MS", (days * DAY_MS).to_string()).deploy();
        exporter.invoke(&json!({"flush": "all"})).await
    };
    assert_silent("DiscardedAlarm", &after(29).await);
    assert_rings("DiscardedAlarm", &after(33).await);
}

/// Sends a body to the receiver, and expects a status.
async fn received(world: &World, body: &str, status: u16) -> Invocation {
    let request = to_url("POST", "/v1/batch", "", body.as_bytes());
    let invocation = world.receiver().deploy().invoke(&request).await;
    let response = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
    assert_eq!(response["statusCode"], status, "{invocation:#?}");
    invocation
}

#[tokio::test]
async fn calls_that_the_receiver_keeps_ring_no_alarm() {
    let world = World::new().await;
    let kept = received(&world, &batch(&["1", "2"]), 200).await;
    for alarm in Deployed::read().alarms.keys().filter(|alarm| !OF_AWS.contains(&alarm.as_str())) {
        assert_silent(alarm, &kept);
    }
}

#[tokio::test]
async fn calls_with_a_key_that_the_receiver_does_not_know_ring() {
    let world = World::new().await;
    let body = json!({"writeKey": "another", "batch": [{"type": "identify", "userId": "1"}]});
    let unknown = received(&world, &body.to_string(), 400).await;
    assert_rings("UnknownKeysAlarm", &unknown);
    assert_silent("UnkeptAlarm", &unknown);
}

#[tokio::test]
async fn calls_that_s3_does_not_take_ring() {
    let world = World::new().await;
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code></Error>");
    world.s3.faults().add(Rule::on("PutObject").bucket(STATE).before(denied));
    let unkept = received(&world, &batch(&["1"]), 503).await;
    assert_rings("UnkeptAlarm", &unkept);
    assert_silent("UnknownKeysAlarm", &unkept);
}

#[tokio::test]
async fn a_refused_call_is_noticed_and_rings_no_alarm() {
    let world = World::new().await;
    let refused = received(&world, &batch(&["1", ""]), 200).await;
    assert_rings("RefusedCallsNotice", &refused);
    for alarm in ["UnknownKeysAlarm", "UnkeptAlarm"] {
        assert_silent(alarm, &refused);
    }
}
