//! Halves of surrogate pairs in JSON.
//!
//! JavaScript cuts strings between code units. So a text that is cut inside an emoji ends with half of a pair, and
//! `JSON.stringify` writes it as `\ud83d`. No Unicode text has such a half, and readers of JSON refuse it.

use std::borrow::Cow;

/// Replaces each escape of half a pair by the escape of U+FFFD, as browsers do when they encode text. All other bytes
/// stay. The length stays too.
#[must_use]
pub fn paired(json: &str) -> Cow<'_, str> {
    let halves = halves(json.as_bytes());
    if halves.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut from = 0;
    for at in halves {
        text.push_str(&json[from..at]);
        text.push_str("\\ufffd");
        from = at + 6;
    }
    text.push_str(&json[from..]);
    Cow::Owned(text)
}

/// Where escapes of half a pair begin. A backslash begins an escape, wherever it is: outside of a string it is no JSON.
fn halves(json: &[u8]) -> Vec<usize> {
    let (mut halves, mut at) = (Vec::new(), 0);
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        match unit(json, at) {
            Some(0xd800..=0xdbff) => match unit(json, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => {
                    halves.push(at);
                    at += 6;
                }
            },
            Some(0xdc00..=0xdfff) => {
                halves.push(at);
                at += 6;
            }
            Some(_) => at += 6,
            // `\\`, `\"` and their like take two bytes.
            None => at = (at + 2).min(json.len()),
        }
    }
    halves
}

/// The code unit of an escape `\u12aB` at this place.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | (*digit as char).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        let check = |json: &str, expected: &str| assert_eq!(paired(json), expected, "{json}");
        check(r#""\ud83d""#, r#""\ufffd""#);
        check(r#""\uD83D!""#, r#""\ufffd!""#);
        check(r#""\ude00""#, r#""\ufffd""#);
        check(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        check(r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#);
        check(r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#);
        check(r#""\ud83d\n""#, r#""\ufffd\n""#);
        check(r#""\\ud83d""#, r#""\\ud83d""#);
        check(r#""\\\ud83d""#, r#""\\\ufffd""#);
        check(r#""\ud83""#, r#""\ud83""#);
        check("\"\\ud83d", "\"\\ufffd");
        check("\\", "\\");
        check("é\\ud83dé", "é\\ufffdé");
    }

    proptest! {
        /// The reading of JSON that keeps code units is the reference: each string of units is written as
        /// `JSON.stringify` writes it, and is read back with the halves replaced.
        #[test]
        fn any_string_of_code_units_is_read_as_utf_16_is(
            units in proptest::collection::vec(
                prop_oneof![Just(0xd83d_u16), Just(0xde00), 0xd800..=0xdfff_u16, Just(u16::from(b'\\')), any::<u16>()], 0..40,
            ),
            escaped in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut json = String::from("\"");
            let decoded: Vec<_> = char::decode_utf16(units.iter().copied()).collect();
            for (one, escape) in decoded.iter().zip(&escaped) {
                match one {
                    Ok(char) if !escape => json.push_str(serde_json::to_string(&char.to_string()).unwrap().trim_matches('"')),
                    Ok(char) => {
                        let mut pair = [0; 2];
                        char.encode_utf16(&mut pair).iter().for_each(|unit| json.push_str(&format!("\\u{unit:04x}")));
                    }
                    Err(half) => json.push_str(&format!("\\u{:04X}", half.unpaired_surrogate())),
                }
            }
            // `trim_matches` took the quote of an escaped quote too.
            prop_assume!(!units.contains(&u16::from(b'"')));
            json.push('"');
            let read: String = serde_json::from_str(&paired(&json)).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        /// Whatever the text: what was JSON before stays as it was, and no length changes.
        #[test]
        fn json_that_can_be_read_does_not_change(text in r#"([\\u"a-fD0-9n]|\\\\|\\ud8[0-9a-f]{2}){0,60}"#) {
            let json = format!("\"{text}\"");
            let repaired = paired(&json);
            prop_assert_eq!(repaired.len(), json.len());
            if serde_json::from_str::<String>(&json).is_ok() {
                prop_assert_eq!(repaired, json.as_str());
            }
        }
    }
}
