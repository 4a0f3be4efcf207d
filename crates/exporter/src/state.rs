//! The exporter's part of the state bucket: the head, the plans and the markers.

use std::collections::{BTreeMap, BTreeSet};

use aws::document::{Document, Format, Found};
use aws::{Bucket, Created, Fault};
use bytes::Bytes;
use protocol::head::Head;
use protocol::id::{Day, Nonce, SourceId};
use protocol::keys;
use protocol::mark::Mark;
use protocol::place::Place;
use protocol::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::AtATime;

const JSON: &str = "application/json";

/// Completion markers of one plan at most: objects times destinations, with room to spare.
const MARKERS_MAX: usize = 100_000;

/// How many objects of a plan (by its nonce) one of its destinations (by its place in the plan) has.
pub(crate) type DoneCounts = BTreeMap<(Nonce, usize), usize>;

/// The head as it was read, and the ETag that a swap must find.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) head: Head,
    etag: Option<String>,
}

impl From<Found<Head>> for At {
    fn from(found: Found<Head>) -> At {
        At { head: found.value, etag: Some(found.etag) }
    }
}

/// The state bucket.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) bucket: Bucket,
    pub(crate) at_a_time: AtATime,
}

impl State {
    /// A nonce for a plan or a head.
    pub(crate) fn nonce(&self) -> Nonce {
        self.bucket.dice().nonce()
    }

    fn head_document(&self) -> Document<Head> {
        let format =
            Format { read: |bytes| Ok(Head::from_json(bytes)?), write: Head::to_json, is_same_write: Head::is };
        Document::new(self.bucket.clone(), keys::HEAD, format)
    }

    /// The head; the empty one before the first plan.
    pub(crate) async fn head(&self) -> Result<At, Fault> {
        let found = self.head_document().read().await?;
        Ok(found.map_or_else(|| At { head: Head::empty(), etag: None }, At::from))
    }

    /// Replaces the head that was read by the next one; `None` if another exporter did so first.
    pub(crate) async fn swap(&self, at: &At, next: Head) -> Result<Option<At>, Fault> {
        Ok(self.head_document().swap(at.etag.as_deref(), next).await?.map(At::from))
    }

    /// A plan's document; `None` if it is not there.
    pub(crate) async fn plan(&self, nonce: Nonce, revision: u32) -> Result<Option<Plan>, Fault> {
        let key = keys::plan(nonce, revision);
        let Some(object) = self.bucket.get(&key).await? else { return Ok(None) };
        let plan = Plan::from_json(&object.body).map_err(|error| Fault::unreadable(self.bucket.target(&key), error))?;
        Ok(Some(plan))
    }

    /// Writes a plan, or a revision, that is not there yet.
    pub(crate) async fn write(&self, plan: &Plan) -> Result<Created, Fault> {
        self.bucket.create(&plan.key(), plan.to_json().into(), JSON).await
    }

    /// The objects of a plan that are in their destination's bucket, as (destination, object).
    pub(crate) async fn done(&self, plan: Nonce) -> Result<BTreeSet<(usize, usize)>, Fault> {
        let listed = self.bucket.list(&keys::done_of(plan), MARKERS_MAX).await?;
        let read = |(_, destination, object)| (destination, object);
        Ok(listed.iter().filter_map(|object| keys::read_done(&object.key).map(read)).collect())
    }

    /// How many objects of each plan are in the bucket of each of its destinations.
    pub(crate) async fn done_counts(&self) -> Result<DoneCounts, Fault> {
        let mut counts = DoneCounts::new();
        for object in self.bucket.list(keys::DONE, MARKERS_MAX).await? {
            if let Some((plan, destination, _)) = keys::read_done(&object.key) {
                *counts.entry((plan, destination)).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// True if an object is in its destination's bucket.
    pub(crate) async fn is_done(&self, plan: Nonce, destination: usize, object: usize) -> Result<bool, Fault> {
        Ok(self.bucket.get(&keys::done(plan, destination, object)).await?.is_some())
    }

    /// Writes down that it is.
    pub(crate) async fn mark(&self, plan: Nonce, destination: usize, object: usize, mark: &Mark) -> Result<(), Fault> {
        self.bucket.put(&keys::done(plan, destination, object), mark.to_json().into(), JSON).await
    }

    /// The mark of an object. An older version left only a key, which says no more than the plan does.
    pub(crate) async fn mark_of(&self, plan: Nonce, destination: usize, object: usize) -> Result<Option<Mark>, Fault> {
        let found = self.bucket.get(&keys::done(plan, destination, object)).await?;
        Ok(found.and_then(|object| Mark::from_json(&object.body).ok()))
    }

    /// Notes that the manifests of a destination for a source and a day are not complete yet.
    pub(crate) async fn note_open_day(&self, destination: &str, source: &SourceId, day: Day) -> Result<(), Fault> {
        self.bucket.put(&keys::open_day(destination, source, day), Bytes::new(), "text/plain").await
    }

    /// Removes the leftovers of a closed plan, except the document that remembers it. Nothing depends on this. A later
    /// tick deletes the rest.
    pub(crate) async fn forget(&self, plan: &Plan) -> Result<(), Fault> {
        let mut keys: Vec<String> =
            self.bucket.list(&keys::done_of(plan.nonce), MARKERS_MAX).await?.into_iter().map(|o| o.key).collect();
        keys.extend((0..plan.revision).map(|revision| keys::plan(plan.nonce, revision)));
        self.bucket.delete(&keys).await
    }

    /// Documents of plans that this head does not know, and markers of those that are not open. At most a page of each.
    pub(crate) async fn litter(&self, head: &Head) -> Result<Vec<String>, Fault> {
        let mut keys = self.unneeded(keys::PLANS, |plan| head.knows(plan)).await?;
        keys.extend(self.unneeded(keys::DONE, |plan| head.find(plan).is_some()).await?);
        Ok(keys)
    }

    async fn unneeded(&self, prefix: &str, is_needed: impl Fn(Nonce) -> bool) -> Result<Vec<String>, Fault> {
        // Of many that are needed the first page may be full: so another page, from anywhere.
        let (mut page, more) = self.bucket.list_page(prefix, None).await?;
        if more.is_some() {
            let anywhere = format!("{prefix}{}", self.nonce());
            page.extend(self.bucket.list_page(prefix, Some(&anywhere)).await?.0);
        }
        let is_litter = |key: &String| keys::plan_of(key).is_some_and(|plan| !is_needed(plan));
        Ok(page.into_iter().map(|object| object.key).filter(is_litter).collect())
    }

    /// The places that did not take their objects when they were last tried, as [`keys::failing`] names them.
    pub(crate) async fn failing(&self) -> Result<BTreeSet<String>, Fault> {
        let listed = self.bucket.list(keys::FAILING, MARKERS_MAX).await?;
        Ok(listed.into_iter().map(|object| object.key).collect())
    }

    /// Writes down that a place did not take its objects; says since when that is so.
    pub(crate) async fn mark_failing(&self, place: &Place, fault: &Fault, now_ms: i64) -> Result<i64, Fault> {
        let key = keys::failing(place);
        let before = self.bucket.get(&key).await?;
        let before = before.and_then(|object| serde_json::from_slice::<Failing>(&object.body).ok());
        // A long gap between tries is not a failure: the destination was on hold, or the exporter was off.
        let goes_on = |failing: &Failing| now_ms.saturating_sub(failing.at_ms) <= FAILING_GAP_MS;
        let since_ms = before.filter(goes_on).map_or(now_ms, |failing| failing.since_ms.min(now_ms));
        let failing = Failing { since_ms, at_ms: now_ms, fault: fault.to_string() };
        let body = serde_json::to_vec(&failing).expect("texts and numbers are JSON");
        self.bucket.put(&key, body.into(), JSON).await?;
        Ok(since_ms)
    }

    /// Writes down that it does again.
    pub(crate) async fn clear_failing(&self, place: &Place) -> Result<(), Fault> {
        self.bucket.delete(&[keys::failing(place)]).await
    }

    /// The key at which listing resumes, if the last tick could not list all staged fragments.
    pub(crate) async fn cursor(&self) -> Result<Option<String>, Fault> {
        let object = self.bucket.get(keys::CURSOR).await?;
        Ok(object.and_then(|object| String::from_utf8(object.body.into()).ok()))
    }

    /// Changes it. It is a hint: when two exporters write it, either is as good.
    pub(crate) async fn set_cursor(&self, cursor: Option<&str>) -> Result<(), Fault> {
        match cursor {
            Some(key) => self.bucket.put(keys::CURSOR, Bytes::from(key.to_owned()), "text/plain").await,
            None => self.bucket.delete(&[keys::CURSOR.to_owned()]).await,
        }
    }
}

/// The document about a failing place.
#[derive(Serialize, Deserialize)]
struct Failing {
    /// The time of the first failure since its last success.
    since_ms: i64,
    /// When it failed for the last time.
    at_ms: i64,
    /// How.
    fault: String,
}

/// The longest time between two failures of one outage. There is a try every few minutes.
const FAILING_GAP_MS: i64 = 6 * 60 * 60 * 1_000;
