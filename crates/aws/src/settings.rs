//! Environment variables, read once, all faults told together.

use std::fmt;

/// Every fault found in the settings, each beginning with the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: {}", self.0.join("; "))
    }
}

/// Reads a variable; an empty one counts as not set, which is how templates say "none".
#[must_use]
pub fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Reads settings one by one and gathers what is wrong with them.
pub struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    /// What is wrong so far.
    pub faults: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads through `get`.
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, faults: Vec::new() }
    }

    /// The value, if it is set.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value; a fault when it is missing. `purpose` says what it is for.
    pub fn required(&mut self, name: &str, purpose: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.fault(name, format_args!("is not set; it is {purpose}"));
            String::new()
        })
    }

    /// The value read by `parse`, or the default; a fault when it cannot be read.
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &str, default: T, expected: &str) -> T {
        match self.optional(name) {
            None => default,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.fault(name, format_args!("is {text:?}; write {expected}"));
                default
            }),
        }
    }

    /// `true` or `false` in the spellings that people use.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.optional(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => default,
            Some("true" | "1" | "yes" | "on") => true,
            Some("false" | "0" | "no" | "off") => false,
            Some(text) => {
                self.fault(name, format_args!("is {text:?}; write true or false"));
                default
            }
        }
    }

    /// A bucket's name; a fault when it is missing or when it is something else, such as a URI.
    pub fn bucket(&mut self, name: &str, purpose: &str) -> String {
        let value = self.required(name, purpose);
        if !value.is_empty()
            && let Some(fault) = bucket_fault(&value)
        {
            self.fault(name, fault);
        }
        value
    }

    /// An `http://` or `https://` endpoint without a trailing slash, or the default.
    pub fn endpoint(&mut self, name: &str, default: &str) -> String {
        let value = self.optional(name).unwrap_or_else(|| default.to_owned());
        if !is_url(&value) {
            self.fault(name, format_args!("is {value:?}; write a URL such as {default}"));
        }
        value.trim_end_matches('/').to_owned()
    }

    /// Notes a fault under the setting's name.
    pub fn fault(&mut self, name: &str, what: impl fmt::Display) {
        self.faults.push(format!("{name} {what}"));
    }

    /// Ends the reading: the value, or every fault at once.
    ///
    /// # Errors
    /// When anything was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults(self.faults)) }
    }
}

/// Whether it begins as a URL of the web does, with a host.
#[must_use]
pub fn is_url(value: &str) -> bool {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && !value.contains(char::is_whitespace)
}

/// What is wrong with a bucket's name, in the words that help; `None` when nothing is.
#[must_use]
pub fn bucket_fault(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix("s3://") {
        let bucket = rest.split('/').next().unwrap_or_default();
        return Some(format!("is a URI ({value}); write the bucket's name alone: {bucket}"));
    }
    if let Some(rest) = value.strip_prefix("arn:") {
        let bucket = rest.rsplit(':').next().unwrap_or_default();
        return Some(format!("is an ARN; write the bucket's name alone: {bucket}"));
    }
    if value.contains("://") {
        return Some(format!("is a URL ({value}); write the bucket's name alone"));
    }
    if value.contains('/') {
        return Some(format!("has a path ({value}); write the bucket's name alone"));
    }
    // S3 user guide, "General purpose bucket naming rules".
    let fits = (3..=63).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && value.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric());
    (!fits).then(|| format!("is {value:?}, which is no bucket's name: 3 to 63 of a-z, 0-9, - and ."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_where_a_name_belongs_is_said_in_those_words() {
        let words = bucket_fault("s3://my-state/x").unwrap();
        assert!(words.contains("is a URI") && words.ends_with("my-state"), "{words}");
        assert!(bucket_fault("arn:aws:s3:::my-state").unwrap().ends_with("my-state"));
        assert!(bucket_fault("My_Bucket").is_some());
        assert_eq!(bucket_fault("my-state.bucket1"), None);
    }

    #[test]
    fn a_url_has_a_host() {
        for url in ["https://api.segment.io", "http://127.0.0.1:9/x"] {
            assert!(is_url(url), "{url}");
        }
        for other in ["", "https://", "https:///v1", "http://:80", "ftp://x", "api.segment.io", "https://a b"] {
            assert!(!is_url(other), "{other}");
        }
    }

    #[test]
    fn all_faults_are_told_together() {
        let get = |name: &str| (name == "B").then(|| "s3://x".to_owned());
        let mut reader = Reader::new(&get);
        reader.required("A", "the first");
        reader.bucket("B", "the second");
        let faults = reader.finish(()).unwrap_err();
        assert_eq!(faults.0.len(), 2);
        assert!(faults.to_string().contains("A is not set") && faults.to_string().contains("B is a URI"));
    }
}
