//! Cells that are ids: what is taken off them, what is none, and what is doubtful.

use crate::refusal::WarningCode;

/// What counts as no id, in exactly these spellings, unless `ID_NULLS` has another list.
pub(crate) const ID_NULLS: [&str; 6] = ["\\N", "NULL", "null", "#N/A", "undefined", "[object Object]"];

/// What an id cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id<'a> {
    /// Nothing.
    Empty,
    /// A null marker, which counts as nothing.
    Null,
    /// A number as spreadsheets round it: two ids have become one.
    Rounded,
    /// An id, as it is sent.
    Sound(&'a [u8]),
}

/// Whether a cell is an id as it stands, or empty, without a second look. Nearly every id is decided here.
#[inline]
pub(crate) fn is_plain(cell: &[u8], nulls: &Nulls) -> bool {
    let Some((&first, rest)) = cell.split_first() else { return true };
    let last = rest.last().copied().unwrap_or(first);
    let odd = match first {
        // Words for none, for a total and the like have no digit at their end.
        b'a'..=b'z' | b'A'..=b'Z' => {
            (cell.len() <= WORD_BYTES_MAX && !last.is_ascii_digit()) || (matches!(first, b't' | b'T') && is_total(cell))
        }
        b'0' => last == b'0' || is_number_like(cell),
        b'1'..=b'9' => is_number_like(cell),
        _ => true,
    };
    !odd && last != b' ' && is_printable(cell) && !nulls.has(cell)
}

/// Whether every byte is printable ASCII or a blank. Eight bytes at a time.
#[inline]
fn is_printable(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // A high bit of a byte that is below 0x20, 0x7F or beyond; a carry comes of such a byte alone.
    let odd = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes);
        (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES) | word) & HIGHS != 0
    };
    let (words, _) = text.as_chunks::<8>();
    match text.last_chunk::<8>() {
        Some(last) => !words.iter().any(|word| odd(*word)) && !odd(*last),
        None => text.iter().all(|byte| matches!(byte, 0x20..=0x7E)),
    }
}

/// Words that stand for nothing, in exactly their spellings.
#[derive(Debug, Default)]
pub(crate) struct Nulls {
    words: Vec<String>,
    /// A bit for each length in bytes that a word has; the last for all that are longer.
    lengths: u64,
}

impl Nulls {
    pub(crate) fn new(words: Vec<String>) -> Nulls {
        let lengths = words.iter().fold(0, |lengths, word| lengths | Nulls::bit(word.len()));
        Nulls { words, lengths }
    }

    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }

    #[inline]
    pub(crate) fn has(&self, cell: &[u8]) -> bool {
        self.lengths & Nulls::bit(cell.len()) != 0 && self.words.iter().any(|word| word.as_bytes() == cell)
    }
}

/// The longest of the words that are looked for.
const WORD_BYTES_MAX: usize = 15;

/// Whether the end may be that of `1.0` or `4.479E+11`.
fn is_number_like(cell: &[u8]) -> bool {
    matches!(cell, [.., b'.', b'0'] | [.., b'.', b'0', b'0']) || cell.iter().rev().take(5).any(|byte| *byte == b'+')
}

/// Reads an id, and says through `note` what is doubtful about it. `own` is the name of its column.
pub(crate) fn read<'a>(cell: &'a [u8], own: &str, nulls: &Nulls, note: &mut dyn FnMut(WarningCode)) -> Id<'a> {
    let mut id = trim(cell);
    if let Some(guarded) = guarded(id) {
        note(WarningCode::IdGuard);
        id = trim(guarded);
    }
    if id.is_empty() {
        return Id::Empty;
    }
    if nulls.has(id) {
        note(WarningCode::IdNullMarker);
        return Id::Null;
    }
    if is_rounded(id) {
        return Id::Rounded;
    }
    if is_placeholder(id) {
        note(WarningCode::IdPlaceholder);
    } else if is_no_data(id) || id == own.as_bytes() {
        note(WarningCode::IdNoData);
    }
    if id.first() == Some(&b'\'') {
        note(WarningCode::IdApostrophe);
    }
    if is_decimal(id) {
        note(WarningCode::IdDecimal);
    }
    if std::str::from_utf8(id).is_ok_and(|text| text.chars().any(|c| c.is_control() || is_invisible(c))) {
        note(WarningCode::IdInvisible);
    }
    Id::Sound(id)
}

/// A cell without the blanks, control characters and invisible characters at its ends.
#[inline]
pub(crate) fn trim(cell: &[u8]) -> &[u8] {
    match cell {
        [one] if one.is_ascii_graphic() => cell,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => cell,
        _ => std::str::from_utf8(cell).map_or(cell, |text| text.trim_matches(is_nothing).as_bytes()),
    }
}

/// Whether there is nothing but blanks, control characters and invisible characters, such as the NULs and the Ctrl-Z
/// that some programs end a file with.
#[inline]
pub(crate) fn is_void(cell: &[u8]) -> bool {
    match cell.first() {
        None => true,
        Some(first) if first.is_ascii_graphic() => false,
        Some(_) => std::str::from_utf8(cell).is_ok_and(|text| text.chars().all(is_nothing)),
    }
}

/// Blanks, control characters and characters of no width.
pub(crate) fn is_nothing(c: char) -> bool {
    c.is_whitespace() || c.is_control() || is_invisible(c)
}

/// Characters of no width that are no control characters: joiners, marks of direction, byte order marks.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
    )
}

/// Whether a cell is what programs write for none: databases, spreadsheets, JavaScript, Python. In exactly these
/// spellings, because in others they may be words of people.
pub(crate) fn is_null_marker(cell: &[u8]) -> bool {
    const MARKERS: [&[u8]; 18] = [
        b"\\N",
        b"NULL",
        b"null",
        b"(null)",
        b"undefined",
        b"[object Object]",
        b"NaN",
        b"nan",
        b"NaT",
        b"None",
        b"<NA>",
        b"#N/A",
        b"#NV",
        b"#REF!",
        b"#VALUE!",
        b"#NAME?",
        b"#DIV/0!",
        b"#NUM!",
    ];
    // A spreadsheet writes a column that is too narrow for its numbers as `####`.
    let is_narrow = cell.len() > 2 && cell.iter().all(|byte| *byte == b'#');
    is_narrow || MARKERS.contains(&cell)
}

/// What stands between `="` and `"`, by which spreadsheets keep a number as text.
pub(crate) fn guarded(cell: &[u8]) -> Option<&[u8]> {
    cell.strip_prefix(b"=\"")?.strip_suffix(b"\"").filter(|inside| !inside.contains(&b'"'))
}

/// `4.479E+11`: one digit, perhaps a fraction, and an exponent with a plus sign. `12e5` is a code.
fn is_rounded(id: &[u8]) -> bool {
    let id = id.strip_prefix(b"-").unwrap_or(id);
    let Some(at) = id.iter().position(|byte| matches!(byte, b'E' | b'e')) else { return false };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mantissa = match &id[..at] {
        [first] => first.is_ascii_digit(),
        [first, b'.' | b',', fraction @ ..] => first.is_ascii_digit() && digits(fraction),
        _ => false,
    };
    mantissa && id[at + 1..].strip_prefix(b"+").is_some_and(digits)
}

/// `1.0`, as a table of floating-point numbers writes 1.
fn is_decimal(id: &[u8]) -> bool {
    let whole = id.strip_suffix(b".0").or_else(|| id.strip_suffix(b".00"));
    whole.is_some_and(|whole| !whole.is_empty() && whole.iter().all(u8::is_ascii_digit))
}

/// Words that programs and people write for "none".
fn is_placeholder(id: &[u8]) -> bool {
    const WORDS: [&str; 31] = [
        "nan",
        "none",
        "nil",
        "null",
        "n/a",
        "na",
        "n.a.",
        "\\n",
        "undefined",
        "unknown",
        "(null)",
        "<null>",
        "[null]",
        "(none)",
        "(not set)",
        "(blank)",
        "(empty)",
        "<none>",
        "<na>",
        "[object object]",
        "{}",
        "[]",
        "-1",
        "?",
        ".",
        "#n/a",
        "#ref!",
        "#value!",
        "#name?",
        "#div/0!",
        "#num!",
    ];
    let zeros = id.contains(&b'0') && id.iter().all(|byte| matches!(byte, b'0' | b'-'));
    zeros || id == b"-" || is_one_of(id, &WORDS)
}

/// A total, a comment, a rule, the end of a report: no data.
fn is_no_data(id: &[u8]) -> bool {
    const WORDS: [&str; 13] = [
        "subtotal",
        "sub-total",
        "sub total",
        "grand total",
        "grand total:",
        "sum",
        "sum:",
        "summe",
        "average",
        "eof",
        "end of file",
        "end of report",
        "gesamt",
    ];
    let rule =
        id.len() > 1 && id.iter().all(|byte| matches!(byte, b'-' | b'=' | b'*' | b'_' | b'~' | b'+' | b'#' | b' '));
    let count = id.starts_with(b"(") && (starts_like_count(id));
    rule || is_one_of(id, &WORDS)
        || id.starts_with(b"#")
        || id.starts_with(b"-- ")
        || id.starts_with(b"//")
        || is_total(id)
        || count
}

/// `Total`, `Totals: 5` and the like.
fn is_total(id: &[u8]) -> bool {
    let Some((start, rest)) = id.split_at_checked(5) else { return false };
    start.eq_ignore_ascii_case(b"total")
        && !matches!(
            rest,
            [b'a'..=b'r' | b't'..=b'z' | b'A'..=b'R' | b'T'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'@' | b'.', ..]
        )
}

/// `(12 rows)`, as databases end what they print.
fn starts_like_count(id: &[u8]) -> bool {
    let digits = id[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &id[1 + digits..];
    digits > 0 && [&b" row"[..], b" record", b" line"].iter().any(|word| rest.starts_with(word))
}

fn is_one_of(id: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| id.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nulls() -> Nulls {
        Nulls::new(ID_NULLS.map(str::to_owned).to_vec())
    }

    fn read_noted(cell: &str) -> (Id<'_>, Vec<&'static str>) {
        let mut notes = Vec::new();
        let id = read(cell.as_bytes(), "userId", &nulls(), &mut |code| notes.push(code.as_str()));
        (id, notes)
    }

    #[track_caller]
    fn check(cell: &str, expected: Id<'_>, notes: &[&str]) {
        assert_eq!(read_noted(cell), (expected, notes.to_vec()), "{cell:?}");
        let doubtful = expected != Id::Sound(cell.as_bytes()) || !notes.is_empty();
        assert!(!doubtful || cell.is_empty() || !is_plain(cell.as_bytes(), &nulls()), "{cell:?} has a second look");
    }

    #[test]
    fn sound_ids_are_sent_as_they_stand() {
        for cell in [
            "1",
            "42",
            "00012",
            "user-1",
            "a@example.com",
            "12e5",
            "12E5",
            "1e-7",
            "Nancy",
            "null-1",
            "NULLA",
            "undefined1",
            "Totality",
            "Ann",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "10",
            "1.01",
            "v1.0",
            "a b",
            "Müller",
            "東京",
            "1.5.0",
            "ABC+12",
        ] {
            check(cell, Id::Sound(cell.as_bytes()), &[]);
        }
    }

    #[test]
    fn null_markers_in_exactly_these_spellings_are_no_ids() {
        for cell in ID_NULLS {
            check(cell, Id::Null, &["id_null_marker"]);
            assert_eq!(read_noted(&format!(" {cell}\u{200B}")).0, Id::Null);
        }
    }

    #[test]
    fn other_spellings_of_none_are_warned_of_and_sent() {
        for cell in ["nan", "NaN", "None", "nil", "Null", "0", "000", "-1", "N/A", "-", "(not set)", "#REF!", "UNKNOWN"]
        {
            check(cell, Id::Sound(cell.as_bytes()), &["id_placeholder"]);
        }
        check(
            "00000000-0000-0000-0000-000000000000",
            Id::Sound(b"00000000-0000-0000-0000-000000000000"),
            &["id_placeholder"],
        );
    }

    #[test]
    fn what_is_no_data_is_warned_of_and_sent() {
        for cell in [
            "Total",
            "TOTALS",
            "Grand total",
            "Total: 5",
            "total rows",
            "-----",
            "=====",
            "# comment",
            "-- end",
            "(12 rows)",
            "EOF",
            "userId",
        ] {
            let noted = read_noted(cell);
            assert_eq!(noted, (Id::Sound(cell.as_bytes()), vec!["id_no_data"]), "{cell}");
        }
    }

    #[test]
    fn ids_that_a_spreadsheet_has_rounded_are_none() {
        for cell in ["4.479E+11", "4,479E+11", "1E+11", "-1.2e+05", "9.99999E+104"] {
            check(cell, Id::Rounded, &[]);
        }
    }

    #[test]
    fn invisible_characters_are_taken_off_the_ends_and_warned_of_inside() {
        for cell in ["\u{200B}1", "1\u{FEFF}", "\u{1F}1", "1\u{200E}", "\u{A0}1 ", "\t1\u{2009}"] {
            check(cell, Id::Sound(b"1"), &[]);
        }
        for cell in ["\u{200B}", "\u{1A}", "\u{FEFF} \u{0}", " "] {
            check(cell, Id::Empty, &[]);
            assert!(is_void(cell.as_bytes()));
        }
        check("1\u{200B}2", Id::Sound("1\u{200B}2".as_bytes()), &["id_invisible_characters"]);
        check("a\tb", Id::Sound(b"a\tb"), &["id_invisible_characters"]);
    }

    #[test]
    fn guards_are_opened_and_other_marks_of_spreadsheets_are_warned_of() {
        check("=\"00012\"", Id::Sound(b"00012"), &["id_spreadsheet_guard"]);
        check("=\"NULL\"", Id::Null, &["id_spreadsheet_guard", "id_null_marker"]);
        check("=\"\"", Id::Empty, &["id_spreadsheet_guard"]);
        check("'00012", Id::Sound(b"'00012"), &["id_apostrophe"]);
        check("1.0", Id::Sound(b"1.0"), &["id_decimal"]);
    }

    proptest! {
        #[test]
        fn a_plain_id_is_what_a_second_look_says(cell in "[ -~\u{A0}\u{200B}\u{1F}é]{0,8}|[NnUu#=0-9.E+'-]{1,9}") {
            if is_plain(cell.as_bytes(), &nulls()) {
                let expected = if cell.is_empty() { Id::Empty } else { Id::Sound(cell.as_bytes()) };
                prop_assert_eq!(read_noted(&cell), (expected, vec![]));
            }
        }
    }
}
