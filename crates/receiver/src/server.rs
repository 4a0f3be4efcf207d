//! The receiver as a server of its own, for containers and machines.

use crate::receive::Receiver;
use crate::router::router;
use crate::routes::Peer;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tower::ServiceExt;

/// Time for the head of a request, and for an idle connection. Longer than the idle time of a load balancer, which
/// otherwise meets closed connections (Application Load Balancer user guide: 60 seconds).
const HEAD_TIMEOUT: Duration = Duration::from_secs(65);
/// Time for requests in flight after the signal to stop. Containers are killed 30 seconds after it (Amazon ECS,
/// `stopTimeout`).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);
/// After the signal, connections that come within so long of each other are still accepted: they may be on their way.
const LAST_WAIT: Duration = Duration::from_millis(200);
/// At the latest, no connection is accepted so long after the signal.
const LAST_ACCEPT: Duration = Duration::from_secs(3);
/// Between two lines with counts.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// After a connection that could not be accepted, for example for want of files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves connections until `stop`. Then no request in flight is lost: each is answered, and each connection is closed
/// after its answer.
pub async fn serve(listener: TcpListener, receiver: Arc<Receiver>, stop: impl Future<Output = ()>) {
    let app = router(&receiver);
    let connections_max = receiver.settings.connections_max;
    let connections = Arc::new(Semaphore::new(connections_max));
    let (stopping, stopped) = watch::channel(false);
    let accepting = async {
        loop {
            // Others wait in the queue of the kernel.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    drop(tokio::spawn(connection(app.clone(), stream, peer, stopped.clone(), permit)))
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = report(&receiver) => {}
        () = stop => {}
    }
    let last = Instant::now() + LAST_ACCEPT;
    while Instant::now() < last
        && let Ok(Ok((stream, peer))) = timeout(LAST_WAIT, listener.accept()).await
        && let Ok(permit) = Arc::clone(&connections).acquire_owned().await
    {
        tokio::spawn(connection(app.clone(), stream, peer, stopped.clone(), permit));
    }
    drop(listener);
    // From now on a connection is closed after the answer that it waits for. By now, requests that were on their way have
    // come: a connection without one is closed at once.
    let _ = stopping.send(true);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if timeout(DRAIN_TIMEOUT, connections.acquire_many(all)).await.is_err() {
        tracing::warn!(seconds = DRAIN_TIMEOUT.as_secs(), "connections were still open at the end");
    }
    receiver.report();
}

async fn report(receiver: &Receiver) {
    let mut every = interval(REPORT_EVERY);
    loop {
        every.tick().await;
        receiver.report();
    }
}

/// One connection, to its end.
async fn connection(
    app: Router,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopped: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(Some(peer.ip())));
        app.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
