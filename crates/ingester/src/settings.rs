//! The function's settings, all from the environment.

use calls::batches::BATCH_CALLS_MAX;
use calls::pipeline::Threshold;
use calls::reading::Reading;
use config::environment::{Faults, Reader, bucket_fault, is_url};
use config::settings::{
    CLOCK_OFFSET_MS, COMMIT_SECONDS, INCLUDE_WRITE_KEY, INGEST_COPIES, INGEST_RESTORED, KEEP_FOR_EXPORT, LEASE_SECONDS,
    NOTICE_TOPIC_ARN, PROFILE, QUEUE_URL, REJECT_LIMIT_ROWS, REJECT_LIMIT_SHARE, REJECTED_FOLDER, REQUEST_PAYER,
    SERVICE_NAME, SOURCE_BUCKET, SOURCE_ID, STATE_BUCKET, WRITE_KEY,
};
use config::{Config, ConfigFrom, IgnoredKeys};
use ingestion::notification::Wanted;
use protocol::id::SourceId;

/// The shortest lease. A shorter one would end before a slow write ends.
const LEASE_SECONDS_MIN: u32 = 5;
/// The longest time between commits. A kill repeats at most this much work.
const COMMIT_SECONDS_MAX: f64 = 60.0;

/// The ingester's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How calls are sent to the source of the settings, and to sources of the configuration that have no such keys of their own.
    pub delivery: delivery::Settings,
    /// The source that the settings describe, unless the configuration describes sources.
    pub source: Option<SourceId>,
    /// Where the configuration is.
    pub config: ConfigFrom,
    /// Our own bucket.
    pub state_bucket: String,
    /// The bucket that files are uploaded to. Only `validate` uses it, because each S3 event names its own bucket.
    pub source_bucket: Option<String>,
    /// The events beside uploads that are ingested.
    pub wanted: Wanted,
    /// The keys that are left alone.
    pub ignored: IgnoredKeys,
    /// Whether we pay for the reads of source buckets.
    pub pays_for_reads: bool,
    /// Whether accepted calls are kept for the exporter.
    pub keep_for_export: bool,
    /// Whether the lines that are kept have the write key, as Segment's own logs do.
    pub include_write_key: bool,
    /// How CSV is read.
    pub reading: Reading,
    /// Whether the columns of files are profiled.
    pub profile: bool,
    /// The number or share of refused rows that stops a file.
    pub threshold: Threshold,
    /// The lease: the time in ms for which other runs leave a file alone, unless its owner renews it.
    pub lease_ms: i64,
    /// The time between commits of settled rows, in ms.
    pub commit_every_ms: i64,
    /// Calls in a request at most. Tests lower it, so that a small file has several requests.
    pub(crate) batch_calls_max: usize,
    /// Where the rest of a file is sent.
    pub queue_url: Option<String>,
    /// The topics that get a message about each file that has ended.
    pub notice_topics: Vec<String>,
    /// Whether refused rows are also put into a folder beside their file.
    pub rejected_folder: bool,
}

impl Settings {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// All faults together.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader::new(get);
        let settings = Self::of(&mut reader);
        reader.finish(settings)
    }

    /// The settings, with defaults in place of faulty ones. The reader keeps the faults.
    fn of(reader: &mut Reader<'_>) -> Self {
        let reading = config::reading::of_environment(reader);
        let config = ConfigFrom::read(reader, &reading);
        let delivery = delivery::Settings::read(reader, config.is_settings());
        let source = source_id(reader, &config);
        let state_bucket = reader.bucket(&STATE_BUCKET);
        let source_bucket = source_bucket(reader);
        let wanted = Wanted { copies: reader.flag(&INGEST_COPIES), restored: reader.flag(&INGEST_RESTORED) };
        let ignored = IgnoredKeys::read(reader);
        let pays_for_reads = pays_for_reads(reader);
        let keep_for_export = reader.flag(&KEEP_FOR_EXPORT);
        let include_write_key = reader.flag(&INCLUDE_WRITE_KEY);
        let profile = reader.flag(&PROFILE);
        let threshold = threshold(reader);
        let lease: u32 = reader.parsed(&LEASE_SECONDS, "a number of seconds such as 60");
        if lease < LEASE_SECONDS_MIN {
            reader.fault(&LEASE_SECONDS, format_args!("must be at least {LEASE_SECONDS_MIN}"));
        }
        let commit_every_ms = commit_every_ms(reader);
        let queue_url = queue_url(reader);
        let notice_topics = notice_topics(reader);
        let rejected_folder = reader.flag(&REJECTED_FOLDER);
        // Read where the clock is made.
        let _: i64 = reader.parsed(&CLOCK_OFFSET_MS, "a whole number of milliseconds");
        // Read where logging starts.
        let _ = reader.optional(&SERVICE_NAME);
        Self {
            delivery,
            source,
            config,
            state_bucket,
            source_bucket,
            wanted,
            ignored,
            pays_for_reads,
            keep_for_export,
            include_write_key,
            reading,
            profile,
            threshold,
            lease_ms: i64::from(lease) * 1_000,
            commit_every_ms,
            batch_calls_max: BATCH_CALLS_MAX,
            queue_url,
            notice_topics,
            rejected_folder,
        }
    }
}

fn source_bucket(reader: &mut Reader<'_>) -> Option<String> {
    let bucket = reader.optional(&SOURCE_BUCKET)?;
    if let Some(fault) = bucket_fault(&bucket) {
        reader.fault(&SOURCE_BUCKET, fault);
    }
    Some(bucket)
}

/// `REQUEST_PAYER`. S3 knows one value (S3 API reference, `x-amz-request-payer`).
fn pays_for_reads(reader: &mut Reader<'_>) -> bool {
    let payer = reader.optional(&REQUEST_PAYER);
    if let Some(other) = payer.as_deref().filter(|payer| *payer != "requester") {
        reader.fault(&REQUEST_PAYER, format_args!("is {other:?}; write requester, or leave it out"));
    }
    payer.is_some()
}

/// `SOURCE_ID`: needed even if nothing is exported, because checkpoints are filed under it.
fn source_id(reader: &mut Reader<'_>, config: &ConfigFrom) -> Option<SourceId> {
    if config.here().is_some_and(Config::has_targets) {
        for setting in [&SOURCE_ID, &WRITE_KEY] {
            if reader.optional(setting).is_some() {
                reader.fault(setting, "is set beside [[source]] with a `write_key` in CONFIG; keep one of them");
            }
        }
        return None;
    }
    let text = match config {
        ConfigFrom::Object { .. } => reader.optional(&SOURCE_ID)?,
        _ => reader.required(&SOURCE_ID),
    };
    match text.parse() {
        Ok(source) => Some(source),
        Err(_) if text.is_empty() => None,
        Err(error) => {
            reader.fault(&SOURCE_ID, format_args!("is {text:?}: {error}"));
            None
        }
    }
}

/// `QUEUE_URL`. The queue must be a standard queue, because a FIFO queue allows no delay for one message.
fn queue_url(reader: &mut Reader<'_>) -> Option<String> {
    let url = reader.optional(&QUEUE_URL)?;
    if url.starts_with("arn:") {
        reader.fault(&QUEUE_URL, format_args!("is an ARN ({url}); write the queue's URL"));
    } else if !is_url(&url) {
        reader.fault(&QUEUE_URL, format_args!("is {url:?}; write a URL such as https://sqs.us-east-1.amazonaws.com/…"));
    } else if url.ends_with(".fifo") {
        // SQS developer guide, "FIFO queues": a message needs a group, and has no delay of its own.
        reader.fault(&QUEUE_URL, format_args!("is a FIFO queue ({url}); use a standard queue"));
    }
    Some(url)
}

/// `NOTICE_TOPIC_ARN`. A FIFO topic needs a group for each message.
fn notice_topics(reader: &mut Reader<'_>) -> Vec<String> {
    let set = reader.optional(&NOTICE_TOPIC_ARN).unwrap_or_default();
    let arns: Vec<String> = set.split(',').map(|arn| arn.trim().to_owned()).filter(|arn| !arn.is_empty()).collect();
    for arn in &arns {
        let is_topic = arn.starts_with("arn:") && arn.split(':').nth(2) == Some("sns") && arn.split(':').count() == 6;
        if !is_topic {
            reader.fault(&NOTICE_TOPIC_ARN, format_args!("has {arn:?}; write the ARN of an SNS topic"));
        } else if arn.ends_with(".fifo") {
            reader.fault(&NOTICE_TOPIC_ARN, format_args!("has a FIFO topic ({arn}); use a standard topic"));
        }
    }
    arns
}

/// `COMMIT_SECONDS`. Fractions are allowed. 0 commits after each batch.
fn commit_every_ms(reader: &mut Reader<'_>) -> i64 {
    let seconds: f64 = reader.parsed(&COMMIT_SECONDS, "a number of seconds such as 10");
    if !(0.0..=COMMIT_SECONDS_MAX).contains(&seconds) {
        reader.fault(&COMMIT_SECONDS, format_args!("is {seconds}; write a number from 0 to {COMMIT_SECONDS_MAX}"));
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a minute")]
    let ms = (seconds * 1_000.0) as i64;
    ms
}

fn threshold(reader: &mut Reader<'_>) -> Threshold {
    let rows = reader.parsed_if_set(&REJECT_LIMIT_ROWS, "a number of rows");
    let share: f64 = reader.parsed(&REJECT_LIMIT_SHARE, "a number from 0 to 1");
    if !(0.0..=1.0).contains(&share) {
        reader.fault(&REJECT_LIMIT_SHARE, format_args!("is {share}; write a number from 0 to 1"));
    }
    Threshold { rows, share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_reported_together_by_name() {
        let get = |name: &str| match name {
            "STATE_BUCKET" => Some("s3://mine".to_owned()),
            "SOURCE_BUCKET" => Some("theirs/folder".to_owned()),
            "REJECT_LIMIT_SHARE" => Some("3".to_owned()),
            _ => None,
        };
        let faults = Settings::read(&get).unwrap_err().to_string();
        for part in [
            "WRITE_KEY is not set",
            "SOURCE_ID is not set",
            "STATE_BUCKET is a URI",
            "SOURCE_BUCKET has a path",
            "REJECT_LIMIT_SHARE is 3",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }

    #[test]
    fn every_declared_setting_of_the_ingester_is_read() {
        let nothing = |_: &str| None;
        let mut reader = Reader::new(&nothing);
        let _ = Settings::of(&mut reader);
        let asked = reader.asked();
        for setting in [config::settings::ALL, config::settings::INGESTER, config::settings::READING].concat() {
            assert!(asked.contains(setting.name), "{}", setting.name);
        }
    }

    #[test]
    fn the_bill_is_made_with_the_default_time_between_commits() {
        let get = |name: &str| match name {
            "WRITE_KEY" | "SOURCE_ID" | "STATE_BUCKET" | "SOURCE_BUCKET" => Some("anything".to_owned()),
            "QUEUE_URL" => Some("https://sqs.us-east-1.amazonaws.com/1/q".to_owned()),
            _ => None,
        };
        let settings = Settings::read(&get).unwrap();
        assert_eq!(settings.commit_every_ms as f64, ingestion::cost::COMMIT_SECONDS * 1_000.0);
    }

    #[test]
    fn sources_stand_in_the_configuration_or_in_the_settings() {
        let faults_of = |set: &[(&str, &str)]| {
            let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Settings::read(&get).map(|_| ()).map_err(|faults| faults.0)
        };
        let described = "[[source]]\nname = \"a\"\nid = \"i\"\nwrite_key = \"k\"";
        assert_eq!(faults_of(&[("STATE_BUCKET", "state"), ("CONFIG", described)]), Ok(()));
        assert_eq!(faults_of(&[("STATE_BUCKET", "state"), ("CONFIG", "s3://config/c.toml")]), Ok(()));
        let faults = faults_of(&[("STATE_BUCKET", "state"), ("CONFIG", described), ("WRITE_KEY", "k")]).unwrap_err();
        assert_eq!(faults, ["WRITE_KEY is set beside [[source]] with a `write_key` in CONFIG; keep one of them"]);
        let faults = faults_of(&[("STATE_BUCKET", "state"), ("CONFIG", "[reading]")]).unwrap_err();
        assert!(faults[0].starts_with("SOURCE_ID is not set"), "{faults:?}");
    }

    #[test]
    fn a_faulty_value_is_refused_with_what_to_write() {
        let faults_of = |name: &'static str, value: &'static str| {
            let get = move |asked: &str| match asked {
                _ if asked == name => Some(value.to_owned()),
                "WRITE_KEY" | "SOURCE_ID" => Some("k".to_owned()),
                "STATE_BUCKET" => Some("state".to_owned()),
                _ => None,
            };
            Settings::read(&get).map(|_| ()).map_err(|faults| faults.to_string())
        };
        assert_eq!(faults_of("QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/q"), Ok(()));
        for (value, words) in [
            ("arn:aws:sqs:us-east-1:123456789012:q", "QUEUE_URL is an ARN"),
            ("https://sqs.us-east-1.amazonaws.com/123456789012/q.fifo", "QUEUE_URL is a FIFO queue"),
            ("q", "QUEUE_URL is \"q\""),
        ] {
            let faults = faults_of("QUEUE_URL", value).unwrap_err();
            assert!(faults.contains(words), "{faults}");
        }
        assert_eq!(faults_of("REQUEST_PAYER", "requester"), Ok(()));
        assert_eq!(faults_of("NOTICE_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:files"), Ok(()));
        for (value, words) in [
            ("files", "has \"files\"; write the ARN"),
            ("arn:aws:sqs:us-east-1:123456789012:files", "write the ARN of an SNS topic"),
            (
                "arn:aws:sns:us-east-1:123456789012:files, arn:aws:sns:us-east-1:123456789012:files.fifo",
                "has a FIFO topic",
            ),
        ] {
            let faults = faults_of("NOTICE_TOPIC_ARN", value).unwrap_err();
            assert!(faults.contains(words), "{faults}");
        }
        assert!(faults_of("REQUEST_PAYER", "me").unwrap_err().contains("REQUEST_PAYER is \"me\"; write requester"));
        assert!(faults_of("CLOCK_OFFSET_MS", "1h").unwrap_err().contains("CLOCK_OFFSET_MS is \"1h\""));
    }
}
