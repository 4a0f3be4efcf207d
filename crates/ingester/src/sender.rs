//! The sender of requests to Segment: [`Delivery`], or a test's script in its place.

use bytes::Bytes;
use delivery::{Delivery, Encoded, Looked, Stats};
use ingestion::deadline::Deadline;
use ingestion::run::{Sent, Undelivered};
use std::cell::RefCell;

/// Sends requests until their answers are final.
#[derive(Clone, Copy)]
pub(crate) enum Sender<'a> {
    /// Over HTTP.
    Delivery(&'a Delivery),
    /// A script has every answer at once.
    #[cfg(test)]
    Script(&'a Script),
}

/// The answer to a request, given its JSON.
#[cfg(test)]
pub(crate) type Script = Box<dyn Fn(&[u8]) -> Result<Sent, Undelivered>>;

impl Sender<'_> {
    /// The body of a request. See [`Delivery::encode`].
    pub(crate) fn encode(self, body: &[u8], repeats_within: Option<usize>) -> Encoded {
        match self {
            Sender::Delivery(delivery) => delivery.encode(body, repeats_within),
            #[cfg(test)]
            Sender::Script(_) => Encoded { body: Bytes::copy_from_slice(body), repeats: None },
        }
    }

    /// Whether Segment knows the write key. See [`Delivery::verify_key`].
    pub(crate) async fn verify_key(self, deadline: Deadline) -> Looked {
        match self {
            Sender::Delivery(delivery) => delivery.verify_key(deadline).await,
            #[cfg(test)]
            Sender::Script(_) => Looked::Known { sends_to: None },
        }
    }

    /// Sends an encoded request. See [`Delivery::send`].
    pub(crate) async fn send(
        self,
        objects: bool,
        body: Bytes,
        calls: usize,
        deadline: Deadline,
        stats: &RefCell<Stats>,
    ) -> Result<Sent, Undelivered> {
        match self {
            Sender::Delivery(delivery) => delivery.send(objects, body, calls, deadline, stats).await,
            #[cfg(test)]
            Sender::Script(answer) => answer(&body),
        }
    }
}
