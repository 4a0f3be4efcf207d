//! What happened in the last minutes, and word of each change for pages that are open.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// Entries that are kept, and for how long.
const ENTRIES_MAX: usize = 2_000;
const KEPT_MS: i64 = 15 * 60 * 1_000;
/// Word that a slow page may miss; it then reads everything anew.
const CHANGES_MAX: usize = 64;

/// Who saw something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seer {
    Receiver,
    Ingester,
    Exporter,
}

impl Seer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Seer::Receiver => "receiver",
            Seer::Ingester => "ingester",
            Seer::Exporter => "exporter",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Grows with each entry.
    pub(super) number: u64,
    pub(super) at_ms: i64,
    pub(super) seer: Seer,
    /// The source; empty if it is unknown.
    pub(super) source: String,
    /// The kind of a call, or the outcome of a file.
    pub(super) kind: String,
    pub(super) title: String,
    /// The whole as JSON: a call, or a report. Empty if there is nothing more than the title.
    pub(super) whole: String,
    /// Whether it was refused, or failed.
    pub(super) is_refused: bool,
}

/// A part of the page that is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Live,
    Files,
    Exports,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Change::Live => "live",
            Change::Files => "files",
            Change::Exports => "exports",
        }
    }
}

/// The last entries.
pub(super) struct Feed {
    entries: Mutex<(u64, VecDeque<Entry>)>,
    changes: broadcast::Sender<Change>,
}

impl Feed {
    pub(super) fn new() -> Feed {
        Feed { entries: Mutex::default(), changes: broadcast::Sender::new(CHANGES_MAX) }
    }

    /// Adds entries, whose numbers it gives.
    pub(super) fn add(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut held = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, kept) = &mut *held;
        for entry in entries {
            *count += 1;
            kept.push_back(Entry { number: *count, ..entry });
        }
        let newest_ms = kept.back().map_or(0, |entry| entry.at_ms);
        while kept.len() > ENTRIES_MAX || kept.front().is_some_and(|entry| newest_ms - entry.at_ms > KEPT_MS) {
            kept.pop_front();
        }
        drop(held);
        self.changed(Change::Live);
    }

    /// The entries, newest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).1.iter().rev().cloned().collect()
    }

    /// Says that a part is out of date.
    pub(super) fn changed(&self, change: Change) {
        // Without an open page no one listens.
        let _ = self.changes.send(change);
    }

    /// Word of each change from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_ms: i64) -> Entry {
        Entry {
            number: 0,
            at_ms,
            seer: Seer::Receiver,
            source: String::new(),
            kind: "track".to_owned(),
            title: String::new(),
            whole: String::new(),
            is_refused: false,
        }
    }

    #[test]
    fn the_newest_entries_of_the_last_minutes_are_kept() {
        let feed = Feed::new();
        feed.add((0..2_500).map(|_| entry(1_000)));
        assert_eq!(feed.entries().len(), ENTRIES_MAX);
        assert_eq!(feed.entries()[0].number, 2_500);
        feed.add([entry(1_000 + KEPT_MS + 1)]);
        assert_eq!(feed.entries().len(), 1);
    }

    #[test]
    fn an_open_page_hears_of_each_change() {
        let feed = Feed::new();
        let mut changes = feed.changes();
        feed.add([entry(0)]);
        feed.changed(Change::Files);
        assert_eq!([changes.try_recv().unwrap(), changes.try_recv().unwrap()], [Change::Live, Change::Files]);
    }
}
