//! The receiver behind a function URL, and as a process.

use aws::telemetry::metrics;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use standins::faults::{Fault, Gate, Rule};
use std::process::Stdio;
use stories::binaries::binary;
use stories::deployed::Deployed;
use stories::requests::{batch, to_url};
use stories::telemetry::{emitted, lines};
use stories::{SOURCE, SOURCE_ID, STATE, WRITE_KEY, World, answer, created};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

#[tokio::test]
async fn the_function_behind_a_url_keeps_calls_and_counts_them() {
    let world = World::new().await;
    let receiver = world.receiver().env("RUST_LOG", "debug").deploy();
    let invocation = receiver.invoke(&to_url("POST", "/v1/b", "", batch(&["1", "", "2"]).as_bytes())).await;
    let response = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
    assert_eq!((&response["statusCode"], &response["body"]), (&json!(200), &json!(r#"{"success":true}"#)));
    assert_eq!(emitted(&invocation, metrics::RECEIVED), [json!(2)]);
    assert_eq!(emitted(&invocation, metrics::REFUSED_CALLS), [json!(1)]);
    let warned = lines(&invocation).into_iter().find(|line| line["message"] == "received").unwrap();
    assert_eq!(warned["sources"][SOURCE_ID]["refused"], json!({"no_user_anon_id": 1}));

    let query = format!("writeKey={WRITE_KEY}&userId=pixel&event=Opened");
    let pixel = receiver.invoke(&to_url("GET", "/v1/pixel/track", &query, b"")).await;
    let image = pixel.response().unwrap();
    assert_eq!((&image["statusCode"], &image["isBase64Encoded"]), (&json!(200), &json!(true)));
    assert!(STANDARD.decode(image["body"].as_str().unwrap()).unwrap().starts_with(b"GIF89a"));

    let unknown =
        receiver.invoke(&to_url("POST", "/v1/batch", "", br#"{"writeKey":"other-secret","batch":[{}]}"#)).await;
    assert_eq!(unknown.response().unwrap()["statusCode"], 400);
    assert_eq!(emitted(&unknown, metrics::UNKNOWN_KEYS), [json!(1)]);
    let settings = receiver.invoke(&to_url("GET", &format!("/v1/projects/{WRITE_KEY}/settings"), "", b"")).await;
    assert!(settings.response().unwrap()["body"].as_str().unwrap().contains("id.lambda-url.eu-west-1.on.aws/v1"));
    for invocation in [&invocation, &pixel, &unknown, &settings] {
        let log = invocation.log.join("\n");
        assert!(!log.contains(WRITE_KEY) && !log.contains("other-secret") && !log.contains("Opened"), "{log}");
    }

    world.export().await;
    let mut logged: Vec<_> = world.logged();
    logged.sort_by_key(|line| line["userId"].to_string());
    let users: Vec<_> = logged.iter().map(|line| line["userId"].clone()).collect();
    assert_eq!(users, ["1", "2", "pixel"]);
    assert!(logged.iter().all(|line| line["context"]["ip"] == "203.0.113.7" && line["channel"] == "client"));
}

#[tokio::test]
async fn rows_that_our_receiver_refuses_are_found_and_the_rest_is_delivered() {
    let (world, _) = World::with_receiver(false).await;
    // A message id of 100 characters: the ingester sends it, and the receiver refuses it.
    let csv = format!("userId,event,messageId\n1,e,a\n2,e,{}\n3,e,c\n", "m".repeat(100));
    world.s3.put(SOURCE, "track_1.csv", csv).unwrap();
    let report = answer(&world.ingester().deploy(), &created("track_1.csv")).await;
    let object = &report["objects"][0];
    let counts = ["rows", "acknowledged", "rejected"].map(|name| object[name].clone());
    assert_eq!(counts, [json!(3), json!(2), json!(1)], "{report:#}");
    assert_eq!(world.s3.keys(STATE, "rejects/received/"), [""; 0], "the row is in the rejects of the file only");
}

/// `segment-s3 receive`, with its address.
async fn serve(world: &World) -> (Child, String) {
    let mut command = Command::new(binary("segment-s3"));
    command.args(["receive", "--listen", "127.0.0.1:0"]).env_remove("AWS_LAMBDA_FUNCTION_NAME").env("RUST_LOG", "info");
    let credentials = Deployed::read().credentials("receiver", world.s3.directory());
    command.envs(world.s3.env_as(&credentials)).envs(standins::installation::receiver_settings());
    let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, address)) = line.split_once("address=") {
            let address = address.split_whitespace().next().unwrap().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, address);
        }
    }
    panic!("it does not listen: {:?}", child.wait().await);
}

/// Sends calls. The status of the answer; `None` without one.
async fn send(address: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head =
        format!("POST /v1/batch HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn sigterm_ends_the_server_after_the_answers_of_requests_in_flight() {
    let world = World::new().await;
    let gate = Gate::new();
    world.s3.faults().add(Rule::on("PutObject").before(Fault::Hold(gate.clone())));
    let (mut child, address) = serve(&world).await;
    let sending = tokio::spawn(async move { send(&address, &batch(&["1"])).await });
    gate.reached(1).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    gate.open();
    assert_eq!(sending.await.unwrap(), Some(200));
    assert!(child.wait().await.unwrap().success());
    world.export().await;
    assert_eq!(world.logged().len(), 1);
}

#[tokio::test]
async fn after_a_kill_every_acknowledged_call_is_in_the_logs() {
    let world = World::new().await;
    let (mut child, address) = serve(&world).await;
    let sending: Vec<_> = (0..16)
        .map(|sender| {
            let address = address.clone();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let user = format!("{sender}-{number}");
                    match send(&address, &batch(&[&user])).await {
                        Some(200) => acknowledged.push(user),
                        _ => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    // Some requests later it is killed in the middle of others.
    while world.s3.keys(STATE, "received/").len() < 20 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    let mut acknowledged = Vec::new();
    for sender in sending {
        acknowledged.extend(sender.await.unwrap());
    }
    world.export().await;
    let logged: Vec<_> = world.logged().iter().map(|line| line["userId"].as_str().unwrap().to_owned()).collect();
    assert!(acknowledged.len() >= 20);
    let lost: Vec<_> = acknowledged.iter().filter(|user| !logged.contains(user)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
