//! The progress of a backfill: which objects that were there before are in the queue.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::format::{self, Unreadable};
use crate::id::Nonce;
use crate::keys;

/// A request of a person: to ingest the objects under a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// The bucket's name.
    pub bucket: String,
    /// What their keys begin with. Empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// True to count only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A name that makes it another backfill of the same objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl Backfill {
    /// Its id: the same for the same bucket, prefix and tag.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.bucket, &self.prefix, self.tag.as_deref().unwrap_or_default()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(&hash.finalize()[..16])
    }

    /// Where its progress is.
    #[must_use]
    pub fn key(&self) -> String {
        keys::backfill(&self.id())
    }
}

/// The objects that a backfill has passed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Objects that are in the queue.
    pub files: u64,
    /// Their size in bytes, as stored.
    pub bytes: u64,
    /// The part of it that is compressed.
    pub compressed_bytes: u64,
    /// Objects that are no files of ours: their keys are ignored, no mapping and no source takes them, or they are empty.
    pub left_alone: u64,
}

impl Passed {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.compressed_bytes += other.compressed_bytes;
        self.left_alone += other.left_alone;
    }
}

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// See [`format::BACKFILL`].
    pub format: u32,
    /// Random for every write, to distinguish a lost answer from a lost race.
    pub nonce: Nonce,
    /// The request.
    pub backfill: Backfill,
    /// The objects up to [`after`](Progress::after).
    pub passed: Passed,
    /// The last key that was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// True once all objects are passed.
    pub done: bool,
    /// When it was begun, RFC 3339.
    pub started: String,
    /// When this was written, RFC 3339.
    pub at: String,
}

impl Progress {
    /// From JSON.
    ///
    /// # Errors
    /// If it is not such a document, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        format::BACKFILL.read(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format::to_json(self)
    }

    /// A backfill that has passed no object.
    #[must_use]
    pub fn begin(backfill: &Backfill, nonce: Nonce, now: &str) -> Self {
        Self {
            format: format::BACKFILL.newest,
            nonce,
            backfill: backfill.clone(),
            passed: Passed::default(),
            after: None,
            done: false,
            started: now.to_owned(),
            at: now.to_owned(),
        }
    }

    /// The same after more objects, the last of which has this key.
    #[must_use]
    pub fn pass(&self, more: &Passed, after: Option<String>, nonce: Nonce, now: &str) -> Self {
        let mut next = Self { nonce, at: now.to_owned(), ..self.clone() };
        next.passed.add(more);
        next.after = after.or(next.after);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_of_other_objects_or_with_another_tag_is_another() {
        let one = Backfill { bucket: "inbox".to_owned(), prefix: "in/".to_owned(), dry_run: false, tag: None };
        assert_eq!(one.id(), Backfill { dry_run: true, ..one.clone() }.id());
        for other in [
            Backfill { bucket: "outbox".to_owned(), ..one.clone() },
            Backfill { bucket: "inboxin/".to_owned(), prefix: String::new(), ..one.clone() },
            Backfill { tag: Some("again".to_owned()), ..one.clone() },
        ] {
            assert_ne!(one.id(), other.id());
        }
    }

    #[test]
    fn what_is_passed_adds_up_and_the_place_never_goes_back() {
        let backfill = Backfill { bucket: "b".to_owned(), prefix: String::new(), dry_run: false, tag: None };
        let begun = Progress::begin(&backfill, Nonce::new([1; 16]), "t");
        let more = Passed { files: 2, bytes: 30, compressed_bytes: 10, left_alone: 1 };
        let next = begun.pass(&more, Some("k".to_owned()), Nonce::new([2; 16]), "u");
        let next = next.pass(&more, None, Nonce::new([3; 16]), "v");
        assert_eq!(next.passed, Passed { files: 4, bytes: 60, compressed_bytes: 20, left_alone: 2 });
        assert_eq!((next.after.as_deref(), next.started.as_str(), next.at.as_str()), (Some("k"), "t", "v"));
    }
}
