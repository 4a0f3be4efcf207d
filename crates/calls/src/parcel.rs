//! One batch on its way: which calls are still to be acknowledged, and who is guilty when the whole is refused.
//!
//! Segment answers a batch as a whole. A refused one is halved until the guilty calls stand alone; the rest is
//! delivered. That may cost many requests, so it draws from an allowance.

use crate::ingestion::Guilty;
use std::ops::Range;

/// Requests that finding guilty calls may cost a file, beyond one a batch.
pub const BISECTION_REQUESTS_MAX: u32 = 2_000;
/// Calls refused one by one, with none acknowledged in the whole file, after which it is the file that is refused.
pub const REFUSED_FROM_THE_START_MAX: usize = 10;

/// The calls of a batch that are still to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    todo: Vec<Range<usize>>,
    acknowledged: usize,
    guilty: Vec<Guilty>,
    last_words: String,
}

/// What became of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Go on with the parcel.
    GoOn,
    /// Nothing of this file is acceptable.
    WholeFile,
}

impl Parcel {
    /// A parcel of so many calls.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        let todo = std::iter::once(0..calls).filter(|all| !all.is_empty()).collect();
        Self { todo, acknowledged: 0, guilty: Vec::new(), last_words: String::new() }
    }

    /// The calls to send next; `None` when each has its answer.
    #[must_use]
    pub fn next(&self) -> Option<Range<usize>> {
        self.todo.last().cloned()
    }

    /// The calls sent last were acknowledged.
    pub fn acknowledged(&mut self) {
        if let Some(calls) = self.todo.pop() {
            self.acknowledged += calls.len();
        }
    }

    /// The calls sent last were refused. `file_acknowledged`: whether anything of the file ever was acknowledged.
    pub fn refused(&mut self, message: &str, too_large: bool, file_acknowledged: bool) -> Refusal {
        let Some(calls) = self.todo.pop() else { return Refusal::GoOn };
        message.clone_into(&mut self.last_words);
        if calls.len() > 1 {
            let middle = calls.start + calls.len() / 2;
            self.todo.push(middle..calls.end);
            self.todo.push(calls.start..middle);
            return Refusal::GoOn;
        }
        let code = if too_large { "too_large_for_segment" } else { "refused_by_segment" };
        self.guilty.push(Guilty { call: calls.start, code, message: message.to_owned() });
        let nothing_yet = !file_acknowledged && self.acknowledged == 0;
        if nothing_yet && (self.todo.is_empty() || self.guilty.len() >= REFUSED_FROM_THE_START_MAX) {
            return Refusal::WholeFile;
        }
        Refusal::GoOn
    }

    /// How many calls were acknowledged so far.
    #[must_use]
    pub fn acknowledged_calls(&self) -> usize {
        self.acknowledged
    }

    /// The calls that were refused, in the order of the rows.
    #[must_use]
    pub fn into_guilty(mut self) -> Vec<Guilty> {
        self.guilty.sort_by_key(|guilty| guilty.call);
        self.guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers `calls` calls of which `bad` are refused; tells the guilty and the number of requests.
    fn deliver(calls: usize, bad: &[usize], file_acknowledged: bool) -> (Result<Vec<usize>, ()>, usize) {
        let (mut parcel, mut requests) = (Parcel::new(calls), 0);
        while let Some(range) = parcel.next() {
            requests += 1;
            if !range.clone().any(|call| bad.contains(&call)) {
                parcel.acknowledged();
            } else if parcel.refused("no", false, file_acknowledged) == Refusal::WholeFile {
                return (Err(()), requests);
            }
        }
        let good = parcel.acknowledged_calls();
        let guilty: Vec<usize> = parcel.into_guilty().into_iter().map(|guilty| guilty.call).collect();
        assert_eq!(good + guilty.len(), calls);
        (Ok(guilty), requests)
    }

    #[test]
    fn the_guilty_are_found_and_the_rest_is_delivered() {
        for bad in [vec![], vec![0], vec![999], vec![3, 4], vec![0, 500, 999]] {
            for known in [false, true] {
                let (guilty, requests) = deliver(1_000, &bad, known);
                assert_eq!(guilty, Ok(bad.clone()));
                assert!(requests <= 1 + bad.len() * 2 * 10, "{requests} requests for {bad:?}");
            }
        }
        assert_eq!(deliver(0, &[], false).0, Ok(vec![]));
    }

    #[test]
    fn a_file_of_which_nothing_was_ever_accepted_is_not_a_heap_of_bad_rows() {
        let all: Vec<usize> = (0..1_000).collect();
        let (outcome, requests) = deliver(1_000, &all, false);
        assert!(outcome.is_err() && requests < 60, "{requests} requests");
        assert!(deliver(1, &[0], false).0.is_err());
        assert_eq!(deliver(3, &[0, 1, 2], true).0, Ok(vec![0, 1, 2]));
    }
}
