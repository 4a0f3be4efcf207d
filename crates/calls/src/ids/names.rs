//! The names of a file's columns, to find a header among the rows.

use std::collections::HashSet;

use super::Nulls;

/// The names of a file's columns, to find a header among the rows.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: Nulls,
    /// Letters and digits of the names, in small letters.
    plain: HashSet<String>,
    /// A bit for each length in bytes that a name may have in other words.
    lengths: u64,
    /// A bit for each letter that a name begins with.
    firsts: u32,
    /// By column, letters and digits of its name and of the name's last part, in small letters: `traitsemail` and `email`
    /// of `traits.email`.
    columns: Vec<[String; 2]>,
}

impl Names {
    /// Names of columns, with their types and without.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Names {
        let untyped = names.clone().filter_map(|name| name.rsplit_once(':')).map(|(name, _)| name);
        let plain: HashSet<String> =
            names.clone().chain(untyped).map(plain).filter(|name| name.contains(|c: char| c.is_alphabetic())).collect();
        // Some signs may stand between the words of a name.
        let lengths = plain.iter().flat_map(|name| name.len()..=name.len() + 4).map(Nulls::bit);
        let firsts = plain.iter().filter_map(|name| name.bytes().next()).map(Names::first_bit);
        let columns = names.clone().map(|name| {
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            [name, name.rsplit('.').next().unwrap_or(name)].map(self::plain)
        });
        Names {
            columns: columns.collect(),
            lengths: lengths.fold(0, |all, bit| all | bit),
            firsts: firsts.fold(0, |all, bit| all | bit),
            exact: Nulls::new(names.map(str::to_owned).collect()),
            plain,
        }
    }

    fn first_bit(first: u8) -> u32 {
        1 << (first & 0x1F)
    }

    /// Whether a cell may be a name, in other words. What ends in a digit is an id unless it is exactly a name.
    #[inline]
    pub(super) fn may_have(&self, first: u8, last: u8, cell: &[u8]) -> bool {
        if last.is_ascii_digit() {
            return self.exact.has(cell);
        }
        self.lengths & Nulls::bit(cell.len()) != 0 && self.firsts & Names::first_bit(first) != 0
    }

    /// Whether a cell is a name: `User ID` is `userId`.
    pub(super) fn has(&self, cell: &[u8]) -> bool {
        let (Some(first), Some(last)) = (cell.first(), cell.last()) else { return false };
        if !first.is_ascii_alphabetic() || last.is_ascii_digit() {
            return self.exact.has(cell) && cell.iter().any(u8::is_ascii_alphabetic);
        }
        self.may_have(*first, *last, cell)
            && std::str::from_utf8(cell).is_ok_and(|cell| self.plain.contains(&plain(cell)))
    }

    /// Whether a cell is the name of its column or the last part of it, in other words: `Email` is `traits.email`.
    pub(crate) fn is_of_column(&self, column: usize, cell: &[u8]) -> bool {
        let Some(names) = self.columns.get(column) else { return false };
        let may_be = cell.first().is_some_and(u8::is_ascii_alphabetic);
        may_be && std::str::from_utf8(cell).is_ok_and(|cell| names.iter().any(|name| letters(cell).eq(name.chars())))
    }
}

/// The letters and digits of a name, in small letters.
fn plain(name: &str) -> String {
    letters(name).collect()
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}
