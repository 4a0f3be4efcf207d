//! The columns of a file, found by the names that a mapping calls them.

use std::collections::HashMap;

use crate::columns::REJECT_COLUMNS;
use crate::ids;

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
            places.entry((*name).to_owned()).or_insert(place);
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut names = Vec::with_capacity(cells.len());
        for (place, name) in trimmed.iter().enumerate() {
            let count = counts.entry(name).or_default();
            *count += 1;
            let called = if *count > 1 && !name.is_empty() { format!("{name}#{count}") } else { (*name).to_owned() };
            places.entry(called.clone()).or_insert(place);
            names.push(called);
        }
        let own = names.len().checked_sub(REJECT_COLUMNS.len()).filter(|own| trimmed[*own..] == REJECT_COLUMNS);
        Header { own: own.unwrap_or(names.len()), names, places }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
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
    fn the_columns_of_a_rejects_file_are_not_its_own() {
        let cells: Vec<String> = ["Name"].iter().chain(&REJECT_COLUMNS).map(|name| (*name).to_owned()).collect();
        assert_eq!(Header::read(&cells).own, 1);
    }
}
