//! Which requests the page answers: those of its own pages and of tools on this machine.

use super::Refusal;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// No page of elsewhere is shown in it, and it asks nothing of elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Refuses requests that another site makes in the browser of this machine.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if let Err(words) = judge(request.method(), request.headers()) {
        return Refusal::new(StatusCode::FORBIDDEN, words).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A name of elsewhere may lead to this machine (DNS rebinding), so only its own names are answered. Browsers send
/// `Origin` with each request that changes something.
fn judge(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_of_this_machine(host) {
        return Err("this page answers to localhost and to addresses only: open it by its address");
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let is_own = |origin: &HeaderValue| origin.as_bytes() == format!("http://{host}").as_bytes();
    if changes && !headers.get(ORIGIN).is_none_or(is_own) {
        return Err("this request comes from the page of another site");
    }
    Ok(())
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let origin = origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin)));
        [(HOST, HeaderValue::from_static(host))].into_iter().chain(origin).collect()
    }

    #[test]
    fn only_pages_of_this_machine_may_change_something() {
        for (method, host, origin, is_answered) in [
            (Method::GET, "127.0.0.1:8030", None, true),
            (Method::GET, "localhost:8030", Some("http://elsewhere.example"), true),
            (Method::GET, "[::1]:8030", None, true),
            (Method::GET, "192.168.1.2", None, true),
            (Method::GET, "elsewhere.example:8030", None, false),
            (Method::GET, "", None, false),
            (Method::POST, "127.0.0.1:8030", None, true),
            (Method::POST, "127.0.0.1:8030", Some("http://127.0.0.1:8030"), true),
            (Method::POST, "127.0.0.1:8030", Some("http://127.0.0.1:8032"), false),
            (Method::POST, "127.0.0.1:8030", Some("http://elsewhere.example"), false),
            (Method::PUT, "127.0.0.1:8030", Some("null"), false),
        ] {
            assert_eq!(judge(&method, &headers(host, origin)).is_ok(), is_answered, "{method} {host} {origin:?}");
        }
    }
}
