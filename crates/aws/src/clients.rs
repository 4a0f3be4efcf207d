//! SDK clients from the environment, made once a process.

pub use aws_config::SdkConfig;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use std::time::Duration;

use crate::clock::Clock;

/// Time to connect to an AWS endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to the first byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Region, credentials and endpoints as the SDK finds them in the environment, without its retries.
pub async fn config() -> SdkConfig {
    config_of(None, None).await
}

/// The same for a person, who may name a profile of the shared configuration files, and a region.
///
/// As in the AWS CLI, the credentials are those of a named profile, even if the environment has keys. Keys of the
/// environment count before `AWS_PROFILE` (botocore, `create_credential_resolver`).
pub async fn config_of(profile: Option<&str>, region: Option<&str>) -> SdkConfig {
    let client = https(ProxyConfig::from_env());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .http_client(client.clone());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let config = loader.load().await;
    let Some(profile) = profile else { return config };
    let settings = ProviderConfig::without_region().with_region(config.region().cloned()).with_http_client(client);
    let provider = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile).build();
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// The same against one `http` endpoint for everything, with a key of its own: for a machine without AWS.
///
/// Nothing is taken from the environment. The environment describes the way to AWS. A proxy does not lead to loopback,
/// and FIPS and dual-stack endpoints exclude an explicit endpoint.
#[must_use]
pub fn config_at(endpoint: &str, access_key_id: &str, secret_access_key: &str) -> SdkConfig {
    let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "given");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // The SDK's own client obeys `HTTP_PROXY` and its like, on loopback too.
        .http_client(Builder::new().build_http())
        .build()
}

/// The same with our clock in place of the SDK's. The SDK signs requests and expires credentials by this clock.
#[must_use]
pub fn with_clock(config: SdkConfig, clock: &Clock) -> SdkConfig {
    config.into_builder().time_source(clock.clone()).build()
}

/// The same without the SDK's protection against stalled streams. That protection has its own clock and fails if a test
/// stops the time.
#[must_use]
pub fn without_stalled_streams(config: SdkConfig) -> SdkConfig {
    config.into_builder().stalled_stream_protection(StalledStreamProtectionConfig::disabled()).build()
}

/// The SDK's default client, but with *ring* for TLS: the default, aws-lc, takes far longer to compile.
fn https(proxy: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(proxy.clone()));
        connector.build()
    })
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build()
}

/// An S3 client; in path style when an endpoint is given.
#[must_use]
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(s3_settings(config).build())
}

/// The same for a caller that waits: each try of a request ends after `attempt`.
#[must_use]
pub fn s3_within(config: &SdkConfig, attempt: Duration) -> aws_sdk_s3::Client {
    let timeouts = timeouts().to_builder().operation_attempt_timeout(attempt).build();
    aws_sdk_s3::Client::from_conf(s3_settings(config).timeout_config(timeouts).build())
}

/// The configuration of [`s3`], for callers that change the region or the credentials.
#[must_use]
pub fn s3_settings(config: &SdkConfig) -> aws_sdk_s3::config::Builder {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_S3").or_else(|_| std::env::var("AWS_ENDPOINT_URL"));
    let builder = aws_sdk_s3::config::Builder::from(config);
    let path_style = config.endpoint_url().is_some() || endpoint.is_ok();
    builder.force_path_style(path_style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_to_an_https_endpoint_begins_with_a_tls_handshake() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config_at(&format!("https://{}", listener.local_addr().unwrap()), "id", "secret");
        let client = s3(&config.into_builder().http_client(https(ProxyConfig::disabled())).build());
        let first_byte = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap()
        };
        let (listed, first_byte) = tokio::join!(client.list_buckets().send(), first_byte);
        // RFC 8446, "ContentType": a handshake.
        assert_eq!(first_byte, 22);
        assert!(listed.is_err(), "{listed:?}");
    }

    #[tokio::test]
    async fn an_access_point_has_an_address_of_its_own_in_any_region() {
        use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/inbox";
        let params = Params::builder().bucket(arn).region("us-east-1").build().unwrap();
        let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.unwrap();
        assert_eq!(endpoint.url(), "https://inbox-123456789012.s3-accesspoint.eu-west-1.amazonaws.com");
    }

    #[test]
    fn time_and_stalled_streams_are_settings_of_the_config() {
        let config = config_at("http://127.0.0.1:9", "id", "secret");
        let config = without_stalled_streams(with_clock(config, &Clock::from_fn(|| 86_400_000)));
        let now = config.time_source().unwrap().now();
        assert_eq!(now.duration_since(std::time::UNIX_EPOCH).unwrap(), Duration::from_secs(86_400));
        assert!(!config.stalled_stream_protection().unwrap().is_enabled());
    }
}
