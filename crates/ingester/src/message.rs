//! One message for one object: performs the actions of [`Life`] and reports their results.

use crate::app::App;
use crate::causes;
use crate::fragments::Fragments;
use crate::owner::{Claimed, Owner, document};
use crate::report::{FileReport, missing_in_words};
use crate::rows;
use crate::source::{Source, collect};
use crate::targets::{Assigned, InForce, Target};
use crate::trouble::{of_checkpoint, of_source};
use aws::bucket::{Bucket, OpenObject, Pin};
use aws::validation::Cause;
use bytes::Bytes;
use calls::kind::Api;
use calls::reading::Reading;
use calls::subject::Subject;
use calls::translator::Limits;
use delivery::Looked;
use ingestion::deadline::Deadline;
use ingestion::life::{Action, Event, Found, Life, Rules, RunEnd};
use ingestion::notification::Notice;
use ingestion::run::{Begin, End, RANGE_BYTES, Run, Start, Undelivered};
use ingestion::trouble::{Remedy, Trouble};
use protocol::claim::Afresh;
use protocol::upload::{Identity, Version};
use std::cell::RefCell;
use std::time::Duration;

/// Object metadata that overrides the collection in the name.
const COLLECTION_METADATA: &str = "segment-collection";
/// Object metadata that sends a file again with new ids.
const REPLAY_METADATA: &str = "segment-replay";

/// A message in progress, with the results of its actions.
struct Work<'a> {
    app: &'a App,
    in_force: &'a InForce,
    reading: &'a Reading,
    notice: &'a Notice,
    bucket: Bucket,
    deadline: Deadline,
    /// The first GET, not read yet.
    opened: Option<OpenObject>,
    owner: Option<Owner>,
    report: FileReport,
}

impl App {
    /// Handles one message for one object. Returns the report, and false if the message must be delivered again.
    pub(crate) async fn handle_file(
        &self,
        notice: Notice,
        receives: u32,
        in_force: &InForce,
        assigned: &Assigned<'_>,
        deadline: Deadline,
    ) -> (FileReport, bool) {
        let began_ms = self.clock.now_ms();
        let rules = Rules {
            source_id: assigned.target.id.clone(),
            state_bucket: self.settings.state_bucket.clone(),
            reading: assigned.reading.clone(),
            nearest_pattern: in_force.config.nearest_pattern(&notice.key).map(str::to_owned),
            has_queue: self.queue.is_some(),
        };
        let mut work = Work {
            app: self,
            in_force,
            reading: assigned.reading,
            notice: &notice,
            bucket: self.source_bucket(&notice.bucket),
            deadline,
            opened: None,
            owner: None,
            report: FileReport::of(&notice.bucket, &notice.key),
        };
        let (mut life, mut action) = Life::receive(rules, notice.clone(), receives, &deadline, began_ms);
        let close = loop {
            if let Action::Close(close) = action {
                break close;
            }
            let event = work.perform(action).await;
            action = life.on(event, self.clock.now_ms());
        };
        let mut report = work.report;
        report.describe(&life, &self.settings.state_bucket);
        let source = life.checkpoint().map_or(&assigned.target.id, |checkpoint| &checkpoint.object.source_id).clone();
        report.assigned(in_force, assigned, &source);
        report.is_of_backfill = notice.backfill.is_some();
        report.elapsed_ms = self.clock.now_ms() - began_ms;
        let is_done = close.is_done();
        report.close(close);
        let event_ms = notice.event_ms.filter(|_| report.has_ended());
        report.seconds_to_done = event_ms.map(|event_ms| (self.clock.now_ms() - event_ms).max(0) / 1_000);
        self.concluded(&report, Some(&source), deadline).await;
        (report, is_done)
    }
}

impl Work<'_> {
    /// Performs an action within its time.
    async fn perform(&mut self, action: Action) -> Event {
        let until_ms = action.until_ms(&self.deadline);
        let app = self.app;
        // Boxed: the future of a whole file is deep and large.
        let performing = Box::pin(self.try_to_perform(action));
        let performed = match until_ms {
            None => performing.await,
            Some(until_ms) => app.within(until_ms, performing).await,
        };
        performed.unwrap_or_else(Event::Failed)
    }

    async fn try_to_perform(&mut self, action: Action) -> Result<Event, Trouble> {
        match action {
            Action::LookUp(stream) => {
                let found = document(&self.app.state, stream).read().await.map_err(|fault| of_checkpoint(&fault))?;
                Ok(Event::LookedUp(found.map(|found| Box::new(found.value))))
            }
            Action::Open(version) => self.open(version).await,
            Action::Claim { object, afresh } => self.claim(&object, afresh).await,
            Action::Run(subject) => self.run(subject).await,
            Action::End { phase, ending } => {
                let owner = self.owner()?;
                owner.end(phase, *ending).await?;
                Ok(Event::Ended(Box::new(owner.checkpoint().clone())))
            }
            Action::KeepAccount(ended) => {
                let kept = self.app.keep_account(&ended, self.notice.backfill.is_some()).await?;
                self.report.rejects_missing = kept.rejects_missing.iter().map(missing_in_words).collect();
                Ok(Event::AccountKept { was_there: kept.was_there })
            }
            Action::Release { trouble_since_ms, given_up, not_before_ms } => {
                let released = self.owner()?.release(trouble_since_ms, given_up, not_before_ms).await;
                if let Err(trouble) = &released {
                    tracing::warn!(%trouble, "the lease was not released");
                }
                released.map(|()| Event::Released)
            }
            Action::Send { notice, wait_ms } => self.app.send(&notice, wait_ms).await.map(|()| Event::Sent),
            Action::Close(_) => Err(Trouble::lost()),
        }
    }

    fn owner(&mut self) -> Result<&mut Owner, Trouble> {
        self.owner.as_mut().ok_or_else(Trouble::lost)
    }

    /// The first GET: it decides which upload this is.
    async fn open(&mut self, version: Version) -> Result<Event, Trouble> {
        let opened = self.bucket.open(&self.notice.key, &version, RANGE_BYTES).await;
        let opened = opened.map_err(|fault| of_source(&fault))?;
        let Pin { version_id, etag, modified_ms, bytes } = opened.pin.clone();
        let metadata = |name: &str| opened.metadata.get(name).cloned();
        let (replay, collection) = (metadata(REPLAY_METADATA), metadata(COLLECTION_METADATA));
        self.opened = Some(opened);
        Ok(Event::Opened(Found { version_id, etag, modified_ms, bytes, replay, collection }))
    }

    async fn claim(&mut self, object: &Identity, afresh: Afresh) -> Result<Event, Trouble> {
        let (state, lease_ms) = (&self.app.state, self.app.settings.lease_ms);
        Ok(match Owner::claim(state, object, lease_ms, afresh, &self.app.clock).await? {
            Claimed::Owner(owner) => {
                let checkpoint = Box::new(owner.checkpoint().clone());
                self.owner = Some(*owner);
                Event::Claimed(checkpoint)
            }
            Claimed::Ended(checkpoint) => Event::AlreadyEnded(checkpoint),
            Claimed::Busy { until_ms, progress_ms } => Event::Busy { until_ms, progress_ms },
        })
    }

    /// Sends rows until the file or the time ends.
    async fn run(&mut self, subject: Subject) -> Result<Event, Trouble> {
        let opened = self.opened.take().ok_or_else(Trouble::lost)?;
        let pin = opened.pin.clone();
        let start = Start::of(self.owner()?.checkpoint());
        let first = if start.byte == 0 { self.first_range(opened).await? } else { Vec::new() };
        let owner = self.owner.as_mut().ok_or_else(Trouble::lost)?;
        let before = owner.checkpoint().account.clone();
        let mut end = RunEnd::at(owner.checkpoint());
        let object = owner.checkpoint().object.clone();
        let target = self.in_force.target(&object.source_id).ok_or_else(|| not_described(&object))?;
        let run = match unknown_key(self.app, target, self.deadline).await {
            Some(unknown) => Err(End::Undelivered(unknown)),
            None => Run::begin(begin(self.app, target, owner, &subject, self.reading, pin.bytes, first, self.deadline)),
        };
        match run {
            Err(refused) => {
                self.report.has_unknown_key = matches!(refused, End::Undelivered(Undelivered::UnknownKey { .. }));
                end.end = refused;
            }
            Ok(mut run) => {
                let stats = RefCell::default();
                let way = rows::Way {
                    sender: self.app.sender(target),
                    objects: subject.kind.api() == Api::Objects,
                    fragments: Fragments::new(
                        &self.app.state,
                        target,
                        &self.app.settings,
                        owner.checkpoint(),
                        run.keeps(),
                    ),
                    source: Source::new(self.bucket.clone(), &self.notice.key, pin),
                    deadline: self.deadline,
                    clock: &self.app.clock,
                    stats: &stats,
                };
                end.end = Box::pin(rows::drive(&mut run, owner, &way)).await;
                owner.spent(run.halving_requests());
                self.report.describe_rows(run.rows(), owner.checkpoint());
                self.report.stats = stats.take();
                end.describe(run.rows(), owner.checkpoint(), self.report.stats.is_untroubled());
            }
        }
        *end.checkpoint = owner.checkpoint().clone();
        self.report.settled = end.checkpoint.account.since(&before);
        Ok(Event::RunEnded(Box::new(end)))
    }

    /// The bytes of the first GET. A body that breaks off is continued from its end. A slow body ends at the timeout.
    async fn first_range(&self, opened: OpenObject) -> Result<Vec<Bytes>, Trouble> {
        let left_ms = self.deadline.drain_at_ms - self.app.clock.now_ms();
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        let collected = tokio::time::timeout(left, collect(opened, &self.bucket, &self.notice.key)).await;
        collected.map(|(chunks, _)| chunks).map_err(|_| Trouble::out_of_time())
    }
}

/// Why nothing may be sent to a source: Segment does not know its write key, or not in this region. A lookup without a clear answer changes
/// nothing.
async fn unknown_key(app: &App, target: &Target, deadline: Deadline) -> Option<Undelivered> {
    let looked = app.sender(target).verify_key(deadline).await;
    let host = target.delivery.settings_host();
    let (answers, mut causes) = match looked {
        Looked::Unknown { status } => (status.to_string(), causes::of_unknown_key(host)),
        Looked::Known { sends_to: Some(api) } => {
            let right = target.delivery.settings().other_region(&api)?;
            (format!("that its calls belong to {api}"), causes::of_region(right))
        }
        Looked::Known { sends_to: None } | Looked::Unclear { .. } => return None,
    };
    let Cause { cause, fix } = causes.swap_remove(0);
    Some(Undelivered::UnknownKey { words: format!("{host} answers {answers}: {cause}: {fix}") })
}

/// The source of a begun file is no longer described.
fn not_described(object: &Identity) -> Trouble {
    let what = format!(
        "the file was begun for the source {}, which CONFIG and the settings no longer describe: describe it until the \
         file has ended",
        object.source_id
    );
    Trouble::new(Remedy::Person, what)
}

/// The start of a run.
#[expect(clippy::too_many_arguments, reason = "all that a run needs, gathered here")]
fn begin<'a>(
    app: &'a App,
    target: &'a Target,
    owner: &'a Owner,
    subject: &'a Subject,
    reading: &'a Reading,
    object_bytes: u64,
    first: Vec<Bytes>,
    deadline: Deadline,
) -> Begin<'a> {
    let settings = &app.settings;
    Begin {
        checkpoint: owner.checkpoint(),
        renew_at_ms: owner.renew_at_ms(),
        subject,
        reading,
        profile: settings.profile,
        threshold: settings.threshold,
        keeps: settings.keep_for_export && subject.kind.api() == Api::Tracking,
        requests_in_flight: target.delivery.settings().requests_in_flight,
        batch_calls_max: settings.batch_calls_max,
        commit_every_ms: settings.commit_every_ms,
        limits: Limits::default(),
        object_bytes,
        first,
        memory_mb: aws::memory_mb(),
        deadline,
        now_ms: app.clock.now_ms(),
    }
}
