//! The account of a file, and the ledger that keeps it when the file has ended.

use crate::checkpoint::{Checkpoint, Committed, Identity, Phase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What rows came to. `rows = acknowledged + rejected`, always; what is undelivered is in neither yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Rows settled; blank lines are not rows.
    pub rows: u64,
    /// Rows whose call Segment acknowledged.
    pub acknowledged: u64,
    /// Rows refused, by us or by Segment.
    pub rejected: u64,
    /// The refused rows by the code of their reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected_by: BTreeMap<String, u64>,
    /// Batches settled.
    pub batches: u64,
    /// Bytes of the calls' JSON that was acknowledged, before compression.
    pub call_bytes: u64,
}

impl Account {
    /// Adds another account to this.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.acknowledged += other.acknowledged;
        self.rejected += other.rejected;
        self.batches += other.batches;
        self.call_bytes += other.call_bytes;
        for (code, rows) in &other.rejected_by {
            *self.rejected_by.entry(code.clone()).or_default() += rows;
        }
    }

    /// What came to it since `earlier`: the plain counts, without the reasons.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rows: self.rows - earlier.rows,
            acknowledged: self.acknowledged - earlier.acknowledged,
            rejected: self.rejected - earlier.rejected,
            rejected_by: BTreeMap::new(),
            batches: self.batches - earlier.batches,
            call_bytes: self.call_bytes - earlier.call_bytes,
        }
    }

    /// Counts one refused row.
    pub fn reject(&mut self, code: &str) {
        self.rejected += 1;
        match self.rejected_by.get_mut(code) {
            Some(rows) => *rows += 1,
            None => {
                self.rejected_by.insert(code.to_owned(), 1);
            }
        }
    }

    /// Whether it adds up.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.rows == self.acknowledged + self.rejected && self.rejected == self.rejected_by.values().sum::<u64>()
    }
}

/// What is kept of a file that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
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
    /// What was ingested.
    pub object: Identity,
    /// Names its fragments and message ids.
    pub stream: String,
    /// The kind of its calls.
    pub kind: String,
    /// The collection, for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Column → JSON path and type.
    pub columns: Vec<String>,
    /// What its rows came to.
    pub account: Account,
    /// The first byte that was not settled, when it did not finish; decompressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered_from_byte: Option<u64>,
    /// The line that byte stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered_from_line: Option<u64>,
    /// The settled stretches: which of its fragments count.
    pub committed: Vec<Committed>,
    /// Where the refused rows are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<String>,
    /// How many owners worked on it.
    pub runs: u32,
    /// When it was begun, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
}

impl Ledger {
    /// Its key in the state bucket.
    #[must_use]
    pub fn key(stream: &str) -> String {
        format!("ingest/{stream}/ledger.json")
    }

    /// What is to be kept of a file that has ended; `None` while it has not. It follows from the checkpoint alone.
    #[must_use]
    pub fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let ending = checkpoint.ending.clone()?;
        let unfinished = checkpoint.phase != Phase::Finished;
        Some(Self {
            version: checkpoint.version.clone(),
            ended: checkpoint.phase,
            reason: ending.reason,
            code: ending.code,
            object: checkpoint.object.clone(),
            stream: checkpoint.object.stream(),
            kind: ending.kind,
            collection: ending.collection,
            columns: ending.columns,
            account: checkpoint.account.clone(),
            undelivered_from_byte: unfinished.then_some(checkpoint.position.byte),
            undelivered_from_line: unfinished.then_some(checkpoint.position.line),
            committed: checkpoint.committed.clone(),
            rejects: ending.rejects,
            runs: checkpoint.epoch + 1,
            started: rfc3339(checkpoint.started_ms),
            ended_at: rfc3339(ending.at_ms),
        })
    }
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
    fn an_account_adds_up_and_says_when_it_does_not() {
        let mut one = Account { rows: 3, acknowledged: 1, ..Account::default() };
        one.reject("missing_user_id");
        assert!(!one.closes());
        one.reject("missing_user_id");
        assert!(one.closes());
        let mut both = one.clone();
        both.add(&one);
        assert!(both.closes() && both.rejected_by["missing_user_id"] == 4);
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(1_557_606_747_940), "2019-05-11T20:32:27.940Z");
    }
}
