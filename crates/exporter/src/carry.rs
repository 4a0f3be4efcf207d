//! Carrying plans out: object by object to each destination, then the fragments' end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use aws::roles::Role;
use aws::{Backoff, Fault, Kind};
use export::object;
use export::routes::Destination;
use futures_util::{StreamExt, stream};
use protocol::id::Nonce;
use protocol::keys;
use protocol::mark::Mark;
use protocol::place::Place;
use protocol::plan::{Plan, PlannedDestination, Purpose, Size};

use crate::AtATime;
use crate::causes;
use crate::put::{Made, PUTS, Placed, Puts, Trouble};
use crate::state::{At, DoneCounts};
use crate::tick::Tick;

const DAY_MS: i64 = 86_400_000;

/// The destinations of the open plans with work left, by their indexes in the plans.
type Pending = Mutex<BTreeMap<Nonce, BTreeSet<usize>>>;

/// How the work on a plan for one destination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// All its objects are there.
    Done,
    /// Another exporter closed the plan.
    Closed,
}

/// How the work on one object ended.
enum ObjectEnd {
    /// It is there.
    Done(usize, Placed),
    /// A fragment is left out of the plan now.
    Revised,
    /// The plan is closed.
    Closed,
}

/// How many puts a destination gets at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    Usual,
    /// It failed before, so one single put shows whether it works again.
    Probe,
}

/// A destination, and the place that this delivery writes to. An old plan may have an earlier place.
#[derive(Clone, Copy)]
struct To<'a> {
    destination: &'a Destination,
    place: &'a Place,
}

impl To<'_> {
    fn has_moved(&self) -> bool {
        *self.place != self.destination.place()
    }

    /// The account that must own the bucket. Where the destination has moved, its settings are about another bucket, so
    /// the plan says it.
    fn expected_owner<'p>(&'p self, planned: &'p PlannedDestination) -> Option<&'p str> {
        let owner = match self.has_moved() {
            true => &planned.expected_bucket_owner,
            false => &self.destination.expected_bucket_owner,
        };
        owner.as_deref()
    }

    /// Its name in the report.
    fn label(&self) -> String {
        let Place { name, bucket } = self.place;
        if self.has_moved() { format!("{name} (before: {bucket})") } else { name.clone() }
    }
}

/// The objects that are put to a destination together.
#[derive(Clone, Copy)]
struct Batch {
    objects: usize,
    at_a_time: usize,
    /// Fragments fetched ahead for each object.
    fetch_ahead: usize,
    backoff: Backoff,
}

impl Batch {
    fn of(left: usize, care: Care, limits: AtATime) -> Batch {
        let (objects, backoff) = match care {
            Care::Usual => (left, PUTS),
            Care::Probe => (1, Backoff { attempts_max: 1, ..PUTS }),
        };
        let at_a_time = objects.clamp(1, limits.objects);
        Batch { objects, at_a_time, fetch_ahead: (limits.fragments / at_a_time).max(1), backoff }
    }
}

impl Tick<'_> {
    /// Serves every place of every open plan, healthy ones first.
    pub(crate) async fn carry_out(&self, at: &At, done: &DoneCounts) -> Result<(), Fault> {
        let mut work: BTreeMap<Place, Vec<(Nonce, usize)>> = BTreeMap::new();
        let mut pending: BTreeMap<Nonce, BTreeSet<usize>> = BTreeMap::new();
        for open in &at.head.open {
            let Some(outline) = self.known.outline(open.plan) else { continue };
            let left = pending.entry(open.plan).or_default();
            let is_left = |(index, _): &&(usize, Place)| {
                !outline.is_done(*index, done.get(&(open.plan, *index)).copied().unwrap_or(0))
            };
            for (index, place) in outline.wanted.iter().filter(is_left) {
                left.insert(*index);
                work.entry(place.clone()).or_default().push((open.plan, *index));
            }
        }
        for plan in pending.iter().filter(|(_, left)| left.is_empty()).map(|(plan, _)| *plan).collect::<Vec<_>>() {
            self.settle(plan).await?;
        }
        let failing = self.app.state.failing().await?;
        let mut work: Vec<_> = work.into_iter().collect();
        work.sort_by_key(|(place, _)| failing.contains(&keys::failing(place)));
        let pending = Mutex::new(pending);
        let serve = |(place, items): (Place, Vec<(Nonce, usize)>)| {
            let care = if failing.contains(&keys::failing(&place)) { Care::Probe } else { Care::Usual };
            self.serve(place, items, care, &pending)
        };
        let mut served =
            std::pin::pin!(stream::iter(work).map(serve).buffer_unordered(self.app.settings.at_a_time.places));
        let mut first_fault = None;
        while let Some(result) = served.next().await {
            first_fault = first_fault.or(result.err());
        }
        first_fault.map_or(Ok(()), Err)
    }

    /// Serves one place, the oldest plan first. A failure here does not delay other destinations.
    async fn serve(
        &self,
        place: Place,
        items: Vec<(Nonce, usize)>,
        mut care: Care,
        pending: &Pending,
    ) -> Result<(), Fault> {
        let Some(destination) = self.served(&place, &items) else { return Ok(()) };
        let to = To { destination, place: &place };
        for (plan, index) in &items {
            match self.deliver(to, *plan, *index, &mut care).await {
                Ok(Delivered::Closed) => {}
                Ok(Delivered::Done) => self.note_delivered(*plan, *index, pending).await?,
                Err(Trouble::Destination(fault)) => {
                    let failing_since_ms = self.app.state.mark_failing(&place, &fault, self.now_ms).await?;
                    self.note_failed(to, &fault);
                    for (plan, index) in items {
                        if self.expire(plan, &place, failing_since_ms).await? {
                            self.note_delivered(plan, index, pending).await?;
                        }
                    }
                    return Ok(());
                }
                Err(Trouble::State(fault)) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The destination that a place belongs to today; `None`, with a word in the report, if nothing is put there now.
    fn served(&self, place: &Place, items: &[(Nonce, usize)]) -> Option<&Destination> {
        let (Place { name, .. }, plans) = (place, items.len());
        let mut report = self.report();
        match self.routes.named(name) {
            None => {
                report.of(name).failed = Some("it is no longer in the settings".to_owned());
                report.alarm(format!(
                    "destination `{name}` is no longer in the settings: {plans} of its plans wait; add it again, or \
                     abandon it"
                ));
                None
            }
            Some(destination) if !destination.enabled => {
                report.of(name).failed = Some(format!("it is disabled: {plans} of its plans wait"));
                let days = self.app.settings.expire_days;
                let outlines = items.iter().filter_map(|(plan, _)| self.known.outline(*plan));
                let oldest_ms = outlines.map(|outline| outline.created_ms).min().unwrap_or(self.now_ms);
                if self.now_ms.saturating_sub(oldest_ms) >= i64::from(days) * DAY_MS {
                    report.alarm(format!(
                        "destination `{name}` is disabled, and its plans have waited for {days} days: enable or \
                         abandon it, or the state bucket's lifecycle rule deletes their events"
                    ));
                }
                None
            }
            Some(destination) => Some(destination),
        }
    }

    fn note_failed(&self, to: To<'_>, fault: &Fault) {
        let (name, bucket) = (&to.place.name, &to.place.bucket);
        let mut report = self.report();
        report.alarm(if to.has_moved() {
            format!(
                "destination `{name}` cannot be written to in its former bucket {bucket}: {fault}; allow the role to \
                 put there, or abandon the plans for it: \
                 {{\"abandon\": {{\"destination\": \"{name}\", \"bucket\": \"{bucket}\"}}}}"
            )
        } else {
            let why = causes::in_words(fault, to.destination);
            format!("destination `{name}` cannot be written to: {why}; validate the destination")
        });
        report.of(&to.label()).failed = Some(fault.to_string());
    }

    /// A plan has nothing more for one of its destinations; after the last one it is settled.
    async fn note_delivered(&self, plan: Nonce, index: usize, pending: &Pending) -> Result<(), Fault> {
        let is_last = {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.get_mut(&plan).is_some_and(|left| left.remove(&index) && left.is_empty())
        };
        if is_last { self.settle(plan).await } else { Ok(()) }
    }

    /// Puts every object of a plan to one of its destinations.
    async fn deliver(&self, to: To<'_>, nonce: Nonce, index: usize, care: &mut Care) -> Result<Delivered, Trouble> {
        let state = &self.app.state;
        let mut done = state.done(nonce).await.map_err(Trouble::State)?;
        loop {
            let plan = self.known.plan(state, nonce).await.map_err(Trouble::State)?;
            let Some(plan) = plan else { return Ok(Delivered::Closed) };
            let Some(planned) = plan.destinations.get(index).filter(|d| d.abandoned.is_none()) else {
                return Ok(Delivered::Done);
            };
            let left: Vec<usize> = (0..planned.objects.len()).filter(|n| !done.contains(&(index, *n))).collect();
            if left.is_empty() {
                return Ok(Delivered::Done);
            }
            // Once for all of them, or each would ask for a session of its own.
            self.app.roles.s3(&role_of(to.destination)).await.map_err(Trouble::Destination)?;
            let batch = Batch::of(left.len(), *care, self.app.settings.at_a_time);
            let place = |object: &usize| self.place(to, &plan, index, *object, batch);
            let now = left.get(..batch.objects).unwrap_or(&left);
            let mut steps = std::pin::pin!(stream::iter(now).map(place).buffer_unordered(batch.at_a_time));
            let mut is_well = false;
            while let Some(step) = steps.next().await {
                match step? {
                    ObjectEnd::Done(object, placed) => {
                        done.insert((index, object));
                        is_well |= matches!(placed, Placed::Put(_) | Placed::AlreadyThere);
                        // Another exporter works on this plan, so its markers are read again.
                        if matches!(placed, Placed::AlreadyThere | Placed::ByAnother) {
                            done.append(&mut state.done(nonce).await.map_err(Trouble::State)?);
                        }
                    }
                    ObjectEnd::Revised => {}
                    ObjectEnd::Closed => return Ok(Delivered::Closed),
                }
            }
            if *care == Care::Probe && is_well {
                state.clear_failing(to.place).await.map_err(Trouble::State)?;
                *care = Care::Usual;
            }
        }
    }

    /// Puts one object and writes down that it is there.
    async fn place(
        &self,
        to: To<'_>,
        plan: &Plan,
        index: usize,
        object: usize,
        batch: Batch,
    ) -> Result<ObjectEnd, Trouble> {
        let planned = plan.destinations.get(index).and_then(|d| Some((d, d.objects.get(object)?)));
        let (Some((planned, content)), Some(key)) = (planned, object::key_of(plan, index, object)) else {
            return Ok(ObjectEnd::Done(object, Placed::Nothing));
        };
        let role = role_of(to.destination);
        let mut renewed = false;
        let (placed, Made { bytes, received_ms }) = loop {
            let client = self.app.roles.s3(&role).await.map_err(Trouble::Destination)?;
            let puts = Puts {
                state: &self.app.state.bucket,
                client,
                destination: to.destination,
                expected_owner: to.expected_owner(planned),
                fetched: &self.app.fetched,
                rewritten: &self.app.rewritten,
                fetch_ahead: batch.fetch_ahead,
                objects: batch.at_a_time,
                backoff: batch.backoff,
            };
            match puts.put(plan, content, &planned.bucket, &key).await {
                Ok(Some(placed)) => break placed,
                Ok(None) => return self.without(&puts, plan, index, object).await,
                // A session ends early if its role is created again. A clock that is wrong needs only a new signature.
                Err(Trouble::Destination(fault)) if fault.is_stale() && !renewed => {
                    if fault.kind == Kind::Expired {
                        self.app.roles.forget(&role);
                    }
                    renewed = true;
                }
                Err(trouble) => return Err(trouble),
            }
        };
        let mark = Mark { bytes, received_ms, ..Mark::of(&key) };
        self.app.state.mark(plan.nonce, index, object, &mark).await.map_err(Trouble::State)?;
        self.note_placed(to, &format!("s3://{}/{key}", planned.bucket), placed, plan.object_size(content));
        Ok(ObjectEnd::Done(object, placed))
    }

    /// Handles an object with an unfit fragment. If the fragment is not yet quarantined, writes a revision without it.
    async fn without(&self, puts: &Puts<'_>, plan: &Plan, index: usize, object: usize) -> Result<ObjectEnd, Trouble> {
        // The head first: a plan that was closed since takes its markers along.
        let (at, _) = self.refresh().await.map_err(Trouble::State)?;
        let Some(open) = at.head.find(plan.nonce) else { return Ok(ObjectEnd::Closed) };
        if open.revision != plan.revision {
            let is_known = self.known.outline(plan.nonce).is_some();
            // Planning reports a revision without a document, so this step ignores it.
            return Ok(if is_known { ObjectEnd::Revised } else { ObjectEnd::Closed });
        }
        // The fragments may be missing, because another exporter deletes them once all objects exist.
        if self.app.state.is_done(plan.nonce, index, object).await.map_err(Trouble::State)? {
            return Ok(ObjectEnd::Done(object, Placed::ByAnother));
        }
        let planned = plan.destinations.get(index).and_then(|d| d.objects.get(object));
        let Some(planned) = planned else { return Ok(ObjectEnd::Closed) };
        let quarantined = puts.keep_for_inspection(plan, planned).await.map_err(Trouble::State)?;
        self.quarantine(&at, plan, quarantined).await.map_err(Trouble::State)?;
        Ok(ObjectEnd::Revised)
    }

    fn note_placed(&self, to: To<'_>, uri: &str, placed: Placed, size: Size) {
        let mut report = self.report();
        let put = report.of(&to.label());
        match placed {
            Placed::Put(bytes) => put.add(uri.to_owned(), size.events, Some(bytes)),
            Placed::AlreadyThere => put.add(uri.to_owned(), size.events, None),
            Placed::ByAnother | Placed::Nothing => {}
        }
    }

    /// Deletes the fragments of a plan, with each key confirmed, and closes the plan. Its manifests come first.
    async fn settle(&self, nonce: Nonce) -> Result<(), Fault> {
        let state = &self.app.state;
        let Some(plan) = self.known.plan(state, nonce).await? else { return Ok(()) };
        if !self.put_manifests(&plan).await? {
            return Ok(());
        }
        let keys: Vec<String> = plan.fragments.iter().map(|staged| staged.name.to_string()).collect();
        state.bucket.delete(&keys).await?;
        loop {
            let at = state.head().await?;
            let Some(next) = at.head.closing(nonce, self.app.clock.now_ms(), state.nonce()) else { break };
            if state.swap(&at, next).await?.is_some() {
                self.note_closed(&plan);
                break;
            }
        }
        if let Err(fault) = state.forget(&plan).await {
            tracing::warn!(%fault, "failed to clean up after a closed plan; a later tick does it");
        }
        Ok(())
    }

    fn note_closed(&self, plan: &Plan) {
        let mut report = self.report();
        let size = plan.size();
        report.plans_open = report.plans_open.saturating_sub(1);
        match plan.purpose {
            Purpose::Export => report.plans_closed += 1,
            Purpose::Discard if plan.unaccounted => {
                report.unaccounted.extend(&size);
                report.alarm(format!(
                    "{} events in {} fragments are discarded, because checkpoint and ledger of their files are gone: find \
                     out what deletes objects under ingest/, and keep the lifecycle rule for it longer than EXPIRE_DAYS",
                    size.events, size.fragments
                ));
            }
            Purpose::Discard => report.discarded.extend(&size),
            Purpose::Expire => {
                report.expired.extend(&size);
                report.alarm(format!(
                    "{} events expired: no destination accepted them within {} days; add their source to a destination",
                    size.events, self.app.settings.expire_days
                ));
            }
        }
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
