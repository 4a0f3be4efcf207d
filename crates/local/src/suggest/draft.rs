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
    /// Columns that must be filled, or the row is skipped.
    pub(super) filled: Vec<String>,
    pub(super) group: Option<String>,
    /// Columns whose cells could make the message id, and whether they do.
    pub(super) message_id: Option<(String, bool)>,
    /// The column whose cells say how far each row has got.
    pub(super) status: Option<String>,
    pub(super) columns: Vec<DraftColumn>,
}

/// The columns that name the person of a row.
#[derive(Debug, Default)]
struct Person {
    /// The first choice and the second.
    columns: Vec<usize>,
}

impl Person {
    /// An id that is called one, an email address, then other ids. The second choice is for rows without the first.
    fn of(sample: &Sample, shapes: &[Shape]) -> Person {
        let number = |at: &usize| names::person_id(&sample.columns[*at].name);
        let named =
            (0..shapes.len()).filter(|at| number(at).is_some() && sample.columns[*at].filled().next().is_some());
        let named = named.min_by_key(number);
        let filled = |at: &usize| sample.columns[*at].filled().count();
        // Of equally filled ones the first.
        let email = (0..shapes.len()).filter(|at| shapes[*at] == Shape::Email).rev().max_by_key(filled);
        let is_user_id = named.is_some_and(|at| number(&at) == Some(0));
        let mut columns: Vec<usize> =
            if is_user_id { vec![named, email] } else { vec![email, named] }.into_iter().flatten().collect();
        columns.truncate(2);
        Person { columns }
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
            self.columns.truncate(1);
        }
    }
}

impl Draft {
    pub(super) fn of(sample: &Sample) -> Draft {
        let shapes: Vec<Shape> = sample.columns.iter().map(shapes::of).collect();
        let FileName { pattern, words: file_words } = names::file_name(&sample.name);
        let mut person = Person::of(sample, &shapes);
        // A group is of one person, whichever column names it.
        let of_one = |group: &Group| group.lists.iter().all(|at| !person.columns.contains(at));
        let group = call::group(sample).filter(of_one);
        let call = call::guess(&file_words, sample, &shapes, !person.columns.is_empty());
        person.keep(&call, sample);
        let name = if file_words.is_empty() { "draft".to_owned() } else { ascii(&file_words) };
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
            message_id: message_id(sample, group.as_ref(), &call),
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

/// The words of a file's name as the name of a mapping.
fn ascii(file_words: &[String]) -> String {
    let name = file_words.join("-");
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    name.chars().take(60).collect()
}

/// The id prefix of the tool.
fn tool(file_words: &[String]) -> String {
    let first = file_words.iter().find(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    format!("{}-", first.map_or("tool", String::as_str))
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

fn event_column(sample: &Sample) -> Option<usize> {
    let is_event = |column: &Column| ["event", "eventname"].contains(&words(&column.name).concat().as_str());
    sample.columns.iter().position(is_event)
}

/// The column that a row must have, if some rows lack every column that names its person.
fn must_be_filled(sample: &Sample, person: &Person, group: Option<&Group>, call: &Call) -> Vec<String> {
    let needed: Vec<usize> = match call {
        Call::Object(_) => super::fields::object_id(sample).into_iter().collect(),
        _ => person.columns.clone(),
    };
    let [only] = needed[..] else { return Vec::new() };
    let column = &sample.columns[only];
    let key = group.map(|group| &sample.columns[group.column].cells);
    let is_first = |row: usize| row == 0 || key.is_none_or(|key| key[row] != key[row - 1]);
    let lacks = |row: usize| is_first(row) && !super::sample::is_filled(&column.cells[row]);
    if (0..sample.rows).any(lacks) { vec![column.name.clone()] } else { Vec::new() }
}

/// The column that numbers the rows, or the groups of rows. A person's row comes again with other cells, so there it is
/// only a proposal.
fn message_id(sample: &Sample, group: Option<&Group>, call: &Call) -> Option<(String, bool)> {
    let is_sure = *call == Call::Track;
    if matches!(call, Call::Object(_)) {
        return None;
    }
    let name = |at: usize| sample.columns[at].name.clone();
    if let Some(group) = group {
        return Some((name(group.column), is_sure));
    }
    let unique = (0..sample.columns.len()).filter(|at| sample.columns[*at].is_unique());
    let numbered = unique.filter(|at| names::is_code(&sample.columns[*at].name));
    numbered.map(name).next().map(|name| (name, is_sure))
}
