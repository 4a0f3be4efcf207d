//! Sessions of other people's roles, assumed with an external id and kept until they near their end.

use crate::bucket::retried;
use crate::clients;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::fault::{Fault, Operation};
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long a session is asked for. A function's own credentials come from a role. So the session is chained, and ends
/// after at most an hour (IAM user guide, "Role chaining").
pub const SESSION_SECONDS: i32 = 3_600;
/// A session is replaced when less than this is left of it: a put that has begun must end within it.
pub const RENEW_BEFORE_MS: i64 = 5 * 60_000;

/// A role and how it is assumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// The external id that the trust policy requires. `None` only to check that it is required.
    pub external_id: Option<String>,
    /// The region in which its session is used.
    pub region: String,
}

/// The sessions of this process.
#[derive(Debug)]
pub struct Roles {
    config: SdkConfig,
    session_name: String,
    clock: Clock,
    dice: Dice,
    sessions: Mutex<HashMap<Role, Session>>,
}

#[derive(Debug, Clone)]
struct Session {
    client: aws_sdk_s3::Client,
    expires_ms: i64,
}

impl Roles {
    /// No sessions yet. The role's owner finds `session_name` in CloudTrail.
    #[must_use]
    pub fn new(config: SdkConfig, session_name: &str, clock: Clock, dice: Dice) -> Self {
        Self { config, session_name: fitting(session_name), clock, dice, sessions: Mutex::default() }
    }

    /// An S3 client that acts as the role, in the role's region. It has no timeout; the caller has one.
    ///
    /// # Errors
    /// When the role cannot be assumed.
    pub async fn s3(&self, role: &Role) -> Result<aws_sdk_s3::Client, Fault> {
        let known = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(role).cloned();
        if let Some(session) = known.filter(|session| session.expires_ms - self.clock.now_ms() > RENEW_BEFORE_MS) {
            return Ok(session.client);
        }
        let session = self.session(role).await?;
        let client = session.client.clone();
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(role.clone(), session);
        Ok(client)
    }

    /// Assumes the role without the cache, to check whether it can be assumed.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn assume(&self, role: &Role) -> Result<aws_sdk_s3::Client, Fault> {
        Ok(self.session(role).await?.client)
    }

    /// Forgets a refused session, so that the next use assumes the role again.
    pub fn forget(&self, role: &Role) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(role);
    }

    async fn session(&self, role: &Role) -> Result<Session, Fault> {
        let own_region = self.config.region().map(Region::as_ref).unwrap_or_default();
        let sts = aws_sdk_sts::config::Builder::from(&self.config)
            .region(Region::new(sts_region(own_region, &role.region).to_owned()))
            .build();
        let sts = aws_sdk_sts::Client::from_conf(sts);
        let answer = retried(&self.dice, || async {
            sts.assume_role()
                .role_arn(&role.arn)
                .set_external_id(role.external_id.clone())
                .role_session_name(&self.session_name)
                .duration_seconds(SESSION_SECONDS)
                .send()
                .await
                .map_err(|error| Fault::of(Operation::Assume, &role.arn, &error))
        })
        .await?;
        let Some(given) = answer.credentials() else {
            return Err(Fault::foreign(
                Operation::Assume,
                &role.arn,
                "the answer has no credentials, so it is not from STS",
            ));
        };
        let credentials = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            // Replaced before that by us: the SDK could only report that they have expired.
            None,
            "assumed role",
        );
        // How long a put may take depends on how it is getting on, which its caller sees. The SDK's own protection
        // against stalled uploads takes a body that is not there yet for a network that does not take it.
        let timeouts = self.config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let protection = self.config.stalled_stream_protection().filter(|protection| !protection.is_enabled());
        let uploads = || StalledStreamProtectionConfig::enabled().upload_enabled(false).build();
        let settings = clients::s3_settings(&self.config)
            .region(Region::new(role.region.clone()))
            .credentials_provider(credentials)
            .timeout_config(timeouts.disable_read_timeout().build())
            .stalled_stream_protection(protection.unwrap_or_else(uploads))
            .build();
        let expires_ms = given.expiration().to_millis().unwrap_or_default();
        Ok(Session { client: aws_sdk_s3::Client::from_conf(settings), expires_ms })
    }
}

/// The region for a session: our own, whose STS is always active for us. A bucket in another partition needs the STS of
/// that partition.
fn sts_region<'a>(own: &'a str, role: &'a str) -> &'a str {
    if !own.is_empty() && partition(own) == partition(role) { own } else { role }
}

fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// STS API reference, `RoleSessionName`: 2 to 64 letters, digits and `_ + = , . @ -`.
fn fitting(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let name: String = name.chars().filter(|c| fits(*c)).take(64).collect();
    if name.len() < 2 { "segment-s3-exporter".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sts_is_called_in_our_region_unless_the_bucket_is_in_another_partition() {
        assert_eq!(sts_region("eu-west-1", "us-west-2"), "eu-west-1");
        assert_eq!(sts_region("eu-west-1", "cn-north-1"), "cn-north-1");
        assert_eq!(sts_region("us-gov-west-1", "us-gov-east-1"), "us-gov-west-1");
        assert_eq!(sts_region("", "us-west-2"), "us-west-2");
    }

    #[test]
    fn any_function_name_makes_a_session_name() {
        assert_eq!(fitting("exporter-prod"), "exporter-prod");
        assert_eq!(fitting("a b/c"), "abc");
        assert_eq!(fitting(""), "segment-s3-exporter");
        assert_eq!(fitting(&"x".repeat(100)).len(), 64);
    }
}
