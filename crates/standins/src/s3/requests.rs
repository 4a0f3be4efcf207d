//! The log of requests to a server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// `PutObject`, `AssumeRole`, …; `Unknown` if it was refused before that was clear.
    pub operation: String,
    /// Bucket, if there is one.
    pub bucket: String,
    /// Object key, or role ARN.
    pub key: String,
    /// Who asked, once the signature was verified.
    pub caller: Option<String>,
    /// HTTP status; `None` if the connection was dropped.
    pub status: Option<u16>,
    /// Bytes of the request's body, as it says itself.
    pub body_bytes: u64,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `If-Match` header.
    pub if_match: Option<String>,
    /// The `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// Names of the faults that struck.
    pub faults: Vec<&'static str>,
    /// When it was answered, by the server's clock.
    pub at_ms: i64,
}

/// A server's requests in the order of their answers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Vec<Request>>>);

impl Requests {
    /// All of them.
    pub fn all(&self) -> Vec<Request> {
        self.log().clone()
    }

    /// The requests of one operation.
    pub fn of(&self, operation: &str) -> Vec<Request> {
        let log = self.log();
        let those = log.iter().filter(|request| request.operation == operation);
        those.cloned().collect()
    }

    /// How many there were of one operation.
    pub fn count(&self, operation: &str) -> usize {
        let log = self.log();
        log.iter().filter(|request| request.operation == operation).count()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.log().clear();
    }

    pub(crate) fn add(&self, request: Request) {
        self.log().push(request);
    }

    fn log(&self) -> MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
