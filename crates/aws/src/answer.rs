//! Which answers are from S3. Proxies, gateways and captive portals answer in its place, often with status 200.
//!
//! An answer that is not from S3 is an outage. [`fault`](crate::fault) sorts refusals: S3 gives each an error code.

use crate::fault::{Fault, Kind, Operation};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use bytes::Bytes;

/// An object read whole.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub body: Bytes,
    /// Its ETag, as S3 words it.
    pub etag: String,
}

/// Identifies the bytes that a reader started with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pin {
    /// The version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The ETag.
    pub etag: String,
    /// When it was put, in ms since the epoch.
    pub modified_ms: i64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The ETag of an answer about an object. S3 sends an ETag with each read and write. An answer without one is not from
/// S3, but for example a gateway's page with status 200.
///
/// # Errors
/// A transient fault if the ETag is missing or empty.
pub fn etag_of(etag: Option<&str>, operation: Operation, target: &str) -> Result<String, Fault> {
    match etag.filter(|etag| !etag.trim_matches('"').is_empty()) {
        Some(etag) => Ok(etag.to_owned()),
        None => Err(Fault::foreign(operation, target, "the answer has no ETag, so it is not from S3")),
    }
}

/// Whether a listing has another page. S3 sends this with the bucket's name and the number of keys. An answer without
/// them is not a listing, and would look like an empty bucket.
pub(crate) fn is_truncated(answer: &ListObjectsV2Output, target: &str) -> Result<bool, Fault> {
    match (answer.name(), answer.key_count(), answer.is_truncated()) {
        (Some(_), Some(_), Some(is_truncated)) => Ok(is_truncated),
        _ => Err(Fault::foreign(Operation::List, target, "the answer is not a listing, so it is not from S3")),
    }
}

/// The size of the whole object, by an answer to a GET of the bytes from `from`.
///
/// # Errors
/// A transient fault if the answer does not promise these bytes.
pub(crate) fn size_of(answer: &GetObjectOutput, from: u64, target: &str) -> Result<u64, Fault> {
    let foreign = |detail| Fault::foreign(Operation::Get, target, format!("{detail}, so it is not from S3"));
    whole_bytes(answer.content_range(), answer.content_length(), from).map_err(foreign)
}

/// The size of the whole object: `bytes 0-9/1234` says it. An answer without a range is the whole object, which is right
/// only if the bytes from the first one are asked for. S3 sends a length with each answer.
fn whole_bytes(range: Option<&str>, length: Option<i64>, from: u64) -> Result<u64, &'static str> {
    let length = length.and_then(|length| u64::try_from(length).ok()).ok_or("the answer has no Content-Length")?;
    let Some(range) = range else {
        return if from == 0 { Ok(length) } else { Err("the answer to a range has no Content-Range") };
    };
    let parsed = || {
        let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, whole.parse::<u64>().ok()?))
    };
    match parsed() {
        Some((first, last, whole)) if first == from && last < whole && first + length == last + 1 => Ok(whole),
        _ => Err("the Content-Range of the answer does not have the bytes that were asked for"),
    }
}

/// Compares an object with the pinned one. `If-Match` refuses another ETag, so an answer with one is not from S3.
pub(crate) fn same_object(pin: &Pin, found: &Pin, target: &str) -> Result<(), Fault> {
    let has_etag = !pin.etag.is_empty();
    if has_etag && (pin.etag != found.etag || pin.bytes != found.bytes) {
        let detail = "the answer is about another object than the one that was asked for, so it is not from S3";
        return Err(Fault::foreign(Operation::Get, target, detail));
    }
    // The same bytes put again have the same ETag. Without versions only the date distinguishes the two.
    if pin.version_id.is_none() && pin.modified_ms != found.modified_ms {
        let detail = "the object was replaced since it was first read";
        return Err(Fault::new(Kind::Precondition, Operation::Get, target, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_size_is_read_from_either_header() {
        assert_eq!(whole_bytes(Some("bytes 0-9/1234"), Some(10), 0), Ok(1234));
        assert_eq!(whole_bytes(Some("bytes 1224-1233/1234"), Some(10), 1224), Ok(1234));
        assert_eq!(whole_bytes(None, Some(0), 0), Ok(0));
        assert_eq!(whole_bytes(None, Some(7), 0), Ok(7));
    }

    #[test]
    fn an_answer_without_the_promised_bytes_is_not_from_s3() {
        for (range, length, from) in [
            (None, None, 0),
            (None, Some(-1), 0),
            (None, Some(10), 1),
            (Some("bytes 0-9/1234"), None, 0),
            (Some("bytes 0-9/1234"), Some(9), 0),
            (Some("bytes 0-9/1234"), Some(10), 10),
            (Some("bytes 5-3/1234"), Some(0), 5),
            (Some("bytes 0-9/5"), Some(10), 0),
            (Some("bytes 0-9/*"), Some(10), 0),
            (Some("bytes */1234"), Some(10), 0),
            (Some("html"), Some(10), 0),
        ] {
            assert!(whole_bytes(range, length, from).is_err(), "{range:?} {length:?} {from}");
        }
    }

    #[test]
    fn another_object_than_the_pinned_one_is_foreign_and_another_date_is_a_replacement() {
        let pin = Pin { version_id: None, etag: "\"a\"".to_owned(), modified_ms: 7, bytes: 9 };
        let kind = |found: Pin| same_object(&pin, &found, "s3://b/k").map_err(|fault| fault.kind);
        assert_eq!(kind(pin.clone()), Ok(()));
        assert_eq!(kind(Pin { etag: "\"page\"".to_owned(), ..pin.clone() }), Err(Kind::Transient));
        assert_eq!(kind(Pin { bytes: 8, ..pin.clone() }), Err(Kind::Transient));
        assert_eq!(kind(Pin { modified_ms: 8, ..pin.clone() }), Err(Kind::Precondition));
        let hint = Pin { version_id: Some("v".to_owned()), ..Pin::default() };
        assert!(same_object(&hint, &pin, "s3://b/k").is_ok());
    }
}
