//! The operations themselves: `s3s`'s trait over the store.

use std::sync::Arc;

use futures_util::StreamExt as _;
use http::HeaderMap;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::access::{Caller, denied};
use super::body::Draft;
use super::checksums::{self, Digest, Verifier};
use super::conditions::{ReadConditions, WriteCondition};
use super::multipart::PART_NUMBER_MAX;
use super::store::{Found, NewObject, Store, no_such_bucket};
use super::upload::Part;
use super::version::Attributes;
use super::wire::DeletesBody;
use super::{answers, pages};
use crate::iam::Identity;

/// "You can use the API to delete up to 1,000 objects", S3 API Reference.
const DELETES_MAX: usize = 1_000;

/// "A single PUT operation can upload up to 5 GB", S3 User Guide.
const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// "The user-defined metadata is limited to 2 KB in size … the sum of the number of bytes in the UTF-8 encoding of each
/// key and value", S3 User Guide.
const METADATA_BYTES_MAX: usize = 2 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Operations {
    pub(crate) store: Arc<Store>,
}

/// A complete and verified body.
struct Received {
    draft: Draft,
    digest: Digest,
}

impl Operations {
    async fn receive(
        &self,
        body: Option<StreamingBlob>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Received> {
        let mut draft = self.store.draft()?;
        let mut verifier = Verifier::new(headers, trailers)?;
        if let Some(mut body) = body {
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| broken_body(&error.to_string()))?;
                verifier.update(&chunk);
                draft.write(&chunk).map_err(S3Error::internal_error)?;
                if draft.size() > PUT_BYTES_MAX {
                    return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
                }
            }
        }
        // `Content-Length` includes the bytes of the chunk headers. Another header declares the content.
        let declared = headers.get("x-amz-decoded-content-length").and_then(|value| value.to_str().ok());
        if declared.is_some_and(|declared| declared.parse() != Ok(draft.size())) {
            return Err(incomplete_body());
        }
        let digest = verifier.finish()?;
        Ok(Received { draft, digest })
    }

    /// Finds an object. A caller without `s3:ListBucket` does not learn that it is missing.
    fn find(&self, caller: &Caller, bucket: &str, key: &str, version_id: Option<&str>) -> S3Result<Found> {
        let found = self.store.find(bucket, key, version_id);
        if let Err(error) = &found
            && error.status_code() == Some(http::StatusCode::NOT_FOUND)
            && !caller.may("s3:ListBucket", &format!("arn:aws:s3:::{bucket}"))
        {
            return Err(denied());
        }
        let found = found?;
        check_key(&caller.identity, "kms:Decrypt", &found.meta.attributes)?;
        Ok(found)
    }
}

/// Maps the stream's error texts to S3's codes.
fn broken_body(error: &str) -> S3Error {
    if error.contains("Sha256Mismatch") {
        return custom(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
    }
    if error.contains("SignatureMismatch") {
        return s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided."
        );
    }
    incomplete_body()
}

fn incomplete_body() -> S3Error {
    s3_error!(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

fn check_metadata(attributes: &Attributes) -> S3Result<()> {
    let bytes: usize = attributes.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size"));
    }
    Ok(())
}

/// A list of keys to delete needs a digest: "The Content-MD5 header is required for all Multi-Object Delete requests"
/// (S3 API Reference). A header `x-amz-checksum-*` may replace it.
fn check_deletes(headers: &HeaderMap, body: Option<&DeletesBody>) -> S3Result<()> {
    let payload = headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes).unwrap_or_default();
    let Some(DeletesBody(body)) = body.filter(|_| !payload.starts_with(b"STREAMING-")) else {
        return Err(s3_error!(NotImplemented, "the keys to delete are taken in one piece, not in chunks"));
    };
    let mut verifier = Verifier::new(headers, None)?;
    if !verifier.claims() {
        return Err(s3_error!(
            InvalidRequest,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        ));
    }
    verifier.update(body);
    verifier.finish().map(drop)
}

/// A code that `s3s` does not know.
fn custom(status: u16, code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    if let Ok(status) = http::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    error
}

/// Encryption with a key of the customer's needs the caller to be let use that key.
fn check_key(identity: &Identity, action: &str, attributes: &Attributes) -> S3Result<()> {
    let Some(key) = attributes.kms_key_id.as_deref() else { return Ok(()) };
    if identity.may(action, key, &std::collections::BTreeMap::new()) {
        return Ok(());
    }
    Err(s3_error!(
        AccessDenied,
        "User: {} is not authorized to perform: {action} on resource: {key} because no \
         identity-based policy allows the {action} action",
        identity.arn
    ))
}

fn caller<T>(request: &S3Request<T>) -> S3Result<Caller> {
    request.extensions.get::<Caller>().cloned().ok_or_else(denied)
}

fn read_range(range: Option<Range>, part_number: Option<i32>, size: u64) -> S3Result<Option<(u64, u64)>> {
    if part_number.is_some_and(|number| number != 1) {
        return Err(custom(416, "InvalidPartNumber", "The requested partnumber is not satisfiable"));
    }
    let Some(range) = range else { return Ok(None) };
    match range.check(size) {
        Ok(range) => Ok(Some((range.start, range.end))),
        Err(_) => Err(s3_error!(InvalidRange, "The requested range is not satisfiable")),
    }
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let caller = caller(&request)?;
        let body = request.input.body.take();
        let attributes = answers::put_attributes(&request.input);
        check_metadata(&attributes)?;
        check_key(&caller.identity, "kms:GenerateDataKey", &attributes)?;
        let received = self.receive(body, &request.headers, request.trailing_headers).await?;
        let input = request.input;
        let condition = WriteCondition::from_headers(input.if_match, input.if_none_match)?;
        let new = NewObject {
            key: input.key,
            size: received.draft.size(),
            body: received.draft.finish(),
            etag: hex::encode(received.digest.md5),
            attributes,
            checksums: received.digest.checksums,
            event: "ObjectCreated:Put",
            principal: caller.identity.user_id.clone(),
        };
        let meta = self.store.put(&input.bucket, new, &condition)?;
        Ok(S3Response::new(answers::put(&meta)))
    }

    /// `s3s` would make a put of it, which no policy is asked about.
    async fn post_object(&self, _: S3Request<PostObjectInput>) -> S3Result<S3Response<PostObjectOutput>> {
        Err(s3_error!(NotImplemented, "forms of browsers are not taken"))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let found = self.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?;
        ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&found.meta.etag, &found.meta.modified())?;
        let size = found.meta.size;
        let range = read_range(input.range, input.part_number, size)?;
        let (from, to) = range.unwrap_or((0, size));
        let checksums = input.checksum_mode.is_some() && range.is_none();
        let mut output = answers::get(&found, checksums);
        output.content_length = i64::try_from(to - from).ok();
        output.content_range = range.map(|(from, to)| format!("bytes {from}-{}/{size}", to - 1));
        output.body = Some(found.body.stream(from, to).map_err(S3Error::internal_error)?);
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let found = self.find(&caller, &input.bucket, &input.key, input.version_id.as_deref())?;
        ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&found.meta.etag, &found.meta.modified())?;
        let size = found.meta.size;
        let range = read_range(input.range, input.part_number, size)?;
        let checksums = input.checksum_mode.is_some() && range.is_none();
        let mut output = answers::head(&found, checksums);
        if let Some((from, to)) = range {
            output.content_length = i64::try_from(to - from).ok();
            output.content_range = Some(format!("bytes {from}-{}/{size}", to - 1));
        }
        Ok(S3Response::new(output))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let version_id = input.version_id.as_deref();
        let deleted = self.store.delete(&input.bucket, &input.key, version_id, input.if_match.as_ref())?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: deleted.delete_marker.then_some(true),
            version_id: deleted.version_id,
            ..DeleteObjectOutput::default()
        }))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let caller = caller(&request)?;
        check_deletes(&request.headers, request.extensions.get::<DeletesBody>())?;
        let input = request.input;
        if input.delete.objects.is_empty() || input.delete.objects.len() > DELETES_MAX {
            return Err(s3_error!(
                MalformedXML,
                "The XML you provided was not well-formed or did not validate against our published schema"
            ));
        }
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for one in input.delete.objects {
            match self.delete_one(&caller, &input.bucket, &one) {
                Ok(deleted) => done.push(deleted),
                Err(error) => failed.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(one.key),
                    message: error.message().map(str::to_owned),
                    version_id: one.version_id,
                }),
            }
        }
        if input.delete.quiet == Some(true) {
            done.clear();
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(done),
            errors: (!failed.is_empty()).then_some(failed),
            request_charged: None,
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        Ok(S3Response::new(pages::objects_v2(bucket, input)?))
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        Ok(S3Response::new(pages::versions(bucket, input)?))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let caller = caller(&request)?;
        let attributes = answers::upload_attributes(&request.input);
        check_metadata(&attributes)?;
        check_key(&caller.identity, "kms:GenerateDataKey", &attributes)?;
        let input = request.input;
        let id = self.store.begin_upload(&input.bucket, &input.key, attributes);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            server_side_encryption: input.server_side_encryption,
            ssekms_key_id: input.ssekms_key_id,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let body = request.input.body.take();
        let input = request.input;
        if !(1..=PART_NUMBER_MAX).contains(&input.part_number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        let received = self.receive(body, &request.headers, request.trailing_headers).await?;
        let part = Part { md5: received.digest.md5, size: received.draft.size(), body: received.draft.finish() };
        let etag = ETag::Strong(hex::encode(part.md5));
        self.store.keep_part(&input.upload_id, &input.bucket, &input.key, input.part_number, part)?;
        let sums = checksums::to_dto(&received.digest.checksums);
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(etag),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..UploadPartOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.store.abort_upload(&input.upload_id, &input.bucket, &input.key)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let caller = caller(&request)?;
        let input = request.input;
        let condition = WriteCondition::from_headers(input.if_match, input.if_none_match)?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let meta = self.store.complete_upload(
            &input.upload_id,
            &input.bucket,
            &input.key,
            &parts,
            &condition,
            &caller.identity.user_id,
        )?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(meta.etag()),
            version_id: answers::version_id(&meta),
            ..CompleteMultipartUploadOutput::default()
        }))
    }
}

impl Operations {
    fn delete_one(&self, caller: &Caller, bucket: &str, one: &ObjectIdentifier) -> S3Result<DeletedObject> {
        let action = match one.version_id {
            Some(_) => "s3:DeleteObjectVersion",
            None => "s3:DeleteObject",
        };
        if !caller.may(action, &format!("arn:aws:s3:::{bucket}/{}", one.key)) {
            return Err(denied());
        }
        let condition = one.e_tag.clone().map(ETagCondition::ETag);
        let version_id = one.version_id.as_deref();
        let deleted = self.store.delete(bucket, &one.key, version_id, condition.as_ref())?;
        let marker = deleted.delete_marker.then_some(true);
        Ok(DeletedObject {
            key: Some(one.key.clone()),
            delete_marker: marker,
            delete_marker_version_id: marker.and(deleted.version_id),
            version_id: one.version_id.clone(),
        })
    }
}
