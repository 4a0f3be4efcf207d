//! The object's bytes, in ranges pinned to the object of the first GET.
//!
//! A range is read whole before it is used. So a slow delivery does not hold a GET open, and a broken connection costs
//! one range.

use aws::bucket::{Bucket, OpenObject, Pin};
use aws::fault::Fault;
use bytes::Bytes;
use ingestion::run::RANGE_BYTES;

/// How often in a row a range may break off without a byte.
const BREAKS_MAX: u32 = 6;

/// Reads an object from an offset to its end.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    bucket: Bucket,
    key: String,
    pin: Pin,
}

impl Source {
    pub(crate) fn new(bucket: Bucket, key: &str, pin: Pin) -> Self {
        Self { bucket, key: key.to_owned(), pin }
    }

    /// The next range from `offset`. If the connection broke, it is shorter, and the caller continues at its end.
    pub(crate) async fn range(&self, offset: u64) -> Result<Vec<Bytes>, Fault> {
        let mut breaks = 0;
        loop {
            let reading = self.bucket.read(&self.key, &self.pin, offset, RANGE_BYTES).await?;
            match collect(reading, &self.bucket, &self.key).await {
                (chunks, _) if !chunks.is_empty() => return Ok(chunks),
                (_, Some(fault)) if breaks < BREAKS_MAX => {
                    tracing::debug!(%fault, "a range broke off before its first byte");
                    breaks += 1;
                }
                (_, Some(fault)) => return Err(fault),
                (_, None) => return Ok(Vec::new()),
            }
        }
    }
}

/// The bytes of an answer's body.
pub(crate) async fn collect(reading: OpenObject, bucket: &Bucket, key: &str) -> (Vec<Bytes>, Option<Fault>) {
    let mut body = reading.body;
    let mut chunks = Vec::new();
    loop {
        match body.next().await {
            None => return (chunks, None),
            Some(Ok(chunk)) => chunks.push(chunk),
            Some(Err(error)) => {
                let target = format!("s3://{}/{key}", bucket.name());
                return (chunks, Some(Fault::broken(target, &error)));
            }
        }
    }
}
