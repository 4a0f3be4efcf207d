//! The document's JSON schema, for editors, and the tables of `docs/configuration.md`.

use std::fmt::Write as _;

use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{Deserializer, Visitor};
use serde_json::Value;

use crate::document::{DestinationTable, Document, FieldTable, FilterTable, SourceTable};
use crate::reading::{MappingTable, ReadingTable};

/// A path, a table, or a list of either.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Column {
    Path(String),
    Table(Box<FieldTable>),
    List(Vec<PathOrTable>),
}

/// Characters, or a table of characters and a side.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Strip {
    Characters(String),
    Table { characters: String, side: Side },
}

/// An end of a cell.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Side {
    Both,
    Left,
    Right,
}

/// A path or a table.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum PathOrTable {
    Path(String),
    Table(Box<FieldTable>),
}

/// The JSON schema of `segment-s3.toml`.
#[must_use]
pub fn json() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<Document>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "segment-s3.toml".into());
    }
    schema
}

/// A table in Markdown for each table of the document: the keys, their types and their meanings.
#[must_use]
pub fn markdown() -> String {
    let reading = keys::<ReadingTable>();
    let mut text = String::new();
    table::<ReadingTable>(&mut text, "`[reading]`", &[]);
    table::<SourceTable>(&mut text, "`[[source]]`", &[]);
    table::<MappingTable>(&mut text, "`[[mapping]]`", &reading);
    let words: Vec<String> = reading.iter().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(text, "A mapping has the keys of `[reading]` too, for its own files: {}.\n", words.join(", "));
    table::<FieldTable>(&mut text, "A field of a column", &[]);
    table::<FilterTable>(&mut text, "A condition of `where`", &[]);
    table::<DestinationTable>(&mut text, "`[[destination]]`", &[]);
    text
}

/// The keys of each table, in the order of their declaration.
#[must_use]
pub fn keys_of_tables() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        ("reading", keys::<ReadingTable>()),
        ("source", keys::<SourceTable>()),
        ("mapping", keys::<MappingTable>()),
        ("field", keys::<FieldTable>()),
        ("filter", keys::<FilterTable>()),
        ("destination", keys::<DestinationTable>()),
    ]
}

/// The keys of a table, in the order of their declaration.
fn keys<T: for<'de> Deserialize<'de>>() -> Vec<&'static str> {
    struct Asked<'a>(&'a mut Vec<&'static str>);
    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut keys = Vec::new();
    let _ = T::deserialize(Asked(&mut keys));
    keys
}

fn table<T: JsonSchema + for<'de> Deserialize<'de>>(text: &mut String, title: &str, but: &[&str]) {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let description = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    let _ = writeln!(text, "## {title}\n\n{description}\n\n| key | type | meaning |\n|---|---|---|");
    for name in keys::<T>().iter().filter(|name| !but.contains(name)) {
        let property = &schema["properties"][name];
        let meaning = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| `{name}` | {} | {} |", kind(property), sentence(meaning));
    }
    text.push('\n');
}

/// A meaning as a sentence of a table.
fn sentence(meaning: &str) -> String {
    let meaning = meaning.replace('\n', " ").replace('|', "\\|");
    let mut chars = meaning.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if meaning.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// The type of a key in a word.
fn kind(property: &Value) -> String {
    if let Some(words) = property["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).filter(|word| word.len() > 1);
        return words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let types = match &property["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|word| *word != "null"),
        Value::String(one) => Some(one.as_str()),
        _ => None,
    };
    match types {
        Some("string") => "text".to_owned(),
        Some("array") => "list of texts".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("object") => "table".to_owned(),
        _ if property["anyOf"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["type"] == "array")) => {
            "text or list of texts".to_owned()
        }
        _ => "text or table".to_owned(),
    }
}
