//! Segment sources: which files go to which source, and with which key.

use std::fmt;

use calls::spelling::composed;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use protocol::id::SourceId;

use crate::at::At;
use crate::document::SourceTable;
use crate::environment::is_url;

/// A Segment source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the document, in reports and metrics.
    pub name: String,
    /// Its id.
    pub id: SourceId,
    /// Its write key, if files are sent to it.
    pub write_key: Option<Secret>,
    /// Its region.
    pub region: Option<String>,
    /// The Tracking API, if it is not Segment's own.
    pub endpoint: Option<String>,
    /// The Objects API, if it is not Segment's own.
    pub objects_endpoint: Option<String>,
    /// Calls a second of all functions together; 0 is no limit.
    pub events_per_second: Option<u32>,
    /// The keys of files that are sent to it.
    pub keys: Globs,
}

/// A value, or where it is kept. It is never printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// The value itself.
    Value(String),
    /// An environment variable.
    Environment(String),
    /// The ARN of a secret in Secrets Manager.
    SecretsManager(String),
    /// A value that was read from a secret. It may change there.
    FromSecret {
        /// The secret's ARN.
        arn: String,
        /// The value.
        value: String,
    },
}

impl Secret {
    /// Reads `env:NAME`, the ARN of a secret, or the value itself.
    #[must_use]
    pub fn read(text: &str) -> Secret {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("env:") {
            Secret::Environment(name.to_owned())
        } else if text.starts_with("arn:") && text.contains(":secretsmanager:") {
            Secret::SecretsManager(text.to_owned())
        } else {
            Secret::Value(text.to_owned())
        }
    }

    /// The same with its value.
    #[must_use]
    pub fn resolved(&self, value: String) -> Secret {
        match self.arn() {
            Some(arn) => Secret::FromSecret { arn: arn.to_owned(), value },
            None => Secret::Value(value),
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub fn known(&self) -> Option<&str> {
        match self {
            Secret::Value(value) | Secret::FromSecret { value, .. } => Some(value),
            Secret::Environment(_) | Secret::SecretsManager(_) => None,
        }
    }

    /// The ARN of the secret in Secrets Manager that has it, if one has it.
    #[must_use]
    pub fn arn(&self) -> Option<&str> {
        match self {
            Secret::SecretsManager(arn) | Secret::FromSecret { arn, .. } => Some(arn),
            Secret::Value(_) | Secret::Environment(_) => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Value(_) => "…",
            Secret::Environment(_) => "env:…",
            Secret::SecretsManager(_) | Secret::FromSecret { .. } => "arn:…",
        })
    }
}

/// Patterns of keys, in any case and in either spelling of letters with marks. `*` and `?` stop at a `/`, `**/` is any number of folders.
#[derive(Clone, Debug)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// Compiles patterns.
    ///
    /// # Errors
    /// The index of a pattern that is no glob, and why.
    pub fn new(patterns: &[String]) -> Result<Globs, (usize, String)> {
        let mut builder = GlobSetBuilder::new();
        for (index, pattern) in patterns.iter().enumerate() {
            let glob = GlobBuilder::new(&lower(pattern)).literal_separator(true).build();
            builder.add(glob.map_err(|error| (index, error.kind().to_string()))?);
        }
        let set = builder.build().map_err(|error| (0, error.kind().to_string()))?;
        Ok(Globs { patterns: patterns.to_vec(), set })
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Globs {
        Globs { patterns: Vec::new(), set: GlobSet::empty() }
    }

    /// Whether a key matches.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        self.patterns.is_empty() || self.set.is_match(lower(key))
    }

    /// Whether every key that matches `pattern` probably matches one of these. It is asked with keys of that pattern: with
    /// nothing in the place of each sign, and with signs that only another such sign matches.
    pub(crate) fn cover(&self, pattern: &str) -> bool {
        const UNUSUAL: [&str; 3] = ["", "\u{e000}", "\u{e000}\u{e001}\u{e000}"];
        if self.patterns.iter().any(|own| lower(own) == lower(pattern)) {
            return true;
        }
        let has_choices = pattern.contains(['[', '{', '\\']);
        let folders = |unusual: &str| if unusual.is_empty() { String::new() } else { format!("{unusual}/{unusual}/") };
        let key = |unusual: &str| {
            let key = pattern.replace("**/", "\u{e002}").replace("**", "\u{e003}").replace('*', unusual);
            let end = format!("{}{unusual}", folders(unusual));
            key.replace('\u{e002}', &folders(unusual)).replace('\u{e003}', &end).replace('?', "\u{e000}")
        };
        !self.patterns.is_empty() && !has_choices && UNUSUAL.iter().all(|unusual| self.matches(&key(unusual)))
    }

    /// The patterns that match a key, as they were written.
    pub fn matching(&self, key: &str) -> impl Iterator<Item = &str> {
        self.set.matches(key).into_iter().map(|index| self.patterns[index].as_str())
    }

    /// The patterns, as they were written.
    #[must_use]
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

/// Each letter in lower case, whatever stands beside it. (Globs themselves know the cases of ASCII alone.)
fn lower(text: &str) -> String {
    composed(text).chars().flat_map(char::to_lowercase).collect()
}

/// Reads the patterns of a table's `match`.
pub(crate) fn globs(patterns: &[String], at: &At<'_>) -> Globs {
    if patterns.iter().any(|pattern| pattern.trim().is_empty()) {
        at.field("match").fault("has an empty pattern; write a glob such as folder/*.csv, or leave it out");
    }
    let place = |pattern: &String| at.field("match").item_with(pattern);
    for pattern in patterns {
        if pattern.contains("://") {
            place(pattern).fault("is a URI; write the key alone, without the bucket, such as folder/*.csv");
        } else if pattern.starts_with('/') {
            place(pattern).fault("begins with a `/`, and no key does; leave it out");
        }
    }
    Globs::new(patterns).unwrap_or_else(|(index, why)| {
        place(&patterns[index]).fault(format!("is not a glob ({why}); write one such as folder/*.csv or **/name*.csv"));
        Globs::all()
    })
}

/// Checks a source's table; `None` if it has no id.
pub(crate) fn source(table: &SourceTable, at: &At<'_>) -> Option<Source> {
    let name = at.required("name", table.name.as_deref(), "the source's name in reports and metrics");
    if name.is_some_and(|name| name.chars().count() > 64 || name.chars().any(char::is_control)) {
        at.field("name").fault("is not a name; write at most 64 characters in one line");
    }
    let written = at.required("id", table.id.as_deref(), "the source's id (in Segment under Settings, API Keys)");
    let id: Option<SourceId> = written.and_then(|id| id.parse().ok());
    if written.is_some() && id.is_none() {
        at.field("id").fault("is not a source's id: letters, digits, `_` and `-`");
    }
    if let Some(region) = &table.region
        && !matches!(region.as_str(), "us" | "eu")
    {
        at.field("region").fault("is not a region of Segment; write us or eu");
    }
    for (key, url) in [("endpoint", &table.endpoint), ("objects_endpoint", &table.objects_endpoint)] {
        if url.as_ref().is_some_and(|url| !is_url(url)) {
            at.field(key).fault("is not a URL; write one such as https://api.segment.io");
        }
    }
    let write_key = table.write_key.as_deref().map(Secret::read);
    let is_bad = match &write_key {
        Some(Secret::Value(key) | Secret::Environment(key)) => {
            key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())
        }
        _ => false,
    };
    if is_bad {
        at.field("write_key")
            .fault("is empty, or has signs that no write key has; write the key, `env:NAME`, or a secret's ARN");
    }
    let keys = globs(&table.r#match.0, at);
    let trimmed = |url: &Option<String>| url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    Some(Source {
        name: name?.to_owned(),
        id: id?,
        write_key,
        region: table.region.clone(),
        endpoint: trimmed(&table.endpoint),
        objects_endpoint: trimmed(&table.objects_endpoint),
        events_per_second: table.events_per_second,
        keys,
    })
}
