//! `segment-s3 serve`: the whole system, kept running, with a page to look at it.

mod buckets;
mod document;
mod entries;
mod feed;
mod files;
mod functions;
mod page;
mod receiving;
mod schedule;
mod settings;
mod system;

use crate::configuration;
use crate::voice::Patient;
use anyhow::Context;
use clap::Args;
use schedule::Schedule;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use system::System;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The configuration of the current folder, if it has one.
const DOCUMENT: &str = "segment-s3.toml";

/// The arguments of `serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where buckets and mappings are kept; the next start goes on from there
    #[arg(long, default_value = "local", value_name = "DIR")]
    folder: PathBuf,
    /// The address of the page
    #[arg(long, default_value = "127.0.0.1:8030", value_name = "ADDR")]
    page: SocketAddr,
    /// The address of S3, for any tool with `--endpoint-url`
    #[arg(long, default_value = "127.0.0.1:8031", value_name = "ADDR")]
    s3: SocketAddr,
    /// The address of the receiver: the Tracking API, for any Segment library
    #[arg(long, default_value = "127.0.0.1:8032", value_name = "ADDR")]
    receiver: SocketAddr,
    /// The configuration; without it the document in `CONFIG`, or `segment-s3.toml` of this folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// When the exporter runs
    #[arg(long, value_enum, default_value = "minute")]
    schedule: Schedule,
}

/// Runs until Ctrl-C. What is unfinished then, the next start finishes.
pub(crate) async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    settings::refuse_real_endpoints(&config::environment::variable)?;
    let text = document(args.config.as_deref())?;
    let receiver = bind(args.receiver, "--receiver").await?;
    let page = bind(args.page, "--page").await?;
    let system = System::start(args, text, &receiver).await?;
    let served = axum::serve(receiver, receiving::observed(&system)).into_future();
    let receiving = tokio::spawn(served);
    system.find_unfinished();
    let schedule = tokio::spawn(schedule::run(args.schedule, Arc::clone(&system)));
    // The system goes on although no one reads what it says.
    let out = &mut Patient::new(std::io::stdout());
    writeln!(out, "open http://{} (Ctrl-C ends; the next start goes on)", page.local_addr()?)?;
    let router = page::router(Arc::clone(&system));
    tokio::select! {
        served = axum::serve(page, router) => served.context("the page has ended")?,
        ended = ended_by_signal() => ended?,
    }
    schedule.abort();
    receiving.abort();
    writeln!(out, "ended; {} keeps everything", args.folder.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C, or for the signal that ends a container.
async fn ended_by_signal() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen at {address}; name another address with {option}"))
}

/// The text of the configuration; empty without one.
fn document(named: Option<&Path>) -> anyhow::Result<String> {
    let here = || Some(Path::new(DOCUMENT)).filter(|path| path.is_file());
    let text = match (named, config::environment::variable("CONFIG").filter(|text| !text.trim().is_empty())) {
        (Some(file), _) => configuration::read(file),
        (None, Some(text)) if text.starts_with("s3://") => anyhow::bail!(
            "CONFIG is {text}, and serve reads no bucket of AWS: copy the object, and name the copy with --config"
        ),
        (None, Some(text)) => Ok(text),
        (None, None) => here().map_or(Ok(String::new()), configuration::read),
    };
    text.map_err(|faults| anyhow::anyhow!(faults.join("; ")))
}
