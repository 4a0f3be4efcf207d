//! The log lines and metrics of the functions under test.

use aws::telemetry::metrics::{self, Metric};
use serde_json::{Value, json};
use standins::lambda::Invocation;
use std::collections::BTreeSet;

/// The log lines of an invocation.
///
/// # Panics
/// When a line is not a JSON object.
pub fn lines(invocation: &Invocation) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    invocation.log.iter().map(parse).collect()
}

/// The values that an invocation emitted of a metric.
pub fn emitted(invocation: &Invocation, metric: Metric) -> Vec<Value> {
    lines(invocation)
        .into_iter()
        .filter(|line| line.get("_aws").is_some())
        .filter_map(|line| line.get(metric.name).cloned())
        .collect()
}

/// The first metric in a log line that is not declared with the unit and the dimensions that the line gives it.
#[must_use]
pub fn undeclared(line: &str) -> Option<String> {
    let record: Value = serde_json::from_str(line).ok().filter(|_| line.contains(r#""_aws""#))?;
    let declared: BTreeSet<_> = [metrics::ALL, metrics::INGESTER, metrics::RECEIVER, metrics::EXPORTER]
        .iter()
        .flat_map(|metrics| metrics.iter())
        .map(|metric| json!([metric.name, metric.unit, metric.per.sets()]).to_string())
        .collect();
    for directive in record["_aws"]["CloudWatchMetrics"].as_array()? {
        for metric in directive["Metrics"].as_array()? {
            let described = json!([metric["Name"], metric["Unit"], directive["Dimensions"]]).to_string();
            let sets = directive["Dimensions"].as_array()?;
            let has_values = sets
                .iter()
                .flat_map(|set| set.as_array().into_iter().flatten())
                .chain([&metric["Name"]])
                .all(|name| record.get(name.as_str().unwrap_or("")).is_some());
            if !declared.contains(&described) || !has_values {
                return Some(described);
            }
        }
    }
    None
}
