//! A queue as a machine: messages go in, are lent out, come back or end. Time comes in as an
//! argument.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dice;

/// What is set on a queue, with SQS's own defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueSettings {
    pub(crate) visibility_s: i64,
    pub(crate) delay_s: i64,
    pub(crate) retention_s: i64,
    pub(crate) wait_s: i64,
    pub(crate) redrive: Option<(String, u32)>,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings { visibility_s: 30, delay_s: 0, retention_s: 345_600, wait_s: 0, redrive: None }
    }
}

impl QueueSettings {
    /// How long a message that was received stays hidden.
    pub fn visibility_s(mut self, seconds: i64) -> QueueSettings {
        self.visibility_s = seconds;
        self
    }

    /// How long every new message stays hidden.
    pub fn delay_s(mut self, seconds: i64) -> QueueSettings {
        self.delay_s = seconds;
        self
    }

    /// How long a message is kept.
    pub fn retention_s(mut self, seconds: i64) -> QueueSettings {
        self.retention_s = seconds;
        self
    }

    /// Moves a message to the queue `dead_letters` once it was received so often in vain.
    pub fn redrive(mut self, dead_letters: &str, receives_max: u32) -> QueueSettings {
        self.redrive = Some((dead_letters.to_owned(), receives_max));
        self
    }
}

/// A message as it lies in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The id that SQS gave it.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Its message attributes, as they were sent: name → `{"DataType": …, "StringValue": …}`.
    pub attributes: BTreeMap<String, Value>,
    /// When it was sent; a move to another queue does not change it.
    pub sent_ms: i64,
    /// When it can be received next.
    pub visible_ms: i64,
    /// When it was first received.
    pub first_received_ms: Option<i64>,
    /// How often it was received.
    pub receives: u32,
    /// Whether it is lent out rather than delayed.
    pub in_flight: bool,
}

impl Message {
    /// Names one lending of one message.
    pub(crate) fn receipt(&self) -> String {
        hex::encode(format!("{}#{}", self.id, self.receives))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) settings: QueueSettings,
    /// In the order in which they were sent.
    pub(crate) messages: Vec<Message>,
}

/// A receipt handle that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptError {
    Malformed,
    /// Only where it matters: the message is not lent out under this receipt.
    NotInFlight,
}

impl Queue {
    pub(crate) fn send(
        &mut self,
        body: String,
        attributes: BTreeMap<String, Value>,
        delay_s: Option<i64>,
        now_ms: i64,
    ) -> Message {
        let delay_s = delay_s.unwrap_or(self.settings.delay_s);
        let message = Message {
            id: dice::uuid(),
            body,
            attributes,
            sent_ms: now_ms,
            visible_ms: now_ms + delay_s * 1_000,
            first_received_ms: None,
            receives: 0,
            in_flight: false,
        };
        self.messages.push(message.clone());
        message
    }

    /// Lends out up to `count` messages that are visible; those that were received too often go to
    /// the second list instead.
    pub(crate) fn receive(
        &mut self,
        count: usize,
        visibility_s: Option<i64>,
        now_ms: i64,
    ) -> (Vec<Message>, Vec<Message>) {
        self.forget_old(now_ms);
        let receives_max = self.settings.redrive.as_ref().map(|(_, max)| *max);
        let visible = |message: &Message| message.visible_ms <= now_ms;
        let spent = |message: &mut Message| visible(message) && receives_max.is_some_and(|max| message.receives >= max);
        let mut dead: Vec<Message> = self.messages.extract_if(.., spent).collect();
        for message in &mut dead {
            message.visible_ms = now_ms;
            message.in_flight = false;
        }
        let visibility_s = visibility_s.unwrap_or(self.settings.visibility_s);
        let mut lent = Vec::new();
        for message in self.messages.iter_mut().filter(|message| visible(message)).take(count) {
            message.visible_ms = now_ms + visibility_s * 1_000;
            message.first_received_ms.get_or_insert(now_ms);
            message.receives += 1;
            message.in_flight = true;
            lent.push(message.clone());
        }
        (lent, dead)
    }

    /// Ends a message. An old receipt ends nothing, and is no error: so SQS answers too.
    pub(crate) fn delete(&mut self, receipt: &str) -> Result<(), ReceiptError> {
        if let Some(at) = self.find(receipt)? {
            self.messages.remove(at);
        }
        Ok(())
    }

    pub(crate) fn change_visibility(&mut self, receipt: &str, seconds: i64, now_ms: i64) -> Result<(), ReceiptError> {
        let at = self.find(receipt)?.ok_or(ReceiptError::NotInFlight)?;
        let message = &mut self.messages[at];
        if !message.in_flight || message.visible_ms <= now_ms {
            return Err(ReceiptError::NotInFlight);
        }
        message.visible_ms = now_ms + seconds * 1_000;
        Ok(())
    }

    /// When something can be received next, if anything is here at all.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.messages.iter().map(|message| message.visible_ms).min()
    }

    /// Visible, in flight, delayed.
    pub(crate) fn counts(&mut self, now_ms: i64) -> (usize, usize, usize) {
        self.forget_old(now_ms);
        let hidden = |message: &&Message| message.visible_ms > now_ms;
        let in_flight = self.messages.iter().filter(hidden).filter(|message| message.in_flight).count();
        let delayed = self.messages.iter().filter(hidden).count() - in_flight;
        (self.messages.len() - in_flight - delayed, in_flight, delayed)
    }

    fn find(&self, receipt: &str) -> Result<Option<usize>, ReceiptError> {
        let text = hex::decode(receipt).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or(ReceiptError::Malformed)?;
        let (id, receives) = text.split_once('#').ok_or(ReceiptError::Malformed)?;
        let receives: u32 = receives.parse().map_err(|_| ReceiptError::Malformed)?;
        Ok(self.messages.iter().position(|message| message.id == id && message.receives == receives))
    }

    fn forget_old(&mut self, now_ms: i64) {
        let oldest_ms = now_ms - self.settings.retention_s * 1_000;
        self.messages.retain(|message| message.sent_ms >= oldest_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(settings: QueueSettings) -> Queue {
        Queue { settings, messages: Vec::new() }
    }

    fn send(queue: &mut Queue, body: &str, delay_s: Option<i64>, now_ms: i64) {
        queue.send(body.to_owned(), BTreeMap::new(), delay_s, now_ms);
    }

    fn bodies(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.body.as_str()).collect()
    }

    #[test]
    fn a_message_is_hidden_while_delayed_and_while_lent_out() {
        let mut queue = queue(QueueSettings::default().visibility_s(10));
        send(&mut queue, "now", None, 0);
        send(&mut queue, "later", Some(5), 0);
        assert_eq!(bodies(&queue.receive(10, None, 0).0), ["now"]);
        assert_eq!(queue.counts(0), (0, 1, 1));
        assert_eq!(bodies(&queue.receive(10, None, 4_999).0), [""; 0]);
        assert_eq!(bodies(&queue.receive(10, None, 5_000).0), ["later"]);
        assert_eq!(queue.next_due_ms(), Some(10_000));
        let again = queue.receive(10, None, 10_000).0;
        assert_eq!((bodies(&again), again[0].receives), (vec!["now"], 2));
    }

    #[test]
    fn an_old_receipt_ends_nothing() {
        let mut queue = queue(QueueSettings::default());
        send(&mut queue, "x", None, 0);
        let old = queue.receive(1, Some(0), 0).0[0].receipt();
        let new = queue.receive(1, None, 0).0[0].receipt();
        assert_eq!(queue.delete(&old), Ok(()));
        assert_eq!(queue.messages.len(), 1);
        assert_eq!(queue.change_visibility(&old, 5, 0), Err(ReceiptError::NotInFlight));
        assert_eq!(queue.delete(&new), Ok(()));
        assert_eq!(queue.messages.len(), 0);
        assert_eq!(queue.delete("nonsense"), Err(ReceiptError::Malformed));
    }

    #[test]
    fn a_message_received_too_often_is_a_dead_letter() {
        let mut queue = queue(QueueSettings::default().visibility_s(0).redrive("dead", 2));
        send(&mut queue, "x", None, 0);
        assert_eq!(queue.receive(1, None, 0).0.len(), 1);
        assert_eq!(queue.receive(1, None, 0).0.len(), 1);
        let (lent, dead) = queue.receive(1, None, 0);
        assert_eq!((lent.len(), bodies(&dead)), (0, vec!["x"]));
        assert_eq!(queue.messages.len(), 0);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut queue = queue(QueueSettings::default().retention_s(60));
        send(&mut queue, "x", None, 0);
        assert_eq!(queue.counts(60_000), (1, 0, 0));
        assert_eq!(queue.counts(60_001), (0, 0, 0));
    }
}
