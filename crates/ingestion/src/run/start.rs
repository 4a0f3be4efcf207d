//! The start of a run, and its preconditions.

use super::gathered::Gathered;
use super::{End, Mode, Run, compressed};
use crate::deadline::Deadline;
use crate::refusals::Refusals;
use bytes::Bytes;
use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::kind::Api;
use calls::pipeline::{Pipeline, Threshold};
use calls::profile::Detail;
use calls::subject::Subject;
use calls::translator::{Limits, Translator};
use protocol::checkpoint::{Checkpoint, Terms};
use protocol::position::Position;
use protocol::reading::{Compression, Reading, StoredHeader};
use std::collections::{BTreeMap, VecDeque};

/// Where a run starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The first row, in inflated bytes.
    pub row: Position,
    /// The first byte of the object, as stored. Compressed objects are read from 0.
    pub byte: u64,
    pub(super) is_compressed: bool,
}

impl Start {
    /// The start that a checkpoint says.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Self {
        // Without a committed row the position is 0; rows begin behind the header.
        let row = match &checkpoint.header {
            Some(header) if checkpoint.position.byte < header.rows_from.byte => header.rows_from,
            _ => checkpoint.position,
        };
        let is_compressed = |header: &StoredHeader| header.dialect.compression != Compression::None;
        let is_compressed = checkpoint.header.as_ref().is_some_and(is_compressed);
        let byte = if checkpoint.header.is_some() && !is_compressed { row.byte } else { 0 };
        Self { row, byte, is_compressed }
    }
}

/// All that a run needs.
#[derive(Debug)]
pub struct Begin<'a> {
    /// The checkpoint, claimed.
    pub checkpoint: &'a Checkpoint,
    /// When its lease has to be renewed, in ms since the epoch.
    pub renew_at_ms: i64,
    /// The kind of the calls.
    pub subject: &'a Subject,
    /// The settings of reading today.
    pub reading: &'a Reading,
    /// Whether the columns of a file that begins are profiled.
    pub profile: bool,
    /// When too many refused rows stop the file.
    pub threshold: Threshold,
    /// Whether accepted calls are kept for the exporter.
    pub keeps: bool,
    /// Requests at once.
    pub requests_in_flight: usize,
    /// Calls in a request at most. The limits of Segment hold too.
    pub batch_calls_max: usize,
    /// Ms between commits.
    pub commit_every_ms: i64,
    /// The limits on inflated text.
    pub limits: Limits,
    /// The size of the object, as stored.
    pub object_bytes: u64,
    /// The object's bytes from [`Start::byte`] on, as far as they are read.
    pub first: Vec<Bytes>,
    /// The memory of the function in MB, as Lambda says.
    pub memory_mb: u32,
    /// The times of the invocation.
    pub deadline: Deadline,
    /// Now, in ms since the epoch.
    pub now_ms: i64,
}

impl Run {
    /// Starts a run where the checkpoint stands.
    ///
    /// # Errors
    /// When the file cannot be read on, or is too large to be resumed.
    pub fn begin(begin: Begin<'_>) -> Result<Self, End> {
        let Begin { checkpoint, subject, first, .. } = begin;
        let start = Start::of(checkpoint);
        let compressed = compressed::Limits::of(begin.memory_mb, begin.deadline);
        if let Some(fault) =
            compressed.exceeded(start.is_compressed.then_some(start.row.byte), begin.object_bytes, &first)
        {
            return Err(End::Fault(fault));
        }
        let (translator, terms) = translator(checkpoint, subject, begin.reading, start.row).map_err(End::Unresumed)?;
        let zstd_window_bytes = begin.limits.zstd_window_bytes.min(compressed::zstd_window_bytes(begin.memory_mb));
        let translator = translator.with_limits(Limits { zstd_window_bytes, ..begin.limits });
        let translator =
            if is_profiled(checkpoint, begin.profile) { translator.with_profile(Detail::Counts) } else { translator };
        let envelope = Envelope::of(subject);
        let read: u64 = first.iter().map(|chunk| chunk.len() as u64).sum();
        let mut run = Self {
            mode: Mode::Working,
            rows: Pipeline::new(translator, envelope.with_calls_max(begin.batch_calls_max), start.row),
            threshold: begin.threshold,
            refusals: Refusals::new(checkpoint.account.acknowledged, checkpoint.halving_requests),
            is_in_order: subject.kind.api() == Api::Objects,
            keeps: begin.keeps,
            requests_in_flight: begin.requests_in_flight,
            object_bytes: begin.object_bytes,
            read_to: start.byte + read,
            chunks: VecDeque::from(first),
            is_reading: false,
            is_paused: false,
            open: BTreeMap::new(),
            ready: VecDeque::new(),
            gathered: Gathered::default(),
            stop: None,
            terms,
            account: checkpoint.account.clone(),
            rejects_parts: checkpoint.rejects.len(),
            is_committing: false,
            commit_every_ms: begin.commit_every_ms,
            committed_at_ms: begin.now_ms,
            renew_at_ms: begin.renew_at_ms,
            deadline: begin.deadline,
        };
        if let Some(exceeded) = run.exceeded() {
            run.rows.stop();
            run.stop = Some(End::Exceeded(exceeded));
        }
        Ok(run)
    }
}

/// Whether the rows are profiled: as the file was begun, so that a profile has all rows of the file.
fn is_profiled(checkpoint: &Checkpoint, today: bool) -> bool {
    if checkpoint.header.is_some() { checkpoint.profile.is_some() } else { today }
}

/// Reads the rest as the file was begun, even if the settings have changed since.
fn translator(
    checkpoint: &Checkpoint,
    subject: &Subject,
    reading: &Reading,
    at: Position,
) -> Result<(Translator, Terms), String> {
    let ids = MessageIds::new(checkpoint.object.stream());
    let today = || Terms { collection: subject.collection.clone(), reading: reading.clone() };
    let Some(header) = &checkpoint.header else {
        return Ok((Translator::new(subject, reading, ids), today()));
    };
    let terms = checkpoint.terms.clone().unwrap_or_else(today);
    let translator = Translator::resume(subject, &terms.reading, ids, header, at).map_err(|fault| fault.to_string())?;
    let fingerprint = translator.header().map(|header| &header.fingerprint);
    if fingerprint != Some(&header.fingerprint) {
        return Err("an older version began this file, and this version would make other calls from its rows: deploy \
            the older version until the file has ended"
            .to_owned());
    }
    Ok((translator, terms))
}
