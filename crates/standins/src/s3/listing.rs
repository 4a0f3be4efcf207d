//! Listings: prefixes, delimiters, pages.

use std::ops::Bound;

use super::version::{Bucket, Meta};

/// "Returns up to 1,000", S3 API Reference.
pub(crate) const KEYS_MAX: usize = 1_000;

/// The query of a listing.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// The end of the previous page. Keys up to it are left out, and so are keys that were rolled up into it.
    pub(crate) after: Option<Marker>,
    pub(crate) keys_max: Option<i32>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// After this key.
    Key(String),
    /// After all keys that begin so.
    Prefix(String),
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Object { key: String, meta: Box<Meta> },
    CommonPrefix(String),
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Line>,
    /// Set if there is more.
    pub(crate) next: Option<Marker>,
    pub(crate) keys_max: usize,
}

/// Current objects, in the order of their keys' bytes.
pub(crate) fn objects(bucket: &Bucket, query: &Query<'_>) -> Page {
    let keys_max = query.keys_max.map_or(KEYS_MAX, |max| usize::try_from(max).unwrap_or(0).min(KEYS_MAX));
    let mut page = Page { lines: Vec::new(), next: None, keys_max };
    if keys_max == 0 {
        return page;
    }
    let mut last: Option<Marker> = None;
    for (key, versions) in bucket.objects.range::<str, _>(start(query)) {
        if !key.starts_with(query.prefix) {
            if key.as_str() > query.prefix {
                break;
            }
            continue;
        }
        let done = |marker: &Option<Marker>| matches!(marker, Some(Marker::Prefix(prefix)) if key.starts_with(prefix.as_str()));
        if done(&query.after) || done(&last) {
            continue;
        }
        let Some(newest) = versions.last().filter(|newest| !newest.meta.delete_marker) else { continue };
        let (line, marker) = match rolled_up(key, query) {
            Some(prefix) => (Line::CommonPrefix(prefix.clone()), Marker::Prefix(prefix)),
            None => (Line::Object { key: key.clone(), meta: Box::new(newest.meta.clone()) }, Marker::Key(key.clone())),
        };
        if page.lines.len() == keys_max {
            page.next = last;
            return page;
        }
        page.lines.push(line);
        last = Some(marker);
    }
    page
}

fn start<'a>(query: &'a Query<'_>) -> (Bound<&'a str>, Bound<&'a str>) {
    let from = match &query.after {
        Some(Marker::Key(key)) => Bound::Excluded(key.as_str()),
        Some(Marker::Prefix(prefix)) => Bound::Included(prefix.as_str()),
        None => Bound::Included(query.prefix),
    };
    (from, Bound::Unbounded)
}

/// The part of the key up to the first delimiter after the prefix.
fn rolled_up(key: &str, query: &Query<'_>) -> Option<String> {
    let delimiter = query.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = &key[query.prefix.len()..];
    let at = rest.find(delimiter)?;
    Some(key[..query.prefix.len() + at + delimiter.len()].to_owned())
}

impl Marker {
    /// As an opaque token.
    pub(crate) fn token(&self) -> String {
        let (kind, text) = match self {
            Marker::Key(key) => ('k', key),
            Marker::Prefix(prefix) => ('p', prefix),
        };
        hex::encode(format!("{kind}{text}"))
    }

    pub(crate) fn from_token(token: &str) -> Option<Marker> {
        let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
        match text.split_at_checked(1)? {
            ("k", key) => Some(Marker::Key(key.to_owned())),
            ("p", prefix) => Some(Marker::Prefix(prefix.to_owned())),
            _ => None,
        }
    }
}
