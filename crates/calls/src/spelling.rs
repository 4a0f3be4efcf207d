//! Spellings that look the same.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A text whose letters and marks are one character each, as far as there is such a character (NFC). macOS writes `ü` in
/// names of files as two characters, and other programs write it as one.
#[must_use]
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_with_a_mark_is_one_character() {
        for (text, expected) in
            [("Stra\u{df}e", "Straße"), ("Mu\u{308}nchen", "München"), ("a\u{308}x", "äx"), ("plain", "plain")]
        {
            assert_eq!(composed(text), expected);
        }
    }
}
