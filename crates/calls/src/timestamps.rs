//! Cells to timestamps, in the one shape that Segment is sent: ISO 8601, UTC, milliseconds.
//!
//! These cells are dates: ISO 8601 with and without a zone (without one it is UTC, or the zone that is set), with `T` or a
//! blank between date and time, a date alone, Unix seconds (also with a fraction), milliseconds, microseconds and
//! nanoseconds, and the strftime formats that are configured. Any other cell is refused: a date that is guessed wrong is
//! worse than a refused row, because nobody ever sees it again.

mod calendar;
mod cursor;
mod formats;
mod likeness;
mod spellings;
mod written;

use jiff::tz::TimeZone;

use calendar::MS_PER_SECOND;
use cursor::Cursor;
use formats::{configured, exchanged, has_short_year, is_configured_sentinel};
pub(crate) use likeness::Likeness;
use likeness::likeness;
use spellings::{Moment, digits, iso, number, spells_a_time, whole};
pub(crate) use written::is_sentinel;
use written::{TIMESTAMP_BYTES, is_canonical, write};

/// Years of two digits about which programs disagree. A spreadsheet takes `30` to `68` for 1930 to 1968, and `%y`
/// takes them for 2030 to 2068.
const DISPUTED_YEARS: std::ops::RangeInclusive<i64> = 2030..=2068;

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
            // A cell that fits no format does not decide the order of the column.
            (read, exchanged) if read == exchanged => Order::Same,
            (_, None) => Order::Unfit,
            _ => Order::Fits,
        }
    }

    /// Guesses the kind of a cell that is not a date.
    pub(crate) fn likeness(&self, cell: &[u8]) -> Option<Likeness> {
        if is_configured_sentinel(cell.trim_ascii(), &self.formats) {
            return Some(Likeness::Sentinel);
        }
        likeness(cell)
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
    /// Returns whether the day stands for none or for ever, or its century is a guess. `None` when the cell is no date, and
    /// nothing is appended.
    pub(crate) fn append_day(&self, cell: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        const DAY_BYTES: usize = "2025-12-31".len();
        let cell = cell.trim_ascii();
        let moment = configured(cell, &self.formats)
            .or_else(|| iso(cell))
            .or_else(|| digits(cell))
            .or_else(|| number(cell).map(Moment::Unix));
        let begin = out.len();
        let (Moment::Unix(ms) | Moment::Local(ms) | Moment::Zoned { local_ms: ms, .. }) = moment?;
        if !write(ms, out) {
            return None;
        }
        out.truncate(begin + DAY_BYTES);
        let day = &out[begin..];
        Some(is_sentinel(day) || (self.has_short_years && self.has_disputed_century(cell, day)))
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

#[cfg(test)]
mod tests;
