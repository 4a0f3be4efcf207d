//! Files that are no CSV, or not the CSV that they should be, told by how they begin.

use crate::dialect::{Delimiter, Encoding, foreign};
use crate::refusal::{FaultCode, FileFault};
use crate::rows::{Splitter, strip_marks};

/// Records that are looked at for the header, where the first is none.
const PREAMBLE_RECORDS_MAX: usize = 50;

/// What the file is, when it is no CSV. `text` is its beginning.
pub(super) fn no_csv(text: &[u8]) -> Option<FileFault> {
    let what = foreign(text).map(str::to_owned).or_else(|| {
        if is_tar(text) {
            Some("a tar archive: take the CSV out of it and compress it alone".to_owned())
        } else if is_checksum(text) {
            Some("a checksum of another file: leave it out".to_owned())
        } else if is_chunked(text) {
            Some(
                "an upload that was stored with its transfer framing (aws-chunked): upload the file again with another client"
                    .to_owned(),
            )
        } else {
            None
        }
    })?;
    Some(FileFault::new(FaultCode::NotCsv, format!("this is no CSV, it is {what}")))
}

/// POSIX tar has its name at a fixed place of the first header, with NUL bytes around it that no text has.
fn is_tar(text: &[u8]) -> bool {
    const MAGIC_AT: usize = 257;
    let Some((fields, magic)) = text.split_at_checked(MAGIC_AT) else { return false };
    (magic.starts_with(b"ustar\0") || magic.starts_with(b"ustar  \0")) && fields.contains(&0)
}

/// `md5sum` and its kin: digits, two blanks or a blank and an asterisk, a name; or the digits alone.
fn is_checksum(text: &[u8]) -> bool {
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (sum, name) = line.split_at(digits);
    matches!(sum.len(), 32 | 40 | 56 | 64 | 96 | 128)
        && (name.is_empty() || name.starts_with(b"  ") || name.starts_with(b" *"))
}

/// The length of a chunk in hexadecimal, with a signature or before the text itself.
fn is_chunked(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let signed = digits > 0 && text[digits..].starts_with(b";chunk-signature=");
    let trailer = b"\r\nx-amz-checksum-";
    signed || (digits > 0 && text[digits..].starts_with(b"\r\n") && text.windows(trailer.len()).any(|at| at == trailer))
}

/// What a text with NUL bytes is. `odd` says that it begins at an odd byte of the file.
pub(super) fn with_nuls(text: &[u8], encoding: Encoding, odd: bool) -> FileFault {
    const LOOKED_AT_BYTES: usize = 1_024;
    let start = &text[..text.len().min(LOOKED_AT_BYTES)];
    let nuls_at = |parity: usize| {
        start.iter().enumerate().filter(|(at, byte)| **byte == 0 && (at + usize::from(odd)) % 2 == parity).count()
    };
    let (even, uneven) = (nuls_at(0), nuls_at(1));
    let is_wide = matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
    let message = if is_wide || (even > 0 && uneven > 0 && (even + uneven) * 10 > start.len() * 6) {
        "this looks like UTF-32, which is not read: save the file as UTF-8"
    } else if even > 4 * uneven && even * 4 > start.len() {
        "this looks like UTF-16 without a byte order mark: set CSV_ENCODING=utf-16be"
    } else if uneven > 4 * even && uneven * 4 > start.len() {
        "this looks like UTF-16 without a byte order mark: set CSV_ENCODING=utf-16le"
    } else {
        "the header holds NUL bytes, so this is no text: save the file as CSV in UTF-8"
    };
    FileFault::new(FaultCode::Encoding, message)
}

/// The delimiter that a line before the header names, as Excel has it (`sep=;`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Delimiter(Delimiter),
    /// One that is not read.
    Unknown,
}

/// Reads such a line, if `text` begins with one.
pub(super) fn named_delimiter(text: &[u8]) -> Option<Named> {
    const NAME_BYTES_MAX: usize = 4;
    let line = strip_marks(text).split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = line.strip_prefix(b"\"").map_or(line, |inside| inside.strip_suffix(b"\"").unwrap_or(inside));
    let (start, name) = line.split_at_checked(4)?;
    if !start.eq_ignore_ascii_case(b"sep=") || name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let known = Delimiter::ALL.into_iter().find(|delimiter| name == [delimiter.byte()]);
    Some(known.map_or(Named::Unknown, Named::Delimiter))
}

/// Says more of a header that has no column for what every row must have. `text` begins with the header, on `line`.
pub(super) fn explain(fault: FileFault, text: &[u8], line: u64, delimiter: u8, wanted: &[&str]) -> FileFault {
    if fault.code != FaultCode::MissingColumn {
        return fault;
    }
    let mut splitter = Splitter::new(delimiter);
    splitter.split_first(text);
    let cells = splitter.cells().len();
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    let header = &text[..end];
    if cells == 1
        && let Some(other) = other_delimiter(header, wanted)
    {
        let name = if other.is_control() { format!("U+{:04X}", u32::from(other)) } else { other.to_string() };
        return FileFault::new(
            FaultCode::Delimiter,
            format!("the columns are separated by `{name}`, which is not read: write the file with , ; tab or |"),
        );
    }
    let quoted = |cell: &[u8]| cell.len() > 1 && cell.starts_with(b"'") && cell.ends_with(b"'");
    if splitter.cells().iter().all(|cell| quoted(cell.raw(text).trim_ascii())) {
        let message = format!("{}; every name stands in single quotes: set CSV_QUOTE=single", fault.message);
        return FileFault { message, ..fault };
    }
    if let Some(lines) = later_header(text, delimiter, wanted) {
        let message = format!("{}; line {} names them: remove the lines before it", fault.message, line + lines);
        return FileFault { message, ..fault };
    }
    fault
}

/// The character between the names of a header, when it is none of the delimiters.
fn other_delimiter(header: &[u8], wanted: &[&str]) -> Option<char> {
    const OTHERS: [char; 9] = ['~', '^', '\u{1}', '\u{1F}', '\u{1E}', '\u{2}', ':', '/', ' '];
    let text = std::str::from_utf8(header).ok()?;
    OTHERS.into_iter().find(|other| {
        text.contains(*other) && text.split(*other).any(|name| wanted.contains(&name.trim().trim_matches('"')))
    })
}

/// How many lines further on a record has a wanted name.
fn later_header(text: &[u8], delimiter: u8, wanted: &[&str]) -> Option<u64> {
    let mut splitter = Splitter::new(delimiter);
    let text = String::from_utf8_lossy(text);
    text.split('\n').zip(0..).skip(1).take(PREAMBLE_RECORDS_MAX).find_map(|(line, index)| {
        let line = line.trim_end_matches('\r').as_bytes();
        splitter.split(line);
        let mut scratch = Vec::new();
        let named = splitter.cells().iter().any(|cell| {
            let name = cell.value(line, &mut scratch).trim_ascii();
            wanted.iter().any(|wanted| wanted.as_bytes() == name)
        });
        named.then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_chunks_are_told_by_their_first_line() {
        for text in [
            "d41d8cd98f00b204e9800998ecf8427e  track_1.csv\n",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709 *track_1.csv\n",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "400;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nuserId\r\n",
            "10\r\nuserId,event\n1,a\n\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        ] {
            assert!(no_csv(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["userId,event\n", "abc  def\n", "10\r\n1\r\n", "a;chunk\n"] {
            assert!(no_csv(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn an_archive_is_told_by_bytes_that_no_text_has() {
        let mut tar = vec![0; 512];
        tar[..11].copy_from_slice(b"track_1.csv");
        tar[257..263].copy_from_slice(b"ustar\0");
        assert!(no_csv(&tar).is_some());
        tar[257..265].copy_from_slice(b"ustar  \0");
        assert!(no_csv(&tar).is_some());
        let filler = "x".repeat(256 - "userId,event\n1,".len());
        for end in ["Mustard\n", "Mustar\0\n", "Mustar  \0\n"] {
            let text = format!("userId,event\n1,{filler}{end}");
            assert_eq!(text.find("ustar"), Some(257));
            assert!(no_csv(text.as_bytes()).is_none(), "{end}");
        }
    }

    #[test]
    fn the_advice_on_nul_bytes_is_the_one_that_works() {
        let le: Vec<u8> = "userId,event\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "userId,event\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide: Vec<u8> = "userId,event\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (text, odd, word) in [
            (&le, false, "utf-16le"),
            (&be, false, "utf-16be"),
            (&be[1..].to_vec(), true, "utf-16be"),
            (&wide, false, "UTF-32"),
            (&b"userId\0,event\n".to_vec(), false, "no text"),
        ] {
            let fault = with_nuls(text, Encoding::Utf8, odd);
            assert!(fault.message.contains(word), "{fault}");
        }
    }

    #[test]
    fn a_line_may_name_the_delimiter() {
        for (text, named) in [
            ("sep=;\na", Some(Named::Delimiter(Delimiter::Semicolon))),
            ("\"SEP=,\"\r\na", Some(Named::Delimiter(Delimiter::Comma))),
            ("sep=\t\n", Some(Named::Delimiter(Delimiter::Tab))),
            ("sep=~\n", Some(Named::Unknown)),
            ("sep=§\n", Some(Named::Unknown)),
            ("sep=\n", None),
            ("separator,userId\n", None),
        ] {
            assert_eq!(named_delimiter(text.as_bytes()), named, "{text}");
        }
    }
}
