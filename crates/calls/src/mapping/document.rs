//! Faults of a mapping that no file is needed for.

use protocol::mapping::{Mapping, Rest};

use crate::kind::{Api, Kind};
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault};

/// The name of a column that stands for all that a mapping does not name.
const OTHER_COLUMN: &str = "any other column";

/// Compiles a mapping for a file that has exactly the columns that it names.
///
/// # Errors
/// The first fault that every file would fail with: a field that each call needs is missing, paths contradict each
/// other, a type or a path cannot work.
pub fn check(mapping: &Mapping, reading: &Reading) -> Result<(), FileFault> {
    let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == mapping.call) else {
        return Err(FileFault::new(FaultCode::BadColumn, format!("the call `{}` is of no kind", mapping.call)));
    };
    let mut names: Vec<String> = mapping.columns.iter().filter_map(|column| column.names.first().cloned()).collect();
    let of_filters = mapping.filters.iter().map(|filter| &filter.column);
    for name in of_filters.chain(&mapping.message_id).chain(&mapping.group) {
        if name.is_empty() {
            return Err(FileFault::new(
                FaultCode::BadColumn,
                "a column has an empty name: write the name in the header",
            ));
        }
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
    super::compile(mapping, &names, kind, reading).map(|_| ())
}

/// Whether a column or a constant goes to the `id` of an object.
fn makes_id(mapping: &Mapping) -> bool {
    let fields = mapping.columns.iter().flat_map(|column| &column.fields).map(|field| &field.to);
    let constants = mapping.set.iter().map(|constant| &constant.to);
    fields.chain(constants).any(|to| matches!(to.as_str(), "id" | "properties.id"))
}

#[cfg(test)]
mod tests {
    use protocol::mapping::{Column, Constant, Decimal, Field, Filter};

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

    fn fault(mapping: &Mapping) -> Option<String> {
        check(mapping, &Reading::default()).err().map(|fault| fault.message)
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
        has(Mapping { group: Some(String::new()), ..orders() }, "empty name");
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
}
