//! Counts the rows of a file without the ingester, and its calls without a request.

use crate::input::machine;
use calls::pipeline::Next;
use calls::reading::Reading;
use calls::subject::SubjectOf;

/// Bytes that CSV in UTF-8 does not begin with: gzip, zstd, and the two byte order marks of UTF-16.
const OTHER_FORMS: [&[u8]; 4] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0xff, 0xfe], &[0xfe, 0xff]];
/// Delimiters, the most usual first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// The number of records below the header, as the plain `csv` crate reads them; `None` if the bytes are not plain text.
/// So many lines before the header are no records.
pub(super) fn count(bytes: &[u8], skip_lines: u32) -> Option<u64> {
    if OTHER_FORMS.iter().any(|form| bytes.starts_with(form)) {
        return None;
    }
    let mut text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for _ in 0..skip_lines {
        text = behind_line(text);
    }
    let mut delimiter = None;
    // Excel's own line is not a record.
    if let Some(rest) = text.strip_prefix(b"sep=") {
        delimiter = rest.first().copied();
        text = behind_line(rest);
    }
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let times = |delimiter: &u8| header.iter().filter(|byte| *byte == delimiter).count();
    // `max_by_key` returns the last of equals, so the most usual is last.
    let delimiter = delimiter.or_else(|| DELIMITERS.into_iter().rev().max_by_key(times)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
    Some(reader.byte_records().filter(Result::is_ok).count() as u64)
}

fn behind_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    &text[end..]
}

/// The number of calls that a mapping makes of a file: rows of a group are one.
pub(super) fn calls(bytes: &[u8], key: &str, reading: &Reading) -> anyhow::Result<u64> {
    let mut machine = machine(&reading.subject(key, None)?, reading, None);
    machine.push(bytes);
    machine.finish();
    let mut calls = 0;
    while let Next::Batch(batch) = machine.next_batch() {
        calls += batch.calls.len() as u64;
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_below_the_header_for_any_delimiter() {
        for (text, records) in [
            ("userId,event\n1,a\n2,b\n", Some(2)),
            ("userId,event\r\n1,a\r\n\r\n2,b", Some(2)),
            ("\u{feff}userId;event\n1;\"a\nb, c\"\n", Some(1)),
            ("sep=;\nuserId;event\n1;a\n", Some(1)),
            ("userId\n1\n2\n3\n", Some(3)),
            ("userId,event\n1\n2,b,c\n", Some(2)),
            ("userId,event\n", Some(0)),
            ("", Some(0)),
        ] {
            assert_eq!(count(text.as_bytes(), 0), records, "{text:?}");
            assert_eq!(count(format!("Report, of: today\n\n{text}").as_bytes(), 2), records, "{text:?}");
        }
        assert_eq!(count(&[0x1f, 0x8b, 8, 0], 0), None);
    }
}
