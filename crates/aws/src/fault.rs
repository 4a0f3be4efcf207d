//! What a failed AWS request means to its caller.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::time::Duration;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key (or the version) is not there.
    Missing,
    /// The bucket is not there.
    NoBucket,
    /// The credentials may not do this, or there are none.
    Denied,
    /// A condition did not hold: somebody else was first, or the object is another one.
    Precondition,
    /// S3 saw two conditional writes at once; nothing is known to have landed.
    Conflict,
    /// Throttled, timed out, broken connection or a 5xx: worth another try.
    Transient,
    /// The object is there, and is not the document that belongs there.
    Unreadable,
    /// Anything else: a request that will not get better by repeating.
    Other,
}

/// A failed request: what was asked, of what, and what came back. Never holds a body or a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to {operation} {target}: {detail}{}", tries(*attempts))]
pub struct Fault {
    /// What the caller does next.
    pub kind: Kind,
    /// What was asked: `get`, `put`, …
    pub operation: &'static str,
    /// What it was asked of: `s3://bucket/key`.
    pub target: String,
    /// The service's code and message, or the chain of causes of a broken connection.
    pub detail: String,
    /// The service's own error code, such as `AccessDenied`; empty when no answer came.
    pub code: String,
    /// How often it was tried.
    pub attempts: u32,
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() }
}

impl Fault {
    /// Sorts an SDK error.
    pub fn of<E>(operation: &'static str, target: impl Into<String>, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let (code, message) = match error {
            SdkError::ServiceError(service) => {
                let meta = service.err();
                (meta.code().unwrap_or_default().to_owned(), meta.message().unwrap_or_default().to_owned())
            }
            _ => (String::new(), String::new()),
        };
        let kind = match error {
            SdkError::ServiceError(_) => kind_of(status.unwrap_or(0), &code),
            SdkError::ConstructionFailure(_) => Kind::Other,
            // No credentials surface as a dispatch failure; repeating it only hides the cause. So does a connection
            // that closed before the answer, which the SDK sorts under "other" too: that one may have landed.
            SdkError::DispatchFailure(_) if lacks_credentials(error) => Kind::Denied,
            SdkError::DispatchFailure(failure) if failure.is_user() => Kind::Other,
            _ => Kind::Transient,
        };
        let detail = match (code.is_empty(), message.is_empty()) {
            (false, false) => format!("{code}: {message}"),
            (false, true) => code.clone(),
            _ => match status {
                Some(status @ 200..300) if matches!(error, SdkError::ServiceError(_)) => {
                    format!("status {status} with a body that is not AWS's")
                }
                Some(status) if matches!(error, SdkError::ServiceError(_)) => format!("status {status}"),
                _ => chain(error),
            },
        };
        Self { kind, operation, target: target.into(), detail, code, attempts: 1 }
    }

    /// A fault found while reading an answer's body.
    pub fn broken(operation: &'static str, target: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        Self {
            kind: Kind::Transient,
            operation,
            target: target.into(),
            detail: chain(error),
            code: String::new(),
            attempts: 1,
        }
    }

    /// An answer that is not the service's own: something between us and it answered in its place. Whether the request
    /// was carried out is not known.
    pub fn foreign(operation: &'static str, target: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::Transient,
            operation,
            target: target.into(),
            detail: detail.into(),
            code: String::new(),
            attempts: 1,
        }
    }

    /// An object that is not the document that belongs there.
    pub fn unreadable(target: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self {
            kind: Kind::Unreadable,
            operation: "understand",
            target: target.into(),
            detail: error.to_string(),
            code: String::new(),
            attempts: 1,
        }
    }

    /// A request that was given up, since nothing of it was taken, or no answer came, for so long.
    pub fn stalled(operation: &'static str, target: impl Into<String>, after: Duration) -> Self {
        Self {
            kind: Kind::Transient,
            operation,
            target: target.into(),
            detail: format!("nothing happened for {} s", after.as_secs()),
            code: String::new(),
            attempts: 1,
        }
    }

    /// True when another try may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Conflict)
    }
}

/// True when the request was never sent, for want of credentials.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Sorts by status and code. AWS gives each refusal a code; the SDK gives `NotFound` to a 404 without a body, as a HEAD
/// has it. A success that cannot be read, a 404 or a 412 without a code are not AWS's: a gateway answered in its place.
fn kind_of(status: u16, code: &str) -> Kind {
    match (status, code) {
        (_, "NoSuchBucket") => Kind::NoBucket,
        (_, "RequestTimeout" | "SlowDown" | "Throttling" | "ThrottlingException" | "RequestThrottled") => {
            Kind::Transient
        }
        (200..=299, _) | (404 | 412, "") => Kind::Transient,
        (404, _) => Kind::Missing,
        (401 | 403, _) => Kind::Denied,
        (412, _) => Kind::Precondition,
        (409, _) => Kind::Conflict,
        (408 | 429 | 500..=599, _) => Kind::Transient,
        _ => Kind::Other,
    }
}

/// The causes behind an error in one line: the SDK's own words are often only `dispatch failure`.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !text.is_empty() && words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_to_do_next() {
        for (status, code, expected) in [
            (404, "NoSuchKey", Kind::Missing),
            (404, "NotFound", Kind::Missing),
            (404, "NoSuchBucket", Kind::NoBucket),
            (403, "AccessDenied", Kind::Denied),
            (412, "PreconditionFailed", Kind::Precondition),
            (409, "ConditionalRequestConflict", Kind::Conflict),
            (503, "SlowDown", Kind::Transient),
            (400, "RequestTimeout", Kind::Transient),
            (500, "InternalError", Kind::Transient),
            (400, "InvalidArgument", Kind::Other),
        ] {
            assert_eq!(kind_of(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_that_aws_did_not_word_decides_nothing() {
        for status in [200, 204, 404, 412] {
            assert_eq!(kind_of(status, ""), Kind::Transient, "{status}");
        }
        // S3 begins the answer to a long completion before it knows how that ends.
        assert_eq!(kind_of(200, "InternalError"), Kind::Transient);
    }

    #[test]
    fn a_chain_of_causes_is_one_line_without_echoes() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(inner);
        assert_eq!(chain(&outer), "connection refused");
    }
}
