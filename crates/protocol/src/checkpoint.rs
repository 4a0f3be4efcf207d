//! The commit record of a file: one small object in the state bucket, changed only by compare-and-swap.
//!
//! It has the owner of the file and the lease, the committed ranges, and the account of the settled rows. Everything
//! that a killed run left behind outside the committed ranges is garbage by definition.

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::committed::CommittedRange;
use crate::format::{self, Numbers, Unreadable};
use crate::id::{Epoch, Nonce, StreamId};
use crate::keys;
use crate::position::{ByteRange, Position};
use crate::profile::Profile;
use crate::reading::{Reading, StoredHeader};
use crate::upload::Identity;

/// The bytes of refused rows in one part before the next part begins. Until then each commit writes a longer version of
/// the open part. So the list of parts grows with the refused rows, not with time. The shorter versions are garbage: on
/// average at most half of this size for each commit.
pub const REJECTS_PART_BYTES: u64 = 1 << 20;
/// This many parts stop the file. They have 4 GB of refused rows and need almost 1 MB of checkpoint in each commit.
pub const REJECTS_PARTS_MAX: usize = 4_000;

/// A piece of the rejects file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectsPart {
    /// Whose work it is.
    pub epoch: Epoch,
    /// The bytes whose refused rows it holds.
    #[serde(flatten)]
    pub range: ByteRange,
    /// How many rows it holds.
    pub rows: u64,
    /// Its size; 0 where it was not written down yet.
    #[serde(default)]
    pub bytes: u64,
}

impl RejectsPart {
    /// Its key in the state bucket.
    #[must_use]
    pub fn key(&self, stream: StreamId) -> String {
        keys::rejects_part(stream, self.epoch, self.range)
    }
}

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A run works on it, or will.
    Running,
    /// Every row is settled.
    Finished,
    /// Too many rows were refused, or the rest cannot be read. The rest is not sent.
    Stopped,
    /// Another object took its place, or it was deleted. The other object has its own S3 event.
    Replaced,
}

impl Phase {
    /// True when a redelivery has nothing to do.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Running
    }
}

/// The settings for reading a file, as they were when its first rows were settled. Whatever is set differently since
/// then holds for other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The collection of its objects, if it holds objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// How its rows are read.
    pub reading: Reading,
}

/// The part of the ledger about the end of the file.
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
    /// Warnings about the columns and the dialect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The key of the rejects file, if there are refused rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// When it ended, in ms since the epoch.
    pub at_ms: i64,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// See [`format::CHECKPOINT`].
    pub format: u32,
    /// Grows by one with every write.
    pub sequence: u64,
    /// Random for every write, to distinguish a lost answer from a lost race.
    pub nonce: Nonce,
    /// Grows by one with every owner.
    pub epoch: Epoch,
    /// Until when the owner may be at work, in ms since the epoch; 0 when released.
    pub lease_until_ms: i64,
    /// Where the file stands.
    pub phase: Phase,
    /// The product's version that wrote this.
    pub version: String,
    /// The upload.
    pub object: Identity,
    /// The header, once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<StoredHeader>,
    /// How its bytes are read ([`format::READING`]), kept with the header. A header without it is of the first format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading_format: Option<u32>,
    /// The settings for reading, kept with the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// The settled stretches, in the order of the file, without gaps.
    pub committed: Vec<CommittedRange>,
    /// Where the next row begins.
    pub position: Position,
    /// The account of the settled rows.
    pub account: Account,
    /// The profile of the settled rows. A file that is begun without one ends without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The rejects parts that count.
    pub rejects: Vec<RejectsPart>,
    /// When the file was first begun, in ms since the epoch.
    pub started_ms: i64,
    /// When it last made progress, in ms since the epoch.
    pub progress_ms: i64,
    /// Since when every run ended in an outage without progress, in ms since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble_since_ms: Option<i64>,
    /// Whether it failed because that took too long, so that its message becomes a dead letter. Then only a new message
    /// starts the file again.
    #[serde(default)]
    pub given_up: bool,
    /// No run may begin before this time, in ms since the epoch, because Segment or S3 asked for a wait. A message that
    /// arrives before it is superfluous, and waits too.
    #[serde(default)]
    pub not_before_ms: i64,
    /// Requests that halving refused requests has cost the file.
    #[serde(default, rename = "bisection_requests")]
    pub halving_requests: u32,
    /// How the file ended. The rejects file and the ledger follow only from this document, so every run makes the same
    /// ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

impl Checkpoint {
    /// The next write by the same owner.
    #[must_use]
    pub fn next(&self, nonce: Nonce, lease_until_ms: i64) -> Self {
        let format = format::CHECKPOINT.newest;
        Self { format, sequence: self.sequence + 1, nonce, lease_until_ms, ..self.clone() }
    }

    /// The last write by the same owner.
    #[must_use]
    pub fn end(&self, nonce: Nonce, phase: Phase, ending: Ending) -> Self {
        Self { phase, ending: Some(ending), ..self.next(nonce, 0) }
    }

    /// Stores the header and the settings for reading, once the header was read. The rest of the file is read by it,
    /// whatever is set by then.
    pub fn keep_header(&mut self, header: &StoredHeader, terms: &Terms) {
        self.header = Some(header.clone());
        self.terms = Some(terms.clone());
        self.reading_format = Some(format::READING.newest);
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
                Some(last) if last.epoch == self.epoch && last.range.to == from => last.range.to = to.byte,
                _ => {
                    let range = ByteRange { from, to: to.byte };
                    self.committed.push(CommittedRange { epoch: self.epoch, range });
                }
            }
            self.progress_ms = now_ms;
            self.trouble_since_ms = None;
        }
        self.position = to;
        self.account.add(account);
        if let Some(part) = rejects {
            self.rejects.pop_if(|last| last.range.from == part.range.from);
            self.rejects.push(part);
        }
    }

    /// Adds the profile of the rows of a commit.
    pub fn add_profile(&mut self, profile: Option<Profile>) {
        match (&mut self.profile, profile) {
            (Some(all), Some(more)) => all.add(&more),
            (None, more) => self.profile = more,
            (Some(_), None) => {}
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format::to_json(self)
    }

    /// From JSON.
    ///
    /// # Errors
    /// If it is not a checkpoint, or its format or its way of reading is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let numbers = Numbers::read(json)?;
        numbers.check(format::CHECKPOINT)?;
        numbers.check_reading()?;
        Ok(serde_json::from_slice(json)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Claim, Claimant, claim};
    use crate::reading::{Compression, Delimiter, Dialect, Encoding, Quoting};
    use crate::upload::tests::object;

    fn by(now_ms: i64) -> Claimant {
        Claimant { nonce: Nonce::new([1; 16]), now_ms, lease_ms: 10, afresh: crate::claim::Afresh::No }
    }

    fn begun() -> Checkpoint {
        match claim(None, &object(), by(100)) {
            Claim::Begin(checkpoint) => *checkpoint,
            other => panic!("{other:?}"),
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
        let ranges: Vec<_> = second.committed.iter().map(|c| (c.epoch.0, c.range.from, c.range.to)).collect();
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
            let (from, rows, before) = open.map_or((from, 0, 0), |part| (part.range.from, part.rows, part.bytes));
            let part =
                RejectsPart { epoch: Epoch(0), range: ByteRange { from, to }, rows: rows + 1, bytes: before + bytes };
            checkpoint.commit(Position { byte: to, line: to }, &Account::default(), Some(part), 0);
        }
        assert!(checkpoint.rejects.len() as u64 <= commits * bytes / REJECTS_PART_BYTES + 1);
        assert_eq!(checkpoint.rejects.iter().map(|part| part.rows).sum::<u64>(), commits);
        assert!(
            checkpoint.rejects.windows(2).all(|two| two[0].range.to <= two[1].range.from),
            "each row is in one of them"
        );
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
            epoch: Epoch(9_999),
            range: ByteRange { from: nth * (1 << 40), to: (nth + 1) * (1 << 40) },
            rows: 1 << 20,
            bytes: REJECTS_PART_BYTES,
        };
        let full = Checkpoint { rejects: (0..REJECTS_PARTS_MAX as u64).map(part).collect(), ..begun() };
        assert!(full.to_json().len() < 1 << 20, "{} bytes", full.to_json().len());
    }

    #[test]
    fn the_checkpoint_of_an_earlier_version_is_read() {
        let mut document: serde_json::Value = serde_json::from_slice(&begun().to_json()).unwrap();
        for later in ["not_before_ms", "bisection_requests"] {
            assert!(document.as_object_mut().unwrap().remove(later).is_some(), "{later}");
        }
        let read = Checkpoint::from_json(&serde_json::to_vec(&document).unwrap()).unwrap();
        assert_eq!((read.not_before_ms, read.halving_requests), (0, 0));
    }

    #[test]
    fn a_checkpoint_round_trips() {
        let checkpoint = begun();
        assert_eq!(Checkpoint::from_json(&checkpoint.to_json()).unwrap(), checkpoint);
    }

    #[test]
    fn a_checkpoint_of_a_newer_version_is_refused_with_what_to_do() {
        let check = |json: &str, expected: &str| {
            let words = Checkpoint::from_json(json.as_bytes()).unwrap_err().to_string();
            let rest = "a newer version wrote it; deploy that version again, or replay the file";
            assert_eq!(words, format!("{expected}: {rest}"));
        };
        check(r#"{"format": 9, "all": "different"}"#, "format 9, and this version reads 1");
        check(
            r#"{"format": 1, "reading_format": 9, "header": "of another form"}"#,
            "reading format 9, and this version reads 2",
        );
    }

    #[test]
    fn a_file_is_read_in_the_way_in_which_it_was_begun() {
        let mut kept = begun();
        let dialect = Dialect {
            compression: Compression::None,
            encoding: Encoding::Utf8,
            bom: false,
            delimiter: Delimiter::Comma,
            quoting: Quoting::default(),
        };
        let rows_from = Position { byte: 7, line: 2 };
        let header =
            StoredHeader { dialect, text: "userId".into(), rows_from, fingerprint: "f".into(), warnings: Vec::new() };
        kept.keep_header(&header, &Terms { collection: None, reading: Reading::default() });
        assert_eq!(kept.reading_format, Some(format::READING.newest));
        let before = Checkpoint { reading_format: None, ..kept };
        let Claim::TakeOver(next) = claim(Some(before), &object(), by(1_000)) else { panic!("taken over") };
        assert_eq!(next.reading_format, None, "a header from before there were numbers is still of the first format");
    }
}
