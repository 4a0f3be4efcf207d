//! A file goes to S3 part by part, so that memory does not grow with it.

use super::bar::Bar;
use anyhow::Context;
use aws::Bucket;
use aws::bucket::{Pin as Version, Stored, Upload};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::pin::Pin;

/// Bytes of a part at least. S3 takes no smaller ones (S3 user guide, "Multipart upload limits": 5 MiB, except the last).
const PART_BYTES_MIN: u64 = 8 << 20;
/// The same guide: parts of one object.
const PARTS_MAX: u64 = 10_000;

/// Why a file is not uploaded after Ctrl-C.
pub(super) const INTERRUPTED_IN_WORDS: &str = "Ctrl-C: it is not uploaded";

/// Uploads a file, and returns what identifies the version that was put. The parts of an upload that fails, or that
/// `interrupt` ends, are deleted.
pub(super) async fn upload(
    path: &Path,
    bucket: &Bucket,
    key: &str,
    interrupt: Pin<&mut impl Future<Output = ()>>,
) -> anyhow::Result<Version> {
    let mut file = File::open(path).context("failed to open it")?;
    let size = file.metadata().context("failed to read its size")?.len();
    let part_bytes = PART_BYTES_MIN.max(size.div_ceil(PARTS_MAX));
    let bar = Bar::of_bytes(key.rsplit('/').next().unwrap_or(key), size);
    let mut upload = bucket.upload(key, "text/csv").await?;
    let sent = tokio::select! {
        sent = parts(&mut file, &mut upload, (size, part_bytes), &bar) => sent,
        () = interrupt => Err(anyhow::anyhow!("{INTERRUPTED_IN_WORDS}")),
    };
    bar.clear();
    match sent {
        Ok(sent) => {
            let stored = upload.complete().await?;
            version(bucket, key, stored, sent).await
        }
        Err(error) => Err(match upload.abort().await {
            Ok(()) => error,
            Err(fault) => error.context(format!("the parts that were uploaded stay ({fault})")),
        }),
    }
}

/// Sends all parts, and returns their bytes.
async fn parts(
    file: &mut File,
    upload: &mut Upload<'_>,
    (size, part_bytes): (u64, u64),
    bar: &Bar,
) -> anyhow::Result<u64> {
    let mut sent = 0;
    loop {
        let mut part = Vec::with_capacity(usize::try_from(part_bytes.min(size - sent.min(size))).unwrap_or(0));
        let bytes = file.take(part_bytes).read_to_end(&mut part).context("failed to read it")? as u64;
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
    Ok(sent)
}

/// A version id identifies a version alone. Without versions, ETag and date do.
async fn version(bucket: &Bucket, key: &str, stored: Stored, bytes: u64) -> anyhow::Result<Version> {
    let Stored { version_id, etag } = stored;
    if version_id.as_deref().is_some_and(|version| version != "null") {
        return Ok(Version { version_id, etag, modified_ms: 0, bytes });
    }
    let pin = bucket.head(key, None).await?.filter(|pin| pin.etag == etag);
    pin.context("another object has taken its place since: upload it again, if it is wanted")
}
