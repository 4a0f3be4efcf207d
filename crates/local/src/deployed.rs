//! Commands about a system on AWS, with the credentials of the person who runs them.

mod bar;
mod drop;
mod dropped;
mod files;
mod follow;
mod index;
mod interrupt;
mod letters;
mod logs;
mod next;
mod place;
mod redrive;
mod rejects;
mod replay;
mod settings;
mod show;
mod stack;
mod trouble;
mod upload;
mod words;

use crate::check::Usability;
use crate::voice::warn;
use crate::words::visible;
use clap::Subcommand;
pub(crate) use place::{Place, Way, key_of as key_in_bucket};
pub(crate) use settings::deployed;
use std::process::ExitCode;

/// These commands.
#[derive(Subcommand)]
pub(crate) enum Deployed {
    /// Check CSV files, upload them to AWS, and follow each of them to its end
    ///
    /// Needs the bucket for files and the state bucket: --stack, or --inbox and --state. A file that cannot be used is not
    /// uploaded. Ctrl-C ends the following, and not the ingestion. The exit status is 1 when rows are refused, 2 when a
    /// file cannot be used, is stopped or fails.
    Drop(drop::DropArgs),
    /// List how the newest files ended, with their accounts
    ///
    /// Needs the state bucket: --stack or --state.
    Files(files::FilesArgs),
    /// Show the outcome and the ledger of a file
    ///
    /// Needs the state bucket, and the bucket for files unless KEY is s3://BUCKET/KEY: --stack, or --state and --inbox. The
    /// exit status is 1 when rows were refused, 2 when the file did not finish.
    Show(show::ShowArgs),
    /// Fetch the refused rows of a file
    ///
    /// Needs what `show` needs. A file of that name is not replaced: it may have corrections.
    Rejects(rejects::RejectsArgs),
    /// Send all rows of a file again, with new ids
    ///
    /// Needs the queue, and the bucket for files unless KEY is s3://BUCKET/KEY: --stack, or --queue and --inbox.
    Replay(replay::ReplayArgs),
    /// Show the dead letters and why they failed, and send them to the queue again
    ///
    /// Needs both queues and the state bucket: --stack, or --queue, --dead-letters and --state.
    Redrive(redrive::RedriveArgs),
    /// Write the lines of log objects to standard output, or list the objects
    ///
    /// Needs the bucket of the logs: --stack, or --logs and --source.
    Logs(logs::LogsArgs),
}

/// Runs one of them. A command that cannot do its work ends with status 2.
pub(crate) async fn run(command: &Deployed) -> ExitCode {
    let ended = match command {
        Deployed::Drop(args) => Box::pin(drop::run(args)).await,
        Deployed::Files(args) => files::run(args).await,
        Deployed::Show(args) => show::run(args).await,
        Deployed::Rejects(args) => rejects::run(args).await,
        Deployed::Replay(args) => replay::run(args).await,
        Deployed::Redrive(args) => redrive::run(args).await,
        Deployed::Logs(args) => logs::run(args).await,
    };
    ended.unwrap_or_else(|error| {
        let error = format!("{error:#}");
        let lines: Vec<String> = error.split('\n').map(visible).collect();
        warn(format_args!("segment-s3: {}", lines.join("\n")));
        Usability::Unusable.into()
    })
}
