//! Bytes to records and cells.
//!
//! RFC 4180 as the `csv` crate reads it, which is the reference that the tests hold this to:
//!
//! * LF, CRLF and a lone CR each end a record; blank lines are skipped;
//! * a quote means something only as the first byte of a cell; there, delimiters and line ends are
//!   content until the next quote, and a doubled quote is one quote;
//! * what follows a closing quote belongs to the cell as it stands (`"a"b` is `ab`).
//!
//! Byte order marks and Ctrl-Z at the start of a record are no part of its first cell: joined files have them.
//!
//! Three things are reported besides:
//!
//! * a quote that is still open at the end of the file;
//! * a misplaced quote: with text after a closing quote, behind a blank, or in a bare cell if a backslash stands before a
//!   closing quote of the record;
//! * a record beyond [`ROW_BYTES_MAX`].
//!
//! Records of other dialects are found by [`crate::quoting::Walker`], and not split here.
//!
//! Cells are not copied: a [`Cell`] is a range of the record, and only a cell with a doubled quote
//! ever needs [`Cell::unescape`].

mod cell;
mod splitter;

use protocol::reading::Quoting;

pub(crate) use cell::Cell;
pub(crate) use splitter::{Splitter, strip_marks};

/// Longest record, without its line end. A longer one is a quote that was never closed, in nearly
/// every case: 1 MiB is 32 times what Segment takes in one call.
pub const ROW_BYTES_MAX: usize = 1024 * 1024;

/// Records out of text that arrives in pieces: `push`, [`Rows::advance`] until it starves, `finish`.
#[derive(Debug)]
pub(crate) struct Rows {
    text: Vec<u8>,
    /// Where the next record begins in `text`, or a blank line before it.
    head: usize,
    /// The blank lines passed since the last record.
    blank: Blank,
    splitter: Splitter,
    /// Where the line ends of the record that begins at `head`, once it is found.
    line_end: Option<usize>,
    /// The record that begins at `head`, once it is known whole.
    current: Option<Extent>,
    finished: bool,
    limit: usize,
}

/// Blank lines between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blank {
    /// How long they are, line ends being all that is in them.
    pub(crate) bytes: u64,
    /// How many they are.
    pub(crate) lines: u64,
}

/// Where the current record lies.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Without the line end.
    length: usize,
    /// Length of the line end: 0 at the end of the file, 2 for CRLF.
    line_end: usize,
    unclosed: bool,
}

/// What [`Rows::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    /// A record; see [`Rows::record`].
    Record,
    /// More text is needed.
    Starved,
    /// There is no further record.
    End,
    /// A record beyond the limit begins here. Nothing after it can be trusted.
    TooLong,
}

/// The record that [`Rows::advance`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Its text, without the line end.
    pub(crate) text: &'a [u8],
    pub(crate) cells: &'a [Cell],
    /// Length of its line end.
    pub(crate) line_end: usize,
    /// How many line ends it holds, with the one at its end.
    pub(crate) lines: u64,
    /// The blank lines before it.
    pub(crate) blank: Blank,
    /// Whether the file ends within quotes.
    pub(crate) unclosed: bool,
    /// Whether a cell stands in quotes.
    pub(crate) has_quotes: bool,
    /// The first cell that has text behind its closing quote, or a quote behind a blank: no cell
    /// behind it can be trusted.
    pub(crate) stray: Option<usize>,
}

impl Rows {
    pub(crate) fn new(delimiter: u8) -> Rows {
        Rows {
            text: Vec::new(),
            head: 0,
            blank: Blank::default(),
            splitter: Splitter::new(delimiter),
            line_end: None,
            current: None,
            finished: false,
            limit: ROW_BYTES_MAX,
        }
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.inlet().extend_from_slice(text);
    }

    /// Where further text is to be appended.
    pub(crate) fn inlet(&mut self) -> &mut Vec<u8> {
        debug_assert!(!self.finished, "text after the end");
        // Moving what is unread costs at most what was read since the last move.
        if self.head > self.text.len() / 2 {
            self.text.drain(..self.head);
            self.head = 0;
        }
        &mut self.text
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The text from the record that begins next, or has begun.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.text[self.head..]
    }

    /// Uses another delimiter from the next record on, of which nothing has been looked at.
    pub(crate) fn set_delimiter(&mut self, delimiter: u8) {
        let between = self.splitter.at == 0 || self.current.is_some();
        debug_assert!(between || self.splitter.delimiter == delimiter, "a record is being split");
        self.splitter.delimiter = delimiter;
    }

    /// Looks for records that are quoted in another way, from the next one on.
    pub(crate) fn set_quoting(&mut self, quoting: Quoting) {
        self.splitter.set_quoting(quoting);
    }

    /// Whether the bytes of a byte order mark can be nothing else at the start of a record.
    pub(crate) fn set_marks(&mut self, marks: bool) {
        self.splitter.marks = marks;
    }

    /// The text behind the record that was found last.
    pub(crate) fn upcoming(&self) -> &[u8] {
        let behind = self.current.map_or(0, |extent| extent.length + extent.line_end);
        &self.text[self.head + behind..]
    }

    /// Uses another limit from the next record on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Finds the next record. The one before it is gone.
    #[inline]
    pub(crate) fn advance(&mut self) -> Advance {
        if let Some(extent) = self.current.take() {
            self.head += extent.length + extent.line_end;
            self.blank = Blank::default();
            self.splitter.clear();
        }
        if self.splitter.at == 0 && !self.skip_blank_lines() {
            return if self.finished { Advance::End } else { Advance::Starved };
        }
        let text = &self.text[self.head..];
        if self.line_end.is_none() {
            self.line_end = self.splitter.scan(text);
        }
        if self.line_end.unwrap_or(text.len()) > self.limit {
            return Advance::TooLong;
        }
        let extent = match self.line_end {
            Some(length) => match (text[length], text.get(length + 1)) {
                (b'\r', Some(b'\n')) => Extent { length, line_end: 2, unclosed: false },
                // The next piece says whether this is a CRLF.
                (b'\r', None) if !self.finished => return Advance::Starved,
                _ => Extent { length, line_end: 1, unclosed: false },
            },
            None if !self.finished => return Advance::Starved,
            None => Extent { length: text.len(), line_end: 0, unclosed: self.splitter.finish(text) },
        };
        self.line_end = None;
        self.current = Some(extent);
        Advance::Record
    }

    /// Steps over line ends, between two records. Returns whether a record begins behind them.
    ///
    /// They are gone at once: a file of nothing but line ends takes no memory.
    #[inline]
    pub(crate) fn skip_blank_lines(&mut self) -> bool {
        loop {
            let length = match self.text[self.head..] {
                [] => return false,
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                [b'\r'] if !self.finished => return false,
                [b'\r', ..] => 1,
                _ => return true,
            };
            self.head += length;
            self.blank.bytes += length as u64;
            self.blank.lines += 1;
        }
    }

    /// The line that is next, with its line end, or what there is of it at the end. `None`: more text is needed.
    ///
    /// Lines are those of the text: quotes mean nothing in them.
    pub(crate) fn line(&self) -> Option<&[u8]> {
        let text = &self.text[self.head..];
        let end = match memchr::memchr2(b'\n', b'\r', text) {
            Some(at) => match (text[at], text.get(at + 1)) {
                (b'\r', Some(b'\n')) => at + 2,
                (b'\r', None) if !self.finished => return None,
                _ => at + 1,
            },
            None if self.finished => text.len(),
            None => return None,
        };
        Some(&text[..end])
    }

    /// Steps over the first bytes of the text, between two records.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.head += bytes;
    }

    /// The record found last. Without a call: what a call leaves in memory is read in wider pieces than it was written in,
    /// and a processor waits for that.
    #[inline(always)]
    pub(crate) fn record(&self) -> Option<Record<'_>> {
        let Extent { length, line_end, unclosed } = self.current?;
        let text = &self.text[self.head..self.head + length];
        let inside = if self.splitter.has_quotes() { count_lines(text) } else { 0 };
        Some(Record {
            text,
            cells: self.splitter.cells(),
            line_end,
            lines: inside + u64::from(line_end > 0),
            blank: self.blank,
            unclosed,
            has_quotes: self.splitter.has_quotes(),
            stray: self.splitter.stray(),
        })
    }

    /// The blank lines passed since the last record.
    pub(crate) fn blank(&self) -> Blank {
        self.blank
    }

    /// At [`Advance::End`], once: the blank lines behind the last record.
    pub(crate) fn take_blank(&mut self) -> Blank {
        std::mem::take(&mut self.blank)
    }
}

/// Counts the line ends in `text`: LF, CRLF and a lone CR each count once.
pub(crate) fn count_lines(text: &[u8]) -> u64 {
    let mut lines = 0;
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let crlf = rest[at] == b'\r' && rest.get(at + 1) == Some(&b'\n');
        rest = &rest[at + 1 + usize::from(crlf)..];
        lines += 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::splitter::MARK;
    use super::*;
    use proptest::prelude::*;

    /// Records as owned cells.
    type Records = Vec<Vec<Vec<u8>>>;

    /// Pushes `text` in pieces of the given lengths, over and over, taking what there is after each.
    fn read(text: &[u8], delimiter: u8, pieces: &[usize]) -> Records {
        let mut rows = Rows::new(delimiter);
        let (mut records, mut at) = (Records::new(), 0);
        let mut rest = text;
        let mut lengths = pieces.iter().cycle();
        loop {
            match rows.advance() {
                Advance::Record => {
                    let record = rows.record().unwrap();
                    let mut scratch = Vec::new();
                    let cells = record.cells.iter().map(|cell| cell.value(record.text, &mut scratch).to_vec());
                    records.push(cells.collect());
                    let blank = usize::try_from(record.blank.bytes).unwrap();
                    let whole = &text[at..at + blank + record.text.len() + record.line_end];
                    assert_eq!(&whole[blank..blank + record.text.len()], record.text);
                    assert_eq!(record.blank.lines, count_lines(&whole[..blank]));
                    assert_eq!(record.blank.lines + record.lines, count_lines(whole));
                    at += whole.len();
                }
                Advance::Starved if rest.is_empty() => rows.finish(),
                Advance::Starved => {
                    let length = lengths.next().map_or(1, |length| (*length).clamp(1, rest.len()));
                    let (piece, after) = rest.split_at(length);
                    rows.push(piece);
                    rest = after;
                }
                Advance::End => {
                    let blank = rows.take_blank();
                    assert_eq!(blank.lines, count_lines(&text[at..]));
                    assert_eq!(at + usize::try_from(blank.bytes).unwrap(), text.len(), "every byte has its place");
                    return records;
                }
                Advance::TooLong => panic!("no row is that long"),
            }
        }
    }

    /// What the `csv` crate reads, which is the reference.
    fn reference(text: &[u8], delimiter: u8) -> Records {
        csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text)
            .into_byte_records()
            .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
            .collect()
    }

    /// Text in which everything that means something is frequent.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            3 => Just(b"\"".to_vec()),
            3 => Just(b",".to_vec()),
            1 => Just(b";".to_vec()),
            2 => Just(b"\n".to_vec()),
            2 => Just(b"\r".to_vec()),
            1 => Just(b"\r\n".to_vec()),
            2 => "[a-c ]{1,3}".prop_map(String::into_bytes),
            1 => Just("ü€😀".as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 1..4),
        ];
        proptest::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
    }

    /// Text as a program writes it: every cell that needs it quoted, and some that do not.
    fn written() -> impl Strategy<Value = Vec<u8>> {
        let cell = prop_oneof!["[a-zA-Z0-9 ]{0,40}", "[\",\r\na ]{0,12}", Just("2019-05-11T20:32:27.940Z".to_owned()),];
        let row = proptest::collection::vec(cell, 1..8);
        (proptest::collection::vec(row, 0..12), any::<bool>()).prop_map(|(rows, crlf)| {
            let mut writer = csv::WriterBuilder::new()
                .flexible(true)
                .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
                .from_writer(Vec::new());
            for row in rows {
                writer.write_record(&row).unwrap();
            }
            writer.into_inner().unwrap()
        })
    }

    fn pieces() -> impl Strategy<Value = Vec<usize>> {
        prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), proptest::collection::vec(1_usize..40, 1..6),]
    }

    /// The reference takes a byte order mark away at the start of the text alone, and no Ctrl-Z.
    fn has_mark(text: &[u8]) -> bool {
        text.windows(MARK.len()).any(|at| at == MARK) || text.contains(&0x1A)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_chunking_gives_the_rows_of_the_csv_crate(
            text in prop_oneof![hostile(), written()],
            delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
            pieces in pieces(),
        ) {
            prop_assume!(!has_mark(&text));
            prop_assert_eq!(read(&text, delimiter, &pieces), reference(&text, delimiter));
        }

        #[test]
        fn a_record_is_split_alone_as_it_is_among_others(text in hostile()) {
            let mut rows = Rows::new(b',');
            rows.push(&text);
            rows.finish();
            let mut splitter = Splitter::new(b',');
            while rows.advance() == Advance::Record {
                let record = rows.record().unwrap();
                prop_assert_eq!(splitter.split(record.text), record.unclosed);
                prop_assert_eq!(splitter.cells(), record.cells);
            }
        }
    }

    #[test]
    fn a_quote_that_is_open_at_the_end_is_reported() {
        for (text, unclosed) in [
            ("a,\"b", true),
            ("a,\"b\"\"", true),
            ("\"", true),
            ("a,\"b\"", false),
            ("a,\"b\"c\"", false),
            ("a,b\"", false),
        ] {
            let mut rows = Rows::new(b',');
            rows.push(text.as_bytes());
            rows.finish();
            assert_eq!(rows.advance(), Advance::Record);
            assert_eq!(rows.record().unwrap().unclosed, unclosed, "{text}");
        }
    }

    #[test]
    fn byte_order_marks_at_the_start_of_a_record_are_no_part_of_its_cells() {
        for pieces in [&[1][..], &[2], &[usize::MAX]] {
            let text = "a,b\n\u{FEFF}\"c\nd\",\u{FEFF}e\n\u{FEFF}\u{FEFF}f\n\u{FEFF}\n";
            let expected: Records = [vec!["a", "b"], vec!["c\nd", "\u{FEFF}e"], vec!["f"], vec![""]]
                .map(|cells| cells.into_iter().map(|cell| cell.as_bytes().to_vec()).collect())
                .to_vec();
            assert_eq!(read(text.as_bytes(), b',', pieces), expected);
        }
    }

    #[test]
    fn a_quote_in_an_unquoted_cell_is_misplaced_only_after_a_quoted_cell_that_ends_in_a_backslash() {
        for (row, stray) in
            [(r#"1,"a\",b""#, Some(2)), (r#""a\",b",c"#, Some(1)), (r#""C:\",b"#, None), (r#""a",5""#, None)]
        {
            let mut splitter = Splitter::new(b',');
            splitter.split(row.as_bytes());
            assert_eq!(splitter.stray(), stray, "{row}");
        }
    }

    #[test]
    fn a_row_beyond_the_limit_is_found_however_it_is_cut() {
        for length in [ROW_BYTES_MAX, ROW_BYTES_MAX + 1] {
            for piece in [length / 3, length, 2 * length] {
                let text = [&vec![b'a'; length][..], b"\nb\n"].concat();
                let mut rows = Rows::new(b',');
                let mut found = Advance::Starved;
                for piece in text.chunks(piece) {
                    rows.push(piece);
                    found = rows.advance();
                    if found != Advance::Starved {
                        break;
                    }
                }
                let expected = if length > ROW_BYTES_MAX { Advance::TooLong } else { Advance::Record };
                assert_eq!(found, expected, "{length} in pieces of {piece}");
            }
        }
    }
}
