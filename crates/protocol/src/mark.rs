//! The mark of a log object that its destination has.

use serde::{Deserialize, Serialize};

use crate::format::{self, Unreadable};

/// The document. That it exists says that the object is there. What it holds is for manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// See [`format::MARK`].
    pub format: u32,
    /// The key in the destination's bucket.
    pub key: String,
    /// The object's size, if this exporter made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When its first and its last event were received, in ms since the epoch, if this exporter read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_ms: Option<(i64, i64)>,
}

impl Mark {
    /// The mark of an object of which no more is known than its key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self { format: format::MARK.newest, key: key.to_owned(), bytes: None, received_ms: None }
    }

    /// From JSON.
    ///
    /// # Errors
    /// If it is not such a document, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        format::MARK.read(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}
