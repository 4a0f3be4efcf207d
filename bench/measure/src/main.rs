//! Measures programs that were built elsewhere. Each run is a process of its own that prints one line of JSON.
//!
//! ```text
//! measure rows KIND ROWS FILE                             seeded rows: track, identify, object_rooms or track_wide
//! measure lines FOLDER FILES BYTES                        seeded lines of events, in files of BYTES
//! measure ingest BINARY FILE [NAME=VALUE …]               the ingester, on a file
//! measure start BINARY COUNT                              the ingester: from its start to its first question for work
//! measure export BINARY FRAGMENTS BYTES [NAME=VALUE …]    the exporter, on the same lines in fragments
//! measure receive BINARY CONNECTIONS SECONDS PUT_MS [half=N] [kill]  the receiver as a server
//! measure peer FILE COMMAND …                             another program that sends a file to Segment
//! measure program COMMAND …                               any program
//! ```
//!
//! `LATENCY_MS` and `TIMEOUT_S` are ours. Other settings are the function's.
//!
//! S3 and Segment are in this process, the program that is measured is another one, and only the CPU time of that one
//! counts. `stand_ins_cpu_s` shows whether the stand-ins were quick enough: where it is near `wall_s`, the program waited
//! for them.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

mod arrived;
mod export_run;
mod ingest;
mod lines;
mod process;
mod program;
mod receive;
mod rows;
mod settings;
mod start;
mod store;

use anyhow::Context;
use std::path::Path;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let measured = match &arguments[..] {
        ["rows", kind, rows, file] => return rows::write(kind, number(rows)?, Path::new(file)),
        ["lines", folder, files, bytes] => return lines::write(Path::new(folder), number(files)?, number(bytes)?),
        ["ingest", binary, file, settings @ ..] => {
            ingest::measure(Path::new(binary), Path::new(file), settings).await?
        }
        ["start", binary, count] => start::measure(Path::new(binary), number(count)?)?,
        ["export", binary, fragments, bytes, settings @ ..] => {
            export_run::measure(Path::new(binary), number(fragments)?, number(bytes)?, settings).await?
        }
        ["receive", binary, connections, seconds, put_ms, more @ ..] => {
            let load = receive::Load::read(connections, seconds, put_ms, more)?;
            receive::measure(Path::new(binary), &load).await?
        }
        ["peer", file, command @ ..] => program::measure_peer(Path::new(file), command).await?,
        ["program", command @ ..] => program::measure_alone(command)?,
        _ => anyhow::bail!("the first lines of bench/measure/src/main.rs say how it is called"),
    };
    println!("{measured}");
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> anyhow::Result<T> {
    text.replace('_', "").parse().ok().with_context(|| format!("{text} is not a number"))
}
