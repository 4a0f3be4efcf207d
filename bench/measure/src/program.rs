//! Any other program, with the same measure.

use crate::arrived;
use crate::ingest::Stage;
use crate::process::{Usage, has_ended};
use anyhow::Context;
use serde_json::{Value, json};
use standins::installation::{SOURCE_BUCKET, WRITE_KEY};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a program is looked at. Its peak of memory may be missed by this much.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program that reads the file from S3 and sends it to Segment. Its environment says where both are.
pub(crate) async fn measure_peer(file: &Path, command: &[&str]) -> anyhow::Result<Value> {
    let stage = Stage::new(file).await?;
    let began = Instant::now();
    let mut child = started(command, |command| {
        command
            .envs(stage.s3.env())
            .env("S3_ENDPOINT", stage.s3.url())
            .env("SEGMENT_HOST", stage.segment.url())
            .env("WRITE_KEY", WRITE_KEY)
            .env("BUCKET", SOURCE_BUCKET)
            .env("KEY", &stage.key);
    })?;
    let mut used = Usage::default();
    let before = Usage::own();
    while !has_ended(child.id()) {
        used = seen(&child, used);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // Before the child is waited for: then its time becomes a part of ours.
    let stand_ins_cpu_s = Usage::own().cpu_s - before.cpu_s;
    let mut measured = ended(&mut child, used, began)?;
    measured["stand_ins_cpu_s"] = json!(stand_ins_cpu_s);
    measured["segment"] = arrived::count(&stage.segment)?;
    Ok(measured)
}

/// A program that needs no server.
pub(crate) fn measure_alone(command: &[&str]) -> anyhow::Result<Value> {
    let began = Instant::now();
    let mut child = started(command, |_| ())?;
    let mut used = Usage::default();
    while !has_ended(child.id()) {
        used = seen(&child, used);
        std::thread::sleep(LOOK_EVERY);
    }
    ended(&mut child, used, began)
}

fn started(command: &[&str], set: impl FnOnce(&mut Command)) -> anyhow::Result<Child> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    set(&mut command);
    command.spawn().with_context(|| format!("{program} does not start"))
}

/// A process that has ended has no memory any more.
fn seen(child: &Child, before: Usage) -> Usage {
    let now = Usage::of(child.id()).unwrap_or(before);
    Usage { cpu_s: now.cpu_s, peak_bytes: now.peak_bytes.max(before.peak_bytes) }
}

fn ended(child: &mut Child, used: Usage, began: Instant) -> anyhow::Result<Value> {
    let wall_s = began.elapsed().as_secs_f64();
    // The kernel keeps its times until it is waited for.
    let used = seen(child, used);
    let status = child.wait()?;
    Ok(json!({"wall_s": wall_s, "cpu_s": used.cpu_s, "peak_bytes": used.peak_bytes, "status": status.code()}))
}
