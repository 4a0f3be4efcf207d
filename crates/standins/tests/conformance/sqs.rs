//! SQS, by AWS's own client.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use standins::faults::{Fault, Rule};
use standins::sqs::Server;
use standins::{Clock, iam};

use crate::support::{direct, provider, refusal};

fn client(server: &Server) -> Client {
    let anyone = iam::Credentials {
        access_key_id: String::from("AKIAANYONE"),
        secret_access_key: String::from("secret"),
        session_token: None,
        expires_at_ms: None,
    };
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.url())
        .region(Region::new("us-east-1"))
        .credentials_provider(provider(&anyone))
        .retry_config(RetryConfig::disabled())
        .http_client(direct())
        .build();
    Client::from_conf(config)
}

struct Queue {
    server: Server,
    sqs: Client,
    url: String,
}

async fn queue() -> Queue {
    let server = Server::setup().with_clock(Clock::real()).with_queue("work").with_queue("dead").start().await.unwrap();
    let (sqs, url) = (client(&server), server.queue_url("work"));
    Queue { server, sqs, url }
}

#[tokio::test]
async fn a_message_is_in_the_queue_with_its_delay() {
    let queue = queue().await;
    let send = queue.sqs.send_message().queue_url(&queue.url).message_body("{\"größe\":1}");
    let sent = send.delay_seconds(900).send().await.unwrap();
    let messages = queue.server.messages("work");
    assert_eq!((messages.len(), messages[0].body.as_str()), (1, "{\"größe\":1}"));
    assert_eq!(sent.message_id(), Some(messages[0].id.as_str()));
    assert_eq!(messages[0].visible_ms - messages[0].sent_ms, 900_000);
}

#[tokio::test]
async fn a_redrive_moves_every_message() {
    let queue = queue().await;
    queue.server.send("dead", "poison");
    queue.server.redrive("dead", "work");
    assert_eq!(queue.server.messages("dead"), []);
    assert_eq!(queue.server.messages("work")[0].body, "poison");
}

#[tokio::test]
async fn requests_that_sqs_refuses_are_refused() {
    let queue = queue().await;
    let send = |url: &str, body: &str, delay| {
        queue.sqs.send_message().queue_url(url).message_body(body).delay_seconds(delay).send()
    };
    let missing = queue.server.queue_url("missing");
    assert_eq!(
        refusal(send(&missing, "x", 0).await.unwrap_err()),
        (400, "AWS.SimpleQueueService.NonExistentQueue".to_owned())
    );
    for (body, delay, code) in [
        ("x", 901, "InvalidParameterValue"),
        ("x", -1, "InvalidParameterValue"),
        ("", 0, "MissingParameter"),
        ("\u{1}", 0, "InvalidMessageContents"),
        (&"x".repeat(1_048_577), 0, "InvalidParameterValue"),
    ] {
        assert_eq!(refusal(send(&queue.url, body, delay).await.unwrap_err()), (400, code.to_owned()));
    }
}

#[tokio::test]
async fn faults_differ_in_the_effect() {
    for (fault, expected) in [
        (Fault::InternalError, (500, "InternalFailure")),
        (Fault::SlowDown, (503, "ServiceUnavailable")),
        (Fault::Reset, (0, "no answer")),
    ] {
        for applied in [false, true] {
            let queue = queue().await;
            let rule = Rule::on("SendMessage").bucket("work");
            let rule = if applied { rule.after(fault.clone()) } else { rule.before(fault.clone()) };
            queue.server.faults().add(rule);
            let send = queue.sqs.send_message().queue_url(&queue.url).message_body("x");
            let (status, code) = refusal(send.send().await.unwrap_err());
            assert_eq!((status, code.as_str()), expected);
            assert_eq!(queue.server.messages("work").len(), usize::from(applied));
        }
    }
}

#[tokio::test]
async fn a_message_is_received_given_back_and_deleted() {
    let queue = queue().await;
    queue.server.send("work", "{\"größe\":1}");
    let receive = || queue.sqs.receive_message().queue_url(&queue.url).max_number_of_messages(10);
    let received = receive().visibility_timeout(600).send().await.unwrap();
    let message = &received.messages()[0];
    assert_eq!((received.messages().len(), message.body()), (1, Some("{\"größe\":1}")));
    assert!(receive().send().await.unwrap().messages().is_empty(), "it is lent out");

    let receipt = message.receipt_handle().unwrap();
    let give_back = queue.sqs.change_message_visibility().queue_url(&queue.url).receipt_handle(receipt);
    give_back.visibility_timeout(0).send().await.unwrap();
    let again = receive().send().await.unwrap();
    let newer = again.messages()[0].receipt_handle().unwrap();
    let delete = |receipt: &str| queue.sqs.delete_message().queue_url(&queue.url).receipt_handle(receipt).send();
    delete(receipt).await.unwrap();
    assert_eq!(queue.server.messages("work").len(), 1, "it was received again since");
    delete(newer).await.unwrap();
    assert_eq!(queue.server.messages("work"), []);

    assert_eq!(
        refusal(receive().max_number_of_messages(11).send().await.unwrap_err()),
        (400, "InvalidParameterValue".to_owned())
    );
    assert_eq!(refusal(delete("no receipt").await.unwrap_err()), (400, "ReceiptHandleIsInvalid".to_owned()));
}
