//! Webhooks of a workspace.

use crate::api::{Api, each};
use hmac::{Hmac, Mac};
use serde_json::json;
use sha1::Sha1;
use standins::faults::{Fault, Rule};

const SECRET: &str = "shared-secret";

fn signature(part: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(part.as_bytes());
    format!("x-signature: {}\r\n", hex::encode(mac.finalize().into_bytes()))
}

async fn api() -> Api {
    Api::with(&[("WEBHOOK_SECRETS", &format!("source1={SECRET}"))]).await
}

/// An event as a workspace forwards it.
fn event(user: &str) -> String {
    json!({
        "type": "track", "event": "e", "userId": user, "messageId": format!("m-{user}"), "channel": "client", "version": 2,
        "projectId": "theirs", "writeKey": "theirs", "originalTimestamp": "2019-06-21T17:35:47.381Z",
        "sentAt": "2019-06-21T17:35:47.382Z", "receivedAt": "2019-06-21T17:35:47.405Z",
        "timestamp": "2019-06-21T17:35:47.404Z",
    })
    .to_string()
}

#[tokio::test]
async fn a_signed_event_is_kept_with_its_times() {
    let api = api().await;
    for method in ["POST", "PUT", "PATCH"] {
        let answer = api.ask(&format!("{method} /webhook/source1"), &signature(&event(method)), event(method)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let kept = api.kept();
    assert_eq!(kept.len(), 3);
    for line in kept {
        assert_eq!(line["timestamp"], "2019-06-21T17:35:47.404Z");
        assert_eq!(line["originalTimestamp"], "2019-06-21T17:35:47.381Z");
        assert_eq!((&line["projectId"], &line["channel"]), (&json!("source1"), &json!("client")));
        assert_eq!(line.get("writeKey"), None);
    }
}

#[tokio::test]
async fn a_list_is_signed_by_its_first_event() {
    let api = api().await;
    let deleted = r#"{"type":"delete","userId":"3"}"#;
    let list = format!("[{},{},{deleted}]", event("1"), event("2"));
    assert_eq!(api.ask("POST /webhook/source1/", &signature(&event("1")), &list).await.status, 200);
    assert_eq!(each(&api.kept(), "userId"), ["1", "2"]);
    assert_eq!(each(&api.rejects(), "code"), ["bad_request"]);
}

#[tokio::test]
async fn an_event_without_the_right_signature_is_refused() {
    let api = api().await;
    for headers in [String::new(), signature(&event("2")), "x-signature: 00\r\n".to_owned()] {
        let (status, code, _) = api.ask("POST /webhook/source1", &headers, event("1")).await.refusal();
        assert_eq!((status, code.as_str()), (401, "invalid_signature"));
    }
    // Neither a source without a secret nor a text that is no id.
    for source in ["source2", "a%20b"] {
        let answer = api.ask(&format!("POST /webhook/{source}"), &signature(&event("1")), event("1")).await;
        assert_eq!(answer.refusal().0, 404);
    }
    assert_eq!(api.kept().len(), 0);
}

#[tokio::test]
async fn a_webhook_is_answered_while_segment_still_waits() {
    let api = api().await;
    api.s3.faults().add(Rule::on("PutObject").before(Fault::Hang));
    let signed = signature(&event("1"));
    let webhook = api.ask("POST /webhook/source1", &signed, event("1"));
    let library = api.send("/v1/batch", crate::api::batch());
    // Segment's webhooks wait for half as long as its libraries.
    tokio::select! {
        answer = webhook => assert_eq!(answer.refusal().0, 503),
        answer = library => panic!("{answer:?}"),
    }
}
