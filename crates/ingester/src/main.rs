//! The Lambda shell of the ingester.

// The future of an invocation is nested more deeply than the default limit.
#![recursion_limit = "256"]

use aws::Clock;
use ingester::{App, Failure};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    aws::telemetry::start();
    let clock = &Clock::from_environment();
    let app = &aws::telemetry::or_exit(App::from_environment().await);
    run(service_fn(|event: LambdaEvent<Value>| async move {
        aws::telemetry::invoked(&event.context.request_id, event.context.xray_trace_id.as_deref());
        let ends_at_ms = clock.of_machine(i64::try_from(event.context.deadline).unwrap_or(0));
        app.handle(event.payload, ends_at_ms).await.map_err(|error| {
            let error_message = format!("{error:#}");
            // Each object that failed has its own line.
            if !error.is::<Failure>() {
                aws::telemetry::failed(&error_message);
            }
            Diagnostic { error_type: "NotIngested".to_owned(), error_message }
        })
    }))
    .await
}
