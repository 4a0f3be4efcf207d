//! A TOML document as a tree whose values know where they stand, and a reader of it for serde.
//!
//! A shape is declared by serde's derives. What does not fit the shape is a fault with its place; it is left out, and
//! reading goes on, so that one reading finds every fault.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, Step};
use crate::name::is_name;
use crate::near;

type Value<'i> = Spanned<DeValue<'i>>;

/// A document that is TOML.
#[derive(Debug)]
pub(crate) struct Tree<'i> {
    text: &'i str,
    root: Value<'i>,
}

impl<'i> Tree<'i> {
    /// Parses `text`.
    ///
    /// # Errors
    /// Every place that is not TOML.
    pub(crate) fn parse(text: &'i str) -> Result<Tree<'i>, Vec<Fault>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let span = table.span();
            return Ok(Tree { text, root: Spanned::new(span, DeValue::Table(table.into_inner())) });
        }
        let fault = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            Fault::at(place(text, at), &[], None, format!("not TOML: {}", error.message().replace('\n', ", ")))
        };
        let mut faults: Vec<Fault> = errors.iter().map(fault).collect();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        Err(faults)
    }

    /// Reads the document into its shape. What does not fit is reported to `faults` and left out.
    pub(crate) fn read<T: DeserializeOwned + Default>(&self, faults: &mut Vec<Fault>) -> T {
        let skipped = RefCell::new(BTreeSet::new());
        loop {
            let node = Node { value: &self.root, skipped: &skipped };
            match T::deserialize(node) {
                Ok(document) => return document,
                Err(error) => {
                    let at = error.at.unwrap_or_else(|| self.root.span());
                    let path = self.path_of(&at);
                    faults.push(Fault::at(place(self.text, at.start), &path, self.name_of(&path), error.what));
                    // What cannot be left out a second time leaves no document at all.
                    if !skipped.borrow_mut().insert((at.start, at.end)) {
                        return T::default();
                    }
                }
            }
        }
    }

    /// A fault of the value at `path`, at its place, or at that of the nearest table around it.
    pub(crate) fn fault(&self, path: &[Step], what: String) -> Fault {
        let at = place(self.text, self.value_at(path).0.span().start);
        Fault::at(at, path, self.name_of(path), what)
    }

    /// The name of the table of a list in which `path` ends, if it has one.
    fn name_of(&self, path: &[Step]) -> Option<&str> {
        let [table @ Step::Key(_), item @ Step::Item(_), ..] = path else { return None };
        let (value, passed) = self.value_at(&[table.clone(), item.clone(), Step::Key("name".to_owned())]);
        value.get_ref().as_str().filter(|name| passed == 3 && is_name(name))
    }

    /// The value at `path`, or the nearest table around it, and how many steps lead there.
    fn value_at(&self, path: &[Step]) -> (&Value<'i>, usize) {
        let mut at = &self.root;
        for (passed, step) in path.iter().enumerate() {
            let next = match (at.get_ref(), step) {
                (DeValue::Table(table), Step::Key(key)) => {
                    entries(table).find(|(name, _)| name.get_ref() == key).map(|(_, v)| v)
                }
                (DeValue::Array(items), Step::Item(index)) => items.get(*index),
                _ => None,
            };
            let Some(next) = next else { return (at, passed) };
            at = next;
        }
        (at, path.len())
    }

    /// The item of the list at `path` that is this text.
    pub(crate) fn position(&self, path: &[Step], text: &str) -> Option<usize> {
        let (value, passed) = self.value_at(path);
        match value.get_ref() {
            DeValue::Array(items) if passed == path.len() => {
                items.iter().position(|item| item.get_ref().as_str() == Some(text))
            }
            _ => None,
        }
    }

    /// The steps to the value or key that stands at `span`.
    fn path_of(&self, span: &Range<usize>) -> Vec<Step> {
        let mut path = Vec::new();
        walk(&self.root, span, &mut path);
        path
    }
}

fn walk(value: &Value<'_>, span: &Range<usize>, path: &mut Vec<Step>) -> bool {
    if value.span() == *span {
        return true;
    }
    match value.get_ref() {
        DeValue::Table(table) => entries(table).any(|(key, value)| {
            path.push(Step::Key(key.get_ref().to_string()));
            let found = key.span() == *span || walk(value, span, path);
            if !found {
                path.pop();
            }
            found
        }),
        DeValue::Array(items) => items.iter().enumerate().any(|(index, value)| {
            path.push(Step::Item(index));
            let found = walk(value, span, path);
            if !found {
                path.pop();
            }
            found
        }),
        _ => false,
    }
}

/// The entries of a table in the order of the document.
fn entries<'a, 'i>(table: &'a DeTable<'i>) -> impl Iterator<Item = (&'a Spanned<Cow<'i, str>>, &'a Value<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter()
}

/// Line and column, from 1, of a byte of the text.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[begin..]).chars().count() + 1;
    (line, column)
}

/// Why a value does not fit the shape. It never has the value itself.
#[derive(Debug)]
struct Error {
    what: String,
    at: Option<Range<usize>>,
}

impl Error {
    fn or_at(mut self, span: &Range<usize>) -> Error {
        self.at.get_or_insert_with(|| span.clone());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error { what: message.to_string(), at: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        match (found, expected.to_string().as_str()) {
            (Unexpected::Map, "a sequence") => de::Error::custom("is one table; write it with two brackets: [[…]]"),
            (_, "a string") => de::Error::custom(format_args!("is {}; write a text in quotes", named(found))),
            (_, "a boolean") => de::Error::custom(format_args!("is {}; write true or false", named(found))),
            (_, "a sequence") => de::Error::custom(format_args!("is {}; write a list: [\"…\", …]", named(found))),
            (_, "u32" | "u64") => de::Error::custom(format_args!("is {}; write a whole number from 0", named(found))),
            (_, expected) if expected.starts_with("struct ") => {
                de::Error::custom(format_args!("is {}; write a table", named(found)))
            }
            (_, expected) => de::Error::custom(format_args!("is {}; write {expected}", named(found))),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        match (found, expected.to_string().as_str()) {
            (Unexpected::Signed(0..) | Unexpected::Unsigned(_), "u32") => {
                de::Error::custom(format_args!("is too large; write at most {}", u32::MAX))
            }
            _ => de::Error::invalid_type(found, expected),
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Error {
        de::Error::custom(format_args!("is not known; write {}", near::list(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Error {
        let known = near::list(expected);
        match near::of(field, expected) {
            Some(near) => de::Error::custom(format_args!("is not known; is `{near}` meant? Known are {known}")),
            None => de::Error::custom(format_args!("is not known; known are {known}")),
        }
    }

    fn missing_field(field: &'static str) -> Error {
        de::Error::custom(format_args!("has no `{field}`"))
    }
}

fn named(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Signed(..0) => "a negative number",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

/// A value on its way to serde.
#[derive(Clone, Copy)]
struct Node<'a, 'i> {
    value: &'a Value<'i>,
    /// Values and keys that are left out, by their spans.
    skipped: &'a RefCell<BTreeSet<(usize, usize)>>,
}

impl Node<'_, '_> {
    fn skips(&self, span: &Range<usize>) -> bool {
        self.skipped.borrow().contains(&(span.start, span.end))
    }
}

impl<'de, 'a, 'i> de::Deserializer<'de> for Node<'a, 'i> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match self.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(de::Error::custom("is a number that is too large")),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => visitor.visit_f64(number),
                _ => Err(de::Error::custom("is a number that JSON does not have; write a finite number")),
            },
            DeValue::Datetime(time) => visitor.visit_string(time.to_string()),
            DeValue::Array(items) => {
                let items: Vec<_> = items.iter().filter(|item| !self.skips(&item.span())).collect();
                visitor.visit_seq(Items { node: self, items: items.into_iter() })
            }
            DeValue::Table(table) => {
                let kept = |(key, value): &(&Spanned<Cow<'_, str>>, &Value<'_>)| {
                    !self.skips(&key.span()) && !self.skips(&value.span())
                };
                let entries: Vec<_> = entries(table).filter(kept).collect();
                visitor.visit_map(Entries { node: self, entries: entries.into_iter(), value: None })
            }
        };
        result.map_err(|error| error.or_at(&self.value.span()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match self.value.get_ref() {
            DeValue::String(text) => {
                let word: StrDeserializer<'_, Error> = text.as_ref().into_deserializer();
                visitor.visit_enum(word)
            }
            _ => Err(de::Error::custom(format_args!("is not a text; write {}", near::list(variants)))),
        };
        result.map_err(|error| error.or_at(&self.value.span()))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a, 'i> {
    node: Node<'a, 'i>,
    items: std::vec::IntoIter<&'a Value<'i>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let error = |error: Error| error.or_at(&value.span());
        seed.deserialize(Node { value, ..self.node }).map(Some).map_err(error)
    }
}

struct Entries<'a, 'i> {
    node: Node<'a, 'i>,
    entries: std::vec::IntoIter<(&'a Spanned<Cow<'i, str>>, &'a Value<'i>)>,
    value: Option<&'a Value<'i>>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        let word: StrDeserializer<'_, Error> = key.get_ref().as_ref().into_deserializer();
        seed.deserialize(word).map(Some).map_err(|error| error.or_at(&key.span()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(value) = self.value.take() else {
            return Err(de::Error::custom("has no value"));
        };
        let error = |error: Error| error.or_at(&value.span());
        seed.deserialize(Node { value, ..self.node }).map_err(error)
    }
}
