//! Drills for the procedures of docs/runbook.md that no other story plays.

use serde_json::json;
use standins::iam::Role;
use standins::lambda::{Function, Outcome};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::deployed::Deployed;
use stories::mill::{Mill, Rows};
use stories::{SOURCE_ID, STATE, World, answer};

/// The source's only key, after the person has removed the old one.
const NEW_KEY: &str = "wk-the-new-one";

/// A file whose run was killed, with a part of its rows committed, and more of them sent.
async fn in_flight(key: &str) -> Mill {
    let mill = Mill::new(key, Rows::new(4_000, 50, 1_000)).await;
    mill.killed_once_committed(mill.ingester(), &mill.event(), 1, 2).await;
    let rows = mill.checkpoints()[0]["account"]["rows"].as_u64().unwrap();
    assert!(0 < rows && rows < 4_000, "{rows} rows are committed");
    mill
}

/// After the lease of the killed run.
fn later(function: Function) -> Function {
    function.env("CLOCK_OFFSET_MS", "3600000")
}

#[tokio::test]
async fn a_file_in_flight_survives_the_rotation_of_the_write_key_and_rejects_no_row_meanwhile() {
    let mut mill = in_flight("track_rotated.csv").await;
    let before = mill.world.segment.record().deliveries().len();
    // The old key ends first: Segment knows only the new one.
    let segment = standins::segment::Server::setup().with_write_key(NEW_KEY).start().await.unwrap();
    mill.world.segment_url = segment.url();
    let lookup = |function: Function, world: &World| {
        function.env("VERIFY_WRITE_KEY", "true").env("SEGMENT_SETTINGS_ENDPOINT", &world.segment_url)
    };
    let failed = lookup(later(mill.ingester()), &mill.world).deploy().invoke(&mill.event()).await;
    let Outcome::Error { message, .. } = &failed.outcome else { panic!("{failed:#?}") };
    assert!(message.contains("the write key is unknown, so nothing was sent"), "{message}");
    assert_eq!((segment.record().applied().len(), mill.ledgers().len()), (0, 0));
    // The new key is deployed, and the message comes again.
    let rotated = lookup(later(mill.ingester()), &mill.world).env("WRITE_KEY", NEW_KEY).deploy();
    let report = answer(&rotated, &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    let account = &mill.ledgers()[0]["account"];
    assert_eq!(account["rejected"], json!(mill.rows.refused.len()), "{account:#}");
    assert_eq!(account["acknowledged"], json!(mill.rows.good.len()), "{account:#}");
    let users = |segment: &standins::segment::Server| -> BTreeSet<String> {
        segment.record().applied().into_iter().filter_map(|call| call.user_id).collect()
    };
    let (old, new) = (users(&mill.world.segment), users(&segment));
    assert_eq!(old.union(&new).cloned().collect::<BTreeSet<_>>(), mill.rows.good, "each row");
    assert!(before > 0 && new.len() < mill.rows.good.len(), "the committed rows are not sent again");
}

/// The rule of 24 hours: Segment has forgotten the ids, so what is sent again counts twice.
#[tokio::test]
async fn a_late_redrive_sends_at_most_the_uncommitted_rows_again() {
    let mill = in_flight("track_late.csv").await;
    let committed = mill.checkpoints()[0]["account"]["acknowledged"].as_u64().unwrap();
    let sent = mill.world.received_ids().len();
    let two_days = mill.ingester().env("CLOCK_OFFSET_MS", (2 * stories::DAY_MS).to_string()).deploy();
    let report = answer(&two_days, &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    let twice = mill.world.segment.record().message_ids().into_values().filter(|times| *times > 1).count();
    let committed = usize::try_from(committed).unwrap();
    assert!(twice > 0 && twice == sent - committed, "{twice} twice: {sent} were sent, {committed} committed");
    mill.assert_ingested("late");
}

#[tokio::test]
async fn a_lost_state_bucket_costs_no_row_and_repeats_the_ids() {
    let mill = in_flight("track_lost.csv").await;
    for key in mill.world.s3.keys(STATE, "") {
        mill.world.s3.delete(STATE, &key).unwrap();
    }
    let report = answer(&mill.ingester().deploy(), &mill.event()).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    mill.assert_ingested("lost");
    assert!(mill.duplicates() > 0, "it began anew, under the same ids");
    // What waited for export is gone; what was sent after the loss is in the logs.
    let report = mill.world.export().await;
    assert_eq!(report["alarms"], json!([]), "{report:#}");
    assert_eq!(mill.world.logged().len(), mill.rows.good.len());
}

/// The second stack has its own state bucket and role.
fn second_stack(world: &World, source_id: &str) -> Function {
    let (state, own) = (format!("state-of-{}", source_id.to_lowercase()), &Deployed::read().roles["ingester"]);
    world.s3.create_bucket(&state).unwrap();
    let arn = format!("arn:aws:iam::123456789012:role/{state}");
    world.s3.directory().add_role(Role::new(&arn).policy(&own.policy.to_string().replace(STATE, &state)));
    let role = world.s3.directory().session_of(&arn, "second", Duration::from_secs(86_400)).unwrap();
    world.ingester().envs(world.s3.env_as(&role)).env("STATE_BUCKET", state).env("SOURCE_ID", source_id)
}

#[tokio::test]
async fn two_stacks_on_one_source_bucket_send_each_row_twice_under_the_same_ids_if_they_have_one_source() {
    let mill = Mill::new("track_shared.csv", Rows::new(20, 50, 10)).await;
    answer(&mill.ingester().deploy(), &mill.event()).await;
    let first: BTreeSet<_> = mill.world.received_ids().into_iter().collect();
    for (source_id, repeats) in [(SOURCE_ID, true), ("otherSource", false)] {
        mill.world.segment.record().clear();
        let report = answer(&second_stack(&mill.world, source_id).deploy(), &mill.event()).await;
        assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
        let ids: BTreeSet<_> = mill.world.received_ids().into_iter().collect();
        assert_eq!((ids.len(), ids == first), (20, repeats), "{source_id}");
    }
    assert_eq!(mill.ledgers().len(), 1, "the first stack knows nothing of the others");
}
