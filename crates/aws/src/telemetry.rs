//! JSON log lines and CloudWatch embedded metrics, for every function.
//!
//! In Lambda each line is one JSON object on standard output. Elsewhere log lines are plain text on standard error, and
//! metrics are not written.

mod invocation;
mod line;
pub mod metrics;
mod record;

use config::environment::variable;
use invocation::Lambda;
use serde_json::Value;
use std::io::Write as _;
use std::sync::OnceLock;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

pub use record::{NAMESPACE, Per};

/// The function of this process, if Lambda runs it.
static LAMBDA: OnceLock<Lambda> = OnceLock::new();

/// Starts logging: JSON lines in Lambda, plain ones elsewhere. `AWS_LAMBDA_LOG_LEVEL` is obeyed. `RUST_LOG` wins, for
/// debugging. A second call does nothing.
pub fn start() {
    let lambda_level = variable("AWS_LAMBDA_LOG_LEVEL").as_deref().and_then(level);
    let filter = filter(variable("RUST_LOG").as_deref(), lambda_level);
    let _ = match Lambda::of_environment(lambda_level) {
        Some(lambda) => {
            LAMBDA.get_or_init(|| lambda);
            let lines = fmt::layer().event_format(line::Json).with_writer(std::io::stdout).with_ansi(false);
            registry().with(lines.with_filter(filter)).try_init()
        }
        None => {
            let lines = fmt::layer().with_target(false).with_writer(std::io::stderr);
            registry().with(lines.with_filter(filter)).try_init()
        }
    };
}

/// What was prepared for the start. If it failed, the reason becomes a log line, and the process ends with status 1.
pub fn or_exit<T, E: std::fmt::Display>(prepared: Result<T, E>) -> T {
    prepared.unwrap_or_else(|error| {
        tracing::error!(reason = %format!("{error:#}"), "the function cannot start");
        std::process::exit(1)
    })
}

/// An invocation has failed, and no other line says why.
pub fn failed(reason: &str) {
    tracing::error!(reason, "the invocation has failed");
}

/// An invocation begins: each later line has its ids.
pub fn invoked(request_id: &str, trace_id: Option<&str>) {
    if let Some(lambda) = LAMBDA.get() {
        lambda.invoked(request_id, trace_id);
    }
}

/// Writes a log line with fields that are only known at run time.
pub fn summary(level: Level, message: &str, fields: Value) {
    if !is_enabled(level) {
        return;
    }
    match LAMBDA.get() {
        Some(lambda) => write(&line::of(lambda, level, message, fields)),
        None => tracing::info!(%level, %fields, "{message}"),
    }
}

/// Writes the values of metrics in one record, in Lambda only. `of` has the value of each dimension beside the service
/// and the function that one of the metrics is declared with.
pub fn emit(at_ms: i64, of: &[(Per, &str)], values: &[(metrics::Metric, Value)]) {
    if let Some(lambda) = LAMBDA.get() {
        write(&record::of(lambda, at_ms, of, values));
    }
}

fn write(line: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A level as `AWS_LAMBDA_LOG_LEVEL` names it (Lambda developer guide, "Log-level filtering"). No line of ours is fatal.
fn level(name: &str) -> Option<LevelFilter> {
    if name.eq_ignore_ascii_case("FATAL") { Some(LevelFilter::OFF) } else { name.parse().ok() }
}

/// The module of `lambda_runtime` that writes the error of each failed invocation. Our own lines have it too.
const RUNTIMES_ERRORS: &str = "lambda_runtime::layers::panic";

/// The filter that `RUST_LOG` describes: `debug`, or `info,delivery=debug`. Without one it is Lambda's level, or `info`.
fn filter(rust_log: Option<&str>, lambda_level: Option<LevelFilter>) -> Targets {
    let described = rust_log.filter(|text| !text.trim().is_empty()).and_then(|text| text.parse().ok());
    described.unwrap_or_else(|| {
        let all = Targets::new().with_default(lambda_level.unwrap_or(LevelFilter::INFO));
        all.with_target(RUNTIMES_ERRORS, LevelFilter::OFF)
    })
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(Level::ERROR),
        Level::WARN => tracing::enabled!(Level::WARN),
        _ => tracing::enabled!(Level::INFO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_filter_is_rust_log_or_lambdas_level_or_info() {
        let check = |rust_log, of_lambda: &str, target: &str, level, expected| {
            let lambda_level = Some(of_lambda).filter(|name| !name.is_empty()).and_then(super::level);
            let filter = filter(rust_log, lambda_level);
            assert_eq!(filter.would_enable(target, &level), expected, "{rust_log:?} {of_lambda}: {target} {level}");
        };
        for nothing in [None, Some(""), Some(" "), Some("=/=")] {
            check(nothing, "", "delivery", Level::INFO, true);
            check(nothing, "", "delivery", Level::DEBUG, false);
            check(nothing, "DEBUG", "delivery", Level::DEBUG, true);
            check(nothing, "WARN", "delivery", Level::INFO, false);
            check(nothing, "WARN", "delivery", Level::WARN, true);
            check(nothing, "FATAL", "delivery", Level::ERROR, false);
            check(nothing, "", RUNTIMES_ERRORS, Level::ERROR, false);
            check(nothing, "", "lambda_runtime::runtime", Level::ERROR, true);
        }
        check(Some("debug"), "ERROR", "aws::bucket", Level::DEBUG, true);
        check(Some("warn,delivery=trace"), "", "delivery::deliver", Level::TRACE, true);
        check(Some("warn,delivery=trace"), "TRACE", "aws::bucket", Level::INFO, false);
    }
}
