//! Words that stand for nothing, for a total, for the end of a report.

/// What programs write for none: databases, spreadsheets, JavaScript, Python. In exactly these spellings, because in
/// others they may be words of people.
pub(crate) const NULL_MARKERS: [&[u8]; 18] = [
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

/// Whether a cell is what programs write for none.
pub(crate) fn is_null_marker(cell: &[u8]) -> bool {
    // A spreadsheet writes a column that is too narrow for its numbers as `####`.
    let is_narrow = cell.len() > 2 && cell.iter().all(|byte| *byte == b'#');
    is_narrow || NULL_MARKERS.contains(&cell)
}

/// Words that programs and people write in place of an id.
pub(super) fn is_placeholder(id: &[u8]) -> bool {
    const WORDS: [&str; 41] = [
        "nan",
        "nat",
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
        "#nv",
        "#ref!",
        "#value!",
        "#name?",
        "#div/0!",
        "#num!",
        "true",
        "false",
        "anonymous",
        "guest",
        "inf",
        "-inf",
        "infinity",
        "-infinity",
    ];
    let zeros = id.contains(&b'0') && id.iter().all(|byte| matches!(byte, b'0' | b'-'));
    zeros || id == b"-" || is_one_of(id, &WORDS) || is_template(id)
}

/// `{{userId}}`, `${userId}`, `%userId%`, `<userId>`: a name that no program has put a value for.
fn is_template(id: &[u8]) -> bool {
    [("{{", "}}"), ("${", "}"), ("%", "%"), ("<", ">")].iter().any(|(open, close)| {
        let inside = id.strip_prefix(open.as_bytes()).and_then(|rest| rest.strip_suffix(close.as_bytes()));
        inside.is_some_and(|inside| inside.iter().any(u8::is_ascii_alphabetic))
    })
}

/// A total, a comment, a rule, a type of a database, the end of a report: no data.
pub(super) fn is_no_data(id: &[u8]) -> bool {
    const TYPES: [&str; 13] = [
        "string",
        "text",
        "varchar",
        "char",
        "nvarchar",
        "character varying",
        "int",
        "integer",
        "bigint",
        "uuid",
        "number",
        "numeric",
        "object",
    ];
    let starts = [&b"#"[..], b"-- ", b"//", b"sep=", b"varchar(", b"VARCHAR("];
    is_rule(id)
        || id == b"\\."
        || starts.iter().any(|start| id.starts_with(start))
        || is_total(id)
        || is_label(id)
        || is_count(id)
        || is_one_of(id, &TYPES)
}

/// Whether the first cell of a row says that the row is a total, or the end of a report.
#[cold]
pub(crate) fn is_footer(cell: &[u8]) -> bool {
    is_label(cell) || is_count(cell)
}

/// The first bytes of cells that may be a footer.
#[inline]
pub(crate) fn may_be_footer(first: u8) -> bool {
    first == b'(' || (first.is_ascii_alphabetic() && has_letter(LABEL_LETTERS, first))
}

/// The first letters of cells that may be a label, or another kind of no data that may have a blank in it:
/// `character varying`, `sep=`, `varchar(`.
#[inline]
pub(super) fn may_be_words(first: u8) -> bool {
    const LETTERS: u32 = LABEL_LETTERS | letter(b'c') | letter(b's') | letter(b'v');
    has_letter(LETTERS, first)
}

/// Whether a cell has what may stand behind a label.
#[inline]
pub(super) fn may_be_label(cell: &[u8]) -> bool {
    memchr::memchr2(b' ', b':', &cell[..cell.len().min(LABEL_BYTES_MAX + 1)]).is_some()
}

/// A bit for each letter that a label begins with.
const LABEL_LETTERS: u32 = {
    let (mut letters, mut at) = (0, 0);
    while at < LABELS.len() {
        letters |= letter(LABELS[at].as_bytes()[0]);
        at += 1;
    }
    letters
};

const fn letter(letter: u8) -> u32 {
    1 << (letter & 0x1F)
}

#[inline]
fn has_letter(letters: u32, first: u8) -> bool {
    letters & letter(first) != 0
}

/// `-----`, `...`, `--END--`.
fn is_rule(id: &[u8]) -> bool {
    let is_line = id.iter().all(|byte| matches!(byte, b'-' | b'=' | b'*' | b'_' | b'~' | b'+' | b'#' | b' ' | b'.'));
    let is_framed = match id {
        [first @ (b'-' | b'*' | b'=' | b'~' | b'#'), .., last] if first == last => {
            id.iter().all(|byte| byte == first || byte.is_ascii_alphabetic() || *byte == b' ')
        }
        _ => false,
    };
    id.len() > 1 && (is_line || is_framed)
}

/// `Total`, `Totals: 5` and the like.
pub(super) fn is_total(id: &[u8]) -> bool {
    let Some((start, rest)) = id.split_at_checked(5) else { return false };
    start.eq_ignore_ascii_case(b"total")
        && !matches!(
            rest,
            [b'a'..=b'r' | b't'..=b'z' | b'A'..=b'R' | b'T'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'@' | b'.', ..]
        )
}

/// Words for a total or a count, and for the end of a report.
const LABELS: [&str; 36] = [
    "total",
    "totals",
    "subtotal",
    "subtotals",
    "sub-total",
    "sub total",
    "grand total",
    "grand totals",
    "overall total",
    "sum",
    "summe",
    "gesamt",
    "gesamtsumme",
    "gesamtergebnis",
    "gesamtzahl",
    "insgesamt",
    "teilergebnis",
    "totale",
    "totaal",
    "total general",
    "total geral",
    "somme",
    "somma",
    "suma",
    "average",
    "count",
    "row count",
    "record count",
    "rows",
    "records",
    "page",
    "seite",
    "eof",
    "end of file",
    "end of report",
    "end of data",
];

/// The longest label.
pub(super) const LABEL_BYTES_MAX: usize = 15;

/// A word for a total or a count, and behind it nothing, a colon, or a number: `Grand total: 5`, `Rows 5`.
fn is_label(cell: &[u8]) -> bool {
    LABELS.iter().any(|label| {
        let Some((start, rest)) = cell.split_at_checked(label.len()) else { return false };
        start.eq_ignore_ascii_case(label.as_bytes())
            && match rest.trim_ascii_start() {
                [] | [b':', ..] => true,
                [next, ..] => rest.len() > rest.trim_ascii_start().len() && next.is_ascii_digit(),
            }
    })
}

/// `(12 rows)`, `5 rows selected.`, as databases end what they print.
fn is_count(cell: &[u8]) -> bool {
    let cell = cell.strip_prefix(b"(").unwrap_or(cell);
    let digits = cell.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &cell[digits..];
    digits > 0 && [&b" row"[..], b" record", b" line"].iter().any(|word| rest.starts_with(word))
}

fn is_one_of(id: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| id.eq_ignore_ascii_case(word.as_bytes()))
}
