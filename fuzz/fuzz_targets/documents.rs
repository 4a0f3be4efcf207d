//! Documents of configuration → faults, or files read by their mappings.
//!
//! The input is a document, a zero byte, and the rows of a file. A document has faults or is a configuration; nothing
//! panics, and no fault quotes a value beside names and paths. Each mapping of a configuration reads the rows, behind a header of its columns.
//! Seeds: the documents of `samples/` and `docs/` (`fuzz/seed.sh`).
#![no_main]

mod laws;

use calls::reading::Reading;
use calls::subject::Subject;
use config::{Config, MappingRule};
use libfuzzer_sys::fuzz_target;
use toml::Value;

/// Stands in no message of ours, and in no word that a document may use.
const CANARY: char = '\u{1f512}';

fuzz_target!(|input: &[u8]| {
    let (document, rows) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b""[..]),
    };
    let Ok(document) = std::str::from_utf8(document) else { return };
    match Config::parse(document, &Reading::default()) {
        Err(faults) => assert!(!faults.is_empty(), "a refused document has a fault"),
        Ok(config) => config.mappings.iter().for_each(|rule| check_file(rule, rows)),
    }
    if let Ok(mut value) = toml::from_str::<Value>(document) {
        mark(&mut value, false);
        let Ok(marked) = toml::to_string(&value) else { return };
        for fault in Config::parse(&marked, &Reading::default()).err().into_iter().flatten() {
            assert!(!fault.to_string().contains(CANARY), "a fault quotes a value: {fault}");
        }
    }
});

/// Keys whose texts are names and paths, which a fault may quote.
const QUOTABLE: [&str; 7] = ["name", "names", "to", "message_id", "group", "source", "sources"];

/// Marks each text, so that a quoted one is seen. Names and paths keep theirs.
fn mark(value: &mut Value, is_quotable: bool) {
    match value {
        Value::String(text) if !is_quotable => text.push(CANARY),
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, is_quotable)),
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                match value {
                    // A column is named by its key, and its text is a path.
                    Value::Table(columns) if key == "columns" => {
                        columns.iter_mut().for_each(|(_, fields)| mark(fields, true));
                    }
                    _ => mark(value, QUOTABLE.contains(&key.as_str())),
                }
            }
        }
        _ => {}
    }
}

/// Lines before the header that a document may ask for, and this target writes.
const SKIPPED_LINES_MAX: u32 = 100;

fn check_file(rule: &MappingRule, rows: &[u8]) {
    let mapping = rule.mapping();
    let Ok(subject) = Subject::mapped(mapping, "export.csv") else { return };
    if rule.reading.skip_lines > SKIPPED_LINES_MAX {
        return;
    }
    let names: Vec<String> = mapping
        .columns
        .iter()
        .filter_map(|column| column.names.first())
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect();
    let skipped = "x\n".repeat(rule.reading.skip_lines as usize);
    let file = [skipped.as_bytes(), names.join(",").as_bytes(), b"\n", rows].concat();
    laws::check(&subject, &rule.reading, 7, &file);
}
