//! The outcome index: for each end or failure of a file one small document, by day and by key.
//!
//! The documents follow from the end of a file and can be written again. Nothing else depends on them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::format::{self, Unreadable};
use crate::id::{Nonce, SourceId, StreamId};
use crate::keys;

mod listed;

pub use listed::ListedOutcome;

/// The mappings of one key whose outcomes are kept. A key that more mappings read loses the oldest outcomes.
pub const FILES_MAX: usize = 64;

/// How a file ended, or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every row is settled.
    Finished,
    /// Too many rows were refused, or the rest cannot be read.
    Stopped,
    /// Another object took its place.
    Replaced,
    /// The object of an event does not exist.
    Missing,
    /// Not one of our files: nothing of it was read.
    Refused,
    /// One try failed. The message comes again, or is a dead letter.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Finished, Self::Stopped, Self::Replaced, Self::Missing, Self::Refused, Self::Failed];

    /// The word of the documents and keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// True if no redelivery changes it: the file has a ledger.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped | Self::Replaced)
    }
}

/// The end or the failure of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOutcome {
    /// See [`format::OUTCOME`].
    pub format: u32,
    /// The product's version that wrote it.
    pub version: String,
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of that reason, when it is a fault of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The source that its calls go to, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<SourceId>,
    /// The mapping that reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// The kind of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The collection, for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The upload, once the object was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// The account of its rows so far, without findings.
    pub account: Account,
    /// The first line that is not settled, when it did not finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered_from_line: Option<u64>,
    /// Where the ledger is, as a URI, if the file has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// Where the refused rows are, as a URI, if the file has ended with refused rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// When the file was begun, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended or failed, RFC 3339.
    pub at: String,
    /// The same, in ms since the epoch.
    pub at_ms: i64,
}

impl FileOutcome {
    /// From JSON.
    ///
    /// # Errors
    /// If it is not such a document, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        format::OUTCOME.read(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format::to_json(self)
    }

    /// Where the index by day has it. The same outcome has the same key.
    #[must_use]
    pub fn day_key(&self) -> String {
        let mapping = self.mapping.as_deref().unwrap_or_default();
        let hash = hash(&[&self.bucket, &self.key, mapping]);
        keys::outcome_of_day(self.at_ms, &hash, self.outcome, &ListedOutcome::from(self).parts())
    }

    /// True if it is the same end of the same file.
    fn is_end_of(&self, stream: Option<StreamId>) -> bool {
        self.outcome.is_final() && self.stream.is_some() && self.stream == stream
    }

    /// True if a reader of the index should see it in the place of `known`, which is about the same key and mapping.
    ///
    /// An end of an upload is final: no failure of it replaces it. Otherwise the later one counts.
    fn replaces(&self, known: &Self) -> bool {
        if known.is_end_of(self.stream) {
            return self.outcome.is_final();
        }
        self.at_ms >= known.at_ms
    }
}

/// The last outcomes of one key: one for each mapping that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyOutcomes {
    /// See [`format::OUTCOME`].
    pub format: u32,
    /// Random for every write, to distinguish a lost answer from a lost race.
    pub nonce: Nonce,
    /// The outcomes, the latest first.
    pub files: Vec<FileOutcome>,
}

impl KeyOutcomes {
    /// From JSON.
    ///
    /// # Errors
    /// If it is not such a document, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        format::OUTCOME.read(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format::to_json(self)
    }

    /// The document with one more outcome; `None` if it stays as it is.
    #[must_use]
    pub fn with(before: Option<&Self>, outcome: &FileOutcome, nonce: Nonce) -> Option<Self> {
        let mut files = before.map(|before| before.files.clone()).unwrap_or_default();
        let of_same = |known: &FileOutcome| known.mapping == outcome.mapping;
        if files.iter().any(|known| of_same(known) && (known == outcome || !outcome.replaces(known))) {
            return None;
        }
        files.retain(|known| !of_same(known));
        files.push(outcome.clone());
        files.sort_by_key(|known| std::cmp::Reverse(known.at_ms));
        files.truncate(FILES_MAX);
        Some(Self { format: format::OUTCOME.newest, nonce, files })
    }
}

/// Where the index by key has the outcomes of an object.
#[must_use]
pub fn key_of(bucket: &str, key: &str) -> String {
    keys::outcomes_of_key(&hash(&[bucket, key]))
}

/// 128 bits of a hash, in hexadecimal digits.
fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths keep two parts from running into each other.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rfc3339;

    fn outcome(outcome: Outcome, at_ms: i64, stream: u8) -> FileOutcome {
        FileOutcome {
            format: 1,
            version: "0".to_owned(),
            bucket: "inbox".to_owned(),
            key: "track_1.csv".to_owned(),
            outcome,
            reason: None,
            code: None,
            source_id: None,
            mapping: None,
            kind: None,
            collection: None,
            stream: Some(StreamId::new([stream; 16])),
            account: Account::default(),
            undelivered_from_line: None,
            ledger: None,
            rejects: None,
            started: None,
            at: rfc3339(at_ms),
            at_ms,
        }
    }

    fn with(before: Option<&KeyOutcomes>, one: &FileOutcome) -> Option<KeyOutcomes> {
        KeyOutcomes::with(before, one, Nonce::new([1; 16]))
    }

    #[test]
    fn the_end_of_an_upload_is_final_and_otherwise_the_later_outcome_counts() {
        use Outcome::{Failed, Finished, Missing};
        for (before, next, expected) in [
            (outcome(Failed, 1, 1), outcome(Finished, 2, 1), Some(Finished)),
            (outcome(Finished, 1, 1), outcome(Failed, 2, 1), None),
            (outcome(Finished, 1, 1), outcome(Failed, 2, 2), Some(Failed)),
            (outcome(Failed, 2, 2), outcome(Finished, 1, 1), None),
            (outcome(Failed, 2, 1), outcome(Finished, 1, 1), None),
            (outcome(Finished, 1, 1), outcome(Missing, 2, 2), Some(Missing)),
            (outcome(Finished, 1, 1), outcome(Finished, 1, 1), None),
        ] {
            let before = with(None, &before).unwrap();
            let after = with(Some(&before), &next);
            assert_eq!(after.map(|after| after.files[0].outcome), expected, "{before:?} {next:?}");
        }
    }

    #[test]
    fn each_mapping_of_a_key_has_its_own_outcome_and_the_latest_is_the_first() {
        let mut all = None;
        for at_ms in 0..100 {
            let mapping = Some(format!("m{}", at_ms % 80));
            let next = FileOutcome { mapping, ..outcome(Outcome::Finished, at_ms, 1) };
            // The second outcome of a mapping is about another upload.
            let next = FileOutcome { stream: Some(StreamId::new([u8::try_from(at_ms).unwrap(); 16])), ..next };
            all = with(all.as_ref(), &next).or(all);
        }
        let files = all.unwrap().files;
        let times: Vec<i64> = files.iter().map(|file| file.at_ms).collect();
        assert_eq!(times, (36..100).rev().collect::<Vec<i64>>());
    }

    #[test]
    fn the_keys_of_two_objects_differ_and_those_of_one_outcome_do_not() {
        assert_ne!(key_of("a", "bc"), key_of("ab", "c"));
        let one = outcome(Outcome::Finished, 5, 1);
        assert_eq!(one.day_key(), FileOutcome { reason: Some("r".to_owned()), ..one.clone() }.day_key());
        assert_ne!(one.day_key(), FileOutcome { mapping: Some("m".to_owned()), ..one.clone() }.day_key());
    }

    #[test]
    fn the_key_of_an_outcome_says_all_that_a_list_shows() {
        for outcome_of in Outcome::ALL {
            let account = Account { rows: 3, acknowledged: 2, rejected: 1, ..Account::default() };
            let plain = FileOutcome { account, ..outcome(outcome_of, 1_557_606_747_940, 1) };
            let coded =
                FileOutcome { code: Some("not_csv".to_owned()), mapping: Some("-a".to_owned()), ..plain.clone() };
            for key in ["in/track_1.csv", "../a//b=c/d.json", "\u{1}é%2F+ \n", &"k".repeat(780)] {
                for one in [&plain, &coded] {
                    let one = FileOutcome { key: key.to_owned(), ..one.clone() };
                    let listed = ListedOutcome::of_day_key(&one.day_key());
                    assert_eq!(listed, Some(ListedOutcome::from(&one)), "{}", one.day_key());
                }
            }
        }
    }

    /// Deployed keys do not change, because another version reads them.
    #[test]
    fn a_key_without_what_a_list_shows_sends_its_reader_to_the_document() {
        let plain = outcome(Outcome::Finished, 1_557_606_747_940, 1);
        assert_eq!(
            plain.day_key(),
            "outcomes/by-day/2019-05-11/12452059-15f71f2f6439e5492680bd056d53f09c-finished/rows=0/acknowledged=0/rejected=0/bucket=inbox/key=track_1.csv.json"
        );
        let long = FileOutcome { key: "é".repeat(512), ..plain.clone() };
        for key in [long.day_key(), "outcomes/by-day/2019-05-11/12452059-ab-finished.json".to_owned()] {
            assert!(key.len() < 100 && ListedOutcome::of_day_key(&key).is_none(), "{key}");
        }
    }
}
