//! Documents as deployed versions wrote them: each is read, and written again byte for byte.
//!
//! `documents/` has a document of every kind in the newest format. `documents/before-numbers/` has documents from
//! before ledgers had a format number and checkpoints a reading format. `documents/reading-1/` has documents of the
//! first reading format. The name of a file begins with its kind.
//!
//! When a format rises (`protocol::format`), move the documents of the old format into a folder of its own. Say in a test
//! here how they are read. Then put documents of the new format in their place. No document is ever edited.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use protocol::backfill::Progress;
use protocol::checkpoint::Checkpoint;
use protocol::format::{self, Unreadable};
use protocol::head::Head;
use protocol::ledger::Ledger;
use protocol::mark::Mark;
use protocol::outcome::{FileOutcome, KeyOutcomes};
use protocol::plan::Plan;
use serde_json::Value;

/// Reads a document of a kind, and writes it again.
type Rewrite = fn(&[u8]) -> Result<Vec<u8>, Unreadable>;

const KINDS: [(&str, Rewrite); 8] = [
    ("checkpoint", |json| Ok(Checkpoint::from_json(json)?.to_json())),
    ("ledger", |json| Ok(Ledger::from_json(json)?.to_json())),
    ("outcome", |json| Ok(FileOutcome::from_json(json)?.to_json())),
    ("outcomes", |json| Ok(KeyOutcomes::from_json(json)?.to_json())),
    ("backfill", |json| Ok(Progress::from_json(json)?.to_json())),
    ("mark", |json| Ok(Mark::from_json(json)?.to_json())),
    ("plan", |json| Ok(Plan::from_json(json)?.to_json())),
    ("head", |json| Ok(Head::from_json(json)?.to_json())),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents in the newest format, with how their kind is read and written.
fn documents() -> Vec<(String, Rewrite)> {
    let entries = std::fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kind_of = |name: String| {
        let kind = name.split(['-', '.']).next().unwrap().to_owned();
        let (_, rewrite) =
            KINDS.iter().find(|(known, _)| *known == kind).unwrap_or_else(|| panic!("{name}: which kind?"));
        (name, *rewrite)
    };
    entries.filter(|name| name.ends_with(".json")).map(kind_of).collect()
}

/// The document with one change.
fn changed(name: &str, change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&read(name)).unwrap();
    change(&mut document);
    document.to_string().into_bytes()
}

#[test]
fn every_document_is_written_again_byte_for_byte() {
    let documents = documents();
    let kinds: BTreeSet<&str> = documents.iter().filter_map(|(name, _)| name.split(['-', '.']).next()).collect();
    assert_eq!(kinds.len(), KINDS.len(), "a kind without a document: {kinds:?}");
    for (name, rewrite) in documents {
        let before = read(&name);
        let after = rewrite(&before).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(after).unwrap(), String::from_utf8(before).unwrap(), "{name}");
    }
}

#[test]
fn documents_are_of_the_newest_formats() {
    for (name, _) in documents() {
        let document: Value = serde_json::from_slice(&read(&name)).unwrap();
        let expected = match name.split(['-', '.']).next() {
            Some("checkpoint") => {
                assert_eq!(document["reading_format"], format::READING.newest, "{name}");
                format::CHECKPOINT
            }
            Some("ledger") => format::LEDGER,
            Some("mark") => format::MARK,
            Some("backfill") => format::BACKFILL,
            Some("outcome" | "outcomes") => format::OUTCOME,
            Some("plan") => format::PLAN,
            _ => format::HEAD,
        };
        assert_eq!(document["format"], expected.newest, "{name}: add a document of the new format");
    }
}

#[test]
fn a_file_that_was_begun_in_an_older_way_of_reading_is_refused_with_what_to_do() {
    for name in ["before-numbers/checkpoint-running.json", "reading-1/checkpoint-running.json"] {
        let words = Checkpoint::from_json(&read(name)).unwrap_err().to_string();
        assert!(
            words.starts_with("reading format 1, and this version reads 2: an older version wrote it; "),
            "{words}"
        );
    }
}

#[test]
fn an_ended_file_needs_no_known_way_of_reading() {
    for (name, number) in [
        ("before-numbers/checkpoint-ended-with-rejects.json", None),
        ("reading-1/checkpoint-ended-with-rejects.json", Some(1)),
    ] {
        let before = read(name);
        let checkpoint = Checkpoint::from_json(&before).unwrap();
        assert_eq!(checkpoint.reading_format, number, "{name}");
        assert_eq!(checkpoint.to_json(), before, "{name}");
        assert_eq!(Ledger::of(&checkpoint).unwrap().to_json(), read("reading-1/ledger.json"), "{name}");
    }
}

#[test]
fn a_ledger_from_before_there_were_formats_is_of_the_first_one() {
    let before = Ledger::from_json(&read("before-numbers/ledger.json")).unwrap();
    assert_eq!(before, Ledger::from_json(&read("reading-1/ledger.json")).unwrap());
    assert_eq!(before.format, format::FIRST);
}

#[test]
fn the_ledger_follows_from_the_last_checkpoint_alone() {
    let ended = Checkpoint::from_json(&read("checkpoint-ended-with-rejects.json")).unwrap();
    assert_eq!(Ledger::of(&ended).unwrap().to_json(), read("ledger.json"));
}

/// A newer version may add a field that older ones may ignore. They read such a document, and lose the field when they
/// write it again: a field that must not be lost raises the format.
#[test]
fn a_field_that_this_version_does_not_know_is_ignored_and_not_written_again() {
    for (name, rewrite) in documents() {
        let known = rewrite(&read(&name)).unwrap();
        let with_more = changed(&name, |document| {
            document["of_tomorrow"] = 1.into();
            for field in ["object", "account", "position", "size"] {
                if let Some(inner) = document.get_mut(field).and_then(Value::as_object_mut) {
                    inner.insert("of_tomorrow".to_owned(), "more".into());
                }
            }
        });
        let read = rewrite(&with_more).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(String::from_utf8(read).unwrap(), String::from_utf8(known).unwrap(), "{name}");
    }
}

#[test]
fn a_document_of_a_newer_format_is_refused_with_what_to_do() {
    for (name, rewrite) in documents() {
        // All its other fields may differ.
        let newer = changed(&name, |document| *document = serde_json::json!({"format": 9, "body": []}));
        let words = rewrite(&newer).unwrap_err().to_string();
        assert!(words.starts_with("format 9, and this version reads 1: a newer version wrote it; deploy"), "{words}");
    }
}

#[test]
fn a_file_that_is_read_in_a_newer_way_is_refused_with_what_to_do() {
    let newer = changed("checkpoint-running.json", |document| document["reading_format"] = 9.into());
    let words = Checkpoint::from_json(&newer).unwrap_err().to_string();
    assert!(words.starts_with("reading format 9, and this version reads 2: a newer version wrote it; "), "{words}");
    assert!(words.ends_with("deploy that version again, or replay the file"), "{words}");
}
