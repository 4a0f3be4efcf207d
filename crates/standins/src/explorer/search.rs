//! The search: every order of requests that may make a difference, within bounds.
//!
//! A play follows a prefix of choices and then lets each run continue to its end. Where a step of one run conflicts
//! with an earlier step of another, the other order is offered at the point of the earlier step. Points are kept with
//! their offered choices, so that no choice is played twice. The rest is pruned. A run that was left at a request is
//! asleep until a conflicting request takes effect. Leaving it later would be an equivalent schedule with as many
//! switches.
//!
//! Only a new step needs a play. Where the steps of a schedule were all seen in others, the search follows them
//! ([`Steps`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::play::{Choose, End, Next, Scenario, View, play};
use super::schedule::{Choice, Fate, Schedule};
use super::steps::Steps;
use super::touch::Touch;

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How often another run continues although the current one could.
    pub switches: usize,
    /// How many requests meet another fate than to be carried out and answered.
    pub faults: usize,
}

impl FromStr for Bounds {
    type Err = String;

    /// Reads `switches=3,faults=2`.
    fn from_str(text: &str) -> Result<Bounds, String> {
        let wrong = || format!("`{text}` is no bounds; write them as `switches=3,faults=2`");
        let (switches, faults) = text.split_once(',').ok_or_else(wrong)?;
        let number = |word: &str, name| word.strip_prefix(name)?.parse().ok();
        Ok(Bounds {
            switches: number(switches, "switches=").ok_or_else(wrong)?,
            faults: number(faults, "faults=").ok_or_else(wrong)?,
        })
    }
}

impl Bounds {
    /// The bounds of `EXPLORE`, or the `usual` ones.
    ///
    /// # Panics
    /// If `EXPLORE` has another form.
    #[must_use]
    pub fn to_explore(usual: &[Bounds]) -> Vec<Bounds> {
        match std::env::var("EXPLORE") {
            Ok(text) => vec![text.parse().unwrap_or_else(|error| panic!("EXPLORE: {error}"))],
            Err(_) => usual.to_vec(),
        }
    }
}

/// The numbers of a search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// Schedules followed to their ends.
    pub schedules: u64,
    /// Schedules left unfinished, since they are equivalent to others.
    pub pruned: u64,
    /// Choices that were not offered, since they lead to equivalent schedules.
    pub asleep: u64,
    /// Points of decision that were reached.
    pub points: u64,
    /// Different contents of the server at the end.
    pub ends: u64,
    /// Plays: the other schedules had only steps that were seen before.
    pub plays: u64,
    /// Requests under a decision in plays, repeated prefixes included.
    pub requests: u64,
    /// How long it took.
    pub took: Duration,
}

/// A schedule that breaks a promise.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The schedule.
    pub schedule: Schedule,
    /// The fault.
    pub words: String,
}

/// Plays every schedule within the bounds, on all cores; the first that breaks a promise ends the search.
pub fn search(scenario: &Scenario<'_>, bounds: Bounds) -> (Numbers, Option<Broken>) {
    let began = Instant::now();
    let search = Search {
        scenario,
        bounds,
        work: Mutex::new(Work { open: vec![Open { at: None, choice: None }], ..Work::default() }),
        changed: Condvar::new(),
        counts: Counts::default(),
        reached: Mutex::default(),
        resent: Mutex::default(),
        steps: Mutex::default(),
        ends: Mutex::default(),
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| search.work_through());
        }
    });
    let counts = &search.counts;
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    let numbers = Numbers {
        schedules: of(&counts.schedules),
        pruned: of(&counts.pruned),
        asleep: of(&counts.asleep),
        points: of(&counts.points),
        ends: search.ends.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        plays: of(&counts.plays),
        requests: of(&counts.requests),
        took: began.elapsed(),
    };
    let work = search.work.into_inner().unwrap_or_else(PoisonError::into_inner);
    (numbers, work.broken)
}

/// A choice that waits to be played. The first has neither a point nor a choice.
struct Open {
    at: Option<Arc<Point>>,
    choice: Option<Choice>,
}

#[derive(Default)]
struct Work {
    open: Vec<Open>,
    busy: usize,
    broken: Option<Broken>,
}

#[derive(Default)]
struct Counts {
    schedules: AtomicU64,
    pruned: AtomicU64,
    asleep: AtomicU64,
    points: AtomicU64,
    plays: AtomicU64,
    requests: AtomicU64,
}

struct Search<'a> {
    scenario: &'a Scenario<'a>,
    bounds: Bounds,
    work: Mutex<Work>,
    changed: Condvar,
    counts: Counts,
    /// The points that were reached, by their states.
    reached: Mutex<HashMap<State, Vec<Arc<Point>>>>,
    /// Requests, by their hashes, that are sent again as they were after such a fate, which then changes nothing.
    resent: Mutex<HashSet<(u64, Fate)>>,
    steps: Mutex<Steps>,
    /// Server contents after which the undisturbed run ended well.
    ends: Mutex<HashSet<u64>>,
}

/// A point of decision, and the way to it.
struct Point {
    links: Mutex<Links>,
    view: View,
    switches_left: usize,
    faults_left: usize,
    /// Runs that need not continue until a request conflicts with theirs.
    asleep: BTreeSet<usize>,
    offered: Mutex<BTreeSet<Choice>>,
}

/// How a point hangs together with others.
#[derive(Default)]
struct Links {
    /// The ways to this point: the point before, its choice, and the keys that it touched if it took effect. All lead
    /// to the same state.
    ways: Vec<Way>,
    /// The later steps: their runs and the keys that they touched.
    below: HashSet<(usize, Touch)>,
}

#[derive(Clone)]
struct Way {
    above: Arc<Point>,
    choice: Choice,
    touch: Option<Touch>,
}

/// The state that decides how a play continues from a point, apart from the bounds that are left.
type State = (Option<u64>, Vec<Option<u64>>, Vec<(u64, bool)>, Option<usize>, BTreeSet<usize>);

impl Point {
    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> State {
        let view = &self.view;
        let histories = view.runs.iter().map(|next| next.as_ref().map(|next| next.history)).collect();
        let mut late: Vec<(u64, bool)> = view.late.iter().map(|late| (late.hash, late.is_apart)).collect();
        late.sort_unstable();
        (view.content, histories, late, view.current, self.asleep.clone())
    }

    fn next(&self, run: usize) -> Option<&Next> {
        self.view.runs.get(run)?.as_ref()
    }

    /// True if that run continues although the current one could.
    fn is_switch(&self, run: usize) -> bool {
        self.view.current.is_some_and(|current| current != run && self.next(current).is_some())
    }

    /// The keys that a choice touches, if it takes effect.
    fn touch(&self, choice: Choice) -> Option<Touch> {
        match choice {
            Choice::Run(run, fate) => self.next(run).map(|next| next.touch.clone()).filter(|_| fate.takes_effect()),
            Choice::Land(number) => {
                self.view.late.iter().find(|late| late.number == number).map(|late| late.touch.clone())
            }
        }
    }
}

impl Search<'_> {
    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_through(&self) {
        while let Some(open) = self.next() {
            let mut player = Player { search: self, prefix: path_to(&open), path: Vec::new() };
            let end = player.foresee().unwrap_or_else(|| {
                let end = play(self.scenario, &mut player, false).end;
                self.counts.plays.fetch_add(1, Ordering::Relaxed);
                self.counts.requests.fetch_add(player.path.len() as u64, Ordering::Relaxed);
                end
            });
            let count = if end == End::Pruned { &self.counts.pruned } else { &self.counts.schedules };
            count.fetch_add(1, Ordering::Relaxed);
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            work.busy -= 1;
            if let End::Broken(words) = end {
                let schedule = Schedule(player.path.iter().map(|(_, choice, _)| *choice).collect());
                work.broken.get_or_insert(Broken { schedule, words });
            }
            drop(work);
            self.changed.notify_all();
        }
    }

    /// The next choice to play; `None` once there is nothing left to do.
    fn next(&self) -> Option<Open> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if work.broken.is_some() {
                return None;
            }
            if let Some(open) = work.open.pop() {
                work.busy += 1;
                return Some(open);
            }
            if work.busy == 0 {
                return None;
            }
            work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Offers to continue a run at a point, with every fate of its request.
    fn offer(&self, point: &Arc<Point>, run: usize) {
        let Some(next) = point.next(run) else { return };
        if point.asleep.contains(&run) {
            self.counts.asleep.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if point.is_switch(run) && point.switches_left == 0 {
            return;
        }
        // Of two that are alike the first begins.
        let is_twin = |other: &Next| !other.has_moved && other.name == next.name;
        if !next.has_moved && (0..run).filter_map(|other| point.next(other)).any(is_twin) {
            return;
        }
        let mut fates = vec![Fate::Answered];
        if point.faults_left > 0 {
            fates.extend(fates_of(next));
        }
        let resent = self.resent.lock().unwrap_or_else(PoisonError::into_inner);
        fates.retain(|fate| !resent.contains(&(next.hash, *fate)));
        drop(resent);
        self.open(point, fates.into_iter().map(|fate| Choice::Run(run, fate)));
    }

    /// Takes a point in; `None` if another way has led to the same state, with as much left of the bounds.
    fn enter(&self, point: Point, way: Way) -> Option<Arc<Point>> {
        let state = point.state();
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let there = reached.entry(state).or_default();
        let covers =
            |other: &&Arc<Point>| other.switches_left >= point.switches_left && other.faults_left >= point.faults_left;
        if let Some(known) = there.iter().find(covers).filter(|_| point.view.content.is_some()).cloned() {
            drop(reached);
            let mut links = known.links();
            links.ways.push(way.clone());
            let below = links.below.clone();
            drop(links);
            below.iter().for_each(|(run, touch)| self.look_along(&way, *run, touch));
            return None;
        }
        let point = Arc::new(point);
        point.links().ways.push(way);
        there.push(Arc::clone(&point));
        Some(point)
    }

    /// Offers the other order of each step before this point that conflicts with a later step.
    fn look_back(&self, point: &Arc<Point>, run: usize, touch: &Touch) {
        let mut links = point.links();
        if !links.below.insert((run, touch.clone())) {
            return;
        }
        let ways = links.ways.clone();
        drop(links);
        ways.iter().for_each(|way| self.look_along(way, run, touch));
    }

    fn look_along(&self, way: &Way, run: usize, touch: &Touch) {
        let is_other = !matches!(way.choice, Choice::Run(other, _) if other == run);
        if is_other && way.touch.as_ref().is_some_and(|theirs| theirs.conflicts(touch)) {
            self.offer(&way.above, run);
        }
        self.look_back(&way.above, run, touch);
    }

    fn open(&self, point: &Arc<Point>, choices: impl Iterator<Item = Choice>) {
        let mut offered = point.offered.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<Choice> = choices.filter(|choice| offered.insert(*choice)).collect();
        drop(offered);
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |choice| Open { at: Some(Arc::clone(point)), choice: Some(choice) };
        // The last in is played first.
        work.open.extend(fresh.into_iter().rev().map(at));
        drop(work);
        self.changed.notify_all();
    }
}

/// The fates of a request besides an answer. A lost read is repeated, which equals a later read. A crash differs from
/// an earlier one only after a write.
fn fates_of(next: &Next) -> Vec<Fate> {
    let mut fates = Vec::new();
    if next.touch.writes() {
        fates.extend([Fate::Lost, Fate::Unanswered, Fate::Late]);
    }
    if next.follows_write {
        fates.push(Fate::Crash);
    }
    fates
}

type Prefix = Vec<(Arc<Point>, Choice)>;

fn path_to(open: &Open) -> Prefix {
    let mut path = Vec::new();
    let (Some(point), Some(choice)) = (&open.at, open.choice) else { return path };
    let mut step = Some((Arc::clone(point), choice));
    while let Some((point, choice)) = step {
        step = point.links().ways.first().map(|way| (Arc::clone(&way.above), way.choice));
        path.push((point, choice));
    }
    path.reverse();
    path
}

/// Follows the way to an open choice, then explores.
struct Player<'a, 'b> {
    search: &'a Search<'b>,
    prefix: Prefix,
    /// The path of choices, with the keys that each step touched if it took effect.
    path: Vec<(Arc<Point>, Choice, Option<Touch>)>,
}

impl Choose for Player<'_, '_> {
    fn choose(&mut self, view: &View) -> Option<Choice> {
        if let Some((above, choice, _)) = self.path.last() {
            self.search.steps().learn(&above.view, *choice, view);
        }
        if let Some((point, choice)) = self.prefix.get(self.path.len()).cloned() {
            assert_same(&point, view);
            self.take(point, choice);
            return Some(choice);
        }
        self.explore(view)
    }

    fn is_known_end(&self, fingerprint: u64) -> bool {
        self.search.ends.lock().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint)
    }

    fn note_end(&self, fingerprint: u64) {
        self.search.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
    }
}

impl Player<'_, '_> {
    /// Follows the open choice along steps that were seen, and returns the end. If a new step or an unknown end follows,
    /// it returns `None`, and the way there is the prefix of a play.
    fn foresee(&mut self) -> Option<End> {
        let (point, mut choice) = self.prefix.pop()?;
        let mut view = point.view.clone();
        self.path = self.prefix.drain(..).map(|(point, choice)| (point.clone(), choice, point.touch(choice))).collect();
        self.take(point, choice);
        let end = loop {
            let after = self.search.steps().after(&view, choice);
            let Some(after) = after else { break None };
            view = after;
            if view.is_over() {
                break view.content.is_some_and(|content| self.is_known_end(content)).then_some(End::Well);
            }
            match self.explore(&view) {
                Some(next) => choice = next,
                None => break Some(End::Pruned),
            }
        };
        if end.is_none() {
            self.prefix = self.path.drain(..).map(|(point, choice, _)| (point, choice)).collect();
        }
        end
    }

    /// Makes the first choice at a point that is new, and offers the others; `None` if the point is known.
    fn explore(&mut self, view: &View) -> Option<Choice> {
        if self.is_resent(view) {
            return None;
        }
        let point = self.reach(view)?;
        let choice = first_choice(&point)?;
        point.offered.lock().unwrap_or_else(PoisonError::into_inner).insert(choice);
        if let Choice::Run(run, Fate::Answered) = choice {
            self.search.offer(&point, run);
        }
        self.take(point, choice);
        Some(choice)
    }

    /// True if the last request met a fate that changed nothing: it is sent again as it was. A lost request equals a
    /// later one. An unanswered one equals a late one with a quicker second try, unless it depends on the server's
    /// content.
    fn is_resent(&self, view: &View) -> bool {
        let Some((point, Choice::Run(run, fate @ (Fate::Lost | Fate::Unanswered)), _)) = self.path.last() else {
            return false;
        };
        let (Some(before), Some(Some(now))) = (point.next(*run), view.runs.get(*run)) else { return false };
        let is_resent = before.hash == now.hash && (*fate == Fate::Lost || !now.is_conditional);
        if is_resent {
            self.search.resent.lock().unwrap_or_else(PoisonError::into_inner).insert((before.hash, *fate));
        }
        is_resent
    }

    /// The point that follows the last step; `None` if another way has led to the same state before.
    fn reach(&self, view: &View) -> Option<Arc<Point>> {
        self.search.counts.points.fetch_add(1, Ordering::Relaxed);
        let Bounds { switches, faults } = self.search.bounds;
        let mut point = Point {
            links: Mutex::default(),
            view: view.clone(),
            switches_left: switches,
            faults_left: faults,
            asleep: BTreeSet::new(),
            offered: Mutex::default(),
        };
        let Some((above, choice, touch)) = self.path.last() else { return Some(Arc::new(point)) };
        (point.switches_left, point.faults_left) = (above.switches_left, above.faults_left);
        point.asleep = above.asleep.clone();
        if let Choice::Run(run, fate) = choice {
            point.faults_left -= usize::from(*fate != Fate::Answered);
            if above.is_switch(*run) {
                point.switches_left -= 1;
                point.asleep.extend(above.view.current);
            }
            point.asleep.remove(run);
        }
        let is_woken = |run: &usize| {
            let touches = above.next(*run).map(|next| &next.touch).zip(touch.as_ref());
            touches.is_some_and(|(its, touch)| its.conflicts(touch))
        };
        point.asleep.retain(|run| !is_woken(run));
        let way = Way { above: Arc::clone(above), choice: *choice, touch: touch.clone() };
        self.search.enter(point, way)
    }

    /// Takes a choice, and offers the other order wherever an earlier step conflicts with it.
    fn take(&mut self, point: Arc<Point>, choice: Choice) {
        let touch = point.touch(choice);
        if let Some(touch) = &touch {
            // Late requests that would be too late after this one.
            let before = point.view.late.iter().filter(|late| late.is_apart && late.touch.conflicts(touch));
            let landings = before.map(|late| Choice::Land(late.number)).filter(|landing| *landing != choice);
            self.search.open(&point, landings.collect::<Vec<_>>().into_iter());
            if let Choice::Run(run, _) = choice {
                self.search.look_back(&point, run, touch);
            }
        }
        self.path.push((point, choice, touch));
    }
}

/// The current run continues. After its end the first awake run does. Late requests land at the end, or where they wake
/// a run.
fn first_choice(point: &Point) -> Option<Choice> {
    let view = &point.view;
    let is_awake = |run: &usize| point.next(*run).is_some() && !point.asleep.contains(run);
    let run = view.current.filter(is_awake).or_else(|| (0..view.runs.len()).find(is_awake));
    let is_any_alive = view.runs.iter().any(Option::is_some);
    let wakes = |touch: &Touch| {
        let mut sleepers = point.asleep.iter().filter_map(|run| point.next(*run));
        !is_any_alive || sleepers.any(|next| next.touch.conflicts(touch))
    };
    let landing = || view.late.iter().find(|late| late.is_apart && wakes(&late.touch));
    run.map(|run| Choice::Run(run, Fate::Answered)).or_else(|| landing().map(|late| Choice::Land(late.number)))
}

/// A play that does not repeat would prove nothing. Neither would a step that leads elsewhere than it did before.
fn assert_same(point: &Point, view: &View) {
    let requests = |runs: &[Option<Next>]| -> Vec<Option<String>> {
        runs.iter().map(|next| next.as_ref().map(|next| next.request.clone())).collect()
    };
    assert_eq!(requests(&point.view.runs), requests(&view.runs), "a prefix of a schedule did not repeat");
    if view.content.is_some() {
        assert_eq!(point.view, *view, "a prefix of a schedule did not repeat");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_one_form() {
        assert_eq!("switches=3,faults=2".parse(), Ok(Bounds { switches: 3, faults: 2 }));
        for text in ["", "3,2", "switches=3", "faults=2,switches=3", "switches=3,faults=x", "switches=3,faults=2,"] {
            assert!(text.parse::<Bounds>().is_err(), "{text}");
        }
    }
}
