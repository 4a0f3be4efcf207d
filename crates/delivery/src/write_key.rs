//! A secret that cannot be printed.

use std::fmt;

/// A source's write key. Prints as `…`, whatever it is asked for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct WriteKey(String);

impl WriteKey {
    /// Takes the key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself. Only a request to Segment may carry it, and a line of the logs if the settings include it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Display for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_key_prints_as_an_ellipsis() {
        let key = WriteKey::new("very-secret");
        assert_eq!(format!("{key} {key:?} {:?}", Some(&key)), "… … Some(…)");
    }
}
