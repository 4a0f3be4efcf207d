//! The columns of a file, found by the names that a mapping calls them.

use std::collections::HashMap;

use protocol::mapping::{Column, Mapping};

use crate::columns::{REJECT_COLUMNS, near, plain};
use crate::ids;
use crate::spelling::composed;

/// The place of a column that the file lacks. No row has a cell there, so it counts as empty.
pub(super) const ABSENT: usize = usize::MAX;

/// The header of a file.
#[derive(Debug)]
pub(super) struct Header {
    /// The names, without blanks around them. The second of two equal names is `Name#2`.
    pub(super) names: Vec<String>,
    /// How many columns are the file's own: all, unless the last are those of a rejects file.
    pub(super) own: usize,
    places: HashMap<String, usize>,
}

impl Header {
    pub(super) fn read(cells: &[String]) -> Header {
        let mut places = HashMap::new();
        let trimmed: Vec<&str> = cells.iter().map(|name| name.trim_matches(ids::is_nothing)).collect();
        for (place, name) in trimmed.iter().enumerate() {
            places.entry(composed(name).into_owned()).or_insert(place);
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut names = Vec::with_capacity(cells.len());
        for (place, name) in trimmed.iter().enumerate() {
            let count = counts.entry(name).or_default();
            *count += 1;
            let called = if *count > 1 && !name.is_empty() { format!("{name}#{count}") } else { (*name).to_owned() };
            places.entry(composed(&called).into_owned()).or_insert(place);
            names.push(called);
        }
        let own = names.len().checked_sub(REJECT_COLUMNS.len()).filter(|own| trimmed[*own..] == REJECT_COLUMNS);
        Header { own: own.unwrap_or(names.len()), names, places }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(&*composed(name.trim_matches(ids::is_nothing))).copied()
    }

    /// The place of a named column: the first of its names that the file has.
    pub(super) fn find_column(&self, column: &Column) -> Option<usize> {
        column.names.iter().find_map(|name| self.find(name))
    }

    /// The place of the column that a filter, `group` or `message_id` names. It may be any of the names that the mapping
    /// has for the column. An optional column that the file lacks is at [`ABSENT`].
    pub(super) fn find_any(&self, name: &str, mapping: &Mapping) -> Option<usize> {
        match mapping.columns.iter().find(|column| column.names.iter().any(|own| is_same_name(own, name))) {
            Some(column) => self.find_column(column).or(column.optional.then_some(ABSENT)),
            None => self.find(name),
        }
    }

    /// Advice about a name that the file lacks, if a column may be meant by it. Where the header is missing, its first row
    /// stands in its place, and that is personal data. So a name is repeated only if its letters are those of `wanted`.
    pub(super) fn meant(&self, wanted: &str) -> Option<String> {
        let names: Vec<&str> = self.names[..self.own].iter().map(String::as_str).collect();
        let meant = near(wanted, &names)?;
        let number = names.iter().position(|name| *name == meant)? + 1;
        if plain(meant) != plain(wanted) {
            return Some(format!("column {number} may be meant by `{wanted}`"));
        }
        let hidden = meant.chars().find(|c| *c != ' ' && !wanted.contains(*c) && ids::is_nothing(*c));
        let hidden = hidden.map_or_else(String::new, |c| format!(", with U+{:04X} in it", u32::from(c)));
        Some(format!("column {number} is `{meant}`{hidden}: write it so in the mapping"))
    }
}

/// Whether two names are those of one column, in whatever spelling of letters with marks.
pub(super) fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |name| composed(str::trim_matches(name, ids::is_nothing));
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_equal_names_has_a_number() {
        let cells: Vec<String> = ["Name", " Name ", "Plan", "Name", "", ""].map(str::to_owned).to_vec();
        let header = Header::read(&cells);
        assert_eq!(header.names, ["Name", "Name#2", "Plan", "Name#3", "", ""]);
        assert_eq!(
            ["Name", "Name#2", "Name#3", "Name#4"].map(|name| header.find(name)),
            [Some(0), Some(1), Some(3), None]
        );
        assert_eq!(header.own, 6);
    }

    #[test]
    fn a_filter_finds_a_column_under_any_of_its_names_and_an_optional_one_may_be_absent() {
        let column = |names: &[&str], optional| Column {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            optional,
            fields: Vec::new(),
        };
        let columns = vec![column(&["Email", "E-Mail"], false), column(&["Plan"], true), column(&[" Id "], false)];
        let mapping = Mapping { columns, ..Mapping::default() };
        let header = Header::read(&["E-Mail", "Id", "State"].map(str::to_owned));
        let found = ["Email", "E-Mail", "Plan", "Id", "State ", "Other"].map(|name| header.find_any(name, &mapping));
        assert_eq!(found, [Some(0), Some(0), Some(ABSENT), Some(1), Some(2), None]);
    }

    #[test]
    fn a_column_in_another_spelling_is_named_and_a_similar_one_is_numbered() {
        let header = Header::read(&["ID", "First\u{a0}Name", "E-Mial", "ada@example.com"].map(str::to_owned));
        for (wanted, meant) in [
            ("Id", Some("column 1 is `ID`: write it so in the mapping")),
            ("First Name", Some("column 2 is `First\u{a0}Name`, with U+00A0 in it: write it so in the mapping")),
            ("E-Mail", Some("column 3 may be meant by `E-Mail`")),
            ("Postal code", None),
        ] {
            assert_eq!(header.meant(wanted).as_deref(), meant, "{wanted}");
        }
    }

    #[test]
    fn a_letter_with_a_mark_is_found_in_either_spelling() {
        let (one, two) = ("M\u{fc}nchen", "Mu\u{308}nchen");
        for (written, wanted) in [(one, two), (two, one)] {
            assert_eq!(Header::read(&[written.to_owned()]).find(wanted), Some(0));
            assert!(is_same_name(written, wanted));
        }
        assert!(!is_same_name(one, "Munchen"));
    }

    #[test]
    fn the_columns_of_a_rejects_file_are_not_its_own() {
        let cells: Vec<String> = ["Name"].iter().chain(&REJECT_COLUMNS).map(|name| (*name).to_owned()).collect();
        assert_eq!(Header::read(&cells).own, 1);
    }
}
