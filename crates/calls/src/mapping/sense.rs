//! What compiles, and no one can mean: every row would be refused, or a key has no effect.

use protocol::mapping::{Column, Decimal, Field, Filter, IfBad, Mapping, Values};
use serde_json::Value;

use crate::columns::{CellType, MappingFault, Part, type_at};
use crate::ids::{self, Id, Names, Nulls};
use crate::kind::{self, Api, Kind};
use crate::limits::CALL_BYTES_MAX;
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault};

use super::empty::EmptyRule;
use super::paths::{ListPath, list_path};
use super::verbs::{Basis, Doubts, Verbs};

/// The parts of a mapping that make no sense.
pub(super) fn check(mapping: &Mapping, kind: Kind, reading: &Reading) -> Vec<MappingFault> {
    let mut sense = Sense { mapping, kind, reading, basis: Basis::new(reading), faults: Vec::new() };
    for (column, Column { fields, .. }) in mapping.columns.iter().enumerate() {
        for (at, field) in fields.iter().enumerate().filter(|(_, field)| !field.to.is_empty()) {
            sense.field(Part::Field { column, field: at }, field);
        }
    }
    sense.constants();
    for (at, filter) in mapping.filters.iter().enumerate() {
        sense.filter(Part::Condition(at), filter);
    }
    sense.faults
}

struct Sense<'a> {
    mapping: &'a Mapping,
    kind: Kind,
    reading: &'a Reading,
    basis: Basis,
    faults: Vec<MappingFault>,
}

impl Sense<'_> {
    fn fault(&mut self, part: Part, key: &'static str, what: impl Into<String>) {
        let fault = FileFault::new(FaultCode::BadColumn, what);
        self.faults.push(MappingFault { key: Some(key), ..MappingFault::of(part, fault) });
    }

    fn field(&mut self, part: Part, field: &Field) {
        if let Some(what) = bad_path(&field.to, self.kind) {
            self.fault(part, "", what);
            return;
        }
        let cell = self.type_of(field);
        let Some(cell) = cell else { return };
        if let Some(values) = &field.values {
            self.values(part, field, values, cell);
        } else if let Some(sample) = sample(cell)
            && !self.gives_a_cell(field, sample, cell)
        {
            let (key, what) = match field.sha256 {
                true => ("sha256", "gives a text that its field refuses, because the field is no text"),
                false => ("prefix", "makes of each cell a text that its field refuses, because the field is no text"),
            };
            self.fault(part, key, format!("{what}: write type = \"string\", or another path"));
        }
        let can_be_unknown = field.values.as_ref().is_some_and(|values| values.otherwise.is_none());
        let verbs = Verbs::new(field, self.kind);
        let can_be_bad = (!cell.is_text() && field.split.is_none())
            || can_be_unknown
            || verbs.is_id
            || field.decimal == Decimal::Comma
            || field.cell.as_deref() == Some("date");
        if field.if_bad == IfBad::Omit && !can_be_bad {
            self.fault(part, "if_bad", "has no effect, because any text fits the field: write a type, or leave it out");
        }
    }

    /// The type of a field; `None` if its word is unknown.
    fn type_of(&self, field: &Field) -> Option<CellType> {
        let to = match field.to.strip_prefix("properties.") {
            Some(name) if self.kind.api() == Api::Objects => name,
            _ => &field.to,
        };
        match field.cell.as_deref() {
            None if field.split.is_some() => Some(CellType::Json),
            None if field.decimal == Decimal::Comma => Some(CellType::Number),
            None => Some(type_at(to, self.kind, self.reading)),
            Some("date") => Some(CellType::String),
            Some(word) => CellType::named(word),
        }
    }

    fn values(&mut self, part: Part, field: &Field, values: &Values, cell: CellType) {
        if values.table.is_empty() && values.otherwise.is_none() {
            self.fault(part, "values", "is empty, so every filled cell is refused: write cells and what they become");
            return;
        }
        let verbs = Verbs::new(field, self.kind);
        if values.table.keys().any(|key| !verbs.can_look_up(key)) {
            let what =
                "has a key that no cell equals after `strip`, `trim` and `lower`: write it as these steps leave it";
            self.fault(part, "values", what);
        }
        let becomes = |result: &String| Field {
            values: Some(Values { table: [("a".to_owned(), result.clone())].into(), otherwise: None }),
            nulls: Vec::new(),
            strip: None,
            ..field.clone()
        };
        let what = "becomes a text that its field refuses: write one of its type";
        if !values.table.values().all(|result| self.gives_a_cell(&becomes(result), "a", cell)) {
            self.fault(part, "values", format!("has a cell that {what}"));
        }
        if let Some(result) = &values.otherwise
            && !self.gives_a_cell(&becomes(result), "a", cell)
        {
            self.fault(part, "else", what);
        }
    }

    /// Whether what becomes of a cell is of the type of its field.
    fn gives_a_cell(&mut self, field: &Field, value: &str, cell: CellType) -> bool {
        let (mut out, mut notes, names) = (Vec::new(), Vec::new(), Names::default());
        let mut doubts = Doubts { column: 0, names: &names, notes: &mut notes };
        let verbs = Verbs::new(field, self.kind);
        verbs.apply(value.as_bytes(), &mut self.basis, &mut doubts, &mut out).is_ok()
            && (out.is_empty() || self.basis.check(cell, &out).is_ok())
    }

    fn constants(&mut self) {
        let mut bytes = 0;
        for (at, constant) in self.mapping.set.iter().enumerate() {
            let part = Part::Constant(at);
            let was_sound = bytes <= CALL_BYTES_MAX;
            bytes += constant.json.len();
            if was_sound && bytes > CALL_BYTES_MAX {
                let words = "makes the constants longer than a call";
                self.fault(part, "", format!("{words}, which has at most {CALL_BYTES_MAX} bytes: shorten them"));
            }
            if let Some(what) = bad_path(&constant.to, self.kind) {
                self.fault(part, "", what);
            }
            let Ok(Value::String(text)) = serde_json::from_str(&constant.json) else { continue };
            let field = Field { to: constant.to.clone(), ..Field::default() };
            let is_time = self.type_of(&field).is_some_and(CellType::is_time);
            if is_time && self.basis.check(CellType::Timestamp, text.as_bytes()).is_err() {
                self.fault(part, "", "is not a date: write one such as 2019-05-11T20:32:27Z, or another path");
            }
            let nulls = Nulls::of_ids(self.reading);
            let is_id = Verbs::new(&field, self.kind).is_id;
            let id = ids::read(text.as_bytes(), &Names::default(), &nulls, &mut |_| ());
            if is_id && !matches!(id, Id::Sound(_)) {
                self.fault(part, "", "does not count as an id: write an id, or leave it out");
            }
        }
    }

    /// Refuses conditions that no cell meets together.
    fn filter(&mut self, part: Part, filter: &Filter) {
        let empty = EmptyRule::of(&filter.column, self.mapping, self.kind, self.reading);
        let is_excluded = |text: &String| {
            let is_void = empty.is_empty(text.as_bytes());
            filter.not.contains(text) || filter.filled.is_some_and(|filled| filled == is_void)
        };
        if filter.is.iter().any(is_excluded) {
            self.fault(part, "is", "has a text that another condition of the column excludes: keep one of them");
        }
    }
}

/// A cell of a type; `None` if any text is one.
fn sample(cell: CellType) -> Option<&'static str> {
    match cell {
        _ if cell.is_time() => Some("2019-05-11T20:32:27Z"),
        _ if cell.is_text() => None,
        CellType::Number | CellType::Integer => Some("1"),
        CellType::Object => Some("{}"),
        _ => Some("true"),
    }
}

/// What is wrong with a path that a header would read in a way of its own.
fn bad_path(to: &str, kind: Kind) -> Option<String> {
    if kind.api() == Api::Objects {
        return None;
    }
    if to.split('.').any(str::is_empty) {
        return Some("is no path: a part of it is empty, write a name between its dots".to_owned());
    }
    match list_path(to) {
        Some(ListPath { list, .. }) if kind::is_container(list) => Some(format!(
            "is no path: `{list}` is an object and takes no list, write a name behind it such as `{list}.items[]`"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use protocol::mapping::{Constant, Strip};

    use super::*;

    fn values(table: &[(&str, &str)], otherwise: Option<&str>) -> Option<Values> {
        let table = table.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Some(Values { table, otherwise: otherwise.map(str::to_owned) })
    }

    fn faults(mapping: &Mapping) -> Vec<&'static str> {
        check(mapping, Kind::Identify, &Reading::default()).iter().filter_map(|fault| fault.key).collect()
    }

    #[test]
    fn a_field_that_refuses_every_cell_or_has_a_key_without_effect_is_found() {
        let to = |to: &str| Field { to: to.to_owned(), ..Field::default() };
        let cell = |word: &str| Field { cell: Some(word.to_owned()), ..to("traits.a") };
        let prefix = |prefix: &str, field: Field| Field { prefix: Some(prefix.to_owned()), ..field };
        let strip = Strip { characters: "'".to_owned(), ..Strip::default() };
        let omit = |field: Field| Field { if_bad: IfBad::Omit, ..field };
        let none: &[&str] = &[];
        for (field, keys) in [
            (to("traits[].x"), &[""][..]),
            (to("context[]"), &[""]),
            (to("traits..x"), &[""]),
            (to("traits.x[].y"), none),
            (prefix("a-", to("traits.createdAt")), &["prefix"]),
            (Field { sha256: true, ..to("timestamp") }, &["sha256"]),
            (prefix("a-", Field { cell: Some("string".to_owned()), ..to("traits.createdAt") }), none),
            (prefix("a", cell("number")), &["prefix"]),
            (prefix("-", cell("number")), none),
            (prefix("a", to("userId")), none),
            (Field { values: values(&[], None), ..to("traits.a") }, &["values"]),
            (Field { values: values(&[], Some("x")), ..to("traits.a") }, none),
            (Field { values: values(&[("J", "true"), ("N", "")], None), ..cell("boolean") }, none),
            (Field { values: values(&[("J", "wahr")], Some("no")), ..cell("boolean") }, &["values"]),
            (Field { values: values(&[("J", "true")], Some("perhaps")), ..cell("boolean") }, &["else"]),
            (Field { values: values(&[("J", "soon")], None), ..cell("date") }, &["values"]),
            (Field { values: values(&[("J", "1,5")], None), decimal: Decimal::Comma, ..cell("number") }, none),
            (Field { values: values(&[("Ja", "x")], None), lower: true, ..to("traits.a") }, &["values"]),
            (Field { values: values(&[("ja ", "x")], None), trim: true, ..to("traits.a") }, &["values"]),
            (Field { values: values(&[("'a", "x")], None), strip: Some(strip), ..to("traits.a") }, &["values"]),
            (Field { values: values(&[("Ja ", "x")], None), ..to("traits.a") }, none),
            (omit(to("traits.a")), &["if_bad"]),
            (omit(Field { split: Some(";".to_owned()), ..to("traits.a") }), &["if_bad"]),
            (omit(Field { values: values(&[("a", "b")], Some("c")), ..to("traits.a") }), &["if_bad"]),
            (omit(Field { values: values(&[("a", "b")], None), ..to("traits.a") }), none),
            (omit(to("userId")), none),
            (omit(to("timestamp")), none),
            (omit(cell("date")), none),
        ] {
            let column = Column { names: vec!["A".to_owned()], optional: false, fields: vec![field.clone()] };
            assert_eq!(faults(&Mapping { columns: vec![column], ..Mapping::default() }), keys, "{field:?}");
        }
    }

    #[test]
    fn a_constant_that_is_not_sent_as_it_says_is_found() {
        let long = format!("\"{}\"", "a".repeat(CALL_BYTES_MAX));
        for (to, json, count) in [
            ("traits.createdAt", "\"gestern\"", 1),
            ("traits.createdAt", "\"2019-05-11\"", 0),
            ("traits.createdAt", "5", 0),
            ("userId", "\"NULL\"", 1),
            ("userId", "\"all\"", 0),
            ("traits.plan", "\"NULL\"", 0),
            ("traits..x", "1", 1),
            ("traits.note", &long, 1),
        ] {
            let set = vec![Constant { to: to.to_owned(), json: json.to_owned() }];
            assert_eq!(faults(&Mapping { set, ..Mapping::default() }).len(), count, "{to}");
        }
    }

    #[test]
    fn conditions_that_exclude_each_other_are_found() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (is, not, filled, keys) in [
            (&["x"][..], &["x"][..], None, &["is"][..]),
            (&["x", "y"], &["y"], None, &["is"]),
            (&["x"], &[], Some(false), &["is"]),
            (&[""], &[], Some(true), &["is"]),
            (&["x"], &["y"], Some(true), &[]),
            (&[""], &[], Some(false), &[]),
            (&[], &["x"], Some(false), &[]),
        ] {
            let filter = Filter { column: "A".to_owned(), is: words(is), not: words(not), filled };
            assert_eq!(faults(&Mapping { filters: vec![filter], ..Mapping::default() }), keys, "{is:?} {not:?}");
        }
    }
}
