//! The key that a message written by hand means.

use crate::app::App;
use crate::trouble::of_source;
use ingestion::deadline::Deadline;
use ingestion::notification::Notice;
use ingestion::trouble::Remedy;
use std::time::Duration;

impl App {
    /// The message with the first of its keys that exists. If none exists, or no answer comes in time, its key stays.
    ///
    /// This comes before anything that depends on the key: the mapping, the source, the name.
    pub(crate) async fn spelled(&self, notice: Notice, deadline: Deadline) -> Notice {
        if notice.spellings().nth(1).is_none() {
            return notice;
        }
        let left_ms = u64::try_from(deadline.cut_at_ms - self.clock.now_ms()).unwrap_or(0);
        let existing = tokio::time::timeout(Duration::from_millis(left_ms), self.existing(&notice)).await;
        existing.ok().flatten().unwrap_or(notice)
    }

    /// Any answer but that of a missing object chooses the key: the life of the file handles it.
    async fn existing(&self, notice: &Notice) -> Option<Notice> {
        let bucket = self.source_bucket(&notice.bucket);
        for candidate in notice.spellings() {
            match bucket.open(&candidate.key, &candidate.version(), 1).await {
                Err(fault) if of_source(&fault).remedy == Remedy::Gone => {}
                _ => return Some(candidate),
            }
        }
        None
    }
}
