//! The ledger: the document about a file that has ended.

use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::checkpoint::{Checkpoint, Phase, RejectsPart};
use crate::committed::CommittedRange;
use crate::format::{self, Unreadable};
use crate::id::StreamId;
use crate::profile::Profile;
use crate::upload::Identity;

/// The document about a file that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// See [`format::LEDGER`]. A document without a number has the first format.
    #[serde(default = "first")]
    pub format: u32,
    /// The product's version that ended it.
    pub version: String,
    /// How it ended.
    pub ended: Phase,
    /// Why, when it did not simply finish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of that reason, when it is a fault of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The upload.
    pub object: Identity,
    /// Names its fragments and message ids.
    pub stream: StreamId,
    /// The kind of its calls.
    pub kind: String,
    /// The collection, for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Column → JSON path and type.
    pub columns: Vec<String>,
    /// The account of its rows.
    pub account: Account,
    /// The profile of the columns, if one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The first byte that was not settled, when it did not finish; decompressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered_from_byte: Option<u64>,
    /// The line that byte stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered_from_line: Option<u64>,
    /// Warnings about columns and rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The settled stretches: which of its fragments count.
    pub committed: Vec<CommittedRange>,
    /// Where the refused rows are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// The pieces of the rejects file that were deleted before the file had ended. Their rows are refused, and are in no
    /// rejects file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects_missing: Vec<RejectsPart>,
    /// How many owners worked on it.
    pub runs: u32,
    /// When it was begun, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
}

impl Ledger {
    /// From JSON.
    ///
    /// # Errors
    /// If it is not a ledger, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        format::LEDGER.read(json)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        format::to_json(self)
    }

    /// The ledger of a file that has ended; `None` before its end. It follows from the checkpoint alone.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let ending = checkpoint.ending.clone()?;
        let unfinished = checkpoint.phase != Phase::Finished;
        Some(Self {
            format: format::LEDGER.newest,
            version: checkpoint.version.clone(),
            ended: checkpoint.phase,
            reason: ending.reason,
            code: ending.code,
            object: checkpoint.object.clone(),
            stream: checkpoint.object.stream(),
            kind: ending.kind,
            collection: ending.collection,
            columns: ending.columns,
            warnings: [ending.warnings, checkpoint.account.warnings()].concat(),
            account: Account { findings: Vec::new(), ..checkpoint.account.clone() },
            profile: checkpoint.profile.clone(),
            undelivered_from_byte: unfinished.then_some(checkpoint.position.byte),
            undelivered_from_line: unfinished.then_some(checkpoint.position.line),
            committed: checkpoint.committed.clone(),
            rejects: ending.rejects,
            rejects_missing: Vec::new(),
            runs: checkpoint.epoch.0 + 1,
            started: rfc3339(checkpoint.started_ms),
            ended_at: rfc3339(ending.at_ms),
        })
    }
}

fn first() -> u32 {
    format::FIRST
}

/// Milliseconds since the epoch as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| format!("{at:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(1_557_606_747_940), "2019-05-11T20:32:27.940Z");
    }
}
