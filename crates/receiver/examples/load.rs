//! How many single events a second the server takes, and how long they wait: `load BINARY CONNECTIONS SECONDS PUT_MS`.
//!
//! The binary is `segment-s3`. S3 is a stub that answers each put after `PUT_MS`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for whoever measures")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [binary, connections, seconds, put_ms] = &arguments[..] else {
        println!("load BINARY CONNECTIONS SECONDS PUT_MS");
        return;
    };
    let (connections, put_ms) = (connections.parse::<usize>().unwrap(), put_ms.parse().unwrap());
    let span = Duration::from_secs(seconds.parse().unwrap());
    let puts = Arc::new(AtomicUsize::new(0));
    let s3 = stub(put_ms, Arc::clone(&puts)).await;
    let mut server = Command::new(binary)
        .args(["receive", "--listen", "127.0.0.1:0"])
        .envs([("STATE_BUCKET", "state"), ("WRITE_KEYS", "key=source"), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ENDPOINT_URL_S3", s3.as_str())])
        .env("NO_PROXY", "127.0.0.1")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, address)) = line.split_once("address=") {
            break address.trim().to_owned();
        }
    };
    let end = Instant::now() + span;
    let clients: Vec<_> = (0..connections).map(|number| tokio::spawn(client(address.clone(), number, end))).collect();
    let pid = server.id().unwrap();
    let memory = tokio::spawn(async move {
        let mut kilobytes = Vec::new();
        while Instant::now() < end {
            kilobytes.push(resident_kb(pid));
            sleep(span / 10).await;
        }
        kilobytes
    });
    let mut waits_us = Vec::new();
    let mut others = 0;
    for client in clients {
        let (waits, refused) = client.await.unwrap();
        waits_us.extend(waits);
        others += refused;
    }
    waits_us.sort_unstable();
    let at = |share: f64| waits_us[((waits_us.len() - 1) as f64 * share) as usize] / 1_000;
    println!(
        "{} answers 200, {others} others, {:.0} a second",
        waits_us.len(),
        waits_us.len() as f64 / span.as_secs_f64()
    );
    println!("p50 {} ms, p99 {} ms, longest {} ms", at(0.5), at(0.99), at(1.0));
    // In hundredths of a second (proc(5): `utime` and `stime`).
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let cpu: u64 = stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    println!("{:.1} CPU seconds of the server", cpu as f64 / 100.0);
    println!("{} puts; resident KB: {:?}", puts.load(Ordering::Relaxed), memory.await.unwrap());
}

/// Sends events on one connection until the end. The waits for answers 200, in microseconds, and the other answers.
async fn client(address: String, number: usize, end: Instant) -> (Vec<u128>, usize) {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let (mut waits, mut others, mut sent) = (Vec::new(), 0, 0);
    while Instant::now() < end {
        sent += 1;
        let body = format!(
            r#"{{"writeKey":"key","userId":"user-{number}","event":"Item Purchased","properties":{{"sent":{sent},"plan":"gold","price":9.99}},"context":{{"library":{{"name":"load","version":"1"}}}}}}"#
        );
        let length = body.len();
        let request = format!("POST /v1/track HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}");
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4_096];
        let count = stream.read(&mut answer).await.unwrap();
        if answer[..count].starts_with(b"HTTP/1.1 200") {
            waits.push(began.elapsed().as_micros());
        } else {
            others += 1;
        }
    }
    (waits, others)
}

/// An S3 that answers each request alike.
async fn stub(put_ms: u64, puts: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let puts = Arc::clone(&puts);
            tokio::spawn(async move {
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
                            length = bytes.parse().unwrap();
                        }
                        if lower.is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.unwrap();
                    puts.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(put_ms)).await;
                    let answer = b"HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n";
                    stream.get_mut().write_all(answer).await.unwrap();
                }
            });
        }
    });
    url
}

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
