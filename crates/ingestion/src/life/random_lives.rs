//! Random lives of a file: a queue, a dead-letter queue, a checkpoint, and whatever may happen to them.
//!
//! The checkpoint follows the rules of [`claim`], and the queue follows those of SQS. A failed message is received
//! again, and is a dead letter after [`RECEIVES_MAX`] receives. All else is chance.

use super::tests::{HOUR_MS, NOW_MS, found, notice, rules};
use super::*;
use crate::run::Undelivered;
use proptest::prelude::*;
use protocol::account::Account;
use protocol::claim::{Afresh, Claim, Claimant, claim};
use protocol::id::Nonce;
use protocol::position::Position;
use std::collections::VecDeque;

/// Receives before a message is a dead letter, as the template has it.
const RECEIVES_MAX: u32 = 5;
const FILE_BYTES: u64 = 6;

struct Message {
    notice: Notice,
    receives: u32,
}

/// The random decisions in sequence. After the last one nothing fails.
struct Chance(VecDeque<u8>);

impl Chance {
    fn one_of(&mut self, sides: u8) -> u8 {
        self.0.pop_front().map_or(0, |roll| roll % sides)
    }
}

struct World {
    chance: Chance,
    now_ms: i64,
    checkpoint: Option<Box<Checkpoint>>,
    queue: VecDeque<Message>,
    dead: Vec<Message>,
    writes: u64,
    /// How often the file was reported as failed.
    failed: u32,
    /// True once the object was reported as missing.
    is_missing: bool,
}

fn is_new(message: &Message) -> bool {
    message.notice.hop.as_ref().is_none_or(|hop| hop.stream.is_none())
}

/// The effect of one message.
struct Told {
    close: Close,
    /// True if the message names no begun file.
    is_new: bool,
    has_waited: bool,
    has_progressed: bool,
    sent: bool,
}

impl World {
    fn new(chance: Vec<u8>) -> Self {
        let first = Message { notice: notice("track_1.csv"), receives: 0 };
        Self {
            chance: Chance(chance.into()),
            now_ms: NOW_MS,
            checkpoint: None,
            queue: VecDeque::from([first]),
            dead: Vec::new(),
            writes: 0,
            failed: 0,
            is_missing: false,
        }
    }

    fn has_ended(&self) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.phase.is_terminal())
    }

    /// Receives one message and performs its actions; `None` if the function was killed.
    fn deliver(&mut self, message: &Message) -> Option<Told> {
        let deadline = Deadline::of(self.now_ms, self.now_ms + 900_000);
        let (mut life, mut action) =
            Life::receive(rules(), message.notice.clone(), message.receives, &deadline, self.now_ms);
        let mut told = Told {
            close: Close::failed(String::new()),
            is_new: is_new(message),
            has_waited: false,
            has_progressed: false,
            sent: false,
        };
        for _ in 0..20 {
            if let Action::Close(close) = action {
                return Some(Told { close, ..told });
            }
            if self.chance.one_of(40) == 39 {
                return None;
            }
            let event = self.perform(action, &mut told);
            action = life.on(event, self.now_ms);
        }
        panic!("a message that does not end");
    }

    fn perform(&mut self, action: Action, told: &mut Told) -> Event {
        let fails = self.chance.one_of(8) == 7;
        if fails && !matches!(action, Action::Run(_)) {
            told.has_waited = true;
            return Event::Failed(Trouble::new(Remedy::Wait, "S3 is down"));
        }
        match action {
            Action::LookUp(_) => Event::LookedUp(self.checkpoint.clone()),
            Action::Open(_) if told.is_new && self.chance.one_of(4) == 3 => {
                Event::Failed(Trouble::new(Remedy::Gone, "no such key"))
            }
            Action::Open(_) => Event::Opened(found()),
            Action::Claim { object, afresh } => self.claim(&object, afresh),
            Action::Run(_) => self.run(told),
            Action::End { phase, ending } => {
                let checkpoint = self.checkpoint.take().unwrap();
                assert!(!checkpoint.phase.is_terminal(), "an end is final");
                let ended = Box::new(checkpoint.end(Nonce::new([0; 16]), phase, *ending));
                self.checkpoint = Some(ended.clone());
                Event::Ended(ended)
            }
            Action::KeepAccount(ended) => {
                assert!(ended.phase.is_terminal());
                Event::AccountKept { was_there: self.chance.one_of(2) == 0 }
            }
            Action::Release { trouble_since_ms, given_up, not_before_ms } => {
                let checkpoint = self.checkpoint.take().unwrap();
                let next = checkpoint.next(Nonce::new([0; 16]), 0);
                self.checkpoint = Some(Box::new(Checkpoint { trouble_since_ms, given_up, not_before_ms, ..next }));
                Event::Released
            }
            Action::Send { notice, wait_ms } => {
                assert!(wait_ms <= DELAY_MAX_MS);
                self.queue.push_back(Message { notice, receives: 0 });
                told.sent = true;
                Event::Sent
            }
            Action::Close(_) => unreachable!("the caller has looked"),
        }
    }

    fn claim(&mut self, object: &Identity, afresh: Afresh) -> Event {
        self.writes += 1;
        let by = Claimant {
            nonce: Nonce::new(u128::from(self.writes).to_be_bytes()),
            now_ms: self.now_ms,
            lease_ms: 60_000,
            afresh,
        };
        let found = self.checkpoint.clone().map(|checkpoint| *checkpoint);
        match claim(found, object, by) {
            Claim::Begin(checkpoint) | Claim::TakeOver(checkpoint) => {
                self.checkpoint = Some(checkpoint.clone());
                Event::Claimed(checkpoint)
            }
            Claim::Busy { until_ms, progress_ms } => Event::Busy { until_ms, progress_ms },
            Claim::Ended(_) => Event::AlreadyEnded(self.checkpoint.clone().unwrap()),
        }
    }

    fn run(&mut self, told: &mut Told) -> Event {
        assert!(!self.has_ended(), "an ended file runs again");
        let mut checkpoint = self.checkpoint.take().unwrap();
        let rows = u64::from(self.chance.one_of(3));
        let byte = (checkpoint.position.byte + rows).min(FILE_BYTES);
        told.has_progressed = byte > checkpoint.position.byte;
        checkpoint.commit(Position { byte, line: byte + 1 }, &Account::default(), None, self.now_ms);
        self.checkpoint = Some(checkpoint.clone());
        let outage = || Trouble::new(Remedy::Wait, "S3 is down");
        let (host, reason) = ("api".to_owned(), "503".to_owned());
        let unreachable = Undelivered::Unreachable { host, reason, attempts: 1, elapsed_ms: 1, wait_ms: 600_000 };
        let end = match self.chance.one_of(8) {
            0 | 1 if byte == FILE_BYTES => End::Complete,
            0 | 1 => End::Undelivered(Undelivered::Paced { wait_ms: 9 }),
            2 => End::Undelivered(unreachable),
            3 => End::Unanswered,
            4 => End::Unkept(outage()),
            5 => End::Uncommitted(Trouble::lost()),
            6 => End::Unread(outage()),
            _ => End::Unkept(Trouble::new(Remedy::Person, "AccessDenied")),
        };
        told.has_waited = !matches!(end, End::Complete | End::Unkept(Trouble { remedy: Remedy::Person, .. }));
        Event::RunEnded(Box::new(RunEnd {
            end,
            checkpoint,
            columns: Vec::new(),
            warnings: Vec::new(),
            is_untroubled: false,
        }))
    }

    /// One message is received, and SQS handles it as the answer says.
    fn turn(&mut self) {
        self.now_ms += [1_000, 60_000, 20 * 60_000, HOUR_MS][usize::from(self.chance.one_of(4))];
        let Some(mut message) = self.queue.pop_front() else { return };
        message.receives += 1;
        let told = self.deliver(&message);
        let Some(told) = told else { return self.come_again(message) };
        let reason = told.close.reason.clone().unwrap_or_default();
        if told.close.outcome == Outcome::Missing {
            assert!(message.notice.hop.is_some_and(|hop| hop.missing), "the object was looked for only once");
            self.is_missing = true;
            return;
        }
        if told.close.is_done() {
            assert!(self.has_ended() || told.sent, "{:?} leaves a file without a message", told.close);
            return;
        }
        self.failed += 1;
        let has_given_up = ["no progress for 12 hours", "invocations in a row", "AccessDenied"];
        let is_final = has_given_up.iter().any(|words| reason.contains(words));
        // The queue itself did not take the successor.
        let is_unsent = reason.contains("the message for the rest was not sent");
        assert!(!told.has_waited || is_final || is_unsent, "waiting has used up a receive: {reason}");
        self.come_again(message);
    }

    fn come_again(&mut self, message: Message) {
        if message.receives < RECEIVES_MAX { self.queue.push_front(message) } else { self.dead.push(message) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// A file that has not ended always has a message, or a dead letter; an end is final; waiting uses up no receives.
    #[test]
    fn an_unfinished_file_has_a_message_or_a_reported_failure(chance in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut world = World::new(chance);
        for _ in 0..300 {
            world.turn();
            if !world.has_ended() && !world.is_missing {
                prop_assert!(!world.queue.is_empty() || !world.dead.is_empty());
            }
            if world.queue.is_empty() {
                break;
            }
        }
        // Once chance is used up nothing fails: a person redrives the dead letters, and the file finishes.
        world.chance.0.clear();
        for _ in 0..40 {
            if world.queue.is_empty() {
                let dead = std::mem::take(&mut world.dead);
                world.queue.extend(dead.into_iter().map(|message| Message { receives: 0, ..message }));
            }
            if let Some(checkpoint) = &mut world.checkpoint
                && !checkpoint.phase.is_terminal()
            {
                checkpoint.position.byte = FILE_BYTES;
            }
            world.now_ms += 20 * 60_000;
            world.turn();
        }
        prop_assert!(world.has_ended() || world.is_missing);
        prop_assert!(world.queue.is_empty());
    }

    /// Progress forgets hops and troubles, in the message and in the checkpoint.
    #[test]
    fn progress_resets_the_count_of_receives(chance in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut world = World::new(chance);
        for _ in 0..100 {
            let before = world.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position.byte);
            let queued = world.queue.len();
            world.turn();
            let Some(checkpoint) = &world.checkpoint else { continue };
            if checkpoint.position.byte > before {
                prop_assert_eq!(checkpoint.trouble_since_ms, None);
                if let Some(hop) = world.queue.back().filter(|_| world.queue.len() >= queued.max(1)).and_then(|sent| sent.notice.hop.as_ref())
                    && hop.position == checkpoint.position.byte
                {
                    prop_assert_eq!((hop.count, hop.trouble_since_ms), (0, None));
                }
            }
        }
    }
}
