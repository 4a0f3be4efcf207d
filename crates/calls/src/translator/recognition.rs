//! How a file is quoted, found out from its beginning.
//!
//! RFC 4180 is tried first, and holds unless it finds a quote astray or a row whose cells do not fit the header. Only
//! then is another dialect tried, and taken if it makes every row whole.

use crate::dialect::{Escape, Quoting};
use crate::ids::is_void;
use crate::quoting::rewrite;
use crate::rows::{Advance, Rows, Splitter};

/// What the beginning of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    pub(super) quoting: Quoting,
    /// The first line, counted from 1 in the text, on which RFC 4180 finds something wrong, where it is not taken.
    pub(super) trouble_line: Option<u64>,
}

/// Finds out how `text`, which begins with the header, is quoted. `complete` says that it is the whole file.
pub(super) fn recognise(text: &[u8], complete: bool, delimiter: u8, backslash_is_safe: bool) -> Recognised {
    let rfc = Recognised { quoting: Quoting::default(), trouble_line: None };
    let Err(trouble_line) = read(text, complete, delimiter, Quoting::default()) else { return rfc };
    let has = |first: &[u8], second: u8| text.windows(2).any(|pair| first.contains(&pair[0]) && pair[1] == second);
    let backslash = backslash_is_safe && text.contains(&b'\\');
    let spaced = has(b" \t", b'"') || has(b"\"", b' ') || has(b"\"", b'\t');
    let quoted = text.first() == Some(&b'"') || has(b"\r\n", b'"');
    let default = Quoting::default();
    let candidates = [
        (backslash, Quoting { escape: Escape::Backslash, ..default }),
        (spaced, Quoting { spaced, ..default }),
        (backslash && spaced, Quoting { escape: Escape::Backslash, spaced, ..default }),
        (quoted, Quoting { lines: true, ..default }),
    ];
    candidates
        .into_iter()
        .find(|(plausible, quoting)| *plausible && read(text, complete, delimiter, *quoting).is_ok())
        .map_or(rfc, |(_, quoting)| Recognised { quoting, trouble_line: Some(trouble_line) })
}

/// Whether every row of `text` has as many cells as its header and no quote astray; else the line of the first that
/// is not so. A row that is cut off at the end says nothing.
fn read(text: &[u8], complete: bool, delimiter: u8, quoting: Quoting) -> Result<(), u64> {
    let mut rows = Rows::new(delimiter);
    rows.set_limit(usize::MAX);
    rows.set_quoting(quoting);
    rows.push(text);
    if complete {
        rows.finish();
    }
    let mut splitter = Splitter::new(delimiter);
    let mut rewritten = Vec::new();
    let (mut line, mut columns) = (1, None);
    while rows.advance() == Advance::Record {
        let Some(record) = rows.record() else { break };
        line += record.blank.lines;
        let (cells, whole, void) = if quoting.is_rfc4180() {
            let void = record.cells.iter().all(|cell| is_void(cell.raw(record.text)));
            (record.cells.len(), record.stray.is_none() && !record.unclosed, void)
        } else {
            rewritten.clear();
            let is_astray = plain(record.text, quoting, delimiter, columns.unwrap_or(2), &mut rewritten);
            splitter.split(&rewritten);
            let void = splitter.cells().iter().all(|cell| is_void(cell.raw(&rewritten)));
            (splitter.cells().len(), !is_astray, void)
        };
        let fits = match columns {
            None => {
                columns = Some(cells);
                quoting.is_rfc4180() || cells > 1
            }
            Some(columns) => cells == columns || void,
        };
        if !fits || !whole {
            return Err(line);
        }
        line += record.lines;
    }
    Ok(())
}

/// Appends a row as RFC 4180 writes it. `columns` is how many the header has. Returns whether a quote is astray.
pub(super) fn plain(row: &[u8], quoting: Quoting, delimiter: u8, columns: usize, out: &mut Vec<u8>) -> bool {
    if !quoting.lines {
        return rewrite(row, quoting, delimiter, out).is_any();
    }
    let begin = out.len();
    let mut splitter = Splitter::new(delimiter);
    let unclosed = splitter.split(row);
    match splitter.cells() {
        [line] if row.first() == Some(&b'"') && columns > 1 && splitter.stray().is_none() && !unclosed => {
            line.unescape(row, out);
        }
        _ => out.extend_from_slice(row),
    }
    // What stands in the quotes has to be one row, whole.
    let inside = &out[begin..];
    splitter.split_first(inside) || splitter.split(inside) || splitter.stray().is_some()
}

/// What stands in quotes, where the first row of `text` is one quoted cell.
pub(super) fn quoted_line(text: &[u8]) -> Option<Vec<u8>> {
    if text.first() != Some(&b'"') {
        return None;
    }
    // No delimiter ends the row, so the cell is the row.
    let mut splitter = Splitter::new(0);
    splitter.split_first(text);
    let [line] = splitter.cells() else { return None };
    let mut inside = Vec::new();
    line.unescape(text, &mut inside);
    splitter.stray().is_none().then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = recognise(text.as_bytes(), true, b',', true);
        assert_eq!(found.quoting.to_string(), expected, "{text}");
        assert_eq!(found.trouble_line.is_some(), expected != "RFC 4180", "{text}");
    }

    #[test]
    fn another_dialect_is_taken_only_where_it_makes_every_row_whole() {
        check("a,b\n1,\"say \\\"hi\\\"\"\n", "backslash escapes");
        check("a,b\n1,x\\,y\n2,z\n", "backslash escapes");
        check("a, b\n1, \"x, y\"\n", "blanks around quotes");
        check("a,b\n\"1\" ,\"x\"\n", "blanks around quotes");
        check("a,b\n1, \"say \\\"hi\\\"\"\n", "backslash escapes and blanks around quotes");
        check("a,b\n\"1,\"\"x, y\"\"\"\n", "whole lines in quotes");
        check("\"a,b\"\n\"1,x\"\n2,y\n", "whole lines in quotes");
        // One row that does not fit, and nothing is certain.
        check("a,b\n1,\"say \\\"hi\\\"\"\n2,\"x\"y\"\n", "RFC 4180");
        check("a,b\n1,\"x\"y\"\n", "RFC 4180");
        check("a,b\n\"1\n\"\n2,x\n", "RFC 4180");
        check("a,b\n1\n2,\\\n", "RFC 4180");
    }

    #[test]
    fn what_rfc_4180_reads_is_read_by_it() {
        check("a,b\n1,\"C:\\\"\n2,\\\"\n", "RFC 4180");
        check("a,b\n1, x\n2,\" \"\n", "RFC 4180");
        check("a\n\"1,x\"\n", "RFC 4180");
        check("a,b\n\n1,2\n,\n\n", "RFC 4180");
    }

    #[test]
    fn a_row_that_is_cut_off_says_nothing() {
        let found = recognise(b"a,b\n1,2\n3", false, b',', true);
        assert_eq!(found.trouble_line, None);
    }
}
