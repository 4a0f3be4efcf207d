//! The messages of the dead-letter queue, as a person receives them.

use super::place::Place;
use crate::voice::warn;
use aws::bucket::retried;
use aws::fault::{Fault, Operation};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use ingestion::notification::{Entry, Notification, Wanted, read};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Messages of one request (SQS API reference, `ReceiveMessage`).
const BATCH_MAX: i32 = 10;
/// How long a message stays hidden while it is looked at or sent again. If this process is killed, it comes back then.
const HIDDEN_SECONDS: i32 = 120;
/// SQS asks all its servers only if it may wait (SQS developer guide, "Short and long polling").
const WAIT_SECONDS: i32 = 2;
/// Messages that are looked at.
const LOOKED_AT_MAX: usize = 10_000;

/// A message that was given up.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) body: String,
    receipt: String,
    pub(super) sent_ms: i64,
    pub(super) receives: u32,
}

impl Letter {
    fn of(message: Message) -> Letter {
        let number = |name: &MessageSystemAttributeName| {
            let value = message.attributes().and_then(|all| all.get(name));
            value.and_then(|value| value.parse::<i64>().ok()).unwrap_or_default()
        };
        Letter {
            id: message.message_id().unwrap_or_default().to_owned(),
            body: message.body().unwrap_or_default().to_owned(),
            receipt: message.receipt_handle().unwrap_or_default().to_owned(),
            sent_ms: number(&MessageSystemAttributeName::SentTimestamp),
            receives: u32::try_from(number(&MessageSystemAttributeName::ApproximateReceiveCount)).unwrap_or_default(),
        }
    }

    /// The objects that its event names, read as the ingester reads them.
    pub(super) fn objects(&self) -> Vec<(String, String)> {
        let Ok(payload) = serde_json::from_str::<Value>(&self.body) else { return Vec::new() };
        let record =
            json!({"eventSource": "aws:sqs", "messageId": self.id, "receiptHandle": "", "body": payload.to_string()});
        let wanted = Wanted { copies: true, restored: true };
        let Ok(Notification::Queue(messages)) = read(&json!({"Records": [record]}), wanted) else { return Vec::new() };
        let entries = messages.into_iter().flat_map(|message| message.entries);
        let of_entry = |entry| match entry {
            Entry::Ingest(notice) => Some((notice.bucket, notice.key)),
            Entry::Ignored(ignored) => Some((ignored.bucket, ignored.key)),
            Entry::Backfill(_) | Entry::Unreadable(_) => None,
        };
        // A test event of S3 names a bucket only.
        entries.filter_map(of_entry).filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()).collect()
    }
}

/// The queue.
pub(super) struct Letters<'a> {
    place: &'a Place,
    sqs: aws_sdk_sqs::Client,
    url: &'a str,
}

impl<'a> Letters<'a> {
    pub(super) fn new(place: &'a Place, url: &'a str) -> Letters<'a> {
        Letters { place, sqs: place.sqs(), url }
    }

    /// All messages, which stay in the queue and can be received again at once.
    ///
    /// # Errors
    /// When SQS does not answer, or refuses.
    pub(super) async fn look(&mut self) -> Result<Vec<Letter>, Fault> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        let ended = loop {
            let taken = match self.take().await {
                Ok(taken) => taken,
                Err(fault) => break Err(fault),
            };
            let is_over = taken.is_empty() || all.len() >= LOOKED_AT_MAX;
            all.extend(taken.into_iter().filter(|letter| seen.insert(letter.id.clone())));
            if is_over {
                break Ok(());
            }
        };
        self.give_back(&all).await;
        ended.map(|()| all)
    }

    /// The next messages, which stay hidden for a while.
    ///
    /// # Errors
    /// When SQS does not answer, or refuses.
    pub(super) async fn take(&mut self) -> Result<Vec<Letter>, Fault> {
        let names = [MessageSystemAttributeName::SentTimestamp, MessageSystemAttributeName::ApproximateReceiveCount];
        let received = retried(self.place.dice(), || async {
            let receive = self.sqs.receive_message().queue_url(self.url).max_number_of_messages(BATCH_MAX);
            let receive = receive.visibility_timeout(HIDDEN_SECONDS).wait_time_seconds(WAIT_SECONDS);
            let receive = receive.set_message_system_attribute_names(Some(names.to_vec()));
            receive.send().await.map_err(|error| Fault::of(Operation::Receive, self.url, &error))
        });
        Ok(received.await?.messages.unwrap_or_default().into_iter().map(Letter::of).collect())
    }

    /// Deletes a message that was taken.
    ///
    /// # Errors
    /// When SQS does not answer, or refuses.
    pub(super) async fn delete(&self, letter: &Letter) -> Result<(), Fault> {
        retried(self.place.dice(), || async {
            let delete = self.sqs.delete_message().queue_url(self.url).receipt_handle(&letter.receipt);
            delete.send().await.map(|_| ()).map_err(|error| Fault::of(Operation::Delete, self.url, &error))
        })
        .await
    }

    /// Lets messages be received again at once. Without it they come back when their time is over.
    pub(super) async fn give_back(&self, letters: &[Letter]) {
        for letter in letters {
            let change = self.sqs.change_message_visibility().queue_url(self.url).receipt_handle(&letter.receipt);
            if let Err(error) = change.visibility_timeout(0).send().await {
                let fault = Fault::of(Operation::Postpone, self.url, &error);
                let words = self.place.explained(&fault);
                warn(format_args!("segment-s3: {words}; the messages come back by themselves in {HIDDEN_SECONDS} s"));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str) -> Letter {
        Letter { id: "m".to_owned(), body: body.to_owned(), receipt: String::new(), sent_ms: 0, receives: 5 }
    }

    #[test]
    fn the_objects_of_a_message_are_those_that_the_ingester_reads() {
        let of_s3 = r#"{"Records":[{"s3":{"bucket":{"name":"inbox"},"object":{"key":"in/a+1.csv","sequencer":"1"}}}]}"#;
        let of_bridge = r#"{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"inbox"},
            "object":{"key":"in/a 1.csv"}}}"#;
        let of_successor = r#"{"continue":{"bucket":"inbox","key":"in/a 1.csv"}}"#;
        for body in [of_s3, of_bridge, of_successor] {
            assert_eq!(letter(body).objects(), [("inbox".to_owned(), "in/a 1.csv".to_owned())], "{body}");
        }
        let of_test =
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-27T00:00:00.000Z","Bucket":"inbox"}"#;
        for body in ["no JSON", "{}", "[]", of_test] {
            assert_eq!(letter(body).objects(), [], "{body}");
        }
    }
}
