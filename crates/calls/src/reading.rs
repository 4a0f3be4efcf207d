//! The settings of the reading side, as plain data, parsed once.

use jiff::civil;
pub use protocol::reading::{EmptyCells, Reading};

use crate::dialect::{Delimiter, Encoding, Escape, Measure, Quote, Quoting};
use crate::subject::{COLLECTION_CHARS_MAX, is_collection};
use crate::timestamps;

/// Reads the settings through `get`, which gives a setting by its name.
///
/// Adds every fault to `faults` as `NAME: what is wrong and what to write`, and puts the default
/// in its place.
pub fn parse(get: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<String>) -> Reading {
    let set = |name: &str| get(name).filter(|value| !value.trim().is_empty());
    let list = |name: &str, separator: char| -> Vec<String> {
        set(name)
            .iter()
            .flat_map(|value| value.split(separator))
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    };
    let mut reading = Reading {
        collections: list("COLLECTIONS", ','),
        timestamp_columns: list("TIMESTAMP_COLUMNS", ','),
        timestamp_formats: list("TIMESTAMP_FORMATS", ';'),
        nulls: list("NULLS", ','),
        id_nulls: set("ID_NULLS").map(|value| match value.trim() {
            "off" => Vec::new(),
            _ => list("ID_NULLS", ','),
        }),
        ..Reading::default()
    };
    for collection in &reading.collections {
        if !is_collection(collection) {
            faults.push(format!(
                "COLLECTIONS: `{collection}` is no collection: write lowercase letters a-z and `_`, no `_` at either end, at most {COLLECTION_CHARS_MAX} characters"
            ));
        }
    }
    for format in &reading.timestamp_formats {
        if names_zone(format) {
            faults.push(format!(
                "TIMESTAMP_FORMATS: `{format}` reads names of time zones: write times with their offset and read it with %z, or set TIMESTAMP_ZONE"
            ));
        } else if !is_whole_date(format) {
            faults.push(format!(
                "TIMESTAMP_FORMATS: `{format}` is no strftime format of a whole date: write one such as %d/%m/%Y %H:%M, several with `;` between them"
            ));
        }
    }
    reading.timestamp_formats.retain(|format| !names_zone(format) && is_whole_date(format));
    if let Some(value) = set("INFER_TYPES") {
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => reading.infer_types = true,
            "false" | "0" | "no" | "off" => {}
            _ => faults.push("INFER_TYPES: write true or false".to_owned()),
        }
    }
    if let Some(value) = set("EMPTY_CELLS") {
        match value.trim().to_ascii_lowercase().as_str() {
            "omit" => reading.empty_cells = EmptyCells::Omit,
            "null" => reading.empty_cells = EmptyCells::Null,
            "empty" => reading.empty_cells = EmptyCells::Empty,
            _ => faults.push("EMPTY_CELLS: write omit, null or empty".to_owned()),
        }
    }
    if let Some(value) = set("TIMESTAMP_ZONE") {
        let value = value.trim();
        if timestamps::zone(value).is_some() {
            reading.timestamp_zone = Some(value.to_owned());
        } else {
            faults.push(format!(
                "TIMESTAMP_ZONE: `{value}` is no time zone: write UTC, a name such as America/New_York, or an offset such as +02:00"
            ));
        }
    }
    reading.quoting = quoting(set("CSV_QUOTE"), set("CSV_ESCAPE"), faults);
    if let Some(value) = set("CSV_ENCODING") {
        reading.encoding_auto = value.trim().eq_ignore_ascii_case("auto");
        reading.encoding = Encoding::named(&value);
        if reading.encoding.is_none() && !reading.encoding_auto {
            faults.push(format!(
                "CSV_ENCODING: `{}` is no encoding that can be read: write auto, or one such as utf-8, utf-16le, windows-1252 or shift_jis",
                value.trim()
            ));
        }
    }
    // A tab is a value here, so blanks alone do not make it unset.
    if let Some(value) = get("CSV_DELIMITER").filter(|value| !value.trim_matches(' ').is_empty()) {
        reading.delimiter = Delimiter::named(&value);
        if reading.delimiter.is_none() {
            faults.push("CSV_DELIMITER: write comma, semicolon, tab or pipe".to_owned());
        }
    }
    if let (Some(encoding), Some(delimiter)) = (reading.encoding, reading.delimiter)
        && encoding.may_hide(delimiter)
    {
        faults.push(format!(
            "CSV_DELIMITER: `{delimiter}` is part of characters in {encoding}, so cells cannot be told apart: write the files in UTF-8"
        ));
    }
    if let (Some(encoding), Some(Quoting { escape: Escape::Backslash, .. })) = (reading.encoding, reading.quoting)
        && encoding.may_hide_backslash()
    {
        faults.push(format!(
            "CSV_ESCAPE: a backslash is part of characters in {encoding}, so cells cannot be told apart: write the files in UTF-8"
        ));
    }
    reading
}

/// How cells are quoted, where a setting says it.
fn quoting(quote: Option<String>, escape: Option<String>, faults: &mut Vec<String>) -> Option<Quoting> {
    if quote.is_none() && escape.is_none() {
        return None;
    }
    let mut quoting = Quoting::default();
    match quote.as_deref().map(str::trim) {
        None | Some("double" | "\"") => {}
        Some("single" | "'") => quoting.quote = Quote::Single,
        Some(_) => faults.push("CSV_QUOTE: write double or single".to_owned()),
    }
    match escape.as_deref().map(str::trim) {
        None | Some("doubled") => {}
        Some("backslash" | "\\") => quoting.escape = Escape::Backslash,
        Some(_) => faults.push("CSV_ESCAPE: write doubled or backslash".to_owned()),
    }
    Some(quoting)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> (Reading, Vec<String>) {
        let mut faults = Vec::new();
        let get = |name: &str| {
            let (_, value) = settings.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        };
        let reading = super::parse(&get, &mut faults);
        (reading, faults)
    }

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(parse(&[]), (Reading::default(), Vec::new()));
        let blank = [("COLLECTIONS", ""), ("INFER_TYPES", " "), ("CSV_ENCODING", ""), ("CSV_DELIMITER", " ")];
        assert_eq!(parse(&blank), (Reading::default(), Vec::new()));
    }

    #[test]
    fn everything_can_be_set() {
        let (reading, faults) = parse(&[
            ("COLLECTIONS", "room_types, rooms,"),
            ("TIMESTAMP_COLUMNS", "seenAt,traits.born"),
            ("TIMESTAMP_FORMATS", "%d/%m/%Y %H:%M; %b %d, %Y;%s"),
            ("INFER_TYPES", "True"),
            ("EMPTY_CELLS", "null"),
            ("CSV_ENCODING", "latin1"),
            ("CSV_DELIMITER", "\t"),
            ("CSV_QUOTE", "single"),
            ("CSV_ESCAPE", "backslash"),
            ("TIMESTAMP_ZONE", "America/New_York"),
            ("NULLS", "NULL, \\N"),
            ("ID_NULLS", "0,[object Object]"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        let quoting = Quoting { quote: Quote::Single, escape: Escape::Backslash, ..Quoting::default() };
        assert_eq!(reading.quoting, Some(quoting));
        assert_eq!(reading.timestamp_zone.as_deref(), Some("America/New_York"));
        assert_eq!(reading.nulls, ["NULL", "\\N"]);
        assert_eq!(reading.id_nulls.as_deref(), Some(&["0".to_owned(), "[object Object]".to_owned()][..]));
        assert_eq!(reading.collections, ["room_types", "rooms"]);
        assert_eq!(reading.timestamp_columns, ["seenAt", "traits.born"]);
        assert_eq!(reading.timestamp_formats, ["%d/%m/%Y %H:%M", "%b %d, %Y", "%s"]);
        assert!(reading.infer_types);
        assert_eq!(reading.empty_cells, EmptyCells::Null);
        assert_eq!(reading.encoding.map(Encoding::name), Some("windows-1252"));
        assert_eq!(reading.delimiter, Some(Delimiter::Tab));
    }

    #[test]
    fn what_is_found_out_from_the_file_and_what_is_off_can_be_set_too() {
        let (reading, faults) = parse(&[("CSV_ENCODING", "Auto"), ("CSV_QUOTE", "double"), ("ID_NULLS", "off")]);
        assert_eq!(faults, Vec::<String>::new());
        assert!(reading.encoding_auto && reading.encoding.is_none());
        assert_eq!(reading.quoting, Some(Quoting::default()));
        assert_eq!(reading.id_nulls, Some(Vec::new()));
    }

    #[test]
    fn a_format_that_would_lose_the_zone_or_half_the_day_is_refused() {
        for (format, word) in [
            ("%Y-%m-%d %H:%M %Q", "time zones"),
            ("%Y-%m-%d %H:%M %:Q", "time zones"),
            ("%Y-%m-%d %I:%M", "whole date"),
            ("%I %d/%m/%Y", "whole date"),
        ] {
            let (reading, faults) = parse(&[("TIMESTAMP_FORMATS", format)]);
            assert!(reading.timestamp_formats.is_empty(), "{format}");
            assert!(faults.len() == 1 && faults[0].contains(word), "{format}: {faults:?}");
        }
        for format in ["%Y-%m-%d %I:%M %p", "%Y-%m-%d %%Q", "%Y-%m-%d %H:%M %z", "%d.%m.%Y", "%s", "%F %T%.f"] {
            let (reading, faults) = parse(&[("TIMESTAMP_FORMATS", format)]);
            assert_eq!((reading.timestamp_formats.len(), faults), (1, Vec::new()), "{format}");
        }
    }

    #[test]
    fn all_faults_are_reported_together_by_name() {
        let (reading, faults) = parse(&[
            ("COLLECTIONS", "rooms,Rooms2"),
            ("TIMESTAMP_FORMATS", "%d/%m/%Y;%H:%M;%Q"),
            ("INFER_TYPES", "maybe"),
            ("EMPTY_CELLS", "drop"),
            ("CSV_ENCODING", "iso-2022-jp"),
            ("CSV_DELIMITER", ":"),
            ("TIMESTAMP_ZONE", "New York"),
            ("CSV_QUOTE", "`"),
            ("CSV_ESCAPE", "/"),
        ]);
        let names: Vec<&str> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(
            names,
            [
                "COLLECTIONS",
                "TIMESTAMP_FORMATS",
                "TIMESTAMP_FORMATS",
                "INFER_TYPES",
                "EMPTY_CELLS",
                "TIMESTAMP_ZONE",
                "CSV_QUOTE",
                "CSV_ESCAPE",
                "CSV_ENCODING",
                "CSV_DELIMITER"
            ]
        );
        assert_eq!(reading.timestamp_formats, ["%d/%m/%Y"]);
        let (_, faults) = parse(&[("CSV_ENCODING", "shift_jis"), ("CSV_DELIMITER", "pipe")]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (_, faults) = parse(&[("CSV_ENCODING", "shift_jis"), ("CSV_ESCAPE", "backslash")]);
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
