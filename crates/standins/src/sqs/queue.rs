//! A queue as a machine: messages go in, are lent out, come back or end. Time comes in as an
//! argument.

use crate::dice;

/// The settings of a queue, with SQS's own defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueSettings {
    pub(crate) visibility_s: i64,
    pub(crate) redrive: Option<(String, u32)>,
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings { visibility_s: 30, redrive: None }
    }
}

impl QueueSettings {
    /// How long a message that was received stays hidden.
    pub fn visibility_s(mut self, seconds: i64) -> QueueSettings {
        self.visibility_s = seconds;
        self
    }

    /// Moves a message to the queue `dead_letters` once it was received so often in vain.
    pub fn redrive(mut self, dead_letters: &str, receives_max: u32) -> QueueSettings {
        self.redrive = Some((dead_letters.to_owned(), receives_max));
        self
    }
}

/// A message in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The id that SQS gave it.
    pub id: String,
    /// Its text.
    pub body: String,
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

/// The answer to a change of a message that was lent out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lent {
    Changed,
    /// Its time was over.
    NotInFlight,
    /// No message has this receipt: it was deleted, or received again since.
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) settings: QueueSettings,
    /// In the order in which they were sent.
    pub(crate) messages: Vec<Message>,
}

impl Queue {
    pub(crate) fn send(&mut self, body: String, delay_s: i64, now_ms: i64) -> Message {
        let message = Message {
            id: dice::uuid(),
            body,
            sent_ms: now_ms,
            visible_ms: now_ms + delay_s * 1_000,
            first_received_ms: None,
            receives: 0,
            in_flight: false,
        };
        self.messages.push(message.clone());
        message
    }

    /// Lends out up to `count` messages that are visible, for the seconds of the queue or for these. Those that were
    /// received too often go to the second list instead.
    pub(crate) fn receive(
        &mut self,
        count: usize,
        visibility_s: Option<i64>,
        now_ms: i64,
    ) -> (Vec<Message>, Vec<Message>) {
        let visibility_s = visibility_s.unwrap_or(self.settings.visibility_s);
        let receives_max = self.settings.redrive.as_ref().map(|(_, max)| *max);
        let visible = |message: &Message| message.visible_ms <= now_ms;
        let spent = |message: &mut Message| visible(message) && receives_max.is_some_and(|max| message.receives >= max);
        let mut dead: Vec<Message> = self.messages.extract_if(.., spent).collect();
        for message in &mut dead {
            message.visible_ms = now_ms;
            message.in_flight = false;
        }
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

    /// Changes until when the message of this receipt is lent out.
    pub(crate) fn lend_until(&mut self, receipt: &str, until_ms: i64, now_ms: i64) -> Lent {
        match self.messages.iter_mut().find(|message| message.receives > 0 && message.receipt() == receipt) {
            None => Lent::Unknown,
            Some(message) if message.visible_ms <= now_ms => Lent::NotInFlight,
            Some(message) => {
                message.visible_ms = until_ms;
                Lent::Changed
            }
        }
    }

    /// Deletes a message that was lent out. If it was lent out again since, it stays, as on SQS.
    pub(crate) fn delete(&mut self, lent: &Message) {
        self.messages.retain(|message| message.id != lent.id || message.receives != lent.receives);
    }

    /// Makes those that are still lent out visible from `visible_ms` on.
    pub(crate) fn give_back(&mut self, lent: &[Message], visible_ms: i64) {
        let is_lent =
            |message: &&mut Message| lent.iter().any(|lent| message.id == lent.id && message.receives == lent.receives);
        for message in self.messages.iter_mut().filter(is_lent) {
            message.visible_ms = visible_ms;
            message.in_flight = false;
        }
    }

    /// When something can be received next, if anything is here at all.
    pub(crate) fn next_due_ms(&self) -> Option<i64> {
        self.messages.iter().map(|message| message.visible_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(settings: QueueSettings) -> Queue {
        Queue { settings, messages: Vec::new() }
    }

    fn bodies(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.body.as_str()).collect()
    }

    #[test]
    fn a_message_is_hidden_while_delayed_and_while_lent_out() {
        let mut queue = queue(QueueSettings::default().visibility_s(10));
        queue.send("now".to_owned(), 0, 0);
        queue.send("later".to_owned(), 5, 0);
        assert_eq!(bodies(&queue.receive(10, None, 0).0), ["now"]);
        assert_eq!(bodies(&queue.receive(10, None, 4_999).0), [""; 0]);
        assert_eq!(bodies(&queue.receive(10, None, 5_000).0), ["later"]);
        assert_eq!(queue.next_due_ms(), Some(10_000));
        let again = queue.receive(10, None, 10_000).0;
        assert_eq!((bodies(&again), again[0].receives), (vec!["now"], 2));
    }

    #[test]
    fn an_old_receipt_deletes_nothing() {
        let mut queue = queue(QueueSettings::default().visibility_s(0));
        queue.send("x".to_owned(), 0, 0);
        let old = queue.receive(1, None, 0).0.remove(0);
        let new = queue.receive(1, None, 0).0.remove(0);
        queue.delete(&old);
        assert_eq!(bodies(&queue.messages), ["x"]);
        queue.delete(&new);
        assert_eq!(bodies(&queue.messages), [""; 0]);
    }

    #[test]
    fn a_message_that_is_given_back_is_received_again() {
        let mut queue = queue(QueueSettings::default());
        queue.send("x".to_owned(), 0, 0);
        let first = queue.receive(1, None, 0).0;
        queue.give_back(&first, 5);
        assert_eq!(bodies(&queue.receive(1, None, 4).0), [""; 0]);
        assert_eq!(bodies(&queue.receive(1, None, 5).0), ["x"]);
        queue.give_back(&first, 6);
        assert_eq!(bodies(&queue.receive(1, None, 6).0), [""; 0], "it was lent out again since");
    }

    #[test]
    fn only_the_last_receipt_of_a_hidden_message_changes_its_time() {
        let mut queue = queue(QueueSettings::default().visibility_s(100));
        queue.send("x".to_owned(), 0, 0);
        let receipt = queue.receive(1, None, 0).0[0].receipt();
        assert_eq!(queue.lend_until(&receipt, 5_000, 0), Lent::Changed);
        assert_eq!(queue.lend_until(&receipt, 9_000, 5_000), Lent::NotInFlight);
        assert_eq!(bodies(&queue.receive(1, None, 4_999).0), [""; 0]);
        assert_eq!(bodies(&queue.receive(1, None, 5_000).0), ["x"]);
        assert_eq!(queue.lend_until(&receipt, 9_000, 5_001), Lent::Unknown);
    }

    #[test]
    fn a_message_received_too_often_is_a_dead_letter() {
        let mut queue = queue(QueueSettings::default().visibility_s(0).redrive("dead", 2));
        queue.send("x".to_owned(), 0, 0);
        assert_eq!(queue.receive(1, None, 0).0.len(), 1);
        assert_eq!(queue.receive(1, None, 0).0.len(), 1);
        let (lent, dead) = queue.receive(1, None, 0);
        assert_eq!((lent.len(), bodies(&dead)), (0, vec!["x"]));
        assert_eq!(queue.messages.len(), 0);
    }
}
