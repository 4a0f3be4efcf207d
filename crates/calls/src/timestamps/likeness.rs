//! What a cell that is not a date probably is.

use super::spellings::{FOR_EVER, iso};

/// The probable kind of a cell that is not a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// A date that programs write for none or for ever, and that is beyond the years or in no calendar.
    Sentinel,
    /// A time with the name of its zone behind it.
    NamedZone,
    /// A time with AM or PM behind it.
    HalfDay,
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
    if let Some(hour) = hour_of_half_day(cell) {
        return (1..=12).contains(&hour).then_some(Likeness::HalfDay);
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

/// The hour of a time with AM or PM behind it, `2024-01-05 10:00:00 PM`.
fn hour_of_half_day(cell: &[u8]) -> Option<u8> {
    const HOUR_AT: usize = "2024-01-05 ".len();
    let (time, half) = cell.split_at_checked(cell.len().checked_sub(2)?)?;
    let is_half = half.eq_ignore_ascii_case(b"am") || half.eq_ignore_ascii_case(b"pm");
    iso(time.trim_ascii_end()).filter(|_| is_half)?;
    std::str::from_utf8(time.get(HOUR_AT..HOUR_AT + 2)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("2024-01-05 10:00:00 PM", Some(Likeness::HalfDay)),
            ("2024-01-05T10:00am", Some(Likeness::HalfDay)),
            ("2024-01-05 13:00 PM", None),
            ("636932035479400000", Some(Likeness::Number)),
            ("43596", None),
            ("11/05/2019", None),
        ] {
            assert_eq!(likeness(cell.as_bytes()), expected, "{cell}");
        }
    }
}
