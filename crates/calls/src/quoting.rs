//! Rows that are quoted otherwise than RFC 4180 has it: where they end, and the same row as RFC 4180 would write it.
//!
//! Everything behind this reads RFC 4180 alone. These dialects are read a byte at a time: they are few.

use protocol::reading::{Escape, Quoting};

use crate::ids::is_invisible;

/// What a row that could not be read in its dialect has wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Misplaced {
    /// A quote is never closed.
    pub(crate) unclosed: bool,
    /// Something stands behind a closing quote, or a quote stands where the dialect has none.
    pub(crate) stray: bool,
}

impl Misplaced {
    pub(crate) fn is_any(self) -> bool {
        self.unclosed || self.stray
    }
}

/// Reads rows of one dialect, a byte at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walker {
    quote: u8,
    delimiter: u8,
    backslash: bool,
    spaced: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At a cell's first byte.
    CellStart,
    /// In blanks that may stand before a quote.
    Leading,
    /// In a cell without quotes.
    Bare,
    /// Behind a backslash there.
    BareEscaped,
    /// Between quotes.
    Quoted,
    /// Behind a backslash there.
    QuotedEscaped,
    /// Behind a quote within quotes.
    QuoteSeen,
    /// In blanks behind a closing quote.
    Trailing,
}

/// What a byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing of the cell.
    Nothing,
    /// A blank that belongs to the cell unless a quote follows.
    Held,
    /// A byte of the cell.
    Content,
    /// A byte of the cell, and the backslash before it as well.
    ContentBehindBackslash,
    /// A byte behind a closing quote, or a quote within a cell without quotes where backslashes escape quotes.
    Stray,
    /// The end of the cell.
    CellEnd,
    /// The end of the row.
    RowEnd,
}

impl Walker {
    pub(crate) fn new(quoting: Quoting, delimiter: u8) -> Walker {
        Walker {
            quote: quoting.quote.byte(),
            delimiter,
            backslash: quoting.escape == Escape::Backslash,
            spaced: quoting.spaced,
            state: State::CellStart,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.state = State::CellStart;
    }

    /// Whether a quote is open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Quoted | State::QuotedEscaped)
    }

    pub(crate) fn step(&mut self, byte: u8) -> Event {
        let blank = byte == b' ' || (byte == b'\t' && self.delimiter != b'\t');
        match self.state {
            State::CellStart | State::Leading if byte == self.quote => self.go(State::Quoted, Event::Nothing),
            State::CellStart | State::Leading if self.spaced && blank => self.go(State::Leading, Event::Held),
            State::CellStart | State::Leading | State::Bare => self.bare(byte),
            State::BareEscaped => self.escaped(byte, State::Bare),
            State::QuotedEscaped => self.escaped(byte, State::Quoted),
            State::Quoted if byte == self.quote => self.go(State::QuoteSeen, Event::Nothing),
            State::Quoted if self.backslash && byte == b'\\' => self.go(State::QuotedEscaped, Event::Nothing),
            State::Quoted => Event::Content,
            State::QuoteSeen if byte == self.quote => self.go(State::Quoted, Event::Content),
            State::QuoteSeen | State::Trailing if self.is_end(byte) => self.end(byte),
            State::QuoteSeen | State::Trailing if self.spaced && blank => self.go(State::Trailing, Event::Nothing),
            State::QuoteSeen | State::Trailing => self.go(State::Bare, Event::Stray),
        }
    }

    fn bare(&mut self, byte: u8) -> Event {
        match byte {
            _ if self.is_end(byte) => self.end(byte),
            b'\\' if self.backslash => self.go(State::BareEscaped, Event::Nothing),
            // A program that escapes quotes does so in every cell.
            _ if self.backslash && byte == self.quote => self.go(State::Bare, Event::Stray),
            _ => self.go(State::Bare, Event::Content),
        }
    }

    fn escaped(&mut self, byte: u8, back: State) -> Event {
        let meant = byte == self.quote || byte == b'\\' || self.is_end(byte);
        self.go(back, if meant { Event::Content } else { Event::ContentBehindBackslash })
    }

    fn is_end(&self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'\n' | b'\r')
    }

    fn end(&mut self, byte: u8) -> Event {
        self.go(State::CellStart, if byte == self.delimiter { Event::CellEnd } else { Event::RowEnd })
    }

    fn go(&mut self, state: State, event: Event) -> Event {
        self.state = state;
        event
    }
}

/// Appends a row as RFC 4180 writes it. `row` is whole, without its line end.
pub(crate) fn rewrite(row: &[u8], quoting: Quoting, delimiter: u8, out: &mut Vec<u8>) -> Misplaced {
    let mut walker = Walker::new(quoting, delimiter);
    let mut misplaced = Misplaced::default();
    let mut cell = Vec::new();
    // Where blanks begin that belong to the cell unless a quote follows.
    let mut held: Option<usize> = None;
    let mut cell_from = 0;
    for (at, &byte) in row.iter().enumerate() {
        let event = walker.step(byte);
        if !matches!(event, Event::Held | Event::Nothing)
            && let Some(from) = held.take()
        {
            cell.extend_from_slice(&row[from..at]);
        }
        match event {
            Event::Held => held = held.or(Some(at)),
            // An opening quote makes nothing of the blanks before it; a backslash is no end of them.
            Event::Nothing if walker.is_open() => held = None,
            Event::Nothing => {
                if let Some(from) = held.take() {
                    cell.extend_from_slice(&row[from..at]);
                }
            }
            Event::Content => cell.push(byte),
            Event::ContentBehindBackslash => cell.extend_from_slice(&[b'\\', byte]),
            Event::Stray => {
                misplaced.stray = true;
                cell.push(byte);
            }
            Event::CellEnd | Event::RowEnd => {
                misplaced.stray |= has_stray_blank(&row[cell_from..at], quoting);
                cell_from = at + 1;
                write_cell(&cell, delimiter, out);
                cell.clear();
                out.push(delimiter);
            }
        }
    }
    misplaced.stray |= has_stray_blank(&row[cell_from..], quoting);
    if let Some(from) = held {
        cell.extend_from_slice(&row[from..]);
    }
    if matches!(walker.state, State::BareEscaped | State::QuotedEscaped) {
        cell.push(b'\\');
    }
    write_cell(&cell, delimiter, out);
    misplaced.unclosed = walker.is_open();
    misplaced
}

/// Whether a cell begins with blanks that the dialect does not have, and a quote.
fn has_stray_blank(cell: &[u8], quoting: Quoting) -> bool {
    blank_before_quote(cell, quoting.quote.byte()).is_some_and(|blank| !quoting.spaced || !blank.is_ascii())
}

/// The blank that a cell begins with, if nothing but blanks and invisible characters stands before its first quote. If
/// there are several, the first that is not of the keyboard.
pub(crate) fn blank_before_quote(cell: &[u8], quote: u8) -> Option<char> {
    let mut found: Option<char> = None;
    let mut rest = cell;
    loop {
        let c = first_char(rest)?;
        if c == char::from(quote) {
            return found;
        }
        if !c.is_whitespace() && !is_invisible(c) {
            return None;
        }
        found = found.filter(|found| c.is_ascii() || !found.is_ascii()).or(Some(c));
        rest = &rest[c.len_utf8()..];
    }
}

fn first_char(text: &[u8]) -> Option<char> {
    const CHAR_BYTES_MAX: usize = 4;
    text[..text.len().min(CHAR_BYTES_MAX)].utf8_chunks().next()?.valid().chars().next()
}

/// Appends a cell as RFC 4180 writes it.
pub(crate) fn write_cell(value: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    if !value.iter().any(special) {
        out.extend_from_slice(value);
    } else {
        quote_cell(value, out);
    }
}

/// Appends a cell in quotes.
pub(crate) fn quote_cell(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in value {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Quote;

    const BACKSLASH: Quoting = Quoting { quote: Quote::Double, escape: Escape::Backslash, spaced: false, lines: false };
    const SPACED: Quoting = Quoting { quote: Quote::Double, escape: Escape::Doubled, spaced: true, lines: false };
    const SINGLE: Quoting = Quoting { quote: Quote::Single, escape: Escape::Doubled, spaced: false, lines: false };

    #[track_caller]
    fn check(quoting: Quoting, row: &str, expected: &str) {
        let mut out = Vec::new();
        let misplaced = rewrite(row.as_bytes(), quoting, b',', &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{row}");
        assert_eq!(misplaced, Misplaced::default(), "{row}");
    }

    #[test]
    fn backslashes_escape_quotes_delimiters_line_ends_and_themselves() {
        check(BACKSLASH, r#"1,"say \"hi\"",gold"#, r#"1,"say ""hi""",gold"#);
        check(BACKSLASH, r#"1,a\,b,"c\\""#, r#"1,"a,b",c\"#);
        check(BACKSLASH, "1,a\\\nb,x", "1,\"a\nb\",x");
        check(BACKSLASH, r#"1,\N,"C:\dir""#, r"1,\N,C:\dir");
        check(BACKSLASH, r#"1,"a ""b""""#, r#"1,"a ""b""""#);
        check(BACKSLASH, r"1,a\", r"1,a\");
    }

    #[test]
    fn blanks_outside_of_quotes_are_no_part_of_a_quoted_cell() {
        check(SPACED, r#"1, "Al, Bo" ,"gold" "#, r#"1,"Al, Bo",gold"#);
        check(SPACED, "1,  a b ,c", "1,  a b ,c");
        check(SPACED, "1, ,  ", "1, ,  ");
    }

    #[test]
    fn single_quotes_stand_around_cells_where_they_are_set() {
        check(SINGLE, r#"'1','it''s, "so"',x"#, r#"1,"it's, ""so""",x"#);
    }

    #[test]
    fn misplaced_quotes_are_found_in_every_dialect() {
        let misplaced = |quoting, row: &str| rewrite(row.as_bytes(), quoting, b',', &mut Vec::new());
        assert!(misplaced(BACKSLASH, r#"1,"a"b"#).stray);
        assert!(misplaced(BACKSLASH, r#"1,"a\""#).unclosed);
        assert!(misplaced(BACKSLASH, r#"1,5" pipe"#).stray);
        assert!(misplaced(BACKSLASH, r#"1,"a\",", b""#).stray);
        assert!(!misplaced(BACKSLASH, r#"1,5\" pipe"#).stray);
        assert!(misplaced(SPACED, r#"1, "a" b"#).stray);
        for blank in ["\u{A0}", " \u{A0}", "\u{3000}", "\u{200B} "] {
            assert!(misplaced(SPACED, &format!("1,{blank}\"a\"")).stray, "{blank:?}");
            assert!(misplaced(BACKSLASH, &format!("{blank}\"a\",1")).stray, "{blank:?}");
            assert!(!misplaced(SPACED, &format!("1,{blank}a \"b\"")).stray, "{blank:?}");
        }
    }
}
