//! Uploads in parts.

use std::collections::BTreeMap;

use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Error, S3Result, s3_error};

use super::body::Draft;
use super::checksums::{self, Checksums};
use super::conditions::WriteCondition;
use super::store::{NewObject, State, Store};
use super::upload::{Part, Upload};
use super::version::{Attributes, Meta};
use crate::dice;

/// "Part size: 5 MiB to 5 GiB. There is no minimum size limit on the last part", S3 User Guide.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// "Part numbers: 1 to 10,000", S3 User Guide.
pub(crate) const PART_NUMBER_MAX: i32 = 10_000;

impl Store {
    pub(crate) fn begin_upload(&self, bucket: &str, key: &str, attributes: Attributes) -> String {
        let id = dice::token(24);
        self.lock().uploads.insert(
            id.clone(),
            Upload { bucket: bucket.to_owned(), key: key.to_owned(), attributes, parts: BTreeMap::new() },
        );
        id
    }

    pub(crate) fn keep_part(&self, id: &str, bucket: &str, key: &str, number: i32, part: Part) -> S3Result<()> {
        let mut state = self.lock();
        upload_of(&mut state, id, bucket, key)?.parts.insert(number, part);
        Ok(())
    }

    /// Forgets the parts.
    pub(crate) fn abort_upload(&self, id: &str, bucket: &str, key: &str) -> S3Result<()> {
        let mut state = self.lock();
        upload_of(&mut state, id, bucket, key)?;
        state.uploads.remove(id);
        Ok(())
    }

    /// Joins the parts named, and keeps the whole if the condition holds then.
    pub(crate) fn complete_upload(
        &self,
        id: &str,
        bucket: &str,
        key: &str,
        named: &[CompletedPart],
        condition: &WriteCondition,
        principal: &str,
    ) -> S3Result<Meta> {
        let (draft, etag, attributes) = {
            let mut state = self.lock();
            let upload = upload_of(&mut state, id, bucket, key)?;
            let draft = self.draft()?;
            let (draft, etag) = join(upload, named, draft)?;
            (draft, etag, upload.attributes.clone())
        };
        let new = NewObject {
            key: key.to_owned(),
            size: draft.size(),
            body: draft.finish(),
            etag,
            attributes,
            checksums: Checksums::new(),
            event: "ObjectCreated:CompleteMultipartUpload",
            principal: principal.to_owned(),
        };
        // If the condition fails, the upload stays and may be completed otherwise.
        let meta = self.put(bucket, new, condition)?;
        self.lock().uploads.remove(id);
        Ok(meta)
    }
}

fn upload_of<'a>(state: &'a mut State, id: &str, bucket: &str, key: &str) -> S3Result<&'a mut Upload> {
    state.uploads.get_mut(id).filter(|upload| upload.bucket == bucket && upload.key == key).ok_or_else(|| {
        s3_error!(
            NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload \
                 may have been aborted or completed."
        )
    })
}

fn join(upload: &Upload, named: &[CompletedPart], mut whole: Draft) -> S3Result<(Draft, String)> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    if !named.is_sorted_by(|a, b| a.part_number < b.part_number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ));
    }
    let mut digests = Vec::new();
    for (at, one) in named.iter().enumerate() {
        let number = one.part_number.unwrap_or_default();
        let part = upload.parts.get(&number).filter(|part| {
            let etag = one.e_tag.as_ref().map(ETag::value);
            etag == Some(hex::encode(part.md5).as_str())
        });
        let part = part.ok_or_else(|| {
            s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have \
                 been uploaded, or the specified entity tag may not match the part's entity tag."
            )
        })?;
        if part.size < PART_BYTES_MIN && at + 1 < named.len() {
            return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
        }
        let bytes = part.body.open().and_then(super::body::Opened::read_all);
        let bytes = bytes.map_err(S3Error::internal_error)?;
        whole.write(&bytes).map_err(S3Error::internal_error)?;
        digests.extend_from_slice(&part.md5);
    }
    let etag = format!("{}-{}", hex::encode(checksums::md5(&digests)), named.len());
    Ok((whole, etag))
}
