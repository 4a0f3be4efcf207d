//! STS: `AssumeRole` and `GetCallerIdentity` over the query protocol, on the port of S3. Refusals are as vague as AWS's
//! own.

use std::collections::HashMap;

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use s3s::route::S3Route;
use s3s::{HttpResponse, S3Error, S3Request, S3Response, S3Result};

use super::access::{Guard, Trace, Vouched};
use crate::clock::iso_seconds;
use crate::dice;
use crate::faults::Target;
use crate::iam::{AssumeError, AssumeRequest, Identity, TokenError};
use crate::serve::{Body, answer, parse_form};

const XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Whether a request on the shared port is one for STS.
pub(crate) fn is_for_sts(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let form = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    method == Method::POST && uri.path() == "/" && form
}

/// STS as a route of the S3 service, which has verified the signature before.
#[derive(Debug)]
pub(crate) struct StsRoute(pub(crate) Guard);

/// An answer that is not a success.
#[derive(Debug)]
struct StsError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

#[async_trait::async_trait]
impl S3Route for StsRoute {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        is_for_sts(method, uri, headers)
    }

    async fn check_access(&self, _: &mut S3Request<s3s::Body>) -> S3Result<()> {
        // `call` identifies the caller itself, and refuses in STS's own format.
        Ok(())
    }

    async fn call(&self, mut request: S3Request<s3s::Body>) -> S3Result<S3Response<s3s::Body>> {
        let body = std::mem::take(&mut request.input);
        let bytes = body.collect().await.map(|collected| collected.to_bytes());
        let bytes = bytes.map_err(|error| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, error))?;
        let form = parse_form(&String::from_utf8_lossy(&bytes));
        let trace = request.extensions.get::<Trace>().cloned().unwrap_or_default();
        let target = Target {
            operation: form.get("Action").cloned().unwrap_or_default(),
            bucket: String::new(),
            key: form.get("RoleArn").cloned().unwrap_or_default(),
        };
        trace.with(|traced| traced.target = Some(target.clone()));
        let caller = match self.caller(&request) {
            Ok(caller) => caller,
            Err(refusal) => return Ok(refusal.into_response()),
        };
        trace.with(|traced| traced.caller = Some(caller.arn.clone()));
        self.0.strike(&target, &trace).await?;
        let answered = match target.operation.as_str() {
            "AssumeRole" => self.assume_role(&caller, &form),
            "GetCallerIdentity" => Ok(caller_identity(&caller)),
            other => Err(StsError {
                status: StatusCode::BAD_REQUEST,
                code: "InvalidAction",
                message: format!("Could not find operation {other} for version 2011-06-15"),
            }),
        };
        Ok(answered.map_or_else(StsError::into_response, |body| xml(StatusCode::OK, body)))
    }
}

impl StsRoute {
    fn caller(&self, request: &S3Request<s3s::Body>) -> Result<std::sync::Arc<Identity>, StsError> {
        let forbidden =
            |code, message: &str| StsError { status: StatusCode::FORBIDDEN, code, message: message.to_owned() };
        let vouched = request.extensions.get::<Vouched>();
        let access_key = vouched.map(|vouched| vouched.access_key.as_str());
        let access_key = access_key
            .or_else(|| request.credentials.as_ref().map(|credentials| credentials.access_key.as_str()))
            .ok_or_else(|| forbidden("MissingAuthenticationToken", "Request is missing Authentication Token"))?;
        let service = vouched.map(|vouched| vouched.service.as_str()).or(request.service.as_deref());
        if service != Some("sts") {
            return Err(forbidden("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'."));
        }
        let token = request.headers.get("x-amz-security-token");
        let token = token.and_then(|value| value.to_str().ok());
        let identity = self.0.directory.identify(access_key, token);
        identity.map_err(|error| match error {
            TokenError::Expired => forbidden("ExpiredToken", "The security token included in the request is expired"),
            TokenError::UnknownKey | TokenError::WrongToken => {
                forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
            }
        })
    }

    fn assume_role(&self, caller: &Identity, form: &HashMap<String, String>) -> Result<String, StsError> {
        let field = |name: &str| form.get(name).map(String::as_str);
        let role_arn = field("RoleArn").unwrap_or_default();
        let session_name = field("RoleSessionName").unwrap_or_default();
        check_names(role_arn, session_name)?;
        let duration = field("DurationSeconds").map(str::parse).transpose();
        let request = AssumeRequest {
            role_arn,
            session_name,
            external_id: field("ExternalId"),
            duration_seconds: duration.map_err(|_| invalid("durationSeconds is not a number".to_owned()))?,
            policy: field("Policy"),
        };
        let session = self.0.directory.assume(caller, &request).map_err(|error| match error {
            AssumeError::Denied => StsError {
                status: StatusCode::FORBIDDEN,
                code: "AccessDenied",
                message: format!(
                    "User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
                    caller.arn
                ),
            },
            AssumeError::Invalid(message) => invalid(message),
            AssumeError::MalformedPolicy(message) => {
                StsError { status: StatusCode::BAD_REQUEST, code: "MalformedPolicyDocument", message }
            }
        })?;
        let credentials = &session.credentials;
        Ok(format!(
            "<AssumeRoleResponse xmlns=\"{XMLNS}\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
             </AssumeRoleResult>{}</AssumeRoleResponse>",
            escape(&session.user_id),
            escape(&session.arn),
            credentials.access_key_id,
            credentials.secret_access_key,
            credentials.session_token.as_deref().unwrap_or_default(),
            iso_seconds(credentials.expires_at_ms.unwrap_or_default()),
            metadata(),
        ))
    }
}

fn caller_identity(caller: &Identity) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"{XMLNS}\"><GetCallerIdentityResult>\
         <Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>\
         </GetCallerIdentityResult>{}</GetCallerIdentityResponse>",
        escape(&caller.arn),
        escape(&caller.user_id),
        caller.account,
        metadata(),
    )
}

/// The patterns of the STS API Reference, as far as people get them wrong.
fn check_names(role_arn: &str, session_name: &str) -> Result<(), StsError> {
    let violated = |value: &str, field: &str, constraint: &str| {
        invalid(format!(
            "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
        ))
    };
    if role_arn.len() < 20 {
        return Err(violated(role_arn, "roleArn", "Member must have length greater than or equal to 20"));
    }
    if !role_arn.starts_with("arn:") || role_arn.split(':').count() < 6 {
        return Err(invalid(format!("{role_arn} is invalid")));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&session_name.len()) || !session_name.chars().all(fits) {
        let constraint = "Member must satisfy regular expression pattern: [\\w+=,.@-]*";
        return Err(violated(session_name, "roleSessionName", constraint));
    }
    Ok(())
}

fn invalid(message: String) -> StsError {
    StsError { status: StatusCode::BAD_REQUEST, code: "ValidationError", message }
}

impl StsError {
    fn to_xml(&self) -> String {
        let kind = match self.status.is_server_error() {
            true => "Receiver",
            false => "Sender",
        };
        format!(
            "<ErrorResponse xmlns=\"{XMLNS}\"><Error><Type>{kind}</Type><Code>{}</Code>\
             <Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
            escape(self.code),
            escape(&self.message),
            dice::uuid(),
        )
    }

    fn into_response(self) -> S3Response<s3s::Body> {
        xml(self.status, self.to_xml())
    }
}

fn xml(status: StatusCode, body: String) -> S3Response<s3s::Body> {
    let mut response = S3Response::with_status(s3s::Body::from(body), status);
    let xml = http::HeaderValue::from_static("text/xml");
    response.headers.insert(CONTENT_TYPE, xml);
    response
}

/// Refusals of the S3 service before STS (a wrong signature, an unknown key) and faults, in the format of STS.
pub(crate) async fn in_its_own_format(response: HttpResponse) -> Response<Body> {
    let status = response.status();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|collected| collected.to_bytes());
    let bytes = bytes.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    if status.is_success() || text.contains("<ErrorResponse") {
        return Response::from_parts(parts, crate::serve::full(bytes));
    }
    let (code, message) = match between(&text, "Code") {
        Some("InvalidAccessKeyId") => {
            ("InvalidClientTokenId", "The security token included in the request is invalid.")
        }
        Some("SignatureDoesNotMatch" | "AccessDenied") => (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
        Some("SlowDown") => ("Throttling", "Rate exceeded"),
        Some("RequestTimeTooSkewed") => ("SignatureDoesNotMatch", "Signature expired"),
        _ if status.is_server_error() => {
            ("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
        }
        _ => ("ValidationError", "The request is not valid."),
    };
    let refusal = StsError { status, code, message: message.to_owned() };
    answer(status.as_u16(), "text/xml", refusal.to_xml())
}

fn between<'a>(xml: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{element}>"))?;
    let (text, _) = rest.split_once(&format!("</{element}>"))?;
    Some(text)
}

fn metadata() -> String {
    format!("<ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>", dice::uuid())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
