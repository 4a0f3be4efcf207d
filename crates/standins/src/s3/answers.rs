//! The attributes of an object in requests and in answers.

use s3s::dto::*;

use super::checksums;
use super::store::Found;
use super::version::{Attributes, Meta, NULL_VERSION};

/// What S3 says of an object that came without a content type.
const CONTENT_TYPE: &str = "binary/octet-stream";

pub(crate) fn version_id(meta: &Meta) -> Option<String> {
    (meta.id != NULL_VERSION).then(|| meta.id.clone())
}

pub(crate) fn put_attributes(input: &PutObjectInput) -> Attributes {
    Attributes {
        content_type: input.content_type.clone(),
        content_encoding: without_aws_chunked(input.content_encoding.as_deref()),
        content_language: input.content_language.clone(),
        content_disposition: input.content_disposition.clone(),
        cache_control: input.cache_control.clone(),
        metadata: metadata(input.metadata.as_ref()),
        storage_class: input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
        acl: input.acl.as_ref().map(|acl| acl.as_str().to_owned()),
        sse: input.server_side_encryption.as_ref().map(|sse| sse.as_str().to_owned()),
        kms_key_id: input.ssekms_key_id.clone(),
        bucket_key: input.bucket_key_enabled,
    }
}

pub(crate) fn upload_attributes(input: &CreateMultipartUploadInput) -> Attributes {
    Attributes {
        content_type: input.content_type.clone(),
        content_encoding: without_aws_chunked(input.content_encoding.as_deref()),
        content_language: input.content_language.clone(),
        content_disposition: input.content_disposition.clone(),
        cache_control: input.cache_control.clone(),
        metadata: metadata(input.metadata.as_ref()),
        storage_class: input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
        acl: input.acl.as_ref().map(|acl| acl.as_str().to_owned()),
        sse: input.server_side_encryption.as_ref().map(|sse| sse.as_str().to_owned()),
        kms_key_id: input.ssekms_key_id.clone(),
        bucket_key: input.bucket_key_enabled,
    }
}

pub(crate) fn put(meta: &Meta) -> PutObjectOutput {
    let sums = checksums::to_dto(&meta.checksums);
    PutObjectOutput {
        e_tag: Some(meta.etag()),
        version_id: version_id(meta),
        server_side_encryption: encryption(meta),
        ssekms_key_id: meta.attributes.kms_key_id.clone(),
        bucket_key_enabled: meta.attributes.bucket_key,
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        ..PutObjectOutput::default()
    }
}

pub(crate) fn get(found: &Found, checksums: bool) -> GetObjectOutput {
    let head = head(found, checksums);
    GetObjectOutput {
        accept_ranges: head.accept_ranges,
        bucket_key_enabled: head.bucket_key_enabled,
        cache_control: head.cache_control,
        checksum_crc32: head.checksum_crc32,
        checksum_crc32c: head.checksum_crc32c,
        checksum_crc64nvme: head.checksum_crc64nvme,
        checksum_sha1: head.checksum_sha1,
        checksum_sha256: head.checksum_sha256,
        content_disposition: head.content_disposition,
        content_encoding: head.content_encoding,
        content_language: head.content_language,
        content_type: head.content_type,
        e_tag: head.e_tag,
        last_modified: head.last_modified,
        metadata: head.metadata,
        server_side_encryption: head.server_side_encryption,
        ssekms_key_id: head.ssekms_key_id,
        storage_class: head.storage_class,
        version_id: head.version_id,
        ..GetObjectOutput::default()
    }
}

pub(crate) fn head(found: &Found, checksums: bool) -> HeadObjectOutput {
    let Meta { attributes, .. } = &found.meta;
    let sums = match checksums {
        true => checksums::to_dto(&found.meta.checksums),
        false => Checksum::default(),
    };
    HeadObjectOutput {
        accept_ranges: Some(String::from("bytes")),
        bucket_key_enabled: attributes.bucket_key,
        cache_control: attributes.cache_control.clone(),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
        content_disposition: attributes.content_disposition.clone(),
        content_encoding: attributes.content_encoding.clone(),
        content_language: attributes.content_language.clone(),
        content_length: i64::try_from(found.meta.size).ok(),
        content_type: Some(attributes.content_type.clone().unwrap_or_else(|| CONTENT_TYPE.to_owned())),
        e_tag: Some(found.meta.etag()),
        last_modified: Some(found.meta.modified()),
        metadata: Some(attributes.metadata.clone().into_iter().collect()),
        server_side_encryption: encryption(&found.meta),
        ssekms_key_id: attributes.kms_key_id.clone(),
        storage_class: attributes
            .storage_class
            .clone()
            .filter(|class| class != StorageClass::STANDARD)
            .map(StorageClass::from),
        version_id: found.versioned.then(|| found.meta.id.clone()),
        ..HeadObjectOutput::default()
    }
}

/// Since 2023 every object is encrypted, by S3's own key by default.
fn encryption(meta: &Meta) -> Option<ServerSideEncryption> {
    let sse = meta.attributes.sse.clone();
    Some(ServerSideEncryption::from(sse.unwrap_or_else(|| String::from("AES256"))))
}

fn metadata(given: Option<&Metadata>) -> std::collections::BTreeMap<String, String> {
    let pairs = given.into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `aws-chunked` describes the transfer, not the content.
fn without_aws_chunked(encoding: Option<&str>) -> Option<String> {
    let kept: Vec<&str> =
        encoding?.split(',').map(str::trim).filter(|one| !one.is_empty() && *one != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::without_aws_chunked;

    #[test]
    fn aws_chunked_is_not_kept() {
        for (given, kept) in [
            (None, None),
            (Some("gzip"), Some("gzip")),
            (Some("aws-chunked"), None),
            (Some("gzip,aws-chunked"), Some("gzip")),
            (Some("aws-chunked, gzip"), Some("gzip")),
        ] {
            assert_eq!(without_aws_chunked(given).as_deref(), kept);
        }
    }
}
