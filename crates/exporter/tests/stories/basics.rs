//! What the exporter does on a good day.

use crate::world::{NOW_MS, SOURCE, STATE, World, tick};

#[tokio::test]
async fn what_was_received_is_exported_once_and_waits_no_more() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 3);
    world.receive(SOURCE, "r2", 5);
    world.receive("mctPe02Qp3", "r3", 1);
    let app = world.app();

    let report = tick(&app).await;
    assert_eq!(report.summary, "2 objects with 9 events in 1 destination; no plan is open");
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
    assert_eq!(world.s3.keys(STATE, ""), ["exports/head.json"]);

    let objects = world.s3.objects("their-logs", "");
    let object = objects.last().unwrap();
    let day_ms = NOW_MS - NOW_MS % 86_400_000;
    assert!(object.key.starts_with(&format!("segment-logs/{SOURCE}/{day_ms}/{NOW_MS}.")), "{}", object.key);
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(object.content_encoding.as_deref(), Some("gzip"));

    let again = tick(&app).await;
    assert_eq!(again.summary, "nothing was exported; no plan is open");
    world.assert_complete("their-logs");
}
