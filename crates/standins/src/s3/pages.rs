//! Listings in the words of the protocol.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::listing::{self, Line, Marker, Page, Query};
use super::version::{Bucket, Meta};

/// Characters that `encoding-type=url` keeps.
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

/// Every version and delete marker: by key, the newest first. There is one page.
pub(crate) fn versions(bucket: &Bucket, input: ListObjectVersionsInput) -> S3Result<ListObjectVersionsOutput> {
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let prefix = input.prefix.unwrap_or_default();
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for (key, held) in bucket.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        for (age, version) in held.iter().rev().enumerate() {
            let (meta, key) = (&version.meta, Some(encoder.encode(key.clone())));
            let (is_latest, last_modified) = (Some(age == 0), Some(meta.modified()));
            let version_id = Some(meta.id.clone());
            if meta.delete_marker {
                let marker = DeleteMarkerEntry { key, version_id, is_latest, last_modified, ..Default::default() };
                delete_markers.push(marker);
            } else {
                let (e_tag, size) = (Some(meta.etag()), i64::try_from(meta.size).ok());
                let version =
                    ObjectVersion { key, version_id, is_latest, last_modified, e_tag, size, ..Default::default() };
                versions.push(version);
            }
        }
    }
    if input.delimiter.is_some() || versions.len() + delete_markers.len() > listing::KEYS_MAX {
        return Err(s3_error!(NotImplemented, "delimiters and more than a page of versions"));
    }
    Ok(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoder.encode(prefix)),
        is_truncated: Some(false),
        encoding_type: input.encoding_type,
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        ..ListObjectVersionsOutput::default()
    })
}

fn contents(page: &Page, encoder: &Encoder) -> (ObjectList, CommonPrefixList) {
    let objects = page.lines.iter().filter_map(|line| match line {
        Line::Object { key, meta } => Some(object(encoder.encode(key.clone()), meta)),
        Line::CommonPrefix(_) => None,
    });
    (objects.collect(), common_prefixes(page, encoder))
}

fn common_prefixes(page: &Page, encoder: &Encoder) -> CommonPrefixList {
    let prefixes = page.lines.iter().filter_map(|line| match line {
        Line::CommonPrefix(prefix) => Some(CommonPrefix { prefix: Some(encoder.encode(prefix.clone())) }),
        Line::Object { .. } => None,
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
