//! A document that changes by compare-and-swap only.
//!
//! The swap finds out whose write is there, through lost answers and conflicts. Three rules decide:
//! - A refusal (412) of the first try means that the swap is lost: nothing of ours was under way that could have landed.
//! - Without an answer, or after a conflict, the document is read back. If our write is stored, the swap is done. If
//!   the old document is stored, the swap is tried again. Otherwise the swap is lost.
//! - If S3 refuses a later try, an earlier try may have landed late. So the document is read back, too.
//!
//! If another writer has followed on ours, the swap counts as lost. The caller then starts again from the stored
//! document, which is right in either case.

use crate::backoff::REQUESTS;
use crate::bucket::{Bucket, Object, Swapped};
use crate::fault::Fault;
use bytes::Bytes;
use std::error::Error;

const JSON: &str = "application/json";

/// Why bytes are not a document.
pub type NotADocument = Box<dyn Error + Send + Sync>;

/// How a document of type `T` is read, written and compared.
#[derive(Debug, Clone, Copy)]
pub struct Format<T> {
    /// Reads its bytes.
    pub read: fn(&[u8]) -> Result<T, NotADocument>,
    /// Writes its bytes.
    pub write: fn(&T) -> Vec<u8>,
    /// Whether both come from one write: each write has a nonce of its own.
    pub is_same_write: fn(&T, &T) -> bool,
}

/// A place in a bucket that holds a document.
#[derive(Debug, Clone)]
pub struct Document<T> {
    bucket: Bucket,
    key: String,
    format: Format<T>,
}

/// A document as it was last read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The document.
    pub value: T,
    /// Its ETag, which the next swap must find.
    pub etag: String,
}

impl<T> Document<T> {
    /// The document at `key`.
    #[must_use]
    pub fn new(bucket: Bucket, key: impl Into<String>, format: Format<T>) -> Self {
        Self { bucket, key: key.into(), format }
    }

    /// The document; `None` before the first write.
    ///
    /// # Errors
    /// When S3 does not give it, or it is not such a document (`Unreadable`).
    pub async fn read(&self) -> Result<Option<Found<T>>, Fault> {
        let Some(Object { body, etag }) = self.bucket.get(&self.key).await? else { return Ok(None) };
        match (self.format.read)(&body) {
            Ok(value) => Ok(Some(Found { value, etag })),
            Err(error) => Err(Fault::unreadable(self.bucket.target(&self.key), error)),
        }
    }

    /// Replaces the document whose ETag is `before` by `next`, or writes the first one if `before` is `None`. `None` if
    /// another writer was first.
    ///
    /// # Errors
    /// If S3 refuses, or gives no clear answer.
    pub async fn swap(&self, before: Option<&str>, next: T) -> Result<Option<Found<T>>, Fault> {
        let body = Bytes::from((self.format.write)(&next));
        let mut attempts = 1;
        loop {
            let unsure = match self.bucket.swap(&self.key, before, body.clone(), JSON).await? {
                Swapped::Done(etag) => return Ok(Some(Found { value: next, etag })),
                Swapped::Lost if attempts == 1 => return Ok(None),
                Swapped::Lost => None,
                Swapped::Unsure(fault) => Some(fault),
            };
            let found = self.read().await?;
            if let Some(found) = &found
                && (self.format.is_same_write)(&found.value, &next)
            {
                return Ok(Some(Found { value: next, etag: found.etag.clone() }));
            }
            let is_as_before = found.as_ref().map(|found| found.etag.as_str()) == before;
            let Some(fault) = unsure.filter(|_| is_as_before) else { return Ok(None) };
            let Some(wait) = REQUESTS.wait(attempts, self.bucket.dice()) else {
                return Err(fault.after(attempts));
            };
            tracing::debug!(%fault, attempts, "a swap without an answer has not landed; will try again");
            tokio::time::sleep(wait).await;
            attempts += 1;
        }
    }
}
