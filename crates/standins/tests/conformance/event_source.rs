//! From S3 through SQS to a function.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use standins::event_source::EventSource;
use standins::lambda::Function;
use standins::sqs::{QueueSettings, Server};
use standins::{Clock, s3};

async fn server(settings: QueueSettings) -> Server {
    let setup = Server::setup().with_clock(Clock::real());
    setup.with_queue_of("work", settings).with_queue("dead").start().await.unwrap()
}

/// The events of the function, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    fn add(&self, event: Value) {
        self.0.lock().unwrap().push(event);
    }

    fn bodies(&self) -> Vec<Vec<String>> {
        let events = self.0.lock().unwrap();
        let bodies = |event: &Value| {
            let records = event["Records"].as_array().unwrap().clone();
            records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
        };
        events.iter().map(bodies).collect()
    }
}

#[tokio::test]
async fn an_object_reaches_the_function_as_a_lambda_event() {
    let server = server(QueueSettings::default()).await;
    let bucket = s3::Server::memory().with_bucket("source").start().await.unwrap();
    server.subscribe("work", &bucket, "source", s3::Filter::all().suffix(".csv"));
    bucket.put("source", "track 1.csv", "x").unwrap();
    let seen = Seen::default();
    let sees = seen.clone();
    let polling = EventSource::on(&server, "work").to(move |event| {
        sees.add(event);
        async { Ok(Value::Null) }
    });
    polling.drained().await;
    let event = seen.0.lock().unwrap()[0].clone();
    let record = &event["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:123456789012:work");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    let inner: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
    assert_eq!(inner["Records"][0]["s3"]["object"]["key"], "track+1.csv");
    assert_eq!(polling.invocations(), 1);
}

#[tokio::test]
async fn only_the_failed_messages_of_a_batch_come_back() {
    let server = server(QueueSettings::default().visibility_s(600)).await;
    for body in ["a", "b", "c"] {
        server.send("work", body);
    }
    let seen = Seen::default();
    let sees = seen.clone();
    let polling = EventSource::on(&server, "work").batch_size(10).fast_forward().to(move |event| {
        sees.add(event.clone());
        async move {
            let records = event["Records"].as_array().unwrap();
            let failed = records
                .iter()
                .filter(|record| record["body"] == "b" && record["attributes"]["ApproximateReceiveCount"] == "1");
            let failed: Vec<_> = failed.map(|record| json!({"itemIdentifier": record["messageId"]})).collect();
            Ok(json!({"batchItemFailures": failed}))
        }
    });
    polling.drained().await;
    assert_eq!(seen.bodies(), [vec!["a", "b", "c"], vec!["b"]]);
}

#[tokio::test]
async fn a_failure_without_message_ids_fails_the_batch() {
    for (answer, left) in [
        (Ok(json!({"batchItemFailures": []})), 0),
        (Ok(json!({"batchItemFailures": null})), 0),
        (Ok(json!({"other": 1})), 0),
        (Ok(json!({"batchItemFailures": [{"itemIdentifier": ""}]})), 2),
        (Ok(json!({"batchItemFailures": [{"itemIdentifier": "unknown"}]})), 2),
        (Ok(json!({"batchItemFailures": "nonsense"})), 2),
        (Err(String::from("crashed")), 2),
    ] {
        let server = server(QueueSettings::default()).await;
        server.send("work", "a");
        server.send("work", "b");
        let told = answer.clone();
        let done = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&done);
        let _polling = EventSource::on(&server, "work").batch_size(2).to(move |_| {
            let (told, counter) = (told.clone(), Arc::clone(&counter));
            async move {
                counter.fetch_add(1, Ordering::SeqCst);
                told
            }
        });
        while done.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert_eq!(server.messages("work").len(), left, "{answer:?}");
    }
}

#[tokio::test]
async fn an_hour_of_failures_is_skipped_and_ends_in_the_dead_letters() {
    let server = server(QueueSettings::default().visibility_s(900).redrive("dead", 4)).await;
    server.send("work", "poison");
    let begin_ms = server.clock().now_ms();
    let polling = EventSource::on(&server, "work").fast_forward().to(|_| async { Err(String::from("told to fail")) });
    polling.drained().await;
    assert_eq!(polling.invocations(), 4);
    assert_eq!(server.messages("dead").len(), 1);
    assert!(server.clock().now_ms() - begin_ms >= 3_600_000);
}

#[tokio::test]
async fn concurrency_is_limited() {
    let server = server(QueueSettings::default()).await;
    for number in 0..12 {
        server.send("work", &number.to_string());
    }
    let polling = EventSource::on(&server, "work").concurrency_max(3).to(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(Value::Null)
    });
    polling.drained().await;
    assert_eq!((polling.running_max(), polling.invocations()), (3, 12));
}

#[tokio::test]
async fn a_real_binary_is_invoked() {
    let server = server(QueueSettings::default().visibility_s(60).redrive("dead", 2)).await;
    server.send("work", "fine");
    server.send("work", "crash");
    let lambda = Function::new("told", env!("CARGO_BIN_EXE_standins-bootstrap"));
    let lambda = lambda.timeout(Duration::from_secs(30)).deploy();
    let polling = EventSource::on(&server, "work").fast_forward().to_lambda(&lambda);
    polling.drained().await;
    assert_eq!(server.messages("dead")[0].body, "crash");
    // The crash took the process of "fine" with it.
    assert_eq!((polling.invocations(), lambda.started()), (3, 2));
}
