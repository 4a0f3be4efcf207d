//! One HTTP/1 server on loopback, as every stand-in needs it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A handler's decision about the connection.
pub(crate) enum Reply {
    Answer(Response<Body>),
    /// Close the connection without a word more.
    Drop,
}

/// A listening socket whose accept loop and connections end when this is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    accept: JoinHandle<()>,
}

impl Listening {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Port 0 of 127.0.0.1: any free port.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

pub(crate) async fn listen<H, F>(address: SocketAddr, handler: H) -> io::Result<Listening>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let connections = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&connections);
    let accept = tokio::spawn(async move {
        // It is dropped with this task, which disconnects all clients.
        let mut open = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely; others may close theirs.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            counter.fetch_add(1, Ordering::SeqCst);
            // Without it, small answers wait for delayed acknowledgements (40 ms each).
            let _ = stream.set_nodelay(true);
            while open.try_join_next().is_some() {}
            let handler = handler.clone();
            open.spawn(async move {
                let service = service_fn(move |request| {
                    let handled = handler(request);
                    async move {
                        match handled.await {
                            Reply::Answer(response) => Ok(response),
                            Reply::Drop => Err(io::Error::other("told to drop the connection")),
                        }
                    }
                });
                // An error means that the client disconnected or was dropped.
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(Listening { address, connections, accept })
}

/// A body as it comes from the socket.
pub(crate) fn incoming(body: Incoming) -> Body {
    body.map_err(BoxError::from).boxed_unsync()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(crate) fn answer(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response
}

/// An answer that a story made up.
pub(crate) fn made_up(answer: &crate::faults::Answer) -> Response<Body> {
    let content_type = match answer.body.starts_with('{') {
        true => "application/json",
        false => "application/xml",
    };
    let mut response = self::answer(answer.status, content_type, answer.body.clone());
    for (name, value) in &answer.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The first `bytes` of a body, then a broken connection.
pub(crate) fn cut_short(body: Body, bytes: u64) -> Body {
    let frames = futures_util::stream::unfold(Some((body, bytes)), |state| async move {
        let (mut body, left) = state?;
        let broken = || Err::<Frame<Bytes>, BoxError>("told to cut the answer".into());
        if left == 0 {
            // Lets sent bytes leave first.
            tokio::task::yield_now().await;
            return Some((broken(), None));
        }
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                    let piece = data.split_to(take);
                    let left = left - piece.len() as u64;
                    Some((Ok(Frame::data(piece)), Some((body, left))))
                }
                Err(_trailers) => Some((broken(), None)),
            },
            _ => Some((broken(), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A body in which the first byte of each piece is another one.
pub(crate) fn damaged(body: Body) -> Body {
    body.map_frame(|frame| {
        frame.map_data(|data| {
            let mut data = data.to_vec();
            data.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            data.into()
        })
    })
    .boxed_unsync()
}

/// The fields of a request of the query protocol.
pub(crate) fn parse_form(body: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded() {
        let form = parse_form("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam&ExternalId=a+b%2B");
        assert_eq!(form["RoleArn"], "arn:aws:iam");
        assert_eq!(form["ExternalId"], "a b+");
    }
}
