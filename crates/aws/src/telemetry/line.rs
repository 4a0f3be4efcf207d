//! A log line: one JSON object, with no key twice.

use super::LAMBDA;
use super::invocation::Lambda;
use protocol::ledger::rfc3339;
use serde_json::{Map, Value, json};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats the events of `tracing`.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(lambda) = LAMBDA.get() else { return Ok(()) };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, others } = fields;
        writeln!(writer, "{}", of(lambda, *event.metadata().level(), &message, Value::Object(others)))
    }
}

/// A line with these fields. Where one of them has the name of a field that every line has, the line's own counts.
pub(super) fn of(lambda: &Lambda, level: Level, message: &str, fields: Value) -> Value {
    let mut line = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    line.extend(lambda.fields());
    // Lambda gives a line without a time the level INFO (Lambda developer guide, "Log-level filtering").
    line.insert("timestamp".to_owned(), json!(rfc3339(lambda.clock.now_ms())));
    line.insert("level".to_owned(), json!(level.as_str()));
    line.insert("message".to_owned(), json!(message));
    Value::Object(line)
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::super::invocation::sample;
    use super::*;

    #[test]
    fn a_line_names_its_function_and_its_invocation() {
        let lambda = sample();
        let words = |lambda: &Lambda| of(lambda, Level::WARN, "slow", json!({"rows": 3, "level": "shout"}));
        let expected = json!({
            "timestamp": "2019-05-11T20:32:27.940Z", "level": "WARN", "message": "slow", "rows": 3,
            "service": "stack", "functionName": "stack-Ingester-1", "functionVersion": "7", "coldStart": true,
        });
        assert_eq!(words(&lambda), expected);
        lambda.invoked("id-1", None);
        let first = words(&lambda);
        assert_eq!((&first["requestId"], &first["coldStart"]), (&json!("id-1"), &json!(true)));
        lambda.invoked("id-2", Some("Root=1-2-3;Parent=4;Sampled=1"));
        let second = words(&lambda);
        let ids = ["requestId", "traceId", "coldStart"].map(|name| second[name].clone());
        assert_eq!(ids, [json!("id-2"), json!("1-2-3"), json!(false)]);
    }
}
