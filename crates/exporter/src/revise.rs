//! Revising an open plan: leaving a fragment out, giving a destination up.
//!
//! A revision is a document of its own under the plan's nonce, so object names stay, and it counts
//! from the moment when the head names it. It follows from the revision before it alone; when two
//! exporters write the same one, the first document is the one that both go on with.

use aws::{Created, Fault};
use protocol::id::Nonce;
use protocol::place::Place;
use protocol::plan::{Plan, Quarantined, Size};
use serde::Serialize;

use crate::known::readable;
use crate::state::At;
use crate::tick::Tick;

const DAY_MS: i64 = 86_400_000;

/// What was given up for a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// Its name.
    pub destination: String,
    /// Plans in which nothing more is put there. They close with a next tick.
    pub plans: u64,
    /// What it never got.
    #[serde(flatten)]
    pub size: Size,
}

impl Tick<'_> {
    /// Leaves fragments out of a plan. (None, if those that were unfit a moment ago are fit now: then nothing changes.)
    pub(crate) async fn quarantine(&self, at: &At, plan: &Plan, unfit: Vec<Quarantined>) -> Result<(), Fault> {
        if unfit.is_empty() {
            return Ok(());
        }
        self.revise(at, plan, plan.quarantining(unfit)).await.map(|_| ())
    }

    /// Tells what a revision leaves out.
    fn note_revised(&self, before: &Plan, revised: &Plan) {
        let name =
            |fragment: usize| before.fragments.get(fragment).map(|staged| staged.name.to_string()).unwrap_or_default();
        for Quarantined { fragment, why } in revised.quarantined.iter().skip(before.quarantined.len()) {
            let mut report = self.report();
            report.alarm(format!("fragment {} is quarantined: {why}", name(*fragment)));
            report.quarantine(name(*fragment));
        }
    }

    /// Tells what is given up by the revision of another exporter, which was killed before it could.
    fn note_adopted(&self, before: &Plan, revised: &Plan) {
        for (now, before) in revised.destinations.iter().zip(&before.destinations) {
            if let (Some(why), None) = (&now.abandoned, &before.abandoned) {
                let words = format!("plan {} is given up for destination `{}`: {why}", revised.nonce, now.name);
                self.report().alarm(words);
            }
        }
    }

    /// Makes a revision count: this one, or the one that another exporter wrote in its place. `None` if the head
    /// changed; then the caller looks again.
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

    /// Gives up what is planned for a destination, or for one of its places, in every open plan.
    pub(crate) async fn abandon(&self, destination: &str, bucket: Option<&str>) -> Result<Abandoned, Fault> {
        let mut abandoned = Abandoned { destination: destination.to_owned(), ..Abandoned::default() };
        let (at, _) = self.refresh().await?;
        for open in &at.head.open {
            let is_named = |place: &Place| place.name == destination && bucket.is_none_or(|it| place.bucket == it);
            if let Some(size) = self.abandon_in(open.plan, is_named, "abandoned as told").await? {
                abandoned.plans += 1;
                abandoned.size.extend(&size);
            }
        }
        Ok(abandoned)
    }

    /// Closes a plan whose document is missing. Nobody knows what it held: that is planned anew.
    ///
    /// # Errors
    /// When it is there, or our own bucket fails.
    pub(crate) async fn abandon_plan(&self, nonce: Nonce) -> anyhow::Result<()> {
        let state = &self.app.state;
        loop {
            let at = state.head().await?;
            let Some(open) = at.head.find(nonce) else { anyhow::bail!("plan {nonce} is not open") };
            if readable(state.plan(nonce, open.revision).await)?.is_some() {
                anyhow::bail!("the document of plan {nonce} is there: abandon a destination, not the plan");
            }
            let next = at.head.dropping(nonce, state.nonce());
            let Some(next) = next else { anyhow::bail!("plan {nonce} is not open") };
            if state.swap(&at, next).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Gives a plan up for the places of its that are named; says what they never got, or `None` if there was nothing
    /// to give up.
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

    /// What these destinations never got of a plan.
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

    /// Gives a plan up for a place that has failed for too long, and has failed again just now, if the plan has waited
    /// for as long; true if so.
    pub(crate) async fn expire(&self, nonce: Nonce, place: &Place, failing_since_ms: i64) -> Result<bool, Fault> {
        let Some(outline) = self.known.outline(nonce) else { return Ok(false) };
        let days = self.app.settings.expire_days;
        let since_ms = outline.created_ms.max(failing_since_ms);
        if since_ms.saturating_add(i64::from(days) * DAY_MS) > self.now_ms {
            return Ok(false);
        }
        let size = self.abandon_in(nonce, |other| other == place, &format!("not taken in {days} days")).await?;
        if let Some(size) = size.filter(|size| size.events > 0) {
            self.note_expired(&place.name, &size);
        }
        Ok(true)
    }
}
