//! The account of a file: the counts of its rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// The counts of rows. Always `rows = acknowledged + rejected`. Undelivered rows are not counted yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Rows settled; blank lines, repeated headers and skipped rows are not counted.
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
    /// Blank lines, and records of nothing but delimiters and blanks. They are dropped: no rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub blank_rows: u64,
    /// Records that repeat the header, as joined exports have them. They are dropped: no rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated_headers: u64,
    /// Rows that a filter of the mapping leaves out. They are not sent, and are none of `rows`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_rows: u64,
    /// Findings: rows that were read with a doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Account {
    /// Adds another account to this.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.acknowledged += other.acknowledged;
        self.rejected += other.rejected;
        self.batches += other.batches;
        self.call_bytes += other.call_bytes;
        self.blank_rows += other.blank_rows;
        self.repeated_headers += other.repeated_headers;
        self.skipped_rows += other.skipped_rows;
        Finding::merge(&mut self.findings, &other.findings);
        for (code, rows) in &other.rejected_by {
            *self.rejected_by.entry(code.clone()).or_default() += rows;
        }
    }

    /// The counts since `earlier`, without reasons and findings.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rows: self.rows - earlier.rows,
            acknowledged: self.acknowledged - earlier.acknowledged,
            rejected: self.rejected - earlier.rejected,
            rejected_by: BTreeMap::new(),
            batches: self.batches - earlier.batches,
            call_bytes: self.call_bytes - earlier.call_bytes,
            blank_rows: self.blank_rows - earlier.blank_rows,
            repeated_headers: self.repeated_headers - earlier.repeated_headers,
            skipped_rows: self.skipped_rows - earlier.skipped_rows,
            findings: Vec::new(),
        }
    }

    /// The warnings about the rows: one of each kind, for all columns that have it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        Finding::all_in_words(&self.findings)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_does_not_add_up_is_detected() {
        let mut one = Account { rows: 3, acknowledged: 1, ..Account::default() };
        one.reject("missing_user_id");
        assert!(!one.closes());
        one.reject("missing_user_id");
        assert!(one.closes());
        let mut both = one.clone();
        both.add(&one);
        assert!(both.closes() && both.rejected_by["missing_user_id"] == 4);
    }
}
