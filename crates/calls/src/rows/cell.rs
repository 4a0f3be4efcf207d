//! A cell: a range of its record.

use memchr::memchr;

pub(super) const QUOTE: u8 = b'"';

/// One cell: a range of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    start: u32,
    end: u32,
    /// How many quotes are to be taken out.
    quotes: u32,
}

impl Cell {
    #[inline]
    pub(crate) fn new(start: usize, end: usize, quotes: u32) -> Cell {
        // A record is at most ROW_BYTES_MAX (a header less), plus what one push holds beyond it.
        let narrow = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Cell { start: narrow(start), end: narrow(end), quotes }
    }

    /// The bytes between the cell's quotes, or all of them, with the quotes inside as they stand.
    #[inline]
    pub(crate) fn raw<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        &record[self.start as usize..self.end as usize]
    }

    /// Whether it stands in quotes.
    #[inline]
    pub(crate) fn is_quoted(&self, record: &[u8]) -> bool {
        self.start > 0 && record[self.start as usize - 1] == QUOTE
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The same cell where its bytes begin at `start` in another text.
    pub(crate) fn moved_to(&self, start: usize) -> Cell {
        Cell::new(start, start + self.end() - self.start(), self.quotes)
    }

    /// Where the cell's content begins in its record.
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the cell's content ends in its record.
    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }

    /// How long the value is.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.end - self.start - self.quotes
    }

    /// The cell's value; `scratch` holds it when it cannot be had without copying.
    #[inline]
    pub(crate) fn value<'a>(&self, record: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if self.quotes > 0 {
            scratch.clear();
            self.unescape(record, scratch);
            scratch
        } else {
            self.raw(record)
        }
    }

    /// Appends the value with its quotes resolved.
    pub(crate) fn unescape(&self, record: &[u8], out: &mut Vec<u8>) {
        let mut rest = self.raw(record);
        if self.quotes == 0 {
            out.extend_from_slice(rest);
            return;
        }
        while let Some(at) = memchr(QUOTE, rest) {
            if rest.get(at + 1) == Some(&QUOTE) {
                out.extend_from_slice(&rest[..=at]);
                rest = &rest[at + 2..];
            } else {
                // The closing quote of `"a"b`: from here on quotes are content.
                out.extend_from_slice(&rest[..at]);
                rest = &rest[at + 1..];
                break;
            }
        }
        out.extend_from_slice(rest);
    }
}
