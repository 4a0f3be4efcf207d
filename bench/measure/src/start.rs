//! From the start of a process to its first question for work.

use crate::process::resident_bytes;
use serde_json::{Value, json};
use standins::installation::ingester_settings;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Starts the ingester `count` times, each under a Runtime API that gives no work.
pub(crate) fn measure(binary: &Path, count: usize) -> anyhow::Result<Value> {
    let mut starts = Vec::with_capacity(count);
    let mut resident = 0;
    for _ in 0..count {
        let api = TcpListener::bind("127.0.0.1:0")?;
        let began = Instant::now();
        let mut child = Command::new(binary)
            .env_clear()
            .envs(ingester_settings("http://127.0.0.1:1"))
            .env("AWS_LAMBDA_RUNTIME_API", api.local_addr()?.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "ingester")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/ingester")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "start")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let (mut stream, _) = api.accept()?;
        let mut head = [0; 1_024];
        let length = stream.read(&mut head)?;
        let took = began.elapsed();
        anyhow::ensure!(
            String::from_utf8_lossy(&head[..length]).contains("/runtime/invocation/next"),
            "the first request does not ask for work"
        );
        resident = resident.max(resident_bytes(child.id()));
        child.kill()?;
        child.wait()?;
        starts.push(took.as_secs_f64() * 1e3);
    }
    starts.sort_by(f64::total_cmp);
    Ok(json!({"starts_ms": starts, "median_ms": starts.get(count / 2), "resident_bytes": resident}))
}
