//! One object, from the first GET to the end of this run.

use crate::app::App;
use crate::owner::{Claimed, Owner, OwnerFault, read};
use crate::pipeline::{End, Pipeline};
use crate::report::{FileReport, Outcome};
use crate::source::{RANGE_BYTES, Source, collect, explain, refused_at_the_start, refused_to_go_on};
use crate::staging::Staging;
use aws::bucket::{Bucket, Pin, Reading as Body, Version};
use aws::fault::{Fault, Kind};
use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::dialect::{Compression, StoredHeader};
use calls::ingestion::Ingestion;
use calls::notification::{Hop, Notice, replay_tag};
use calls::refusal::{FileFault, Position};
use calls::subject::{Kind as CallKind, Subject};
use calls::translator::Translator;
use delivery::{Deadline, FileState, Undelivered};
use protocol::checkpoint::{Checkpoint, Phase, Terms};
use protocol::id::StreamId;
use protocol::keys;
use protocol::upload::Identity;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Without progress for so long, whatever the excuse, a file fails.
pub(crate) const NO_PROGRESS_MAX_MS: i64 = 12 * 60 * 60 * 1_000;
/// A message that we send to ourselves comes within this (SQS developer guide: a message is delayed by 15 minutes at most).
const OWN_DELAY_MAX_MS: i64 = 15 * 60 * 1_000;
/// What is said of it then.
pub(crate) const NO_PROGRESS: &str = " (no progress for 12 hours)";
/// Wait after a fault of S3 before the next invocation.
pub(crate) const STORAGE_WAIT_MS: u64 = 30_000;
/// The shortest wait for another invocation that is at work.
const BUSY_WAIT_MIN_MS: u64 = 1_000;
/// Object metadata that overrides the collection in the name.
const COLLECTION_METADATA: &str = "segment-collection";
/// Object metadata that sends a file again with new ids.
const REPLAY_METADATA: &str = "segment-replay";

/// What is to happen with an object after this run.
pub(crate) enum Fate {
    /// Nothing more.
    Done,
    /// It goes on in another invocation, after a wait.
    Again { wait_ms: u64, hop: Hop },
    /// It fails: a person has to look, and then send it again.
    Fail,
}

/// An object's report and its fate.
pub(crate) type Ended = (FileReport, Fate);

/// What the first GET found.
struct Opened {
    pin: Pin,
    metadata: HashMap<String, String>,
    /// Its first range, not read yet: whoever goes on in the middle has no use for it.
    first: Body,
}

/// What a run goes by.
pub(crate) struct Run<'a> {
    pub(crate) notice: &'a Notice,
    pub(crate) subject: Subject,
    pub(crate) bucket: Bucket,
    pub(crate) deadline: Deadline,
    /// Whether most of the invocation is still to come.
    pub(crate) fresh: bool,
}

impl App {
    /// Ingests one object, or as much of it as there is time for.
    pub(crate) async fn ingest(&self, notice: &Notice, receives: u32, deadline: Deadline) -> Ended {
        let began_ms = self.clock.now_ms();
        let (mut report, fate) = self.ingest_object(notice, receives, deadline).await;
        report.elapsed_ms = self.clock.now_ms() - began_ms;
        (report, fate)
    }

    /// The same message as if it were new, when it was never received before and yet speaks of an outage that is over
    /// for long: a person sent it again.
    fn unless_redriven(&self, notice: &Notice, receives: u32) -> Notice {
        let since_ms = notice.hop.as_ref().and_then(|hop| hop.trouble_since_ms);
        let is_old =
            since_ms.is_some_and(|since_ms| self.clock.now_ms() - since_ms > NO_PROGRESS_MAX_MS + OWN_DELAY_MAX_MS);
        if receives <= 1 && is_old { notice.afresh() } else { notice.clone() }
    }

    async fn ingest_object(&self, notice: &Notice, receives: u32, deadline: Deadline) -> Ended {
        let notice = &self.unless_redriven(notice, receives);
        let refused =
            |reason: String| (FileReport::new(&notice.bucket, &notice.key, Outcome::Refused, Some(reason)), Fate::Done);
        if notice.bucket == self.settings.state_bucket {
            let reason = "it is in STATE_BUCKET, which is never a source: rejects would feed on themselves";
            return refused(reason.to_owned());
        }
        // The name alone tells most mistakes, without a request.
        if let Err(fault) = Subject::of(&notice.key, &self.settings.reading.collections, Some("any")) {
            return refused(fault.to_string());
        }
        let fresh = deadline.is_fresh(self.clock.now_ms());
        let bucket = Bucket::new(self.s3.clone(), &notice.bucket);
        let version = match self.in_time(deadline.cut_at_ms, self.version(notice)).await {
            Ok(version) => version,
            Err(fault) => return self.in_trouble(notice, None, &fault),
        };
        let opening = async { Ok(open(&bucket, &notice.key, &version).await) };
        let opened = match self.in_time(deadline.cut_at_ms, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(fault)) => return self.unopened(notice, &fault, deadline).await,
            Err(fault) => return self.in_trouble(notice, None, &fault),
        };
        let replay = match opened.metadata.get(REPLAY_METADATA).map(|tag| replay_tag(tag)) {
            Some(Err(fault)) => return refused(format!("its metadata {REPLAY_METADATA}: {fault}")),
            Some(Ok(tag)) => notice.replay.clone().or(Some(tag)),
            None => notice.replay.clone(),
        };
        let identity = match self.in_time(deadline.cut_at_ms, self.identity(notice, &opened.pin, replay)).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return self.replaced(notice, deadline).await,
            Err(fault) => return self.in_trouble(notice, None, &fault),
        };
        let collection = opened.metadata.get(COLLECTION_METADATA).map(String::as_str);
        let subject = match Subject::of(&notice.key, &self.settings.reading.collections, collection) {
            Ok(subject) => subject,
            // What was begun goes on as it was begun, whatever COLLECTIONS says by now.
            Err(unnamed) => match self.in_time(deadline.cut_at_ms, self.begun(identity.stream())).await {
                Ok(begun) => match begun.and_then(|begun| subject_of(&notice.key, begun.terms.as_ref())) {
                    Some(subject) => subject,
                    None => return refused(unnamed.to_string()),
                },
                Err(fault) => return self.in_trouble(notice, None, &fault),
            },
        };
        let (owner, afresh) = match self.own(notice, receives, &subject, &identity, deadline).await {
            Ok(owned) => owned,
            Err(ended) => return *ended,
        };
        let notice = &if afresh { notice.afresh() } else { notice.clone() };
        let subject = subject_of(&notice.key, owner.checkpoint().terms.as_ref()).unwrap_or(subject);
        let run = Run { notice, subject, bucket, deadline, fresh };
        Box::pin(self.run_and_conclude(owner, run, opened)).await
    }

    /// Which version to ask for: the one that was begun, else the one that the event speaks of.
    async fn version(&self, notice: &Notice) -> Result<Version, OwnerFault> {
        let begun = match notice.hop.as_ref().and_then(|hop| hop.stream) {
            Some(stream) => self.begun(stream).await?,
            None => None,
        };
        Ok(match (begun.and_then(|begun| begun.object.version_id), &notice.version_id) {
            (Some(begun), _) => Version::Begun(begun),
            (None, Some(hint)) => Version::Hinted(hint.clone()),
            (None, None) => Version::Latest,
        })
    }

    /// Which upload this is; `None` when another one was begun. The source under which it was begun stays part of its
    /// name, even if SOURCE_ID was changed since.
    async fn identity(
        &self,
        notice: &Notice,
        pin: &Pin,
        replay: Option<String>,
    ) -> Result<Option<Identity>, OwnerFault> {
        let identity = Identity {
            source_id: self.settings.source.clone(),
            bucket: notice.bucket.clone(),
            key: notice.key.clone(),
            version_id: pin.version_id.clone(),
            etag: pin.etag.clone(),
            modified_ms: pin.modified_ms,
            bytes: pin.bytes,
            replay,
        };
        let Some(stream) = notice.hop.as_ref().and_then(|hop| hop.stream) else { return Ok(Some(identity)) };
        if stream == identity.stream() {
            return Ok(Some(identity));
        }
        let begun = self.begun(stream).await?;
        let identity = begun.map(|begun| Identity { source_id: begun.object.source_id, ..identity });
        Ok(identity.filter(|identity| identity.stream() == stream))
    }

    /// The checkpoint of what was begun, if it was.
    async fn begun(&self, stream: StreamId) -> Result<Option<Checkpoint>, OwnerFault> {
        let found = read(&self.state, &keys::checkpoint(stream)).await?;
        Ok(found.map(|(_, checkpoint)| checkpoint))
    }

    /// What hangs is given up at `until_ms`, so that there is somebody left to hand the file on.
    pub(crate) async fn in_time<T>(
        &self,
        until_ms: i64,
        operation: impl Future<Output = Result<T, OwnerFault>>,
    ) -> Result<T, OwnerFault> {
        let left_ms = u64::try_from(until_ms - self.clock.now_ms()).unwrap_or(0);
        let ended = tokio::time::timeout(Duration::from_millis(left_ms), operation).await;
        ended.unwrap_or(Err(OwnerFault::OutOfTime))
    }

    /// The object could not be opened.
    async fn unopened(&self, notice: &Notice, fault: &Fault, deadline: Deadline) -> Ended {
        let report = |outcome, reason: String| FileReport::new(&notice.bucket, &notice.key, outcome, Some(reason));
        match fault.kind {
            Kind::Missing if notice.hop.as_ref().is_some_and(|hop| hop.stream.is_some()) => {
                self.replaced(notice, deadline).await
            }
            Kind::Missing => (report(Outcome::Replaced, "it is not there (any more)".to_owned()), Fate::Done),
            Kind::Transient | Kind::Conflict => self.in_trouble(notice, None, &OwnerFault::State(fault.clone())),
            _ => (report(Outcome::Failed, explain(fault)), Fate::Fail),
        }
    }

    /// What was begun is gone: its ledger says so, and the new object has its own event.
    async fn replaced(&self, notice: &Notice, deadline: Deadline) -> Ended {
        let begun = notice.hop.as_ref().and_then(|hop| hop.stream);
        let reason = "it was replaced or deleted before it was finished; what came in its place has its own event";
        let mut report = FileReport::new(&notice.bucket, &notice.key, Outcome::Replaced, Some(reason.to_owned()));
        report.stream = begun;
        match self.end_replaced(&mut report, notice, begun, reason, deadline).await {
            Ok(()) => (report, Fate::Done),
            Err(fault) => self.in_trouble(notice, Some(report), &fault),
        }
    }

    async fn end_replaced(
        &self,
        report: &mut FileReport,
        notice: &Notice,
        begun: Option<StreamId>,
        reason: &str,
        deadline: Deadline,
    ) -> Result<(), OwnerFault> {
        let Some(begun) = begun else { return Ok(()) };
        let begun = self.in_time(deadline.cut_at_ms, self.begun(begun)).await?;
        let Some(checkpoint) = begun else { return Ok(()) };
        report.count(&checkpoint.account);
        report.kind = Subject::of(&notice.key, &[], Some("any")).ok().map(|subject| subject.kind.as_str());
        match self.in_time(deadline.cut_at_ms, self.claim(&checkpoint.object)).await? {
            Claimed::Owner(mut owner) => self.end(&mut owner, report, Phase::Replaced, Some(reason), deadline).await,
            Claimed::Ended(checkpoint) => self.settle(&checkpoint, report, deadline).await,
            // Whoever is at work finds it gone, or was killed, or nobody is: this message sees to it.
            Claimed::Busy { .. } => Err(OwnerFault::Lost),
        }
    }

    async fn claim(&self, identity: &Identity) -> Result<Claimed, OwnerFault> {
        Owner::claim(&self.state, identity, self.settings.lease_ms, &self.clock).await
    }

    /// Becomes the owner, or tells why there is nothing to do now. True beside the owner when the file had been given up
    /// and a person sent it again.
    async fn own(
        &self,
        notice: &Notice,
        receives: u32,
        subject: &Subject,
        identity: &Identity,
        deadline: Deadline,
    ) -> Result<(Owner, bool), Box<Ended>> {
        let stream = identity.stream();
        let mut report = describe(notice, subject, stream);
        let hop = self.hop(notice, Some(stream));
        let mut owner = match self.in_time(deadline.cut_at_ms, self.claim(identity)).await {
            Ok(Claimed::Owner(owner)) => *owner,
            Ok(Claimed::Ended(checkpoint)) => {
                report.count(&checkpoint.account);
                report.outcome = Outcome::AlreadyDone;
                // Whoever ended it may have been cut off right after.
                return Err(Box::new(match self.settle(&checkpoint, &mut report, deadline).await {
                    Ok(()) => (report, Fate::Done),
                    Err(fault) => self.in_trouble(notice, Some(report), &fault),
                }));
            }
            Ok(Claimed::Busy { until_ms, progress_ms }) => {
                report.reason = Some("another invocation is at work on it, or will be after a wait".to_owned());
                if self.clock.now_ms() - progress_ms > NO_PROGRESS_MAX_MS {
                    return Err(Box::new((report, Fate::Fail)));
                }
                report.outcome = Outcome::Continues;
                let wait_ms = u64::try_from(until_ms - self.clock.now_ms()).unwrap_or(0).max(BUSY_WAIT_MIN_MS);
                // Waiting is no work: it does not use up the file's invocations.
                return Err(Box::new((
                    report,
                    Fate::Again { wait_ms, hop: Hop { count: hop.count - 1, trouble_since_ms: None, ..hop } },
                )));
            }
            Err(fault) => return Err(Box::new(self.in_trouble(notice, Some(report), &fault))),
        };
        let afresh = receives <= 1 && owner.start_afresh();
        // A message received again although its file made progress since is healthy: a fresh copy takes its place, so
        // that waiting and kills never add up to a dead letter.
        let position = owner.checkpoint().position.byte;
        if receives > 1 && position > hop.position && self.queue.is_some() {
            report.count(&owner.checkpoint().account);
            report.outcome = Outcome::Continues;
            report.reason =
                Some("its message came again although the file made progress: a fresh one goes on".to_owned());
            let release = owner.release(None, false, 0);
            return Err(Box::new(match self.in_time(deadline.hand_on_at_ms, release).await {
                Ok(()) => {
                    let hop = Hop { position, count: 0, trouble_since_ms: None, ..hop };
                    (report, Fate::Again { wait_ms: 0, hop })
                }
                Err(fault) => self.in_trouble(notice, Some(report), &fault),
            }));
        }
        Ok((owner, afresh))
    }

    /// What the next message for this object carries, as far as nothing is settled in this run.
    pub(crate) fn hop(&self, notice: &Notice, stream: Option<StreamId>) -> Hop {
        let before = notice.hop.as_ref();
        Hop {
            count: before.map_or(0, |hop| hop.count) + 1,
            position: before.map_or(0, |hop| hop.position),
            stream: stream.or_else(|| before.and_then(|hop| hop.stream)),
            trouble_since_ms: before.and_then(|hop| hop.trouble_since_ms),
        }
    }

    /// A fault around the object or its checkpoint before or after the rows: an outage is waited for, anything else is
    /// for a person.
    pub(crate) fn in_trouble(&self, notice: &Notice, report: Option<FileReport>, fault: &OwnerFault) -> Ended {
        let report = report.unwrap_or_else(|| FileReport::new(&notice.bucket, &notice.key, Outcome::Failed, None));
        let mut report = FileReport { reason: Some(fault.to_string()), code: None, ..report };
        if !fault.is_transient() {
            report.outcome = Outcome::Failed;
            return (report, Fate::Fail);
        }
        let mut hop = self.hop(notice, report.stream);
        let now_ms = self.clock.now_ms();
        if now_ms - *hop.trouble_since_ms.get_or_insert(now_ms) > NO_PROGRESS_MAX_MS {
            report.outcome = Outcome::Failed;
            report.reason = Some(format!("{fault}{NO_PROGRESS}"));
            return (report, Fate::Fail);
        }
        report.outcome = Outcome::Continues;
        (report, Fate::Again { wait_ms: STORAGE_WAIT_MS, hop })
    }

    async fn run_and_conclude(&self, mut owner: Owner, run: Run<'_>, opened: Opened) -> Ended {
        let mut report = describe(run.notice, &run.subject, owner.stream());
        let before = owner.checkpoint().clone();
        let end = self.run(&mut owner, &run, opened, &mut report).await;
        let after = owner.checkpoint();
        report.count(&after.account);
        report.settled = after.account.since(&before.account);
        let progressed = after.position != before.position;
        // What went wrong before this run is no trouble of a file that went on.
        let notice = if progressed { run.notice.afresh() } else { run.notice.clone() };
        let run = Run { notice: &notice, ..run };
        self.conclude(&mut owner, &run, report, end, progressed).await
    }

    /// Runs the pipeline from where the checkpoint stands.
    async fn run(&self, owner: &mut Owner, run: &Run<'_>, opened: Opened, report: &mut FileReport) -> End {
        let checkpoint = owner.checkpoint().clone();
        // Until a row is committed the position is the file's beginning; rows begin behind the header.
        let at = match &checkpoint.header {
            Some(header) if checkpoint.position.byte < header.rows_from.byte => header.rows_from,
            _ => checkpoint.position,
        };
        let (translator, terms) = match self.translator(owner, &run.subject, at) {
            Ok(ready) => ready,
            Err(fault) => return End::Unresumed(fault),
        };
        let objects = run.subject.kind == CallKind::Object;
        let envelope = match &run.subject.collection {
            Some(collection) if objects => Envelope::objects(collection),
            _ => Envelope::batch(),
        };
        // Compressed bytes can only be read from their beginning.
        let plain = |header: &StoredHeader| header.dialect.compression == Compression::None;
        let offset = if checkpoint.header.as_ref().is_some_and(plain) { at.byte } else { 0 };
        let Opened { pin, first, .. } = opened;
        // What broke off is read on from where it ended.
        let chunks = if offset == 0 { collect(first, &run.bucket, &checkpoint.object.key).await.0 } else { Vec::new() };
        if let Some(reason) = refused_at_the_start(pin.bytes, &chunks) {
            return End::Exceeded(reason);
        }
        let plain = checkpoint.header.as_ref().is_none_or(plain);
        if let Some(reason) = refused_to_go_on(at.byte).filter(|_| !plain) {
            return End::Exceeded(reason);
        }
        let read: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let is_kept = self.settings.keep_for_export && !objects;
        let staging =
            is_kept.then(|| Staging::new(self.state.clone(), &self.settings, owner.stream(), checkpoint.epoch));
        let file = FileState::new(checkpoint.account.acknowledged, checkpoint.bisection_requests);
        let (stats, keeping) = (RefCell::default(), Cell::default());
        let mut pipeline = Pipeline {
            machine: Ingestion::new(translator, envelope, at),
            source: Source::new(run.bucket.clone(), &checkpoint.object.key, pin),
            offset: offset + read,
            chunks: VecDeque::from(chunks),
            owner: Some(&mut *owner),
            committing: None,
            account: checkpoint.account.clone(),
            aside: Vec::new(),
            delivery: &self.delivery,
            staging: staging.as_ref(),
            objects,
            file: &file,
            threshold: self.settings.threshold,
            terms,
            commit_every_ms: self.settings.commit_every_ms,
            deadline: run.deadline,
            clock: &self.clock,
            stats: &stats,
            keeping: &keeping,
        };
        let end = Box::pin(pipeline.run()).await;
        tell_of_rows(report, &pipeline.machine);
        drop(pipeline);
        // While nothing was ever taken and nobody is found guilty, since the refusal is about the file, nothing was spent.
        let is_refusal = matches!(end, End::Undelivered(Undelivered::WholeFile { .. } | Undelivered::PutAside { .. }));
        let is_of_file = is_refusal && owner.checkpoint().account.acknowledged == 0;
        owner.spent(if is_of_file { checkpoint.bisection_requests } else { file.bisection_requests() });
        report.stats = stats.take();
        end
    }

    /// Reads on as the file was begun, whatever was set differently since. If that cannot be (a newer version of ours
    /// may compile a header in another way), today's settings do: each owner has an epoch of its own anyway.
    fn translator(&self, owner: &Owner, subject: &Subject, at: Position) -> Result<(Translator, Terms), FileFault> {
        let ids = || MessageIds::new(owner.stream());
        let today = Terms { collection: subject.collection.clone(), reading: self.settings.reading.clone() };
        let checkpoint = owner.checkpoint();
        let Some(header) = &checkpoint.header else {
            return Ok((Translator::new(subject, &today.reading, ids()), today));
        };
        let terms = checkpoint.terms.clone().unwrap_or_else(|| today.clone());
        let resume = |terms: &Terms| Translator::resume(subject, &terms.reading, ids(), header, at);
        let translator = resume(&terms).or_else(|_| resume(&today))?;
        let fingerprint = translator.header().map(|now| &now.fingerprint);
        if fingerprint != Some(&header.fingerprint) {
            tracing::warn!(stream = %owner.stream(), "the rest of the file is read by another plan than its beginning");
        }
        Ok((translator, terms))
    }
}

/// What a file that was begun is about, as far as its name does not say it.
fn subject_of(key: &str, terms: Option<&Terms>) -> Option<Subject> {
    Subject::of(key, &[], terms?.collection.as_deref()).ok()
}

/// What the report says of columns and rows.
fn tell_of_rows(report: &mut FileReport, machine: &Ingestion) {
    report.columns = machine.columns();
    report.warnings = machine.warnings().iter().map(|warning| warning.message.clone()).collect();
    let example = |example: &calls::ingestion::Example| {
        let words = if example.message.is_empty() { format!("line {}", example.line) } else { example.message.clone() };
        format!("{words} ({})", example.code)
    };
    report.first_rejected = machine.examples().iter().map(example).collect();
}

/// What is known of an object before anything is done with it.
fn describe(notice: &Notice, subject: &Subject, stream: StreamId) -> FileReport {
    let mut report = FileReport::new(&notice.bucket, &notice.key, Outcome::Failed, None);
    report.kind = Some(subject.kind.as_str());
    report.collection.clone_from(&subject.collection);
    report.stream = Some(stream);
    report
}

/// The first GET: it decides which object this is.
async fn open(bucket: &Bucket, key: &str, version: &Version) -> Result<Opened, Fault> {
    let first = bucket.open(key, version, RANGE_BYTES).await?;
    Ok(Opened { pin: first.pin.clone(), metadata: first.metadata.clone(), first })
}
