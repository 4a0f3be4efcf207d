//! Cells to timestamps, in the one shape that Segment is sent: ISO 8601, UTC, milliseconds.
//!
//! What is read: ISO 8601 with and without a zone (none is UTC), with `T` or a blank between date
//! and time, a date alone, Unix seconds (also with a fraction) and Unix milliseconds, and whatever
//! strftime formats are configured. Everything else is no date, and the row says so: a date that
//! is guessed wrong is worse than a refused row, because nobody ever sees it again.

use jiff::fmt::strtime;

/// Length of a timestamp as it is written: `2019-05-11T20:32:27.940Z`.
pub(crate) const TIMESTAMP_BYTES: usize = 24;

/// The smallest plain number that is read as Unix time: 1973-03-03 in seconds.
///
/// Smaller ones are years (`2019`), Excel's day numbers (`43596`) or `0` for "none", far more often
/// than seconds in the early seventies.
const UNIX_SECONDS_MIN: u64 = 100_000_000;

/// Numbers from here on are milliseconds: as seconds, this is the year 5138.
const UNIX_MILLIS_MIN: u64 = 100_000_000_000;

/// Numbers from here on are neither: as milliseconds, this is the year 5138 again.
const UNIX_MILLIS_END: u64 = 100_000_000_000_000;

/// Years that eight digits such as `20190511` are a date in.
const BASIC_DATE_YEARS: std::ops::RangeInclusive<i64> = 1900..=2099;

const MS_PER_SECOND: i64 = 1_000;
const MS_PER_MINUTE: i64 = 60 * MS_PER_SECOND;
const MS_PER_HOUR: i64 = 60 * MS_PER_MINUTE;
const MS_PER_DAY: i64 = 24 * MS_PER_HOUR;

/// Reads a cell and appends it in Segment's shape to `out`. Returns whether it is a date; if not,
/// nothing is appended.
pub(crate) fn append(cell: &[u8], formats: &[String], out: &mut Vec<u8>) -> bool {
    // What we write is what most files hold, and it needs no arithmetic.
    if is_canonical(cell) {
        out.extend_from_slice(cell);
        return true;
    }
    let cell = cell.trim_ascii();
    let Some(ms) = configured(cell, formats).or_else(|| iso(cell)).or_else(|| number(cell)) else {
        return false;
    };
    write(ms, out)
}

/// Whether the cell is a timestamp exactly as it would be written.
fn is_canonical(cell: &[u8]) -> bool {
    let Ok(cell) = <&[u8; TIMESTAMP_BYTES]>::try_from(cell) else {
        return false;
    };
    let shape = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = cell.iter().zip(shape).all(|(&byte, &shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let two = |at: usize| u32::from(cell[at] - b'0') * 10 + u32::from(cell[at + 1] - b'0');
    fits && {
        let year = i64::from(two(0) * 100 + two(2));
        let (month, day) = (two(5), two(8));
        year > 0
            && (1..=12).contains(&month)
            && day >= 1
            && (day <= 28 || day <= days_in_month(year, month))
            && two(11) < 24
            && two(14) < 60
            && two(17) < 60
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by the proleptic Gregorian calendar.
fn days_since_epoch(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last; eras of 400 years repeat exactly.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_of_year = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads ISO 8601's calendar dates, extended (`2019-05-11`) and basic (`20190511T203227Z`).
fn iso(cell: &[u8]) -> Option<i64> {
    let mut rest = Cursor(cell);
    let year = i64::from(rest.digits(4)?);
    let extended = rest.skip(b'-');
    let month = rest.digits(2)?;
    if extended {
        rest.expect(b'-')?;
    }
    let day = rest.digits(2)?;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_since_epoch(year, month, day) * MS_PER_DAY;
    if rest.is_empty() {
        // Eight digits are Unix time to some; the years keep the two apart.
        return (extended || BASIC_DATE_YEARS.contains(&year)).then_some(midnight);
    }
    if !(rest.skip(b'T') || rest.skip(b't') || rest.skip(b' ')) {
        return None;
    }
    let time = rest.time(extended)?;
    let zone = rest.zone()?;
    rest.is_empty().then_some(midnight + time - zone)
}

/// Reads Unix seconds, with or without a fraction, and Unix milliseconds.
fn number(cell: &[u8]) -> Option<i64> {
    let mut rest = Cursor(cell);
    let mut whole: u64 = 0;
    let digits = rest.0.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 15 {
        return None;
    }
    for _ in 0..digits {
        whole = whole * 10 + u64::from(rest.digits(1)?);
    }
    let fraction = rest.fraction(false)?;
    if !rest.is_empty() {
        return None;
    }
    let has_fraction = digits < cell.len();
    match whole {
        UNIX_SECONDS_MIN..UNIX_MILLIS_MIN => Some(i64::try_from(whole).ok()? * MS_PER_SECOND + fraction),
        UNIX_MILLIS_MIN..UNIX_MILLIS_END if !has_fraction => i64::try_from(whole).ok(),
        _ => None,
    }
}

/// Tries the configured strftime formats. A format without a zone is UTC, one without a time is
/// midnight.
fn configured(cell: &[u8], formats: &[String]) -> Option<i64> {
    if formats.is_empty() {
        return None;
    }
    formats.iter().find_map(|format| {
        let broken = strtime::parse(format, cell).ok()?;
        let timestamp = broken.to_timestamp().or_else(|_| {
            let datetime = match broken.to_datetime() {
                Ok(datetime) => datetime,
                Err(_) => broken.to_date()?.at(0, 0, 0, 0),
            };
            jiff::tz::TimeZone::UTC.to_timestamp(datetime)
        });
        Some(timestamp.ok()?.as_millisecond())
    })
}

/// Writes milliseconds since the epoch, if they are in the years 1 to 9999.
fn write(ms: i64, out: &mut Vec<u8>) -> bool {
    let Ok(timestamp) = jiff::Timestamp::from_millisecond(ms) else {
        return false;
    };
    let at = jiff::tz::Offset::UTC.to_datetime(timestamp);
    let Ok(year) = u32::try_from(at.year()) else {
        return false;
    };
    if year == 0 {
        return false;
    }
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, digits: usize, value: u32| {
        let mut value = value;
        for place in text[from..from + digits].iter_mut().rev() {
            *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    let narrow = |value: i8| u32::try_from(value).unwrap_or(0);
    put(0, 4, year);
    put(5, 2, narrow(at.month()));
    put(8, 2, narrow(at.day()));
    put(11, 2, narrow(at.hour()));
    put(14, 2, narrow(at.minute()));
    put(17, 2, narrow(at.second()));
    put(20, 3, u32::try_from(at.millisecond()).unwrap_or(0));
    out.extend_from_slice(&text);
    true
}

/// What is left of a cell.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn skip(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip(byte).then_some(())
    }

    /// Exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
        }
        self.0 = rest;
        Some(value)
    }

    /// A fraction of a second, cut to milliseconds; 0 when there is none.
    fn fraction(&mut self, comma: bool) -> Option<i64> {
        if !(self.skip(b'.') || (comma && self.skip(b','))) {
            return Some(0);
        }
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let digit = |at: usize| i64::from(fraction.get(at).map_or(0, |b| b - b'0'));
        Some(digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// `20:32`, `20:32:27`, `20:32:27.940`; `2032` and `203227` when not extended.
    fn time(&mut self, extended: bool) -> Option<i64> {
        let hour = self.digits(2)?;
        if extended {
            self.expect(b':')?;
        }
        let minute = self.digits(2)?;
        let seconds_follow = if extended { self.skip(b':') } else { self.0.first().is_some_and(u8::is_ascii_digit) };
        let (mut second, mut fraction) = (0, 0);
        if seconds_follow {
            second = self.digits(2)?;
            fraction = self.fraction(true)?;
        }
        // A leap second counts into the next minute, as it does in Unix time.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some(
            i64::from(hour) * MS_PER_HOUR
                + i64::from(minute) * MS_PER_MINUTE
                + i64::from(second) * MS_PER_SECOND
                + fraction,
        )
    }

    /// Nothing, `Z`, `UTC` or `GMT` behind a blank, `+02`, `+0200`, `+02:00`: the milliseconds ahead
    /// of UTC.
    fn zone(&mut self) -> Option<i64> {
        let spaced = self.skip(b' ');
        if self.is_empty() {
            return Some(0);
        }
        if self.skip(b'Z') || self.skip(b'z') {
            return Some(0);
        }
        if spaced && (self.0.eq_ignore_ascii_case(b"UTC") || self.0.eq_ignore_ascii_case(b"GMT")) {
            self.0 = &[];
            return Some(0);
        }
        let sign = if self.skip(b'+') {
            1
        } else if self.skip(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2)?;
        let minutes = if self.is_empty() {
            0
        } else {
            self.skip(b':');
            self.digits(2)?
        };
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(sign * (i64::from(hours) * MS_PER_HOUR + i64::from(minutes) * MS_PER_MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_with(cell: &str, formats: &[&str]) -> Option<String> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        let mut out = b"before".to_vec();
        let is_date = append(cell.as_bytes(), &formats, &mut out);
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
    fn unix_seconds_and_milliseconds_are_told_apart_by_their_size() {
        check("1557606747", "2019-05-11T20:32:27.000Z");
        check("1557606747940", "2019-05-11T20:32:27.940Z");
        check("1557606747.940", "2019-05-11T20:32:27.940Z");
        check("1557606747.9", "2019-05-11T20:32:27.900Z");
        check("100000000", "1973-03-03T09:46:40.000Z");
        check("99999999999", "5138-11-16T09:46:39.000Z");
        check("100000000000", "1973-03-03T09:46:40.000Z");
    }

    #[test]
    fn what_is_no_date_is_not_made_one() {
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
            "1557606747940000",
            "1557606747940.5",
            "1557606747.",
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

    proptest! {
        #[test]
        fn every_millisecond_reads_as_another_calendar_says(ms in -62_135_596_800_000_i64..253_402_300_800_000) {
            let reference = format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap());
            for cell in [reference.clone(), reference.replace('T', " "), reference.replace('Z', "+00:00")] {
                prop_assert_eq!(read_with(&cell, &[]), Some(reference.clone()));
            }
        }

        #[test]
        fn dates_that_the_calendar_does_not_have_are_refused(year in 1_i16..9999, month in 0_i8..14, day in 0_i8..33) {
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
                prop_assert!(text.parse::<jiff::Timestamp>().is_ok(), "{}", text);
            }
        }
    }
}
