//! S3 on this machine, with the buckets and roles of the configuration.

use super::settings::{self, EXTERNAL_ID};
use anyhow::Context;
use export::routes::Destination;
use serde_json::json;
use standins::iam::{DEFAULT_ACCOUNT, Role};
use standins::installation::{CUSTOMER_ACCOUNT, SOURCE_BUCKET, STATE_BUCKET};
use standins::s3;
use std::net::SocketAddr;
use std::path::Path;

/// The administrator's key of this machine's S3.
pub(super) const ACCESS_KEY_ID: &str = "local";
pub(super) const SECRET_ACCESS_KEY: &str = "local-secret";

/// S3 with the buckets and roles of the configuration.
pub(super) async fn s3_in(
    folder: &Path,
    address: SocketAddr,
    settings: &settings::Functions,
) -> anyhow::Result<s3::Server> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let mut setup = s3::Server::folder(folder)
        .at(address)
        .with_credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
        .with_versioned_bucket(SOURCE_BUCKET)
        .with_bucket(STATE_BUCKET);
    for destination in destinations(&settings.exporter) {
        let account = destination.role_arn.split(':').nth(4).unwrap_or(CUSTOMER_ACCOUNT);
        let owner = destination.expected_bucket_owner.as_deref().unwrap_or(account);
        setup = setup.with_foreign_bucket(&destination.bucket, owner, &destination.region);
    }
    let server = setup.start().await.with_context(|| {
        format!("failed to start S3 at {address} over {}; name another address with --s3", folder.display())
    })?;
    for destination in destinations(&settings.exporter) {
        server.set_bucket_policy(&destination.bucket, &readable(&destination.bucket))?;
    }
    add_roles(&server, &destinations(&settings.exporter));
    Ok(server)
}

/// Lets the person of this machine read what is another account's.
fn readable(bucket: &str) -> String {
    let arn = format!("arn:aws:s3:::{bucket}");
    let statement = json!({
        "Effect": "Allow", "Principal": {"AWS": DEFAULT_ACCOUNT},
        "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [arn, format!("{arn}/*")],
    });
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Gives each role the rights to its places, whatever they are encrypted with.
fn add_roles(server: &s3::Server, destinations: &[Destination]) {
    for destination in destinations {
        let of_role = destinations.iter().filter(|other| other.role_arn == destination.role_arn);
        let places: Vec<_> = of_role
            .map(|other| {
                let prefix = if other.prefix.is_empty() { String::new() } else { format!("{}/", other.prefix) };
                format!("arn:aws:s3:::{}/{prefix}segment-logs/*", other.bucket)
            })
            .collect();
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectAcl"], "Resource": places},
            {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*"},
        ]});
        let role = Role::new(&destination.role_arn).trusting(DEFAULT_ACCOUNT).external_id(EXTERNAL_ID);
        server.directory().add_role(role.policy(&policy.to_string()));
    }
}

/// All destinations.
pub(super) fn destinations(exporter: &exporter::Settings) -> Vec<Destination> {
    let described = exporter.config.here().map(|config| config.routes.destinations.clone()).unwrap_or_default();
    let single = exporter.single.as_ref().map(|single| single.destinations.clone()).unwrap_or_default();
    [described, single].concat()
}
