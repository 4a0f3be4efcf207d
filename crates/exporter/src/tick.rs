//! One tick: plans waiting fragments, puts the objects of plans, and closes plans.
//!
//! The order of reads and writes is the protocol; each step answers a race.
//!
//! 1. Read the head, and the plans that it says are open.
//! 2. List the staged fragments. Leave out those of open plans.
//! 3. Write the plan. No document refers to it yet.
//! 4. Swap the head *on the ETag that was read first*. If a plan was opened or closed since, the listing may show
//!    exported fragments, and the swap fails.
//! 5. For each object without a marker: put it if the key has no object, then write the marker.
//! 6. When every destination of a plan is done: delete the fragments, every one confirmed.
//! 7. Swap the plan out of the head.
//!
//! Steps 1 to 4 are here, steps 5 to 7 in [`carry`](crate::carry). Changes of open plans are in
//! [`revise`](crate::revise).

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws::{Created, Fault};
use export::cut::{Draft, Flush};
use export::routes::Routes;
use protocol::plan::{Purpose, Size};
use tokio::time::Instant;

use crate::App;
use crate::known::{self, Known};
use crate::report::Report;
use crate::staged::{self, Found};
use crate::state::{At, DoneCounts};

/// How often planning restarts because another exporter was faster.
const ROUNDS_MAX: usize = 10;

/// The version that object names carry.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A tick and its state.
pub(crate) struct Tick<'a> {
    pub(crate) app: &'a App,
    pub(crate) routes: &'a Routes,
    pub(crate) flush: Flush,
    pub(crate) now_ms: i64,
    pub(crate) report: &'a Mutex<Report>,
    pub(crate) known: Known,
}

impl<'a> Tick<'a> {
    pub(crate) fn new(
        app: &'a App,
        routes: &'a Routes,
        flush: Flush,
        now_ms: i64,
        report: &'a Mutex<Report>,
    ) -> Tick<'a> {
        Tick { app, routes, flush, now_ms, report, known: Known::default() }
    }

    /// Runs it. Listing stops at `list_until`, so that time is left to export plans.
    pub(crate) async fn run(&self, list_until: Instant) -> Result<(), Fault> {
        // If one destination fails for long, many open plans are complete for the others.
        let done = self.app.state.done_counts().await?;
        let at = self.plan(list_until, &done).await?;
        {
            let mut report = self.report();
            report.plans_open = at.head.open.len() as u64;
            report.is_planned = true;
        }
        self.carry_out(&at, &done).await?;
        let has_manifests = self.routes.destinations.iter().any(|destination| destination.manifest);
        if has_manifests && self.flush == Flush::All { self.complete_days().await } else { Ok(()) }
    }

    pub(crate) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn refresh(&self) -> Result<(At, bool), Fault> {
        self.known.refresh(&self.app.state).await
    }

    /// Opens plans for waiting fragments and returns the open plans.
    async fn plan(&self, list_until: Instant, done: &DoneCounts) -> Result<At, Fault> {
        let state = &self.app.state;
        for _ in 0..ROUNDS_MAX {
            let (at, all) = self.refresh().await?;
            if !all {
                if state.head().await?.head.is(&at.head) {
                    self.note_missing(&at);
                    return Ok(at);
                }
                continue;
            }
            let settings = &self.app.settings;
            let rules = staged::Rules {
                routes: self.routes,
                held: &self.known.held(),
                settled: &self.known.settled(state, &at.head).await?,
                full: &self.known.full(self.routes, &settings.caps, done),
                flush: self.flush,
                limits: &settings.limits,
                considered_max: settings.caps.considered_max,
                now_ms: self.now_ms,
                expire_days: settings.expire_days,
                until: list_until,
            };
            let found = staged::find(state, &rules).await?;
            self.delete_again(&at, &found).await?;
            self.note(&found);
            if let Some(at) = self.open(at, found.drafts).await? {
                return Ok(at);
            }
        }
        // The plans of other exporters are exported all the same.
        self.report().alarm(format!(
            "nothing new is planned: other runs changed the head {ROUNDS_MAX} times; the next tick tries again"
        ));
        Ok(self.refresh().await?.0)
    }

    /// Deletes exported fragments that were written again, by a first try that was slower than the second.
    async fn delete_again(&self, at: &At, found: &Found) -> Result<(), Fault> {
        if found.late_fragments.is_empty() {
            return Ok(());
        }
        let state = &self.app.state;
        let keys = known::exported(state, &at.head, &found.late_fragments).await?;
        tracing::warn!(
            fragments = keys.len(),
            "fragments that are already exported were written again; they are deleted again"
        );
        state.bucket.delete(&keys).await
    }

    /// Opens plans one after the other; `None` if another exporter changed the head in between.
    async fn open(&self, mut at: At, mut drafts: Vec<Draft>) -> Result<Option<At>, Fault> {
        let later = self.later(&mut drafts);
        if later.fragments > 0 && self.flush == Flush::All {
            let plans_max = self.app.settings.caps.plans_per_tick_max;
            self.report().alarm(format!(
                "{} events wait for the next tick: one tick opens at most {plans_max} plans",
                later.events
            ));
        }
        self.report().waiting.later = later;
        let sweeps = self.flush == Flush::All && !drafts.is_empty();
        let litter = if sweeps { self.litter(&at).await } else { Vec::new() };
        for draft in drafts {
            let plan = draft.sign(self.app.state.nonce(), self.now_ms, VERSION);
            if self.app.state.write(&plan).await? == Created::AlreadyThere {
                tracing::debug!(plan = %plan.nonce, "the plan was written by a try whose answer was lost");
            }
            let next = at.head.opening(&plan, self.app.state.nonce());
            let Some(swapped) = self.app.state.swap(&at, next).await? else { return Ok(None) };
            at = swapped;
            if plan.purpose == Purpose::Export {
                let mut report = self.report();
                report.planned.plans += 1;
                report.planned.size.extend(&plan.size());
            }
            for missed in plan.destinations.iter().filter(|destination| destination.abandoned.is_some()) {
                self.note_expired(&missed.name, &plan.size());
            }
            self.known.learn(plan);
        }
        // At least one head was swapped in since: see `litter`.
        if let Err(fault) = self.app.state.bucket.delete(&litter).await {
            tracing::warn!(%fault, "failed to delete leftovers of killed runs; a later tick does it");
        }
        Ok(Some(at))
    }

    /// Keeps as many drafts as one tick may open and returns the size of the rest. The choice is random, so that no
    /// draft waits forever.
    fn later(&self, drafts: &mut Vec<Draft>) -> Size {
        let mut later = Size::default();
        let plans_max = self.app.settings.caps.plans_per_tick_max;
        if drafts.len() > plans_max {
            let [.., a, b, c, d] = self.app.state.nonce().bits();
            let first = u32::from_be_bytes([a, b, c, d]) as usize % drafts.len();
            drafts.rotate_left(first);
            drafts.drain(plans_max..).for_each(|draft| later.extend(&draft.size()));
        }
        later
    }

    /// Keys that belong to plans that the head does not know: never opened, or closed long ago and not cleared away.
    ///
    /// They may be deleted after a swap that follows the head read *before* this listing. Then no other swap can still
    /// open one of those plans.
    async fn litter(&self, at: &At) -> Vec<String> {
        let litter = self.app.state.litter(&at.head).await;
        litter.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "failed to list the leftovers of killed runs; a later tick does it");
            Vec::new()
        })
    }

    fn note_missing(&self, at: &At) {
        for open in at.head.open.iter().filter(|open| self.known.outline(open.plan).is_none()) {
            self.report().alarm(format!(
                "nothing new is planned: the document {} of an open plan is missing or unreadable. Restore it, or \
                 abandon the plan, which plans its events again and may export some twice: {{\"abandon\": \
                 {{\"plan\": \"{}\"}}}}",
                open.key(),
                open.plan
            ));
        }
    }

    fn note(&self, found: &Found) {
        let mut report = self.report();
        let age_ms = found.oldest_ms.map_or(0, |oldest_ms| self.now_ms.saturating_sub(oldest_ms));
        report.oldest_unexported_seconds = Some(u64::try_from(age_ms / 1_000).unwrap_or(0));
        report.waiting.not_full = found.not_full;
        report.waiting.uncommitted = found.uncommitted;
        let named = |source| self.routes.source_name(source).to_owned();
        report.waiting.unrouted = found.unrouted.iter().map(|(source, size)| (named(source), *size)).collect();
        for (source, size) in &found.unrouted {
            report.alarm(format!(
                "no destination takes source `{}`: {} events wait; add the source to a destination",
                named(source),
                size.events
            ));
        }
        for (index, size) in &found.capped {
            let Some(destination) = self.routes.destinations.get(*index) else { continue };
            report.waiting.capped.insert(destination.name.clone(), *size);
            report.alarm(format!(
                "destination `{}` has as many open plans as allowed: {} more events wait until some of them \
                 close; repair or abandon the destination",
                destination.name, size.events
            ));
        }
        for account in &found.unreadable {
            report.alarm(format!("checkpoint {account}; restore it"));
        }
        if found.strangers > 0 {
            report.alarm(format!("{} objects under received/ are not fragments: move them elsewhere", found.strangers));
        }
        if found.more {
            report.alarm("more fragments wait than one tick considers; the next ticks continue".to_owned());
        }
    }

    /// Reports events that expired for a destination.
    pub(crate) fn note_expired(&self, destination: &str, size: &Size) {
        let mut report = self.report();
        report.expired.extend(size);
        report.alarm(format!(
            "{} events expired: destination `{destination}` did not accept them within {} days; repair the destination",
            size.events, self.app.settings.expire_days
        ));
    }
}
