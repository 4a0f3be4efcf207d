//! Ids of objects that come again: the later object replaces the earlier one.

use calls::batches::Batch;
use calls::refusal::Warning;
use serde_json::Value;
use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Ids that are remembered, by 8 bytes each. Later ones are compared with them.
const IDS_MAX: usize = 1_000_000;

/// The ids of the objects of a file.
#[derive(Debug, Default)]
pub(super) struct Ids {
    seen: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    repeated: u64,
}

impl Ids {
    /// Takes the objects of a batch.
    pub(super) fn take(&mut self, batch: &Batch) {
        for call in 0..batch.calls.len() {
            let object: Option<Value> = serde_json::from_slice(batch.call(call)).ok();
            if let Some(id) = object.as_ref().and_then(|object| object["id"].as_str()) {
                self.add(id);
            }
        }
    }

    fn add(&mut self, id: &str) {
        let digest = self.seen.hasher().hash_one(id);
        if self.seen.contains(&digest) {
            self.repeated += 1;
        } else if self.seen.len() < IDS_MAX {
            self.seen.insert(digest);
        }
    }

    /// The warning about ids that came again. `column` has them.
    pub(super) fn warning(&self, column: &str) -> Option<Warning> {
        let rows = if self.repeated == 1 { "1 row has" } else { &format!("{} rows have", self.repeated) };
        let message = format!(
            "column `{column}`: {rows} the id of an earlier row, and the later object replaces the earlier one; choose a column with an id of its own in each row"
        );
        (self.repeated > 0).then(|| Warning { column: column.to_owned(), message })
    }
}
