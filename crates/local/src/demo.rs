//! The whole story in one run, and the proof that nothing was lost on the way.

mod account;
mod records;

use crate::check::key_of;
use crate::machine::Machine;
use crate::voice::{Patient, Voice};
use account::Books;
use anyhow::{Context, bail};
use serde_json::{Map, Value};
use standins::installation::{CUSTOMER_BUCKET, EXTERNAL_ID, ROLE_ARN, SOURCE_BUCKET, STATE_BUCKET};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The folder of the samples with the exports of tools, and the configuration with their mappings.
const EXPORTS: &str = "exports";
const DOCUMENT: &str = "segment-s3.toml";
/// A longer name of a file has a line of its own.
const NAME_CHARS: usize = 28;
/// A line longer than this is cut; the objects have the whole.
const LINE_CHARS_MAX: usize = 240;

/// Runs the demo; success only if every row is accounted for.
pub(crate) async fn run(samples: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    let files = csv_files(samples)?;
    empty(folder)?;
    let document = document(samples)?;
    let mut machine = Machine::start(folder, document).await?;
    let say = Voice::of(&io::stdout());
    // A closed pipe (`| head`) does not end the demo. The exit status shows its result.
    let out = &mut Patient::new(io::stdout());

    beginning(out, &say, &machine, samples, folder)?;

    title(out, &say, &format!("1  CSV files uploaded to s3://{SOURCE_BUCKET}"))?;
    let (dropped, objects) = ingest(&mut machine, samples, &files).await?;
    tell_files(out, &objects, &say, folder)?;

    title(out, &say, "2  What Segment received: the first call of each file")?;
    let received = machine.received();
    let received = received.iter().collect::<Vec<_>>();
    tell_calls(out, &objects, &received, &say)?;

    title(out, &say, &format!("3  Exported with credentials of {ROLE_ARN} (external id {EXTERNAL_ID})"))?;
    let answer = machine.export().await?;
    writeln!(out, "  {}", answer["summary"].as_str().unwrap_or_default())?;
    for alarm in answer["alarms"].as_array().into_iter().flatten() {
        writeln!(out, "  {}", say.bad(alarm.as_str().unwrap_or_default()))?;
    }
    let logs = read_logs(&machine).await?;
    tell_logs(out, &logs, &say)?;

    title(out, &say, "4  The account")?;
    let logged = logs.iter().flat_map(|log| &log.lines).collect();
    let checks = Books { dropped, objects: &objects, received, logged }.checks();
    for check in &checks {
        writeln!(out, "  {} {}", if check.holds { say.good("✓") } else { say.bad("✗") }, check.text)?;
    }

    title(out, &say, "Look further")?;
    let at = folder.display();
    writeln!(out, "  zcat {at}/{CUSTOMER_BUCKET}/segment-logs/*/*/*.gz | head -3       the raw events, one a line")?;
    writeln!(out, "  cat {at}/{STATE_BUCKET}/ingest/*/ledger.json                the account of each file")?;
    writeln!(
        out,
        "  cat {at}/{STATE_BUCKET}/rejects/*/*.csv                     refused rows: fix them and drop them again"
    )?;
    let ok = checks.iter().all(|check| check.holds);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn beginning(out: &mut impl Write, say: &Voice, machine: &Machine, samples: &Path, folder: &Path) -> io::Result<()> {
    title(out, say, "segment-s3: the whole system on this machine, no AWS account")?;
    writeln!(out, "  S3 and STS   {}   buckets under {}/", machine.s3.url(), folder.display())?;
    writeln!(out, "  Segment      {}   the Tracking and Objects API", machine.segment.url())?;
    writeln!(out, "  ingester     started by s3:ObjectCreated in {SOURCE_BUCKET}")?;
    if !machine.mappings.mappings.is_empty() {
        writeln!(out, "  mappings     {}", samples.join(DOCUMENT).display())?;
    }
    writeln!(out, "  exporter     writes to {CUSTOMER_BUCKET} as {ROLE_ARN}")
}

/// The CSV files of the folder, then those that tools exported.
fn csv_files(samples: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = listed(samples)?;
    let exports = samples.join(EXPORTS);
    if exports.is_dir() {
        files.extend(listed(&exports)?);
    }
    if files.is_empty() {
        bail!("{} holds no CSV files", samples.display());
    }
    Ok(files)
}

fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut files: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    Ok(files)
}

/// The configuration in the folder, if there is one.
fn document(samples: &Path) -> anyhow::Result<Option<String>> {
    let path = samples.join(DOCUMENT);
    if !path.is_file() {
        return Ok(None);
    }
    fs::read_to_string(&path).map(Some).with_context(|| format!("failed to read {}", path.display()))
}

/// Empties a folder that an earlier demo made, and no other.
fn empty(folder: &Path) -> anyhow::Result<()> {
    let made_by_us = folder.join(SOURCE_BUCKET);
    let vacant = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !vacant && !made_by_us.is_dir() {
        bail!("{} is not the folder of a demo; name another --folder", folder.display());
    }
    if made_by_us.is_dir() {
        fs::remove_dir_all(folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))
}

/// Uploads each file through the S3 protocol and lets the notification wake the ingester. Returns each file's name with
/// its number of records, and the ingester's reports: one for each mapping that reads the file.
async fn ingest(
    machine: &mut Machine,
    samples: &Path,
    files: &[PathBuf],
) -> anyhow::Result<(Vec<(String, Option<u64>)>, Vec<Value>)> {
    let source = machine.bucket(SOURCE_BUCKET);
    let (mut dropped, mut objects) = (Vec::new(), Vec::new());
    for file in files {
        let key = key_of(file.strip_prefix(samples).unwrap_or(file), None);
        let body = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        let name = key.rsplit('/').next().unwrap_or(&key).to_owned();
        dropped.push((name, lines_to_skip(machine, &key).and_then(|lines| records::count(&body, lines))));
        source.put(&key, body.clone().into(), "text/csv").await?;
        let report = machine.ingest_next().await?;
        for mut object in report["objects"].as_array().cloned().unwrap_or_default() {
            let rule = object["mapping"].as_str().and_then(|name| machine.mappings.mapping_named(name));
            if let Some(rule) = rule.filter(|rule| rule.mapping().group.is_some()) {
                object["calls"] = records::calls(&body, &key, &rule.reading)?.into();
            }
            objects.push(object);
        }
    }
    Ok((dropped, objects))
}

/// Lines before the header, if all mappings that read the file skip as many.
fn lines_to_skip(machine: &Machine, key: &str) -> Option<u32> {
    let found = machine.mappings.for_key(key).unwrap_or_default();
    let first = found.first().map_or(0, |one| one.reading.skip_lines);
    found.iter().all(|one| one.reading.skip_lines == first).then_some(first)
}

fn name_of(object: &Value) -> &str {
    object["object"].as_str().and_then(|uri| uri.rsplit('/').next()).unwrap_or_default()
}

fn tell_files(out: &mut impl Write, objects: &[Value], say: &Voice, folder: &Path) -> io::Result<()> {
    let heading = ["file", "kind", "rows", "acknowledged", "rejected", "skipped"];
    let [file, kind, rows, acknowledged, rejected, skipped] = heading;
    writeln!(out, "  {file:<NAME_CHARS$} {kind:<9} {rows:>5} {acknowledged:>13} {rejected:>9} {skipped:>8}")?;
    for object in objects {
        let (name, kind) = (name_of(object), object["kind"].as_str().unwrap_or("-"));
        let count = |name: &str| object[name].as_u64().unwrap_or(0);
        let rejected = format!("{:>9}", count("rejected"));
        let rejected = if count("rejected") > 0 { say.bad(&rejected) } else { rejected };
        let name =
            if name.chars().count() > NAME_CHARS { format!("{name}\n  {:<NAME_CHARS$}", "") } else { name.to_owned() };
        let (rows, acknowledged, skipped) = (count("rows"), count("acknowledged"), count("skipped_rows"));
        writeln!(out, "  {name:<NAME_CHARS$} {kind:<9} {rows:>5} {acknowledged:>13} {rejected} {skipped:>8}")?;
        if let Some(mapping) = object["mapping"].as_str() {
            let grouped = |calls: u64| format!(": {} rows, grouped into {calls} calls", count("rows"));
            let calls = object["calls"].as_u64().map_or(String::new(), grouped);
            writeln!(out, "      {}", say.dim(&format!("mapping {mapping}{calls}")))?;
        }
        if let Some(collection) = object["collection"].as_str() {
            writeln!(out, "      {}", say.dim(&format!("collection {collection}")))?;
        }
        for refused in object["first_rejected"].as_array().into_iter().flatten() {
            writeln!(out, "      {}", say.dim(refused.as_str().unwrap_or_default()))?;
        }
        if let Some(rejects) = object["rejects"].as_str() {
            let path = rejects.trim_start_matches("s3://");
            writeln!(
                out,
                "      the refused rows; correct this file and upload it again: {}/{path}",
                folder.display()
            )?;
        }
        for warning in object["warnings"].as_array().into_iter().flatten() {
            writeln!(out, "      {}", say.dim(&format!("note: {}", warning.as_str().unwrap_or_default())))?;
        }
        if object["outcome"] != "finished" {
            writeln!(out, "      {}", say.bad(object["reason"].as_str().unwrap_or("it did not finish")))?;
        }
    }
    Ok(())
}

fn tell_calls(out: &mut impl Write, objects: &[Value], calls: &[&Map<String, Value>], say: &Voice) -> io::Result<()> {
    for object in objects {
        // A file that was refused before it was opened has neither a stream nor calls.
        let Some(stream) = object["stream"].as_str().filter(|stream| !stream.is_empty()) else { continue };
        let collection = object["collection"].as_str();
        // An id that a mapping makes begins with its name.
        let mapping = object["mapping"].as_str().map(|name| format!("{name}-"));
        let of_mapping = |id: &str| mapping.as_ref().is_some_and(|mapping| id.starts_with(mapping));
        let first = calls.iter().find(|call| match collection {
            Some(collection) => call.get("collection").and_then(Value::as_str) == Some(collection),
            None => account::id_of(call).is_some_and(|id| id.contains(stream) || of_mapping(id)),
        });
        if let Some(first) = first {
            writeln!(out, "  {}", say.dim(name_of(object)))?;
            writeln!(out, "    {}", serde_json::to_string(first).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// A log object as its reader finds it.
struct Log {
    key: String,
    bytes: usize,
    lines: Vec<Map<String, Value>>,
    first: String,
}

/// Reads the exported objects through the S3 protocol.
async fn read_logs(machine: &Machine) -> anyhow::Result<Vec<Log>> {
    let bucket = machine.bucket(CUSTOMER_BUCKET);
    let mut logs = Vec::new();
    for listed in bucket.list("", usize::MAX).await? {
        let object = bucket.get(&listed.key).await?.context("a listed object is gone")?;
        let mut text = String::new();
        // The single-member reader: it stops where a member ends, so a second one would be missed here too.
        let mut gunzip = flate2::read::GzDecoder::new(object.body.as_ref());
        gunzip.read_to_string(&mut text).with_context(|| format!("{} is no gzip file", listed.key))?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>();
        let lines = lines.with_context(|| format!("{} holds a line that is no JSON object", listed.key))?;
        let first = text.lines().next().unwrap_or_default().to_owned();
        logs.push(Log { key: listed.key, bytes: object.body.len(), lines, first });
    }
    Ok(logs)
}

fn tell_logs(out: &mut impl Write, logs: &[Log], say: &Voice) -> io::Result<()> {
    for log in logs {
        writeln!(out, "  s3://{CUSTOMER_BUCKET}/{}", log.key)?;
        writeln!(out, "    {} events, {} bytes of gzip; the first line:", log.lines.len(), log.bytes)?;
        let cut: String = log.first.chars().take(LINE_CHARS_MAX).collect();
        let more = if cut.len() < log.first.len() { "…" } else { "" };
        writeln!(out, "    {}", say.dim(&format!("{cut}{more}")))?;
    }
    Ok(())
}

fn title(out: &mut impl Write, say: &Voice, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}", say.strong(text))
}
