//! The commit record of a file: one small object in the state bucket, changed only by compare-and-swap.
//!
//! It says who owns the file and until when, which stretches of it are settled, and what the settled rows came to.
//! Everything that a killed run left behind outside the committed ranges is garbage by definition.

use crate::dialect::StoredHeader;
use crate::ledger::Account;
use crate::reading::Reading;
use crate::refusal::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The layout of the document; another number is refused rather than guessed at.
pub const FORMAT: u32 = 1;

/// So many bytes of refused rows one part holds before the next is begun. Until then each commit writes the open part
/// anew, longer: what a checkpoint lists grows with the refused rows alone, not with the time that they take. What was
/// written before is garbage, half of this a commit at most on average.
pub const REJECTS_PART_BYTES: u64 = 1 << 20;
/// So many parts stop the file: they are 4 GB of refused rows, and almost 1 MB of checkpoint that each commit writes.
pub const REJECTS_PARTS_MAX: usize = 4_000;

/// What tells one upload from another, whatever is later put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source that its calls belong to.
    pub source_id: String,
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The ETag of what was first read.
    pub etag: String,
    /// When that was put, in ms since the epoch.
    pub modified_ms: i64,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// Set when the file is sent again on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
}

impl Identity {
    /// 128 bits in hex that name the file's checkpoint, its fragments and its message ids.
    ///
    /// A version id tells an upload alone. Without versions, ETag *and* date do: tomorrow's identical upload is a new
    /// file.
    #[must_use]
    pub fn stream(&self) -> String {
        let date = self.modified_ms.to_string();
        let (version, etag, date) = match self.version_id.as_deref().filter(|version| *version != "null") {
            Some(version) => (version, "", ""),
            None => ("", self.etag.as_str(), date.as_str()),
        };
        let mut hash = Sha256::new();
        let replay = self.replay.as_deref().unwrap_or_default();
        for part in [&self.source_id, &self.bucket, &self.key, version, etag, date, replay] {
            // Lengths keep two fields from running into each other.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(&hash.finalize()[..16])
    }
}

/// A settled stretch of the file: bytes `[from, to)`, settled by the owner of `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Whose work it is.
    pub epoch: u32,
    /// The first byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

/// A piece of the rejects file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectsPart {
    /// Whose work it is.
    pub epoch: u32,
    /// The first byte of the stretch whose refused rows it holds.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// Its size; 0 where it was not written down yet.
    #[serde(default)]
    pub bytes: u64,
}

impl RejectsPart {
    /// Its key in the state bucket.
    #[must_use]
    pub fn key(&self, stream: &str) -> String {
        format!("ingest/{stream}/rejects/{:04}-{:016}-{:016}.csv", self.epoch, self.from, self.to)
    }
}

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Somebody works on it, or will.
    Running,
    /// Every row is settled.
    Finished,
    /// Too many rows were refused, or the file cannot be read on: what was not sent is left alone.
    Stopped,
    /// Another object took its place, or it was deleted: that one has its own event.
    Replaced,
}

impl Phase {
    /// True when a redelivery has nothing to do.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }
}

/// What a file is read by besides its header: the settings as they were when its first rows were settled. Whatever is
/// set differently since then holds for other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The collection of its objects, if it holds objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// How its rows are read.
    pub reading: Reading,
}

/// What the ledger says of the end, beside the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why, when it did not simply finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of that reason, when it is a fault of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The kind of its calls.
    pub kind: String,
    /// The collection, for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Column → JSON path and type.
    pub columns: Vec<String>,
    /// The key of the rejects file, if there are refused rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// When it ended, in ms since the epoch.
    pub at_ms: i64,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: u32,
    /// Grows by one with every write.
    pub sequence: u64,
    /// Random for every write: a lost answer can be told from a lost race.
    pub nonce: String,
    /// Grows by one with every owner.
    pub epoch: u32,
    /// Until when the owner may be at work, in ms since the epoch; 0 when released.
    pub lease_until_ms: i64,
    /// Where the file stands.
    pub phase: Phase,
    /// The product's version that wrote this.
    pub version: String,
    /// What is being ingested.
    pub object: Identity,
    /// The header, once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<StoredHeader>,
    /// What else it is read by, kept with the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The settled stretches, in the order of the file, without gaps.
    pub committed: Vec<Committed>,
    /// Where the next row begins.
    pub position: Position,
    /// What the settled rows came to.
    pub account: Account,
    /// The rejects parts that count.
    pub rejects: Vec<RejectsPart>,
    /// When the file was first begun, in ms since the epoch.
    pub started_ms: i64,
    /// When it last made progress, in ms since the epoch.
    pub progress_ms: i64,
    /// Since when every run ended in an outage without progress, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble_since_ms: Option<i64>,
    /// Whether that was too long, so that its message is on its way to the dead letters: only a new message starts
    /// afresh, the same one coming again does not.
    #[serde(default)]
    pub given_up: bool,
    /// Before then nobody is to begin, in ms since the epoch: Segment, or a storage, asked for a wait. A message that
    /// comes in between is one too many, and waits as well.
    #[serde(default)]
    pub not_before_ms: i64,
    /// Requests spent so far on finding out which calls are guilty.
    #[serde(default)]
    pub bisection_requests: u32,
    /// How it ended, once it has: rejects file and ledger are made of this document and of nothing else, so whoever
    /// makes them, and however often, they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// Read before the rest, which may look different in another layout.
#[derive(Deserialize)]
struct Layout {
    format: u32,
}

/// Bytes that are no checkpoint of ours.
#[derive(Debug, thiserror::Error)]
pub enum NotACheckpoint {
    /// Not JSON, or not as we write it.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Written by a version that we do not know.
    #[error("it has format {0}, and this version knows {FORMAT}")]
    Format(u32),
}

/// What whoever read a checkpoint does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has begun: create this.
    Begin(Box<Checkpoint>),
    /// Nobody is at work any more: replace it by this.
    TakeOver(Box<Checkpoint>),
    /// Somebody is at work until then (ms since the epoch), or it is to wait until then.
    Busy(i64),
    /// There is nothing left to do.
    Ended(Phase),
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Random, for this write.
    pub nonce: String,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// How long the lease is to last.
    pub lease_ms: i64,
    /// True when a file that had failed starts afresh: a person sent it again.
    pub afresh: bool,
}

/// Decides what to do with a file, given its checkpoint as it was read.
#[must_use]
pub fn claim(found: Option<Checkpoint>, object: &Identity, by: Claimant) -> Claim {
    let lease_until_ms = by.now_ms + by.lease_ms;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let Some(found) = found else {
        return Claim::Begin(Box::new(Checkpoint {
            format: FORMAT,
            sequence: 0,
            nonce: by.nonce,
            epoch: 0,
            lease_until_ms,
            phase: Phase::Running,
            version,
            object: object.clone(),
            header: None,
            terms: None,
            committed: Vec::new(),
            position: Position { byte: 0, line: 1 },
            account: Account::default(),
            rejects: Vec::new(),
            started_ms: by.now_ms,
            progress_ms: by.now_ms,
            trouble_since_ms: None,
            given_up: false,
            not_before_ms: 0,
            bisection_requests: 0,
            ending: None,
        }));
    };
    if found.phase.is_terminal() {
        return Claim::Ended(found.phase);
    }
    let free_at_ms = found.lease_until_ms.max(found.not_before_ms);
    if by.now_ms < free_at_ms {
        return Claim::Busy(free_at_ms);
    }
    let starts_afresh = by.afresh && found.given_up;
    Claim::TakeOver(Box::new(Checkpoint {
        given_up: found.given_up && !starts_afresh,
        trouble_since_ms: found.trouble_since_ms.filter(|_| !starts_afresh),
        sequence: found.sequence + 1,
        nonce: by.nonce,
        epoch: found.epoch + 1,
        lease_until_ms,
        not_before_ms: 0,
        version,
        ..found
    }))
}

impl Checkpoint {
    /// Its key in the state bucket.
    #[must_use]
    pub fn key(stream: &str) -> String {
        format!("ingest/{stream}/checkpoint.json")
    }

    /// The next write by the same owner.
    #[must_use]
    pub fn next(&self, nonce: String, lease_until_ms: i64) -> Self {
        Self { sequence: self.sequence + 1, nonce, lease_until_ms, ..self.clone() }
    }

    /// The last write by the same owner.
    #[must_use]
    pub fn end(&self, nonce: String, phase: Phase, ending: Ending) -> Self {
        Self { phase, ending: Some(ending), ..self.next(nonce, 0) }
    }

    /// The rejects part that the next refused rows belong to, if it is begun and not full.
    #[must_use]
    pub fn open_part(&self) -> Option<&RejectsPart> {
        self.rejects.last().filter(|part| part.bytes > 0 && part.bytes < REJECTS_PART_BYTES)
    }

    /// Counts in a settled stretch that begins where the last one ended. A rejects part that begins where the last one
    /// did is that one grown, and takes its place.
    pub fn commit(&mut self, to: Position, account: &Account, rejects: Option<RejectsPart>, now_ms: i64) {
        let from = self.position.byte;
        if to.byte > from {
            match self.committed.last_mut() {
                Some(last) if last.epoch == self.epoch && last.to == from => last.to = to.byte,
                _ => self.committed.push(Committed { epoch: self.epoch, from, to: to.byte }),
            }
            self.progress_ms = now_ms;
            self.trouble_since_ms = None;
        }
        self.position = to;
        self.account.add(account);
        if let Some(part) = rejects {
            self.rejects.pop_if(|last| last.from == part.from);
            self.rejects.push(part);
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// From JSON.
    ///
    /// # Errors
    /// When it is no checkpoint, or one of another layout.
    pub fn from_json(bytes: &[u8]) -> Result<Self, NotACheckpoint> {
        let Layout { format } = serde_json::from_slice(bytes)?;
        if format == FORMAT { Ok(serde_json::from_slice(bytes)?) } else { Err(NotACheckpoint::Format(format)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Identity {
        Identity {
            source_id: "s".into(),
            bucket: "b".into(),
            key: "track_1.csv".into(),
            version_id: None,
            etag: "\"e\"".into(),
            modified_ms: 5,
            bytes: 9,
            replay: None,
        }
    }

    fn by(now_ms: i64) -> Claimant {
        Claimant { nonce: format!("n{now_ms}"), now_ms, lease_ms: 10, afresh: false }
    }

    fn begun() -> Checkpoint {
        match claim(None, &object(), by(100)) {
            Claim::Begin(checkpoint) => *checkpoint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_upload_has_the_same_stream_and_any_other_has_another() {
        let stream = object().stream();
        assert_eq!(stream.len(), 32);
        assert_eq!(Identity { bytes: 1, ..object() }.stream(), stream);
        for other in [
            Identity { source_id: "t".into(), ..object() },
            Identity { bucket: "c".into(), ..object() },
            Identity { key: "track_2.csv".into(), ..object() },
            Identity { etag: "\"f\"".into(), ..object() },
            Identity { modified_ms: 6, ..object() },
            Identity { version_id: Some("v".into()), ..object() },
            Identity { replay: Some("r".into()), ..object() },
            Identity { source_id: "sb".into(), bucket: String::new(), ..object() },
        ] {
            assert_ne!(other.stream(), stream, "{other:?}");
        }
        let version = |etag: &str, modified_ms| {
            Identity { version_id: Some("v".into()), etag: etag.into(), modified_ms, ..object() }.stream()
        };
        assert_eq!(version("\"e\"", 5), version("\"f\"", 6), "a version id tells alone");
        assert_eq!(Identity { version_id: Some("null".into()), ..object() }.stream(), stream);
    }

    #[test]
    fn a_live_lease_is_respected_and_an_old_one_is_taken_over_in_a_new_epoch() {
        let first = begun();
        assert_eq!(claim(Some(first.clone()), &object(), by(109)), Claim::Busy(110));
        let Claim::TakeOver(second) = claim(Some(first), &object(), by(110)) else { panic!("taken over") };
        assert_eq!((second.epoch, second.sequence, second.nonce.as_str()), (1, 1, "n110"));
    }

    #[test]
    fn a_failed_file_starts_afresh_only_for_a_new_message() {
        let failed = Checkpoint { given_up: true, trouble_since_ms: Some(5), lease_until_ms: 0, ..begun() };
        for (afresh, expected) in [(false, (true, Some(5))), (true, (false, None))] {
            let by = Claimant { afresh, ..by(200) };
            let Claim::TakeOver(next) = claim(Some(failed.clone()), &object(), by) else { panic!("taken over") };
            assert_eq!((next.given_up, next.trouble_since_ms), expected);
        }
        let waiting = Checkpoint { given_up: false, ..failed };
        let by = Claimant { afresh: true, ..by(200) };
        let Claim::TakeOver(next) = claim(Some(waiting), &object(), by) else { panic!("taken over") };
        assert_eq!(next.trouble_since_ms, Some(5), "a file that has not failed remembers its trouble");
    }

    #[test]
    fn an_ended_file_is_not_begun_again() {
        for phase in [Phase::Finished, Phase::Stopped, Phase::Replaced] {
            let ended = Checkpoint { phase, ..begun() };
            assert_eq!(claim(Some(ended), &object(), by(1_000)), Claim::Ended(phase));
        }
    }

    #[test]
    fn commits_of_one_owner_are_one_range_and_the_next_owner_has_its_own() {
        let mut first = begun();
        let at = |byte, line| Position { byte, line };
        first.commit(at(10, 2), &Account::default(), None, 101);
        first.commit(at(30, 4), &Account::default(), None, 102);
        let Claim::TakeOver(mut second) = claim(Some(first), &object(), by(200)) else { panic!("taken over") };
        second.commit(at(50, 6), &Account::default(), None, 201);
        let ranges: Vec<_> = second.committed.iter().map(|c| (c.epoch, c.from, c.to)).collect();
        assert_eq!(ranges, [(0, 0, 30), (1, 30, 50)]);
        assert_eq!((second.position, second.progress_ms), (at(50, 6), 201));
    }

    #[test]
    fn the_parts_of_refused_rows_grow_in_size_before_they_grow_in_number() {
        let mut checkpoint = begun();
        let (commits, bytes) = (10_000, 3_000);
        for commit in 0..commits {
            let (from, to) = (commit * 10, commit * 10 + 10);
            let open = checkpoint.open_part().copied();
            let (from, rows, before) = open.map_or((from, 0, 0), |part| (part.from, part.rows, part.bytes));
            let part = RejectsPart { epoch: 0, from, to, rows: rows + 1, bytes: before + bytes };
            checkpoint.commit(Position { byte: to, line: to }, &Account::default(), Some(part), 0);
        }
        assert!(checkpoint.rejects.len() as u64 <= commits * bytes / REJECTS_PART_BYTES + 1);
        assert_eq!(checkpoint.rejects.iter().map(|part| part.rows).sum::<u64>(), commits);
        assert!(checkpoint.rejects.windows(2).all(|two| two[0].to <= two[1].from), "each row is in one of them");
    }

    #[test]
    fn a_part_whose_size_is_not_known_does_not_grow() {
        let mut checkpoint = begun();
        let part = r#"{"epoch": 0, "from": 0, "to": 10, "rows": 1}"#;
        checkpoint.rejects.push(serde_json::from_str(part).unwrap());
        assert_eq!(checkpoint.open_part(), None);
    }

    #[test]
    fn the_list_of_parts_stays_small_enough_to_be_written_every_few_seconds() {
        let part = |nth: u64| RejectsPart {
            epoch: 9_999,
            from: nth * (1 << 40),
            to: (nth + 1) * (1 << 40),
            rows: 1 << 20,
            bytes: REJECTS_PART_BYTES,
        };
        let full = Checkpoint { rejects: (0..REJECTS_PARTS_MAX as u64).map(part).collect(), ..begun() };
        assert!(full.to_json().len() < 1 << 20, "{} bytes", full.to_json().len());
    }

    #[test]
    fn a_file_that_waits_for_its_turn_is_left_alone_until_then() {
        let waits = Checkpoint { lease_until_ms: 0, not_before_ms: 500, ..begun() };
        assert_eq!(claim(Some(waits.clone()), &object(), by(499)), Claim::Busy(500));
        let Claim::TakeOver(next) = claim(Some(waits), &object(), by(500)) else { panic!("taken over") };
        assert_eq!(next.not_before_ms, 0);
    }

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let mut document: serde_json::Value = serde_json::from_slice(&begun().to_json()).unwrap();
        for later in ["not_before_ms", "bisection_requests"] {
            assert!(document.as_object_mut().unwrap().remove(later).is_some(), "{later}");
        }
        let read = Checkpoint::from_json(&serde_json::to_vec(&document).unwrap()).unwrap();
        assert_eq!((read.not_before_ms, read.bisection_requests), (0, 0));
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let checkpoint = begun();
        assert_eq!(Checkpoint::from_json(&checkpoint.to_json()).unwrap(), checkpoint);
        let of_tomorrow = Checkpoint::from_json(br#"{"format": 9, "all": "different"}"#).unwrap_err();
        assert_eq!(of_tomorrow.to_string(), "it has format 9, and this version knows 1");
    }
}
