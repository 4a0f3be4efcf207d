//! The last calls received, to be looked at; a record only where all are kept.

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
#[derive(Debug)]
pub struct Recent {
    seen: Mutex<VecDeque<Seen>>,
    seen_max: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { seen: Mutex::default(), seen_max: SEEN_MAX }
    }
}

impl Recent {
    /// All calls, for as long as the process lives.
    pub(crate) fn everything() -> Self {
        Self { seen_max: usize::MAX, ..Self::default() }
    }

    pub(crate) fn note(&self, seen: impl IntoIterator<Item = Seen>) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(seen);
        let surplus = all.len().saturating_sub(self.seen_max);
        all.drain(..surplus);
    }

    /// The last calls, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_kept_or_everything() {
        let calls = |count: i64| (0..count).map(|at_ms| Seen { at_ms, source: "s".to_owned(), call: Map::new() });
        for (recent, kept) in [(Recent::default(), 500), (Recent::everything(), 1_200)] {
            recent.note(calls(700));
            recent.note(calls(500));
            assert_eq!((recent.all().len(), recent.all().last().map(|seen| seen.at_ms)), (kept, Some(499)));
        }
    }
}
