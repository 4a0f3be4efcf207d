//! The account of a file: what its rows came to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
}
