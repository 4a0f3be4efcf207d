//! Browsers and devices.

use crate::api::{Api, KEY, batch, call, each};
use serde_json::{Value, json};

const ORIGIN: &str = "origin: https://shop.example\r\n";

#[tokio::test]
async fn every_path_answers_a_preflight_request_of_any_origin_with_credentials() {
    let api = Api::new().await;
    let asks = format!(
        "{ORIGIN}access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n"
    );
    for path in ["/v1/batch", "/v1/b", "/v1/t", "/v1/track/", "/v1/set", "/v1/import/", "/v1/projects/k/settings"] {
        let answer = api.ask(&format!("OPTIONS {path}"), &asks, "").await;
        assert_eq!(answer.status, 200, "{path}");
        for (name, expected) in [
            ("access-control-allow-origin", "https://shop.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-allow-methods", "get,post"),
            ("access-control-max-age", "86400"),
        ] {
            assert_eq!(answer.header(name), Some(expected), "{path}: {}", answer.head);
        }
        assert!(answer.header("vary").unwrap().contains("origin"), "{}", answer.head);
    }
    // Answers and refusals may be read too.
    for body in [batch().to_string(), "{".to_owned()] {
        let answer = api.ask("POST /v1/b", ORIGIN, body).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    }
}

#[tokio::test]
async fn calls_of_browsers_have_their_channel_and_the_address_that_a_trusted_hop_saw() {
    let api = Api::with(&[("TRUSTED_HOPS", "1")]).await;
    let page = |id: &str| json!({"writeKey": KEY, "anonymousId": "a", "messageId": id}).to_string();
    let hops = "x-forwarded-for: 6.6.6.6, 203.0.113.7\r\n";
    api.ask("POST /v1/p", hops, page("short")).await;
    api.ask("POST /v1/page", &format!("{hops}{ORIGIN}"), page("origin")).await;
    api.ask("POST /v1/page", hops, page("server")).await;
    let direct = json!({"writeKey": KEY, "anonymousId": "a", "messageId": "direct", "context": {"direct": true}});
    api.ask("POST /v1/page", hops, direct.to_string()).await;
    // `sendBeacon` with a blob of JSON.
    let beacon = json!({"writeKey": KEY, "batch": [call("beacon")]}).to_string();
    let headers = format!("{hops}{ORIGIN}content-type: application/json\r\ncookie: a=b\r\n");
    assert_eq!(api.ask("POST /v1/b", &headers, beacon).await.status, 200);
    let kept = api.kept();
    let of = |id: &str| kept.iter().find(|line| line["messageId"] == id).unwrap();
    for (id, channel, ip) in [
        ("short", "client", json!("203.0.113.7")),
        ("origin", "client", json!("203.0.113.7")),
        ("m-beacon", "client", json!("203.0.113.7")),
        ("server", "server", Value::Null),
        ("direct", "server", json!("203.0.113.7")),
    ] {
        assert_eq!((&of(id)["channel"], &of(id)["context"]["ip"]), (&json!(channel), &ip), "{id}");
    }
}

#[tokio::test]
async fn without_a_trusted_hop_the_address_is_that_of_the_connection() {
    let api = Api::new().await;
    let page = json!({"writeKey": KEY, "anonymousId": "a"}).to_string();
    api.ask("POST /v1/p", "x-forwarded-for: 6.6.6.6\r\n", page).await;
    assert_eq!(api.kept()[0]["context"]["ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_pixel_is_always_answered_with_the_image() {
    let api = Api::new().await;
    // {"writeKey":"write-key","userId":"data","event":"Mail Opened"}
    let data = "eyJ3cml0ZUtleSI6IndyaXRlLWtleSIsInVzZXJJZCI6ImRhdGEiLCJldmVudCI6Ik1haWwgT3BlbmVkIn0=";
    let plain = format!("writeKey={KEY}&userId=plain&event=Mail+Opened&properties.subject=50%25%20off");
    for query in [
        format!("/v1/pixel/track?data={data}"),
        format!("/v1/pixel/track?{plain}"),
        format!("/v1/pixel/page/?writeKey={KEY}&anonymousId=slash"),
        "/v1/pixel/track?data=nonsense".to_owned(),
        "/v1/pixel/track?writeKey=unknown&userId=u&event=e".to_owned(),
        format!("/v1/pixel/track?writeKey={KEY}&event=no-user"),
        "/v1/pixel/identify".to_owned(),
    ] {
        let answer = api.ask(&format!("GET {query}"), "user-agent: Mail 1.0\r\n", "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/gif")), "{query}");
        assert_eq!((&answer.body[..6], answer.body.len()), (&b"GIF89a"[..], 42));
    }
    let mut kept = api.kept();
    kept.sort_by_key(|line| line["userId"].to_string());
    assert_eq!(each(&kept, "userId"), ["data", "plain", ""]);
    assert_eq!(kept[1]["properties"], json!({"subject": "50% off"}));
    assert_eq!((&kept[1]["channel"], &kept[1]["context"]["userAgent"]), (&json!("client"), &json!("Mail 1.0")));
    assert_eq!(each(&api.rejects(), "code"), ["no_user_anon_id"]);
}

#[tokio::test]
async fn settings_lead_a_library_to_the_host_that_it_asked() {
    let api = Api::new().await;
    let answer = api.ask(&format!("GET /v1/projects/{KEY}/settings"), ORIGIN, "").await;
    let settings: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(settings["integrations"]["Segment.io"], json!({"apiKey": KEY, "apiHost": "api.test/v1"}));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(api.ask("GET /v1/projects/unknown/settings", "", "").await.refusal().0, 404);
    assert_eq!(api.ask("GET /health", "", "").await.status, 200);
}
