//! SQS's `SendMessage`, `ReceiveMessage`, `DeleteMessage` and `ChangeMessageVisibility` over AWS JSON 1.0.

use serde_json::{Map, Value, json};

use super::queue::{Lent, Message};
use super::{ACCOUNT, Queues, REGION};
use crate::dice;

/// SQS Developer Guide, "Amazon SQS message quotas".
const BODY_BYTES_MAX: usize = 1_048_576;
const DELAY_S_MAX: i64 = 900;
const VISIBILITY_S_MAX: i64 = 43_200;
/// SQS API reference, `ReceiveMessage`.
const RECEIVED_MAX: i64 = 10;

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

/// The answer to an action of those that the functions and the command line use.
pub(crate) fn act(queues: &Queues, now_ms: i64, action: &str, input: &Value) -> Result<Value, SqsError> {
    match action {
        "SendMessage" => send(queues, queue_of(input)?, input, now_ms),
        "ReceiveMessage" => receive(queues, queue_of(input)?, input, now_ms),
        "DeleteMessage" => delete(queues, queue_of(input)?, input),
        "ChangeMessageVisibility" => change_visibility(queues, queue_of(input)?, input, now_ms),
        other => Err(refuse("InvalidAction", "InvalidAction", format!("The action {other} is not valid"))),
    }
}

fn send(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Result<Value, SqsError> {
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
    let message = queues.send(name, body.to_owned(), delay_s.unwrap_or(0), now_ms)?;
    Ok(json!({"MessageId": message.id, "MD5OfMessageBody": md5_hex(body.as_bytes())}))
}

/// SQS API reference, `ReceiveMessage`. An empty queue answers at once, whatever the wait.
fn receive(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Result<Value, SqsError> {
    let count = input.get("MaxNumberOfMessages").and_then(Value::as_i64).unwrap_or(1);
    if !(1..=RECEIVED_MAX).contains(&count) {
        return Err(invalid(format!(
            "Value {count} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and \
             {RECEIVED_MAX}, if provided."
        )));
    }
    let visibility_s = seconds(input, "VisibilityTimeout", VISIBILITY_S_MAX)?;
    let lent = queues.receive(name, usize::try_from(count).unwrap_or(1), visibility_s, now_ms)?;
    let messages: Vec<Value> = lent
        .iter()
        .map(|message| {
            json!({
                "MessageId": message.id,
                "ReceiptHandle": message.receipt(),
                "MD5OfBody": md5_hex(message.body.as_bytes()),
                "Body": message.body,
                "Attributes": system_attributes(message),
            })
        })
        .collect();
    Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) })
}

/// SQS API reference, `DeleteMessage`: a message that was received again since stays, and the answer is a success.
fn delete(queues: &Queues, name: &str, input: &Value) -> Result<Value, SqsError> {
    let receipt = text(input, "ReceiptHandle")?;
    if hex::decode(receipt).is_err() {
        return Err(refuse("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", "The input receipt handle is invalid."));
    }
    queues.with(name, |queue| queue.messages.retain(|message| message.receipt() != receipt))?;
    queues.changed();
    Ok(json!({}))
}

/// SQS API reference, `ChangeMessageVisibility`: only a message that is lent out can be changed, by its last receipt.
fn change_visibility(queues: &Queues, name: &str, input: &Value, now_ms: i64) -> Result<Value, SqsError> {
    let receipt = text(input, "ReceiptHandle")?;
    let seconds = seconds(input, "VisibilityTimeout", VISIBILITY_S_MAX)?.ok_or_else(|| missing("VisibilityTimeout"))?;
    let lent = queues.with(name, |queue| queue.lend_until(receipt, now_ms + seconds * 1_000, now_ms))?;
    match lent {
        Lent::Changed => Ok(json!({})),
        Lent::NotInFlight => Err(refuse(
            "MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
            "The specified message isn't in flight.",
        )),
        Lent::Unknown => {
            Err(refuse("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", "The input receipt handle is invalid."))
        }
    }
}

/// The system attributes of a message in Lambda's event.
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
