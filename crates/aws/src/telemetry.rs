//! JSON log lines and CloudWatch embedded metrics.

use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// Where every metric is filed.
pub const NAMESPACE: &str = "SegmentS3";

/// A metric: its name and its CloudWatch unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric(pub &'static str, pub &'static str);

/// Every metric there is.
pub mod metrics {
    use super::Metric;

    /// Rows read from CSV files.
    pub const ROWS: Metric = Metric("Rows", "Count");
    /// Rows that Segment acknowledged.
    pub const ACKNOWLEDGED: Metric = Metric("Acknowledged", "Count");
    /// Rows refused by us or by Segment; they are in the rejects file.
    pub const REJECTED: Metric = Metric("Rejected", "Count");
    /// Requests that carried calls.
    pub const BATCHES: Metric = Metric("Batches", "Count");
    /// Bytes of request bodies as sent.
    pub const BYTES: Metric = Metric("BytesSent", "Bytes");
    /// Requests that were sent again.
    pub const RETRIES: Metric = Metric("Retries", "Count");
    /// Answers that asked us to slow down.
    pub const THROTTLES: Metric = Metric("Throttles", "Count");
    /// From the start of a request to its answer.
    pub const DELIVERY_LATENCY: Metric = Metric("DeliveryLatency", "Milliseconds");

    /// Events in log objects that were put.
    pub const EXPORTED: Metric = Metric("Exported", "Count");
    /// Log objects that were put.
    pub const LOG_OBJECTS: Metric = Metric("LogObjects", "Count");
    /// Their compressed bytes.
    pub const LOG_BYTES: Metric = Metric("LogBytes", "Bytes");
    /// 1 while a destination does not take its objects, else 0.
    pub const FAILING: Metric = Metric("Failing", "Count");
    /// Export plans that are not settled yet.
    pub const OPEN_PLANS: Metric = Metric("OpenPlans", "Count");
    /// Events that wait for a destination that takes their source.
    pub const UNROUTED: Metric = Metric("Unrouted", "Count");
    /// Events that expired, because no destination accepted them for too long.
    pub const EXPIRED: Metric = Metric("Expired", "Count");
    /// Events that were discarded, because checkpoint and ledger of their file are gone.
    pub const UNACCOUNTED: Metric = Metric("Unaccounted", "Count");
    /// The age of the oldest event that was not exported when a tick began.
    pub const OLDEST_UNEXPORTED: Metric = Metric("OldestUnexportedEvent", "Seconds");
    /// Fragments that were damaged or gone.
    pub const QUARANTINED: Metric = Metric("Quarantined", "Count");
    /// Problems that a person should check.
    pub const ALARMS: Metric = Metric("Alarms", "Count");
}

/// Starts logging: JSON lines in Lambda, plain ones elsewhere. `RUST_LOG` narrows it; a second call does nothing.
pub fn start() {
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref());
    // Lambda's logs go to CloudWatch, where the time is known already.
    let _ = if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        let lines = fmt::layer().with_target(false).json().flatten_event(true).with_current_span(false).without_time();
        registry().with(lines.with_filter(filter)).try_init()
    } else {
        let lines = fmt::layer().with_target(false).with_writer(std::io::stderr);
        registry().with(lines.with_filter(filter)).try_init()
    };
}

/// The filter that `RUST_LOG` describes: `debug`, or `info,delivery=trace`. Without one it is `info`.
fn filter(rust_log: Option<&str>) -> Targets {
    let described = rust_log.filter(|text| !text.trim().is_empty()).and_then(|text| text.parse().ok());
    described.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

/// One embedded-metrics record (CloudWatch embedded metric format, version 0) with one dimension set.
#[must_use]
pub fn record(at_ms: i64, dimensions: &[(&str, &str)], values: &[(Metric, Value)]) -> Value {
    let mut record = json!({
        "_aws": {
            "Timestamp": at_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [dimensions.iter().map(|(name, _)| *name).collect::<Vec<_>>()],
                "Metrics": values
                    .iter()
                    .map(|(Metric(name, unit), _)| json!({"Name": name, "Unit": unit}))
                    .collect::<Vec<_>>(),
            }],
        },
    });
    if let Some(fields) = record.as_object_mut() {
        fields.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        fields.extend(values.iter().map(|(Metric(name, _), value)| ((*name).to_owned(), value.clone())));
    }
    record
}

/// Writes a summary, which is a JSON object, as a log line of its own.
pub fn summary(level: &str, mut fields: Value) {
    fields["level"] = json!(level);
    if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        use std::io::Write;
        let _ = writeln!(std::io::stdout().lock(), "{fields}");
    } else {
        tracing::info!(%fields, "summary");
    }
}

/// Writes a metrics record where CloudWatch finds it: a line of its own on standard output, in Lambda only.
pub fn emit(record: &Value) {
    if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        use std::io::Write;
        let _ = writeln!(std::io::stdout().lock(), "{record}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_filter_is_rust_log_or_info() {
        let check = |rust_log, target: &str, level, expected| {
            assert_eq!(filter(rust_log).would_enable(target, &level), expected, "{rust_log:?}: {target} {level}");
        };
        use tracing::Level;
        for nothing in [None, Some(""), Some(" "), Some("=/=")] {
            check(nothing, "delivery", Level::INFO, true);
            check(nothing, "delivery", Level::DEBUG, false);
        }
        check(Some("debug"), "aws::bucket", Level::DEBUG, true);
        check(Some("warn,delivery=trace"), "delivery::deliver", Level::TRACE, true);
        check(Some("warn,delivery=trace"), "aws::bucket", Level::INFO, false);
    }

    #[test]
    fn a_metrics_record_has_names_units_and_values() {
        let record = record(7, &[("Source", "s1")], &[(metrics::ROWS, json!(4)), (metrics::BYTES, json!(9))]);
        assert_eq!(record["_aws"]["CloudWatchMetrics"][0]["Metrics"][1]["Unit"], "Bytes");
        assert_eq!((&record["Rows"], &record["BytesSent"], &record["Source"]), (&json!(4), &json!(9), &json!("s1")));
    }
}
