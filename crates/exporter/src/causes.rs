//! The likely causes of AWS's vague answers, the likeliest first, each with its fix.

use aws::validation::{self, Cause, cause, no_bucket};
use aws::{Fault, Kind, Operation};
use export::routes::Destination;

/// The causes if a destination could not be written to, in its role or with its session.
pub(crate) fn of_destination(fault: &Fault, destination: &Destination) -> Vec<Cause> {
    match fault.operation {
        Operation::Assume => of_assume(fault, destination),
        _ => of_put(fault, destination, Owner::Unknown),
    }
}

/// A failed write for the alarm: the likeliest cause, and the owner of the bucket, if that may be one. Only `validate` tries
/// whether it is.
pub(crate) fn in_words(fault: &Fault, destination: &Destination) -> String {
    let causes = of_destination(fault, destination);
    let words = aws::causes::in_words(fault, &causes);
    let of_owner = destination.expected_bucket_owner.as_deref().map(|account| another_owner(destination, account));
    match of_owner.filter(|of_owner| causes.get(1..).is_some_and(|later| later.contains(of_owner))) {
        Some(Cause { cause, fix }) => format!("{words}; or {cause}: {fix}"),
        None => words,
    }
}

/// The causes if a role could not be assumed with its external id.
pub(crate) fn of_assume(fault: &Fault, destination: &Destination) -> Vec<Cause> {
    let role = &destination.role_arn;
    match fault.code.as_str() {
        "AccessDenied" => {
            let caller = caller(fault);
            vec![
                cause(
                    format!("the trust policy of {role} does not name this exporter"),
                    format!("in its trust policy allow sts:AssumeRole to the Principal {{\"AWS\": \"{caller}\"}}"),
                ),
                cause(
                    "its sts:ExternalId differs from external_id in the settings",
                    "compare them exactly, including upper case and trailing blanks",
                ),
                cause(
                    "the role does not exist: AWS answers AccessDenied in this case too",
                    format!("compare {role} with the ARN on the role's page, including the account number"),
                ),
                cause(
                    "the exporter itself may not assume it",
                    format!("allow sts:AssumeRole on {role} in the policy of the exporter's own role"),
                ),
            ]
        }
        "RegionDisabledException" => vec![cause(
            "STS is not active in this region",
            "activate it: IAM, Account settings, Security Token Service",
        )],
        "ValidationError" => {
            vec![cause(
                "the role's ARN or the external id has a form that STS refuses",
                "compare the ARN and the external id with the form in `result`",
            )]
        }
        "ExpiredToken" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
            vec![cause(
                "the exporter's own credentials are not valid",
                "check the source of these credentials, and the clock of the machine",
            )]
        }
        _ => otherwise(fault),
    }
}

/// The causes if the call without an external id neither succeeded nor was denied.
pub(crate) fn of_assume_without(fault: &Fault) -> Vec<Cause> {
    let mut causes = otherwise(fault);
    causes.push(cause(
        "it is unknown whether the role can be assumed without the external id",
        "check its trust policy: it must have the condition sts:ExternalId",
    ));
    causes
}

/// Whether a put is denied because another account has the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// S3 takes the object if no owner is expected.
    Cause,
    /// S3 denies the object also if no owner is expected.
    NotTheOnlyCause,
    /// No owner is expected, or it was not tried without one.
    Unknown,
}

/// The causes if an object could not be put with the role's session.
pub(crate) fn of_put(fault: &Fault, destination: &Destination, owner: Owner) -> Vec<Cause> {
    let bucket = &destination.bucket;
    match fault.code.as_str() {
        "AccessDenied" | "KMS.AccessDeniedException" => denied(fault, destination, owner),
        "NoSuchBucket" => {
            vec![no_bucket(bucket, "compare its name with the S3 console, or create the bucket")]
        }
        _ if let Some(clear) = clear(fault, bucket) => vec![clear],
        "AccessControlListNotSupported" => vec![cause(
            format!("{bucket} has ACLs turned off (Object Ownership: Bucket owner enforced)"),
            "remove acl: the bucket's owner owns every object anyway",
        )],
        _ if fault.kind == Kind::NoBucket => vec![no_bucket(bucket, "create the bucket")],
        _ => otherwise(fault),
    }
}

fn clear(fault: &Fault, bucket: &str) -> Option<Cause> {
    aws::causes::clear(fault, bucket, |right| match right {
        Some(right) => format!("set region = \"{right}\""),
        None => "set region to the one on the bucket's page".to_owned(),
    })
}

fn denied(fault: &Fault, destination: &Destination, owner: Owner) -> Vec<Cause> {
    let of_owner = destination.expected_bucket_owner.as_deref().map(|account| another_owner(destination, account));
    if let (Some(cause), Owner::Cause) = (&of_owner, owner) {
        return vec![cause.clone()];
    }
    let Destination { bucket, role_arn, .. } = destination;
    let key = destination.kms_key_arn.as_deref();
    let grant = cause(
        match key {
            Some(key) => format!("{role_arn} may not use the key {key}"),
            None => "the bucket encrypts with a KMS key that the role may not use".to_owned(),
        },
        "allow kms:GenerateDataKey and kms:Decrypt on the key, in the role's policy and in the key's own",
    );
    let mut likely = vec![no_permission(destination)];
    if destination.acl.is_some() {
        likely.push(cause("acl is set, and the role may not set ACLs", "allow s3:PutObjectAcl on the same resource"));
    }
    let by_policy = cause(
        "the bucket's policy denies it: by network, by organisation",
        format!("look for \"Effect\": \"Deny\" in the policy of {bucket}"),
    );
    let mut unlikely = vec![demanded_header(destination), by_policy];
    match owner {
        Owner::NotTheOnlyCause => unlikely.extend(of_owner),
        Owner::Cause | Owner::Unknown => likely.extend(of_owner),
    }
    if fault.is_denied_explicitly() && fault.detail.contains("resource-based policy") {
        likely.splice(0..0, unlikely.drain(..2));
    }
    validation::denied(fault, grant, likely, unlikely)
}

fn no_permission(destination: &Destination) -> Cause {
    let Destination { bucket, prefix, role_arn, .. } = destination;
    let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let resource = format!("arn:aws:s3:::{bucket}/{folder}segment-logs/*");
    match prefix.is_empty() {
        true => cause(
            format!("the role's policy does not allow s3:PutObject on {resource}"),
            format!("add that statement to a policy of {role_arn}"),
        ),
        false => cause(
            format!(
                "the role's policy allows s3:PutObject on arn:aws:s3:::{bucket}/segment-logs/*, without the prefix"
            ),
            format!("change its Resource to {resource}"),
        ),
    }
}

fn another_owner(destination: &Destination, account: &str) -> Cause {
    let bucket = &destination.bucket;
    cause(
        format!("{bucket} does not belong to account {account}"),
        "if it is the right bucket, set expected_bucket_owner to its account; if it was deleted, somebody else may have \
         taken its name: choose another bucket",
    )
}

/// A bucket's policy may ask for a header. S3 does not say which.
fn demanded_header(destination: &Destination) -> Cause {
    let headers = [
        ("x-amz-server-side-encryption", &destination.sse),
        ("x-amz-server-side-encryption-aws-kms-key-id", &destination.kms_key_arn),
        ("x-amz-storage-class", &destination.storage_class),
        ("x-amz-acl", &destination.acl),
    ];
    let sent: Vec<String> =
        headers.iter().filter_map(|(header, value)| Some(format!("{header}: {}", value.as_ref()?))).collect();
    let missing: Vec<&str> = headers.iter().filter(|(_, value)| value.is_none()).map(|(header, _)| *header).collect();
    let now = match (sent.is_empty(), missing.is_empty()) {
        (true, _) => format!("not sent are {}", missing.join(", ")),
        (_, true) => format!("sent are {}", sent.join(", ")),
        _ => format!("sent are {}; not sent are {}", sent.join(", "), missing.join(", ")),
    };
    cause(
        format!("the policy of {} asks for a header or for another value of one: {now}", destination.bucket),
        "look in the policy for a condition on s3:x-amz-server-side-encryption or on another of these headers, and set \
         sse, kms_key_arn, storage_class or acl to the value there",
    )
}

fn otherwise(fault: &Fault) -> Vec<Cause> {
    let late =
        cause("AWS did not answer, or was too busy", "try again; if it repeats, check the network of the function");
    let no_credentials = cause(
        "the exporter has no credentials of its own",
        "in Lambda give the function a role; elsewhere set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    vec![validation::otherwise(fault, late, no_credentials)]
}

/// The caller in `User: ARN is not authorized …`. For a session it is the role, because a policy names the role.
fn caller(fault: &Fault) -> String {
    let Some(arn) = fault.caller() else { return "the exporter's role".to_owned() };
    let session = arn.split_once(":assumed-role/").and_then(|(account, rest)| {
        let account = account.replace(":sts:", ":iam:");
        Some(format!("{account}:role/{}", rest.split('/').next()?))
    });
    session.unwrap_or_else(|| arn.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;
    use protocol::reading::Reading;

    fn destination(change: impl FnOnce(&mut Destination)) -> Destination {
        let document = r#"
            [[destination]]
            name = "default"
            bucket = "their-logs"
            region = "eu-west-1"
            role_arn = "arn:aws:iam::210987654321:role/Logs"
            external_id = "workspace-1"
            sources = "*"
        "#;
        let mut destination = Config::parse(document, &Reading::default()).unwrap().routes.destinations.remove(0);
        change(&mut destination);
        destination
    }

    fn fault(status: u16, code: &str, message: &str) -> Fault {
        Fault::refused(Operation::Put, "s3://their-logs/key", status, code, message)
    }

    #[test]
    fn a_refused_role_names_the_caller_as_a_trust_policy_does() {
        let words = "User: arn:aws:sts::123456789012:assumed-role/exporter-role/exporter is not authorized to perform: \
                     sts:AssumeRole on resource: arn:aws:iam::210987654321:role/Logs";
        let causes = of_assume(&fault(403, "AccessDenied", words), &destination(|_| ()));
        assert_eq!(causes.len(), 4);
        assert!(causes[0].fix.contains("arn:aws:iam::123456789012:role/exporter-role"), "{}", causes[0].fix);
        assert!(causes[1].cause.contains("sts:ExternalId"));
    }

    #[test]
    fn the_likeliest_cause_of_a_refused_put_comes_first() {
        let check = |destination: Destination, code: &str, detail: &str, expected: &str| {
            let causes = of_put(&fault(403, code, detail), &destination, Owner::Unknown);
            assert!(causes[0].cause.contains(expected), "{causes:#?}");
        };
        let plain = || destination(|_| ());
        check(plain(), "AccessDenied", "Access Denied", "s3:PutObject on arn:aws:s3:::their-logs/segment-logs/*");
        check(destination(|d| d.prefix = "a/b".into()), "AccessDenied", "Access Denied", "without the prefix");
        check(plain(), "AccessDenied", "not authorized to perform: kms:GenerateDataKey on resource", "KMS key");
        check(plain(), "AccessDenied", "with an explicit deny in a resource-based policy", "denies it explicitly");
        check(plain(), "NoSuchBucket", "", "the bucket their-logs does not exist");
        check(plain(), "PermanentRedirect", "", "their-logs is in another region");
        check(plain(), "AccessControlListNotSupported", "", "ACLs turned off");
        check(plain(), "KMS.AccessDeniedException", "", "encrypts with a KMS key that the role may not use");
        check(plain(), "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled.", "KMS key is disabled");
        check(plain(), "AllAccessDisabled", "", "AWS has disabled all access");
    }

    #[test]
    fn the_right_region_is_named_when_the_answer_names_it() {
        let words = "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-west-2'";
        let fault = fault(400, "AuthorizationHeaderMalformed", words);
        let causes = of_put(&fault, &destination(|_| ()), Owner::Unknown);
        assert_eq!(causes[0].fix, "set region = \"us-west-2\"");
    }

    #[test]
    fn the_owner_is_the_one_cause_if_s3_takes_the_object_without_it() {
        let owned = || destination(|d| d.expected_bucket_owner = Some("210987654321".into()));
        let causes = |owner| of_put(&fault(403, "AccessDenied", "Access Denied"), &owned(), owner);
        let is_owner = |cause: &Cause| cause.cause == "their-logs does not belong to account 210987654321";
        let [alone] = &causes(Owner::Cause)[..] else { panic!("one cause") };
        assert!(is_owner(alone) && alone.fix.contains("choose another bucket"), "{alone:?}");
        assert!(is_owner(causes(Owner::NotTheOnlyCause).last().unwrap()));
        assert!(causes(Owner::Unknown).iter().position(is_owner).unwrap() < 2);
    }

    #[test]
    fn the_alarm_about_a_denied_write_names_the_owner_among_the_causes() {
        let owned = |owner: Option<&str>| destination(|d| d.expected_bucket_owner = owner.map(str::to_owned));
        let denied = fault(403, "AccessDenied", "Access Denied");
        let words = in_words(&denied, &owned(Some("210987654321")));
        for part in ["does not allow s3:PutObject", "; or their-logs does not belong to account 210987654321: if it"] {
            assert!(words.contains(part), "{part} is not in {words}");
        }
        assert!(!in_words(&denied, &owned(None)).contains("belong"));
        assert!(!in_words(&fault(404, "NoSuchBucket", ""), &owned(Some("210987654321"))).contains("belong"));
    }

    #[test]
    fn the_headers_that_a_bucket_policy_may_ask_for_are_named() {
        let check = |change: fn(&mut Destination), expected: &str| {
            let causes = of_put(
                &fault(403, "AccessDenied", "with an explicit deny in a resource-based policy"),
                &destination(change),
                Owner::Unknown,
            );
            assert!(causes[1].cause.contains(expected), "{causes:#?}");
        };
        check(
            |_| (),
            ": not sent are x-amz-server-side-encryption, x-amz-server-side-encryption-aws-kms-key-id, x-amz-s",
        );
        check(
            |d| d.sse = Some("AES256".into()),
            ": sent are x-amz-server-side-encryption: AES256; not sent are x-amz-",
        );
    }

    #[test]
    fn every_setting_that_can_be_refused_is_named() {
        let all = destination(|d| {
            d.acl = Some("bucket-owner-full-control".into());
            d.expected_bucket_owner = Some("210987654321".into());
            d.kms_key_arn = Some("arn:aws:kms:eu-west-1:210987654321:key/1".into());
        });
        let causes = of_put(&fault(403, "AccessDenied", "Access Denied"), &all, Owner::Unknown);
        let words: Vec<&str> = causes.iter().map(|cause| cause.cause.as_str()).collect();
        for expected in ["PutObject", "acl is set", "210987654321", "key/1", "asks for a header", "bucket's policy"] {
            assert!(words.iter().any(|cause| cause.contains(expected)), "{expected} is not in {words:#?}");
        }
    }
}
