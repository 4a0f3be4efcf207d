//! Object-created notifications, as S3 words them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::version::Meta;
use crate::clock::iso_ms;
use crate::dice;

/// Characters that form encoding keeps. S3 also keeps slashes. The space becomes `+`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');

/// Notifications as they arrive: each is what S3 hands to Lambda, `{"Records":[…]}`.
pub type Notifications = mpsc::UnboundedReceiver<Value>;

/// Which objects a listener wants to hear of.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    prefix: String,
    suffix: String,
}

impl Filter {
    /// Every object of the bucket.
    pub fn all() -> Filter {
        Filter::default()
    }

    /// Only keys that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Filter {
        self.prefix = prefix.to_owned();
        self
    }

    /// Only keys that end so.
    #[must_use]
    pub fn suffix(mut self, suffix: &str) -> Filter {
        self.suffix = suffix.to_owned();
        self
    }
}

/// An object that was just created.
#[derive(Debug)]
pub(crate) struct Created<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) meta: &'a Meta,
    pub(crate) versioned: bool,
    pub(crate) event: &'static str,
    pub(crate) principal: &'a str,
    pub(crate) now_ms: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Listeners {
    listeners: Mutex<Vec<Listener>>,
    sequence: AtomicU64,
}

struct Listener {
    bucket: String,
    filter: Filter,
    /// Answers whether anyone still listens.
    tell: Box<dyn Fn(Value) -> bool + Send + Sync>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Listeners {
    pub(crate) fn add(&self, bucket: &str, filter: Filter) -> Notifications {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.add_function(bucket, filter, move |notification| sender.send(notification).is_ok());
        receiver
    }

    pub(crate) fn add_function(
        &self,
        bucket: &str,
        filter: Filter,
        tell: impl Fn(Value) -> bool + Send + Sync + 'static,
    ) {
        self.lock().push(Listener { bucket: bucket.to_owned(), filter, tell: Box::new(tell) });
    }

    pub(crate) fn tell(&self, created: &Created<'_>) {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst);
        self.lock().retain(|listener| {
            let wanted = listener.bucket == created.bucket
                && created.key.starts_with(&listener.filter.prefix)
                && created.key.ends_with(&listener.filter.suffix);
            !wanted || (listener.tell)(record(created, sequence))
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// S3 User Guide, "Event message structure".
fn record(created: &Created<'_>, sequence: u64) -> Value {
    let meta = created.meta;
    let mut object = json!({
        "key": form_encoded(created.key),
        "size": meta.size,
        "eTag": meta.etag,
        // "Compare only the sequencers of one object key, as hexadecimal values."
        "sequencer": format!("00{:012X}{:06X}", created.now_ms, sequence & 0xFF_FFFF),
    });
    if created.versioned {
        object["versionId"] = Value::from(meta.id.as_str());
    }
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": iso_ms(created.now_ms),
        "eventName": created.event,
        "userIdentity": {"principalId": format!("AWS:{}", created.principal)},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": dice::base32(16),
            "x-amz-id-2": dice::token(24),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "standin",
            "bucket": {
                "name": created.bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": format!("arn:aws:s3:::{}", created.bucket),
            },
            "object": object,
        },
    }]})
}

/// What S3 sends once when notifications are turned on.
pub fn test_event(bucket: &str) -> Value {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2014-10-13T15:57:02.089Z",
        "Bucket": bucket,
        "RequestId": dice::base32(16),
        "HostId": dice::token(24),
    })
}

/// `a b+c/é.csv` → `a+b%2Bc/%C3%A9.csv`
pub fn form_encoded(key: &str) -> String {
    utf8_percent_encode(key, FORM).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::form_encoded;

    #[test]
    fn keys_are_form_encoded() {
        for (key, encoded) in [
            ("track_1.csv", "track_1.csv"),
            ("in/2024/track_1.csv", "in/2024/track_1.csv"),
            ("Happy Face.jpg", "Happy+Face.jpg"),
            ("a+b", "a%2Bb"),
            ("a%20b", "a%2520b"),
            ("größe (1).csv", "gr%C3%B6%C3%9Fe+%281%29.csv"),
            ("~", "%7E"),
        ] {
            assert_eq!(form_encoded(key), encoded);
        }
    }
}
