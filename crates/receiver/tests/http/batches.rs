//! Batches and single calls of servers.

use crate::api::{Api, KEY, STATE, batch, call, each};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use standins::faults::{Fault, Rule};
use std::io::Write;

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// The bodies that three official libraries send when a text is cut inside an emoji, among other bad calls.
fn with_bad_calls() -> String {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    format!(
        r#"{{"writeKey": "{KEY}", "batch": [
            {{"type": "track", "userId": "1", "event": "cut \ud83d", "messageId": "m-1"}},
            {{"type": "track", "event": "no id", "writeKey": "{KEY}"}},
            {{"type": "track", "userId": "3"}},
            {{"type": "identify", "userId": "4", "traits": {{"deep": {deep}}}}},
            {{"type": "identify", "userId": "5", "traits": {{"large": "{}"}}}},
            {{"type": "identify", "userId": "6", "context": "text"}},
            {{"type": "identify", "userId": 7, "messageId": "m-7"}}
        ]}}"#,
        "x".repeat(33_000)
    )
}

#[tokio::test]
async fn a_bad_call_is_refused_alone_and_the_others_are_kept() {
    let api = Api::new().await;
    let answer = api.ask("POST /v1/batch", "", with_bad_calls()).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, r#"{"success":true}"#.as_bytes()));
    let kept = api.kept();
    assert_eq!(each(&kept, "userId"), ["1", "7"]);
    assert_eq!(kept[0]["event"], "cut \u{fffd}");
    let rejects = api.rejects();
    let codes = ["no_user_anon_id", "event_not_defined", "nested_too_deep", "invalid_request", "context_not_object"];
    assert_eq!(each(&rejects, "code"), codes);
    assert_eq!(rejects[0]["call"], json!({"type": "track", "event": "no id"}));
    let texts = api.s3.keys(STATE, "").into_iter().map(|key| api.s3.bytes(STATE, &key).unwrap());
    assert!(texts.into_iter().all(|text| !text.windows(KEY.len()).any(|window| window == KEY.as_bytes())));
}

#[tokio::test]
async fn a_sender_that_asks_for_the_strict_answer_gets_400_and_nothing_is_kept() {
    let api = Api::new().await;
    let answer = api.ask("POST /v1/batch", "x-segment-s3-strict: true\r\n", with_bad_calls()).await;
    let (status, code, message) = answer.refusal();
    assert_eq!((status, code.as_str()), (400, "no_user_anon_id"));
    assert_eq!(message, "call 1: `userId` and `anonymousId` are missing");
    assert_eq!(api.s3.keys(STATE, ""), [""; 0]);
}

#[tokio::test]
async fn a_single_call_that_is_bad_is_answered_as_segment_does() {
    let api = Api::new().await;
    assert_eq!(api.send("/v1/track", json!({"writeKey": KEY, "event": "e"})).await.status, 200);
    assert_eq!(each(&api.rejects(), "code"), ["no_user_anon_id"]);
    assert_eq!(api.rejects()[0]["call"], json!({"event": "e"}));
    let large = json!({"writeKey": KEY, "userId": "u", "traits": {"t": "x".repeat(33_000)}});
    assert_eq!(api.send("/v1/identify", large).await.refusal().2, "Exceed payload limit");
    assert_eq!((api.kept().len(), api.rejects().len()), (0, 1));
}

#[tokio::test]
async fn every_refusal_is_json_with_a_code_and_a_message() {
    let api = Api::new().await;
    let malformed = (400, "invalid_request".to_owned(), "malformed JSON".to_owned());
    for (line, body) in [("GET /v1/track", ""), ("GET /v1/batch", ""), ("POST /v1/batch", "{"), ("POST /v1/t", "[]")] {
        assert_eq!(api.ask(line, "", body).await.refusal(), malformed, "{line}");
    }
    let large = (400, "invalid_request".to_owned(), "Exceed payload limit".to_owned());
    for size in [600_000, 1_100_000] {
        assert_eq!(api.ask("POST /v1/batch", "", " ".repeat(size)).await.refusal(), large, "{size}");
    }
    for path in ["/v1/nonsense", "/", "/v1/pixel"] {
        let (status, code, _) = api.send(path, batch()).await.refusal();
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    for encoding in ["zstd", "br", "gzip, gzip"] {
        let headers = format!("content-encoding: {encoding}\r\n");
        assert_eq!(api.ask("POST /v1/batch", &headers, batch().to_string()).await.refusal().0, 400, "{encoding}");
    }
    assert_eq!(api.ask("POST /v1/batch", "content-encoding: gzip\r\n", "no gzip").await.refusal().0, 400);
    for body in [json!({"batch": [call("1")]}), json!({"writeKey": "unknown", "batch": [call("1")]})] {
        let (status, code, message) = api.send("/v1/batch", body).await.refusal();
        assert_eq!((status, code.as_str()), (400, "invalid_request"));
        assert_eq!(message, "An invalid write key was provided");
    }
    assert_eq!(api.receiver.recent().all(), []);
}

#[tokio::test]
async fn a_body_is_read_with_a_slash_a_byte_order_mark_or_gzip() {
    let api = Api::new().await;
    let body = batch().to_string();
    for path in ["/v1/batch", "/v1/batch/", "/v1/import", "/v1/import/", "/v1/b/"] {
        assert_eq!(api.ask(&format!("POST {path}"), "", &body).await.status, 200, "{path}");
    }
    assert_eq!(api.ask("POST /v1/batch", "", format!("\u{feff}{body}")).await.status, 200);
    assert_eq!(api.ask("POST /v1/batch", "content-encoding: identity\r\n", &body).await.status, 200);
    let gzipped = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = "content-encoding: gzip\r\ncontent-type: text/plain\r\n";
    for name in ["gzip", "GZIP", "x-gzip"] {
        let headers = gzip.replace("gzip", name);
        assert_eq!(api.ask("POST /v1/batch", &headers, gzipped(&body)).await.status, 200, "{name}");
    }
    // A few bytes that become many.
    let bomb = gzipped(&" ".repeat(20_000_000));
    assert_eq!(api.ask("POST /v1/batch", gzip, bomb).await.refusal().2, "Exceed payload limit");
    assert_eq!(api.kept().len(), 2 * 10);
}

#[tokio::test]
async fn a_call_without_an_id_is_given_one() {
    let api = Api::new().await;
    for id in [json!(null), json!("")] {
        let call = json!({"writeKey": KEY, "userId": "u", "event": "e", "messageId": id});
        assert_eq!(api.send("/v1/track", call).await.status, 200);
    }
    let kept = api.kept();
    let ids = each(&kept, "messageId");
    assert!(ids.iter().all(|id| id.starts_with("api-")) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn acknowledged_calls_are_kept_and_the_answer_says_so() {
    let api = Api::new().await;
    let answer = api.send("/v1/batch", batch()).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, r#"{"success":true}"#.as_bytes()));
    assert_eq!(answer.header("x-segment-s3-staged"), Some("true"));
    assert_eq!(each(&api.kept(), "messageId"), ["m-1", "m-2"]);
    let seen: Vec<_> = api.receiver.recent().all().into_iter().map(|seen| seen.call["userId"].clone()).collect();
    assert_eq!(seen, ["1", "2"]);
}

#[tokio::test]
async fn objects_are_answered_501_and_never_acknowledged() {
    let api = Api::new().await;
    let objects = json!({"writeKey": KEY, "collection": "rooms", "objects": [{"id": "1", "properties": {}}]});
    let (status, code, _) = api.send("/v1/set", objects).await.refusal();
    assert_eq!((status, code.as_str()), (501, "not_implemented"));
    assert_eq!(api.s3.keys(STATE, ""), [""; 0]);
}

#[tokio::test]
async fn calls_that_cannot_be_kept_are_not_acknowledged() {
    let api = Api::new().await;
    // The fragment cannot be written; then the refused calls cannot.
    for key in ["received/*", "rejects/*"] {
        api.s3.faults().add(Rule::on("PutObject").key(key).before(Fault::status(403).body(DENIED)));
        let answer = api.ask("POST /v1/batch", "", with_bad_calls()).await;
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (503, "unavailable"));
        assert!(answer.header("retry-after").is_some() && answer.header("x-segment-s3-staged").is_none());
        assert_eq!(api.receiver.recent().all(), [], "what was not taken is not shown");
        api.s3.faults().clear();
    }
    assert_eq!(api.send("/v1/batch", batch()).await.status, 200);
}

#[tokio::test]
async fn while_s3_does_not_answer_the_answer_is_503_with_retry_after() {
    let api = Api::new().await;
    api.s3.faults().add(Rule::on("PutObject").before(Fault::Hang));
    let answer = api.send("/v1/batch", batch()).await;
    assert_eq!(answer.refusal().0, 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn a_put_that_hangs_once_is_tried_again_in_time() {
    let api = Api::new().await;
    api.s3.faults().add(Rule::on("PutObject").times(1).before(Fault::Hang));
    assert_eq!(api.send("/v1/batch", batch()).await.status, 200);
    assert_eq!(each(&api.kept(), "messageId"), ["m-1", "m-2"]);
}

#[tokio::test]
async fn an_unknown_key_is_refused_or_kept_for_one_source() {
    let api = Api::with(&[("UNKNOWN_KEYS", "strangers")]).await;
    let body = json!({"writeKey": "unknown", "batch": [call("1")]});
    assert_eq!(api.send("/v1/batch", body).await.status, 200);
    assert!(api.fragments()[0].starts_with("received/strangers/"), "{:?}", api.fragments());
    let without = json!({"batch": [call("1")]});
    assert_eq!(api.send("/v1/batch", without).await.refusal().0, 400);
}

#[tokio::test]
async fn two_keys_of_a_source_are_accepted_side_by_side() {
    let document = "[[source]]\nname = \"shop\"\nid = \"source3\"\nwrite_key = \"of-document\"\n";
    let api = Api::with(&[("WRITE_KEYS", "old=source1,new=source1"), ("CONFIG", document)]).await;
    for key in ["old", "new", "of-document"] {
        assert_eq!(api.send("/v1/batch", json!({"writeKey": key, "batch": [call(key)]})).await.status, 200, "{key}");
    }
    assert_eq!(api.s3.keys(STATE, "received/source1/").len(), 2);
    assert_eq!(api.s3.keys(STATE, "received/source3/").len(), 1);
}

#[tokio::test]
async fn beyond_the_rate_of_its_source_a_request_is_told_when_to_come_again() {
    let api = Api::at(&[("SOURCE_CALLS_PER_SECOND", "1")], aws::Clock::from_fn(|| 1_557_606_747_940)).await;
    // A burst of two seconds, and one request beyond it.
    assert_eq!(api.send("/v1/batch", batch()).await.status, 200);
    let answer = api.send("/v1/batch", batch()).await;
    assert_eq!((answer.refusal().0, answer.refusal().1.as_str()), (429, "rate_limited"));
    assert_eq!((answer.header("retry-after"), answer.header("x-ratelimit-reset")), (Some("1"), Some("1")));
    let other = json!({"writeKey": "other-key", "batch": [call("1")]});
    assert_eq!(api.send("/v1/batch", other).await.status, 200, "each source has its own");
    assert_eq!(api.kept().len(), 3);
}

#[tokio::test]
async fn limits_are_settings() {
    let set = [("CALL_BYTES_MAX", "100"), ("BATCH_BYTES_MAX", "1000"), ("BATCH_CALLS_MAX", "3")];
    let api = Api::with(&set).await;
    let of = |count: usize, bytes: usize| {
        let call = json!({"type": "identify", "userId": "u".repeat(bytes)});
        json!({"writeKey": KEY, "batch": vec![call; count]})
    };
    assert_eq!(api.send("/v1/batch", of(3, 10)).await.status, 200);
    assert_eq!(api.send("/v1/batch", of(4, 10)).await.refusal().1, "bad_request");
    assert_eq!(api.send("/v1/batch", of(1, 1_000)).await.refusal().2, "Exceed payload limit");
    assert_eq!(api.send("/v1/batch", of(1, 100)).await.status, 200);
    assert_eq!(api.rejects().len(), 1);
}
