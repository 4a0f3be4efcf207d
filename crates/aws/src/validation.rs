//! What `{"validate": …}` answers: what was tried, how it ended, and what that most likely means.
//!
//! The functions say what they try and which permissions that needs. What an answer of AWS means for any of them is said
//! here.

use crate::fault::{Fault, Kind, Operation};
use serde::Serialize;
use std::time::Duration;

/// What is put where writing is tried.
pub const TRIAL: &[u8] = b"segment-s3 can write here. This object may be deleted.\n";

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub tried: String,
    /// True if it ended as it should.
    pub ok: bool,
    /// How it ended, in the service's words where it failed.
    pub result: String,
    /// What that most likely means, the likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub likely_causes: Vec<Cause>,
}

impl Check {
    /// It ended as it should.
    pub fn well(tried: impl Into<String>, result: impl Into<String>) -> Self {
        Self { tried: tried.into(), ok: true, result: result.into(), likely_causes: Vec::new() }
    }

    /// It did not.
    pub fn ill(tried: impl Into<String>, result: impl Into<String>, likely_causes: Vec<Cause>) -> Self {
        Self { tried: tried.into(), ok: false, result: result.into(), likely_causes }
    }
}

impl Check {
    /// A request that has ended: `result` says how, if it ended well; `causes` says why, if it did not.
    pub fn of<T>(
        tried: impl Into<String>,
        ended: Result<T, Fault>,
        result: impl FnOnce(&T) -> String,
        causes: impl FnOnce(&Fault) -> Vec<Cause>,
    ) -> (Self, Option<T>) {
        match ended {
            Ok(found) => (Self::well(tried, result(&found)), Some(found)),
            Err(fault) => (Self::ill(tried, fault.to_string(), causes(&fault)), None),
        }
    }
}

/// Waits so long for a request to end.
///
/// # Errors
/// Its own fault, or that of a request that was given up.
pub async fn in_time<T>(
    operation: Operation,
    target: &str,
    patience: Duration,
    asking: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let ended = tokio::time::timeout(patience, asking).await;
    ended.unwrap_or_else(|_| Err(Fault::stalled(operation, target, patience)))
}

/// A cause and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What is probably the matter.
    pub cause: String,
    /// What to do then.
    pub fix: String,
}

/// A cause and its fix.
pub fn cause(cause: impl Into<String>, fix: impl Into<String>) -> Cause {
    Cause { cause: cause.into(), fix: fix.into() }
}

/// There is no such bucket.
pub fn no_bucket(bucket: &str, fix: impl Into<String>) -> Cause {
    cause(format!("there is no bucket {bucket}"), fix)
}

/// Why a request was denied, the likeliest first: `likely` before `unlikely`. A missing permission on a KMS key (`key`)
/// comes first where AWS says so. Where AWS does not say so it comes between the two, except for a listing, which needs
/// no key.
pub fn denied(fault: &Fault, key: Cause, likely: Vec<Cause>, unlikely: Vec<Cause>) -> Vec<Cause> {
    let explicit = || {
        cause(
            "a policy denies it explicitly: the role's, the bucket's, or the organisation's",
            "look for \"Effect\": \"Deny\" in them; an allowing statement does not outweigh it",
        )
    };
    let is_about_key = fault.is_about_key();
    let (first, later) = (is_about_key, !is_about_key && fault.operation != Operation::List);
    let mut causes: Vec<Cause> = first.then(|| key.clone()).into_iter().collect();
    causes.extend(fault.is_denied_explicitly().then(explicit));
    causes.extend(likely);
    causes.extend(later.then_some(key));
    causes.extend(unlikely);
    causes
}

/// Why a request failed that was not denied: `late` if no answer came, or S3 was too busy; `no_credentials` if there are
/// none.
pub fn otherwise(fault: &Fault, late: Cause, no_credentials: Cause) -> Cause {
    match fault.kind {
        Kind::Transient | Kind::Conflict => late,
        Kind::NoCredentials => no_credentials,
        _ => cause("nothing that is known here", "see the answer's own words"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn causes(operation: Operation, message: &str) -> Vec<String> {
        let fault = Fault::refused(operation, "s3://b/k", 403, "AccessDenied", message);
        let named = |name: &str| vec![cause(name, "")];
        let causes = denied(&fault, cause("key", ""), named("likely"), named("unlikely"));
        causes.into_iter().map(|cause| cause.cause.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_key_is_suspected_first_only_where_aws_names_it() {
        assert_eq!(causes(Operation::Put, "Access Denied"), ["likely", "key", "unlikely"]);
        assert_eq!(causes(Operation::Put, "not authorized to perform: kms:Decrypt"), ["key", "likely", "unlikely"]);
        assert_eq!(causes(Operation::List, "Access Denied"), ["likely", "unlikely"]);
        let explicit = "a policy denies it explicitly";
        assert_eq!(causes(Operation::List, "with an explicit deny"), [explicit, "likely", "unlikely"]);
    }

    #[test]
    fn a_step_ends_well_or_with_the_fault_and_its_causes() {
        let (step, found) = Check::of("try", Ok(1), |found| format!("{found} found"), |_| panic!("no causes"));
        assert_eq!((step, found), (Check::well("try", "1 found"), Some(1)));
        let fault = Fault::without_credentials(Operation::Get, "s3://b/k");
        let words = fault.to_string();
        let late = || cause("late", "");
        let causes = |fault: &Fault| vec![otherwise(fault, late(), cause("none", ""))];
        let (step, found) = Check::of("try", Err::<(), _>(fault), |()| panic!("no result"), causes);
        assert_eq!((step, found), (Check::ill("try", words, vec![cause("none", "")]), None));
    }
}
