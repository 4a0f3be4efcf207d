//! A gateway between the runs of a play and the service. It answers some requests with pages of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};

use super::play::Tamper;
use super::schedule::Fate;
use crate::dice::{pick, roll};
use crate::faults::{Answer, Fault};

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
