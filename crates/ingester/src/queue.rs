//! The rest of a file, sent to ourselves.

use crate::trouble::of_queue;
use aws::Dice;
use aws::bucket::retried;
use aws::fault::{Fault, Operation};
use ingestion::notification::{Notice, continuation, rest_of};
use ingestion::trouble::Trouble;
use protocol::backfill::Backfill;

/// The queue that feeds this function.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    dice: Dice,
}

impl Queue {
    pub(crate) fn new(client: aws_sdk_sqs::Client, url: String, dice: Dice) -> Self {
        Self { client, url, dice }
    }

    /// Sends a message that asks for `notice`, to be seen after a delay.
    pub(crate) async fn send(&self, notice: &Notice, delay_ms: u64) -> Result<(), Trouble> {
        self.send_body(continuation(notice).to_string(), delay_ms).await
    }

    /// Sends a message that asks for the rest of a backfill.
    pub(crate) async fn send_backfill(&self, backfill: &Backfill) -> Result<(), Trouble> {
        self.send_body(rest_of(backfill).to_string(), 0).await
    }

    async fn send_body(&self, body: String, delay_ms: u64) -> Result<(), Trouble> {
        let seconds = i32::try_from(delay_ms.div_ceil(1_000)).unwrap_or(0);
        retried(&self.dice, || async {
            let sent = self.client.send_message().queue_url(&self.url).delay_seconds(seconds).message_body(&body);
            let answer = sent.send().await.map_err(|error| Fault::of(Operation::Send, &self.url, &error))?;
            match answer.message_id() {
                Some(_) => Ok(()),
                None => Err(Fault::foreign(
                    Operation::Send,
                    &self.url,
                    "the answer has no message id, so it is not from SQS",
                )),
            }
        })
        .await
        .map_err(|fault| of_queue(&fault))
    }

    /// Lets a message come again in `seconds`. If this fails, the queue's visibility timeout decides.
    pub(crate) async fn retry_after(&self, receipt: &str, seconds: i32) {
        let changed = retried(&self.dice, || async {
            let change = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt);
            let changed = change.visibility_timeout(seconds).send().await;
            changed.map(drop).map_err(|error| Fault::of(Operation::Postpone, &self.url, &error))
        });
        if let Err(fault) = changed.await {
            tracing::warn!(reason = %fault, "a failed message comes again only after the queue's visibility timeout");
        }
    }
}
