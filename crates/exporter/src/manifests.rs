//! Manifests of plans, and marks of days that are complete, in the buckets of destinations that want them.
//!
//! A manifest is put before its plan is closed. A day of a source is complete for a destination once it has passed and no
//! fragment of it is staged: fragments are deleted after the manifests of their plan are put.

use std::collections::BTreeMap;

use aws::answer::etag_of;
use aws::causes::in_words;
use aws::{Fault, Kind, Operation};
use bytes::Bytes;
use export::manifest::manifests;
use export::object::{COMPLETE, manifest_key};
use export::routes::Destination;
use protocol::id::{Day, SourceId};
use protocol::keys;
use protocol::plan::{Plan, PlannedDestination};

use crate::carry::role_of;
use crate::causes;
use crate::put::put_request;
use crate::tick::Tick;

const DAY_MS: i64 = 86_400_000;

/// A day is complete so long after its end. A request of its last second may be answered and staged minutes later: S3
/// refuses a request that was signed more than 15 minutes ago (S3 user guide, "Authenticating requests").
const LATE_MS: i64 = 60 * 60 * 1_000;

/// Days that one tick looks at.
const DAYS_MAX: usize = 1_000;

impl Tick<'_> {
    /// Puts the manifests of a plan whose objects are all there. False if a later tick must try again. A destination that
    /// refuses them for good raises an alarm, and its plan closes without them.
    pub(crate) async fn put_manifests(&self, plan: &Plan) -> Result<bool, Fault> {
        let mut is_done = true;
        for (index, planned) in plan.destinations.iter().enumerate() {
            let Some(destination) = self.wants_manifests(planned) else { continue };
            let mut marks = BTreeMap::new();
            for object in 0..planned.objects.len() {
                if let Some(mark) = self.app.state.mark_of(plan.nonce, index, object).await? {
                    marks.insert(object, mark);
                }
            }
            for (key, day, manifest) in manifests(plan, index, &marks) {
                self.app.state.note_open_day(&destination.name, &manifest.source, day).await?;
                let body = serde_json::to_vec_pretty(&manifest).expect("texts, numbers and lists of them are JSON");
                is_done &= self.put_beside(destination, &key, body.into()).await;
            }
        }
        Ok(is_done)
    }

    /// The destination, if it is still at its place and wants manifests.
    fn wants_manifests(&self, planned: &PlannedDestination) -> Option<&Destination> {
        let destination = self.routes.named(&planned.name)?;
        let is_there = planned.abandoned.is_none() && destination.place() == planned.place();
        (is_there && destination.manifest && destination.enabled).then_some(destination)
    }

    /// Puts the mark of each day of which no event can come any more.
    pub(crate) async fn complete_days(&self) -> Result<(), Fault> {
        let state = &self.app.state;
        for note in state.bucket.list(keys::DAYS, DAYS_MAX).await? {
            let Some((name, source, day)) = keys::read_open_day(&note.key) else { continue };
            if self.now_ms < day.ms() + DAY_MS + LATE_MS {
                continue;
            }
            let Some(destination) = self.routes.named(name).filter(|destination| destination.manifest) else {
                state.bucket.delete(&[note.key]).await?;
                continue;
            };
            if destination.enabled && self.is_over(&source, day).await? {
                let key = manifest_key(&destination.prefix, &source, day, COMPLETE);
                if self.put_beside(destination, &key, Bytes::new()).await {
                    state.bucket.delete(&[note.key]).await?;
                }
            }
        }
        Ok(())
    }

    /// True if no event of the source and the day is staged.
    async fn is_over(&self, source: &SourceId, day: Day) -> Result<bool, Fault> {
        Ok(self.app.state.bucket.list_page(&keys::received_of(source, day), None).await?.0.is_empty())
    }

    /// Puts an object beside the log objects. One that is there is our own, of an earlier try. False after an outage.
    async fn put_beside(&self, destination: &Destination, key: &str, body: Bytes) -> bool {
        let at = format!("s3://{}/{key}", destination.bucket);
        let put = async {
            let client = self.app.roles.s3(&role_of(destination)).await?;
            let owner = destination.expected_bucket_owner.as_deref();
            aws::bucket::retried(&self.app.dice, async || {
                let put = put_request(&client, destination, owner, &destination.bucket, key)
                    .content_type("application/json")
                    .if_none_match("*")
                    .body(body.clone().into());
                let answer = put.send().await.map_err(|error| Fault::of(Operation::Put, &at, &error))?;
                etag_of(answer.e_tag(), Operation::Put, &at).map(|_| ())
            })
            .await
        };
        let fault = match put.await {
            Ok(()) => return true,
            Err(fault) if fault.kind == Kind::Precondition => return true,
            Err(fault) => fault,
        };
        let why = in_words(&fault, &causes::of_destination(&fault, destination));
        let name = &destination.name;
        if fault.is_transient() {
            self.report()
                .alarm(format!("destination `{name}` did not take a manifest: {why}; a later tick tries again"));
            return false;
        }
        self.report().alarm(format!("destination `{name}` refuses a manifest, which is left out: {why}; validate it"));
        true
    }
}
