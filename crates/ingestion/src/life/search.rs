//! The search for the key that a message means, if a person wrote it.
//!
//! It comes before anything that depends on the key: the mapping, the source, the name. So it waits and fails as one
//! message, even if several mappings read the file. Once the key is known, the message is like any other.

use super::postpone::{Pause, missing};
use super::{Close, Then, postpone, sent};
use crate::notification::{Hop, Notice};
use crate::trouble::{Remedy, Trouble};
use protocol::claim::Afresh;

/// The next step of the driver. It reports the result of a look or of a sent message by [`Search::on`].
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Look whether the object of this message exists.
    Look(Notice),
    /// Send this message to the function's own queue.
    Send {
        /// The message.
        notice: Notice,
        /// Its delay.
        wait_ms: u64,
    },
    /// The message means this key.
    Ingest(Notice),
    /// The end of this message.
    Close(Close),
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Search {
    notice: Notice,
    has_queue: bool,
    /// The keys that were not looked for yet, likeliest last.
    left: Vec<Notice>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Looking(Box<Notice>),
    Sending { reason: String },
}

impl Search {
    /// A message is received for the `receives`th time. `is_name`: whether a file can be read under a key. If that is so for
    /// no key of the message, nothing is looked for.
    #[must_use]
    pub fn begin(
        notice: Notice,
        receives: u32,
        has_queue: bool,
        is_name: impl Fn(&str) -> bool,
        now_ms: i64,
    ) -> (Self, Step) {
        let notice = match postpone::afresh(&notice, receives, now_ms) {
            Afresh::Yes => notice.afresh(),
            _ => notice,
        };
        let mut left: Vec<_> = notice.spellings().collect();
        let is_known = left.len() == 1 || !left.iter().any(|candidate| is_name(&candidate.key));
        left.reverse();
        let first = left.pop().unwrap_or_else(|| notice.clone());
        let step = if is_known { Step::Ingest(notice.clone()) } else { Step::Look(first.clone()) };
        (Self { notice, has_queue, left, state: State::Looking(Box::new(first)) }, step)
    }

    /// The result of the step under way gives the next step.
    pub fn on(&mut self, result: Result<(), Trouble>, now_ms: i64) -> Step {
        let candidate = match &self.state {
            State::Sending { reason } => return Step::Close(sent(reason, result)),
            State::Looking(candidate) => candidate,
        };
        let hop = Hop::after(self.notice.hop.as_ref());
        let then = match result {
            // From here on the key is known, and no mapping is decided.
            Ok(()) => {
                let known = Notice { other_keys: Vec::new(), mapping: None, hop: None, ..Notice::clone(candidate) };
                return Step::Ingest(known);
            }
            Err(trouble) if trouble.remedy == Remedy::Gone => match self.left.pop() {
                Some(next) => {
                    self.state = State::Looking(Box::new(next.clone()));
                    return Step::Look(next);
                }
                None => missing(&self.notice, hop, self.has_queue, now_ms),
            },
            // The object may be there under this key, so no other is tried.
            Err(trouble) => Pause::of(&trouble, hop, now_ms).then(self.has_queue, now_ms).0,
        };
        match then {
            Then::Close(close) => Step::Close(close),
            Then::Send { hop, wait_ms, reason } => {
                self.state = State::Sending { reason };
                Step::Send { notice: Notice { hop: Some(hop), mapping: None, ..self.notice.clone() }, wait_ms }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{NO_PROGRESS_MAX_MS, Outcome};

    const NOW_MS: i64 = 1_000_000_000_000;

    fn written() -> Notice {
        Notice {
            other_keys: vec!["in%252Ftrack_2.csv".into(), "in/track_2.csv".into()],
            ..Notice::of("b", "in%2Ftrack_2.csv")
        }
    }

    fn begin(notice: Notice, has_queue: bool) -> (Search, Step) {
        let is_name = |key: &str| key.rsplit('/').next().is_some_and(|name| name.starts_with("track_"));
        Search::begin(notice, 1, has_queue, is_name, NOW_MS)
    }

    fn trouble(remedy: Remedy) -> Result<(), Trouble> {
        Err(Trouble::new(remedy, "S3 says so"))
    }

    /// The keys that are looked for, and the step after them.
    fn look(notice: Notice, has_queue: bool, results: &[Option<Remedy>]) -> (Search, Vec<String>, Step) {
        let (mut search, mut step) = begin(notice, has_queue);
        let mut keys = Vec::new();
        for result in results {
            let Step::Look(candidate) = step else { panic!("{step:?}") };
            keys.push(candidate.key);
            step = search.on(result.map_or(Ok(()), trouble), NOW_MS);
        }
        (search, keys, step)
    }

    #[track_caller]
    fn assert_closed(step: &Step, outcome: Outcome, words: &str) {
        let Step::Close(close) = step else { panic!("{step:?}") };
        assert_eq!(close.outcome, outcome, "{close:?}");
        assert!(close.reason.clone().unwrap_or_default().contains(words), "{close:?}");
    }

    #[test]
    fn the_first_key_that_exists_is_meant_whatever_the_name_of_the_likeliest_key() {
        let (_, keys, step) = look(written(), true, &[Some(Remedy::Gone), Some(Remedy::Gone), None]);
        assert_eq!(keys, ["in%2Ftrack_2.csv", "in%252Ftrack_2.csv", "in/track_2.csv"]);
        assert_eq!(step, Step::Ingest(Notice::of("b", "in/track_2.csv")));
        assert_eq!(look(written(), true, &[None]).2, Step::Ingest(Notice::of("b", "in%2Ftrack_2.csv")));
    }

    #[test]
    fn a_message_with_one_key_or_without_a_valid_name_is_not_searched_for() {
        let nameless = Notice { other_keys: vec!["in%2Fcontacts.csv".into()], ..Notice::of("b", "in/contacts.csv") };
        for notice in [Notice::of("b", "contacts.csv"), nameless] {
            assert_eq!(begin(notice.clone(), true).1, Step::Ingest(notice));
        }
    }

    #[test]
    fn an_outage_during_the_search_waits_and_a_denial_fails() {
        for before in [&[][..], &[Some(Remedy::Gone), Some(Remedy::Gone)]] {
            let results = [before, &[Some(Remedy::Wait)]].concat();
            let (mut search, _, step) = look(written(), true, &results);
            let Step::Send { notice, wait_ms } = step else { panic!("{step:?}") };
            let hop = notice.hop.clone().unwrap();
            assert_eq!((hop.trouble_since_ms, hop.missing, wait_ms), (Some(NOW_MS), false, 30_000));
            assert_eq!(Notice { hop: None, ..notice.clone() }, written(), "every key is tried again");
            assert_closed(&search.on(Ok(()), NOW_MS), Outcome::Continues, "S3 says so");
            assert!(matches!(begin(notice, true).1, Step::Look(first) if first.key == "in%2Ftrack_2.csv"));

            let results = [before, &[Some(Remedy::Person)]].concat();
            assert_closed(&look(written(), true, &results).2, Outcome::Failed, "S3 says so");
        }
        assert_closed(&look(written(), false, &[Some(Remedy::Wait)]).2, Outcome::Failed, "S3 says so");
        let (mut search, _, _) = look(written(), true, &[Some(Remedy::Wait)]);
        let refused = Err(Trouble::new(Remedy::Person, "no such queue"));
        assert_closed(&search.on(refused, NOW_MS), Outcome::Failed, "no such queue");
    }

    #[test]
    fn an_outage_of_twelve_hours_fails_the_message_and_a_redrive_begins_again() {
        let mut hop = Hop::after(None);
        (hop.trouble_since_ms, hop.sent_ms) = (Some(NOW_MS - NO_PROGRESS_MAX_MS - 1), Some(NOW_MS - 30_000));
        let mut waited = Notice { hop: Some(hop), ..written() };
        let step = look(waited.clone(), true, &[Some(Remedy::Wait)]).2;
        assert_closed(&step, Outcome::Failed, "no progress for 12 hours");
        if let Some(hop) = &mut waited.hop {
            hop.sent_ms = Some(NOW_MS - NO_PROGRESS_MAX_MS);
        }
        assert!(matches!(look(waited, true, &[Some(Remedy::Wait)]).2, Step::Send { .. }));
    }

    #[test]
    fn if_no_key_exists_each_is_looked_for_again_and_then_all_are_named() {
        let gone = [Some(Remedy::Gone); 3];
        let step = look(written(), true, &gone).2;
        let Step::Send { notice: again, wait_ms: 60_000 } = step else { panic!("{step:?}") };
        let words = "does not exist, nor does `in%252Ftrack_2.csv`, nor does `in/track_2.csv`";
        assert_closed(&look(again.clone(), true, &gone).2, Outcome::Missing, words);
        assert_closed(&look(written(), false, &gone).2, Outcome::Missing, words);
        // The object has come. Every mapping reads it.
        let come = look(again, true, &[Some(Remedy::Gone), Some(Remedy::Gone), None]).2;
        assert_eq!(come, Step::Ingest(Notice::of("b", "in/track_2.csv")));
    }
}
