//! What vague answers of AWS and of Segment most likely mean, the likeliest first, each with its fix.

use aws::validation::{self, Cause, cause, no_bucket};
use aws::{Fault, Kind};
use delivery::Region;

/// Why there are no settings for the write key at `host`.
pub(crate) fn of_unknown_key(host: &str) -> Vec<Cause> {
    let mut causes = vec![
        cause(
            "WRITE_KEY is no source's: calls with it would be answered 200, and dropped silently",
            "copy the write key anew from the source's page (Settings, API Keys): it is neither the source's id nor a \
             token of the Public API",
        ),
        cause(
            "the source was deleted, or belongs to a workspace in the other region",
            "see whether it is still there; if so, set SEGMENT_REGION to its workspace's region",
        ),
    ];
    let segments_own = Region::Us.settings();
    if !segments_own.ends_with(host) {
        causes.push(cause(
            format!("{host} passes calls on to Segment, and knows no settings"),
            format!("set SEGMENT_SETTINGS_ENDPOINT={segments_own}"),
        ));
    }
    causes
}

/// What it means that Segment's libraries are told to send this source's calls to another region.
pub(crate) fn of_region(right: Region) -> Vec<Cause> {
    vec![cause(
        "SEGMENT_REGION is not the region of this source: what is sent to another may be dropped silently",
        format!("set SEGMENT_REGION={}, and unset SEGMENT_ENDPOINT and SEGMENT_OBJECTS_ENDPOINT", right.name()),
    )]
}

/// Why it could not be found out whether the write key is known.
pub(crate) fn of_unclear_key(host: &str) -> Vec<Cause> {
    vec![
        cause(
            format!("{host} is out of reach from here, or too busy"),
            "try again; in a VPC the function needs a NAT gateway to reach Segment at all",
        ),
        cause(
            format!("{host} is not where Segment has a source's settings"),
            "compare SEGMENT_SETTINGS_ENDPOINT, if it is set; calls may get through all the same",
        ),
    ]
}

/// Why our own bucket could not be used.
pub(crate) fn of_state(fault: &Fault, bucket: &str) -> Vec<Cause> {
    let may_not = cause(
        format!("the function's role may not {} there", fault.operation),
        format!(
            "allow it s3:GetObject and s3:PutObject on arn:aws:s3:::{bucket}/*, and s3:ListBucket on \
             arn:aws:s3:::{bucket}"
        ),
    );
    match fault.kind {
        Kind::NoBucket => {
            vec![no_bucket(bucket, "compare STATE_BUCKET with the name on the bucket's page; or make it")]
        }
        Kind::Denied => denied(fault, bucket, may_not, "kms:GenerateDataKey and kms:Decrypt"),
        _ => otherwise(fault, bucket),
    }
}

/// Why a source bucket could not be listed, or its first object not be read.
pub(crate) fn of_source(fault: &Fault, bucket: &str) -> Vec<Cause> {
    let may_not = cause(
        format!("the function's role may not {} there", fault.operation),
        format!(
            "allow it s3:GetObject and s3:GetObjectVersion on arn:aws:s3:::{bucket}/*, and s3:ListBucket on \
             arn:aws:s3:::{bucket}: without that one a missing key looks like a forbidden one"
        ),
    );
    match fault.kind {
        Kind::NoBucket => vec![no_bucket(bucket, "compare its name with the one on the bucket's page")],
        Kind::Denied if fault.code == "InvalidObjectState" => vec![cause(
            "this object is archived (S3 Glacier): it is no sign of how others can be read",
            "drop a file and ask again",
        )],
        Kind::Denied => denied(fault, bucket, may_not, "kms:Decrypt"),
        _ => otherwise(fault, bucket),
    }
}

fn denied(fault: &Fault, bucket: &str, may_not: Cause, of_key: &str) -> Vec<Cause> {
    let key = cause(
        format!("{bucket} encrypts with a KMS key that the function's role may not use"),
        format!("allow {of_key} on the key, in the role's policy and in the key's own"),
    );
    let another_account = cause(
        format!("{bucket} belongs to another account, and its policy does not let the function's role in"),
        format!("allow the role the same in the policy of {bucket}, or compare the name: it may be somebody else's"),
    );
    validation::denied(fault, key, vec![may_not, another_account], Vec::new())
}

fn otherwise(fault: &Fault, bucket: &str) -> Vec<Cause> {
    if fault.is_elsewhere() {
        return vec![cause(
            format!("{bucket} is in another region than the function"),
            "have both in one: S3 notifies queues and functions of its own region only",
        )];
    }
    let no_credentials = cause(
        "the function has no credentials",
        "in Lambda give it a role; elsewhere set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    vec![validation::otherwise(fault, late(), no_credentials)]
}

/// Why no answer of S3 came in time.
pub(crate) fn late() -> Cause {
    cause(
        "S3 is out of reach from here, or was too busy",
        "try again; in a VPC the function needs a gateway endpoint for S3, or a NAT gateway",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::Operation;

    fn fault(operation: Operation, status: u16, code: &str, message: &str) -> Fault {
        Fault::refused(operation, "s3://theirs/key", status, code, message)
    }

    #[test]
    fn a_proxy_is_suspected_only_where_there_is_one() {
        assert_eq!(of_unknown_key("cdn-settings.segment.com").len(), 2);
        assert!(of_unknown_key("collect.example.com")[2].fix.contains("=https://cdn-settings.segment.com"));
    }

    #[test]
    fn a_refusal_names_every_permission_that_is_needed() {
        for operation in [Operation::List, Operation::Get] {
            let causes = of_source(&fault(operation, 403, "AccessDenied", "Access Denied"), "theirs");
            for part in ["s3:GetObject ", "s3:GetObjectVersion", "s3:ListBucket on arn:aws:s3:::theirs:"] {
                assert!(causes[0].fix.contains(part), "{part} in {causes:#?}");
            }
        }
        let causes = of_state(&fault(Operation::Put, 403, "AccessDenied", "Access Denied"), "ours");
        assert!(causes[0].fix.contains("s3:PutObject on arn:aws:s3:::ours/*"), "{causes:#?}");
    }

    #[test]
    fn the_likeliest_cause_comes_first() {
        let likeliest = |fault: &Fault, expected: &str| {
            for causes in [of_source(fault, "theirs"), of_state(fault, "theirs")] {
                assert!(causes[0].cause.contains(expected), "{causes:#?}");
            }
        };
        let check = |status: u16, code: &str, message: &str, expected: &str| {
            likeliest(&fault(Operation::Get, status, code, message), expected);
        };
        check(403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource", "KMS key");
        check(403, "AccessDenied", "with an explicit deny in a resource-based policy", "denies it explicitly");
        likeliest(&Fault::without_credentials(Operation::Get, "s3://theirs/key"), "no credentials");
        check(404, "NoSuchBucket", "", "there is no bucket theirs");
        check(301, "PermanentRedirect", "", "another region");
        check(503, "SlowDown", "", "too busy");
        let archived = of_source(&fault(Operation::Get, 403, "InvalidObjectState", ""), "theirs");
        assert!(archived[0].cause.contains("archived"), "{archived:#?}");
    }
}
