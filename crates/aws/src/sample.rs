//! GETs like one that the SDK made: to the same place, with the same credentials, for other keys.
//!
//! The SDK takes more than half of the CPU time of a small GET to find the same as in the GET before: endpoint, region,
//! credentials, HTTP client. A sample keeps what it found.
//!
//! The SDK asks for the checksum that S3 keeps of an object, and compares it. A sample does not.

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
use bytes::{Bytes, BytesMut};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

/// The longest wait for the next piece of an answer.
const STALLED_AFTER: Duration = Duration::from_secs(30);

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

/// What a sample came to.
#[derive(Debug)]
pub(crate) enum Got {
    /// The object, as it was sent.
    Object(Object),
    /// S3 is busy. Another request has to wait.
    Busy(u16),
    /// Anything else than an ordinary answer of S3. The SDK has to ask, and knows what it means.
    Unclear,
}

impl Sample {
    /// Gets an object whole.
    pub(crate) async fn get(&self, key: &str) -> Got {
        match self.send(key).await {
            Some(got) => got,
            None => Got::Unclear,
        }
    }

    /// `None` if something is missing.
    async fn send(&self, key: &str) -> Option<Got> {
        let request = if is_plain(key) { self.request(key).await? } else { return None };
        let answer = self.connector.call(request).await.ok()?;
        let status = answer.status().as_u16();
        if status == 429 || status >= 500 {
            return Some(Got::Busy(status));
        }
        if status != 200 {
            return None;
        }
        let etag = etag_of(answer.headers().get("etag"), Operation::Get, key).ok()?;
        let bytes: usize = answer.headers().get("content-length")?.parse().ok()?;
        let body = whole(ByteStream::new(answer.into_body()), bytes).await?;
        Some(Got::Object(Object { body, etag }))
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
            .time(SystemTime::from(now(components)?.checked_add(self.ahead).ok()?))
            .settings(settings)
            .build()
            .ok()?;
        let uri = format!("{}{key}{}", self.place, self.query);
        let headers = std::iter::once(("user-agent", self.user_agent.as_str()));
        let signable = SignableRequest::new("GET", &uri, headers, SignableBody::Bytes(&[])).ok()?;
        let (instructions, _) = sign(signable, &params.into()).ok()?.into_parts();
        let request = http::Request::get(&uri).header("user-agent", &self.user_agent);
        let mut request = request.body(SdkBody::empty()).ok()?;
        instructions.apply_to_request_http1x(&mut request);
        HttpRequest::try_from(request).ok()
    }
}

/// A body of so many bytes.
async fn whole(mut body: ByteStream, bytes: usize) -> Option<Bytes> {
    let mut next = async || tokio::time::timeout(STALLED_AFTER, body.try_next()).await.ok()?.ok();
    let first = next().await?.unwrap_or_default();
    if first.len() == bytes {
        return Some(first);
    }
    let mut all = BytesMut::from(first);
    while let Some(piece) = next().await? {
        all.extend_from_slice(&piece);
    }
    (all.len() == bytes).then(|| all.freeze())
}

/// Takes a sample of a GET while the SDK sends it.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Arc<Mutex<Option<Sample>>>);

impl Sampler {
    /// What the SDK calls for the GET of `key`. It does not keep the sample, which has the components of the SDK: they
    /// would keep each other for ever.
    pub(crate) fn watch(&self, key: &str) -> impl Intercept + 'static {
        Watch { key: key.to_owned(), taken: Arc::downgrade(&self.0) }
    }

    /// The sample, unless the request was one of another kind.
    pub(crate) fn taken(&self) -> Option<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug)]
struct Watch {
    key: String,
    taken: Weak<Mutex<Option<Sample>>>,
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "sample::Watch"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(taken) = self.taken.upgrade() {
            let sample = sampled(&self.key, context.request(), components, configuration);
            *taken.lock().unwrap_or_else(PoisonError::into_inner) = sample;
        }
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
    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
    use aws_smithy_runtime_api::client::http::{HttpConnectorFuture, http_client_fn};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
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
        let sampler = Sampler::default();
        bucket.get_once(KEYS[0], Some(&sampler)).await.unwrap();
        sampler.taken().unwrap()
    }

    /// In the place of AWS: an object of one byte under each address.
    #[derive(Clone, Debug, Default)]
    struct Asked(Arc<Mutex<Vec<String>>>);

    impl HttpConnector for Asked {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().unwrap().push(request.uri().to_owned());
            let answer = http::Response::builder().header("etag", "\"e\"").header("content-length", "1");
            let answer = answer.body(SdkBody::from("x")).unwrap();
            HttpConnectorFuture::ready(Ok(HttpResponse::try_from(answer).unwrap()))
        }
    }

    async fn body_by(sample: &Sample, key: &str) -> Option<Bytes> {
        let Got::Object(object) = sample.get(key).await else { return None };
        Some(object.body)
    }

    #[tokio::test]
    async fn a_sample_gets_other_objects_with_one_request_each() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        let sample = sample(&bucket).await;
        for key in KEYS {
            let Got::Object(by_sample) = sample.get(key).await else { panic!("{key}") };
            let by_sdk = bucket.get(key).await.unwrap().unwrap();
            assert_eq!((&by_sample.body, &by_sample.etag), (&by_sdk.body, &by_sdk.etag));
            assert_eq!(by_sample.body, key);
        }
        assert_eq!(server.requests().count("GetObject"), 1 + 2 * KEYS.len());
        assert!(server.requests().all().iter().all(|request| request.status == Some(200)));
    }

    /// The sample leads to another bucket, as no real one does.
    #[tokio::test]
    async fn all_but_the_first_of_many_objects_are_got_by_sample() {
        let server = server().await;
        server.create_bucket("other").unwrap();
        server.put("other", "d", "other").unwrap();
        let bucket = bucket(&server, 0);
        assert_eq!(bucket.get_of_many("d").await.unwrap().unwrap().body, "d");
        let mut sample = sample(&bucket).await;
        sample.place = sample.place.replace(BUCKET, "other");
        *bucket.sample() = Some(Arc::new(sample));
        assert_eq!(bucket.get_of_many("d").await.unwrap().unwrap().body, "other");
        // It is not there: the SDK gets the right one, and the next sample is right too.
        assert_eq!(bucket.get_of_many("e").await.unwrap().unwrap().body, "e");
        assert_eq!(bucket.get_of_many("d").await.unwrap().unwrap().body, "d");
    }

    #[tokio::test]
    async fn a_key_that_a_uri_changes_is_left_to_the_sdk() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        let sample = sample(&bucket).await;
        server.requests().clear();
        for key in UNPLAIN {
            assert!(matches!(sample.get(key).await, Got::Unclear), "{key}");
            assert_eq!(server.requests().count("GetObject"), 0, "{key}");
        }
        for key in UNPLAIN {
            assert_eq!(bucket.get_of_many(key).await.unwrap().unwrap().body, key);
            assert!(bucket.sample().is_none(), "{key}");
        }
        assert_eq!(server.requests().count("GetObject"), UNPLAIN.len());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_an_object_is_unclear_and_the_sdk_gets_it() {
        let is_busy = |fault: &Fault| match fault {
            Fault::InternalError | Fault::SlowDown => true,
            Fault::Answer(answer) => answer.status >= 500,
            _ => false,
        };
        let page = Fault::status(404).header("etag", "\"e\"").header("content-length", "1").body("d");
        let faults = [Fault::InternalError, Fault::SlowDown, Fault::Reset, Fault::CutAnswer(0), page.into()];
        for fault in faults.into_iter().chain(Fault::gateway_pages().into_iter().map(Fault::from)) {
            let server = server().await;
            let bucket = bucket(&server, 0);
            let (name, is_busy) = (format!("{fault:?}"), is_busy(&fault));
            let rule = |fault| {
                if name == "CutAnswer" {
                    Rule::on("GetObject").after(fault)
                } else {
                    Rule::on("GetObject").before(fault)
                }
            };
            let sample = sample(&bucket).await;
            server.faults().add(rule(fault.clone()).times(1));
            let got = sample.get("d").await;
            assert!(if is_busy { matches!(got, Got::Busy(_)) } else { matches!(got, Got::Unclear) }, "{name}: {got:?}");
            assert_eq!(server.requests().all().len(), 2, "{name}");
            *bucket.sample() = Some(Arc::new(sample));
            server.faults().add(rule(fault).times(1));
            for key in KEYS {
                assert_eq!(bucket.get_of_many(key).await.unwrap().unwrap().body, key, "{name}");
                assert!(bucket.sample().is_some(), "{name}: the next one has a sample again");
            }
            assert_eq!(server.faults().strikes().len(), 2, "{name}");
            assert_eq!(server.requests().all().len(), 2 + KEYS.len() + 1, "{name}");
        }
    }

    #[tokio::test]
    async fn a_busy_s3_is_asked_as_often_as_by_the_sdk_alone() {
        let server = server().await;
        let bucket = bucket(&server, 0);
        *bucket.sample() = Some(Arc::new(sample(&bucket).await));
        server.faults().add(Rule::on("GetObject").before(Fault::SlowDown));
        let attempts = bucket.get_of_many("d").await.unwrap_err().attempts;
        assert_eq!(attempts, bucket.get("d").await.unwrap_err().attempts);
        assert_eq!(server.faults().strikes().len(), 2 * attempts as usize);
    }

    #[tokio::test]
    async fn a_bucket_whose_requester_pays_has_no_sample() {
        let server = Server::memory().with_requester_pays_bucket(BUCKET).start().await.unwrap();
        server.put(BUCKET, "d", "d").unwrap();
        let bucket = bucket(&server, 0).paid_by_us(true);
        for _ in 0..2 {
            assert_eq!(bucket.get_of_many("d").await.unwrap().unwrap().body, "d");
            assert!(bucket.sample().is_none());
        }
        assert_eq!(server.requests().all().len(), 2);
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

    /// The credentials of the administrator have expired when the sample is used. Then those of a session are the next.
    #[tokio::test]
    async fn a_sample_signs_with_the_credentials_of_the_moment() {
        let server = server().await;
        let administrator = server.credentials();
        let role = "arn:aws:iam::000000000000:role/exporter";
        let session = server.directory().session_of(role, "exporter", Duration::from_secs(3_600)).unwrap();
        let keys = |keys: standins::iam::Credentials, expires: SystemTime| {
            let token = keys.session_token;
            Credentials::new(keys.access_key_id, keys.secret_access_key, token, Some(expires), "test")
        };
        let (hour, now) = (Duration::from_secs(3_600), SystemTime::now());
        let turns = Arc::new(Mutex::new(vec![keys(session, now + hour), keys(administrator, now)]));
        let next = provide_credentials_fn(move || {
            let turns = Arc::clone(&turns);
            async move { Ok(turns.lock().unwrap().pop().unwrap()) }
        });
        let config = config_at(&server.url(), "", "").into_builder();
        let config = config.credentials_provider(SharedCredentialsProvider::new(next)).build();
        let bucket = Bucket::new(s3(&config), BUCKET, Dice::seeded(1));
        let sample = sample(&bucket).await;
        assert_eq!(body_by(&sample, "d").await.unwrap(), "d");
        let callers: Vec<_> = server.requests().all().into_iter().map(|request| request.caller.unwrap()).collect();
        assert!(!callers[0].contains("exporter") && callers[1].contains("exporter"), "{callers:?}");
    }

    #[tokio::test]
    async fn a_sample_has_the_address_of_any_bucket_at_aws() {
        let asked = Asked::default();
        let answering = asked.clone();
        let client = http_client_fn(move |_, _| SharedHttpConnector::new(answering.clone()));
        let config = config_at("http://unused", "id", "secret").into_builder().http_client(client).build();
        for (bucket, key, uri) in [
            ("my-logs", "a/b.gz", "https://my-logs.s3.us-east-1.amazonaws.com/a/b.gz?x-id=GetObject"),
            ("my.logs", "a/b.gz", "https://s3.us-east-1.amazonaws.com/my.logs/a/b.gz?x-id=GetObject"),
        ] {
            let mut settings = aws_sdk_s3::config::Builder::from(&config);
            settings.set_endpoint_url(None);
            let bucket = Bucket::new(aws_sdk_s3::Client::from_conf(settings.build()), bucket, Dice::seeded(1));
            assert_eq!(body_by(&sample(&bucket).await, key).await.unwrap(), "x");
            assert_eq!(asked.0.lock().unwrap().last().unwrap(), uri);
        }
    }

    #[tokio::test]
    async fn a_sample_is_not_kept_by_what_it_keeps() {
        let server = server().await;
        let sampler = Sampler::default();
        bucket(&server, 0).get_once(KEYS[0], Some(&sampler)).await.unwrap();
        let taken = Arc::downgrade(&sampler.0);
        drop(sampler);
        assert!(taken.upgrade().is_none());
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
