//! A gateway that answers requests of owners in S3's place, in process: it is fast enough for a thousand seeds.

use super::LAST;
use super::promises::{Rules, assert_ended, assert_finished, watch};
use super::world::{Handler, World};
use crate::FileReport;
use standins::explorer::{Gateway, Stage, Start, Strikes, strike_each_request, strike_many_requests};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Owners behind the gateway. Another one follows, which has no gateway.
const OWNERS: u8 = 3;

/// The owners in sequence. Each promise holds at each moment.
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

#[test]
fn a_gateway_that_answers_any_one_request_of_an_owner_with_any_page_loses_no_row() {
    strike_each_request(&stage, &(10..=99));
}

#[test]
fn a_gateway_that_answers_many_requests_of_all_owners_loses_no_row() {
    strike_many_requests(&stage);
}
