//! Which call the rows become, and which rows become one.

use super::names::{self, words};
use super::sample::{Column, Sample, is_filled};
use super::shapes::Shape;
use std::collections::HashSet;

/// Fields that only the first row of a group fills, for the rows to be a group.
const LEFT_EMPTY_MIN: usize = 3;

/// What a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Identify,
    Track,
    /// An object of this collection.
    Object(String),
}

/// Guesses from the words of the file's name, then from the columns.
pub(super) fn guess(file_words: &[String], sample: &Sample, shapes: &[Shape], has_person: bool) -> Call {
    let has = |is: fn(&str) -> bool| file_words.iter().any(|word| is(word));
    let joined = |column: &Column| words(&column.name).concat();
    let has_event = sample.columns.iter().any(|column| ["event", "eventname"].contains(&joined(column).as_str()));
    let any = |is: &dyn Fn(&Column) -> bool| sample.columns.iter().any(is);
    let has_order = any(&|column| words(&column.name).iter().any(|word| names::is_event_word(word)));
    let has_amount = any(&|column| names::is_amount(&column.name));
    let has_time = shapes.iter().any(|shape| matches!(shape, Shape::Time(_)));
    let has_name = any(&|column| matches!(names::known_trait(&column.name), Some("firstName" | "lastName" | "email")));
    if !has_person {
        return Call::Object(collection(file_words));
    }
    match () {
        () if has_event || has(names::is_event_word) => Call::Track,
        () if has(names::is_people_word) => Call::Identify,
        () if has_order && (has_amount || has_time) => Call::Track,
        () if has_name => Call::Identify,
        () if has_amount && has_time => Call::Track,
        () => Call::Object(collection(file_words)),
    }
}

/// A name that the Objects API takes.
fn collection(file_words: &[String]) -> String {
    let ascii = file_words.iter().map(|word| word.chars().filter(char::is_ascii_lowercase).collect::<String>());
    let ascii: Vec<String> =
        ascii.filter(|word| !["export", "exports", "all", "csv", ""].contains(&word.as_str())).collect();
    if ascii.is_empty() {
        "records".to_owned()
    } else {
        ascii.join("_").chars().take(40).collect::<String>().trim_end_matches('_').to_owned()
    }
}

/// The event of all rows, if no column names it.
pub(super) fn event(file_words: &[String], sample: &Sample) -> &'static str {
    let in_columns = sample.columns.iter().flat_map(|column| words(&column.name));
    let all: Vec<String> = file_words.iter().cloned().chain(in_columns).collect();
    let of = |stems: &[&str]| all.iter().any(|word| stems.iter().any(|stem| word.starts_with(stem)));
    match () {
        () if of(&["payment", "charge", "zahlung"]) && !of(&["lineitem"]) => "Payment Received",
        () if of(&["order", "purchase", "sale", "bestellung", "lineitem"]) => "Order Completed",
        () if of(&["invoice", "rechnung"]) => "Invoice Created",
        () if of(&["booking"]) => "Booking Made",
        () => "Row Exported",
    }
}

/// Adjacent rows that are one thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The column that is the same in them.
    pub(super) column: usize,
    /// The columns that differ between them.
    pub(super) lists: Vec<usize>,
}

/// Finds the column whose equal cells make a group: the rows behind the first leave fields of the first empty.
pub(super) fn group(sample: &Sample, call: &Call) -> Option<Group> {
    let found = (0..sample.columns.len()).find_map(|column| of_column(sample, column));
    found.or_else(|| of_single_items(sample).filter(|_| *call == Call::Track))
}

/// The number of orders that have one item each in the rows that were read: a later order may have more.
fn of_single_items(sample: &Sample) -> Option<Group> {
    let items: Vec<usize> = items(sample).collect();
    let is_number = |at: &usize| {
        let column = &sample.columns[*at];
        !items.contains(at) && names::event_number(&column.name, &[]).is_some() && column.is_unique()
    };
    let column = (0..sample.columns.len()).find(is_number)?;
    (!items.is_empty()).then_some(Group { column, lists: items })
}

/// The columns that are about an item of an order.
pub(super) fn items(sample: &Sample) -> impl Iterator<Item = usize> {
    (0..sample.columns.len()).filter(|at| names::is_item(&sample.columns[*at].name))
}

fn of_column(sample: &Sample, column: usize) -> Option<Group> {
    let key = &sample.columns[column].cells;
    let (mut seen, mut first, mut further) = (HashSet::new(), 0, Vec::new());
    for row in 0..key.len() {
        if !is_filled(&key[row]) {
            return None;
        }
        if row > 0 && key[row] == key[row - 1] {
            further.push((first, row));
        } else {
            // A value that comes again later groups nothing.
            if !seen.insert(&key[row]) {
                return None;
            }
            first = row;
        }
    }
    // A group is of one person.
    let is_other = |one: &&Column| names::person_id(&one.name).is_some() && differs(one, &further);
    if sample.columns.iter().any(|one| is_other(&one)) {
        return None;
    }
    let lists = lists(sample, &further);
    let left_empty = |(first, row): &(usize, usize)| {
        let is_left = |one: &&Column| is_filled(&one.cells[*first]) && !is_filled(&one.cells[*row]);
        sample.columns.iter().filter(is_left).count() >= LEFT_EMPTY_MIN
    };
    let is_group = further.iter().all(left_empty) || repeats_order(sample, column, &lists);
    (!further.is_empty() && is_group).then_some(Group { column, lists })
}

/// Whether the rows behind the first repeat an order, and only its items differ.
fn repeats_order(sample: &Sample, column: usize, lists: &[usize]) -> bool {
    let is_order = names::event_number(&sample.columns[column].name, &[]).is_some();
    is_order && !lists.is_empty() && lists.iter().all(|at| names::is_item(&sample.columns[*at].name))
}

/// The column whose cells say how far each row has got.
pub(super) fn status(sample: &Sample) -> Option<String> {
    sample.columns.iter().map(|column| &column.name).find(|name| names::is_status(name)).cloned()
}

/// Whether a later row of a group has another cell than the first.
fn differs(one: &Column, further: &[(usize, usize)]) -> bool {
    further.iter().any(|(first, row)| is_filled(&one.cells[*row]) && one.cells[*row] != one.cells[*first])
}

/// The columns that differ in a group, and those that begin with the same word.
fn lists(sample: &Sample, further: &[(usize, usize)]) -> Vec<usize> {
    let first_word = |one: &Column| words(&one.name).into_iter().next().unwrap_or_default();
    let of_items: HashSet<String> = sample.columns.iter().filter(|one| differs(one, further)).map(first_word).collect();
    (0..sample.columns.len()).filter(|at| of_items.contains(&first_word(&sample.columns[*at]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use calls::dialect::{Compression, Delimiter, Dialect, Encoding, Quoting};

    pub(crate) fn sample(names: &[&str], rows: &[&[&str]]) -> Sample {
        let columns = names.iter().enumerate().map(|(at, name)| Column {
            name: (*name).to_owned(),
            cells: rows.iter().map(|row| row[at].to_owned()).collect(),
        });
        let dialect = Dialect {
            compression: Compression::None,
            encoding: Encoding::Utf8,
            bom: false,
            delimiter: Delimiter::Comma,
            quoting: Quoting::default(),
        };
        let (name, rows) = ("file.csv".to_owned(), rows.len());
        Sample { name, dialect, skip_lines: 0, columns: columns.collect(), reserved: Vec::new(), rows }
    }

    const NAMES: [&str; 6] = ["No", "Email", "Total", "Paid", "Item name", "Item taxable"];

    #[test]
    fn rows_that_leave_the_fields_of_an_order_empty_are_a_group() {
        let order = ["#1", "a@b.c", "9", "x", "Lamp", "true"];
        let more = ["#1", "", "", "", "Mug", "true"];
        let other = ["#2", "d@e.f", "5", "x", "Mug", "true"];
        let group = |sample: &Sample| group(sample, &Call::Track);
        let found = group(&sample(&NAMES, &[&order, &more, &other]));
        assert_eq!(found, Some(Group { column: 0, lists: vec![4, 5] }));
        assert_eq!(group(&sample(&NAMES, &[&order, &other])), None, "no row repeats the number");
        assert_eq!(group(&sample(&NAMES, &[&order, &more, &other, &more])), None, "a number comes again later");
        let whole = ["#1", "a@b.c", "9", "x", "Mug", "true"];
        assert_eq!(group(&sample(&NAMES, &[&order, &whole])), None, "no field is left empty");
    }

    #[test]
    fn rows_that_repeat_an_order_with_other_items_are_a_group() {
        let names = ["Order Number", "Email", "Total", "Item Name", "Quantity"];
        let (lamp, mug) = (["1", "a@b.c", "9", "Lamp", "1"], ["1", "a@b.c", "9", "Mug", "2"]);
        let other = ["2", "d@e.f", "5", "Mug", "1"];
        let group = |sample: &Sample| group(sample, &Call::Track);
        let found = group(&sample(&names, &[&lamp, &mug, &other]));
        assert_eq!(found, Some(Group { column: 0, lists: vec![3, 4] }));
        let paid_twice = ["1", "a@b.c", "7", "Mug", "2"];
        assert_eq!(group(&sample(&names, &[&lamp, &paid_twice])), None, "its total differs, too");
        assert_eq!(group(&sample(&names, &[&lamp, &lamp])), None, "no item differs");
    }

    #[test]
    fn orders_of_one_item_each_are_groups_too() {
        let names = ["Order Number", "Email", "Order Date", "Item Name", "Item Cost"];
        let (one, two) = (["1", "a@b.c", "2025-12-31", "Lamp", "9"], ["2", "d@e.f", "2025-12-31", "Mug", "5"]);
        let of = |names: &[&str], call: Call| group(&sample(names, &[&one, &two]), &call);
        assert_eq!(of(&names, Call::Track), Some(Group { column: 0, lists: vec![3, 4] }));
        assert_eq!(of(&names, Call::Identify), None);
        assert_eq!(of(&["Customer ID", "Email", "Order Date", "Item Name", "Item Cost"], Call::Track), None);
        assert_eq!(of(&["Order Number", "Email", "Order Date", "Plan", "Total"], Call::Track), None);
    }

    #[test]
    fn the_name_of_the_file_comes_before_its_columns() {
        let people = sample(&["Id", "Email", "Order date"], &[&["1", "a@b.c", "2025-12-31"]]);
        let shapes: Vec<Shape> = people.columns.iter().map(super::super::shapes::of).collect();
        let guessed = |name: &str| guess(&words(name), &people, &shapes, true);
        assert_eq!(guessed("contacts"), Call::Identify);
        assert_eq!(guessed("customer orders"), Call::Track);
        assert_eq!(guessed("export"), Call::Track);
        assert_eq!(guess(&words("Produkte export"), &people, &shapes, false), Call::Object("produkte".to_owned()));
        assert_eq!(guess(&[], &people, &shapes, false), Call::Object("records".to_owned()));
    }
}
