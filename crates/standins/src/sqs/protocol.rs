//! SQS's actions over AWS JSON 1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::queue::{Message, QueueSettings, ReceiptError};
use super::{ACCOUNT, Queues, REGION};
use crate::clock::Clock;
use crate::dice;

/// SQS Developer Guide, "Amazon SQS message quotas".
const BODY_BYTES_MAX: usize = 1_048_576;
const DELAY_S_MAX: i64 = 900;
const VISIBILITY_S_MAX: i64 = 43_200;
const WAIT_S_MAX: i64 = 20;
const BATCH_MAX: usize = 10;
const ATTRIBUTES_MAX: usize = 10;

/// An answer that is not a success: its code, the code that older clients know, and a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SqsError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) old_code: &'static str,
    pub(crate) message: String,
}

fn refuse(code: &'static str, old_code: &'static str, message: impl Into<String>) -> SqsError {
    SqsError { status: 400, code, old_code, message: message.into() }
}

fn invalid(message: impl Into<String>) -> SqsError {
    refuse("InvalidParameterValue", "InvalidParameterValue", message)
}

/// The answer's body; an empty one for actions that answer nothing.
type Answer = Result<Value, SqsError>;

pub(crate) async fn act(queues: &Queues, clock: &Clock, url: &str, action: &str, input: &Value) -> Answer {
    let now_ms = clock.now_ms();
    match action {
        "CreateQueue" => create(queues, url, input),
        "GetQueueUrl" => {
            let name = text(input, "QueueName")?;
            queues.with(name, |_| ())?;
            Ok(json!({"QueueUrl": queue_url(url, name)}))
        }
        "ListQueues" => {
            let prefix = input.get("QueueNamePrefix").and_then(Value::as_str).unwrap_or_default();
            let names = queues.names().into_iter().filter(|name| name.starts_with(prefix));
            let urls: Vec<String> = names.map(|name| queue_url(url, &name)).collect();
            Ok(json!({"QueueUrls": urls}))
        }
        "DeleteQueue" => queues.remove(queue_of(input)?).map(|()| Value::Null),
        "PurgeQueue" => {
            queues.with(queue_of(input)?, |queue| queue.messages.clear())?;
            Ok(Value::Null)
        }
        "SendMessage" => send(queues, queue_of(input)?, input, now_ms),
        "SendMessageBatch" => batch(input, |entry| send(queues, queue_of(input)?, entry, now_ms)),
        "ReceiveMessage" => receive(queues, clock, input).await,
        "DeleteMessage" => delete(queues, queue_of(input)?, input),
        "DeleteMessageBatch" => batch(input, |entry| delete(queues, queue_of(input)?, entry)),
        "ChangeMessageVisibility" => change_visibility(queues, queue_of(input)?, input, now_ms),
        "ChangeMessageVisibilityBatch" => {
            batch(input, |entry| change_visibility(queues, queue_of(input)?, entry, now_ms))
        }
        "GetQueueAttributes" => attributes(queues, queue_of(input)?, input, now_ms),
        "SetQueueAttributes" => {
            let attributes = input.get("Attributes");
            queues.with(queue_of(input)?, |queue| set(&mut queue.settings, attributes))??;
            Ok(Value::Null)
        }
        other => Err(refuse("InvalidAction", "InvalidAction", format!("The action {other} is not valid"))),
    }
}

fn create(queues: &Queues, url: &str, input: &Value) -> Answer {
    let name = text(input, "QueueName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 80 || !name.chars().all(fits) {
        return Err(invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"));
    }
    let mut settings = QueueSettings::default();
    set(&mut settings, input.get("Attributes"))?;
    queues.create(name, settings);
    Ok(json!({"QueueUrl": queue_url(url, name)}))
}

fn set(settings: &mut QueueSettings, attributes: Option<&Value>) -> Result<(), SqsError> {
    let attributes = attributes.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in attributes {
        let value = value.as_str().unwrap_or_default().to_owned();
        let number = value.parse::<i64>();
        match (name.as_str(), number) {
            ("VisibilityTimeout", Ok(seconds)) => settings.visibility_s = seconds,
            ("DelaySeconds", Ok(seconds)) => settings.delay_s = seconds,
            ("MessageRetentionPeriod", Ok(seconds)) => settings.retention_s = seconds,
            ("ReceiveMessageWaitTimeSeconds", Ok(seconds)) => settings.wait_s = seconds,
            ("RedrivePolicy", _) => settings.redrive = Some(redrive_policy(&value)?),
            ("Policy" | "KmsMasterKeyId" | "SqsManagedSseEnabled", _) => {}
            _ => {
                return Err(refuse(
                    "InvalidAttributeName",
                    "InvalidAttributeName",
                    format!("Unknown Attribute {name}."),
                ));
            }
        }
    }
    Ok(())
}

/// `{"deadLetterTargetArn":"arn:aws:sqs:…:name","maxReceiveCount":"5"}`
fn redrive_policy(json: &str) -> Result<(String, u32), SqsError> {
    let policy: Value = serde_json::from_str(json).unwrap_or_default();
    let arn = policy.get("deadLetterTargetArn").and_then(Value::as_str);
    let name = arn.and_then(|arn| arn.rsplit(':').next());
    let count = policy.get("maxReceiveCount");
    let count = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
    let count = count.and_then(|count| u32::try_from(count).ok());
    match (name, count) {
        (Some(name), Some(count)) => Ok((name.to_owned(), count)),
        _ => Err(invalid(format!("Value {json} for parameter RedrivePolicy is invalid."))),
    }
}

fn send(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Answer {
    let body = text(input, "MessageBody")?;
    if body.len() > BODY_BYTES_MAX {
        return Err(invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {BODY_BYTES_MAX} bytes."
        )));
    }
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..);
    if !body.chars().all(legal) {
        return Err(refuse(
            "InvalidMessageContents",
            "InvalidMessageContents",
            "The message contains characters outside the allowed set.",
        ));
    }
    let delay_s = seconds(input, "DelaySeconds", DELAY_S_MAX)?;
    let attributes: BTreeMap<String, Value> =
        input.get("MessageAttributes").and_then(Value::as_object).cloned().unwrap_or_default().into_iter().collect();
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(invalid("Number of message attributes exceeds the allowed maximum [10]."));
    }
    let message = queues.send(name, body.to_owned(), attributes, delay_s, now_ms)?;
    Ok(json!({"MessageId": message.id, "MD5OfMessageBody": md5_hex(body.as_bytes())}))
}

async fn receive(queues: &Queues, clock: &Clock, input: &Value) -> Answer {
    let name = queue_of(input)?;
    let count = input.get("MaxNumberOfMessages").and_then(Value::as_i64).unwrap_or(1);
    let count = usize::try_from(count).unwrap_or(0);
    if !(1..=BATCH_MAX).contains(&count) {
        return Err(invalid(
            "Value for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
        ));
    }
    let visibility_s = seconds(input, "VisibilityTimeout", VISIBILITY_S_MAX)?;
    let wait_s = match seconds(input, "WaitTimeSeconds", WAIT_S_MAX)? {
        Some(seconds) => seconds,
        None => queues.with(name, |queue| queue.settings.wait_s)?,
    };
    let wait = Duration::from_secs(u64::try_from(wait_s).unwrap_or(0));
    let lent = queues.receive(name, count, visibility_s, clock, wait).await?;
    let messages: Vec<Value> = lent.iter().map(|message| received(message, input)).collect();
    // Without messages there is no list at all.
    Ok(match messages.is_empty() {
        true => json!({}),
        false => json!({"Messages": messages}),
    })
}

fn received(message: &Message, input: &Value) -> Value {
    let asked = |field: &str| -> Vec<String> {
        let names = input.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut system = asked("AttributeNames");
    system.extend(asked("MessageSystemAttributeNames"));
    let all = system.iter().any(|name| name == "All");
    let attributes: Map<String, Value> =
        system_attributes(message).into_iter().filter(|(name, _)| all || system.contains(name)).collect();
    let mut answer = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt(),
        "Body": message.body,
        "MD5OfBody": md5_hex(message.body.as_bytes()),
    });
    if !attributes.is_empty() {
        answer["Attributes"] = Value::Object(attributes);
    }
    let wanted = asked("MessageAttributeNames");
    let chosen = |name: &String| {
        wanted.iter().any(|pattern| match pattern.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == "All" || pattern == name,
        })
    };
    let chosen: Map<String, Value> = message.attributes.clone().into_iter().filter(|(name, _)| chosen(name)).collect();
    if !chosen.is_empty() {
        answer["MessageAttributes"] = Value::Object(chosen);
    }
    answer
}

/// As both `ReceiveMessage` and Lambda's event have them.
pub(crate) fn system_attributes(message: &Message) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut put = |name: &str, value: String| attributes.insert(name.to_owned(), Value::String(value));
    put("ApproximateReceiveCount", message.receives.to_string());
    put("SentTimestamp", message.sent_ms.to_string());
    put("SenderId", String::from("AIDASTANDIN"));
    if let Some(first_ms) = message.first_received_ms {
        put("ApproximateFirstReceiveTimestamp", first_ms.to_string());
    }
    attributes
}

fn delete(queues: &Queues, name: &str, input: &Value) -> Answer {
    let receipt = text(input, "ReceiptHandle")?;
    let deleted = queues.with(name, |queue| queue.delete(receipt))?;
    queues.changed();
    deleted.map(|()| Value::Null).map_err(|error| receipt_refusal(error, receipt))
}

fn change_visibility(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Answer {
    let receipt = text(input, "ReceiptHandle")?;
    let seconds = seconds(input, "VisibilityTimeout", VISIBILITY_S_MAX)?;
    let seconds = seconds.ok_or_else(|| missing("VisibilityTimeout"))?;
    let changed = queues.with(name, |queue| queue.change_visibility(receipt, seconds, now_ms))?;
    queues.changed();
    changed.map(|()| Value::Null).map_err(|error| receipt_refusal(error, receipt))
}

fn receipt_refusal(error: ReceiptError, receipt: &str) -> SqsError {
    match error {
        ReceiptError::Malformed => refuse(
            "ReceiptHandleIsInvalid",
            "ReceiptHandleIsInvalid",
            format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
        ),
        ReceiptError::NotInFlight => refuse(
            "MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
            "The specified message isn't in flight.",
        ),
    }
}

fn attributes(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Answer {
    let asked = input.get("AttributeNames").and_then(Value::as_array).cloned().unwrap_or_default();
    let all = asked.iter().any(|name| name == "All");
    let attributes = queues.with(name, |queue| {
        let (visible, in_flight, delayed) = queue.counts(now_ms);
        let settings = &queue.settings;
        let mut attributes = json!({
            "ApproximateNumberOfMessages": visible.to_string(),
            "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
            "ApproximateNumberOfMessagesDelayed": delayed.to_string(),
            "VisibilityTimeout": settings.visibility_s.to_string(),
            "DelaySeconds": settings.delay_s.to_string(),
            "MessageRetentionPeriod": settings.retention_s.to_string(),
            "ReceiveMessageWaitTimeSeconds": settings.wait_s.to_string(),
            "QueueArn": arn(name),
        });
        if let Some((dead, count)) = &settings.redrive {
            let policy = json!({"deadLetterTargetArn": arn(dead), "maxReceiveCount": count});
            attributes["RedrivePolicy"] = Value::String(policy.to_string());
        }
        attributes
    })?;
    let chosen: Map<String, Value> = attributes
        .as_object()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, _)| all || asked.iter().any(|one| one == name))
        .collect();
    Ok(json!({"Attributes": chosen}))
}

/// One answer for each entry, sorted into those that went well and those that did not.
fn batch(input: &Value, act: impl Fn(&Value) -> Answer) -> Answer {
    let entries = input.get("Entries").and_then(Value::as_array).cloned().unwrap_or_default();
    if entries.is_empty() {
        return Err(refuse(
            "EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ));
    }
    if entries.len() > BATCH_MAX {
        return Err(refuse(
            "TooManyEntriesInBatchRequest",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        ));
    }
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry.get("Id").and_then(Value::as_str)).collect();
    if ids.len() < entries.len() {
        return Err(refuse(
            "BatchEntryIdsNotDistinct",
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in &entries {
        let id = entry.get("Id").cloned().unwrap_or_default();
        match act(entry) {
            Ok(mut answer) => {
                if !answer.is_object() {
                    answer = json!({});
                }
                answer["Id"] = id;
                successful.push(answer);
            }
            Err(refusal) => failed.push(json!({
                "Id": id,
                "SenderFault": true,
                "Code": refusal.code,
                "Message": refusal.message,
            })),
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}

pub(crate) fn queue_url(url: &str, name: &str) -> String {
    format!("{url}/{ACCOUNT}/{name}")
}

pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The queue's name, from its URL.
pub(crate) fn queue_of(input: &Value) -> Result<&str, SqsError> {
    let url = text(input, "QueueUrl")?;
    Ok(url.rsplit('/').next().unwrap_or_default())
}

pub(crate) fn no_such_queue() -> SqsError {
    refuse("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, SqsError> {
    let text = input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> SqsError {
    refuse("MissingParameter", "MissingParameter", format!("The request must contain the parameter {name}."))
}

fn seconds(input: &Value, name: &str, max: i64) -> Result<Option<i64>, SqsError> {
    match input.get(name).and_then(Value::as_i64) {
        Some(seconds) if !(0..=max).contains(&seconds) => Err(invalid(format!(
            "Value {seconds} for parameter {name} is invalid. Reason: Must be between 0 and {max}, if provided."
        ))),
        seconds => Ok(seconds),
    }
}

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    use s3s::crypto::Checksum as _;
    hex::encode(s3s::crypto::Md5::checksum(bytes))
}

/// A refusal as it travels.
pub(crate) fn refused(refusal: &SqsError) -> http::Response<crate::serve::Body> {
    let body = json!({
        "__type": format!("com.amazonaws.sqs#{}", refusal.code),
        "message": refusal.message,
    });
    let mut response = crate::serve::answer(refusal.status, "application/x-amz-json-1.0", body.to_string());
    let side = if refusal.status < 500 { "Sender" } else { "Receiver" };
    if let Ok(value) = format!("{};{side}", refusal.old_code).parse() {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    if let Ok(value) = dice::uuid().parse() {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    response
}
