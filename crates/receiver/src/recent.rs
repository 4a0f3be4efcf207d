//! The last calls received, to be looked at; not a record.

use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// As many as Segment's own debugger shows.
const SEEN_MAX: usize = 500;

/// One received call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When it was received, in ms since the epoch.
    pub at_ms: i64,
    /// The source.
    pub source: String,
    /// The call, or an object with its collection.
    pub call: Map<String, Value>,
}

/// The last calls.
#[derive(Debug, Default)]
pub struct Recent {
    seen: Mutex<VecDeque<Seen>>,
}

impl Recent {
    pub(crate) fn note(&self, seen: impl IntoIterator<Item = Seen>) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(seen);
        let surplus = all.len().saturating_sub(SEEN_MAX);
        all.drain(..surplus);
    }

    /// The last calls, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
