//! Numbers with a decimal comma: `1.234,56`.

/// Appends a number with a decimal comma as JSON writes it (`1234.56`). Returns whether it is one; if not, nothing is
/// appended.
pub(crate) fn append(value: &[u8], out: &mut Vec<u8>) -> bool {
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let (whole, fraction) = match memchr::memchr(b',', unsigned) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut groups = whole.split(|byte| *byte == b'.');
    let first = groups.next().unwrap_or_default();
    let is_whole = are_digits(first)
        && (first.len() <= 3 || !whole.contains(&b'.'))
        && groups.all(|group| group.len() == 3 && are_digits(group));
    if !is_whole || !fraction.is_none_or(are_digits) {
        return false;
    }
    if value.len() > unsigned.len() {
        out.push(b'-');
    }
    out.extend(whole.iter().filter(|byte| **byte != b'.'));
    if let Some(fraction) = fraction {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
    true
}

/// Whether the point of a number may be a decimal point, though it is read as a separator of thousands: `1.234`. `None`:
/// the cell says nothing about it.
pub(crate) fn has_doubtful_point(value: &[u8]) -> Option<bool> {
    let mark = value.iter().find(|byte| matches!(byte, b'.' | b','))?;
    Some(*mark == b'.' && value.iter().filter(|byte| matches!(byte, b'.' | b',')).count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_decimal_comma_has_its_points_before_each_three_digits() {
        for (value, expected) in [
            ("1.234,56", Some("1234.56")),
            ("1234,5", Some("1234.5")),
            ("-1.234.567", Some("-1234567")),
            ("0,5", Some("0.5")),
            ("12", Some("12")),
            ("1.23,4", None),
            ("1234.567,8", None),
            ("1,234.56", None),
            ("1.234.5", None),
            (",5", None),
            ("1,", None),
            ("1e5", None),
            ("", None),
        ] {
            let mut out = b"before".to_vec();
            let is_number = append(value.as_bytes(), &mut out);
            let appended = String::from_utf8(out[b"before".len()..].to_vec()).unwrap();
            assert_eq!((is_number, appended.as_str()), (expected.is_some(), expected.unwrap_or_default()), "{value}");
        }
    }

    #[test]
    fn only_a_point_alone_is_in_doubt() {
        for (value, doubtful) in [
            ("1.234", Some(true)),
            ("1.234.567", Some(false)),
            ("1.234,5", Some(false)),
            ("0,5", Some(false)),
            ("12", None),
        ] {
            assert_eq!(has_doubtful_point(value.as_bytes()), doubtful, "{value}");
        }
    }
}
