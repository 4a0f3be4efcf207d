//! Buckets and versions as plain data.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use s3s::dto::{ETag, Timestamp};
use serde::{Deserialize, Serialize};

use super::body::Blob;
use super::checksums::Checksums;

/// The version id of objects from before versioning.
pub(crate) const NULL_VERSION: &str = "null";

/// Whether a bucket keeps overwritten objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// Never turned on.
    #[default]
    Off,
    /// Every put makes a version, every delete a marker.
    Enabled,
}

/// The settings of a bucket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BucketSettings {
    pub(crate) versioning: Versioning,
    /// Requests for another region are redirected; `None` takes all.
    pub(crate) region: Option<String>,
    /// Callers of other accounts are refused; `None` takes all.
    pub(crate) owner: Option<String>,
    /// Requests must say that their sender pays for them.
    pub(crate) requester_pays: bool,
}

/// The attributes of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) acl: Option<String>,
    pub(crate) sse: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) bucket_key: Option<bool>,
}

/// One version, without its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) id: String,
    /// Without the quotes.
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) modified_ms: i64,
    pub(crate) delete_marker: bool,
    pub(crate) attributes: Attributes,
    pub(crate) checksums: Checksums,
}

impl Meta {
    pub(crate) fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    /// `Last-Modified` has whole seconds.
    pub(crate) fn modified(&self) -> Timestamp {
        timestamp(self.modified_ms.div_euclid(1_000) * 1_000)
    }
}

pub(crate) fn timestamp(ms: i64) -> Timestamp {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    (UNIX_EPOCH + since).into()
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) meta: Meta,
    pub(crate) blob: Blob,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) settings: BucketSettings,
    /// By key; the newest version last.
    pub(crate) objects: BTreeMap<String, Vec<Version>>,
}

impl Bucket {
    /// The version that a plain GET reads.
    pub(crate) fn current(&self, key: &str) -> Option<&Version> {
        let newest = self.objects.get(key)?.last()?;
        (!newest.meta.delete_marker).then_some(newest)
    }
}
