//! Cells to timestamps, in the one shape that Segment is sent: ISO 8601, UTC, milliseconds.
//!
//! These cells are dates: ISO 8601 with and without a zone (without one it is UTC, or the zone that is set), with `T` or a
//! blank between date and time, a date alone, Unix seconds (also with a fraction), milliseconds, microseconds and
//! nanoseconds, and the strftime formats that are configured. Any other cell is refused: a date that is guessed wrong is
//! worse than a refused row, because nobody ever sees it again.

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Length of a timestamp as it is written: `2019-05-11T20:32:27.940Z`.
pub(crate) const TIMESTAMP_BYTES: usize = 24;

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

/// Years of two digits about which programs disagree. A spreadsheet takes `30` to `68` for 1930 to 1968, and `%y`
/// takes them for 2030 to 2068.
const DISPUTED_YEARS: std::ops::RangeInclusive<i64> = 2030..=2068;

/// 9999-12-31T23:59:59Z in seconds, which databases write for "for ever". As milliseconds it would
/// be a day in 1978.
const FOR_EVER: u64 = 253_402_300_799;

/// Years that digits alone, such as `20190511` and `20190511203227`, are a date in.
const BASIC_DATE_YEARS: std::ops::RangeInclusive<i64> = 1900..=2099;

/// 1000-01-01T00:00:00Z, before which no date of a configured format lies: `%Y` takes `19` for the
/// year 19, and whoever writes that means 2019. ISO 8601 has four digits, and is believed.
const CONFIGURED_MIN_MS: i64 = -30_610_224_000_000;

const MS_PER_SECOND: i64 = 1_000;
const MS_PER_MINUTE: i64 = 60 * MS_PER_SECOND;
const MS_PER_HOUR: i64 = 60 * MS_PER_MINUTE;
const MS_PER_DAY: i64 = 24 * MS_PER_HOUR;

/// How timestamps of a file are read.
#[derive(Debug)]
pub(crate) struct Times {
    formats: Vec<String>,
    /// Whether a format has a year of two digits.
    has_short_years: bool,
    /// The same formats with day and month exchanged, of those that have both as numbers.
    exchanged: Vec<String>,
    /// The zone of times without one, where it is set.
    zone: Option<TimeZone>,
}

/// What a cell was read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Whether the cell says no zone.
    pub(crate) is_zoneless: bool,
    /// Whether the change of the clocks makes the time twice, or never.
    pub(crate) is_ambiguous: bool,
    /// Whether the date stands for none or for ever, or its century is a guess.
    pub(crate) is_sentinel: bool,
    /// Whether a number that is read as Unix time spells a date and time as well.
    pub(crate) is_spelled: bool,
    /// Whether the cell is a plain number.
    pub(crate) is_number: bool,
}

/// How a cell reads with day and month exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the same date.
    Same,
    /// As another date.
    Fits,
    /// As none.
    Unfit,
}

/// A moment, with its zone or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A number of Unix time, in UTC.
    Unix(i64),
    /// A time, and how far it is ahead of UTC.
    Zoned { local_ms: i64, ahead_ms: i64 },
    /// A time without a zone.
    Local(i64),
}

impl Times {
    pub(crate) fn new(formats: &[String], zone: Option<&str>) -> Times {
        Times {
            formats: formats.to_vec(),
            has_short_years: formats.iter().any(|format| has_short_year(format)),
            exchanged: formats.iter().filter_map(|format| exchanged(format)).collect(),
            zone: zone.and_then(self::zone),
        }
    }

    pub(crate) fn zone_is_set(&self) -> bool {
        self.zone.is_some()
    }

    /// Whether a format has day and month as numbers.
    #[inline]
    pub(crate) fn may_be_exchanged(&self) -> bool {
        !self.exchanged.is_empty()
    }

    /// How a cell reads with day and month exchanged.
    pub(crate) fn order(&self, cell: &[u8]) -> Order {
        let cell = cell.trim_ascii();
        match (configured(cell, &self.formats), configured(cell, &self.exchanged)) {
            // A cell of no such format says nothing of the column's order.
            (read, exchanged) if read == exchanged => Order::Same,
            (_, None) => Order::Unfit,
            _ => Order::Fits,
        }
    }

    /// Appends a cell that is as it would be written, where no format is configured. Most files hold such.
    #[inline]
    pub(crate) fn append_canonical(&self, cell: &[u8], out: &mut Vec<u8>) -> bool {
        let canonical = self.formats.is_empty() && is_canonical(cell);
        if canonical {
            out.extend_from_slice(cell);
        }
        canonical
    }

    /// Reads a cell and appends it in Segment's shape to `out`. `None` when it is no date, and nothing is appended.
    #[inline]
    pub(crate) fn append(&self, cell: &[u8], out: &mut Vec<u8>) -> Option<Read> {
        if !self.formats.is_empty()
            && let Some(moment) = configured(cell.trim_ascii(), &self.formats)
        {
            let begin = out.len();
            let read = self.write(moment, out)?;
            let is_disputed = self.has_short_years && self.has_disputed_century(cell.trim_ascii(), &out[begin..]);
            return Some(Read { is_sentinel: read.is_sentinel || is_disputed, ..read });
        }
        // What we write is what most files hold, and it needs no arithmetic.
        if is_canonical(cell) {
            out.extend_from_slice(cell);
            return Some(Read::default());
        }
        let cell = cell.trim_ascii();
        if let Some(moment) = iso(cell).or_else(|| digits(cell)) {
            return self.write(moment, out);
        }
        let read = self.write(Moment::Unix(number(cell)?), out)?;
        Some(Read { is_number: true, is_spelled: spells_a_time(whole(cell)), ..read })
    }

    /// Appends the day that a cell says, whatever its zone (`2025-12-31`). A number of Unix time says that of UTC.
    /// Returns whether the cell is a date; if not, nothing is appended.
    pub(crate) fn append_day(&self, cell: &[u8], out: &mut Vec<u8>) -> bool {
        const DAY_BYTES: usize = "2025-12-31".len();
        let cell = cell.trim_ascii();
        let moment = configured(cell, &self.formats)
            .or_else(|| iso(cell))
            .or_else(|| digits(cell))
            .or_else(|| number(cell).map(Moment::Unix));
        let begin = out.len();
        let local_ms = match moment {
            Some(Moment::Unix(ms) | Moment::Local(ms) | Moment::Zoned { local_ms: ms, .. }) => ms,
            None => return false,
        };
        let is_written = write(local_ms, out);
        out.truncate(begin + if is_written { DAY_BYTES } else { 0 });
        is_written
    }

    /// Whether the first format that reads the cell has a year of two digits, and programs disagree about its century.
    /// `written` is the timestamp as it is sent.
    fn has_disputed_century(&self, cell: &[u8], written: &[u8]) -> bool {
        let year = Cursor(written).digits(4).map_or(0, i64::from);
        let format = self.formats.iter().find(|format| configured(cell, std::slice::from_ref(*format)).is_some());
        DISPUTED_YEARS.contains(&year) && format.is_some_and(|format| has_short_year(format))
    }

    fn write(&self, moment: Moment, out: &mut Vec<u8>) -> Option<Read> {
        let begin = out.len();
        let (ms, local_ms, mut read) = match moment {
            Moment::Unix(ms) => (ms, ms, Read::default()),
            Moment::Zoned { local_ms, ahead_ms } => (local_ms - ahead_ms, local_ms, Read::default()),
            Moment::Local(local_ms) => {
                let (ms, is_ambiguous) = match &self.zone {
                    None => (local_ms, false),
                    Some(zone) => in_zone(local_ms, zone)?,
                };
                (ms, local_ms, Read { is_zoneless: true, is_ambiguous, ..Read::default() })
            }
        };
        if !write(ms, out) {
            return None;
        }
        read.is_sentinel = is_sentinel(&out[begin..]);
        if local_ms != ms {
            // The day that the cell says, and the day in UTC: either may be the one that stands for none.
            let mut local = Vec::with_capacity(TIMESTAMP_BYTES);
            read.is_sentinel |= write(local_ms, &mut local) && is_sentinel(&local);
        }
        Some(read)
    }
}

/// Whether a timestamp, as it is written, stands for none or for ever: before 1900, from 2100 on, or on a day with which
/// a calendar of computers begins or ends.
#[inline]
pub(crate) fn is_sentinel(written: &[u8]) -> bool {
    // Lotus and SQL Server, Mac OS, the least and the greatest 32 bits of Unix time, zero of Unix time on either side of
    // Greenwich, the greatest `smalldatetime`, the last day before 2100.
    const DAYS: [&[u8; 10]; 8] = [
        b"1900-01-01",
        b"1901-12-13",
        b"1904-01-01",
        b"1969-12-31",
        b"1970-01-01",
        b"2038-01-19",
        b"2079-06-06",
        b"2099-12-31",
    ];
    match written {
        // Nearly every date is decided here.
        [b'2', b'0', b'0' | b'1' | b'2', ..] | [b'1', b'9', b'8' | b'9', ..] => false,
        [b'2', b'0', ..] | [b'1', b'9', ..] => DAYS.iter().any(|day| written.starts_with(*day)),
        _ => true,
    }
}

/// The zone of that name: `UTC`, an offset such as `+02:00`, or a name of the IANA database.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    if name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Some(TimeZone::UTC);
    }
    if name.starts_with(['+', '-']) {
        let mut rest = Cursor(name.as_bytes());
        let ahead_ms = rest.zone()??;
        let seconds = i32::try_from(ahead_ms / MS_PER_SECOND).ok().filter(|_| rest.is_empty())?;
        return jiff::tz::Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    TimeZone::get(name).ok()
}

/// A local time in UTC, and whether the change of the clocks makes it twice or never.
fn in_zone(local_ms: i64, zone: &TimeZone) -> Option<(i64, bool)> {
    let local = jiff::Timestamp::from_millisecond(local_ms).ok()?;
    let at = zone.to_ambiguous_timestamp(jiff::tz::Offset::UTC.to_datetime(local));
    let is_ambiguous = at.is_ambiguous();
    Some((at.compatible().ok()?.as_millisecond(), is_ambiguous))
}

/// A format with day and month exchanged, if it has both as numbers.
fn exchanged(format: &str) -> Option<String> {
    let (mut out, mut days, mut months) = (String::with_capacity(format.len()), 0, 0);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c != '%' {
            continue;
        }
        for c in chars.by_ref() {
            let is_flag = "-_^#:.".contains(c) || c.is_ascii_digit();
            match c {
                // `%m/%d/%y`, in one letter.
                'D' if out.ends_with('%') => {
                    days += 1;
                    months += 1;
                    out.push_str("d/%m/%y");
                }
                'd' | 'e' => {
                    days += 1;
                    out.push('m');
                }
                'm' => {
                    months += 1;
                    out.push('d');
                }
                c => out.push(c),
            }
            if !is_flag {
                break;
            }
        }
    }
    (days == 1 && months == 1).then_some(out)
}

/// Whether a format has a year of two digits.
fn has_short_year(format: &str) -> bool {
    let mut chars = format.chars();
    while chars.by_ref().any(|c| c == '%') {
        let conversion = chars.by_ref().find(|c| !("-_^#:.".contains(*c) || c.is_ascii_digit()));
        if matches!(conversion, Some('y' | 'D' | 'g' | 'x')) {
            return true;
        }
    }
    false
}

/// Whether the cell is a timestamp exactly as it would be written. Eight bytes at a time.
fn is_canonical(cell: &[u8]) -> bool {
    let Ok(cell) = <&[u8; TIMESTAMP_BYTES]>::try_from(cell) else { return false };
    let ([date, hour, second], []) = cell.as_chunks::<8>() else { return false };
    let (Some(date), Some(hour), Some(second)) =
        (digit_pairs(*date, *b"0000-00-"), digit_pairs(*hour, *b"00T00:00"), digit_pairs(*second, *b":00.000Z"))
    else {
        return false;
    };
    let (month, day) = (u32::from(date[5]), u32::from(hour[0]));
    let year = i64::from(date[0]) * 100 + i64::from(date[2]);
    year > 0
        && (1..=12).contains(&month)
        && day >= 1
        && (day <= 28 || day <= days_in_month(year, month))
        && hour[3] < 24
        && hour[6] < 60
        && second[1] < 60
}

/// For each digit of `text` the number that it begins, of two digits. `None` unless the text has a digit where the shape
/// has `0`, and is the shape elsewhere.
#[inline]
fn digit_pairs(text: [u8; 8], shape: [u8; 8]) -> Option<[u8; 8]> {
    const HIGHS: u64 = u64::MAX / 255 * 0x80;
    // A byte that is too large by one or more sets its high bit.
    let room = u64::from_le_bytes(shape.map(|byte| if byte == b'0' { 0x7F - 9 } else { 0x7F }));
    let digits = u64::from_le_bytes(text) ^ u64::from_le_bytes(shape);
    let fits = (digits.wrapping_add(room) | digits) & HIGHS == 0;
    // Ten times each digit, and the next one.
    fits.then(|| (digits.wrapping_mul(10).wrapping_add(digits >> 8)).to_le_bytes())
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
fn iso(cell: &[u8]) -> Option<Moment> {
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
fn digits(cell: &[u8]) -> Option<Moment> {
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

/// The digits before a fraction.
fn whole(number: &[u8]) -> &[u8] {
    number.split(|byte| *byte == b'.').next().unwrap_or(number)
}

/// Whether digits that are read as Unix time spell a time with a year of two digits as well: `1905112032` and
/// `190511203227`. One in 200 numbers of Unix time does; a column of such numbers is no Unix time.
fn spells_a_time(cell: &[u8]) -> bool {
    matches!(cell.len(), 10 | 12) && {
        let full = [b"20", cell].concat();
        digits(&full).is_some()
    }
}

/// Whether ten digits spell a date and an hour, `2024010512`. One in 100 numbers of Unix time from 2033 on does.
fn spells_an_hour(cell: &[u8]) -> bool {
    cell.len() == 10 && cell.starts_with(b"20") && digits(&[cell, b"00"].concat()).is_some()
}

/// Reads Unix seconds, with or without a fraction, and Unix milliseconds, microseconds and nanoseconds.
fn number(cell: &[u8]) -> Option<i64> {
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

/// The probable kind of a cell that is not a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// A date that programs write for none or for ever, and that is beyond the years or in no calendar.
    Sentinel,
    /// A time with the name of its zone behind it.
    NamedZone,
    /// Digits that are not Unix time.
    Number,
}

/// Guesses the kind of a cell that is not a date.
pub(crate) fn likeness(cell: &[u8]) -> Option<Likeness> {
    let cell = cell.trim_ascii();
    let is_number = !cell.is_empty() && cell.iter().all(u8::is_ascii_digit);
    let whole: u64 =
        std::str::from_utf8(cell).ok().filter(|_| is_number).and_then(|text| text.parse().ok()).unwrap_or(1);
    let is_for_ever = [1, 1_000, 1_000_000].iter().any(|unit| whole / unit == FOR_EVER);
    let is_zero = cell.contains(&b'0')
        && cell.iter().all(|byte| matches!(byte, b'0' | b'-' | b'/' | b'.' | b':' | b' ' | b'T' | b'Z'));
    let is_named = ["infinity", "-infinity", "nat"].iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()));
    // A date by its look that cannot be written is beyond the years, perhaps only in its zone.
    let is_beyond =
        [&b"0000-"[..], b"9999-", b"99991231"].iter().any(|start| cell.starts_with(start)) || iso(cell).is_some();
    if is_for_ever || is_zero || is_named || is_beyond {
        return Some(Likeness::Sentinel);
    }
    let is_name = |rest: &[u8]| {
        rest.iter().any(u8::is_ascii_alphabetic)
            && rest.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'[' | b']' | b'/' | b'_' | b' '))
    };
    let named_zone = (16..cell.len()).any(|at| is_name(&cell[at..]) && iso(cell[..at].trim_ascii_end()).is_some());
    if named_zone {
        return Some(Likeness::NamedZone);
    }
    (is_number && cell.len() > 8).then_some(Likeness::Number)
}

/// Tries the configured strftime formats. One without a time is midnight.
fn configured(cell: &[u8], formats: &[String]) -> Option<Moment> {
    formats.iter().find_map(|format| {
        formatted(cell, format).filter(|moment| {
            let ms = match moment {
                Moment::Unix(ms) | Moment::Local(ms) => *ms,
                Moment::Zoned { local_ms, ahead_ms } => local_ms - ahead_ms,
            };
            ms >= CONFIGURED_MIN_MS
        })
    })
}

fn formatted(cell: &[u8], format: &str) -> Option<Moment> {
    let broken = strtime::parse(format, cell).ok()?;
    let at = broken.to_datetime().or_else(|_| broken.to_date().map(|date| date.at(0, 0, 0, 0)));
    if let (Ok(timestamp), true) = (broken.to_timestamp(), at.is_err() || broken.offset().is_none()) {
        return Some(Moment::Unix(timestamp.as_millisecond()));
    }
    let ms = civil_ms(at.ok()?)?;
    // The last hours of 9999 are beyond that timestamp, with or without a zone.
    Some(match broken.offset() {
        Some(offset) => Moment::Zoned { local_ms: ms, ahead_ms: i64::from(offset.seconds()) * MS_PER_SECOND },
        None => Moment::Local(ms),
    })
}

/// Milliseconds since the epoch, in UTC.
fn civil_ms(at: jiff::civil::DateTime) -> Option<i64> {
    let day = days_since_epoch(at.year().into(), u32::try_from(at.month()).ok()?, u32::try_from(at.day()).ok()?);
    Some(
        day * MS_PER_DAY
            + i64::from(at.hour()) * MS_PER_HOUR
            + i64::from(at.minute()) * MS_PER_MINUTE
            + i64::from(at.second()) * MS_PER_SECOND
            + i64::from(at.millisecond()),
    )
}

/// Year, month and day of a number of days since 1970-01-01; undoes [`days_since_epoch`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Writes milliseconds since the epoch, if they are in the years 1 to 9999.
fn write(ms: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil(ms.div_euclid(MS_PER_DAY));
    if !(1..=9999).contains(&year) {
        return false;
    }
    let time = ms.rem_euclid(MS_PER_DAY);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, digits: usize, value: i64| {
        let mut value = value;
        for place in text[from..from + digits].iter_mut().rev() {
            *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, time / MS_PER_HOUR);
    put(14, 2, time / MS_PER_MINUTE % 60);
    put(17, 2, time / MS_PER_SECOND % 60);
    put(20, 3, time % MS_PER_SECOND);
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
    /// of UTC, or `None` inside.
    fn zone(&mut self) -> Option<Option<i64>> {
        let spaced = self.skip(b' ');
        if self.is_empty() {
            return Some(None);
        }
        if self.skip(b'Z') || self.skip(b'z') {
            return Some(Some(0));
        }
        if spaced && (self.0.eq_ignore_ascii_case(b"UTC") || self.0.eq_ignore_ascii_case(b"GMT")) {
            self.0 = &[];
            return Some(Some(0));
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
        Some(Some(sign * (i64::from(hours) * MS_PER_HOUR + i64::from(minutes) * MS_PER_MINUTE)))
    }
}

#[cfg(test)]
mod tests {
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
    fn unix_seconds_and_milliseconds_are_told_apart_by_their_size() {
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
    fn digits_that_spell_a_date_and_time_are_one() {
        check("20190511203227", "2019-05-11T20:32:27.000Z");
        check("201905112032", "2019-05-11T20:32:00.000Z");
        check("19000101000000", "1900-01-01T00:00:00.000Z");
        check("209912312359", "2099-12-31T23:59:00.000Z");
        // Not a day in May, so milliseconds.
        check("201905322032", "1976-05-25T20:48:42.032Z");
    }

    #[test]
    fn the_years_1_and_9999_are_whole_in_every_spelling() {
        for last in [
            "9999-12-31T23:59:59.999Z",
            "9999-12-31 23:59:59.999",
            "9999-12-31T22:59:59.999-01:00",
            "99991231T235959.999Z",
        ] {
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
    fn dates_that_stand_for_none_or_for_ever_are_noticed_in_every_zone() {
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

    #[test]
    fn a_refused_date_gets_a_hint_about_its_kind() {
        for (cell, expected) in [
            ("0000-00-00 00:00:00", Some(Likeness::Sentinel)),
            ("00000000", Some(Likeness::Sentinel)),
            ("infinity", Some(Likeness::Sentinel)),
            ("NaT", Some(Likeness::Sentinel)),
            ("253402300799", Some(Likeness::Sentinel)),
            ("0001-01-01", Some(Likeness::Sentinel)),
            ("9999-12-31 23:59:59", Some(Likeness::Sentinel)),
            ("2019-05-11 20:32:27 EST", Some(Likeness::NamedZone)),
            ("2019-05-11T20:32:27Z[UTC]", Some(Likeness::NamedZone)),
            ("2019-05-11T20:32:27+02:00[Europe/Berlin]", Some(Likeness::NamedZone)),
            ("2019-05-11 20:32:27 +0000 UTC", Some(Likeness::NamedZone)),
            ("636932035479400000", Some(Likeness::Number)),
            ("43596", None),
            ("11/05/2019", None),
        ] {
            assert_eq!(likeness(cell.as_bytes()), expected, "{cell}");
        }
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
}
