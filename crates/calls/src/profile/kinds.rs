//! What a cell looks like.

use std::borrow::Cow;

use protocol::profile::Kind;

use super::dates::Formats;
use crate::json;

/// What a cell was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) kind: Kind,
    /// The format of a date.
    pub(super) format: Option<Cow<'static, str>>,
}

/// Takes cells for what they look like.
#[derive(Debug, Default)]
pub(super) struct Guesser {
    formats: Formats,
}

impl Guesser {
    /// Takes a cell, not empty and without blanks at its ends, for what it looks like.
    pub(super) fn guess(&mut self, cell: &[u8]) -> Guess {
        let sure = sure(cell);
        let format = if sure.is_some() { None } else { self.formats.of(cell) };
        let kind = match (sure, &format) {
            (Some(kind), _) => kind,
            (None, Some(_)) => Kind::Date,
            (None, None) => Kind::Text,
        };
        Guess { kind, format }
    }
}

/// The kind of a cell that is neither date nor text.
fn sure(cell: &[u8]) -> Option<Kind> {
    let (first, last) = (cell.first()?, cell.last()?);
    match first {
        b'{' | b'[' => is_json(cell).then_some(Kind::Json),
        b'-' | b'0'..=b'9' if is_digits(cell.strip_prefix(b"-").unwrap_or(cell)) => Some(Kind::Integer),
        b'-' | b'0'..=b'9' if last.is_ascii_digit() && json::is_number(cell) => Some(Kind::Number),
        b'-' | b'0'..=b'9' if last.is_ascii_digit() && is_comma_number(cell) => Some(Kind::CommaNumber),
        _ if is_uuid(cell) => Some(Kind::Uuid),
        _ if is_email(cell) => Some(Kind::Email),
        _ if is_boolean(cell) => Some(Kind::Boolean),
        _ => None,
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn is_json(cell: &[u8]) -> bool {
    // The depth comes first, because a reader of JSON has a limit of its own.
    json::depth(cell) <= json::DEPTH_MAX && json::shape(cell).is_some()
}

/// `1234,56` and `1.234,56`. Not `1,234`: the comma may separate thousands.
fn is_comma_number(cell: &[u8]) -> bool {
    let cell = cell.strip_prefix(b"-").unwrap_or(cell);
    let Some(comma) = cell.iter().position(|byte| *byte == b',') else { return false };
    let (whole, fraction) = (&cell[..comma], &cell[comma + 1..]);
    let mut groups = whole.split(|byte| *byte == b'.');
    let first = groups.next().unwrap_or_default();
    let has_thousands = first.len() < whole.len();
    is_digits(fraction)
        && is_digits(first)
        && (!has_thousands || first.len() <= 3)
        && groups.all(|group| group.len() == 3 && is_digits(group))
        && (has_thousands || fraction.len() != 3 || first.len() > 3 || first == b"0")
}

fn is_uuid(cell: &[u8]) -> bool {
    cell.len() == 36
        && cell.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_email(cell: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'@', cell) else { return false };
    let (name, host) = (&cell[..at], &cell[at + 1..]);
    let is_plain = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'@' | b',' | b';' | b'<' | b'>' | b'"');
    let has_dot = host.iter().skip(1).rev().skip(1).any(|byte| *byte == b'.');
    !name.is_empty() && has_dot && name.iter().all(is_plain) && host.iter().all(is_plain)
}

fn is_boolean(cell: &[u8]) -> bool {
    ["true", "false", "yes", "no"].iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cell_has_the_kind_that_it_looks_like() {
        let mut guesser = Guesser::default();
        for (kind, cells) in [
            (Kind::Integer, &["0", "-7", "00012", "1718000000", "20190511", "99999999999999999999999"][..]),
            (Kind::Number, &["1.5", "-0.25", "1e5", "1.234"]),
            (Kind::CommaNumber, &["1.234,56", "-189,90", "1234,5", "0,125", "1.234.567,891", "12345,678"]),
            (Kind::Boolean, &["true", "FALSE", "Yes", "no"]),
            (Kind::Date, &["2025-12-31", "31.12.2025", "2025-10-20 09:02:11 +0200", "May 5, 2024"]),
            (Kind::Json, &["{}", r#"{"a":[1]}"#, "[]", r#"["a"]"#]),
            (Kind::Email, &["a@example.com", "a.b+c@mail.example.co.uk"]),
            (Kind::Uuid, &["cb435c8e-7461-4796-a775-dc7701564f61", "CB435C8E-7461-4796-A775-DC7701564F61"]),
            (
                Kind::Text,
                &[
                    "1,234",
                    "1,2,3",
                    "1.23,4",
                    "Ada",
                    "a@b",
                    "@a.b",
                    "a@b@c.de",
                    "a b@c.de",
                    "Ada <a@b.de>",
                    "a@.",
                    "{a}",
                    "[",
                    "-",
                    "10.20.30.40",
                    "+49 30 23125 001",
                    "y",
                    "1.234.56,7",
                    "1.,5",
                    "007.5",
                    "cb435c8e",
                ],
            ),
        ] {
            for cell in cells {
                assert_eq!(guesser.guess(cell.as_bytes()).kind, kind, "{cell}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cell_has_a_kind_and_only_a_date_has_a_format(cell in "\\PC{1,40}|[0-9a-f.,:/@{}\\[\\]\\\" TZ+-]{1,60}") {
            let guess = Guesser::default().guess(cell.as_bytes());
            prop_assert_eq!(guess.format.is_some(), guess.kind == Kind::Date);
        }
    }

    #[test]
    fn deep_json_is_text() {
        assert_eq!(Guesser::default().guess("[".repeat(100_000).as_bytes()).kind, Kind::Text);
    }
}
