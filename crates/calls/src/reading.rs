//! The settings of reading, as plain data, and checks of their values.

use jiff::civil;
pub use protocol::reading::{EmptyCells, Reading, UnknownColumns};

use crate::subject::{COLLECTION_CHARS_MAX, is_collection};
use crate::timestamps;

/// What is wrong with a strftime format of `TIMESTAMP_FORMATS`, and what to write; `None` if dates can be read by it.
pub fn format_fault(format: &str) -> Option<String> {
    if names_zone(format) {
        let advice = "write times with their offset and read it with %z, or set a zone";
        return Some(format!("reads names of time zones; {advice}"));
    }
    (!is_whole_date(format))
        .then(|| "is not a strftime format of a whole date; write one such as %d/%m/%Y %H:%M".to_owned())
}

/// What is wrong with the name of a collection; `None` if the Objects API takes it.
pub fn collection_fault(name: &str) -> Option<String> {
    (!is_collection(name)).then(|| {
        format!(
            "is not a collection; write lowercase letters a-z and `_`, no `_` at either end, at most {COLLECTION_CHARS_MAX} characters"
        )
    })
}

/// Settings of the environment that messages name, and the keys of a mapping that mean the same.
const KEYS: [(&str, &str); 10] = [
    ("CSV_ENCODING", "encoding"),
    ("CSV_DELIMITER", "delimiter"),
    ("CSV_QUOTE", "quote"),
    ("CSV_ESCAPE", "escape"),
    ("NULLS", "nulls"),
    ("ID_NULLS", "id_nulls"),
    ("TIMESTAMP_FORMATS", "dates"),
    ("TIMESTAMP_ZONE", "zone"),
    ("INFER_TYPES", "infer_types"),
    ("UNKNOWN_COLUMNS", "unknown_columns"),
];

/// The key of a mapping that means the same as a setting of the environment.
pub fn key_of(setting: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| *name == setting).map(|(_, key)| *key)
}

/// Whether it is a time zone: `UTC`, a name such as `America/New_York`, or an offset such as `+02:00`.
pub fn is_zone(text: &str) -> bool {
    timestamps::zone(text).is_some()
}

/// Whether `%Q` or one of its kin stands in `format`: an IANA name, such as `America/New_York`.
fn names_zone(format: &str) -> bool {
    let mut rest = format;
    while let Some((_, behind)) = rest.split_once('%') {
        let word = behind.trim_start_matches(|c: char| "-_^#:.".contains(c) || c.is_ascii_digit());
        if word.starts_with('Q') {
            return true;
        }
        let mut chars = word.chars();
        let _ = chars.next();
        rest = chars.as_str();
    }
    false
}

/// Whether a date written in `format` can be read back from it, and with its hour if it has one:
/// `%I` without `%p` would make morning of every evening.
fn is_whole_date(format: &str) -> bool {
    let evening = civil::date(2019, 5, 11).at(20, 32, 27, 0);
    let written = |at: civil::DateTime| {
        let zoned = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        jiff::fmt::strtime::format(format, &zoned).ok()
    };
    let Some(text) = written(evening) else {
        return false;
    };
    let Ok(broken) = jiff::fmt::strtime::parse(format, &text) else {
        return false;
    };
    let read = match broken.to_timestamp() {
        Ok(timestamp) => Some(jiff::tz::Offset::UTC.to_datetime(timestamp)),
        Err(_) => broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0))).ok(),
    };
    let has_hour = written(civil::date(2019, 5, 11).at(21, 32, 27, 0)).as_ref() != Some(&text);
    read.is_some_and(|read| !has_hour || read.hour() == evening.hour())
}
