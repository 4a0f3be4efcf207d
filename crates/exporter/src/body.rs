//! A request body of known length that is made while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

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

struct Made {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

/// A body of exactly `bytes`, and the end that makes it.
pub(crate) fn body(bytes: u64) -> (Maker, ByteStream) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    (Maker(sender), ByteStream::new(SdkBody::from_body_1_x(Made { pieces, left: bytes })))
}

impl Body for Made {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            // Too short is an error of its own, or a client might send what there is and wait.
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
