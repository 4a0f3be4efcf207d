//! The last received calls, for a person to inspect.

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
pub struct Recent(Mutex<VecDeque<Seen>>);

impl Recent {
    pub(crate) fn note(&self, seen: impl IntoIterator<Item = Seen>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(seen);
        let surplus = all.len().saturating_sub(SEEN_MAX);
        all.drain(..surplus);
    }

    /// The last calls, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_500_calls_are_kept() {
        let calls = |count: i64| (0..count).map(|at_ms| Seen { at_ms, source: "s".to_owned(), call: Map::new() });
        let recent = Recent::default();
        recent.note(calls(700));
        recent.note(calls(450));
        let kept: Vec<_> = recent.all().iter().map(|seen| seen.at_ms).collect();
        assert_eq!((kept.len(), kept[0], kept[49], kept[499]), (500, 650, 699, 449));
    }
}
