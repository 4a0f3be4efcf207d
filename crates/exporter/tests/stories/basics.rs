//! The exporter without failures.

use std::time::Duration;

use config::ConfigFrom;
use export::cut::Limits;
use exporter::Settings;
use protocol::fragment::Origin;
use serde_json::json;
use standins::faults::{Fault, Rule};
use standins::s3::Server;

use crate::troubles::break_role;
use crate::world::{
    CUSTOMER, LATER_MS, NOW_MS, SOURCE, STATE, World, days, destination, documented_role, report, role_arn, routes,
    tick,
};

#[tokio::test]
async fn a_received_event_is_exported_once_and_its_fragment_deleted() {
    let mut world = World::with(&["their-logs"]).await;
    world.receive(SOURCE, "r1", 3);
    world.receive(SOURCE, "r2", 5);
    world.receive("mctPe02Qp3", "r3", 1);
    let app = world.app();

    let report = tick(&app).await;
    assert_eq!(report.summary, "2 objects with 9 events in 1 destination");
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    world.assert_settled();
    world.assert_tidy();

    let objects = world.s3.objects("their-logs", "");
    let object = objects.last().unwrap();
    let day_ms = NOW_MS - NOW_MS % days(1);
    assert!(object.key.starts_with(&format!("segment-logs/{SOURCE}/{day_ms}/{NOW_MS}.")), "{}", object.key);
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(object.content_encoding.as_deref(), Some("gzip"));

    let again = tick(&app).await;
    assert_eq!(again.summary, "nothing was exported");
    world.assert_complete("their-logs");
}

#[tokio::test]
async fn large_fragments_are_joined_without_being_inflated() {
    let mut world = World::with(&["their-logs"]).await;
    let keys = ["r1", "r2", "r3"].map(|request| world.receive(SOURCE, request, 200));
    let bytes = |key: &String| world.s3.bytes(STATE, key).unwrap().len();
    let joined = 10 + keys.iter().map(|key| bytes(key) - 23).sum::<usize>() + 13;

    tick(&world.app()).await;
    world.assert_complete("their-logs");
    let [object] = &world.s3.objects("their-logs", "")[..] else { panic!("one object") };
    assert_eq!(object.size, joined as u64);
}

/// The role's session is all that reaches a customer's bucket, and puts are all that it asks for.
#[tokio::test]
async fn in_customers_buckets_the_exporter_only_puts_objects() {
    let mut world = World::with(&["their-logs/some/prefix"]).await;
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.assert_complete("their-logs");
    let theirs: Vec<_> =
        world.s3.requests().all().into_iter().filter(|request| request.bucket == "their-logs").collect();
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0].operation, "PutObject");
    assert!(theirs[0].key.starts_with("some/prefix/segment-logs/"));
    assert_eq!(theirs[0].if_none_match.as_deref(), Some("*"));
    let caller = theirs[0].caller.clone().unwrap();
    assert!(caller.ends_with(":assumed-role/logs-their-logs/exporter-under-test"), "{caller}");
}

#[tokio::test]
async fn every_destination_of_a_source_gets_every_event() {
    let mut world = World::with(&["logs-a", "logs-b", "logs-c"]).await;
    for request in 0..20 {
        world.receive(SOURCE, &format!("r{request}"), 40);
    }
    let report = tick(&world.app()).await;
    assert_eq!(report.summary, "3 objects with 2400 events in 3 destinations");
    for bucket in ["logs-a", "logs-b", "logs-c"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}

/// The case of the walkthrough: two sources, two buckets and two roles. Neither role reaches the other bucket.
#[tokio::test]
async fn stage_and_prod_go_to_their_own_buckets_through_their_own_roles() {
    let document = include_str!("../../examples/stage-prod.toml");
    let routes = routes(document);
    let mut setup = Server::memory().with_bucket(STATE);
    for destination in &routes.destinations {
        let role = documented_role(&destination.bucket);
        setup = setup.with_foreign_bucket(&destination.bucket, CUSTOMER, &destination.region).with_role(role);
    }
    let s3 = setup.start().await.unwrap();
    // The example has the customer's own role names; the stand-in's roles are named after their buckets.
    let document = routes.destinations.iter().fold(document.to_owned(), |text, destination| {
        text.replace(&destination.role_arn, &role_arn(&destination.bucket))
            .replace(&destination.external_id, crate::world::EXTERNAL_ID)
    });
    let mut world = World::on(s3, document);
    for (number, source) in routes.sources.iter().enumerate() {
        world.receive(source.id.as_str(), &format!("r{number}"), 3);
    }
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_settled();
    for destination in &routes.destinations {
        let exported = world.exported(&destination.bucket);
        for source in &routes.sources {
            let id = source.id.as_str();
            let expected = destination.sources.contain(&source.id).then(|| world.received[id].clone());
            assert_eq!(exported.get(id).cloned(), expected, "{id} in {}", destination.bucket);
        }
    }
}

#[tokio::test]
async fn a_tick_for_full_objects_leaves_the_rest_waiting() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes.push_str("batch_bytes_max = 1000000\n");
    for request in 0..12 {
        world.receive(SOURCE, &format!("r{request}"), 700);
    }
    let app = world.app();
    let full = json!({"flush": "full", "time": "2019-05-11T20:32:00Z"});
    let report = report(app.handle(full, LATER_MS).await.unwrap());
    assert_eq!(report.destinations["d0"].objects_put, 2);
    assert!(report.waiting.not_full.raw_bytes < 1_000_000, "{report:?}");
    assert!(report.waiting.not_full.fragments > 0);
    assert!(world.s3.keys("their-logs", "")[0].contains("/1557606720000."), "named by the event's own time");

    tick(&app).await;
    world.assert_complete("their-logs");
    world.assert_settled();
}

#[tokio::test]
async fn a_late_event_is_in_the_folder_of_the_day_it_was_received() {
    let world = World::with(&["their-logs"]).await;
    let long_ago = NOW_MS - days(9);
    world.stage(SOURCE, Origin::Request { id: "r1".parse().unwrap() }, 1, long_ago);
    tick(&world.app()).await;
    let [key] = &world.s3.keys("their-logs", "")[..] else { panic!("one object") };
    let day_ms = long_ago - long_ago % days(1);
    assert!(key.starts_with(&format!("segment-logs/{SOURCE}/{day_ms}/{NOW_MS}.")), "{key}");
}

/// Sent and staged, killed before the checkpoint, sent and staged again by the next owner.
#[tokio::test]
async fn a_batch_that_was_staged_twice_is_exported_once() {
    let mut world = World::with(&["their-logs"]).await;
    let first = world.stage_rows(0, 0, 100);
    world.stage_rows(0, 100, 200);
    let again = world.stage_rows(1, 100, 200);
    let last = world.stage_rows(1, 200, 300);
    world.commit(&[(0, 0, 100), (1, 100, 200)]);
    let app = world.app();

    let report = tick(&app).await;
    world.expect([first, again].concat());
    world.assert_complete("their-logs");
    assert_eq!(report.waiting.uncommitted.fragments, 2);

    // The file ends: the checkpoint may go, the ledger stays.
    world.s3.delete(STATE, &format!("ingest/{}/checkpoint.json", crate::world::STREAM)).unwrap();
    world.account("ledger", &[(0, 0, 100), (1, 100, 300)]);
    tick(&app).await;
    world.expect(last);
    world.assert_complete("their-logs");
    assert_eq!(world.s3.keys(STATE, "received/").len(), 1, "what the killed run left is not exported");
}

#[tokio::test]
async fn fragments_of_a_killed_run_expire_and_are_counted() {
    let world = World::with(&["their-logs"]).await;
    world.stage_rows(0, 0, 100);
    world.commit(&[(1, 0, 100)]);
    let report = tick(&world.app_at(NOW_MS + days(30))).await;
    assert_eq!(report.waiting.uncommitted.fragments, 1);
    let report = tick(&world.app_at(NOW_MS + days(31))).await;
    assert_eq!((report.discarded.fragments, report.expired.events), (1, 0));
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_settled();
    assert_eq!(world.s3.keys("their-logs", ""), Vec::<String>::new());
}

#[tokio::test]
async fn fragments_whose_account_is_gone_are_discarded_with_an_alarm() {
    let world = World::with(&["their-logs"]).await;
    world.stage_rows(0, 0, 100);
    world.stage_rows(0, 100, 200);
    let report = tick(&world.app_at(NOW_MS + days(30))).await;
    assert_eq!((report.waiting.uncommitted.events, report.alarms.len()), (4, 0));
    let report = tick(&world.app_at(NOW_MS + days(31))).await;
    assert_eq!((report.unaccounted.events, report.unaccounted.fragments, report.discarded.events), (4, 2, 0));
    assert_eq!(
        report.alarms,
        [
            "4 events in 2 fragments are discarded, because checkpoint and ledger of their files are gone: find out what \
          deletes objects under ingest/, and keep the lifecycle rule for it longer than EXPIRE_DAYS"
        ]
    );
    world.assert_settled();
}

#[tokio::test]
async fn the_age_of_the_oldest_unexported_event_is_known_at_every_tick() {
    let clock = standins::Clock::frozen_at(NOW_MS);
    let mut world = World::at(&["logs-a", "logs-b"], clock.clone()).await;
    let app_clock = clock.clone();
    let app = world.app_with(world.settings(), aws::Clock::from_fn(move || app_clock.now_ms()));
    let age = async || tick(&app).await.oldest_unexported_seconds;
    let later = |seconds| clock.advance(Duration::from_secs(seconds));
    assert_eq!(age().await, Some(0), "nothing waits");
    world.stage_rows(0, 0, 100);
    later(1_000);
    world.receive(SOURCE, "r1", 3);
    later(500);
    break_role(&world, "logs-a");
    assert_eq!(age().await, Some(500), "rows in no committed range may never count");
    later(100);
    assert_eq!(age().await, Some(600), "the plan is open, because one destination fails");
    world.s3.directory().add_role(documented_role("logs-a"));
    assert_eq!(age().await, Some(600), "at the beginning of the tick");
    assert_eq!(age().await, Some(0));
}

#[tokio::test]
async fn uncommitted_fragments_of_an_unrouted_source_are_discarded_not_lost() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes = destination("d0", "their-logs", &["another"]);
    world.stage_rows(0, 0, 100);
    world.stage_rows(1, 0, 100);
    world.commit(&[(1, 0, 100)]);
    let report = tick(&world.app_at(NOW_MS + days(31))).await;
    assert_eq!((report.discarded.events, report.expired.events), (2, 2));
    world.assert_settled();
}

#[tokio::test]
async fn a_source_without_a_destination_waits_with_an_alarm_and_expires_with_another() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes = destination("d0", "their-logs", &["routed"]);
    world.receive("unrouted", "r1", 3);
    let report = tick(&world.app()).await;
    assert_eq!(report.waiting.unrouted["unrouted"].events, 3);
    assert_eq!(
        report.alarms,
        ["no destination takes source `unrouted`: 3 events wait; add the source to a destination"]
    );
    assert!(world.s3.bytes(STATE, "exports/head.json").is_none(), "nothing was planned");

    let report = tick(&world.app_at(NOW_MS + days(31))).await;
    assert_eq!(report.expired.events, 3);
    assert_eq!(
        report.alarms,
        ["3 events expired: no destination accepted them within 30 days; add their source to a destination"]
    );
    world.assert_settled();

    world.receive("unrouted", "r2", 2);
    world.received.get_mut("unrouted").unwrap().drain(..3);
    world.routes = destination("d0", "their-logs", &["*"]);
    tick(&world.app()).await;
    world.assert_complete("their-logs");
}

#[tokio::test]
async fn encryption_class_acl_and_owner_are_sent_with_every_object() {
    let mut world = World::with(&["their-logs"]).await;
    let key = format!("arn:aws:kms:us-east-1:{CUSTOMER}:key/1234");
    world.routes.push_str(&format!(
        "sse = \"aws:kms\"\nkms_key_arn = {key:?}\nstorage_class = \"STANDARD_IA\"\nacl = \"bucket-owner-full-control\"\nexpected_bucket_owner = \"{CUSTOMER}\"\n"
    ));
    let acl = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["s3:PutObjectAcl", "kms:GenerateDataKey"], "Resource": "*",
    }]});
    world.s3.directory().add_role(documented_role("their-logs").policy(&acl.to_string()));
    world.receive(SOURCE, "r1", 3);
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_complete("their-logs");
    let [object] = &world.s3.objects("their-logs", "")[..] else { panic!("one object") };
    assert_eq!(object.acl.as_deref(), Some("bucket-owner-full-control"));
    assert_eq!(object.server_side_encryption.as_deref(), Some("aws:kms"));
    assert_eq!(object.kms_key_id.as_deref(), Some(key.as_str()));
    assert_eq!(object.storage_class.as_deref(), Some("STANDARD_IA"));

    // The settings now name another owner of the bucket.
    world.routes = world.routes.replace(&format!("owner = \"{CUSTOMER}\""), "owner = \"999999999999\"");
    world.receive(SOURCE, "r2", 3);
    let report = tick(&world.app()).await;
    assert!(report.alarms[0].contains("AccessDenied"), "{:?}", report.alarms);
    assert_eq!(world.s3.keys("their-logs", "").len(), 1);
}

fn from_object() -> ConfigFrom {
    ConfigFrom::Object { bucket: STATE.into(), key: "segment-s3.toml".into() }
}

#[tokio::test]
async fn the_configuration_is_read_again_at_every_tick() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    let settings = || Settings { config: from_object(), ..world.settings() };
    let app = world.app_with(settings(), aws::Clock::from_fn(|| NOW_MS));

    let words = app.handle(json!({}), LATER_MS).await.unwrap_err().to_string();
    assert_eq!(words, "CONFIG (s3://segment-s3-state/segment-s3.toml) cannot be used: there is no such object");
    world.s3.put(STATE, "segment-s3.toml", destination("a", "s3://logs-a", &["*"])).unwrap();
    let words = app.handle(json!({}), LATER_MS).await.unwrap_err().to_string();
    let expected = "cannot be used: line 4, column 10: destination 1 (a): `bucket` is an s3:// URI";
    assert!(words.contains(expected), "{words}");

    for bucket in ["logs-a", "logs-b"] {
        world.s3.put(STATE, "segment-s3.toml", destination("d", bucket, &["*"])).unwrap();
        world.received.clear();
        world.receive(SOURCE, &format!("for-{bucket}"), 2);
        let report = tick(&app).await;
        assert!(report.config.unwrap().starts_with("s3://segment-s3-state/segment-s3.toml ("));
        world.assert_complete(bucket);
    }
}

#[tokio::test]
async fn a_faulty_configuration_leaves_the_last_good_one_in_force_and_raises_an_alarm() {
    let mut world = World::with(&["logs-a"]).await;
    let settings = || Settings { config: from_object(), ..world.settings() };
    let [first, fresh] = [(); 2].map(|()| world.app_with(settings(), aws::Clock::from_fn(|| NOW_MS)));
    world.s3.put(STATE, "segment-s3.toml", destination("d", "logs-a", &["*"])).unwrap();
    let good = tick(&first).await;
    assert_eq!(good.alarms, [""; 0]);

    world.s3.put(STATE, "segment-s3.toml", "[[destination]\n").unwrap();
    // The process that has read the good document, and one that has not.
    for (app, round) in [(&first, "r1"), (&fresh, "r2")] {
        world.receive(SOURCE, round, 2);
        let report = tick(app).await;
        let [alarm] = &report.alarms[..] else { panic!("{:?}", report.alarms) };
        assert!(alarm.contains("line 1, column 15: not TOML"), "{alarm}");
        assert!(alarm.contains("the last document without a fault is in force"), "{alarm}");
        assert_ne!(report.config, None);
    }
    world.assert_complete("logs-a");

    world.s3.put(STATE, "segment-s3.toml", destination("d", "logs-a", &["*"])).unwrap();
    assert_eq!(tick(&fresh).await.alarms, [""; 0]);
}

#[tokio::test]
async fn many_fragments_make_several_plans_in_one_tick() {
    let mut world = World::with(&["their-logs"]).await;
    for request in 0..25 {
        world.receive(SOURCE, &format!("r{request}"), 1);
    }
    let mut settings = world.settings();
    settings.limits = Limits { fragments_max: 4, ..Limits::default() };
    let report = tick(&world.app_with(settings, aws::Clock::from_fn(|| NOW_MS))).await;
    assert_eq!((report.planned.plans, report.plans_closed), (7, 7));
    world.assert_complete("their-logs");
    world.assert_settled();
}

/// Segment docs: destinations/catalog/aws-s3: neither the integrations object nor a filter has a say here.
/// Of the first source there never is enough for an object: it must not hide the second one for ever.
#[tokio::test]
async fn a_tick_that_cannot_consider_everything_begins_where_the_last_one_stopped() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes.push_str("batch_bytes_max = 1000000\n");
    for request in 0..1_100 {
        world.receive("aFewNow", &format!("r{request}"), 1);
    }
    for request in 0..8 {
        world.receive("zMany", &format!("r{request}"), 700);
    }
    let mut settings = world.settings();
    settings.caps.considered_max = 1_000;
    let app = world.app_with(settings, aws::Clock::from_fn(|| NOW_MS));
    let full = async || report(app.handle(json!({"flush": "full"}), LATER_MS).await.unwrap());
    let first = full().await;
    assert_eq!(first.destinations.len(), 0);
    assert_eq!(first.alarms, ["more fragments wait than one tick considers; the next ticks continue"]);
    assert!(world.s3.bytes(STATE, "exports/cursor").is_some());
    let second = full().await;
    assert_eq!(second.destinations["d0"].objects_put, 1);

    // All in all nothing is left out, and the cursor goes when it is not needed any more.
    for _ in 0..4 {
        tick(&app).await;
    }
    world.assert_complete("their-logs");
    world.assert_settled();
    world.assert_tidy();
}

#[tokio::test]
async fn many_destinations_get_their_objects_in_one_tick() {
    let buckets: Vec<String> = (0..30).map(|number| format!("logs-{number:02}")).collect();
    let buckets: Vec<&str> = buckets.iter().map(String::as_str).collect();
    let mut world = World::with(&buckets).await;
    world.routes = String::new();
    for bucket in &buckets {
        let source = bucket.replace('-', "");
        world.routes.push_str(&destination(bucket, bucket, &[&source]));
        world.receive(&source, "r1", 2);
    }
    let report = tick(&world.app()).await;
    assert_eq!((report.alarms, report.destinations.len()), (Vec::new(), 30));
    for bucket in buckets {
        world.assert_complete_of(bucket, &[&bucket.replace('-', "")]);
    }
    world.assert_settled();
}

/// The choice is random, so that no plan waits forever.
#[tokio::test]
async fn events_beyond_the_limits_of_a_tick_are_exported_by_a_later_one() {
    let mut world = World::with(&["their-logs"]).await;
    world.routes = String::new();
    for number in 0..9 {
        let (source, place) = (format!("source{number}"), format!("their-logs/segment-logs/{number}"));
        world.routes.push_str(&destination(&format!("d{number}"), &place, &[&source]));
        world.receive(&source, "r1", 2);
    }
    let mut settings = world.settings();
    settings.caps.plans_per_tick_max = 4;
    let app = world.app_with(settings, aws::Clock::from_fn(|| NOW_MS));
    let first = tick(&app).await;
    assert_eq!(first.alarms, ["10 events wait for the next tick: one tick opens at most 4 plans"]);
    assert_eq!((first.planned.plans, first.waiting.later.events), (4, 10));
    for _ in 0..2 {
        tick(&app).await;
    }
    let exported: usize = world.exported("their-logs").values().map(Vec::len).sum();
    assert_eq!(exported, 18);
    world.assert_settled();
}

/// So little memory that one fragment takes all of it: then they come one after the other, and nothing stands still.
#[tokio::test]
async fn fragments_wait_for_memory_without_deadlock() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    for request in 0..40 {
        world.receive(&format!("joined{}", request % 4), &format!("r{request}"), 200);
        world.receive(&format!("rewritten{}", request % 4), &format!("r{request}"), 2);
    }
    let mut settings = world.settings();
    settings.caps.fetched_bytes_max = 1_024;
    settings.caps.rewritten_bytes_max = 1_024;
    let report = tick(&world.app_with(settings, aws::Clock::from_fn(|| NOW_MS))).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    for bucket in ["logs-a", "logs-b"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}

#[tokio::test]
async fn every_line_is_exported_as_it_was_received() {
    let mut world = World::with(&["their-logs"]).await;
    for (request, call) in [
        ("r1", r#"{"type":"track","messageId":"1","event":"e","integrations":{"All":false,"AWS S3":false}}"#),
        ("r2", r#"{"type":"identify","messageId":"2","traits":{"first_time_shopper":true},"userId":"ä\u0000\"ø"}"#),
        ("r3", r#"{"type":"page","messageId":"3","properties":{"deep":{"er":[1,2,{"x":null}]},"price":14.990}}"#),
    ] {
        world.receive_call(SOURCE, request, call);
    }
    tick(&world.app()).await;
    world.assert_complete("their-logs");
}

/// The documented way from another exporter: a test place first, then the real one, under one role.
#[tokio::test]
async fn a_move_from_a_test_prefix_to_the_real_one_mixes_no_objects() {
    let mut world = World::with(&["their-logs"]).await;
    let real = world.routes.clone();
    world.routes = destination("d0", "their-logs/segment-logs/test", &["*"]);
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    // One more is planned for the test place, and does not get there before the settings change.
    world.receive(SOURCE, "r2", 3);
    world.s3.faults().add(Rule::on("PutObject").bucket("their-logs").before(Fault::SlowDown));
    tick(&world.app()).await;
    world.s3.faults().clear();

    world.routes = real;
    world.receive(SOURCE, "r3", 3);
    let report = tick(&world.app()).await;
    assert_eq!(report.alarms, Vec::<String>::new());
    world.assert_settled();
    let (test, real): (Vec<String>, Vec<String>) =
        world.s3.keys("their-logs", "").into_iter().partition(|key| key.starts_with("segment-logs/test/segment-logs/"));
    assert_eq!((test.len(), real.len()), (2, 1));
    assert!(real[0].starts_with(&format!("segment-logs/{SOURCE}/")));
    for key in test {
        world.s3.delete("their-logs", &key).unwrap();
    }
    world.received.get_mut(SOURCE).unwrap().drain(..6);
    world.assert_complete("their-logs");
}
