//! The stand-in refuses the requests that Segment refuses, and misbehaves on demand.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use standins::faults::{Fault, Gate, Rule};
use standins::segment::{Answered, Judgement, Limits, Server, too_many_requests, unsuccessful};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const WRITE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Status, headers in lower case, and body. `None`: the connection was closed without an answer.
async fn send(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<(u16, String, Value)> {
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // A server that closes early breaks the pipe.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_lowercase(), serde_json::from_str(body).unwrap_or(Value::Null)))
}

fn basic(write_key: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{write_key}:")))
}

async fn post(server: &Server, path: &str, body: &[u8]) -> Option<(u16, String, Value)> {
    send(server, "POST", path, &[("authorization", &basic(WRITE_KEY))], body).await
}

fn track(user: &str, id: &str) -> Value {
    json!({"type": "track", "event": "e", "userId": user, "messageId": id})
}

fn batch(calls: &[Value]) -> Vec<u8> {
    json!({"batch": calls}).to_string().into_bytes()
}

async fn check_refused(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8], message: &str) {
    let (status, _, answer) = send(server, "POST", path, headers, body).await.unwrap();
    assert_eq!(status, 400, "{answer}");
    assert_eq!((&answer["success"], &answer["code"]), (&json!(false), &json!("invalid_request")));
    assert_eq!(answer["message"], message);
    let last = server.record().deliveries().pop().unwrap();
    assert_eq!(last.verdict, Judgement::Refused(message.to_owned()));
    assert_eq!(server.record().applied(), []);
}

#[tokio::test]
async fn a_batch_is_taken_and_recorded_in_order() {
    let server = Server::setup().start().await.unwrap();
    let body = batch(&[track("1", "a"), track("2", "b")]);
    let (status, _, answer) = post(&server, "/v1/batch", &body).await.unwrap();
    assert_eq!((status, answer), (200, json!({"success": true})));
    post(&server, "/v1/import/", &batch(&[track("1", "a")])).await.unwrap();
    let calls = server.record().applied();
    let ids: Vec<_> = calls.iter().map(|call| call.message_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "a"]);
    assert_eq!(calls[1].value(), track("2", "b"));
    assert_eq!(server.record().message_ids()["a"], 2);
    let delivery = &server.record().deliveries()[0];
    assert_eq!(delivery.write_key, WRITE_KEY);
    assert_eq!((delivery.wire_bytes, delivery.json_bytes), (body.len(), body.len()));
    assert!(delivery.is_acknowledged() && !delivery.sent_at && !delivery.gzip);
}

#[tokio::test]
async fn single_calls_are_accepted_at_long_and_short_paths() {
    let server = Server::setup().start().await.unwrap();
    for path in [
        "/v1/identify",
        "/v1/i",
        "/v1/track",
        "/v1/t",
        "/v1/page",
        "/v1/p",
        "/v1/screen",
        "/v1/s",
        "/v1/group",
        "/v1/g",
        "/v1/alias",
        "/v1/a",
    ] {
        let body = json!({"userId": "1", "event": "e", "writeKey": WRITE_KEY}).to_string();
        let (status, ..) = send(&server, "POST", path, &[], body.as_bytes()).await.unwrap();
        assert_eq!(status, 200, "{path}");
    }
    let kinds: Vec<_> = server.record().applied().into_iter().map(|call| call.kind).collect();
    assert_eq!(&kinds[..4], ["identify", "identify", "track", "track"]);
    assert_eq!(post(&server, "/v1/nothing", b"{}").await.unwrap().0, 404);
}

#[tokio::test]
async fn gzip_bodies_are_inflated() {
    let server = Server::setup().start().await.unwrap();
    let body = batch(&[track("1", "a")]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    let headers = [("authorization", basic(WRITE_KEY)), ("content-encoding", String::from("gzip"))];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(send(&server, "POST", "/v1/batch", &headers, &packed).await.unwrap().0, 200);
    let delivery = &server.record().deliveries()[0];
    assert_eq!((delivery.gzip, delivery.wire_bytes, delivery.json_bytes), (true, packed.len(), body.len()));
    let (status, _, answer) = send(&server, "POST", "/v1/batch", &headers, &packed[..packed.len() / 2]).await.unwrap();
    assert_eq!((status, &answer["message"]), (400, &json!("malformed JSON")));
}

#[tokio::test]
async fn an_invalid_write_key_is_refused_in_segments_words() {
    let server = Server::setup().start().await.unwrap();
    let body = batch(&[track("1", "a")]);
    let message = "An invalid write key was provided";
    check_refused(&server, "/v1/batch", &[], &body, message).await;
    check_refused(&server, "/v1/batch", &[("authorization", &basic(""))], &body, message).await;
    check_refused(&server, "/v1/batch", &[("authorization", &basic("abc123"))], &body, message).await;
    check_refused(&server, "/v1/set", &[("authorization", "Basic !")], b"{}", message).await;
}

#[tokio::test]
async fn an_unknown_write_key_is_answered_200_and_dropped() {
    let server = Server::setup().with_write_key("another-write-key").start().await.unwrap();
    let (status, _, answer) = post(&server, "/v1/batch", &batch(&[track("1", "a")])).await.unwrap();
    assert_eq!((status, answer), (200, json!({"success": true})));
    assert_eq!(server.record().applied(), []);
    assert_eq!(server.record().dropped()[0].1, "unknown_source");
}

#[tokio::test]
async fn only_a_known_write_key_gets_the_settings_of_its_source() {
    let settings = async |server: &Server, key: &str| {
        send(server, "GET", &format!("/v1/projects/{key}/settings"), &[], b"").await.unwrap()
    };
    let setup = Server::setup().with_write_key(WRITE_KEY).with_api_host("events.eu1.segmentapis.com/v1");
    let server = setup.start().await.unwrap();
    let (status, _, answer) = settings(&server, WRITE_KEY).await;
    assert_eq!((status, &answer["integrations"]["Segment.io"]["apiKey"]), (200, &json!(WRITE_KEY)));
    assert_eq!(answer["integrations"]["Segment.io"]["apiHost"], "events.eu1.segmentapis.com/v1");
    for key in ["another-write-key", "", "a/b"] {
        assert_eq!(settings(&server, key).await.0, 404, "{key:?}");
    }
    let knows_all = Server::setup().start().await.unwrap();
    assert_eq!((settings(&knows_all, WRITE_KEY).await.0, settings(&knows_all, "abc123").await.0), (200, 404));
}

#[tokio::test]
async fn malformed_and_too_large_requests_are_refused() {
    let server = Server::setup().start().await.unwrap();
    let auth = basic(WRITE_KEY);
    let auth = [("authorization", auth.as_str())];
    for body in [&b""[..], b"{", b"[]", b"{\"batch\":1}", b"{}", b"{\"batch\":[{\"type\":1}]}", b"\xff"] {
        check_refused(&server, "/v1/batch", &auth, body, "malformed JSON").await;
    }
    let sized = |bytes: usize| {
        let mut call = track("1", "a");
        call["x"] = json!("");
        let padding = bytes - call.to_string().len();
        call["x"] = json!("x".repeat(padding));
        call
    };
    let limits = Limits::default();
    check_refused(&server, "/v1/batch", &auth, &batch(&[sized(limits.call_bytes_max + 1)]), "Exceed payload limit")
        .await;
    let many: Vec<_> = (0..20).map(|_| sized(25_100)).collect();
    check_refused(&server, "/v1/batch", &auth, &batch(&many), "Exceed payload limit").await;
    check_refused(
        &server,
        "/v1/track",
        &auth,
        sized(limits.call_bytes_max + 1).to_string().as_bytes(),
        "Exceed payload limit",
    )
    .await;
    let fits = [sized(limits.call_bytes_max)];
    assert_eq!(post(&server, "/v1/batch", &batch(&fits)).await.unwrap().0, 200);
}

#[tokio::test]
async fn too_many_calls_are_answered_200_and_dropped() {
    let server = Server::setup().start().await.unwrap();
    for (count, applied) in [(2_500, 2_500), (2_501, 0)] {
        server.record().clear();
        let calls: Vec<_> = (0..count).map(|n| json!({"type": "page", "userId": n.to_string()})).collect();
        assert_eq!(post(&server, "/v1/batch", &batch(&calls)).await.unwrap().0, 200);
        assert_eq!(server.record().applied().len(), applied);
        assert_eq!(server.record().dropped().len(), count - applied);
    }
}

#[tokio::test]
async fn calls_that_segment_discards_are_recorded_as_dropped() {
    let server = Server::setup().start().await.unwrap();
    let calls = [
        track("1", "fine"),
        json!({"type": "track", "event": "e", "userId": ""}),
        json!({"type": "track", "userId": "1"}),
        json!({"type": "guess", "userId": "1"}),
    ];
    assert_eq!(post(&server, "/v1/batch", &batch(&calls)).await.unwrap().0, 200);
    assert_eq!(server.record().applied().len(), 1);
    let reasons: Vec<_> = server.record().dropped().into_iter().map(|(_, why)| why).collect();
    assert_eq!(reasons, ["no_user_anon_id", "event_not_defined", "bad_request"]);
}

#[tokio::test]
async fn the_objects_api_enforces_its_rules() {
    let server = Server::setup().start().await.unwrap();
    let set = |collection: &str, objects: Vec<Value>| json!({"collection": collection, "objects": objects}).to_string();
    let room = |id: &str| json!({"id": id, "properties": {"name": "Lihue", "beds": 2, "sea": true}});
    let (status, ..) =
        post(&server, "/v1/set", set("room_types", vec![room("1"), room("2")]).as_bytes()).await.unwrap();
    assert_eq!(status, 200);
    let objects = server.record().objects();
    assert_eq!((objects.len(), objects[1].id.as_str(), objects[1].collection.as_str()), (2, "2", "room_types"));
    assert_eq!(objects[0].properties["beds"], 2);
    for body in [
        set("rooms2", vec![room("1")]),
        set("_rooms", vec![room("1")]),
        set("", vec![room("1")]),
        set("rooms", vec![]),
        set("rooms", (0..11).map(|n| room(&n.to_string())).collect()),
        set("rooms", vec![room("")]),
        set("rooms", vec![room(&"x".repeat(101))]),
        set("rooms", vec![json!({"id": "1"})]),
        set("rooms", vec![json!({"id": "1", "properties": {"tags": ["a"]}})]),
    ] {
        assert_eq!(post(&server, "/v1/set", body.as_bytes()).await.unwrap().0, 400, "{body}");
    }
    assert_eq!(server.record().objects().len(), 2);
    let in_body = json!({"write_key": WRITE_KEY, "collection": "rooms", "objects": [room("1")]}).to_string();
    let headers = [("synchronous", "true")];
    assert_eq!(send(&server, "POST", "/v1/set", &headers, in_body.as_bytes()).await.unwrap().0, 200);
    assert!(server.record().deliveries().pop().unwrap().synchronous);
}

#[tokio::test]
async fn refusals_of_a_user_or_a_size_last_until_they_are_lifted() {
    let server = Server::setup().start().await.unwrap();
    server.refuse_user("guilty");
    server.refuse_bodies_over(200);
    let guilty = batch(&[track("fine", "a"), track("guilty", "b")]);
    let large = batch(&[track(&"x".repeat(200), "c")]);
    assert_eq!(post(&server, "/v1/batch", &guilty).await.unwrap().0, 400);
    assert_eq!(post(&server, "/v1/batch", &large).await.unwrap().0, 413);
    assert_eq!(post(&server, "/v1/batch", &batch(&[track("fine", "a")])).await.unwrap().0, 200);
    server.relent();
    assert_eq!(post(&server, "/v1/batch", &guilty).await.unwrap().0, 200);
    assert_eq!(post(&server, "/v1/batch", &large).await.unwrap().0, 200);
}

#[tokio::test]
async fn the_record_has_the_fault_of_each_request() {
    let body = batch(&[track("1", "a"), track("2", "b")]);
    let check = async |rule: Rule, status: Option<u16>, applied: usize, acknowledged: usize| {
        let server = Server::setup().start().await.unwrap();
        server.faults().add(rule);
        let answer = post(&server, "/v1/batch", &body).await;
        assert_eq!(answer.as_ref().map(|(status, ..)| *status), status);
        assert_eq!(server.record().applied().len(), applied);
        assert_eq!(server.record().acknowledged().len(), acknowledged);
        answer
    };
    let on = || Rule::on("batch");
    let throttled = check(on().before(too_many_requests(1)), Some(429), 0, 0).await.unwrap();
    assert!(throttled.1.contains("retry-after: 1") && throttled.1.contains("x-ratelimit-reset: 1"));
    let unhappy = check(on().before(unsuccessful()), Some(200), 0, 0).await.unwrap();
    assert_eq!(unhappy.2, json!({"success": false}));
    check(on().before(Fault::InternalError), Some(500), 0, 0).await;
    check(on().before(Fault::status(460)), Some(460), 0, 0).await;
    check(on().before(Fault::CutRequest), None, 0, 0).await;
    check(on().before(Fault::Reset), None, 0, 0).await;
    check(on().lose_response(), None, 2, 0).await;
    check(on().after(Fault::InternalError), Some(500), 2, 0).await;
    check(on().before(Fault::Slow(Duration::from_millis(1))), Some(200), 2, 2).await;
    check(Rule::on("set").before(Fault::Reset), Some(200), 2, 2).await;
}

#[tokio::test]
async fn a_hang_fault_never_answers() {
    let server = Server::setup().start().await.unwrap();
    server.faults().add(Rule::on("batch").times(1).before(Fault::Hang));
    let body = batch(&[track("1", "a")]);
    let struck_and_later = async {
        while server.faults().strikes().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        answer = post(&server, "/v1/batch", &body) => panic!("{answer:?}"),
        () = struck_and_later => {}
    }
    assert_eq!(post(&server, "/v1/batch", &body).await.unwrap().0, 200);
}

#[tokio::test]
async fn requests_under_way_and_connections_are_counted() {
    let server = Server::setup().start().await.unwrap();
    let gate = Gate::new();
    server.faults().add(Rule::on("batch").before(Fault::Hold(gate.clone())));
    let body = batch(&[track("1", "a")]);
    let (..) = tokio::join!(
        post(&server, "/v1/batch", &body),
        post(&server, "/v1/batch", &body),
        post(&server, "/v1/batch", &body),
        async {
            gate.reached(3).await;
            gate.open();
        }
    );
    assert_eq!(server.record().in_flight_max(), 3);
    assert_eq!(server.connections(), 3);
    assert!(server.record().deliveries().iter().all(|delivery| delivery.answered == Answered::Status(200)));
}

#[tokio::test]
async fn a_sink_answers_200_to_any_body() {
    let server = Server::setup().sink().start().await.unwrap();
    assert_eq!(post(&server, "/v1/batch", b"not looked at").await.unwrap().0, 200);
    let delivery = &server.record().deliveries()[0];
    assert_eq!((delivery.wire_bytes, &delivery.unread[..]), (13, &b"not looked at"[..]));
}
