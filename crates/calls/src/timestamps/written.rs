//! Timestamps as they are written.

use super::calendar::{MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND, civil, days_in_month};

/// Length of a timestamp as it is written: `2019-05-11T20:32:27.940Z`.
pub(super) const TIMESTAMP_BYTES: usize = 24;

/// Whether the cell is a timestamp exactly as it would be written. Eight bytes at a time.
pub(super) fn is_canonical(cell: &[u8]) -> bool {
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

/// Writes milliseconds since the epoch, if they are in the years 1 to 9999.
pub(super) fn write(ms: i64, out: &mut Vec<u8>) -> bool {
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

/// Whether a timestamp, as it is written, stands for none or for ever: before 1900, from 2100 on, or on a day with which
/// a calendar of computers begins or ends.
#[inline]
pub(crate) fn is_sentinel(written: &[u8]) -> bool {
    // The first days of Lotus, SQL Server and Mac OS. The least and the greatest Unix time of 32 bits. The zero of Unix
    // time on both sides of Greenwich. The greatest `smalldatetime`, and the last day before 2100.
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
