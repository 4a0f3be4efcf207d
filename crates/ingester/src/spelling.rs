//! The key that a message written by hand means: performs the steps of [`Search`] and reports their results.

use crate::app::App;
use crate::targets::InForce;
use crate::trouble::of_source;
use ingestion::deadline::Deadline;
use ingestion::life::{Close, Search, Step};
use ingestion::notification::Notice;
use ingestion::trouble::{Remedy, Trouble};
use std::time::Duration;

impl App {
    /// The message with the key that it means.
    ///
    /// # Errors
    /// The end of the message, if no key is found.
    pub(crate) async fn spelled(
        &self,
        notice: Notice,
        receives: u32,
        in_force: &InForce,
        deadline: Deadline,
    ) -> Result<Notice, Close> {
        let is_name = |key: &str| in_force.can_read(key);
        let (mut search, mut step) =
            Search::begin(notice, receives, self.queue.is_some(), is_name, self.clock.now_ms());
        loop {
            let result = match step {
                Step::Ingest(notice) => return Ok(notice),
                Step::Close(close) => return Err(close),
                Step::Look(candidate) => self.within(deadline.cut_at_ms, self.look(&candidate)).await,
                Step::Send { notice, wait_ms } => self.within(deadline.ends_at_ms, self.send(&notice, wait_ms)).await,
            };
            step = search.on(result, self.clock.now_ms());
        }
    }

    async fn look(&self, notice: &Notice) -> Result<(), Trouble> {
        let bucket = self.source_bucket(&notice.bucket);
        bucket.open(&notice.key, &notice.version(), 1).await.map(drop).map_err(|fault| of_source(&fault))
    }

    /// Sends a message to our own queue.
    pub(crate) async fn send(&self, notice: &Notice, wait_ms: u64) -> Result<(), Trouble> {
        match &self.queue {
            Some(queue) => queue.send(notice, wait_ms).await,
            None => Err(Trouble::new(Remedy::Person, "QUEUE_URL is not set")),
        }
    }

    /// The result of a request, or a trouble at `until_ms`.
    pub(crate) async fn within<T>(
        &self,
        until_ms: i64,
        performing: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let left = Duration::from_millis(u64::try_from(until_ms - self.clock.now_ms()).unwrap_or(0));
        tokio::time::timeout(left, performing).await.unwrap_or_else(|_| Err(Trouble::out_of_time()))
    }
}
