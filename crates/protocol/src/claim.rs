//! Who may go on with a file: decided from its checkpoint, as it was read, and the time.

use crate::account::Account;
use crate::checkpoint::{Checkpoint, Phase};
use crate::format;
use crate::id::{Epoch, Nonce};
use crate::position::Position;
use crate::upload::Identity;

/// What whoever read a checkpoint does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has begun: create this.
    Begin(Box<Checkpoint>),
    /// Nobody is at work any more: replace it by this.
    TakeOver(Box<Checkpoint>),
    /// Somebody is at work until then (ms since the epoch), or it is to wait until then.
    Busy(i64),
    /// There is nothing left to do.
    Ended(Phase),
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
    /// True when a file that had failed starts afresh: a person sent it again.
    pub afresh: bool,
}

/// Decides what to do with a file, given its checkpoint as it was read.
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
            rejects: Vec::new(),
            started_ms: by.now_ms,
            progress_ms: by.now_ms,
            trouble_since_ms: None,
            given_up: false,
            not_before_ms: 0,
            bisection_requests: 0,
            ending: None,
        }));
    };
    if found.phase.is_terminal() {
        return Claim::Ended(found.phase);
    }
    let free_at_ms = found.lease_until_ms.max(found.not_before_ms);
    if by.now_ms < free_at_ms {
        return Claim::Busy(free_at_ms);
    }
    let starts_afresh = by.afresh && found.given_up;
    Claim::TakeOver(Box::new(Checkpoint {
        format: format::CHECKPOINT.newest,
        given_up: found.given_up && !starts_afresh,
        trouble_since_ms: found.trouble_since_ms.filter(|_| !starts_afresh),
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

    fn object() -> Identity {
        Identity {
            source_id: "s".parse().unwrap(),
            bucket: "b".into(),
            key: "track_1.csv".into(),
            version_id: None,
            etag: "\"e\"".into(),
            modified_ms: 5,
            bytes: 9,
            replay: None,
        }
    }

    fn nonce(now_ms: i64) -> Nonce {
        Nonce::new(i128::from(now_ms).to_be_bytes())
    }

    fn by(now_ms: i64) -> Claimant {
        Claimant { nonce: nonce(now_ms), now_ms, lease_ms: 10, afresh: false }
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
        assert_eq!(claim(Some(first.clone()), &object(), by(109)), Claim::Busy(110));
        let Claim::TakeOver(second) = claim(Some(first), &object(), by(110)) else { panic!("taken over") };
        assert_eq!((second.epoch, second.sequence, second.nonce), (Epoch(1), 1, nonce(110)));
    }

    #[test]
    fn a_failed_file_starts_afresh_only_for_a_new_message() {
        let failed = Checkpoint { given_up: true, trouble_since_ms: Some(5), lease_until_ms: 0, ..begun() };
        for (afresh, expected) in [(false, (true, Some(5))), (true, (false, None))] {
            let by = Claimant { afresh, ..by(200) };
            let Claim::TakeOver(next) = claim(Some(failed.clone()), &object(), by) else { panic!("taken over") };
            assert_eq!((next.given_up, next.trouble_since_ms), expected);
        }
        let waiting = Checkpoint { given_up: false, ..failed };
        let by = Claimant { afresh: true, ..by(200) };
        let Claim::TakeOver(next) = claim(Some(waiting), &object(), by) else { panic!("taken over") };
        assert_eq!(next.trouble_since_ms, Some(5), "a file that has not failed remembers its trouble");
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
        assert_eq!(claim(Some(waits.clone()), &object(), by(499)), Claim::Busy(500));
        let Claim::TakeOver(next) = claim(Some(waits), &object(), by(500)) else { panic!("taken over") };
        assert_eq!(next.not_before_ms, 0);
    }
}
