//! Messages about files, published to the topics of `NOTICE_TOPIC_ARN`.

use crate::causes;
use aws::Dice;
use aws::bucket::retried;
use aws::causes::in_words;
use aws::fault::{Fault, Operation};
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use ingestion::announcement::{Announcement, REJECTED};
use ingestion::trouble::{Remedy, Trouble};

/// The topics. There may be none.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    client: Client,
    arns: Vec<String>,
    dice: Dice,
}

impl Topics {
    pub(crate) fn new(config: &aws::clients::SdkConfig, arns: &[String], dice: Dice) -> Self {
        Self { client: Client::new(config), arns: arns.to_vec(), dice }
    }

    /// True if a message would reach nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.arns.is_empty()
    }

    /// Publishes a message to each topic.
    pub(crate) async fn publish(&self, message: &Announcement) -> Result<(), Trouble> {
        for arn in &self.arns {
            let published = retried(&self.dice, || self.publish_once(arn, message)).await;
            published.map_err(|fault| of_topic(&fault))?;
        }
        Ok(())
    }

    async fn publish_once(&self, arn: &str, message: &Announcement) -> Result<(), Fault> {
        let Announcement { subject, text, attributes } = message;
        let mut request = self.client.publish().topic_arn(arn).subject(subject).message(text);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type(if *name == REJECTED { "Number" } else { "String" })
                .string_value(value)
                .build();
            // The builder refuses a value without a type only.
            let value = value.map_err(|error| Fault::foreign(Operation::Publish, arn, error.to_string()))?;
            request = request.message_attributes(*name, value);
        }
        let answer = request.send().await.map_err(|error| Fault::of(Operation::Publish, arn, &error))?;
        match answer.message_id() {
            Some(_) => Ok(()),
            None => {
                let detail = "the answer has no message id, so it is not from SNS";
                Err(Fault::foreign(Operation::Publish, arn, detail))
            }
        }
    }
}

fn of_topic(fault: &Fault) -> Trouble {
    let remedy = if fault.is_transient() { Remedy::Wait } else { Remedy::Person };
    Trouble::new(remedy, in_words(fault, &causes::of_topic(fault)))
}
