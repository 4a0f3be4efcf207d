//! An event source mapping: polls a queue and invokes a function with its messages.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::lambda::{Lambda, Outcome};
use crate::sqs::{Message, Queues, REGION, Server, arn, md5_hex, system_attributes};

/// How a queue is to be emptied. [`to`](EventSource::to) or [`to_lambda`](EventSource::to_lambda)
/// starts it.
#[derive(Debug)]
#[must_use]
pub struct EventSource {
    queues: Queues,
    clock: Clock,
    queue: String,
    batch_size: usize,
    concurrency_max: usize,
    fast_forward: bool,
    retry_after_ms: Option<i64>,
}

/// A mapping at work. Dropped, it stops; invocations under way are cut off.
#[derive(Debug)]
pub struct Polling {
    task: JoinHandle<()>,
    queues: Queues,
    queue: String,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    running: watch::Sender<usize>,
    running_max: AtomicUsize,
    invocations: AtomicUsize,
}

impl EventSource {
    /// Empties this queue one message at a time, one invocation at once.
    pub fn on(server: &Server, queue: &str) -> EventSource {
        EventSource {
            queues: server.queues().clone(),
            clock: server.clock().clone(),
            queue: queue.to_owned(),
            batch_size: 1,
            concurrency_max: 1,
            fast_forward: false,
            retry_after_ms: None,
        }
    }

    /// `BatchSize`: how many messages an event may hold.
    pub fn batch_size(mut self, batch_size: usize) -> EventSource {
        self.batch_size = batch_size.max(1);
        self
    }

    /// `MaximumConcurrency`: how many invocations may run at once.
    pub fn concurrency_max(mut self, concurrency_max: usize) -> EventSource {
        self.concurrency_max = concurrency_max.max(1);
        self
    }

    /// Moves the clock to the next message whenever there is nothing to do until then: an hour of
    /// delays takes no time.
    pub fn fast_forward(mut self) -> EventSource {
        self.fast_forward = true;
        self
    }

    /// Makes failed messages visible again after so many seconds. Without it they wait for the end of their visibility,
    /// as on AWS.
    pub fn retry_after_s(mut self, seconds: i64) -> EventSource {
        self.retry_after_ms = Some(seconds * 1_000);
        self
    }

    /// Starts, with a function of the story's own. `Err` leaves the messages in the queue until
    /// their visibility ends.
    pub fn to<H, F>(self, function: H) -> Polling
    where
        H: Fn(Value) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let state = Arc::new(State::default());
        let (queues, queue) = (self.queues.clone(), self.queue.clone());
        let task = tokio::spawn(self.poll(Arc::new(function), Arc::clone(&state)));
        Polling { task, queues, queue, state }
    }

    /// Starts, with a real binary.
    pub fn to_lambda(self, lambda: &Lambda) -> Polling {
        let lambda = lambda.clone();
        self.to(move |event| {
            let lambda = lambda.clone();
            async move {
                match lambda.invoke(&event).await.outcome {
                    Outcome::Response(response) => Ok(response),
                    failed => Err(format!("{failed:?}")),
                }
            }
        })
    }

    async fn poll<H, F>(self, function: Arc<H>, state: Arc<State>)
    where
        H: Fn(Value) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut changes = self.queues.changes();
        loop {
            changes.borrow_and_update();
            if running.len() < self.concurrency_max {
                let lent =
                    self.queues.receive(&self.queue, self.batch_size, None, self.clock.now_ms()).unwrap_or_default();
                if !lent.is_empty() {
                    let (queues, queue) = (self.queues.clone(), self.queue.clone());
                    let function = Arc::clone(&function);
                    state.begins();
                    let state = Arc::clone(&state);
                    let (clock, retry_after_ms) = (self.clock.clone(), self.retry_after_ms);
                    running.spawn(async move {
                        let answered = function(event(&queue, &lent)).await;
                        for message in ended(&lent, answered) {
                            let _ = queues.with(&queue, |queue| queue.delete(&message));
                        }
                        if let Some(retry_after_ms) = retry_after_ms {
                            let visible_ms = clock.now_ms() + retry_after_ms;
                            let _ = queues.with(&queue, |queue| queue.give_back(&lent, visible_ms));
                        }
                        state.ends();
                        queues.changed();
                    });
                    continue;
                }
            }
            let due_ms = self.queues.with(&self.queue, |queue| queue.next_due_ms()).ok().flatten();
            if let Some(due_ms) = due_ms
                && self.fast_forward
                && running.is_empty()
            {
                // The time may have advanced since the queue was read.
                if due_ms > self.clock.now_ms() {
                    self.clock.set_ms(due_ms);
                }
                continue;
            }
            let can_take = running.len() < self.concurrency_max;
            tokio::select! {
                _ = changes.changed() => {}
                Some(_) = running.join_next() => {}
                () = wait_for(&self.clock, due_ms), if can_take => {}
            }
        }
    }
}

async fn wait_for(clock: &Clock, due_ms: Option<i64>) {
    match due_ms {
        Some(due_ms) => clock.sleep_until_ms(due_ms).await,
        None => std::future::pending().await,
    }
}

impl State {
    fn begins(&self) {
        self.invocations.fetch_add(1, Ordering::SeqCst);
        self.running.send_modify(|running| *running += 1);
        self.running_max.fetch_max(*self.running.borrow(), Ordering::SeqCst);
    }

    fn ends(&self) {
        self.running.send_modify(|running| *running -= 1);
    }
}

impl Polling {
    /// How many invocations were begun so far.
    pub fn invocations(&self) -> usize {
        self.state.invocations.load(Ordering::SeqCst)
    }

    /// The most that ran at once.
    pub fn running_max(&self) -> usize {
        self.state.running_max.load(Ordering::SeqCst)
    }

    /// Returns when nothing runs and nothing is left in the queue, delayed messages included.
    pub async fn drained(&self) {
        let mut changes = self.queues.changes();
        loop {
            changes.borrow_and_update();
            let empty = self.queues.with(&self.queue, |queue| queue.messages.is_empty()).unwrap_or(true);
            if empty && *self.state.running.borrow() == 0 {
                return;
            }
            let _ = changes.changed().await;
        }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The event of the function (Lambda Developer Guide, "Using Lambda with Amazon SQS").
fn event(queue: &str, messages: &[Message]) -> Value {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt(),
                "body": message.body,
                "attributes": system_attributes(message),
                "messageAttributes": {},
                "md5OfBody": md5_hex(message.body.as_bytes()),
                "eventSource": "aws:sqs",
                "eventSourceARN": arn(queue),
                "awsRegion": REGION,
            })
        })
        .collect();
    json!({"Records": records})
}

/// The messages that are done with. An invalid list of failures (an empty id, an unknown id, or no list) fails the
/// whole event, as in Lambda.
fn ended(lent: &[Message], answered: Result<Value, String>) -> Vec<Message> {
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(error, "the function failed; its messages come back");
            return Vec::new();
        }
    };
    let failures = answer.get("batchItemFailures").filter(|failures| !failures.is_null());
    let Some(failures) = failures else {
        return lent.to_vec();
    };
    let Some(failures) = failures.as_array() else { return Vec::new() };
    let mut failed = HashSet::new();
    for failure in failures {
        let id = failure.get("itemIdentifier").and_then(Value::as_str).unwrap_or_default();
        if !lent.iter().any(|message| message.id == id) {
            return Vec::new();
        }
        failed.insert(id);
    }
    let done = lent.iter().filter(|message| !failed.contains(message.id.as_str()));
    done.cloned().collect()
}
