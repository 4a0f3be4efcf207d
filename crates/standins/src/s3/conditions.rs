//! Conditional requests.

use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

/// The condition of a write at the moment of its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteCondition {
    Always,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`
    Matches(ETagCondition),
}

impl WriteCondition {
    pub(crate) fn from_headers(
        if_match: Option<ETagCondition>,
        if_none_match: Option<ETagCondition>,
    ) -> S3Result<WriteCondition> {
        match (if_match, if_none_match) {
            (None, None) => Ok(WriteCondition::Always),
            (None, Some(ETagCondition::Any)) => Ok(WriteCondition::Absent),
            (Some(condition), None) => Ok(WriteCondition::Matches(condition)),
            // S3 knows no other combination on writes.
            _ => Err(s3_error!(NotImplemented, "A header you provided implies functionality that is not implemented")),
        }
    }

    /// Checks the condition against the current ETag.
    pub(crate) fn check(&self, current: Option<&str>) -> S3Result<()> {
        match (self, current) {
            (WriteCondition::Always, _) | (WriteCondition::Absent, None) => Ok(()),
            (WriteCondition::Absent, Some(_)) => Err(failed("If-None-Match")),
            (WriteCondition::Matches(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (WriteCondition::Matches(condition), Some(etag)) if names(condition, etag) => Ok(()),
            (WriteCondition::Matches(_), Some(_)) => Err(failed("If-Match")),
        }
    }
}

/// The conditions of a read.
#[derive(Debug)]
pub(crate) struct ReadConditions<'a> {
    pub(crate) if_match: Option<&'a ETagCondition>,
    pub(crate) if_none_match: Option<&'a ETagCondition>,
    pub(crate) if_modified_since: Option<&'a Timestamp>,
    pub(crate) if_unmodified_since: Option<&'a Timestamp>,
}

impl ReadConditions<'_> {
    /// RFC 9110, section 13.2.2: an ETag outranks the date that goes with it.
    pub(crate) fn check(&self, etag: &str, modified: &Timestamp) -> S3Result<()> {
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !names(condition, etag) => return Err(failed("If-Match")),
            (None, Some(date)) if modified > date => return Err(failed("If-Unmodified-Since")),
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if names(condition, etag) => Err(not_modified(etag)),
            (None, Some(date)) if modified <= date => Err(not_modified(etag)),
            _ => Ok(()),
        }
    }
}

fn names(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(named) => named.value() == etag,
    }
}

fn failed(header: &str) -> S3Error {
    tracing::debug!(header, "precondition failed");
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn not_modified(etag: &str) -> S3Error {
    let mut error = s3_error!(NotModified);
    if let Ok(value) = format!("\"{etag}\"").parse() {
        error.set_headers(http::HeaderMap::from_iter([(http::header::ETAG, value)]));
    }
    error
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use s3s::dto::TimestampFormat;

    use super::*;

    fn check(condition: WriteCondition, current: Option<&str>) -> Option<u16> {
        condition.check(current).err().map(|error| error.status_code().unwrap().as_u16())
    }

    #[test]
    fn a_conditional_write_is_compared_with_the_stored_object() {
        let is = |value: &str| WriteCondition::Matches(value.parse().unwrap());
        assert_eq!(check(WriteCondition::Always, Some("a")), None);
        assert_eq!(check(WriteCondition::Absent, None), None);
        assert_eq!(check(WriteCondition::Absent, Some("a")), Some(412));
        assert_eq!(check(is("\"a\""), Some("a")), None);
        assert_eq!(check(is("\"b\""), Some("a")), Some(412));
        assert_eq!(check(is("\"a\""), None), Some(404));
        assert_eq!(check(is("*"), Some("a")), None);
        assert_eq!(check(is("*"), None), Some(404));
    }

    #[test]
    fn other_conditions_on_writes_are_refused() {
        let etag = "\"a\"".parse().unwrap();
        let error = WriteCondition::from_headers(None, Some(etag)).unwrap_err();
        assert_eq!(error.status_code().unwrap().as_u16(), 501);
    }

    #[test]
    fn an_etag_outranks_a_date() {
        let date = |s| Timestamp::parse(TimestampFormat::DateTime, s).unwrap();
        let modified = date("2026-01-02T00:00:00Z");
        let (before, after) = (date("2026-01-01T00:00:00Z"), date("2026-01-03T00:00:00Z"));
        let (same, other) = ("\"a\"".parse().unwrap(), "\"b\"".parse().unwrap());
        let status = |m: Option<&ETagCondition>,
                      n: Option<&ETagCondition>,
                      since: Option<&Timestamp>,
                      unmod: Option<&Timestamp>| {
            let conditions =
                ReadConditions { if_match: m, if_none_match: n, if_modified_since: since, if_unmodified_since: unmod };
            conditions.check("a", &modified).err().map(|error| error.status_code().unwrap().as_u16())
        };
        assert_eq!(status(None, None, None, None), None);
        assert_eq!(status(Some(&same), None, None, Some(&before)), None);
        assert_eq!(status(Some(&other), None, None, Some(&after)), Some(412));
        assert_eq!(status(None, None, None, Some(&before)), Some(412));
        assert_eq!(status(None, Some(&same), Some(&before), None), Some(304));
        assert_eq!(status(None, Some(&other), Some(&after), None), None);
        assert_eq!(status(None, None, Some(&after), None), Some(304));
        assert_eq!(status(None, None, Some(&before), None), None);
    }
}
