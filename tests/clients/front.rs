//! A proxy before the receiver that gives the first request of a library its fate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered by the receiver.
    Answered,
    /// It is answered with this status, and does not reach the receiver.
    Status(u16),
    /// The receiver answers, and the answer is lost.
    Lost,
}

/// The proxy.
pub(crate) struct Front {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Front {
    pub(crate) async fn start(receiver: &str, fate: Fate) -> Front {
        let receiver = receiver.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (receiver, count) = (receiver.clone(), Arc::clone(&count));
                tokio::spawn(async move { serve(stream, &receiver, fate, &count).await });
            }
        });
        Front { url, requests }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// How many requests with calls have come.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One request on each connection.
async fn serve(mut stream: TcpStream, receiver: &str, fate: Fate, count: &AtomicUsize) {
    let Some(request) = read(&mut stream).await else { return };
    // A browser asks for settings and permission before it sends.
    let is_first = request.starts_with(b"POST") && count.fetch_add(1, Ordering::SeqCst) == 0;
    let answer = match fate {
        Fate::Status(status) if is_first => {
            let body = r#"{"success":false,"message":"trouble","code":"trouble"}"#;
            let length = body.len();
            format!("HTTP/1.1 {status} Trouble\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
        }
        _ => {
            let mut upstream = TcpStream::connect(receiver).await.unwrap();
            upstream.write_all(&request).await.unwrap();
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).await.unwrap();
            if fate == Fate::Lost && is_first {
                return;
            }
            answer
        }
    };
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

/// A whole request, which asks for the end of its connection.
async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16_384]);
    loop {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
            })
        };
        let body = &bytes[end + 4..];
        let is_whole = match header("content-length") {
            Some(length) => body.len() >= length.parse().unwrap(),
            None => header("transfer-encoding").is_none() || body.ends_with(b"0\r\n\r\n"),
        };
        if is_whole {
            let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            let head = lines.collect::<Vec<_>>().join("\r\n");
            return Some([format!("{head}\r\nconnection: close\r\n\r\n").as_bytes(), body].concat());
        }
    }
}
