//! The write key is where it has to be, and nowhere else.

use serde_json::Value;
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
