//! Faults of a mapping that no file is needed for.

use protocol::mapping::{Column, Field, Mapping, Rest};

use crate::columns::{MappingFault, Part};
use crate::kind::{Api, Kind};
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault};
use crate::wording::worded;

use super::sense;

/// The name of a column that stands for all that a mapping does not name.
const OTHER_COLUMN: &str = "any other column";
/// A constant that any field of text takes.
const PLAIN_TEXT: &str = "\"a\"";
/// Faults of one mapping that are looked for.
const FAULTS_MAX: usize = 100;

/// Compiles a mapping for a file that has exactly the columns that it names.
///
/// Returns the faults that every file would fail with, and what no one can mean: a field that each call needs is missing,
/// paths contradict each other, a type or a path cannot work, every row would be refused. A part at fault is left out, and
/// the rest is compiled again, so that one check finds every fault.
pub fn check(mapping: &Mapping, reading: &Reading) -> Vec<MappingFault> {
    let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == mapping.call) else {
        let fault = FileFault::new(FaultCode::BadColumn, format!("the call `{}` is of no kind", mapping.call));
        return vec![fault.into()];
    };
    let senseless = sense::check(mapping, kind, reading);
    let mut rest = mapping.clone();
    // Without a key it is about the path, or all of a constant.
    for fault in senseless.iter().filter(|fault| fault.key == Some("")) {
        leave_out(&mut rest, fault.part);
    }
    let is_whole = rest == *mapping;
    let mut faults = compile_parts(rest, kind, reading);
    // What follows from a part that was left out is no fault of its own.
    faults.retain(|fault| is_whole || fault.part != Part::Whole);
    let is_new = |fault: &MappingFault| !faults.iter().any(|known| known.part == fault.part);
    let senseless: Vec<MappingFault> = senseless.into_iter().filter(is_new).collect();
    faults.extend(senseless);
    for fault in &mut faults {
        fault.fault.message = worded(alone(&fault.fault.message).to_owned(), true);
    }
    faults
}

/// The faults of compiling, one after the other.
fn compile_parts(mut rest: Mapping, kind: Kind, reading: &Reading) -> Vec<MappingFault> {
    let mut faults: Vec<MappingFault> = Vec::new();
    while faults.len() < FAULTS_MAX {
        let Err(fault) = super::compile(&rest, &names(&rest, kind), kind, reading) else { break };
        let optional = [Some(fault.part), fault.other].into_iter().flatten().find(|part| is_optional(&rest, *part));
        let is_left_out = match (fault.other, optional) {
            // A file may have one of them alone. The file that has both is stopped.
            (Some(_), Some(part)) => leave_out(&mut rest, part),
            (other, _) => {
                let is_left_out =
                    (other.is_none() && make_plain(&mut rest, fault.part)) || leave_out(&mut rest, fault.part);
                // What follows from a fault is none of its own.
                let is_known = faults.iter().any(|known| known.part == fault.part);
                if !is_known && (is_left_out || faults.is_empty()) {
                    faults.push(fault);
                }
                is_left_out
            }
        };
        if !is_left_out {
            break;
        }
    }
    faults
}

fn is_optional(mapping: &Mapping, part: Part) -> bool {
    matches!(part, Part::Field { column, .. } if mapping.columns[column].optional)
}

/// Takes from a part all but its path, so that a field which every call needs is not missing. Returns whether that changed
/// it.
fn make_plain(mapping: &mut Mapping, part: Part) -> bool {
    match part {
        Part::Field { column, field } => {
            let field = &mut mapping.columns[column].fields[field];
            let plain = Field { to: field.to.clone(), ..Field::default() };
            std::mem::replace(field, plain) != *field
        }
        Part::Constant(place) => {
            let json = &mut mapping.set[place].json;
            std::mem::replace(json, PLAIN_TEXT.to_owned()) != *json
        }
        Part::Whole | Part::Condition(_) | Part::MessageId | Part::Rest => false,
    }
}

/// Leaves a part out, so that the others keep their places. Returns whether that is possible.
fn leave_out(mapping: &mut Mapping, part: Part) -> bool {
    match part {
        Part::Field { column, field } => mapping.columns[column].fields[field].to.clear(),
        Part::Constant(place) => mapping.set[place].to.clear(),
        Part::MessageId => mapping.message_id.clear(),
        Part::Whole | Part::Condition(_) | Part::Rest => return false,
    }
    true
}

/// The columns of a file that has exactly those that a mapping names.
fn names(mapping: &Mapping, kind: Kind) -> Vec<String> {
    let first = |column: &Column| column.names.first().cloned();
    let mut names: Vec<String> = mapping.columns.iter().filter_map(first).collect();
    let of_filters = mapping.filters.iter().map(|filter| &filter.column);
    for name in of_filters.chain(&mapping.message_id).chain(&mapping.group) {
        let is_known = mapping.columns.iter().any(|column| column.names.contains(name)) || names.contains(name);
        if !is_known {
            names.push(name.clone());
        }
    }
    if matches!(mapping.rest, Rest::Traits | Rest::Properties) {
        names.push(OTHER_COLUMN.to_owned());
        if kind.api() == Api::Objects && !makes_id(mapping) {
            // Among the columns that are not named, the file has its own.
            names.push("id".to_owned());
        }
    }
    names
}

/// A message without its column: the place of the fault says it.
fn alone(message: &str) -> &str {
    let is_column = message.starts_with("column `");
    message.split_once("`: ").filter(|_| is_column).map_or(message, |(_, what)| what)
}

/// Whether a column or a constant goes to the `id` of an object.
fn makes_id(mapping: &Mapping) -> bool {
    let fields = mapping.columns.iter().flat_map(|column| &column.fields).map(|field| &field.to);
    let constants = mapping.set.iter().map(|constant| &constant.to);
    fields.chain(constants).any(|to| matches!(to.as_str(), "id" | "properties.id"))
}

#[cfg(test)]
mod tests {
    use protocol::mapping::{Constant, Decimal, Filter};

    use super::*;

    fn column(name: &str, to: &[&str]) -> Column {
        let fields = to.iter().map(|to| Field { to: (*to).to_owned(), ..Field::default() });
        Column { names: vec![name.to_owned()], optional: false, fields: fields.collect() }
    }

    fn constant(to: &str, json: &str) -> Constant {
        Constant { to: to.to_owned(), json: json.to_owned() }
    }

    /// A track mapping without a fault.
    fn orders() -> Mapping {
        Mapping {
            name: "m".to_owned(),
            call: "track".to_owned(),
            columns: vec![column("Id", &["userId", "traits.id"]), column("Total", &["properties.total"])],
            set: vec![constant("event", "\"Order Completed\"")],
            filters: vec![Filter { column: "State".to_owned(), filled: Some(true), ..Filter::default() }],
            message_id: vec!["Order#2".to_owned()],
            ..Mapping::default()
        }
    }

    fn faults(mapping: &Mapping) -> Vec<(Part, String)> {
        check(mapping, &Reading::default()).into_iter().map(|fault| (fault.part, fault.fault.message)).collect()
    }

    fn fault(mapping: &Mapping) -> Option<String> {
        let faults = faults(mapping);
        assert!(faults.len() < 2, "{faults:?}");
        faults.into_iter().next().map(|(_, message)| message)
    }

    #[test]
    fn a_mapping_that_some_file_can_be_read_by_has_no_fault() {
        assert_eq!(fault(&orders()), None);
        let call = |word: &str| word.to_owned();
        assert_eq!(fault(&Mapping { rest: Rest::Properties, ..orders() }), None);
        let columns = vec![column("Id", &["id"])];
        let of_rest = Mapping { call: call("object"), columns, rest: Rest::Properties, ..Mapping::default() };
        assert_eq!(fault(&of_rest), None, "its properties are the columns that it does not name");
        let columns = vec![column("Name", &["name"])];
        assert_eq!(fault(&Mapping { columns, ..of_rest }), None, "and its id may be among them");
        let mut optional = Mapping { columns: vec![column("Id", &["userId"])], ..orders() };
        optional.columns[0].optional = true;
        assert_eq!(fault(&optional), None);
    }

    #[test]
    fn a_fault_that_every_file_would_meet_is_found_without_one() {
        let has = |mapping: Mapping, words: &str| {
            let message = fault(&mapping).unwrap_or_default();
            assert!(message.contains(words), "{words}: {message}");
        };
        has(Mapping { set: Vec::new(), ..orders() }, "no `event`");
        has(Mapping { columns: vec![column("Total", &["properties.total"])], ..orders() }, "`userId` or `anonymousId`");
        has(Mapping { call: "group".to_owned(), set: Vec::new(), ..orders() }, "no `groupId`");
        let object = Mapping { call: "object".to_owned(), columns: vec![column("Id", &["id"])], ..Mapping::default() };
        has(object, "no column besides `id`");
        let set = |to: &str, json: &str| {
            let event = constant("event", "\"e\"");
            Mapping { set: vec![event, constant(to, json)], ..orders() }
        };
        has(set("properties.total", "1"), "cannot both go to");
        has(set("properties.total.net", "1"), "cannot both go to");
        has(Mapping { set: vec![constant("event", "5")], ..orders() }, "always a string");
        has(
            Mapping { columns: [orders().columns, vec![column("No", &["messageId"])]].concat(), ..orders() },
            "messageId",
        );
        let of_total = |change: &dyn Fn(&mut Field)| {
            let mut mapping = orders();
            change(&mut mapping.columns[1].fields[0]);
            mapping
        };
        has(of_total(&|field| "properties.a[].b[]".clone_into(&mut field.to)), "is no path");
        has(of_total(&|field| "properties.a[x]".clone_into(&mut field.to)), "is no path");
        has(Mapping { set: vec![constant("event", "\" \"")], ..orders() }, "`event` is empty");
        has(set("timestamp", "\"yesterday\""), "not a date");
        let columns = vec![column("Id", &["id"]), column("Tags", &["tags[]"])];
        has(Mapping { call: "object".to_owned(), columns, ..Mapping::default() }, "takes no lists");
        has(of_total(&|field| field.cell = Some("numbr".to_owned())), "the type is unknown");
        let comma = |field: &mut Field| (field.decimal, field.prefix) = (Decimal::Comma, Some("a".to_owned()));
        has(of_total(&comma), "decimal comma");
        has(of_total(&|field| (field.to, field.split) = ("userId".to_owned(), Some(";".to_owned()))), "another type");
    }

    #[test]
    fn every_fault_has_its_part_and_what_follows_from_one_is_left_out() {
        let mut mapping = orders();
        mapping.columns[0].fields[0].cell = Some("number".to_owned());
        "properties.a[].b[]".clone_into(&mut mapping.columns[1].fields[0].to);
        mapping.set.push(constant("traits", "1"));
        mapping.set.push(constant("timestamp", "\"gestern\""));
        let field = |column, field| Part::Field { column, field };
        let parts: Vec<Part> = faults(&mapping).into_iter().map(|(part, _)| part).collect();
        assert_eq!(parts, [field(1, 0), field(0, 0), Part::Constant(1), Part::Constant(2)]);
    }

    #[test]
    fn of_paths_that_contradict_each_other_one_may_be_optional() {
        let mut mapping = orders();
        mapping.columns =
            vec![column("Id", &["userId"]), column("A", &["properties.x"]), column("B", &["properties.x.y"])];
        assert_eq!(faults(&mapping).len(), 1);
        for optional in [1, 2] {
            let mut mapping = mapping.clone();
            mapping.columns[optional].optional = true;
            assert_eq!(faults(&mapping), []);
        }
    }
}
