//! ARNs as people paste them, and what to say when it is the wrong one.

const ROLE_SHAPE: &str = "arn:aws:iam::123456789012:role/NAME";

struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

fn split(text: &str) -> Option<Arn<'_>> {
    let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
    Some(Arn {
        partition: parts.next()?,
        service: parts.next()?,
        region: parts.next()?,
        account: parts.next()?,
        resource: parts.next()?,
    })
}

/// True for the twelve digits of an AWS account.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// What is wrong with a role's ARN, and what to write; `None` when nothing is.
pub(super) fn role_fault(text: &str) -> Option<String> {
    let Some(arn) = split(text) else {
        return Some(format!("is {text:?}, which is no ARN; write the role's: {ROLE_SHAPE}"));
    };
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    match (arn.service, kind) {
        ("iam", "role") if !name.is_empty() && is_account(arn.account) => None,
        ("iam", "role") if name.is_empty() => Some(format!("lacks the role's name; write {ROLE_SHAPE}")),
        ("iam", "role") => Some(format!("has no account of 12 digits ({text}); write {ROLE_SHAPE}")),
        ("iam", "user") => Some(format!("is a user's ARN ({text}); a role is what is assumed: write {ROLE_SHAPE}")),
        ("iam", "instance-profile") => {
            Some(format!("is an instance profile's ARN ({text}); write the ARN of the role in it: {ROLE_SHAPE}"))
        }
        ("iam", "policy") => {
            Some(format!("is a policy's ARN ({text}); write the ARN of the role that has it: {ROLE_SHAPE}"))
        }
        ("iam", "root") => Some(format!("is an account's ARN ({text}); write the role's: {ROLE_SHAPE}")),
        ("sts", "assumed-role") => {
            let role = name.split('/').next().unwrap_or_default();
            Some(format!(
                "is the ARN of a role's session ({text}); write the role's: arn:{}:iam::{}:role/{role}",
                arn.partition, arn.account
            ))
        }
        ("s3", _) => Some(format!("is a bucket's ARN ({text}); write the role's: {ROLE_SHAPE}")),
        _ => Some(format!("is {text:?}, which is no role's ARN; write {ROLE_SHAPE}")),
    }
}

/// What is wrong with a KMS key's ARN for a bucket in `region`; `None` when nothing is.
pub(super) fn key_fault(text: &str, region: &str) -> Option<String> {
    let shape = format!("arn:aws:kms:{region}:123456789012:key/ID");
    let Some(arn) = split(text) else {
        return Some(format!("is {text:?}, which is no ARN; write the key's: {shape}"));
    };
    let (kind, id) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    if arn.service != "kms" || id.is_empty() || !is_account(arn.account) || !matches!(kind, "key" | "alias") {
        return Some(format!("is {text:?}, which is no KMS key's ARN; write {shape}"));
    }
    if kind == "alias" {
        return Some(format!(
            "is an alias's ARN ({text}); an alias may point elsewhere tomorrow: write the key's, {shape}"
        ));
    }
    (arn.region != region).then(|| {
        format!("is a key in {}, but the bucket is in {region}: S3 takes keys of the bucket's region only", arn.region)
    })
}
