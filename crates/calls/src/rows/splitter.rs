//! One record to its cells.

use memchr::{memchr, memchr3};
use protocol::reading::Quoting;

use super::cell::{Cell, QUOTE};
use crate::quoting::{Event, Walker, blank_before_quote};
use crate::text::CTRL_Z;

pub(super) const MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Whether a record that begins so may begin with a mark.
#[inline]
fn may_be_mark(first: u8) -> bool {
    first == MARK[0] || first == CTRL_Z
}

/// Whether a cell that begins so may begin with a blank or an invisible character, in UTF-8.
#[inline]
fn may_be_blank(first: u8) -> bool {
    matches!(first, b' ' | b'\t' | 0xC2 | 0xE1..=0xE3 | 0xEF)
}

/// A record without the marks that it begins with: byte order marks, and the Ctrl-Z of a text that DOS has joined with
/// another.
pub(crate) fn strip_marks(mut record: &[u8]) -> &[u8] {
    while let Some(rest) = record.strip_prefix(MARK).or_else(|| record.strip_prefix(&[CTRL_Z])) {
        record = rest;
    }
    record
}

/// Finds the cells of one record and where it ends; can be stopped at any byte and go on.
#[derive(Debug)]
pub(crate) struct Splitter {
    pub(super) delimiter: u8,
    state: State,
    /// The next byte to look at.
    pub(super) at: usize,
    /// Where the current cell's content begins.
    start: usize,
    /// How many quotes are to be taken out of the current cell.
    doubled: u32,
    /// Whether a quoted cell has been seen, the only place where a record can hold line ends.
    pub(super) quotes: bool,
    /// Whether a quoted cell ends in a backslash, so that its last quote may be content.
    backslash: bool,
    /// Whether [`MARK`] at the start of a record is a byte order mark, and a Ctrl-Z is no part of it.
    pub(super) marks: bool,
    /// The first cell that has text behind its closing quote, or a quote behind a blank.
    stray: Option<usize>,
    cells: Vec<Cell>,
    /// What finds the end of a record where RFC 4180 does not. Its cells are not split.
    walker: Option<Walker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At a cell's first byte, the only place where a quote opens a quoted cell.
    CellStart,
    /// In a cell without quotes, or behind the closing quote of `"a"b`.
    Bare,
    /// Between quotes.
    Quoted,
    /// Behind a quote within quotes: it closes, or it is the first of two.
    QuoteSeen,
}

/// What stands where a mark may.
enum Mark {
    Passed,
    None,
    /// The text runs out within it.
    CutOff,
}

impl Splitter {
    pub(crate) fn new(delimiter: u8) -> Splitter {
        Splitter {
            delimiter,
            state: State::CellStart,
            at: 0,
            start: 0,
            doubled: 0,
            quotes: false,
            backslash: false,
            marks: true,
            stray: None,
            cells: Vec::new(),
            walker: None,
        }
    }

    /// For records that are quoted in another way.
    pub(super) fn set_quoting(&mut self, quoting: Quoting) {
        let is_other = quoting != Quoting { lines: quoting.lines, ..Quoting::default() };
        self.walker = is_other.then(|| Walker::new(quoting, self.delimiter));
    }

    /// Makes ready for another record.
    pub(super) fn clear(&mut self) {
        self.state = State::CellStart;
        self.at = 0;
        self.start = 0;
        self.doubled = 0;
        self.quotes = false;
        self.backslash = false;
        self.stray = None;
        self.cells.clear();
        if let Some(walker) = &mut self.walker {
            walker.clear();
        }
    }

    /// Splits a record that is known to be whole. Returns whether a quote is left open.
    pub(crate) fn split(&mut self, record: &[u8]) -> bool {
        self.clear();
        // Transcoding cannot make a line end out of anything else, so the record stays one.
        let _ = self.scan(record);
        self.finish(record)
    }

    /// Splits the first record of `text`. Returns whether it ends there; if not, what there is of it
    /// is split.
    pub(crate) fn split_first(&mut self, text: &[u8]) -> bool {
        self.clear();
        let ended = self.scan(text).is_some();
        if !ended {
            self.finish(text);
        }
        ended
    }

    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The first cell of the record with a misplaced quote.
    pub(crate) fn stray(&self) -> Option<usize> {
        self.stray
    }

    /// Goes on in records of another dialect.
    #[cold]
    fn walk(&mut self, text: &[u8]) -> Option<usize> {
        while self.at == self.start && self.marks && text.get(self.at).is_some_and(|first| may_be_mark(*first)) {
            match self.pass_mark(text) {
                Mark::Passed => {}
                Mark::None => break,
                Mark::CutOff => return None,
            }
        }
        let walker = self.walker.as_mut()?;
        self.quotes = true;
        while let Some(byte) = text.get(self.at) {
            if walker.step(*byte) == Event::RowEnd {
                return Some(self.at);
            }
            self.at += 1;
        }
        None
    }

    /// Passes a byte order mark or a Ctrl-Z, if one is next.
    #[cold]
    fn pass_mark(&mut self, text: &[u8]) -> Mark {
        let rest = &text[self.at..];
        if rest.starts_with(MARK) || rest.first() == Some(&CTRL_Z) {
            self.at += if rest[0] == CTRL_Z { 1 } else { MARK.len() };
            self.start = self.at;
            Mark::Passed
        } else if MARK.starts_with(rest) {
            Mark::CutOff
        } else {
            Mark::None
        }
    }

    /// Notes a quote in a bare cell of a record in which a backslash stands before a closing quote.
    #[cold]
    fn look_for_quote(&mut self, cell: &[u8]) {
        if memchr(QUOTE, cell).is_some() && self.doubled == 0 {
            self.stray = self.stray.or(Some(self.cells.len()));
        }
    }

    /// Notes a quote behind the blanks that a bare cell begins with.
    #[cold]
    fn look_behind_blanks(&mut self, cell: &[u8]) {
        if self.doubled == 0 && blank_before_quote(cell, QUOTE).is_some() {
            self.stray = self.stray.or(Some(self.cells.len()));
        }
    }

    /// Splits the bare cells that come next, up to one that needs a second look or has no end in `text`. Returns the
    /// offset of the line end, if the record ends with them. Nearly every cell is split here.
    #[inline]
    fn pass_bare(&mut self, text: &[u8]) -> Option<usize> {
        let mut start = self.at;
        while let Some(&first) = text.get(start) {
            // Quotes and blanks are among the first 35 bytes of ASCII, and letters are not.
            if first <= QUOTE || may_be_blank(first) {
                break;
            }
            let Some(length) = memchr3(self.delimiter, b'\n', b'\r', &text[start..]) else { break };
            let end = start + length;
            self.cells.push(Cell::new(start, end, 0));
            start = end + 1;
            if text[end] != self.delimiter {
                self.begin(start);
                return Some(end);
            }
        }
        self.begin(start);
        None
    }

    /// Goes on in `text`, which begins where the record begins and holds at least what it held at
    /// the last call. Returns the offset of the line end, or `None` when `text` has run out.
    #[inline]
    pub(super) fn scan(&mut self, text: &[u8]) -> Option<usize> {
        if self.walker.is_some() {
            return self.walk(text);
        }
        loop {
            if self.state == State::CellStart
                && !self.backslash
                && let Some(end) = self.pass_bare(text)
            {
                return Some(end);
            }
            match self.state {
                State::CellStart => match text.get(self.at) {
                    None => return None,
                    Some(&QUOTE) => {
                        self.at += 1;
                        self.start = self.at;
                        self.quotes = true;
                        self.state = State::Quoted;
                    }
                    Some(&first) if may_be_mark(first) && self.cells.is_empty() && self.marks => {
                        match self.pass_mark(text) {
                            Mark::Passed => {}
                            Mark::None => self.state = State::Bare,
                            Mark::CutOff => return None,
                        }
                    }
                    Some(_) => self.state = State::Bare,
                },
                State::Bare => {
                    let Some(found) = memchr3(self.delimiter, b'\n', b'\r', &text[self.at..]) else {
                        self.at = text.len();
                        return None;
                    };
                    let end = self.at + found;
                    if may_be_blank(text[self.start]) {
                        self.look_behind_blanks(&text[self.start..end]);
                    }
                    if self.backslash {
                        self.look_for_quote(&text[self.start..end]);
                    }
                    self.close(end);
                    if text[end] != self.delimiter {
                        return Some(end);
                    }
                }
                State::Quoted => {
                    let Some(found) = memchr(QUOTE, &text[self.at..]) else {
                        self.at = text.len();
                        return None;
                    };
                    self.at += found + 1;
                    self.state = State::QuoteSeen;
                }
                State::QuoteSeen => match text.get(self.at) {
                    None => return None,
                    Some(&QUOTE) => {
                        self.doubled += 1;
                        self.at += 1;
                        self.state = State::Quoted;
                    }
                    Some(&byte) if byte == self.delimiter || byte == b'\n' || byte == b'\r' => {
                        let end = self.at;
                        self.backslash |= end > self.start + 1 && text[end - 2] == b'\\';
                        self.cells.push(Cell::new(self.start, end - 1, self.doubled));
                        self.begin(end + 1);
                        if byte != self.delimiter {
                            return Some(end);
                        }
                    }
                    Some(_) => {
                        self.doubled += 1;
                        self.stray = self.stray.or(Some(self.cells.len()));
                        self.state = State::Bare;
                    }
                },
            }
        }
    }

    /// Ends the record where the text ends. Returns whether a quote is left open.
    pub(super) fn finish(&mut self, text: &[u8]) -> bool {
        let length = text.len();
        if let Some(walker) = &self.walker {
            return walker.is_open();
        }
        if self.state == State::Bare && text.get(self.start).is_some_and(|first| may_be_blank(*first)) {
            self.look_behind_blanks(&text[self.start..]);
        }
        if self.state == State::Bare && self.backslash {
            self.look_for_quote(&text[self.start..]);
        }
        match self.state {
            State::CellStart | State::Bare | State::Quoted => self.close(length),
            State::QuoteSeen => {
                self.cells.push(Cell::new(self.start, length - 1, self.doubled));
            }
        }
        self.state == State::Quoted
    }

    #[inline]
    fn close(&mut self, end: usize) {
        self.cells.push(Cell::new(self.start, end, self.doubled));
        if self.state != State::Quoted {
            self.begin(end + 1);
        }
    }

    #[inline]
    fn begin(&mut self, start: usize) {
        self.at = start;
        self.start = start;
        self.doubled = 0;
        self.state = State::CellStart;
    }
}
