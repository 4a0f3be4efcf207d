//! Cells by the strftime formats that are configured.

use jiff::fmt::strtime;

use super::calendar::{MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND, days_since_epoch};
use super::spellings::Moment;

/// 1000-01-01T00:00:00Z, before which no date of a configured format lies: `%Y` takes `19` for the
/// year 19, and whoever writes that means 2019. ISO 8601 has four digits, and is believed.
const CONFIGURED_MIN_MS: i64 = -30_610_224_000_000;

/// Tries the configured strftime formats. One without a time is midnight.
pub(super) fn configured(cell: &[u8], formats: &[String]) -> Option<Moment> {
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

/// Whether a format reads a cell as a date that programs write for none or for ever: in the year 1, or in 9999.
pub(super) fn is_configured_sentinel(cell: &[u8], formats: &[String]) -> bool {
    let is_sentinel = |format: &String| match formatted(cell, format) {
        Some(Moment::Local(ms) | Moment::Zoned { local_ms: ms, .. }) => {
            let begin_of = |year| days_since_epoch(year, 1, 1) * MS_PER_DAY;
            ms < begin_of(2) || ms >= begin_of(9999)
        }
        Some(Moment::Unix(_)) | None => false,
    };
    formats.iter().any(is_sentinel)
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

/// A format with day and month exchanged, if it has both as numbers.
pub(super) fn exchanged(format: &str) -> Option<String> {
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
pub(super) fn has_short_year(format: &str) -> bool {
    let mut chars = format.chars();
    while chars.by_ref().any(|c| c == '%') {
        let conversion = chars.by_ref().find(|c| !("-_^#:.".contains(*c) || c.is_ascii_digit()));
        if matches!(conversion, Some('y' | 'D' | 'g' | 'x')) {
            return true;
        }
    }
    false
}
