//! The requests that arrived, with their verdicts and answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

/// A call of the Tracking API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `track`, …
    pub kind: String,
    /// As it was sent; Segment would make one up.
    pub message_id: Option<String>,
    /// As it was sent.
    pub user_id: Option<String>,
    /// The call's own bytes, as they stood in the body.
    pub json: Bytes,
    /// Segment answers 200 to it and drops it later, with this code.
    pub discarded: Option<&'static str>,
}

impl Call {
    /// The call as a value.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

/// An object of the Objects API.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `rooms`
    pub collection: String,
    /// Its id.
    pub id: String,
    /// Its properties.
    pub properties: Value,
}

/// Segment's verdict on a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Judgement {
    /// Never read whole.
    #[default]
    Unread,
    /// Taken.
    Applied,
    /// Answered 200, and thrown away later; why.
    Dropped(String),
    /// Answered with an error; its message.
    Refused(String),
}

/// The answer that the client got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answered {
    /// Still under way.
    #[default]
    Nothing,
    /// An answer with this status.
    Status(u16),
    /// The connection was closed, before or in the middle of the answer.
    Cut,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// `/v1/batch`
    pub path: String,
    /// `batch`
    pub operation: String,
    /// When its headers arrived, by the server's clock.
    pub arrived_ms: i64,
    /// How many requests, this one with them, were under way then.
    pub in_flight: usize,
    /// Size of the body as it travelled.
    pub wire_bytes: usize,
    /// The body as it travelled, if nothing has read it: that of a sink.
    pub unread: Bytes,
    /// Size of the body before compression.
    pub json_bytes: usize,
    /// Whether it was compressed.
    pub gzip: bool,
    /// The write key that was given, wherever it was given.
    pub write_key: String,
    /// Whether the header `Synchronous: true` was there.
    pub synchronous: bool,
    /// Whether the body had a `sentAt`.
    pub sent_at: bool,
    /// The calls in it, in order.
    pub calls: Vec<Call>,
    /// The objects in it, in order.
    pub objects: Vec<Object>,
    /// Segment's verdict.
    pub verdict: Judgement,
    /// The answer that the client got.
    pub answered: Answered,
    /// The faults that struck.
    pub faults: Vec<&'static str>,
}

impl Delivery {
    /// Applied, and the client heard of it.
    pub fn is_acknowledged(&self) -> bool {
        self.verdict == Judgement::Applied && self.answered == Answered::Status(200)
    }
}

/// All requests, in the order in which they ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<Delivery>>>);

impl Record {
    /// Every request.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.lock().clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The calls that Segment took, in order, as often as it took them; whether their senders
    /// heard of it or not.
    pub fn applied(&self) -> Vec<Call> {
        self.calls(|delivery| delivery.verdict == Judgement::Applied)
    }

    /// The calls that Segment took and whose senders heard so.
    pub fn acknowledged(&self) -> Vec<Call> {
        self.calls(Delivery::is_acknowledged)
    }

    /// How often each message id was applied.
    pub fn message_ids(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for delivery in self.lock().iter().filter(|delivery| delivery.verdict == Judgement::Applied) {
            for id in delivery.calls.iter().filter_map(|call| call.message_id.clone()) {
                *counts.entry(id).or_default() += 1;
            }
        }
        counts
    }

    /// The calls that were answered 200 and thrown away, with the reason.
    pub fn dropped(&self) -> Vec<(Call, String)> {
        let deliveries = self.lock();
        let calls = deliveries.iter().flat_map(|delivery| {
            delivery.calls.iter().filter_map(|call| match &delivery.verdict {
                Judgement::Dropped(why) => Some((call.clone(), why.clone())),
                Judgement::Applied => call.discarded.map(|why| (call.clone(), why.to_owned())),
                _ => None,
            })
        });
        calls.collect()
    }

    /// The objects that Segment took, in order, as often as it took them.
    pub fn objects(&self) -> Vec<Object> {
        let deliveries = self.lock();
        let taken = deliveries.iter().filter(|delivery| delivery.verdict == Judgement::Applied);
        taken.flat_map(|delivery| delivery.objects.clone()).collect()
    }

    /// The most requests that were ever under way at once.
    pub fn in_flight_max(&self) -> usize {
        let deliveries = self.lock();
        deliveries.iter().map(|delivery| delivery.in_flight).max().unwrap_or(0)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn calls(&self, which: impl Fn(&Delivery) -> bool) -> Vec<Call> {
        let deliveries = self.lock();
        let chosen = deliveries.iter().filter(|delivery| which(delivery));
        let calls = chosen.flat_map(|delivery| delivery.calls.iter());
        calls.filter(|call| call.discarded.is_none()).cloned().collect()
    }

    pub(crate) fn add(&self, delivery: Delivery) {
        self.lock().push(delivery);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
