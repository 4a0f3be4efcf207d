//! SNS: `Publish` over the query protocol. It keeps what is published.
//!
//! Signatures are not verified, so any client may publish.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::dice;
use crate::faults::{Fault, Faults, Moment, Target};
use crate::serve::{self, Body, Listening, Reply, answer, made_up};

/// SNS API reference, `Publish`, `Subject`: fewer than 100 characters.
const SUBJECT_CHARS_MAX: usize = 99;
/// SNS API reference, `Publish`, `Message`: at most 262,144 bytes.
const MESSAGE_BYTES_MAX: usize = 262_144;

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The topic.
    pub topic_arn: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub message: String,
    /// Names and values.
    pub attributes: BTreeMap<String, String>,
}

/// A running SNS with some topics. Dropped, it stops.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
    wire: Wire,
}

#[derive(Clone, Debug, Default)]
struct Wire {
    topics: Vec<String>,
    published: Arc<Mutex<Vec<Published>>>,
    faults: Faults,
}

impl Server {
    /// Starts it on the running tokio runtime.
    pub async fn start(topic_arns: &[&str]) -> io::Result<Server> {
        let topics = topic_arns.iter().map(|arn| (*arn).to_owned()).collect();
        let wire = Wire { topics, ..Wire::default() };
        let shared = wire.clone();
        let listening = serve::listen(serve::any_port(), move |request| shared.clone().handle(request)).await?;
        Ok(Server { listening, wire })
    }

    /// The environment variables for its endpoint.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![(String::from("AWS_ENDPOINT_URL_SNS"), self.listening.url())]
    }

    /// Its faults: rules name an action, and the topic as the bucket.
    pub fn faults(&self) -> &Faults {
        &self.wire.faults
    }

    /// Everything that was published, in order.
    pub fn published(&self) -> Vec<Published> {
        self.wire.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Wire {
    async fn handle(self, request: Request<Incoming>) -> Reply {
        let Ok(body) = request.into_body().collect().await else { return Reply::Drop };
        let form = serve::parse_form(&String::from_utf8_lossy(&body.to_bytes()));
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        let target = Target { operation: field("Action"), bucket: field("TopicArn"), key: String::new() };
        let plan = self.faults.plan(&target);
        if let Some(fault) = plan.strike(Moment::Before).await {
            return failed(&fault);
        }
        let answered = self.publish(&target, &form);
        match plan.strike(Moment::After).await {
            Some(fault) => failed(&fault),
            None => Reply::Answer(answered),
        }
    }

    fn publish(&self, target: &Target, form: &HashMap<String, String>) -> http::Response<Body> {
        let field = |name: &str| form.get(name).cloned().unwrap_or_default();
        if target.operation != "Publish" {
            return refused(400, "InvalidAction", "The action is not valid for this endpoint.");
        }
        if !self.topics.contains(&target.bucket) {
            return refused(404, "NotFound", "Topic does not exist");
        }
        let (subject, message) = (field("Subject"), field("Message"));
        let is_printable = subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !subject.starts_with(' ');
        if !is_printable || subject.len() > SUBJECT_CHARS_MAX {
            return refused(400, "InvalidParameter", "Invalid parameter: Subject");
        }
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return refused(400, "InvalidParameter", "Invalid parameter: Message");
        }
        let mut attributes = BTreeMap::new();
        for number in 1.. {
            let entry = format!("MessageAttributes.entry.{number}");
            let Some(name) = form.get(&format!("{entry}.Name")) else { break };
            let value = field(&format!("{entry}.Value.StringValue"));
            if value.is_empty() || field(&format!("{entry}.Value.DataType")).is_empty() {
                return refused(400, "ParameterValueInvalid", "The message attribute has no value or no type.");
            }
            attributes.insert(name.clone(), value);
        }
        let published = Published { topic_arn: target.bucket.clone(), subject, message, attributes };
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push(published);
        let body = format!(
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
             <MessageId>{}</MessageId></PublishResult></PublishResponse>",
            dice::uuid()
        );
        answer(200, "text/xml", body)
    }
}

fn refused(status: u16, code: &str, message: &str) -> http::Response<Body> {
    let body = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    answer(status, "text/xml", body)
}

fn failed(fault: &Fault) -> Reply {
    match fault {
        Fault::Answer(answer) => Reply::Answer(made_up(answer)),
        Fault::SlowDown => Reply::Answer(refused(429, "Throttled", "Rate exceeded")),
        Fault::InternalError => Reply::Answer(refused(500, "InternalError", "The service has an internal error.")),
        _ => Reply::Drop,
    }
}
