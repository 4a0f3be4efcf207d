//! Columns that a mapping names and the file lacks, and those that the file has beside them.

use protocol::mapping::Mapping;

use crate::refusal::{FaultCode, FileFault};

use super::header::Header;

/// A column that the file lacks, with its other names.
#[derive(Clone, Copy)]
struct Missing<'a> {
    name: &'a str,
    others: &'a [String],
}

impl Missing<'_> {
    fn called(&self) -> String {
        let others: Vec<String> = self.others.iter().map(|other| format!("`{other}`")).collect();
        let others = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
        format!("`{}`{others}", self.name)
    }
}

/// Every column that a mapping names and the file lacks.
fn missing<'a>(mapping: &'a Mapping, header: &Header) -> Vec<Missing<'a>> {
    let of_columns = mapping.columns.iter().filter(|column| !column.optional && header.find_column(column).is_none());
    let of_columns = of_columns.filter_map(|column| {
        let (name, others) = column.names.split_first()?;
        Some(Missing { name, others })
    });
    let of_filters = mapping.filters.iter().map(|filter| &filter.column);
    let further = of_filters.chain(&mapping.message_id).chain(&mapping.group);
    let further = further.filter(|name| header.find_any(name, mapping).is_none());
    let further = further.map(|name| Missing { name, others: &[] });
    let mut all: Vec<Missing<'a>> = Vec::new();
    for one in of_columns.chain(further) {
        if !all.iter().any(|known| known.name == one.name) {
            all.push(one);
        }
    }
    all
}

/// Reports every column that a mapping names and the file lacks.
pub(super) fn check_names(mapping: &Mapping, header: &Header) -> Result<(), FileFault> {
    let missing = missing(mapping, header);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().flat_map(|one| std::iter::once(one.name).chain(one.others.iter().map(String::as_str)));
    let mut meant: Vec<String> = names.filter_map(|name| header.meant(name)).collect();
    meant.dedup();
    let advice = match &meant[..] {
        [] => "the first row must name the columns, as the mapping spells them".to_owned(),
        meant => meant.join("; "),
    };
    let called: Vec<String> = missing.iter().map(Missing::called).collect();
    Err(FileFault::new(
        FaultCode::MissingColumn,
        format!("no {}, which the mapping `{}` names; {advice}", listed(&called), mapping.name),
    ))
}

/// Refuses a file that has further columns. Where the header is missing, its first row stands in its place, and that is
/// personal data. So a name that may be a cell is not repeated.
pub(super) fn refuse(mapping: &Mapping, header: &Header, others: &[usize], is_header: bool) -> Result<(), FileFault> {
    if others.is_empty() {
        return Ok(());
    }
    let called = |column: &usize| {
        let name = &header.names[*column];
        let may_be_cell = !is_header || name.contains(|c: char| c == '@' || c.is_numeric());
        if may_be_cell { format!("number {}", column + 1) } else { format!("`{name}`") }
    };
    let names: Vec<String> = others.iter().map(called).collect();
    Err(FileFault::new(
        FaultCode::BadColumn,
        format!(
            "the mapping `{}` does not name {}: name each, or set `rest` to traits, properties or drop",
            mapping.name,
            listed(&names)
        ),
    ))
}

/// Columns, as they are called, the first of many.
fn listed(names: &[String]) -> String {
    const LISTED_MAX: usize = 20;
    let plural = if names.len() > 1 { "columns" } else { "column" };
    let first = &names[..names.len().min(LISTED_MAX)];
    let more = names.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{plural} {}{more}", first.join(", "))
}
