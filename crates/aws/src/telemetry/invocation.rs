//! The function and its invocation, as each line names them.

use crate::Clock;
use config::environment::variable;
use config::settings::{DefaultValue, SERVICE_NAME};
use serde_json::{Map, Value, json};
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::filter::LevelFilter;

/// The function that Lambda runs in this process.
pub(super) struct Lambda {
    pub(super) service: String,
    pub(super) function: String,
    version: String,
    /// The level below which Lambda drops lines.
    pub(super) level: LevelFilter,
    pub(super) clock: Clock,
    invocation: Mutex<Invocation>,
}

/// The present invocation. Before the first one there are no ids.
#[derive(Default)]
struct Invocation {
    count: u64,
    request_id: Option<String>,
    trace_id: Option<String>,
}

impl Lambda {
    /// The function that Lambda's variables describe (Lambda developer guide, "Defined runtime environment variables").
    pub(super) fn of_environment(level: Option<LevelFilter>) -> Option<Self> {
        let service = variable(SERVICE_NAME.name).unwrap_or_else(|| match SERVICE_NAME.default {
            DefaultValue::Value(name) => name.to_owned(),
            _ => String::new(),
        });
        Some(Self {
            service: service.trim().to_owned(),
            function: variable("AWS_LAMBDA_FUNCTION_NAME")?,
            version: variable("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_default(),
            level: level.unwrap_or(LevelFilter::INFO),
            clock: Clock::from_environment(),
            invocation: Mutex::default(),
        })
    }

    /// An invocation begins.
    pub(super) fn invoked(&self, request_id: &str, trace_id: Option<&str>) {
        let mut invocation = self.invocation.lock().unwrap_or_else(PoisonError::into_inner);
        invocation.count += 1;
        invocation.request_id = Some(request_id.to_owned());
        // `Root=1-5759e988-…;Parent=…;Sampled=…` (X-Ray developer guide, "Tracing header").
        let root =
            |header: &str| header.split(';').find_map(|part| part.trim().strip_prefix("Root=").map(str::to_owned));
        invocation.trace_id = trace_id.and_then(root);
    }

    /// The fields that each line has.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let invocation = self.invocation.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fields = Map::new();
        let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        add("service", json!(self.service));
        add("functionName", json!(self.function));
        add("functionVersion", json!(self.version));
        add("coldStart", json!(invocation.count <= 1));
        for (name, id) in [("requestId", &invocation.request_id), ("traceId", &invocation.trace_id)] {
            if let Some(id) = id {
                add(name, json!(id));
            }
        }
        fields
    }
}

#[cfg(test)]
pub(super) fn sample() -> Lambda {
    Lambda {
        service: "stack".to_owned(),
        function: "stack-Ingester-1".to_owned(),
        version: "7".to_owned(),
        level: LevelFilter::INFO,
        clock: Clock::from_fn(|| 1_557_606_747_940),
        invocation: Mutex::default(),
    }
}
