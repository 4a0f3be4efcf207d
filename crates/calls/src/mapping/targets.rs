//! A mapping, laid out over the header of a file: the columns of the rows that it makes.

use protocol::mapping::{Decimal, Field, Filter, IfBad, Mapping, Rest};

use crate::columns::{CellType, MappingFault, Part, Target, Targets, To};
use crate::kind::{Api, Kind};
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault};
use crate::timestamps::Times;

use super::constants::{constants, made_id};
use super::empty::EmptyRule;
use super::filters::Condition;
use super::header::Header;
use super::names::{check_names, refuse};
use super::paths::{ListPath, check_path, list_path};
use super::verbs::Verbs;
use super::{Candidate, Made};

/// What a mapping comes to under a header.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) targets: Targets,
    pub(super) made: Vec<(usize, Made)>,
    pub(super) conditions: Vec<Condition>,
    pub(super) group: Option<(usize, EmptyRule)>,
    pub(super) lists: Vec<usize>,
}

/// The columns that go to one field, in the order of the mapping.
#[derive(Debug)]
struct Use<'a> {
    to: String,
    columns: Vec<Origin<'a>>,
}

/// A column of the file that goes to a field.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    /// Its place in the file.
    column: usize,
    field: &'a Field,
    part: Part,
}

pub(super) fn lay_out(
    mapping: &Mapping,
    header: &Header,
    kind: Kind,
    (reading, times): (&Reading, &Times),
) -> Result<Layout, MappingFault> {
    check_names(mapping, header)?;
    let uses = uses(mapping, header, kind);
    let mut lists: Vec<(&str, Part)> = Vec::new();
    let mut layout = Layout::default();
    let mut places: Vec<Option<Target>> = header.names.iter().map(|_| None).collect();
    let mut further: Vec<(Target, Made)> = Vec::new();
    let mut others = Vec::new();
    for one in &uses {
        let Some(Origin { column: first, part, .. }) = one.columns.first().copied() else { continue };
        check_path(&one.to, kind).map_err(|fault| MappingFault::of(part, fault))?;
        let made = candidates(one, kind);
        let stays = matches!(&made[..], [only] if only.verbs.is_none());
        let target = Target { is_made: !stays, part, ..target_of(one, first, mapping, header, &mut lists)? };
        let at = if places[first].is_none() {
            if !stays {
                layout.made.push((first, Made::Of(made)));
            }
            places[first] = Some(target);
            first
        } else {
            further.push((target, Made::Of(made)));
            header.names.len() + further.len() - 1
        };
        others.extend(one.columns.iter().skip(1).map(|origin| (origin.column, at)));
    }
    let used: Vec<usize> = mapping.columns.iter().filter_map(|column| header.find_column(column)).collect();
    take_rest(mapping, header, &used, &mut places).map_err(|fault| MappingFault::of(Part::Rest, fault))?;
    further.extend(constants(mapping, kind, times)?);
    let empty = |name: &str| EmptyRule::of(name, mapping, kind, reading);
    let made_id = made_id(mapping, header, &empty);
    further.extend(made_id.map_err(|fault| MappingFault::of(Part::MessageId, fault))?);
    layout.targets.merged = others.into_iter().filter(|(column, _)| places[*column].is_none()).collect();
    layout.line_up(header, places, further, &lists);
    let find = |name: &String| header.find_any(name, mapping);
    let condition = |filter: &Filter| Some(Condition::new(find(&filter.column)?, empty(&filter.column), filter));
    layout.conditions = mapping.filters.iter().filter_map(condition).collect();
    layout.group = mapping.group.as_ref().and_then(|name| Some((find(name)?, empty(name))));
    Ok(layout)
}

impl Layout {
    /// Puts the columns into their order: those of the file, further fields, lists.
    fn line_up(
        &mut self,
        header: &Header,
        places: Vec<Option<Target>>,
        further: Vec<(Target, Made)>,
        lists: &[(&str, Part)],
    ) {
        let Targets { columns, source_columns, own_columns, lists: number, .. } = &mut self.targets;
        (*source_columns, *own_columns, *number) = (header.names.len(), header.own, lists.len());
        for (source, (place, name)) in places.into_iter().zip(&header.names).enumerate() {
            columns.push(place.unwrap_or_else(|| unmapped(name, source, To::Nowhere)));
        }
        for (target, made) in further {
            self.made.push((columns.len(), made));
            columns.push(target);
        }
        for (list, part) in lists {
            self.lists.push(columns.len());
            columns.push(Target {
                name: format!("{list}[]"),
                source: usize::MAX,
                to: To::Path((*list).to_owned()),
                cell: Some(CellType::Json),
                omits_bad: false,
                is_made: true,
                part: *part,
            });
        }
    }
}

/// A column that the mapping does not name.
fn unmapped(name: &str, source: usize, to: To) -> Target {
    Target { name: name.to_owned(), source, to, cell: None, omits_bad: false, is_made: false, part: Part::Rest }
}

/// The column of the made row that a field is. It stands in the place of the first column that goes there.
fn target_of<'a>(
    one: &'a Use<'_>,
    source: usize,
    mapping: &Mapping,
    header: &Header,
    lists: &mut Vec<(&'a str, Part)>,
) -> Result<Target, MappingFault> {
    Ok(Target {
        name: called(one, header),
        source,
        to: destination(one, mapping, lists),
        cell: type_of(one, header)?,
        // Of several columns, each may give way to the next one: that is decided where the row is made.
        omits_bad: matches!(&one.columns[..], [only] if only.field.if_bad == IfBad::Omit),
        is_made: false,
        part: Part::Whole,
    })
}

fn candidates(one: &Use<'_>, kind: Kind) -> Vec<Candidate> {
    let candidate = |Origin { column, field, .. }: &Origin<'_>| Candidate {
        column: *column,
        verbs: Verbs::new(field, kind),
        omits_bad: field.if_bad == IfBad::Omit,
        wanted: None,
    };
    one.columns.iter().map(candidate).collect()
}

/// Which columns go to which fields. Of a list that each of several columns adds to, each is a use of its own.
fn uses<'a>(mapping: &'a Mapping, header: &Header, kind: Kind) -> Vec<Use<'a>> {
    let mut uses: Vec<Use<'a>> = Vec::new();
    for (index, column) in mapping.columns.iter().enumerate() {
        let Some(place) = header.find_column(column) else { continue };
        for (at, field) in column.fields.iter().enumerate().filter(|(_, field)| !field.to.is_empty()) {
            let origin = Origin { column: place, field, part: Part::Field { column: index, field: at } };
            let to = match field.to.strip_prefix("properties.") {
                Some(name) if kind.api() == Api::Objects => name,
                _ => &field.to,
            };
            match uses.iter_mut().find(|one| one.to == to && !to.ends_with("[]")) {
                Some(one) => one.columns.push(origin),
                None => uses.push(Use { to: to.to_owned(), columns: vec![origin] }),
            }
        }
    }
    uses
}

/// The columns of a field, for messages.
fn called(one: &Use<'_>, header: &Header) -> String {
    let mut names: Vec<&str> = Vec::new();
    for origin in &one.columns {
        let name = header.names[origin.column].as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// Where the cells of a field go. A list is gathered from the rows of a group, and has one element otherwise.
fn destination<'a>(one: &'a Use<'_>, mapping: &Mapping, lists: &mut Vec<(&'a str, Part)>) -> To {
    let Some(ListPath { list, element }) = list_path(&one.to) else { return To::Path(one.to.clone()) };
    if mapping.group.is_none() {
        return To::Path(if element.is_empty() { one.to.clone() } else { format!("{list}.0.{element}") });
    }
    let number = lists.iter().position(|(other, _)| *other == list).unwrap_or_else(|| {
        lists.push((list, one.columns.first().map_or(Part::Whole, |origin| origin.part)));
        lists.len() - 1
    });
    To::Element { list: number, path: element.to_owned(), whole: one.to.clone() }
}

/// The type of a field, which all of its columns share.
fn type_of(one: &Use<'_>, header: &Header) -> Result<Option<CellType>, MappingFault> {
    let fault = |origin: &Origin<'_>, what: &str| {
        let words = format!("column `{}` to `{}`: {what}", header.names[origin.column], one.to);
        MappingFault::of(origin.part, FileFault::new(FaultCode::BadColumn, words))
    };
    let mut types = Vec::new();
    for origin in &one.columns {
        let field = origin.field;
        let word = field.cell.as_deref();
        let is_changed = field.prefix.is_some() || field.sha256 || field.split.is_some();
        if (field.decimal == Decimal::Comma || word == Some("date")) && is_changed {
            return Err(fault(origin, "a date or a decimal comma goes with no `prefix`, `sha256` or `split`"));
        }
        types.push(match word {
            None | Some("string" | "json") if field.split.is_some() => Some(CellType::Json),
            Some(_) if field.split.is_some() => return Err(fault(origin, "`split` makes a list: leave the type out")),
            None if field.decimal == Decimal::Comma => Some(CellType::Number),
            None => None,
            Some("date") => Some(CellType::String),
            Some(word) => Some(CellType::named(word).ok_or_else(|| fault(origin, "the type is unknown"))?),
        });
    }
    match types.iter().position(|other| *other != types[0]) {
        None => Ok(types[0]),
        Some(at) => Err(fault(&one.columns[at], "another column goes there as another type")),
    }
}

/// Gives the columns that are not named their places, or refuses the file for them.
fn take_rest(
    mapping: &Mapping,
    header: &Header,
    used: &[usize],
    places: &mut [Option<Target>],
) -> Result<(), FileFault> {
    let conditions = mapping.filters.iter().map(|filter| &filter.column);
    let named = conditions.chain(&mapping.message_id).chain(&mapping.group);
    let spoken_of: Vec<usize> = named.filter_map(|name| header.find_any(name, mapping)).collect();
    let is_rest = |column: &usize| !used.contains(column) && !header.names[*column].is_empty();
    let rest = (0..header.own).filter(is_rest);
    let container = match mapping.rest {
        Rest::Traits => "traits",
        Rest::Properties => "properties",
        Rest::Drop => return Ok(()),
        Rest::Refuse => {
            let others: Vec<usize> = rest.filter(|column| !spoken_of.contains(column)).collect();
            let is_header = !used.is_empty() || !spoken_of.is_empty();
            return refuse(mapping, header, &others, is_header);
        }
    };
    for column in rest {
        let name = header.names[column].clone();
        let to = To::Key(container, name.clone());
        places[column] = Some(unmapped(&name, column, to));
    }
    Ok(())
}
