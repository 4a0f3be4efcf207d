//! The name of one column, taken apart.

use std::fmt;

use super::CellType;
use crate::ids;
use crate::refusal::{FaultCode, FileFault};

/// A column's name, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading<'a> {
    /// The whole name, without blanks and invisible characters around it.
    pub(super) full: &'a str,
    /// The name without its type.
    pub(super) name: &'a str,
    /// The type that the name says.
    pub(super) named: Option<CellType>,
    /// Where a mapping says the path: `full` is the name in the file then, and `name` the path.
    pub(super) mapped: Option<Mapped<'a>>,
}

/// How the path of a mapping is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapped<'a> {
    /// As that of a header.
    Path,
    /// A container, and one key below it, which no sign in it takes apart.
    Key(&'a str, &'a str),
}

impl<'a> Heading<'a> {
    pub(super) fn read(name: &'a str) -> Heading<'a> {
        let full = name.trim_matches(ids::is_nothing);
        let typed = full.rsplit_once(':').and_then(|(name, word)| Some((name.trim_end(), CellType::named(word)?)));
        match typed {
            Some((name, cell)) if !name.is_empty() => Heading { full, name, named: Some(cell), mapped: None },
            _ => Heading { full, name: full, named: None, mapped: None },
        }
    }

    /// The whole path, without a type.
    pub(super) fn path(&self) -> String {
        match self.mapped {
            Some(Mapped::Key(container, key)) => format!("{container}.{key}"),
            _ => self.name.to_owned(),
        }
    }

    /// The last part of the path, by which a column's type goes that its name does not say.
    pub(super) fn last(&self) -> &'a str {
        if let Some(Mapped::Key(_, key)) = self.mapped {
            return key;
        }
        let last = self.name.rsplit('.').next().unwrap_or(self.name);
        last.strip_suffix("[]").unwrap_or(last)
    }

    /// The name as a message shows it: what people do not see in it is said.
    pub(super) fn shown(&self) -> String {
        shown(self.full)
    }

    /// What a name has that people do not see in it.
    pub(super) fn hidden(&self) -> Option<String> {
        if self.mapped == Some(Mapped::Path) {
            return None;
        }
        match hidden(self.full)? {
            '\n' | '\r' => Some("a line break stands in the name, and is sent with it".to_owned()),
            c => Some(format!("U+{:04X} stands in the name, and is sent with it", u32::from(c))),
        }
    }

    /// The type that may be meant by the word behind the last colon, which is none of ours.
    pub(super) fn meant_type(&self) -> Option<(&'a str, &'static str)> {
        let (_, word) = self.full.rsplit_once(':').filter(|_| self.named.is_none() && self.mapped.is_none())?;
        Some((word, CellType::meant(word)?))
    }

    pub(super) fn fault(&self, what: impl fmt::Display) -> FileFault {
        FileFault::new(FaultCode::BadColumn, format!("column `{}`: {what}", self.full))
    }
}

/// A name as a message shows it: what people do not see in it is said.
pub(super) fn shown(name: &str) -> String {
    match hidden(name) {
        Some(c) => format!("`{name}` (with U+{:04X} in it)", u32::from(c)),
        None => format!("`{name}`"),
    }
}

/// The first character of a name that people do not see.
fn hidden(name: &str) -> Option<char> {
    name.chars().find(|c| c.is_control() || ids::is_invisible(*c) || (c.is_whitespace() && *c != ' '))
}
