//! How a file is written down: compression, encoding, delimiter. Recognised from its first bytes
//! and its header, or set.

pub use protocol::reading::{Compression, Delimiter, Dialect, Encoding, Escape, Quote, Quoting, StoredHeader};

use crate::rows::Splitter;

/// What the encoding of a file means for the places of its records.
pub(crate) trait Measure {
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
/// header, and none holds a line end.
pub(crate) fn foreign(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 11] = [
        (b"\xD0\xCF\x11\xE0", "an old Excel workbook (.xls): save it as CSV"),
        (b"PAR1", "a Parquet file: export it as CSV"),
        (b"Obj\x01", "an Avro file: export it as CSV"),
        (b"ORC\x0A", "an ORC file: export it as CSV"),
        (b"crc\0", "a checksum of another file (.crc): leave it out"),
        (b"%PDF-", "a PDF"),
        (b"\x31AY&SY", "compressed with bzip2: use gzip or zstd"),
        (b"\xFD7zXZ\0", "compressed with xz: use gzip or zstd"),
        (b"\x1F\x9D", "compressed with compress: use gzip or zstd"),
        // Only behind a compression that has been recognised and undone.
        (b"\x1F\x8B", "compressed twice: compress it once"),
        (b"\x28\xB5\x2F\xFD", "compressed twice: compress it once"),
    ];
    if let Some(entry) = start.strip_prefix(b"PK\x03\x04") {
        const NAME_AT: usize = 26;
        let name = entry.get(NAME_AT..).unwrap_or_default();
        let workbook = [&b"[Content_Types].xml"[..], b"xl/", b"_rels/", b"docProps/", b"mimetype"];
        return Some(if workbook.iter().any(|part| name.starts_with(part)) {
            "an Excel workbook (.xlsx) or another spreadsheet: save it as CSV"
        } else {
            "a zip archive: take the CSV out of it, compress it with gzip if you like, and upload that"
        });
    }
    // bzip2 says its block size before what makes it recognisable.
    let start = match start {
        [b'B', b'Z', b'h', b'1'..=b'9', block @ ..] => block,
        _ => start,
    };
    KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what)
}
