//! SNS refuses what AWS refuses (SNS API reference, `Publish`).

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::{BehaviorVersion, Region};
use aws_sdk_sns::error::ProvideErrorMetadata as _;
use aws_sdk_sns::types::MessageAttributeValue;
use standins::iam;
use standins::sns::Server;

use crate::support::{direct, provider};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:files";

fn client(server: &Server) -> Client {
    let anyone = iam::Credentials {
        access_key_id: String::from("AKIAANYONE"),
        secret_access_key: String::from("secret"),
        session_token: None,
        expires_at_ms: None,
    };
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.env().remove(0).1)
        .region(Region::new("us-east-1"))
        .credentials_provider(provider(&anyone))
        .retry_config(RetryConfig::disabled())
        .http_client(direct())
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn a_message_is_kept_and_one_that_breaks_a_rule_is_refused() {
    let server = Server::start(&[TOPIC]).await.unwrap();
    let client = client(&server);
    let text = MessageAttributeValue::builder().data_type("String");
    let outcome = text.clone().string_value("finished").build().unwrap();
    let publish = || client.publish().topic_arn(TOPIC).subject("a.csv: sent").message("text & more\n");
    publish().message_attributes("outcome", outcome).send().await.unwrap();
    let published = server.published();
    assert_eq!((published[0].subject.as_str(), published[0].message.as_str()), ("a.csv: sent", "text & more\n"));
    assert_eq!(published[0].attributes["outcome"], "finished");
    let long = "a".repeat(100);
    let empty = text.string_value("").build().unwrap();
    for (request, code) in [
        (publish().topic_arn("arn:aws:sns:us-east-1:123456789012:other"), "NotFound"),
        (publish().subject(long), "InvalidParameter"),
        (publish().subject("ü"), "InvalidParameter"),
        (publish().subject("a\nb"), "InvalidParameter"),
        (publish().message("a".repeat(262_145)), "InvalidParameter"),
        (publish().message_attributes("mapping", empty), "ParameterValueInvalid"),
    ] {
        let refused = request.send().await.unwrap_err();
        assert_eq!(refused.code(), Some(code), "{refused:?}");
    }
    assert_eq!(server.published().len(), 1);
}
