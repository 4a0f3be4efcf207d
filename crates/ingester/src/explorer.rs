//! Two owners of one file under the explorer: the real driver, every order of its requests, within bounds.
//!
//! Both owners handle the message for the file, from the first GET to the ledger, against one S3 in process. Only
//! Segment's answers come from a script. The second owner finds each lease of the first one over, which is the worst that
//! clocks can do. A request may be lost, carried out without an answer, or carried out late, and an owner may crash. Then
//! a third owner finishes the file undisturbed.
//!
//! - `EXPLORE=switches=3,faults=2 cargo test -p ingester --lib explorer` goes further than each test run does.
//! - `SCHEDULE='…' cargo test -p ingester --lib explorer::replay -- --nocapture` plays one schedule. A failure prints the
//!   whole command.

#![expect(clippy::print_stdout, reason = "numbers and schedules are the output of an exploration")]

mod fences;
mod gateway;
mod promises;
mod world;

use crate::FileReport;
use fences::{Fence, Without};
use promises::{assert_ended, assert_finished, watch};
use standins::explorer::{Bounds, Broken, End, Numbers, Schedule, Stage, Start, Tamper, replay as play, search};
use std::sync::Arc;
use world::{Handler, World};

/// The bounds of each test run.
const USUAL: Bounds = Bounds { switches: 2, faults: 1 };
const TWO_SWITCHES: Bounds = Bounds { switches: 2, faults: 0 };
/// A test that a fence is needed.
const ONE_SWITCH: Bounds = Bounds { switches: 1, faults: 0 };
const ONE_FAULT: Bounds = Bounds { switches: 0, faults: 1 };
/// A usual search plays more schedules. With fewer the owners do not meet.
const SCHEDULES_MIN: u64 = 10;

const LAST: Handler = Handler { number: 9, lost_answer: None };

/// Two owners, and one thing that differs from the usual case.
#[derive(Clone, Copy)]
struct Scene {
    name: &'static str,
    owners: u8,
    /// The request of the first owner to Segment that is accepted without an answer, counted from 1.
    lost_answer: Option<u32>,
    /// The missing fence.
    without: Option<Fence>,
    /// False: promises are checked at the end only.
    is_watched: bool,
}

const TWO_OWNERS: Scene = Scene { name: "two_owners", owners: 2, lost_answer: None, without: None, is_watched: true };
/// Each owner takes the file over from the one before, which does not notice.
const THREE_OWNERS: Scene = Scene { name: "three_owners", owners: 3, ..TWO_OWNERS };
/// Segment has accepted the last row, and the first owner does not know it. It commits the others, gives the lease back
/// and ends.
const LOST_ANSWER: Scene = Scene { name: "lost_answer", lost_answer: Some(4), ..TWO_OWNERS };
const BLIND_PUT: Scene = without("blind_put", Fence::CompareAndSwap);
const EPOCHS_IGNORED: Scene = without("epochs_ignored", Fence::Epochs);
const FRAGMENT_AFTER_CHECKPOINT: Scene = without("fragment_after_checkpoint", Fence::FragmentFirst);
const PART_OVERWRITTEN: Scene = without("part_overwritten", Fence::NewNameOfPart);
const BLIND_PUT_WATCHED: Scene = Scene { name: "blind_put_watched", is_watched: true, ..BLIND_PUT };
const FRAGMENT_WATCHED: Scene = Scene { name: "fragment_watched", is_watched: true, ..FRAGMENT_AFTER_CHECKPOINT };

const SCENES: [Scene; 9] = [
    TWO_OWNERS,
    THREE_OWNERS,
    LOST_ANSWER,
    BLIND_PUT,
    EPOCHS_IGNORED,
    FRAGMENT_AFTER_CHECKPOINT,
    PART_OVERWRITTEN,
    BLIND_PUT_WATCHED,
    FRAGMENT_WATCHED,
];

const fn without(name: &'static str, fence: Fence) -> Scene {
    Scene { name, without: Some(fence), is_watched: false, ..TWO_OWNERS }
}

impl Scene {
    fn stage(self) -> Stage {
        let world = Arc::new(World::new());
        let rules = self.without.map(Fence::rules_without).unwrap_or_default();
        let mut service = world.s3.service();
        if self.is_watched {
            let world = Arc::clone(&world);
            service = service.watched(move |request, answer| watch(&world, rules, request, answer));
        }
        let run = |number| -> (&'static str, Start) {
            let handler = Handler { number, lost_answer: self.lost_answer.filter(|_| number == 1) };
            // The explorer lets the first of several runs with one name begin. The other order is poorer: an earlier owner
            // always finds the lease of a later one alive.
            let is_watched = self.is_watched;
            let judge = move |world: &World, _: FileReport, is_done| {
                if is_watched && is_done {
                    assert_ended(world);
                }
            };
            ("owner", world.handle(handler, judge))
        };
        let runs = (1..=self.owners).map(run).collect();
        let finish = world.handle(LAST, move |world, report, is_done| assert_finished(world, rules, &report, is_done));
        let tamper = self.without.map(|fence| Box::new(Without::new(fence, &world)) as Box<dyn Tamper>);
        Stage { service, runs, finish, tamper }
    }

    /// Plays all schedules within the bounds. Prints the numbers, and the command that replays a broken promise.
    fn search(self, bounds: Bounds) -> (Numbers, Option<Broken>) {
        let (numbers, broken) = search(&|| self.stage(), bounds);
        let Bounds { switches, faults } = bounds;
        let Numbers { schedules, pruned, asleep, points, ends, plays, requests, took } = numbers;
        println!(
            "{}: {switches} switches, {faults} faults: {schedules} schedules to {ends} ends, {pruned} pruned and \
             {asleep} not begun, {points} decisions, {plays} plays of {requests} requests, {:.1} s",
            self.name,
            took.as_secs_f64()
        );
        if let Some(Broken { schedule, words }) = &broken {
            println!("{words}; to see it:\n{}", self.command(schedule));
        }
        (numbers, broken)
    }

    fn command(self, schedule: &Schedule) -> String {
        let name = self.name;
        format!("SCHEDULE='{name}: {schedule}' cargo test -p ingester --lib explorer::replay -- --nocapture")
    }

    fn assert_kept(self, usual: &[Bounds]) {
        for bounds in Bounds::to_explore(usual) {
            let (numbers, broken) = self.search(bounds);
            if let Some(Broken { schedule, words }) = broken {
                panic!("{words}; to see it:\n{}", self.command(&schedule));
            }
            let is_search = !usual.contains(&bounds) || numbers.schedules >= SCHEDULES_MIN;
            assert!(is_search, "{} has only {} schedules", self.name, numbers.schedules);
        }
    }

    /// Some schedule breaks a promise in one of these words, and breaks it again when it is replayed.
    fn assert_broken(self, bounds: Bounds, words: &[&str]) {
        let broken = self.search(bounds).1;
        let Broken { schedule, words: found } = broken.unwrap_or_else(|| panic!("{}: nothing breaks", self.name));
        assert!(words.iter().any(|words| found.contains(words)), "{found}");
        let schedule: Schedule = schedule.to_string().parse().unwrap();
        assert_eq!(play(&|| self.stage(), &schedule).end, End::Broken(found));
    }
}

#[test]
fn in_every_order_of_two_owners_each_row_is_settled_and_exported_once() {
    TWO_OWNERS.assert_kept(&[USUAL]);
}

#[test]
fn in_every_order_of_three_owners_each_row_is_settled_and_exported_once() {
    THREE_OWNERS.assert_kept(&[TWO_SWITCHES]);
}

#[test]
fn a_lost_answer_of_segment_loses_and_doubles_no_row_in_any_order_of_two_owners() {
    // The lost answer is the fault.
    LOST_ANSWER.assert_kept(&[TWO_SWITCHES]);
}

#[test]
fn without_compare_and_swap_an_order_of_two_owners_breaks_a_promise() {
    // A row is in no place or in two, or rejects file, account or ledger do not match.
    let words = ["how often row", "rows in the rejects file", "the account", "the committed ranges of the ledger"];
    BLIND_PUT.assert_broken(ONE_SWITCH, &words);
}

#[test]
fn without_epochs_an_order_of_two_owners_exports_a_row_twice() {
    EPOCHS_IGNORED.assert_broken(ONE_SWITCH, &["is exported"]);
}

#[test]
fn with_fragments_after_the_checkpoint_a_crash_loses_a_row() {
    FRAGMENT_AFTER_CHECKPOINT.assert_broken(ONE_FAULT, &["is exported"]);
}

#[test]
fn with_a_rejects_part_that_keeps_its_name_while_it_grows_an_order_of_two_owners_breaks_the_rejects() {
    PART_OVERWRITTEN.assert_broken(ONE_SWITCH, &["in the rejects parts"]);
}

#[test]
fn a_checkpoint_that_goes_back_is_noticed_at_once() {
    // Both claim the file. The second owner ends it, then the claim of the first one is carried out.
    assert_noticed("a2 b14 a", "the checkpoint went back");
}

#[test]
fn a_second_owner_who_commits_in_the_same_epoch_is_noticed_at_once() {
    // Both claim the first epoch. The first owner commits, then the second.
    assert_noticed("a2 b3 a5 b5", "the owner who commits in epoch 0 differs");
}

/// Without compare-and-swap this schedule breaks a promise in these words.
fn assert_noticed(schedule: &str, words: &str) {
    let schedule = schedule.parse().unwrap();
    let End::Broken(found) = play(&|| BLIND_PUT_WATCHED.stage(), &schedule).end else { panic!("nothing breaks") };
    assert!(found.contains(words), "{found}");
}

#[test]
fn a_checkpoint_ahead_of_its_fragment_is_noticed_at_once() {
    FRAGMENT_WATCHED.assert_broken(ONE_SWITCH, &["is exported"]);
}

#[test]
fn one_schedule_gives_the_same_requests_and_answers_each_time() {
    for text in ["a6 b9 a", "a5 b!late a2 b4 +0", "a2 b4 a!unanswered b!lost b a!crash"] {
        let schedule: Schedule = text.parse().unwrap();
        let [one, other] = [(); 2].map(|()| play(&|| TWO_OWNERS.stage(), &schedule));
        assert_eq!(one.end, End::Well, "{text}");
        assert!(one.steps.len() > schedule.0.len(), "{text} has only {} requests", one.steps.len());
        assert_eq!(one.steps, other.steps, "{text}");
    }
}

/// A tool for a failure of this file: plays the schedule in `SCHEDULE`, which the failure printed, and prints its
/// requests.
#[test]
fn replay() {
    let text = std::env::var("SCHEDULE").unwrap_or_else(|_| "two_owners: a8 b4".to_owned());
    let (name, schedule) = text.split_once(':').unwrap();
    let scene = SCENES.into_iter().find(|scene| scene.name == name);
    let scene = scene.unwrap_or_else(|| panic!("no scene is called {name}"));
    let played = play(&|| scene.stage(), &schedule.parse().unwrap());
    for step in &played.steps {
        let choice = step.choice.map(|choice| choice.to_string()).unwrap_or_default();
        let status = step.answer.as_ref().map_or_else(|| "no answer".to_owned(), |(status, ..)| status.to_string());
        println!("{choice:<14} {status:<10} {} {:?}", step.request, step.conditions);
    }
    assert_eq!(played.end, End::Well);
}
