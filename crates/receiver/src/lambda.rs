//! A request to a function URL or an HTTP API, as the router sees it.

use crate::receive::Receiver;
use crate::routes::Peer;
use axum::Router;
use axum::response::Response;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use std::convert::Infallible;
use tower::ServiceExt;

/// Answers one request, and reports its counts before the process is frozen.
///
/// # Errors
/// None: each request has an answer.
pub async fn handle(receiver: &Receiver, router: &Router, mut request: Request) -> Result<Response, Infallible> {
    if let Some(context) = request.lambda_context_ref() {
        aws::telemetry::invoked(&context.request_id, context.xray_trace_id.as_deref());
    }
    let peer = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_ref().and_then(|ip| ip.parse().ok()),
        _ => None,
    };
    request.extensions_mut().insert(Peer(peer));
    let answer = router.clone().oneshot(request).await;
    receiver.report_trouble();
    answer
}
