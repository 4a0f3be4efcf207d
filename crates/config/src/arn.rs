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

/// The beginnings of the regions of each partition. All other regions are of `aws`. Source: `regionRegex` in
/// `partitions.json` of the AWS SDKs.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
];

fn partition_of(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(beginning, _)| region.starts_with(beginning)).map_or("aws", |(_, partition)| partition)
}

/// True for the twelve digits of an AWS account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The account of a role.
pub(crate) fn account_of(role: &str) -> Option<String> {
    split(role).map(|arn| arn.account.to_owned()).filter(|account| is_account(account))
}

/// What is wrong with the ARN of a role for a bucket in `region`, and what to write; `None` when nothing is. A role
/// reaches only buckets of its own partition.
pub(crate) fn role_fault(text: &str, region: &str) -> Option<String> {
    role_shape_fault(text).or_else(|| {
        let partition = partition_of(region);
        let is_other = !region.is_empty() && split(text).is_some_and(|arn| arn.partition != partition);
        is_other.then(|| {
            format!(
                "is of another partition than the bucket's region; the roles of that region begin with \
                 arn:{partition}:iam::, so compare role and region"
            )
        })
    })
}

fn role_shape_fault(text: &str) -> Option<String> {
    let Some(arn) = split(text) else {
        return Some(format!("is not an ARN; write the role's: {ROLE_SHAPE}"));
    };
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    match (arn.service, kind) {
        ("iam", "role") if !name.is_empty() && is_account(arn.account) => None,
        ("iam", "role") if name.is_empty() => Some(format!("lacks the role's name; write {ROLE_SHAPE}")),
        ("iam", "role") => Some(format!("has no account of 12 digits; write {ROLE_SHAPE}")),
        ("iam", "user") => Some(format!("is a user's ARN; the exporter assumes a role: write {ROLE_SHAPE}")),
        ("iam", "instance-profile") => {
            Some(format!("is an instance profile's ARN; write the ARN of the role in it: {ROLE_SHAPE}"))
        }
        ("iam", "policy") => Some(format!("is a policy's ARN; write the ARN of the role that has it: {ROLE_SHAPE}")),
        ("iam", "root") => Some(format!("is an account's ARN; write the role's: {ROLE_SHAPE}")),
        ("sts", "assumed-role") => Some(format!("is the ARN of a role's session; write the role's: {ROLE_SHAPE}")),
        ("s3", _) => Some(format!("is a bucket's ARN; write the role's: {ROLE_SHAPE}")),
        _ => Some(format!("is not a role's ARN; write {ROLE_SHAPE}")),
    }
}

/// What is wrong with a KMS key's ARN for a bucket in `region`; `None` when nothing is.
pub(crate) fn key_fault(text: &str, region: &str) -> Option<String> {
    let shape = format!("arn:aws:kms:{region}:123456789012:key/ID");
    let Some(arn) = split(text) else {
        return Some(format!("is not an ARN; write the key's: {shape}"));
    };
    let (kind, id) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    if arn.service != "kms" || id.is_empty() || !is_account(arn.account) || !matches!(kind, "key" | "alias") {
        return Some(format!("is not a KMS key's ARN; write {shape}"));
    }
    if kind == "alias" {
        return Some(format!("is an alias's ARN, which may point to another key tomorrow; write the key's, {shape}"));
    }
    (arn.region != region).then(|| {
        format!("is a key of another region than the bucket's ({region}); S3 takes keys of the bucket's region only")
    })
}
