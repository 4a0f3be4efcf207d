//! Faults on demand: rules that pick requests, and the faults for them.
//!
//! Every server has one [`Faults`]. A rule has an operation and a pattern, a frequency (always, a share, the n-th
//! time), a [`Moment`] and a [`Fault`]. A share depends on the seed, the operation, the key and how often that pair was
//! seen. It does not depend on the order of concurrent requests, so the same seed gives the same faults.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::dice;
use crate::iam::wildcard;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The request has no effect.
    Before,
    /// The request has its full effect; only the answer suffers.
    After,
}

/// The fault of a request that a rule picked.
#[derive(Clone)]
pub enum Fault {
    /// 500, in the words of the service.
    InternalError,
    /// 503 `SlowDown`, in the words of the service.
    SlowDown,
    /// 409 `ConditionalRequestConflict`, in the words of S3.
    Conflict,
    /// Any other answer.
    Answer(Answer),
    /// The connection is closed without an answer. After applying, that is a lost response.
    Reset,
    /// About half of the request's body is read, then the connection is closed.
    /// Only before applying.
    CutRequest,
    /// The answer's body and the connection end after this many bytes. Only after applying.
    CutAnswer(u64),
    /// The first byte of each piece of the answer's body is another one. Only after applying, and only of S3.
    DamageAnswer,
    /// The request waits, then continues normally.
    Slow(Duration),
    /// No answer, and the connection stays open.
    Hang,
    /// The request waits until the story opens the gate, then continues.
    Hold(Gate),
    /// The story acts at this moment, then the request continues.
    Do(Arc<dyn Fn(&Target) + Send + Sync>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    /// A short name, for logs and counts.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::InternalError => "InternalError",
            Fault::SlowDown => "SlowDown",
            Fault::Conflict => "Conflict",
            Fault::Answer(_) => "Answer",
            Fault::Reset => "Reset",
            Fault::CutRequest => "CutRequest",
            Fault::CutAnswer(_) => "CutAnswer",
            Fault::DamageAnswer => "DamageAnswer",
            Fault::Slow(_) => "Slow",
            Fault::Hang => "Hang",
            Fault::Hold(_) => "Hold",
            Fault::Do(_) => "Do",
        }
    }

    /// [`Fault::Do`] with a plain function.
    pub fn act(act: impl Fn(&Target) + Send + Sync + 'static) -> Fault {
        Fault::Do(Arc::new(act))
    }

    /// A gateway between client and service answers in the service's place: 200 with a page of HTML. Some proxies and
    /// captive portals do so.
    pub fn gateway_page() -> Answer {
        let page =
            "<!DOCTYPE html>\n<html><head><title>Gateway</title></head><body><p>Please wait.</p></body></html>\n";
        Fault::status(200).header("content-type", "text/html").body(page)
    }

    /// The pages of a gateway of every kind: with success, refusals, a login, and in well-formed XML.
    pub fn gateway_pages() -> Vec<Answer> {
        let page = |status| Answer { status, ..Fault::gateway_page() };
        let mut pages: Vec<Answer> = [200, 400, 403, 404, 407, 412, 502].into_iter().map(page).collect();
        pages.push(page(302).header("location", "/login"));
        pages.push(Fault::status(200).body("<?xml version=\"1.0\"?><status>fine</status>"));
        pages
    }

    /// An answer with this status and no body.
    pub fn status(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: String::new() }
    }
}

/// An answer made up by a story.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// The unchanged body.
    pub body: String,
}

impl Answer {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Answer {
        self.body = body.into();
        self
    }
}

impl From<Answer> for Fault {
    fn from(answer: Answer) -> Fault {
        Fault::Answer(answer)
    }
}

/// A door that holds requests back until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<(bool, usize)>>);

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(watch::Sender::new((false, 0))))
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.send_modify(|(open, _)| *open = true);
    }

    /// Whether it was opened.
    pub fn is_open(&self) -> bool {
        self.0.borrow().0
    }

    /// Returns when at least `count` requests have reached the gate.
    pub async fn reached(&self, count: usize) {
        let mut state = self.0.subscribe();
        // The sender lives in `self`.
        let _ = state.wait_for(|(_, arrived)| *arrived >= count).await;
    }

    async fn pass(&self) {
        let mut state = self.0.subscribe();
        self.0.send_modify(|(_, arrived)| *arrived += 1);
        let _ = state.wait_for(|(open, _)| *open).await;
    }
}

/// The request that a rule is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// `PutObject`, `AssumeRole`, `SendMessage`, `batch`, …
    pub operation: String,
    /// Bucket; queue name; empty elsewhere.
    pub bucket: String,
    /// Object key; role ARN; path; empty elsewhere.
    pub key: String,
}

/// Which requests, when, and what.
#[derive(Clone, Debug)]
pub struct Rule {
    operation: String,
    bucket: String,
    key: String,
    skip: u64,
    times: Option<u64>,
    share: Option<(u64, f64)>,
    moment: Moment,
    menu: Vec<(Moment, Fault)>,
}

impl Rule {
    /// Requests of this operation; `*` and `?` are wildcards. The rule strikes always until a
    /// method below says otherwise, and does nothing until [`before`](Rule::before) or
    /// [`after`](Rule::after) says what.
    pub fn on(operation: &str) -> Rule {
        Rule {
            operation: operation.to_owned(),
            bucket: String::from("*"),
            key: String::from("*"),
            skip: 0,
            times: None,
            share: None,
            moment: Moment::Before,
            menu: Vec::new(),
        }
    }

    /// Requests of every operation.
    pub fn any() -> Rule {
        Rule::on("*")
    }

    /// Only in buckets (or queues) of this name; `*` and `?` are wildcards.
    #[must_use]
    pub fn bucket(mut self, pattern: &str) -> Rule {
        self.bucket = pattern.to_owned();
        self
    }

    /// Only with keys that match; `*` (which crosses `/`) and `?` are wildcards.
    #[must_use]
    pub fn key(mut self, pattern: &str) -> Rule {
        self.key = pattern.to_owned();
        self
    }

    /// Leaves the first `count` matching requests alone.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Rule {
        self.skip = count;
        self
    }

    /// Strikes at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Rule {
        self.times = Some(count);
        self
    }

    /// Strikes a share (0 to 1) of the matching requests, by the dice of `seed`.
    #[must_use]
    pub fn share(mut self, seed: u64, share: f64) -> Rule {
        self.share = Some((seed, share));
        self
    }

    /// Strikes before the request is applied. Called several times, the dice choose.
    #[must_use]
    pub fn before(mut self, fault: impl Into<Fault>) -> Rule {
        self.moment = Moment::Before;
        self.menu.push((Moment::Before, fault.into()));
        self
    }

    /// Strikes after the request is applied. Called several times, the dice choose.
    #[must_use]
    pub fn after(mut self, fault: impl Into<Fault>) -> Rule {
        self.moment = Moment::After;
        self.menu.push((Moment::After, fault.into()));
        self
    }

    /// Applied, then the connection is closed before the answer.
    #[must_use]
    pub fn lose_response(self) -> Rule {
        self.after(Fault::Reset)
    }

    /// All faults between a client and S3, STS or SQS in equal parts: 500, 503 and reset, each before and after
    /// applying, and a truncated answer.
    #[must_use]
    pub fn chaos(self) -> Rule {
        self.before(Fault::InternalError)
            .before(Fault::SlowDown)
            .before(Fault::Reset)
            .before(Fault::Slow(Duration::from_millis(5)))
            .after(Fault::InternalError)
            .after(Fault::SlowDown)
            .after(Fault::Reset)
            .after(Fault::CutAnswer(7))
    }

    /// A gateway answers in the service's place, with any of its pages, before or after applying.
    #[must_use]
    pub fn gateway(self) -> Rule {
        let pages = Fault::gateway_pages().into_iter();
        pages.fold(self, |rule, page| rule.before(page.clone()).after(page))
    }

    fn matches(&self, target: &Target) -> bool {
        wildcard::matches(&self.operation, &target.operation)
            && wildcard::matches(&self.bucket, &target.bucket)
            && wildcard::matches(&self.key, &target.key)
    }
}

/// A fault that struck.
#[derive(Clone, Debug)]
pub struct Strike {
    /// The request.
    pub target: Target,
    /// When.
    pub moment: Moment,
    /// [`Fault::name`].
    pub fault: &'static str,
}

/// The rules of one server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rules: Vec<Armed>,
    strikes: Vec<Strike>,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: u64,
    struck: u64,
    seen_by_target: HashMap<Target, u64>,
}

impl Faults {
    /// Adds a rule. Rules are asked in order; several may strike one request.
    pub fn add(&self, rule: Rule) {
        self.state().rules.push(Armed { rule, seen: 0, struck: 0, seen_by_target: HashMap::new() });
    }

    /// Ends all faults. Requests that are being held or that hang stay so.
    pub fn clear(&self) {
        self.state().rules.clear();
    }

    /// The faults so far, in order.
    pub fn strikes(&self) -> Vec<Strike> {
        self.state().strikes.clone()
    }

    /// The faults for this request.
    pub(crate) fn plan(&self, target: &Target) -> Injection {
        let mut state = self.state();
        let State { rules, strikes } = &mut *state;
        let mut plan = Injection { target: target.clone(), faults: Vec::new() };
        for (index, armed) in rules.iter_mut().enumerate() {
            let Some((moment, fault)) = armed.ask(index, target) else {
                continue;
            };
            strikes.push(Strike { target: target.clone(), moment, fault: fault.name() });
            plan.faults.push((moment, fault));
        }
        plan
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn ask(&mut self, index: usize, target: &Target) -> Option<(Moment, Fault)> {
        if self.rule.menu.is_empty() || !self.rule.matches(target) {
            return None;
        }
        self.seen += 1;
        if self.seen <= self.rule.skip || self.rule.times.is_some_and(|times| self.struck >= times) {
            return None;
        }
        let seed = self.rule.share.map_or(0, |(seed, _)| seed);
        let before = self.seen_by_target.entry(target.clone()).or_default();
        let what = (index, target, *before);
        *before += 1;
        if let Some((_, share)) = self.rule.share
            && dice::roll(seed, ("strike", what)) >= share
        {
            return None;
        }
        self.struck += 1;
        let choice = dice::pick(seed, ("choice", what), self.rule.menu.len());
        self.rule.menu.get(choice).cloned()
    }
}

/// The faults in store for one request.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    target: Target,
    faults: Vec<(Moment, Fault)>,
}

impl Injection {
    /// Waits where it must, and gives the first fault that ends the request at this moment.
    pub(crate) async fn strike(&self, moment: Moment) -> Option<Fault> {
        for (_, fault) in self.faults.iter().filter(|(when, _)| *when == moment) {
            match fault {
                Fault::Slow(wait) => tokio::time::sleep(*wait).await,
                Fault::Hold(gate) => gate.pass().await,
                Fault::Do(act) => act(&self.target),
                Fault::Hang => std::future::pending().await,
                end => return Some(end.clone()),
            }
        }
        None
    }

    /// Whether the request waits before it is applied.
    pub(crate) fn holds_back(&self) -> bool {
        self.faults
            .iter()
            .any(|(moment, fault)| *moment == Moment::Before && matches!(fault, Fault::Slow(_) | Fault::Hold(_)))
    }

    /// Whether the connection is closed before the request is read whole.
    pub(crate) fn cuts_request(&self) -> bool {
        self.faults
            .iter()
            .any(|(moment, fault)| *moment == Moment::Before && matches!(fault, Fault::CutRequest | Fault::Reset))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.faults.iter().map(|(_, fault)| fault.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(key: &str) -> Target {
        Target { operation: String::from("PutObject"), bucket: String::from("state"), key: key.to_owned() }
    }

    fn struck(faults: &Faults, keys: &[&str]) -> Vec<bool> {
        keys.iter().map(|key| !faults.plan(&target(key)).faults.is_empty()).collect()
    }

    #[test]
    fn skip_and_times_make_a_script() {
        let faults = Faults::default();
        faults.add(Rule::on("PutObject").skip(1).times(2).before(Fault::SlowDown));
        assert_eq!(struck(&faults, &["a"; 5]), [false, true, true, false, false]);
    }

    #[test]
    fn a_rule_keeps_to_its_operation_bucket_and_keys() {
        let faults = Faults::default();
        faults.add(Rule::on("GetObject").before(Fault::Reset));
        faults.add(Rule::on("Put*").bucket("other").before(Fault::Reset));
        faults.add(Rule::on("Put*").key("ingest/*.json").before(Fault::Reset));
        assert_eq!(struck(&faults, &["ingest/x/checkpoint.json", "exports/head.json"]), [true, false]);
    }

    #[test]
    fn a_share_does_not_depend_on_the_order_of_arrival() {
        let schedule = |keys: &[&str]| {
            let faults = Faults::default();
            faults.add(Rule::any().share(11, 0.5).chaos());
            let mut hits: Vec<_> =
                keys.iter().map(|key| (key.to_string(), format!("{:?}", faults.plan(&target(key)).faults))).collect();
            hits.sort();
            hits
        };
        let forth = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut back = forth;
        back.reverse();
        assert_eq!(schedule(&forth), schedule(&back));
    }
}
