//! Connections: how many, how slow, and how they end.

use crate::api::{Api, answer_of, batch};
use aws::Clock;
use receiver::Settings;
use standins::faults::{Fault, Gate, Rule};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A request, whole, on a connection that stays open.
async fn begin(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = batch().to_string();
    let head = format!("POST /v1/batch HTTP/1.1\r\nhost: api.test\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn no_request_in_flight_is_lost_when_the_server_stops() {
    let mut api = Api::new().await;
    let gate = Gate::new();
    api.s3.faults().add(Rule::on("PutObject").before(Fault::Hold(gate.clone())));
    let mut waiting = begin(&api.address).await;
    gate.reached(1).await;
    // A request that is half sent when the server stops.
    let mut half = TcpStream::connect(&api.address).await.unwrap();
    half.write_all(b"POST /v1/batch HTTP/1.1\r\nhost: api.test\r\n").await.unwrap();
    // A connection whose request has not come yet.
    let mut new = TcpStream::connect(&api.address).await.unwrap();
    api.stop.take().unwrap().send(()).unwrap();
    tokio::task::yield_now().await;
    let body = batch().to_string();
    half.write_all(format!("content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let head = format!("POST /v1/batch HTTP/1.1\r\nhost: api.test\r\ncontent-length: {}\r\n\r\n", body.len());
    new.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    gate.open();
    for stream in [&mut waiting, &mut half, &mut new] {
        let answer = answer_of(stream).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    api.served.await.unwrap();
    assert!(TcpStream::connect(&api.address).await.is_err(), "nothing listens any more");
    assert_eq!(api.receiver.recent().all().len(), 6);
}

#[tokio::test]
async fn two_hundred_half_sent_requests_hold_nothing_up() {
    let api = Api::new().await;
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(&api.address).await.unwrap();
        let part: &[u8] = if number % 2 == 0 {
            b"POST /v1/ba"
        } else {
            b"POST /v1/batch HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{"
        };
        stream.write_all(part).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(api.send("/v1/batch", batch()).await.status, 200);
    drop(slow);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let short = |settings: &mut Settings| settings.request_timeout = Duration::from_millis(50);
    let api = Api::changed(&[], Clock::system(), short).await;
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(b"POST /v1/batch HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let (status, code, _) = answer_of(&mut stream).await.refusal();
    assert_eq!((status, code.as_str()), (408, "timeout"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served_later() {
    let api = Api::with(&[("CONNECTIONS_MAX", "1")]).await;
    let first = TcpStream::connect(&api.address).await.unwrap();
    let second = tokio::spawn({
        let address = api.address.clone();
        async move { crate::api::ask(&address, "POST /v1/batch", "", batch().to_string().as_bytes()).await.status }
    });
    // The first connection sends nothing, so only its end lets the second one in.
    tokio::task::yield_now().await;
    assert!(!second.is_finished() && api.kept().is_empty());
    drop(first);
    assert_eq!(second.await.unwrap(), 200);
}
