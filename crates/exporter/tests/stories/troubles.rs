//! The exporter under failures that last for a while.

use std::time::Duration;

use serde_json::json;
use standins::faults::{Fault, Rule};
use standins::s3::Server;

use crate::world::{
    CUSTOMER, LATER_MS, NOW_MS, SOURCE, STATE, STREAM, World, days, destination, documented_role, report, role_arn,
    tick,
};

const QUARANTINE_ADVICE: &str = "; find out what else writes to the state bucket";

/// Takes a customer's role away, as a customer does by mistake.
pub(crate) fn break_role(world: &World, bucket: &str) {
    world.s3.directory().remove_role(&role_arn(bucket));
    world.s3.directory().expire_sessions();
}

#[tokio::test]
async fn while_a_destination_fails_the_others_get_their_objects_and_it_is_tried_once_a_tick() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    break_role(&world, "logs-a");
    let app = world.app();
    for round in 0..3 {
        world.receive(SOURCE, &format!("r{round}"), 80);
        world.receive("mctPe02Qp3", &format!("s{round}"), 80);
        world.s3.requests().clear();
        let report = tick(&app).await;
        world.assert_complete("logs-b");
        assert_eq!(report.plans_open, round + 1);
        assert!(report.alarms[0].starts_with("destination `d0` cannot be written to: failed to assume"));
        let assumed = world.s3.requests().of("AssumeRole");
        assert_eq!(assumed.iter().filter(|request| request.key == role_arn("logs-a")).count(), 1);
    }
    world.s3.directory().add_role(documented_role("logs-a"));
    let report = tick(&app).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("logs-a");
    world.assert_settled();
    // A healthy destination has no failure document.
    world.assert_tidy();
}

#[tokio::test]
async fn a_destination_that_does_not_answer_is_tried_by_one_put() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.s3.faults().add(Rule::on("PutObject").bucket("logs-a").before(Fault::InternalError));
    let app = world.app();
    for request in 0..6 {
        world.receive(&format!("source{request}"), &format!("r{request}"), 2);
    }
    tick(&app).await;
    world.assert_complete("logs-b");
    world.s3.requests().clear();
    tick(&app).await;
    let puts = world.s3.requests().of("PutObject").iter().filter(|request| request.bucket == "logs-a").count();
    assert_eq!(puts, 1);

    world.s3.faults().clear();
    tick(&app).await;
    world.assert_complete("logs-a");
    world.assert_settled();
}

fn quarantined(world: &World) -> Vec<String> {
    world.s3.keys(STATE, "exports/quarantine/")
}

#[tokio::test]
async fn a_damaged_fragment_is_quarantined_and_the_rest_keeps_its_place() {
    for events in [3, 200] {
        let mut world = World::with(&["logs-a", "logs-b"]).await;
        world.receive(SOURCE, "r1", events);
        world.receive(SOURCE, "r3", events);
        let sound = world.received.clone();
        let key = world.receive(SOURCE, "r2", events);
        world.received = sound;
        let mut bytes = world.s3.bytes(STATE, &key).unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        world.s3.put(STATE, &key, &bytes).unwrap();

        let report = tick(&world.app()).await;
        assert_eq!(report.quarantined, std::slice::from_ref(&key));
        assert_eq!(
            report.alarms,
            [format!(
                "fragment {key} is quarantined: the bytes do not have the checksum in the name{QUARANTINE_ADVICE}"
            )]
        );
        for bucket in ["logs-a", "logs-b"] {
            world.assert_complete(bucket);
            assert_eq!(world.s3.keys(bucket, "").len(), 1);
        }
        world.assert_settled();
        assert_eq!(quarantined(&world), [format!("exports/quarantine/{key}")]);
        assert_eq!(world.s3.bytes(STATE, &quarantined(&world)[0]).unwrap(), bytes);
    }
}

/// The same world twice, once with a damaged fragment: the objects have the same names.
/// S3 keeps a checksum of each object, and the SDK compares it.
#[tokio::test]
async fn a_fragment_that_is_damaged_on_its_way_is_got_again_and_not_quarantined() {
    let mut world = World::with(&["logs-a"]).await;
    let app = world.app();
    world.receive(SOURCE, "first", 1);
    tick(&app).await;
    // The exporter has got a fragment, and gets the others without the SDK at first.
    let key = world.receive(SOURCE, "second", 20);
    // As the functions put it: with a checksum.
    let bytes = world.s3.bytes(STATE, &key).unwrap();
    world.bucket().put(&key, bytes, "application/gzip").await.unwrap();
    world.s3.faults().add(Rule::on("GetObject").key("received/*").times(6).after(Fault::DamageAnswer));
    let report = tick(&app).await;
    assert_eq!((report.quarantined, report.alarms), (vec![], vec![]));
    assert_eq!(world.s3.faults().strikes().len(), 6);
    world.assert_complete("logs-a");
}

#[tokio::test]
async fn an_objects_name_does_not_change_when_a_fragment_is_quarantined() {
    let mut names = Vec::new();
    for damaged in [false, true] {
        let mut world = World::with(&["their-logs"]).await;
        world.receive(SOURCE, "r1", 200);
        let key = world.receive(SOURCE, "r2", 200);
        if damaged {
            world.s3.put(STATE, &key, b"something else").unwrap();
        }
        tick(&world.app()).await;
        names.push(world.s3.keys("their-logs", ""));
    }
    assert_eq!(names[0], names[1]);
}

/// Each revision is the whole plan again: hundreds of damaged fragments must not make hundreds of them.
#[tokio::test]
async fn one_revision_leaves_out_every_damaged_fragment_of_an_object() {
    for events in [3, 200] {
        let mut world = World::with(&["their-logs"]).await;
        let mut keys = Vec::new();
        for request in 0..6 {
            let sound = world.received.clone();
            let key = world.receive(SOURCE, &format!("r{request}"), events);
            if request % 2 == 0 {
                world.s3.put(STATE, &key, format!("damage {request}")).unwrap();
                world.received = sound;
                keys.push(key);
            }
        }
        let report = tick(&world.app()).await;
        assert_eq!(report.quarantined, keys);
        world.assert_complete("their-logs");
        world.assert_settled();
        let documents = world.s3.requests().of("PutObject");
        assert_eq!(documents.iter().filter(|request| request.key.starts_with("exports/plans/")).count(), 2);
    }
}

/// A quarantined fragment was not exported. If a person restores it, it is exported, and not mistaken for a repeated
/// write.
#[tokio::test]
async fn a_quarantined_fragment_that_is_put_back_whole_is_exported() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 3);
    let key = world.receive(SOURCE, "r2", 3);
    let whole = world.s3.bytes(STATE, &key).unwrap();
    world.s3.put(STATE, &key, b"damage").unwrap();
    assert_eq!(tick(&world.app()).await.quarantined, std::slice::from_ref(&key));
    world.s3.put(STATE, &key, whole).unwrap();
    let report = tick(&world.app()).await;
    assert_eq!((report.alarms, report.planned.size.events), (Vec::new(), 3));
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// An unreadable plan counts as missing.
#[tokio::test]
async fn a_closed_plan_that_cannot_be_read_stops_nothing() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    let [document] = &world.s3.keys(STATE, "exports/plans/")[..] else { panic!("one plan") };
    world.s3.put(STATE, document, "{").unwrap();
    world.receive(SOURCE, "r2", 3);
    assert_eq!(tick(&world.app()).await.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn a_group_of_only_damaged_fragments_makes_no_object() {
    let mut world = World::with(&["their-logs"]).await;
    let key = world.receive(SOURCE, "r1", 3);
    world.s3.put(STATE, &key, b"").unwrap();
    let report = tick(&world.app()).await;
    assert_eq!(report.quarantined, [key]);
    assert_eq!(world.s3.keys("their-logs", ""), Vec::<String>::new());
    world.assert_settled();
}

#[tokio::test]
async fn a_deleted_fragment_is_reported_with_an_alarm() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 200);
    let sound = world.received.clone();
    let key = world.receive(SOURCE, "r2", 200);
    world.received = sound;
    // It was listed and planned; then it is not there.
    let gone = Fault::status(404).body(no_such_key(&key));
    world.s3.faults().add(Rule::on("GetObject").key("received/*r2*").before(gone));
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, [format!("fragment {key} is quarantined: it is gone{QUARANTINE_ADVICE}")]);
    world.assert_complete("their-logs");
    world.assert_settled();
    assert_eq!(quarantined(&world), Vec::<String>::new());
}

fn no_such_key(key: &str) -> String {
    format!("<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>{key}</Key></Error>")
}

#[tokio::test]
async fn a_fragment_whose_answer_was_cut_short_is_fetched_again() {
    let mut world = World::with(&["their-logs"]).await;
    for request in 0..5 {
        world.receive(SOURCE, &format!("r{request}"), 200);
    }
    world.s3.faults().add(Rule::on("GetObject").key("received/*").times(3).after(Fault::CutAnswer(40)));
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// Our own bucket is slow. The destination has no fault, and the put need not restart.
#[tokio::test]
async fn a_slow_fragment_is_not_blamed_on_the_destination() {
    let mut world = World::with(&["their-logs"]).await;
    for request in 0..6 {
        world.receive(SOURCE, &format!("r{request}"), 200);
    }
    let slow = Fault::Slow(Duration::from_secs(9));
    world.s3.faults().add(Rule::on("GetObject").key("received/*r4*").before(slow));
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    assert_eq!(world.s3.requests().of("PutObject").iter().filter(|put| put.bucket == "their-logs").count(), 1);
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_to_have_landed() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 200);
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").times(1).lose_response());
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    assert_eq!((report.destinations["d0"].objects_put, report.destinations["d0"].objects_found), (0, 1));
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// S3 user guide: a 409 `ConditionalRequestConflict` may mean that nothing landed.
#[tokio::test]
async fn a_conflict_is_tried_again() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 200);
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").times(2).before(Fault::Conflict));
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn a_session_that_ended_in_the_middle_is_renewed() {
    let mut world = World::with(&["their-logs"]).await;
    for request in 0..9 {
        world.receive(&format!("source{request}"), &format!("r{request}"), 2);
    }
    let directory = world.s3.directory().clone();
    let expire = Fault::Do(std::sync::Arc::new(move |_| directory.expire_sessions()));
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").skip(3).times(1).before(expire));
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn sessions_are_kept_and_replaced_before_they_end() {
    let clock = standins::Clock::real();
    let setup = Server::memory().with_clock(clock.clone()).with_bucket(STATE);
    let setup = setup.with_foreign_bucket("their-logs", CUSTOMER, "us-east-1").with_role(documented_role("their-logs"));
    let mut world = World::on(setup.start().await.unwrap(), destination("d0", "their-logs", &["*"]));
    let time = clock.clone();
    let app = world.app_with(world.settings(), aws::Clock::from_fn(move || time.now_ms()));
    for (minutes, sessions) in [(0, 1), (30, 1), (54, 1), (56, 2)] {
        clock.set_ms(standins::Clock::real().now_ms() + minutes * 60_000);
        world.receive(SOURCE, &format!("r{minutes}"), 2);
        tick(&app).await;
        assert_eq!(world.s3.requests().count("AssumeRole"), sessions, "after {minutes} minutes");
    }
    world.assert_complete("their-logs");
}

/// The role lets a session live twelve hours; the exporter's own is a role's too, and a chained session ends after one.
#[tokio::test]
async fn a_session_is_asked_for_no_longer_than_a_chained_role_may_have() {
    let mut world = World::with(&["their-logs"]).await;
    let role = documented_role("their-logs").session_max(Duration::from_secs(12 * 3600));
    world.s3.directory().add_role(role);
    let exporter = standins::iam::Role::new("arn:aws:iam::123456789012:role/exporter")
        .trusting("123456789012")
        .policy(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#);
    world.s3.directory().add_role(exporter);
    let session = world
        .s3
        .directory()
        .session_of("arn:aws:iam::123456789012:role/exporter", "f", Duration::from_secs(3600))
        .unwrap();
    world.receive(SOURCE, "r1", 2);
    let report = tick(&world.app_as(&session)).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
}

#[tokio::test]
async fn fragments_wait_while_the_checkpoint_of_their_file_is_unreadable() {
    let mut world = World::with(&["their-logs"]).await;
    let lines = world.stage_rows(0, 0, 100);
    world.s3.put(STATE, &format!("ingest/{STREAM}/checkpoint.json"), "{").unwrap();
    world.receive(SOURCE, "r1", 2);
    let report = tick(&world.app_at(NOW_MS + days(40))).await;
    assert!(report.alarms[0].starts_with(&format!("checkpoint ingest/{STREAM}/checkpoint.json cannot be read: ")));
    assert_eq!(report.discarded.fragments, 0, "what is not known to be garbage is kept");
    world.assert_complete("their-logs");

    world.commit(&[(0, 0, 100)]);
    tick(&world.app_at(NOW_MS + days(40))).await;
    world.expect(lines);
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn an_unknown_key_among_the_fragments_is_kept_with_an_alarm() {
    let world = World::with(&["their-logs"]).await;
    world.s3.put(STATE, "received/notes.txt", "what people leave").unwrap();
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, ["1 objects under received/ are not fragments: move them elsewhere"]);
    assert_eq!(world.s3.keys(STATE, "received/"), ["received/notes.txt"]);
}

#[tokio::test]
async fn a_tick_stops_before_its_deadline_and_the_next_one_resumes() {
    let mut world = World::with(&["their-logs"]).await;
    for request in 0..10 {
        world.receive(&format!("source{request}"), &format!("r{request}"), 2);
    }
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").skip(5).before(Fault::Hang));
    let app = world.app();
    let stopped = report(app.handle(json!({}), NOW_MS + exporter::STOP_BEFORE_MS + 20_000).await.unwrap());
    assert_eq!(stopped.stopped.as_deref(), Some("the time of this run is over; the next run resumes"));
    assert_eq!(stopped.destinations["d0"].objects_put, 5);

    world.s3.faults().clear();
    let report = tick(&app).await;
    assert_eq!(report.destinations["d0"].objects_put, 5, "what is done is not done again");
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// `cargo lambda watch` hands out a deadline of ten minutes after 1970.
#[tokio::test]
async fn a_deadline_in_the_past_is_ignored() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 2);
    let report = report(world.app().handle(json!({}), 600_000).await.unwrap());
    assert_eq!(report.stopped, None);
    world.assert_complete("their-logs");
}

#[tokio::test]
async fn a_failing_state_bucket_fails_the_invocation_and_the_next_one_resumes() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 2);
    world.s3.faults().add(Rule::on("DeleteObjects").before(Fault::status(403)));
    let words = format!("{:#}", world.app().handle(json!({}), LATER_MS).await.unwrap_err());
    assert!(words.starts_with("failed to export: failed to delete s3://segment-s3-state/received/"), "{words}");
    world.s3.faults().clear();
    tick(&world.app()).await;
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// The names of objects come from the nonce in the plan, so a new state bucket never repeats them.
#[tokio::test]
async fn a_new_state_bucket_overwrites_nothing_in_the_customers_bucket() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 3);
    let theirs = "segment-logs/qv5iYYMxd94DahFpRzm58y/1557532800000/1557606747940.b27b420ba21e.f4c8ef3.420dbd6d-9228-474b-9e11-1744e7626cb8.gz";
    let of_another_exporter = export::fragment::encode(b"{\"from\":\"another exporter\"}\n");
    world.s3.put("their-logs", theirs, &of_another_exporter).unwrap();
    world.received.get_mut(SOURCE).unwrap().push("{\"from\":\"another exporter\"}".to_owned());
    tick(&world.app()).await;
    world.assert_complete("their-logs");

    for key in world.s3.keys(STATE, "") {
        world.s3.delete(STATE, &key).unwrap();
    }
    world.receive(SOURCE, "r2", 3);
    let report = tick(&world.app()).await;
    assert_eq!(report.destinations["d0"].objects_put, 1);
    world.assert_complete("their-logs");
    assert_eq!(world.s3.keys("their-logs", "").len(), 3);
}

#[tokio::test]
async fn leftovers_of_killed_runs_are_deleted() {
    let mut world = World::with(&["their-logs"]).await;
    let orphan = "ffffffffffffffffffffffffffffffff";
    world.s3.put(STATE, &format!("exports/plans/{orphan}.0.json"), "{}").unwrap();
    world.s3.put(STATE, &format!("exports/done/{orphan}/0/0"), "").unwrap();
    tick(&world.app()).await;
    assert_eq!(world.s3.keys(STATE, "exports/").len(), 2, "without a change of the head nothing may be swept");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.assert_tidy();
}

/// The ingester's first try to put a fragment was slower than its second, and slower than the exporter.
#[tokio::test]
async fn a_fragment_written_again_after_its_export_is_not_exported_again() {
    let mut world = World::with(&["their-logs"]).await;
    let key = world.receive(SOURCE, "r1", 3);
    let bytes = world.s3.bytes(STATE, &key).unwrap();
    tick(&world.app()).await;
    world.s3.put(STATE, &key, &bytes).unwrap();
    world.receive(SOURCE, "r2", 3);
    let report = tick(&world.app_at(NOW_MS + 50 * 60_000)).await;
    assert_eq!((report.alarms, report.planned.size.events), (Vec::new(), 3));
    world.assert_complete("their-logs");
    world.assert_settled();
    world.assert_tidy();
    assert_eq!(world.head()["closed"].as_array().unwrap().len(), 2);

    // An hour later it is forgotten, documents and all.
    world.receive(SOURCE, "r3", 3);
    tick(&world.app_at(NOW_MS + 120 * 60_000)).await;
    world.receive(SOURCE, "r4", 3);
    tick(&world.app_at(NOW_MS + 121 * 60_000)).await;
    assert_eq!(world.head()["closed"].as_array().unwrap().len(), 2);
    world.assert_tidy();
}

/// The document of an open plan names the exported fragments. Without it nothing new may be planned.
#[tokio::test]
async fn without_an_open_plans_document_nothing_is_planned() {
    let mut world = World::with(&["their-logs"]).await;
    break_role(&world, "their-logs");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    let [document] = &world.s3.keys(STATE, "exports/plans/")[..] else { panic!("one plan") };
    world.s3.delete(STATE, document).unwrap();
    world.s3.directory().add_role(documented_role("their-logs"));

    let report = tick(&world.app()).await;
    let nonce = document["exports/plans/".len()..].split('.').next().unwrap().to_owned();
    let told = json!({"abandon": {"plan": nonce}});
    assert!(report.alarms[0].starts_with(&format!("nothing new is planned: the document {document} of an open plan")));
    assert!(report.alarms[0].ends_with(&told.to_string().replace(':', ": ")), "{:?}", report.alarms);
    assert_eq!(world.s3.keys("their-logs", ""), Vec::<String>::new());

    // A person abandons the plan, and its events are planned again.
    world.app().handle(told.clone(), LATER_MS).await.unwrap();
    let words = world.app().handle(told, LATER_MS).await.unwrap_err().to_string();
    assert!(words.ends_with("is not open"), "{words}");
    tick(&world.app()).await;
    world.assert_complete("their-logs");
    world.assert_settled();

    // Or it turns up again.
    break_role(&world, "their-logs");
    world.receive(SOURCE, "r2", 3);
    tick(&world.app()).await;
    let open = world.head()["open"][0]["plan"].as_str().unwrap().to_owned();
    let words = world.app().handle(json!({"abandon": {"plan": open}}), LATER_MS).await.unwrap_err().to_string();
    assert!(words.contains("abandon a destination, not the plan"), "{words}");
}
