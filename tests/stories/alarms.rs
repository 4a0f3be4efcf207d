//! Alarm drills: the trouble of each alarm is made, and the metric that the alarm looks at appears.

use aws::telemetry::metrics;
use serde_json::json;
use standins::faults::{Fault, Rule};
use standins::installation::{EXTERNAL_ID, ROLE_ARN, exporter_settings};
use standins::lambda::Invocation;
use std::collections::BTreeSet;
use stories::deployed::{AlarmMetric, Deployed};
use stories::telemetry::lines;
use stories::{CUSTOMER, DAY_MS, SOURCE, STATE, World, created, event};

/// The alarms on metrics that AWS itself makes, with what makes them.
const OF_AWS: [&str; 7] = [
    // SQS counts messages. The stories of the queue show that a failed file becomes a dead letter.
    "DeadLettersAlarm",
    "IngesterErrorsAlarm",
    "IngesterThrottlesAlarm",
    "ExporterErrorsAlarm",
    "ExporterThrottlesAlarm",
    "ExporterStillAlarm",
    // Beside SQS's metrics it looks at `Rows`: the drill of `RejectedShareNotice` makes these.
    "StandstillAlarm",
];

/// Metrics that the functions do not emit yet. Once one is declared, it needs a drill and leaves this list.
const AWAITED: [&str; 2] = ["OldestUnexportedEvent", "Unaccounted"];

/// A value of a metric, with one of its sets of dimensions.
type Seen = (AlarmMetric, f64);

/// What CloudWatch reads out of the log of an invocation.
fn seen(invocation: &Invocation) -> Vec<Seen> {
    let mut seen = Vec::new();
    for line in lines(invocation) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            for set in directive["Dimensions"].as_array().unwrap() {
                let names = set.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
                let value_of = |name: String| (name.clone(), line[&name].as_str().unwrap().to_owned());
                let dimensions = names.map(value_of).collect();
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap().to_owned();
                    let namespace = directive["Namespace"].as_str().unwrap().to_owned();
                    let Some(value) = line[&name].as_f64() else { continue };
                    seen.push((AlarmMetric { namespace, name, dimensions: Clone::clone(&dimensions) }, value));
                }
            }
        }
    }
    seen
}

/// The largest value of each metric of the alarm, of those that the functions emit. `None`: it was not emitted.
fn values(alarm: &str, seen: &[Seen]) -> Vec<Option<f64>> {
    let ours = Deployed::read().alarms[alarm].iter().filter(|metric| metric.namespace == "SegmentS3");
    let value = |metric: &AlarmMetric| {
        let values = seen.iter().filter(|(one, _)| one == metric).map(|(_, value)| *value);
        values.reduce(f64::max)
    };
    ours.map(value).collect()
}

/// The alarm looks at metrics that were emitted, and each is above 0.
fn assert_rings(alarm: &str, invocation: &Invocation) {
    let values = values(alarm, &seen(invocation));
    assert!(
        !values.is_empty() && values.iter().all(|value| value.is_some_and(|value| value > 0.0)),
        "{alarm}: {values:?} in {invocation:#?}"
    );
}

/// Nothing that the alarm looks at was emitted with a value above 0.
fn assert_silent(alarm: &str, invocation: &Invocation) {
    let values = values(alarm, &seen(invocation));
    assert!(values.iter().any(|value| value.is_none_or(|value| value == 0.0)), "{alarm}: {values:?}");
}

#[test]
fn every_alarm_looks_at_a_metric_that_exists() {
    let declared: BTreeSet<_> =
        [metrics::BOTH, metrics::INGESTER, metrics::EXPORTER].concat().iter().map(|metric| metric.name).collect();
    for (alarm, looked_at) in &Deployed::read().alarms {
        let ours: Vec<_> = looked_at.iter().filter(|metric| metric.namespace == "SegmentS3").collect();
        assert!(!ours.is_empty() || OF_AWS.contains(&alarm.as_str()), "{alarm} has no drill");
        for metric in ours {
            let (name, is_awaited) = (metric.name.as_str(), AWAITED.contains(&metric.name.as_str()));
            assert_ne!(declared.contains(name), is_awaited, "{alarm}: {name}; if it is declared now, write its drill");
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
