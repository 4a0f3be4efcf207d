//! The calls of a request: each becomes a line of the logs, or is refused alone.

use export::received::{Stamp, append_call};
use protocol::ledger::rfc3339;
use serde_json::{Map, Value, json};

use crate::body::{Body, Fields, refused};
use crate::call;
use crate::refusal::Refusal;

/// The limits of a request. They are on what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A body, once inflated.
    pub body_bytes_max: usize,
    /// One call.
    pub call_bytes_max: usize,
    /// The calls of a batch.
    pub calls_max: usize,
}

impl Limits {
    /// A batch of Segment's webhooks (Webhooks destination documentation: at most 4,000 events). The events have the
    /// fields that Segment adds.
    pub const WEBHOOK: Limits = Limits { body_bytes_max: 4 << 20, call_bytes_max: 64 << 10, calls_max: 4_000 };
}

/// The fields of a batch may become so many times the largest body, once each call has them.
const MERGED_BODIES_MAX: usize = 16;

/// The facts about a request that the server knows.
#[derive(Debug, Clone)]
pub struct Sender<'a> {
    /// The source, and the moment of receipt.
    pub stamp: &'a Stamp,
    /// The id of the request. Ids of calls without one begin with it.
    pub request: &'a str,
    /// Whether a browser or a device sent it.
    pub is_client: bool,
    /// The address that it came from.
    pub ip: Option<String>,
    /// The browser, for calls that cannot say it themselves.
    pub user_agent: Option<String>,
}

/// The calls of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The lines of the good calls.
    pub lines: Vec<u8>,
    /// How many they are.
    pub events: u32,
    /// The bad calls.
    pub refused: Vec<Refused>,
}

/// A call that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub refusal: Refusal,
    /// The call as it was sent, in one line, without a write key.
    pub call: String,
}

impl Received {
    /// All calls, or the refusal of the first bad one: for senders that find a bad call by themselves.
    ///
    /// # Errors
    /// If a call is refused.
    pub fn strictly(self) -> Result<Received, Refusal> {
        match self.refused.first() {
            None => Ok(self),
            Some(Refused { index, refusal, .. }) => {
                Err(Refusal { code: refusal.code, message: format!("call {index}: {}", refusal.message) })
            }
        }
    }

    /// The bad calls as lines of JSON, each with its reason.
    #[must_use]
    pub fn rejects(&self, received_at_ms: i64) -> Vec<u8> {
        let mut lines = Vec::new();
        for Refused { index, refusal, call } in &self.refused {
            let why = json!({
                "receivedAt": rfc3339(received_at_ms), "index": index, "code": refusal.code, "message": refusal.message,
            });
            let why = why.to_string();
            let why = why.strip_suffix('}').unwrap_or(&why);
            // A call that is nested too deep cannot be a part of a `Value`.
            lines.extend_from_slice(format!("{why},\"call\":{call}}}\n").as_bytes());
        }
        lines
    }
}

/// The calls of a batch. Fields of the batch are merged into each.
///
/// # Errors
/// If the request is refused whole.
pub fn batch(fields: &Fields<'_>, limits: Limits, sender: &Sender<'_>) -> Result<Received, Refusal> {
    let items = fields.get("batch").and_then(|items| serde_json::from_str(items).ok());
    let items: Vec<&serde_json::value::RawValue> =
        items.ok_or_else(|| Refusal::new("bad_request", "`batch` must be a list of calls"))?;
    if items.is_empty() {
        return Err(Refusal::new("empty_batch", "`batch` holds no calls"));
    }
    let common = Common::of(fields, items.len(), limits)?;
    listed(items.into_iter().map(|item| item.get()), common, limits, sender)
}

/// A call that came alone, at the path of its kind.
///
/// # Errors
/// If it is too large, as Segment answers then.
pub fn single(kind: &str, body: &Body, limits: Limits, sender: &Sender<'_>) -> Result<Received, Refusal> {
    let json = body.value()?.get();
    if json.len() > limits.call_bytes_max {
        return Err(Refusal::too_large());
    }
    let mut reader = Reader { limits, sender, common: Common::default(), received: Received::default() };
    reader.take(0, json, Some(kind));
    Ok(reader.received)
}

/// The calls of a webhook: one, or a list.
///
/// # Errors
/// If the request is refused whole.
pub fn webhook(body: &Body, limits: Limits, sender: &Sender<'_>) -> Result<Received, Refusal> {
    let items = match body.elements()? {
        Some(items) => items,
        None => vec![body.value()?],
    };
    listed(items.into_iter().map(|item| item.get()), Common::default(), limits, sender)
}

fn listed<'a>(
    items: impl ExactSizeIterator<Item = &'a str>,
    common: Common,
    limits: Limits,
    sender: &Sender<'_>,
) -> Result<Received, Refusal> {
    if items.len() > limits.calls_max {
        return Err(Refusal::new("bad_request", format!("more than {} calls", limits.calls_max)));
    }
    let mut reader = Reader { limits, sender, common, received: Received::default() };
    for (index, item) in items.enumerate() {
        reader.take(index, item, None);
    }
    Ok(reader.received)
}

/// The fields of a batch that each of its calls gets.
#[derive(Debug, Default)]
struct Common {
    objects: Vec<(&'static str, Map<String, Value>)>,
    sent_at: Option<Value>,
}

impl Common {
    /// Reads them, if all calls together stay small enough with them.
    fn of(fields: &Fields<'_>, calls: usize, limits: Limits) -> Result<Common, Refusal> {
        let sent = ["context", "integrations", "sentAt"].map(|name| fields.get(name).unwrap_or_default());
        let bytes = sent.iter().map(|json| json.len()).sum::<usize>();
        if bytes.saturating_mul(calls) > limits.body_bytes_max.saturating_mul(MERGED_BODIES_MAX) {
            return Err(Refusal::too_large());
        }
        let mut objects = Vec::new();
        for (name, json) in ["context", "integrations"].into_iter().zip(sent) {
            if json.starts_with('{') {
                objects.push((name, call::read(json)?));
            }
        }
        Ok(Common { objects, sent_at: serde_json::from_str(sent[2]).ok() })
    }
}

/// Reads one call after the other, so that only one is in memory as a tree.
struct Reader<'a> {
    limits: Limits,
    sender: &'a Sender<'a>,
    common: Common,
    received: Received,
}

impl Reader<'_> {
    fn take(&mut self, index: usize, json: &str, kind: Option<&str>) {
        match self.call(index, json, kind) {
            Ok(call) => {
                append_call(&mut self.received.lines, call, self.sender.stamp);
                self.received.events += 1;
            }
            Err(refusal) => self.received.refused.push(Refused { index, refusal, call: refused(json) }),
        }
    }

    /// A checked call with all that the request says about it.
    fn call(&self, index: usize, json: &str, kind: Option<&str>) -> Result<Map<String, Value>, Refusal> {
        if json.len() > self.limits.call_bytes_max {
            return Err(Refusal::too_large());
        }
        let mut call = call::read(json)?;
        if let Some(kind) = kind {
            call.insert("type".to_owned(), kind.into());
        }
        call::check(&mut call)?;
        for (name, common) in &self.common.objects {
            call::merge(&mut call, name, common);
        }
        if let (Some(sent_at), false) = (&self.common.sent_at, call.contains_key("sentAt")) {
            call.insert("sentAt".to_owned(), sent_at.clone());
        }
        // The name that objects-go gives the write key. `append_call` removes the other one.
        call.remove("write_key");
        self.describe_sender(&mut call);
        // As Segment does. An empty id counts as missing.
        if call.get("messageId").and_then(Value::as_str).is_none_or(str::is_empty) {
            call.insert("messageId".to_owned(), format!("api-{}-{index}", self.sender.request).into());
        }
        Ok(call)
    }

    /// Only a browser's address is the user's. A server can ask for its own by `context.direct` (HTTP Tracking API
    /// documentation).
    fn describe_sender(&self, call: &mut Map<String, Value>) {
        let is_client = self.sender.is_client;
        let is_direct = call.get("context").and_then(|context| context.get("direct")) == Some(&Value::Bool(true));
        if is_client && call.get("channel").and_then(Value::as_str).is_none_or(str::is_empty) {
            call.insert("channel".to_owned(), "client".into());
        }
        if let Some(ip) = self.sender.ip.as_ref().filter(|_| is_client || is_direct) {
            call::set_in_context(call, "ip", ip);
        }
        if let Some(user_agent) = &self.sender.user_agent {
            call::set_in_context(call, "userAgent", user_agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { body_bytes_max: 524_288, call_bytes_max: 32_768, calls_max: 2_500 };

    fn stamp() -> Stamp {
        Stamp::new(1_557_606_747_940, &"source1".parse().unwrap())
    }

    fn sender(stamp: &Stamp) -> Sender<'_> {
        Sender { stamp, request: "r", is_client: false, ip: Some("203.0.113.7".to_owned()), user_agent: None }
    }

    fn batch_of(text: &str) -> Result<Received, Refusal> {
        let body = Body::read(text.as_bytes());
        batch(&body.fields()?, LIMITS, &sender(&stamp()))
    }

    fn lines(received: &Received) -> Vec<Value> {
        let lines: Vec<Value> = received
            .lines
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines.len(), received.events as usize);
        lines
    }

    #[test]
    fn a_bad_call_is_refused_alone_with_its_reason() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let large = "x".repeat(32_768);
        let received = batch_of(&format!(
            r#"{{"batch": [
                {{"type": "track", "userId": "1", "event": "cut \ud83d"}},
                {{"type": "track", "event": "no user", "writeKey": "secret"}},
                {{"type": "track", "userId": "2"}},
                {{"type": "identify", "userId": "3", "traits": {{"deep": {deep}}}}},
                {{"type": "identify", "userId": "4", "traits": {{"large": "{large}"}}}},
                {{"type": "identify", "userId": "5", "context": 7}},
                {{"type": "identify", "userId": "6", "traits": {{"number": 1e999}}}},
                7,
                {{"type": "identify", "userId": 8}}
            ]}}"#,
        ));
        let received = received.unwrap();
        let users: Vec<_> = lines(&received).iter().map(|line| line["userId"].clone()).collect();
        assert_eq!(users, ["1", "8"]);
        assert_eq!(lines(&received)[0]["event"], "cut \u{fffd}");
        let codes: Vec<_> = received.refused.iter().map(|one| (one.index, one.refusal.code)).collect();
        let expected = [
            (1, "no_user_anon_id"),
            (2, "event_not_defined"),
            (3, "nested_too_deep"),
            (4, "invalid_request"),
            (5, "context_not_object"),
            (6, "bad_request"),
            (7, "bad_request"),
        ];
        assert_eq!(codes, expected);

        let rejects = String::from_utf8(received.rejects(0)).unwrap();
        assert!(!rejects.contains("secret"), "{rejects}");
        let rejects: Vec<_> = rejects.lines().collect();
        assert_eq!(rejects.len(), 7);
        let first: Value = serde_json::from_str(rejects[0]).unwrap();
        let expected = json!({
            "receivedAt": "1970-01-01T00:00:00.000Z", "index": 1, "code": "no_user_anon_id",
            "message": "`userId` and `anonymousId` are missing", "call": {"type": "track", "event": "no user"},
        });
        assert_eq!(first, expected);
        assert!(rejects[2].ends_with(&format!("{deep}}}}}}}")), "{}", rejects[2]);
        let refusal = received.strictly().unwrap_err();
        assert_eq!(refusal.code, "no_user_anon_id");
        assert!(refusal.message.starts_with("call 1: "), "{refusal}");
    }

    #[test]
    fn a_batch_gives_its_fields_to_each_call_and_a_call_keeps_its_own() {
        let body = json!({
            "context": {"app": "a", "ip": "1"}, "integrations": {"All": true}, "sentAt": "2019-05-11T20:32:27.939Z",
            "batch": [
                {"type": "identify", "userId": "u", "context": {"ip": "2"}, "timestamp": "2019-05-11T20:32:27.000Z"},
                {"type": "identify", "userId": "u", "context": null, "sentAt": null, "messageId": ""},
            ],
        });
        let received = batch_of(&body.to_string()).unwrap();
        let [first, second] = &lines(&received)[..] else { panic!() };
        assert_eq!(first["context"], json!({"app": "a", "ip": "2"}));
        assert_eq!(first["integrations"], json!({"All": true}));
        assert_eq!(first["timestamp"], "2019-05-11T20:32:27.001Z");
        assert_eq!(second["context"], json!({"app": "a", "ip": "1"}));
        assert_eq!((&second["sentAt"], &second["messageId"]), (&Value::Null, &json!("api-r-1")));
    }

    #[test]
    fn limits_are_on_what_was_sent() {
        let call = |bytes: usize| {
            let call = json!({"type": "identify", "userId": "u", "messageId": "m", "traits": {"t": ""}}).to_string();
            call.replace(r#""t":"""#, &format!(r#""t":"{}""#, "x".repeat(bytes - call.len())))
        };
        for (bytes, is_refused) in [(32_760, false), (32_768, false), (32_769, true)] {
            assert_eq!(call(bytes).len(), bytes);
            let body = format!(
                r#"{{"sentAt": "2019-05-11T20:32:27.939Z", "context": {{"a": 1}}, "batch": [{}]}}"#,
                call(bytes)
            );
            assert_eq!(batch_of(&body).unwrap().refused.len(), usize::from(is_refused), "{bytes}");
            let alone = single("identify", &Body::read(call(bytes).as_bytes()), LIMITS, &sender(&stamp()));
            assert_eq!(alone.is_err(), is_refused, "{bytes}");
        }
        let many = |count: usize| json!({"batch": vec![json!({"type": "identify", "userId": "u"}); count]}).to_string();
        assert_eq!(batch_of(&many(2_500)).unwrap().events, 2_500);
        assert_eq!(batch_of(&many(2_501)).unwrap_err().code, "bad_request");
        assert_eq!(batch_of(&many(0)).unwrap_err().code, "empty_batch");
        assert_eq!(batch_of("{}").unwrap_err().code, "bad_request");
    }

    #[test]
    fn the_context_of_a_batch_is_bounded_before_it_is_copied() {
        let body = |calls: usize| {
            let calls = vec![json!({"type": "identify", "userId": "u"}); calls];
            json!({"context": {"large": "x".repeat(32_000)}, "batch": calls}).to_string()
        };
        assert_eq!(batch_of(&body(2_500)).unwrap_err(), Refusal::too_large());
        let received = batch_of(&body(250)).unwrap();
        assert!(received.lines.len() < LIMITS.body_bytes_max * (MERGED_BODIES_MAX + 1));
    }

    #[test]
    fn browsers_have_a_channel_and_an_address_and_servers_only_if_they_ask() {
        let stamp = stamp();
        let one = |is_client: bool, call: Value| {
            let sender = Sender { is_client, ..sender(&stamp) };
            let received = single("page", &Body::read(call.to_string().as_bytes()), LIMITS, &sender).unwrap();
            lines(&received).remove(0)
        };
        let check = |line: Value, channel: &str, ip: Value| {
            assert_eq!((&line["channel"], &line["context"]["ip"]), (&json!(channel), &ip), "{line}");
        };
        check(one(true, json!({"userId": "u"})), "client", json!("203.0.113.7"));
        check(one(true, json!({"userId": "u", "context": {"ip": "own"}})), "client", json!("own"));
        check(one(true, json!({"userId": "u", "channel": "server"})), "server", json!("203.0.113.7"));
        check(one(false, json!({"userId": "u"})), "server", Value::Null);
        check(one(false, json!({"userId": "u", "context": {"direct": true}})), "server", json!("203.0.113.7"));
        check(one(false, json!({"userId": "u", "context": {"direct": "true"}})), "server", Value::Null);
    }

    #[test]
    fn a_webhook_is_one_call_or_a_list() {
        let (stamp, call) = (stamp(), r#"{"type": "track", "userId": "u", "event": "e"}"#);
        let read = |text: &str| webhook(&Body::read(text.as_bytes()), Limits::WEBHOOK, &sender(&stamp));
        assert_eq!(read(call).unwrap().events, 1);
        assert_eq!(read(&format!(" [{call}, {call}]")).unwrap().events, 2);
        assert_eq!(read(r#"{"type": "delete", "userId": "u"}"#).unwrap().refused.len(), 1);
        assert_eq!(read("[").unwrap_err(), Refusal::malformed());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let name = prop_oneof![
                Just("userId"),
                Just("event"),
                Just("type"),
                Just("context"),
                Just("batch"),
                Just("sentAt"),
                Just("timestamp"),
                Just("messageId"),
                Just("writeKey"),
                Just("receivedAt"),
                Just("traits"),
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((name, inner), 0..8)
                    .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        /// Each call of a batch is a line or a refusal, and each of the two is one line of JSON without a write key.
        #[test]
        fn every_call_of_a_batch_is_in_one_place(items in proptest::collection::vec(any_json(), 1..6), context in any_json()) {
            let received = batch_of(&json!({"batch": items, "context": context}).to_string()).unwrap();
            prop_assert_eq!(received.events as usize + received.refused.len(), items.len());
            for line in lines(&received) {
                prop_assert!(line["messageId"].is_string() && line["timestamp"].is_string());
                prop_assert_eq!(line.get("writeKey"), None);
            }
            let rejects = received.rejects(0);
            for (line, refused) in rejects.split_inclusive(|byte| *byte == b'\n').zip(&received.refused) {
                let line: Value = serde_json::from_slice(line).unwrap();
                prop_assert_eq!(&line["index"], refused.index);
                prop_assert_eq!(line["call"].get("writeKey"), None);
            }
        }

        /// Any bytes at all have an answer.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (body, stamp) = (Body::read(&bytes), stamp());
            if let Ok(fields) = body.fields() {
                let _ = batch(&fields, LIMITS, &sender(&stamp));
            }
            let _ = single("track", &body, LIMITS, &sender(&stamp));
            let _ = webhook(&body, LIMITS, &sender(&stamp));
        }
    }
}
