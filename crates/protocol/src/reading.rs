//! How a file is read, as plain data: the settings, and the dialect of the file.
//!
//! The crate `calls` recognises and reads; a checkpoint keeps these values, so that a file is read to its end as it was
//! begun.

use std::fmt;

use encoding_rs::Encoding as Charset;
use serde::{Deserialize, Serialize};

use crate::mapping::Mapping;
use crate::position::Position;

/// The value of an empty cell in a trait, a property or another optional column. Ids, `event`, `name`, `category` and
/// the timestamp are always omitted when empty, since Segment refuses them so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyCells {
    /// The key is left out.
    #[default]
    Omit,
    /// The key is `null`.
    Null,
    /// The value is `""`, as in the walkthrough (`null` in a column that is not text).
    Empty,
}

/// What is done with a file of which no column with data has a field of Segment's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownColumns {
    /// It is refused before its first row: its calls would arrive, and nothing of use in them.
    #[default]
    Refuse,
    /// It is sent, with the columns at the top of each call.
    Top,
}

impl UnknownColumns {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_refuse(&self) -> bool {
        *self == UnknownColumns::Refuse
    }
}

/// How CSV files are read. A checkpoint keeps it: a file is read to its end as it was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// `COLLECTIONS`: collections to be recognised in names of object files.
    pub collections: Vec<String>,
    /// `TIMESTAMP_COLUMNS`: further columns to read as timestamps, by the whole name or its last part. `timestamp` and
    /// `createdAt` are always read so.
    pub timestamp_columns: Vec<String>,
    /// `TIMESTAMP_FORMATS`: strftime formats, tried before ISO 8601 and Unix time.
    pub timestamp_formats: Vec<String>,
    /// `INFER_TYPES`: whether numbers and booleans are recognised in traits and properties.
    pub infer_types: bool,
    /// `EMPTY_CELLS`: what an empty cell becomes.
    pub empty_cells: EmptyCells,
    /// `UNKNOWN_COLUMNS`: what is done with a file of columns that Segment has no field for.
    #[serde(skip_serializing_if = "UnknownColumns::is_refuse")]
    pub unknown_columns: UnknownColumns,
    /// `TIMESTAMP_ZONE`: the zone of times without one, by its name or its offset; `None` is UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_zone: Option<String>,
    /// `NULLS`: cells that count as empty, in exactly these spellings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// `ID_NULLS`: cells that are not ids, in exactly these spellings; `None` means the documented list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_nulls: Option<Vec<String>>,
    /// `CSV_ENCODING`: the encoding of files without a byte order mark; `None` is UTF-8.
    pub encoding: Option<Encoding>,
    /// `CSV_ENCODING=auto`: whether the encoding is found out from the beginning of each file.
    #[serde(skip_serializing_if = "is_false")]
    pub encoding_auto: bool,
    /// `CSV_QUOTE`, `CSV_ESCAPE`: how cells are quoted; `None` means RFC 4180, or the quoting at the beginning of a
    /// file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// `CSV_DELIMITER`: the delimiter; `None` reads it from each header.
    pub delimiter: Option<Delimiter>,
    /// Lines before the header that are passed over.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_lines: u32,
    /// The mapping that the file's columns are read by; `None`: its header names Segment's fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Box<Mapping>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_rfc4180(quoting: &Quoting) -> bool {
    quoting.is_rfc4180()
}

/// The character that stands around a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quote {
    /// `"`
    #[default]
    Double,
    /// `'`, only where it is set.
    Single,
}

impl Quote {
    /// The quote as it stands in the text.
    pub const fn byte(self) -> u8 {
        match self {
            Quote::Double => b'"',
            Quote::Single => b'\'',
        }
    }
}

/// How a quote stands within quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escape {
    /// Doubled, as RFC 4180 has it.
    #[default]
    Doubled,
    /// Behind a backslash, as MySQL and Spark write it. A backslash also stands before a backslash, a delimiter and a
    /// line end, within quotes and without.
    Backslash,
}

/// How cells are quoted. The default is RFC 4180.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quoting {
    /// The character around a cell.
    pub quote: Quote,
    /// How a quote stands within quotes.
    pub escape: Escape,
    /// Whether blanks around the quotes are ignored.
    pub spaced: bool,
    /// Whether a row that is one quoted cell is opened and read as a row of its own.
    pub lines: bool,
}

impl Quoting {
    /// Whether this is RFC 4180.
    pub fn is_rfc4180(self) -> bool {
        self == Quoting::default()
    }
}

impl fmt::Display for Quoting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_rfc4180() {
            return f.write_str("RFC 4180");
        }
        let parts = [
            (self.quote == Quote::Single, "single quotes"),
            (self.escape == Escape::Backslash, "backslash escapes"),
            (self.spaced, "blanks around quotes"),
            (self.lines, "whole lines in quotes"),
        ];
        let parts: Vec<&str> = parts.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(&parts.join(" and "))
    }
}

/// How one file is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// How it is compressed.
    pub compression: Compression,
    /// How its text is encoded.
    pub encoding: Encoding,
    /// Whether a byte order mark stands before the text.
    pub bom: bool,
    /// The delimiter between its cells.
    pub delimiter: Delimiter,
    /// How its cells are quoted.
    #[serde(default, skip_serializing_if = "is_rfc4180")]
    pub quoting: Quoting,
}

/// How the source is compressed. The first bytes decide, not the name. S3 clients inflate files and keep `.gz`, or
/// leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// The encoding of the text.
///
/// There are three ways to read one. UTF-8 is read as it stands. UTF-16 becomes UTF-8 before records are looked for.
/// Every other encoding keeps ASCII bytes. So records are found in the original bytes, each is transcoded alone, and
/// positions need no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without BOM.
    Utf8,
    /// UTF-16, little-endian: Excel's "Unicode text".
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// An encoding that ASCII is part of, such as Windows-1252 or Shift_JIS.
    Legacy(&'static Charset),
}

impl Encoding {
    /// The encoding of that name, by the labels of the WHATWG Encoding Standard (`latin1`, `windows-1252`, `shift_jis`,
    /// …). `None` if the name is unknown or the encoding is not supported.
    pub fn named(label: &str) -> Option<Encoding> {
        let charset = Charset::for_label_no_replacement(label.trim().as_bytes())?;
        if charset == encoding_rs::UTF_8 {
            Some(Encoding::Utf8)
        } else if charset == encoding_rs::UTF_16LE {
            Some(Encoding::Utf16Le)
        } else if charset == encoding_rs::UTF_16BE {
            Some(Encoding::Utf16Be)
        } else if charset.is_ascii_compatible() {
            Some(Encoding::Legacy(charset))
        } else {
            // ISO-2022-JP: shifts in and out of ASCII, so a comma may be half of a character.
            None
        }
    }

    /// The encoding's name in the Encoding Standard.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16Le => "UTF-16LE",
            Encoding::Utf16Be => "UTF-16BE",
            Encoding::Legacy(charset) => charset.name(),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Encoding, D::Error> {
        let name = String::deserialize(deserializer)?;
        Encoding::named(&name).ok_or_else(|| serde::de::Error::custom(format!("no readable encoding `{name}`")))
    }
}

/// The delimiter between two cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`, which spreadsheets write where the comma is the decimal mark.
    Semicolon,
    /// A tab.
    Tab,
    /// `|`
    Pipe,
}

impl Delimiter {
    /// Every delimiter, the likeliest first.
    pub const ALL: [Delimiter; 4] = [Delimiter::Comma, Delimiter::Semicolon, Delimiter::Tab, Delimiter::Pipe];

    /// The delimiter as it stands in the text.
    pub const fn byte(self) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
            Delimiter::Pipe => b'|',
        }
    }

    /// The delimiter written as itself, or by its name (`comma`, `semicolon`, `tab`, `pipe`, `\t`).
    pub fn named(text: &str) -> Option<Delimiter> {
        match text.trim_matches(' ').to_ascii_lowercase().as_str() {
            "," | "comma" => Some(Delimiter::Comma),
            ";" | "semicolon" => Some(Delimiter::Semicolon),
            "\t" | "\\t" | "tab" => Some(Delimiter::Tab),
            "|" | "pipe" => Some(Delimiter::Pipe),
            _ => None,
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delimiter::Comma => ",",
            Delimiter::Semicolon => ";",
            Delimiter::Tab => "tab",
            Delimiter::Pipe => "|",
        })
    }
}

/// The header of a file and its dialect, by which its rows are read. A checkpoint keeps it, so that reading can resume
/// anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeader {
    /// How the file is written down.
    pub dialect: Dialect,
    /// The header's record in UTF-8, without its line end: as it stands where the file is quoted by RFC 4180, else
    /// rewritten so.
    pub text: String,
    /// Where the rows begin.
    pub rows_from: Position,
    /// The fingerprint of the plan that the header was compiled to: rows read under another one are not read alike.
    pub fingerprint: String,
    /// Warnings about the dialect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Something about a column, or about how the file is written down, that its owner should know: said once for the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The column, by its name in the header; empty when it is about the file.
    pub column: String,
    /// The problem and the fix.
    pub message: String,
}
