//! One tick: plan what waits, put what is planned, settle what is put.
//!
//! The order of reads and writes is the protocol; each step answers a race.
//!
//! 1. Read the head. 2. List what is staged. 3. Write the plan, which nobody refers to yet.
//! 4. Swap the head *on the ETag that was read first*: if any plan was opened or closed since, the
//!    listing may show fragments that are exported already, and the swap fails.
//! 5. For each object that has no completion marker: put it where none is, then write the marker.
//! 6. When every destination of a plan is done: delete the fragments, every one confirmed.
//! 7. Swap the plan out of the head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::roles::Role;
use aws::{Created, Fault};
use futures_util::{StreamExt, stream};
use logs::plan::{Flush, Held, Nonce, Plan, Size};
use logs::routes::{Destination, Routes};

use crate::App;
use crate::put::{PUTS_MAX, Placed, Puts, Trouble};
use crate::report::Report;
use crate::staged::{self, Found};
use crate::state::At;

/// Plans that one tick opens at most.
const PLANS_PER_TICK_MAX: usize = 20;

/// Plans that may be open at once. Each holds its fragments; beyond this many, what waits waits as fragments, and an
/// alarm says so.
pub(crate) const OPEN_PLANS_MAX: usize = 256;

/// How often planning begins anew since another exporter was faster.
const ROUNDS_MAX: usize = 5;

/// Destinations that are served at a time.
const DESTINATIONS_AT_A_TIME: usize = 4;

/// The version that object names carry.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) struct Tick<'a> {
    pub(crate) app: &'a App,
    pub(crate) routes: &'a Routes,
    pub(crate) flush: Flush,
    pub(crate) now_ms: i64,
    pub(crate) report: &'a Mutex<Report>,
    /// Open plans as they are known here, in their latest revision.
    pub(crate) plans: Mutex<BTreeMap<Nonce, Arc<Plan>>>,
}

/// How the work on a plan for one destination ended.
enum Delivered {
    /// All its objects are there.
    Done,
    /// Somebody else closed the plan.
    Closed,
}

/// What to do about an object that could not be put.
enum Next {
    /// Begin anew with the revision that counts now.
    Again,
    /// It is there: another exporter put it.
    Done,
    /// The plan is closed.
    Closed,
}

impl Tick<'_> {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, plan: Nonce) -> Option<Arc<Plan>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(&plan).cloned()
    }

    fn learn(&self, plan: Plan) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(plan.nonce, Arc::new(plan));
    }

    pub(crate) async fn run(&self) -> Result<(), Fault> {
        let at = self.plan().await?;
        self.report().plans_open = at.head.open.len() as u64;
        self.carry_out(&at).await
    }

    /// Opens plans for what waits, and says what is open then.
    async fn plan(&self) -> Result<At, Fault> {
        for _ in 0..ROUNDS_MAX {
            let at = self.app.state.head().await?;
            if !self.learn_open(&at).await? {
                self.report().alarm("nothing new is planned: the document of an open plan is missing".to_owned());
                return Ok(at);
            }
            let held = {
                let mut held = Held::default();
                let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
                plans.values().for_each(|plan| held.add(plan));
                held
            };
            let rules = staged::Rules {
                routes: self.routes,
                held: &held,
                flush: self.flush,
                limits: &self.app.settings.limits,
                now_ms: self.now_ms,
                expire_days: self.app.settings.expire_days,
            };
            let found = staged::find(&self.app.state.bucket, &rules).await?;
            if let Some(at) = self.open(at, found).await? {
                return Ok(at);
            }
        }
        // Others are planning; what they opened is carried out all the same.
        let at = self.app.state.head().await?;
        self.learn_open(&at).await?;
        Ok(at)
    }

    /// Reads the plans that are open and not known yet; false if one cannot be found.
    async fn learn_open(&self, at: &At) -> Result<bool, Fault> {
        let open: BTreeSet<Nonce> = at.head.open.iter().map(|open| open.plan).collect();
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).retain(|nonce, _| open.contains(nonce));
        let mut all = true;
        for open in &at.head.open {
            if self.known(open.plan).is_some_and(|plan| plan.revision == open.revision) {
                continue;
            }
            match self.app.state.plan(open.plan, open.revision).await? {
                Some(plan) => self.learn(plan),
                None => all = false,
            }
        }
        Ok(all)
    }

    /// Opens plans one after the other; `None` if another exporter changed the head in between.
    async fn open(&self, mut at: At, found: Found) -> Result<Option<At>, Fault> {
        self.note(&found);
        for draft in found.drafts.into_iter().take(PLANS_PER_TICK_MAX) {
            if at.head.open.len() >= OPEN_PLANS_MAX {
                self.report()
                    .alarm(format!("{OPEN_PLANS_MAX} plans are open: nothing more is planned until some close"));
                break;
            }
            let plan = draft.sign((self.app.state.nonces)(), self.now_ms, VERSION);
            if self.app.state.write(&plan).await? == Created::AlreadyThere {
                tracing::debug!(plan = %plan.nonce, "the plan was written by a try whose answer was lost");
            }
            let next = at.head.opening(&plan, (self.app.state.nonces)());
            let Some(swapped) = self.app.state.swap(&at, next).await? else { return Ok(None) };
            at = swapped;
            let mut report = self.report();
            report.planned.plans += 1;
            let size = plan.size();
            report.planned.size.fragments += size.fragments;
            report.planned.size.events += size.events;
            report.planned.size.raw_bytes += size.raw_bytes;
            drop(report);
            self.learn(plan);
        }
        Ok(Some(at))
    }

    fn note(&self, found: &Found) {
        let mut report = self.report();
        report.waiting.not_full = found.not_full;
        report.waiting.uncommitted = found.uncommitted;
        report.waiting.unrouted =
            found.unrouted.iter().map(|(source, size)| (self.routes.source_name(source).to_owned(), *size)).collect();
        for (source, size) in &found.unrouted {
            report.alarm(format!(
                "no destination takes source `{}`: {} events wait",
                self.routes.source_name(source),
                size.events
            ));
        }
        for account in &found.unreadable {
            report.alarm(format!("cannot read which events count: {account}"));
        }
        if found.strangers > 0 {
            report.alarm(format!("{} objects under received/ are no fragments", found.strangers));
        }
    }

    /// Serves every destination of every open plan.
    async fn carry_out(&self, at: &At) -> Result<(), Fault> {
        let mut work: BTreeMap<String, Vec<(Nonce, usize)>> = BTreeMap::new();
        let mut pending: BTreeMap<Nonce, BTreeSet<usize>> = BTreeMap::new();
        for open in &at.head.open {
            let Some(plan) = self.known(open.plan) else { continue };
            let wanted = plan.destinations.iter().enumerate().filter(|(_, planned)| planned.abandoned.is_none());
            let wanted: Vec<_> = wanted.map(|(index, planned)| (index, planned.name.clone())).collect();
            pending.insert(plan.nonce, wanted.iter().map(|(index, _)| *index).collect());
            for (index, name) in wanted {
                work.entry(name).or_default().push((plan.nonce, index));
            }
        }
        for (plan, wanted) in &pending {
            if wanted.is_empty() {
                self.settle(*plan).await?;
            }
        }
        let pending = Mutex::new(pending);
        let mut served = std::pin::pin!(
            stream::iter(work)
                .map(|(name, items)| self.serve(name, items, &pending))
                .buffer_unordered(DESTINATIONS_AT_A_TIME)
        );
        let mut first_fault = None;
        while let Some(result) = served.next().await {
            first_fault = first_fault.or(result.err());
        }
        first_fault.map_or(Ok(()), Err)
    }

    /// Serves one destination, the oldest plan first. What fails here delays nobody else.
    async fn serve(
        &self,
        name: String,
        items: Vec<(Nonce, usize)>,
        pending: &Mutex<BTreeMap<Nonce, BTreeSet<usize>>>,
    ) -> Result<(), Fault> {
        let Some(destination) = self.routes.named(&name) else {
            self.report().alarm(format!(
                "destination `{name}` is no longer in the settings: {} plans hold until it is back or abandoned",
                items.len()
            ));
            return Ok(());
        };
        if !destination.enabled {
            self.report().of(&name).failed = Some("it is disabled; what is planned for it waits".to_owned());
            return Ok(());
        }
        for (plan, index) in items {
            match self.deliver(destination, plan, index).await {
                Ok(Delivered::Closed) => {}
                Ok(Delivered::Done) => {
                    let last = {
                        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                        pending.get_mut(&plan).is_some_and(|left| left.remove(&index) && left.is_empty())
                    };
                    if last {
                        self.settle(plan).await?;
                    }
                }
                Err(Trouble::Destination(fault)) => {
                    let mut report = self.report();
                    report.alarm(format!("destination `{name}` does not take its objects: {fault}"));
                    report.of(&name).failed = Some(fault.to_string());
                    return Ok(());
                }
                Err(Trouble::State(fault)) => return Err(fault),
                // Answered where they arise.
                Err(Trouble::Gone(_) | Trouble::Damaged(..)) => {}
            }
        }
        Ok(())
    }

    /// Puts every object of a plan to one of its destinations.
    async fn deliver(&self, destination: &Destination, nonce: Nonce, index: usize) -> Result<Delivered, Trouble> {
        let state = &self.app.state;
        let mut done = state.done(nonce).await.map_err(Trouble::State)?;
        'revision: loop {
            let Some(plan) = self.known(nonce) else { return Ok(Delivered::Closed) };
            let Some(planned) = plan.destinations.get(index).filter(|d| d.abandoned.is_none()) else {
                return Ok(Delivered::Done);
            };
            for (number, object) in planned.objects.iter().enumerate() {
                if done.contains(&(index, number)) {
                    continue;
                }
                let role = role_of(destination);
                let client = self.app.roles.s3(&role).await.map_err(Trouble::Destination)?;
                let puts = Puts { state: &state.bucket, client, destination, attempts_max: PUTS_MAX };
                let Some(key) = plan.object_key(index, number) else { continue };
                match puts.put(&plan, object, &planned.bucket, &key).await {
                    Ok(placed) => {
                        state.mark(nonce, index, number, &key).await.map_err(Trouble::State)?;
                        self.placed(
                            destination,
                            &format!("s3://{}/{key}", planned.bucket),
                            placed,
                            plan.object_size(object),
                        );
                    }
                    Err(Trouble::Gone(fragment)) => {
                        match self.unfit(&plan, index, number, fragment, "it is gone".to_owned(), None).await? {
                            Next::Again => continue 'revision,
                            Next::Closed => return Ok(Delivered::Closed),
                            Next::Done => {}
                        }
                    }
                    Err(Trouble::Damaged(fragment, why, bytes)) => {
                        match self.unfit(&plan, index, number, fragment, why, Some(bytes)).await? {
                            Next::Again => continue 'revision,
                            Next::Closed => return Ok(Delivered::Closed),
                            Next::Done => {}
                        }
                    }
                    Err(trouble) => return Err(trouble),
                }
                done.insert((index, number));
            }
            return Ok(Delivered::Done);
        }
    }

    fn placed(&self, destination: &Destination, uri: &str, placed: Placed, size: Size) {
        let mut report = self.report();
        let put = report.of(&destination.name);
        match placed {
            Placed::Put(bytes) => put.add(uri.to_owned(), size.events, Some(bytes)),
            Placed::AlreadyThere => put.add(uri.to_owned(), size.events, None),
            Placed::Nothing => {}
        }
    }

    /// A fragment of an object is gone or damaged: finds out whether that is news, and if so writes a revision of the
    /// plan that leaves it out.
    async fn unfit(
        &self,
        plan: &Plan,
        index: usize,
        object: usize,
        fragment: usize,
        why: String,
        bytes: Option<bytes::Bytes>,
    ) -> Result<Next, Trouble> {
        let state = &self.app.state;
        // The head first: a plan that was closed since takes its markers along.
        let at = state.head().await.map_err(Trouble::State)?;
        let Some(open) = at.head.find(plan.nonce) else { return Ok(Next::Closed) };
        if open.revision != plan.revision {
            self.learn_open(&at).await.map_err(Trouble::State)?;
            return Ok(Next::Again);
        }
        if state.is_done(plan.nonce, index, object).await.map_err(Trouble::State)? {
            return Ok(Next::Done);
        }
        let name = plan.fragments.get(fragment).map(|staged| staged.name.to_string()).unwrap_or_default();
        if let Some(bytes) = bytes {
            let copy = format!("exports/quarantine/{name}");
            state.bucket.put(&copy, bytes, "application/gzip").await.map_err(Trouble::State)?;
        }
        let mut next = plan.quarantining(fragment, why.clone());
        if state.write(&next).await.map_err(Trouble::State)? == Created::AlreadyThere {
            // Another exporter wrote this revision first; whatever it leaves out is left out for a reason.
            match state.plan(next.nonce, next.revision).await.map_err(Trouble::State)? {
                Some(theirs) => next = theirs,
                None => return Ok(Next::Again),
            }
        }
        let Some(head) = at.head.revising(&next, (state.nonces)()) else { return Ok(Next::Again) };
        if state.swap(&at, head).await.map_err(Trouble::State)?.is_some() {
            let mut report = self.report();
            report.alarm(format!("fragment {name} is quarantined: {why}"));
            report.quarantined.push(name);
            drop(report);
            self.learn(next);
        }
        Ok(Next::Again)
    }

    /// Deletes what a plan held, every key confirmed, and closes it.
    async fn settle(&self, nonce: Nonce) -> Result<(), Fault> {
        let state = &self.app.state;
        let Some(plan) = self.known(nonce) else { return Ok(()) };
        let keys: Vec<String> = plan.fragments.iter().map(|staged| staged.name.to_string()).collect();
        state.bucket.delete(&keys).await?;
        loop {
            let at = state.head().await?;
            let Some(next) = at.head.closing(nonce, (state.nonces)()) else { break };
            if state.swap(&at, next).await?.is_some() {
                let mut report = self.report();
                report.plans_closed += 1;
                report.plans_open = report.plans_open.saturating_sub(1);
                break;
            }
        }
        if let Err(fault) = state.forget(&plan).await {
            tracing::warn!(%fault, "what a closed plan leaves behind stays for now");
        }
        Ok(())
    }
}

/// The role that writes to a destination.
pub(crate) fn role_of(destination: &Destination) -> Role {
    Role {
        arn: destination.role_arn.clone(),
        external_id: Some(destination.external_id.clone()),
        region: destination.region.clone(),
    }
}
