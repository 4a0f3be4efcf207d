//! A request's body that has two readers: `s3s`, and the wire once `s3s` has answered.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, SizeHint};

use crate::serve::{Body, BoxError};

/// A request's body that `s3s` reads, and that the wire can still read when `s3s` did not.
#[derive(Clone, Debug)]
pub(crate) struct SharedBody(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    /// Read ahead.
    buffered: VecDeque<Result<Bytes, BoxError>>,
    incoming: Body,
}

impl SharedBody {
    pub(crate) fn new(incoming: Body) -> SharedBody {
        SharedBody(Arc::new(Mutex::new(Shared { buffered: VecDeque::new(), incoming })))
    }

    /// Reads to the end for a later reader, because a request that is held back has been received.
    pub(crate) async fn receive(&self) {
        while let Some(chunk) = self.next().await {
            let failed = chunk.is_err();
            self.lock().buffered.push_back(chunk);
            if failed {
                return;
            }
        }
    }

    /// The bytes that were read ahead.
    pub(crate) fn received(&self) -> Bytes {
        let shared = self.lock();
        let chunks = shared.buffered.iter().flatten();
        chunks
            .fold(BytesMut::new(), |mut all, chunk| {
                all.extend_from_slice(chunk);
                all
            })
            .freeze()
    }

    /// Reads and drops up to about this many bytes.
    pub(crate) async fn read(&self, bytes: u64) {
        self.lock().buffered.clear();
        let mut read = 0;
        while read < bytes {
            match self.next().await {
                Some(Ok(chunk)) => read += chunk.len() as u64,
                _ => return,
            }
        }
    }

    async fn next(&self) -> Option<Result<Bytes, BoxError>> {
        std::future::poll_fn(|cx| self.lock().poll_incoming(cx)).await
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_trailers) => continue,
                },
            });
        }
    }
}

impl hyper::body::Body for SharedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.lock();
        let chunk = match shared.buffered.pop_front() {
            Some(chunk) => Some(chunk),
            None => ready!(shared.poll_incoming(cx)),
        };
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        shared.buffered.is_empty() && shared.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let ahead = shared.buffered.iter().flatten().map(|chunk| chunk.len() as u64);
        let ahead: u64 = ahead.sum();
        let rest = shared.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(ahead + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(ahead + upper);
        }
        hint
    }
}
