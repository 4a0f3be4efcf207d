//! Faults of a mapping that no file is needed for: what every file would fail with, and what no one can mean.

use std::borrow::Cow;
use std::collections::HashMap;

use calls::columns::{CellType, is_never_sent};
use calls::kind::{Api, Kind};
use calls::mapping::{MappingFault, Part};
use calls::spelling::composed;
use protocol::mapping::{Column, Mapping, Rest};

use crate::at::At;
use crate::document::MappingTable;

use super::{MappingRule, typed};

/// Checks a mapping. `before` are the mappings that stand before it.
pub(super) fn check(table: &MappingTable, rule: &MappingRule, before: &[MappingRule], at: &At<'_>) {
    let mapping = rule.mapping();
    names(mapping, at);
    patterns(rule, before, at);
    if let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == mapping.call) {
        rest(mapping.rest, kind, at);
        paths(mapping, kind, &at.field("columns"));
        constants(table, kind, &at.field("set"));
        if kind.api() == Api::Objects && !mapping.message_id.is_empty() {
            at.field("message_id").fault("is for calls; leave it out, because its `id` tells an object");
        }
    }
    let is_sound = !at.has_fault();
    // What follows from a fault is none of its own.
    let is_own =
        |part: Part| is_sound || (!matches!(part, Part::Whole | Part::Rest) && !place(part, mapping, at).has_fault());
    let mut found = calls::mapping::check(mapping, &rule.reading);
    found.retain(|fault| is_own(fault.part));
    for MappingFault { part, key, fault, .. } in found {
        let place = place(part, mapping, at);
        match key {
            None => place.fault(format!(": {}", fault.message)),
            Some("") => place.fault(fault.message),
            Some(key) => place.field(key).fault(fault.message),
        }
    }
}

/// Where a part of a mapping stands.
fn place<'a>(part: Part, mapping: &Mapping, at: &At<'a>) -> At<'a> {
    match part {
        Part::Whole => at.clone(),
        Part::Field { column, field } => {
            let Column { names, fields, .. } = &mapping.columns[column];
            let column = at.field("columns").field(names.first().map_or("", String::as_str));
            if fields.len() > 1 { column.item(field) } else { column }
        }
        Part::Constant(place) => at.field("set").field(&mapping.set[place].to),
        Part::Condition(place) => at.field("where").field(&mapping.filters[place].column),
        Part::MessageId => at.field("message_id"),
        Part::Rest => at.field("rest"),
    }
}

/// A name in the header leads to one column.
fn names(mapping: &Mapping, at: &At<'_>) {
    let mut owners: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for (index, column) in mapping.columns.iter().enumerate() {
        let first = column.names.first().map_or("", String::as_str);
        let mut is_taken = false;
        for name in &column.names {
            is_taken |= *owners.entry(composed(name)).or_insert(index) != index;
            if let Some(what) = name_fault(name) {
                at.field("columns").field(first).fault(what);
            }
        }
        if is_taken {
            at.field("columns").field(first).fault("has a name that another column has too; keep it in one of them");
        }
    }
    let of_filters = mapping.filters.iter().map(|filter| (at.field("where").field(&filter.column), &filter.column));
    let ids = mapping.message_id.iter().enumerate();
    let of_ids = ids.map(|(index, name)| (at.field("message_id").item(index), name));
    let of_group = mapping.group.iter().map(|name| (at.field("group"), name));
    for (at, name) in of_filters.chain(of_ids).chain(of_group) {
        if let Some(what) = name_fault(name) {
            at.fault(what);
        }
    }
}

/// What is wrong with a name that no column has.
fn name_fault(name: &str) -> Option<&'static str> {
    match name.trim() {
        "" => Some("has an empty name of a column; write the name as the first row of the file has it"),
        name if name.ends_with("#0") => {
            Some("has a number that no column has; the second of two equal names is `Name#2`")
        }
        _ => None,
    }
}

/// Earlier mappings leave it a file.
fn patterns(rule: &MappingRule, before: &[MappingRule], at: &At<'_>) {
    let takes = |pattern: &String, earlier: &MappingRule| !earlier.also && earlier.keys.cover(pattern);
    let patterns = rule.keys.patterns();
    let hiding = patterns.iter().map(|pattern| before.iter().find(|earlier| takes(pattern, earlier)));
    let Some(hiding) = hiding.collect::<Option<Vec<&MappingRule>>>() else { return };
    if let Some(first) = hiding.first() {
        at.field("match").fault(format!(
            "matches no file that an earlier mapping leaves: `{}` takes them alone; write also = true there, put this mapping before it, or write another pattern here",
            first.mapping().name
        ));
    }
}

/// Columns that are not named arrive where Segment has them.
fn rest(rest: Rest, kind: Kind, at: &At<'_>) {
    let written = match rest {
        Rest::Traits => "traits",
        Rest::Properties => "properties",
        Rest::Drop | Rest::Refuse => return,
    };
    match kind.entry().values {
        // An object has its properties alone.
        _ if kind.api() == Api::Objects => {}
        Some(values) if values == written => {}
        Some(values) => {
            at.field("rest")
                .fault(format!("is for other calls; {kind} calls have {values}: write rest = \"{values}\""));
        }
        None => at.field("rest").fault(format!("is for other calls; {kind} calls have none: write rest = \"drop\"")),
    }
}

fn paths(mapping: &Mapping, kind: Kind, at: &At<'_>) {
    for column in &mapping.columns {
        let at = at.field(column.names.first().map_or("", String::as_str));
        if kind.api() == Api::Tracking && column.fields.iter().any(|field| is_never_sent(&field.to)) {
            at.fault("is never sent there: Segment or the call says what stands there; leave the column out");
        }
    }
}

fn constants(table: &MappingTable, kind: Kind, at: &At<'_>) {
    for (to, _) in &table.set.0 {
        let at = at.field(to);
        let is_meant = |(_, word): (&str, &str)| CellType::meant(word).is_some();
        if typed(to).1.is_some() || to.rsplit_once(':').is_some_and(is_meant) {
            at.fault("has a type; leave it out, because the value itself has one");
        } else if to == "messageId" {
            at.fault("is the same in every call, and Segment would drop all but one; use `message_id`");
        } else if kind.api() == Api::Tracking && is_never_sent(to) {
            at.fault("is never sent: Segment or the call says what stands there; leave it out");
        }
    }
}
