//! A receiver that is served, and a client that shows every byte of an answer.

use aws::{Clock, Dice};
use flate2::read::GzDecoder;
use receiver::{Receiver, Settings, server};
use serde_json::{Value, json};
use standins::s3::Server;
use std::io::Read;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "write-key";
pub(crate) const STATE: &str = "state";

/// A served receiver, and its S3.
pub(crate) struct Api {
    pub(crate) s3: Server,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) address: String,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
}

/// An answer, its head in lower case.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Status, code and message of a refusal in the form that Segment's libraries read.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(body["success"], false, "{body}");
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let field = |name: &str| body[name].as_str().unwrap().to_owned();
        (self.status, field("code"), field("message"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Api {
    pub(crate) async fn new() -> Api {
        Api::with(&[]).await
    }

    /// With settings beside the bucket and the key.
    pub(crate) async fn with(set: &[(&str, &str)]) -> Api {
        Api::at(set, Clock::system()).await
    }

    pub(crate) async fn at(set: &[(&str, &str)], clock: Clock) -> Api {
        Api::changed(set, clock, |_| {}).await
    }

    /// With settings that no variable sets.
    pub(crate) async fn changed(set: &[(&str, &str)], clock: Clock, change: impl FnOnce(&mut Settings)) -> Api {
        let s3 = Server::memory().with_bucket(STATE).start().await.unwrap();
        let key = s3.credentials();
        let sdk = aws::clients::config_at(&s3.url(), &key.access_key_id, &key.secret_access_key);
        let of_key = format!("{KEY}=source1,other-key=source2");
        let default = [("STATE_BUCKET", STATE), ("WRITE_KEYS", of_key.as_str())];
        let get = |wanted: &str| {
            set.iter().chain(&default).find_map(|(name, value)| (*name == wanted).then(|| (*value).to_owned()))
        };
        let mut settings = Settings::parse(&get).unwrap();
        change(&mut settings);
        let receiver = Receiver::new(settings, &sdk, clock, Dice::system());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let served = tokio::spawn(server::serve(listener, Arc::clone(&receiver), stopped));
        Api { s3, receiver, address, stop: Some(stop), served }
    }

    /// Sends a request with a body of any bytes.
    pub(crate) async fn ask(&self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        ask(&self.address, line, headers, body.as_ref()).await
    }

    pub(crate) async fn send(&self, path: &str, body: Value) -> Answer {
        self.ask(&format!("POST {path}"), "", body.to_string()).await
    }

    /// The keys of all fragments.
    pub(crate) fn fragments(&self) -> Vec<String> {
        self.s3.keys(STATE, "received/")
    }

    /// The lines that wait for the exporter.
    pub(crate) fn kept(&self) -> Vec<Value> {
        self.fragments().iter().flat_map(|key| self.lines_of(key)).collect()
    }

    pub(crate) fn lines_of(&self, key: &str) -> Vec<Value> {
        let mut text = String::new();
        // A fragment has no end block of its own. Its lines are read before the missing end is noticed.
        let _ = GzDecoder::new(self.s3.bytes(STATE, key).unwrap().as_ref()).read_to_string(&mut text);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The refused calls with their reasons.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        let read = |key: &String| String::from_utf8(self.s3.bytes(STATE, key).unwrap().to_vec()).unwrap();
        let texts = self.s3.keys(STATE, "rejects/received/source1/").iter().map(read).collect::<String>();
        // A call that is nested too deep is refused by this reader too.
        let why = |line: &str| serde_json::from_str(&format!("{}}}", line.split_once(",\"call\":").unwrap().0));
        texts.lines().map(|line| serde_json::from_str(line).or_else(|_| why(line)).unwrap()).collect()
    }
}

/// A request on a connection of its own.
pub(crate) async fn ask(address: &str, line: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nhost: api.test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A refusal may come before the body has gone.
    let _ = stream.write_all(body).await;
    answer_of(&mut stream).await
}

/// Reads an answer to its end.
pub(crate) async fn answer_of(stream: &mut TcpStream) -> Answer {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: answer[split + 4..].to_vec() }
}

pub(crate) fn call(user: &str) -> Value {
    json!({"type": "identify", "userId": user, "messageId": format!("m-{user}")})
}

pub(crate) fn batch() -> Value {
    json!({"writeKey": KEY, "batch": [call("1"), call("2")]})
}

/// One field of each line.
pub(crate) fn each<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap_or_default()).collect()
}
