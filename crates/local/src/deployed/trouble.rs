//! What went wrong at AWS, and what a person does about it.

use super::place::Way;
use super::stack;
use crate::words::visible;
use aws::causes::of_account;
use aws::fault::{Fault, Kind, Operation};

/// A failed request in one sentence: what failed, the cause, the fix.
pub(super) fn in_words(fault: &Fault, way: &Way) -> String {
    let (cause, fix) = cause_and_fix(fault, way);
    let words = match fault.kind {
        // The SDK's chain of causes begins with many words about itself.
        Kind::NoCredentials => {
            let said = fault.detail.rsplit_once("loading credentials: ").map_or(&*fault.detail, |(_, said)| said);
            // Without a profile it lists every place where there are none.
            let said = said.lines().next().filter(|_| way.profile.is_some());
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            format!("failed to {} {}: {cause}: {fix}{said}", fault.operation, fault.target)
        }
        _ if cause.is_empty() => format!("{fault}: {fix}"),
        _ => format!("{fault}: {cause}: {fix}"),
    };
    // A key is among them.
    visible(&words)
}

fn cause_and_fix(fault: &Fault, way: &Way) -> (String, String) {
    let said = |cause: &str, fix: String| (cause.to_owned(), fix);
    match fault.kind {
        Kind::NoCredentials => credentials(fault, way),
        Kind::Expired => said(
            "the credentials have expired, or AWS does not know them",
            format!("{}, or renew the keys", login(way)),
        ),
        Kind::Skewed => said("the clock of this machine is wrong", "set it".to_owned()),
        Kind::NoBucket => said(
            "there is no such bucket",
            "compare its name with the S3 console, and the account with yours".to_owned(),
        ),
        _ if stack::is_unknown(fault) => said(
            "there is no such stack in this region and account",
            "name another with --stack, --region or --profile".to_owned(),
        ),
        _ if fault.is_elsewhere() => {
            let region = fault.right_region().unwrap_or("REGION");
            said("the bucket is in another region", format!("add --region {region}"))
        }
        _ if let Some(refused) = of_account(fault, fault.bucket()) => (refused.cause, refused.fix),
        Kind::Denied => denied(fault),
        Kind::Transient | Kind::Conflict => {
            said("AWS is not reached, or is busy", "check the network and the proxy, and try again".to_owned())
        }
        _ if is_no_queue(fault) => said(
            "there is no such queue in this region and account",
            "compare its URL with the SQS console, or add --region".to_owned(),
        ),
        _ => said("", "read the text of the answer; docs/commands.md says what the command needs".to_owned()),
    }
}

/// SQS API reference, "Errors"; the older protocol has another name for it.
fn is_no_queue(fault: &Fault) -> bool {
    matches!(fault.code.as_str(), "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue")
}

/// How to log in again.
fn login(way: &Way) -> String {
    let profile = way.profile.as_ref().map(|name| format!(" --profile {name}")).unwrap_or_default();
    format!("run `aws sso login{profile}`")
}

fn credentials(fault: &Fault, way: &Way) -> (String, String) {
    let detail = fault.detail.to_lowercase();
    let profile = way.profile.as_deref();
    let cause = match profile {
        _ if detail.contains("sso") => "the SSO session has expired, or there was no login".to_owned(),
        Some(name) if detail.contains("profile") => format!("the profile {name} is not defined, or has no credentials"),
        Some(name) => format!("the profile {name} gives no credentials"),
        None => "there are no AWS credentials".to_owned(),
    };
    let fix = match detail.contains("sso") {
        true => login(way),
        false => "name a profile with --profile, set AWS_PROFILE, or set one up with `aws configure sso`".to_owned(),
    };
    (cause, fix)
}

/// The permission that the operation needs (Service authorization reference: S3, SQS, CloudFormation).
fn denied(fault: &Fault) -> (String, String) {
    let action = match fault.operation {
        Operation::Get | Operation::Read | Operation::Size => "s3:GetObject",
        Operation::List => "s3:ListBucket",
        Operation::AbortUpload => "s3:AbortMultipartUpload",
        Operation::Send => "sqs:SendMessage",
        Operation::Receive => "sqs:ReceiveMessage",
        Operation::Postpone => "sqs:ChangeMessageVisibility",
        Operation::Delete => "sqs:DeleteMessage",
        Operation::Describe => "cloudformation:DescribeStacks",
        _ => "s3:PutObject",
    };
    let action = if fault.is_about_key() { "the KMS key" } else { action };
    let who = fault.caller().map(|arn| format!(" ({arn})")).unwrap_or_default();
    (
        format!("your credentials{who} may not do this"),
        format!("ask for {action} on it; docs/commands.md has the whole policy"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_says_what_to_do() {
        let way = Way { profile: Some("work".to_owned()), ..Way::default() };
        let refused = |operation, status, code, message| Fault::refused(operation, "it", status, code, message);
        let with_detail = |detail: &str| {
            let mut fault = Fault::without_credentials(Operation::Get, "it");
            fault.detail = detail.to_owned();
            fault
        };
        let caller = "User: arn:aws:iam::1:user/u is not authorized to perform: sqs:SendMessage";
        for (fault, words) in [
            (with_detail("the SSO token has expired"), "run `aws sso login --profile work`"),
            (with_detail("profile `work` was not defined"), "the profile work is not defined"),
            (with_detail("no providers in chain provided credentials"), "name a profile with --profile"),
            (refused(Operation::Get, 400, "ExpiredToken", ""), "run `aws sso login --profile work`, or renew the keys"),
            (refused(Operation::Get, 403, "RequestTimeTooSkewed", ""), "the clock of this machine is wrong: set it"),
            (refused(Operation::List, 404, "NoSuchBucket", ""), "there is no such bucket"),
            (refused(Operation::List, 403, "AccessDenied", ""), "ask for s3:ListBucket on it"),
            (
                refused(Operation::Get, 403, "SignatureDoesNotMatch", ""),
                "the secret key does not belong to the access key",
            ),
            (refused(Operation::Send, 400, "AccessDenied", caller), "your credentials (arn:aws:iam::1:user/u) may not"),
            (refused(Operation::Get, 403, "AccessDenied", "perform: kms:Decrypt"), "ask for the KMS key"),
            (
                refused(Operation::Get, 400, "AuthorizationHeaderMalformed", "expecting 'eu-west-1'"),
                "add --region eu-west-1",
            ),
            (
                refused(Operation::Describe, 400, "ValidationError", "Stack with id s does not exist"),
                "name another with --stack, --region or --profile",
            ),
            (refused(Operation::Send, 400, "QueueDoesNotExist", ""), "there is no such queue"),
            (refused(Operation::Get, 503, "SlowDown", ""), "try again"),
        ] {
            let told = in_words(&fault, &way);
            assert!(told.contains(words), "{words} in {told}");
        }
    }
}
