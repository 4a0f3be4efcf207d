//! A gateway that answers requests of exporters in the place of S3 and STS, in process: it is fast enough for a thousand
//! seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use standins::explorer::{End, Gateway, Schedule, Strikes, replay};
use standins::faults::Fault;
use standins::seeds::seeds;

use super::scenes::behind_a_gateway;

/// Exporters behind the gateway. Another one follows, which has no gateway.
const EXPORTERS: u64 = 3;
/// The seeds of a usual test run. `SEEDS=1000` plays more.
const SEEDS: std::ops::Range<u64> = 0..40;
/// The passes of a usual test run. With `SEEDS=9` each request is answered with each page.
const PASSES: std::ops::Range<u64> = 0..2;
/// More requests than an undisturbed exporter makes.
const REQUESTS_MAX: usize = 200;

/// Plays the exporters in sequence, and returns how often the gateway answered. In the end each event is exported once.
fn play(strikes: Strikes) -> usize {
    let struck = Arc::new(AtomicUsize::new(0));
    let gateway = || Gateway::new(strikes, usize::try_from(EXPORTERS).unwrap(), &struck);
    let stage = || behind_a_gateway(EXPORTERS).stage(|_| Some(Box::new(gateway())));
    let played = replay(&stage, &Schedule::default());
    assert_eq!(played.end, End::Well, "{strikes:?}");
    struck.load(Ordering::SeqCst)
}

#[test]
fn a_gateway_that_answers_any_one_request_with_any_page_loses_no_event() {
    let pages = Fault::gateway_pages().len();
    for pass in seeds(PASSES) {
        for is_after in [false, true] {
            // Each pass has another page for each request.
            let page = |request| (request + usize::try_from(pass).unwrap()) % pages;
            let strikes = |request| Strikes::Once { request, page: page(request), is_after };
            let requests = (0..REQUESTS_MAX).take_while(|request| play(strikes(*request)) == 1).count();
            assert!((20..REQUESTS_MAX).contains(&requests), "{requests} requests were answered");
        }
    }
}

#[test]
fn a_gateway_that_answers_many_requests_of_all_exporters_loses_no_event() {
    let mut struck = 0;
    for seed in seeds(SEEDS) {
        let share = [0.1, 0.3, 0.6, 0.9][usize::try_from(seed % 4).unwrap()];
        struck += play(Strikes::Share { seed, share });
    }
    assert!(struck > 0, "the gateway answered nothing");
}
