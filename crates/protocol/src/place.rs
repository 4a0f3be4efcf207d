//! Places in customers' buckets.

/// Where a plan's objects go. A destination may move while plans for its old place are open. The two places fail and
/// recover independently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The destination's name.
    pub name: String,
    /// `bucket` or `bucket/path/prefix`, as the settings write it.
    pub bucket: String,
}

impl Place {
    /// The place of a destination with this bucket and prefix.
    pub fn new(name: &str, bucket: &str, prefix: &str) -> Place {
        let separator = if prefix.is_empty() { "" } else { "/" };
        Place { name: name.to_owned(), bucket: format!("{bucket}{separator}{prefix}") }
    }
}
