//! Listings in the words of the protocol.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::listing::{self, Line, Marker, Page, Query};
use super::version::{Bucket, Meta, timestamp};

/// What `encoding-type=url` leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Keys may hold characters that XML cannot; clients who know ask for them encoded.
struct Encoder(bool);

impl Encoder {
    fn new(asked: Option<&EncodingType>) -> Encoder {
        Encoder(asked.is_some())
    }

    fn encode(&self, text: String) -> String {
        match self.0 {
            true => utf8_percent_encode(&text, URL).to_string(),
            false => text,
        }
    }
}

fn check_keys_max(keys_max: Option<i32>) -> S3Result<()> {
    if keys_max.is_some_and(i32::is_negative) {
        return Err(s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647"));
    }
    Ok(())
}

pub(crate) fn objects_v2(bucket: &Bucket, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    check_keys_max(input.max_keys)?;
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let token = input.continuation_token.as_deref();
    let after = match (token, &input.start_after) {
        (Some(token), _) => Some(
            Marker::from_token(token)
                .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?,
        ),
        (None, Some(key)) => Some(Marker::Key(key.clone())),
        (None, None) => None,
    };
    let page = listing::objects(
        bucket,
        &Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref(),
            after,
            keys_max: input.max_keys,
        },
    );
    let (contents, common_prefixes) = contents(&page, &encoder);
    Ok(ListObjectsV2Output {
        key_count: i32::try_from(page.lines.len()).ok(),
        max_keys: i32::try_from(page.keys_max).ok(),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(Marker::token),
        continuation_token: input.continuation_token,
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        name: Some(input.bucket),
        prefix: Some(encoder.encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoder.encode(text)),
        start_after: input.start_after.map(|text| encoder.encode(text)),
        encoding_type: input.encoding_type,
        ..ListObjectsV2Output::default()
    })
}

pub(crate) fn objects_v1(bucket: &Bucket, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    check_keys_max(input.max_keys)?;
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let delimiter = input.delimiter.as_deref();
    let page = listing::objects(
        bucket,
        &Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter,
            after: input.marker.clone().map(|text| key_or_prefix(text, delimiter)),
            keys_max: input.max_keys,
        },
    );
    let (contents, common_prefixes) = contents(&page, &encoder);
    let next = page.next.map(|marker| match marker {
        Marker::Key(text) | Marker::Version(text, _) | Marker::Prefix(text) => encoder.encode(text),
    });
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        max_keys: i32::try_from(page.keys_max).ok(),
        is_truncated: Some(next.is_some()),
        // "This element is returned only if you have the delimiter request parameter specified."
        next_marker: next.filter(|_| delimiter.is_some()),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        marker: Some(encoder.encode(input.marker.unwrap_or_default())),
        prefix: Some(encoder.encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoder.encode(text)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    })
}

pub(crate) fn versions(bucket: &Bucket, input: ListObjectVersionsInput) -> S3Result<ListObjectVersionsOutput> {
    check_keys_max(input.max_keys)?;
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let delimiter = input.delimiter.as_deref();
    let after = input.key_marker.clone().map(|key| match input.version_id_marker.clone() {
        Some(id) => Marker::Version(key, id),
        None => key_or_prefix(key, delimiter),
    });
    let page = listing::versions(
        bucket,
        &Query { prefix: input.prefix.as_deref().unwrap_or_default(), delimiter, after, keys_max: input.max_keys },
    );
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for line in &page.lines {
        let Line::Version { key, meta, latest } = line else { continue };
        let key = Some(encoder.encode(key.clone()));
        let last_modified = Some(meta.modified());
        let (is_latest, version_id) = (Some(*latest), Some(meta.id.clone()));
        if meta.delete_marker {
            delete_markers.push(DeleteMarkerEntry { key, last_modified, is_latest, version_id, owner: None });
        } else {
            versions.push(ObjectVersion {
                key,
                last_modified,
                is_latest,
                version_id,
                e_tag: Some(meta.etag()),
                size: i64::try_from(meta.size).ok(),
                storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
                ..ObjectVersion::default()
            });
        }
    }
    let (next_key_marker, next_version_id_marker) = match page.next.clone() {
        Some(Marker::Version(key, id)) => (Some(encoder.encode(key)), Some(id)),
        Some(Marker::Key(text) | Marker::Prefix(text)) => (Some(encoder.encode(text)), None),
        None => (None, None),
    };
    Ok(ListObjectVersionsOutput {
        name: Some(input.bucket),
        max_keys: i32::try_from(page.keys_max).ok(),
        is_truncated: Some(page.next.is_some()),
        next_key_marker,
        next_version_id_marker,
        common_prefixes: Some(common_prefixes(&page, &encoder)),
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        key_marker: input.key_marker.map(|text| encoder.encode(text)),
        version_id_marker: input.version_id_marker,
        prefix: input.prefix.map(|text| encoder.encode(text)),
        delimiter: input.delimiter.map(|text| encoder.encode(text)),
        encoding_type: input.encoding_type,
        ..ListObjectVersionsOutput::default()
    })
}

pub(crate) fn parts(input: ListPartsInput, parts: Vec<(i32, ETag, u64, i64)>) -> ListPartsOutput {
    let after = input.part_number_marker.unwrap_or_default();
    let max = usize::try_from(input.max_parts.unwrap_or(1_000)).unwrap_or(0);
    let mut rest = parts.into_iter().filter(|(number, ..)| *number > after).peekable();
    let mut listed = Vec::new();
    while listed.len() < max
        && let Some((number, etag, size, modified_ms)) = rest.next()
    {
        listed.push(s3s::dto::Part {
            part_number: Some(number),
            e_tag: Some(etag),
            size: i64::try_from(size).ok(),
            last_modified: Some(timestamp(modified_ms)),
            ..s3s::dto::Part::default()
        });
    }
    let truncated = rest.peek().is_some();
    ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        is_truncated: Some(truncated),
        next_part_number_marker: listed.last().and_then(|part| part.part_number).filter(|_| truncated),
        parts: Some(listed),
        ..ListPartsOutput::default()
    }
}

pub(crate) fn uploads(
    input: ListMultipartUploadsInput,
    uploads: Vec<(String, String, i64)>,
) -> ListMultipartUploadsOutput {
    let prefix = input.prefix.unwrap_or_default();
    let listed = uploads.into_iter().filter(|(key, ..)| key.starts_with(&prefix));
    let listed = listed.map(|(key, id, started_ms)| MultipartUpload {
        key: Some(key),
        upload_id: Some(id),
        initiated: Some(timestamp(started_ms)),
        ..MultipartUpload::default()
    });
    ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        uploads: Some(listed.collect()),
        is_truncated: Some(false),
        prefix: Some(prefix),
        ..ListMultipartUploadsOutput::default()
    }
}

/// A marker that ends in the delimiter is a prefix that was listed as a whole.
fn key_or_prefix(text: String, delimiter: Option<&str>) -> Marker {
    match delimiter {
        Some(delimiter) if !delimiter.is_empty() && text.ends_with(delimiter) => Marker::Prefix(text),
        _ => Marker::Key(text),
    }
}

fn contents(page: &Page, encoder: &Encoder) -> (ObjectList, CommonPrefixList) {
    let objects = page.lines.iter().filter_map(|line| match line {
        Line::Version { key, meta, .. } => Some(object(encoder.encode(key.clone()), meta)),
        Line::CommonPrefix(_) => None,
    });
    (objects.collect(), common_prefixes(page, encoder))
}

fn common_prefixes(page: &Page, encoder: &Encoder) -> CommonPrefixList {
    let prefixes = page.lines.iter().filter_map(|line| match line {
        Line::CommonPrefix(prefix) => Some(CommonPrefix { prefix: Some(encoder.encode(prefix.clone())) }),
        Line::Version { .. } => None,
    });
    prefixes.collect()
}

fn object(key: String, meta: &Meta) -> Object {
    Object {
        key: Some(key),
        e_tag: Some(meta.etag()),
        size: i64::try_from(meta.size).ok(),
        last_modified: Some(meta.modified()),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    }
}
