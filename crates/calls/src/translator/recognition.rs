//! How a file is quoted, found out from its beginning.
//!
//! RFC 4180 is tried first, and holds unless it finds a misplaced quote or a row whose cells do not fit the header. Only
//! then is another dialect tried, and taken if it makes every row whole.

use std::collections::HashSet;

use crate::dialect::{Delimiter, Escape, Quoting};
use crate::ids::is_void;
use crate::quoting::rewrite;
use crate::rows::{Advance, Rows, Splitter, strip_marks};

use crate::text::without_ctrl_z;

/// What the beginning of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    pub(super) quoting: Quoting,
    /// The first line, counted from 1 in the text, on which RFC 4180 finds something wrong, where it is not taken.
    pub(super) trouble_line: Option<u64>,
    /// What the cell counts show, where RFC 4180 is taken.
    pub(super) shape: Option<Shape>,
}

/// How the cells of all rows differ from those of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each row has one cell more than the header, and the first cells count up by one.
    RowNumbers,
    /// Each row has one cell more than the header, and the first cells are different texts.
    RowNames,
    /// Another delimiter than the header's gives each row as many cells as the header has.
    RowsBy(Delimiter),
    /// The header is one name, and each row has the same number of cells by that delimiter.
    OneNameAndRowsBy(Delimiter),
}

impl Recognised {
    pub(super) fn known(quoting: Quoting) -> Recognised {
        Recognised { quoting, trouble_line: None, shape: None }
    }
}

/// The beginning of a file: `text` begins with the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning<'a> {
    pub(super) text: &'a [u8],
    /// Whether this is the whole file.
    pub(super) complete: bool,
    pub(super) delimiter: u8,
    /// Columns that a header is recognised by.
    pub(super) wanted: &'a [&'a str],
}

/// Finds out how a file is quoted.
pub(super) fn recognise(beginning: Beginning<'_>, backslash_is_safe: bool) -> Recognised {
    let text = beginning.text;
    let is_line = names_in_one_cell(beginning);
    let trouble_line = match read(beginning, Quoting::default()) {
        Err(line) => line,
        Ok(()) if is_line => 1,
        Ok(()) => return Recognised { shape: one_name(beginning), ..Recognised::known(Quoting::default()) },
    };
    let rows = rows_of(beginning, Quoting::default());
    let has = |first: &[u8], second: u8| text.windows(2).any(|pair| first.contains(&pair[0]) && pair[1] == second);
    let backslash = backslash_is_safe && text.contains(&b'\\');
    let spaced = has(b" \t", b'"') || has(b"\"", b' ') || has(b"\"", b'\t');
    let default = Quoting::default();
    let candidates = [
        (backslash, Quoting { escape: Escape::Backslash, ..default }),
        (spaced, Quoting { spaced, ..default }),
        (backslash && spaced, Quoting { escape: Escape::Backslash, spaced, ..default }),
        (is_line || most_are_lines(&rows), Quoting { lines: true, ..default }),
    ];
    candidates
        .into_iter()
        .filter(|(plausible, _)| *plausible)
        .map(|(_, quoting)| quoting)
        .find(|quoting| {
            let is_whole = read(beginning, *quoting).is_ok();
            is_whole && ((quoting.lines && is_line) || keeps(&rows, &rows_of(beginning, *quoting)))
        })
        .map_or(Recognised { shape: shape_of(beginning, &rows), ..Recognised::known(default) }, |quoting| Recognised {
            trouble_line: Some(trouble_line),
            ..Recognised::known(quoting)
        })
}

/// A record of the beginning, in one dialect.
#[derive(Debug)]
struct Row {
    /// Where it stands.
    from: usize,
    to: usize,
    cells: Vec<Vec<u8>>,
    /// Whether no quote is misplaced.
    is_sound: bool,
    is_void: bool,
    /// Whether it begins with a quote.
    is_quoted: bool,
    /// Whether a backslash stands before a quote.
    has_escape: bool,
}

fn rows_of(beginning: Beginning<'_>, quoting: Quoting) -> Vec<Row> {
    let mut splitter = Splitter::new(beginning.delimiter);
    let (mut at, mut columns, mut all) = (0, 2, Vec::new());
    let mut rows = begin(beginning, quoting);
    while rows.advance() == Advance::Record {
        let Some(record) = rows.record() else { break };
        let from = at + usize::try_from(record.blank.bytes).unwrap_or_default();
        let mut rewritten = Vec::new();
        let text = without_ctrl_z(record.text).unwrap_or(record.text);
        let has_misplaced = plain(text, quoting, beginning.delimiter, columns, &mut rewritten);
        let text = &rewritten[..];
        let unclosed = splitter.split(text);
        let is_sound = !has_misplaced && !unclosed && splitter.stray().is_none();
        let mut scratch = Vec::new();
        let cells: Vec<_> = splitter.cells().iter().map(|cell| cell.value(text, &mut scratch).to_vec()).collect();
        if all.is_empty() {
            columns = cells.len();
        }
        at = from + record.text.len() + record.line_end;
        all.push(Row {
            from,
            to: from + record.text.len(),
            is_sound,
            is_void: cells.iter().all(|cell| is_void(cell)),
            is_quoted: strip_marks(record.text).first() == Some(&b'"'),
            has_escape: record.text.windows(2).any(|pair| pair == b"\\\""),
            cells,
        });
    }
    all
}

/// Whether a dialect leaves the rows alone that RFC 4180 reads whole: it joins none to its neighbour, and each has the
/// same cells. The header counts as such a row.
///
/// Where RFC 4180 finds a misplaced quote behind a backslash, the backslash escapes, and backslashes may go from the cells
/// of other rows as well.
fn keeps(rfc: &[Row], other: &[Row]) -> bool {
    let Some(columns) = rfc.first().map(|header| header.cells.len()) else { return true };
    let escapes = rfc.iter().any(|row| !row.is_sound && row.has_escape);
    let mut others = other.iter().peekable();
    rfc.iter().filter(|row| row.is_sound && !row.is_void && row.cells.len() == columns).all(|row| {
        while others.next_if(|other| other.from < row.from).is_some() {}
        others.peek().is_none_or(|other| {
            let same_place = (other.from, other.to) == (row.from, row.to);
            let has_same_cells = match escapes {
                true => row.cells.iter().zip(&other.cells).all(|(rfc, other)| is_same_but_backslashes(rfc, other)),
                false => other.cells == row.cells,
            };
            same_place && other.cells.len() == columns && has_same_cells
        })
    })
}

fn is_same_but_backslashes(a: &[u8], b: &[u8]) -> bool {
    let is_content = |byte: &&u8| **byte != b'\\';
    a.iter().filter(is_content).eq(b.iter().filter(is_content))
}

/// Whether at least half of the rows are one quoted cell, under a header of several.
fn most_are_lines(rows: &[Row]) -> bool {
    let Some((header, rows)) = rows.split_first() else { return false };
    let rows = rows.iter().filter(|row| !row.is_void);
    let (lines, all) = rows.fold((0, 0), |(lines, all), row| {
        (lines + usize::from(row.is_quoted && row.is_sound && row.cells.len() == 1), all + 1)
    });
    header.cells.len() > 1 && lines > 0 && 2 * lines >= all
}

/// Whether the header is one quoted cell that holds delimiters, and a wanted name between them.
pub(super) fn names_in_one_cell(beginning: Beginning<'_>) -> bool {
    let Some(inside) = quoted_line(beginning.text) else { return false };
    let mut splitter = Splitter::new(beginning.delimiter);
    splitter.split_first(&inside);
    let mut scratch = Vec::new();
    splitter.cells().len() > 1
        && splitter.cells().iter().any(|cell| {
            let name = cell.value(&inside, &mut scratch).trim_ascii();
            beginning.wanted.iter().any(|wanted| wanted.as_bytes() == name)
        })
}

/// What the cell counts of the rows show.
fn shape_of(beginning: Beginning<'_>, rows: &[Row]) -> Option<Shape> {
    let (header, rows) = rows.split_first()?;
    let columns = header.cells.len();
    let rows: Vec<_> = rows.iter().filter(|row| !row.is_void).collect();
    let first = rows.first()?.cells.len();
    if !header.is_sound || !rows.iter().all(|row| row.is_sound && row.cells.len() == first) {
        return None;
    }
    if first == columns + 1 {
        let ends_empty = rows.iter().all(|row| row.cells.last().is_some_and(Vec::is_empty));
        return match counts_up(&rows) {
            _ if ends_empty => None,
            true => Some(Shape::RowNumbers),
            false => are_names(&rows).then_some(Shape::RowNames),
        };
    }
    let by = |delimiter: &Delimiter| {
        let mut splitter = Splitter::new(delimiter.byte());
        // Ids of some services hold one bar (`auth0|1`).
        let is_in_ids = *delimiter == Delimiter::Pipe && columns == 2;
        !is_in_ids
            && rows.iter().all(|row| {
                let unclosed = splitter.split(&beginning.text[row.from..row.to]);
                !unclosed && splitter.cells().len() == columns
            })
    };
    let other = || Delimiter::ALL.into_iter().filter(|other| other.byte() != beginning.delimiter).find(by);
    if first < columns { other().map(Shape::RowsBy) } else { None }
}

/// Whether the first cells are numbers, each one more than that before it.
fn counts_up(rows: &[&Row]) -> bool {
    let number = |row: &&Row| {
        let cell = row.cells.first()?;
        let is_plain = !cell.is_empty() && cell.iter().all(u8::is_ascii_digit);
        is_plain.then(|| std::str::from_utf8(cell).ok()?.parse::<u64>().ok()).flatten()
    };
    let numbers: Option<Vec<u64>> = rows.iter().map(number).collect();
    numbers.is_some_and(|numbers| {
        numbers.len() > 1 && numbers.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
    })
}

/// Whether the first cells may be names of rows: all are different, and no cell begins with a blank, as what stands
/// behind a comma in a text does.
fn are_names(rows: &[&Row]) -> bool {
    let names: HashSet<&[u8]> = rows.iter().filter_map(|row| row.cells.first()).map(Vec::as_slice).collect();
    let begins_blank = |row: &&Row| row.cells.iter().any(|cell| cell.first() == Some(&b' '));
    rows.len() > 1 && names.len() == rows.len() && !names.contains(&b""[..]) && !rows.iter().any(begins_blank)
}

/// What stands behind one name: cells by a delimiter that the header does not have.
fn one_name(beginning: Beginning<'_>) -> Option<Shape> {
    let mut splitter = Splitter::new(beginning.delimiter);
    splitter.split_first(beginning.text);
    if splitter.cells().len() != 1 {
        return None;
    }
    let rows = rows_of(beginning, Quoting::default());
    let rows: Vec<_> = rows.iter().skip(1).filter(|row| !row.is_void).collect();
    let by = |delimiter: &Delimiter| {
        let mut splitter = Splitter::new(delimiter.byte());
        let mut counts = rows.iter().map(|row| {
            splitter.split(&beginning.text[row.from..row.to]);
            splitter.cells().len()
        });
        counts.next().is_some_and(|first| first > 1 && counts.all(|count| count == first))
    };
    [Delimiter::Semicolon, Delimiter::Tab].into_iter().find(by).map(Shape::OneNameAndRowsBy)
}

fn begin(beginning: Beginning<'_>, quoting: Quoting) -> Rows {
    let mut rows = Rows::new(beginning.delimiter);
    rows.set_limit(usize::MAX);
    rows.set_quoting(quoting);
    rows.push(beginning.text);
    if beginning.complete {
        rows.finish();
    }
    rows
}

/// Whether every row of `text` has as many cells as its header and no misplaced quote; else the line of the first that
/// is not so. A row that is cut off at the end does not count.
fn read(beginning: Beginning<'_>, quoting: Quoting) -> Result<(), u64> {
    let delimiter = beginning.delimiter;
    let mut rows = begin(beginning, quoting);
    let mut splitter = Splitter::new(delimiter);
    let mut rewritten = Vec::new();
    let (mut line, mut columns) = (1, None);
    while rows.advance() == Advance::Record {
        let Some(record) = rows.record() else { break };
        line += record.blank.lines;
        let text = without_ctrl_z(record.text);
        let (cells, whole, void) = if quoting.is_rfc4180() && text.is_none() {
            let void = record.cells.iter().all(|cell| is_void(cell.raw(record.text)));
            (record.cells.len(), record.stray.is_none() && !record.unclosed, void)
        } else {
            rewritten.clear();
            let text = text.unwrap_or(record.text);
            let has_misplaced = plain(text, quoting, delimiter, columns.unwrap_or(2), &mut rewritten);
            let is_sound = !splitter.split(&rewritten) && splitter.stray().is_none();
            let void = splitter.cells().iter().all(|cell| is_void(cell.raw(&rewritten)));
            (splitter.cells().len(), !has_misplaced && is_sound, void)
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

/// Appends a row as RFC 4180 writes it. `columns` is how many the header has. Returns whether a quote is misplaced.
pub(super) fn plain(row: &[u8], quoting: Quoting, delimiter: u8, columns: usize, out: &mut Vec<u8>) -> bool {
    let row = strip_marks(row);
    if quoting.is_rfc4180() {
        out.extend_from_slice(row);
        return false;
    }
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
    let text = strip_marks(text);
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

    fn found(text: &str, complete: bool) -> Recognised {
        recognise(Beginning { text: text.as_bytes(), complete, delimiter: b',', wanted: &["userId", "a"] }, true)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = found(text, true);
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
    fn a_row_that_the_sample_cuts_in_two_does_not_decide_the_dialect() {
        assert_eq!(found("a,b\n1,2\n3", false).trouble_line, None);
    }

    #[test]
    fn no_dialect_touches_a_row_that_rfc_4180_reads_whole() {
        // A short row, and a backslash at the end of the row before it.
        check("a,b\n1,C:\\tmp\\\n2\n3,D:\\x\n", "RFC 4180");
        // Two backslashes in a sound row.
        check("a,b\n1,\\\\server\n2,x\\,y\n", "RFC 4180");
        // Unless quotes show that the backslash escapes.
        check("a,b\n1,\\\\server\n2,\"say \\\"hi\\\"\"\n", "backslash escapes");
        // Nothing but backslashes may go from it then.
        check("a,b,c\n1,\"C:\\\",\", d\"\n2,\"5\\\" disk\",x\n", "RFC 4180");
        check("a,b,c\n1,\"C:\\\",\",\"\n2,\"5\\\" disk\",x\n", "RFC 4180");
        check("a,b\n1,5\" disk\n2,\"5\\\" disk\"\n", "RFC 4180");
    }

    #[test]
    fn one_quoted_line_among_others_is_a_cell() {
        check("a,b\nu1,\"x, y\"\nu2,z\n\"Generated on 5 May, 2024\"\n", "RFC 4180");
    }

    #[test]
    fn a_header_with_its_names_in_one_cell_is_a_line_in_quotes() {
        check("\"userId,b\"\n\"1,x\"\n\"2,y\"\n", "whole lines in quotes");
        check("\"b,c\"\n\"1,x\"\n", "RFC 4180");
        check("\"userId,b\"\n\"1,x\"\n\"2\"\n", "RFC 4180");
    }

    #[test]
    fn cell_counts_show_row_numbers_and_another_delimiter() {
        for (text, shape) in [
            ("a,b\n1,u,x\n2,v,y\n", Some(Shape::RowNumbers)),
            ("a,b\n0,u,x\n,,\n1,v,y\n", Some(Shape::RowNumbers)),
            ("a,b\nx,u,1\ny,v,2\n", Some(Shape::RowNames)),
            ("a,b\nx,u,1\nx,v,2\n", None),
            ("a,b\nx,Al, Bo\ny,Cy, Di\n", None),
            ("a,b\n1,Al, Bo\n", None),
            ("a,b\n1,u,\n2,v,\n", None),
            ("a,b\n1,Al, Bo\n2,Ann\n", None),
            ("a,b\n7,Al, Bo\n7,Cy, Di\n", None),
            ("a,b\n1;x\n2;y\n", Some(Shape::RowsBy(Delimiter::Semicolon))),
            ("a,b\n1;x\n2\n", None),
            ("a,b\nauth0|1\nauth0|2\n", None),
            ("a,b,c\n1|2|3\n", Some(Shape::RowsBy(Delimiter::Pipe))),
            ("a\n1;x\n2;y\n", Some(Shape::OneNameAndRowsBy(Delimiter::Semicolon))),
            ("a\n1;x\n2\n", None),
            ("a\nauth0|1\n", None),
        ] {
            assert_eq!(found(text, true).shape, shape, "{text}");
        }
    }
}
