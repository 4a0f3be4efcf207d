//! The meaning of Segment's refusals: single rows are wrong, or the whole file.
//!
//! Segment answers a request as a whole. A refused request is halved until each refused call stands alone, and all other
//! calls are delivered. Halving costs requests, so it draws from an allowance of the file. Without allowance a refused
//! request goes to the rejects whole: no row is lost, and a person can drop these rows again.
//!
//! Before Segment accepts a call of a file, a refusal may be about the whole file: a wrong kind, or a field that
//! Segment refuses. So the first refused batches are deferred. Once Segment accepts one call, the deferred batches
//! continue, and a refusal is always about rows. If Segment refuses everything, or [`REFUSED_ALONE_OF_FILE_MAX`] calls
//! one by one, the file fails and no row is rejected.

use calls::batches::Batch;
use calls::pipeline::RefusedCall;
use std::ops::Range;

/// Requests that halving may cost a file beyond one a batch, in all its runs together.
pub const HALVING_REQUESTS_MAX: u32 = 2_000;
/// Requests that halving one refused request costs.
const HALVING_REQUESTS: u32 = 2;
/// Calls of one batch that are refused one by one before its last call is tried, while no call of the file is accepted.
/// If Segment refuses that too, the batch is deferred.
const REFUSED_ALONE_OF_BATCH_MAX: usize = 10;
/// Calls of deferred batches that are refused one by one before the file fails, while no call of the file is accepted.
/// They are the beginnings of four batches, or four requests of objects.
pub const REFUSED_ALONE_OF_FILE_MAX: usize = 40;
/// Batches with a 403 before the file fails, while no call of the file is accepted in this run.
const FORBIDDEN_BATCHES_MAX: usize = 2;
/// The smallest size in bytes to which bodies are cut after a 413.
pub const BODY_BYTES_MIN: usize = 32_768;

/// The calls of one batch that still need an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The next range to send is the last one.
    todo: Vec<Range<usize>>,
    accepted: usize,
    refused_calls: Vec<RefusedCall>,
    tried_last: bool,
}

/// A refusal of some calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// Segment's words. They may quote a cell, so they go into the rejects file only.
    pub message: String,
    /// Words for report and log, with the host.
    pub public: String,
    /// True for status 413: the body was too large.
    pub too_large: bool,
}

/// What happens to a batch after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Send the rest of the parcel.
    GoOn,
    /// Defer the batch until another call of the file is accepted.
    Defer,
    /// The refusal is not about calls: the file fails.
    Fail,
}

/// A batch that waits until another call of the file is accepted.
#[derive(Debug)]
struct Deferred<T, F> {
    batch: T,
    refused_calls: usize,
    /// It got a 403, which may be about the write key.
    is_forbidden: bool,
    /// How the file fails if no call is accepted.
    failure: F,
}

/// The refusals of one file. `T` is a batch with its parcel, and `F` a failure, as the run has them.
#[derive(Debug)]
pub struct Refusals<T, F> {
    /// Calls that Segment accepted, in earlier runs too.
    accepted: u64,
    /// The same in this run.
    accepted_now: u64,
    /// Requests that halving has cost, in earlier runs too.
    halving_requests: u32,
    /// The same at the start of this run.
    halving_requests_before: u32,
    body_bytes_max: usize,
    deferred: Vec<Deferred<T, F>>,
    is_whole: bool,
}

impl Parcel {
    /// The calls of a batch, in requests of at most `body_bytes_max` bytes. A single call is never cut.
    fn new(batch: &Batch, body_bytes_max: usize) -> Self {
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
        todo.reverse();
        Self { todo, accepted: 0, refused_calls: Vec::new(), tried_last: false }
    }

    /// The calls to send next; `None` when each call has its answer.
    #[must_use]
    pub fn next(&self) -> Option<Range<usize>> {
        self.todo.last().cloned()
    }

    /// How many calls Segment accepted.
    #[must_use]
    pub fn accepted_calls(&self) -> usize {
        self.accepted
    }

    /// The refused calls, in the order of the rows.
    #[must_use]
    pub fn refused_calls(&self) -> Vec<RefusedCall> {
        let mut refused_calls = self.refused_calls.clone();
        refused_calls.sort_by_key(|refused| refused.call);
        refused_calls
    }

    fn halve(&mut self, calls: &Range<usize>) {
        let middle = calls.start + calls.len() / 2;
        self.todo.push(middle..calls.end);
        self.todo.push(calls.start..middle);
    }

    fn blame(&mut self, calls: Range<usize>, refused: &RefusedRequest) {
        let code = match (calls.len(), refused.too_large) {
            (1, true) => "too_large_for_segment",
            (1, false) => "refused_by_segment",
            _ => "refused_in_batch",
        };
        let message = &refused.message;
        self.refused_calls.extend(calls.map(|call| RefusedCall { call, code, message: message.clone() }));
    }

    /// Sends the last call of the batch next: a few bad rows at the beginning do not make a bad file.
    fn try_last(&mut self) {
        self.tried_last = true;
        if let Some(far) = self.todo.first_mut() {
            far.end -= 1;
            let last = far.end..far.end + 1;
            self.todo.retain(|calls| !calls.is_empty());
            self.todo.push(last);
        }
    }
}

impl<T, F: Clone> Refusals<T, F> {
    /// Continues from earlier runs: how many calls Segment accepted, and how many requests halving has cost.
    #[must_use]
    pub fn new(accepted: u64, halving_requests: u32) -> Self {
        Self {
            accepted,
            accepted_now: 0,
            halving_requests,
            halving_requests_before: halving_requests,
            body_bytes_max: usize::MAX,
            deferred: Vec::new(),
            is_whole: false,
        }
    }

    /// The parcel of a batch, in requests as small as the server is known to need.
    #[must_use]
    pub fn parcel(&self, batch: &Batch) -> Parcel {
        Parcel::new(batch, self.body_bytes_max)
    }

    /// Segment accepted the calls that were sent last.
    pub fn accept(&mut self, parcel: &mut Parcel) {
        if let Some(calls) = parcel.todo.pop() {
            parcel.accepted += calls.len();
            self.accepted += calls.len() as u64;
            self.accepted_now += calls.len() as u64;
        }
    }

    /// Segment refused the calls that were sent last, in a body of `body_bytes`.
    pub fn refuse(&mut self, parcel: &mut Parcel, refused: &RefusedRequest, body_bytes: usize) -> Ruling {
        if refused.too_large {
            self.body_bytes_max = self.body_bytes_max.min((body_bytes / 2).max(BODY_BYTES_MIN));
        }
        if self.halve_or_blame(parcel, refused) || self.accepted > 0 {
            return Ruling::GoOn;
        }
        if parcel.todo.is_empty() || parcel.tried_last {
            return Ruling::Defer;
        }
        if parcel.refused_calls.len() >= REFUSED_ALONE_OF_BATCH_MAX {
            parcel.try_last();
        }
        Ruling::GoOn
    }

    /// The calls that were sent last got a 403: from a firewall, for their content, or from Segment, for the write key.
    /// Before this run has an accepted call, that is open. Afterwards the key is right, unless nothing of a whole batch
    /// is accepted any more.
    pub fn forbid(&mut self, parcel: &mut Parcel, refused: &RefusedRequest) -> Ruling {
        if self.accepted_now == 0 {
            return Ruling::Defer;
        }
        if self.halve_or_blame(parcel, refused) || parcel.accepted > 0 {
            return Ruling::GoOn;
        }
        if parcel.tried_last {
            return Ruling::Fail;
        }
        if parcel.refused_calls.len() >= REFUSED_ALONE_OF_BATCH_MAX {
            parcel.try_last();
        }
        Ruling::GoOn
    }

    /// Halves a refused request, while there is allowance. Otherwise its calls are refused. True when it was halved.
    fn halve_or_blame(&mut self, parcel: &mut Parcel, refused: &RefusedRequest) -> bool {
        let Some(calls) = parcel.todo.pop() else { return true };
        let may_halve = calls.len() > 1 && self.halving_requests < HALVING_REQUESTS_MAX;
        if may_halve {
            self.halving_requests += HALVING_REQUESTS;
            parcel.halve(&calls);
        } else {
            parcel.blame(calls, refused);
        }
        may_halve
    }

    /// Keeps a batch until another call of the file is accepted; `refused_calls` of it are refused by now. `failure` is
    /// how the file fails if no call is accepted; `is_forbidden` says that the answer was a 403.
    pub fn defer(&mut self, batch: T, refused_calls: usize, failure: F, is_forbidden: bool) {
        self.deferred.push(Deferred { batch, refused_calls, is_forbidden, failure });
    }

    /// Takes a deferred batch back whose refusal is about its rows, since another call was accepted.
    pub fn resume(&mut self) -> Option<T> {
        let at = self.deferred.iter().rposition(|deferred| self.is_about_rows(deferred))?;
        Some(self.deferred.remove(at).batch)
    }

    fn is_about_rows(&self, deferred: &Deferred<T, F>) -> bool {
        if deferred.is_forbidden { self.accepted_now > 0 } else { self.accepted > 0 }
    }

    /// True while batches are deferred.
    #[must_use]
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// True while it is open whether the file is refused: requests then go one after the other.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.deferred.iter().any(|deferred| !self.is_about_rows(deferred))
    }

    /// How the file fails, if the whole file is refused. `is_all`: no row of the file is left to send.
    pub fn whole_file(&mut self, is_all: bool) -> Option<F> {
        let open = self.deferred.iter().filter(|deferred| !self.is_about_rows(deferred));
        let (mut refused_calls, mut forbidden, mut failure) = (0, 0, None);
        for deferred in open {
            refused_calls += deferred.refused_calls;
            forbidden += usize::from(deferred.is_forbidden);
            failure = Some(deferred.failure.clone());
        }
        let is_enough = refused_calls >= REFUSED_ALONE_OF_FILE_MAX || forbidden >= FORBIDDEN_BATCHES_MAX;
        let failure = failure.filter(|_| is_all || is_enough)?;
        self.is_whole = self.accepted == 0;
        Some(failure)
    }

    /// Requests that halving has cost the file, for the checkpoint. If the whole file was refused, this run cost nothing.
    #[must_use]
    pub fn halving_requests(&self) -> u32 {
        if self.is_whole { self.halving_requests_before } else { self.halving_requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calls::batches::Call;
    use calls::refusal::Span;

    /// A batch of this many calls of ten bytes each.
    fn batch(calls: usize) -> Batch {
        let span = Span { from: 0, start: 0, to: 0, line: 1 };
        let call =
            |index: usize| Call { body: index * 11..index * 11 + 10, timestamp: None, span, record: 0..0, group: 0..0 };
        Batch { calls: (0..calls).map(call).collect(), ..Batch::default() }
    }

    fn no(too_large: bool) -> RefusedRequest {
        RefusedRequest { message: "no".to_owned(), public: "host refuses this file".to_owned(), too_large }
    }

    /// Delivers `calls` calls, of which Segment refuses `bad`. Returns the refused calls and the number of requests.
    fn deliver(calls: usize, bad: &[usize], accepted: u64) -> (Result<Vec<usize>, ()>, usize) {
        let mut refusals = Refusals::<(), ()>::new(accepted, 0);
        let (mut parcel, mut requests) = (refusals.parcel(&batch(calls)), 0);
        while let Some(range) = parcel.next() {
            requests += 1;
            if !range.clone().any(|call| bad.contains(&call)) {
                refusals.accept(&mut parcel);
            } else if refusals.refuse(&mut parcel, &no(false), 1_000) == Ruling::Defer {
                return (Err(()), requests);
            }
        }
        let refused_calls: Vec<usize> = parcel.refused_calls().into_iter().map(|refused| refused.call).collect();
        assert_eq!(parcel.accepted_calls() + refused_calls.len(), calls);
        (Ok(refused_calls), requests)
    }

    #[test]
    fn refused_calls_are_isolated_and_the_rest_is_delivered() {
        let many: Vec<usize> = (0..10).collect();
        for bad in [vec![], vec![0], vec![999], vec![3, 4], vec![0, 500, 999], many] {
            for accepted in [0, 1] {
                let (refused_calls, requests) = deliver(1_000, &bad, accepted);
                assert_eq!(refused_calls, Ok(bad.clone()));
                assert!(requests <= 2 + bad.len() * 2 * 10, "{requests} requests for {bad:?}");
            }
        }
        assert_eq!(deliver(0, &[], 0).0, Ok(vec![]));
    }

    #[test]
    fn a_refused_batch_is_deferred_until_a_call_of_the_file_is_accepted() {
        let all: Vec<usize> = (0..1_000).collect();
        let (outcome, requests) = deliver(1_000, &all, 0);
        assert!(outcome.is_err() && requests < 60, "{requests} requests");
        assert!(deliver(1, &[0], 0).0.is_err());
        assert_eq!(deliver(3, &[0, 1, 2], 1).0, Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_deferred_batch_continues_once_a_call_of_the_file_is_accepted() {
        let bad: Vec<usize> = (0..10).chain([99]).collect();
        let mut refusals = Refusals::<Parcel, ()>::new(0, 0);
        let mut parcel = refusals.parcel(&batch(100));
        let mut deferred = 0;
        while let Some(range) = parcel.next() {
            if !range.clone().any(|call| bad.contains(&call)) {
                refusals.accept(&mut parcel);
            } else if refusals.refuse(&mut parcel, &no(false), 1_000) == Ruling::Defer {
                deferred += 1;
                refusals.defer(parcel, 11, (), false);
                assert!(refusals.is_in_doubt() && refusals.resume().is_none());
                let mut other = refusals.parcel(&batch(1));
                refusals.accept(&mut other);
                parcel = refusals.resume().unwrap();
            }
        }
        assert_eq!((deferred, parcel.accepted_calls()), (1, 89));
        let refused_calls: Vec<usize> = parcel.refused_calls().into_iter().map(|refused| refused.call).collect();
        assert_eq!(refused_calls, bad);
    }

    #[test]
    fn a_file_fails_if_all_calls_or_forty_single_calls_are_refused() {
        for (refused_calls, is_all, expected) in [(39, false, false), (40, false, true), (1, true, true)] {
            let mut refusals = Refusals::<(), ()>::new(0, 7);
            let mut parcel = refusals.parcel(&batch(2));
            refusals.refuse(&mut parcel, &no(false), 1_000);
            refusals.defer((), refused_calls, (), false);
            assert_eq!(refusals.whole_file(is_all).is_some(), expected, "{refused_calls} {is_all}");
            assert_eq!(refusals.halving_requests(), if expected { 7 } else { 9 });
        }
        let mut refusals = Refusals::<(), ()>::new(1, 0);
        refusals.defer((), 100, (), false);
        assert_eq!(refusals.whole_file(true), None, "a call of the file was accepted");
    }

    /// Delivers a batch by 403s, after `accepted_now` accepted calls of this run.
    fn forbidden(calls: usize, bad: &[usize], accepted_now: usize) -> (Ruling, Vec<usize>) {
        let mut refusals = Refusals::<(), ()>::new(7, 0);
        let mut first = refusals.parcel(&batch(accepted_now));
        refusals.accept(&mut first);
        let mut parcel = refusals.parcel(&batch(calls));
        while let Some(range) = parcel.next() {
            if !range.clone().any(|call| bad.contains(&call)) {
                refusals.accept(&mut parcel);
                continue;
            }
            let ruling = refusals.forbid(&mut parcel, &no(false));
            if ruling != Ruling::GoOn {
                return (ruling, Vec::new());
            }
        }
        (Ruling::GoOn, parcel.refused_calls().into_iter().map(|refused| refused.call).collect())
    }

    #[test]
    fn a_403_rejects_calls_only_if_others_of_the_batch_are_accepted() {
        for bad in [vec![0], vec![0, 1, 2], vec![99], (0..10).collect()] {
            assert_eq!(forbidden(100, &bad, 0), (Ruling::Defer, vec![]), "this run has accepted nothing: {bad:?}");
            assert_eq!(forbidden(100, &bad, 1), (Ruling::GoOn, bad));
        }
        let all: Vec<usize> = (0..100).collect();
        assert_eq!(forbidden(100, &all, 1), (Ruling::Fail, vec![]), "nothing of the batch is accepted");
        assert_eq!(forbidden(1, &[0], 1), (Ruling::GoOn, vec![0]), "the last row of a file");
    }

    #[test]
    fn a_403_for_two_batches_fails_the_file_unless_a_call_is_accepted_first() {
        let mut refusals = Refusals::<u8, &str>::new(7, 0);
        refusals.defer(1, 0, "key", true);
        assert_eq!((refusals.is_in_doubt(), refusals.resume(), refusals.whole_file(false)), (true, None, None));
        refusals.defer(2, 0, "key", true);
        assert_eq!(refusals.whole_file(false), Some("key"));
        let mut parcel = refusals.parcel(&batch(1));
        refusals.accept(&mut parcel);
        assert_eq!((refusals.whole_file(true), refusals.resume(), refusals.resume()), (None, Some(2), Some(1)));
    }

    #[test]
    fn without_allowance_a_403_goes_to_the_rejects_whole_too() {
        let mut refusals = Refusals::<(), ()>::new(0, HALVING_REQUESTS_MAX);
        let mut parcel = refusals.parcel(&batch(1));
        refusals.accept(&mut parcel);
        let mut parcel = refusals.parcel(&batch(3));
        assert_eq!(refusals.forbid(&mut parcel, &no(false)), Ruling::GoOn);
        assert_eq!((parcel.next(), parcel.refused_calls().len()), (None, 3));
        assert_eq!(refusals.halving_requests(), HALVING_REQUESTS_MAX, "requests that are not sent cost nothing");
    }

    #[test]
    fn without_allowance_a_refused_request_goes_to_the_rejects_whole() {
        let mut refusals = Refusals::<(), ()>::new(1, HALVING_REQUESTS_MAX);
        let mut parcel = refusals.parcel(&batch(3));
        assert_eq!(refusals.refuse(&mut parcel, &no(false), 1_000), Ruling::GoOn);
        assert_eq!(parcel.next(), None);
        let codes: Vec<_> = parcel.refused_calls().into_iter().map(|refused| (refused.call, refused.code)).collect();
        assert_eq!(codes, [(0, "refused_in_batch"), (1, "refused_in_batch"), (2, "refused_in_batch")]);
    }

    #[test]
    fn later_bodies_are_no_larger_than_half_of_a_body_that_was_too_large() {
        let mut refusals = Refusals::<(), ()>::new(1, 0);
        let mut parcel = refusals.parcel(&batch(2));
        refusals.refuse(&mut parcel, &no(true), 80_000);
        assert_eq!(refusals.body_bytes_max, 40_000);
        refusals.refuse(&mut parcel, &no(true), 1_000);
        assert_eq!(refusals.body_bytes_max, BODY_BYTES_MIN);
    }

    #[test]
    fn a_parcel_is_split_into_requests_but_a_call_is_not() {
        let mut parcel = Parcel::new(&batch(10), 35);
        let mut refusals = Refusals::<(), ()>::new(0, 0);
        let mut sent = Vec::new();
        while let Some(calls) = parcel.next() {
            sent.push(calls);
            refusals.accept(&mut parcel);
        }
        assert_eq!(sent, [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(Parcel::new(&batch(2), 1).next(), Some(0..1));
    }
}
