//! Invocations by S3 Batch Operations: each object goes to the queue, and is ingested from there.

use crate::app::App;
use aws::telemetry;
use ingestion::deadline::Deadline;
use ingestion::notification::{Batch, BatchAnswer, Notice, ResultCode, Task};
use ingestion::trouble::Trouble;
use serde_json::json;
use std::time::Duration;
use tracing::Level;

impl App {
    /// Queues the object of each task. It ingests none, so that pace and concurrency hold.
    pub(crate) async fn queue_batch(&self, batch: &Batch, deadline: Deadline) -> BatchAnswer {
        let mut results = Vec::with_capacity(batch.tasks.len());
        for task in &batch.tasks {
            let (code, words) = self.queue_task(task, deadline).await;
            if code != ResultCode::Succeeded {
                let object = task.notice.as_ref().ok().map(|notice| format!("s3://{}/{}", notice.bucket, notice.key));
                telemetry::summary(Level::ERROR, "an object is not queued", json!({"object": object, "reason": words}));
            }
            results.push((code, words));
        }
        batch.answer(results)
    }

    async fn queue_task(&self, task: &Task, deadline: Deadline) -> (ResultCode, String) {
        let notice = match &task.notice {
            Ok(notice) => Notice { event_ms: Some(self.clock.now_ms()), ..notice.clone() },
            Err(fault) => return (ResultCode::PermanentFailure, fault.to_string()),
        };
        let Some(queue) = &self.queue else {
            let words = "QUEUE_URL is not set: the objects of a job are ingested from the queue";
            return (ResultCode::PermanentFailure, words.to_owned());
        };
        let left_ms = u64::try_from(deadline.hand_on_at_ms - self.clock.now_ms()).unwrap_or(0);
        let sent = tokio::time::timeout(Duration::from_millis(left_ms), queue.send(&notice, 0)).await;
        match sent.unwrap_or_else(|_| Err(Trouble::out_of_time())) {
            Ok(()) => (ResultCode::Succeeded, "queued".to_owned()),
            Err(trouble) => {
                let code = match trouble.is_transient() {
                    true => ResultCode::TemporaryFailure,
                    false => ResultCode::PermanentFailure,
                };
                (code, format!("the queue did not take the object: {trouble}"))
            }
        }
    }
}
