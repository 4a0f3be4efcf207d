//! The likely causes of AWS's vague answers, the likeliest first, each with its fix.

use aws::validation::{self, Cause, cause, no_bucket};
use aws::{Fault, Kind, Operation};
use export::routes::Destination;

/// The causes if a destination could not be written to, in its role or with its session.
pub(crate) fn of_destination(fault: &Fault, destination: &Destination) -> Vec<Cause> {
    match fault.operation {
        Operation::Assume => of_assume(fault, destination),
        _ => of_put(fault, destination),
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

/// The causes if an object could not be put with the role's session.
pub(crate) fn of_put(fault: &Fault, destination: &Destination) -> Vec<Cause> {
    let bucket = &destination.bucket;
    match fault.code.as_str() {
        "AccessDenied" | "AllAccessDisabled" | "KMS.AccessDeniedException" => denied(fault, destination),
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

fn denied(fault: &Fault, destination: &Destination) -> Vec<Cause> {
    let Destination { bucket, prefix, role_arn, .. } = destination;
    let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let resource = format!("arn:aws:s3:::{bucket}/{folder}segment-logs/*");
    let key = destination.kms_key_arn.as_deref();
    let grant = cause(
        match key {
            Some(key) => format!("{role_arn} may not use the key {key}"),
            None => "the bucket encrypts with a KMS key that the role may not use".to_owned(),
        },
        "allow kms:GenerateDataKey and kms:Decrypt on the key, in the role's policy and in the key's own",
    );
    let mut likely = vec![match prefix.is_empty() {
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
    }];
    if destination.acl.is_some() {
        likely.push(cause("acl is set, and the role may not set ACLs", "allow s3:PutObjectAcl on the same resource"));
    }
    if let Some(owner) = &destination.expected_bucket_owner {
        likely.push(cause(
            format!("{bucket} does not belong to account {owner}"),
            "compare expected_bucket_owner with the bucket's account",
        ));
    }
    let unlikely = cause(
        "the bucket's policy denies it: by network, by encryption, by organisation",
        format!("look for \"Effect\": \"Deny\" in the policy of {bucket}"),
    );
    validation::denied(fault, grant, likely, vec![unlikely])
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
            let causes = of_put(&fault(403, code, detail), &destination);
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
        check(plain(), "KMS.DisabledException", "", "KMS key does not exist, is disabled");
    }

    #[test]
    fn the_right_region_is_named_when_the_answer_names_it() {
        let words = "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-west-2'";
        let causes = of_put(&fault(400, "AuthorizationHeaderMalformed", words), &destination(|_| ()));
        assert_eq!(causes[0].fix, "set region = \"us-west-2\"");
    }

    #[test]
    fn every_setting_that_can_be_refused_is_named() {
        let all = destination(|d| {
            d.acl = Some("bucket-owner-full-control".into());
            d.expected_bucket_owner = Some("210987654321".into());
            d.kms_key_arn = Some("arn:aws:kms:eu-west-1:210987654321:key/1".into());
        });
        let causes = of_put(&fault(403, "AccessDenied", "Access Denied"), &all);
        let words: Vec<&str> = causes.iter().map(|cause| cause.cause.as_str()).collect();
        for expected in ["PutObject", "acl is set", "210987654321", "key/1", "bucket's policy"] {
            assert!(words.iter().any(|cause| cause.contains(expected)), "{expected} is not in {words:#?}");
        }
    }
}
