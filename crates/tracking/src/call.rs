//! One call: what it needs, and which types its fields have.

use serde_json::{Map, Number, Value};

use crate::kinds::{KINDS, TEXTS};
use crate::refusal::Refusal;

/// A message id (HTTP Tracking API documentation: less than 100 characters).
const MESSAGE_ID_CHARS_MAX: usize = 99;

/// Fields that have to be objects. The first three codes are Segment's.
const OBJECTS: [(&str, &str); 3] =
    [("properties", "properties_not_object"), ("traits", "traits_not_object"), ("context", "context_not_object")];

/// Reads a call as it was sent.
pub(crate) fn read(json: &str) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_str(json) {
        Ok(Value::Object(call)) => Ok(call),
        Ok(_) => Err(Refusal::new("bad_request", "not an object")),
        // The text is JSON, so only these two are left (serde_json: 128 levels).
        Err(error) if error.to_string().contains("recursion limit") => {
            Err(Refusal::new("nested_too_deep", "nested in more than 127 levels"))
        }
        Err(_) => Err(Refusal::new("bad_request", "a number is out of range")),
    }
}

/// Checks a call, and makes text of numbers in its ids and names as Segment's API does.
pub(crate) fn check(call: &mut Map<String, Value>) -> Result<(), Refusal> {
    let word = call.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = KINDS.iter().find(|kind| kind.word == word) else {
        let words = KINDS.map(|kind| kind.word).join(", ");
        return Err(Refusal::new("bad_request", format!("`type` must be one of {words}")));
    };
    for (name, code) in TEXTS.iter().chain(kind.texts) {
        match call.get(*name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(Value::Number(number)) => {
                let text = text_of(number);
                call.insert((*name).to_owned(), text.into());
            }
            Some(_) => return Err(Refusal::new(code, format!("`{name}` must be text"))),
        }
    }
    let has = |name: &str| call.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if let Some((name, code)) = kind.needs.filter(|(name, _)| !has(name)) {
        return Err(Refusal::new(code, format!("`{name}` is missing")));
    }
    if !has("userId") && !has("anonymousId") {
        return Err(Refusal::new("no_user_anon_id", "`userId` and `anonymousId` are missing"));
    }
    for (name, code) in OBJECTS {
        if call.get(name).is_some_and(|value| !value.is_object() && !value.is_null()) {
            return Err(Refusal::new(code, format!("`{name}` must be an object")));
        }
    }
    let id = call.get("messageId").and_then(Value::as_str).unwrap_or_default();
    if id.chars().count() > MESSAGE_ID_CHARS_MAX {
        return Err(Refusal::new("bad_request", "`messageId` has 100 characters or more"));
    }
    Ok(())
}

/// A number as JavaScript writes it, for numbers that ids have: no fraction where there is none.
fn text_of(number: &Number) -> String {
    /// Beyond it JavaScript writes an exponent.
    const WHOLE_MAX: f64 = 1e21;
    match number.as_f64() {
        Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < WHOLE_MAX => format!("{whole:.0}"),
        _ => number.to_string(),
    }
}

/// Gives a call the fields of its batch. The call's own fields win.
pub(crate) fn merge(call: &mut Map<String, Value>, name: &str, common: &Map<String, Value>) {
    let own = call.entry(name).or_insert(Value::Null);
    if own.is_null() {
        *own = Value::Object(Map::new());
    }
    if let Value::Object(own) = own {
        for (key, value) in common {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Sets a field of the call's context, unless the call has it.
pub(crate) fn set_in_context(call: &mut Map<String, Value>, name: &str, value: &str) {
    merge(call, "context", &Map::from_iter([(name.to_owned(), Value::from(value))]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(call: Value) -> Result<Value, &'static str> {
        let mut call = read(&call.to_string()).map_err(|refusal| refusal.code)?;
        check(&mut call).map(|()| Value::Object(call)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn calls_that_segment_drops_later_are_refused_at_once() {
        let check = |call: Value, code: &str| assert_eq!(checked(call.clone()), Err(code), "{call}");
        check(json!({"type": "track", "event": "e"}), "no_user_anon_id");
        check(json!({"type": "track", "event": "e", "userId": ""}), "no_user_anon_id");
        check(json!({"type": "track", "userId": "u"}), "event_not_defined");
        check(json!({"type": "track", "userId": "u", "event": null}), "event_not_defined");
        check(json!({"type": "track", "userId": "u", "event": ["e"]}), "event_not_string");
        check(json!({"type": "track", "userId": {}, "event": "e"}), "id_not_string");
        check(json!({"type": "track", "userId": "u", "event": "e", "properties": 1}), "properties_not_object");
        check(json!({"type": "identify", "userId": "u", "traits": []}), "traits_not_object");
        check(json!({"type": "identify", "userId": "u", "context": "c"}), "context_not_object");
        check(json!({"type": "page", "userId": "u", "name": true}), "name_not_string");
        check(json!({"type": "screen", "userId": "u", "category": {}}), "category_not_string");
        check(json!({"type": "group", "userId": "u"}), "bad_request");
        check(json!({"type": "wave", "userId": "u"}), "bad_request");
        check(json!({"userId": "u"}), "bad_request");
        check(json!({"type": "identify", "userId": "u", "messageId": "m".repeat(100)}), "bad_request");
        check(json!([]), "bad_request");
        assert_eq!(read(r#"{"a": 1e999}"#).unwrap_err().code, "bad_request");
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(127), "]".repeat(127));
        assert_eq!(read(&deep).unwrap_err().code, "nested_too_deep");
    }

    #[test]
    fn numbers_in_ids_and_names_become_text() {
        let call = json!({
            "type": "track", "userId": 4711, "anonymousId": 1.5, "event": 7.0, "messageId": -1, "name": 7, "context": null,
        });
        let expected = json!({
            "type": "track", "userId": "4711", "anonymousId": "1.5", "event": "7", "messageId": "-1", "name": 7,
            "context": null,
        });
        assert_eq!(checked(call), Ok(expected));
        let page = checked(json!({"type": "page", "anonymousId": "a", "name": 404, "category": 1e20}));
        assert_eq!(page.as_ref().map(|page| &page["name"]), Ok(&json!("404")));
        assert_eq!(page.map(|page| page["category"].clone()), Ok(json!("100000000000000000000")));
    }

    #[test]
    fn the_kinds_are_those_that_files_have_and_need_what_their_rows_need() {
        let ours = || calls::kind::Kind::ALL.iter().filter(|kind| kind.api() == calls::kind::Api::Tracking);
        assert_eq!(KINDS.map(|kind| kind.word).to_vec(), ours().map(|kind| kind.as_str()).collect::<Vec<_>>());
        for kind in ours() {
            let required = kind.entry().required;
            let call = |without: &str| {
                let names = required.iter().map(|one| one.any_of[0]).filter(|name| *name != without);
                let mut call: Map<_, _> = names.map(|name| (name.to_owned(), json!("v"))).collect();
                call.insert("type".to_owned(), kind.as_str().into());
                check(&mut call)
            };
            assert!(call("").is_ok(), "{kind}");
            assert!(required.iter().all(|one| call(one.any_of[0]).is_err()), "{kind}");
        }
    }

    #[test]
    fn a_call_keeps_its_own_context() {
        let mut call = Map::from_iter([("context".to_owned(), json!({"ip": "2"}))]);
        merge(&mut call, "context", json!({"ip": "1", "app": "a"}).as_object().unwrap());
        set_in_context(&mut call, "ip", "3");
        set_in_context(&mut call, "userAgent", "u");
        assert_eq!(call["context"], json!({"ip": "2", "app": "a", "userAgent": "u"}));
        let mut bare = Map::from_iter([("context".to_owned(), Value::Null)]);
        set_in_context(&mut bare, "ip", "3");
        assert_eq!(bare["context"], json!({"ip": "3"}));
    }
}
