//! The write key is where it has to be, and nowhere else.

use serde_json::{Value, json};
use standins::lambda::Invocation;
use stories::{SOURCE, STATE, WRITE_KEY, World, created, event, sample};

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
