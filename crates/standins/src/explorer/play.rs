//! One play: the runs of a stage go through one schedule, request by request.

use std::any::Any;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::{Request, Response};

use super::connector::{Desk, Pending};
use super::schedule::{Choice, Fate, Schedule};
use super::touch::Touch;
use crate::dice::Repeating;
use crate::s3::{Service, content_of};

/// A run that waits this long, by the clock of the play, without a request waits for nothing.
const SILENT_MAX: Duration = Duration::from_secs(3_600);

/// The limit of requests in a play. A play with more is in a loop.
const STEPS_MAX: usize = 1_000;

/// The parts of a run. Its future runs to its end. An error fails the play.
pub type Start = Box<dyn FnOnce(SharedHttpClient) -> Running>;

/// A run that is under way. It need not be `Send`: a play has one thread.
pub type Running = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// The server of a play, its runs, and the assertion at the end.
pub struct Stage {
    /// The server that carries requests out.
    pub service: Service,
    /// The runs. Runs with one name are alike, so their order of starting makes no difference.
    pub runs: Vec<(&'static str, Start)>,
    /// The last run, which is undisturbed and judges the result.
    pub finish: Start,
    /// The tampering of requests.
    pub tamper: Option<Box<dyn Tamper>>,
}

/// Makes a stage, the same one every time.
pub type Scenario<'a> = dyn Fn() -> Stage + Sync + 'a;

/// Changes requests and answers on their way: a protocol without one of its fences. Runs count from 0; the finish
/// comes after the last run.
pub trait Tamper {
    /// Sees a request when its fate is decided, and may change it, or answer it in the server's place.
    fn request(&mut self, run: usize, fate: Fate, request: &mut Request<Bytes>) -> Option<Response<Bytes>>;

    /// Sees an answer before its sender does.
    fn answer(&mut self, run: usize, request: &Request<Bytes>, answer: &mut Response<Bytes>) {
        let _ = (run, request, answer);
    }
}

/// One step of a play, as a log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The choice.
    pub choice: Option<Choice>,
    /// The request's method, path and query.
    pub request: String,
    /// Its `If-Match` and `If-None-Match`.
    pub conditions: [Option<String>; 2],
    /// A hash of its body.
    pub body: u64,
    /// Status, ETag and a hash of the body of its answer; `None` if it was not carried out, or its connection dropped.
    pub answer: Option<(u16, Option<String>, u64)>,
}

/// How a play ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Well,
    /// A promise was broken.
    Broken(String),
    /// It was not played to its end, since it is equivalent to another one.
    Pruned,
}

/// A play that has ended.
#[derive(Debug)]
pub struct Played {
    /// Every request, in the order of the choices.
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: End,
}

/// The possible choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The oldest request of each run; `None` for a run that has ended.
    pub(crate) runs: Vec<Option<Next>>,
    /// The late requests that have not landed.
    pub(crate) late: Vec<Late>,
    /// How many requests became late.
    pub(crate) late_count: usize,
    /// The run that made the last step.
    pub(crate) current: Option<usize>,
    /// A hash of the server's content; `None` if the tampering may have more state.
    pub(crate) content: Option<u64>,
}

impl View {
    /// True if no choice is left.
    pub(crate) fn is_over(&self) -> bool {
        self.late.is_empty() && self.runs.iter().all(Option::is_none)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) touch: Touch,
    /// True if the run's last request may have changed something: then a crash here differs from an earlier one.
    pub(crate) follows_write: bool,
    pub(crate) has_moved: bool,
    pub(crate) name: &'static str,
    /// The request's method, path and query.
    pub(crate) request: String,
    /// A hash of all of it.
    pub(crate) hash: u64,
    /// True if it depends on the server's content.
    pub(crate) is_conditional: bool,
    /// A hash of all that the run was answered. A lost try that was repeated unchanged is not part of it.
    pub(crate) history: u64,
    /// A hash of all its requests before, lost tries included, and of their answers.
    pub(crate) trace: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) number: usize,
    /// A hash of the request.
    pub(crate) hash: u64,
    pub(crate) touch: Touch,
    /// True once another request conflicted with it; until then landing is the same as a lost answer.
    pub(crate) is_apart: bool,
}

impl Late {
    /// A request with this touch was carried out: a late one that conflicts with it can no longer be taken for its equal.
    pub(crate) fn part(&mut self, touch: &Touch) {
        self.is_apart |= self.touch.conflicts(touch);
    }
}

/// Makes the choices of a play; `None` ends it.
pub(crate) trait Choose {
    fn choose(&mut self, view: &View) -> Option<Choice>;

    /// True if an earlier play with this server content ended well, so that this play need not be finished.
    fn is_known_end(&self, fingerprint: u64) -> bool {
        let _ = fingerprint;
        false
    }

    /// Notes that a play with this server content ended well.
    fn note_end(&self, fingerprint: u64) {
        let _ = fingerprint;
    }
}

/// Plays one schedule. After its end the runs continue in sequence.
pub fn replay(scenario: &Scenario<'_>, schedule: &Schedule) -> Played {
    play(scenario, &mut Prescribed { left: schedule.0.iter().copied().collect() }, true)
}

struct Prescribed {
    left: std::collections::VecDeque<Choice>,
}

impl Choose for Prescribed {
    fn choose(&mut self, view: &View) -> Option<Choice> {
        if let Some(choice) = self.left.pop_front() {
            return Some(choice);
        }
        let is_alive = |run: &usize| view.runs.get(*run).is_some_and(Option::is_some);
        let run = view.current.filter(is_alive).or_else(|| (0..view.runs.len()).find(is_alive));
        run.map(|run| Choice::Run(run, Fate::Answered))
            .or_else(|| view.late.first().map(|late| Choice::Land(late.number)))
    }
}

/// Plays with these choices. `is_logged` says whether the steps are wanted.
pub(crate) fn play(scenario: &Scenario<'_>, choose: &mut dyn Choose, is_logged: bool) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Played { steps: Vec::new(), end: End::Broken(format!("no runtime: {error}")) },
    };
    let _repeating = Repeating::start();
    let mut steps = Vec::new();
    let log = is_logged.then_some(&mut steps);
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let stage = scenario();
            Play::new(stage, log).play(choose).await
        })
    }));
    let end = played.unwrap_or_else(|panic| End::Broken(words_of(&*panic)));
    Played { steps, end }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

struct Play<'a> {
    desk: Desk,
    service: Service,
    runs: Vec<RunState>,
    finish: Option<Start>,
    tamper: Option<Box<dyn Tamper>>,
    late: Vec<(Late, usize, Request<Bytes>)>,
    late_count: usize,
    current: Option<usize>,
    log: Option<&'a mut Vec<Step>>,
}

struct RunState {
    name: &'static str,
    /// `None` once it has ended.
    future: Option<Running>,
    wake: Arc<Woken>,
    follows_write: bool,
    has_moved: bool,
    history: u64,
    trace: u64,
    /// A hash of its last request, if that broke off.
    broken_off: Option<u64>,
}

impl RunState {
    fn new(name: &'static str, start: Start, client: SharedHttpClient) -> RunState {
        // Polled by hand: tokio's budget is for tasks that share a thread with others.
        let future: Running = Box::pin(tokio::task::unconstrained(start(client)));
        let wake = Arc::new(Woken { is_woken: AtomicBool::new(true), above: Mutex::new(None) });
        let (future, history, trace, broken_off) = (Some(future), 0, 0, None);
        RunState { name, future, wake, follows_write: false, has_moved: false, history, trace, broken_off }
    }

    /// Its history up to this request.
    fn history_at(&self, request: u64) -> u64 {
        match self.broken_off {
            Some(before) if before != request => hash_of(&(self.history, before)),
            _ => self.history,
        }
    }
}

/// Says that a run is to be polled, and wakes the play.
#[derive(Debug)]
struct Woken {
    is_woken: AtomicBool,
    above: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        let above = self.above.lock().unwrap_or_else(PoisonError::into_inner).take();
        above.iter().for_each(Waker::wake_by_ref);
    }
}

impl<'a> Play<'a> {
    fn new(stage: Stage, log: Option<&'a mut Vec<Step>>) -> Play<'a> {
        let desk = Desk::default();
        let Stage { service, runs, finish, tamper } = stage;
        let start = |(run, (name, start))| RunState::new(name, start, desk.client(run));
        let runs: Vec<RunState> = runs.into_iter().enumerate().map(start).collect();
        let (finish, late) = (Some(finish), Vec::new());
        Play { desk, service, runs, finish, tamper, late, late_count: 0, current: None, log }
    }

    async fn play(mut self, choose: &mut dyn Choose) -> End {
        for _ in 0..STEPS_MAX {
            if let Err(words) = self.quiet().await {
                return End::Broken(words);
            }
            let view = self.view();
            if view.is_over() {
                break;
            }
            let Some(choice) = choose.choose(&view) else { return End::Pruned };
            if let Err(words) = self.step(choice).await {
                return End::Broken(words);
            }
        }
        if self.runs.iter().any(|run| run.future.is_some()) {
            return End::Broken(format!("no end after {STEPS_MAX} requests"));
        }
        let fingerprint = self.content();
        if fingerprint.is_some_and(|fingerprint| choose.is_known_end(fingerprint)) {
            return End::Well;
        }
        let end = self.finish().await;
        if let (End::Well, Some(fingerprint)) = (&end, fingerprint) {
            choose.note_end(fingerprint);
        }
        end
    }

    async fn finish(&mut self) -> End {
        let Some(finish) = self.finish.take() else { return End::Well };
        let last = self.runs.len();
        self.runs.push(RunState::new("the undisturbed run", finish, self.desk.client(last)));
        loop {
            if let Err(words) = self.quiet().await {
                return End::Broken(words);
            }
            if self.runs.iter().all(|run| run.future.is_none()) {
                return End::Well;
            }
            let Some(pending) = self.take(last) else { return End::Broken("the last run waits for nothing".into()) };
            self.decide(None, last, pending, Fate::Answered).await;
        }
    }

    /// Lets all runs continue until each waits for the fate of a request. Time moves only where one waits for it.
    async fn quiet(&mut self) -> Result<(), String> {
        let quiet = tokio::time::timeout(SILENT_MAX, poll_fn(|cx| self.poll_quiet(cx))).await;
        quiet.unwrap_or_else(|_| Err("a run waits for neither a request nor a time".to_owned()))
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let mut is_any_woken = true;
        while is_any_woken {
            is_any_woken = false;
            for run in &mut self.runs {
                if !run.wake.is_woken.swap(false, Ordering::SeqCst) {
                    continue;
                }
                is_any_woken = true;
                let waker = Waker::from(Arc::clone(&run.wake));
                let Some(future) = &mut run.future else { continue };
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    run.future = None;
                    if let Err(words) = result {
                        return Poll::Ready(Err(format!("{}: {words}", run.name)));
                    }
                }
            }
        }
        let mut pending = self.desk.pending();
        // Their senders have given up, and closed the connection.
        pending.retain(|pending| !pending.answer.is_closed());
        let waits = |(index, run): (usize, &RunState)| run.future.is_none() || pending.iter().any(|p| p.run == index);
        if self.runs.iter().enumerate().all(waits) {
            return Poll::Ready(Ok(()));
        }
        for run in &self.runs {
            *run.wake.above.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn view(&self) -> View {
        let pending = self.desk.pending();
        let next = |(index, run): (usize, &RunState)| {
            run.future.as_ref()?;
            let oldest = pending.iter().find(|pending| pending.run == index)?;
            let (follows_write, has_moved) = (run.follows_write, run.has_moved);
            let (touch, name, request) = (oldest.touch.clone(), run.name, title(&oldest.request));
            let conditions = conditions(&oldest.request);
            let is_conditional = conditions.iter().any(Option::is_some);
            let hash = hash_of_request(&oldest.request);
            let (history, trace) = (run.history_at(hash), run.trace);
            Some(Next { touch, follows_write, has_moved, name, request, hash, is_conditional, history, trace })
        };
        View {
            runs: self.runs.iter().enumerate().map(next).collect(),
            late: self.late.iter().map(|(late, ..)| late.clone()).collect(),
            late_count: self.late_count,
            current: self.current,
            content: self.content(),
        }
    }

    fn content(&self) -> Option<u64> {
        self.tamper.is_none().then(|| self.service.fingerprint())
    }

    fn take(&mut self, run: usize) -> Option<Pending> {
        let mut pending = self.desk.pending();
        let oldest = pending.iter().position(|pending| pending.run == run)?;
        Some(pending.remove(oldest))
    }

    async fn step(&mut self, choice: Choice) -> Result<(), String> {
        match choice {
            Choice::Land(number) => {
                let found = self.late.iter().position(|(late, ..)| late.number == number);
                let found = found.ok_or_else(|| format!("no late request {number} is on its way"))?;
                let (late, run, request) = self.late.remove(found);
                self.part_late(&late.touch);
                let title = request.clone();
                let answer = self.service.call(request).await;
                self.note(Some(choice), run, &title, answer.as_ref());
            }
            Choice::Run(run, fate) => {
                let pending = self.take(run).ok_or_else(|| format!("{choice} has no request to choose"))?;
                self.decide(Some(choice), run, pending, fate).await;
                self.current = Some(run);
            }
        }
        Ok(())
    }

    /// Gives a request its fate.
    async fn decide(&mut self, choice: Option<Choice>, run: usize, pending: Pending, fate: Fate) {
        let Pending { mut request, touch, answer: sender, .. } = pending;
        let hash = hash_of_request(&request);
        let given = self.tamper.as_mut().and_then(|tamper| tamper.request(run, fate, &mut request));
        if let Some(state) = self.runs.get_mut(run) {
            state.follows_write = touch.writes() && fate != Fate::Lost;
            state.has_moved = true;
            state.history = state.history_at(hash);
            state.trace = hash_of(&(state.trace, hash));
            state.broken_off = (fate != Fate::Answered).then_some(hash);
        }
        if fate.takes_effect() {
            self.part_late(&touch);
        }
        let asked = request.clone();
        let answer = match fate {
            Fate::Answered | Fate::Unanswered => {
                let mut answer = match given {
                    Some(answer) => Some(answer),
                    None => self.service.call(request).await,
                };
                if let (Some(tamper), Some(answer)) = (&mut self.tamper, &mut answer) {
                    tamper.answer(run, &asked, answer);
                }
                answer
            }
            Fate::Late => {
                let late = Late { number: self.late_count, hash, touch: touch.clone(), is_apart: false };
                self.late_count += 1;
                self.late.push((late, run, request));
                None
            }
            Fate::Lost => None,
            Fate::Crash => {
                if let Some(state) = self.runs.get_mut(run) {
                    state.future = None;
                }
                self.desk.pending().retain(|pending| pending.run != run);
                None
            }
        };
        self.note(choice, run, &asked, answer.as_ref());
        if let (Fate::Answered, Some(state)) = (fate, self.runs.get_mut(run)) {
            // Sessions are as good as each other.
            let of = |answer: &Response<Bytes>| {
                let body = if touch.is_nothing() { 0 } else { hash_of(answer.body()) };
                (answer.status().as_u16(), header(answer.headers(), "etag"), body)
            };
            let of = answer.as_ref().map(of);
            state.history = hash_of(&(state.history, hash, &of));
            state.trace = hash_of(&(state.trace, of));
        }
        let _ = sender.send(answer.filter(|_| fate == Fate::Answered));
    }

    /// A request was carried out.
    fn part_late(&mut self, touch: &Touch) {
        self.late.iter_mut().for_each(|(late, ..)| late.part(touch));
    }

    fn note(
        &mut self,
        choice: Option<Choice>,
        _run: usize,
        request: &Request<Bytes>,
        answer: Option<&Response<Bytes>>,
    ) {
        let Some(log) = &mut self.log else { return };
        log.push(Step {
            choice,
            request: title(request),
            conditions: conditions(request),
            body: hash_of(request.body()),
            answer: answer
                .map(|answer| (answer.status().as_u16(), header(answer.headers(), "etag"), hash_of(answer.body()))),
        });
    }
}

fn title(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    format!("{} {}", request.method(), uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str()))
}

fn header(headers: &http::HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// `If-Match` and `If-None-Match`.
fn conditions(request: &Request<Bytes>) -> [Option<String>; 2] {
    ["if-match", "if-none-match"].map(|name| header(request.headers(), name))
}

fn hash_of_request(request: &Request<Bytes>) -> u64 {
    hash_of(&(title(request), conditions(request), content_of(request)))
}

fn hash_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
