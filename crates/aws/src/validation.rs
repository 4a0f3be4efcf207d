//! The answer to `{"validate": …}`: each step, its result, and its likely causes.
//!
//! The functions define the steps and the permissions that they need. This module has the causes that all of them
//! share.

use crate::fault::{Fault, Kind, Operation};
use serde::Serialize;
use std::time::Duration;

/// The content of a test object.
pub const TRIAL: &[u8] = b"segment-s3 can write here. This object may be deleted.\n";

/// The cause of a failure that nothing explains.
pub const UNKNOWN: &str = "an unknown cause";

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub tried: String,
    /// True if it ended as it should.
    pub ok: bool,
    /// How it ended, in the service's words where it failed.
    pub result: String,
    /// The likely causes, the likeliest first.
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
    /// A request that has ended: `result` describes a success, `causes` explains a failure.
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

/// Limits a request to `patience`.
///
/// # Errors
/// The request's own fault, or a timeout.
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
    /// The likely cause.
    pub cause: String,
    /// The fix.
    pub fix: String,
}

/// A cause and its fix.
pub fn cause(cause: impl Into<String>, fix: impl Into<String>) -> Cause {
    Cause { cause: cause.into(), fix: fix.into() }
}

/// The bucket does not exist.
pub fn no_bucket(bucket: &str, fix: impl Into<String>) -> Cause {
    cause(format!("the bucket {bucket} does not exist"), fix)
}

/// Why a request was denied, the likeliest first: `likely` before `unlikely`. A missing permission on a KMS key (`key`)
/// comes first where AWS says so. Where AWS does not say so it comes between the two, except for a listing, which needs
/// no key.
pub fn denied(fault: &Fault, key: Cause, likely: Vec<Cause>, unlikely: Vec<Cause>) -> Vec<Cause> {
    let explicit = || {
        cause(
            "a policy denies it explicitly: the role's, the bucket's, or the organisation's",
            "look for \"Effect\": \"Deny\" in them; an Allow does not override it",
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

/// Why a request failed without a denial: `late` without an answer or if S3 was too busy, `no_credentials` without
/// credentials.
pub fn otherwise(fault: &Fault, late: Cause, no_credentials: Cause) -> Cause {
    match fault.kind {
        Kind::Transient | Kind::Conflict => late,
        Kind::NoCredentials => no_credentials,
        _ => cause(UNKNOWN, "read the text of the answer"),
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
    fn a_kms_key_is_the_first_cause_only_if_aws_names_it() {
        assert_eq!(causes(Operation::Put, "Access Denied"), ["likely", "key", "unlikely"]);
        assert_eq!(causes(Operation::Put, "not authorized to perform: kms:Decrypt"), ["key", "likely", "unlikely"]);
        assert_eq!(causes(Operation::List, "Access Denied"), ["likely", "unlikely"]);
        let explicit = "a policy denies it explicitly";
        assert_eq!(causes(Operation::List, "with an explicit deny"), [explicit, "likely", "unlikely"]);
    }

    #[test]
    fn a_step_succeeds_or_reports_its_fault_and_causes() {
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
