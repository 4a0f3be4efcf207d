//! Cells through [`Times`], as a file has them.

use super::*;
use proptest::prelude::*;

fn read_with(cell: &str, formats: &[&str]) -> Option<String> {
    let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
    let mut out = b"before".to_vec();
    let is_date = Times::new(&formats, None).append(cell.as_bytes(), &mut out).is_some();
    let text = String::from_utf8(out).unwrap();
    let text = text.strip_prefix("before").unwrap().to_owned();
    assert_eq!(is_date, !text.is_empty(), "{cell}");
    is_date.then_some(text)
}

#[track_caller]
fn check(cell: &str, expected: &str) {
    assert_eq!(read_with(cell, &[]).as_deref(), Some(expected), "{cell}");
}

#[test]
fn iso_8601_is_read_with_and_without_a_zone() {
    for cell in [
        "2019-05-11T20:32:27.940Z",
        "2019-05-11T20:32:27.940",
        "2019-05-11 20:32:27.940",
        "2019-05-11t20:32:27.940z",
        "2019-05-11T20:32:27,940Z",
        "2019-05-11T20:32:27.94Z",
        "2019-05-11T20:32:27.940999999Z",
        "2019-05-11 20:32:27.940 UTC",
        "2019-05-11 20:32:27.940 +0000",
        "2019-05-11T22:32:27.940+02:00",
        "2019-05-11T22:32:27.940+02",
        "2019-05-11T15:02:27.940-0530",
        "2019-05-12T00:32:27.940+04:00",
        "20190511T203227.940Z",
        "  2019-05-11T20:32:27.940Z ",
    ] {
        check(cell, "2019-05-11T20:32:27.940Z");
    }
    check("2019-05-11T20:32Z", "2019-05-11T20:32:00.000Z");
    check("2019-05-11 20:32", "2019-05-11T20:32:00.000Z");
    check("20190511T2032", "2019-05-11T20:32:00.000Z");
    check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z");
    check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z");
    check("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z");
}

#[test]
fn a_date_alone_is_its_midnight_in_utc() {
    check("2019-05-11", "2019-05-11T00:00:00.000Z");
    check("20190511", "2019-05-11T00:00:00.000Z");
    check("2020-02-29", "2020-02-29T00:00:00.000Z");
}

#[test]
fn the_size_of_a_unix_time_gives_its_unit() {
    check("1557606747", "2019-05-11T20:32:27.000Z");
    check("1557606747940", "2019-05-11T20:32:27.940Z");
    check("1557606747.940", "2019-05-11T20:32:27.940Z");
    check("1557606747.9", "2019-05-11T20:32:27.900Z");
    check("100000000", "1973-03-03T09:46:40.000Z");
    check("4102444800", "2100-01-01T00:00:00.000Z");
    check("100000000000", "1973-03-03T09:46:40.000Z");
    check("1000000000000000000", "2001-09-09T01:46:40.000Z");
    check("253402300798", "1978-01-11T21:31:40.798Z");
    check("4102444800000", "2100-01-01T00:00:00.000Z");
    check("1557606747940000", "2019-05-11T20:32:27.940Z");
    check("1557606747940999999", "2019-05-11T20:32:27.940Z");
    check("4102444800000000000", "2100-01-01T00:00:00.000Z");
}

#[test]
fn digits_that_spell_a_date_and_time_are_read_as_one() {
    check("20190511203227", "2019-05-11T20:32:27.000Z");
    check("201905112032", "2019-05-11T20:32:00.000Z");
    check("19000101000000", "1900-01-01T00:00:00.000Z");
    check("209912312359", "2099-12-31T23:59:00.000Z");
    // Not a day in May, so milliseconds.
    check("201905322032", "1976-05-25T20:48:42.032Z");
}

#[test]
fn the_years_1_and_9999_are_whole_in_every_spelling() {
    for last in
        ["9999-12-31T23:59:59.999Z", "9999-12-31 23:59:59.999", "9999-12-31T22:59:59.999-01:00", "99991231T235959.999Z"]
    {
        check(last, "9999-12-31T23:59:59.999Z");
    }
    check("9999-12-31", "9999-12-31T00:00:00.000Z");
    check("0001-01-01", "0001-01-01T00:00:00.000Z");
    check("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00.000Z");
    for beyond in ["9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999-00:01", "0001-01-01T00:00:00+00:01"] {
        assert_eq!(read_with(beyond, &[]), None, "{beyond}");
    }
    let formats = ["%d/%m/%Y %H:%M %z", "%d/%m/%Y"];
    for (cell, expected) in [
        ("31/12/9999", Some("9999-12-31T00:00:00.000Z")),
        ("31/12/9999 23:00 +0200", Some("9999-12-31T21:00:00.000Z")),
        ("31/12/9999 23:00 -0200", None),
    ] {
        assert_eq!(read_with(cell, &formats).as_deref(), expected, "{cell}");
    }
}

#[test]
fn cells_that_are_not_dates_are_refused() {
    for cell in [
        "",
        " ",
        "yesterday",
        "n/a",
        "null",
        "0",
        "-1",
        "2019",
        "43596",
        "99999999",
        "15576067479400000",
        "15576067479",
        "4102444801",
        "63072000000",
        "99999999999",
        "636932035479400000",
        "132020803479400000",
        "999999999999999999",
        "2024010512",
        "2024010512.0",
        "2019123123",
        "1557606747940000.5",
        "1557606747940.5",
        "253402300799999999",
        "2031051120322794",
        "99999999999999999999",
        "1557606747.",
        "63072000000.5",
        "4102444800001",
        "253402300799",
        "253402300799000",
        "21000101000000",
        "20190511203260000",
        "20190511243227",
        "2019-13-01",
        "2019-02-29",
        "2019-05-32",
        "2019-00-10",
        "2019-05-00",
        "0000-01-01",
        "2019-5-11",
        "11/05/2019",
        "05-11-2019",
        "2019-05-11T",
        "2019-05-11T24:00:00Z",
        "2019-05-11T20",
        "2019-05-11T20:60Z",
        "2019-05-11T20:32:61Z",
        "2019-05-11T20:32:27.Z",
        "2019-05-11T20:32:27X",
        "2019-05-11T20:32:27+2",
        "2019-05-11T20:32:27+24:00",
        "2019-05-11T20:32:27+02:60",
        "2019-05-11 20:32 CET",
        "2019-05-11T20:32:27ZZ",
        "2019-05-11  20:32",
        "20190532",
        "18990101",
        "2019-02-29T00:00:00.000Z",
        "2019-05-11T25:00:00.000Z",
        "0000-05-11T20:32:27.940Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "１５５７６０６７４７",
    ] {
        assert_eq!(read_with(cell, &[]), None, "{cell}");
    }
}

#[test]
fn configured_formats_come_first() {
    let formats = ["%d/%m/%Y %H:%M", "%d/%m/%Y", "%b %d, %Y"];
    for (cell, expected) in [
        ("11/05/2019 20:32", Some("2019-05-11T20:32:00.000Z")),
        (" 11/05/2019 ", Some("2019-05-11T00:00:00.000Z")),
        ("May 11, 2019", Some("2019-05-11T00:00:00.000Z")),
        ("2019-05-11", Some("2019-05-11T00:00:00.000Z")),
        ("31/02/2019", None),
        ("05/31/2019", None),
    ] {
        assert_eq!(read_with(cell, &formats).as_deref(), expected, "{cell}");
    }
    let zoned = ["%d.%m.%Y %H:%M %z"];
    assert_eq!(read_with("11.05.2019 20:32 +0200", &zoned).as_deref(), Some("2019-05-11T18:32:00.000Z"));
    // Eight digits that ISO 8601 would read otherwise.
    assert_eq!(read_with("20101112", &["%Y%d%m"]).as_deref(), Some("2010-12-11T00:00:00.000Z"));
}

#[test]
fn a_year_of_two_or_three_digits_is_not_taken_for_one_of_four() {
    for (cell, formats) in [
        ("5/11/19 8:32", &["%m/%d/%Y %H:%M"][..]),
        ("11/05/19", &["%d/%m/%Y"]),
        ("1/5/219", &["%d/%m/%Y"]),
        ("31/12/999", &["%d/%m/%Y"]),
        ("11/05/19 22:32 +0200", &["%d/%m/%Y %H:%M %z"]),
    ] {
        assert_eq!(read_with(cell, formats), None, "{cell}");
    }
    for (cell, formats, expected) in [
        ("11/05/19", &["%d/%m/%Y", "%d/%m/%y"][..], "2019-05-11T00:00:00.000Z"),
        ("5/11/2019 8:32", &["%m/%d/%Y %H:%M"], "2019-05-11T08:32:00.000Z"),
        ("1/1/1000", &["%d/%m/%Y"], "1000-01-01T00:00:00.000Z"),
        ("0019-05-11", &["%d/%m/%Y", "%Y-%m-%d"], "0019-05-11T00:00:00.000Z"),
    ] {
        assert_eq!(read_with(cell, formats).as_deref(), Some(expected), "{cell}");
    }
}

#[test]
fn a_column_has_one_reading_also_where_a_cell_looks_like_ours() {
    let formats = ["%Y-%d-%mT%H:%M:%S%.fZ"];
    for cell in ["2019-05-11T20:32:27.94Z", "2019-05-11T20:32:27.940Z", " 2019-05-11T20:32:27.940Z"] {
        assert_eq!(read_with(cell, &formats).as_deref(), Some("2019-11-05T20:32:27.940Z"), "{cell}");
    }
    // Not in that format, since there is no month 31.
    check("2019-05-31T20:32:27.940Z", "2019-05-31T20:32:27.940Z");
    let beyond = read_with("2019-05-31T20:32:27.940Z", &formats);
    assert_eq!(beyond.as_deref(), Some("2019-05-31T20:32:27.940Z"));
}

#[test]
fn times_without_a_zone_are_in_the_zone_that_is_set() {
    let read = |cell: &str, zone: &str, formats: &[&str]| {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        let mut out = Vec::new();
        let read = Times::new(&formats, Some(zone)).append(cell.as_bytes(), &mut out).unwrap();
        (String::from_utf8(out).unwrap(), read.is_ambiguous)
    };
    for (cell, zone, expected, is_ambiguous) in [
        ("2024-01-05 10:00:00", "America/New_York", "2024-01-05T15:00:00.000Z", false),
        ("2024-07-05 10:00:00", "America/New_York", "2024-07-05T14:00:00.000Z", false),
        ("2024-01-05", "Europe/Berlin", "2024-01-04T23:00:00.000Z", false),
        ("20240105100000", "+05:30", "2024-01-05T04:30:00.000Z", false),
        ("2024-01-05T10:00:00Z", "America/New_York", "2024-01-05T10:00:00.000Z", false),
        ("1557606747", "America/New_York", "2019-05-11T20:32:27.000Z", false),
        ("2024-11-03 01:30:00", "America/New_York", "2024-11-03T05:30:00.000Z", true),
        ("2024-03-10 02:30:00", "America/New_York", "2024-03-10T07:30:00.000Z", true),
    ] {
        assert_eq!(read(cell, zone, &[]), (expected.to_owned(), is_ambiguous), "{cell}");
    }
    assert_eq!(read("05/01/2024 10:00", "America/New_York", &["%d/%m/%Y %H:%M"]).0, "2024-01-05T15:00:00.000Z");
    for name in ["America/New_York", "utc", "UTC", "Z", "+02:00", "-0530", "+02"] {
        assert!(zone(name).is_some(), "{name}");
    }
    for name in ["", "EST5", "New York", "+25:00", "+02:00x", "Europe/Nowhere"] {
        assert!(zone(name).is_none(), "{name}");
    }
}

#[test]
fn another_order_of_day_and_month_is_noticed() {
    assert_eq!(exchanged("%d/%m/%Y").as_deref(), Some("%m/%d/%Y"));
    assert_eq!(exchanged("%Y-%-m-%-d %H:%M").as_deref(), Some("%Y-%-d-%-m %H:%M"));
    assert_eq!(exchanged("%D %H:%M").as_deref(), Some("%d/%m/%y %H:%M"));
    for none in ["%b %d, %Y", "%F", "%%d/%m", "%s", "%%D"] {
        assert_eq!(exchanged(none), None, "{none}");
    }
    let times = Times::new(&["%d/%m/%Y".to_owned()], None);
    assert!(times.may_be_exchanged());
    for (cell, order) in [
        ("05/11/2019", Order::Fits),
        ("05/13/2019", Order::Fits),
        ("13/05/2019", Order::Unfit),
        ("05/05/2019", Order::Same),
        ("x", Order::Same),
        ("2019-05-11", Order::Same),
    ] {
        assert_eq!(times.order(cell.as_bytes()), order, "{cell}");
    }
}

fn read_in(cell: &str, zone: Option<&str>, formats: &[&str]) -> Option<Read> {
    let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
    Times::new(&formats, zone).append(cell.as_bytes(), &mut Vec::new())
}

#[test]
fn placeholder_dates_are_noticed_in_every_zone() {
    for (cell, zone) in [
        ("1970-01-01T00:00:00Z", None),
        ("1970-01-01", Some("America/New_York")),
        ("1969-12-31 19:00:00", None),
        ("1969-12-31 23:59:59", None),
        ("1904-01-01", None),
        ("1900-01-01 20:00:00", Some("-08:00")),
        ("1900-01-01T20:00:00-08:00", None),
        ("1899-12-30", None),
        ("2099-12-31", Some("-08:00")),
        ("2079-06-06 23:59:00", None),
        ("2038-01-19T03:14:07Z", None),
        ("2100-01-01", None),
        ("9999-12-31", None),
    ] {
        assert!(read_in(cell, zone, &[]).unwrap().is_sentinel, "{cell} {zone:?}");
    }
    for cell in ["1970-01-02", "1990-01-01", "2019-05-11", "2038-01-18", "2099-12-30", "1557606747"] {
        assert!(!read_in(cell, None, &[]).unwrap().is_sentinel, "{cell}");
    }
}

#[test]
fn a_year_of_two_digits_with_a_disputed_century_is_noticed() {
    for (cell, format, expected) in [
        ("05/11/68", "%m/%d/%y", true),
        ("05/11/30", "%D", true),
        ("05/11/29", "%m/%d/%y", false),
        ("05/11/69", "%m/%d/%y", false),
        ("05/11/2050", "%m/%d/%Y", false),
    ] {
        assert_eq!(read_in(cell, None, &[format]).unwrap().is_sentinel, expected, "{cell}");
    }
}

#[test]
fn a_number_of_unix_time_that_spells_a_time_is_noticed() {
    for (cell, expected) in [
        ("1905112032", true),
        ("1905112032.0", true),
        ("190511203227", true),
        ("1557606747", false),
        ("1557606747940", false),
    ] {
        let read = read_in(cell, None, &[]).unwrap();
        assert_eq!((read.is_number, read.is_spelled), (true, expected), "{cell}");
    }
    assert!(!read_in("2019-05-11", None, &[]).unwrap().is_number);
}

proptest! {
    #[test]
    fn every_millisecond_reads_as_another_calendar_says(ms in -62_135_596_800_000_i64..253_402_207_200_000) {
        let reference = format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap());
        for cell in [reference.clone(), reference.replace('T', " "), reference.replace('Z', "+00:00")] {
            prop_assert_eq!(read_with(&cell, &[]), Some(reference.clone()));
        }
    }

    #[test]
    fn dates_that_the_calendar_does_not_have_are_refused(year in 1_i16..=9999, month in 0_i8..14, day in 0_i8..33) {
        let exists = jiff::civil::Date::new(year, month, day).is_ok();
        for cell in [
            format!("{year:04}-{month:02}-{day:02}T20:32:27.940Z"),
            format!("{year:04}-{month:02}-{day:02}"),
        ] {
            prop_assert_eq!(read_with(&cell, &[]).is_some(), exists, "{}", cell);
        }
    }

    #[test]
    fn nothing_but_a_timestamp_is_ever_written(cell in "[0-9TZ:. +-]{0,30}|\\PC{0,12}") {
        if let Some(text) = read_with(&cell, &[]) {
            prop_assert_eq!(text.len(), TIMESTAMP_BYTES);
            prop_assert!(text.trim_end_matches('Z').parse::<jiff::civil::DateTime>().is_ok(), "{}", text);
        }
    }
}
