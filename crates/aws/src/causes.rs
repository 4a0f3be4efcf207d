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
        (kind, _)
            if kind != Kind::Transient
                && let Some(what) = fault.key_fault() =>
        {
            of_key(what)
        }
        (_, "NoSuchAccessPoint" | "InvalidAccessPoint") => {
            cause("the access point does not exist", "compare its ARN with the S3 console, or name the bucket")
        }
        _ if let Some(refused) = of_account(fault, bucket) => refused,
        _ if fault.is_elsewhere() => {
            let right = fault.right_region();
            let place = right.map_or("in another region than the request".to_owned(), |right| format!("in {right}"));
            cause(format!("{bucket} is {place}"), right_region(right))
        }
        // Rules of the SDK: the address of an access point has its name in the host.
        (Kind::Other, "") if says("path-style addressing cannot be used with arn") => cause(
            "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is set, so the name of the bucket stands in the path, and an access \
             point cannot stand there; nothing was sent",
            "name the bucket behind the access point, or unset the endpoint",
        ),
        (Kind::Other, "") => cause(
            format!("{bucket} is neither a bucket's name nor the ARN of an access point, so nothing was sent"),
            "name the bucket alone: my-bucket, not its URL or path",
        ),
        _ => return None,
    })
}

/// What KMS says of a key (KMS API reference, `Decrypt`, "Errors").
fn of_key(what: &str) -> Cause {
    match what {
        "Disabled" | "InvalidState" => cause(
            "the KMS key is disabled, or waits for its deletion",
            "cancel its deletion, if that is scheduled, and enable it in the KMS console; or encrypt with another key",
        ),
        "NotFound" => cause(
            "the KMS key does not exist, or is in another region",
            "compare its ARN with the KMS console: it must be in the region of the data",
        ),
        "InvalidKeyUsage" => cause(
            "the KMS key is not a symmetric key for encryption",
            "encrypt with a key of the type SYMMETRIC_DEFAULT",
        ),
        "OptInRequired" => cause("the account may not use KMS", "activate KMS in the account"),
        _ => cause("the KMS key cannot be used", "check its state in the KMS console, and read the text of the answer"),
    }
}

/// Refusals that no permission helps against (S3 API reference, "Error responses").
#[must_use]
pub fn of_account(fault: &Fault, bucket: &str) -> Option<Cause> {
    Some(match fault.code.as_str() {
        "SignatureDoesNotMatch" => cause(
            "the secret key does not belong to the access key, or a proxy changes the request",
            "renew the credentials, and check the proxy on the way to AWS, if there is one",
        ),
        "NotSignedUp" => cause(
            "the account of the credentials is not signed up for S3",
            "complete the registration of the account in the AWS console",
        ),
        "AccountProblem" => cause(
            "AWS has restricted the account, for example because a payment is missing",
            "look for messages of AWS in the account's console and its mail, and ask AWS Support",
        ),
        "AllAccessDisabled" => cause(
            format!("AWS has disabled all access to {bucket}"),
            "compare the name of the bucket with the S3 console, and ask AWS Support",
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
            (400, "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled.", "KMS key is disabled"),
            (400, "KMS.NotFoundException", "", "KMS key does not exist"),
            (400, "KMS.InvalidKeyUsageException", "", "not a symmetric key"),
            (400, "KmsOptInRequired", "", "may not use KMS"),
            (400, "KMS.KeyUnavailableException", "", "KMS key cannot be used"),
            (403, "SignatureDoesNotMatch", "", "secret key"),
            (403, "NotSignedUp", "", "not signed up"),
            (403, "AccountProblem", "", "restricted the account"),
            (403, "AllAccessDisabled", "", "disabled all access to theirs"),
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
        // One cause in the words of several services.
        let disabled = cause_of(&fault(400, "KMS.DisabledException", ""));
        for code in ["KMS.KMSInvalidStateException", "KmsDisabled", "KmsInvalidState", "KMSDisabled"] {
            assert_eq!(cause_of(&fault(400, code, "arn:aws:kms:eu-west-1:1:key/k is pending deletion.")), disabled);
        }
        let redirect = cause_of(&fault(307, "TemporaryRedirect", ""));
        assert_eq!(redirect, cause_of(&fault(301, "PermanentRedirect", "")));
        for (status, code, message) in [
            (403, "AccessDenied", "Access Denied"),
            (403, "AccessDenied", "not authorized to perform: kms:Decrypt"),
            (400, "KMS.AccessDeniedException", ""),
            (400, "KmsAccessDenied", ""),
            (400, "KMS.ThrottlingException", ""),
            (503, "SlowDown", ""),
            (403, "", ""),
        ] {
            assert_eq!(cause_of(&fault(status, code, message)), None, "{code} {message}");
        }
    }

    #[test]
    fn a_name_without_an_address_is_told_from_an_access_point_behind_an_endpoint() {
        let unsent = |detail: &str| Fault::new(Kind::Other, Operation::Get, "s3://theirs/key", detail);
        let of_point = cause_of(&unsent("Path-style addressing cannot be used with ARN buckets")).unwrap();
        assert!(of_point.cause.contains("AWS_ENDPOINT_URL_S3"), "{of_point:?}");
        let of_name = cause_of(&unsent("Invalid ARN")).unwrap();
        assert!(of_name.cause.contains("neither a bucket's name nor the ARN"), "{of_name:?}");
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
