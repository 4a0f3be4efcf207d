//! How a file is written down: compression, encoding, delimiter. Recognised from its first bytes
//! and its header, or set.

use std::fmt;

use encoding_rs::Encoding as Charset;
use serde::{Deserialize, Serialize};

use crate::refusal::Position;
use crate::rows::Splitter;

/// How the source is compressed. Its first bytes say it; the name is not asked, because `.gz` is
/// missing where it should stand and stands where it should not (S3 clients inflate and keep names).
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
/// There are three ways to read one. UTF-8 is read as it stands. UTF-16 becomes UTF-8 before
/// records are looked for. Every other encoding keeps ASCII where it is, so records are found in
/// the bytes as they are and each is transcoded on its own; positions need no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, with or without BOM.
    Utf8,
    /// UTF-16, little-endian: what Excel calls "Unicode text".
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// An encoding that ASCII is part of, such as Windows-1252 or Shift_JIS.
    Legacy(&'static Charset),
}

impl Encoding {
    /// The encoding of that name, by the labels of the WHATWG Encoding Standard (`latin1`,
    /// `windows-1252`, `shift_jis`, …), or `None` when there is none or it cannot be read here.
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

    /// Whether `delimiter` can be the second byte of a character, as `|` can in Shift_JIS.
    pub(crate) fn may_hide(self, delimiter: Delimiter) -> bool {
        match self {
            Encoding::Legacy(charset) => delimiter == Delimiter::Pipe && !charset.is_single_byte(),
            _ => false,
        }
    }

    /// How many bytes of the source a line end or any other ASCII byte was.
    pub(crate) fn ascii_bytes(self) -> u64 {
        match self {
            Encoding::Utf8 | Encoding::Legacy(_) => 1,
            Encoding::Utf16Le | Encoding::Utf16Be => 2,
        }
    }

    /// How many bytes of the source `text` was, `text` being what this encoding is searched for
    /// records in.
    pub(crate) fn source_bytes(self, text: &[u8]) -> u64 {
        match self {
            Encoding::Utf8 | Encoding::Legacy(_) => text.len() as u64,
            // One unit for each character, two beyond the basic plane; a lone unit became one 0xFF.
            Encoding::Utf16Le | Encoding::Utf16Be => text
                .iter()
                .map(|&byte| match byte {
                    0x80..=0xBF => 0,
                    0xF0..=0xF7 => 4,
                    _ => 2,
                })
                .sum(),
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

/// What stands between two cells.
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

    /// The delimiter of the header that `text` begins with: the one that makes most columns of it,
    /// any that makes one of the `wanted` columns before all others. A header of one column has a
    /// comma.
    ///
    /// `None` when the header does not end in `text` under every one of them, and `last` does not say
    /// that nothing more will come.
    pub(crate) fn of_header(text: &[u8], last: bool, wanted: &[&str]) -> Option<Delimiter> {
        let mut best = (false, 1, Delimiter::Comma);
        let mut scratch = Vec::new();
        for delimiter in Delimiter::ALL {
            let mut splitter = Splitter::new(delimiter.byte());
            if !splitter.split_first(text) && !last {
                return None;
            }
            let cells = splitter.cells();
            let knows = cells.iter().any(|cell| {
                let name = cell.value(text, &mut scratch).trim_ascii();
                wanted.iter().any(|wanted| wanted.as_bytes() == name)
            });
            if (knows, cells.len()) > (best.0, best.1) {
                best = (knows, cells.len(), delimiter);
            }
        }
        Some(best.2)
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

/// How one file is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// How it is compressed.
    pub compression: Compression,
    /// How its text is encoded.
    pub encoding: Encoding,
    /// Whether a byte order mark stands before the text.
    pub bom: bool,
    /// What stands between its cells.
    pub delimiter: Delimiter,
}

/// What the rows of a file are read by: its header and how the file is written down. A checkpoint
/// keeps it, so that reading can go on anywhere ([`Translator::resume`](crate::translator::Translator::resume)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeader {
    /// How the file is written down.
    pub dialect: Dialect,
    /// The header's record as it stands, in UTF-8, without its line end.
    pub text: String,
    /// Where the rows begin.
    pub rows_from: Position,
    /// The plan's fingerprint ([`Plan::fingerprint`](crate::columns::Plan::fingerprint)): rows read under another one are not
    /// read alike.
    pub fingerprint: String,
}

/// The files that people mistake for CSV, by how they begin. None of the beginnings can be that of a
/// header, and none holds a line end, so the answer does not hang on how much of the file is there.
pub(crate) fn foreign(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 10] = [
        (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx): save it as CSV"),
        (b"\xD0\xCF\x11\xE0", "an old Excel workbook (.xls): save it as CSV"),
        (b"PAR1\x15", "a Parquet file: export it as CSV"),
        (b"Obj\x01", "an Avro file: export it as CSV"),
        (b"%PDF-", "a PDF"),
        (b"\x31AY&SY", "compressed with bzip2: use gzip or zstd"),
        (b"\xFD7zXZ\0", "compressed with xz: use gzip or zstd"),
        (b"\x1F\x9D", "compressed with compress: use gzip or zstd"),
        // Only behind a compression that has been recognised and undone.
        (b"\x1F\x8B", "compressed twice: compress it once"),
        (b"\x28\xB5\x2F\xFD", "compressed twice: compress it once"),
    ];
    // bzip2 says its block size before what makes it recognisable.
    let start = match start {
        [b'B', b'Z', b'h', b'1'..=b'9', block @ ..] => block,
        _ => start,
    };
    KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what)
}
