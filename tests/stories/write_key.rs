//! The write key is where it has to be, and nowhere else. A key that Segment does not know is noticed.

use aws::telemetry::metrics;
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::installation;
use standins::lambda::{Function, Invocation, Lambda, Outcome};
use stories::{SOURCE, STATE, WRITE_KEY, World, answer, created, event, sample};

/// The answer and the log for a file with good and bad rows.
async fn ingest(world: &World, include: &str) -> Invocation {
    world.s3.put(SOURCE, "track_with_bad_rows.csv", sample("track_with_bad_rows.csv")).unwrap();
    let ingester = world.ingester().env("INCLUDE_WRITE_KEY", include).env("RUST_LOG", "debug").deploy();
    ingester.invoke(&created("track_with_bad_rows.csv")).await
}

/// The write key of every line in the logs.
async fn logged(world: &World) -> Vec<Option<String>> {
    let exported = world.exporter().deploy().invoke(&event("scheduled.json")).await;
    assert!(!format!("{exported:?}").contains(WRITE_KEY), "{exported:#?}");
    let lines = world.logged();
    lines.iter().map(|line| line.get("writeKey").and_then(Value::as_str).map(str::to_owned)).collect()
}

#[tokio::test]
async fn only_lines_have_the_write_key_and_only_if_it_is_included() {
    for (include, expected) in [("", None), ("false", None), ("true", Some(WRITE_KEY.to_owned()))] {
        let world = World::new().await;
        let invocation = ingest(&world, include).await;
        assert!(!format!("{invocation:?}").contains(WRITE_KEY), "{invocation:#?}");
        // Checkpoints, ledgers and rejects. Only fragments may have it.
        for key in world.s3.keys(STATE, "").into_iter().filter(|key| !key.starts_with("received/")) {
            let bytes = world.s3.bytes(STATE, &key).unwrap();
            let found = bytes.windows(WRITE_KEY.len()).any(|window| window == WRITE_KEY.as_bytes());
            assert!(!found && !key.contains(WRITE_KEY), "{key} has it");
        }
        assert_eq!(logged(&world).await, [expected.clone(), expected], "{include:?}");
    }
}

#[tokio::test]
async fn our_receiver_keeps_the_write_key_only_if_it_is_included() {
    for (include_write_key, expected) in [(false, None), (true, Some(WRITE_KEY.to_owned()))] {
        let (world, _) = World::with_receiver(include_write_key).await;
        // The ingester's setting does not matter, because the receiver keeps the calls.
        ingest(&world, "false").await;
        assert_eq!(logged(&world).await, [expected.clone(), expected]);
    }
}

const UNKNOWN_KEY: &str = "a-key-of-a-deleted-source";
const CSV: &str = "userId,event\n1,e\n";

/// The ingester, which asks Segment for the settings of its sources.
fn verifying(world: &World) -> Function {
    world.ingester().env("SEGMENT_SETTINGS_ENDPOINT", world.segment.url())
}

#[tokio::test]
async fn nothing_is_sent_to_a_region_that_is_not_the_sources() {
    let world = World::new().await;
    let europe = installation::segment().with_api_host("events.eu1.segmentapis.com/v1").start().await.unwrap();
    let ingester = world.ingester().env("SEGMENT_ENDPOINT", "https://api.segment.io");
    let ingester = ingester.env("SEGMENT_SETTINGS_ENDPOINT", europe.url()).deploy();
    world.s3.put(SOURCE, "track_1.csv", CSV).unwrap();
    let invocation = ingester.invoke(&created("track_1.csv")).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("set SEGMENT_REGION=eu"), "{message}");
    assert_eq!(stories::telemetry::emitted(&invocation, metrics::UNKNOWN_WRITE_KEY), [json!(1)]);
}

/// The object's entry in the report of its event.
async fn dropped(world: &World, ingester: &Lambda, key: &str) -> Value {
    world.s3.put(SOURCE, key, CSV).unwrap();
    answer(ingester, &created(key)).await["objects"][0].take()
}

/// The requests of one operation of Segment.
fn requests(world: &World, operation: &str) -> usize {
    world.segment.record().deliveries().iter().filter(|delivery| delivery.operation == operation).count()
}

#[tokio::test]
async fn a_file_of_an_unknown_write_key_fails_and_nothing_is_sent() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", CSV).unwrap();
    let ingester = verifying(&world).env("WRITE_KEY", UNKNOWN_KEY).env("RUST_LOG", "debug").deploy();
    let invocation = ingester.invoke(&created("track_1.csv")).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(message.contains("the write key is unknown, so nothing was sent"), "{message}");
    assert!(message.contains("copy the write key again"), "{message}");
    assert!(!format!("{invocation:?}").contains(UNKNOWN_KEY), "{invocation:#?}");
    let metric = |line: &String| line.contains(r#""UnknownWriteKey":1"#);
    assert!(invocation.log.iter().any(metric), "{:#?}", invocation.log);
    assert_eq!((requests(&world, "settings"), requests(&world, "batch")), (1, 0));
    assert!(!world.s3.keys(STATE, "").iter().any(|key| key.ends_with("ledger.json")), "the file has not ended");

    // A person corrects the key, and the message comes again.
    let report = answer(&verifying(&world).deploy(), &created("track_1.csv")).await;
    assert_eq!((&report["objects"][0]["outcome"], world.received_ids().len()), (&json!("finished"), 1), "{report:#}");
}

#[tokio::test]
async fn without_the_lookup_segment_drops_the_calls_of_an_unknown_key_in_silence() {
    let world = World::new().await;
    let ingester = verifying(&world).env("WRITE_KEY", UNKNOWN_KEY).env("VERIFY_WRITE_KEY", "false").deploy();
    assert_eq!(dropped(&world, &ingester, "track_1.csv").await["outcome"], "finished");
    assert_eq!((requests(&world, "settings"), world.segment.record().dropped().len()), (0, 1));
}

#[tokio::test]
async fn a_write_key_is_looked_up_once_an_hour() {
    let world = World::new().await;
    let ingester = verifying(&world).deploy();
    for key in ["track_1.csv", "track_2.csv", "track_3.csv"] {
        assert_eq!(dropped(&world, &ingester, key).await["outcome"], "finished");
    }
    assert_eq!((requests(&world, "settings"), requests(&world, "batch")), (1, 3));
}

#[tokio::test]
async fn a_lookup_without_a_clear_answer_changes_nothing() {
    let page = "<html><body>Not here.</body></html>";
    let faults: [Fault; 6] = [
        Fault::InternalError,
        Fault::Reset,
        Fault::gateway_page().into(),
        Fault::status(403).body(page).into(),
        Fault::status(404).body(page).into(),
        Fault::Hang,
    ];
    for fault in faults {
        let world = World::new().await;
        let name = fault.name();
        world.segment.faults().add(Rule::on("settings").before(fault));
        let report = dropped(&world, &verifying(&world).deploy(), "track_1.csv").await;
        assert_eq!((&report["outcome"], world.received_ids().len()), (&json!("finished"), 1), "{name}: {report:#}");
    }
    // A server in Segment's place answers 404 to any key. It is not asked unless it is named.
    let (world, _) = World::with_receiver(false).await;
    let report = dropped(&world, &world.ingester().deploy(), "track_1.csv").await;
    assert_eq!(report["outcome"], "finished", "{report:#}");
}

#[tokio::test]
async fn each_source_has_a_lookup_of_its_own() {
    let world = World::new().await;
    let source = |name: &str, key: &str| {
        format!("[[source]]\nname = \"{name}\"\nid = \"{name}\"\nmatch = \"{name}/**\"\nwrite_key = \"{key}\"\n")
    };
    let config = source("known", WRITE_KEY) + &source("deleted", UNKNOWN_KEY);
    let ingester = verifying(&world).env("WRITE_KEY", "").env("SOURCE_ID", "").env("CONFIG", config).deploy();
    assert_eq!(dropped(&world, &ingester, "known/track_1.csv").await["outcome"], "finished");
    for key in ["deleted/track_1.csv", "deleted/track_2.csv"] {
        world.s3.put(SOURCE, key, CSV).unwrap();
        let Outcome::Error { message, .. } = ingester.invoke(&created(key)).await.outcome else { panic!("an error") };
        assert!(message.contains("the write key is unknown"), "{message}");
    }
    assert_eq!(dropped(&world, &ingester, "known/track_2.csv").await["outcome"], "finished");
    // An unknown key is asked about again each time.
    assert_eq!((requests(&world, "settings"), requests(&world, "batch")), (3, 2));
}

const SECRET_ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:write-key-AbCdEf";

/// The endpoint of a Secrets Manager that has this text for [`SECRET_ARN`] and no other secret.
async fn secrets_manager(text: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |headers: axum::http::HeaderMap, body: String| async move {
        assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
        let request: Value = serde_json::from_str(&body).unwrap();
        if request["SecretId"] == SECRET_ARN {
            let secret = json!({"ARN": SECRET_ARN, "Name": "write-key", "SecretString": text});
            return (axum::http::StatusCode::OK, secret.to_string());
        }
        let refusal = json!({"__type": "ResourceNotFoundException", "message": "no such secret"});
        (axum::http::StatusCode::BAD_REQUEST, refusal.to_string())
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    url
}

#[tokio::test]
async fn a_write_key_in_a_secret_is_used_and_never_printed() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let with = |arn: &str, secrets: &str| {
        let ingester = world.ingester().env("WRITE_KEY", arn).env("RUST_LOG", "debug");
        ingester.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets).deploy()
    };
    let (right, wrong) = (secrets_manager(WRITE_KEY).await, secrets_manager("two words-never-to-be-seen").await);
    let invocation = with(SECRET_ARN, &right).invoke(&created("track_1.csv")).await;
    assert!(!format!("{invocation:?}").contains(WRITE_KEY), "{invocation:#?}");
    assert_eq!(invocation.response().unwrap()["objects"][0]["acknowledged"], 1, "{invocation:#?}");
    let validated = with(SECRET_ARN, &right).invoke(&json!({"validate": []})).await;
    assert_eq!(validated.response().unwrap()["write_key"]["ok"], true, "{validated:#?}");
    for (arn, secrets, words) in [
        (format!("{SECRET_ARN}2"), &right, "WRITE_KEY refers to a secret that cannot be read"),
        (SECRET_ARN.to_owned(), &wrong, "the secret of WRITE_KEY has blanks or invalid characters"),
    ] {
        let refused = format!("{:?}", with(&arn, secrets).invoke(&created("track_1.csv")).await);
        assert!(refused.contains(words) && !refused.contains("never-to-be-seen"), "{refused}");
    }
}
