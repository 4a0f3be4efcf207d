//! Which write key, or which secret of a webhook, belongs to which source.

use std::collections::HashMap;
use std::fmt;

use protocol::id::SourceId;

/// Write keys with their sources. A source may have several keys, for example while an old one is replaced. Prints only
/// how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(HashMap<String, SourceId>);

/// The secrets that sources sign their webhooks with. Prints only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(HashMap<SourceId, String>);

/// The entry of a list that cannot be read. Never its text, which may be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("has an entry that cannot be read, number {0}")]
pub struct ListFault(usize);

impl Keys {
    /// One key of one source.
    #[must_use]
    pub fn one(key: impl Into<String>, source: SourceId) -> Keys {
        Keys(HashMap::from([(key.into(), source)]))
    }

    /// Reads `key=source id, …`. Segment's ids have no `=`, so the last one ends the key.
    ///
    /// # Errors
    /// The number of the wrong entry.
    pub fn parse(text: &str) -> Result<Keys, ListFault> {
        let pair = |(key, source): (&str, &str)| Some((key.trim().to_owned(), source.trim().parse().ok()?));
        let keys = entries(text).map(|(number, entry)| {
            let pair = entry.rsplit_once('=').and_then(pair).filter(|(key, _)| !key.is_empty());
            pair.ok_or(ListFault(number))
        });
        keys.collect::<Result<_, _>>().map(Keys)
    }

    /// Adds a key. A key that is there already keeps its source.
    pub fn add(&mut self, key: &str, source: &SourceId) {
        self.0.entry(key.to_owned()).or_insert_with(|| source.clone());
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The source that a key belongs to.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&SourceId> {
        self.0.get(key)
    }
}

impl Secrets {
    /// Reads `source id=secret, …`.
    ///
    /// # Errors
    /// The number of the wrong entry.
    pub fn parse(text: &str) -> Result<Secrets, ListFault> {
        let pair = |(source, secret): (&str, &str)| Some((source.trim().parse().ok()?, secret.trim().to_owned()));
        let secrets = entries(text).map(|(number, entry)| {
            let pair = entry.split_once('=').and_then(pair).filter(|(_, secret)| !secret.is_empty());
            pair.ok_or(ListFault(number))
        });
        secrets.collect::<Result<_, _>>().map(Secrets)
    }

    /// Whether there is no secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The source of this id and its secret.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<(&SourceId, &str)> {
        let (source, secret) = self.0.get_key_value(&source.parse::<SourceId>().ok()?)?;
        Some((source, secret))
    }
}

/// The entries of a list, each with its number.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.enumerate().map(|(index, entry)| (index + 1, entry))
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} write keys", self.0.len())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_shown() {
        let keys = Keys::parse("old=s1, secret-b = s2,new==s1").unwrap();
        let source = |key: &str| keys.source(key).map(ToString::to_string);
        assert_eq!(
            (source("old"), source("new="), source("secret-b")),
            (Some("s1".into()), Some("s1".into()), Some("s2".into()))
        );
        assert_eq!(source("s2"), None);
        assert_eq!(format!("{keys:?}"), "3 write keys");
        for bad in ["a=s1,secret", "a=s1,=s2", "a=s1,secret=a b"] {
            let fault = Keys::parse(bad).unwrap_err().to_string();
            assert!(fault.contains("number 2") && !fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn secrets_are_read_and_never_shown() {
        let secrets = Secrets::parse("s1=a=b,s2=c").unwrap();
        assert_eq!(secrets.of("s1").map(|(_, secret)| secret), Some("a=b"));
        assert_eq!((secrets.of("s3"), secrets.of("")), (None, None));
        assert_eq!(format!("{secrets:?}"), "2 secrets");
        assert!(Secrets::parse("s1=,s2=c").unwrap_err().to_string().contains("number 1"));
    }
}
