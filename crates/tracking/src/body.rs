//! The bytes of a request as JSON whose values are not read yet.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::refusal::Refusal;
use crate::surrogates::paired;

/// The text of a body that can be read.
#[derive(Debug, Clone)]
pub struct Body(String);

/// The fields of a JSON object, each as it was sent.
///
/// Nothing is nested too deep for it: it reads no value.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl Body {
    /// Drops a byte-order mark. Bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Body {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Body(paired(&String::from_utf8_lossy(bytes)).into_owned())
    }

    /// The fields of the object that the body is.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn fields(&self) -> Result<Fields<'_>, Refusal> {
        Fields::of(&self.0).ok_or_else(Refusal::malformed)
    }

    /// The elements, if the body is a JSON array.
    ///
    /// # Errors
    /// If it begins as an array and is none.
    pub fn elements(&self) -> Result<Option<Vec<&RawValue>>, Refusal> {
        if !self.0.trim_start().starts_with('[') {
            return Ok(None);
        }
        serde_json::from_str(&self.0).map(Some).map_err(|_| Refusal::malformed())
    }

    /// The body as one value.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn value(&self) -> Result<&RawValue, Refusal> {
        serde_json::from_str(&self.0).map_err(|_| Refusal::malformed())
    }
}

impl<'a> Fields<'a> {
    /// The fields of a JSON object; of two with the same name the last. `None` for other text.
    #[must_use]
    pub fn of(json: &'a str) -> Option<Fields<'a>> {
        serde_json::from_str(json).ok().map(Fields)
    }

    /// A field as it was sent, unless it is `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    /// A field that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// The write key, under either of its names, if it is not empty.
    #[must_use]
    pub fn write_key(&self) -> Option<String> {
        WRITE_KEYS.iter().find_map(|name| self.text(name).filter(|key| !key.is_empty()))
    }

    /// The object in one line, without its write key.
    fn without_write_key(&self) -> String {
        let fields = self.0.iter().filter(|(name, _)| !WRITE_KEYS.contains(&name.as_str()));
        let fields = fields.map(|(name, raw)| format!("{}:{}", serde_json::Value::from(name.as_str()), raw.get()));
        one_line(&format!("{{{}}}", fields.collect::<Vec<_>>().join(",")))
    }
}

/// The write key of the Tracking API, and of objects-go.
const WRITE_KEYS: [&str; 2] = ["writeKey", "write_key"];

/// A refused call for the file of refusals: one line of JSON without the write key.
pub(crate) fn refused(json: &str) -> String {
    match Fields::of(json) {
        Some(fields) if WRITE_KEYS.iter().any(|name| fields.0.contains_key(*name)) => fields.without_write_key(),
        _ => one_line(json),
    }
}

/// JSON has line breaks between values only: in a string they are escaped.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_and_bytes_that_are_not_utf_8_do_no_harm() {
        let body = Body::read(b"\xef\xbb\xbf {\"userId\": \"a\xff\", \"event\": \"cut \\ud83d\"}");
        let fields = body.fields().unwrap();
        assert_eq!(fields.text("userId").as_deref(), Some("a\u{fffd}"));
        assert_eq!(fields.text("event").as_deref(), Some("cut \u{fffd}"));
    }

    #[test]
    fn a_body_that_is_not_an_object_is_malformed() {
        for body in ["", "{", "1", "null", "[]", "{} {}", "{\"a\":}", "{\"a\":\"\n\"}"] {
            assert_eq!(Body::read(body.as_bytes()).fields().unwrap_err(), Refusal::malformed(), "{body}");
        }
        assert!(Body::read(b"[1").elements().is_err());
        assert_eq!(Body::read(b" [1, {}]").elements().unwrap().unwrap().len(), 2);
        assert!(Body::read(b"{}").elements().unwrap().is_none());
    }

    #[test]
    fn nothing_is_nested_too_deep_to_be_found() {
        let deep = format!("{{\"batch\": {}{}, \"writeKey\": \"k\"}}", "[".repeat(100_000), "]".repeat(100_000));
        let body = Body::read(deep.as_bytes());
        assert_eq!(body.fields().unwrap().write_key().as_deref(), Some("k"));
    }

    #[test]
    fn a_refused_call_is_one_line_without_the_write_key() {
        let call = "{\r\n \"writeKey\": \"secret\",\n \"text\": \"a\\nb\", \"write_key\": 7, \"a\\\"\": 1}";
        assert_eq!(refused(call), r#"{"a\"":1,"text":"a\nb"}"#);
        assert_eq!(refused("[1,\n2]"), "[1, 2]");
    }
}
