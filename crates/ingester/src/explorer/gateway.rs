//! A gateway that answers requests of owners in S3's place, in process: it is fast enough for a thousand seeds.

use super::LAST;
use super::promises::{Rules, assert_ended, assert_finished, watch};
use super::world::{Handler, World};
use crate::FileReport;
use standins::explorer::{End, Gateway, Schedule, Stage, Start, Strikes, replay};
use standins::faults::Fault;
use standins::seeds::seeds;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Owners behind the gateway. Another one follows, which has no gateway.
const OWNERS: u8 = 3;
/// The seeds of a usual test run. `SEEDS=1000` plays more.
const SEEDS: std::ops::Range<u64> = 0..40;
/// The passes of a usual test run. With `SEEDS=9` each request is answered with each page.
const PASSES: std::ops::Range<u64> = 0..2;
/// More requests than an undisturbed owner makes.
const REQUESTS_MAX: usize = 100;

fn stage(strikes: Strikes, struck: &Arc<AtomicUsize>) -> Stage {
    let world = Arc::new(World::new());
    let watched = Arc::clone(&world);
    let service = world.s3.service().watched(move |request, answer| watch(&watched, Rules::default(), request, answer));
    let run = |number| -> (&'static str, Start) {
        // A message that is done is gone. So a page must not pass for a file that was replaced or deleted.
        let judge = |world: &World, _: FileReport, is_done: bool| {
            if is_done {
                assert_ended(world);
            }
        };
        ("owner", world.handle(Handler { number, lost_answer: None }, judge))
    };
    let runs = (1..=OWNERS).map(run).collect();
    let finish =
        world.handle(LAST, |world, report, is_done| assert_finished(world, Rules::default(), &report, is_done));
    Stage { service, runs, finish, tamper: Some(Box::new(Gateway::new(strikes, OWNERS.into(), struck))) }
}

/// Plays the owners in sequence, and returns how often the gateway answered. Each promise holds at each moment.
fn play(strikes: Strikes) -> usize {
    let struck = Arc::new(AtomicUsize::new(0));
    let played = replay(&|| stage(strikes, &struck), &Schedule::default());
    assert_eq!(played.end, End::Well, "{strikes:?}");
    struck.load(Ordering::SeqCst)
}

#[test]
fn a_gateway_that_answers_any_one_request_of_an_owner_with_any_page_loses_no_row() {
    let pages = Fault::gateway_pages().len();
    for pass in seeds(PASSES) {
        for is_after in [false, true] {
            // Each pass has another page for each request.
            let page = |request| (request + usize::try_from(pass).unwrap()) % pages;
            let strikes = |request| Strikes::Once { request, page: page(request), is_after };
            let requests = (0..REQUESTS_MAX).take_while(|request| play(strikes(*request)) == 1).count();
            assert!((10..REQUESTS_MAX).contains(&requests), "{requests} requests were answered");
        }
    }
}

#[test]
fn a_gateway_that_answers_many_requests_of_all_owners_loses_no_row() {
    let mut struck = 0;
    for seed in seeds(SEEDS) {
        let share = [0.1, 0.3, 0.6, 0.9][usize::try_from(seed % 4).unwrap()];
        struck += play(Strikes::Share { seed, share });
    }
    assert!(struck > 0, "the gateway answered nothing");
}
