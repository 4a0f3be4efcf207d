//! The Lambda shell around [`exporter::App`].

use aws::Clock;
use exporter::App;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    aws::telemetry::start();
    let clock = &Clock::from_environment();
    let app = &aws::telemetry::or_exit(App::from_environment().await);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        aws::telemetry::invoked(&event.context.request_id, event.context.xray_trace_id.as_deref());
        let deadline_ms = clock.of_machine(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        app.handle(event.payload, deadline_ms).await.map_err(|error| {
            let reason = format!("{error:#}");
            aws::telemetry::failed(&reason);
            Error::from(reason)
        })
    }))
    .await
}
