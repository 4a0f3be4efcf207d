//! Reads the parts of a date, one after the other.

use super::calendar::{MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND};

/// What is left of a cell.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl Cursor<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn skip(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip(byte).then_some(())
    }

    /// Exactly so many digits.
    pub(super) fn digits(&mut self, count: usize) -> Option<u32> {
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
    pub(super) fn fraction(&mut self, comma: bool) -> Option<i64> {
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
    pub(super) fn time(&mut self, extended: bool) -> Option<i64> {
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
    pub(super) fn zone(&mut self) -> Option<Option<i64>> {
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
