//! JSON text, written straight into a buffer.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Appends `text` as the inside of a JSON string. `text` is valid UTF-8.
///
/// RFC 8259 §7: quotes, backslashes and control characters are escaped; everything else stands as
/// it is, so the bytes sent are the bytes of the cell.
#[inline]
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    if is_unescaped(text) {
        out.extend_from_slice(text);
    } else {
        escape_runs(text, out);
    }
}

fn escape_runs(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = find_special(rest) {
        let (run, special) = rest.split_at(at);
        out.extend_from_slice(run);
        let Some((byte, after)) = special.split_first() else {
            return;
        };
        escape_byte(*byte, out);
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cold]
fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Whether no byte has to be escaped. Without an exit in the middle, so that the compiler takes several words at once.
#[inline]
pub(crate) fn is_unescaped(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    if let Some(last) = text.last_chunk::<8>() {
        return words.iter().fold(specials(*last), |all, word| all | specials(*word)) == 0;
    }
    // The same four bytes, or the same byte, may stand twice in the word.
    let word = match (text.first_chunk::<4>(), text.last_chunk::<4>(), text) {
        (Some([a, b, c, d]), Some([e, f, g, h]), _) => [*a, *b, *c, *d, *e, *f, *g, *h],
        (.., [first, rest @ ..]) => {
            let last = *rest.last().unwrap_or(first);
            [*first, *rest.first().unwrap_or(first), last, last, last, last, last, last]
        }
        _ => return true,
    };
    specials(word) == 0
}

/// Where the first byte is that has to be escaped. Eight bytes at a time: most cells have none.
#[inline]
fn find_special(text: &[u8]) -> Option<usize> {
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = special_in(*word) {
            return Some(index * 8 + at);
        }
    }
    if let Some(last) = text.last_chunk::<8>() {
        // Some of it has been seen before, and had none.
        return special_in(*last).map(|at| text.len() - 8 + at);
    }
    tail.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\')
}

/// Where in eight bytes the first one is that has to be escaped.
#[inline]
fn special_in(bytes: [u8; 8]) -> Option<usize> {
    let special = specials(bytes);
    // A borrow reaches only bytes above the first hit, so the lowest one is right.
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

/// A high bit for each byte that has to be escaped, and possibly for bytes above one. Zero if there is none.
#[inline]
fn specials(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // Sets the high bit of every byte of `word` that is zero, and possibly of bytes above one.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let word = u64::from_le_bytes(bytes);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zeros(word ^ (ONES * 0x22));
    let backslash = zeros(word ^ (ONES * 0x5C));
    (control | quote | backslash) & HIGHS
}

/// `"name":`
pub(crate) fn key(name: &str) -> String {
    let mut out = vec![b'"'];
    escape(name.as_bytes(), &mut out);
    out.extend_from_slice(b"\":");
    String::from_utf8_lossy(&out).into_owned()
}

/// Our `context.library`, with its key and a comma behind it.
///
/// Segment docs: Spec, Common Fields, `context.library`: "the library making the requests".
pub(crate) fn library_member() -> String {
    format!(r#""library":{{"name":"segment-s3","version":"{}"}},"#, env!("CARGO_PKG_VERSION"))
}

/// Whether `text` is a JSON number that every parser takes: grammar of RFC 8259 §6, and within the
/// range of a double, beyond which parsers refuse the whole request.
pub(crate) fn is_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(whole);
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return false;
    }
    let rest = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &rest[digits..]
        }
        _ => rest,
    };
    let exponent = match rest.split_first() {
        None => true,
        Some((b'e' | b'E', rest)) => {
            let digits = match rest.split_first() {
                Some((b'+' | b'-', digits)) => digits,
                _ => rest,
            };
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        Some(_) => false,
    };
    // Only an exponent, or hundreds of digits, can leave the range.
    let small = text.len() < 300 && rest.is_empty();
    exponent
        && (small
            || std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite))
}

/// Whether `text` is a JSON number without fraction and exponent.
pub(crate) fn is_integer(text: &[u8]) -> bool {
    is_number(text) && !text.iter().any(|b| matches!(b, b'.' | b'e' | b'E'))
}

/// Whether a text without a declared type is sent as a number or boolean.
///
/// Not one: leading zeros and plus signs (they are codes), exponents (`12E4` is a part number), and
/// more than 15 significant digits, which a double does not hold.
pub(crate) fn is_plain_literal(text: &[u8]) -> bool {
    const SIGNIFICANT_DIGITS_MAX: usize = 15;
    match text {
        b"true" | b"false" => true,
        _ => {
            let significant = text.iter().filter(|b| b.is_ascii_digit()).skip_while(|b| **b == b'0').count();
            significant <= SIGNIFICANT_DIGITS_MAX && !text.iter().any(|b| matches!(b, b'e' | b'E')) && is_number(text)
        }
    }
}

/// How deep JSON in a cell may nest.
pub(crate) const DEPTH_MAX: usize = 64;

/// How deep `json` nests: 1 for `[]`. It need not be valid.
pub(crate) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    let mut quoted = false;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The kind of a JSON value, and the doubts about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) is_object: bool,
    /// Whether the object itself has a `library`.
    pub(crate) has_library: bool,
    /// Whether an object at any depth has a name twice: readers take the first, the last, or refuse it.
    pub(crate) repeats_name: bool,
    /// Whether the value is a string that holds an object or an array: it was encoded twice.
    pub(crate) is_encoded_twice: bool,
}

/// The shape of `json`, or `None` if a strict reader refuses it: each string and number is read, not skipped
/// over.
pub(crate) fn shape(json: &[u8]) -> Option<Shape> {
    serde_json::from_slice(json).ok()
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        let has_brackets = matches!(text.trim().as_bytes(), [b'{', .., b'}'] | [b'[', .., b']']);
        let is_encoded_twice = has_brackets && depth(text.as_bytes()) <= DEPTH_MAX && shape(text.as_bytes()).is_some();
        Ok(Shape { is_encoded_twice, ..Shape::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape, A::Error> {
        let mut repeats_name = false;
        while let Some(element) = elements.next_element::<Shape>()? {
            repeats_name |= element.repeats_name;
        }
        Ok(Shape { repeats_name, ..Shape::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let mut names: HashSet<String> = HashSet::new();
        let mut repeats_name = false;
        while let Some((name, member)) = members.next_entry::<String, Shape>()? {
            repeats_name |= member.repeats_name || !names.insert(name);
        }
        Ok(Shape { is_object: true, has_library: names.contains("library"), repeats_name, ..Shape::default() })
    }
}

/// Appends JSON without the blanks between its tokens, which might be line ends. `json` is valid.
pub(crate) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'"')) {
        out.extend_from_slice(&rest[..at]);
        if rest[at] != b'"' {
            rest = &rest[at + 1..];
            continue;
        }
        let mut end = at + 1;
        while let Some(byte) = rest.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let end = (end + 1).min(rest.len());
        out.extend_from_slice(&rest[at..end]);
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn an_escaped_string_reads_back_as_itself(text in any::<String>()) {
            let json = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn a_string_of_special_bytes_reads_back_as_itself(text in "[\u{0}-\u{25}\\\\ab\u{7e}-\u{82}\u{ff}]{0,40}") {
            let json = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn a_number_is_what_serde_json_takes_for_one(text in "-?[0-9.eE+-]{1,8}") {
            let parsed = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            prop_assert_eq!(is_number(text.as_bytes()), parsed, "{}", text);
        }

        #[test]
        fn a_shape_is_what_serde_json_reads(text in r#"[\[\]{}",:0-9.eE+\\ua-]{0,12}"#) {
            let value = serde_json::from_str::<serde_json::Value>(&text);
            let shape = shape(text.as_bytes());
            prop_assert_eq!(shape.map(|shape| shape.is_object), value.ok().map(|value| value.is_object()), "{}", text);
        }

        #[test]
        fn compact_json_means_the_same(text in r#"\[ ("[a-z \\\\"]{0,3}",|[0-9]{1,3} ,|\n|\{ ?"a b" :\t\[\] \},)*null ?\]"#) {
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                let mut out = Vec::new();
                compact(text.as_bytes(), &mut out);
                prop_assert_eq!(&out, &serde_json::to_vec(&value).unwrap());
            }
        }
    }

    #[test]
    fn numbers_beyond_a_double_are_not_sent_as_numbers() {
        for (text, expected) in [
            ("1e400", false),
            ("1e308", true),
            ("-1e309", false),
            ("123456789012345678901234567890", true),
            ("0.10", true),
        ] {
            assert_eq!(is_number(text.as_bytes()), expected, "{text}");
        }
        assert!(!is_number("9".repeat(400).as_bytes()));
    }

    #[test]
    fn the_shape_of_json_says_what_is_doubtful() {
        let object = Shape { is_object: true, ..Shape::default() };
        let repeats_name = true;
        for (text, expected) in [
            ("1", Some(Shape::default())),
            (r#"{"a":1,"b":{"a":2}}"#, Some(object)),
            (r#"{"a":1,"a":2}"#, Some(Shape { repeats_name, ..object })),
            (r#"{"a":1,"\u0061":2}"#, Some(Shape { repeats_name, ..object })),
            (r#"[{"b":[{"a":1,"a":2}]}]"#, Some(Shape { repeats_name, ..Shape::default() })),
            (r#"{"library":null}"#, Some(Shape { has_library: true, ..object })),
            (r#"{"a":{"library":null}}"#, Some(object)),
            (r#""{\"a\":1}""#, Some(Shape { is_encoded_twice: true, ..Shape::default() })),
            (r#""[1]""#, Some(Shape { is_encoded_twice: true, ..Shape::default() })),
            (r#""{a}""#, Some(Shape::default())),
            (r#""1""#, Some(Shape::default())),
            (r#"{"a":1e400}"#, None),
            (r#"{"a":"\ud800"}"#, None),
            ("{'a':1}", None),
            ("{} x", None),
        ] {
            assert_eq!(shape(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn brackets_are_counted_outside_of_strings() {
        for (text, expected) in [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[\"[["]"#, 1), ("[],[]", 1)] {
            assert_eq!(depth(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn only_plain_numbers_and_booleans_are_inferred() {
        for text in ["0", "5", "-5", "14.99", "0.001", "123456789012345", "1.50", "true", "false"] {
            assert!(is_plain_literal(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            " 5",
            "5 ",
            "007",
            "+5",
            "1e5",
            "12E4",
            ".5",
            "5.",
            "1,234",
            "0x10",
            "-",
            "True",
            "NaN",
            "Infinity",
            "null",
            "1234567890123456",
            "0.1234567890123456",
        ] {
            assert!(!is_plain_literal(text.as_bytes()), "{text}");
        }
    }
}
