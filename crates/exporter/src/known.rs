//! The open plans, as a tick knows them.
//!
//! Many plans may be open for long, and a plan names thousands of fragments. So memory holds an outline of each plan,
//! and only a few whole plans. The others are read again when their turn comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::{Fault, Kind};
use export::routes::{Destination, Routes};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use protocol::fragment::FragmentName;
use protocol::head::{ClosedPlan, Head, OpenPlan};
use protocol::id::Nonce;
use protocol::place::Place;
use protocol::plan::{Held, Plan};

use crate::settings::Caps;
use crate::state::{At, DoneCounts, State};

/// Fragments of plans in the cache, at most. Each takes about 300 bytes.
const SHELVED_FRAGMENTS_MAX: usize = 20_000;

/// The part of an open plan that stays in memory.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) revision: u32,
    pub(crate) created_ms: i64,
    /// The destinations that are not given up, by their place in the plan.
    pub(crate) wanted: Vec<(usize, Place)>,
    /// How many objects each destination has, by its place in the plan.
    objects: Vec<usize>,
    hashes: Vec<u64>,
}

impl Outline {
    fn of(plan: &Plan) -> Outline {
        let wanted = plan.destinations.iter().enumerate().filter(|(_, d)| d.abandoned.is_none());
        Outline {
            revision: plan.revision,
            created_ms: plan.created_ms,
            wanted: wanted.map(|(index, destination)| (index, destination.place())).collect(),
            objects: plan.destinations.iter().map(|destination| destination.objects.len()).collect(),
            hashes: plan.hashes(),
        }
    }
}

impl Outline {
    /// True if a destination has all its objects, going by how many markers there are.
    pub(crate) fn is_done(&self, destination: usize, markers: usize) -> bool {
        self.objects.get(destination).is_some_and(|objects| markers >= *objects)
    }
}

/// The open plans, as one run knows them.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Plans>);

#[derive(Debug, Default)]
struct Plans {
    outlines: BTreeMap<Nonce, Arc<Outline>>,
    shelf: BTreeMap<Nonce, Arc<Plan>>,
    /// The fragments of closed plans that were read.
    settled: BTreeMap<Nonce, Vec<u64>>,
}

impl Plans {
    fn shelve(&mut self, plan: Arc<Plan>) {
        self.shelf.remove(&plan.nonce);
        let shelved =
            |shelf: &BTreeMap<Nonce, Arc<Plan>>| shelf.values().map(|plan| plan.fragments.len()).sum::<usize>();
        while shelved(&self.shelf) + plan.fragments.len() > SHELVED_FRAGMENTS_MAX && self.shelf.pop_first().is_some() {}
        self.shelf.insert(plan.nonce, plan);
    }
}

impl Known {
    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an open plan, or its latest revision.
    pub(crate) fn learn(&self, plan: Plan) -> Arc<Plan> {
        let plan = Arc::new(plan);
        let mut plans = self.plans();
        plans.outlines.insert(plan.nonce, Arc::new(Outline::of(&plan)));
        plans.shelve(Arc::clone(&plan));
        plan
    }

    /// The head, with every open plan known. False if a plan is missing, which is normal while other exporters close
    /// plans.
    pub(crate) async fn refresh(&self, state: &State) -> Result<(At, bool), Fault> {
        let at = state.head().await?;
        let is_latest = |nonce: &Nonce, revision| at.head.find(*nonce).is_some_and(|open| open.revision == revision);
        let unknown: Vec<OpenPlan> = {
            let mut plans = self.plans();
            plans.outlines.retain(|nonce, outline| is_latest(nonce, outline.revision));
            plans.shelf.retain(|nonce, plan| is_latest(nonce, plan.revision));
            at.head.open.iter().filter(|open| !plans.outlines.contains_key(&open.plan)).cloned().collect()
        };
        let read = async |open: OpenPlan| readable(state.plan(open.plan, open.revision).await);
        let mut reading = std::pin::pin!(stream::iter(unknown).map(read).buffer_unordered(state.at_a_time.plans));
        let mut all = true;
        while let Some(plan) = reading.try_next().await? {
            all &= plan.map(|plan| self.learn(plan)).is_some();
        }
        Ok((at, all))
    }

    /// The outline of an open plan.
    pub(crate) fn outline(&self, plan: Nonce) -> Option<Arc<Outline>> {
        self.plans().outlines.get(&plan).cloned()
    }

    /// An open plan, whole; `None` if it is not known to be open.
    pub(crate) async fn plan(&self, state: &State, nonce: Nonce) -> Result<Option<Arc<Plan>>, Fault> {
        let revision = {
            let plans = self.plans();
            let Some(outline) = plans.outlines.get(&nonce) else { return Ok(None) };
            if let Some(plan) = plans.shelf.get(&nonce).filter(|plan| plan.revision == outline.revision) {
                return Ok(Some(Arc::clone(plan)));
            }
            outline.revision
        };
        let Some(plan) = state.plan(nonce, revision).await? else { return Ok(None) };
        let plan = Arc::new(plan);
        self.plans().shelve(Arc::clone(&plan));
        Ok(Some(plan))
    }

    /// The fragments of all open plans.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::default();
        self.plans().outlines.values().for_each(|outline| held.add(&outline.hashes));
        held
    }

    /// The fragments of recently closed plans.
    pub(crate) async fn settled(&self, state: &State, head: &Head) -> Result<Held, Fault> {
        let unknown: Vec<ClosedPlan> = {
            let plans = self.plans();
            head.closed.iter().filter(|closed| !plans.settled.contains_key(&closed.plan)).copied().collect()
        };
        let mut reading = std::pin::pin!(closed(state, unknown));
        while let Some(plan) = reading.try_next().await? {
            self.plans().settled.insert(plan.nonce, plan.settled_hashes());
        }
        let (mut held, plans) = (Held::default(), self.plans());
        head.closed.iter().filter_map(|closed| plans.settled.get(&closed.plan)).for_each(|hashes| held.add(hashes));
        Ok(held)
    }

    /// The destinations that have reached their limit of plans or fragments, by their place in the settings.
    pub(crate) fn full(&self, routes: &Routes, caps: &Caps, done: &DoneCounts) -> BTreeSet<usize> {
        let plans = self.plans();
        let is_full = |destination: &Destination| {
            let to = destination.place();
            let (mut count, mut fragments) = (0, 0);
            for (plan, outline) in &plans.outlines {
                let mut left = outline
                    .wanted
                    .iter()
                    .filter(|(index, _)| !outline.is_done(*index, done.get(&(*plan, *index)).copied().unwrap_or(0)));
                if !left.any(|(_, place)| *place == to) {
                    continue;
                }
                count += 1;
                fragments += outline.hashes.len() as u64;
            }
            count >= caps.open_plans_max || fragments >= caps.held_fragments_max
        };
        routes.destinations.iter().enumerate().filter(|(_, d)| is_full(d)).map(|(index, _)| index).collect()
    }
}

/// Those of these fragments that a recently closed plan has exported.
pub(crate) async fn exported(
    state: &State,
    head: &Head,
    fragments: &BTreeSet<FragmentName>,
) -> Result<Vec<String>, Fault> {
    let mut keys = Vec::new();
    let mut reading = std::pin::pin!(closed(state, head.closed.clone()));
    while let Some(plan) = reading.try_next().await? {
        let names = plan.settled().map(|staged| &staged.name).filter(|name| fragments.contains(name));
        keys.extend(names.map(FragmentName::to_string));
    }
    Ok(keys)
}

/// The closed plans whose documents still exist.
fn closed(state: &State, plans: Vec<ClosedPlan>) -> impl Stream<Item = Result<Plan, Fault>> {
    let read = async |closed: ClosedPlan| readable(state.plan(closed.plan, closed.revision).await).transpose();
    stream::iter(plans).map(read).buffer_unordered(state.at_a_time.plans).filter_map(std::future::ready)
}

/// An unreadable document counts as missing.
pub(crate) fn readable(plan: Result<Option<Plan>, Fault>) -> Result<Option<Plan>, Fault> {
    match plan {
        Err(fault) if fault.kind == Kind::Unreadable => {
            tracing::error!(%fault, "a plan that cannot be read");
            Ok(None)
        }
        plan => plan,
    }
}
