//! The export protocol, small, and every interleaving of it.
//!
//! Two exporters, two destinations, two events at the start and one that arrives at any time. Every request is one
//! step. Between two steps the other exporter may do all its work, or this exporter may crash. So each is a zombie at
//! every point. A swap of the head may land or not, with or without its answer arriving, and may land after its sender
//! has given up. An exported and deleted event may be written to the state bucket again, because its first put was
//! slower than its second. This may happen within an hour, while closed plans are remembered. The enumerator visits
//! every reachable state. In each it checks that no event is at a destination twice, none is lost, and none counts as
//! damaged. From every state at rest one undisturbed run must export the rest.
//!
//! Each [`Fence`] is a clause of the protocol; a model without any one of them must be seen to fail.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// A clause of the protocol that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    /// The head is swapped on the ETag from before the listing, not on the current one.
    SwapOnFirstRead,
    /// The head is read before the staged fragments are listed.
    HeadBeforeListing,
    /// Each head is unlike every other, by sequence number and nonce.
    EveryHeadUnique,
    /// A fragment of an open plan is in no other plan.
    HeldLeftOut,
    /// An object's name follows from the plan, not from the attempt.
    NameFromPlan,
    /// Fragments are deleted when every destination is done.
    EveryDestinationFirst,
    /// A fragment that is gone is quarantined only if the head says that its plan is open...
    HeadBeforeQuarantine,
    /// ...and the object's marker says that it was not put.
    MarkerBeforeQuarantine,
    /// A plan is closed after its fragments are deleted, not before.
    DeleteBeforeClose,
    /// A lost answer is resolved by reading back; not by taking it for a success.
    ReadBack,
    /// A fragment of a closed plan is not planned again if it is written again.
    ClosedRemembered,
    /// Plans that were never opened are deleted after a swap that followed a head without them.
    SweepAfterSwap,
}

/// How large a history may become.
#[derive(Debug, Clone, Copy)]
struct Scope {
    destinations: usize,
    /// The limit of written plans, including plans of a run that crashed before its swap.
    plans_max: usize,
    /// Events that are staged at first.
    at_first: Events,
}

/// The states of the larger scope: a set that grows hashes all of them again.
const STATES: usize = 1 << 18;

/// Every fence is seen to matter in this one.
const SMALL: Scope = Scope { destinations: 2, plans_max: 2, at_first: 0b11 };

/// Longer histories, for those who have a minute.
const LONG: Scope = Scope { destinations: 1, plans_max: 3, at_first: 0b01 };

/// A set of events.
type Events = u8;

/// The one that arrives at any time.
const LATER: Events = 0b100;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Head {
    sequence: u8,
    /// The write of the plan, unique for each plan. Two that close the same plan put the same head there.
    nonce: u8,
    open: Vec<u8>,
    closed: Vec<u8>,
}

/// A swap: the expected and the new value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Swap {
    expected: Head,
    new: Head,
    /// The plan that it closes; else it opens the last one.
    closes: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct World {
    arrived: Events,
    staged: Events,
    /// The event that was written again.
    late: Events,
    /// From then on nothing lands late, and closed plans are forgotten.
    is_hour_over: bool,
    head: Head,
    /// The events of each plan; none if the document is gone.
    plans: Vec<Option<Events>>,
    /// Markers, as (plan, destination).
    done: Vec<(u8, usize)>,
    /// Objects in each destination's bucket, as (name, events).
    objects: [Vec<(u8, Events)>; 2],
    /// Swaps whose sender has given up, and that may still land.
    in_flight: Vec<Swap>,
    /// Attempts to put, where each has a name of its own.
    attempts: u8,
    /// A sound event was taken for damaged.
    quarantined: bool,
}

/// The open plans that a run knows.
type Known = Vec<(u8, Events)>;

/// The next step of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Run {
    #[default]
    Idle,
    /// Only if the listing comes first. Otherwise an idle run does it.
    ReadHead {
        listed: Option<Events>,
    },
    ReadPlans {
        head: Head,
        listed: Option<Events>,
    },
    List {
        head: Head,
        known: Known,
    },
    DeleteAgain {
        head: Head,
        known: Known,
        listed: Events,
        late: Events,
    },
    WritePlan {
        head: Head,
        known: Known,
        events: Events,
    },
    Swap {
        swap: Swap,
        known: Known,
        litter: Vec<u8>,
    },
    Unsure {
        swap: Swap,
        known: Known,
        litter: Vec<u8>,
    },
    Sweep {
        todo: Known,
        litter: Vec<u8>,
    },
    ReadMarker {
        todo: Known,
        destination: usize,
    },
    Fetch {
        todo: Known,
        destination: usize,
    },
    Put {
        todo: Known,
        destination: usize,
    },
    Mark {
        todo: Known,
        destination: usize,
    },
    GoneReadHead {
        todo: Known,
        destination: usize,
    },
    GoneReadMarker {
        todo: Known,
        destination: usize,
        head: Head,
    },
    Quarantine {
        todo: Known,
        head: Head,
    },
    Delete {
        todo: Known,
        left: Events,
    },
    ReadToClose {
        todo: Known,
    },
    Forget {
        todo: Known,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    world: World,
    runs: [Run; 2],
}

/// Hashes small numbers, with a multiplication each. The hasher of the standard library is slow without optimisation.
#[derive(Default)]
struct Small(u64);

impl Hasher for Small {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_usize(usize::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        // The odd number next to 2^64 divided by the golden ratio (Knuth, "multiplicative hashing").
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        // The upper bits depend on all numbers, and the set looks at the lower ones too.
        self.0 ^ self.0 >> 32
    }
}

struct Model {
    scope: Scope,
    without: Option<Fence>,
}

impl Model {
    fn has(&self, fence: Fence) -> bool {
        self.without != Some(fence)
    }

    /// Every state that may follow.
    fn next(&self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        if state.world.arrived & LATER == 0 {
            let mut arrived = state.clone();
            arrived.world.arrived |= LATER;
            arrived.world.staged |= LATER;
            next.push(arrived);
        }
        let gone = state.world.arrived & !state.world.staged;
        if gone != 0 && state.world.late == 0 && !state.world.is_hour_over {
            let mut landed = state.clone();
            landed.world.late = gone & gone.wrapping_neg();
            landed.world.staged |= landed.world.late;
            next.push(landed);
        }
        // An exporter runs many times an hour, so it has seen each repeated write by then.
        if !state.world.head.closed.is_empty()
            && !state.world.is_hour_over
            && state.world.staged & state.world.late == 0
        {
            let mut later = state.clone();
            later.world.is_hour_over = true;
            next.push(later);
        }
        for index in 0..state.world.in_flight.len() {
            let mut landed = state.clone();
            let swap = landed.world.in_flight.remove(index);
            // A swap that lands too late changes nothing; that is the state without it.
            land(&mut landed.world, &swap);
            next.push(landed);
        }
        for run in 0..state.runs.len() {
            for (world, after) in self.step(&state.world, &state.runs[run]) {
                let mut stepped = State { world, runs: state.runs.clone() };
                stepped.runs[run] = after;
                next.push(stepped);
            }
            if state.runs[run] != Run::Idle {
                let mut crashed = state.clone();
                crashed.runs[run] = Run::Idle;
                next.push(crashed);
            }
        }
        next
    }

    /// One request of a run, and every way in which it may end.
    fn step(&self, world: &World, now: &Run) -> Vec<(World, Run)> {
        let mut after = world.clone();
        let one = |world: World, run: Run| vec![(world, run)];
        match now.clone() {
            Run::Idle if !self.has(Fence::HeadBeforeListing) => {
                let listed = Some(after.staged);
                one(after, Run::ReadHead { listed })
            }
            Run::Idle => {
                let head = after.head.clone();
                one(after, Run::ReadPlans { head, listed: None })
            }
            Run::ReadHead { listed } => {
                let head = after.head.clone();
                one(after, Run::ReadPlans { head, listed })
            }
            Run::ReadPlans { head, listed } => {
                let read = |plan: &u8| Some((*plan, world.plans[usize::from(*plan)]?));
                match (head.open.iter().map(read).collect::<Option<Known>>(), listed) {
                    // Another exporter closed a plan, so it reads again.
                    (None, _) => one(after, Run::Idle),
                    (Some(known), None) => one(after, Run::List { head, known }),
                    (Some(known), Some(listed)) => {
                        let run = self.sort(world, head, known, listed);
                        one(after, run)
                    }
                }
            }
            Run::List { head, known } => {
                let run = self.sort(world, head, known, world.staged);
                one(after, run)
            }
            Run::DeleteAgain { head, known, listed, late } => {
                after.staged &= !late;
                one(after, self.choose(head, known, listed & !late))
            }
            Run::WritePlan { mut head, mut known, events } => {
                if after.plans.len() == self.scope.plans_max {
                    return Vec::new();
                }
                let plan = u8::try_from(after.plans.len()).unwrap();
                let is_unknown = |plan: &u8| !head.open.contains(plan) && !head.closed.contains(plan);
                let is_there = |plan: &u8| world.plans[usize::from(*plan)].is_some();
                let mut litter: Vec<u8> = (0..plan).filter(is_there).filter(is_unknown).collect();
                if !self.has(Fence::SweepAfterSwap) {
                    litter.drain(..).for_each(|plan| after.plans[usize::from(plan)] = None);
                }
                after.plans.push(Some(events));
                known.push((plan, events));
                if !self.has(Fence::SwapOnFirstRead) {
                    head = after.head.clone();
                }
                let (mut open, closed) = (head.open.clone(), head.closed.clone());
                open.push(plan);
                let new = self.head_after(&head, plan, open, closed);
                one(after, Run::Swap { swap: Swap { expected: head, new, closes: None }, known, litter })
            }
            Run::Swap { swap, known, litter } => {
                let mut ends = Vec::new();
                let unsure = || Run::Unsure { swap: swap.clone(), known: known.clone(), litter: litter.clone() };
                if after.head == swap.expected {
                    after.head = swap.new.clone();
                    ends.push((after.clone(), Self::swapped(&swap, known.clone(), litter.clone())));
                    ends.push((after, unsure()));
                    if world.in_flight.is_empty() {
                        let mut late = world.clone();
                        late.in_flight.push(swap.clone());
                        ends.push((late, unsure()));
                    }
                } else {
                    ends.push((after, Self::lost(&swap, known.clone())));
                }
                ends.push((world.clone(), unsure()));
                ends
            }
            Run::Unsure { swap, known, litter } => {
                let is_ours = (after.head.sequence, after.head.nonce) == (swap.new.sequence, swap.new.nonce);
                let next = if !self.has(Fence::ReadBack) || is_ours {
                    Self::swapped(&swap, known, litter)
                } else if after.head == swap.expected {
                    Run::Swap { swap, known, litter }
                } else {
                    Self::lost(&swap, known)
                };
                one(after, next)
            }
            Run::Sweep { todo, litter } => {
                litter.iter().for_each(|plan| after.plans[usize::from(*plan)] = None);
                one(after, Run::ReadMarker { todo, destination: 0 })
            }
            Run::ReadMarker { todo, destination } => {
                let Some((plan, events)) = todo.first().copied() else { return one(after, Run::Idle) };
                let enough = if self.has(Fence::EveryDestinationFirst) { self.scope.destinations } else { 1 };
                let next = if destination == enough {
                    if self.has(Fence::DeleteBeforeClose) {
                        Run::Delete { todo, left: events }
                    } else {
                        Run::ReadToClose { todo }
                    }
                } else if after.done.contains(&(plan, destination)) {
                    Run::ReadMarker { todo, destination: destination + 1 }
                } else {
                    Run::Fetch { todo, destination }
                };
                one(after, next)
            }
            Run::Fetch { todo, destination } => {
                let all_there = todo[0].1 & !after.staged == 0;
                let next = match all_there {
                    true => Run::Put { todo, destination },
                    false => Run::GoneReadHead { todo, destination },
                };
                one(after, next)
            }
            Run::Put { todo, destination } => {
                let (plan, events) = todo[0];
                let name = if self.has(Fence::NameFromPlan) {
                    plan
                } else {
                    after.attempts += 1;
                    after.attempts
                };
                // `If-None-Match: *`.
                if !after.objects[destination].iter().any(|(other, _)| *other == name) {
                    after.objects[destination].push((name, events));
                    after.objects[destination].sort_unstable();
                }
                one(after, Run::Mark { todo, destination })
            }
            Run::Mark { todo, destination } => {
                let marker = (todo[0].0, destination);
                if !after.done.contains(&marker) {
                    after.done.push(marker);
                    after.done.sort_unstable();
                }
                one(after, Run::ReadMarker { todo, destination: destination + 1 })
            }
            Run::GoneReadHead { todo, destination } => {
                let head = after.head.clone();
                let is_open = head.open.contains(&todo[0].0) || !self.has(Fence::HeadBeforeQuarantine);
                let next = match is_open {
                    true if !self.has(Fence::MarkerBeforeQuarantine) => Run::Quarantine { todo, head },
                    true => Run::GoneReadMarker { todo, destination, head },
                    false => Run::ReadMarker { todo: todo[1..].to_vec(), destination: 0 },
                };
                one(after, next)
            }
            Run::GoneReadMarker { todo, destination, head } => {
                let next = match after.done.contains(&(todo[0].0, destination)) {
                    true => Run::ReadMarker { todo, destination: destination + 1 },
                    false => Run::Quarantine { todo, head },
                };
                one(after, next)
            }
            Run::Quarantine { todo, head } => {
                after.quarantined |= after.head == head || !self.has(Fence::HeadBeforeQuarantine);
                one(after, Run::ReadMarker { todo, destination: 0 })
            }
            Run::Delete { todo, left } => {
                // One key after the other, so that a crash may come between.
                let key = left & left.wrapping_neg();
                after.staged &= !key;
                let next = match (left & !key, self.has(Fence::DeleteBeforeClose)) {
                    (0, true) => Run::ReadToClose { todo },
                    (0, false) => Run::Forget { todo },
                    (left, _) => Run::Delete { todo, left },
                };
                one(after, next)
            }
            Run::ReadToClose { todo } => {
                let plan = todo[0].0;
                let expected = after.head.clone();
                if !expected.open.contains(&plan) {
                    return one(after, Run::Forget { todo });
                }
                let open = expected.open.iter().copied().filter(|open| *open != plan).collect();
                let mut closed = expected.closed.clone();
                closed.push(plan);
                let new = self.head_after(&expected, 100 + plan, open, closed);
                let swap = Swap { expected, new, closes: Some(plan) };
                one(after, Run::Swap { swap, known: todo, litter: Vec::new() })
            }
            Run::Forget { todo } => {
                let plan = todo[0].0;
                // Its document stays: by it the plan is remembered.
                after.done.retain(|(of, _)| *of != plan);
                one(after, Run::ReadMarker { todo: todo[1..].to_vec(), destination: 0 })
            }
        }
    }

    /// Checks whether an event of a closed plan was written again.
    fn sort(&self, world: &World, head: Head, known: Known, listed: Events) -> Run {
        let remembers = self.has(Fence::ClosedRemembered) && !world.is_hour_over;
        let closed = head.closed.iter().filter(|_| remembers);
        let settled = closed.filter_map(|plan| world.plans[usize::from(*plan)]).fold(0, |all, events| all | events);
        match listed & settled {
            0 => self.choose(head, known, listed),
            late => Run::DeleteAgain { head, known, listed, late },
        }
    }

    /// Plans the staged events that no plan holds, or continues with the open plans.
    fn choose(&self, head: Head, known: Known, listed: Events) -> Run {
        let held = known.iter().fold(0, |held, (_, events)| held | events);
        let events = if self.has(Fence::HeldLeftOut) { listed & !held } else { listed };
        match events {
            0 => Run::ReadMarker { todo: known, destination: 0 },
            events => Run::WritePlan { head, known, events },
        }
    }

    fn head_after(&self, head: &Head, action: u8, open: Vec<u8>, closed: Vec<u8>) -> Head {
        if self.has(Fence::EveryHeadUnique) {
            Head { sequence: head.sequence + 1, nonce: action, open, closed }
        } else {
            // Without their unique part, heads do not name closed plans either.
            Head { open, ..Head::default() }
        }
    }

    fn swapped(swap: &Swap, known: Known, litter: Vec<u8>) -> Run {
        match swap.closes {
            Some(_) => Run::Forget { todo: known },
            None if litter.is_empty() => Run::ReadMarker { todo: known, destination: 0 },
            None => Run::Sweep { todo: known, litter },
        }
    }

    /// After opening a plan a run lists again; after closing one it reads the head again.
    fn lost(swap: &Swap, known: Known) -> Run {
        match swap.closes {
            Some(_) => Run::ReadToClose { todo: known },
            None => Run::Idle,
        }
    }

    /// Visits every state; the number of states, or the first in which a promise is broken.
    fn explore(&self) -> Result<usize, String> {
        let mut start = State::default();
        start.world.arrived = self.scope.at_first;
        start.world.staged = self.scope.at_first;
        let mut seen = HashSet::with_capacity_and_hasher(STATES, BuildHasherDefault::<Small>::default());
        seen.insert(start.clone());
        let mut queue = VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            self.check(&state.world).map_err(|broken| format!("{broken} in {state:#?}"))?;
            if state.runs == [Run::Idle, Run::Idle] {
                self.finish(&state.world).map_err(|broken| format!("{broken} after {state:#?}"))?;
            }
            for mut next in self.next(&state) {
                // Which of the two is which makes no difference.
                next.runs.sort_unstable();
                if !seen.contains(&next) {
                    seen.insert(next.clone());
                    queue.push_back(next);
                }
            }
        }
        Ok(seen.len())
    }

    /// Undisturbed runs export whatever is left.
    fn finish(&self, world: &World) -> Result<(), String> {
        let unbounded = Model { scope: Scope { plans_max: usize::MAX, ..self.scope }, without: self.without };
        let mut world = world.clone();
        let mut run = Run::Idle;
        // Two runs, each of which takes a few dozen steps.
        for _ in 0..200 {
            let Some(next) = unbounded.step(&world, &run).into_iter().next() else { break };
            (world, run) = next;
        }
        self.check(&world)?;
        if world.staged != 0 || !world.head.open.is_empty() {
            return Err(format!("something is left over: {world:?}"));
        }
        Ok(())
    }

    fn check(&self, world: &World) -> Result<(), String> {
        if world.quarantined {
            return Err("a sound event is quarantined".to_owned());
        }
        for (destination, objects) in world.objects.iter().take(self.scope.destinations).enumerate() {
            let mut exported: Events = 0;
            for (_, events) in objects {
                if exported & events != 0 {
                    return Err(format!("an event is at destination {destination} twice"));
                }
                exported |= events;
            }
            if world.arrived & !exported & !world.staged != 0 {
                return Err(format!("an event is lost to destination {destination}"));
            }
        }
        Ok(())
    }
}

fn land(world: &mut World, swap: &Swap) {
    if world.head == swap.expected {
        world.head = swap.new.clone();
    }
}

#[test]
fn in_no_interleaving_is_an_event_lost_or_doubled() {
    let states = Model { scope: SMALL, without: None }.explore().unwrap();
    assert!(states > 100_000, "a model that visits little proves little: {states} states");
}

#[test]
#[ignore = "half a million states take minutes without optimisation"]
fn in_no_longer_history_is_an_event_lost_or_doubled() {
    let states = Model { scope: LONG, without: None }.explore().unwrap();
    assert!(states > 500_000, "{states} states");
}

#[test]
fn every_fence_is_needed() {
    for (fence, expected) in [
        (Fence::SwapOnFirstRead, "quarantined"),
        (Fence::HeadBeforeListing, "quarantined"),
        (Fence::EveryHeadUnique, "twice"),
        (Fence::HeldLeftOut, "quarantined"),
        (Fence::NameFromPlan, "twice"),
        (Fence::EveryDestinationFirst, "lost"),
        (Fence::HeadBeforeQuarantine, "quarantined"),
        (Fence::MarkerBeforeQuarantine, "quarantined"),
        (Fence::DeleteBeforeClose, "twice"),
        (Fence::ReadBack, "twice"),
        (Fence::ClosedRemembered, "twice"),
        (Fence::SweepAfterSwap, "left over"),
    ] {
        let Err(broken) = (Model { scope: SMALL, without: Some(fence) }).explore() else {
            panic!("{fence:?} is not needed")
        };
        assert!(broken.contains(expected), "without {fence:?}: {broken}");
    }
}
