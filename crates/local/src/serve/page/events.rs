//! Word of each change, as server-sent events.

use super::{Parameters, Shared};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream, StreamExt};
use std::convert::Infallible;
use tokio::sync::broadcast::error::RecvError;

/// The whole page is out of date.
const ALL: &str = "all";

/// The part that is out of date, and `all` if some changes were missed: between a page and its first connection, between
/// two connections, or because the page was too slow.
pub(super) async fn stream(
    State(system): Shared,
    parameters: Parameters,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (last, changes) = system.feed.changes();
    // A browser that connects again says what it heard last.
    let heard = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let seen = heard.or(parameters.get("seen").map(String::as_str)).and_then(|number| number.parse::<u64>().ok());
    let missed = (seen != Some(last)).then(|| Ok(event(last, ALL)));
    let later = stream::unfold((last, changes), |(last, mut changes)| async move {
        let (number, part) = match changes.recv().await {
            Ok((number, change)) => (number, change.as_str()),
            Err(RecvError::Lagged(_)) => (last, ALL),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event(number, part)), (number, changes)))
    });
    Sse::new(stream::iter(missed).chain(later)).keep_alive(KeepAlive::default())
}

fn event(number: u64, part: &str) -> Event {
    Event::default().id(number.to_string()).data(part)
}
