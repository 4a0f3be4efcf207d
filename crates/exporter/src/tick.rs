//! One tick: plan what waits, put what is planned, settle what is put.
//!
//! The order of reads and writes is the protocol; each step answers a race.
//!
//! 1. Read the head, and the plans that it says are open.
//! 2. List what is staged; leave out what an open plan holds.
//! 3. Write the plan, which nobody refers to yet.
//! 4. Swap the head *on the ETag that was read first*: if any plan was opened or closed since, the
//!    listing may show fragments that are exported already, and the swap fails.
//! 5. For each object that has no completion marker: put it where none is, then write the marker.
//! 6. When every destination of a plan is done: delete the fragments, every one confirmed.
//! 7. Swap the plan out of the head.
//!
//! Steps 1 to 4 are here, 5 to 7 in [`carry`](crate::carry), and what changes a plan that is open in
//! [`revise`](crate::revise).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::{Created, Fault};
use logs::plan::{Flush, Held, Nonce, Plan, Purpose};
use logs::routes::Routes;

use crate::App;
use crate::report::Report;
use crate::staged::{self, Found};
use crate::state::At;

/// Plans that one tick opens at most.
const PLANS_PER_TICK_MAX: usize = 20;

/// How often planning begins anew since another exporter was faster.
const ROUNDS_MAX: usize = 5;

/// The version that object names carry.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A tick, and what it knows.
pub(crate) struct Tick<'a> {
    pub(crate) app: &'a App,
    pub(crate) routes: &'a Routes,
    pub(crate) flush: Flush,
    pub(crate) now_ms: i64,
    pub(crate) report: &'a Mutex<Report>,
    /// Open plans as they are known here, in their latest revision.
    plans: Mutex<BTreeMap<Nonce, Arc<Plan>>>,
}

impl<'a> Tick<'a> {
    pub(crate) fn new(
        app: &'a App,
        routes: &'a Routes,
        flush: Flush,
        now_ms: i64,
        report: &'a Mutex<Report>,
    ) -> Tick<'a> {
        Tick { app, routes, flush, now_ms, report, plans: Mutex::default() }
    }

    pub(crate) async fn run(&self) -> Result<(), Fault> {
        let at = self.plan().await?;
        self.report().plans_open = at.head.open.len() as u64;
        self.carry_out(&at).await
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open plan, as far as it is known.
    pub(crate) fn known(&self, plan: Nonce) -> Option<Arc<Plan>> {
        self.plans().get(&plan).cloned()
    }

    pub(crate) fn learn(&self, plan: Plan) {
        self.plans().insert(plan.nonce, Arc::new(plan));
    }

    fn plans(&self) -> MutexGuard<'_, BTreeMap<Nonce, Arc<Plan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head, with every open plan known. False if one could not be found, which is no news while others close plans.
    pub(crate) async fn look(&self) -> Result<(At, bool), Fault> {
        let at = self.app.state.head().await?;
        let open: BTreeSet<Nonce> = at.head.open.iter().map(|open| open.plan).collect();
        self.plans().retain(|nonce, _| open.contains(nonce));
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
        Ok((at, all))
    }

    /// Opens plans for what waits, and says what is open then.
    async fn plan(&self) -> Result<At, Fault> {
        for _ in 0..ROUNDS_MAX {
            let (at, all) = self.look().await?;
            if !all {
                if self.app.state.head().await?.head.is(&at.head) {
                    self.report().alarm("nothing new is planned: the document of an open plan is missing".to_owned());
                    return Ok(at);
                }
                continue;
            }
            let mut held = Held::default();
            self.plans().values().for_each(|plan| held.add(plan));
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
        Ok(self.look().await?.0)
    }

    /// Opens plans one after the other; `None` if another exporter changed the head in between.
    async fn open(&self, mut at: At, found: Found) -> Result<Option<At>, Fault> {
        self.note(&found);
        let open_plans_max = self.app.settings.limits.open_plans_max;
        let room = open_plans_max.saturating_sub(at.head.open.len()).min(PLANS_PER_TICK_MAX);
        let mut drafts = found.drafts;
        let later = drafts.split_off(room.min(drafts.len()));
        later.iter().for_each(|draft| self.report().waiting.later.extend(&draft.size()));
        if !later.is_empty() && room < PLANS_PER_TICK_MAX {
            let words = format!("{open_plans_max} plans are open: nothing more is planned until some close");
            self.report().alarm(words);
        }
        let sweeps = self.flush == Flush::All && !drafts.is_empty();
        let litter = if sweeps { self.litter(&at).await } else { Vec::new() };
        for draft in drafts {
            let plan = draft.sign((self.app.state.nonces)(), self.now_ms, VERSION);
            if self.app.state.write(&plan).await? == Created::AlreadyThere {
                tracing::debug!(plan = %plan.nonce, "the plan was written by a try whose answer was lost");
            }
            let next = at.head.opening(&plan, (self.app.state.nonces)());
            let Some(swapped) = self.app.state.swap(&at, next).await? else { return Ok(None) };
            at = swapped;
            if plan.purpose == Purpose::Export {
                let mut report = self.report();
                report.planned.plans += 1;
                report.planned.size.extend(&plan.size());
            }
            self.learn(plan);
        }
        // At least one head was swapped in since: see `litter`.
        if let Err(fault) = self.app.state.bucket.delete(&litter).await {
            tracing::warn!(%fault, "what killed runs left behind stays for now");
        }
        Ok(Some(at))
    }

    /// Keys that belong to plans that are not open: never opened, or closed and not cleared away.
    ///
    /// They may be deleted once a head is swapped in that follows the one read *before* this listing: then no swap
    /// that could still open one of those plans can succeed.
    async fn litter(&self, at: &At) -> Vec<String> {
        let litter = self.app.state.litter(&at.head).await;
        litter.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "cannot look for what killed runs left behind");
            Vec::new()
        })
    }

    fn note(&self, found: &Found) {
        let mut report = self.report();
        report.waiting.not_full = found.not_full;
        report.waiting.uncommitted = found.uncommitted;
        let named = |source| self.routes.source_name(source).to_owned();
        report.waiting.unrouted = found.unrouted.iter().map(|(source, size)| (named(source), *size)).collect();
        for (source, size) in &found.unrouted {
            report.alarm(format!("no destination takes source `{}`: {} events wait", named(source), size.events));
        }
        for account in &found.unreadable {
            report.alarm(format!("cannot read which events count: {account}"));
        }
        if found.strangers > 0 {
            report.alarm(format!("{} objects under received/ are no fragments", found.strangers));
        }
        if found.more {
            report.alarm("more waits than one tick considers; the next ones go on".to_owned());
        }
    }
}
