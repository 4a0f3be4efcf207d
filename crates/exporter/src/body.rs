//! A request body of known length that is made while it is sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pieces that wait to be sent at most; the fetching ahead of them has its own bound.
const PIECES_MAX: usize = 4;

/// The making end.
pub(crate) struct Maker(mpsc::Sender<io::Result<Bytes>>);

/// The body was not wanted to its end: the request has failed, which says more than this.
#[derive(Debug)]
pub(crate) struct CutOff;

impl Maker {
    pub(crate) async fn send(&self, piece: Bytes) -> Result<(), CutOff> {
        self.0.send(Ok(piece)).await.map_err(|_| CutOff)
    }

    /// Breaks the request off, so that S3 keeps nothing of it.
    pub(crate) async fn break_off(self) {
        let _ = self.0.send(Err(io::Error::other("the object cannot be completed"))).await;
    }
}

/// The progress of a body: waiting for data, or waiting for the network.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    last: Instant,
    is_waited_for: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress(Arc::new(Mutex::new(Taken { last: Instant::now(), is_waited_for: false })))
    }

    fn note(&self, is_waited_for: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Taken { last: Instant::now(), is_waited_for };
    }

    /// Returns if the client takes no piece of the body for this time although one is ready. Also returns if the whole
    /// body was taken and no answer came for this time.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let until = {
                let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let since = if taken.is_waited_for { Instant::now() } else { taken.last };
                since + limit
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

struct Made {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    progress: Progress,
}

/// A body of exactly `bytes`, the end that makes it, and how it is getting on.
pub(crate) fn body(bytes: u64) -> (Maker, ByteStream, Progress) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let progress = Progress::new();
    let made = Made { pieces, left: bytes, progress: progress.clone() };
    (Maker(sender), ByteStream::new(SdkBody::from_body_1_x(made)), progress)
}

impl Body for Made {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.pieces.poll_recv(cx);
        self.progress.note(polled.is_pending());
        let Poll::Ready(received) = polled else { return Poll::Pending };
        let piece = match received {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            // A body that is too short is an error, because a client might otherwise send it and wait.
            None if self.left > 0 => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            None => return Poll::Ready(None),
        };
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => Poll::Ready(Some(Err(io::Error::other("longer than promised")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn polled(body: &mut Made) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx).is_ready())).await
    }

    fn made(bytes: u64) -> (Maker, Made) {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        (Maker(sender), Made { pieces, left: bytes, progress: Progress::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_stalls_only_if_its_pieces_are_not_taken() {
        let (maker, mut body) = made(4);
        for piece in [&b"ab"[..], b"cd"] {
            maker.send(Bytes::from_static(piece)).await.unwrap();
            tokio::time::advance(LIMIT - Duration::from_secs(1)).await;
            assert!(body.progress.stalled(LIMIT).now_or_never().is_none());
            assert!(polled(&mut body).await);
        }
        // All is taken, and no answer comes.
        tokio::time::advance(LIMIT).await;
        assert!(body.progress.stalled(LIMIT).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_our_own_data_is_not_blamed_on_the_network() {
        let (maker, mut body) = made(2);
        assert!(!polled(&mut body).await);
        tokio::time::advance(LIMIT * 5).await;
        assert!(body.progress.stalled(LIMIT).now_or_never().is_none());
        maker.send(Bytes::from_static(b"ab")).await.unwrap();
        assert!(polled(&mut body).await);
        tokio::time::advance(LIMIT).await;
        assert!(body.progress.stalled(LIMIT).now_or_never().is_some());
    }
}
