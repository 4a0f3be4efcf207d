//! The API as its callers see it, over HTTP.
#![expect(clippy::unwrap_used, reason = "tests")]

use aws::{Bucket, Clock, Dice};
use flate2::read::GzDecoder;
use receiver::{Keeping, Keys, Receiver, router};
use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::s3::Server;
use std::io::Read;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "write-key";
const STATE: &str = "state";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// A served receiver.
struct Api {
    receiver: Arc<Receiver>,
    address: String,
}

/// Its text.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// Status, code and message of a refusal in the form that Segment's libraries read.
    fn refusal(&self) -> (u16, String, String) {
        let body: Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}: {:?}", self.status, self.body));
        assert_eq!(body["success"], false, "{}", self.body);
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let field = |name: &str| body[name].as_str().unwrap().to_owned();
        (self.status, field("code"), field("message"))
    }
}

impl Api {
    async fn new(state: Option<Bucket>) -> Api {
        let keeping = state.map(|state| Keeping { state, include_write_key: false });
        let receiver =
            Receiver::new(Keys::one(KEY, "source1".parse().unwrap()), keeping, Clock::system(), Dice::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = router(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Api { receiver, address }
    }

    async fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A refusal may come before the body has gone.
        let _ = stream.write_all(body.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn send(&self, path: &str, body: Value) -> Answer {
        self.ask(&format!("POST {path}"), "", &body.to_string()).await
    }
}

fn batch() -> Value {
    let call = |user: &str| json!({"type": "identify", "userId": user, "messageId": format!("m-{user}")});
    json!({"writeKey": KEY, "batch": [call("1"), call("2")]})
}

async fn state_bucket() -> (Server, Bucket) {
    let s3 = Server::memory().with_bucket(STATE).start().await.unwrap();
    let key = s3.credentials();
    let config = aws::clients::config_at(&s3.url(), &key.access_key_id, &key.secret_access_key);
    let bucket = Bucket::new(aws::clients::s3(&config), STATE, Dice::seeded(1));
    (s3, bucket)
}

/// The ids in each fragment that waits for the exporter.
fn kept(s3: &Server) -> Vec<Vec<String>> {
    let ids = |key: &String| {
        let mut text = String::new();
        // A fragment has no end block of its own. Its lines are read before the missing end is noticed.
        let _ = GzDecoder::new(s3.bytes(STATE, key).unwrap().as_ref()).read_to_string(&mut text);
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["messageId"].as_str().unwrap().to_owned()).collect()
    };
    s3.keys(STATE, "received/source1/").iter().map(ids).collect()
}

#[tokio::test]
async fn every_path_answers_a_preflight_request() {
    let api = Api::new(None).await;
    let asks = "origin: https://example.com\r\naccess-control-request-method: POST\r\n";
    for path in ["/v1/batch", "/v1/b", "/v1/t", "/v1/track", "/v1/set", "/v1/import/", "/v1/projects/k/settings"] {
        let answer = api.ask(&format!("OPTIONS {path}"), asks, "").await;
        assert_eq!(answer.status, 204, "{path}");
        assert!(answer.head.contains("access-control-allow-origin: *"), "{path}: {}", answer.head);
        assert!(answer.head.contains("access-control-allow-headers: *, authorization"), "{path}: {}", answer.head);
    }
}

#[tokio::test]
async fn every_refusal_is_json_with_a_code_and_a_message() {
    let api = Api::new(None).await;
    let malformed = (400, "invalid_request".to_owned(), "malformed JSON".to_owned());
    assert_eq!(api.ask("GET /v1/track", "", "").await.refusal(), malformed);
    assert_eq!(api.ask("GET /v1/batch", "", "").await.refusal(), malformed);
    assert_eq!(api.ask("POST /v1/batch", "", "{").await.refusal(), malformed);
    let large = (400, "invalid_request".to_owned(), "Exceed payload limit".to_owned());
    for size in [600_000, 1_100_000] {
        assert_eq!(api.ask("POST /v1/batch", "", &" ".repeat(size)).await.refusal(), large, "{size}");
    }
    for path in ["/v1/nonsense", "/v1/batch/", "/"] {
        let (status, code, _) = api.send(path, batch()).await.refusal();
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    let zstd = api.ask("POST /v1/batch", "content-encoding: zstd\r\n", &batch().to_string()).await;
    assert_eq!(zstd.refusal().0, 400);
    assert_eq!(api.receiver.recent().all(), []);
}

#[tokio::test]
async fn a_call_without_an_id_is_given_one() {
    let api = Api::new(None).await;
    for id in [json!(null), json!("")] {
        let call = json!({"writeKey": KEY, "userId": "u", "event": "e", "messageId": id});
        assert_eq!(api.send("/v1/track", call).await.status, 200);
    }
    let ids: Vec<_> = api.receiver.recent().all().iter().map(|seen| seen.call["messageId"].clone()).collect();
    assert!(ids.iter().all(|id| id.as_str().is_some_and(|id| id.starts_with("api-"))) && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn acknowledged_calls_are_kept_and_the_answer_says_so() {
    let (s3, bucket) = state_bucket().await;
    let api = Api::new(Some(bucket)).await;
    let answer = api.send("/v1/batch", batch()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"success":true}"#));
    assert!(answer.head.contains("x-segment-s3-staged: true"), "{}", answer.head);
    assert_eq!(kept(&s3), [["m-1", "m-2"]]);
    // Objects are not in Segment's own logs.
    let objects = json!({"writeKey": KEY, "collection": "rooms", "objects": [{"id": "1", "properties": {}}]});
    let answer = api.send("/v1/set", objects).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("x-segment-s3-staged"), "{}", answer.head);
    assert_eq!(kept(&s3).len(), 1);

    let without = Api::new(None).await.send("/v1/batch", batch()).await;
    assert_eq!(without.status, 200);
    assert!(!without.head.contains("x-segment-s3-staged"), "{}", without.head);
}

#[tokio::test]
async fn calls_that_cannot_be_kept_are_not_acknowledged() {
    let (s3, bucket) = state_bucket().await;
    s3.faults().add(Rule::on("PutObject").before(Fault::status(403).body(DENIED)));
    let api = Api::new(Some(bucket)).await;
    let answer = api.send("/v1/batch", batch()).await;
    let (status, code, _) = answer.refusal();
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    assert!(!answer.head.contains("x-segment-s3-staged"), "{}", answer.head);
    assert_eq!(kept(&s3), [[""; 0]; 0]);
    assert_eq!(api.receiver.recent().all(), [], "what was not taken is not shown");

    s3.faults().clear();
    assert_eq!(api.send("/v1/batch", batch()).await.status, 200);
    assert_eq!(kept(&s3), [["m-1", "m-2"]]);
}
