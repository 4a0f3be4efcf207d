//! Cells that count as empty: one rule for `where`, `message_id` and `group`.

use protocol::mapping::Mapping;

use crate::ids::{self, Nulls, is_void};
use crate::kind::{Kind, TextSort};
use crate::reading::Reading;

use super::header::is_same_name;

/// Which cells of a column count as empty: blanks, the `nulls` of the mapping and those of the column. If the column says
/// whose a row is, or which row or group it is, cells that do not count as ids are empty too.
#[derive(Debug)]
pub(super) struct EmptyRule {
    nulls: Nulls,
}

impl EmptyRule {
    /// The rule for the column that the mapping calls `name`.
    pub(super) fn of(name: &str, mapping: &Mapping, kind: Kind, reading: &Reading) -> EmptyRule {
        let is_it = |other: &String| is_same_name(other, name);
        let columns = mapping.columns.iter().filter(|column| column.names.iter().any(is_it));
        let fields: Vec<_> = columns.flat_map(|column| &column.fields).collect();
        let is_id = |to: &str| kind.text_field(to).is_some_and(|text| text.sort == TextSort::Id);
        let tells_rows_apart = mapping.message_id.iter().chain(&mapping.group).any(is_it);
        let mut words = if tells_rows_apart || fields.iter().any(|field| is_id(&field.to)) {
            Nulls::words_of_ids(reading)
        } else {
            reading.nulls.clone()
        };
        words.extend(fields.iter().flat_map(|field| field.nulls.iter().cloned()));
        EmptyRule { nulls: Nulls::new(words) }
    }

    pub(super) fn is_empty(&self, cell: &[u8]) -> bool {
        is_void(cell) || self.nulls.has(cell) || self.nulls.has(ids::trim(cell))
    }
}

#[cfg(test)]
mod tests {
    use protocol::mapping::{Column, Field};

    use super::*;

    #[test]
    fn cells_count_as_empty_by_the_mapping_the_column_and_its_use() {
        let field = |to: &str, nulls: &[&str]| Field {
            to: to.to_owned(),
            nulls: nulls.iter().map(|null| (*null).to_owned()).collect(),
            ..Field::default()
        };
        let column = |names: &[&str], fields: Vec<Field>| Column {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            optional: false,
            fields,
        };
        let mapping = Mapping {
            columns: vec![
                column(&["Email", "Mail"], vec![field("userId", &[]), field("traits.email", &["-"])]),
                column(&["Plan"], vec![field("traits.plan", &["none"])]),
            ],
            message_id: vec!["No".to_owned()],
            group: Some("Order".to_owned()),
            ..Mapping::default()
        };
        let reading = Reading { nulls: vec!["n/a".to_owned()], ..Reading::default() };
        let empty = |name: &str, cells: &[&'static str]| {
            let rule = EmptyRule::of(name, &mapping, Kind::Identify, &reading);
            cells.iter().copied().filter(|cell| rule.is_empty(cell.as_bytes())).collect::<Vec<_>>()
        };
        let cells = ["", " \u{a0}", " n/a ", "-", "none", "NULL", "#N/A", "a"];
        assert_eq!(empty("Mail", &cells), ["", " \u{a0}", " n/a ", "-", "NULL", "#N/A"], "it goes to an id");
        assert_eq!(empty("Plan ", &cells), ["", " \u{a0}", " n/a ", "none"]);
        for name in ["No", "Order"] {
            assert_eq!(empty(name, &cells), ["", " \u{a0}", " n/a ", "NULL", "#N/A"], "{name}");
        }
        assert_eq!(empty("Note", &cells), ["", " \u{a0}", " n/a "]);
    }
}
