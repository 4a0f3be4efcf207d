//! The head: the one object that says which plans are open.
//!
//! It is read first and changed only by compare-and-swap on the ETag read then. Sequence number and nonce make every
//! head unique. A head with the same plans after a full cycle has another ETag. An exporter without an answer to its
//! swap reads the head back and finds its own nonce.

use serde::{Deserialize, Serialize};

use crate::format::{self, Unreadable};
use crate::id::Nonce;
use crate::keys;
use crate::plan::{Plan, Size};

/// How long a closed plan is remembered: until no old request can still arrive.
///
/// A fragment may be written again after it was exported and deleted, if the ingester's first try was slower than its
/// second. S3 closes a connection that is silent for a minute. It refuses a request that was signed more than 15
/// minutes ago (S3 user guide, "Authenticating requests", `RequestTimeTooSkewed`).
pub const REMEMBERED_MS: i64 = 60 * 60 * 1_000;

/// Closed plans that are remembered at most, the last ones: each is read at every tick.
pub const REMEMBERED_MAX: usize = 1_000;

/// The head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// See [`format::HEAD`].
    pub format: u32,
    /// One more with every change.
    pub sequence: u64,
    /// The writer's, drawn for this one change.
    pub nonce: Nonce,
    /// The plans that are not settled yet, oldest first.
    pub open: Vec<OpenPlan>,
    /// The plans that were settled a short while ago, oldest first. Only closing another forgets one, so that a pause
    /// of the exporter's does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<ClosedPlan>,
}

/// A recently closed plan. If one of its fragments is written again, it is already exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPlan {
    /// The plan.
    pub plan: Nonce,
    /// Its last revision.
    pub revision: u32,
    /// When it was closed, in epoch milliseconds.
    pub closed_ms: i64,
}

/// A plan that is not settled yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPlan {
    /// The plan.
    pub plan: Nonce,
    /// The revision that counts.
    pub revision: u32,
    /// When it was made, in epoch milliseconds.
    pub created_ms: i64,
    /// The destinations it goes to and that are not given up.
    pub destinations: Vec<String>,
    /// The size of its contents.
    pub size: Size,
}

impl OpenPlan {
    fn of(plan: &Plan) -> OpenPlan {
        let wanted = plan.destinations.iter().filter(|destination| destination.abandoned.is_none());
        OpenPlan {
            plan: plan.nonce,
            revision: plan.revision,
            created_ms: plan.created_ms,
            destinations: wanted.map(|destination| destination.name.clone()).collect(),
            size: plan.size(),
        }
    }

    /// The key of its document.
    pub fn key(&self) -> String {
        keys::plan(self.plan, self.revision)
    }
}

impl Head {
    /// The head before there is one: nothing is open.
    pub fn empty() -> Head {
        Head {
            format: format::HEAD.newest,
            sequence: 0,
            nonce: Nonce::new([0; 16]),
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Reads a head.
    ///
    /// # Errors
    /// If it is not a head, or its format is unknown to this version.
    pub fn from_json(json: &[u8]) -> Result<Head, Unreadable> {
        format::HEAD.read(json)
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a head has text keys only")
    }

    /// An open plan in the head.
    pub fn find(&self, plan: Nonce) -> Option<&OpenPlan> {
        self.open.iter().find(|open| open.plan == plan)
    }

    /// True if a plan is open, or remembered.
    pub fn knows(&self, plan: Nonce) -> bool {
        self.find(plan).is_some() || self.closed.iter().any(|closed| closed.plan == plan)
    }

    /// True if `other` is this very head: the answer to a swap may be lost, but not its nonce.
    pub fn is(&self, other: &Head) -> bool {
        self.sequence == other.sequence && self.nonce == other.nonce
    }

    /// The next head, with one more plan.
    pub fn opening(&self, plan: &Plan, nonce: Nonce) -> Head {
        let mut next = self.next(nonce);
        next.open.push(OpenPlan::of(plan));
        next
    }

    /// The next head, with a revision of a plan; `None` if that plan is not open at the revision
    /// before it.
    pub fn revising(&self, plan: &Plan, nonce: Nonce) -> Option<Head> {
        let mut next = self.next(nonce);
        let open = next.open.iter_mut().find(|open| open.plan == plan.nonce && open.revision + 1 == plan.revision)?;
        *open = OpenPlan::of(plan);
        Some(next)
    }

    /// The next head, in which a plan is closed and remembered. It forgets plans that were remembered long enough.
    /// `None` if the plan is not open.
    pub fn closing(&self, plan: Nonce, now_ms: i64, nonce: Nonce) -> Option<Head> {
        let revision = self.find(plan)?.revision;
        let mut next = self.next(nonce);
        next.open.retain(|open| open.plan != plan);
        next.closed.push(ClosedPlan { plan, revision, closed_ms: now_ms });
        next.closed.retain(|closed| now_ms.saturating_sub(closed.closed_ms) < REMEMBERED_MS);
        let too_many = next.closed.len().saturating_sub(REMEMBERED_MAX);
        next.closed.drain(..too_many);
        Some(next)
    }

    /// The next head, without a plan that was abandoned. The plan is not remembered, so its fragments are planned
    /// again. `None` if the plan is not open.
    pub fn dropping(&self, plan: Nonce, nonce: Nonce) -> Option<Head> {
        self.find(plan)?;
        let mut next = self.next(nonce);
        next.open.retain(|open| open.plan != plan);
        Some(next)
    }

    fn next(&self, nonce: Nonce) -> Head {
        let (open, closed) = (self.open.clone(), self.closed.clone());
        Head { format: format::HEAD.newest, sequence: self.sequence + 1, nonce, open, closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::samples::{self, staged, unfit};

    fn plan(number: u8) -> Plan {
        Plan { nonce: nonce(number), ..samples::plan(&[], vec![staged("a", u64::from(number), 10)], &[]) }
    }

    fn nonce(number: u8) -> Nonce {
        Nonce::new([number; 16])
    }

    #[test]
    fn a_plan_opens_is_revised_and_closes() {
        let head = Head::empty().opening(&plan(1), nonce(10)).opening(&plan(2), nonce(11));
        assert_eq!(head.open.iter().map(|open| open.plan).collect::<Vec<_>>(), [nonce(1), nonce(2)]);
        let revised = head.revising(&plan(1).quarantining([unfit(0)]), nonce(12)).unwrap();
        assert_eq!(revised.find(nonce(1)).unwrap().revision, 1);
        let closed = revised.closing(nonce(1), 7, nonce(13)).unwrap();
        assert_eq!(closed.find(nonce(1)), None);
        assert_eq!(closed.sequence, 4);
        assert_eq!(closed.closed, [ClosedPlan { plan: nonce(1), revision: 1, closed_ms: 7 }]);
        assert!(closed.knows(nonce(1)) && closed.knows(nonce(2)) && !closed.knows(nonce(3)));
        assert_eq!(Head::from_json(&closed.to_json()).unwrap(), closed);
    }

    #[test]
    fn only_an_open_plan_is_revised_or_closed() {
        let head = Head::empty().opening(&plan(1), nonce(10));
        assert_eq!(head.closing(nonce(2), 7, nonce(11)), None);
        let twice = plan(1).quarantining([unfit(0)]).quarantining([]);
        assert_eq!(head.revising(&twice, nonce(11)), None, "a revision is not skipped");
        assert_eq!(head.revising(&plan(1), nonce(11)), None, "nor repeated");
    }

    #[test]
    fn closed_plans_are_remembered_for_an_hour_up_to_a_limit() {
        let close = |head: Head, number: u8, now_ms| {
            head.opening(&plan(number), nonce(99)).closing(nonce(number), now_ms, nonce(99)).unwrap()
        };
        let head = close(close(Head::empty(), 1, 0), 2, REMEMBERED_MS - 1);
        assert!(head.knows(nonce(1)));
        assert!(!close(head, 3, REMEMBERED_MS).knows(nonce(1)));
        let mut many = close(Head::empty(), 1, 0);
        let closed = many.closed[0];
        many.closed = vec![closed; REMEMBERED_MAX];
        many.closed[0].plan = nonce(7);
        let many = close(many, 2, 0);
        assert_eq!(many.closed.len(), REMEMBERED_MAX);
        assert!(!many.knows(nonce(7)) && many.knows(nonce(1)) && many.knows(nonce(2)));
    }

    /// After a plan was opened and closed the same plans are open, and yet it is another head.
    #[test]
    fn a_head_never_repeats() {
        let before = Head::empty().opening(&plan(1), nonce(10));
        let after = before.opening(&plan(2), nonce(11)).closing(nonce(2), 7, nonce(12)).unwrap();
        assert_eq!(before.open, after.open);
        assert_ne!(before.to_json(), after.to_json());
        assert!(!before.is(&after));
        let raced = before.opening(&plan(2), nonce(13));
        assert!(!raced.is(&before.opening(&plan(2), nonce(11))), "two writers, two nonces");
    }
}
