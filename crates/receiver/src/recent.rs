//! The last received calls, for a person to inspect.

use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// As many as Segment's own debugger shows.
const SEEN_MAX: usize = 500;

/// One received call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The source.
    pub source: String,
    /// The call as it is kept.
    pub call: Map<String, Value>,
}

/// The last calls, as lines.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<(String, Vec<u8>)>>);

impl Recent {
    /// Notes the lines of a source.
    pub(crate) fn note(&self, source: &str, lines: &[u8]) {
        // Only the last ones of a large write are copied.
        let last = lines.split_inclusive(|byte| *byte == b'\n').rev().take(SEEN_MAX);
        let last: Vec<_> = last.map(|line| (source.to_owned(), line.to_vec())).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(last.into_iter().rev());
        let surplus = all.len().saturating_sub(SEEN_MAX);
        all.drain(..surplus);
    }

    /// The last calls, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(source, line): &(String, Vec<u8>)| {
            Some(Seen { source: source.clone(), call: serde_json::from_slice(line).ok()? })
        };
        all.iter().filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_500_calls_are_kept() {
        let lines = |count: usize| (0..count).map(|number| format!("{{\"n\":{number}}}\n")).collect::<String>();
        let recent = Recent::default();
        recent.note("s", lines(700).as_bytes());
        recent.note("s", lines(450).as_bytes());
        let kept: Vec<_> = recent.all().iter().map(|seen| seen.call["n"].as_u64().unwrap()).collect();
        assert_eq!((kept.len(), kept[0], kept[49], kept[50], kept[499]), (500, 650, 699, 0, 449));
    }
}
