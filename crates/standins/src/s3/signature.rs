//! S3's further demands on a signature that `s3s` has verified.

use http::{HeaderMap, Uri};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

/// The region of a signature.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) region: String,
}

/// Refuses other signatures than version 4 for S3.
pub(crate) fn check(headers: &HeaderMap, uri: &Uri) -> S3Result<Scope> {
    let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let field = |name: &str| match authorization {
        Some(header) => Some(header.split(&format!("{name}=")).nth(1)?.split(',').next()?.trim().to_owned()),
        None => query(uri, &format!("X-Amz-{name}")),
    };
    // Version 2 has neither. "Signature Version 2 is being turned off", S3 User Guide: no bucket made since June 2020
    // takes it.
    let (Some(credential), Some(signed)) = (field("Credential"), field("SignedHeaders")) else {
        return Err(s3_error!(
            InvalidRequest,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        ));
    };
    let mut scope = credential.split('/').skip(2);
    let (region, service) = (scope.next().unwrap_or_default(), scope.next().unwrap_or_default());
    if service != "s3" {
        return Err(wrong_service(service, authorization.is_some()));
    }
    // "Any x-amz-* headers present in the request" must be signed, S3 API Reference, "Signature Calculations for the
    // Authorization Header". The payload's digest is part of the signed text anyway.
    let signed: Vec<&str> = signed.split(';').collect();
    let names = headers.keys().map(http::HeaderName::as_str);
    let mut unsigned = names.filter(|name| name.starts_with("x-amz-") && !signed.contains(name));
    if unsigned.any(|name| name != "x-amz-content-sha256") {
        return Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed"));
    }
    Ok(Scope { region: region.to_owned() })
}

fn wrong_service(service: &str, in_header: bool) -> S3Error {
    let what = format!("incorrect service \"{service}\". This endpoint belongs to \"s3\".");
    let (code, message) = match in_header {
        true => ("AuthorizationHeaderMalformed", format!("The authorization header is malformed; {what}")),
        false => ("AuthorizationQueryParametersError", format!("Error parsing the X-Amz-Credential parameter; {what}")),
    };
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

/// The value of a parameter of the query, decoded.
pub(super) fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&');
    let mut values = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    let value = values.next()?.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&value);
    decoded.decode_utf8().ok().map(|text| text.into_owned())
}
