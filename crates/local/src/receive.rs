//! The receiver as a server.

use anyhow::Context;
use clap::Args;
use receiver::{Receiver, server};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// Where to listen.
#[derive(Args)]
pub(crate) struct ReceiveArgs {
    /// The address and port; 0.0.0.0 is every address of the machine
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: &ReceiveArgs) -> anyhow::Result<ExitCode> {
    aws::telemetry::start();
    let receiver = Receiver::from_environment().await?;
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("failed to listen on {}", args.listen))?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for SIGTERM")?;
    tracing::info!(address = %listener.local_addr().unwrap_or(args.listen), "listening");
    server::serve(listener, receiver, async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = ctrl_c() => {}
        }
        tracing::info!("stopping");
    })
    .await;
    Ok(ExitCode::SUCCESS)
}
