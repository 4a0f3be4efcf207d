//! The result of a check as text.

use super::checked::{Checked, Usability};
use super::expect::{self, expected};
use super::profile;
use crate::voice::Voice;
use crate::words::{grouped, more, visible};
use calls::dialect::Compression;
use calls::kind::Api;
use calls::refusal::RowRefusal;
use ingester::Settings;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthChar;

/// Warnings beyond this are counted, not shown.
const WARNINGS_SHOWN_MAX: usize = 20;
/// How much of a refused row is shown before the cell at fault, and in all.
const BEFORE_CHARS: usize = 40;
const ROW_CHARS: usize = 100;
/// A short object is printed on one line.
const INLINE_BYTES_MAX: usize = 80;

/// Everything.
pub(super) fn all(checked: &Checked, settings: &Settings, voice: Voice) -> String {
    let mut out = title(checked, voice);
    out.push('\n');
    super::columns::table(&mut out, checked, voice);
    profile::table(&mut out, checked, voice);
    warnings(&mut out, checked, voice);
    zone(&mut out, checked);
    first_calls(&mut out, checked, voice);
    refused(&mut out, checked, voice);
    sums(&mut out, checked, settings, voice);
    out
}

/// The messages that accompany the calls.
pub(crate) fn account(checked: &Checked, settings: &Settings, voice: Voice) -> String {
    let mut out = title(checked, voice);
    out.push('\n');
    warnings(&mut out, checked, voice);
    zone(&mut out, checked);
    refused(&mut out, checked, voice);
    sums(&mut out, checked, settings, voice);
    out
}

/// The result in a few lines.
pub(crate) fn title(checked: &Checked, voice: Voice) -> String {
    let (tone, verdict) = verdict(checked);
    let verdict = match tone {
        Tone::Good => voice.good(&verdict),
        Tone::Careful => voice.careful(&verdict),
        Tone::Bad => voice.bad(&verdict),
    };
    let mut out = format!("{}  {verdict}\n", voice.strong(&visible(&checked.name)));
    let known = known(checked);
    if !known.is_empty() {
        let _ = writeln!(out, "  {}", known.join(", "));
    }
    if let Some(fault) = fault(checked) {
        let _ = writeln!(out, "  {}", voice.bad(&visible(&fault)));
    }
    out
}

/// How a sentence is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Careful,
    Bad,
}

/// The result in a few words.
pub(super) fn verdict(checked: &Checked) -> (Tone, String) {
    let refused = || format!("{} of {} rows refused", grouped(checked.account.rejected), grouped(checked.account.rows));
    match checked.verdict() {
        Usability::Sound if checked.account.rows == 0 => (Tone::Careful, "no rows, nothing is sent".to_owned()),
        Usability::Sound => (Tone::Good, "every row can be sent".to_owned()),
        Usability::RowsRefused => (Tone::Careful, refused()),
        Usability::Unusable => match checked.fault_at {
            _ if checked.stopped.is_some() => (Tone::Bad, format!("would be stopped: {}", refused())),
            Some(at) if checked.account.rows > 0 => (Tone::Bad, format!("breaks off at line {}", grouped(at.line))),
            _ => (Tone::Bad, "cannot be used".to_owned()),
        },
    }
}

/// Why the file cannot be used, with its code.
pub(super) fn fault(checked: &Checked) -> Option<String> {
    let code = checked.fault_code.map_or(String::new(), |code| format!(" ({code})"));
    checked.fault.as_ref().map(|fault| format!("{fault}{code}"))
}

/// Who reads the file, and how it is written.
pub(super) fn known(checked: &Checked) -> Vec<String> {
    let mapping = checked.mapping.as_ref().map(|mapping| format!("mapping {mapping}"));
    let source = checked.source.as_ref().map(|source| format!("source {source}"));
    let kind = checked.subject.as_ref().map(|subject| match &subject.collection {
        Some(collection) => format!("objects of the collection {collection}"),
        None => format!("{} calls", subject.kind),
    });
    let dialect = checked.header.as_ref().map(|header| {
        let dialect = header.dialect;
        let mark = if dialect.bom { " with byte order mark" } else { "" };
        let delimiter = match dialect.delimiter.byte() {
            b'\t' => "tab".to_owned(),
            byte => format!("`{}`", char::from(byte)),
        };
        let compressed = match dialect.compression {
            Compression::None => String::new(),
            compression => format!(", compressed with {compression}"),
        };
        let quoting = match dialect.quoting.is_rfc4180() {
            true => String::new(),
            false => format!(", {}", dialect.quoting),
        };
        format!("{}{mark}, delimiter {delimiter}{quoting}{compressed}", dialect.encoding)
    });
    let size = (checked.bytes > 0).then(|| bytes(checked.bytes));
    [mapping, source, kind, dialect, size].into_iter().flatten().collect()
}

fn warnings(out: &mut String, checked: &Checked, voice: Voice) {
    let of_columns = checked.warnings.iter().map(|warning| warning.message.clone());
    let all: Vec<String> = of_columns.chain(checked.account.warnings()).collect();
    let shown = &all[..all.len().min(WARNINGS_SHOWN_MAX)];
    for message in shown {
        let _ = writeln!(out, "  {} {}", voice.careful("!"), visible(message));
    }
    more(out, all.len() - shown.len(), "warnings", voice);
    if !shown.is_empty() {
        out.push('\n');
    }
}

/// Says in which zone times without one are read, where there may be such.
fn zone(out: &mut String, checked: &Checked) {
    let zoneless = |code: &str| matches!(code, "timestamp_without_zone" | "timestamp_ambiguous");
    let has_zoneless = checked.account.findings.iter().any(|finding| zoneless(&finding.code));
    let has_timestamps = checked.columns.iter().any(|column| column.cell.is_time());
    let set = checked.zone.as_deref();
    if has_zoneless || (set.is_some() && has_timestamps) {
        let _ = writeln!(out, "  times without a zone are read in {}\n", visible(set.unwrap_or("UTC")));
    }
}

/// The API's noun for a row: call or object.
fn noun(api: Api) -> &'static str {
    match api {
        Api::Tracking => "calls",
        Api::Objects => "objects",
    }
}

fn first_calls(out: &mut String, checked: &Checked, voice: Voice) {
    let Some(kind) = checked.subject.as_ref().map(|subject| subject.kind) else { return };
    if checked.first_calls.is_empty() {
        return;
    }
    let _ = writeln!(out, "{}", voice.strong(&format!("The first {}", noun(kind.api()))));
    for call in &checked.first_calls {
        for line in pretty(call).lines() {
            let _ = writeln!(out, "  {}", visible(line));
        }
    }
    out.push('\n');
}

fn refused(out: &mut String, checked: &Checked, voice: Voice) {
    if checked.first_refused.is_empty() {
        return;
    }
    let _ = writeln!(out, "{}", voice.strong("The first refused rows"));
    for (refusal, record) in &checked.first_refused {
        let _ = writeln!(out, "  {}", visible(&refusal.message));
        let (row, carets) = excerpt(refusal, record);
        let _ = writeln!(out, "    {row}");
        if !carets.is_empty() {
            let _ = writeln!(out, "    {}", voice.bad(&carets));
        }
    }
    out.push('\n');
}

fn sums(out: &mut String, checked: &Checked, settings: &Settings, voice: Voice) {
    let Some(subject) = &checked.subject else { return };
    if checked.header.is_none() {
        return;
    }
    let account = &checked.account;
    let api = subject.kind.api();
    let width = grouped(account.rows).len();
    let _ = writeln!(out, "{}", voice.strong("The account"));
    let mut count = |name: &str, number: u64| {
        let _ = writeln!(out, "  {name:<20} {:>width$}", grouped(number));
    };
    count("rows", account.rows);
    count(noun(api), checked.calls);
    if checked.calls != account.acknowledged {
        count("  made of rows", account.acknowledged);
    }
    count("refused", account.rejected);
    for (code, rows) in &account.rejected_by {
        count(&format!("  {code}"), *rows);
    }
    if account.blank_rows > 0 {
        count("blank, dropped", account.blank_rows);
    }
    if account.repeated_headers > 0 {
        count("headers, dropped", account.repeated_headers);
    }
    if account.skipped_rows > 0 {
        count("skipped by filters", account.skipped_rows);
    }
    if let Some(from) = checked.undelivered_from {
        let _ = writeln!(out, "  {:<20} from line {} on", "undelivered", grouped(from.line));
    }
    if let Some(why) = &checked.stopped {
        let _ = writeln!(out, "  {}", voice.bad(&format!("the ingester would stop this file: {why}")));
    }
    if checked.wire.requests == 0 {
        return;
    }
    let _ = writeln!(out, "\n{}", voice.strong("To be expected"));
    let path = match api {
        Api::Tracking => "/v1/batch",
        Api::Objects => "/v1/set of the Objects API",
    };
    let requests = if checked.wire.requests == 1 { "request" } else { "requests" };
    let _ = writeln!(out, "  {} {requests} to {path}", grouped(checked.wire.requests));
    let json = bytes(checked.wire.json_bytes);
    let _ = match settings.delivery.gzip {
        true => writeln!(out, "  {json} of JSON, about {} on the wire", bytes(checked.wire.wire_bytes())),
        false => writeln!(out, "  {json} of JSON on the wire"),
    };
    match expected(checked) {
        None => {
            let _ = writeln!(out, "  no limit on the rate: EVENTS_PER_SECOND is not set");
        }
        Some(expected) => {
            let pace = match checked.pace {
                0 => "one request at a time".to_owned(),
                pace if api == Api::Objects => {
                    format!("at most {} a second, one request at a time", grouped(u64::from(pace)))
                }
                pace => format!("{} events a second", grouped(u64::from(pace))),
            };
            let _ = writeln!(out, "  {} at {pace}", duration(expected.seconds));
            let invocations = if expected.invocations == 1 { "invocation" } else { "invocations" };
            let _ = writeln!(out, "  {} Lambda {invocations}", grouped(expected.invocations));
        }
    }
    let (cost, rows) = (dollars(expect::dollars(checked)), grouped(checked.account.rows));
    let _ = writeln!(out, "  about ${cost} at AWS for {rows} rows, without traffic (512 MB, x86, us-east-1)");
}

/// The part of a refused row that matters, and carets under the cell at fault.
fn excerpt(refusal: &RowRefusal, record: &[u8]) -> (String, String) {
    let Excerpt { before, marked, behind } = Excerpt::of(refusal, record);
    let columns = |text: &str| columns_of(&text.chars().collect::<Vec<char>>());
    let line = match &marked {
        None => String::new(),
        // An empty cell has its place all the same.
        Some(marked) => format!("{}{}", " ".repeat(columns(&before)), "^".repeat(columns(marked).max(1))),
    };
    (format!("{before}{}{behind}", marked.unwrap_or_default()), line)
}

/// The part of a refused row that matters.
pub(super) struct Excerpt {
    pub(super) before: String,
    /// The cell at fault; `None` if no cell is.
    pub(super) marked: Option<String>,
    pub(super) behind: String,
}

impl Excerpt {
    pub(super) fn of(refusal: &RowRefusal, record: &[u8]) -> Excerpt {
        let cell = refusal.cell.clone().unwrap_or(0..0);
        let chars = |range: &[u8]| visible(&String::from_utf8_lossy(range)).chars().collect::<Vec<char>>();
        let all_before = chars(&record[..cell.start]);
        let all_marked = chars(&record[cell.start..cell.end]);
        let all_behind = chars(&record[cell.end..]);
        let cut = all_before.len().saturating_sub(BEFORE_CHARS);
        let mut before = String::new();
        if cut > 0 {
            before.push('…');
        }
        before.extend(&all_before[cut..]);
        let chars_before = before.chars().count();
        let shown = all_marked.len().min(ROW_CHARS - chars_before);
        let room = ROW_CHARS - chars_before - shown;
        let mut behind: String = all_behind.iter().take(room).collect();
        if shown < all_marked.len() || room < all_behind.len() {
            behind.push('…');
        }
        let marked = refusal.cell.is_some().then(|| all_marked[..shown].iter().collect());
        Excerpt { before, marked, behind }
    }
}

/// How many columns of a terminal characters take.
fn columns_of(chars: &[char]) -> usize {
    chars.iter().filter_map(|c| c.width()).sum()
}

/// Indents compact JSON. Short values stay on one line. Numbers and strings stay as they are, in the order that they
/// have.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut inline_until = 0;
    let mut at = 0;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = json[at..].chars().next() {
        let inline = at < inline_until;
        let mut end = at + c.len_utf8();
        match c {
            '"' => {
                end = at + string_bytes(&json[at..]);
                out.push_str(&json[at..end]);
            }
            '{' | '[' => {
                out.push(c);
                let bytes = container_bytes(&json[at..]);
                if inline || bytes <= INLINE_BYTES_MAX {
                    inline_until = inline_until.max(at + bytes);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !inline {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(c);
            }
            ',' if inline => out.push_str(", "),
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
        at = end;
    }
    out
}

/// How long the string is that `json` begins with, with its quotes.
fn string_bytes(json: &str) -> usize {
    let mut escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(json.len(), |end| end + 2)
}

/// How long the object or array is that `json` begins with, with its brackets.
fn container_bytes(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_bytes(&json[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes, in the unit that reads best.
#[expect(clippy::cast_precision_loss, reason = "one digit behind the point")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // A value that rounds to a thousand uses the next unit.
        if value < 999.95 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Seconds, in words.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.ceil() as u64;
    match (whole / 3_600, whole / 60 % 60, whole % 60) {
        (0, 0, 0 | 1) => "1 s or less".to_owned(),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Two digits that mean something, also of very little.
fn dollars(usd: f64) -> String {
    match usd {
        usd if usd >= 0.01 => format!("{usd:.2}"),
        usd if usd >= 0.000_1 => format!("{usd:.4}"),
        _ => "0.0001".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calls::refusal::{RefusalCode, Span};

    #[test]
    fn numbers_have_thousands_separators() {
        let grouped: Vec<String> = [0, 999, 1_000, 1_234_567].map(grouped).to_vec();
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
        let bytes: Vec<String> = [0, 999, 1_000, 157_437_840, 999_999, 2_000_000_000].map(bytes).to_vec();
        assert_eq!(bytes, ["0 B", "999 B", "1.0 kB", "157.4 MB", "1.0 MB", "2.0 GB"]);
        let durations: Vec<String> = [0.0, 0.2, 1.5, 1_000.0, 7_261.0].map(duration).to_vec();
        assert_eq!(durations, ["1 s or less", "1 s or less", "2 s", "16 min 40 s", "2 h 1 min"]);
        let dollars: Vec<String> = [0.0, 0.00834, 12.345].map(dollars).to_vec();
        assert_eq!(dollars, ["0.0001", "0.0083", "12.35"]);
    }

    #[test]
    fn json_is_only_indented() {
        let json = r#"{"b":{"x":14.90,"y":[]},"a":[1,"{,\"}"],"c":{}}"#;
        assert_eq!(pretty(json), r#"{"b": {"x": 14.90, "y": []}, "a": [1, "{,\"}"], "c": {}}"#);
        let long = "x".repeat(INLINE_BYTES_MAX);
        let json = format!(r#"{{"a":{{"b":"{long}\\","c":1}},"d":[],"ü":[1,2]}}"#);
        let expected = format!(
            "{{\n  \"a\": {{\n    \"b\": \"{long}\\\\\",\n    \"c\": 1\n  }},\n  \"d\": [],\n  \"ü\": [1, 2]\n}}"
        );
        assert_eq!(pretty(&json), expected);
    }

    fn refusal(cell: Option<std::ops::Range<usize>>) -> RowRefusal {
        RowRefusal {
            span: Span { from: 0, start: 0, to: 0, line: 1 },
            code: RefusalCode::NotATimestamp,
            column: None,
            cell,
            message: String::new(),
        }
    }

    #[test]
    fn carets_stand_under_the_cell() {
        let (row, carets) = excerpt(&refusal(Some(3..6)), "ü,abc,d".as_bytes());
        assert_eq!([row.as_str(), carets.as_str()], ["ü,abc,d", "  ^^^"]);
        let wide = "東京,ﾄｳ,é\u{301}😀";
        for (cell, expected) in [("東京", "^^^^"), ("ﾄｳ", "     ^^"), ("é\u{301}😀", "        ^^^")] {
            let start = wide.find(cell).unwrap();
            let (_, carets) = excerpt(&refusal(Some(start..start + cell.len())), wide.as_bytes());
            assert_eq!(carets, expected, "{cell}");
        }
        let (row, carets) = excerpt(&refusal(Some(2..2)), b"a,,d");
        assert_eq!([row.as_str(), carets.as_str()], ["a,,d", "  ^"]);
        let (row, carets) = excerpt(&refusal(None), b"a\r\nb\tc\x1b");
        assert_eq!([row.as_str(), carets.as_str()], ["a⏎b→c·", ""]);
        let long = "x".repeat(1_000);
        let record = format!("{long},bad,{long}");
        let (row, carets) = excerpt(&refusal(Some(1_001..1_004)), record.as_bytes());
        assert_eq!(row.chars().count(), ROW_CHARS + 1);
        let at = carets.find('^').unwrap();
        assert_eq!(row.chars().skip(at).take(3).collect::<String>(), "bad");
    }
}
