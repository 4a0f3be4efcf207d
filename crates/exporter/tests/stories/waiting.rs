//! Destinations that do not accept their plans: which events wait, how long, and when they expire.

use exporter::Answer;
use serde_json::json;
use standins::faults::{Fault, Rule};
use standins::s3::Server;

use crate::troubles::break_role;
use crate::world::{
    CUSTOMER, LATER_MS, NOW_MS, SOURCE, STATE, World, days, described, destination, documented_policy, documented_role,
    tick,
};

#[tokio::test]
async fn plans_of_a_removed_destination_wait_until_it_is_back() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    let both = world.routes.clone();
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;

    world.routes = destination("d1", "logs-b", &["*"]);
    let report = tick(&world.app()).await;
    assert_eq!(
        report.alarms,
        ["destination `d0` is no longer in the settings: 1 of its plans wait; add it again, or abandon it"]
    );
    assert_eq!(world.s3.keys(STATE, "received/").len(), 1);

    world.routes = both;
    world.s3.directory().add_role(documented_role("logs-a"));
    tick(&world.app()).await;
    for bucket in ["logs-a", "logs-b"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}

#[tokio::test]
async fn plans_of_a_removed_destination_are_given_up_on_request() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    let abandon = json!({"abandon": {"destination": "d0"}});
    let words = world.app().handle(abandon.clone(), LATER_MS).await.unwrap_err().to_string();
    assert!(words.contains("remove or disable it first"), "{words}");

    world.routes = destination("d1", "logs-b", &["*"]);
    let Answer::Abandoned(abandoned) = world.app().handle(abandon.clone(), LATER_MS).await.unwrap() else {
        panic!("abandoned")
    };
    assert_eq!((abandoned.plans, abandoned.size.events), (1, 3));
    let Answer::Abandoned(again) = world.app().handle(abandon, LATER_MS).await.unwrap() else { panic!("abandoned") };
    assert_eq!((again.plans, again.size.events), (0, 0));

    let report = tick(&world.app()).await;
    assert_eq!((report.plans_closed, report.alarms.len()), (1, 0));
    world.assert_complete("logs-b");
    world.assert_settled();
    assert_eq!(world.s3.keys("logs-a", ""), Vec::<String>::new());
}

#[tokio::test]
async fn a_disabled_destination_gets_nothing_new_and_keeps_its_plans() {
    let mut world = World::with(&["logs-a"]).await;
    let enabled = world.routes.clone();
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.routes.push_str("enabled = false\n");
    world.receive(SOURCE, "r2", 3);
    let report = tick(&world.app()).await;
    assert_eq!(report.destinations["d0"].failed.as_deref(), Some("it is disabled: 1 of its plans wait"));
    assert_eq!(report.waiting.unrouted[SOURCE].events, 3);

    world.routes = enabled;
    world.s3.directory().add_role(documented_role("logs-a"));
    tick(&world.app()).await;
    world.assert_complete("logs-a");
    world.assert_settled();
}

/// Ticks for 30 days, less a few hours. (There are more of them in life.)
async fn ticks_of_a_month(world: &World, settings: &exporter::Settings) {
    for hours in (0..30 * 24).step_by(5) {
        let now_ms = NOW_MS + hours * 3_600_000;
        tick(&world.app_with(settings.clone(), aws::Clock::from_fn(move || now_ms))).await;
    }
}

/// A month without a try is not a month of failures.
#[tokio::test]
async fn one_failed_try_after_a_month_on_hold_gives_nothing_up() {
    let mut world = World::with(&["logs-a"]).await;
    let routes = world.routes.clone();
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.routes = destination("another", "logs-a", &["none"]);
    let report = tick(&world.app_at(NOW_MS + days(31))).await;
    assert!(report.alarms[0].contains("add it again, or abandon it"), "{:?}", report.alarms);
    world.routes = routes;
    let report = tick(&world.app_at(NOW_MS + days(40))).await;
    assert_eq!((report.expired.events, report.plans_open), (0, 1));
    world.s3.directory().add_role(documented_role("logs-a"));
    tick(&world.app_at(NOW_MS + days(40))).await;
    world.assert_complete("logs-a");
    world.assert_settled();
}

#[tokio::test]
async fn a_destination_that_is_disabled_for_long_has_an_alarm() {
    let mut world = World::with(&["logs-a"]).await;
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.routes.push_str("enabled = false\n");
    let alarms = async |at| tick(&world.app_at(NOW_MS + at)).await.alarms;
    assert_eq!(alarms(days(29)).await, Vec::<String>::new());
    assert!(
        alarms(days(30)).await[0].starts_with("destination `d0` is disabled, and its plans have waited for 30 days")
    );
}

#[tokio::test]
async fn events_that_a_destination_refuses_for_a_month_expire_with_an_alarm() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    let settings = world.settings();
    ticks_of_a_month(&world, &settings).await;
    assert_eq!(world.s3.keys(STATE, "received/").len(), 1);
    let report = tick(&world.app_at(NOW_MS + days(30))).await;
    assert_eq!(report.expired.events, 3);
    let [failed, expired] = &report.alarms[..] else { panic!("{:?}", report.alarms) };
    assert!(failed.starts_with("destination `d0` cannot be written to"), "{failed}");
    assert_eq!(
        expired,
        "3 events expired: destination `d0` did not accept them within 30 days; repair the destination"
    );
    world.assert_complete("logs-b");
    world.assert_settled();
}

/// A day on which a destination has one plan, and may have no more.
async fn a_destination_for_which_no_more_may_be_planned() -> (World, exporter::Settings) {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.routes =
        destination("d0", "logs-a", &["ours", "shared"]) + &destination("d1", "logs-b", &["theirs", "shared"]);
    break_role(&world, "logs-a");
    let mut settings = world.settings();
    settings.caps.open_plans_max = 1;
    world.receive("ours", "r0", 3);
    tick(&world.app_with(settings.clone(), aws::Clock::from_fn(|| NOW_MS))).await;
    (world, settings)
}

#[tokio::test]
async fn beyond_the_cap_of_open_plans_there_is_an_alarm_and_no_growth_and_others_go_on() {
    let (mut world, settings) = a_destination_for_which_no_more_may_be_planned().await;
    let orphan = "exports/plans/ffffffffffffffffffffffffffffffff.0.json";
    world.s3.put(STATE, orphan, "{}").unwrap();
    let app = world.app_with(settings, aws::Clock::from_fn(|| NOW_MS));
    world.receive("ours", "r1", 2);
    let report = tick(&app).await;
    let capped = "destination `d0` has as many open plans as allowed: 2 more events wait until some of them \
                  close; repair or abandon the destination";
    assert_eq!(report.alarms[0], capped);
    assert_eq!((report.waiting.capped["d0"].events, report.plans_open), (2, 1));
    assert!(world.s3.bytes(STATE, orphan).is_some(), "without a change of the head nothing may be swept");

    world.receive("theirs", "r2", 3);
    let report = tick(&app).await;
    assert_eq!((report.destinations["d1"].objects_put, report.plans_open), (1, 1));
    assert!(world.s3.bytes(STATE, orphan).is_none());

    world.s3.directory().add_role(documented_role("logs-a"));
    for _ in 0..2 {
        tick(&app).await;
    }
    world.assert_complete_of("logs-a", &["ours"]);
    world.assert_complete_of("logs-b", &["theirs"]);
    world.assert_settled();
}

/// Events beyond the cap must not wait until the bucket's lifecycle rule deletes them silently.
#[tokio::test]
async fn events_beyond_the_cap_expire_for_that_destination_only() {
    let (mut world, settings) = a_destination_for_which_no_more_may_be_planned().await;
    world.receive("shared", "r1", 2);
    let at = |days_later| world.app_with(settings.clone(), aws::Clock::from_fn(move || NOW_MS + days(days_later)));
    let report = tick(&at(29)).await;
    assert_eq!((report.waiting.capped["d0"].events, report.expired.events), (2, 0));
    let report = tick(&at(31)).await;
    assert_eq!(report.expired.events, 2);
    let expired = "2 events expired: destination `d0` did not accept them within 30 days; repair the destination";
    assert!(report.alarms.iter().any(|alarm| alarm == expired), "{:?}", report.alarms);
    world.s3.directory().add_role(documented_role("logs-a"));
    tick(&at(31)).await;
    world.assert_complete_of("logs-a", &["ours"]);
    world.assert_complete_of("logs-b", &["shared"]);
    world.assert_settled();
}

#[tokio::test]
async fn a_plan_for_an_old_bucket_does_not_delay_the_new_bucket() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.routes = destination("d0", "logs-a", &["*"]);
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;

    world.routes = destination("d0", "logs-b", &["*"]);
    world.receive(SOURCE, "r2", 2);
    let report = tick(&world.app()).await;
    assert_eq!(report.destinations["d0"].events, 2);
    assert!(report.destinations["d0 (before: logs-a)"].failed.as_ref().unwrap().contains("AccessDenied"));
    let told = r#"{"abandon": {"destination": "d0", "bucket": "logs-a"}}"#;
    assert!(report.alarms[0].ends_with(told), "{:?}", report.alarms);

    let now = json!({"abandon": {"destination": "d0", "bucket": "logs-b"}});
    let words = world.app().handle(now, LATER_MS).await.unwrap_err().to_string();
    assert!(words.contains("remove or disable it first"), "{words}");
    let abandon = serde_json::from_str(told).unwrap();
    let Answer::Abandoned(abandoned) = world.app().handle(abandon, LATER_MS).await.unwrap() else {
        panic!("abandoned")
    };
    assert_eq!((abandoned.plans, abandoned.size.events), (1, 3));
    assert_eq!(tick(&world.app()).await.alarms, Vec::<String>::new());
    world.assert_settled();
}

/// The bucket of a customer whose name an account of a stranger has taken. Its policy lets everybody put.
async fn a_bucket_that_a_stranger_has_taken() -> World {
    let setup = Server::memory()
        .with_bucket(STATE)
        .with_foreign_bucket("logs-a", "999999999999", "us-east-1")
        .with_foreign_bucket("logs-b", CUSTOMER, "us-east-1")
        .with_role(documented_role("logs-a"))
        .with_role(documented_role("logs-b").policy(&documented_policy("logs-a")));
    let world = World::on(setup.start().await.unwrap(), destination("d0", "logs-a", &["*"]));
    let everybody = json!({"Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs-a/*",
    }});
    world.s3.set_bucket_policy("logs-a", &everybody.to_string()).unwrap();
    world
}

#[tokio::test]
async fn a_bucket_that_a_stranger_has_taken_gets_no_event() {
    let mut world = a_bucket_that_a_stranger_has_taken().await;
    world.receive(SOURCE, "r1", 3);
    let report = tick(&world.app()).await;
    assert!(report.alarms[0].contains("AccessDenied"), "{:?}", report.alarms);
    assert_eq!(world.s3.keys("logs-a", ""), [""; 0]);
    // Only the check of the owner keeps the events back. An open plan follows the settings.
    world.routes.push_str("expected_bucket_owner = \"any\"\n");
    assert_eq!(tick(&world.app()).await.alarms, [""; 0]);
    world.assert_complete("logs-a");
    world.assert_settled();
}

#[tokio::test]
async fn the_owner_in_the_settings_is_not_asked_of_a_former_bucket() {
    let mut world = a_bucket_that_a_stranger_has_taken().await;
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    // The settings do not check the owner of the new bucket. The plan still checks the owner of the old one.
    world.routes = destination("d0", "logs-b", &["*"]) + "expected_bucket_owner = \"any\"\n";
    let report = tick(&world.app()).await;
    let failed = report.destinations["d0 (before: logs-a)"].failed.as_ref().unwrap();
    assert!(failed.contains("AccessDenied"), "{failed}");
    assert_eq!(world.s3.keys("logs-a", ""), [""; 0]);

    // And the other way round: the new bucket has another owner, and the old one is still the customer's.
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.routes = destination("d0", "logs-a", &["*"]);
    break_role(&world, "logs-a");
    world.receive(SOURCE, "r1", 3);
    tick(&world.app()).await;
    world.s3.directory().add_role(documented_role("logs-b").policy(&documented_policy("logs-a")));
    world.routes = destination("d0", "logs-b", &["*"]) + "expected_bucket_owner = \"999999999999\"\n";
    assert_eq!(tick(&world.app()).await.alarms, [""; 0]);
    world.assert_complete("logs-a");
    world.assert_settled();
}

/// Many plans are open for one failing destination. The other destinations are not checked again.
#[tokio::test]
async fn objects_of_a_healthy_destination_are_not_checked_again_while_another_fails() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    break_role(&world, "logs-a");
    for round in 0..5 {
        world.receive(SOURCE, &format!("r{round}"), 3);
        tick(&world.app()).await;
    }
    // Plans whose objects it has do not count against it.
    let mut settings = world.settings();
    settings.caps.open_plans_max = 5;
    world.routes = destination("d0", "logs-a", &[SOURCE]) + &destination("d1", "logs-b", &["*"]);
    settings.config = described(&world.routes);
    world.receive("alone", "r1", 2);
    let report = tick(&world.app_with(settings, aws::Clock::from_fn(|| NOW_MS))).await;
    assert_eq!((report.destinations["d1"].objects_put, report.waiting.capped.len()), (1, 0));

    world.s3.requests().clear();
    let report = tick(&world.app()).await;
    assert_eq!(report.plans_open, 5);
    let looked = world.s3.requests().of("ListObjectsV2");
    // Staged fragments, all markers, failures, and the markers of the one plan that is tried.
    assert_eq!(looked.len(), 4, "{looked:?}");
    world.s3.directory().add_role(documented_role("logs-a"));
    tick(&world.app()).await;
    world.assert_complete_of("logs-a", &[SOURCE]);
    world.assert_complete("logs-b");
    world.assert_settled();
}

/// The exporter was off for longer than any event may wait. It exports the events that it finds.
#[tokio::test]
async fn after_a_month_without_ticks_the_plans_are_exported() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.receive(SOURCE, "r1", 3);
    world.s3.faults().add(Rule::on("PutObject").bucket("logs-*").times(8).before(Fault::InternalError));
    let report = tick(&world.app()).await;
    assert_eq!((report.plans_open, report.destinations["d0"].events), (1, 0));
    world.s3.faults().clear();
    let report = tick(&world.app_at(NOW_MS + days(60))).await;
    assert_eq!((report.alarms, report.expired.events), (Vec::new(), 0));
    for bucket in ["logs-a", "logs-b"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}
