//! One object, from the first GET to its last state.

use crate::app::App;
use crate::owner::{Claimed, Owner, OwnerFault};
use crate::pipeline::{End, Pipeline};
use crate::report::{FileReport, Outcome};
use crate::source::{RANGE_BYTES, Source, collect, explain};
use crate::staging::Staging;
use aws::bucket::{Bucket, Pin};
use aws::fault::{Fault, Kind};
use bytes::Bytes;
use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::checkpoint::{Checkpoint, Identity, Phase};
use calls::dialect::{Compression, StoredHeader};
use calls::ingestion::Ingestion;
use calls::ledger::Ledger;
use calls::notification::{Notice, replay_tag};
use calls::rejects::Rejects;
use calls::subject::{Kind as CallKind, Subject};
use calls::translator::Translator;
use delivery::{Deadline, FileState, Stats, Undelivered};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU64;

/// Without progress for so long, whatever the excuse, a file fails.
const NO_PROGRESS_MAX_MS: i64 = 12 * 60 * 60 * 1_000;
/// Wait after a fault of S3 before the next invocation.
const STORAGE_WAIT_MS: u64 = 30_000;
/// All but the last part of an upload must have 5 MiB (S3 user guide, "Multipart upload limits").
const UPLOAD_PART_BYTES: usize = 8 << 20;
/// Object metadata that overrides the collection in the name.
const COLLECTION_METADATA: &str = "segment-collection";
/// Object metadata that sends a file again with new ids.
const REPLAY_METADATA: &str = "segment-replay";

/// What is to happen with an object after this run.
pub(crate) enum Fate {
    /// Nothing more.
    Done,
    /// It goes on in another invocation, after a wait.
    Again { wait_ms: u64, position: u64, started_ms: i64, stream: Option<String> },
    /// It fails: a person has to look, and then send it again.
    Fail,
}

/// An object's report and its fate.
pub(crate) type Ended = (FileReport, Fate);

/// What the first GET found.
struct Opened {
    pin: Pin,
    metadata: HashMap<String, String>,
    chunks: Vec<Bytes>,
}

impl App {
    /// Ingests one object, or as much of it as there is time for.
    pub(crate) async fn ingest(&self, notice: &Notice, receives: u32, deadline: Deadline) -> Ended {
        let began_ms = self.clock.now_ms();
        let (mut report, fate) = self.ingest_object(notice, receives, deadline).await;
        report.elapsed_ms = self.clock.now_ms() - began_ms;
        (report, fate)
    }

    async fn ingest_object(&self, notice: &Notice, receives: u32, deadline: Deadline) -> Ended {
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
        let bucket = Bucket::new(self.s3.clone(), &notice.bucket);
        let opened = match open(&bucket, &notice.key).await {
            Ok(opened) => opened,
            Err(fault) => return self.unopened(notice, &fault).await,
        };
        let collection = opened.metadata.get(COLLECTION_METADATA).map(String::as_str);
        let subject = match Subject::of(&notice.key, &self.settings.reading.collections, collection) {
            Ok(subject) => subject,
            Err(fault) => return refused(fault.to_string()),
        };
        let replay = match opened.metadata.get(REPLAY_METADATA).map(|tag| replay_tag(tag)) {
            Some(Err(fault)) => return refused(format!("its metadata {REPLAY_METADATA}: {fault}")),
            Some(Ok(tag)) => notice.replay.clone().or(Some(tag)),
            None => notice.replay.clone(),
        };
        let identity = self.identity(notice, &opened.pin, replay);
        let begun = notice.hop.as_ref().and_then(|hop| hop.stream.as_deref());
        if let Some(begun) = begun.filter(|begun| *begun != identity.stream()) {
            return self.replaced(notice, begun).await;
        }
        let owner = match self.own(notice, receives, &subject, &identity).await {
            Ok(owner) => owner,
            Err(ended) => return *ended,
        };
        let report = describe(notice, &subject, owner.stream());
        Box::pin(self.run_and_conclude(owner, report, &bucket, opened, &subject, deadline)).await
    }

    fn identity(&self, notice: &Notice, pin: &Pin, replay: Option<String>) -> Identity {
        Identity {
            source_id: self.settings.source.to_string(),
            bucket: notice.bucket.clone(),
            key: notice.key.clone(),
            version_id: pin.version_id.clone(),
            etag: pin.etag.clone(),
            modified_ms: pin.modified_ms,
            bytes: pin.bytes,
            replay,
        }
    }

    /// The object could not be opened.
    async fn unopened(&self, notice: &Notice, fault: &Fault) -> Ended {
        let report = |outcome, reason: String| FileReport::new(&notice.bucket, &notice.key, outcome, Some(reason));
        match (fault.kind, notice.hop.as_ref().and_then(|hop| hop.stream.as_deref())) {
            (Kind::Missing, Some(begun)) => self.replaced(notice, begun).await,
            (Kind::Missing, None) => (report(Outcome::Replaced, "it is not there (any more)".to_owned()), Fate::Done),
            (Kind::Transient | Kind::Conflict, _) => {
                let hop = notice.hop.clone();
                let started_ms = hop.as_ref().map_or(self.clock.now_ms(), |hop| hop.started_ms);
                let position = hop.as_ref().map_or(0, |hop| hop.position);
                let stream = hop.and_then(|hop| hop.stream);
                let fate = Fate::Again { wait_ms: STORAGE_WAIT_MS, position, started_ms, stream };
                (report(Outcome::Continues, fault.to_string()), fate)
            }
            _ => (report(Outcome::Failed, explain(fault)), Fate::Fail),
        }
    }

    /// What was begun is gone: its ledger says so, and the new object has its own event.
    async fn replaced(&self, notice: &Notice, begun: &str) -> Ended {
        let reason = "it was replaced or deleted before it was finished; what came in its place has its own event";
        let mut report = FileReport::new(&notice.bucket, &notice.key, Outcome::Replaced, Some(reason.to_owned()));
        report.stream = Some(begun.to_owned());
        match self.end_replaced(&mut report, begun, reason).await {
            Ok(()) => (report, Fate::Done),
            Err(fault) => failed(report, &fault),
        }
    }

    async fn end_replaced(&self, report: &mut FileReport, begun: &str, reason: &str) -> Result<(), OwnerFault> {
        let Some(found) = self.state.get(&Checkpoint::key(begun)).await? else { return Ok(()) };
        let Ok(checkpoint) = Checkpoint::from_json(&found.body) else { return Ok(()) };
        report.count(&checkpoint.account);
        if let Claimed::Owner(mut owner) = self.claim(&checkpoint.object).await? {
            self.end(&mut owner, report, Phase::Replaced, Some(reason), None).await?;
        }
        Ok(())
    }

    async fn claim(&self, identity: &Identity) -> Result<Claimed, OwnerFault> {
        Owner::claim(&self.state, identity, self.settings.lease_ms, &self.clock).await
    }

    /// Becomes the owner, or tells why there is nothing to do now.
    async fn own(
        &self,
        notice: &Notice,
        receives: u32,
        subject: &Subject,
        identity: &Identity,
    ) -> Result<Owner, Box<Ended>> {
        let stream = identity.stream();
        let mut report = describe(notice, subject, &stream);
        let known = notice.hop.as_ref().map_or(0, |hop| hop.position);
        let started_ms = notice.hop.as_ref().map_or(self.clock.now_ms(), |hop| hop.started_ms);
        let again = |wait_ms, position| Fate::Again { wait_ms, position, started_ms, stream: Some(stream.clone()) };
        let mut owner = match self.claim(identity).await {
            Ok(Claimed::Owner(owner)) => *owner,
            Ok(Claimed::Ended(checkpoint)) => {
                report.count(&checkpoint.account);
                report.outcome = Outcome::AlreadyDone;
                return Err(Box::new((report, Fate::Done)));
            }
            Ok(Claimed::Busy(until_ms)) => {
                report.outcome = Outcome::Continues;
                report.reason = Some("another invocation is at work on it".to_owned());
                let wait_ms = u64::try_from(until_ms - self.clock.now_ms()).unwrap_or(0).max(1_000);
                return Err(Box::new((report, again(wait_ms, known))));
            }
            Err(fault) => return Err(Box::new(failed(report, &fault))),
        };
        // A message received again although its file made progress since is healthy: a fresh copy takes its place, so
        // that waiting and kills never add up to a dead letter.
        let position = owner.checkpoint().position.byte;
        if receives > 1 && position > known && self.queue.is_some() {
            report.count(&owner.checkpoint().account);
            report.outcome = Outcome::Continues;
            report.reason =
                Some("its message came again although the file made progress: a fresh one goes on".to_owned());
            return Err(Box::new(match owner.release().await {
                Ok(()) => (report, again(0, position)),
                Err(fault) => failed(report, &fault),
            }));
        }
        Ok(owner)
    }

    async fn run_and_conclude(
        &self,
        mut owner: Owner,
        mut report: FileReport,
        bucket: &Bucket,
        opened: Opened,
        subject: &Subject,
        deadline: Deadline,
    ) -> Ended {
        let before = owner.checkpoint().clone();
        let end = self.run(&mut owner, bucket, opened, subject, deadline, &mut report).await;
        let after = owner.checkpoint();
        report.count(&after.account);
        report.settled = after.account.since(&before.account);
        let progressed = after.position != before.position;
        self.conclude(&mut owner, subject, report, end, progressed).await
    }

    /// Runs the pipeline from where the checkpoint stands.
    async fn run(
        &self,
        owner: &mut Owner,
        bucket: &Bucket,
        opened: Opened,
        subject: &Subject,
        deadline: Deadline,
        report: &mut FileReport,
    ) -> End {
        let checkpoint = owner.checkpoint().clone();
        let ids = MessageIds::new(u128::from_str_radix(owner.stream(), 16).unwrap_or_default());
        let reading = &self.settings.reading;
        // Until a row is committed the position is the file's beginning; rows begin behind the header.
        let at = match &checkpoint.header {
            Some(header) if checkpoint.position.byte < header.rows_from.byte => header.rows_from,
            _ => checkpoint.position,
        };
        let translator = match &checkpoint.header {
            None => Translator::new(subject, reading, ids),
            Some(header) => match Translator::resume(subject, reading, ids, header, at) {
                Ok(translator) => translator,
                Err(fault) => return End::Fault(fault),
            },
        };
        let objects = subject.kind == CallKind::Object;
        let envelope = match &subject.collection {
            Some(collection) if objects => Envelope::objects(collection),
            _ => Envelope::batch(),
        };
        // Compressed bytes can only be read from their beginning.
        let plain = |header: &StoredHeader| header.dialect.compression == Compression::None;
        let offset = if checkpoint.header.as_ref().is_some_and(plain) { at.byte } else { 0 };
        let chunks = if offset == 0 { opened.chunks } else { Vec::new() };
        let read: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let staging = match owner.stream().parse() {
            Ok(stream) if self.settings.keep_for_export && !objects => {
                Some(Staging::new(self.state.clone(), self.settings.source.clone(), stream, checkpoint.epoch))
            }
            _ => None,
        };
        let file = FileState { acknowledged: AtomicU64::new(checkpoint.account.acknowledged), ..FileState::default() };
        let mut pipeline = Pipeline {
            machine: Ingestion::new(translator, envelope, at),
            source: Source::new(bucket.clone(), &checkpoint.object.key, opened.pin),
            offset: offset + read,
            chunks: VecDeque::from(chunks),
            owner,
            delivery: &self.delivery,
            staging: staging.as_ref(),
            objects,
            file: &file,
            threshold: self.settings.threshold,
            deadline,
            clock: &self.clock,
            stats: Stats::default(),
        };
        let end = Box::pin(pipeline.run()).await;
        report.stats = pipeline.stats.clone();
        let machine = &pipeline.machine;
        report.columns = machine.columns();
        report.warnings = machine.warnings().iter().map(|warning| warning.message.clone()).collect();
        report.first_rejected = machine
            .examples()
            .iter()
            .map(|example| {
                let words =
                    if example.message.is_empty() { format!("line {}", example.line) } else { example.message.clone() };
                format!("{words} ({})", example.code)
            })
            .collect();
        end
    }

    /// What the end of a run means for the file.
    async fn conclude(
        &self,
        owner: &mut Owner,
        subject: &Subject,
        mut report: FileReport,
        end: End,
        progressed: bool,
    ) -> Ended {
        let (phase, reason) = match end {
            End::Complete => (Phase::Finished, None),
            End::Fault(fault) => (Phase::Stopped, Some(fault.to_string())),
            End::Exceeded(reason) => (Phase::Stopped, Some(reason)),
            End::Unread(fault) if matches!(fault.kind, Kind::Missing | Kind::Precondition) => {
                let reason = "it was replaced or deleted while it was read; what came in its place has its own event";
                (Phase::Replaced, Some(reason.to_owned()))
            }
            unfinished => return self.postpone(owner, report, unfinished, progressed).await,
        };
        let rejects = match self.join_rejects(owner, subject).await {
            Ok(rejects) => rejects,
            Err(fault) => return self.postpone(owner, report, End::State(OwnerFault::State(fault)), progressed).await,
        };
        report.rejects = rejects.as_ref().map(|key| format!("s3://{}/{key}", self.state.name()));
        report.outcome = match phase {
            Phase::Finished => Outcome::Finished,
            Phase::Stopped => Outcome::Stopped,
            _ => Outcome::Replaced,
        };
        report.reason.clone_from(&reason);
        match self.end(owner, &mut report, phase, reason.as_deref(), rejects).await {
            Ok(()) => (report, Fate::Done),
            Err(fault) => failed(report, &fault),
        }
    }

    /// Writes the ledger, then the last checkpoint: a redelivery has nothing to do from here on.
    async fn end(
        &self,
        owner: &mut Owner,
        report: &mut FileReport,
        phase: Phase,
        reason: Option<&str>,
        rejects: Option<String>,
    ) -> Result<(), OwnerFault> {
        let mut ledger = Ledger::of(owner.checkpoint(), phase, self.clock.now_ms());
        ledger.reason = reason.map(str::to_owned);
        ledger.kind = report.kind.unwrap_or_default().to_owned();
        ledger.collection.clone_from(&report.collection);
        ledger.columns.clone_from(&report.columns);
        ledger.rejects = rejects;
        report.undelivered_from_line = ledger.undelivered_from_line;
        let body = serde_json::to_vec_pretty(&ledger).unwrap_or_default();
        self.state.put(&Ledger::key(owner.stream()), body.into(), "application/json").await?;
        owner.end(phase).await
    }

    /// Unfinished: what is settled is committed; the rest waits for another invocation, or for a person.
    async fn postpone(&self, owner: &mut Owner, mut report: FileReport, end: End, progressed: bool) -> Ended {
        let checkpoint = owner.checkpoint();
        report.undelivered_from_line = Some(checkpoint.position.line);
        let (position, started_ms) = (checkpoint.position.byte, checkpoint.started_ms);
        let stalled = self.clock.now_ms() - checkpoint.progress_ms > NO_PROGRESS_MAX_MS;
        let stream = Some(owner.stream().to_owned());
        let again = |wait_ms| Some(Fate::Again { wait_ms, position, started_ms, stream });
        let (reason, fate) = match end {
            End::Undelivered(undelivered) => match &undelivered {
                // Nothing was slow but us: the next invocation would fare no better.
                Undelivered::Deadline if !progressed && report.stats.throttles == 0 => (
                    "the time of one invocation is too short for one batch: raise the function's timeout".to_owned(),
                    None,
                ),
                Undelivered::Deadline => (undelivered.to_string(), again(0)),
                Undelivered::Unreachable { wait_ms, .. } => (undelivered.to_string(), again((*wait_ms).max(1_000))),
                _ => (undelivered.to_string(), None),
            },
            End::Unread(fault) | End::Unkept(fault) if fault.is_transient() => {
                (fault.to_string(), again(STORAGE_WAIT_MS))
            }
            End::Unread(fault) => (explain(&fault), None),
            End::Unkept(fault) => (format!("{fault}: see STATE_BUCKET and the function's role"), None),
            End::Lost => (OwnerFault::Lost.to_string(), again(STORAGE_WAIT_MS)),
            End::State(OwnerFault::State(fault)) if fault.is_transient() => (fault.to_string(), again(STORAGE_WAIT_MS)),
            End::State(fault) => (fault.to_string(), None),
            // Concluded before it comes here.
            End::Complete | End::Fault(_) | End::Exceeded(_) => (String::new(), None),
        };
        if !matches!(fate, Some(Fate::Again { .. })) || stalled {
            report.outcome = Outcome::Failed;
            let stalled = if stalled { " (no progress for 12 hours)" } else { "" };
            report.reason = Some(format!("{reason}{stalled}"));
        } else {
            report.outcome = Outcome::Continues;
            report.reason = Some(reason);
        }
        // Whoever cannot even let go leaves the lease to end by itself.
        if let Err(fault) = owner.release().await {
            tracing::warn!(%fault, "the lease was not released");
        }
        let fate = if report.outcome == Outcome::Failed { Fate::Fail } else { fate.unwrap_or(Fate::Fail) };
        (report, fate)
    }

    /// Makes one rejects file of the parts that count; its key, if there is one.
    async fn join_rejects(&self, owner: &Owner, subject: &Subject) -> Result<Option<String>, Fault> {
        let checkpoint = owner.checkpoint();
        let (Some(header), false) = (&checkpoint.header, checkpoint.rejects.is_empty()) else { return Ok(None) };
        let stream = owner.stream();
        let key = format!("rejects/{stream}/{}", subject.rejects_name());
        let head = Rejects::new(header).head().to_vec();
        let mut upload = None;
        // Each part is a CSV file of its own; the header stands once in the whole.
        let mut joined = head.clone();
        for part in &checkpoint.rejects {
            let found = self.state.get(&part.key(stream)).await?;
            let body = found.map(|object| object.body).unwrap_or_default();
            joined.extend_from_slice(body.strip_prefix(head.as_slice()).unwrap_or(&body));
            if joined.len() >= UPLOAD_PART_BYTES {
                if upload.is_none() {
                    upload = Some(self.state.upload(&key, "text/csv").await?);
                }
                if let Some(upload) = &mut upload {
                    upload.part(std::mem::take(&mut joined).into()).await?;
                }
            }
        }
        match upload {
            None => self.state.put(&key, joined.into(), "text/csv").await?,
            Some(mut upload) => {
                if !joined.is_empty() {
                    upload.part(joined.into()).await?;
                }
                upload.complete().await?;
            }
        }
        Ok(Some(key))
    }
}

/// What is known of an object before anything is done with it.
fn describe(notice: &Notice, subject: &Subject, stream: &str) -> FileReport {
    let mut report = FileReport::new(&notice.bucket, &notice.key, Outcome::Failed, None);
    report.kind = Some(subject.kind.as_str());
    report.collection.clone_from(&subject.collection);
    report.stream = Some(stream.to_owned());
    report
}

/// A fault around the checkpoint before anything else was done.
fn failed(mut report: FileReport, fault: &OwnerFault) -> Ended {
    report.outcome = Outcome::Failed;
    report.reason = Some(fault.to_string());
    (report, Fate::Fail)
}

/// The first GET: it decides which object this is.
async fn open(bucket: &Bucket, key: &str) -> Result<Opened, Fault> {
    let reading = bucket.read(key, None, 0, RANGE_BYTES).await?;
    let (pin, metadata) = (reading.pin.clone(), reading.metadata.clone());
    // What broke off is read on from where it ended.
    let (chunks, _) = collect(reading, bucket, key).await;
    Ok(Opened { pin, metadata, chunks })
}
