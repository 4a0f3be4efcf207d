//! Requests to the receiver.

use crate::WRITE_KEY;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A request to a function URL (Lambda developer guide, "Request payload format").
#[must_use]
pub fn to_url(method: &str, path: &str, query: &str, body: &[u8]) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": {"host": "id.lambda-url.eu-west-1.on.aws", "x-forwarded-for": "203.0.113.7", "content-type": "text/plain"},
        "requestContext": {
            "accountId": "anonymous", "apiId": "id", "domainName": "id.lambda-url.eu-west-1.on.aws", "domainPrefix": "id",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "a"},
            "requestId": "id", "routeKey": "$default", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_i64,
        },
        "body": STANDARD.encode(body), "isBase64Encoded": true,
    })
}

/// A batch of one call for each user. The receiver refuses a call of the user `""`.
#[must_use]
pub fn batch(users: &[&str]) -> String {
    let calls: Vec<_> = users.iter().map(|user| json!({"type": "identify", "userId": user})).collect();
    json!({"writeKey": WRITE_KEY, "batch": calls}).to_string()
}
