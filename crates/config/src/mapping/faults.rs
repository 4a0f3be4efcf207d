//! Faults of a mapping that no file is needed for: what every file would fail with, and what no one can mean.

use std::collections::HashMap;

use calls::columns::{CellType, is_never_sent};
use calls::kind::{Api, Kind};
use protocol::mapping::{Mapping, Rest};

use crate::at::At;
use crate::document::MappingTable;

use super::{MappingRule, typed};

/// Checks a mapping. `before` are the mappings that stand before it.
pub(super) fn check(table: &MappingTable, rule: &MappingRule, before: &[MappingRule], at: &At<'_>) {
    let mapping = rule.mapping();
    names(mapping, &at.field("columns"));
    patterns(rule, before, at);
    if let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == mapping.call) {
        rest(mapping.rest, kind, at);
        paths(mapping, kind, &at.field("columns"));
        constants(table, kind, &at.field("set"));
        if kind.api() == Api::Objects && !mapping.message_id.is_empty() {
            at.field("message_id").fault("is for calls; leave it out, because its `id` tells an object");
        }
    }
    // What follows from a fault is none of its own.
    if !at.has_fault()
        && let Err(fault) = calls::mapping::check(mapping, &rule.reading)
    {
        at.fault(format!("reads no file: {}", fault.message));
    }
}

/// A name in the header leads to one column.
fn names(mapping: &Mapping, at: &At<'_>) {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (index, column) in mapping.columns.iter().enumerate() {
        let first = column.names.first().map_or("", String::as_str);
        let mut is_taken = false;
        for name in &column.names {
            is_taken |= *owners.entry(name).or_insert(index) != index;
        }
        if is_taken {
            at.field(first).fault("has a name that another column has too; keep it in one of them");
        }
    }
}

/// Earlier mappings leave it a file.
fn patterns(rule: &MappingRule, before: &[MappingRule], at: &At<'_>) {
    let takes_all = |pattern: &String| {
        let same = |other: &String| other.to_lowercase() == pattern.to_lowercase();
        before.iter().any(|earlier| !earlier.also && earlier.keys.patterns().iter().any(same))
    };
    if !rule.keys.patterns().is_empty() && rule.keys.patterns().iter().all(takes_all) {
        at.field("match").fault(
            "stands in an earlier mapping, which takes these files alone; write also = true there, or another pattern here",
        );
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
