//! Places in a file, and ranges of its bytes. All offsets count raw decompressed bytes, before any transcoding.

use serde::{Deserialize, Serialize};

/// A place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Offset from the beginning of the decompressed source.
    pub byte: u64,
    /// The physical line, counted from 1; LF, CRLF and a lone CR each end one.
    pub line: u64,
}

impl Position {
    /// Where every file begins.
    pub const START: Position = Position { byte: 0, line: 1 };
}

/// The bytes `[from, to)` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

impl ByteRange {
    /// True if all bytes of the other range are in this one.
    #[must_use]
    pub fn covers(self, other: ByteRange) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}
