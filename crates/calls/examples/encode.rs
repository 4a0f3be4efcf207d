//! What encoding costs: a file, read whole, goes through the translator in pieces of 1 MiB.
//!
//! ```text
//! cargo run --profile bench -p calls --example encode -- track_1m.csv [passes] [--profile] [--config=FILE]
//! ```
//!
//! `--profile` profiles the columns as well. With `--config` the first mapping of that document that takes the file's name
//! reads it. Prints rows, bytes in and out, and this process's CPU seconds of the fastest pass.
#![expect(clippy::print_stdout, reason = "this is a program")]

use std::error::Error;
use std::path::Path;

use calls::call::MessageIds;
use calls::profile::{Detail, LastRow, Profile};
use calls::subject::Subject;
use calls::translator::{Translated, Translator};
use config::Config;
use protocol::id::StreamId;
use protocol::reading::Reading;

const PIECE_BYTES: usize = 1024 * 1024;
/// As large as a request's body.
const BODY_BYTES: usize = 475_000;

#[derive(Debug, Default)]
struct Totals {
    calls: u64,
    refused: u64,
    bytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (options, args): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let is_profiled = options.iter().any(|option| option == "--profile");
    let config = options.iter().find_map(|option| option.strip_prefix("--config="));
    let mut args = args.into_iter();
    let path = args.next().ok_or("usage: encode FILE [PASSES] [--profile] [--config=FILE]")?;
    let passes: u32 = args.next().map_or(Ok(3), |passes| passes.parse())?;
    let name = Path::new(&path).file_name().and_then(|name| name.to_str()).unwrap_or(&path);
    let reading = reading(config, name)?;
    let subject = match &reading.mapping {
        Some(mapping) => Subject::mapped(mapping, name)?,
        None => Subject::of(name, &[], None)?,
    };
    let csv = std::fs::read(&path)?;
    let mut fastest = f64::INFINITY;
    let mut totals = Totals::default();
    for _ in 0..passes {
        let begin = cpu_seconds()?;
        totals = encode(&subject, &reading, &csv, is_profiled)?;
        fastest = fastest.min(cpu_seconds()? - begin);
    }
    let Totals { calls, refused, bytes } = totals;
    println!("{calls} calls, {refused} refused, {} bytes in, {bytes} bytes out, {fastest:.3} CPU-s", csv.len());
    Ok(())
}

/// How the file `name` is read: by the environment, and by the first mapping of `config` that takes it.
fn reading(config: Option<&str>, name: &str) -> Result<Reading, Box<dyn Error>> {
    let base = config::reading::of_environment(&mut config::environment::Reader::new(&config::environment::variable));
    let Some(path) = config else { return Ok(base) };
    let config = Config::parse(&std::fs::read_to_string(path)?, &base)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let found = config.for_key(name).map_err(|_| "no [[source]] takes the file")?;
    Ok(found.first().ok_or("no mapping takes the file")?.reading.clone())
}

fn encode(subject: &Subject, reading: &Reading, csv: &[u8], is_profiled: bool) -> Result<Totals, Box<dyn Error>> {
    let mut translator = Translator::new(subject, reading, MessageIds::new(StreamId::new([7; 16])));
    if is_profiled {
        translator = translator.with_profile(Detail::Counts);
    }
    let mut totals = Totals::default();
    let mut profile: Option<Profile> = None;
    let (mut body, mut records) = (Vec::with_capacity(BODY_BYTES), Vec::with_capacity(BODY_BYTES));
    let mut pieces = csv.chunks(PIECE_BYTES);
    loop {
        match translator.next(&mut body, &mut records)? {
            Translated::Call { .. } => totals.calls += 1,
            Translated::Refused(_) => totals.refused += 1,
            Translated::RefusedGroup(refusals) => totals.refused += refusals.len() as u64,
            Translated::Dropped { .. } | Translated::Paused => {}
            Translated::Starved => match pieces.next() {
                Some(piece) => translator.push(piece),
                None => translator.finish(),
            },
            Translated::End => break,
        }
        if body.len() > BODY_BYTES - 32_000 {
            totals.bytes += body.len() as u64;
            body.clear();
            records.clear();
            // As often as a batch does.
            if let (Some(part), Some(none)) = (translator.take_profile(LastRow::Included), translator.no_profile()) {
                part.add_to(profile.get_or_insert_with(|| none.clone()));
            }
        }
    }
    totals.bytes += body.len() as u64;
    Ok(totals)
}

/// Time on a processor of this process's one thread, user and system, as Linux counts it.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let schedstat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = schedstat.split_whitespace().next().ok_or("nothing in /proc/self/schedstat")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
