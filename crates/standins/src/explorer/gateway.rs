//! A gateway between the runs of a play and the service. It answers some requests with pages of its own.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};

use super::play::{End, Stage, Tamper, replay};
use super::schedule::{Fate, Schedule};
use crate::dice::{pick, roll};
use crate::faults::{Answer, Fault};
use crate::seeds::seeds;

/// The seeds of a usual test run. `SEEDS=1000` plays more.
const SEEDS: Range<u64> = 0..40;
/// The passes of a usual test run. With `SEEDS=9` each request is answered with each page.
const PASSES: Range<u64> = 0..2;

/// Which requests a gateway answers.
#[derive(Clone, Copy, Debug)]
pub enum Strikes {
    /// One request of the first run, counted from 0, with one page ([`Fault::gateway_pages`]).
    Once {
        /// Which request.
        request: usize,
        /// The index of the page.
        page: usize,
        /// True if the service has carried the request out before.
        is_after: bool,
    },
    /// A share (0 to 1) of all requests, by the dice of a seed.
    Share {
        /// The seed.
        seed: u64,
        /// The share.
        share: f64,
    },
}

/// A gateway. It lets the finish of a play alone.
#[derive(Debug)]
pub struct Gateway {
    strikes: Strikes,
    /// Runs behind the gateway.
    runs: usize,
    pages: Vec<Answer>,
    requests: usize,
    /// The page that replaces the next answer.
    after: Option<Answer>,
    struck: Arc<AtomicUsize>,
}

impl Gateway {
    /// A gateway before the first `runs` runs. It counts its answers in `struck`.
    #[must_use]
    pub fn new(strikes: Strikes, runs: usize, struck: &Arc<AtomicUsize>) -> Gateway {
        let pages = Fault::gateway_pages();
        Gateway { strikes, runs, pages, requests: 0, after: None, struck: Arc::clone(struck) }
    }

    /// The page for the next request of this run, and whether the service carries the request out.
    fn page(&mut self, run: usize) -> Option<(Answer, bool)> {
        let number = self.requests;
        let (page, is_after) = match self.strikes {
            _ if run >= self.runs => return None,
            Strikes::Once { .. } if run > 0 => return None,
            Strikes::Once { request, page, is_after } => {
                self.requests += 1;
                (number == request).then_some((page, is_after))?
            }
            Strikes::Share { seed, share } => {
                self.requests += 1;
                let page = pick(seed, ("page", number), self.pages.len());
                (roll(seed, ("strike", number)) < share).then(|| (page, roll(seed, ("after", number)) < 0.5))?
            }
        };
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some((self.pages.get(page)?.clone(), is_after))
    }
}

impl Tamper for Gateway {
    fn request(&mut self, run: usize, _: Fate, _: &mut Request<Bytes>) -> Option<Response<Bytes>> {
        let (page, is_after) = self.page(run)?;
        if is_after {
            self.after = Some(page);
            return None;
        }
        Some(response(page))
    }

    fn answer(&mut self, _: usize, _: &Request<Bytes>, answer: &mut Response<Bytes>) {
        if let Some(page) = self.after.take() {
            *answer = response(page);
        }
    }
}

fn response(page: Answer) -> Response<Bytes> {
    let Answer { status, headers, body } = page;
    let builder = Response::builder().status(status).header("content-length", body.len());
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(name.as_str(), value.as_str()));
    builder.body(Bytes::from(body)).unwrap_or_default()
}

/// A stage behind a gateway, which strikes in this way and counts its answers there.
pub type Struck<'a> = dyn Fn(Strikes, &Arc<AtomicUsize>) -> Stage + Sync + 'a;

/// Plays a stage with each request of its first run answered by the gateway, one in each play, before and after the service
/// has carried it out. `requests` is how many requests such a run makes; more than that are a run without an end.
///
/// # Panics
/// If a play does not end well, or if the run makes fewer or more requests.
pub fn strike_each_request(stage: &Struck<'_>, requests: &RangeInclusive<usize>) {
    let pages = Fault::gateway_pages().len();
    for pass in seeds(PASSES) {
        for is_after in [false, true] {
            // Each pass has another page for each request.
            let page = |request| (request + pass as usize) % pages;
            let strikes = |request| Strikes::Once { request, page: page(request), is_after };
            let made = (0..=*requests.end()).take_while(|request| struck(stage, strikes(*request)) == 1).count();
            assert!(requests.contains(&made), "{made} requests were answered");
        }
    }
}

/// Plays a stage with many of its requests answered by the gateway, once for each seed.
///
/// # Panics
/// If a play does not end well, or if the gateway answered nothing in any.
pub fn strike_many_requests(stage: &Struck<'_>) {
    let share = |seed| [0.1, 0.3, 0.6, 0.9][seed as usize % 4];
    let all: usize = seeds(SEEDS).map(|seed| struck(stage, Strikes::Share { seed, share: share(seed) })).sum();
    assert!(all > 0, "the gateway answered nothing");
}

/// How often the gateway answers while the runs of a stage play in sequence.
fn struck(stage: &Struck<'_>, strikes: Strikes) -> usize {
    let struck = Arc::new(AtomicUsize::new(0));
    let played = replay(&|| stage(strikes, &struck), &Schedule::default());
    assert_eq!(played.end, End::Well, "{strikes:?}");
    struck.load(Ordering::SeqCst)
}
