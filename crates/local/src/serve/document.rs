//! The configuration as text: the document that was given, and the mappings of the page.

use config::Config;
use protocol::reading::Reading;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The tables of a document.
const TABLES: [&str; 4] = ["[[source]]", "[[mapping]]", "[[destination]]", "[reading]"];

/// The document, and the mappings of the page.
#[derive(Debug)]
pub(super) struct Documents {
    given: String,
    /// The mappings of the page, which come first.
    own: String,
    /// Where they are kept.
    path: PathBuf,
}

/// A mapping of the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MappingText {
    pub(super) name: String,
    pub(super) text: String,
}

impl Documents {
    /// Takes up the mappings that an earlier run kept.
    pub(super) fn open(given: String, path: PathBuf) -> Documents {
        let own = std::fs::read_to_string(&path).unwrap_or_default();
        Documents { given, own, path }
    }

    /// Both as one document.
    pub(super) fn text(&self) -> String {
        joined(&self.given, &self.own)
    }

    /// The mappings, in the order in which they are tried.
    pub(super) fn mappings(&self) -> Vec<MappingText> {
        mappings(&self.text())
    }

    /// What the document would be with these mappings beside those of the page.
    ///
    /// # Errors
    /// Every fault, with line and column of `text`.
    pub(super) fn with(&self, text: &str, base: &Reading) -> Result<(String, Config), Vec<String>> {
        let in_words = |faults: Vec<config::fault::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let alone = Config::parse(text, base).map_err(in_words)?;
        if !alone.sources.is_empty() || !alone.routes.destinations.is_empty() || alone.reading != *base {
            return Err(vec![
                "only [[mapping]] may stand here: other tables belong into the document of serve".to_owned(),
            ]);
        }
        if alone.mappings.is_empty() {
            return Err(vec!["there is no [[mapping]]".to_owned()]);
        }
        let own = joined(&self.own, text);
        let config = Config::parse(&joined(&self.given, &own), base).map_err(in_words)?;
        Ok((own, config))
    }

    /// Keeps the mappings of the page.
    pub(super) fn keep(&mut self, own: String) -> std::io::Result<()> {
        std::fs::write(&self.path, &own)?;
        self.own = own;
        Ok(())
    }
}

/// A document with the mappings of `first` before its own. Those of the same name are left out.
fn joined(document: &str, first: &str) -> String {
    let first = tables(first);
    let named: Vec<_> = first.iter().filter_map(|table| mapping_name(table)).collect();
    let (old, others): (Vec<_>, Vec<_>) = tables(document).into_iter().partition(|table| is_mapping(table));
    let old = old.into_iter().filter(|table| mapping_name(table).is_none_or(|name| !named.contains(&name)));
    let mut text = String::new();
    for table in others.into_iter().chain(first.iter().copied()).chain(old) {
        let _ = writeln!(text, "{}\n", table.trim_end());
    }
    text
}

/// The mappings of a document.
fn mappings(document: &str) -> Vec<MappingText> {
    let named =
        |table: &str| Some(MappingText { name: mapping_name(table)?.to_owned(), text: table.trim().to_owned() + "\n" });
    tables(document).into_iter().filter_map(named).collect()
}

/// Cuts a document before each of its tables.
fn tables(document: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in document.split_inclusive('\n') {
        if TABLES.iter().any(|table| line.trim_start().starts_with(table)) {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(document.len());
    let cut = starts.windows(2).map(|ends| &document[ends[0]..ends[1]]);
    cut.filter(|table| !table.trim().is_empty()).collect()
}

fn is_mapping(table: &str) -> bool {
    table.trim_start().starts_with("[[mapping]]")
}

fn mapping_name(table: &str) -> Option<&str> {
    let lines = table.lines().filter(|_| is_mapping(table));
    let value = lines.filter_map(|line| line.trim().strip_prefix("name")?.trim_start().strip_prefix('=')).next()?;
    let value = value.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "# ours\n[reading]\nencoding = \"auto\"\n\n[[mapping]]\nname = \"a\"\nmatch = \"a*.csv\"\ncall = \"track\"\n\
        set.event = \"x\"\n[mapping.columns]\n\"Id\" = \"userId\"\n\n[[source]]\nname = \"s\"\nid = \"s\"\n";

    fn mapping(name: &str) -> String {
        format!(
            "[[mapping]]\nname = \"{name}\"\nmatch = \"{name}*.csv\"\ncall = \"identify\"\ncolumns.\"Id\" = \"userId\"\n"
        )
    }

    #[test]
    fn mappings_of_the_page_come_first_and_replace_those_of_their_name() {
        let text = joined(GIVEN, &mapping("b"));
        let names: Vec<_> = mappings(&text).into_iter().map(|mapping| mapping.name).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(
            text.contains("encoding = \"auto\"") && text.contains("[[source]]") && text.contains("# ours"),
            "{text}"
        );
        let text = joined(&text, &mapping("a"));
        let names: Vec<_> = mappings(&text).into_iter().map(|mapping| mapping.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(!text.contains("[mapping.columns]"), "{text}");
    }

    #[test]
    fn only_mappings_are_taken_from_the_page() {
        let documents = Documents { given: GIVEN.to_owned(), own: String::new(), path: PathBuf::new() };
        let base = Reading::default();
        assert_eq!(documents.with(&mapping("b"), &base).unwrap().1.mappings.len(), 2);
        for text in [
            "",
            "[reading]\nencoding = \"auto\"\n",
            "[[mapping]]\nname = 1\n",
            "[[source]]\nname = \"t\"\nid = \"t\"\n",
        ] {
            assert!(documents.with(text, &base).is_err(), "{text}");
        }
    }
}
