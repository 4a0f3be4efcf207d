//! Every environment variable that a function reads, declared once: its name, its default and its meaning. The tables of
//! the documentation are made of these declarations.

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// The default of the setting.
    pub default: DefaultValue,
    /// The meaning in a sentence, as Markdown.
    pub meaning: &'static str,
}

/// The default of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none: the function does not start without a value.
    Required,
    /// The setting is optional.
    None,
    /// This value. It is parsed like a value that is set.
    Value(&'static str),
    /// Other settings or the file decide it. The text says how.
    Depends(&'static str),
}

impl DefaultValue {
    /// The text for the tables of the documentation.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            DefaultValue::Required => "required".to_owned(),
            DefaultValue::None => String::new(),
            DefaultValue::Value(value) => format!("`{value}`"),
            DefaultValue::Depends(words) => words.to_owned(),
        }
    }
}

/// Declares a group of settings: a constant for each, and the list of all of them.
macro_rules! settings {
    ($(#[doc = $doc:literal])+ $group:ident { $($name:ident $default:expr, $meaning:literal;)* }) => {
        $(
            #[doc = $meaning]
            pub static $name: Setting = Setting { name: stringify!($name), default: $default, meaning: $meaning };
        )*
        $(#[doc = $doc])+
        pub static $group: &[&Setting] = &[$(&$name),*];
    };
}
pub(crate) use settings;

use DefaultValue::{Depends, None, Required, Value};

settings! {
    /// Read by every function.
    ALL {
        STATE_BUCKET Required, "the state bucket, the same for all functions. It must not be a source bucket.";
        CONFIG None, "one [configuration](docs/configuration.md) for everything beyond these settings: a TOML document, or the `s3://` URI of one";
        SERVICE_NAME Value("segment-s3"), "the name of this installation in log lines and metrics. The template gives the name of the stack.";
        SETTINGS None, "any of these settings, as `NAME=value; NAME=value`. A value that has a `;` itself needs its own variable, or a place in `CONFIG`.";
    }
}

settings! {
    /// Read by the ingester.
    INGESTER {
        WRITE_KEY Depends("required here or in `CONFIG`"), "the write key of the Segment source, or the ARN of a secret that holds only this key. The variable may also be called `write_key`. A `[[source]]` with a write key in `CONFIG` replaces it.";
        SOURCE_ID Depends("required here or in `CONFIG`"), "the source's id, which is also the name of its folder in the logs. A `[[source]]` with a write key in `CONFIG` replaces it.";
        SEGMENT_REGION Value("us"), "`us` or `eu`. It chooses the default endpoints.";
        SEGMENT_ENDPOINT Depends("`https://api.segment.io`, for `eu` `https://events.eu1.segmentapis.com`"), "the Tracking API";
        SEGMENT_OBJECTS_ENDPOINT Depends("`https://objects.segment.com`, for `eu` `https://objects.euw1.segment.com`"), "the Objects API";
        SEGMENT_SETTINGS_ENDPOINT Depends("`https://cdn-settings.segment.com`, or `SEGMENT_ENDPOINT` if that is not Segment's"), "the endpoint at which `validate` looks up the write key. With `VERIFY_WRITE_KEY` the ingester looks it up there too, before it sends a file. If `SEGMENT_ENDPOINT` is not Segment's, `validate` looks the key up at `SEGMENT_ENDPOINT`. The ingester then makes a lookup only if you set this variable.";
        SOURCE_BUCKET None, "the source bucket. Only `validate` uses it, because each S3 event names its own bucket.";
        INGEST_COPIES Value("true"), "ingest an object that S3 copies in one request (`CopyObject`). A copy onto itself, for example for another storage class, is a new upload: all its rows are sent again, with new ids. With `false` the ingester ignores copies.";
        INGEST_RESTORED Value("false"), "ingest an object when it is back from an archive. With `true`, a file that was sent more than `LedgerDays` ago is sent again, because the record of what was sent has expired.";
        IGNORE_KEYS None, "keys that the ingester ignores, in addition to [the keys of tools](#names-of-files-and-columns): globs on the whole key, separated by commas, such as `**/*.bak,drafts/**`. Upper and lower case count as the same.";
        REQUEST_PAYER None, "`requester`: your account pays for reading source buckets that are [Requester Pays](https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html)";
        VERIFY_WRITE_KEY Value("true"), "before the first batch of a file, ask Segment whether it knows the write key. If Segment does not know the key, the file fails and nothing is sent. If Segment knows the key, or gives no clear answer, the ingester sends the file, and does not ask again for an hour.";
        KEEP_FOR_EXPORT Value("true"), "keep accepted calls for the exporter. (`SEGMENT_ENDPOINT` may be the URL of a [receiver](docs/receiver.md). Its answer says that the receiver keeps the calls, and the ingester then does not keep them a second time.)";
        INCLUDE_WRITE_KEY Value("false"), "put `writeKey` into the lines of the logs, as Segment does. Warning: anyone who can read these logs can then send calls to the source.";
        QUEUE_URL None, "the URL of the (standard) queue that starts this function. If a file is too long for one invocation, the ingester sends a message there, and the next invocation continues the file.";
        NOTICE_TOPIC_ARN None, "the SNS topics for [messages about files](#messages-about-files): ARNs, separated by commas. The template's parameter `FileTopicArn` sets this variable. (The parameter `NoticeTopicArn` does not: it is for [notices](#alarms).)";
        REJECTED_FOLDER Value("false"), "also put the rejects file into a folder `rejected/` beside the uploaded file, in its bucket. The ingester then ignores all objects in such folders. The function's role needs `s3:PutObject` there.";
        EVENTS_PER_SECOND Depends("1000 for Segment, else no limit"), "calls a second that one running ingester may send; 0 is no limit";
        WORKSPACE_EVENTS_PER_SECOND None, "instead of `EVENTS_PER_SECOND`: calls a second that all ingesters of the queue together may send. The template's parameter `EventsPerSecond` sets this variable, and not `EVENTS_PER_SECOND`.";
        CONCURRENCY Value("1"), "the number of ingesters that the event source mapping of the queue may run at once. Each running ingester sends at most `WORKSPACE_EVENTS_PER_SECOND` divided by this number. The setting only tells the ingester the number. The limit itself is in the event source mapping.";
        REQUESTS_IN_FLIGHT Value("4"), "requests to Segment at the same time, of one running ingester; at most 32";
        GZIP_REQUESTS Value("true"), "compress bodies, because AWS charges for outgoing traffic";
        LEASE_SECONDS Value("60"), "if an invocation is killed, another one may continue its file after this many seconds; at least 5";
        COMMIT_SECONDS Value("10"), "seconds between commits, at most 60. A commit saves the position in the file. The ingester also commits whenever 50,000 rows have passed since the last commit. After a crash it sends the rows after the last commit again, with the same message ids.";
        REJECT_LIMIT_ROWS None, "a number of refused rows that stops a file";
        REJECT_LIMIT_SHARE Value("0.5"), "a share of refused rows, from 0 to 1. Once 1,000 rows of a file are read, a larger share stops the file.";
        PROFILE Value("true"), "profile the columns of each file for the ledger and the report: filled and empty cells, lengths, types, shapes such as `AAA-999`. The profile contains no value of a cell.";
        CLOCK_OFFSET_MS Value("0"), "for tests: milliseconds by which the function's clock is ahead";
    }
}

settings! {
    /// Read by the exporter.
    EXPORTER {
        DESTINATION_BUCKET Depends("required here or in `CONFIG`"), "the bucket for the logs, with an optional `/path/prefix`. A `[[destination]]` in `CONFIG` replaces this setting and the other settings `DESTINATION_…`.";
        DESTINATION_REGION Depends("required here or in `CONFIG`"), "the region of the bucket for the logs";
        DESTINATION_ROLE_ARN Depends("required here or in `CONFIG`"), "the role that may put objects into the bucket for the logs";
        DESTINATION_EXTERNAL_ID Depends("required here or in `CONFIG`"), "the external id that the role requires";
        DESTINATION_SSE None, "how S3 encrypts the log objects: `AES256` or `aws:kms`. Without this setting the bucket decides.";
        DESTINATION_KMS_KEY_ARN None, "the KMS key for `aws:kms`. Without this setting the bucket decides.";
        DESTINATION_STORAGE_CLASS None, "the storage class of the log objects, such as `STANDARD_IA`";
        DESTINATION_ACL None, "a canned ACL for each log object, such as `bucket-owner-full-control`";
        DESTINATION_EXPECTED_BUCKET_OWNER Depends("the account of the role"), "the account that must own the bucket for the logs, or `any`";
        EXPIRE_DAYS Value("30"), "days after which the exporter gives up calls that it cannot export, with an alarm; 1 to 30";
    }
}

settings! {
    /// Read by the receiver, which reads `INCLUDE_WRITE_KEY` too.
    RECEIVER {
        WRITE_KEYS Depends("required here or in `CONFIG`"), "the write keys that are accepted, each with the id of its source: `key=source,key=source`. A source may have an old key and a new one side by side. Each `[[source]]` with a write key in `CONFIG` adds its own. If `UNKNOWN_KEYS` is the id of a source, or `WEBHOOK_SECRETS` is set, no write key is required.";
        UNKNOWN_KEYS Value("refuse"), "calls with any other write key: `refuse` answers 400, and the id of a source keeps them for that source. Segment answers 200 to most unknown keys, and throws the calls away.";
        WEBHOOK_SECRETS None, "the secrets of webhooks, each with the id of its source: `source=secret,source=secret`. Without the secret of its source, a webhook is refused.";
        TRUSTED_HOPS Value("0"), "proxies of yours in front of the receiver that append to `X-Forwarded-For`, such as a load balancer. `context.ip` of a browser is the address that the first of them saw.";
        CALL_BYTES_MAX Value("32768"), "bytes of one call, as it is sent";
        BATCH_BYTES_MAX Value("524288"), "bytes of a batch, inflated; at most 4194304. Segment documents 500 KB, and libraries send up to the default.";
        BATCH_CALLS_MAX Value("2500"), "calls of a batch";
        SOURCE_CALLS_PER_SECOND None, "calls a second that each source may send. Beyond it the answer is 429 with `Retry-After`. Each process counts alone, and so does each instance in Lambda.";
        CONNECTIONS_MAX Value("1000"), "connections that `segment-s3 receive` serves at the same time. Others wait.";
    }
}

pub use crate::reading::READING;
