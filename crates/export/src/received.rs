//! The line that a received call becomes in the logs.
//!
//! A line is the full call with the fields that Segment's API adds on receipt: `receivedAt`, `originalTimestamp`,
//! `timestamp`, `messageId`, `channel`, `projectId` (the source's id) and `version`. If the call has a `sentAt`,
//! `timestamp` is corrected by the error of the sender's clock.
//!
//! There are two ways in. [`append_own_call`] is for calls that we encoded ourselves: it copies
//! bytes and parses nothing. [`append_call`] takes any call that a client may have sent.

use std::ops::Range;

use protocol::id::{Day, SourceId};
use serde_json::{Map, Value};

use crate::times::{corrected, iso, moment};

/// The top-level fields that belong to the API. A call of our own with one of these fields goes through
/// [`append_call`], for example if the CSV has a column `version`. Otherwise the line would have the field twice.
pub const OWNED_FIELDS: [&str; 7] =
    ["channel", "originalTimestamp", "projectId", "receivedAt", "sentAt", "version", "writeKey"];

/// What stands between a call and its time.
pub(crate) const ORIGINAL_TIMESTAMP: &str = ",\"originalTimestamp\":\"";

/// Length of `2019-05-11T20:32:27.940Z`, the one form in which we write times.
pub const TIMESTAMP_LEN: usize = 24;

/// The fields that all lines of one fragment share, encoded once.
#[derive(Clone, Debug)]
pub struct Stamp {
    source: SourceId,
    received_at_ms: i64,
    received_at: String,
    write_key: Option<String>,
    /// The text after the value of `originalTimestamp`, for a call with a time.
    after_original: String,
    /// The text after a call without a time.
    untimed: String,
}

impl Stamp {
    /// The stamp of calls received by `source` at one moment, in epoch milliseconds.
    pub fn new(received_at_ms: i64, source: &SourceId) -> Stamp {
        Stamp::build(received_at_ms, source, None)
    }

    /// Puts `writeKey` into the lines, as Segment's own logs have it.
    ///
    /// Left out by default, because readers of the logs could otherwise write to the source.
    pub fn with_write_key(self, write_key: &str) -> Stamp {
        Stamp::build(self.received_at_ms, &self.source, Some(write_key.to_owned()))
    }

    fn build(received_at_ms: i64, source: &SourceId, write_key: Option<String>) -> Stamp {
        let received_at = iso(received_at_ms);
        let key = match &write_key {
            Some(key) => format!(r#","writeKey":{}"#, Value::from(key.as_str())),
            None => String::new(),
        };
        let after_original = format!(
            "\",\"receivedAt\":\"{received_at}\",\"channel\":\"server\",\
             \"projectId\":\"{source}\"{key},\"version\":2}}\n"
        );
        let untimed = format!(r#","timestamp":"{received_at}"{ORIGINAL_TIMESTAMP}{received_at}{after_original}"#);
        Stamp { source: source.clone(), received_at_ms, received_at, write_key, after_original, untimed }
    }

    /// What a line of our own call has after its times.
    pub(crate) fn after_times(&self) -> &str {
        &self.after_original
    }

    /// When the calls were received, in epoch milliseconds.
    pub fn received_at_ms(&self) -> i64 {
        self.received_at_ms
    }

    /// The day on which the calls were received.
    pub fn day(&self) -> Day {
        Day::of(self.received_at_ms)
    }

    /// The source that received the calls.
    pub fn source(&self) -> &SourceId {
        &self.source
    }
}

/// Appends the line of a call that we encoded ourselves, newline included.
///
/// `call` is one compact JSON object with at least one field and none of [`OWNED_FIELDS`]. `timestamp` is the range of
/// its `timestamp` without the quotes, in our own form. A call without one takes the time of receipt. Without a
/// `sentAt` the time is not corrected: `originalTimestamp` and `timestamp` are the same.
pub fn append_own_call(out: &mut Vec<u8>, call: &[u8], timestamp: Option<Range<usize>>, stamp: &Stamp) {
    debug_assert!(call.len() > 2 && call.ends_with(b"}"), "not a call");
    let fields = call.strip_suffix(b"}").unwrap_or(call);
    out.reserve(call.len() + TIMESTAMP_LEN + stamp.untimed.len());
    out.extend_from_slice(fields);
    match timestamp.and_then(|range| call.get(range)) {
        Some(value) => {
            debug_assert_eq!(value.len(), TIMESTAMP_LEN, "not our own form of a time");
            out.extend_from_slice(ORIGINAL_TIMESTAMP.as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(stamp.after_original.as_bytes());
        }
        None => out.extend_from_slice(stamp.untimed.as_bytes()),
    }
}

/// Appends the line of any call, newline included.
///
/// The caller has checked the call and set its `type` and `messageId`. It has merged the fields of the batch
/// (`context`, `integrations`, `sentAt`) into the call.
///
/// `timestamp = receivedAt - (sentAt - originalTimestamp)`; without a plausible `sentAt`, as sent. A call with a
/// `receivedAt` has passed an API before, such as a workspace's webhook. Its time was corrected there and does not
/// change. Some libraries send `originalTimestamp` in place of `timestamp` (rudder-sdk-node).
pub fn append_call(out: &mut Vec<u8>, mut call: Map<String, Value>, stamp: &Stamp) {
    set_times(&mut call, stamp);
    call.remove("writeKey");
    if let Some(write_key) = &stamp.write_key {
        call.insert("writeKey".into(), write_key.as_str().into());
    }
    // A workspace's webhook knows better than we do whether a call came from a server.
    if !matches!(call.get("channel"), Some(Value::String(channel)) if !channel.is_empty()) {
        call.insert("channel".into(), "server".into());
    }
    call.insert("projectId".into(), stamp.source.as_str().into());
    call.insert("version".into(), 2.into());
    out.extend_from_slice(Value::Object(call).to_string().as_bytes());
    out.push(b'\n');
}

/// Writes the times of receipt, of the event and of its sending.
fn set_times(call: &mut Map<String, Value>, stamp: &Stamp) {
    let has = |name: &str| moment(call.get(name)).is_some();
    let passed_an_api = has("receivedAt") && has("originalTimestamp") && has("timestamp");
    let received_at = Value::from(stamp.received_at.as_str());
    call.insert("receivedAt".into(), received_at.clone());
    if passed_an_api {
        return;
    }
    if let Some(sent_ms) = call.get("sentAt").filter(|sent| sent.is_number()).and_then(|sent| moment(Some(sent))) {
        call.insert("sentAt".into(), iso(sent_ms).into());
    }
    let sent = [call.remove("timestamp"), call.remove("originalTimestamp")];
    let mut sent = sent.into_iter().flatten().filter(|time| !time.is_null()).collect::<Vec<_>>();
    let readable = sent.iter().position(|time| moment(Some(time)).is_some());
    let original = if sent.is_empty() { None } else { Some(sent.swap_remove(readable.unwrap_or(0))) };
    let (original, timestamp) = match (moment(original.as_ref()), original) {
        (Some(original_ms), Some(original)) => {
            let timestamp_ms = corrected(original_ms, moment(call.get("sentAt")), stamp.received_at_ms);
            let original = if original.is_number() { iso(original_ms).into() } else { original };
            (original, iso(timestamp_ms).into())
        }
        // Without a time that can be read, only the moment of receipt is known.
        (_, original) => (original.unwrap_or_else(|| received_at.clone()), received_at),
    };
    call.insert("originalTimestamp".into(), original);
    call.insert("timestamp".into(), timestamp);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> SourceId {
        "P0OJ3CTID1".parse().unwrap()
    }

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn received(call: Value, at: &str) -> Value {
        let Value::Object(call) = call else { panic!("a call is an object") };
        let mut line = Vec::new();
        append_call(&mut line, call, &Stamp::new(ms(at), &source()));
        assert_eq!(line.pop(), Some(b'\n'));
        serde_json::from_slice(&line).unwrap()
    }

    /// Segment docs: spec/common.md says how; partners/spec.md and spec/track.md have the values.
    #[test]
    fn the_senders_clock_is_corrected_as_segment_corrects_it() {
        let check = |original: &str, sent: &str, at: &str, expected: &str| {
            let line = received(json!({"type": "track", "timestamp": original, "sentAt": sent}), at);
            assert_eq!(line["timestamp"], expected);
            assert_eq!(line["originalTimestamp"], original);
            assert_eq!(line["sentAt"], sent);
            assert_eq!(line["receivedAt"], at);
        };
        check(
            "2019-06-21T17:35:47.381Z",
            "2019-06-21T17:35:47.382Z",
            "2019-06-21T17:35:47.405Z",
            "2019-06-21T17:35:47.404Z",
        );
        check(
            "2019-06-21T17:39:56.999Z",
            "2019-06-21T17:39:57.000Z",
            "2019-06-21T17:39:57.032Z",
            "2019-06-21T17:39:57.031Z",
        );
        check(
            "2015-12-12T19:11:01.152Z",
            "2015-12-12T19:11:01.169Z",
            "2015-12-12T19:11:01.266Z",
            "2015-12-12T19:11:01.249Z",
        );
        check(
            "2019-10-01T06:33:31.593Z",
            "2019-10-01T06:33:32.900Z",
            "2019-10-01T06:33:36.745Z",
            "2019-10-01T06:33:35.438Z",
        );
    }

    #[test]
    fn without_sent_at_the_time_stays_as_it_was_sent() {
        let check = |sent_at: Option<Value>| {
            let mut call = json!({"type": "track", "timestamp": "2020-09-09T07:59:12.906Z"});
            if let Some(sent_at) = sent_at {
                call["sentAt"] = sent_at;
            }
            let line = received(call, "2020-09-09T07:59:13.252Z");
            assert_eq!(line["timestamp"], "2020-09-09T07:59:12.906Z");
            assert_eq!(line["originalTimestamp"], "2020-09-09T07:59:12.906Z");
        };
        check(None);
        check(Some(Value::Null));
        check(Some("yesterday".into()));
    }

    #[test]
    fn a_call_without_a_time_takes_the_time_of_receipt() {
        let at = "2020-09-09T07:59:13.252Z";
        let sent_at = "2020-09-09T07:59:13.000Z";
        for call in [
            json!({"type": "track"}),
            json!({"type": "track", "timestamp": null}),
            json!({"type": "track", "sentAt": sent_at}),
        ] {
            let line = received(call, at);
            assert_eq!(line["timestamp"], at);
            assert_eq!(line["originalTimestamp"], at);
        }
        let line = received(json!({"type": "track", "timestamp": "soon"}), at);
        assert_eq!(line["timestamp"], at);
        assert_eq!(line["originalTimestamp"], "soon");
    }

    #[test]
    fn an_offset_a_missing_zone_and_microseconds_are_understood() {
        let check = |sent: &str, expected: &str| {
            let line = received(json!({"type": "track", "timestamp": sent}), "2020-09-09T07:59:13.252Z");
            assert_eq!(line["timestamp"], expected, "{sent}");
            assert_eq!(line["originalTimestamp"], sent);
        };
        check("2019-05-11T22:32:27.940+02:00", "2019-05-11T20:32:27.940Z");
        check("2019-05-11T20:32:27", "2019-05-11T20:32:27.000Z");
        check("2019-05-11", "2019-05-11T00:00:00.000Z");
        check("2019-05-11T20:32:27.940123+00:00", "2019-05-11T20:32:27.940Z");
    }

    /// rudder-sdk-node sends calls so.
    #[test]
    fn an_original_timestamp_without_a_timestamp_is_the_time_of_the_call_and_is_corrected() {
        let call = json!({
            "type": "track", "originalTimestamp": "2015-12-12T19:11:01.152Z", "sentAt": "2015-12-12T19:11:01.169Z",
        });
        let line = received(call, "2015-12-12T19:11:01.266Z");
        assert_eq!(line["originalTimestamp"], "2015-12-12T19:11:01.152Z");
        assert_eq!(line["timestamp"], "2015-12-12T19:11:01.249Z");
        let both = json!({
            "type": "track", "timestamp": "soon", "originalTimestamp": "2015-12-12T19:11:01.152Z",
        });
        assert_eq!(received(both, "2015-12-12T19:11:01.266Z")["timestamp"], "2015-12-12T19:11:01.152Z");
    }

    #[test]
    fn numbers_and_rfc_2822_texts_as_times_are_read() {
        let check = |sent: Value, original: &str| {
            let line = received(json!({"type": "track", "timestamp": sent}), "2020-09-09T07:59:13.252Z");
            assert_eq!(line["timestamp"], "2019-05-11T20:32:27.000Z", "{sent}");
            assert_eq!(line["originalTimestamp"], original);
        };
        check(json!(1_557_606_747), "2019-05-11T20:32:27.000Z");
        check(json!(1_557_606_747_000_i64), "2019-05-11T20:32:27.000Z");
        check(json!("Sat, 11 May 2019 20:32:27 GMT"), "Sat, 11 May 2019 20:32:27 GMT");
        let sent_at = json!({"type": "track", "timestamp": 1_557_606_747_381_i64, "sentAt": 1_557_606_747.382});
        let line = received(sent_at, "2019-05-11T20:32:27.405Z");
        assert_eq!(line["sentAt"], "2019-05-11T20:32:27.382Z");
        assert_eq!(line["timestamp"], "2019-05-11T20:32:27.404Z");
    }

    #[test]
    fn a_call_that_an_api_has_received_before_keeps_its_times() {
        let call = json!({
            "type": "track", "channel": "client", "projectId": "other", "version": 2,
            "timestamp": "2019-06-21T17:35:47.404Z", "sentAt": "2019-06-21T17:35:47.382Z",
            "originalTimestamp": "2019-06-21T17:35:47.381Z",
            "receivedAt": "2019-06-21T17:35:47.405Z",
        });
        let line = received(call, "2019-06-21T17:35:49.000Z");
        assert_eq!(line["timestamp"], "2019-06-21T17:35:47.404Z");
        assert_eq!(line["originalTimestamp"], "2019-06-21T17:35:47.381Z");
        assert_eq!(line["receivedAt"], "2019-06-21T17:35:49.000Z");
        assert_eq!(line["projectId"], "P0OJ3CTID1");
        assert_eq!(line["channel"], "client");
    }

    #[test]
    fn only_received_at_says_that_a_call_has_been_through_an_api() {
        let call = json!({
            "type": "track", "timestamp": "2019-06-21T17:35:47.381Z", "sentAt": "2019-06-21T17:35:47.382Z",
            "originalTimestamp": "2019-06-21T17:35:47.000Z",
        });
        let line = received(call, "2019-06-21T17:35:47.405Z");
        assert_eq!(line["timestamp"], "2019-06-21T17:35:47.404Z");
        assert_eq!(line["originalTimestamp"], "2019-06-21T17:35:47.381Z");
    }

    #[test]
    fn the_write_key_is_left_out_by_default() {
        let call = json!({"type": "track", "messageId": "1", "writeKey": "theirs"});
        let line = received(call.clone(), "2020-09-09T07:59:13.252Z");
        assert_eq!(line.get("writeKey"), None);

        let stamp = Stamp::new(0, &source()).with_write_key("a\"b");
        let mut lines = Vec::new();
        append_call(&mut lines, call.as_object().unwrap().clone(), &stamp);
        append_own_call(&mut lines, br#"{"type":"track"}"#, None, &stamp);
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let line: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(line["writeKey"], "a\"b");
        }
    }

    #[test]
    fn our_own_calls_and_received_calls_give_the_same_line() {
        let stamp = Stamp::new(ms("2020-09-09T07:59:13.252Z"), &source());
        let check = |call: &str, timestamp: Option<&str>| {
            let range = timestamp.map(|text| {
                let from = call.find(text).unwrap();
                from..from + text.len()
            });
            let mut own = Vec::new();
            append_own_call(&mut own, call.as_bytes(), range, &stamp);
            let mut any = Vec::new();
            append_call(&mut any, serde_json::from_str(call).unwrap(), &stamp);
            assert!(own.ends_with(b"}\n"));
            let own: Value = serde_json::from_slice(&own).unwrap();
            let any: Value = serde_json::from_slice(&any).unwrap();
            assert_eq!(own, any);
        };
        let time = "2019-05-11T20:32:27.940Z";
        check(r#"{"type":"track","messageId":"s3-1","timestamp":"2019-05-11T20:32:27.940Z","event":"e"}"#, Some(time));
        check(r#"{"type":"identify","messageId":"s3-2"}"#, None);
    }
}
