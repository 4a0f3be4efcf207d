//! The Lambda shell around [`receiver::router`].

use lambda_http::{Error, Request, service_fn};
use receiver::{Receiver, lambda, router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    aws::telemetry::start();
    let receiver = Receiver::from_environment().await.map_err(|error| Error::from(format!("{error:#}")))?;
    let (receiver, router) = (&receiver, &router(&receiver));
    lambda_http::run(service_fn(move |request: Request| lambda::handle(receiver, router, request))).await
}
