//! Who may: keys, tokens, owners, regions, policies, per request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::shared_body::SharedBody;
use super::signature::{self, Scope, query};
use super::store::{Store, no_such_bucket};
use crate::faults::{Fault, Faults, Injection, Moment, Target};
use crate::iam::{DEFAULT_ACCOUNT, Decision, Directory, Identity, Policy, TokenError};

/// Notes about a request for the wire, which reads them afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Mutex<Traced>>);

#[derive(Debug, Default)]
pub(crate) struct Traced {
    pub(crate) target: Option<Target>,
    pub(crate) caller: Option<String>,
    pub(crate) plan: Option<Injection>,
    pub(crate) body: Option<SharedBody>,
    /// The fault that ended the request before it had an effect.
    pub(crate) ended: Option<Fault>,
}

impl Trace {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Traced) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The caller of a request in process. Its signature is not checked here. Stories over sockets check signatures.
#[derive(Clone, Debug)]
pub(crate) struct Vouched {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// The caller of a request, for further permissions while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Arc<Identity>,
    pub(crate) context: BTreeMap<String, String>,
    /// The policy of the request's bucket.
    policy: Option<Arc<Policy>>,
    /// True if the bucket belongs to another account.
    is_foreign: bool,
}

impl Caller {
    pub(crate) fn may(&self, action: &str, resource: &str) -> bool {
        self.check(action, resource).is_ok()
    }

    /// "Cross-account policy evaluation logic", IAM User Guide: in another account's bucket the bucket's policy must allow
    /// it too. In a bucket of the same account it can only deny here. (In AWS it can allow as well.)
    fn check(&self, action: &str, resource: &str) -> S3Result<()> {
        let under = |policy: &Arc<Policy>| self.identity.under(policy, action, resource, &self.context);
        match self.policy.as_ref().map_or(Decision::ImplicitDeny, under) {
            Decision::ExplicitDeny if !self.is_foreign => Err(denied_by_bucket(&self.identity.arn, action, resource)),
            Decision::ExplicitDeny => Err(denied()),
            Decision::ImplicitDeny if self.is_foreign => Err(denied()),
            _ if self.identity.may(action, resource, &self.context) => Ok(()),
            _ => Err(denied()),
        }
    }
}

/// The policies of buckets, by the buckets' names. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketPolicies(Arc<Mutex<BTreeMap<String, Arc<Policy>>>>);

impl BucketPolicies {
    pub(crate) fn set(&self, bucket: &str, policy: Policy) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(bucket.to_owned(), Arc::new(policy));
    }

    fn of(&self, bucket: &str) -> Option<Arc<Policy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) directory: Directory,
    pub(crate) store: Arc<Store>,
    pub(crate) policies: BucketPolicies,
    pub(crate) faults: Faults,
}

#[async_trait::async_trait]
impl S3Auth for Guard {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.directory.secret_of(access_key);
        secret.map(SecretKey::from).ok_or_else(unknown_key)
    }
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => (String::new(), String::new()),
            S3Path::Bucket { bucket } => (bucket.to_string(), String::new()),
            S3Path::Object { bucket, key } => (bucket.to_string(), key.to_string()),
        };
        let target = Target { operation, bucket, key };
        let trace = cx.extensions_mut().get_or_insert_default::<Trace>().clone();
        trace.with(|traced| traced.target = Some(target.clone()));

        let (access_key, scope) = match cx.extensions_mut().get::<Vouched>().cloned() {
            Some(vouched) => (vouched.access_key, Scope { region: vouched.region }),
            None => {
                let access_key = cx.credentials().map(|credentials| credentials.access_key.clone());
                (access_key.ok_or_else(denied)?, signature::check(cx.headers(), cx.uri())?)
            }
        };
        let token = security_token(cx.headers(), cx.uri());
        let identity = self.directory.identify(&access_key, token.as_deref()).map_err(token_error)?;
        trace.with(|traced| traced.caller = Some(identity.arn.clone()));
        let owner = self.check_bucket(&target, &scope, cx)?;
        let mut context = context(cx.headers(), cx.uri());
        context.insert("aws:resourceaccount".to_owned(), owner.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()));
        let is_foreign = owner.is_some_and(|owner| owner != identity.account);
        let policy = self.policies.of(&target.bucket);
        if is_foreign && policy.is_none() {
            return Err(denied());
        }
        let caller = Caller { identity, context, policy, is_foreign };
        let versioned = query(cx.uri(), "versionId").is_some();
        for (action, resource) in needed(&target, versioned, cx.headers()) {
            if let Err(refusal) = caller.check(action, &resource) {
                tracing::debug!(caller = caller.identity.arn, action, resource, "denied");
                return Err(refusal);
            }
        }
        cx.extensions_mut().insert(caller);
        self.strike(&target, &trace).await
    }
}

impl Guard {
    /// S3 says whether a bucket exists to everyone; then where it is, then whether it belongs to the expected account.
    /// Returns its account, if it has one of its own.
    fn check_bucket(&self, target: &Target, scope: &Scope, cx: &S3AccessContext<'_>) -> S3Result<Option<String>> {
        if target.bucket.is_empty() {
            return Ok(None);
        }
        let settings = self.store.bucket_settings(&target.bucket).ok_or_else(no_such_bucket)?;
        if let Some(region) = &settings.region
            && scope.region != *region
        {
            return Err(elsewhere(region));
        }
        // S3 user guide, "Requester Pays buckets": "Amazon S3 returns a 403 error".
        if settings.requester_pays && cx.headers().get("x-amz-request-payer").is_none_or(|payer| payer != "requester") {
            return Err(denied());
        }
        if let Some(expected) = cx.headers().get("x-amz-expected-bucket-owner")
            && expected.as_bytes() != settings.owner.as_deref().unwrap_or(DEFAULT_ACCOUNT).as_bytes()
        {
            return Err(denied());
        }
        Ok(settings.owner)
    }

    /// Faults that come before any effect.
    pub(crate) async fn strike(&self, target: &Target, trace: &Trace) -> S3Result<()> {
        let plan = self.faults.plan(target);
        let body = trace.with(|traced| {
            traced.plan = Some(plan.clone());
            traced.body.clone()
        });
        if let Some(body) = body.filter(|_| plan.holds_back()) {
            body.receive().await;
        }
        match plan.strike(Moment::Before).await {
            None => Ok(()),
            Some(fault) => {
                let error = as_error(&fault);
                trace.with(|traced| traced.ended = Some(fault));
                Err(error)
            }
        }
    }
}

/// A fault in the words of S3. The wire drops the connection instead where that is the fault.
pub(crate) fn as_error(fault: &Fault) -> S3Error {
    match fault {
        Fault::SlowDown => s3_error!(SlowDown, "Please reduce your request rate."),
        Fault::Conflict => s3_error!(
            ConditionalRequestConflict,
            "The conditional request cannot succeed due to a conflicting operation against this resource."
        ),
        _ => s3_error!(InternalError, "We encountered an internal error. Please try again."),
    }
}

pub(crate) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}

/// "Access denied message examples and how to troubleshoot them", S3 User Guide: the account of a bucket learns that the
/// bucket's policy denies a request. It never learns which clause.
fn denied_by_bucket(caller: &str, action: &str, resource: &str) -> S3Error {
    s3_error!(
        AccessDenied,
        "User: {caller} is not authorized to perform: {action} on resource: \"{resource}\" with an explicit deny in a \
         resource-based policy"
    )
}

fn unknown_key() -> S3Error {
    s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
}

pub(crate) fn token_error(error: TokenError) -> S3Error {
    match error {
        TokenError::UnknownKey => unknown_key(),
        TokenError::WrongToken => s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."),
        TokenError::Expired => s3_error!(ExpiredToken, "The provided token has expired."),
    }
}

fn elsewhere(region: &str) -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::PermanentRedirect,
        "The bucket you are attempting to access must be addressed using the specified endpoint. \
         Please send all future requests to this endpoint.",
    );
    let mut headers = HeaderMap::new();
    if let Ok(value) = region.parse() {
        headers.insert("x-amz-bucket-region", value);
    }
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}

/// The actions that a request needs, by the table "Actions, resources, and condition keys for Amazon S3".
/// `DeleteObjects` checks each key.
fn needed(target: &Target, versioned: bool, headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let bucket = format!("arn:aws:s3:::{}", target.bucket);
    let object = format!("arn:aws:s3:::{}/{}", target.bucket, target.key);
    let on_object: &[&str] = match target.operation.as_str() {
        "GetObject" | "HeadObject" if versioned => &["s3:GetObjectVersion"],
        "GetObject" | "HeadObject" => &["s3:GetObject"],
        "DeleteObject" if versioned => &["s3:DeleteObjectVersion"],
        // "You must have the s3:DeleteObject and s3:GetObject permissions", S3 User Guide.
        "DeleteObject" if headers.contains_key("if-match") => &["s3:DeleteObject", "s3:GetObject"],
        "DeleteObject" => &["s3:DeleteObject"],
        "PutObject" | "CompleteMultipartUpload" if headers.contains_key("if-match") => {
            &["s3:PutObject", "s3:GetObject"]
        }
        "PutObject" | "CreateMultipartUpload" if headers.contains_key("x-amz-acl") => {
            &["s3:PutObject", "s3:PutObjectAcl"]
        }
        "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => &["s3:PutObject"],
        "AbortMultipartUpload" => &["s3:AbortMultipartUpload"],
        _ => &[],
    };
    let on_bucket = match target.operation.as_str() {
        "ListObjectsV2" => Some("s3:ListBucket"),
        "ListObjectVersions" => Some("s3:ListBucketVersions"),
        // `DeleteObjects`, and operations that are answered with `NotImplemented`.
        _ => None,
    };
    let on_object = on_object.iter().map(|action| (*action, object.clone()));
    on_object.chain(on_bucket.map(|action| (action, bucket))).collect()
}

/// The condition keys that requests carry, by lower-case name.
fn context(headers: &HeaderMap, uri: &Uri) -> BTreeMap<String, String> {
    let mut context = BTreeMap::new();
    for (key, parameter) in [
        ("s3:prefix", "prefix"),
        ("s3:delimiter", "delimiter"),
        ("s3:max-keys", "max-keys"),
        ("s3:versionid", "versionId"),
    ] {
        if let Some(value) = query(uri, parameter) {
            context.insert(key.to_owned(), value);
        }
    }
    for name in [
        "x-amz-acl",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-storage-class",
        "if-none-match",
        "if-match",
    ] {
        if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
            context.insert(format!("s3:{name}"), value.to_owned());
        }
    }
    context.insert(String::from("aws:securetransport"), String::from("false"));
    context
}

fn security_token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let header = headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
    header.map(str::to_owned).or_else(|| query(uri, "X-Amz-Security-Token"))
}
