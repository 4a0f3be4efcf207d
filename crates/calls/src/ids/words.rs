//! Words that stand for nothing, for a total, for the end of a report.

/// What programs write for none: databases, spreadsheets, JavaScript, Python, R. In exactly these spellings, because in
/// others they may be words of people.
pub(crate) const NULL_MARKERS: [&str; 23] = [
    "\\N",
    "NULL",
    "null",
    "Null",
    "(null)",
    "(NULL)",
    "<null>",
    "<NULL>",
    "[null]",
    "[NULL]",
    "<nil>",
    "undefined",
    "[object Object]",
    "NaN",
    "nan",
    "NaT",
    "None",
    "<NA>",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "#NV",
];

/// The errors of spreadsheets, without the `#`, in the languages in which people use them.
const ERRORS: [&str; 40] = [
    "NULL!",
    "DIV/0!",
    "VALUE!",
    "REF!",
    "NAME?",
    "NUM!",
    "N/D",
    "N/B",
    "SPILL!",
    "CALC!",
    "FIELD!",
    "BLOCKED!",
    "UNKNOWN!",
    "CONNECT!",
    "BUSY!",
    "ERROR!",
    "WERT!",
    "BEZUG!",
    "ZAHL!",
    "ÜBERLAUF!",
    "KALK!",
    "VALEUR!",
    "NOM?",
    "NOMBRE!",
    "NUL!",
    "PROPAGATION!",
    "¡VALOR!",
    "¡REF!",
    "¿NOMBRE?",
    "¡NUM!",
    "¡NULO!",
    "¡DIV/0!",
    "VALORE!",
    "RIF!",
    "NOME?",
    "VALOR!",
    "WAARDE!",
    "VERW!",
    "NAAM?",
    "GETAL!",
];

/// Whether a cell is what programs write for none.
pub(crate) fn is_null_marker(cell: &[u8]) -> bool {
    let is_error = |rest: &[u8]| {
        // A spreadsheet writes a column that is too narrow for its numbers as `####`.
        let is_narrow = rest.len() > 1 && rest.iter().all(|byte| *byte == b'#');
        is_narrow || ERRORS.iter().any(|error| error.as_bytes() == rest)
    };
    cell.strip_prefix(b"#").is_some_and(is_error) || NULL_MARKERS.iter().any(|marker| marker.as_bytes() == cell)
}

/// The lengths that null markers of letters and signs have: a bit for each.
pub(crate) const MARKER_LENGTHS: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < NULL_MARKERS.len() {
        bits |= 1 << NULL_MARKERS[at].len();
        at += 1;
    }
    bits
};

/// Words that programs and people write in place of an id.
pub(super) fn is_placeholder(id: &[u8]) -> bool {
    const WORDS: [&str; 36] = [
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
    zeros || id == b"-" || is_one_of(id, &WORDS) || is_null_marker(id) || is_template(id)
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
    // Elsewhere than in place of an id they are words of people: `Max` is a name.
    const TOTALS: [&str; 8] = ["mean", "max", "min", "overall", "end", "mittelwert", "durchschnitt", "moyenne"];
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
    let starts = [&b"#"[..], b"-- ", b"//", b"; ", b"/*", b"sep=", b"varchar(", b"VARCHAR("];
    is_rule(id)
        || id == b"\\."
        || starts.iter().any(|start| id.starts_with(start))
        || is_total(id)
        || is_label(id)
        || is_labelled(id, &TOTALS)
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
    match first {
        b'(' => true,
        0x80.. => FOREIGN_LABELS.iter().any(|label| label.as_bytes()[0] == first),
        _ => first.is_ascii_alphabetic() && has_letter(LABEL_LETTERS, first),
    }
}

/// The first letters of cells that may be a label, or another kind of no data that may have a blank in it:
/// `character varying`, `sep=`, `varchar(`.
#[inline]
pub(super) fn may_be_words(first: u8) -> bool {
    const LETTERS: u32 = LABEL_LETTERS
        | letter(b'c')
        | letter(b's')
        | letter(b'v')
        | letter(b'm')
        | letter(b'o')
        | letter(b'e')
        | letter(b'd');
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

/// `-----`, `...`, `~`, `--END--`.
fn is_rule(id: &[u8]) -> bool {
    let is_sign = |c: char| c.is_ascii_punctuation() || matches!(c, ' ' | '…' | '–' | '—' | '•');
    let is_line = std::str::from_utf8(id).is_ok_and(|text| text.chars().all(is_sign));
    let is_framed = match id {
        [first @ (b'-' | b'*' | b'=' | b'~' | b'#'), .., last] if first == last => {
            id.iter().all(|byte| byte == first || byte.is_ascii_alphabetic() || *byte == b' ')
        }
        _ => false,
    };
    is_line || is_framed
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
const LABELS: [&str; 42] = [
    "total",
    "totals",
    "subtotal",
    "subtotals",
    "sub-total",
    "sub total",
    "sous-total",
    "sous total",
    "zwischensumme",
    "subtotale",
    "subtotaal",
    "totalt",
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

/// The same in other letters, and in small ones.
const FOREIGN_LABELS: [&str; 9] = ["итого", "всего", "合計", "合计", "總計", "总计", "小計", "小计", "합계"];

/// The longest label.
pub(super) const LABEL_BYTES_MAX: usize = 15;

/// A word for a total or a count, and behind it nothing, a colon, or a number: `Grand total: 5`, `Rows 5`.
fn is_label(cell: &[u8]) -> bool {
    is_labelled(cell, &LABELS) || (!cell.is_ascii() && is_foreign_label(cell))
}

fn is_labelled(cell: &[u8], labels: &[&str]) -> bool {
    labels.iter().any(|label| {
        cell.split_at_checked(label.len())
            .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(label.as_bytes()) && ends_label(rest))
    })
}

fn is_foreign_label(cell: &[u8]) -> bool {
    let lower = String::from_utf8_lossy(cell).to_lowercase().replace('：', ":");
    FOREIGN_LABELS.iter().any(|label| lower.strip_prefix(label).is_some_and(|rest| ends_label(rest.as_bytes())))
}

/// Whether nothing, a colon, or a number stands behind a label.
fn ends_label(rest: &[u8]) -> bool {
    match rest.trim_ascii_start() {
        [] | [b':', ..] => true,
        [next, ..] => rest.len() > rest.trim_ascii_start().len() && next.is_ascii_digit(),
    }
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
