//! Rows that a mapping leaves out.

use protocol::mapping::Filter;

use crate::rows::Cell;

use super::empty::EmptyRule;

/// A condition on the cell of a column.
#[derive(Debug)]
pub(super) struct Condition {
    column: usize,
    empty: EmptyRule,
    filter: Filter,
}

impl Condition {
    pub(super) fn new(column: usize, empty: EmptyRule, filter: &Filter) -> Condition {
        Condition { column, empty, filter: filter.clone() }
    }

    /// Whether a row meets it. A cell that a short row lacks is empty.
    pub(super) fn is_met(&self, text: &[u8], cells: &[Cell], scratch: &mut Vec<u8>) -> bool {
        let value = cells.get(self.column).map_or(&[][..], |cell| cell.value(text, scratch));
        let has = |words: &[String]| words.iter().any(|word| word.as_bytes() == value);
        let Filter { is, not, filled, .. } = &self.filter;
        (is.is_empty() || has(is)) && !has(not) && filled.is_none_or(|filled| filled != self.empty.is_empty(value))
    }
}
