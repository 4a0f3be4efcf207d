//! The page. Each view is whole in its first answer, so it can be read without JavaScript. The script only fetches a view
//! again when something has changed, and drops files.

mod drop;
mod events;
mod exports;
mod files;
mod guard;
mod html;
mod live;
mod objects;
mod preview;

use super::system::System;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use std::collections::HashMap;
use std::sync::Arc;

const STYLE: &str = include_str!("../../page/style.css");
const SCRIPT: &str = include_str!("../../page/page.js");

/// The parameters of a request.
type Parameters = Query<HashMap<String, String>>;

/// The page as a router.
pub(super) fn router(system: Arc<System>) -> Router {
    Router::new()
        .route("/", get(drop::view))
        .route("/drop/preview", post(preview::preview))
        .route("/drop/suggest", post(preview::suggest))
        .route("/drop/mapping", get(drop::mapping).post(drop::map))
        .route("/drop/file", put(drop::file))
        .route("/drop/progress", get(drop::progress))
        .route("/files", get(files::view))
        .route("/files/ledger/{stream}", get(files::ledger))
        .route("/files/replay", post(files::replay))
        .route("/files/again", post(files::again))
        .route("/files/redrive", post(files::redrive))
        .route("/live", get(live::view))
        .route("/exports", get(exports::view))
        .route("/exports/now", post(exports::now))
        .route("/exports/lines", get(objects::lines))
        .route("/download", get(objects::download))
        .route("/events", get(events::stream))
        .route("/style.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/page.js", get(|| async { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT) }))
        .layer(middleware::from_fn(guard::guard))
        .with_state(system)
}

/// A view: whole, or only its content if the script asks for it. A change while the content is made counts as not seen.
fn view(headers: &HeaderMap, system: &System, name: &str, content: impl FnOnce() -> String) -> Response {
    let seen = system.feed.changed_last();
    let content = content();
    if headers.contains_key("x-fragment") {
        return Html(content).into_response();
    }
    Html(html::whole(system, name, &content, seen)).into_response()
}

/// A parameter that a request must have.
fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    let value = parameters.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, format!("`{name}` is missing")))
}

/// A refusal in plain words.
struct Refusal(StatusCode, String);

impl Refusal {
    fn new(status: StatusCode, words: impl Into<String>) -> Refusal {
        Refusal(status, words.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(CONTENT_TYPE, "text/plain; charset=utf-8")], self.1).into_response()
    }
}

/// The answer of a handler.
type Answer = Result<Response, Refusal>;

/// The state that handlers share.
type Shared = State<Arc<System>>;
