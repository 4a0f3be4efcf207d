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

/// Something wrong in a document. It has names of keys, columns, sources and mappings, and paths of fields. It has no other
/// value: no constant, no cell, no secret.
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
    /// The steps to the value.
    path: Vec<Step>,
}

impl Fault {
    /// Whether it is about the value at `path`, or one below it.
    pub(crate) fn is_within(&self, path: &[Step]) -> bool {
        self.path.starts_with(path)
    }

    /// A fault of the value at `path`. `name` is that of the table of a list in which it stands.
    pub(crate) fn at((line, column): (usize, usize), path: &[Step], name: Option<&str>, what: String) -> Fault {
        Fault { line, column, key: named(path, name), what, path: path.to_vec() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { line, column, key, what, .. } = self;
        let gap = if key.is_empty() || what.starts_with(':') { "" } else { " " };
        write!(f, "line {line}, column {column}: {key}{gap}{what}")
    }
}

/// A path in words: `destination 2: region`, `mapping 1 (orders): columns."Order Id".to`.
fn named(path: &[Step], name: Option<&str>) -> String {
    let (table, rest) = match path {
        [Step::Key(table), Step::Item(index), rest @ ..] => (format!("{table} {}", index + 1), rest),
        _ => (String::new(), path),
    };
    let name = name.map_or_else(String::new, |name| format!(" ({name})"));
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
        (false, true) => format!("`{table}`{name}"),
        (false, false) => format!("{table}{name}: `{key}`"),
    }
}

/// Whether a key needs no quotes in TOML.
fn is_bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
