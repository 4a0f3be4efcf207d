//! Small worlds for two exporters. Each has one more possible failure.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};

use aws_sdk_s3::config::SharedHttpClient;
use bytes::Bytes;
use serde_json::{Value, json};
use standins::explorer::{End, Running, Schedule, Stage, Start, Tamper, replay};

use crate::world::{LATER_MS, SOURCE, STATE, World, destination, documented_role, report, role_arn};

/// A scene: its name, and how it is set.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) set: fn() -> Set,
}

/// A scene that is set.
pub(super) struct Set {
    world: Rc<World>,
    runs: Vec<(&'static str, Start)>,
    /// The beginnings of alarms that an undisturbed exporter may report.
    alarms: &'static [&'static str],
    /// The preparation of the scene.
    mend: fn(&World),
    /// The destinations' buckets that have every event at the end.
    complete: &'static [&'static str],
    /// Those that were given up: an event is there once or not at all.
    given_up: &'static [&'static str],
    /// Fragments in quarantine at the end.
    quarantined: usize,
    /// An action of a person that is repeated at the end, because a crash may have cut it off.
    again: Vec<Start>,
}

pub(super) const SCENES: [Scene; 9] = [
    Scene { name: "two_exporters", set: two_exporters },
    Scene { name: "two_destinations", set: two_destinations },
    Scene { name: "after_a_cycle", set: after_a_cycle },
    Scene { name: "one_sleeps", set: one_sleeps },
    Scene { name: "one_arrives", set: one_arrives },
    Scene { name: "one_lands_again", set: one_lands_again },
    Scene { name: "one_is_damaged", set: one_is_damaged },
    Scene { name: "one_destination_fails", set: one_destination_fails },
    Scene { name: "one_is_abandoned", set: one_is_abandoned },
];

impl Set {
    fn of(world: World, complete: &'static [&'static str]) -> Set {
        let world = Rc::new(world);
        let runs = vec![tick(&world, 1, &[]), tick(&world, 2, &[])];
        Set { world, runs, alarms: &[], mend: |_| {}, complete, given_up: &[], quarantined: 0, again: Vec::new() }
    }

    /// The scene for the explorer, with its tampering of requests.
    pub(super) fn stage(self, tamper: impl FnOnce(&Rc<World>) -> Option<Box<dyn Tamper>>) -> Stage {
        let tamper = tamper(&self.world);
        let Set { world, runs, alarms, mend, complete, given_up, quarantined, again } = self;
        let service = world.s3.service();
        let last = again.into_iter().chain([tick(&world, 9, alarms).1]);
        let finish: Start = Box::new(move |http| -> Running {
            Box::pin(async move {
                mend(&world);
                for last in last {
                    last(http.clone()).await?;
                }
                complete.iter().for_each(|bucket| world.assert_complete(bucket));
                given_up.iter().for_each(|bucket| assert_no_event_is_there_twice(&world, bucket));
                world.assert_settled();
                assert_eq!(quarantined_fragments(&world), quarantined, "fragments in quarantine");
                Ok(())
            })
        });
        Stage { service, runs, finish, tamper }
    }
}

/// An exporter's tick. Other alarms than those that begin so are a broken promise.
fn tick(world: &Rc<World>, seed: u64, alarms: &'static [&'static str]) -> (&'static str, Start) {
    let world = Rc::clone(world);
    let start: Start = Box::new(move |http| -> Running {
        Box::pin(async move {
            let app = world.app_through(http, seed);
            let answer = app.handle(json!({}), LATER_MS).await.map_err(|error| format!("{error:#}"))?;
            let is_expected = |alarm: &&String| alarms.iter().any(|expected| alarm.starts_with(expected));
            match report(answer).alarms.iter().find(|alarm| !is_expected(alarm)) {
                Some(alarm) => Err(format!("an alarm: {alarm}")),
                None => Ok(()),
            }
        })
    });
    ("exporter", start)
}

/// Exporters in sequence behind a gateway. Each may fail, with any alarm.
pub(super) fn behind_a_gateway(exporters: u64) -> Set {
    let mut world = World::in_process(&["logs-a", "logs-b"]);
    world.receive(SOURCE, "r1", 2);
    let mut set = Set::of(world, &["logs-a", "logs-b"]);
    let failing = |seed| -> (&'static str, Start) {
        let world = Rc::clone(&set.world);
        let start: Start = Box::new(move |http| -> Running {
            Box::pin(async move {
                let _ = world.app_through(http, seed).handle(json!({}), LATER_MS).await;
                Ok(())
            })
        });
        ("exporter", start)
    };
    let runs = (1..=exporters).map(failing).collect();
    set.runs = runs;
    set
}

/// A put that arrives at any time.
fn put(world: &Rc<World>, name: &'static str, key: String, bytes: Bytes) -> (&'static str, Start) {
    let world = Rc::clone(world);
    let start: Start = Box::new(move |http: SharedHttpClient| -> Running {
        Box::pin(async move {
            let bucket = world.bucket_through(http);
            bucket.put(&key, bytes, "application/gzip").await.map_err(|fault| fault.to_string())
        })
    });
    (name, start)
}

/// One fragment, one destination, two exporters.
fn two_exporters() -> Set {
    let mut world = World::in_process(&["logs-a"]);
    world.receive(SOURCE, "r1", 2);
    Set::of(world, &["logs-a"])
}

fn two_destinations() -> Set {
    let mut world = World::in_process(&["logs-a", "logs-b"]);
    world.receive(SOURCE, "r1", 2);
    Set::of(world, &["logs-a", "logs-b"])
}

/// An exporter has been at work before: there is a head, and a plan that it remembers.
fn after_a_cycle() -> Set {
    static LEFT: OnceLock<Left> = OnceLock::new();
    let mut world = World::in_process(&["logs-a"]);
    world.receive(SOURCE, "r0", 2);
    restore(&world, LEFT.get_or_init(|| left_by(after_a_cycle_begin, "")));
    world.receive(SOURCE, "r1", 2);
    Set::of(world, &["logs-a"])
}

fn after_a_cycle_begin() -> World {
    let mut world = World::in_process(&["logs-a"]);
    world.receive(SOURCE, "r0", 2);
    world
}

/// One exporter may sleep at any request while the other runs twice. Then the cycle continues with another fragment.
fn one_sleeps() -> Set {
    let mut world = World::in_process(&["logs-a"]);
    world.receive(SOURCE, "r1", 2);
    let (key, bytes) = not_yet_there(&mut world, "r2");
    let mut set = Set::of(world, &["logs-a"]);
    let between = put(&set.world, "receiver", key, bytes).1;
    let ticks = [tick(&set.world, 2, &[]).1, between, tick(&set.world, 3, &[]).1];
    let start: Start = Box::new(move |http| -> Running {
        Box::pin(async move {
            for start in ticks {
                start(http.clone()).await?;
            }
            Ok(())
        })
    });
    set.runs = vec![tick(&set.world, 1, &[]), ("two ticks", start)];
    set
}

/// A fragment that arrives later: its key and bytes.
fn not_yet_there(world: &mut World, request: &str) -> (String, Bytes) {
    let key = world.receive(SOURCE, request, 2);
    let bytes = world.s3.bytes(STATE, &key).unwrap();
    world.s3.delete(STATE, &key).unwrap();
    (key, bytes)
}

/// Another fragment arrives at any time.
fn one_arrives() -> Set {
    let mut world = World::in_process(&["logs-a"]);
    world.receive(SOURCE, "r1", 2);
    let (key, bytes) = not_yet_there(&mut world, "r2");
    let mut set = Set::of(world, &["logs-a"]);
    set.runs.push(put(&set.world, "receiver", key, bytes));
    set
}

/// The first try to put a fragment is slower than its second, and perhaps than its export.
fn one_lands_again() -> Set {
    let mut world = World::in_process(&["logs-a"]);
    let key = world.receive(SOURCE, "r1", 2);
    let bytes = world.s3.bytes(STATE, &key).unwrap();
    let mut set = Set::of(world, &["logs-a"]);
    set.runs.push(put(&set.world, "first try", key, bytes));
    set
}

/// One of two fragments does not match its name.
fn one_is_damaged() -> Set {
    let mut set = Set::of(with_damage(&["logs-a"]), &["logs-a"]);
    let alarms = &["fragment received/qv5iYYMxd94DahFpRzm58y/1557532800000/request.damaged."];
    set.runs = vec![tick(&set.world, 1, alarms), tick(&set.world, 2, alarms)];
    (set.alarms, set.quarantined) = (alarms, 1);
    set
}

fn with_damage(places: &[&str]) -> World {
    let mut world = World::in_process(places);
    world.receive(SOURCE, "r1", 2);
    let sound = world.received.clone();
    let damaged = world.receive(SOURCE, "damaged", 2);
    world.received = sound;
    world.s3.put(STATE, &damaged, b"damage").unwrap();
    world
}

/// The role of one of two destinations is gone, and is there again at the end.
fn one_destination_fails() -> Set {
    let mut world = World::in_process(&["logs-a", "logs-b"]);
    world.receive(SOURCE, "r1", 2);
    world.s3.directory().remove_role(&role_arn("logs-b"));
    let mut set = Set::of(world, &["logs-a", "logs-b"]);
    let alarms = &["destination `d1` cannot be written to: "];
    set.runs = vec![tick(&set.world, 1, alarms), tick(&set.world, 2, alarms)];
    set.mend = |world| world.s3.directory().add_role(documented_role("logs-b"));
    set
}

/// A plan is open for two destinations. One of them is abandoned while an exporter works, and a fragment is damaged, so
/// that two revisions meet.
fn one_is_abandoned() -> Set {
    static LEFT: OnceLock<Left> = OnceLock::new();
    let mut world = with_damage(&["logs-a", "logs-b"]);
    let begin = || with_damage(&["logs-a", "logs-b"]);
    restore(&world, LEFT.get_or_init(|| left_by(begin, "a8 a!crash")));
    assert_eq!(world.head()["open"].as_array().map(Vec::len), Some(1));
    world.routes = destination("d0", "logs-a", &["*"]);
    let mut set = Set::of(world, &["logs-a"]);
    let alarms = &[
        "fragment received/qv5iYYMxd94DahFpRzm58y/1557532800000/request.damaged.",
        "destination `d1` is no longer in the settings",
        "plan 0000000000000008",
    ];
    set.runs = vec![tick(&set.world, 1, alarms), abandon(&set.world, 2)];
    set.again = vec![abandon(&set.world, 3).1];
    (set.alarms, set.quarantined, set.given_up) = (alarms, 1, &["logs-b"]);
    set
}

fn abandon(world: &Rc<World>, seed: u64) -> (&'static str, Start) {
    let world = Rc::clone(world);
    let start: Start = Box::new(move |http| -> Running {
        Box::pin(async move {
            let app = world.app_through(http, seed);
            let told = json!({"abandon": {"destination": "d1"}});
            app.handle(told, LATER_MS).await.map(|_| ()).map_err(|error| format!("{error:#}"))
        })
    });
    ("abandoning", start)
}

/// The objects that an exporter has left, as (`bucket/key`, bytes).
type Left = Vec<(String, Bytes)>;

fn left_by(make: fn() -> World, schedule: &str) -> Left {
    let content = Arc::new(Mutex::new(Left::new()));
    let kept = Arc::clone(&content);
    let scenario = move || {
        let world = Rc::new(make());
        let (service, kept) = (world.s3.service(), Arc::clone(&kept));
        let runs = vec![tick(&world, 8, &[])];
        let finish: Start = Box::new(move |_| -> Running {
            Box::pin(async move {
                for bucket in [STATE, "logs-a"] {
                    for key in world.s3.keys(bucket, "") {
                        let bytes = world.s3.bytes(bucket, &key).unwrap();
                        kept.lock().unwrap().push((format!("{bucket}/{key}"), bytes));
                    }
                }
                Ok(())
            })
        });
        Stage { service, runs, finish, tamper: None }
    };
    let schedule: Schedule = schedule.parse().unwrap();
    // A play of its own, within the play that asks for it: so on another thread.
    let end = std::thread::scope(|scope| scope.spawn(|| replay(&scenario, &schedule).end).join().unwrap());
    assert_eq!(end, End::Well);
    let content = content.lock().unwrap();
    content.clone()
}

fn restore(world: &World, left: &Left) {
    for key in world.s3.keys(STATE, "") {
        world.s3.delete(STATE, &key).unwrap();
    }
    for (at, bytes) in left {
        let (bucket, key) = at.split_once('/').unwrap();
        world.s3.put(bucket, key, bytes).unwrap();
    }
}

fn assert_no_event_is_there_twice(world: &World, bucket: &str) {
    for lines in world.exported(bucket).values() {
        let different: BTreeSet<&String> = lines.iter().collect();
        assert_eq!(different.len(), lines.len(), "{bucket} has an event twice");
    }
}

/// How many fragments the plans left out that the head remembers.
fn quarantined_fragments(world: &World) -> usize {
    let left_out = |closed: &Value| {
        let key = format!("exports/plans/{}.{}.json", closed["plan"].as_str().unwrap(), closed["revision"]);
        let document = world.s3.bytes(STATE, &key).unwrap_or_else(|| panic!("{key} is gone"));
        let plan: Value = serde_json::from_slice(&document).unwrap();
        plan["quarantined"].as_array().map_or(0, Vec::len)
    };
    world.head()["closed"].as_array().into_iter().flatten().map(left_out).sum()
}
