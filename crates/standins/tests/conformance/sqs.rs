//! SQS, by AWS's own client.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use standins::faults::{Fault, Rule};
use standins::sqs::{QueueSettings, Server};
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
    clock: Clock,
}

async fn queue(settings: QueueSettings) -> Queue {
    let clock = Clock::real();
    let server = Server::setup()
        .with_clock(clock.clone())
        .with_queue_of("work", settings)
        .with_queue("dead")
        .start()
        .await
        .unwrap();
    let (sqs, url) = (client(&server), server.queue_url("work"));
    Queue { server, sqs, url, clock }
}

impl Queue {
    async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    async fn receive(&self) -> Vec<aws_sdk_sqs::types::Message> {
        let receive = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let receive =
            receive.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All");
        receive.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn bodies(&self) -> Vec<String> {
        self.receive().await.into_iter().map(|message| message.body.unwrap()).collect()
    }
}

#[tokio::test]
async fn a_message_is_sent_received_and_deleted() {
    let queue = queue(QueueSettings::default()).await;
    let text = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
    let send = queue.sqs.send_message().queue_url(&queue.url).message_body("{\"größe\":1}");
    let sent = send.message_attributes("name", text).send().await.unwrap();
    let messages = queue.receive().await;
    let message = &messages[0];
    assert_eq!(message.body(), Some("{\"größe\":1}"));
    assert_eq!(message.message_id(), sent.message_id());
    assert_eq!(message.md5_of_body(), sent.md5_of_message_body());
    let system = message.attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert!(system.contains_key(&MessageSystemAttributeName::SentTimestamp));
    assert_eq!(message.message_attributes().unwrap()["name"].string_value(), Some("v"));
    assert_eq!(queue.bodies().await, [""; 0]);
    let delete = queue.sqs.delete_message().queue_url(&queue.url).receipt_handle(message.receipt_handle().unwrap());
    delete.send().await.unwrap();
    queue.clock.advance(Duration::from_secs(31));
    assert_eq!(queue.bodies().await, [""; 0]);
}

#[tokio::test]
async fn delays_and_visibility_follow_the_clock() {
    let queue = queue(QueueSettings::default().visibility_s(60)).await;
    let send = queue.sqs.send_message().queue_url(&queue.url).message_body("later");
    send.delay_seconds(900).send().await.unwrap();
    assert_eq!(queue.bodies().await, [""; 0]);
    queue.clock.advance(Duration::from_secs(900));
    let receipt = queue.receive().await[0].receipt_handle.clone().unwrap();
    let change = |seconds| {
        let change = queue.sqs.change_message_visibility().queue_url(&queue.url).receipt_handle(&receipt);
        change.visibility_timeout(seconds).send()
    };
    change(300).await.unwrap();
    queue.clock.advance(Duration::from_secs(61));
    assert_eq!(queue.bodies().await, [""; 0]);
    change(0).await.unwrap();
    let again = queue.receive().await;
    let count = &again[0].attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(count, "2");
    let refused = refusal(change(0).await.unwrap_err());
    assert_eq!(refused, (400, "AWS.SimpleQueueService.MessageNotInflight".to_owned()));
}

#[tokio::test]
async fn a_message_received_too_often_moves_to_the_dead_letters_and_back() {
    let queue = queue(QueueSettings::default().visibility_s(10).redrive("dead", 3)).await;
    queue.send("poison").await;
    for _ in 0..3 {
        assert_eq!(queue.bodies().await, ["poison"]);
        queue.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(queue.bodies().await, [""; 0]);
    assert_eq!(queue.server.messages("work"), []);
    assert_eq!(queue.server.messages("dead")[0].body, "poison");
    queue.server.redrive("dead", "work");
    assert_eq!(queue.bodies().await, ["poison"]);
}

#[tokio::test]
async fn a_long_poll_ends_with_a_message_or_its_time() {
    let queue = queue(QueueSettings::default()).await;
    let poll = |seconds| queue.sqs.receive_message().queue_url(&queue.url).wait_time_seconds(seconds).send();
    let waiting = tokio::spawn(poll(20));
    queue.send("x").await;
    assert_eq!(waiting.await.unwrap().unwrap().messages().len(), 1);
    queue.sqs.purge_queue().queue_url(&queue.url).send().await.unwrap();
    let waiting = tokio::spawn(poll(20));
    while !waiting.is_finished() {
        queue.clock.advance(Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(waiting.await.unwrap().unwrap().messages().len(), 0);
}

#[tokio::test]
async fn a_batch_answers_for_each_entry() {
    let queue = queue(QueueSettings::default()).await;
    let entry = |id: &str, delay| {
        SendMessageBatchRequestEntry::builder().id(id).message_body(id).delay_seconds(delay).build().unwrap()
    };
    let send = queue.sqs.send_message_batch().queue_url(&queue.url).entries(entry("a", 0)).entries(entry("b", 901));
    let sent = send.send().await.unwrap();
    assert_eq!((sent.successful().len(), sent.failed()[0].id()), (1, "b"));
    let receipt = queue.receive().await[0].receipt_handle.clone().unwrap();
    let entry = |id: &str, receipt: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(receipt).build().unwrap()
    };
    let delete = queue.sqs.delete_message_batch().queue_url(&queue.url);
    let deleted = delete.entries(entry("1", &receipt)).entries(entry("2", "nonsense")).send().await.unwrap();
    assert_eq!((deleted.successful()[0].id(), deleted.failed()[0].code()), ("1", "ReceiptHandleIsInvalid"));
    assert_eq!(queue.server.messages("work"), []);
}

#[tokio::test]
async fn queues_are_created_described_and_purged() {
    let queue = queue(QueueSettings::default()).await;
    let create = queue.sqs.create_queue().queue_name("made").attributes(QueueAttributeName::VisibilityTimeout, "120");
    let policy =
        format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":\"5\"}}", queue.server.queue_arn("dead"));
    let made = create.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    let url = made.queue_url().unwrap();
    assert_eq!(url, queue.server.queue_url("made"));
    let found = queue.sqs.get_queue_url().queue_name("made").send().await.unwrap();
    assert_eq!(found.queue_url(), Some(url));
    for delay in [0, 0, 60] {
        queue.sqs.send_message().queue_url(url).message_body("x").delay_seconds(delay).send().await.unwrap();
    }
    queue.sqs.receive_message().queue_url(url).send().await.unwrap();
    let attributes = queue.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "1");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessagesNotVisible], "1");
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessagesDelayed], "1");
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "120");
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains("\"maxReceiveCount\":5"));
    queue.sqs.purge_queue().queue_url(url).send().await.unwrap();
    assert_eq!(queue.server.messages("made"), []);
}

#[tokio::test]
async fn entries_of_one_id_are_refused_together() {
    let queue = queue(QueueSettings::default()).await;
    let entry = |body: &str| SendMessageBatchRequestEntry::builder().id("same").message_body(body).build().unwrap();
    let send = queue.sqs.send_message_batch().queue_url(&queue.url).entries(entry("a")).entries(entry("b"));
    let refused = refusal(send.send().await.unwrap_err());
    assert_eq!(refused, (400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct".to_owned()));
    assert_eq!(queue.bodies().await, [""; 0]);
}

#[tokio::test]
async fn requests_that_sqs_refuses_are_refused() {
    let queue = queue(QueueSettings::default()).await;
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
    let receive = queue.sqs.receive_message().queue_url(&queue.url).max_number_of_messages(11);
    assert_eq!(refusal(receive.send().await.unwrap_err()), (400, "InvalidParameterValue".to_owned()));
    let create = queue.sqs.create_queue().queue_name("no spaces");
    assert_eq!(refusal(create.send().await.unwrap_err()), (400, "InvalidParameterValue".to_owned()));
}

#[tokio::test]
async fn faults_differ_in_the_effect() {
    for (fault, expected) in [
        (Fault::InternalError, (500, "InternalFailure")),
        (Fault::SlowDown, (503, "ServiceUnavailable")),
        (Fault::Reset, (0, "no answer")),
    ] {
        for applied in [false, true] {
            let queue = queue(QueueSettings::default()).await;
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
