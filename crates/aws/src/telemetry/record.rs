//! A record of CloudWatch's embedded metric format, version 0.

use super::invocation::Lambda;
use super::metrics::Metric;
use protocol::ledger::rfc3339;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

/// Where every metric is filed.
pub const NAMESPACE: &str = "SegmentS3";

/// What a metric is counted for. Each metric has the dimensions `Service` and `Function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The function as a whole.
    Function,
    /// A source of Segment, by its id.
    Source,
    /// A destination, by its name.
    Destination,
}

/// The dimension that tells two stacks apart.
const SERVICE: &str = "Service";
/// The dimension that tells the functions of a stack apart.
const FUNCTION: &str = "Function";

impl Per {
    const ALL: [Per; 3] = [Per::Function, Per::Source, Per::Destination];

    /// The sets of dimensions that it is filed under. The first is of the function as a whole: an alarm cannot add up
    /// sources or destinations.
    #[must_use]
    pub fn sets(self) -> &'static [&'static [&'static str]] {
        match self {
            Per::Function => &[&[SERVICE, FUNCTION]],
            Per::Source => &[&[SERVICE, FUNCTION], &[SERVICE, FUNCTION, "Source"]],
            Per::Destination => &[&[SERVICE, FUNCTION], &[SERVICE, FUNCTION, "Destination"]],
        }
    }

    /// The names of all its dimensions.
    #[must_use]
    pub fn dimensions(self) -> &'static [&'static str] {
        self.sets().last().copied().unwrap_or_default()
    }
}

/// The record of these values.
pub(super) fn of(lambda: &Lambda, at_ms: i64, of: &[(Per, &str)], values: &[(Metric, Value)]) -> Value {
    let directives = Per::ALL.iter().filter_map(|per| {
        let metrics: Vec<_> = values.iter().filter(|(metric, _)| metric.per == *per).collect();
        let described = metrics.iter().map(|(metric, _)| json!({"Name": metric.name, "Unit": metric.unit}));
        (!metrics.is_empty()).then(|| {
            json!({
                "Namespace": NAMESPACE,
                "Dimensions": per.sets(),
                "Metrics": described.collect::<Vec<_>>(),
            })
        })
    });
    let mut record = lambda.fields();
    record.insert("_aws".to_owned(), json!({"Timestamp": at_ms, "CloudWatchMetrics": directives.collect::<Vec<_>>()}));
    // Lambda drops a line below its level. An alarm would then wait in vain for its metric.
    let level = lambda.level.min(LevelFilter::INFO).into_level().unwrap_or(tracing::Level::ERROR);
    record.insert("level".to_owned(), json!(level.as_str()));
    record.insert("timestamp".to_owned(), json!(rfc3339(at_ms)));
    record.insert(SERVICE.to_owned(), json!(lambda.service));
    record.insert(FUNCTION.to_owned(), json!(lambda.function));
    for (per, name) in of {
        if let Some(dimension) = per.dimensions().get(2) {
            record.insert((*dimension).to_owned(), json!(name));
        }
    }
    record.extend(values.iter().map(|(metric, value)| (metric.name.to_owned(), value.clone())));
    Value::Object(record)
}

#[cfg(test)]
mod tests {
    use super::super::invocation::sample;
    use super::super::metrics;
    use super::*;

    #[test]
    fn a_metrics_record_has_names_units_values_and_the_dimensions_of_each_metric() {
        let values = [(metrics::ROWS, json!(4)), (metrics::FILES_FINISHED, json!(1)), (metrics::BYTES, json!(9))];
        let record = of(&sample(), 7, &[(Per::Source, "s1")], &values);
        let directive = |dimensions: Value, metrics: Value| json!({"Namespace": "SegmentS3", "Dimensions": dimensions, "Metrics": metrics});
        let expected = json!([
            directive(json!([["Service", "Function"]]), json!([{"Name": "FilesFinished", "Unit": "Count"}])),
            directive(
                json!([["Service", "Function"], ["Service", "Function", "Source"]]),
                json!([{"Name": "Rows", "Unit": "Count"}, {"Name": "BytesSent", "Unit": "Bytes"}]),
            ),
        ]);
        assert_eq!(record["_aws"], json!({"Timestamp": 7, "CloudWatchMetrics": expected}));
        for (name, expected) in [
            ("Service", json!("stack")),
            ("Function", json!("stack-Ingester-1")),
            ("Source", json!("s1")),
            ("Rows", json!(4)),
            ("FilesFinished", json!(1)),
            ("BytesSent", json!(9)),
            ("level", json!("INFO")),
        ] {
            assert_eq!(record[name], expected, "{name}");
        }
    }

    #[test]
    fn lambdas_level_drops_no_metric() {
        for (level, expected) in
            [(LevelFilter::TRACE, "INFO"), (LevelFilter::WARN, "WARN"), (LevelFilter::ERROR, "ERROR")]
        {
            let mut lambda = sample();
            lambda.level = level;
            assert_eq!(of(&lambda, 7, &[], &[(metrics::ALARMS, json!(1))])["level"], expected);
        }
    }
}
