//! Word of each change, as server-sent events.

use super::Shared;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use tokio::sync::broadcast::error::RecvError;

/// The part that is out of date; `all` after a page was too slow to hear of each.
pub(super) async fn stream(State(system): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = stream::unfold(system.feed.changes(), |mut changes| async move {
        let part = match changes.recv().await {
            Ok(change) => change.as_str(),
            Err(RecvError::Lagged(_)) => "all",
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(part)), changes))
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}
