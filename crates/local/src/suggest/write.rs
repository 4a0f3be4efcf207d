//! A draft as TOML, with comments that say what to decide.

use super::call::Call;
use super::column::{DraftColumn, DraftField};
use super::draft::{Draft, Filled, MessageId};
use super::sample::Sample;
use std::fmt::Write as _;

/// Where comments begin, behind a key.
const COMMENT_COLUMN: usize = 40;

/// The draft as a document.
pub(super) fn toml(draft: &Draft, sample: &Sample) -> String {
    let mut out = String::new();
    let name = &sample.name;
    let _ = writeln!(
        out,
        "# A draft for {}, made of its header and {} row{}. It has no cell of the file.",
        comment(name),
        sample.rows,
        if sample.rows == 1 { "" } else { "s" }
    );
    let _ = writeln!(
        out,
        "# Read the comments and change the draft. Then try it: segment-s3 check --config segment-s3.toml FILE\n"
    );
    out.push_str("[[mapping]]\n");
    line(&mut out, &format!("name = {}", quoted(&draft.name)), "stands in reports and message ids");
    line(
        &mut out,
        &format!("match = {}", quoted(&draft.pattern)),
        "the keys of its files, in any case; `**/` is any folder",
    );
    call(&mut out, draft);
    if sample.skip_lines > 0 {
        line(&mut out, &format!("skip_lines = {}", sample.skip_lines), "lines before the row that names the columns");
    }
    reading(&mut out, draft);
    rows(&mut out, draft);
    match &sample.reserved[..] {
        [] => line(&mut out, "rest = \"refuse\"", "a new column stops the file; \"drop\" leaves it out"),
        [name, ..] => {
            let note = format!("a column has the name of one of rejects files, `{name}`, and is never sent");
            line(&mut out, "rest = \"drop\"", &note);
        }
    }
    out.push_str("\n[mapping.columns]\n");
    if !matches!(draft.call, Call::Object(_)) {
        out.push_str("# Choose one id for each person, and use it in all files: an email address in lower case, or a number with the\n");
        out.push_str("# tool before it. To leave columns out, delete their lines and write rest = \"drop\" above.\n");
    }
    if draft.lacks_id() {
        out.push_str(
            "# No column is surely the id of a thing. Choose one that is filled and different in each row, and write\n",
        );
        out.push_str(
            "# \"id\" as its path. A row with the id of an earlier one replaces it. Without an id, no file is read, and check\n# shows how many different cells each column has.\n",
        );
    }
    for column in &draft.columns {
        self::column(&mut out, column);
    }
    out
}

fn call(out: &mut String, draft: &Draft) {
    out.push_str("# A row about a person: call = \"identify\". About something that a person did: call = \"track\", with an event.\n");
    out.push_str("# About a thing, such as a product: object = \"products\", with a column that goes to `id`.\n");
    match &draft.call {
        Call::Identify => out.push_str("call = \"identify\"\n"),
        Call::Track => out.push_str("call = \"track\"\n"),
        Call::Object(collection) => {
            let _ = writeln!(out, "object = {}", quoted(collection));
        }
    }
    if let Some(event) = draft.event {
        line(out, &format!("set = {{ \"event\" = {} }}", quoted(event)), "a guess: the event of every row");
    }
}

fn reading(out: &mut String, draft: &Draft) {
    if let Some(delimiter) = draft.delimiter {
        let _ = writeln!(out, "delimiter = {}", quoted(delimiter));
    }
    if let Some(encoding) = draft.encoding {
        line(out, &format!("encoding = {}", quoted(encoding)), "as it seems: look at letters such as ä in a check");
    }
    if draft.has_decimal_comma {
        line(out, "decimal = \",\"", "1.234,56");
    }
    if !draft.dates.is_empty() {
        line(out, &format!("dates = {}", list(&draft.dates)), "as the rows have them");
    }
    if draft.is_zoneless {
        line(out, "zone = \"UTC\"", "times have none here: write the tool's, such as \"Europe/Berlin\"");
    }
    if !draft.nulls.is_empty() {
        line(out, &format!("nulls = {}", list(&draft.nulls)), "cells that count as empty");
    }
}

fn rows(out: &mut String, draft: &Draft) {
    if let Some(group) = &draft.group {
        line(out, &format!("group = {}", quoted(group)), "adjacent rows with the same cell become one call");
    }
    if let Some(Filled { column, other }) = &draft.filled {
        let note = match other {
            Some((other, rows)) => format!(
                "other rows are skipped; {} a cell in {}: to send them, let it go to `userId` too, with a prefix",
                if *rows == 1 { "1 of them has".to_owned() } else { format!("{rows} of them have") },
                comment(&quoted(other))
            ),
            None => "other rows have no id, and are skipped".to_owned(),
        };
        line(out, &format!("where.{} = {{ filled = true }}", quoted(column)), &note);
    }
    if let Some(column) = &draft.status {
        let text = format!("# where.{} = {{ is = [\"…\"] }}", quoted(column));
        line(out, &text, "to send some rows alone: write the words of the tool");
    }
    match &draft.message_id {
        Some(MessageId::Numbers(column)) => {
            let text = format!("message_id = [{}]", quoted(column));
            line(out, &text, "a later export repeats the id, and Segment drops the copy");
        }
        Some(MessageId::May(column)) => {
            let text = format!("# message_id = [{}]", quoted(column));
            line(out, &text, "only if no two events have the same cell, also in later exports: Segment drops copies");
        }
        Some(MessageId::People(column)) => {
            let text = format!("# message_id = [{}, \"…\"]", quoted(column));
            line(out, &text, "for … name a column that changes whenever the row does");
        }
        None => {}
    }
}

fn column(out: &mut String, column: &DraftColumn) {
    let fields: Vec<String> = column.fields.iter().map(field).collect();
    let value = match &fields[..] {
        [] => return,
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let text = format!("{} = {value}", quoted(&column.name));
    match &column.note {
        Some(note) => line(out, &text, note),
        None => {
            let _ = writeln!(out, "{text}");
        }
    }
}

fn field(field: &DraftField) -> String {
    let DraftField { to, is_email, prefix, yes_no, cell } = field;
    let mut keys = vec![format!("to = {}", quoted(to))];
    if *is_email {
        keys.push("trim = true, lower = true".to_owned());
    }
    if let Some(prefix) = prefix {
        keys.push(format!("prefix = {}", quoted(prefix)));
    }
    if let Some((yes, no)) = yes_no {
        keys.push(format!("values = {{ {} = \"true\", {} = \"false\" }}", quoted(yes), quoted(no)));
    }
    if let Some(cell) = cell {
        keys.push(format!("type = {}", quoted(cell)));
    }
    if keys.len() == 1 { quoted(to) } else { format!("{{ {} }}", keys.join(", ")) }
}

/// A line with a comment behind it.
fn line(out: &mut String, text: &str, note: &str) {
    let _ = writeln!(out, "{text:<COMMENT_COLUMN$} # {note}");
}

fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| self::quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_a_string_of_toml() {
        for name in ["Name", "a \"b\" \\ c", "line\nbreak\u{1}", "Straße"] {
            let text = format!(
                "[[mapping]]\nname = \"m\"\nmatch = \"*\"\ncall = \"identify\"\ncolumns.{} = \"userId\"",
                quoted(name)
            );
            let config = config::Config::parse(&text, &protocol::reading::Reading::default()).unwrap();
            assert_eq!(config.mappings[0].mapping().columns[0].names, [name]);
        }
    }
}
