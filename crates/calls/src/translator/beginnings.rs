//! Files that are no CSV, or not the CSV that they should be, told by how they begin.

use crate::dialect::{Delimiter, Encoding, Quote, delimiter_of_header, foreign};
use crate::refusal::{FaultCode, FileFault};
use crate::rows::{Cell, Splitter, strip_marks};

use super::recognition::{Beginning, names_in_one_cell};

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
    let is_posix = magic.starts_with(b"ustar\0") || magic.starts_with(b"ustar  \0");
    fields.contains(&0) && (is_posix || has_tar_sum(text))
}

/// Older tar has no name in its header, and a sum of its bytes, in octal digits, as if blanks stood in place of the sum.
fn has_tar_sum(text: &[u8]) -> bool {
    const HEADER_BYTES: usize = 512;
    const SUM: std::ops::Range<usize> = 148..156;
    let Some(header) = text.get(..HEADER_BYTES) else { return false };
    let all: u32 = header.iter().copied().map(u32::from).sum();
    let sum: u32 = header[SUM].iter().copied().map(u32::from).sum();
    let digits = String::from_utf8_lossy(&header[SUM]);
    let digits = digits.trim_matches(['\0', ' ']);
    u32::from_str_radix(digits, 8) == Ok(all - sum + u32::from(b' ') * 8)
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
    signed || is_framed(text)
}

/// Whether the text begins with a length, and another length or the trailer stands where the first says.
fn is_framed(text: &[u8]) -> bool {
    const TRAILER: &[u8] = b"\r\nx-amz-checksum-";
    let Some((length, chunk)) = chunk_length(text) else { return false };
    let next = chunk.get(length..).and_then(|behind| behind.strip_prefix(b"\r\n"));
    next.is_some_and(|next| chunk_length(next).is_some()) || chunk.windows(TRAILER.len()).any(|at| at == TRAILER)
}

/// The length that `text` begins with, in hexadecimal and on a line of its own, and the text behind it.
fn chunk_length(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let chunk = text[digits..].strip_prefix(b"\r\n")?;
    let length = usize::from_str_radix(std::str::from_utf8(&text[..digits]).ok()?, 16).ok()?;
    Some((length, chunk))
}

/// What the file is, when its beginning could be that of a header and the header does not work.
pub(super) fn no_csv_either(text: &[u8]) -> Option<FileFault> {
    const KNOWN: [(&str, &str); 12] = [
        ("{\"", "JSON: export it as CSV"),
        ("{\n", "JSON: export it as CSV"),
        ("[{", "JSON: export it as CSV"),
        ("[\n", "JSON: export it as CSV"),
        ("<!doctype", "an HTML page: look whether the download ended at a page of errors or of a login"),
        ("<html", "an HTML page: look whether the download ended at a page of errors or of a login"),
        ("<?xml", "XML: export it as CSV"),
        ("version https://git-lfs.github.com/", "a pointer of Git LFS: upload the file that it points to"),
        ("-----begin pgp", "encrypted or signed with PGP: decrypt it first"),
        ("md5 (", "a checksum of another file: leave it out"),
        ("sha1 (", "a checksum of another file: leave it out"),
        ("sha256 (", "a checksum of another file: leave it out"),
    ];
    let start = strip_marks(text).trim_ascii_start();
    let begins = |word: &str| start.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    let known = KNOWN.iter().find(|(word, _)| begins(word)).map(|(_, what)| *what);
    let what = known.or_else(|| is_xml(start).then_some("XML: export it as CSV"))?;
    Some(FileFault::new(FaultCode::NotCsv, format!("this is no CSV, it is {what}")))
}

/// Whether a text begins with a tag, and a closing tag follows.
fn is_xml(text: &[u8]) -> bool {
    const LOOKED_AT_BYTES: usize = 4_096;
    let start = &text[..text.len().min(LOOKED_AT_BYTES)];
    matches!(start, [b'<', first, ..] if first.is_ascii_alphabetic())
        && start.windows(2).any(|pair| pair == b"</" || pair == b"/>")
}

/// What a text with NUL bytes is. `odd` says that it begins at an odd byte of the file, and `marked` that a byte order
/// mark stands before it.
pub(super) fn with_nuls(text: &[u8], encoding: Encoding, odd: bool, marked: bool) -> FileFault {
    const LOOKED_AT_BYTES: usize = 1_024;
    let start = &text[..text.len().min(LOOKED_AT_BYTES)];
    // The share of NUL bytes at every `step`th byte, in percent.
    let is_wide = matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
    // Of UTF-16 the characters, which are bytes elsewhere.
    let nuls: Vec<bool> = if is_wide {
        String::from_utf8_lossy(start).chars().map(|c| c == '\0').collect()
    } else {
        start.iter().map(|byte| *byte == 0).collect()
    };
    let nuls_at = |from: usize, step: usize| {
        let all = nuls.iter().skip(from).step_by(step);
        let nuls = all.clone().filter(|is_nul| **is_nul).count();
        nuls * 100 / all.count().max(1)
    };
    // Three of four bytes, or one of two units, and the last one never.
    let is_utf32 = if is_wide {
        (0..2).any(|at| nuls_at(at, 2) < 10 && nuls_at(1 - at, 2) > 90)
    } else {
        (0..4).any(|at| nuls_at(at, 4) < 10 && (1..4).all(|next| nuls_at((at + next) % 4, 4) > 70))
    };
    let order = if nuls_at(0, 2) > 50 && nuls_at(1, 2) < 10 {
        Some(if odd { "utf-16le" } else { "utf-16be" })
    } else if nuls_at(1, 2) > 50 && nuls_at(0, 2) < 10 {
        Some(if odd { "utf-16be" } else { "utf-16le" })
    } else {
        None
    };
    let message = match order {
        _ if is_utf32 => "this looks like UTF-32, which is not read: save the file as UTF-8".to_owned(),
        Some(_) if marked => {
            "the byte order mark says UTF-8, and the text looks like UTF-16: save the file as UTF-8".to_owned()
        }
        Some(order) if !is_wide => {
            format!("this looks like UTF-16 without a byte order mark: set CSV_ENCODING={order}")
        }
        _ => "the header holds NUL bytes, so this is no text: save the file as CSV in UTF-8".to_owned(),
    };
    FileFault::new(FaultCode::Encoding, message)
}

/// What is wrong where a setting reads a text as UTF-16, and each of its bytes is a character of ASCII.
pub(super) fn is_narrow(text: &[u8], encoding: Encoding) -> Option<FileFault> {
    const LOOKED_AT_CHARS: usize = 8;
    let is_wide = matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be);
    let start = String::from_utf8_lossy(&text[..text.len().min(4 * LOOKED_AT_CHARS)]);
    let is_text = |byte: u32| matches!(byte, 0x09 | 0x0A | 0x0D | 0x20..=0x7E);
    let is_pair = |c: char| is_text(u32::from(c) >> 8) && is_text(u32::from(c) & 0xFF);
    let pairs = start.chars().take(LOOKED_AT_CHARS).take_while(|c| is_pair(*c)).count();
    (is_wide && pairs == LOOKED_AT_CHARS).then(|| {
        FileFault::new(
            FaultCode::Encoding,
            format!("CSV_ENCODING says {encoding}, and this looks like UTF-8: set CSV_ENCODING=auto or utf-8"),
        )
    })
}

/// What is wrong where a text of UTF-16 is read in the wrong order: most of its characters have their letter in the other
/// byte. `marked` says that a byte order mark stands before it.
pub(super) fn is_swapped(text: &[u8], encoding: Encoding, marked: bool) -> Option<FileFault> {
    const LOOKED_AT_CHARS: usize = 64;
    let other = match encoding {
        Encoding::Utf16Le => Encoding::Utf16Be,
        Encoding::Utf16Be => Encoding::Utf16Le,
        Encoding::Utf8 | Encoding::Legacy(_) => return None,
    };
    let start = String::from_utf8_lossy(&text[..text.len().min(4 * LOOKED_AT_CHARS)]);
    let is_ascii_swapped = |c: &char| u32::from(*c) & 0xFF == 0 && matches!(u32::from(*c) >> 8, 0x09..=0x7E);
    let chars: Vec<char> = start.chars().take(LOOKED_AT_CHARS).collect();
    let swapped = chars.iter().filter(|c| is_ascii_swapped(c)).count();
    (swapped > 3 && 2 * swapped > chars.len()).then(|| {
        let message = if marked {
            format!("the byte order mark says {encoding}, and this looks like {other}: save the file again as UTF-8")
        } else {
            let label = other.to_string().to_ascii_lowercase();
            format!("CSV_ENCODING says {encoding}, and this looks like {other}: set CSV_ENCODING={label}")
        };
        FileFault::new(FaultCode::Encoding, message)
    })
}

/// The character that ends the lines of a file which is one line otherwise. `header` is all of it.
pub(super) fn other_line_end(header: &str, delimiter: u8, wanted: &[&str]) -> Option<FileFault> {
    const OTHERS: [(&str, &str); 8] = [
        ("\u{2028}", "U+2028"),
        ("\u{2029}", "U+2029"),
        ("\u{85}", "U+0085"),
        ("\u{1E}", "U+001E"),
        ("\u{B}", "U+000B"),
        ("\u{C}", "U+000C"),
        ("\\r\\n", "a backslash with a letter"),
        ("\\n", "a backslash with a letter"),
    ];
    let mut splitter = Splitter::new(delimiter);
    let (_, name) = OTHERS.into_iter().find(|(other, _)| {
        header.split_once(other).is_some_and(|(first, _)| {
            !splitter.split(first.as_bytes()) && has_wanted(splitter.cells(), first.as_bytes(), wanted)
        })
    })?;
    Some(FileFault::new(
        FaultCode::Delimiter,
        format!("the file is one line, and {name} seems to end its rows: end each row with a line feed"),
    ))
}

/// Whether the header that `text` begins with has a wanted name by that delimiter.
fn names_by(delimiter: Delimiter, text: &[u8], wanted: &[&str]) -> bool {
    let mut splitter = Splitter::new(delimiter.byte());
    splitter.split_first(text);
    has_wanted(splitter.cells(), text, wanted)
}

fn has_wanted(cells: &[Cell], text: &[u8], wanted: &[&str]) -> bool {
    let mut scratch = Vec::new();
    cells.iter().any(|cell| {
        let name = cell.value(text, &mut scratch).trim_ascii();
        wanted.iter().any(|wanted| wanted.as_bytes() == name)
    })
}

/// The delimiter that a line before the header names, as Excel has it (`sep=;`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Delimiter(Delimiter),
    /// One that is not read.
    Unknown,
}

/// Reads such a line, if `text` begins with one. A spreadsheet that saves the line as a row pads it with its own
/// delimiter, which then is the one of the file.
pub(super) fn named_delimiter(text: &[u8]) -> Option<Named> {
    const NAME_BYTES_MAX: usize = 4;
    let line = strip_marks(text).split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let is_padding = |byte: &u8| matches!(byte, b',' | b';' | b'\t');
    let padding = line.last().filter(|byte| is_padding(byte)).copied();
    let pads = line.iter().rev().take_while(|byte| Some(**byte) == padding).count();
    // Without quotes, the first of them is the name.
    let quoted = line.first() == Some(&b'"');
    let pads = if !quoted && line.len() - pads == PREFIX.len() { pads.saturating_sub(1) } else { pads };
    let (line, pads) = if quoted || is_named_by_one(&line[..line.len() - pads]) {
        line.split_at(line.len() - pads)
    } else {
        (line, &[][..])
    };
    let line = line.strip_prefix(b"\"").map_or(line, |inside| inside.strip_suffix(b"\"").unwrap_or(inside));
    let (start, name) = line.split_at_checked(PREFIX.len())?;
    if !start.eq_ignore_ascii_case(PREFIX) || name.is_empty() || name.len() > NAME_BYTES_MAX {
        return None;
    }
    let name = match (pads.first(), name) {
        (Some(padding), _) => std::slice::from_ref(padding),
        (None, b"\\t") => b"\t",
        (None, name) => name,
    };
    let known = Delimiter::ALL.into_iter().find(|delimiter| name == [delimiter.byte()]);
    Some(known.map_or(Named::Unknown, Named::Delimiter))
}

const PREFIX: &[u8] = b"sep=";

fn is_named_by_one(line: &[u8]) -> bool {
    line.len() == PREFIX.len() + 1
}

/// A header that does not work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed<'a> {
    /// The text, which begins with it.
    pub(super) text: &'a [u8],
    /// The header, in UTF-8.
    pub(super) header: &'a str,
    pub(super) line: u64,
    pub(super) delimiter: u8,
    pub(super) quote: Quote,
    /// What says which delimiter it is, if not the header.
    pub(super) named_by: Option<&'a str>,
    /// Columns that a header is recognised by.
    pub(super) wanted: &'a [&'a str],
}

/// Says more of a header that does not work.
pub(super) fn explain(fault: FileFault, failed: Failed<'_>) -> FileFault {
    if let Some(fault) = no_csv_either(failed.text) {
        return fault;
    }
    if fault.code != FaultCode::MissingColumn {
        return fault;
    }
    let Failed { text, header, delimiter, wanted, .. } = failed;
    let mut splitter = Splitter::new(delimiter);
    splitter.split_first(text);
    if splitter.cells().len() == 1 {
        if let Some(by) = failed.named_by
            && let Some(other) = delimiter_of_header(text, true, wanted).filter(|other| other.byte() != delimiter)
            && names_by(other, text, wanted)
        {
            return FileFault::new(
                FaultCode::Delimiter,
                format!("the header is separated by `{other}`, and {by} names another delimiter: correct or remove it"),
            );
        }
        if let Some(fault) = separated_otherwise(header, wanted) {
            return fault;
        }
    }
    let say = |more: &str| FileFault { message: format!("{}; {more}", fault.message), ..fault.clone() };
    let quoted = |cell: &[u8]| cell.len() > 1 && cell.starts_with(b"'") && cell.ends_with(b"'");
    if splitter.cells().iter().all(|cell| quoted(cell.raw(text).trim_ascii())) {
        return say("every name stands in single quotes: set CSV_QUOTE=single");
    }
    if failed.quote == Quote::Single && has_wanted(splitter.cells(), text, wanted) {
        return say("the names stand in double quotes: remove CSV_QUOTE=single");
    }
    let beginning = Beginning { text, complete: true, delimiter, wanted };
    if names_in_one_cell(beginning) {
        return say("the names stand in one quoted cell, and some rows do not: remove the quotes around whole lines");
    }
    match later_header(text, wanted) {
        Some(1) if chunk_length(text).is_some() => say(&format!(
            "line {} names them: if line {} is the length of a chunk, of an upload that was stored with its transfer framing (aws-chunked), upload the file again with another client; else remove the line",
            failed.line + 1,
            failed.line
        )),
        Some(lines) => say(&format!("line {} names them: remove the lines before it", failed.line + lines)),
        None => fault,
    }
}

/// What is wrong with a header whose names are separated by none of the delimiters.
pub(super) fn separated_otherwise(header: &str, wanted: &[&str]) -> Option<FileFault> {
    let other = other_delimiter(header, wanted)?;
    let name = if other.is_control() { format!("U+{:04X}", u32::from(other)) } else { other.to_string() };
    Some(FileFault::new(
        FaultCode::Delimiter,
        format!("the columns are separated by `{name}`, which is not read: write the file with , ; tab or |"),
    ))
}

/// The character between the names of a header, when it is none of the delimiters.
fn other_delimiter(header: &str, wanted: &[&str]) -> Option<char> {
    const OTHERS: [char; 14] = [
        '~', '^', '\u{1}', '\u{1F}', '\u{1E}', '\u{2}', '\u{14}', '\u{A6}', '\u{AC}', '\u{FF0C}', '\u{FF1B}', ':', '/',
        ' ',
    ];
    // Some programs quote with a thorn.
    let quotes = ['"', '\'', '\u{FE}'];
    OTHERS.into_iter().find(|other| {
        header.contains(*other)
            && header.split(*other).any(|name| wanted.contains(&name.trim().trim_matches(&quotes[..])))
    })
}

/// Whether the header that `text` begins with has no wanted name, and a later line has one.
pub(super) fn is_preamble(delimiter: Delimiter, text: &[u8], wanted: &[&str]) -> bool {
    !names_by(delimiter, text, wanted) && later_header(text, wanted).is_some()
}

/// How many lines further on a record has a wanted name, by any delimiter.
fn later_header(text: &[u8], wanted: &[&str]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    text.split('\n').zip(0..).skip(1).take(PREAMBLE_RECORDS_MAX).find_map(|(line, index)| {
        let line = line.trim_end_matches('\r').as_bytes();
        Delimiter::ALL.into_iter().any(|delimiter| names_by(delimiter, line, wanted)).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_files_and_chunked_uploads_are_recognised_by_their_first_line() {
        for text in [
            "d41d8cd98f00b204e9800998ecf8427e  track_1.csv\n",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709 *track_1.csv\n",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "400;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\nuserId\r\n",
            "10\r\nuserId,event\n1,a\n\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
        ] {
            assert!(no_csv(text.as_bytes()).is_some(), "{text}");
        }
        let chunk = "userId,event\n1,a\n".repeat(40);
        let framed = format!("{:x}\r\n{chunk}\r\n{:x}\r\n{chunk}\r\n0\r\n", chunk.len(), chunk.len());
        assert!(no_csv(framed.as_bytes()).is_some());
        for text in ["userId,event\n", "abc  def\n", "10\r\n1\r\n", "a;chunk\n", "12\r\nuserId,event\r\n1,a\r\n2\r\n"] {
            assert!(no_csv(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn an_archive_is_recognised_by_bytes_that_text_does_not_contain() {
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
    fn the_advice_for_nul_bytes_names_the_encoding_that_reads_them() {
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
            let fault = with_nuls(text, Encoding::Utf8, odd, false);
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
            ("sep=\\t\n", Some(Named::Delimiter(Delimiter::Tab))),
            ("sep=;,,\n", Some(Named::Delimiter(Delimiter::Comma))),
            ("sep=,,,\n", Some(Named::Delimiter(Delimiter::Comma))),
            ("\"sep=,\";;\n", Some(Named::Delimiter(Delimiter::Semicolon))),
            ("sep=||\n", Some(Named::Unknown)),
            ("sep=\n", None),
            ("sep=ab,cd,,\n", None),
            ("separator,userId\n", None),
        ] {
            assert_eq!(named_delimiter(text.as_bytes()), named, "{text}");
        }
    }
}
