//! The mill with the queue in front of it, by a clock that jumps over every wait.

use crate::mill::Mill;
use serde_json::Value;
use standins::Clock;
use standins::event_source::EventSource;
use standins::lambda::{Function, Outcome};
use standins::sqs::{QueueSettings, Server};
use std::time::{SystemTime, UNIX_EPOCH};

/// The queue that S3 notifies.
pub const QUEUE: &str = "ingest";
/// Where messages go that need a person.
pub const DEAD_LETTERS: &str = "ingest-dead-letters";
/// As the template has it.
const RECEIVES_MAX: u32 = 5;

/// A mill that is fed by a queue.
pub struct Line {
    /// The mill.
    pub mill: Mill,
    /// SQS.
    pub sqs: Server,
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.mill.world.failure.add(|evidence| {
            evidence.list("queue.txt", &self.sqs.messages(QUEUE))?;
            evidence.list("dead-letters.txt", &self.sqs.messages(DEAD_LETTERS))
        });
    }
}

impl Line {
    /// A queue with dead letters, as the template has it.
    pub async fn new(mill: Mill) -> Self {
        Self::with(mill, 5_400, RECEIVES_MAX).await
    }

    /// The same with another visibility timeout and number of receives.
    pub async fn with(mill: Mill, visibility_s: i64, receives_max: u32) -> Self {
        let settings = QueueSettings::default().visibility_s(visibility_s).redrive(DEAD_LETTERS, receives_max);
        let setup = Server::setup().with_clock(Clock::real()).with_queue_of(QUEUE, settings).with_queue(DEAD_LETTERS);
        Self { mill, sqs: setup.start().await.unwrap() }
    }

    /// The ingester with the queue to send its rest to.
    pub fn ingester(&self) -> Function {
        self.mill.ingester().envs(self.sqs.env()).env("QUEUE_URL", self.sqs.queue_url(QUEUE))
    }

    /// Sends the event that announces the file, as S3 would.
    pub fn announce(&self) {
        self.sqs.send(QUEUE, &self.mill.event().to_string());
    }

    /// Invokes processes with the queue's messages at the queue's time until the queue is empty. Returns the number of
    /// invocations.
    pub async fn run(&self, function: &Function) -> usize {
        let (function, clock) = (function.clone(), self.sqs.clock().clone());
        let polling = EventSource::on(&self.sqs, QUEUE).fast_forward().to(move |event: Value| {
            let function = function.clone().env("CLOCK_OFFSET_MS", (clock.now_ms() - now_ms()).to_string());
            async move { answered(function.deploy().invoke(&event).await.outcome) }
        });
        polling.drained().await;
        polling.invocations()
    }

    /// How many messages wait for a person.
    pub fn dead_letters(&self) -> usize {
        self.sqs.messages(DEAD_LETTERS).len()
    }

    /// A person sends all of them again, two hours later.
    pub fn redrive(&self) {
        self.sqs.clock().advance(std::time::Duration::from_secs(2 * 60 * 60));
        self.sqs.redrive(DEAD_LETTERS, QUEUE);
    }
}

/// The answer of an invocation to SQS.
///
/// # Errors
/// When it did not answer: its messages come again.
pub fn answered(outcome: Outcome) -> Result<Value, String> {
    match outcome {
        Outcome::Response(response) => Ok(response),
        failed => Err(format!("{failed:?}")),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
