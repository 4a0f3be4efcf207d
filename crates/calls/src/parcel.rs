//! One batch on its way: which calls are still to be acknowledged, and who is guilty when the whole is refused.
//!
//! Segment answers a batch as a whole. A refused one is halved until the guilty calls stand alone; the rest is
//! delivered. That may cost many requests, so it draws from an allowance of the file. When that is used up a refused
//! batch goes to the rejects whole: no row is lost, and dropped back they are tried again.

use crate::batches::Batch;
use crate::ingestion::Guilty;
use std::ops::Range;

/// Requests that finding guilty calls may cost a file, beyond one a batch.
pub const BISECTION_REQUESTS_MAX: u32 = 2_000;
/// Requests that halving a refused request costs.
pub const HALVING_REQUESTS: u32 = 2;
/// Calls of a batch refused one by one, with none acknowledged in the whole file, after which one from its far end is
/// tried: if that is refused too, the batch is put aside until another one tells whether it is the file that is refused.
pub const REFUSED_FROM_THE_START_MAX: usize = 10;
/// Calls refused one by one in batches put aside, with none acknowledged in the whole file, after which it is the file
/// that is refused: the beginnings of four batches, or four requests of objects.
pub const REFUSED_FROM_THE_START_OF_FILE_MAX: usize = 40;
/// What a server calls too large is cut down to no less than this.
pub const BODY_BYTES_MIN: usize = 32_768;

/// The calls of a batch that are still to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    todo: Vec<Range<usize>>,
    acknowledged: usize,
    guilty: Vec<Guilty>,
    probed: bool,
}

/// How a refusal is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The answer was 413: the size is what is wrong.
    pub too_large: bool,
    /// Something of the file was acknowledged before, so that a refusal is about its calls.
    pub file_acknowledged: bool,
    /// There is allowance left for finding out which.
    pub may_halve: bool,
}

/// What became of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Go on with the parcel.
    GoOn,
    /// Nothing of it was acceptable so far, and nothing of the file: other batches tell what that means. Then this one
    /// may go on.
    PutAside,
}

impl Parcel {
    /// The calls of a batch, cut so that no request is longer than `body_bytes_max` if that can be.
    #[must_use]
    pub fn new(batch: &Batch, body_bytes_max: usize) -> Self {
        let mut todo: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        for (index, call) in batch.calls.iter().enumerate() {
            if index > from && call.body.end - batch.calls[from].body.start > body_bytes_max {
                todo.push(from..index);
                from = index;
            }
        }
        if from < batch.calls.len() {
            todo.push(from..batch.calls.len());
        }
        // The next one to send is taken from the end.
        todo.reverse();
        Self { todo, acknowledged: 0, guilty: Vec::new(), probed: false }
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

    /// The calls sent last were refused.
    pub fn refused(&mut self, message: &str, at: Circumstances) -> Refusal {
        let Some(calls) = self.todo.pop() else { return Refusal::GoOn };
        if calls.len() > 1 && at.may_halve {
            let middle = calls.start + calls.len() / 2;
            self.todo.push(middle..calls.end);
            self.todo.push(calls.start..middle);
            return Refusal::GoOn;
        }
        let code = match (calls.len(), at.too_large) {
            (1, true) => "too_large_for_segment",
            (1, false) => "refused_by_segment",
            _ => "refused_in_batch",
        };
        self.guilty.extend(calls.map(|call| Guilty { call, code, message: message.to_owned() }));
        if at.file_acknowledged || self.acknowledged > 0 {
            return Refusal::GoOn;
        }
        if self.todo.is_empty() || self.probed {
            return Refusal::PutAside;
        }
        if self.guilty.len() >= REFUSED_FROM_THE_START_MAX {
            self.probe();
        }
        Refusal::GoOn
    }

    /// Sends the last call of all next: a few bad rows at the beginning are not a bad file.
    fn probe(&mut self) {
        self.probed = true;
        if let Some(far) = self.todo.first_mut() {
            far.end -= 1;
            let probe = far.end..far.end + 1;
            self.todo.retain(|calls| !calls.is_empty());
            self.todo.push(probe);
        }
    }

    /// How many calls were refused so far.
    #[must_use]
    pub fn refused_calls(&self) -> usize {
        self.guilty.len()
    }

    /// How many calls were acknowledged so far.
    #[must_use]
    pub fn acknowledged_calls(&self) -> usize {
        self.acknowledged
    }

    /// The calls that were refused, in the order of the rows.
    #[must_use]
    pub fn guilty(&self) -> Vec<Guilty> {
        let mut guilty = self.guilty.clone();
        guilty.sort_by_key(|guilty| guilty.call);
        guilty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::Call;
    use crate::refusal::Span;

    /// A batch of so many calls of ten bytes each.
    fn batch(calls: usize) -> Batch {
        let span = Span { from: 0, start: 0, to: 0, line: 1 };
        let call = |index: usize| Call { body: index * 11..index * 11 + 10, timestamp: None, span, record: 0..0 };
        Batch { calls: (0..calls).map(call).collect(), ..Batch::default() }
    }

    /// Delivers `calls` calls of which `bad` are refused; tells the guilty and the number of requests.
    fn deliver(calls: usize, bad: &[usize], file_acknowledged: bool) -> (Result<Vec<usize>, ()>, usize) {
        let (mut parcel, mut requests) = (Parcel::new(&batch(calls), usize::MAX), 0);
        let at = Circumstances { too_large: false, file_acknowledged, may_halve: true };
        while let Some(range) = parcel.next() {
            requests += 1;
            if !range.clone().any(|call| bad.contains(&call)) {
                parcel.acknowledged();
            } else if parcel.refused("no", at) == Refusal::PutAside {
                return (Err(()), requests);
            }
        }
        let good = parcel.acknowledged_calls();
        let guilty: Vec<usize> = parcel.guilty().into_iter().map(|guilty| guilty.call).collect();
        assert_eq!(good + guilty.len(), calls);
        (Ok(guilty), requests)
    }

    #[test]
    fn the_guilty_are_found_and_the_rest_is_delivered() {
        let many: Vec<usize> = (0..10).collect();
        for bad in [vec![], vec![0], vec![999], vec![3, 4], vec![0, 500, 999], many] {
            for known in [false, true] {
                let (guilty, requests) = deliver(1_000, &bad, known);
                assert_eq!(guilty, Ok(bad.clone()));
                assert!(requests <= 2 + bad.len() * 2 * 10, "{requests} requests for {bad:?}");
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

    #[test]
    fn what_was_put_aside_goes_on_where_it_was_once_something_of_the_file_was_acknowledged() {
        let bad: Vec<usize> = (0..10).chain([99]).collect();
        let mut parcel = Parcel::new(&batch(100), usize::MAX);
        let mut at = Circumstances { too_large: false, file_acknowledged: false, may_halve: true };
        let mut aside = 0;
        while let Some(range) = parcel.next() {
            if !range.clone().any(|call| bad.contains(&call)) {
                parcel.acknowledged();
            } else if parcel.refused("no", at) == Refusal::PutAside {
                aside += 1;
                at.file_acknowledged = true;
            }
        }
        assert_eq!((aside, parcel.refused_calls(), parcel.acknowledged_calls()), (1, 11, 89));
        let guilty: Vec<usize> = parcel.guilty().into_iter().map(|guilty| guilty.call).collect();
        assert_eq!(guilty, bad);
    }

    #[test]
    fn without_allowance_a_refused_request_goes_to_the_rejects_whole() {
        let mut parcel = Parcel::new(&batch(3), usize::MAX);
        let at = Circumstances { too_large: false, file_acknowledged: true, may_halve: false };
        assert_eq!(parcel.refused("no", at), Refusal::GoOn);
        assert_eq!(parcel.next(), None);
        let codes: Vec<_> = parcel.guilty().into_iter().map(|guilty| (guilty.call, guilty.code)).collect();
        assert_eq!(codes, [(0, "refused_in_batch"), (1, "refused_in_batch"), (2, "refused_in_batch")]);
    }

    #[test]
    fn a_limit_that_a_server_has_shown_is_kept_from_then_on() {
        let mut parcel = Parcel::new(&batch(10), 35);
        let mut sent = Vec::new();
        while let Some(calls) = parcel.next() {
            sent.push(calls);
            parcel.acknowledged();
        }
        assert_eq!(sent, [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(Parcel::new(&batch(2), 1).next(), Some(0..1), "a call is never cut");
    }
}
