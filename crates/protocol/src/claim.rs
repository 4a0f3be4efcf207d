//! Decides who may continue a file, from its checkpoint and the time.

use crate::account::Account;
use crate::checkpoint::{Checkpoint, Phase};
use crate::format;
use crate::id::{Epoch, Nonce};
use crate::position::Position;
use crate::upload::Identity;

/// The next step of a run that has read a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The file is new: create this.
    Begin(Box<Checkpoint>),
    /// No run is at work any more: replace the checkpoint by this.
    TakeOver(Box<Checkpoint>),
    /// Another run is at work, or the file waits.
    Busy {
        /// Until when at least, in ms since the epoch.
        until_ms: i64,
        /// When the file last made progress, in ms since the epoch. A file that waits has a message that comes then, so
        /// its wait counts as progress.
        progress_ms: i64,
    },
    /// The file has ended.
    Ended(Phase),
}

/// Whether a file starts its count of hours without progress again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afresh {
    /// No: the message is one of a row of messages.
    No,
    /// Only if the file had failed: the message is new.
    IfFailed,
    /// Yes: a person sent a message again.
    Yes,
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Random, for this write.
    pub nonce: Nonce,
    /// Milliseconds since the epoch.
    pub now_ms: i64,
    /// How long the lease is to last.
    pub lease_ms: i64,
    /// Whether the file starts its count of hours without progress again.
    pub afresh: Afresh,
}

/// Decides the next step for a file from its checkpoint.
#[must_use]
pub fn claim(found: Option<Checkpoint>, object: &Identity, by: Claimant) -> Claim {
    let lease_until_ms = by.now_ms + by.lease_ms;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let Some(found) = found else {
        return Claim::Begin(Box::new(Checkpoint {
            format: format::CHECKPOINT.newest,
            sequence: 0,
            nonce: by.nonce,
            epoch: Epoch::FIRST,
            lease_until_ms,
            phase: Phase::Running,
            version,
            object: object.clone(),
            header: None,
            reading_format: None,
            terms: None,
            committed: Vec::new(),
            position: Position::START,
            account: Account::default(),
            profile: None,
            rejects: Vec::new(),
            started_ms: by.now_ms,
            progress_ms: by.now_ms,
            trouble_since_ms: None,
            given_up: false,
            not_before_ms: 0,
            halving_requests: 0,
            ending: None,
        }));
    };
    if found.phase.is_terminal() {
        return Claim::Ended(found.phase);
    }
    let free_at_ms = found.lease_until_ms.max(found.not_before_ms);
    if by.now_ms < free_at_ms {
        let is_at_work = by.now_ms < found.lease_until_ms;
        let progress_ms = if is_at_work { found.progress_ms } else { free_at_ms };
        return Claim::Busy { until_ms: free_at_ms, progress_ms };
    }
    let starts_afresh = match by.afresh {
        Afresh::No => false,
        Afresh::IfFailed => found.given_up,
        Afresh::Yes => true,
    };
    Claim::TakeOver(Box::new(Checkpoint {
        format: format::CHECKPOINT.newest,
        given_up: found.given_up && !starts_afresh,
        trouble_since_ms: found.trouble_since_ms.filter(|_| !starts_afresh),
        progress_ms: if starts_afresh { by.now_ms } else { found.progress_ms },
        sequence: found.sequence + 1,
        nonce: by.nonce,
        epoch: found.epoch.next(),
        lease_until_ms,
        not_before_ms: 0,
        version,
        ..found
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::tests::object;

    fn nonce(now_ms: i64) -> Nonce {
        Nonce::new(i128::from(now_ms).to_be_bytes())
    }

    fn by(now_ms: i64) -> Claimant {
        Claimant { nonce: nonce(now_ms), now_ms, lease_ms: 10, afresh: Afresh::No }
    }

    fn begun() -> Checkpoint {
        match claim(None, &object(), by(100)) {
            Claim::Begin(checkpoint) => *checkpoint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_live_lease_is_respected_and_an_old_one_is_taken_over_in_a_new_epoch() {
        let first = begun();
        assert_eq!(claim(Some(first.clone()), &object(), by(109)), Claim::Busy { until_ms: 110, progress_ms: 100 });
        let Claim::TakeOver(second) = claim(Some(first), &object(), by(110)) else { panic!("taken over") };
        assert_eq!((second.epoch, second.sequence, second.nonce), (Epoch(1), 1, nonce(110)));
    }

    #[test]
    fn a_failed_file_restarts_for_a_person_or_a_new_message() {
        for (given_up, afresh, starts) in [
            (true, Afresh::No, false),
            (true, Afresh::IfFailed, true),
            (true, Afresh::Yes, true),
            (false, Afresh::No, false),
            (false, Afresh::IfFailed, false),
            (false, Afresh::Yes, true),
        ] {
            let found = Checkpoint { given_up, trouble_since_ms: Some(5), lease_until_ms: 0, ..begun() };
            let Claim::TakeOver(next) = claim(Some(found), &object(), Claimant { afresh, ..by(200) }) else {
                panic!("taken over")
            };
            let expected = if starts { (false, None, 200) } else { (given_up, Some(5), 100) };
            assert_eq!((next.given_up, next.trouble_since_ms, next.progress_ms), expected, "{given_up} {afresh:?}");
        }
    }

    #[test]
    fn an_ended_file_is_not_begun_again() {
        for phase in [Phase::Finished, Phase::Stopped, Phase::Replaced] {
            let ended = Checkpoint { phase, ..begun() };
            assert_eq!(claim(Some(ended), &object(), by(1_000)), Claim::Ended(phase));
        }
    }

    #[test]
    fn a_file_that_waits_for_its_turn_is_left_alone_until_then() {
        let waits = Checkpoint { lease_until_ms: 0, not_before_ms: 500, ..begun() };
        assert_eq!(claim(Some(waits.clone()), &object(), by(499)), Claim::Busy { until_ms: 500, progress_ms: 500 });
        let Claim::TakeOver(next) = claim(Some(waits), &object(), by(500)) else { panic!("taken over") };
        assert_eq!(next.not_before_ms, 0);
    }
}
