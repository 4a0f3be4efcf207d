//! Environment variables, read once, all faults reported together.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::more;
use crate::settings::{DefaultValue, SETTINGS, Setting};

/// Every fault found in the settings, each beginning with the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: {}", self.0.join("; "))
    }
}

/// Reads a variable. An empty one counts as not set, since a template has no other way to leave one out.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim_matches(' ').is_empty())
}

/// Reads settings one by one and gathers their faults.
pub struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    /// The values of `SETTINGS`.
    more: BTreeMap<&'static str, String>,
    faults: Vec<String>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    /// Reads through `get`, which gives a variable by its name.
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Self { get, more: BTreeMap::new(), faults: Vec::new(), asked: RefCell::default() };
        let (more, faults) = more::read(&reader.optional(&SETTINGS).unwrap_or_default());
        for fault in faults {
            reader.fault(&SETTINGS, fault);
        }
        for name in more.keys().filter(|name| reader.of_its_own(name).is_some()).copied().collect::<Vec<_>>() {
            reader.fault(&SETTINGS, format_args!("has {name}, which is set already; keep one of them"));
        }
        reader.more = more;
        reader
    }

    /// The value without blanks around it, if it is set.
    #[must_use]
    pub fn optional(&self, setting: &Setting) -> Option<String> {
        self.raw(setting).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value as it is set: a tab is a value, blanks are none.
    pub(crate) fn raw(&self, setting: &Setting) -> Option<String> {
        self.asked.borrow_mut().insert(setting.name);
        self.of_its_own(setting.name).or_else(|| self.more.get(setting.name).cloned())
    }

    /// The value of the setting's own variable.
    fn of_its_own(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.trim_matches(' ').is_empty())
    }

    /// The value; a fault if it is missing.
    pub fn required(&mut self, setting: &Setting) -> String {
        self.optional(setting).unwrap_or_else(|| {
            self.fault(setting, format_args!("is not set; it is {}", first_sentence(setting.meaning)));
            String::new()
        })
    }

    /// The value read by `parse`; a fault that says `expected` if it cannot be read. Only for settings that declare a
    /// value as their default.
    pub fn parsed<T: FromStr>(&mut self, setting: &Setting, expected: &str) -> T {
        #[expect(clippy::expect_used, reason = "a test reads every declared default")]
        let default = || match setting.default {
            DefaultValue::Value(value) => value.parse().ok().expect("a declared default can be read"),
            _ => panic!("{} declares no value as its default", setting.name),
        };
        match self.optional(setting) {
            None => default(),
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.fault(setting, format_args!("is {text:?}; write {expected}"));
                default()
            }),
        }
    }

    /// The value read by `parse`, if it is set and can be read.
    pub fn parsed_if_set<T: FromStr>(&mut self, setting: &Setting, expected: &str) -> Option<T> {
        let text = self.optional(setting)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.fault(setting, format_args!("is {text:?}; write {expected}"));
        }
        value
    }

    /// `true` or `false`, also as `1`, `yes` and `on`, `0`, `no` and `off`.
    pub fn flag(&mut self, setting: &Setting) -> bool {
        let default = setting.default == DefaultValue::Value("true");
        let Some(text) = self.optional(setting) else { return default };
        flag(&text).unwrap_or_else(|| {
            self.fault(setting, format_args!("is {text:?}; write true or false"));
            default
        })
    }

    /// A bucket's name; a fault if it is missing, or something else such as a URI.
    pub fn bucket(&mut self, setting: &Setting) -> String {
        let value = self.required(setting);
        if !value.is_empty()
            && let Some(fault) = bucket_fault(&value)
        {
            self.fault(setting, fault);
        }
        value
    }

    /// An `http://` or `https://` endpoint without a trailing slash, or `default`.
    pub fn endpoint(&mut self, setting: &Setting, default: &str) -> String {
        let value = self.optional(setting).unwrap_or_else(|| default.to_owned());
        if !is_url(&value) {
            self.fault(setting, format_args!("is {value:?}; write a URL such as {default}"));
        }
        value.trim_end_matches('/').to_owned()
    }

    /// Notes a fault under the setting's name.
    pub fn fault(&mut self, setting: &Setting, what: impl fmt::Display) {
        self.faults.push(format!("{} {what}", setting.name));
    }

    /// The settings that were read, set or not. A test finds declared settings that no code reads.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every fault, if there was one.
    pub fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() { Ok(value) } else { Err(Faults(self.faults)) }
    }
}

/// The meaning of a setting without its further sentences.
fn first_sentence(meaning: &str) -> &str {
    meaning.split(". ").next().unwrap_or(meaning).trim_end_matches('.')
}

pub(crate) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Whether it begins as a URL of the web does, with a host.
#[must_use]
pub fn is_url(value: &str) -> bool {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && !value.contains(char::is_whitespace)
}

/// What is wrong with a bucket's name, and what to write; `None` if it is a name.
#[must_use]
pub fn bucket_fault(value: &str) -> Option<String> {
    let no_name = || "is not a bucket's name: 3 to 63 of a-z, 0-9, - and .".to_owned();
    no_bucket_alone(value).or_else(|| (!is_bucket(value)).then(no_name))
}

/// What is wrong with the name of a bucket that files come from, and what to write. The ARN of an access point takes the
/// place of a name. Old buckets have names that no new bucket may have.
#[must_use]
pub fn source_bucket_fault(value: &str) -> Option<String> {
    let is_access_point = value.starts_with("arn:") && value.contains(":accesspoint/");
    no_bucket_alone(value).filter(|_| !is_access_point)
}

fn no_bucket_alone(value: &str) -> Option<String> {
    let name_alone = "write the bucket's name alone";
    if value.starts_with("s3://") {
        return Some(format!("is a URI; {name_alone}, which stands behind s3://"));
    }
    if value.starts_with("arn:") {
        return Some(format!("is an ARN; {name_alone}, which stands behind the last colon"));
    }
    if value.contains("://") {
        return Some(format!("is a URL; {name_alone}"));
    }
    value.contains('/').then(|| format!("has a path; {name_alone}"))
}

/// S3 user guide, "General purpose bucket naming rules".
pub(crate) fn is_bucket(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && edge(name.bytes().next())
        && edge(name.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{ALL, EXPORTER, INGESTER, QUEUE_URL, RECEIVER, SOURCE_BUCKET, STATE_BUCKET};

    #[test]
    fn a_uri_in_place_of_a_bucket_is_called_a_uri() {
        assert!(bucket_fault("s3://my-state/x").unwrap().contains("is a URI"));
        assert!(bucket_fault("arn:aws:s3:::my-state").unwrap().contains("is an ARN"));
        assert!(bucket_fault("My_Bucket").is_some());
        assert_eq!(bucket_fault("my-state.bucket1"), None);
        for (value, expected) in [
            ("inbox/", "has a path"),
            ("s3://inbox", "is a URI"),
            ("arn:aws:sqs:eu-west-1:1:inbox", "is an ARN"),
            ("https://inbox.s3.amazonaws.com", "is a URL"),
        ] {
            let fault = source_bucket_fault(value).unwrap();
            assert!(fault.starts_with(expected) && bucket_fault(value) == Some(fault), "{value}");
        }
        for value in ["inbox", "My_Old_Bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/inbox"] {
            assert_eq!(source_bucket_fault(value), None);
        }
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
    fn all_faults_are_reported_together() {
        let get = |name: &str| (name == "SOURCE_BUCKET").then(|| "s3://x".to_owned());
        let mut reader = Reader::new(&get);
        reader.required(&STATE_BUCKET);
        reader.bucket(&SOURCE_BUCKET);
        assert_eq!(reader.optional(&QUEUE_URL), None);
        assert_eq!(
            reader.asked().into_iter().collect::<Vec<_>>(),
            ["QUEUE_URL", "SETTINGS", "SOURCE_BUCKET", "STATE_BUCKET"]
        );
        let faults = reader.finish(()).unwrap_err();
        assert_eq!(faults.0.len(), 2);
        assert!(faults.to_string().contains("STATE_BUCKET is not set; it is the state bucket"), "{faults}");
        assert!(faults.to_string().contains("SOURCE_BUCKET is a URI"), "{faults}");
    }

    #[test]
    fn each_name_is_declared_once() {
        let all: Vec<_> = [ALL, INGESTER, EXPORTER, RECEIVER, crate::settings::READING].concat();
        let names: BTreeSet<_> = all.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
