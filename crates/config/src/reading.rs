//! How files are read: the same keys as settings of the environment, in `[reading]`, and in each `[[mapping]]`.

use calls::dialect::{Delimiter, Encoding, Escape, Measure, Quote, Quoting};
use calls::reading::{self as checks, EmptyCells, Reading, UnknownColumns};
use protocol::mapping::Rest;
use serde::Deserialize;

#[cfg(feature = "schema")]
use crate::document::OneOrManyTexts;
use crate::document::{DecimalWord, Fields, FilterTable, OneOrMany, Ordered};
use crate::environment::{Reader, flag};
use crate::settings::{DefaultValue as Value, Setting};

/// Declares the keys of reading once: as fields of two tables, and as settings.
macro_rules! reading {
    (
        $($field:ident: $type:ty = $name:ident $default:expr, $separator:literal, $meaning:literal;)*
        $(#[$attribute:meta])* pub(crate) struct $mapping:ident {
            $($(#[$own_attribute:meta])* pub(crate) $own:ident: $own_type:ty,)*
        }
    ) => {
        /// How files are read.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct ReadingTable {
            $(#[doc = $meaning] pub(crate) $field: Option<$type>,)*
        }

        $(#[$attribute])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $mapping {
            $($(#[$own_attribute])* pub(crate) $own: $own_type,)*
            $(#[doc = $meaning] pub(crate) $field: Option<$type>,)*
        }

        impl $mapping {
            /// The keys of reading that the mapping has.
            pub(crate) fn reading(&self) -> ReadingTable {
                ReadingTable { $($field: self.$field.clone(),)* }
            }
        }

        /// The settings of the environment, with the key of the document that means the same.
        static KEYS: &[(&Setting, &str)] = &[$((&$name, stringify!($field)),)*];

        crate::settings::settings! {
            /// How the ingester reads CSV.
            READING { $($name $default, $meaning;)* }
        }

        impl ReadingTable {
            /// The table that the environment describes.
            fn of_environment(reader: &mut Reader<'_>) -> ReadingTable {
                ReadingTable { $($field: FromSetting::read(reader, &$name, $separator),)* }
            }
        }
    };
}

reading! {
    encoding: String = CSV_ENCODING Value::Value("utf-8"), ' ', "the encoding of files without a byte order mark: any label of the [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels) but `iso-2022-jp`. `auto` recognises UTF-16 by its zero bytes. Of the lines in the first 256 KiB that are not ASCII, it counts those in valid UTF-8. If they are the majority, it takes UTF-8, and refuses rows that are not UTF-8. Otherwise it takes Windows-1252, with a warning. A rejects file that still has its name and its columns is read as UTF-8, unless a program saved it in another encoding.";
    delimiter: String = CSV_DELIMITER Value::Depends("from the header"), ' ', "`comma`, `semicolon`, `tab` or `pipe`";
    quote: String = CSV_QUOTE Value::Depends("from the file"), ' ', "the quote character around cells: `double` or `single`";
    escape: String = CSV_ESCAPE Value::Depends("from the file"), ' ', "how a quote inside a quoted cell is written: `doubled`, or after a `backslash`. By default the ingester finds quote and escape in the file. If one of them is set, the default of the other is that of RFC 4180.";
    nulls: Vec<String> = NULLS Value::None, ',', "cells that count as empty, in exactly these spellings, such as `NULL` and `\\N`. An environment variable separates them by commas.";
    id_nulls: Vec<String> = ID_NULLS Value::Value("\\N,NULL,null,#N/A,undefined,[object Object]"), ',', "cells that do not count as ids, in exactly these spellings, in addition to those of `NULLS`. An environment variable separates them by commas, and `off` means none.";
    collections: Vec<String> = COLLECTIONS Value::None, ',', "collections that the names of object files may contain. An environment variable separates them by commas.";
    timestamp_columns: Vec<String> = TIMESTAMP_COLUMNS Value::None, ',', "columns with timestamps, in addition to `timestamp` and `createdAt`: each by its whole name or the last part of it. An environment variable separates them by commas.";
    dates: Vec<String> = TIMESTAMP_FORMATS Value::None, ';', "strftime formats of timestamps, such as `%d/%m/%Y %H:%M`. The ingester tries them before ISO 8601. It refuses `%Q` (a zone by name), and `%I` without `%p`. An environment variable separates the formats by `;`.";
    zone: String = TIMESTAMP_ZONE Value::Value("UTC"), ' ', "the zone of times without one: `UTC`, a name such as `America/New_York`, or an offset such as `+02:00`";
    infer_types: bool = INFER_TYPES Value::Value("false"), ' ', "whether traits and properties that look like numbers or booleans are sent as numbers or booleans";
    empty_cells: String = EMPTY_CELLS Value::Value("omit"), ' ', "what an empty cell becomes: `omit`, `null`, or `empty` (`\"\"`, as Segment's walkthrough sends it)";
    unknown_columns: String = UNKNOWN_COLUMNS Value::Value("refuse"), ' ', "what happens to a file if Segment has no field for any of its columns with data. `refuse` stops it before its first row. `top` sends the columns at the top of each call.";

    /// How the columns of a CSV file of another tool become calls.
    pub(crate) struct MappingTable {
        /// Required. The mapping's name: letters, digits, `.`, `_` and `-`. Message ids that the mapping makes begin with it.
        pub(crate) name: Option<String>,
        /// Required. Globs on the whole key (upper and lower case count as the same): `hubspot/*.csv`,
        /// `**/orders_export*.csv`. `*` stops at a `/`, `**/` is any number of folders.
        #[cfg_attr(feature = "schema", schemars(with = "OneOrManyTexts"))]
        pub(crate) r#match: OneOrMany<String>,
        /// Whether later mappings may match the same file too, so that one file feeds several calls. Default: `false`.
        pub(crate) also: bool,
        /// The call that every row becomes: `identify`, `track`, `page`, `screen`, `group` or `alias`.
        pub(crate) call: Option<String>,
        /// Instead of `call`: the collection of the Objects API. Every row becomes an object in it.
        pub(crate) object: Option<String>,
        /// The name of the `[[source]]` that the calls go to. Default: the source that matches the key.
        pub(crate) source: Option<String>,
        /// The number of lines before the header, which the ingester skips. Default: 0.
        pub(crate) skip_lines: Option<u32>,
        /// How numbers are written: `point` (`1234.56`) or `comma` (`1.234,56`; misplaced points are refused). `.` and `,`
        /// mean the same. Default: `point`.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("enum" = [".", ",", "point", "comma"])))]
        pub(crate) decimal: Option<DecimalWord>,
        /// Constants: paths and their values, in every call.
        #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, serde_json::Value>"))]
        pub(crate) set: Ordered<serde_json::Value>,
        /// The columns and the fields that they go to. If several columns go to one field, the first filled cell wins.
        /// The second column of a name is `Name#2`.
        #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, crate::schema::Column>"))]
        pub(crate) columns: Ordered<Fields>,
        /// What happens to columns that are not named. `traits` and `properties` send them under their names, `drop` does
        /// not send them, `refuse` refuses the file. Default: `refuse`.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("enum" = ["traits", "properties", "drop", "refuse"])))]
        pub(crate) rest: Rest,
        /// Conditions on columns. The ingester skips and counts the rows that do not meet all of them.
        #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, FilterTable>"))]
        pub(crate) r#where: Ordered<FilterTable>,
        /// Columns that identify a row. The message id is made of their cells, so a later export of the same row repeats it.
        pub(crate) message_id: Option<Vec<String>>,
        /// A column. Adjacent rows with the same cell in it become one call, at most 1,000 rows. A row whose cell counts as
        /// empty is a call of its own.
        pub(crate) group: Option<String>,
    }
}

/// A value as an environment variable writes it.
trait FromSetting: Sized {
    fn read(reader: &mut Reader<'_>, setting: &Setting, separator: char) -> Option<Self>;
}

impl FromSetting for String {
    fn read(reader: &mut Reader<'_>, setting: &Setting, _: char) -> Option<String> {
        reader.raw(setting)
    }
}

impl FromSetting for Vec<String> {
    fn read(reader: &mut Reader<'_>, setting: &Setting, separator: char) -> Option<Vec<String>> {
        let text = reader.optional(setting)?;
        if text == "off" {
            return Some(Vec::new());
        }
        Some(text.split(separator).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
    }
}

impl FromSetting for bool {
    fn read(reader: &mut Reader<'_>, setting: &Setting, _: char) -> Option<bool> {
        let text = reader.optional(setting)?;
        let value = flag(&text);
        if value.is_none() {
            reader.fault(setting, format_args!("is {text:?}; write true or false"));
        }
        value
    }
}

/// The reading that the environment describes. Faults go to `reader`.
pub fn of_environment(reader: &mut Reader<'_>) -> Reading {
    let table = ReadingTable::of_environment(reader);
    table.over(&Reading::default(), &mut |key, what| {
        if let Some((setting, _)) = KEYS.iter().find(|(_, name)| *name == key) {
            reader.fault(setting, what);
        }
    })
}

impl ReadingTable {
    /// The reading with this table's keys in place of `base`'s. A fault leaves the key as it is in `base`.
    pub(crate) fn over(&self, base: &Reading, fault: &mut dyn FnMut(&'static str, String)) -> Reading {
        let mut reading = base.clone();
        self.lists(&mut reading, fault);
        if let Some(infer_types) = self.infer_types {
            reading.infer_types = infer_types;
        }
        match self.empty_cells.as_deref().map(word).as_deref() {
            None => {}
            Some("omit") => reading.empty_cells = EmptyCells::Omit,
            Some("null") => reading.empty_cells = EmptyCells::Null,
            Some("empty") => reading.empty_cells = EmptyCells::Empty,
            Some(_) => fault("empty_cells", "is not known; write omit, null or empty".to_owned()),
        }
        match self.unknown_columns.as_deref().map(word).as_deref() {
            None => {}
            Some("refuse") => reading.unknown_columns = UnknownColumns::Refuse,
            Some("top") => reading.unknown_columns = UnknownColumns::Top,
            Some(_) => fault("unknown_columns", "is not known; write refuse or top".to_owned()),
        }
        if let Some(zone) = self.zone.as_deref().map(str::trim) {
            if checks::is_zone(zone) {
                reading.timestamp_zone = Some(zone.to_owned());
            } else {
                let words =
                    "is not a time zone; write UTC, a name such as America/New_York, or an offset such as +02:00";
                fault("zone", words.to_owned());
            }
        }
        self.bytes(&mut reading, fault);
        reading
    }

    fn lists(&self, reading: &mut Reading, fault: &mut dyn FnMut(&'static str, String)) {
        let take = |list: &mut Vec<String>, set: &Option<Vec<String>>| {
            if let Some(set) = set {
                list.clone_from(set);
            }
        };
        take(&mut reading.nulls, &self.nulls);
        take(&mut reading.collections, &self.collections);
        take(&mut reading.timestamp_columns, &self.timestamp_columns);
        take(&mut reading.timestamp_formats, &self.dates);
        if self.id_nulls.is_some() {
            reading.id_nulls.clone_from(&self.id_nulls);
        }
        // An item is named by its place, never by its value.
        for (name, number) in self.collections.iter().flatten().zip(1..) {
            checks::collection_fault(name)
                .into_iter()
                .for_each(|what| fault("collections", format!("{number} {what}")));
        }
        for (format, number) in self.dates.iter().flatten().zip(1..) {
            checks::format_fault(format).into_iter().for_each(|what| fault("dates", format!("{number} {what}")));
        }
        reading.timestamp_formats.retain(|format| checks::format_fault(format).is_none());
    }

    /// Encoding, delimiter and quotes, and whether they go together.
    fn bytes(&self, reading: &mut Reading, fault: &mut dyn FnMut(&'static str, String)) {
        reading.quoting = self.quoting(reading.quoting, fault);
        if let Some(label) = &self.encoding {
            reading.encoding_auto = label.trim().eq_ignore_ascii_case("auto");
            reading.encoding = Encoding::named(label);
            if reading.encoding.is_none() && !reading.encoding_auto {
                let words =
                    "cannot be read; write auto, or an encoding such as utf-8, utf-16le, windows-1252 or shift_jis";
                fault("encoding", words.to_owned());
            }
        }
        if let Some(delimiter) = &self.delimiter {
            reading.delimiter = Delimiter::named(delimiter);
            if reading.delimiter.is_none() {
                fault("delimiter", "is not a delimiter; write comma, semicolon, tab or pipe".to_owned());
            }
        }
        if let (Some(encoding), Some(delimiter)) = (reading.encoding, reading.delimiter)
            && encoding.may_hide(delimiter)
        {
            fault(
                "delimiter",
                format!("is `{delimiter}`, which is part of characters in {encoding}; write the files in UTF-8"),
            );
        }
        if let (Some(encoding), Some(Quoting { escape: Escape::Backslash, .. })) = (reading.encoding, reading.quoting)
            && encoding.may_hide_backslash()
        {
            fault(
                "escape",
                format!("is a backslash, which is part of characters in {encoding}; write the files in UTF-8"),
            );
        }
    }

    fn quoting(&self, base: Option<Quoting>, fault: &mut dyn FnMut(&'static str, String)) -> Option<Quoting> {
        if self.quote.is_none() && self.escape.is_none() {
            return base;
        }
        let mut quoting = base.unwrap_or_default();
        match self.quote.as_deref().map(word).as_deref() {
            None => {}
            Some("double" | "\"") => quoting.quote = Quote::Double,
            Some("single" | "'") => quoting.quote = Quote::Single,
            Some(_) => fault("quote", "is not known; write double or single".to_owned()),
        }
        match self.escape.as_deref().map(word).as_deref() {
            None => {}
            Some("doubled") => quoting.escape = Escape::Doubled,
            Some("backslash" | "\\") => quoting.escape = Escape::Backslash,
            Some(_) => fault("escape", "is not known; write doubled or backslash".to_owned()),
        }
        Some(quoting)
    }
}

fn word(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_about_mapped_files_name_the_keys_of_the_document() {
        let named: Vec<_> =
            KEYS.iter().filter_map(|(setting, key)| Some((*key, checks::key_of(setting.name)?))).collect();
        assert!(named.len() >= 10 && named.iter().all(|(key, said)| key == said), "{named:?}");
    }
}
