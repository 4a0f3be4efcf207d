//! What the owner of a file should know about its columns: one warning of each kind, for all columns that it is about.

use std::collections::HashMap;

use crate::refusal::Warning;

/// How many columns a warning lists.
const LISTED_MAX: usize = 10;

/// Doubts about columns.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// The numbers of columns without a name.
    pub(super) nameless: Vec<usize>,
    /// What is doubtful, and about which columns.
    named: Vec<(String, Vec<String>)>,
    /// The place of each of them in `named`.
    places: HashMap<String, usize>,
}

impl Doubts {
    pub(super) fn add(&mut self, column: &str, what: &str) {
        let place = *self.places.entry(what.to_owned()).or_insert_with(|| {
            self.named.push((what.to_owned(), Vec::new()));
            self.named.len() - 1
        });
        self.named[place].1.push(column.to_owned());
    }

    pub(super) fn warnings(self) -> Vec<Warning> {
        let numbers: Vec<String> = self.nameless.iter().map(ToString::to_string).collect();
        let nameless = numbers.first().map(|first| {
            let has = if numbers.len() > 1 { "have no name: their" } else { "has no name: its" };
            Warning { column: first.clone(), message: format!("{} {has} cells are not sent", listed(&numbers)) }
        });
        let named = self.named.iter().map(|(what, columns)| {
            let quoted: Vec<String> = columns.iter().take(LISTED_MAX + 1).map(|name| format!("`{name}`")).collect();
            let names = listed_of(&quoted, columns.len());
            Warning { column: columns.first().cloned().unwrap_or_default(), message: format!("{names}: {what}") }
        });
        nameless.into_iter().chain(named).collect()
    }
}

fn listed(names: &[String]) -> String {
    listed_of(names, names.len())
}

/// The first of `all` columns.
fn listed_of(names: &[String], all: usize) -> String {
    let plural = if all > 1 { "columns" } else { "column" };
    let more = all.saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{plural} {}{more}", names[..names.len().min(LISTED_MAX)].join(", "))
}
