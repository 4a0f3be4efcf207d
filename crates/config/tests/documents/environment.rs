//! Settings of the environment: how files are read.

use std::collections::BTreeMap;

use config::environment::{Reader, variable};
use config::settings::READING;
use protocol::reading::{Delimiter, EmptyCells, Encoding, Quote, Quoting, Reading};

fn environment(settings: &[(&str, &str)]) -> (Reading, Vec<String>) {
    let get = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let mut reader = Reader::new(&get);
    let reading = config::reading::of_environment(&mut reader);
    (reading, reader.finish(()).err().map(|faults| faults.0).unwrap_or_default())
}

#[test]
fn without_settings_files_are_read_by_the_defaults() {
    assert_eq!(environment(&[]), (Reading::default(), Vec::new()));
    let blank = [("COLLECTIONS", ""), ("INFER_TYPES", " "), ("CSV_ENCODING", ""), ("CSV_DELIMITER", " ")];
    assert_eq!(environment(&blank), (Reading::default(), Vec::new()));
}

#[test]
fn every_key_of_reading_can_be_set_in_the_environment() {
    let (reading, faults) = environment(&[
        ("COLLECTIONS", "room_types, rooms,"),
        ("TIMESTAMP_COLUMNS", "seenAt,traits.born"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y %H:%M; %b %d, %Y;%s"),
        ("INFER_TYPES", "True"),
        ("EMPTY_CELLS", "null"),
        ("UNKNOWN_COLUMNS", "Top"),
        ("CSV_ENCODING", "latin1"),
        ("CSV_DELIMITER", "\t"),
        ("CSV_QUOTE", "single"),
        ("CSV_ESCAPE", "backslash"),
        ("TIMESTAMP_ZONE", "America/New_York"),
        ("NULLS", "NULL, \\N"),
        ("ID_NULLS", "0,[object Object]"),
    ]);
    assert_eq!(faults, Vec::<String>::new());
    let quoting = Quoting { quote: Quote::Single, escape: protocol::reading::Escape::Backslash, ..Quoting::default() };
    assert_eq!(reading.quoting, Some(quoting));
    assert_eq!(reading.timestamp_zone.as_deref(), Some("America/New_York"));
    assert_eq!(reading.nulls, ["NULL", "\\N"]);
    assert_eq!(reading.id_nulls.as_deref(), Some(&["0".to_owned(), "[object Object]".to_owned()][..]));
    assert_eq!(reading.collections, ["room_types", "rooms"]);
    assert_eq!(reading.timestamp_columns, ["seenAt", "traits.born"]);
    assert_eq!(reading.timestamp_formats, ["%d/%m/%Y %H:%M", "%b %d, %Y", "%s"]);
    assert!(reading.infer_types);
    assert_eq!(reading.empty_cells, EmptyCells::Null);
    assert_eq!(reading.unknown_columns, protocol::reading::UnknownColumns::Top);
    assert_eq!(reading.encoding.map(Encoding::name), Some("windows-1252"));
    assert_eq!(reading.delimiter, Some(Delimiter::Tab));
}

#[test]
fn every_key_of_reading_changes_how_files_are_read() {
    let samples = BTreeMap::from([
        ("CSV_ENCODING", "latin1"),
        ("CSV_DELIMITER", "tab"),
        ("CSV_QUOTE", "single"),
        ("CSV_ESCAPE", "backslash"),
        ("NULLS", "-"),
        ("ID_NULLS", "0"),
        ("COLLECTIONS", "rooms"),
        ("TIMESTAMP_COLUMNS", "seenAt"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y"),
        ("TIMESTAMP_ZONE", "Europe/Berlin"),
        ("INFER_TYPES", "true"),
        ("EMPTY_CELLS", "null"),
        ("UNKNOWN_COLUMNS", "top"),
    ]);
    let declared: Vec<_> = READING.iter().map(|setting| setting.name).collect();
    assert!(declared.iter().all(|name| samples.contains_key(name)), "a sample for each: {declared:?}");
    for (name, value) in samples {
        let (reading, faults) = environment(&[(name, value)]);
        assert!(faults.is_empty() && reading != Reading::default(), "{name}: {faults:?}");
    }
}

#[test]
fn recognition_and_off_can_be_set_too() {
    let (reading, faults) = environment(&[("CSV_ENCODING", "Auto"), ("CSV_QUOTE", "double"), ("ID_NULLS", "off")]);
    assert_eq!(faults, Vec::<String>::new());
    assert!(reading.encoding_auto && reading.encoding.is_none());
    assert_eq!(reading.quoting, Some(Quoting::default()));
    assert_eq!(reading.id_nulls, Some(Vec::new()));
}

#[test]
fn faults_of_reading_are_reported_together_by_setting() {
    let (reading, faults) = environment(&[
        ("COLLECTIONS", "rooms,Rooms2"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y;%H:%M;%Q"),
        ("INFER_TYPES", "maybe"),
        ("EMPTY_CELLS", "drop"),
        ("UNKNOWN_COLUMNS", "bottom"),
        ("CSV_ENCODING", "iso-2022-jp"),
        ("CSV_DELIMITER", ":"),
        ("TIMESTAMP_ZONE", "New York"),
        ("CSV_QUOTE", "`"),
        ("CSV_ESCAPE", "/"),
    ]);
    let all = faults.join("\n");
    for words in [
        "COLLECTIONS 2 is not a collection",
        "TIMESTAMP_FORMATS 2 is not a strftime format",
        "TIMESTAMP_FORMATS 3 reads names of time zones",
        "INFER_TYPES is \"maybe\"",
        "EMPTY_CELLS is not known; write omit",
        "UNKNOWN_COLUMNS is not known; write refuse or top",
        "CSV_ENCODING cannot be read",
        "CSV_DELIMITER is not a delimiter",
        "TIMESTAMP_ZONE is not a time zone",
        "CSV_QUOTE is not known",
        "CSV_ESCAPE is not known",
    ] {
        assert!(all.contains(words), "{words} is not in\n{all}");
    }
    assert_eq!(faults.len(), 11);
    assert_eq!(reading.timestamp_formats, ["%d/%m/%Y"]);
}

#[test]
fn a_delimiter_within_characters_is_refused() {
    let (_, faults) =
        environment(&[("CSV_ENCODING", "shift_jis"), ("CSV_DELIMITER", "|"), ("CSV_ESCAPE", "backslash")]);
    assert!(faults[0].starts_with("CSV_DELIMITER is `|`, which is part of characters in Shift_JIS"), "{faults:?}");
    assert!(faults[1].starts_with("CSV_ESCAPE is a backslash, which is part of characters"), "{faults:?}");
}

#[test]
fn an_empty_variable_is_not_set() {
    assert_eq!(variable("SEGMENT_S3_THAT_NOBODY_SETS"), None);
}
