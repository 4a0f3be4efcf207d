//! The causes of refusals that AWS words clearly, each with its fix. `validate` and a failed run use the same words.

use crate::fault::{Fault, Kind};
use crate::validation::{Cause, UNKNOWN, cause};

/// The cause, if code or text of the refusal show it. `right_region` is the fix if the bucket is in another region than the
/// request; it gets that region, if AWS says which.
pub fn clear(fault: &Fault, bucket: &str, right_region: impl FnOnce(Option<&str>) -> String) -> Option<Cause> {
    let says = |words: &str| fault.detail.to_lowercase().contains(words);
    Some(match (fault.kind, fault.code.as_str()) {
        (Kind::Skewed, _) => cause(
            "the clock of this machine is wrong: AWS refuses a signature that is minutes old or early",
            "set the clock",
        ),
        (Kind::Expired, code) => of_credentials(code),
        // S3 user guide, "Restoring an archived object".
        (_, "InvalidObjectState") => cause(
            "the object is archived (S3 Glacier, or an archive tier of Intelligent-Tiering)",
            "restore it, and then send its event again; with INGEST_RESTORED=true the restore itself starts the ingester",
        ),
        // S3 user guide, "Requester Pays buckets": a request without the header is a 403.
        _ if says("requester pays") => cause(
            format!("{bucket} is a Requester Pays bucket"),
            "set REQUEST_PAYER=requester, so that your account pays for the requests",
        ),
        // S3 user guide, "Server-side encryption with customer-provided keys".
        _ if says("server side encryption") && says("correct parameters") => cause(
            "the object is encrypted with a key that only its uploader has (SSE-C)",
            "upload it with SSE-S3 or SSE-KMS",
        ),
        _ if fault.is_about_key() => return None,
        (kind, code) if code.starts_with("KMS.") && !matches!(kind, Kind::Denied | Kind::Transient) => cause(
            "the KMS key does not exist, is disabled, or waits for its deletion",
            "check the key in the KMS console: it must be in the bucket's region",
        ),
        (_, "NoSuchAccessPoint" | "InvalidAccessPoint") => {
            cause("the access point does not exist", "compare its ARN with the S3 console, or name the bucket")
        }
        _ if fault.is_elsewhere() => {
            let right = fault.right_region();
            let place = right.map_or("in another region than the request".to_owned(), |right| format!("in {right}"));
            cause(format!("{bucket} is {place}"), right_region(right))
        }
        (Kind::Other, "") => cause(
            format!("{bucket} is neither a bucket's name nor the ARN of an access point, so nothing was sent"),
            "name the bucket alone: my-bucket, not its URL or path",
        ),
        _ => return None,
    })
}

fn of_credentials(code: &str) -> Cause {
    let what = match code {
        "InvalidToken" => "the session token is not valid, or is of another access key",
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "AWS does not know the access key: it was deleted, or is of another partition"
        }
        _ => "the credentials have expired",
    };
    cause(what, "renew the credentials; a Lambda function gets new ones when it starts again")
}

/// A failed request with its likeliest cause, for report and log.
#[must_use]
pub fn in_words(fault: &Fault, causes: &[Cause]) -> String {
    match causes.first().filter(|cause| cause.cause != UNKNOWN) {
        Some(Cause { cause, fix }) => format!("{fault}: {cause}: {fix}"),
        None => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Operation;

    fn fault(status: u16, code: &str, message: &str) -> Fault {
        Fault::refused(Operation::Get, "s3://theirs/key", status, code, message)
    }

    fn cause_of(fault: &Fault) -> Option<Cause> {
        clear(fault, "theirs", |right| format!("go to {}", right.unwrap_or("it")))
    }

    #[test]
    fn each_clear_refusal_has_a_cause_and_a_fix_of_its_own() {
        let sse_c = "The object was stored using a form of Server Side Encryption. The correct parameters must be \
                     provided to retrieve the object.";
        let cases = [
            (403, "RequestTimeTooSkewed", "", "clock"),
            (400, "ExpiredToken", "", "credentials have expired"),
            (400, "InvalidToken", "", "session token"),
            (403, "InvalidAccessKeyId", "", "access key"),
            (403, "InvalidObjectState", "", "archived"),
            (403, "AccessDenied", "the bucket is a Requester Pays bucket", "Requester Pays"),
            (400, "InvalidRequest", sse_c, "SSE-C"),
            (400, "KMS.DisabledException", "", "KMS key"),
            (404, "NoSuchAccessPoint", "", "access point"),
            (301, "PermanentRedirect", "", "another region"),
        ];
        let causes: Vec<Cause> = cases
            .iter()
            .map(|(status, code, message, expected)| {
                let cause = cause_of(&fault(*status, code, message)).unwrap();
                assert!(cause.cause.contains(expected), "{code}: {cause:?}");
                cause
            })
            .collect();
        for (index, cause) in causes.iter().enumerate() {
            assert!(
                !cause.fix.is_empty() && !causes[..index].iter().any(|other| other.cause == cause.cause),
                "{cause:?}"
            );
        }
        for (status, code, message) in [
            (403, "AccessDenied", "Access Denied"),
            (403, "AccessDenied", "not authorized to perform: kms:Decrypt"),
            (400, "KMS.ThrottlingException", ""),
            (503, "SlowDown", ""),
            (403, "", ""),
        ] {
            assert_eq!(cause_of(&fault(status, code, message)), None, "{code} {message}");
        }
    }

    #[test]
    fn the_region_is_named_if_the_answer_names_it() {
        let elsewhere = Fault { region: Some("eu-west-1".to_owned()), ..fault(301, "PermanentRedirect", "") };
        assert_eq!(cause_of(&elsewhere), Some(cause("theirs is in eu-west-1", "go to eu-west-1")));
    }

    #[test]
    fn a_failed_request_is_told_with_its_likeliest_cause() {
        let fault = fault(403, "InvalidObjectState", "");
        let words = in_words(&fault, &[cause("archived", "restore it"), cause("another", "none")]);
        assert_eq!(words, format!("{fault}: archived: restore it"));
        assert_eq!(in_words(&fault, &[cause(UNKNOWN, "read")]), fault.to_string());
        assert_eq!(in_words(&fault, &[]), fault.to_string());
    }
}
