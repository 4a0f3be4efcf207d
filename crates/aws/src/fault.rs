//! A failed AWS request, classified by what the caller does next.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http::endpoint::error::ResolveEndpointError;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key (or the version) is not there.
    Missing,
    /// The bucket is not there.
    NoBucket,
    /// The credentials may not do this.
    Denied,
    /// The credentials are missing.
    NoCredentials,
    /// The service's clock and ours differ. The SDK learns the difference from the answer, so the next signature is right.
    Skewed,
    /// The credentials have expired, or the service does not know them. Fresh ones may be better.
    Expired,
    /// A condition did not hold: another writer was first, or the object was replaced.
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

/// Codes of a busy service beside those of a status 429 or 5xx. KMS has its own limits, and S3 and SQS pass its refusals
/// on as a 400 (S3 API reference, "Error responses"; SQS API reference, `KmsThrottled`; SNS API reference, `KMSThrottling`).
const BUSY: [&str; 12] = [
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "KmsThrottled",
    "KMSThrottling",
    "KMS.ThrottlingException",
    "KMS.DependencyTimeoutException",
    "KMS.KMSInternalException",
];

/// Codes for credentials that have expired, or that the service does not know: of S3 (S3 API reference, "Error
/// responses"), and of STS and SQS ("Common errors" of their references).
const EXPIRED: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "InvalidToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
];

/// An operation of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An object.
    Get,
    /// The rest of an answer's body.
    Read,
    /// An object's size.
    Size,
    /// To put an object, whether or not the key is free.
    Put,
    /// To put an object under a free key.
    Create,
    /// To replace the object that was read.
    Replace,
    /// To list keys.
    List,
    /// To delete objects.
    Delete,
    /// To begin an object in parts.
    StartUpload,
    /// To put a part.
    UploadPart,
    /// To make the parts an object.
    CompleteUpload,
    /// To delete the parts of an upload.
    AbortUpload,
    /// To assume a role.
    Assume,
    /// To put a message into a queue.
    Send,
    /// To take messages from a queue.
    Receive,
    /// To let a message come again at another time.
    Postpone,
    /// To publish a message to a topic.
    Publish,
    /// To parse an object that was read.
    Parse,
    /// To read outputs and parameters of a stack.
    Describe,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Read => "read",
            Self::Size => "read the size of",
            Self::Put => "put",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::List => "list",
            Self::Delete => "delete",
            Self::StartUpload => "start the upload of",
            Self::UploadPart => "upload a part of",
            Self::CompleteUpload => "complete the upload of",
            Self::AbortUpload => "abort the upload of",
            Self::Assume => "assume",
            Self::Send => "send to",
            Self::Receive => "receive from",
            Self::Postpone => "postpone a message of",
            Self::Publish => "publish to",
            Self::Parse => "parse",
            Self::Describe => "describe",
        })
    }
}

/// A failed request: its operation, its target and the answer. Never holds a body or a secret.
///
/// It has no source. Its readers see one line, so `detail` has the whole chain of causes; a source would repeat it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to {operation} {target}: {detail}{}", tries(*attempts))]
#[non_exhaustive]
pub struct Fault {
    /// What the caller does next.
    pub kind: Kind,
    /// The operation.
    pub operation: Operation,
    /// The target: `s3://bucket/key`.
    pub target: String,
    /// The service's code and message, or the chain of causes of a broken connection.
    pub detail: String,
    /// The service's own error code, such as `AccessDenied`; empty when no answer came.
    pub code: String,
    /// The region of the bucket, if the answer has it (`x-amz-bucket-region`).
    pub region: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() }
}

impl Fault {
    /// A fault without an answer of the service, tried once.
    pub(crate) fn new(kind: Kind, operation: Operation, target: impl Into<String>, detail: impl Into<String>) -> Self {
        let (target, detail) = (target.into(), detail.into());
        Self { kind, operation, target, detail, code: String::new(), region: None, attempts: 1 }
    }

    /// Sorts an SDK error.
    pub fn of<E>(operation: Operation, target: impl Into<String>, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let kind = match error {
            SdkError::ServiceError(service) => {
                let (status, meta) = (service.raw().status().as_u16(), service.err());
                let (code, message) = (meta.code().unwrap_or_default(), meta.message().unwrap_or_default());
                let region = service.raw().headers().get("x-amz-bucket-region").map(str::to_owned);
                return Self { region, ..Self::refused(operation, target, status, code, message) };
            }
            SdkError::ConstructionFailure(_) => Kind::Other,
            // The SDK sorts this under a failed dispatch too, although nothing is sent.
            SdkError::DispatchFailure(_) if has::<ResolveEndpointError>(error) => Kind::Other,
            // No credentials surface as a dispatch failure; repeating it only hides the cause. So does a connection
            // that closed before the answer, which the SDK sorts under "other" too: that one may have landed.
            SdkError::DispatchFailure(_) if has::<CredentialsError>(error) => Kind::NoCredentials,
            SdkError::DispatchFailure(failure) if failure.is_user() => Kind::Other,
            _ => Kind::Transient,
        };
        Self::new(kind, operation, target, chain(error))
    }

    /// A refusal by the service. `code` is empty if the answer has no code.
    pub fn refused(operation: Operation, target: impl Into<String>, status: u16, code: &str, message: &str) -> Self {
        let detail = match (code, message, status) {
            ("", _, 200..300) => format!("status {status} with a body that is not from AWS"),
            ("", _, _) => format!("status {status} without an error code, so it is not from AWS"),
            (code, "", _) => code.to_owned(),
            (code, message, _) => format!("{code}: {message}"),
        };
        let kind = kind_of(operation, status, code, message);
        Self { code: code.to_owned(), ..Self::new(kind, operation, target, detail) }
    }

    /// A request that was not sent, because the credentials are missing.
    pub fn without_credentials(operation: Operation, target: impl Into<String>) -> Self {
        Self::new(Kind::NoCredentials, operation, target, "there are no credentials")
    }

    /// A fault found while reading an answer's body.
    pub fn broken(target: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        Self::new(Kind::Transient, Operation::Read, target, chain(error))
    }

    /// An answer that did not come from the service, for example from a proxy. The request may have had its effect or
    /// not.
    pub fn foreign(operation: Operation, target: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Transient, operation, target, detail)
    }

    /// An object that is not the document that belongs there.
    pub fn unreadable(target: impl Into<String>, error: impl fmt::Display) -> Self {
        Self::new(Kind::Unreadable, Operation::Parse, target, error.to_string())
    }

    /// A request that timed out: no byte was sent or received for `after`.
    pub fn stalled(operation: Operation, target: impl Into<String>, after: Duration) -> Self {
        Self::new(Kind::Transient, operation, target, format!("no progress for {} s", after.as_secs()))
    }

    /// The same fault, after `attempts` tries.
    #[must_use]
    pub fn after(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// True when another try may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Conflict)
    }

    /// True if the service refused the signature and a fresh one may be better. The request had no effect.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.kind, Kind::Skewed | Kind::Expired)
    }

    /// True when a permission on a KMS key is missing: AWS names the action (`kms:Decrypt`) in its message, or KMS in its
    /// code. The ARN of a key (`arn:aws:kms:eu-west-1:…`) stands in messages about other troubles too.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        let names_an_action = |rest: &str| rest.starts_with(|first: char| first.is_ascii_uppercase());
        match self.key_fault() {
            Some(what) => what == "AccessDenied",
            None => !self.code.is_empty() && self.detail.split("kms:").skip(1).any(names_an_action),
        }
    }

    /// What is wrong with a KMS key, as KMS words it, if the code says so. S3 and SQS write `KMS.DisabledException`, SQS also
    /// `KmsDisabled`, SNS `KMSDisabled`. KMS's own name of the exception may begin with `KMS` once more.
    #[must_use]
    pub fn key_fault(&self) -> Option<&str> {
        let what = ["KMS.", "Kms", "KMS"].iter().find_map(|prefix| self.code.strip_prefix(prefix))?;
        let what = what.strip_suffix("Exception").unwrap_or(what);
        Some(what.strip_prefix("KMS").unwrap_or(what))
    }

    /// True when a policy denies the request explicitly, as AWS says in its message.
    #[must_use]
    pub fn is_denied_explicitly(&self) -> bool {
        !self.code.is_empty() && self.detail.contains("explicit deny")
    }

    /// True if the bucket is in another region than the request.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        const CODES: [&str; 5] = [
            "PermanentRedirect",
            "TemporaryRedirect",
            "Redirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ];
        CODES.contains(&self.code.as_str())
    }

    /// The region where the bucket is, if AWS says so: by a header, or in words: `expecting 'us-west-2'`.
    #[must_use]
    pub fn right_region(&self) -> Option<&str> {
        let told = self.region.as_deref().or_else(|| between(&self.detail, "expecting '", "'"));
        told.filter(|_| self.is_elsewhere())
    }

    /// The bucket of the target `s3://bucket/key`. The ARN of an access point has a `/` of its own.
    #[must_use]
    pub fn bucket(&self) -> &str {
        let rest = self.target.strip_prefix("s3://").unwrap_or(&self.target);
        let slashes_within = usize::from(rest.starts_with("arn:") && rest.contains(":accesspoint/"));
        let end = rest.match_indices('/').nth(slashes_within).map_or(rest.len(), |(at, _)| at);
        &rest[..end]
    }

    /// The caller's ARN as AWS gives it: `User: ARN is not authorized`.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        between(&self.detail, "User: ", " is not")
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

/// True if an error of this type is among the causes.
fn has<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Sorts by status and code. AWS gives each refusal a code, so an answer without one is a gateway's, whatever its status.
/// A success that cannot be read is a gateway's too. Only the answer to a HEAD has no body. The SDK gives `NotFound` to its
/// 404, and nothing to its 403.
fn kind_of(operation: Operation, status: u16, code: &str, message: &str) -> Kind {
    match (status, code) {
        (401 | 403, "") if operation == Operation::Size => Kind::Denied,
        (200..=299, _) | (_, "") => Kind::Transient,
        (_, "NoSuchBucket") => Kind::NoBucket,
        (_, "RequestTimeTooSkewed" | "RequestExpired") => Kind::Skewed,
        // STS and SQS have no code of their own for a clock that is wrong.
        _ if message.starts_with("Signature expired") || message.starts_with("Signature not yet current") => {
            Kind::Skewed
        }
        (_, code) if EXPIRED.contains(&code) => Kind::Expired,
        (_, code) if BUSY.contains(&code) => Kind::Transient,
        (404, _) => Kind::Missing,
        (401 | 403, _) => Kind::Denied,
        // SQS words a missing permission as a 400 at times.
        (_, code) if code.ends_with("AccessDenied") || code.ends_with("AccessDeniedException") => Kind::Denied,
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
            (400, "KMS.AccessDeniedException", Kind::Denied),
            (412, "PreconditionFailed", Kind::Precondition),
            (409, "ConditionalRequestConflict", Kind::Conflict),
            (503, "SlowDown", Kind::Transient),
            (400, "RequestTimeout", Kind::Transient),
            (500, "InternalError", Kind::Transient),
            (400, "KMS.ThrottlingException", Kind::Transient),
            (400, "KmsThrottled", Kind::Transient),
            (400, "KMSThrottling", Kind::Transient),
            (400, "SlowDown", Kind::Transient),
            (403, "RequestTimeTooSkewed", Kind::Skewed),
            (400, "ExpiredToken", Kind::Expired),
            (400, "InvalidToken", Kind::Expired),
            (403, "InvalidAccessKeyId", Kind::Expired),
            (403, "InvalidClientTokenId", Kind::Expired),
            (403, "InvalidObjectState", Kind::Denied),
            (400, "InvalidArgument", Kind::Other),
        ] {
            assert_eq!(kind_of(Operation::Get, status, code, ""), expected, "{status} {code}");
        }
        let expired = "Signature expired: 20261127T000000Z is now earlier than 20261127T001000Z";
        assert_eq!(kind_of(Operation::Send, 403, "InvalidSignatureException", expired), Kind::Skewed);
        assert_eq!(kind_of(Operation::Send, 403, "InvalidSignatureException", "another"), Kind::Denied);
    }

    #[test]
    fn an_answer_without_an_aws_error_code_is_retried() {
        for status in [200, 204, 302, 400, 401, 403, 404, 407, 409, 412, 502] {
            assert_eq!(kind_of(Operation::Get, status, "", ""), Kind::Transient, "{status}");
        }
        // The answer to a HEAD has no body.
        assert_eq!(kind_of(Operation::Size, 403, "", ""), Kind::Denied);
        assert_eq!(kind_of(Operation::Size, 404, "NotFound", ""), Kind::Missing);
        // S3 begins the answer to a long completion before it knows how that ends.
        assert_eq!(kind_of(Operation::CompleteUpload, 200, "InternalError", ""), Kind::Transient);
    }

    #[test]
    fn a_refusal_names_key_caller_and_right_region() {
        let words = "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt with an explicit deny";
        let fault = Fault::refused(Operation::Get, "s3://b/k", 403, "AccessDenied", words);
        assert!(fault.is_about_key() && fault.is_denied_explicitly() && fault.kind == Kind::Denied);
        assert_eq!(fault.caller(), Some("arn:aws:iam::1:user/u"));
        for (code, words) in [
            ("KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled."),
            ("KMS.KMSInvalidStateException", "arn:aws:kms:eu-west-1:1:key/k is pending deletion."),
            ("InvalidArgument", "arn:aws:kms:eu-west-1:1:key/k"),
        ] {
            let fault = Fault::refused(Operation::Get, "s3://b/k", 400, code, words);
            assert!(!fault.is_about_key(), "{code}: no permission is missing");
        }
        for code in ["KMS.AccessDeniedException", "KmsAccessDenied", "KMSAccessDenied"] {
            let fault = Fault::refused(Operation::Send, "queue", 400, code, "");
            assert!(fault.is_about_key() && fault.kind == Kind::Denied, "{code}");
        }
        let elsewhere = |code| Fault::refused(Operation::Get, "s3://b/k", 400, code, "expecting 'us-west-2'");
        assert_eq!(elsewhere("AuthorizationHeaderMalformed").right_region(), Some("us-west-2"));
        assert_eq!(elsewhere("InvalidArgument").right_region(), None);
        let by_header = Fault { region: Some("eu-west-1".to_owned()), ..elsewhere("PermanentRedirect") };
        assert_eq!(by_header.right_region(), Some("eu-west-1"));
    }

    #[test]
    fn a_fault_knows_its_bucket() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/in";
        for bucket in ["inbox", arn] {
            assert_eq!(
                Fault::stalled(Operation::Get, format!("s3://{bucket}/a/b.csv"), Duration::ZERO).bucket(),
                bucket
            );
        }
    }

    #[test]
    fn a_fault_is_one_line_with_every_known_detail() {
        let fault = Fault::refused(Operation::StartUpload, "s3://b/k", 503, "SlowDown", "Reduce your rate.").after(6);
        let expected = "failed to start the upload of s3://b/k: SlowDown: Reduce your rate. (after 6 attempts)";
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn a_chain_of_causes_is_one_line_without_repetition() {
        let inner = std::io::Error::other("connection refused");
        let outer = std::io::Error::other(inner);
        assert_eq!(chain(&outer), "connection refused");
    }
}
