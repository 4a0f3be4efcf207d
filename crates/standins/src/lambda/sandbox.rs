//! One execution environment: a child process and the Runtime API that it talks to.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::runtime_api::{Desk, Job};
use super::{Function, INIT_MAX, MEMORY_MB, Outcome};
use crate::dice;
use crate::evidence::Journal;
use crate::serve::{self, Listening};

/// How long a function that has answered may take to ask for more, before its log is read anyway.
const SETTLE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Sandbox {
    desk: Arc<Desk>,
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// How many of standard output and standard error are still open. At 0 the process has ended.
    open_pipes: watch::Receiver<usize>,
    _api: Listening,
}

impl Sandbox {
    pub(crate) async fn start(function: &Function) -> io::Result<Sandbox> {
        let Function { name, bootstrap, env, journal, .. } = function;
        let desk = Arc::new(Desk::new(name));
        let at_desk = Arc::clone(&desk);
        let api = serve::listen(serve::any_port(), move |request| Arc::clone(&at_desk).handle(request)).await?;
        let mut command = Command::new(bootstrap);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin")
            .env("TZ", ":UTC")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MB.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", dice::token(16))
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "bootstrap");
        // The log level, and the file for coverage.
        for variable in ["RUST_LOG", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(variable).map(|value| (variable, value)));
        }
        let mut child = command
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (pipes, open_pipes) = watch::channel(2);
        let speaker = format!("{name}[{}]", child.id().unwrap_or_default());
        let writer = Writer { log: Arc::clone(&log), pipes: Arc::new(pipes), speaker, journal: journal.clone() };
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, writer.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(read_lines(stderr, writer));
        }
        Ok(Sandbox { desk, child: Mutex::new(child), log, open_pipes, _api: api })
    }

    /// Runs one invocation. The time limit counts from when the function takes the job.
    pub(crate) async fn run(
        &self,
        request_id: &str,
        payload: &Value,
        timeout: Duration,
    ) -> (Outcome, Option<Duration>) {
        self.desk.give(Job { request_id: request_id.to_owned(), payload: payload.to_string().into(), timeout });
        let taken = tokio::select! {
            taken = self.desk.taken() => taken,
            status = self.ended() => return (crashed(status), None),
            () = tokio::time::sleep(INIT_MAX) => {
                self.kill();
                return (Outcome::TimedOut, None);
            }
        };
        let since = taken.unwrap_or_else(Instant::now);
        let outcome = tokio::select! {
            // An answer counts even if the process ended right after.
            biased;
            outcome = self.desk.done() => outcome,
            status = self.ended() => crashed(status),
            () = tokio::time::sleep(timeout.saturating_sub(since.elapsed())) => {
                self.kill();
                Outcome::TimedOut
            }
        };
        (outcome, Some(since.elapsed()))
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        // It may have ended already.
        let _ = self.child().start_kill();
    }

    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.child().try_wait(), Ok(None))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child().id()
    }

    /// The high-water mark of resident memory, from the kernel.
    pub(crate) fn memory_peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1_024)
    }

    /// The lines since the last time, once the function has nothing more to say.
    pub(crate) async fn take_log(&self) -> Vec<String> {
        tokio::select! {
            () = self.desk.idle() => {}
            _ = self.ended() => {}
            () = tokio::time::sleep(SETTLE_MAX) => {}
        }
        // Earlier output is still in the pipe, so the readers get time to read it.
        let mut seen = usize::MAX;
        while seen != self.log().len() {
            seen = self.log().len();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        std::mem::take(&mut *self.log())
    }

    /// Returns when the process has ended.
    async fn ended(&self) -> Option<ExitStatus> {
        let mut open_pipes = self.open_pipes.clone();
        // An error means that both readers are gone: the same.
        let _ = open_pipes.wait_for(|open| *open == 0).await;
        loop {
            match self.child().try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => {}
                Err(_) => return None,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn crashed(status: Option<ExitStatus>) -> Outcome {
    Outcome::Crashed {
        status: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
    }
}

/// Where the lines of a process go.
#[derive(Clone)]
struct Writer {
    log: Arc<Mutex<Vec<String>>>,
    pipes: Arc<watch::Sender<usize>>,
    /// The function's name and the process's id.
    speaker: String,
    journal: Option<Journal>,
}

async fn read_lines(pipe: impl AsyncRead + Unpin, writer: Writer) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        tracing::debug!(target: "standins::lambda", "{line}");
        if let Some(journal) = &writer.journal {
            journal.add(format!("{}: {line}", writer.speaker));
        }
        writer.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
    writer.pipes.send_modify(|open| *open -= 1);
}
