//! A mapping, guessed from the first rows of a file.

use super::Tried;
use super::call::{self, Call, Group};
use super::column::DraftColumn;
use super::fields::Fields;
use super::names::{self, FileName, words};
use super::sample::{Column, NULL_WORDS, Sample};
use super::shapes::{self, Shape};
use calls::dialect::{Delimiter, Encoding};

/// A mapping to be edited.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) pattern: String,
    pub(super) call: Call,
    /// The event of every row, if no column has it.
    pub(super) event: Option<&'static str>,
    pub(super) delimiter: Option<&'static str>,
    pub(super) encoding: Option<&'static str>,
    pub(super) has_decimal_comma: bool,
    /// Whether there are times without a zone.
    pub(super) is_zoneless: bool,
    pub(super) dates: Vec<String>,
    pub(super) nulls: Vec<&'static str>,
    /// The column that must be filled, or the row is skipped.
    pub(super) filled: Option<Filled>,
    pub(super) group: Option<String>,
    pub(super) message_id: Option<MessageId>,
    /// The column whose cells say how far each row has got.
    pub(super) status: Option<String>,
    pub(super) columns: Vec<DraftColumn>,
}

/// A column that must be filled.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) column: String,
    /// Another column that names people, and how many of the rows that are skipped have a cell in it.
    pub(super) other: Option<(String, usize)>,
}

/// The column whose cells could make the message id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MessageId {
    /// It numbers events, orders or payments.
    Numbers(String),
    /// Its cells are different, and its name does not say what they number.
    May(String),
    /// It numbers people, whose rows come again with other cells.
    People(String),
}

/// The columns that name the person of a row.
#[derive(Debug, Default)]
struct Person {
    /// The first choice and the second.
    columns: Vec<usize>,
    /// The second choice, if it is not kept.
    dropped: Option<usize>,
}

impl Person {
    /// An id that is called one, an email address, then other ids. The second choice is for rows without the first.
    fn of(sample: &Sample, shapes: &[Shape]) -> Person {
        let number = |at: &usize| names::person_id(&sample.columns[*at].name);
        // Of a header alone the names say it.
        let may_have_cells = |at: &usize| sample.rows == 0 || sample.columns[*at].filled().next().is_some();
        let named = (0..shapes.len()).filter(|at| number(at).is_some() && may_have_cells(at));
        let named = named.min_by_key(number);
        let filled = |at: &usize| sample.columns[*at].filled().count();
        // Of equally filled ones the first.
        let email = (0..shapes.len()).filter(|at| shapes[*at] == Shape::Email).rev().max_by_key(filled);
        let is_user_id = named.is_some_and(|at| number(&at) == Some(0));
        let mut columns: Vec<usize> =
            if is_user_id { vec![named, email] } else { vec![email, named] }.into_iter().flatten().collect();
        columns.truncate(2);
        Person { columns, dropped: None }
    }

    /// Keeps the second choice for people alone, where it names each person that the first leaves out. The ids of events
    /// name no people.
    fn keep(&mut self, call: &Call, sample: &Sample) {
        let is_filled = |at: &usize, row: usize| super::sample::is_filled(&sample.columns[*at].cells[row]);
        let first_is_full = self.columns.first().is_some_and(|at| sample.columns[*at].is_full());
        let all_named = (0..sample.rows).all(|row| self.columns.iter().any(|at| is_filled(at, row)));
        // A line of totals has a word where others have a number.
        let lacks_first = |row: usize| self.columns.first().is_some_and(|at| !is_filled(at, row));
        let is_odd = |at: &usize| super::fields::odd_ids(&sample.columns[*at], lacks_first) > 0;
        let has_odd = self.columns.get(1).is_some_and(is_odd);
        if *call != Call::Identify || first_is_full || !all_named || has_odd {
            self.dropped = self.columns.get(1).copied();
            self.columns.truncate(1);
        }
    }
}

impl Draft {
    pub(super) fn of(sample: &Sample) -> Draft {
        let shapes: Vec<Shape> = sample.columns.iter().map(|column| shape(column, sample)).collect();
        let FileName { pattern, words: file_words } = names::file_name(&sample.name);
        let mut person = Person::of(sample, &shapes);
        // A group is of one person, whichever column names it.
        let of_one = |group: &Group| group.lists.iter().all(|at| !person.columns.contains(at));
        let call = call::guess(&file_words, sample, &shapes, !person.columns.is_empty());
        let group = call::group(sample, &call).filter(of_one);
        person.keep(&call, sample);
        let name = if file_words.is_empty() { ascii(&words(&sample.name)) } else { ascii(&file_words) };
        let event_column = (call == Call::Track).then(|| event_column(sample)).flatten();
        let mut draft = Draft {
            event: (call == Call::Track && event_column.is_none()).then(|| call::event(&file_words, sample)),
            delimiter: delimiter(sample.dialect.delimiter),
            encoding: encoding(sample),
            has_decimal_comma: shapes.contains(&Shape::CommaNumber),
            is_zoneless: false,
            dates: Vec::new(),
            nulls: nulls(sample),
            filled: must_be_filled(sample, &person, group.as_ref(), &call),
            group: group.as_ref().map(|group| sample.columns[group.column].name.clone()),
            message_id: message_id(sample, group.as_ref(), &call, &person, &file_words),
            status: call::status(sample),
            columns: Vec::new(),
            name,
            pattern,
            call,
        };
        draft.times(&shapes);
        let fields =
            Fields { call: &draft.call, prefix: tool(&file_words), group, event_column, person: person.columns };
        draft.columns = fields.of(sample, &shapes);
        // The first filled column wins, so the first choice stands first.
        let choice = |column: &DraftColumn| {
            let to_user = column.fields.iter().find(|field| field.to == "userId");
            to_user.map_or(2, |field| u8::from(field.prefix.is_some()))
        };
        draft.columns.sort_by_key(choice);
        draft
    }

    /// What the times of the file have in common.
    fn times(&mut self, shapes: &[Shape]) {
        for shape in shapes {
            let Shape::Time(time) = shape else { continue };
            self.is_zoneless |= time.is_zoneless && !time.is_day;
            if let Some(format) = &time.format
                && !self.dates.contains(format)
            {
                self.dates.push(format.clone());
            }
        }
    }

    /// Whether the rows are things, and no column is their id.
    pub(super) fn lacks_id(&self) -> bool {
        let has_id = || self.columns.iter().flat_map(|column| &column.fields).any(|field| field.to == "id");
        matches!(self.call, Call::Object(_)) && !has_id()
    }

    /// Takes back the types of columns with a cell of another type, and the group if the file cannot be read by it. False
    /// if there is nothing to take back.
    pub(super) fn take_back(&mut self, tried: &Tried) -> bool {
        let mut is_changed = tried.fault.is_some() && self.group.take().is_some();
        let container = if self.call == Call::Track { "properties" } else { "traits" };
        for column in self.columns.iter_mut().filter(|column| tried.columns.contains(&column.name)) {
            for field in column.fields.iter_mut().filter(|field| field.cell != Some(TEXT)) {
                if field.to == "timestamp" {
                    field.to = format!("{container}.timestamp");
                }
                (field.cell, field.yes_no) = (Some(TEXT), None);
                is_changed = true;
            }
        }
        is_changed
    }
}

/// The type of plain text. A field that is called `timestamp` or `createdAt` needs it to be sent as text.
const TEXT: &str = "string";

/// Words of a file's name as the name of a mapping.
fn ascii(file_words: &[String]) -> String {
    let name = file_words.join("-");
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    name.chars().take(60).collect()
}

/// A prefix of ids that is to be filled in: no file is read with it.
pub(super) const BLANK_PREFIX: &str = "…-";

/// The id prefix of the tool. A name without words does not say the tool, and two tools must not share a prefix.
fn tool(file_words: &[String]) -> String {
    let first = file_words.iter().find(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    first.map_or_else(|| BLANK_PREFIX.to_owned(), |word| format!("{word}-"))
}

fn delimiter(delimiter: Delimiter) -> Option<&'static str> {
    match delimiter {
        Delimiter::Comma => None,
        Delimiter::Semicolon => Some("semicolon"),
        Delimiter::Tab => Some("tab"),
        Delimiter::Pipe => Some("pipe"),
    }
}

fn encoding(sample: &Sample) -> Option<&'static str> {
    let dialect = sample.dialect;
    (!dialect.bom && dialect.encoding != Encoding::Utf8).then(|| dialect.encoding.name())
}

/// The null markers of programs that stand in the file.
fn nulls(sample: &Sample) -> Vec<&'static str> {
    let stands = |word: &&&str| sample.columns.iter().any(|column| column.cells.iter().any(|cell| cell == **word));
    // A sign of its own, such as that of a blood group, is no empty cell.
    let is_sign = |word: &&str| {
        let has = |column: &Column, text: &str| column.cells.iter().any(|cell| cell == text);
        *word == "-" && sample.columns.iter().any(|column| has(column, "-") && has(column, "+"))
    };
    NULL_WORDS.iter().filter(stands).copied().filter(|word| !is_sign(word)).collect()
}

/// The shape of a column. Without a row, a column that is called so has email addresses.
fn shape(column: &Column, sample: &Sample) -> Shape {
    match shapes::of(column) {
        Shape::Empty if sample.rows == 0 && names::known_trait(&column.name) == Some("email") => Shape::Email,
        shape => shape,
    }
}

fn event_column(sample: &Sample) -> Option<usize> {
    let is_event = |column: &Column| ["event", "eventname"].contains(&words(&column.name).concat().as_str());
    sample.columns.iter().position(is_event)
}

/// The column that a row must have, if some rows lack every column that names its person.
fn must_be_filled(sample: &Sample, person: &Person, group: Option<&Group>, call: &Call) -> Option<Filled> {
    let is_object = matches!(call, Call::Object(_));
    let needed: Vec<usize> =
        if is_object { super::fields::object_id(sample).into_iter().collect() } else { person.columns.clone() };
    let [only] = needed[..] else { return None };
    let column = &sample.columns[only];
    let key = group.map(|group| &sample.columns[group.column].cells);
    let is_first = |row: usize| row == 0 || key.is_none_or(|key| key[row] != key[row - 1]);
    let is_filled = |at: usize, row: usize| super::sample::is_filled(&sample.columns[at].cells[row]);
    let skipped: Vec<usize> = (0..sample.rows).filter(|row| is_first(*row) && !is_filled(only, *row)).collect();
    if skipped.is_empty() {
        return None;
    }
    let other = person.dropped.filter(|_| !is_object).map(|other| {
        let rows = skipped.iter().filter(|row| is_filled(other, **row)).count();
        (sample.columns[other].name.clone(), rows)
    });
    Some(Filled { column: column.name.clone(), other: other.filter(|(_, rows)| *rows > 0) })
}

/// The column that numbers the rows, or the groups of rows. Of an id of people, and of items of an order that is no group,
/// no message id is made.
fn message_id(
    sample: &Sample,
    group: Option<&Group>,
    call: &Call,
    person: &Person,
    file_words: &[String],
) -> Option<MessageId> {
    let name = |at: usize| sample.columns[at].name.clone();
    let number = |at: usize| names::event_number(&sample.columns[at].name, file_words);
    let is_of_person = |at: &usize| {
        let is_called = names::person_id(&sample.columns[*at].name).is_some() && number(*at).is_none();
        person.columns.contains(at) || is_called
    };
    let is_code = |at: &usize| sample.columns[*at].is_unique() && names::is_code(&sample.columns[*at].name);
    match (call, group) {
        (Call::Object(_), _) => None,
        (Call::Identify, Some(group)) => Some(MessageId::People(name(group.column))),
        (Call::Identify, None) => (0..sample.columns.len()).find(is_code).map(name).map(MessageId::People),
        (Call::Track, Some(group)) if is_of_person(&group.column) => None,
        (Call::Track, Some(group)) => {
            // Rows with several items are an order, whatever its number is called.
            let has_items = group.lists.iter().any(|at| names::is_item(&sample.columns[*at].name));
            let is_sure = has_items || number(group.column).is_some();
            let name = name(group.column);
            Some(if is_sure { MessageId::Numbers(name) } else { MessageId::May(name) })
        }
        (Call::Track, None) => {
            let codes = (0..sample.columns.len()).filter(is_code).filter(|at| !is_of_person(at));
            let best = codes.min_by_key(|at| number(*at).unwrap_or(usize::MAX))?;
            let is_sure = number(best).is_some() && call::items(sample).next().is_none();
            Some(if is_sure { MessageId::Numbers(name(best)) } else { MessageId::May(name(best)) })
        }
    }
}
