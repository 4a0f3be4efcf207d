//! Where the columns of a draft go.

use super::call::{Call, Group};
use super::column::{DraftColumn, DraftField};
use super::draft::BLANK_PREFIX;
use super::names::{self, words};
use super::sample::{Column, Sample, is_filled};
use super::shapes::{Shape, TimeShape};
use std::collections::HashMap;

/// What is known before the columns are laid out.
pub(super) struct Fields<'a> {
    pub(super) call: &'a Call,
    /// What ids of this tool begin with.
    pub(super) prefix: String,
    pub(super) group: Option<Group>,
    pub(super) event_column: Option<usize>,
    /// The columns that name the person.
    pub(super) person: Vec<usize>,
}

/// The column with the id of an object: it is called so, or it is a number or a code of its own in each row.
pub(super) fn object_id(sample: &Sample) -> Option<usize> {
    let called = sample.columns.iter().position(|column| words(&column.name).concat() == "id");
    called.or_else(|| sample.columns.iter().position(|column| names::is_code(&column.name) && column.is_unique()))
}

impl Fields<'_> {
    pub(super) fn of(&self, sample: &Sample, shapes: &[Shape]) -> Vec<DraftColumn> {
        let time = self.time(sample, shapes);
        let id = matches!(self.call, Call::Object(_)).then(|| object_id(sample)).flatten();
        let mut taken: Vec<String> = ["id", "userId", "event", "timestamp"].map(str::to_owned).to_vec();
        let mut columns = Vec::new();
        for (at, (column, shape)) in sample.columns.iter().zip(shapes).enumerate() {
            let mut fields = Vec::new();
            if let Some(choice) = self.person.iter().position(|person| *person == at).filter(|_| id.is_none()) {
                fields.push(self.user_id(choice, shape));
            }
            if id == Some(at) {
                fields.push(DraftField { to: "id".to_owned(), ..DraftField::default() });
            } else if self.event_column == Some(at) {
                fields.push(DraftField { to: "event".to_owned(), ..DraftField::default() });
            } else if time == Some(at) {
                fields.push(DraftField {
                    to: "timestamp".to_owned(),
                    cell: Some("timestamp"),
                    ..DraftField::default()
                });
            } else if !self.is_track() || fields.is_empty() {
                let to = free(&self.path(at, column), &taken);
                taken.push(to.clone());
                fields.push(typed(to, column, shape));
            }
            let note = if fields.iter().any(|field| field.prefix.as_deref() == Some(BLANK_PREFIX)) {
                Some("for … write the tool's name: two tools' customer 101 are two people".to_owned())
            } else if fields.iter().any(|field| ["userId", "id"].contains(&field.to.as_str())) {
                id_note(column)
            } else {
                note(sample, shape)
            };
            columns.push(DraftColumn { name: column.name.clone(), fields, note });
        }
        columns
    }

    fn is_track(&self) -> bool {
        *self.call == Call::Track
    }

    /// The id of the person: an email address, or another id with the tool before it.
    fn user_id(&self, choice: usize, shape: &Shape) -> DraftField {
        let is_email = *shape == Shape::Email;
        let is_foreign = !is_email && (choice > 0 || self.person.len() == 1);
        let prefix = is_foreign.then(|| self.prefix.clone());
        DraftField { to: "userId".to_owned(), is_email, prefix, ..DraftField::default() }
    }

    /// The column with the time of an event.
    fn time(&self, sample: &Sample, shapes: &[Shape]) -> Option<usize> {
        if !self.is_track() {
            return None;
        }
        let times = (0..shapes.len()).filter(|at| matches!(shapes[*at], Shape::Time(_)));
        let rank = |at: &usize| {
            let words = words(&sample.columns[*at].name);
            let has = |word: &str| words.iter().any(|own| own == word);
            let is_sure = has("timestamp") || has("created") || has("datum") || has("zeitpunkt");
            let is_likely = has("date") || has("time") || has("at");
            // The rows behind the first of a group are empty.
            (!sample.columns[*at].is_full() && self.group.is_none(), !is_sure, !is_likely)
        };
        times.min_by_key(rank)
    }

    /// The path of a column, before paths that are taken.
    fn path(&self, at: usize, column: &Column) -> String {
        let (camel, snake) = (names::camel(&column.name), names::snake(&column.name));
        let or_number = |name: String| if name.is_empty() { format!("column{}", at + 1) } else { name };
        match self.call {
            Call::Identify => match names::known_trait(&column.name) {
                Some(known) => format!("traits.{known}"),
                None => format!("traits.{}", or_number(camel)),
            },
            Call::Track => {
                let group = self.group.as_ref();
                if group.is_some_and(|group| group.column == at) {
                    return "properties.order_id".to_owned();
                }
                if group.is_some_and(|group| group.lists.contains(&at)) {
                    let behind =
                        snake.split_once('_').filter(|(first, _)| ["item", "lineitem", "product"].contains(first));
                    let item = behind.map_or(snake.as_str(), |(_, item)| item).to_owned();
                    return format!("properties.products[].{}", or_number(item));
                }
                format!("properties.{}", or_number(snake))
            }
            Call::Object(_) => or_number(snake),
        }
    }
}

/// A path that neither is taken nor lies below a taken one, nor above.
fn free(path: &str, taken: &[String]) -> String {
    let clashes = |path: &str| {
        taken.iter().any(|other| {
            let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
            other == path || below(other, path) || below(path, other)
        })
    };
    let numbered = (2..).map(|number| format!("{path}{number}"));
    std::iter::once(path.to_owned()).chain(numbered).find(|path| !clashes(path)).unwrap_or_default()
}

/// A field with the type that the cells have.
fn typed(to: String, column: &Column, shape: &Shape) -> DraftField {
    let is_code = names::is_code(&column.name) || names::person_id(&column.name).is_some();
    let mut field = DraftField { to, is_email: *shape == Shape::Email, ..DraftField::default() };
    match shape {
        Shape::Integer if !is_code => field.cell = Some("integer"),
        Shape::Number | Shape::CommaNumber if !is_code => field.cell = Some("number"),
        Shape::Boolean => field.cell = Some("boolean"),
        Shape::YesNo(yes, no) => {
            field.yes_no = Some((yes, no));
            field.cell = Some("boolean");
        }
        Shape::Time(TimeShape { is_day: true, .. }) => field.cell = Some("date"),
        Shape::Time(_) => field.cell = Some("timestamp"),
        _ => {}
    }
    field
}

/// What is said about a column of ids: a line of totals has none, and would become a person or a thing.
fn id_note(column: &Column) -> Option<String> {
    let few = column.cells.len() / ODD_ID_PART;
    let odd = odd_ids(column, |_| true);
    let is_few = (1..=few.max(1)).contains(&odd) && odd < column.filled().count() / 2;
    is_few.then(|| match odd {
        1 => "1 id is written otherwise: if it is a total, leave the row out with `where`".to_owned(),
        _ => format!("{odd} ids are written otherwise: if they are totals, leave the rows out with `where`"),
    })
}

/// Of so many ids, one that is written otherwise is a doubt.
const ODD_ID_PART: usize = 10;

/// How many filled cells, of the rows that `is_row` takes, are written unlike the most usual ids of the column.
pub(super) fn odd_ids(column: &Column, is_row: impl Fn(usize) -> bool) -> usize {
    let mut counts: HashMap<Signs, usize> = HashMap::new();
    column.filled().for_each(|cell| *counts.entry(Signs::of(cell)).or_default() += 1);
    let usual = counts.iter().max_by_key(|(_, count)| **count).map(|(signs, _)| *signs);
    let is_odd = |(row, cell): &(usize, &String)| is_row(*row) && is_filled(cell) && Some(Signs::of(cell)) != usual;
    column.cells.iter().enumerate().filter(is_odd).count()
}

/// What signs an id has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Signs {
    digits: bool,
    letters: bool,
    blanks: bool,
}

impl Signs {
    fn of(cell: &str) -> Signs {
        Signs {
            digits: cell.contains(|c: char| c.is_ascii_digit()),
            letters: cell.contains(char::is_alphabetic),
            blanks: cell.contains(char::is_whitespace),
        }
    }
}

fn note(sample: &Sample, shape: &Shape) -> Option<String> {
    match shape {
        Shape::Empty if sample.rows > 0 => Some("empty in all rows that were read".to_owned()),
        Shape::EitherDate { day_first, month_first } => Some(format!(
            "a date, day or month first: write dates = [\"{day_first}\"] or [\"{month_first}\"] above, and a type here: date or timestamp"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_lies_below_a_value() {
        let taken = ["traits.address".to_owned(), "traits.a.b".to_owned(), "traits.name".to_owned()];
        for (path, expected) in [
            ("traits.city", "traits.city"),
            ("traits.address.city", "traits.address.city"),
            ("traits.a", "traits.a2"),
            ("traits.name", "traits.name2"),
        ] {
            let taken = if path == "traits.address.city" { &taken[1..] } else { &taken[..] };
            assert_eq!(free(path, taken), expected, "{path}");
        }
    }
}
