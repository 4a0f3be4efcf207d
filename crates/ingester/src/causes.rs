//! The likely causes of vague answers of AWS and Segment, the likeliest first, each with its fix.

use aws::validation::{self, Cause, cause, no_bucket};
use aws::{Fault, Kind};
use delivery::Region;

/// Why there are no settings for the write key at `host`.
pub(crate) fn of_unknown_key(host: &str) -> Vec<Cause> {
    let mut causes = vec![
        cause(
            "no source has this WRITE_KEY: Segment answers 200 to its calls and drops them",
            "copy the write key again from the source's page (Settings, API Keys): it is neither the source's id nor a \
             token of the Public API",
        ),
        cause(
            "the source was deleted, or belongs to a workspace in the other region",
            "check whether the source still exists; if so, set SEGMENT_REGION to the region of its workspace",
        ),
    ];
    let segments_own = Region::Us.settings();
    if !segments_own.ends_with(host) {
        causes.push(cause(
            format!("{host} forwards calls to Segment, and does not serve settings"),
            format!("set SEGMENT_SETTINGS_ENDPOINT={segments_own}"),
        ));
    }
    causes
}

/// The cause if the source's settings name another region.
pub(crate) fn of_region(right: Region) -> Vec<Cause> {
    vec![cause(
        "SEGMENT_REGION is not the region of this source: Segment may drop calls that are sent to another region",
        format!("set SEGMENT_REGION={}, and unset SEGMENT_ENDPOINT and SEGMENT_OBJECTS_ENDPOINT", right.name()),
    )]
}

/// Why the secret that has a write key could not be used.
pub(crate) fn of_secret() -> Vec<Cause> {
    vec![
        cause(
            "the function's role may not read the secret",
            "allow it secretsmanager:GetSecretValue on the secret, and kms:Decrypt on the secret's key if that is not \
             aws/secretsmanager",
        ),
        cause(
            "the secret was deleted, or has no text",
            "compare its ARN with the Secrets Manager console; its text must be the write key alone",
        ),
    ]
}

/// Why the write key could not be checked.
pub(crate) fn of_unclear_key(host: &str) -> Vec<Cause> {
    vec![
        cause(
            format!("{host} is unreachable or too busy"),
            "try again; in a VPC the function needs a NAT gateway to reach Segment",
        ),
        cause(
            format!("{host} does not serve the settings of Segment's sources"),
            "check SEGMENT_SETTINGS_ENDPOINT, if it is set; Segment may still accept calls",
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
            vec![no_bucket(bucket, "compare STATE_BUCKET with the S3 console, or create the bucket")]
        }
        _ if let Some(clear) = clear(fault, bucket) => vec![clear],
        Kind::Denied => denied(fault, bucket, may_not, "kms:GenerateDataKey and kms:Decrypt", Vec::new()),
        _ => otherwise(fault),
    }
}

/// Why a source bucket could not be listed, or its first object not be read.
pub(crate) fn of_source(fault: &Fault, bucket: &str) -> Vec<Cause> {
    let may_not = cause(
        format!("the function's role may not {} there", fault.operation),
        format!(
            "allow it s3:GetObject and s3:GetObjectVersion on arn:aws:s3:::{bucket}/*, and s3:ListBucket on \
             arn:aws:s3:::{bucket}: without s3:ListBucket a missing key looks like a forbidden one"
        ),
    );
    match fault.kind {
        Kind::NoBucket => vec![no_bucket(bucket, "compare its name with the S3 console")],
        _ if let Some(clear) = clear(fault, bucket) => vec![clear],
        Kind::Denied => {
            let payer = cause(
                format!("{bucket} is a Requester Pays bucket"),
                "set REQUEST_PAYER=requester, so that your account pays for the requests",
            );
            denied(fault, bucket, may_not, "kms:Decrypt", vec![payer])
        }
        _ => otherwise(fault),
    }
}

/// Why the rest of a file could not be sent to the queue.
pub(crate) fn of_queue(fault: &Fault) -> Vec<Cause> {
    let queue = &fault.target;
    let compare = "compare QUEUE_URL with the SQS console";
    // SQS API reference, `SendMessage`, "Errors"; the older protocol has another name for it.
    let is_gone = matches!(fault.code.as_str(), "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue");
    match fault.kind {
        _ if is_gone => vec![cause(format!("the queue {queue} does not exist"), compare)],
        _ => of_message(fault, "queue", compare, || {
            cause("the function's role may not send there", format!("allow it sqs:SendMessage on the queue of {queue}"))
        }),
    }
}

/// Why a message could not be published to a topic.
pub(crate) fn of_topic(fault: &Fault) -> Vec<Cause> {
    let topic = &fault.target;
    of_message(fault, "topic", "compare NOTICE_TOPIC_ARN with the SNS console", || {
        cause(
            "the function's role may not publish there",
            format!("allow it sns:Publish on {topic}, and in the topic's policy if it is of another account"),
        )
    })
}

/// Why a queue or a topic, as `what` says, did not take a message. An outage has no cause that a person can remove.
fn of_message(fault: &Fault, what: &str, elsewhere: &str, may_not: impl FnOnce() -> Cause) -> Vec<Cause> {
    let clear = || aws::causes::clear(fault, &fault.target, |_| elsewhere.to_owned());
    match fault.kind {
        Kind::Transient | Kind::Conflict => Vec::new(),
        _ if fault.is_about_key() => vec![cause(
            format!("the {what} is encrypted with a KMS key that the function's role may not use"),
            "allow it kms:GenerateDataKey and kms:Decrypt on the key, in the role's policy and in the key's own",
        )],
        _ if let Some(clear) = clear() => vec![clear],
        Kind::Denied => vec![may_not()],
        _ => Vec::new(),
    }
}

fn clear(fault: &Fault, bucket: &str) -> Option<Cause> {
    let one_region = "use one region for both: S3 notifies queues and functions of its own region only";
    aws::causes::clear(fault, bucket, |_| one_region.to_owned())
}

fn denied(fault: &Fault, bucket: &str, may_not: Cause, of_key: &str, unlikely: Vec<Cause>) -> Vec<Cause> {
    let key = cause(
        format!("{bucket} encrypts with a KMS key that the function's role may not use"),
        format!("allow {of_key} on the key, in the role's policy and in the key's own"),
    );
    let another_account = cause(
        format!("{bucket} belongs to another account, and its policy does not allow the function's role"),
        format!("allow the same permissions in the policy of {bucket}, or check the name: the bucket may not be yours"),
    );
    validation::denied(fault, key, vec![may_not, another_account], unlikely)
}

fn otherwise(fault: &Fault) -> Vec<Cause> {
    let no_credentials = cause(
        "the function has no credentials",
        "in Lambda give it a role; elsewhere set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    vec![validation::otherwise(fault, late(), no_credentials)]
}

/// Why no answer of S3 came in time.
pub(crate) fn late() -> Cause {
    cause(
        "S3 is unreachable or was too busy",
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
    fn a_proxy_is_a_likely_cause_only_if_one_is_configured() {
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
    fn a_queue_or_a_topic_that_takes_no_message_has_a_cause_of_its_own() {
        let of = |code: &str, status: u16| {
            let fault = Fault::refused(Operation::Send, "https://sqs/queue", status, code, "");
            [of_queue(&fault), of_topic(&fault)]
                .map(|causes| causes.first().map_or_else(String::new, |one| one.fix.clone()))
        };
        for (code, status, queue, topic) in [
            ("KmsAccessDenied", 400, "kms:GenerateDataKey", "kms:GenerateDataKey"),
            ("KMS.AccessDeniedException", 400, "kms:GenerateDataKey", "kms:GenerateDataKey"),
            ("KmsDisabled", 400, "enable it", "enable it"),
            ("KMSInvalidState", 400, "enable it", "enable it"),
            ("AccessDenied", 403, "sqs:SendMessage", "sns:Publish"),
        ] {
            let [of_queue, of_topic] = of(code, status);
            assert!(of_queue.contains(queue) && of_topic.contains(topic), "{code}: {of_queue}; {of_topic}");
        }
        for code in ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"] {
            assert!(of(code, 400)[0].contains("compare QUEUE_URL"), "{code}");
        }
        assert_eq!(of("KmsThrottled", 400), ["", ""], "an outage");
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
        check(404, "NoSuchBucket", "", "the bucket theirs does not exist");
        check(301, "PermanentRedirect", "", "another region");
        check(403, "InvalidObjectState", "", "archived");
        check(400, "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled.", "KMS key is disabled");
        check(403, "SignatureDoesNotMatch", "", "secret key");
        check(307, "TemporaryRedirect", "", "another region");
        check(403, "RequestTimeTooSkewed", "", "clock");
        check(400, "ExpiredToken", "", "expired");
        check(503, "SlowDown", "", "too busy");
    }
}
