//! The exporter on many fragments, over the S3 protocol.

use crate::ingest::report;
use crate::lines::{Lines, RECEIVED_MS};
use crate::process::Usage;
use crate::settings::Settings;
use crate::store;
use export::fragment::{Encoder, crc32};
use flate2::read::MultiGzDecoder;
use protocol::fragment::{FragmentName, Origin};
use protocol::id::Day;
use serde_json::{Value, json};
use standins::installation::{CUSTOMER_BUCKET, SOURCE_ID, STATE_BUCKET, exporter_settings, with_buckets};
use standins::lambda::Function;
use standins::s3;
use std::path::Path;

/// Ticks at most: one tick leaves what it has no time for to the next.
const TICKS_MAX: usize = 20;

/// Exports `fragments` fragments with about `bytes` of lines each, in as many ticks as that takes.
pub(crate) async fn measure(binary: &Path, fragments: u64, bytes: usize, settings: &[&str]) -> anyhow::Result<Value> {
    let settings = Settings::parse(settings)?;
    let s3 = with_buckets(s3::Server::memory()).start().await?;
    let (events, raw_bytes) = stage(&s3, fragments, bytes)?;
    settings.slow(s3.faults());
    let exporter = Function::new("exporter", binary)
        .envs(s3.env())
        .envs(exporter_settings())
        .envs(settings.function)
        .timeout(settings.timeout)
        .deploy();
    let (mut wall_s, mut ticks, mut log_bytes) = (0.0, 0, 0);
    let before = Usage::own();
    while !s3.keys(STATE_BUCKET, FragmentName::PREFIX).is_empty() && ticks < TICKS_MAX {
        let invocation = exporter.invoke(&json!({})).await;
        report(&invocation)?;
        wall_s += invocation.duration.as_secs_f64();
        log_bytes += invocation.log.iter().map(|line| line.len() + 1).sum::<usize>();
        ticks += 1;
    }
    let stand_ins_cpu_s = Usage::own().cpu_s - before.cpu_s;
    let used = exporter.pids().first().and_then(|pid| Usage::of(*pid)).unwrap_or_default();
    let (objects, object_bytes, found) = objects(&s3)?;
    Ok(json!({
        "fragments": fragments, "events": events, "raw_bytes": raw_bytes, "ticks": ticks, "exported": found,
        "left": s3.keys(STATE_BUCKET, FragmentName::PREFIX).len(), "objects": objects, "object_bytes": object_bytes,
        "wall_s": wall_s, "cpu_s": used.cpu_s, "peak_bytes": used.peak_bytes, "stand_ins_cpu_s": stand_ins_cpu_s,
        "log_bytes": log_bytes, "s3": store::requests(&s3),
    }))
}

/// Puts the fragments. Returns their events and the bytes of their lines.
fn stage(s3: &s3::Server, fragments: u64, bytes: usize) -> anyhow::Result<(u64, u64)> {
    let (mut lines, mut encoder) = (Lines::new()?, Encoder::default());
    let (mut events, mut raw_bytes) = (0, 0);
    for number in 0..fragments {
        let piece = lines.piece(bytes);
        let body = encoder.encode(&piece);
        let name = FragmentName {
            source: SOURCE_ID.parse()?,
            day: Day::of(RECEIVED_MS),
            origin: Origin::Request { id: format!("{number:032x}").parse()? },
            events: u32::try_from(memchr::memchr_iter(b'\n', &piece).count())?,
            raw_bytes: piece.len() as u64,
            crc32: crc32(&body),
        };
        events += u64::from(name.events);
        raw_bytes += name.raw_bytes;
        s3.put(STATE_BUCKET, &name.to_string(), body)?;
    }
    Ok((events, raw_bytes))
}

/// The log objects, their bytes, and the events in them.
fn objects(s3: &s3::Server) -> anyhow::Result<(usize, usize, usize)> {
    let mut found = (0, 0, 0);
    for key in s3.keys(CUSTOMER_BUCKET, "segment-logs/").iter().filter(|key| key.ends_with(".gz")) {
        let Some(bytes) = s3.bytes(CUSTOMER_BUCKET, key) else { continue };
        let mut lines = Vec::new();
        std::io::Read::read_to_end(&mut MultiGzDecoder::new(&bytes[..]), &mut lines)?;
        found = (found.0 + 1, found.1 + bytes.len(), found.2 + memchr::memchr_iter(b'\n', &lines).count());
    }
    Ok(found)
}
