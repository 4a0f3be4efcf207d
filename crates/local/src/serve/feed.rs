//! What happened in the last minutes, and word of each change for pages that are open.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// Entries that are kept, their bytes, and for how long.
const ENTRIES_MAX: usize = 2_000;
const BYTES_MAX: usize = 8 << 20;
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

#[derive(Default)]
struct Kept {
    /// How many entries there were.
    count: u64,
    bytes: usize,
    entries: VecDeque<Entry>,
}

/// The last entries.
pub(super) struct Feed {
    kept: Mutex<Kept>,
    /// The number of the last change.
    last: Mutex<u64>,
    changes: broadcast::Sender<(u64, Change)>,
}

impl Feed {
    /// The first change has the number after `last`. Pages stay open over a restart, so each start needs numbers of its own.
    pub(super) fn new(last: u64) -> Feed {
        Feed { kept: Mutex::default(), last: Mutex::new(last), changes: broadcast::Sender::new(CHANGES_MAX) }
    }

    /// Adds entries, whose numbers it gives.
    pub(super) fn add(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            kept.count += 1;
            kept.bytes += entry.bytes();
            let number = kept.count;
            kept.entries.push_back(Entry { number, ..entry });
        }
        kept.forget();
        drop(kept);
        self.changed(Change::Live);
    }

    /// The entries, newest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.iter().rev().cloned().collect()
    }

    /// Says that a part is out of date.
    pub(super) fn changed(&self, change: Change) {
        // It is sent while the number is locked, so that numbers arrive in their order.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        // Without an open page no one listens.
        let _ = self.changes.send((*last, change));
    }

    /// The number of the last change.
    pub(super) fn changed_last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last change, and word of each later one.
    pub(super) fn changes(&self) -> (u64, broadcast::Receiver<(u64, Change)>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (*last, self.changes.subscribe())
    }
}

impl Kept {
    /// Forgets the oldest entries, if there are too many.
    fn forget(&mut self) {
        let newest_ms = self.entries.back().map_or(0, |entry| entry.at_ms);
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX || newest_ms - oldest.at_ms > KEPT_MS)
        {
            self.bytes -= oldest.bytes();
            self.entries.pop_front();
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.title.len() + self.whole.len()
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
        let feed = Feed::new(0);
        feed.add((0..2_500).map(|_| entry(1_000)));
        assert_eq!(feed.entries().len(), ENTRIES_MAX);
        assert_eq!(feed.entries()[0].number, 2_500);
        feed.add([entry(1_000 + KEPT_MS + 1)]);
        assert_eq!(feed.entries().len(), 1);
        feed.add((0..20).map(|_| Entry { whole: "x".repeat(1 << 20), ..entry(1_000 + KEPT_MS + 1) }));
        assert_eq!(feed.entries().len(), 8);
    }

    #[test]
    fn an_open_page_hears_of_each_change() {
        let feed = Feed::new(7);
        feed.changed(Change::Exports);
        let (last, mut changes) = feed.changes();
        assert_eq!(last, 8);
        feed.add([entry(0)]);
        feed.changed(Change::Files);
        assert_eq!(
            [changes.try_recv().unwrap(), changes.try_recv().unwrap()],
            [(9, Change::Live), (10, Change::Files)]
        );
        assert_eq!(feed.changed_last(), 10);
    }
}
