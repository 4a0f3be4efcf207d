//! The pixel: a call in the query of a request for an image, for mails and pages without JavaScript.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// The smallest GIF: one transparent dot.
pub const GIF: [u8; 42] = [
    b'G', b'I', b'F', b'8', b'9', b'a', 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, b'!', 0xf9, 4, 1, 0, 0, 0,
    0, b',', 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 1, b'D', 0, b';',
];

/// A deeper name of a parameter is one field.
const NAME_PARTS_MAX: usize = 16;

/// The body of the call that a query describes: the JSON of `data` in base64, or parameters such as
/// `properties.subject=hi` (Pixel Tracking API documentation).
#[must_use]
pub fn body(query: &str) -> Vec<u8> {
    let mut fields = Map::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decoded(name), decoded(value));
        if name == "data"
            && let Some(json) = base64(&value)
        {
            return json;
        }
        insert(&mut fields, &name, value);
    }
    Value::Object(fields).to_string().into_bytes()
}

/// Text of a query, where `+` is a blank.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Either alphabet, with or without padding. A `+` that was not escaped is a blank by now.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace([' ', '-'], "+").replace('_', "/");
    STANDARD_NO_PAD.decode(text).ok()
}

/// Sets the field of a name with dots.
fn insert(fields: &mut Map<String, Value>, name: &str, value: String) {
    let parts: Vec<_> = name.split('.').collect();
    if parts.len() > NAME_PARTS_MAX || parts.iter().any(|part| part.is_empty()) {
        fields.insert(name.to_owned(), value.into());
        return;
    }
    let (last, folders) = parts.split_last().unwrap_or((&name, &[]));
    let mut at = fields;
    for folder in folders {
        let inner = at.entry(*folder).or_insert(Value::Null);
        if !inner.is_object() {
            *inner = Value::Object(Map::new());
        }
        let Value::Object(inner) = inner else { return };
        at = inner;
    }
    at.insert((*last).to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;
    use serde_json::json;

    fn check(query: &str, expected: Value) {
        let body: Value = serde_json::from_slice(&body(query)).unwrap();
        assert_eq!(body, expected, "{query}");
    }

    #[test]
    fn parameters_with_dots_are_nested() {
        check(
            "writeKey=k&userId=1&event=Mail+Opened&properties.subject=50%25%20off&properties.mail.id=7&=x&flag",
            json!({
                "writeKey": "k", "userId": "1", "event": "Mail Opened", "": "x", "flag": "",
                "properties": {"subject": "50% off", "mail": {"id": "7"}},
            }),
        );
        check("a=1&a.b=2&c..d=3", json!({"a": {"b": "2"}, "c..d": "3"}));
        check("", json!({}));
        let deep = format!("{}=1", "a.".repeat(100_000));
        assert!(body(&deep).len() < 300_000);
    }

    #[test]
    fn data_is_json_in_base64() {
        let call = json!({"writeKey": "k", "userId": "ü?>~", "event": "e"});
        for text in [STANDARD.encode(call.to_string()), URL_SAFE.encode(call.to_string())] {
            check(&format!("data={text}"), call.clone());
            check(&format!("data={}", text.trim_end_matches('=')), call.clone());
            check(&format!("data={}", text.replace('+', "%2B").replace('=', "%3D")), call.clone());
        }
        check("data=!", json!({"data": "!"}));
    }

    proptest! {
        #[test]
        fn any_query_has_a_body(query in "[a-z.=&%+0-9]{0,80}") {
            prop_assert!(serde_json::from_slice::<Value>(&body(&query)).is_ok() || query.contains("data="));
        }
    }
}
