#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]
// The future of an invocation is nested more deeply than the default limit.
#![recursion_limit = "256"]

mod check;
mod completions;
mod configuration;
mod csv_cells;
mod demo;
mod deployed;
mod input;
mod machine;
mod receive;
mod serve;
mod suggest;
mod voice;
mod words;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

/// An S3 bucket at each end of Segment: on this machine, and on AWS.
#[derive(Parser)]
#[command(name = "segment-s3", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system once: CSV files in, calls to Segment, log objects out
    Demo {
        /// The CSV files to drop, with `exports/` and their mappings in `segment-s3.toml` if there are such
        #[arg(long, default_value = "samples")]
        samples: PathBuf,
        /// Where the buckets are kept; emptied first
        #[arg(long, default_value = "demo")]
        folder: PathBuf,
    },
    /// Run the whole system until Ctrl-C, with a page to drop files and to look at calls, files and log objects
    ///
    /// The settings are the functions' own environment variables and the same `segment-s3.toml`. Nothing leaves this
    /// machine: a setting that names a real endpoint is refused.
    Serve(serve::ServeArgs),
    /// Read CSV files as the ingester does, send nothing, and report the result
    ///
    /// The settings are the function's own environment variables (INFER_TYPES, TIMESTAMP_FORMATS, …), and the
    /// configuration of --config or CONFIG. With --stack they are those that the stack was deployed with. A file that
    /// several mappings read is reported once for each. The exit status is 1 when rows are refused, 2 when a file cannot
    /// be used or the ingester would stop it.
    Check(check::CheckArgs),
    /// Print a draft of a mapping for a CSV file of another tool, made of its header and first rows
    Suggest(suggest::SuggestArgs),
    /// Receive calls of Segment libraries, browsers and webhooks, and keep them for the exporter
    ///
    /// The settings are environment variables (STATE_BUCKET, WRITE_KEYS, …), and those of the AWS SDK. SIGTERM stops
    /// the server once each request in flight is answered.
    Receive(receive::ReceiveArgs),
    /// Check a configuration, `segment-s3.toml`
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    #[command(flatten)]
    Deployed(deployed::Deployed),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Demo { samples, folder } => demo::run(&samples, &folder).await,
        Command::Serve(args) => serve::run(&args).await,
        Command::Check(args) => check::run(&args).await,
        Command::Suggest(args) => Ok(suggest::run(&args)),
        Command::Receive(args) => receive::run(&args).await,
        Command::Config(command) => Ok(configuration::run(&command)),
        Command::Deployed(command) => Ok(deployed::run(&command).await),
        Command::Completions { shell } => {
            let written = completions::run(shell, &mut Arguments::command());
            written.map(|()| ExitCode::SUCCESS).context("failed to write")
        }
    };
    let ended = ended.unwrap_or_else(|error| {
        voice::warn(format_args!("segment-s3: {error:#}"));
        ExitCode::FAILURE
    });
    if voice::is_lost() { check::Usability::Unusable.into() } else { ended }
}
