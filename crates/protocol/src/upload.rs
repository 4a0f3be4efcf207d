//! Which object a file is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::{SourceId, StreamId};

/// The identity of one upload, which later uploads under the same key do not share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The source that its calls belong to.
    pub source_id: SourceId,
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The ETag of the first answer.
    pub etag: String,
    /// When that was put, in ms since the epoch.
    pub modified_ms: i64,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// Set when the file is sent again on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// The name of the mapping that reads it: one upload may feed several mappings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
}

impl Identity {
    /// The id that names the file's checkpoint, its fragments and its message ids.
    ///
    /// A version id alone identifies an upload. Without versions, ETag *and* date do: tomorrow's identical upload is a
    /// new file.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        let date = self.modified_ms.to_string();
        let (version, etag, date) = match self.version_id.as_deref().filter(|version| *version != "null") {
            Some(version) => (version, "", ""),
            None => ("", self.etag.as_str(), date.as_str()),
        };
        let mut hash = Sha256::new();
        let replay = self.replay.as_deref().unwrap_or_default();
        let parts = [self.source_id.as_str(), &self.bucket, &self.key, version, etag, date, replay];
        // Without a mapping, the stream is as it was before there were mappings.
        for part in parts.into_iter().chain(self.mapping.as_deref()) {
            // Lengths keep two fields from running into each other.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        StreamId::new(bits)
    }
}

/// Which version of an object to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The latest.
    Latest,
    /// The version of the event. If it cannot be read (invented, deleted, forbidden), the latest is read.
    Hinted(String),
    /// The version that was begun, and no other.
    Begun(String),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Some upload.
    pub(crate) fn object() -> Identity {
        Identity {
            source_id: "s".parse().unwrap(),
            bucket: "b".into(),
            key: "track_1.csv".into(),
            version_id: None,
            etag: "\"e\"".into(),
            modified_ms: 5,
            bytes: 9,
            replay: None,
            mapping: None,
        }
    }

    #[test]
    fn the_same_upload_has_the_same_stream_and_any_other_has_another() {
        let stream = object().stream();
        assert_eq!(stream.to_string(), "c576c0f65e5e1725bf53217e8d3e9e7f", "message ids hang on it: it never changes");
        assert_eq!(Identity { bytes: 1, ..object() }.stream(), stream);
        for other in [
            Identity { source_id: "t".parse().unwrap(), ..object() },
            Identity { bucket: "c".into(), ..object() },
            Identity { key: "track_2.csv".into(), ..object() },
            Identity { etag: "\"f\"".into(), ..object() },
            Identity { modified_ms: 6, ..object() },
            Identity { version_id: Some("v".into()), ..object() },
            Identity { replay: Some("r".into()), ..object() },
            Identity { mapping: Some("m".into()), ..object() },
            Identity { source_id: "sb".parse().unwrap(), bucket: String::new(), ..object() },
        ] {
            assert_ne!(other.stream(), stream, "{other:?}");
        }
        let version = |etag: &str, modified_ms| {
            Identity { version_id: Some("v".into()), etag: etag.into(), modified_ms, ..object() }.stream()
        };
        assert_eq!(version("\"e\"", 5), version("\"f\"", 6), "a version id tells alone");
        assert_eq!(Identity { version_id: Some("null".into()), ..object() }.stream(), stream);
    }
}
