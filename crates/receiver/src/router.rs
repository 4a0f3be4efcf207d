//! The paths.

use crate::answer::Failure;
use crate::receive::Receiver;
use crate::routes;
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::Method;
use axum::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER};
use axum::middleware::map_request;
use axum::routing::{MethodFilter, get, on, post};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;
use tracking::calls::Limits;
use tracking::kinds::{KINDS, Kind};

/// Browsers remember the answer to a preflight for at most so long (Firefox; Chromium: two hours).
const PREFLIGHT_AGE: Duration = Duration::from_secs(86_400);

/// The API as a router.
pub fn router(receiver: &Arc<Receiver>) -> Router {
    let batch =
        |is_client: bool| post(move |app, from, headers, sent| routes::batch(is_client, app, from, headers, sent));
    let webhook = MethodFilter::POST.or(MethodFilter::PUT).or(MethodFilter::PATCH);
    let mut router = Router::new()
        .route("/v1/batch", batch(false))
        .route("/v1/import", batch(false))
        .route("/v1/b", batch(true))
        .route("/v1/set", post(routes::objects))
        .route("/v1/projects/{key}/settings", get(routes::settings))
        .route("/health", get(routes::health));
    for Kind { word: kind, short, .. } in KINDS {
        let single = |is_client: bool| {
            post(move |app, from, headers, sent| routes::single(kind, is_client, app, from, headers, sent))
        };
        let pixel = get(move |app, from, headers, query| routes::pixel(kind, app, from, headers, query));
        router = router
            .route(&format!("/v1/{kind}"), single(false))
            .route(&format!("/v1/{short}"), single(true))
            .route(&format!("/v1/pixel/{kind}"), pixel);
    }
    // Twice the limit is read, so that our own answer reaches the client.
    let router = router
        .layer(DefaultBodyLimit::max(2 * receiver.settings.limits.body_bytes_max))
        .route(
            "/webhook/{source}",
            on(webhook, routes::hook).layer(DefaultBodyLimit::max(2 * Limits::WEBHOOK.body_bytes_max)),
        )
        .fallback(routes::unknown)
        .method_not_allowed_fallback(routes::other_method)
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(map_request(plain_encoding))
        .layer(
            ServiceBuilder::new()
                .layer(HandleErrorLayer::new(|_| async { Failure::too_slow() }))
                .layer(TimeoutLayer::new(receiver.settings.request_timeout)),
        )
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(cors())
        .with_state(Arc::clone(receiver));
    // Routes are found before layers see a request, so this has to be around the router.
    Router::new().fallback_service(NormalizePath::trim_trailing_slash(router))
}

/// Any site may send. Credentials are allowed, because `sendBeacon` sends cookies; the receiver reads none.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_credentials(true)
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods([Method::GET, Method::POST])
        .expose_headers([RETRY_AFTER, HeaderName::from_static("x-ratelimit-reset")])
        .max_age(PREFLIGHT_AGE)
}

/// The name of an encoding has no case, and gzip has an old name (RFC 9110, "Content Codings"). The layer that inflates
/// knows one spelling.
async fn plain_encoding(mut request: Request) -> Request {
    let is_gzip = |name: &HeaderValue| {
        name.as_bytes().eq_ignore_ascii_case(b"gzip") || name.as_bytes().eq_ignore_ascii_case(b"x-gzip")
    };
    if let Some(encoding) = request.headers_mut().get_mut(CONTENT_ENCODING).filter(|encoding| is_gzip(encoding)) {
        *encoding = HeaderValue::from_static("gzip");
    }
    request
}

/// The method and the route. A path may have a write key, and the query of a pixel has a call.
fn span<B>(request: &Request<B>) -> tracing::Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    tracing::debug_span!("request", method = %request.method(), route)
}
