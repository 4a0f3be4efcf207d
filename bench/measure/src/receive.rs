//! The receiver as a server, under many connections that each send single events.

use crate::process::{Usage, resident_bytes};
use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// What is sent.
pub(crate) struct Load {
    connections: usize,
    span: Duration,
    put: Duration,
    /// Connections that send half of a request, and then nothing.
    half_sent: usize,
    /// Whether the server is killed (SIGKILL) when half of the time is over.
    is_killed: bool,
}

impl Load {
    pub(crate) fn read(connections: &str, seconds: &str, put_ms: &str, more: &[&str]) -> anyhow::Result<Load> {
        let (span, put) = (Duration::from_secs(crate::number(seconds)?), Duration::from_millis(crate::number(put_ms)?));
        let mut load = Load { connections: crate::number(connections)?, span, put, half_sent: 0, is_killed: false };
        for word in more {
            match word.split_once('=') {
                Some(("half", count)) => load.half_sent = crate::number(count)?,
                None if *word == "kill" => load.is_killed = true,
                _ => bail!("{word} is neither half=N nor kill"),
            }
        }
        Ok(load)
    }
}

/// Each event that was acknowledged must be in S3 at the end.
pub(crate) async fn measure(binary: &Path, load: &Load) -> anyhow::Result<Value> {
    let puts = Arc::new(Mutex::new(Vec::new()));
    let s3 = stub(load.put, Arc::clone(&puts)).await?;
    let (mut server, address) = started(binary, &s3).await?;
    let pid = server.id().context("the server has ended")?;
    let half_sent = half_sent(&address, load.half_sent).await?;
    let began = Instant::now();
    let end = began + load.span;
    let clients: Vec<_> =
        (0..load.connections).map(|number| tokio::spawn(client(address.clone(), number, end))).collect();
    let mut resident = Vec::new();
    let mut used = Usage::default();
    let stop = if load.is_killed { began + load.span / 2 } else { end };
    while Instant::now() < stop {
        resident.push(resident_bytes(pid));
        used = Usage::of(pid).unwrap_or(used);
        sleep(load.span / 20).await;
    }
    if load.is_killed {
        server.kill().await?;
    }
    let span_s = began.elapsed().as_secs_f64();
    let mut answers = Answers::default();
    for client in clients {
        answers.add(client.await?);
    }
    let used = Usage::of(pid).unwrap_or(used);
    drop(half_sent);
    let lost = answers.acknowledged.difference(&kept(&puts)?).count();
    answers.waits_us.sort_unstable();
    let puts = puts.lock().unwrap_or_else(PoisonError::into_inner).len();
    Ok(json!({
        "connections": load.connections, "half_sent": load.half_sent, "is_killed": load.is_killed,
        "put_ms": load.put.as_millis() as u64, "seconds": span_s,
        "acknowledged": answers.waits_us.len(), "others": answers.others, "lost": lost,
        "requests_per_s": answers.waits_us.len() as f64 / span_s,
        "p50_ms": answers.at(0.5), "p99_ms": answers.at(0.99), "longest_ms": answers.at(1.0),
        "cpu_s": used.cpu_s, "peak_bytes": used.peak_bytes, "resident_bytes": resident, "puts": puts,
    }))
}

async fn started(binary: &Path, s3: &str) -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(binary)
        .args(["receive", "--listen", "127.0.0.1:0"])
        .envs([("STATE_BUCKET", "state"), ("WRITE_KEYS", "key=source"), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ENDPOINT_URL_S3", s3)])
        .env("NO_PROXY", "127.0.0.1")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(server.stderr.take().context("no log")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, address)) = line.split_once("address=") {
            let address = address.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((server, address));
        }
    }
    bail!("the server does not say where it listens")
}

/// Connections with half of a request each. They stay open until they are dropped.
async fn half_sent(address: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"POST /v1/track HTTP/1.1\r\nhost: h\r\ncontent-length: 400\r\n\r\n{\"writeKey\":\"key\",")
            .await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// What clients saw.
#[derive(Default)]
struct Answers {
    waits_us: Vec<u64>,
    others: usize,
    /// The client and the number of each event that was answered 200.
    acknowledged: HashSet<(u32, u32)>,
}

impl Answers {
    fn add(&mut self, other: Answers) {
        self.waits_us.extend(other.waits_us);
        self.others += other.others;
        self.acknowledged.extend(other.acknowledged);
    }

    /// The wait that this share of the answers did not exceed, in milliseconds.
    fn at(&self, share: f64) -> Option<f64> {
        let last = self.waits_us.len().checked_sub(1)?;
        Some(self.waits_us[(last as f64 * share) as usize] as f64 / 1e3)
    }
}

/// Sends one event after the other until the end, or until the server is gone.
async fn client(address: String, number: usize, end: Instant) -> Answers {
    let mut answers = Answers::default();
    let Ok(mut stream) = TcpStream::connect(&address).await else { return answers };
    let mut sent: u32 = 0;
    while Instant::now() < end {
        sent += 1;
        let body = format!(
            r#"{{"writeKey":"key","userId":"user-{number}","messageId":"load-{number}-{sent}","event":"Item Purchased","properties":{{"plan":"gold","price":9.99}},"context":{{"library":{{"name":"load","version":"1"}}}}}}"#
        );
        let length = body.len();
        let request = format!("POST /v1/track HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}");
        let began = Instant::now();
        let mut answer = [0; 4_096];
        let count = match stream.write_all(request.as_bytes()).await {
            Ok(()) => stream.read(&mut answer).await.unwrap_or(0),
            Err(_) => 0,
        };
        if count == 0 {
            return answers;
        }
        if answer[..count].starts_with(b"HTTP/1.1 200") {
            answers.waits_us.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            answers.acknowledged.insert((u32::try_from(number).unwrap_or(u32::MAX), sent));
        } else {
            answers.others += 1;
        }
    }
    answers
}

/// Bodies of puts that were answered.
type Puts = Arc<Mutex<Vec<Vec<u8>>>>;

/// The events in S3, each by client and number.
fn kept(puts: &Puts) -> anyhow::Result<HashSet<(u32, u32)>> {
    let mut kept = HashSet::new();
    for put in puts.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let mut lines = String::new();
        MultiGzDecoder::new(&put[..]).read_to_string(&mut lines)?;
        for line in lines.lines() {
            let id = line.split_once(r#""messageId":"load-"#).and_then(|(_, rest)| rest.split_once('"'));
            let pair = id.and_then(|(id, _)| id.split_once('-')).context("a line has no id of ours")?;
            kept.insert((pair.0.parse()?, pair.1.parse()?));
        }
    }
    Ok(kept)
}

/// An S3 that takes any put, and keeps its body before it answers.
async fn stub(put: Duration, puts: Puts) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(takes_puts(stream, put, Arc::clone(&puts)));
        }
    });
    Ok(url)
}

async fn takes_puts(stream: TcpStream, put: Duration, puts: Puts) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let lower = line.trim().to_ascii_lowercase();
            if let Some(bytes) = lower.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap_or(0);
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        sleep(put).await;
        puts.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        let answer = b"HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n";
        if stream.get_mut().write_all(answer).await.is_err() {
            return;
        }
    }
}
