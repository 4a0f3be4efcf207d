//! The ingester on a file.

use crate::process::Usage;
use crate::settings::Settings;
use crate::{arrived, store};
use anyhow::Context;
use serde_json::{Value, json};
use standins::installation::{SOURCE_BUCKET, STATE_BUCKET, ingester_settings};
use standins::lambda::{Function, Invocation};
use standins::{s3, segment};
use std::fs;
use std::path::Path;

/// S3 with the file, and a Segment that reads nothing.
pub(crate) struct Stage {
    pub(crate) s3: s3::Server,
    pub(crate) segment: segment::Server,
    /// The key of the file.
    pub(crate) key: String,
}

impl Stage {
    pub(crate) async fn new(file: &Path) -> anyhow::Result<Stage> {
        let s3 = s3::Server::memory().with_bucket(SOURCE_BUCKET).with_bucket(STATE_BUCKET).start().await?;
        let segment = segment::Server::setup().sink().start().await?;
        let key = file.file_name().context("no file")?.to_string_lossy().into_owned();
        s3.put(SOURCE_BUCKET, &key, fs::read(file)?)?;
        Ok(Stage { s3, segment, key })
    }
}

/// Runs the real bootstrap under a Runtime API.
pub(crate) async fn measure(binary: &Path, file: &Path, settings: &[&str]) -> anyhow::Result<Value> {
    let settings = Settings::parse(settings)?;
    let stage = Stage::new(file).await?;
    settings.slow(stage.s3.faults());
    settings.slow(stage.segment.faults());
    let ingester = Function::new("ingester", binary)
        .envs(stage.s3.env())
        .envs(ingester_settings(&stage.segment.url()))
        .envs(settings.function)
        .timeout(settings.timeout)
        .deploy();
    let before = Usage::own();
    let invocation = ingester.invoke(&created(&stage.key)).await;
    let stand_ins_cpu_s = Usage::own().cpu_s - before.cpu_s;
    let used = ingester.pids().first().and_then(|pid| Usage::of(*pid)).unwrap_or_default();
    let report = report(&invocation)?;
    let object = &report["objects"][0];
    Ok(json!({
        "rows": object["rows"], "acknowledged": object["acknowledged"], "rejected": object["rejected"],
        "outcome": object["outcome"],
        "wall_s": invocation.duration.as_secs_f64(), "cpu_s": used.cpu_s, "peak_bytes": used.peak_bytes,
        "stand_ins_cpu_s": stand_ins_cpu_s,
        "log_bytes": invocation.log.iter().map(|line| line.len() + 1).sum::<usize>(),
        "s3": store::requests(&stage.s3), "segment": arrived::count(&stage.segment)?,
    }))
}

/// The function's answer, or its log as the error.
pub(crate) fn report(invocation: &Invocation) -> anyhow::Result<&Value> {
    invocation.response().with_context(|| format!("{:?}\n{}", invocation.outcome, invocation.log.join("\n")))
}

/// S3's notification of an upload.
fn created(key: &str) -> Value {
    json!({"Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventVersion": "2.1",
        "s3": {"bucket": {"name": SOURCE_BUCKET}, "object": {
            "key": s3::form_encoded(key), "sequencer": "0055AED6DCD90281E5",
        }},
    }]})
}
