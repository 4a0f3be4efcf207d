//! The files of the source bucket: how each of them stands.

use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, Phase};
use serde_json::Value;
use standins::installation::{SOURCE_BUCKET, STATE_BUCKET};
use standins::s3;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that are listed.
const LISTED_MAX: usize = 500;

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

/// A file whose message failed before there was a checkpoint.
#[derive(Clone, Debug)]
struct Trouble {
    outcome: String,
    reason: Option<String>,
    at_ms: i64,
}

/// The files, read again only if they have changed.
#[derive(Default)]
pub(super) struct Files {
    read: Mutex<HashMap<String, (String, Arc<FileState>)>>,
    troubles: Mutex<BTreeMap<String, Trouble>>,
}

impl Files {
    /// Takes the report of an invocation.
    pub(super) fn note(&self, report: &Value, at_ms: i64) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        for object in report["objects"].as_array().into_iter().flatten() {
            let text = |field: &str| object[field].as_str().map(str::to_owned);
            let prefix = format!("s3://{SOURCE_BUCKET}/");
            let Some(key) = text("object").and_then(|uri| Some(uri.strip_prefix(&prefix)?.to_owned())) else {
                continue;
            };
            let outcome = text("outcome").unwrap_or_default();
            match outcome.as_str() {
                "finished" | "already_done" | "stopped" => drop(troubles.remove(&key)),
                _ => drop(troubles.insert(key, Trouble { outcome, reason: text("reason"), at_ms })),
            }
        }
    }

    /// All files, newest first.
    pub(super) fn all(&self, s3: &s3::Server) -> Vec<FileState> {
        let mut files = self.begun(s3);
        let begun: HashSet<_> = files.iter().map(|file| (file.key.clone(), file.version_id.clone())).collect();
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        for object in s3.objects(SOURCE_BUCKET, "").into_iter().filter(|object| !object.delete_marker) {
            if begun.contains(&(object.key.clone(), object.version_id.clone())) {
                continue;
            }
            let trouble = troubles.get(&object.key);
            files.push(FileState {
                key: object.key,
                stream: String::new(),
                version_id: object.version_id,
                mapping: None,
                source: String::new(),
                replay: None,
                outcome: trouble.map_or_else(|| "waiting".to_owned(), |trouble| trouble.outcome.clone()),
                reason: trouble.and_then(|trouble| trouble.reason.clone()),
                kind: String::new(),
                account: Account::default(),
                bytes: object.size,
                settled_bytes: 0,
                started_ms: object.modified_ms,
                seen_ms: trouble.map_or(object.modified_ms, |trouble| trouble.at_ms),
                has_ended: trouble.is_some(),
                rejects: None,
                warnings: Vec::new(),
            });
        }
        files.sort_by_key(|file| std::cmp::Reverse((file.started_ms, file.seen_ms)));
        files.truncate(LISTED_MAX);
        files
    }

    /// How often each upload has ended: once for each mapping that reads it.
    pub(super) fn ended(&self, s3: &s3::Server) -> HashMap<(String, Option<String>), usize> {
        let mut ended = HashMap::new();
        for file in self.begun(s3).iter().filter(|file| file.has_ended && file.replay.is_none()) {
            *ended.entry((file.key.clone(), file.version_id.clone())).or_default() += 1;
        }
        ended
    }

    /// The files with a checkpoint. A file has ended when it has its ledger, which is written last.
    fn begun(&self, s3: &s3::Server) -> Vec<FileState> {
        let has_ledger = |file: &FileState| {
            let stream = file.stream.parse().ok();
            stream.is_some_and(|stream| s3.object(STATE_BUCKET, &protocol::keys::ledger(stream)).is_some())
        };
        let files = self.checkpoints(s3).into_iter().map(|file| match file.as_ref() {
            file if file.has_ended && !has_ledger(file) => {
                FileState { has_ended: false, outcome: "running".to_owned(), rejects: None, ..file.clone() }
            }
            file => file.clone(),
        });
        files.collect()
    }

    fn checkpoints(&self, s3: &s3::Server) -> Vec<Arc<FileState>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = s3.objects(STATE_BUCKET, protocol::keys::INGEST);
        let checkpoints = listed.into_iter().filter(|object| object.key.ends_with("/checkpoint.json"));
        let files = checkpoints.filter_map(|object| {
            if let Some((etag, file)) = read.get(&object.key)
                && *etag == object.etag
            {
                return Some(Arc::clone(file));
            }
            let checkpoint = Checkpoint::from_json(&s3.bytes(STATE_BUCKET, &object.key)?).ok()?;
            let file = Arc::new(FileState::of(&checkpoint));
            read.insert(object.key, (object.etag, Arc::clone(&file)));
            Some(file)
        });
        files.collect()
    }
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
