//! The end or failure of a file as a list shows it. The key of its document says all of it, so that a list needs no read.
//!
//! ```text
//! outcomes/by-day/2019-05-11/{left}-{hash}-finished/rows=3/acknowledged=2/rejected=1/bucket=inbox/key=in%2Ftrack_1.csv.json
//! ```
//!
//! A part that this version does not know is ignored. A key without these parts is of an older version, or would be longer
//! than S3 allows. Its document says the same.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;

use crate::keys;
use crate::ledger::rfc3339;
use crate::outcome::{FileOutcome, Outcome};

/// Characters of a text that stay in a part of a key: RFC 3986, section 2.3, as `@uri` of jq has them.
const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The end or the failure of one file, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedOutcome {
    /// The bucket's name.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The stable code of the reason, when it is a fault of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The mapping that reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// Rows settled so far.
    pub rows: u64,
    /// Of these, accepted by Segment.
    pub acknowledged: u64,
    /// Of these, refused.
    pub rejected: u64,
    /// When it ended or failed, RFC 3339.
    pub at: String,
}

impl From<&FileOutcome> for ListedOutcome {
    fn from(file: &FileOutcome) -> Self {
        Self {
            bucket: file.bucket.clone(),
            key: file.key.clone(),
            outcome: file.outcome,
            code: file.code.clone(),
            mapping: file.mapping.clone(),
            rows: file.account.rows,
            acknowledged: file.account.acknowledged,
            rejected: file.account.rejected,
            at: file.at.clone(),
        }
    }
}

impl ListedOutcome {
    /// Reads the key of a document by day; `None` if the key does not say all of it.
    #[must_use]
    pub fn of_day_key(key: &str) -> Option<Self> {
        let (at_ms, outcome, parts) = keys::read_outcome_of_day(key)?;
        let of = |name: &str| {
            let part = parts.split('/').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
            Some(percent_decode_str(part).decode_utf8().ok()?.into_owned())
        };
        let number = |name: &str| of(name)?.parse().ok();
        Some(Self {
            bucket: of("bucket")?,
            key: of("key")?,
            outcome,
            code: of("code"),
            mapping: of("mapping"),
            rows: number("rows")?,
            acknowledged: number("acknowledged")?,
            rejected: number("rejected")?,
            at: rfc3339(at_ms),
        })
    }

    /// The parts of the key of its document.
    pub(super) fn parts(&self) -> String {
        let encoded = |name, text: &str| format!("/{name}={}", utf8_percent_encode(text, SAFE));
        let optional =
            |name, text: &Option<String>| text.as_deref().map(|text| encoded(name, text)).unwrap_or_default();
        let Self { rows, acknowledged, rejected, .. } = self;
        [
            format!("/rows={rows}/acknowledged={acknowledged}/rejected={rejected}"),
            optional("code", &self.code),
            optional("mapping", &self.mapping),
            encoded("bucket", &self.bucket),
            encoded("key", &self.key),
        ]
        .concat()
    }
}
