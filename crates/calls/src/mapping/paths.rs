//! Paths that a mapping names.

use crate::kind::{Api, Kind};
use crate::refusal::{FaultCode, FileFault};

/// A path to the elements of a list.
#[derive(Debug)]
pub(super) struct ListPath<'a> {
    pub(super) list: &'a str,
    /// The path in an element; empty where the element is the cell.
    pub(super) element: &'a str,
}

/// Refuses a path with a bracket that is not `[]` behind a name, and a list where the API takes none.
pub(super) fn check_path(to: &str, kind: Kind) -> Result<(), FileFault> {
    let fault = |what: &str| Err(FileFault::new(FaultCode::BadColumn, format!("`{to}` is no path: {what}")));
    if to.matches("[]").count() > 1 || to.starts_with("[]") {
        return fault("`[]` stands behind a name, and once");
    }
    let rest = to.replacen("[]", "", 1);
    if rest.contains(['[', ']'])
        || to.split_once("[]").is_some_and(|(_, behind)| !matches!(behind.as_bytes(), [] | [b'.', _, ..]))
    {
        return fault("write `[]` behind the name of a list, or a number as in `products.0.id`");
    }
    if kind.api() == Api::Objects && to.contains("[]") {
        return fault("the Objects API takes no lists: write a property for each value");
    }
    Ok(())
}

pub(super) fn list_path(to: &str) -> Option<ListPath<'_>> {
    let (list, behind) = to.split_once("[]")?;
    let element = behind.strip_prefix('.').unwrap_or(behind);
    Some(ListPath { list, element })
}
