//! How a file is written down: compression, encoding, delimiter. Recognised from its first bytes
//! and its header, or set.

pub use protocol::reading::{Compression, Delimiter, Dialect, Encoding, Escape, Quote, Quoting, StoredHeader};

use crate::rows::Splitter;

/// What the encoding of a file means for the places of its records.
pub trait Measure {
    /// Whether `delimiter` can be the second byte of a character, as `|` can in Shift_JIS.
    fn may_hide(self, delimiter: Delimiter) -> bool;

    /// Whether a backslash can be the second byte of a character, as it can in Shift_JIS.
    fn may_hide_backslash(self) -> bool;

    /// How many bytes of the source a line end or any other ASCII byte was.
    fn ascii_bytes(self) -> u64;

    /// How many bytes of the source `text` was, `text` being what this encoding is searched for
    /// records in.
    fn source_bytes(self, text: &[u8]) -> u64;
}

impl Measure for Encoding {
    fn may_hide(self, delimiter: Delimiter) -> bool {
        match self {
            Encoding::Legacy(charset) => delimiter == Delimiter::Pipe && !charset.is_single_byte(),
            _ => false,
        }
    }

    fn may_hide_backslash(self) -> bool {
        matches!(self, Encoding::Legacy(charset) if !charset.is_single_byte())
    }

    fn ascii_bytes(self) -> u64 {
        match self {
            Encoding::Utf8 | Encoding::Legacy(_) => 1,
            Encoding::Utf16Le | Encoding::Utf16Be => 2,
        }
    }

    fn source_bytes(self, text: &[u8]) -> u64 {
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

/// The delimiter of the header that `text` begins with: the one that makes most columns of it,
/// any that makes one of the `wanted` columns before all others. A header of one column has a
/// comma.
///
/// `None` when the header does not end in `text` under every one of them, and `last` does not say
/// that nothing more will come.
pub(crate) fn delimiter_of_header(text: &[u8], last: bool, wanted: &[&str]) -> Option<Delimiter> {
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

/// The files that people mistake for CSV, by how they begin. None of the beginnings can be that of a
/// header: each holds a byte that no text has, or such a byte has to follow soon.
pub(crate) fn foreign(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 17] = [
        (b"\xD0\xCF\x11\xE0", "an old Excel workbook (.xls): save it as CSV"),
        (b"Obj\x01", "an Avro file: export it as CSV"),
        (b"crc\0", "a checksum of another file (.crc): leave it out"),
        (b"SQLite format 3\0", "a SQLite database: export the table as CSV"),
        (b"ARROW1\0", "an Arrow file: export it as CSV"),
        (b"PK\x05\x06", "an empty zip archive: there is no CSV in it"),
        (b"PK\x07\x08", "a zip archive in several parts: take the CSV out of it and upload that"),
        (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive: take the CSV out of it and upload that"),
        (b"Rar!\x1A\x07", "a RAR archive: take the CSV out of it and upload that"),
        (b"\xFD7zXZ\0", "compressed with xz: use gzip or zstd"),
        (b"\x1F\x9D", "compressed with compress: use gzip or zstd"),
        (b"\x04\x22\x4D\x18", "compressed with lz4: use gzip or zstd"),
        (b"\xFF\x06\0\0sNaPpY", "compressed with snappy: use gzip or zstd"),
        (b"\x82SNAPPY\0", "compressed with snappy: use gzip or zstd"),
        (b"\xFF\xFF\xFF\xFF", "a stream of Arrow: export it as CSV"),
        // Only behind a compression that has been recognised and undone.
        (b"\x1F\x8B", "compressed twice: compress it once"),
        (b"\x28\xB5\x2F\xFD", "compressed twice: compress it once"),
    ];
    // These begin as a text may.
    const WORDS: [(&[u8], &str); 3] = [
        (b"PAR1", "a Parquet file: export it as CSV"),
        (b"PARE", "an encrypted Parquet file: export it as CSV"),
        (b"ORC", "an ORC file: export it as CSV"),
    ];
    if let Some(entry) = start.strip_prefix(b"PK\x03\x04") {
        return Some(archive(entry));
    }
    if is_pdf(start) {
        return Some("a PDF");
    }
    // bzip2 says its block size before what makes it recognisable.
    if let [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] = start {
        return Some("compressed with bzip2: use gzip or zstd");
    }
    if is_pgp(start) {
        return Some("encrypted with PGP: decrypt it first");
    }
    if let [b'x', 0x01 | 0x5E | 0x9C | 0xDA, stream @ ..] = start
        && is_binary(stream, ZLIB_BYTES)
    {
        return Some("compressed with zlib: use gzip or zstd");
    }
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
    let word =
        || WORDS.iter().find(|(word, _)| start.strip_prefix(*word).is_some_and(|next| is_binary(next, WORD_BYTES)));
    known.or_else(word).map(|(_, what)| *what)
}

/// What a zip archive is, by the name of its first entry.
fn archive(entry: &[u8]) -> &'static str {
    const NAME_AT: usize = 26;
    let name = entry.get(NAME_AT..).unwrap_or_default();
    let workbook = [&b"[Content_Types].xml"[..], b"xl/", b"_rels/", b"docProps/", b"mimetype"];
    if workbook.iter().any(|part| name.starts_with(part)) {
        "an Excel workbook (.xlsx) or another spreadsheet: save it as CSV"
    } else {
        "a zip archive: take the CSV out of it, compress it with gzip if you like, and upload that"
    }
}

/// Bytes after a word that are examined.
const WORD_BYTES: usize = 8;

/// So much behind the two bytes that begin a zlib stream is looked at. One of ten random bytes is a control byte that no
/// text has.
const ZLIB_BYTES: usize = 64;

/// Whether a control byte that no text has is among the next `bytes`.
fn is_binary(next: &[u8], bytes: usize) -> bool {
    next.iter().take(bytes).any(|byte| matches!(byte, 0..=8 | 0x0E..=0x1A | 0x1C..=0x1E))
}

/// A packet with a key of a session, in either form of its head: its version is a control byte that no text has.
fn is_pgp(start: &[u8]) -> bool {
    matches!(
        start,
        [0x84, _, 3, ..]
            | [0x85, _, _, 3, ..]
            | [0x8C, _, 4, ..]
            | [0xC1, 0..0xC0, 3 | 6, ..]
            | [0xC1, 0xC0..0xE0, _, 3 | 6, ..]
            | [0xC3, _, 4..=6, ..]
    )
}

/// The version of a PDF is the rest of its first line.
fn is_pdf(start: &[u8]) -> bool {
    matches!(start.strip_prefix(b"%PDF-"), Some([b'0'..=b'9', b'.', b'0'..=b'9', b'\n' | b'\r' | b' ' | b'%', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_begins_like_another_file_is_a_header() {
        for text in
            ["PAR1,userId\n", "PAR1\nuserId\n", "%PDF-views,userId\n", "ORC\nuserId", "1AY&SY,userId", "xÜ,userId"]
        {
            assert_eq!(foreign(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_message_about_another_file_format_names_it() {
        for (start, word) in [
            (&b"PAR1\x15\x04\x15"[..], "Parquet"),
            (b"%PDF-1.4\n%\xE2", "PDF"),
            (b"ORC\n\x0B\n\x03\0", "ORC"),
            (b"BZh91AY&SY\x12", "bzip2"),
            (b"x\x9C\x4B\0\x02", "zlib"),
            (b"x\x01\x01\x05\0", "zlib"),
            (b"x^K\x04\0", "zlib"),
            (b"PARE\x15\x04\x15", "encrypted Parquet"),
            (b"\xFF\xFF\xFF\xFF\x10\x01\0\0", "Arrow"),
            (b"\x82SNAPPY\0\0\0\0\x01", "snappy"),
            (b"\x85\x01\x0C\x03\x8A", "PGP"),
            (b"\x8C\x0D\x04\x09", "PGP"),
            (b"\xC1\xC0\x4C\x03", "PGP"),
            (b"PK\x05\x06\0\0", "zip"),
            (b"PK\x07\x08PK\x03\x04", "zip"),
            (b"SQLite format 3\0\x10", "SQLite"),
            (b"7z\xBC\xAF\x27\x1C\0", "7-Zip"),
            (b"Rar!\x1A\x07\x01\0", "RAR"),
        ] {
            assert!(foreign(start).is_some_and(|what| what.contains(word)), "{word}");
        }
    }
}
