//! The object's bytes, in ranges pinned to what the first GET found.
//!
//! A range is read whole before any of it is used, so that slow deliveries never hold a GET that stalls, and a broken
//! connection costs one range.

use aws::bucket::{Bucket, Pin, Reading};
use aws::fault::{Fault, Kind};
use bytes::Bytes;

/// How much of the object one GET reads: requests cost, memory too.
pub(crate) const RANGE_BYTES: u64 = 8 << 20;
/// The largest compressed object, as stored. Each invocation inflates it from its beginning up to where it goes on; what
/// that takes is to leave it most of its time. At the smallest memory that we recommend (512 MB, 0.29 of a CPU) some
/// 85 MB of CSV are inflated a second: of a tenfold compression, four minutes of fifteen at worst.
pub(crate) const COMPRESSED_BYTES_MAX: u64 = 2 << 30;
/// As far as a compressed file is inflated again to be taken up: some four minutes, at the same 85 MB a second. Whatever
/// it is compressed to, an invocation that has more to pass over would get nowhere.
pub(crate) const INFLATED_AGAIN_BYTES_MAX: u64 = 20 << 30;
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

    /// Whether there is anything at `offset`.
    pub(crate) fn has(&self, offset: u64) -> bool {
        offset < self.pin.bytes
    }

    /// The next range from `offset`; fewer bytes when the connection broke: the caller goes on from there.
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

/// Why an object of so many bytes is refused before anything of it is sent, if it is: its first bytes are those of gzip
/// or zstd, and it is too large to be taken up again in the middle.
pub(crate) fn refused_at_the_start(bytes: u64, chunks: &[Bytes]) -> Option<String> {
    const MAGIC: [&[u8]; 2] = [b"\x1F\x8B", b"\x28\xB5\x2F\xFD"];
    let start: Vec<u8> = chunks.iter().flatten().take(4).copied().collect();
    let compressed = MAGIC.iter().any(|magic| start.starts_with(magic));
    (compressed && bytes > COMPRESSED_BYTES_MAX).then(|| {
        format!(
            "it is compressed and has {bytes} bytes: above {COMPRESSED_BYTES_MAX} it could not be taken up again after \
             an invocation; cut it into several files, or upload it uncompressed"
        )
    })
}

/// Why a compressed file is not taken up again at `from`, inflated, if it is not.
pub(crate) fn refused_to_go_on(from: u64) -> Option<String> {
    (from > INFLATED_AGAIN_BYTES_MAX).then(|| {
        format!(
            "it is compressed and has more than {INFLATED_AGAIN_BYTES_MAX} bytes: too many to be inflated again by each \
             invocation; cut the rest into several files, or upload it uncompressed"
        )
    })
}

/// What arrives of an answer's body.
pub(crate) async fn collect(reading: Reading, bucket: &Bucket, key: &str) -> (Vec<Bytes>, Option<Fault>) {
    let mut body = reading.body;
    let mut chunks = Vec::new();
    loop {
        match body.next().await {
            None => return (chunks, None),
            Some(Ok(chunk)) => chunks.push(chunk),
            Some(Err(error)) => {
                let target = format!("s3://{}/{key}", bucket.name());
                return (chunks, Some(Fault::broken("read", target, &error)));
            }
        }
    }
}

/// A refusal to read, in the words that help: what S3 says is the same whether a key or a permission is missing.
pub(crate) fn explain(fault: &Fault) -> String {
    match fault.kind {
        Kind::Denied => format!(
            "{fault}: the function's role needs s3:GetObject (and s3:GetObjectVersion where the bucket keeps versions) \
             on the object, and s3:ListBucket on the bucket so that a missing key can be told from a forbidden one"
        ),
        Kind::NoBucket => format!("{fault}: no such bucket"),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_file_too_large_to_be_resumed_is_refused_at_the_start() {
        let chunks = |bytes: &'static [u8]| vec![Bytes::from_static(&bytes[..1]), Bytes::from_static(&bytes[1..])];
        for compressed in [&b"\x1F\x8B\x08\x00"[..], b"\x28\xB5\x2F\xFD"] {
            assert_eq!(refused_at_the_start(COMPRESSED_BYTES_MAX, &chunks(compressed)), None);
            let reason = refused_at_the_start(COMPRESSED_BYTES_MAX + 1, &chunks(compressed)).unwrap();
            assert!(reason.contains("upload it uncompressed"), "{reason}");
        }
        assert_eq!(refused_at_the_start(u64::MAX, &chunks(b"userId,event")), None);
    }

    #[test]
    fn a_compressed_file_is_stopped_where_inflating_it_again_would_take_an_invocation() {
        assert_eq!(refused_to_go_on(INFLATED_AGAIN_BYTES_MAX), None);
        assert!(refused_to_go_on(INFLATED_AGAIN_BYTES_MAX + 1).unwrap().contains("upload it uncompressed"));
    }
}
