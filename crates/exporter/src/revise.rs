//! Revising an open plan: leaving a fragment out, giving a destination up.
//!
//! A revision is a document under the plan's nonce, so object names stay. It counts as soon as the head names it. It
//! depends only on the revision before it. If two exporters write the same revision, both use the first document.

use aws::{Created, Fault};
use protocol::id::Nonce;
use protocol::place::Place;
use protocol::plan::{Plan, Quarantined, Size};
use serde::Serialize;

use crate::known::readable;
use crate::state::At;
use crate::tick::Tick;

const DAY_MS: i64 = 86_400_000;

/// The events that were given up for a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// Its name.
    pub destination: String,
    /// Plans in which nothing more is put there. They close with a next tick.
    pub plans: u64,
    /// The events that it did not get.
    #[serde(flatten)]
    pub size: Size,
}

impl Tick<'_> {
    /// Leaves fragments out of a plan. Without unfit fragments nothing changes.
    pub(crate) async fn quarantine(&self, at: &At, plan: &Plan, unfit: Vec<Quarantined>) -> Result<(), Fault> {
        if unfit.is_empty() {
            return Ok(());
        }
        self.revise(at, plan, plan.quarantining(unfit)).await.map(|_| ())
    }

    /// Reports the fragments that a revision leaves out.
    fn note_revised(&self, before: &Plan, revised: &Plan) {
        let name =
            |fragment: usize| before.fragments.get(fragment).map(|staged| staged.name.to_string()).unwrap_or_default();
        for Quarantined { fragment, why } in revised.quarantined.iter().skip(before.quarantined.len()) {
            let mut report = self.report();
            report.alarm(format!(
                "fragment {} is quarantined: {why}; find out what else writes to the state bucket",
                name(*fragment)
            ));
            report.quarantine(name(*fragment));
        }
    }

    /// Reports what the revision of another exporter gave up, because that exporter may have been killed.
    fn note_adopted(&self, before: &Plan, revised: &Plan) {
        for (now, before) in revised.destinations.iter().zip(&before.destinations) {
            if let (Some(why), None) = (&now.abandoned, &before.abandoned) {
                let words = format!(
                    "plan {} is given up for destination `{}`: {why}; validate the destination",
                    revised.nonce, now.name
                );
                self.report().alarm(words);
            }
        }
    }

    /// Names a revision in the head: this one, or the one that another exporter wrote first. `None` if the head
    /// changed. The caller then reads it again.
    async fn revise(&self, at: &At, before: &Plan, next: Plan) -> Result<Option<Plan>, Fault> {
        let state = &self.app.state;
        let ours = next.clone();
        let next = match state.write(&next).await? {
            Created::Done(_) => next,
            Created::AlreadyThere => match state.plan(next.nonce, next.revision).await? {
                Some(theirs) => theirs,
                // Its plan was closed and cleared away.
                None => return Ok(None),
            },
        };
        let Some(head) = at.head.revising(&next, state.nonce()) else { return Ok(None) };
        if state.swap(at, head).await?.is_none() {
            return Ok(None);
        }
        self.note_revised(before, &next);
        if next != ours {
            self.note_adopted(before, &next);
        }
        self.known.learn(next.clone());
        Ok(Some(next))
    }

    /// Abandons a destination, or one of its places, in every open plan.
    pub(crate) async fn abandon(&self, destination: &str, bucket: Option<&str>) -> Result<Abandoned, Fault> {
        let mut abandoned = Abandoned { destination: destination.to_owned(), ..Abandoned::default() };
        let (at, _) = self.refresh().await?;
        for open in &at.head.open {
            let is_named = |place: &Place| place.name == destination && bucket.is_none_or(|it| place.bucket == it);
            if let Some(size) = self.abandon_in(open.plan, is_named, "abandoned on request").await? {
                abandoned.plans += 1;
                abandoned.size.extend(&size);
            }
        }
        Ok(abandoned)
    }

    /// Closes a plan whose document is missing. Its contents are unknown, so its fragments are planned again.
    ///
    /// # Errors
    /// When it is there, or our own bucket fails.
    pub(crate) async fn abandon_plan(&self, nonce: Nonce) -> anyhow::Result<()> {
        let state = &self.app.state;
        loop {
            let at = state.head().await?;
            let Some(open) = at.head.find(nonce) else { anyhow::bail!("plan {nonce} is not open") };
            if readable(state.plan(nonce, open.revision).await)?.is_some() {
                anyhow::bail!("plan {nonce} can be read: abandon a destination, not the plan");
            }
            let next = at.head.dropping(nonce, state.nonce());
            let Some(next) = next else { anyhow::bail!("plan {nonce} is not open") };
            if state.swap(&at, next).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Abandons a plan for the named places. Returns the size of the events that they did not get, or `None` if nothing
    /// changed.
    async fn abandon_in(
        &self,
        nonce: Nonce,
        is_named: impl Fn(&Place) -> bool,
        why: &str,
    ) -> Result<Option<Size>, Fault> {
        loop {
            let (at, _) = self.refresh().await?;
            let Some(outline) = self.known.outline(nonce) else { return Ok(None) };
            let named: Vec<usize> =
                outline.wanted.iter().filter(|(_, place)| is_named(place)).map(|(index, _)| *index).collect();
            let Some(plan) = self.known.plan(&self.app.state, nonce).await? else { return Ok(None) };
            let Some(next) = plan.abandoning(&named, why) else { return Ok(None) };
            let Some(revised) = self.revise(&at, &plan, next).await? else { continue };
            // Another exporter's revision may have left out a fragment instead.
            let is_given_up = |index: &usize| revised.destinations.get(*index).is_none_or(|d| d.abandoned.is_some());
            if named.iter().all(is_given_up) {
                return Ok(Some(self.missing(&revised, &named).await?));
            }
        }
    }

    /// The events of a plan that these destinations did not get.
    async fn missing(&self, plan: &Plan, destinations: &[usize]) -> Result<Size, Fault> {
        let done = self.app.state.done(plan.nonce).await?;
        let mut size = Size::default();
        for index in destinations {
            let Some(planned) = plan.destinations.get(*index) else { continue };
            let missing = planned.objects.iter().enumerate().filter(|(object, _)| !done.contains(&(*index, *object)));
            missing.for_each(|(_, object)| size.extend(&plan.object_size(object)));
        }
        Ok(size)
    }

    /// Abandons a plan for a place that still fails, if both the failure and the plan are too old. Returns whether it
    /// did.
    pub(crate) async fn expire(&self, nonce: Nonce, place: &Place, failing_since_ms: i64) -> Result<bool, Fault> {
        let Some(outline) = self.known.outline(nonce) else { return Ok(false) };
        let days = self.app.settings.expire_days;
        let since_ms = outline.created_ms.max(failing_since_ms);
        if since_ms.saturating_add(i64::from(days) * DAY_MS) > self.now_ms {
            return Ok(false);
        }
        let size = self.abandon_in(nonce, |other| other == place, &format!("not accepted within {days} days")).await?;
        if let Some(size) = size.filter(|size| size.events > 0) {
            self.note_expired(&place.name, &size);
        }
        Ok(true)
    }
}
