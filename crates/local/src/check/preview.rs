//! The first values of each column: as they stand in the file, and as they stand in the calls.

use crate::csv_cells::cells;
use calls::batches::Batch;
use calls::columns::ColumnPlan;
use calls::dialect::StoredHeader;
use serde_json::Value;

/// Values that are shown of a column.
const VALUES_MAX: usize = 3;
/// Calls that are looked through for values.
const CALLS_MAX: usize = 500;

/// The first values of each column.
#[derive(Debug, Default)]
pub(super) struct Preview {
    columns: Vec<Vec<Pair>>,
    calls: usize,
}

/// A value before and after.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The cell; `None` for a constant.
    pub(super) before: Option<String>,
    /// The value in the call.
    pub(super) after: String,
}

impl Preview {
    /// The first values of a column of the plan.
    pub(super) fn of(&self, column: usize) -> &[Pair] {
        self.columns.get(column).map_or(&[], Vec::as_slice)
    }

    /// Looks through the calls of a batch, unless it has seen enough.
    pub(super) fn take(&mut self, batch: &Batch, header: &StoredHeader, plan: &ColumnPlan) {
        self.columns.resize_with(plan.columns().len(), Vec::new);
        let delimiter = header.dialect.delimiter.byte();
        let names: Vec<String> = cells(header.text.as_bytes(), delimiter);
        for (index, call) in batch.calls.iter().enumerate() {
            if self.calls == CALLS_MAX {
                return;
            }
            self.calls += 1;
            let value: Value = serde_json::from_slice(batch.call(index)).unwrap_or_default();
            // Of a group the first row.
            let record = batch.group_rows[call.group.clone()].first().map_or(&call.record, |row| &row.record);
            let row = cells(&batch.records[record.clone()], delimiter);
            for column in 0..plan.columns().len() {
                if self.columns[column].len() < VALUES_MAX
                    && let Some(pair) = pair(plan, column, (&names, &row), &value)
                    && !self.columns[column].contains(&pair)
                {
                    self.columns[column].push(pair);
                }
            }
        }
    }
}

/// What one row has for a column; `None` if nothing, or if another column of the same field won.
fn pair(plan: &ColumnPlan, column: usize, (names, row): (&[String], &[String]), call: &Value) -> Option<Pair> {
    let own = &plan.columns()[column];
    let path = own.path.as_deref()?;
    let joined = |name: &str| name.contains(" or ");
    if !joined(&own.name)
        && plan.columns().iter().any(|other| other.path.as_deref() == Some(path) && joined(&other.name))
    {
        return None;
    }
    let after = find(call, path)?;
    let cell = |name: &str| names.iter().position(|known| known.trim() == name).and_then(|at| row.get(at)).cloned();
    let before = match row.get(plan.source_of(column)) {
        // The first filled cell wins.
        Some(_) if joined(&own.name) => own.name.split(" or ").filter_map(cell).find(|cell| !cell.trim().is_empty()),
        // A message id is made of several cells.
        _ if path == "messageId" => None,
        cell => cell.cloned(),
    };
    match &before {
        Some(before) if before.trim().is_empty() => None,
        _ => Some(Pair { after: shown(after, before.as_deref()), before }),
    }
}

/// A value as it stands in the call. Of a number only the value is known here, so an equal cell gives its spelling.
fn shown(after: &Value, before: Option<&str>) -> String {
    match (after, before) {
        (Value::String(text), _) => text.clone(),
        (Value::Number(number), Some(cell)) if cell.parse().ok() == number.as_f64() => cell.to_owned(),
        _ => after.to_string(),
    }
}

/// The value at a path of a plan: `traits.email`, `tags[1]`, `properties.products[].sku`. A key may have dots.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(rest) = path.strip_prefix('[') {
        let (index, rest) = rest.split_once(']')?;
        let item = if index.is_empty() { Some(0) } else { index.parse().ok() };
        return find(value.get(item?)?, rest.strip_prefix('.').unwrap_or(rest));
    }
    let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
    ends.filter(|end| *end > 0).find_map(|end| {
        let inner = value.get(&path[..end])?;
        let rest = &path[end..];
        find(inner, rest.strip_prefix('.').unwrap_or(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_found_by_the_path_of_its_column() {
        let call =
            json!({"userId": "u", "traits": {"a.b": 1, "a": {"c": 2}}, "properties": {"p": [{"q": 3}], "t": [4, 5]}});
        for (path, expected) in [
            ("userId", Some(json!("u"))),
            ("traits.a.b", Some(json!(1))),
            ("traits.a.c", Some(json!(2))),
            ("properties.p[].q", Some(json!(3))),
            ("properties.p[0].q", Some(json!(3))),
            ("properties.t[1]", Some(json!(5))),
            ("properties.t[2]", None),
            ("traits.x", None),
        ] {
            assert_eq!(find(&call, path), expected.as_ref(), "{path}");
        }
    }
}
