//! A file goes to S3 part by part, so that memory does not grow with it.

use super::bar::Bar;
use anyhow::Context;
use aws::Bucket;
use aws::bucket::{Pin, Stored};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a part at least. S3 takes no smaller ones (S3 user guide, "Multipart upload limits": 5 MiB, except the last).
const PART_BYTES_MIN: u64 = 8 << 20;
/// The same guide: parts of one object.
const PARTS_MAX: u64 = 10_000;

/// Uploads a file, and returns what identifies the version that was put.
pub(super) async fn upload(path: &Path, bucket: &Bucket, key: &str) -> anyhow::Result<Pin> {
    let mut file = File::open(path).context("failed to open it")?;
    let size = file.metadata().context("failed to read its size")?.len();
    let part_bytes = PART_BYTES_MIN.max(size.div_ceil(PARTS_MAX));
    let bar = Bar::of_bytes(key.rsplit('/').next().unwrap_or(key), size);
    let mut upload = bucket.upload(key, "text/csv").await?;
    let mut sent = 0;
    loop {
        let mut part = Vec::with_capacity(usize::try_from(part_bytes.min(size - sent.min(size))).unwrap_or(0));
        let bytes = (&mut file).take(part_bytes).read_to_end(&mut part).context("failed to read it")? as u64;
        // An object has one part at least, which may be empty.
        if bytes == 0 && sent > 0 {
            break;
        }
        upload.part(part.into()).await?;
        sent += bytes;
        bar.at(sent);
        if bytes < part_bytes {
            break;
        }
    }
    let stored = upload.complete().await?;
    bar.clear();
    pin(bucket, key, stored, sent).await
}

/// A version id identifies a version alone. Without versions, ETag and date do.
async fn pin(bucket: &Bucket, key: &str, stored: Stored, bytes: u64) -> anyhow::Result<Pin> {
    let Stored { version_id, etag } = stored;
    if version_id.as_deref().is_some_and(|version| version != "null") {
        return Ok(Pin { version_id, etag, modified_ms: 0, bytes });
    }
    let pin = bucket.head(key, None).await?.filter(|pin| pin.etag == etag);
    pin.context("another object has taken its place since: upload it again, if it is wanted")
}
