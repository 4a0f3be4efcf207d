//! The log lines and metrics of both functions.

use aws::telemetry::metrics::{self, Metric};
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::lambda::{Invocation, Outcome};
use stories::telemetry::{emitted, lines, undeclared};
use stories::{SOURCE, STATE, World, created, event, sample};

#[test]
fn a_metric_that_is_not_declared_is_noticed() {
    let is_noticed = |name: &str, dimensions: &Value| {
        let directive = json!({"Dimensions": [dimensions], "Metrics": [{"Name": name, "Unit": "Count"}]});
        let line = json!({
            "_aws": {"CloudWatchMetrics": [directive]}, "Service": "s", "Function": "f", "Alarms": 1, "Alarm": 1, "Rows": 1,
        });
        undeclared(&line.to_string()).is_some()
    };
    assert!(!is_noticed("Alarms", &json!(["Service", "Function"])));
    assert!(is_noticed("Alarms", &json!(["Function"])));
    assert!(is_noticed("Alarm", &json!(["Service", "Function"])));
    assert!(is_noticed("Rows", &json!(["Service", "Function", "Source"])), "the line names no source");
}

#[tokio::test]
async fn a_function_that_cannot_start_says_why_in_a_line_like_any_other() {
    let world = World::new().await;
    for function in [world.ingester().env("STATE_BUCKET", "s3://state"), world.exporter().env("STATE_BUCKET", "")] {
        let invocation = function.deploy().invoke(&created("track_1.csv")).await;
        assert!(matches!(invocation.outcome, Outcome::Crashed { status: Some(1), .. }), "{invocation:#?}");
        let lines = lines(&invocation);
        let line = lines.last().unwrap();
        assert_eq!((&line["level"], &line["message"]), (&json!("ERROR"), &json!("the function cannot start")));
        assert!(line["reason"].as_str().unwrap().contains("STATE_BUCKET"), "{line}");
    }
}

#[tokio::test]
async fn every_line_of_both_functions_names_its_level_its_time_and_its_invocation() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let (ingester, exporter) = (world.ingester().env("SERVICE_NAME", "stack-7").deploy(), world.exporter().deploy());
    for (function, name, service, payload) in [
        (&ingester, "ingester", "stack-7", created("track_1.csv")),
        (&exporter, "exporter", "segment-s3", event("scheduled.json")),
    ] {
        for is_cold in [true, false] {
            let invocation = function.invoke(&payload).await;
            let lines = lines(&invocation);
            assert!(lines.len() >= 2, "{invocation:#?}");
            for (line, text) in lines.iter().zip(&invocation.log) {
                assert_eq!(line.to_string().len(), text.len(), "a parser drops a key that a line has twice: {text}");
                let timestamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
                assert!(timestamp.as_second() > 0);
                assert!(["ERROR", "WARN", "INFO"].contains(&line["level"].as_str().unwrap()), "{line}");
                for (field, expected) in [
                    ("service", json!(service)),
                    ("functionName", json!(name)),
                    ("functionVersion", json!("$LATEST")),
                    ("requestId", json!(invocation.request_id)),
                    ("coldStart", json!(is_cold)),
                ] {
                    assert_eq!(line[field], expected, "{field}: {line}");
                }
                assert!(line["traceId"].as_str().unwrap().starts_with("1-"), "{line}");
            }
            let messages = lines.iter().filter(|line| line.get("_aws").is_none());
            assert!(messages.clone().all(|line| line["message"].is_string()) && messages.count() > 0, "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn a_failed_invocation_has_one_line_that_says_why() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    world.segment.faults().add(Rule::on("batch").before(Fault::status(401)));
    let (ingester, exporter) = (world.ingester().deploy(), world.exporter().deploy());
    let without_config = world.ingester().env("CONFIG", format!("s3://{STATE}/ingest/none.toml")).deploy();
    for (function, payload, message, words) in [
        (&ingester, created("track_1.csv"), "ingested", "see WRITE_KEY"),
        (&ingester, json!({"Records": 7}), "a part of the event cannot be read", "the payload"),
        (&without_config, created("track_1.csv"), "the invocation has failed", "no such object"),
        (&exporter, json!({"abandon": 7}), "the invocation has failed", "abandon"),
    ] {
        let invocation = function.invoke(&payload).await;
        assert!(matches!(invocation.outcome, Outcome::Error { .. }), "{invocation:#?}");
        let errors: Vec<_> = lines(&invocation).into_iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!((errors.len(), &errors[0]["message"]), (1, &json!(message)), "{errors:#?}");
        assert!(errors[0]["reason"].as_str().unwrap().contains(words), "{errors:#?}");
    }
}

#[tokio::test]
async fn lambdas_log_level_is_obeyed_and_silences_no_metric() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", sample("track_1.csv")).unwrap();
    let invoke = async |name: &str, level: &str, file: &str| {
        let ingester = world.ingester().env("RUST_LOG", "").env(name, level).deploy();
        ingester.invoke(&created(file)).await
    };
    let quiet = invoke("AWS_LAMBDA_LOG_LEVEL", "WARN", "track_1.csv").await;
    let of_quiet = lines(&quiet);
    assert!(of_quiet.iter().all(|line| line["level"] == "WARN" && line.get("_aws").is_some()), "{of_quiet:#?}");
    assert_eq!(emitted(&quiet, metrics::FILES_FINISHED), [json!(1)]);
    let loud = invoke("AWS_LAMBDA_LOG_LEVEL", "DEBUG", "track_1.csv").await;
    assert!(lines(&loud).iter().any(|line| line["level"] == "DEBUG"), "{loud:#?}");
    let invalid = invoke("AWS_LAMBDA_LOG_LEVEL", "LOUD", "track_1.csv").await;
    assert!(lines(&invalid).iter().all(|line| line["level"] == "INFO"), "{invalid:#?}");
}

#[tokio::test]
async fn the_metrics_say_how_files_ended_and_how_long_they_took() {
    let world = World::new().await;
    let ingester = world.ingester().deploy();
    let report = async |key: &str, body: Option<&str>, expected: Metric| {
        if let Some(body) = body {
            world.s3.put(SOURCE, key, body).unwrap();
        }
        let mut payload = created(key);
        payload["Records"][0]["eventTime"] = json!("2019-05-11T20:32:27.940Z");
        let invocation = ingester.invoke(&payload).await;
        for metric in [metrics::FILES_FINISHED, metrics::FILES_STOPPED, metrics::FILES_FAILED, metrics::FILES_MISSING] {
            let values = if metric == expected { vec![json!(1)] } else { Vec::new() };
            assert_eq!(emitted(&invocation, metric), values, "{key}: {}", metric.name);
        }
        invocation
    };
    let finished = report("track_1.csv", Some("userId,event\n1,e\n,e\n2,e\n3,e\n"), metrics::FILES_FINISHED).await;
    assert_eq!(emitted(&finished, metrics::REJECTED_SHARE), [json!(25.0)]);
    let seconds = |invocation: &Invocation| emitted(invocation, metrics::SECONDS_TO_DONE)[0].as_u64().unwrap();
    assert!(seconds(&finished) > 7 * 365 * 86_400, "since 2019");
    let stopped = report("track_2.csv", Some("userId,\"event\n"), metrics::FILES_STOPPED).await;
    assert!(seconds(&stopped) > 0);
    let missing = report("track_3.csv", None, metrics::FILES_MISSING).await;
    assert_eq!(emitted(&missing, metrics::SECONDS_TO_DONE), [] as [Value; 0]);
    world.segment.faults().add(Rule::on("batch").before(Fault::status(401)));
    let failed = report("track_4.csv", Some("userId,event\n1,e\n"), metrics::FILES_FAILED).await;
    assert!(matches!(failed.outcome, Outcome::Error { .. }), "{failed:#?}");
    assert_eq!(emitted(&failed, metrics::SECONDS_TO_DONE), [] as [Value; 0]);
}
