//! GETs like one that the SDK made: to the same place, with the same credentials, for other keys.
//!
//! The SDK takes about 70 µs of CPU time to prepare a GET and to read its answer, and finds nearly the same each time. A
//! sample keeps what it found. A reader of many small objects takes a third of the time with it.

use crate::answer::{Object, etag_of};
use crate::fault::Operation;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::ResolveCachedIdentity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::GetIdentityResolver;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// From the request to the last byte of its answer. A slower answer is left to the SDK, which has no such limit.
const WITHIN: Duration = Duration::from_secs(30);

/// The SDK's identifier of signatures of version 4 with a secret key.
const SIGV4: AuthSchemeId = AuthSchemeId::new("sigv4");

/// A GET of the SDK, without its key.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The URI before the key.
    place: String,
    /// What stands after the key.
    query: String,
    region: String,
    user_agent: String,
    /// How far the SDK's time is ahead of its clock: it learns the service's time from an answer.
    ahead: SignedDuration,
    connector: SharedHttpConnector,
    /// The SDK's clock and credentials.
    components: RuntimeComponents,
}

impl Sample {
    /// Gets an object whole. `None` if anything differs from an ordinary answer of S3: the SDK tries then, and says why.
    pub(crate) async fn get(&self, key: &str) -> Option<Object> {
        if !is_plain(key) {
            return None;
        }
        tokio::time::timeout(WITHIN, self.send(key)).await.ok()?
    }

    async fn send(&self, key: &str) -> Option<Object> {
        let answer = self.connector.call(self.request(key).await?).await.ok()?;
        if answer.status().as_u16() != 200 {
            return None;
        }
        let etag = etag_of(answer.headers().get("etag"), Operation::Get, key).ok()?;
        let bytes: usize = answer.headers().get("content-length")?.parse().ok()?;
        let body = ByteStream::new(answer.into_body()).collect().await.ok()?.into_bytes();
        (body.len() == bytes).then_some(Object { body, etag })
    }

    async fn request(&self, key: &str) -> Option<HttpRequest> {
        let Self { components, .. } = self;
        let resolver = components.identity_resolver(SIGV4)?;
        let configuration = ConfigBag::base();
        let cache = components.identity_cache();
        let identity = cache.resolve_cached_identity(resolver, components, &configuration).await.ok()?;
        let mut settings = SigningSettings::default();
        // What is different for S3 (S3 user guide, "Signature Calculations for the Authorization Header").
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::from(now(components)? + self.ahead))
            .settings(settings)
            .build()
            .ok()?;
        let uri = format!("{}{key}{}", self.place, self.query);
        let headers = std::iter::once(("user-agent", self.user_agent.as_str()));
        let signable = SignableRequest::new("GET", &uri, headers, SignableBody::Bytes(&[])).ok()?;
        let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(uri).ok()?;
        let headers = request.headers_mut();
        headers.try_insert("user-agent", self.user_agent.clone()).ok()?;
        for (name, value) in instructions.headers() {
            headers.try_insert(name.to_owned(), value.to_owned()).ok()?;
        }
        Some(request)
    }
}

/// Takes a sample of the GET of `key` while the SDK sends it.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    key: String,
    taken: Arc<Mutex<Option<Sample>>>,
}

impl Sampler {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), taken: Arc::default() }
    }

    /// The sample, unless the request was one of another kind.
    pub(crate) fn taken(&self) -> Option<Sample> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Sampler {
    fn name(&self) -> &'static str {
        "Sampler"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let sample = sampled(&self.key, context.request(), components, configuration);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = sample;
        Ok(())
    }
}

fn sampled(
    key: &str,
    request: &HttpRequest,
    components: &RuntimeComponents,
    configuration: &ConfigBag,
) -> Option<Sample> {
    let headers = request.headers();
    let uri = request.uri();
    let (place, query) = uri.split_at(uri.find('?').unwrap_or(uri.len()));
    // A plain GET, and no more: who pays for others' buckets says so in a header.
    headers.get("x-amz-request-payer").is_none().then_some(())?;
    let timeouts = configuration.load::<TimeoutConfig>()?;
    let mut settings = HttpConnectorSettings::builder();
    settings.set_connect_timeout(timeouts.connect_timeout()).set_read_timeout(timeouts.read_timeout());
    Some(Sample {
        place: place.strip_suffix(key).filter(|_| is_plain(key))?.to_owned(),
        query: query.to_owned(),
        region: region(headers.get("authorization")?)?.to_owned(),
        ahead: signed_at(headers.get("x-amz-date")?)?.duration_since(now(components)?),
        user_agent: headers.get("user-agent")?.to_owned(),
        connector: components.http_client()?.http_connector(&settings.build(), components),
        components: components.clone(),
    })
}

/// The region of an ordinary signature for S3: `AWS4-HMAC-SHA256 Credential=ID/20261127/eu-west-1/s3/aws4_request, …`
/// (AWS General Reference). Directory buckets and multi-region access points have signatures of other kinds.
fn region(authorization: &str) -> Option<&str> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let mut scope = scope.split_once(',')?.0.rsplit('/');
    (scope.next()? == "aws4_request" && scope.next()? == "s3").then(|| scope.next())?
}

fn now(components: &RuntimeComponents) -> Option<Timestamp> {
    Timestamp::try_from(components.time_source()?.now()).ok()
}

fn signed_at(date: &str) -> Option<Timestamp> {
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// True if a key is the same in a URI.
fn is_plain(key: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let is_part = |part| !matches!(part, "" | "." | "..");
    key.bytes().all(is_plain) && key.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{config_at, s3, with_clock};
    use crate::{Bucket, Clock, Dice, Kind};
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
    use standins::faults::{Fault, Rule};
    use standins::iam::Role;
    use standins::s3::Server;

    const BUCKET: &str = "our-state";
    const KEYS: [&str; 4] = ["a", "fragments/b.0-9_~/c.gz", "d", "e"];
    /// Keys that a URI has in other characters, or that a client might take for another path.
    const UNPLAIN: [&str; 9] = ["=", "a b", "a+b", "a%20b", "\u{e4}", "a?b", "x//y", "/x", "x/"];

    /// Objects that contain their key.
    async fn server() -> Server {
        let role = Role::new("arn:aws:iam::000000000000:role/exporter");
        let reads = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let server = Server::memory().with_bucket(BUCKET).with_role(role.policy(reads)).start().await.unwrap();
        for key in KEYS.iter().chain(&UNPLAIN) {
            server.put(BUCKET, key, key).unwrap();
        }
        server
    }

    /// Our bucket, by a clock that is ahead.
    fn bucket(server: &Server, ahead_ms: i64) -> Bucket {
        let id = server.credentials();
        let config = config_at(&server.url(), &id.access_key_id, &id.secret_access_key);
        let clock = Clock::from_fn(move || Clock::system().now_ms() + ahead_ms);
        Bucket::new(s3(&with_clock(config, &clock)), BUCKET, Dice::seeded(1))
    }

    async fn sample(bucket: &Bucket) -> Sample {
        let sampler = Sampler::new(KEYS[0]);
        bucket.get_noting(KEYS[0], Some(sampler.clone())).await.unwrap().unwrap();
        sampler.taken().unwrap()
    }

    #[tokio::test]
    async fn a_sample_gets_other_objects_with_one_request_each() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        let sample = sample(&bucket).await;
        for key in KEYS {
            let (by_sample, by_sdk) = (sample.get(key).await.unwrap(), bucket.get(key).await.unwrap().unwrap());
            assert_eq!((&by_sample.body, &by_sample.etag), (&by_sdk.body, &by_sdk.etag));
            assert_eq!(by_sample.body, key);
        }
        assert_eq!(server.requests().count("GetObject"), 1 + 2 * KEYS.len());
        assert!(server.requests().all().iter().all(|request| request.status == Some(200)));
    }

    #[tokio::test]
    async fn a_key_that_a_uri_changes_is_left_to_the_sdk() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        let sample = sample(&bucket).await;
        server.requests().clear();
        for key in UNPLAIN {
            assert!(sample.get(key).await.is_none(), "{key}");
            assert_eq!(server.requests().count("GetObject"), 0, "{key}");
        }
        for key in UNPLAIN {
            assert_eq!(bucket.get_of_many(key).await.unwrap().unwrap().body, key);
            assert!(bucket.sample().is_none(), "{key}");
        }
        assert_eq!(server.requests().count("GetObject"), UNPLAIN.len());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_an_object_is_left_to_the_sdk() {
        let page = Fault::gateway_page();
        let faults = [Fault::InternalError, Fault::SlowDown, Fault::Reset, Fault::CutAnswer(1), page.into()];
        for fault in faults.into_iter().chain(Fault::gateway_pages().into_iter().map(Fault::from)) {
            let server = server().await;
            let bucket = bucket(&server, 0);
            let name = fault.name();
            let rule = Rule::on("GetObject").skip(1).times(1);
            server.faults().add(if name == "CutAnswer" { rule.after(fault) } else { rule.before(fault) });
            for key in KEYS {
                assert_eq!(bucket.get_of_many(key).await.unwrap().unwrap().body, key, "{name}");
                assert!(bucket.sample().is_some(), "{name}: the next one has a sample again");
            }
            assert_eq!(server.requests().count("GetObject"), KEYS.len() + 1, "{name}");
        }
    }

    #[tokio::test]
    async fn an_object_that_is_missing_or_forbidden_is_known_as_such() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        bucket.get_of_many(KEYS[0]).await.unwrap().unwrap();
        assert!(bucket.get_of_many("missing").await.unwrap().is_none());
        assert!(bucket.sample().is_none());
        bucket.get_of_many(KEYS[0]).await.unwrap().unwrap();
        let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code><Message>No.</Message></Error>");
        server.faults().add(Rule::on("GetObject").before(denied));
        assert_eq!(bucket.get_of_many("d").await.unwrap_err().kind, Kind::Denied);
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_costs_one_request() {
        for ahead_ms in [-3_600_000, 3_600_000] {
            let server = server().await;
            let bucket = bucket(&server, ahead_ms);
            for key in KEYS {
                assert_eq!(bucket.get_of_many(key).await.unwrap().unwrap().body, key);
            }
            assert_eq!(server.requests().all().len(), KEYS.len() + 1, "{ahead_ms} ms ahead");
        }
    }

    #[tokio::test]
    async fn a_session_gets_by_sample_too() {
        let server = server().await;
        let lasts = Duration::from_secs(3_600);
        let role = "arn:aws:iam::000000000000:role/exporter";
        let session = server.directory().session_of(role, "exporter", lasts).unwrap();
        let token = session.session_token.clone();
        let keys = Credentials::new(session.access_key_id, session.secret_access_key, token, None, "test");
        let config = config_at(&server.url(), "", "").into_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(keys)).build();
        let bucket = Bucket::new(s3(&config), BUCKET, Dice::seeded(1));
        let sample = sample(&bucket).await;
        assert_eq!(sample.get("d").await.unwrap().body, "d");
        assert!(server.requests().all().iter().all(|request| request.status == Some(200)));
    }

    #[test]
    fn only_an_ordinary_signature_has_a_region() {
        let ordinary =
            "AWS4-HMAC-SHA256 Credential=AKID/20261127/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(region(ordinary), Some("eu-west-1"));
        for other in [
            "AWS4-ECDSA-P256-SHA256 Credential=AKID/20261127/s3/aws4_request, SignedHeaders=host, Signature=0",
            "AWS4-HMAC-SHA256 Credential=AKID/20261127/eu-west-1/s3express/aws4_request, SignedHeaders=host, Signature=0",
            "Bearer token",
        ] {
            assert_eq!(region(other), None, "{other}");
        }
    }
}
