//! Faults of a document: where, what is wrong, what to write.

use std::fmt;

/// One step from a table or list to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An item of a list, from 0.
    Item(usize),
}

/// Something wrong in a document. It has names of keys, and never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key: `destination 2: region`; empty for the document as a whole.
    pub key: String,
    /// What is wrong, and what to write.
    pub what: String,
}

impl Fault {
    /// Whether it is about the value at `path`, or one below it.
    pub(crate) fn is_within(&self, path: &[Step]) -> bool {
        let outer = named(path);
        let is_below = match path {
            // What stands in a table is named behind it: `mapping 1: ` and the key.
            [_, Step::Item(_)] => self.key.strip_prefix(outer.trim_matches('`')).map(|rest| rest.starts_with(": ")),
            _ => self.key.strip_prefix(outer.trim_end_matches('`')).map(|rest| rest.starts_with(['.', '['])),
        };
        self.key == outer || is_below.unwrap_or(false)
    }

    pub(crate) fn at((line, column): (usize, usize), path: &[Step], what: String) -> Fault {
        Fault { line, column, key: named(path), what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { line, column, key, what } = self;
        let gap = if key.is_empty() { "" } else { " " };
        write!(f, "line {line}, column {column}: {key}{gap}{what}")
    }
}

/// A path in words: `destination 2: region`, `mapping 1: columns."Order Id".to`.
fn named(path: &[Step]) -> String {
    let (table, rest) = match path {
        [Step::Key(table), Step::Item(index), rest @ ..] => (format!("{table} {}", index + 1), rest),
        _ => (String::new(), path),
    };
    let mut key = String::new();
    for step in rest {
        match step {
            Step::Key(name) if is_bare(name) => key += &format!("{}{name}", if key.is_empty() { "" } else { "." }),
            Step::Key(name) => key += &format!("{}{name:?}", if key.is_empty() { "" } else { "." }),
            Step::Item(index) => key += &format!("[{index}]"),
        }
    }
    match (table.is_empty(), key.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("`{key}`"),
        (false, true) => format!("`{table}`"),
        (false, false) => format!("{table}: `{key}`"),
    }
}

/// Whether a key needs no quotes in TOML.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
