//! The format numbers of the documents, and the error for a document that this version cannot read.
//!
//! Rule: a change in the meaning of a document, or in the way of reading a file, raises the number. So a function that
//! was rolled back refuses newer documents instead of misreading them. A new field does not raise the number if an
//! older version may lose it. A version that writes a document again keeps only the fields that it knows.
//!
//! To raise a number: raise `newest` here. Make the reading code handle both formats, or raise `oldest`. Add a document
//! of the new format to `tests/documents`, and keep the old ones.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The formats of one kind of document that this version reads. It writes the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The name of the number in messages.
    pub name: &'static str,
    /// The oldest that this version reads.
    pub oldest: u32,
    /// The newest format that this version reads. It writes only this one.
    pub newest: u32,
    /// True if documents were written before there were numbers. Such a document has the [`FIRST`] format.
    pub may_lack_number: bool,
    /// The fix for a document of another format.
    pub advice: &'static str,
}

/// The checkpoint of a file.
pub const CHECKPOINT: Format = Format { advice: REPLAY, ..FIRST_FORMAT };

/// How the bytes of a file are read: dialect, header, cells and message ids. A checkpoint keeps the number, so that the
/// rest of a file is read like its beginning.
///
/// 2: rows of delimiters and repeated headers are dropped, stray quotes are refused, null markers are not ids.
pub const READING: Format =
    Format { name: "reading format", oldest: 2, newest: 2, may_lack_number: true, advice: REPLAY };

/// The same for a file that has ended. Its bytes are not read any more, so older numbers are accepted.
pub const READING_ENDED: Format = Format { oldest: 1, ..READING };

/// The ledger of a file.
pub const LEDGER: Format = Format { may_lack_number: true, ..FIRST_FORMAT };

/// A document of the outcome index.
pub const OUTCOME: Format = FIRST_FORMAT;

/// The progress of a backfill.
pub const BACKFILL: Format = FIRST_FORMAT;

/// The mark of a log object. A mark without a number is a bare key, of an older version.
pub const MARK: Format = FIRST_FORMAT;

/// A plan of the exporter.
pub const PLAN: Format = FIRST_FORMAT;

/// The head of the exporter. It rises when the plan's format rises. So an exporter that cannot read the plans stops at
/// the head.
pub const HEAD: Format = FIRST_FORMAT;

/// The number of documents that were written before there were numbers.
pub const FIRST: u32 = 1;

/// A document whose format has not changed yet.
const FIRST_FORMAT: Format = Format { name: "format", oldest: 1, newest: 1, may_lack_number: false, advice: DEPLOY };

const DEPLOY: &str = "deploy that version again";
const REPLAY: &str = "deploy that version again, or replay the file";

const _: () = assert!(HEAD.newest >= PLAN.newest, "the head rises with the plans");

impl Format {
    /// Refuses a format that this version cannot read.
    ///
    /// # Errors
    /// When the number is not one of those that this version reads.
    pub fn check(self, found: u32) -> Result<(), UnknownFormat> {
        let known = (self.oldest..=self.newest).contains(&found);
        if known { Ok(()) } else { Err(UnknownFormat { found, format: self }) }
    }

    /// The number of a document that has this one, or none.
    fn number(self, found: Option<u32>) -> Result<u32, Unreadable> {
        let number = found.or(self.may_lack_number.then_some(FIRST));
        number.ok_or_else(|| Unreadable::Json(serde::de::Error::missing_field("format")))
    }

    /// Reads a document. Its number is checked first, because the rest may differ in another format.
    ///
    /// # Errors
    /// If it is not such a document, or its format is unknown to this version.
    pub(crate) fn read<D: DeserializeOwned>(self, json: &[u8]) -> Result<D, Unreadable> {
        Numbers::read(json)?.check(self)?;
        Ok(serde_json::from_slice(json)?)
    }
}

/// A document has a format that this version does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat {
    /// The document's number.
    pub found: u32,
    /// The formats that this version reads.
    pub format: Format,
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Format { name, oldest, newest, advice, .. } = self.format;
        write!(f, "{name} {}, and this version reads {oldest}", self.found)?;
        if oldest < newest {
            write!(f, " to {newest}")?;
        }
        let writer = if self.found > newest { "a newer" } else { "an older" };
        write!(f, ": {writer} version wrote it; {advice}")
    }
}

impl std::error::Error for UnknownFormat {}

/// Why this version cannot read a document.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON, or lacks a field of its format.
    #[error("damaged: {0}")]
    Json(#[from] serde_json::Error),
    /// It has a format that this version does not know.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It breaks a rule that the code relies on.
    #[error("it contradicts itself: {0}")]
    Rule(&'static str),
}

/// A document as indented JSON.
pub(crate) fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(document).expect("texts, numbers and lists of them are always JSON")
}

/// The numbers of a document.
#[derive(Deserialize)]
pub(crate) struct Numbers {
    format: Option<u32>,
    reading_format: Option<u32>,
    header: Option<IgnoredAny>,
    phase: Option<Value>,
}

impl Numbers {
    pub(crate) fn read(json: &[u8]) -> Result<Numbers, Unreadable> {
        Ok(serde_json::from_slice(json)?)
    }

    /// Refuses a checkpoint whose file this version cannot read on.
    pub(crate) fn check_reading(&self) -> Result<(), Unreadable> {
        let is_begun = self.header.is_some() || self.reading_format.is_some();
        let is_ended = self.phase.as_ref().is_some_and(|phase| phase != "running");
        let format = if is_ended { READING_ENDED } else { READING };
        if is_begun {
            format.check(format.number(self.reading_format)?)?;
        }
        Ok(())
    }

    /// Refuses a document of another format.
    pub(crate) fn check(&self, format: Format) -> Result<(), Unreadable> {
        Ok(format.check(format.number(self.format)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_an_unknown_format_is_refused_with_what_to_do() {
        let format = Format { oldest: 1, newest: 2, ..CHECKPOINT };
        let words = format.check(3).unwrap_err().to_string();
        let expected = "format 3, and this version reads 1 to 2: a newer version wrote it; \
                        deploy that version again, or replay the file";
        assert_eq!(words, expected);
        let format = Format { oldest: 2, newest: 2, ..READING };
        let words = format.check(1).unwrap_err().to_string();
        let expected = "reading format 1, and this version reads 2: an older version wrote it; \
                        deploy that version again, or replay the file";
        assert_eq!(words, expected);
    }

    #[test]
    fn every_format_between_the_oldest_and_the_newest_is_read() {
        let format = Format { oldest: 2, newest: 4, ..PLAN };
        let read: Vec<u32> = (0..7).filter(|number| format.check(*number).is_ok()).collect();
        assert_eq!(read, [2, 3, 4]);
    }
}
