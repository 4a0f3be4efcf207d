//! Mappings, checked as far as no file is needed.

mod faults;

use calls::columns::CellType;
use calls::kind::{Api, Kind};
use calls::subject::is_collection;
use protocol::mapping::{Column, Constant, Decimal, Field, Filter, Mapping, Strip, Values};
use protocol::reading::Reading;

use crate::at::At;
use crate::document::{FieldTable, FilterTable, MappingTable};
use crate::name::{NAME_FAULT, is_name};
use crate::near;
use crate::source::{Globs, Source, globs};

/// The types of headers, and `date`.
fn types() -> Vec<&'static str> {
    let words = CellType::ALL.iter().filter_map(|cell| cell.word()).map(|named| named.word);
    words.chain(["date"]).collect()
}

/// A mapping, and the files that it is for.
#[derive(Clone, Debug)]
pub struct MappingRule {
    /// The keys that it matches.
    pub keys: Globs,
    /// Whether later mappings may match the same file too.
    pub also: bool,
    /// The name of the source that its calls go to, if it says one.
    pub source: Option<String>,
    /// How its files are read; the mapping itself is within.
    pub reading: Reading,
}

impl MappingRule {
    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        #[expect(clippy::expect_used, reason = "every rule is made with a mapping")]
        self.reading.mapping.as_deref().expect("a rule has a mapping")
    }
}

pub(crate) fn rules(tables: &[MappingTable], base: &Reading, sources: &[Source], at: &At<'_>) -> Vec<MappingRule> {
    let mut rules: Vec<MappingRule> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let at = at.field("mapping").item(index);
        let rule = rule(table, base, sources, &at);
        let name = &rule.mapping().name;
        // Names of rejects files are read in any case.
        if rules.iter().any(|other| other.mapping().name.eq_ignore_ascii_case(name)) {
            at.field("name").fault("is the name of another mapping, in any case; rename one");
        }
        // The name of a rejects file ends with the mapping's name behind a point.
        let hides = |one: &str, other: &str| {
            let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
            one.strip_suffix(other.as_str()).is_some_and(|before| before.ends_with('.'))
        };
        if rules.iter().map(|other| &other.mapping().name).any(|other| hides(name, other) || hides(other, name)) {
            at.field("name")
                .fault("and another mapping's name end alike behind a `.`, and so do their rejects files; rename one");
        }
        faults::check(table, &rule, &rules, &at);
        rules.push(rule);
    }
    rules
}

fn rule(table: &MappingTable, base: &Reading, sources: &[Source], at: &At<'_>) -> MappingRule {
    let name = at.required("name", table.name.as_deref(), "the mapping's name in reports and message ids");
    if name.is_some_and(|name| !is_name(name)) {
        at.field("name").fault(NAME_FAULT);
    }
    if table.r#match.0.is_empty() && !at.has_fault_at("match") {
        at.fault("has no `match`; it is a glob on the keys of its files, such as hubspot/*.csv");
    }
    check_source(table.source.as_deref(), sources, &at.field("source"));
    if table.message_id.as_ref().is_some_and(Vec::is_empty) && !at.has_fault_at("message_id") {
        at.field("message_id").fault("is empty; name the columns that identify a row, or leave it out");
    }
    for (index, text) in table.message_id.iter().flatten().enumerate() {
        check_blank(text, &at.field("message_id").item(index));
    }
    let (call, collection) = call(table, at);
    let decimal = table.decimal.map(Decimal::from).unwrap_or_default();
    let columns = columns(table, decimal, at);
    if columns.is_empty() && table.set.0.is_empty() && !at.has_fault_at("columns") && !at.has_fault_at("set") {
        at.fault("has no `columns`; without any, no cell is sent");
    }
    let mapping = Mapping {
        name: name.unwrap_or_default().to_owned(),
        call,
        collection,
        columns,
        set: table.set.0.iter().map(|(to, value)| Constant { to: to.clone(), json: value.to_string() }).collect(),
        rest: table.rest,
        decimal,
        filters: table.r#where.0.iter().map(|(column, filter)| self::filter(column, filter, at)).collect(),
        message_id: table.message_id.clone().unwrap_or_default(),
        group: table.group.clone(),
    };
    let mut reading = table.reading().over(base, &mut |key, what| at.field(key).fault(what));
    reading.skip_lines = table.skip_lines.unwrap_or_default();
    reading.mapping = Some(Box::new(mapping));
    MappingRule { keys: globs(&table.r#match.0, at), also: table.also, source: table.source.clone(), reading }
}

fn check_source(name: Option<&str>, sources: &[Source], at: &At<'_>) {
    let Some(name) = name else { return };
    match sources.iter().find(|source| source.name == name) {
        Some(source) if source.write_key.is_none() && sources.iter().any(|source| source.write_key.is_some()) => {
            at.fault("is a source without `write_key`; write its key, or a reference to it");
        }
        Some(_) => {}
        None if sources.is_empty() => {
            at.fault("is not known, because the document has no [[source]]; describe it, or leave the key out");
        }
        None => {
            let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            at.unknown(name, &known);
        }
    }
}

/// The kind of the calls, and the collection of objects.
fn call(table: &MappingTable, at: &At<'_>) -> (String, Option<String>) {
    let tracked = Kind::ALL.iter().filter(|kind| kind.api() == Api::Tracking);
    let calls: Vec<&str> = tracked.map(|kind| kind.as_str()).collect();
    match (table.call.as_deref(), table.object.as_deref()) {
        (Some(_), Some(_)) => at.field("object").fault("stands beside `call`; keep one"),
        (None, None) if at.has_fault_at("call") || at.has_fault_at("object") => {}
        (None, None) => at.fault("has no `call`; write one, such as call = \"identify\", or object = \"collection\""),
        (Some(call), None) => {
            if !calls.contains(&call) {
                at.field("call").unknown(call, &calls);
            }
            return (call.to_owned(), None);
        }
        (None, Some(collection)) => {
            if !is_collection(collection) {
                at.field("object").fault("is not a collection: lowercase letters a-z and `_`, no `_` at either end");
            }
            return (Kind::Object.as_str().to_owned(), Some(collection.to_owned()));
        }
    }
    (String::new(), None)
}

fn columns(table: &MappingTable, decimal: Decimal, at: &At<'_>) -> Vec<Column> {
    let at = at.field("columns");
    let mut columns = Vec::new();
    for (name, fields) in &table.columns.0 {
        let at = at.field(name);
        if fields.0.is_empty() && !at.has_fault() {
            at.fault("has no field; write a path such as \"traits.email\"");
        }
        let mut names = vec![name.clone()];
        names.extend(fields.0.iter().flat_map(|field| field.names.clone()));
        let fields_of = fields.0.iter().enumerate();
        let fields_of = fields_of.map(|(index, field)| {
            // A single table stands for itself, a list has its place for each.
            let at = if fields.0.len() > 1 { at.item(index) } else { at.clone() };
            self::field(field, decimal, &at)
        });
        let optional = fields.0.iter().any(|field| field.optional);
        let column = Column { names, optional, fields: fields_of.collect() };
        columns.push(column);
    }
    columns
}

/// A path, and the type behind its colon.
fn typed(written: &str) -> (&str, Option<&str>) {
    match written.rsplit_once(':') {
        Some((to, word)) if types().contains(&word) => (to, Some(word)),
        _ => (written, None),
    }
}

fn field(table: &FieldTable, decimal: Decimal, at: &At<'_>) -> Field {
    let written =
        at.required("to", table.to.as_deref(), "the path of the field, such as traits.email").unwrap_or_default();
    let (to, behind) = typed(written);
    if behind.is_none() && table.r#type.is_none() && written.contains(':') {
        let known = near::list(&types());
        at.fault(format!(
            "ends in no type behind its colon; write {known}. If the colon belongs to the name, write a type behind it too, such as `{written}:string`"
        ));
    }
    if table.r#type.is_some() && behind.is_some() {
        at.field("type").fault("stands beside a type in `to`; keep one");
    }
    let cell = table.r#type.as_deref().or(behind);
    if let Some(word) = cell
        && !types().contains(&word)
    {
        at.field("type").unknown(word, &types());
    }
    let is_number = matches!(cell, Some("number" | "integer"));
    let decimal = match table.decimal.map(Decimal::from) {
        Some(Decimal::Comma) if !is_number => {
            at.field("decimal").fault("is for numbers; write type = \"number\" too");
            Decimal::Point
        }
        Some(decimal) => decimal,
        None if is_number => decimal,
        None => Decimal::Point,
    };
    if table.r#else.is_some() && table.values.is_none() {
        at.field("else").fault("stands without `values`");
    }
    if table.split.as_deref() == Some("") {
        at.field("split").fault("is empty; write the separator, such as \",\"");
    }
    if table.split.is_some() && cell.is_some_and(|cell| cell != "string") {
        at.field("split").fault("gives a list of texts; leave the type out");
    }
    if let Some(prefix) = &table.prefix {
        check_blank(prefix, &at.field("prefix"));
    }
    if table.sha256 && cell.is_some_and(|cell| cell != "string") {
        at.field("sha256").fault("gives a text; leave the type out");
    }
    Field {
        to: to.to_owned(),
        nulls: table.nulls.clone(),
        strip: table.strip.as_ref().map(|strip| Strip { characters: strip.characters.clone(), side: strip.side }),
        trim: table.trim,
        lower: table.lower,
        values: table.values.clone().map(|values| Values { table: values, otherwise: table.r#else.clone() }),
        split: table.split.clone(),
        prefix: table.prefix.clone(),
        sha256: table.sha256,
        cell: cell.map(str::to_owned),
        decimal,
        if_bad: table.if_bad,
    }
}

/// Refuses what a draft leaves to be filled in.
fn check_blank(text: &str, at: &At<'_>) {
    if text.starts_with('…') {
        at.fault("has the blank `…` of a draft; write a text in its place");
    }
}

fn filter(column: &str, table: &FilterTable, at: &At<'_>) -> Filter {
    let at = at.field("where").field(column);
    table.is.0.iter().for_each(|text| check_blank(text, &at.field("is")));
    table.not.0.iter().for_each(|text| check_blank(text, &at.field("not")));
    let filled = match (table.filled, table.empty) {
        (Some(filled), Some(_)) => {
            at.field("empty").fault("stands beside `filled`; keep one");
            Some(filled)
        }
        (Some(filled), None) => Some(filled),
        (None, Some(empty)) => Some(!empty),
        (None, None) => None,
    };
    if table.is.0.is_empty() && table.not.0.is_empty() && filled.is_none() && !at.has_fault() {
        at.fault("has no condition; write is, not, empty or filled");
    }
    Filter { column: column.to_owned(), is: table.is.0.clone(), not: table.not.0.clone(), filled }
}
