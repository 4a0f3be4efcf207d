//! Clients, servers, and the codes of errors.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use standins::iam;
use standins::s3::{Server, Setup, Versioning};

use crate::signed;

/// An S3 to hold to the promises, with an empty bucket.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) bucket: String,
    url: String,
    credentials: iam::Credentials,
    server: Option<Server>,
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    /// Memory and a folder, or the S3 of the environment.
    pub(crate) async fn all() -> Vec<Target> {
        if let Ok(endpoint) = std::env::var("CONFORMANCE_S3_ENDPOINT") {
            return vec![Target::elsewhere(&endpoint).await];
        }
        let folder = tempfile::tempdir().unwrap();
        let memory = Target::own("memory", Server::memory()).await;
        let mut in_folder = Target::own("folder", Server::folder(folder.path())).await;
        in_folder._folder = Some(folder);
        vec![memory, in_folder]
    }

    async fn own(name: &'static str, setup: Setup) -> Target {
        let bucket = String::from("bucket");
        let server = setup.with_bucket(&bucket).start().await.unwrap();
        Target {
            name,
            client: client(&server.url(), &server.credentials()),
            bucket,
            url: server.url(),
            credentials: server.credentials(),
            server: Some(server),
            _folder: None,
        }
    }

    async fn elsewhere(endpoint: &str) -> Target {
        static BUCKETS: AtomicUsize = AtomicUsize::new(0);
        let var = |name: &str| std::env::var(name).unwrap_or_else(|_| String::from("test"));
        let credentials = iam::Credentials {
            access_key_id: var("AWS_ACCESS_KEY_ID"),
            secret_access_key: var("AWS_SECRET_ACCESS_KEY"),
            session_token: None,
            expires_at_ms: None,
        };
        let client = client(endpoint, &credentials);
        let number = BUCKETS.fetch_add(1, Ordering::SeqCst);
        let bucket = format!("conformance-{}-{number}", std::process::id());
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        let url = endpoint.to_owned();
        Target { name: "elsewhere", client, bucket, url, credentials, server: None, _folder: None }
    }

    /// Makes the bucket keep versions. Our stand-in does not offer that over the wire.
    pub(crate) async fn enable_versions(&self) {
        match &self.server {
            Some(server) => server.set_versioning(&self.bucket, Versioning::Enabled).unwrap(),
            None => {
                let status = BucketVersioningStatus::Enabled;
                let configuration = VersioningConfiguration::builder().status(status).build();
                let put = self.client.put_bucket_versioning().bucket(&self.bucket);
                put.versioning_configuration(configuration).send().await.unwrap();
            }
        }
    }

    /// Sends a request signed by hand.
    pub(crate) async fn send(&self, request: signed::Request) -> signed::Answer {
        request.send(&self.url, &self.credentials).await
    }

    pub(crate) async fn put(&self, key: &str, body: &str) -> String {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        let done = put.body(bytes(body)).send().await.unwrap();
        done.e_tag.unwrap()
    }

    pub(crate) async fn get(&self, key: &str) -> Result<String, (u16, String)> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let object = get.send().await.map_err(refusal)?;
        Ok(text(object.body).await)
    }
}

/// One attempt a call: a refusal is to be seen.
pub(crate) fn client(url: &str, credentials: &iam::Credentials) -> Client {
    client_in(url, credentials, "us-east-1")
}

pub(crate) fn client_in(url: &str, credentials: &iam::Credentials, region: &str) -> Client {
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(region.to_owned()))
        .credentials_provider(provider(credentials))
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .force_path_style(true);
    if url.starts_with("http:") {
        config = config.http_client(direct());
    }
    Client::from_conf(config.build())
}

/// Without TLS, and without the proxies of the environment: the SDK's own client obeys them, on loopback too.
pub(crate) fn direct() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

pub(crate) fn provider(credentials: &iam::Credentials) -> Credentials {
    Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "test",
    )
}

pub(crate) fn bytes(body: &str) -> ByteStream {
    ByteStream::from(body.as_bytes().to_vec())
}

pub(crate) async fn text(body: ByteStream) -> String {
    String::from_utf8(body.collect().await.unwrap().to_vec()).unwrap()
}

/// Status and code of an answer that is not a success; (0, …) if there was none.
pub(crate) fn refusal<E: ProvideErrorMetadata>(error: SdkError<E, HttpResponse>) -> (u16, String) {
    match error {
        SdkError::ServiceError(refused) => {
            (refused.raw().status().as_u16(), refused.err().code().unwrap_or_default().to_owned())
        }
        SdkError::ResponseError(broken) => (broken.raw().status().as_u16(), String::from("broken")),
        _ => (0, String::from("no answer")),
    }
}

/// Runs checks on every S3, each on a bucket of its own.
macro_rules! on_every_s3 {
    ($($check:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                for target in crate::support::Target::all().await {
                    checks::$check(&target).await;
                }
            }
        )*
    };
}
pub(crate) use on_every_s3;
