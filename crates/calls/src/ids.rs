//! Cells that are ids: what is taken off them, what is none, and what is doubtful.

mod names;
mod numbers;
mod words;

use crate::reading::Reading;
use crate::refusal::WarningCode;
pub(crate) use names::Names;
pub(crate) use numbers::{is_cut, is_rounded, may_be_cut};
use numbers::{is_decimal, is_exponent, is_number_like};
pub(crate) use words::{MARKER_LENGTHS, NULL_MARKERS, is_footer, is_null_marker, may_be_footer};
use words::{is_no_data, is_placeholder, is_total};

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
pub(crate) fn is_plain(cell: &[u8], nulls: &Nulls, names: &Names) -> bool {
    let Some((&first, rest)) = cell.split_first() else { return true };
    let last = rest.last().copied().unwrap_or(first);
    let odd = match first {
        // Words for none and names of columns have a letter at their end and are short, or have a blank or a colon.
        b'a'..=b'z' | b'A'..=b'Z' => {
            (cell.len() <= WORD_BYTES_MAX && !last.is_ascii_digit())
                || !last.is_ascii_alphanumeric()
                || (words::may_be_words(first) && (is_total(cell) || words::may_be_label(cell)))
                || names.may_have(first, last, cell)
        }
        b'0'..=b'9' if !last.is_ascii_alphanumeric() => true,
        b'1'..=b'9' if cell.iter().all(u8::is_ascii_digit) => false,
        b'0' => last == b'0' || is_number_like(cell),
        b'1'..=b'9' => is_number_like(cell) || (!last.is_ascii_digit() && memchr::memchr(b' ', cell).is_some()),
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

/// No word.
pub(crate) static NO_NULLS: Nulls = Nulls { words: Vec::new(), lengths: 0 };

impl Nulls {
    pub(crate) fn new(words: Vec<String>) -> Nulls {
        let lengths = words.iter().fold(0, |lengths, word| lengths | Nulls::bit(word.len()));
        Nulls { words, lengths }
    }

    /// What counts as no id.
    pub(crate) fn of_ids(reading: &Reading) -> Nulls {
        Nulls::new(Nulls::words_of_ids(reading))
    }

    /// The words that count as no id.
    pub(crate) fn words_of_ids(reading: &Reading) -> Vec<String> {
        let ids = match &reading.id_nulls {
            Some(list) => list.clone(),
            None => ID_NULLS.iter().map(|null| (*null).to_owned()).collect(),
        };
        [ids, reading.nulls.clone()].concat()
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

/// Whether a cell is words and no id as programs make them, which have a digit or are an email address.
#[inline]
pub(crate) fn is_words(cell: &[u8]) -> bool {
    let (Some(first), Some(last)) = (cell.first(), cell.last()) else { return false };
    let is_word = first.is_ascii_alphabetic() && !last.is_ascii_digit();
    is_word && !cell.iter().any(|byte| byte.is_ascii_digit() || *byte == b'@')
}

/// Reads an id, and says through `note` what is doubtful about it. `names` are those of the file's columns.
pub(crate) fn read<'a>(cell: &'a [u8], names: &Names, nulls: &Nulls, note: &mut dyn FnMut(WarningCode)) -> Id<'a> {
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
    } else if is_no_data(id) || names.has(id) {
        note(WarningCode::IdNoData);
    } else if is_notation(id) {
        note(WarningCode::IdNotation);
    } else if is_formula(id) {
        note(WarningCode::Formula);
    } else if is_exponent(id) {
        note(WarningCode::IdExponent);
    }
    if is_quoted(id) {
        note(WarningCode::IdQuotes);
    }
    if id.first() == Some(&b'\'') {
        note(WarningCode::IdApostrophe);
    }
    if is_decimal(id) {
        note(WarningCode::IdDecimal);
    }
    if std::str::from_utf8(id).is_ok_and(|text| text.chars().any(is_hidden)) {
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

/// Characters that the eye does not see in a text, or takes for another: other blanks than the one of the keyboard, and
/// the sign that stands for a character that was lost.
fn is_hidden(c: char) -> bool {
    c != ' ' && (is_nothing(c) || c == '\u{FFFD}')
}

/// Characters that show nothing and are no control characters: joiners, marks of direction, byte order marks, fillers,
/// selectors of variants, tags.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// What stands between `="` and `"`, by which spreadsheets keep a number as text. The quotes may be doubled.
pub(crate) fn guarded(cell: &[u8]) -> Option<&[u8]> {
    let inside = |open: &[u8], close: &[u8]| {
        cell.strip_prefix(open)?.strip_suffix(close).filter(|inside| !inside.contains(&b'"'))
    };
    inside(b"=\"", b"\"").or_else(|| inside(b"=\"\"", b"\"\""))
}

/// Whether a cell begins as a formula of a spreadsheet: `=A1`, `=T("x")`, `=00012`.
pub(crate) fn is_formula(cell: &[u8]) -> bool {
    cell.len() > 1 && cell.first() == Some(&b'=')
}

/// Whether an id that stands alone in its row is a line of text, as reports begin and end with: it has a blank, or
/// neither a letter nor a digit, or it is a date.
pub(crate) fn is_line(id: &[u8]) -> bool {
    id.contains(&b' ')
        || is_date(id)
        || std::str::from_utf8(id).is_ok_and(|text| !text.is_empty() && !text.contains(char::is_alphanumeric))
}

/// `2024-01-05`, `05/01/2024`, `5.1.24`.
fn is_date(id: &[u8]) -> bool {
    let Some(sign) = id.iter().find(|byte| matches!(byte, b'-' | b'/' | b'.')) else { return false };
    let parts: Vec<&[u8]> = id.split(|byte| byte == sign).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    parts.iter().all(|part| part.iter().all(u8::is_ascii_digit))
        && matches!(lengths[..], [4, 1..=2, 1..=2] | [1..=2, 1..=2, 2 | 4])
}

/// `ObjectId(5f1a)`, `{"$oid":"5f1a"}`, `b'123'`: an id in the notation of a program, which another export does not have.
fn is_notation(id: &[u8]) -> bool {
    match id {
        [b'{', .., b'}'] | [b'[', .., b']'] => true,
        [b'b' | b'u' | b'B' | b'U', open @ (b'\'' | b'"'), .., close] => open == close,
        [.., b')'] => {
            let word = id.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            word > 0 && id.get(word) == Some(&b'(')
        }
        _ => false,
    }
}

/// Whether quotes stand at both ends, straight or curly.
fn is_quoted(id: &[u8]) -> bool {
    let is_quote = |c: char| matches!(c, '"' | '\u{201C}'..='\u{201F}' | '\u{2018}'..='\u{201B}' | '«' | '»');
    std::str::from_utf8(id)
        .is_ok_and(|text| text.chars().count() > 1 && text.starts_with(is_quote) && text.ends_with(is_quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nulls() -> Nulls {
        Nulls::new(ID_NULLS.map(str::to_owned).to_vec())
    }

    fn names() -> Names {
        Names::new(["userId", "traits.first_name", "traits.a1", "traits.n:number", "2019"].into_iter())
    }

    fn read_noted(cell: &str) -> (Id<'_>, Vec<&'static str>) {
        let mut notes = Vec::new();
        let id = read(cell.as_bytes(), &names(), &nulls(), &mut |code| notes.push(code.as_str()));
        (id, notes)
    }

    #[track_caller]
    fn check(cell: &str, expected: Id<'_>, notes: &[&str]) {
        assert_eq!(read_noted(cell), (expected, notes.to_vec()), "{cell:?}");
        let doubtful = expected != Id::Sound(cell.as_bytes()) || !notes.is_empty();
        assert!(
            !doubtful || cell.is_empty() || !is_plain(cell.as_bytes(), &nulls(), &names()),
            "{cell:?} has a second look"
        );
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
            "1e5",
            "1E11",
            "1E-3",
            "100E7",
            "7E3A",
            "4.479E+11abc",
            "Maxim",
            "END-1",
            "2019",
            "user:1",
            "Sum-1",
            "Pagel 5",
            "urn:uuid:3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "Traits A1",
        ] {
            check(cell, Id::Sound(cell.as_bytes()), &[]);
        }
    }

    #[test]
    fn null_markers_in_exactly_these_spellings_do_not_count_as_ids() {
        for cell in ID_NULLS {
            check(cell, Id::Null, &["id_null_marker"]);
            assert_eq!(read_noted(&format!(" {cell}\u{200B}")).0, Id::Null);
        }
    }

    #[test]
    fn other_placeholders_are_sent_with_a_warning() {
        for cell in
            ["true", "FALSE", "anonymous", "Guest", "NaT", "inf", "{{userId}}", "${user.id}", "<userId>", "%ID%"]
        {
            check(cell, Id::Sound(cell.as_bytes()), &["id_placeholder"]);
        }
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
    fn ids_of_totals_and_comments_are_sent_with_a_warning() {
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
            "Grand total: 5",
            "Sum: 5",
            "Subtotal 5",
            "Summe:",
            "Gesamtsumme",
            "Gesamtergebnis",
            "Insgesamt",
            "5 rows selected.",
            "Record Count: 5",
            "Rows: 5",
            "Page 1 of 3",
            "Totale",
            "...",
            "--END--",
            "***END***",
            "\\.",
            "STRING",
            "VARCHAR(36)",
            "sep=",
            "; comment",
            "/* comment */",
            "…",
            "~",
            "*",
            "END",
            "Zwischensumme",
            "Sous-total: 5",
            "合計",
            "合計：5",
            "Итого",
            "ИТОГО 5",
            "Mean",
            "max",
            "Overall",
        ] {
            check(cell, Id::Sound(cell.as_bytes()), &["id_no_data"]);
        }
    }

    #[test]
    fn an_id_that_names_a_column_is_warned_of_in_other_words_as_well() {
        for cell in [
            "userId",
            "UserId",
            "User ID",
            "user_id",
            "traits.first_name",
            "Traits First Name",
            "traits.a1",
            "Traits.N",
        ] {
            check(cell, Id::Sound(cell.as_bytes()), &["id_no_data"]);
        }
    }

    #[test]
    fn ids_in_quotes_or_in_the_notation_of_a_program_are_warned_of() {
        for cell in ["\"u1\"", "“1”", "„1“", "‘1’", "«1»"] {
            check(cell, Id::Sound(cell.as_bytes()), &["id_quotes"]);
        }
        for cell in
            ["ObjectId(5f1a)", "UUID(\"3f2504e0-4f89-11d3-9a0c-0305e82c3301\")", "{\"$oid\":\"5f1a\"}", "b'123'"]
        {
            check(cell, Id::Sound(cell.as_bytes()), &["id_notation"]);
        }
    }

    #[test]
    fn blanks_and_fillers_of_unicode_are_removed_at_the_ends_and_warned_of_inside() {
        for hidden in ['\u{2028}', '\u{3164}', '\u{FE0F}', '\u{E0001}', '\u{A0}', '\u{2800}'] {
            check(&format!("{hidden}1{hidden}"), Id::Sound(b"1"), &[]);
            let inside = format!("1{hidden}2");
            check(&inside, Id::Sound(inside.as_bytes()), &["id_invisible_characters"]);
        }
        check("\u{FFFD}1", Id::Sound("\u{FFFD}1".as_bytes()), &["id_invisible_characters"]);
    }

    #[test]
    fn ids_that_a_spreadsheet_has_rounded_are_refused() {
        for cell in [
            "447.9E+9",
            "447.90E+09",
            "44.79E+10",
            "1.E+11",
            "+4.479E+11",
            "-12E+5",
            "4.4790E+011",
            "4.479E11",
            "1.2345678901234567E18",
            "1.0E7",
            "4.479E+11",
            "4,479E+11",
            "1E+11",
            "-1.2e+05",
            "9.99999E+104",
        ] {
            check(cell, Id::Rounded, &[]);
        }
    }

    #[test]
    fn other_exponents_are_warned_of_and_sent() {
        for cell in ["12E+5", "4479E+8", "4.479E-05", "447.9E-5", "4.479 E+11", "4.479E +11", "12.5E6", "1.E11"] {
            check(cell, Id::Sound(cell.as_bytes()), &["id_exponent"]);
        }
    }

    #[test]
    fn long_numbers_with_zeros_behind_the_15th_digit_are_cut() {
        for (id, expected) in [
            ("447900000000000000", Some(true)),
            ("4111111111111110", Some(true)),
            ("4111111111111111", Some(false)),
            ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", None),
            ("1234567890123456x", None),
        ] {
            assert_eq!(is_cut(id.as_bytes()), expected, "{id}");
        }
        assert!(may_be_cut(b"4111111111111111"));
        assert!(!may_be_cut(b"411111111111110"));
        assert!(!may_be_cut(b"0000000000000000"));
    }

    #[test]
    fn lines_of_text_are_told_from_ids() {
        for line in ["Generated by Foo", "~", "…", "2024-01-05", "05/01/2024", "5.1.24", "Source: CRM"] {
            assert!(is_line(line.as_bytes()), "{line}");
        }
        for id in ["u1", "東京", "a@b.c", "1.2.3.4", "123-45-6789", "1.10.2", "2024-01-05-7"] {
            assert!(!is_line(id.as_bytes()), "{id}");
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
        check("=\"\"00012\"\"", Id::Sound(b"00012"), &["id_spreadsheet_guard"]);
        for cell in ["=\"00012", "=00012", "=A1", "=1+1", "=T(\"00012\")", "=HYPERLINK(\"http://x\",\"42\")"] {
            check(cell, Id::Sound(cell.as_bytes()), &["spreadsheet_formula"]);
        }
        check("'00012", Id::Sound(b"'00012"), &["id_apostrophe"]);
        for cell in ["1.0", "1,0", "1.000", "12,00"] {
            check(cell, Id::Sound(cell.as_bytes()), &["id_decimal"]);
        }
    }

    proptest! {
        #[test]
        fn an_id_on_the_fast_path_is_read_as_on_the_slow_path(cell in "[ -~\u{A0}\u{200B}\u{1F}é]{0,8}|[0-9]{1,4}[.,]?[0-9]{0,3}[ ]?[Ee][ +-]?[0-9]{1,5}|[NnUu#=0-9.,E+'-]{1,9}|(Total|Rows|Sum|Page|sum of|Mean|Max|END|Overall|Zwischensumme)[ :0-9]{0,4}|[Tt]raits[ ._]{0,4}(a1|first name|N)") {
            if is_plain(cell.as_bytes(), &nulls(), &names()) {
                let expected = if cell.is_empty() { Id::Empty } else { Id::Sound(cell.as_bytes()) };
                prop_assert_eq!(read_noted(&cell), (expected, vec![]));
            }
        }
    }
}
