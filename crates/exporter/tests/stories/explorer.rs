//! The real exporter under the explorer: every order in which two runs of it may meet, within bounds.
//!
//! The [`model`](crate::model) visits every state of a protocol that imports nothing of ours. Here the exporter itself
//! runs, with its revisions, its retries and its real requests; so the worlds are smaller, and the orders bounded.
//!
//! A schedule that breaks a promise is printed with the command that plays it again:
//! `SCHEDULE='two_exporters: a12 b!lost b3' cargo test -p exporter --test stories explorer::replay -- --nocapture`.
//! [`Schedule`] says how it is read.
//!
//! `EXPLORE=switches=3,faults=2` goes further in every scene than each test run does; that takes hours.
//!
//! Of the model's fences [`fences`] takes those out of the real requests that show at the wire. Only the model proves
//! `HeldLeftOut`, because the exporter leaves out held fragments before its first request shows it. Two stand in for
//! each other here, and are taken out together with `ClosedRemembered`: `HeadBeforeListing` and `DeleteBeforeClose`
//! (the model forgets closed plans sooner). `HeadBeforeQuarantine` means the head that was read *and* the swap that
//! depends on it.

#![expect(clippy::print_stdout, reason = "numbers and schedules are what a person looks for here")]

mod fences;
mod gateway;
mod scenes;

use standins::explorer::{Bounds, Broken, End, Numbers, Schedule, Stage, Tamper, replay as play, search};

use fences::{FENCES, Fence, Without};
use scenes::SCENES;

/// A scene, and the fences that are taken out of it.
#[derive(Clone)]
struct Case {
    scene: String,
    without: Vec<Fence>,
}

impl Case {
    fn of(scene: &str) -> Case {
        Case { scene: scene.to_owned(), without: Vec::new() }
    }

    /// Parses the name of a case.
    fn named(name: &str) -> Case {
        let (scene, without) = name.split_once(" without ").unwrap_or((name, ""));
        let fence = |name: &str| FENCES.into_iter().find(|fence| format!("{fence:?}") == name);
        let without = without.split('+').filter(|name| !name.is_empty());
        let without = without.map(|name| fence(name).unwrap_or_else(|| panic!("no fence is called {name}"))).collect();
        Case { scene: scene.to_owned(), without }
    }

    fn name(&self) -> String {
        let fences: Vec<String> = self.without.iter().map(|fence| format!("{fence:?}")).collect();
        if fences.is_empty() { self.scene.clone() } else { format!("{} without {}", self.scene, fences.join("+")) }
    }

    fn stage(&self) -> Stage {
        let scene = SCENES.into_iter().find(|scene| scene.name == self.scene);
        let scene = scene.unwrap_or_else(|| panic!("no scene is called {}", self.scene));
        (scene.set)().stage(|world| {
            let tamper = || Box::new(Without::new(&self.without, world)) as Box<dyn Tamper>;
            (!self.without.is_empty()).then(tamper)
        })
    }

    fn search(&self, bounds: Bounds) -> Option<Broken> {
        let (numbers, broken) = search(&|| self.stage(), bounds);
        let Bounds { switches, faults } = bounds;
        let Numbers { schedules, pruned, asleep, points, ends, plays, requests, took } = numbers;
        println!(
            "{}: {switches} switches, {faults} faults: {schedules} schedules to {ends} ends, {pruned} pruned and \
             {asleep} not begun, {points} decisions, {plays} plays of {requests} requests, {:.1} s",
            self.name(),
            took.as_secs_f64()
        );
        if let Some(Broken { schedule, words }) = &broken {
            println!("{words}; to see it:\n{}", self.command(schedule));
        }
        broken
    }

    fn command(&self, schedule: &Schedule) -> String {
        format!(
            "SCHEDULE='{}: {schedule}' cargo test -p exporter --test stories explorer::replay -- --nocapture",
            self.name()
        )
    }
}

/// Plays every order within these bounds, or within those of `EXPLORE`.
fn explore(scene: &str, usual: &[(usize, usize)]) {
    let usual: Vec<_> =
        usual.iter().map(|(switches, faults)| Bounds { switches: *switches, faults: *faults }).collect();
    for bounds in Bounds::to_explore(&usual) {
        let case = Case::of(scene);
        if let Some(broken) = case.search(bounds) {
            panic!("{}; to see it:\n{}", broken.words, case.command(&broken.schedule));
        }
    }
}

#[test]
fn two_exporters_at_once_export_each_event_once() {
    explore("two_exporters", &[(2, 1)]);
}

#[test]
fn two_exporters_at_once_export_each_event_to_every_destination() {
    explore("two_destinations", &[(2, 0)]);
}

#[test]
fn a_head_that_is_equal_after_a_full_cycle_is_not_mistaken_for_the_old_one() {
    explore("after_a_cycle", &[(2, 0)]);
}

#[test]
fn an_exporter_that_resumes_after_its_plan_was_closed_changes_nothing() {
    explore("one_sleeps", &[(1, 0)]);
}

#[test]
fn an_event_that_arrives_at_any_time_is_exported_once() {
    explore("one_arrives", &[(1, 0)]);
}

#[test]
fn a_fragment_written_again_at_any_time_is_not_exported_again() {
    explore("one_lands_again", &[(1, 0)]);
}

#[test]
fn a_damaged_fragment_is_quarantined_once_while_another_exporter_is_at_work() {
    explore("one_is_damaged", &[(1, 0)]);
}

#[test]
fn while_a_destination_fails_the_others_get_their_objects_although_two_exporters_are_at_work() {
    explore("one_destination_fails", &[(2, 0)]);
}

#[test]
fn a_destination_may_be_abandoned_while_an_exporter_revises_its_plan() {
    explore("one_is_abandoned", &[(2, 0), (1, 1)]);
}

/// Each with the fences taken out of the requests, and the bounds within which a promise is seen to break.
const NEEDED: [(&str, (usize, usize), &str); 11] = [
    ("two_exporters without SwapOnFirstRead", (1, 0), "quarantined"),
    ("two_exporters without HeadBeforeListing+ClosedRemembered", (1, 0), "quarantined"),
    ("after_a_cycle without EveryHeadUnique", (1, 0), "quarantined"),
    ("two_exporters without NameFromPlan", (1, 0), "4)] lines and should have"),
    ("two_destinations without EveryDestinationFirst", (0, 0), "logs-b has [] lines"),
    ("two_exporters without HeadBeforeQuarantine", (2, 0), "quarantined"),
    ("two_exporters without MarkerBeforeQuarantine", (2, 0), "quarantined"),
    ("two_exporters without DeleteBeforeClose+ClosedRemembered", (0, 1), "4)] lines and should have"),
    ("two_exporters without ReadBack", (0, 1), "quarantined"),
    ("one_lands_again without ClosedRemembered", (1, 0), "4)] lines and should have"),
    ("two_exporters without SweepAfterSwap", (1, 0), ".0.json is gone"),
];

#[test]
fn every_fence_is_needed_in_the_real_requests() {
    for (name, (switches, faults), expected) in NEEDED {
        let case = Case::named(name);
        let broken = case.search(Bounds { switches, faults });
        let broken = broken.unwrap_or_else(|| panic!("{name}: nothing breaks"));
        assert!(broken.words.contains(expected), "{name}: {}", broken.words);
    }
}

/// A tool for a failure of this file: plays the schedule in `SCHEDULE`, which the failure printed, and prints its
/// requests. Without `SCHEDULE` two exporters run in sequence.
#[test]
fn replay() {
    let text = std::env::var("SCHEDULE").unwrap_or_else(|_| "two_exporters:".to_owned());
    let (name, schedule) = text.split_once(':').unwrap();
    let case = Case::named(name);
    let played = play(&|| case.stage(), &schedule.parse().unwrap());
    for step in &played.steps {
        let choice = step.choice.map(|choice| choice.to_string()).unwrap_or_default();
        let status = step.answer.as_ref().map_or_else(|| "no answer".to_owned(), |(status, ..)| status.to_string());
        println!("{choice:<14} {status:<10} {} {:?}", step.request, step.conditions);
    }
    assert_eq!(played.end, End::Well);
}

#[test]
fn a_schedule_that_breaks_a_promise_breaks_it_again_when_it_is_replayed() {
    let case = Case::named("two_exporters without SwapOnFirstRead");
    let broken = case.search(Bounds { switches: 1, faults: 0 }).unwrap();
    let written: Schedule = broken.schedule.to_string().parse().unwrap();
    assert_eq!(play(&|| case.stage(), &written).end, End::Broken(broken.words));
    assert_eq!(play(&|| Case::of("two_exporters").stage(), &written).end, End::Well);
}

#[test]
fn the_same_schedule_gives_the_same_requests_and_answers() {
    for text in [
        "two_exporters:",
        "two_exporters: a5 b7 a8 b",
        "two_exporters: a7 a!lost a2 b3 a!unanswered",
        "two_exporters: a7 a!late b4 +0 a5 b",
        "two_destinations: a13 a!crash b20",
        "one_lands_again: a15 c b8 a",
        "one_is_damaged: a9 b6 a4 b",
        "one_is_abandoned: a8 b2 a",
    ] {
        let (scene, schedule) = text.split_once(':').unwrap();
        let schedule: Schedule = schedule.parse().unwrap();
        let [once, again] = [(), ()].map(|()| play(&|| Case::of(scene).stage(), &schedule));
        assert_eq!(once.end, End::Well, "{text}");
        assert!(once.steps.len() > 20, "{text}: {} requests", once.steps.len());
        assert_eq!(once.steps, again.steps, "{text}");
    }
}
