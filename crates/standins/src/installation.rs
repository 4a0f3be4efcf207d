//! One installation of `segment-s3`, which the demo and the stories share. It has the buckets, the customer's role, the
//! source at Segment and the settings of all functions.

use crate::iam::{Credentials, DEFAULT_ACCOUNT, Policy, Role};
use crate::{s3, segment};

/// The bucket that people drop CSV files into. The payloads in `events/` name it.
pub const SOURCE_BUCKET: &str = "segment-s3-source";
/// The functions' own bucket.
pub const STATE_BUCKET: &str = "segment-s3-state";
/// The customer's bucket.
pub const CUSTOMER_BUCKET: &str = "customer-logs";
/// The customer's AWS account.
pub const CUSTOMER_ACCOUNT: &str = "111122223333";
/// The customer's role for [`CUSTOMER_BUCKET`].
pub const ROLE_ARN: &str = "arn:aws:iam::111122223333:role/SegmentAWSS3Role";
/// The external id that the customer's roles require.
pub const EXTERNAL_ID: &str = "demo-workspace";
/// The source at Segment that the calls belong to.
pub const SOURCE_ID: &str = "demoSource1";
/// The write key of the source. No log line and no answer may contain it.
pub const WRITE_KEY: &str = "wk-never-to-be-seen";

/// The role that `docs/logs.md` asks a customer to create, with its one permission. `place` is a bucket, or a bucket and
/// a prefix: `logs/prefix`.
pub fn customer_role(role_arn: &str, place: &str) -> Role {
    Role::new(role_arn).trusting(DEFAULT_ACCOUNT).external_id(EXTERNAL_ID).policy(&customer_policy(place))
}

/// The policy of that role.
pub fn customer_policy(place: &str) -> String {
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "PutObjectsInBucket", "Effect": "Allow", "Action": ["s3:PutObject"],
        "Resource": format!("arn:aws:s3:::{}/segment-logs/*", place.trim_matches('/')),
    }]});
    policy.to_string()
}

/// Adds the state bucket, the customer's bucket and the customer's role. The caller adds [`SOURCE_BUCKET`], with versions
/// or without.
pub fn with_buckets(setup: s3::Setup) -> s3::Setup {
    let role = customer_role(ROLE_ARN, CUSTOMER_BUCKET);
    let setup = setup.with_bucket(STATE_BUCKET).with_foreign_bucket(CUSTOMER_BUCKET, CUSTOMER_ACCOUNT, "us-east-1");
    setup.with_role(role)
}

/// The key of a person in the customer's account, who may read the logs.
pub fn customer(s3: &s3::Server) -> Credentials {
    s3.directory().add_user(&format!("arn:aws:iam::{CUSTOMER_ACCOUNT}:user/reader"), vec![Policy::allow_all()])
}

/// A Segment that knows [`WRITE_KEY`] and no other.
pub fn segment() -> segment::Setup {
    segment::Server::setup().with_write_key(WRITE_KEY)
}

/// The settings of the ingester, as environment variables.
pub fn ingester_settings(segment_url: &str) -> Vec<(String, String)> {
    named(&[
        ("WRITE_KEY", WRITE_KEY),
        ("SOURCE_ID", SOURCE_ID),
        ("STATE_BUCKET", STATE_BUCKET),
        ("SEGMENT_ENDPOINT", segment_url),
        ("SEGMENT_OBJECTS_ENDPOINT", segment_url),
    ])
}

/// The settings of the exporter, as environment variables.
pub fn exporter_settings() -> Vec<(String, String)> {
    named(&[
        ("STATE_BUCKET", STATE_BUCKET),
        ("DESTINATION_BUCKET", CUSTOMER_BUCKET),
        ("DESTINATION_REGION", "us-east-1"),
        ("DESTINATION_ROLE_ARN", ROLE_ARN),
        ("DESTINATION_EXTERNAL_ID", EXTERNAL_ID),
    ])
}

/// The settings of the receiver, as environment variables.
pub fn receiver_settings() -> Vec<(String, String)> {
    named(&[("STATE_BUCKET", STATE_BUCKET), ("WRITE_KEYS", &format!("{WRITE_KEY}={SOURCE_ID}"))])
}

fn named(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
