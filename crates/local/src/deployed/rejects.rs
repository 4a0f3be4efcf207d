//! `segment-s3 rejects`: the refused rows of a file.

use super::index::Index;
use super::place::{InboxArg, MappingArg, Place, StateArg, Way};
use crate::check::Usability;
use crate::voice::{Patient, say, say_line, warn};
use crate::words::{grouped, visible};
use anyhow::Context;
use aws::Bucket;
use clap::Args;
use protocol::outcome::FileOutcome;
use protocol::upload::Version;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The arguments of `rejects`.
#[derive(Args, Debug)]
pub(crate) struct RejectsArgs {
    /// The key of the file, or `s3://BUCKET/KEY`
    key: String,
    /// The folder that the rejects file is written to, under its own name; without it the current one
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Write the rows to standard output, and no file
    #[arg(long, conflicts_with = "json")]
    stdout: bool,
    #[command(flatten)]
    mapping: MappingArg,
    /// One JSON document for each rejects file, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    inbox: InboxArg,
    #[command(flatten)]
    state: StateArg,
}

/// Fetches the rejects file of each mapping that refused rows.
pub(super) async fn run(args: &RejectsArgs) -> anyhow::Result<ExitCode> {
    let place = Place::open(&args.way).await?;
    let (bucket, key) = place.object(&args.key, &args.inbox)?;
    let state = place.state(&args.state)?;
    let index = Index::of(&place, state.name())?;
    let files = index.of_file(&bucket, &key).await.map_err(|error| place.explain(error))?;
    let files = args.mapping.of(files)?;
    let refused: Vec<_> = files.iter().filter_map(|file| Some((file, key_of(&state, file)?))).collect();
    if refused.is_empty() {
        anyhow::bail!(
            "{}: {}",
            visible(&key),
            if files.is_empty() { "no end of it is known" } else { "no row of it was refused, or it has not ended" }
        );
    }
    if args.stdout && refused.len() > 1 {
        let names: Vec<&str> = refused.iter().filter_map(|(file, _)| file.mapping.as_deref()).collect();
        anyhow::bail!(
            "{} has rejects of several mappings ({}): name one with --mapping",
            visible(&key),
            names.join(", ")
        );
    }
    let mut ended = Usability::Sound;
    for (file, key) in refused {
        let written = match args.stdout {
            true => fetch(&state, &key, &mut Patient::new(std::io::stdout().lock())).await.map(|()| None),
            false => to_file(&state, &key, args.folder.as_deref().unwrap_or(Path::new(""))).await.map(Some),
        };
        let path = match written {
            Ok(Some(path)) => path,
            Ok(None) => continue,
            // The others are written all the same.
            Err(error) => {
                ended = Usability::Unusable;
                warn(format_args!("segment-s3: {}", visible(&format!("{:#}", place.explain(error)))));
                continue;
            }
        };
        let (path, rows) = (path.display().to_string(), file.account.rejected);
        if args.json {
            say_line(json!({"object": format!("s3://{bucket}/{}", file.key), "mapping": file.mapping,
                "rejects": file.rejects, "file": path, "rows": rows}));
        } else {
            let noun = if rows == 1 { "row" } else { "rows" };
            let (path, rows) = (visible(&path), grouped(rows));
            say(format_args!("{path}: {rows} {noun}; correct them, and drop the file under this name\n"));
        }
    }
    Ok(ended.into())
}

/// The key of a rejects file in the state bucket.
fn key_of(state: &Bucket, file: &FileOutcome) -> Option<String> {
    file.rejects.as_ref()?.strip_prefix(&state.target("")).map(str::to_owned)
}

/// Writes a new file. One that is there may have corrections already, so it stays.
async fn to_file(state: &Bucket, key: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join(key.rsplit('/').next().unwrap_or(key));
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} is there already: rename it, or name another --folder", path.display())
        }
        _ => anyhow::anyhow!("failed to write {}: {error}", path.display()),
    })?;
    let fetched = fetch(state, key, &mut file).await;
    if fetched.is_err() {
        // Half of the rows would look like all of them.
        let _ = std::fs::remove_file(&path);
    }
    fetched.map(|()| path)
}

/// Writes the bytes of an object as they come.
pub(super) async fn fetch(bucket: &Bucket, key: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    const PIECE_BYTES: u64 = 8 << 20;
    let mut opened = bucket.open(key, &Version::Latest, PIECE_BYTES).await?;
    let pin = opened.pin.clone();
    let mut at = 0;
    loop {
        let bytes = opened.body.collect().await.map_err(|error| aws::Fault::broken(bucket.target(key), &error))?;
        let bytes = bytes.into_bytes();
        out.write_all(&bytes).context("failed to write")?;
        at += bytes.len() as u64;
        if at >= pin.bytes || bytes.is_empty() {
            return out.flush().context("failed to write");
        }
        opened = bucket.read(key, &pin, at, PIECE_BYTES).await?;
    }
}
