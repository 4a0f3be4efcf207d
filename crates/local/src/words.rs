//! Texts and numbers as the report shows them.

use crate::voice::Voice;
use std::fmt::Write as _;

/// So much of a value is shown.
const VALUE_CHARS_MAX: usize = 28;

/// Says how many lines of a list are left out.
pub(crate) fn more(out: &mut String, count: usize, what: &str, voice: Voice) {
    if count > 0 {
        let _ = writeln!(out, "  {}", voice.dim(&format!("and {count} more {what}; --json has all")));
    }
}

/// Text that stays on its line and does nothing to a terminal.
pub(crate) fn visible(text: &str) -> String {
    text.replace("\r\n", "⏎")
        .chars()
        .map(|c| match c {
            '\n' | '\r' => '⏎',
            '\t' => '→',
            c if is_invisible(c) => '·',
            c => c,
        })
        .collect()
}

/// True for characters that a terminal does not show, or that change the order or the look of others: control characters,
/// marks of direction, characters without width (Unicode Standard, chapter 23).
pub(crate) fn is_invisible(c: char) -> bool {
    let is_format = matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || is_format
}

/// `1234567` is `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The beginning of a value.
pub(crate) fn cut(value: &str) -> String {
    let value = visible(value);
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}
