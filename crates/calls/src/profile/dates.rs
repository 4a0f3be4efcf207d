//! The format of a date, as `TIMESTAMP_FORMATS` would read it.

use std::borrow::Cow;

use protocol::profile::{EITHER, ISO_8601};

use crate::timestamps::Times;

/// The longest date with time and zone that is looked for.
const DATE_BYTES_MAX: usize = 40;

/// Formats with the name of a month; the times are added.
const NAMED: [&str; 8] =
    ["%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%a, %d %b %Y", "%d. %B %Y"];
const TIMES: [&str; 4] = ["", " %H:%M", " %H:%M:%S", " %I:%M %p"];

/// Finds the formats of dates.
#[derive(Debug)]
pub(super) struct Formats {
    /// Reads what needs no format.
    iso: Times,
    named: Vec<(String, Times)>,
    scratch: Vec<u8>,
}

impl Default for Formats {
    fn default() -> Formats {
        let formats = NAMED.iter().flat_map(|date| TIMES.iter().map(move |time| format!("{date}{time}")));
        Formats {
            iso: Times::new(&[], None),
            named: formats.map(|format| (format.clone(), Times::new(&[format], None))).collect(),
            scratch: Vec::new(),
        }
    }
}

impl Formats {
    /// The format of a cell that is a date, and not digits alone.
    pub(super) fn of(&mut self, cell: &[u8]) -> Option<Cow<'static, str>> {
        if !(6..=DATE_BYTES_MAX).contains(&cell.len()) || !cell.iter().any(u8::is_ascii_digit) {
            return None;
        }
        if let Some(format) = self.iso(cell) {
            return Some(Cow::Borrowed(format));
        }
        if cell[0].is_ascii_digit()
            && let Some(format) = numeric(cell)
        {
            return Some(Cow::Owned(format));
        }
        if !has_month(cell) {
            return None;
        }
        let scratch = &mut self.scratch;
        let named = self.named.iter().find(|(_, times)| {
            scratch.clear();
            times.append(cell, scratch).is_some()
        });
        named.map(|(format, _)| Cow::Owned(format.clone()))
    }

    fn iso(&mut self, cell: &[u8]) -> Option<&'static str> {
        let is_extended = cell.get(4) == Some(&b'-');
        if !is_extended && cell.get(8) != Some(&b'T') {
            return None;
        }
        self.scratch.clear();
        let read = self.iso.append(cell, &mut self.scratch)?;
        let [date, local, zoned] = ISO_8601;
        Some(match read.is_zoneless {
            true if cell.len() <= "2025-12-31".len() => date,
            true => local,
            false => zoned,
        })
    }
}

/// Whether three letters of a month stand at the beginning of a word.
fn has_month(cell: &[u8]) -> bool {
    const MONTHS: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    cell.split(|byte| !byte.is_ascii_alphabetic())
        .filter_map(|word| word.first_chunk::<3>())
        .any(|word| MONTHS.iter().any(|month| month.eq_ignore_ascii_case(word)))
}

/// The format of a date with the month as a number. Dots have the day first; `/` and `-` may have either.
fn numeric(cell: &[u8]) -> Option<String> {
    let (first, rest) = number(cell)?;
    let (separator, rest) = rest.split_first().filter(|(separator, _)| b"./-".contains(separator))?;
    let (second, rest) = number(rest)?;
    let (_, rest) = rest.split_first().filter(|(other, _)| *other == separator)?;
    let (third, rest) = number(rest)?;
    let time = time(rest)?;
    let separator = char::from(*separator);
    let is_day = |number: Number| number.digits <= 2 && (1..=31).contains(&number.value);
    let is_month = |number: Number| number.digits <= 2 && (1..=12).contains(&number.value);
    let join = |parts: [&str; 3]| format!("{}{time}", parts.join(separator.encode_utf8(&mut [0; 4])));
    if first.digits == 4 {
        return (is_month(second) && is_day(third)).then(|| join(["%Y", "%m", "%d"]));
    }
    let year = match third.digits {
        4 => "%Y",
        2 => "%y",
        _ => return None,
    };
    let day_first = is_day(first) && is_month(second);
    let month_first = is_month(first) && is_day(second) && separator != '.';
    let (by_day, by_month) = (join(["%d", "%m", year]), join(["%m", "%d", year]));
    match (day_first, month_first) {
        (true, true) => Some(format!("{by_day}{EITHER}{by_month}")),
        (true, false) => Some(by_day),
        (false, true) => Some(by_month),
        (false, false) => None,
    }
}

/// A number of one to four digits.
#[derive(Clone, Copy, Debug)]
struct Number {
    value: u32,
    digits: usize,
}

fn number(text: &[u8]) -> Option<(Number, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let value = number.iter().fold(0, |value: u32, digit| value * 10 + u32::from(digit - b'0'));
    Some((Number { value, digits }, rest))
}

/// The format of what stands behind a date: nothing, or a time, perhaps with `AM` or `PM` and an offset.
fn time(rest: &[u8]) -> Option<String> {
    if rest.is_empty() {
        return Some(String::new());
    }
    let before = [", ", " ", "T"].into_iter().find(|before| rest.starts_with(before.as_bytes()))?;
    let (hour, mut rest) = number(&rest[before.len()..])?;
    let mut clock = String::new();
    let mut parts = 0;
    while let Some((_, after)) = rest.split_first().filter(|(colon, _)| **colon == b':' && parts < 2) {
        let (_, after) = number(after).filter(|(part, _)| part.digits == 2 && part.value < 60)?;
        clock.push_str(if parts == 0 { ":%M" } else { ":%S" });
        (rest, parts) = (after, parts + 1);
    }
    if parts == 0 || hour.digits > 2 || hour.value > 23 {
        return None;
    }
    if parts == 2 && rest.first() == Some(&b'.') {
        let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        clock.push_str("%.f");
        rest = &rest[1 + digits..];
    }
    let mut format = String::from(before);
    let has_half =
        rest.get(..3).is_some_and(|half| half.eq_ignore_ascii_case(b" AM") || half.eq_ignore_ascii_case(b" PM"));
    if has_half {
        rest = &rest[3..];
    }
    format.push_str(if has_half { "%I" } else { "%H" });
    format.push_str(&clock);
    format.push_str(if has_half { " %p" } else { "" });
    format.push_str(offset(rest)?);
    Some(format)
}

/// The format of an offset, or of nothing.
fn offset(rest: &[u8]) -> Option<&'static str> {
    let (blank, rest) = rest.strip_prefix(b" ").map_or((false, rest), |rest| (true, rest));
    match rest {
        [] if !blank => Some(""),
        [b'+' | b'-', hour @ .., _, _] if hour.len() == 2 && rest[1..].iter().all(u8::is_ascii_digit) => {
            Some(if blank { " %z" } else { "%z" })
        }
        [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].into_iter().all(u8::is_ascii_digit) => {
            Some(if blank { " %:z" } else { "%:z" })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(cell: &str, expected: Option<&str>) {
        assert_eq!(Formats::default().of(cell.as_bytes()).as_deref(), expected, "{cell}");
    }

    #[test]
    fn dates_that_need_no_setting_say_whether_they_have_a_zone() {
        check("2025-12-31", Some("ISO 8601 date"));
        check("2025-03-12 09:14", Some("ISO 8601 without zone"));
        check("2025-03-12T09:14:00.5", Some("ISO 8601 without zone"));
        check("2025-10-20 09:02:11 +0200", Some("ISO 8601"));
        check("2019-05-11T20:32:27.940Z", Some("ISO 8601"));
        check("20190511T203227Z", Some("ISO 8601"));
        check("2025-13-01", None);
    }

    #[test]
    fn the_order_of_day_and_month_is_known_where_the_day_is_beyond_12() {
        check("31/12/2025", Some("%d/%m/%Y"));
        check("12/31/2025", Some("%m/%d/%Y"));
        check("1/2/2025", Some("%d/%m/%Y or %m/%d/%Y"));
        check("01-02-25", Some("%d-%m-%y or %m-%d-%y"));
        check("01.02.2025", Some("%d.%m.%Y"));
        check("12.31.2025", None);
        check("2025/12/31", Some("%Y/%m/%d"));
        check("32/13/2025", None);
    }

    #[test]
    fn a_time_and_an_offset_are_part_of_the_format() {
        check("31.12.2025 14:05", Some("%d.%m.%Y %H:%M"));
        check("31.12.2025, 14:05:06", Some("%d.%m.%Y, %H:%M:%S"));
        check("12/31/2025 2:05 PM", Some("%m/%d/%Y %I:%M %p"));
        check("31/12/2025 14:05:06.123 +0100", Some("%d/%m/%Y %H:%M:%S%.f %z"));
        check("31/12/2025 14:05:06+01:00", Some("%d/%m/%Y %H:%M:%S%:z"));
        check("31/12/2025 14", None);
        check("31/12/2025 24:00", None);
        check("31/12/2025 14:05 Uhr", None);
        check("31/12/2025 ", None);
    }

    #[test]
    fn months_may_have_names() {
        check("May 5, 2024", Some("%b %d, %Y"));
        check("05 December 2024 14:05", Some("%d %B %Y %H:%M"));
        check("05-Feb-2024", Some("%d-%b-%Y"));
        check("Mayfair 5, London 2024", None);
    }

    #[test]
    fn a_number_of_a_house_or_a_version_is_no_date() {
        for cell in ["10.20.30.40", "1.2.3", "030-12-2019", "12/5", "1-2-3", "2025", "Haus 12"] {
            check(cell, None);
        }
    }

    proptest! {
        #[test]
        fn a_format_that_is_found_has_a_day_a_month_and_a_year(cell in "[0-9]{1,12}[./ -][0-9]{1,3}[./ -][0-9]{1,5}[ T]?[0-9:.]{0,9}( ?[AP]M)?[ +0-9]{0,6}") {
            if let Some(format) = numeric(cell.as_bytes()) {
                prop_assert!(format.contains("%d") && format.contains("%m") && format.to_lowercase().contains("%y"));
            }
        }
    }

    #[test]
    fn every_format_that_is_found_reads_its_cell() {
        let cells = [
            "31/12/2025",
            "12/31/2025",
            "1/2/2025",
            "01-02-25",
            "01.02.2025",
            "2025/12/31",
            "31.12.2025 14:05",
            "31.12.2025, 14:05:06",
            "12/31/2025 2:05 PM",
            "31/12/2025 14:05:06.123 +0100",
            "31/12/2025 14:05:06+01:00",
            "May 5, 2024",
            "05 December 2024 14:05",
            "05-Feb-2024",
            "5. May 2024",
            "Mon, 06 May 2024 14:05:06",
        ];
        for cell in cells {
            let found = Formats::default().of(cell.as_bytes()).unwrap();
            for format in found.split(EITHER) {
                let times = Times::new(&[format.to_owned()], None);
                assert!(times.append(cell.as_bytes(), &mut Vec::new()).is_some(), "{cell}: {format}");
            }
        }
    }
}
