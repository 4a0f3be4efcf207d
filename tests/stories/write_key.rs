//! The write key is where it has to be, and nowhere else. A key that Segment does not know is noticed.

use aws::telemetry::metrics;
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::installation;
use standins::lambda::{Function, Invocation, Lambda, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

/// A Secrets Manager.
#[derive(Clone, Default)]
struct Secrets {
    url: String,
    texts: Arc<Mutex<BTreeMap<String, String>>>,
    reads: Arc<AtomicUsize>,
}

impl Secrets {
    /// With this text for a secret, and no other secret.
    async fn with(arn: &str, text: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let secrets = Self { url, ..Self::default() };
        secrets.set(arn, text);
        let answering = secrets.clone();
        let answer = async move |headers: axum::http::HeaderMap, body: String| answering.answer(&headers, &body);
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        secrets
    }

    fn set(&self, arn: &str, text: &str) {
        self.texts.lock().unwrap().insert(arn.to_owned(), text.to_owned());
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn answer(&self, headers: &axum::http::HeaderMap, body: &str) -> (axum::http::StatusCode, String) {
        assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
        self.reads.fetch_add(1, Ordering::Relaxed);
        let request: Value = serde_json::from_str(body).unwrap();
        let arn = request["SecretId"].as_str().unwrap();
        match self.texts.lock().unwrap().get(arn) {
            Some(text) => {
                let secret = json!({"ARN": arn, "Name": "write-key", "SecretString": text});
                (axum::http::StatusCode::OK, secret.to_string())
            }
            None => {
                let refusal = json!({"__type": "ResourceNotFoundException", "message": "no such secret"});
                (axum::http::StatusCode::BAD_REQUEST, refusal.to_string())
            }
        }
    }

    /// The ingester, whose write key is in the secret.
    fn ingester(&self, world: &World, arn: &str) -> Function {
        let ingester = verifying(world).env("WRITE_KEY", arn).env("RUST_LOG", "debug");
        ingester.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.url)
    }
}

#[tokio::test]
async fn a_write_key_in_a_secret_is_used_and_never_printed() {
    let world = World::new().await;
    world.s3.put(SOURCE, "track_1.csv", CSV).unwrap();
    let right = Secrets::with(SECRET_ARN, WRITE_KEY).await;
    let invocation = right.ingester(&world, SECRET_ARN).deploy().invoke(&created("track_1.csv")).await;
    assert!(!format!("{invocation:?}").contains(WRITE_KEY), "{invocation:#?}");
    assert_eq!(invocation.response().unwrap()["objects"][0]["acknowledged"], 1, "{invocation:#?}");
    assert_eq!(right.reads(), 1, "at the start");
    let wrong = Secrets::with(SECRET_ARN, "two words-never-to-be-seen").await;
    for (arn, secrets, words) in [
        (format!("{SECRET_ARN}2"), &right, "ResourceNotFoundException"),
        (SECRET_ARN.to_owned(), &wrong, "the text has blanks or invalid characters"),
    ] {
        let refused = format!("{:?}", secrets.ingester(&world, &arn).deploy().invoke(&created("track_1.csv")).await);
        assert!(refused.contains("WRITE_KEY refers to a secret that cannot be used"), "{refused}");
        assert!(refused.contains(words) && !refused.contains("never-to-be-seen"), "{refused}");
    }
}

#[tokio::test]
async fn a_write_key_that_changes_in_its_secret_is_used_without_a_restart() {
    let world = World::new().await;
    let secrets = Secrets::with(SECRET_ARN, UNKNOWN_KEY).await;
    let ingester = secrets.ingester(&world, SECRET_ARN).deploy();
    world.s3.put(SOURCE, "track_1.csv", CSV).unwrap();
    let failed = ingester.invoke(&created("track_1.csv")).await;
    let Outcome::Error { message, .. } = &failed.outcome else { panic!("{failed:#?}") };
    assert!(message.contains("the write key is unknown"), "{message}");
    assert_eq!((secrets.reads(), requests(&world, "settings")), (2, 1), "it is read again, and is the same key");

    secrets.set(SECRET_ARN, WRITE_KEY);
    let finished = ingester.invoke(&created("track_1.csv")).await;
    assert_eq!(finished.response().unwrap()["objects"][0]["outcome"], "finished", "{finished:#?}");
    assert_eq!((secrets.reads(), requests(&world, "settings")), (3, 3), "both keys are looked up");
    assert_eq!(dropped(&world, &ingester, "track_2.csv").await["outcome"], "finished");
    assert_eq!((secrets.reads(), requests(&world, "settings")), (3, 3), "the new key is known");
    let log = format!("{failed:?} {finished:?}");
    assert!(!log.contains(UNKNOWN_KEY) && !log.contains(WRITE_KEY), "{log}");
}

#[tokio::test]
async fn a_write_key_that_segment_refuses_is_read_again_once_and_the_file_goes_on() {
    for (status, body) in [(401, ""), (400, r#"{"success":false,"message":"An invalid write key was provided"}"#)] {
        let world = World::new().await;
        let secrets = Secrets::with(SECRET_ARN, UNKNOWN_KEY).await;
        let ingester = secrets.ingester(&world, SECRET_ARN).env("VERIFY_WRITE_KEY", "false").deploy();
        world.segment.faults().add(Rule::on("batch").before(Fault::status(status).body(body)));
        // Several requests are under way at once.
        let rows: String = (0..9_000).map(|row| format!("{row},e,{}\n", "x".repeat(200))).collect();
        world.s3.put(SOURCE, "track_1.csv", format!("userId,event,properties.a\n{rows}")).unwrap();
        let failed = ingester.invoke(&created("track_1.csv")).await;
        assert!(format!("{failed:?}").contains("see WRITE_KEY"), "{failed:#?}");
        assert!(requests(&world, "batch") > 1, "they share one reading");
        assert_eq!(secrets.reads(), 2, "at the start, and once for all of them");

        // The old key is refused once more, and the new one is not.
        world.segment.faults().clear();
        world.segment.faults().add(Rule::on("batch").times(1).before(Fault::status(status).body(body)));
        secrets.set(SECRET_ARN, WRITE_KEY);
        assert_eq!(dropped(&world, &ingester, "track_2.csv").await["outcome"], "finished");
        assert_eq!((secrets.reads(), world.received_ids().len()), (3, 1));
    }
}

#[tokio::test]
async fn nothing_is_sent_with_a_new_key_of_the_secret_that_segment_does_not_know() {
    let world = World::new().await;
    let secrets = Secrets::with(SECRET_ARN, WRITE_KEY).await;
    let ingester = secrets.ingester(&world, SECRET_ARN).deploy();
    assert_eq!(dropped(&world, &ingester, "track_1.csv").await["outcome"], "finished");
    secrets.set(SECRET_ARN, UNKNOWN_KEY);
    world.segment.faults().add(Rule::on("batch").before(Fault::status(401)));
    world.s3.put(SOURCE, "track_2.csv", CSV).unwrap();
    let failed = ingester.invoke(&created("track_2.csv")).await;
    assert!(matches!(failed.outcome, Outcome::Error { .. }), "{failed:#?}");
    assert_eq!(requests(&world, "batch"), 2, "one for each file, with the old key");
}

#[tokio::test]
async fn validate_reads_the_secret_and_uses_its_key() {
    let world = World::new().await;
    let secrets = Secrets::with(SECRET_ARN, UNKNOWN_KEY).await;
    let ingester = secrets.ingester(&world, SECRET_ARN).deploy();
    let validated = async || answer(&ingester, &json!({"validate": []})).await["write_key"].take();
    let unknown = validated().await;
    assert_eq!(unknown["ok"], false, "{unknown:#}");
    secrets.set(SECRET_ARN, WRITE_KEY);
    let known = validated().await;
    assert_eq!(known["ok"], true, "{known:#}");
    secrets.texts.lock().unwrap().clear();
    let gone = validated().await;
    assert_eq!(gone["ok"], false, "{gone:#}");
    assert!(gone["result"].as_str().unwrap().contains("the secret of the write key cannot be used"), "{gone:#}");
    assert!(gone["likely_causes"][0]["fix"].as_str().unwrap().contains("secretsmanager:GetSecretValue"), "{gone:#}");
    assert!(![unknown, known, gone].iter().any(|one| one.to_string().contains("a-key")), "no key is shown");
    // The key that it read last is still in use.
    assert_eq!(dropped(&world, &ingester, "track_1.csv").await["outcome"], "finished");
}

#[tokio::test]
async fn each_source_reads_its_own_secret_again() {
    let world = World::new().await;
    let (one, two) = (format!("{SECRET_ARN}1"), format!("{SECRET_ARN}2"));
    let secrets = Secrets::with(&one, WRITE_KEY).await;
    secrets.set(&two, UNKNOWN_KEY);
    let source = |name: &str, arn: &str| {
        format!("[[source]]\nname = \"{name}\"\nid = \"{name}\"\nmatch = \"{name}/**\"\nwrite_key = \"{arn}\"\n")
    };
    let config = source("one", &one) + &source("two", &two);
    let ingester = secrets.ingester(&world, "").env("SOURCE_ID", "").env("CONFIG", config).deploy();
    assert_eq!(dropped(&world, &ingester, "one/track_1.csv").await["outcome"], "finished");
    assert_eq!(secrets.reads(), 2, "each once");
    secrets.set(&two, WRITE_KEY);
    assert_eq!(dropped(&world, &ingester, "two/track_1.csv").await["outcome"], "finished");
    assert_eq!(secrets.reads(), 3, "the one that Segment did not know");
}
