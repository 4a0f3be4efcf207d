//! Cells that are dates in every file: ISO 8601, and Unix time.

use super::calendar::{MS_PER_DAY, MS_PER_SECOND, days_in_month, days_since_epoch};
use super::cursor::Cursor;

/// The smallest plain number that is read as Unix time: 1973-03-03 in seconds.
///
/// Smaller ones are years (`2019`), Excel's day numbers (`43596`) or `0` for "none", far more often
/// than seconds in the early seventies.
const UNIX_SECONDS_MIN: u64 = 100_000_000;

/// The largest plain number that is read as seconds, 2100-01-01; what is larger is no seconds.
const UNIX_SECONDS_MAX: u64 = 4_102_444_800;

/// The smallest and the largest plain numbers that are read as milliseconds: the years of seconds. Eleven digits are
/// seconds with a digit too many at least as often as milliseconds of the early seventies.
const UNIX_MILLIS_MIN: u64 = UNIX_SECONDS_MIN * 1_000;
const UNIX_MILLIS_MAX: u64 = UNIX_SECONDS_MAX * 1_000;

/// The smallest and the largest plain numbers that are read as microseconds: the years of seconds.
const UNIX_MICROS_MIN: u64 = UNIX_SECONDS_MIN * 1_000_000;
const UNIX_MICROS_MAX: u64 = UNIX_SECONDS_MAX * 1_000_000;

/// The smallest number that is read as nanoseconds, 2001-09-09: 19 digits. Numbers of 18 digits are ticks of .NET
/// (since the year 1) and of Windows (since 1601).
const UNIX_NANOS_MIN: u64 = 1_000_000_000_000_000_000;
const UNIX_NANOS_MAX: u64 = UNIX_SECONDS_MAX * 1_000_000_000;

/// 9999-12-31T23:59:59Z in seconds, which databases write for "for ever". As milliseconds it would
/// be a day in 1978.
pub(super) const FOR_EVER: u64 = 253_402_300_799;

/// Years that digits alone, such as `20190511` and `20190511203227`, are a date in.
const BASIC_DATE_YEARS: std::ops::RangeInclusive<i64> = 1900..=2099;

/// A moment, with its zone or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// A number of Unix time, in UTC.
    Unix(i64),
    /// A time, and how far it is ahead of UTC.
    Zoned { local_ms: i64, ahead_ms: i64 },
    /// A time without a zone.
    Local(i64),
}

/// Reads ISO 8601's calendar dates, extended (`2019-05-11`) and basic (`20190511T203227Z`).
pub(super) fn iso(cell: &[u8]) -> Option<Moment> {
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
        return (extended || BASIC_DATE_YEARS.contains(&year)).then_some(Moment::Local(midnight));
    }
    if !(rest.skip(b'T') || rest.skip(b't') || rest.skip(b' ')) {
        return None;
    }
    let time = rest.time(extended)?;
    let zone = rest.zone()?;
    rest.is_empty().then_some(match zone {
        Some(ahead_ms) => Moment::Zoned { local_ms: midnight + time, ahead_ms },
        None => Moment::Local(midnight + time),
    })
}

/// Reads `20190511203227` and `201905112032`, which as Unix time would be absurd: centuries ahead, or
/// some months of 1976.
pub(super) fn digits(cell: &[u8]) -> Option<Moment> {
    if !matches!(cell.len(), 12 | 14) {
        return None;
    }
    let (date, time) = cell.split_at(8);
    // A date alone is its midnight, and is one only in the years that are meant.
    let Moment::Local(midnight) = iso(date)? else { return None };
    let mut rest = Cursor(time);
    let time = rest.time(false)?;
    rest.is_empty().then_some(Moment::Local(midnight + time))
}

/// Reads Unix seconds, with or without a fraction, and Unix milliseconds, microseconds and nanoseconds.
pub(super) fn number(cell: &[u8]) -> Option<i64> {
    let mut rest = Cursor(cell);
    let mut whole: u64 = 0;
    let digits = rest.0.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 19 {
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
        _ if spells_an_hour(&cell[..digits]) => None,
        UNIX_SECONDS_MIN..=UNIX_SECONDS_MAX => Some(i64::try_from(whole).ok()? * MS_PER_SECOND + fraction),
        FOR_EVER => None,
        // "For ever" in milliseconds and microseconds, and dates written with fractions of a second.
        _ if whole / 1_000 == FOR_EVER || whole / 1_000_000 == FOR_EVER => None,
        _ if matches!(digits, 15..=18) && self::digits(&cell[..14]).is_some() => None,
        UNIX_MILLIS_MIN..=UNIX_MILLIS_MAX if !has_fraction => i64::try_from(whole).ok(),
        UNIX_MICROS_MIN..=UNIX_MICROS_MAX if !has_fraction => i64::try_from(whole / 1_000).ok(),
        UNIX_NANOS_MIN..=UNIX_NANOS_MAX if !has_fraction => i64::try_from(whole / 1_000_000).ok(),
        _ => None,
    }
}

/// The digits before a fraction.
pub(super) fn whole(number: &[u8]) -> &[u8] {
    number.split(|byte| *byte == b'.').next().unwrap_or(number)
}

/// Whether digits that are read as Unix time spell a time with a year of two digits as well: `1905112032` and
/// `190511203227`. One in 200 numbers of Unix time does; a column of such numbers is no Unix time.
pub(super) fn spells_a_time(cell: &[u8]) -> bool {
    matches!(cell.len(), 10 | 12) && {
        let full = [b"20", cell].concat();
        digits(&full).is_some()
    }
}

/// Whether ten digits spell a date and an hour, `2024010512`. One in 100 numbers of Unix time from 2033 on does.
fn spells_an_hour(cell: &[u8]) -> bool {
    cell.len() == 10 && cell.starts_with(b"20") && digits(&[cell, b"00"].concat()).is_some()
}
