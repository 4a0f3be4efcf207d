//! Which write key belongs to which source.

use protocol::id::SourceId;
use std::collections::HashMap;
use std::fmt;

/// The write keys that are taken. Prints only how many there are.
#[derive(Clone, Default)]
pub struct Keys(HashMap<String, SourceId>);

/// A list of keys that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write keys are given as `key=source id`, separated by commas; entry {0} is not")]
pub struct KeysFault(usize);

impl Keys {
    /// One key of one source.
    #[must_use]
    pub fn one(key: impl Into<String>, source: SourceId) -> Self {
        Self(HashMap::from([(key.into(), source)]))
    }

    /// Reads `key=source id, …`.
    ///
    /// # Errors
    /// The number of the wrong entry, never its text.
    pub fn parse(text: &str) -> Result<Self, KeysFault> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let keys = entries.enumerate().map(|(index, entry)| {
            let (key, source) = entry.split_once('=').ok_or(KeysFault(index + 1))?;
            let source = source.trim().parse().map_err(|_| KeysFault(index + 1))?;
            if key.trim().is_empty() { Err(KeysFault(index + 1)) } else { Ok((key.trim().to_owned(), source)) }
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The source that a key belongs to.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&SourceId> {
        self.0.get(key)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} write keys", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_shown() {
        let keys = Keys::parse("secret-a=s1, secret-b = s2,").unwrap();
        assert_eq!(keys.source("secret-b").map(ToString::to_string).as_deref(), Some("s2"));
        assert_eq!(keys.source("s2"), None);
        assert_eq!(format!("{keys:?}"), "2 write keys");
        let fault = Keys::parse("a=s1,secret").unwrap_err().to_string();
        assert!(fault.contains("entry 2") && !fault.contains("secret"), "{fault}");
    }
}
