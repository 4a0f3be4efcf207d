//! The files of the source bucket: how each of them stands.
//!
//! Ends and failures come from the outcome index, by key. Only of files that move, their checkpoints are read.

use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, Phase};
use protocol::id::StreamId;
use protocol::keys;
use protocol::outcome::{FileOutcome, KeyOutcomes};
use serde_json::Value;
use standins::installation::{SOURCE_BUCKET, STATE_BUCKET};
use standins::s3;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that are listed.
const LISTED_MAX: usize = 500;
/// Files of this run whose checkpoints are known.
const MOVING_MAX: usize = 2_000;

/// A file, as one mapping reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    pub(super) key: String,
    /// Names its documents; empty if the file was never begun.
    pub(super) stream: String,
    pub(super) version_id: Option<String>,
    pub(super) mapping: Option<String>,
    pub(super) source: String,
    pub(super) replay: Option<String>,
    /// `waiting`, `running`, `finished`, …
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
    pub(super) kind: String,
    pub(super) account: Account,
    /// Its size as stored, and how far it is settled, decompressed.
    pub(super) bytes: u64,
    pub(super) settled_bytes: u64,
    pub(super) started_ms: i64,
    /// When it ended, or when it last made progress.
    pub(super) seen_ms: i64,
    pub(super) has_ended: bool,
    /// The key of the refused rows.
    pub(super) rejects: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// A checkpoint as it was last read.
#[derive(Debug, Default)]
struct Moving {
    etag: String,
    file: Option<Arc<FileState>>,
}

/// The files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Documents of the index by their keys, each as it was last read, with its ETag.
    outcomes: Mutex<HashMap<String, (String, Vec<FileOutcome>)>>,
    /// The files whose checkpoints were written since the start.
    moving: Mutex<BTreeMap<StreamId, Moving>>,
    /// Events that the ingester ignored, by key: the index has none of them. Each with its reason, and when.
    ignored: Mutex<BTreeMap<String, (Option<String>, i64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Files {
    /// Takes the report of an invocation.
    pub(super) fn note(&self, report: &Value, at_ms: i64) {
        for object in report["objects"].as_array().into_iter().flatten() {
            let text = |field: &str| object[field].as_str().map(str::to_owned);
            let prefix = format!("s3://{SOURCE_BUCKET}/");
            let Some(key) = text("object").and_then(|uri| Some(uri.strip_prefix(&prefix)?.to_owned())) else {
                continue;
            };
            match text("outcome").as_deref() {
                Some("ignored") => drop(lock(&self.ignored).insert(key, (text("reason"), at_ms))),
                _ => drop(lock(&self.ignored).remove(&key)),
            }
        }
    }

    /// Takes word of a new object of the state bucket.
    pub(super) fn created(&self, key: &str) {
        let stream = key.strip_prefix(keys::INGEST).and_then(|rest| rest.strip_suffix("/checkpoint.json"));
        let Some(stream) = stream.and_then(|stream| stream.parse().ok()) else { return };
        let mut moving = lock(&self.moving);
        moving.entry(stream).or_default();
        if moving.len() > MOVING_MAX {
            moving.retain(|_, known| !known.file.as_ref().is_some_and(|file| file.has_ended));
        }
    }

    /// All files, newest first.
    pub(super) fn all(&self, s3: &s3::Server) -> Vec<FileState> {
        let moving = self.moving(s3);
        let outcomes = self.outcomes(s3);
        let mut files: Vec<FileState> = Vec::new();
        for outcome in &outcomes {
            let checkpoint = outcome.stream.and_then(|stream| moving.get(&stream));
            // A failed file may be at work again.
            if outcome.outcome.is_final() || checkpoint.is_none_or(|file| file.seen_ms <= outcome.at_ms) {
                files.push(FileState::ended(outcome, checkpoint.map(Arc::as_ref), s3));
            }
        }
        let listed: HashSet<String> = files.iter().map(|file| file.stream.clone()).collect();
        let is_followed = |file: &FileState| {
            let later =
                |one: &&FileOutcome| one.key == file.key && one.mapping == file.mapping && one.at_ms > file.seen_ms;
            outcomes.iter().any(|one| later(&one))
        };
        for (_, file) in moving.into_iter().filter(|(stream, _)| !listed.contains(&stream.to_string())) {
            // The index is written last. It has the last upload of a key only.
            let is_unlisted = file.has_ended && !is_followed(&file);
            files.push(match is_unlisted {
                true => FileState { has_ended: false, outcome: "running".to_owned(), rejects: None, ..(*file).clone() },
                false => (*file).clone(),
            });
        }
        self.add_waiting(&mut files, s3);
        files.sort_by_key(|file| std::cmp::Reverse((file.started_ms, file.seen_ms)));
        files.truncate(LISTED_MAX);
        files
    }

    /// The newest outcomes, the latest first. A document is read again only if it has changed.
    fn outcomes(&self, s3: &s3::Server) -> Vec<FileOutcome> {
        let mut objects = s3.objects(STATE_BUCKET, &format!("{}by-key/", keys::OUTCOMES));
        objects.sort_by_key(|object| std::cmp::Reverse(object.modified_ms));
        let mut read = lock(&self.outcomes);
        let mut all = Vec::new();
        for object in objects.into_iter().take(LISTED_MAX) {
            if read.get(&object.key).is_none_or(|(etag, _)| *etag != object.etag) {
                let json = s3.bytes(STATE_BUCKET, &object.key);
                let Some(found) = json.and_then(|json| KeyOutcomes::from_json(&json).ok()) else { continue };
                read.insert(object.key.clone(), (object.etag, news(found.files)));
            }
            all.extend(read.get(&object.key).into_iter().flat_map(|(_, files)| files.iter().cloned()));
        }
        all
    }

    /// The checkpoints that were written since the start, each read again if it has changed.
    fn moving(&self, s3: &s3::Server) -> BTreeMap<StreamId, Arc<FileState>> {
        // S3 tells of an object while it is locked, so it is not asked while the map is.
        let known: Vec<_> = lock(&self.moving).iter().map(|(stream, known)| (*stream, known.etag.clone())).collect();
        let read = |(stream, etag): (StreamId, String)| {
            let key = keys::checkpoint(stream);
            let object = s3.object(STATE_BUCKET, &key).filter(|object| object.etag != etag)?;
            let checkpoint = s3.bytes(STATE_BUCKET, &key).and_then(|json| Checkpoint::from_json(&json).ok());
            Some((stream, Moving { etag: object.etag, file: checkpoint.map(|read| Arc::new(FileState::of(&read))) }))
        };
        let changed: Vec<_> = known.into_iter().filter_map(read).collect();
        let mut moving = lock(&self.moving);
        moving.extend(changed);
        moving.iter().filter_map(|(stream, known)| Some((*stream, Arc::clone(known.file.as_ref()?)))).collect()
    }

    /// Adds the objects that no run has begun.
    fn add_waiting(&self, files: &mut Vec<FileState>, s3: &s3::Server) {
        let known: HashSet<_> = files.iter().map(|file| (file.key.clone(), file.version_id.clone())).collect();
        let ignored = lock(&self.ignored);
        for object in s3.objects(SOURCE_BUCKET, "").into_iter().filter(|object| !object.delete_marker) {
            if known.contains(&(object.key.clone(), object.version_id.clone())) {
                continue;
            }
            let ignored = ignored.get(&object.key);
            files.push(FileState {
                key: object.key,
                stream: String::new(),
                version_id: object.version_id,
                mapping: None,
                source: String::new(),
                replay: None,
                outcome: if ignored.is_some() { "ignored" } else { "waiting" }.to_owned(),
                reason: ignored.and_then(|(reason, _)| reason.clone()),
                kind: String::new(),
                account: Account::default(),
                bytes: object.size,
                settled_bytes: 0,
                started_ms: object.modified_ms,
                seen_ms: ignored.map_or(object.modified_ms, |(_, at_ms)| *at_ms),
                has_ended: ignored.is_some(),
                rejects: None,
                warnings: Vec::new(),
            });
        }
    }
}

/// The outcomes of a key that still say something. What kept the object from being read is no news once a run has read it.
fn news(files: Vec<FileOutcome>) -> Vec<FileOutcome> {
    let is_news = |(at, file): &(usize, FileOutcome)| *at == 0 || file.stream.is_some();
    let of_inbox = files.into_iter().filter(|file| file.bucket == SOURCE_BUCKET).enumerate();
    of_inbox.filter(is_news).map(|(_, file)| file).collect()
}

/// How often each upload has ended: once for each mapping that reads it. All checkpoints are read, once at the start: an
/// outcome does not say of which version it is.
pub(super) fn ended(s3: &s3::Server) -> HashMap<(String, Option<String>), usize> {
    let mut ended = HashMap::new();
    for object in
        s3.objects(STATE_BUCKET, keys::INGEST).iter().filter(|object| object.key.ends_with("/checkpoint.json"))
    {
        let checkpoint = s3.bytes(STATE_BUCKET, &object.key).and_then(|json| Checkpoint::from_json(&json).ok());
        let Some(Checkpoint { object, phase, .. }) = checkpoint else { continue };
        // The ledger is written last.
        let has_ledger = || s3.object(STATE_BUCKET, &keys::ledger(object.stream())).is_some();
        if phase.is_terminal() && object.replay.is_none() && has_ledger() {
            *ended.entry((object.key, object.version_id)).or_default() += 1;
        }
    }
    ended
}

impl FileState {
    fn of(checkpoint: &Checkpoint) -> FileState {
        let (object, ending) = (&checkpoint.object, checkpoint.ending.as_ref());
        let findings = checkpoint.account.warnings();
        FileState {
            key: object.key.clone(),
            stream: object.stream().to_string(),
            version_id: object.version_id.clone(),
            mapping: object.mapping.clone(),
            source: object.source_id.to_string(),
            replay: object.replay.clone(),
            outcome: match checkpoint.phase {
                Phase::Running => "running",
                Phase::Finished => "finished",
                Phase::Stopped => "stopped",
                Phase::Replaced => "replaced",
            }
            .to_owned(),
            reason: ending.and_then(|ending| ending.reason.clone()),
            kind: ending.map(|ending| ending.kind.clone()).unwrap_or_default(),
            account: checkpoint.account.clone(),
            bytes: object.bytes,
            settled_bytes: checkpoint.position.byte,
            started_ms: checkpoint.started_ms,
            seen_ms: ending.map_or(checkpoint.progress_ms, |ending| ending.at_ms),
            has_ended: checkpoint.phase.is_terminal(),
            rejects: ending.and_then(|ending| ending.rejects.clone()),
            warnings: [ending.map(|ending| ending.warnings.clone()).unwrap_or_default(), findings].concat(),
        }
    }

    /// A file that has ended or failed, as the index has it. The checkpoint, if it is known, says more.
    fn ended(outcome: &FileOutcome, checkpoint: Option<&FileState>, s3: &s3::Server) -> FileState {
        let object = s3.object(SOURCE_BUCKET, &outcome.key).filter(|object| object.modified_ms <= outcome.at_ms);
        let started = outcome.started.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let rejects = outcome.rejects.as_ref().and_then(|uri| uri.strip_prefix(&format!("s3://{STATE_BUCKET}/")));
        let bytes = object.as_ref().map_or(0, |object| object.size);
        FileState {
            key: outcome.key.clone(),
            stream: outcome.stream.map(|stream| stream.to_string()).unwrap_or_default(),
            version_id: checkpoint
                .map_or_else(|| object.and_then(|object| object.version_id), |file| file.version_id.clone()),
            mapping: outcome.mapping.clone(),
            source: outcome.source_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            replay: checkpoint.and_then(|file| file.replay.clone()),
            outcome: outcome.outcome.as_str().to_owned(),
            reason: outcome.reason.clone(),
            kind: outcome.kind.clone().unwrap_or_default(),
            account: outcome.account.clone(),
            bytes: checkpoint.map_or(bytes, |file| file.bytes),
            settled_bytes: checkpoint.map_or(0, |file| file.settled_bytes),
            started_ms: started.map_or(outcome.at_ms, jiff::Timestamp::as_millisecond),
            seen_ms: outcome.at_ms,
            has_ended: true,
            rejects: rejects.map(str::to_owned),
            warnings: checkpoint.map(|file| file.warnings.clone()).unwrap_or_default(),
        }
    }

    /// The seconds that it took so far, and those that are left, if that can be told.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn seconds(&self) -> (f64, Option<f64>) {
        let taken = (self.seen_ms - self.started_ms).max(0) as f64 / 1_000.0;
        let left = self.bytes.saturating_sub(self.settled_bytes) as f64;
        let rate = self.settled_bytes as f64 / taken.max(0.001);
        (taken, (!self.has_ended && self.settled_bytes > 0 && rate > 0.0).then(|| left / rate))
    }

    /// Rows a second.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    pub(super) fn rows_per_second(&self) -> u64 {
        (self.account.rows as f64 / self.seconds().0.max(0.001)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::outcome::Outcome;

    fn outcome(key: &str, ended: Outcome, stream: Option<u8>, at_ms: i64) -> FileOutcome {
        FileOutcome {
            format: 1,
            version: "0".to_owned(),
            bucket: SOURCE_BUCKET.to_owned(),
            key: key.to_owned(),
            outcome: ended,
            reason: None,
            code: None,
            source_id: None,
            mapping: None,
            kind: None,
            collection: None,
            stream: stream.map(|byte| StreamId::new([byte; 16])),
            account: Account::default(),
            undelivered_from_line: None,
            ledger: None,
            rejects: None,
            started: None,
            at: String::new(),
            at_ms,
        }
    }

    #[test]
    fn what_kept_an_object_from_being_read_is_no_news_once_it_was_read() {
        let listed = |all: &[(Option<u8>, i64)]| {
            let all = all.iter().map(|(stream, at_ms)| outcome("a", Outcome::Finished, *stream, *at_ms)).collect();
            news(all).iter().map(|one| one.at_ms).collect::<Vec<_>>()
        };
        assert_eq!(listed(&[(Some(1), 3), (None, 2), (Some(2), 1)]), [3, 1]);
        assert_eq!(listed(&[(None, 3), (Some(1), 2)]), [3, 2]);
    }
}
