//! Lambda: a Runtime API that runs the real bootstrap binary.
//!
//! Each execution environment is a child process with a Runtime API of its own, as on AWS. A process is started for an
//! invocation and used again while it lives. It is killed at its timeout or by a story.

mod runtime_api;
mod sandbox;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::evidence::Journal;
use sandbox::Sandbox;

/// "Init phase … is limited to 10 seconds", Lambda Developer Guide.
pub(crate) const INIT_MAX: Duration = Duration::from_secs(10);

/// The memory that the function is told, "128 MB" by default. Nothing enforces it.
pub(crate) const MEMORY_MB: u32 = 128;

/// "Lambda retries function errors twice", on asynchronous invocation.
const RETRIES: usize = 2;

/// A function: its binary, its settings, its limits.
#[derive(Clone, Debug)]
#[must_use]
pub struct Function {
    name: String,
    bootstrap: PathBuf,
    env: BTreeMap<String, String>,
    timeout: Duration,
    concurrency: usize,
    journal: Option<Journal>,
}

impl Function {
    /// A function of this name, run by this binary. By default it has three seconds and 128 MB, as on AWS, and one
    /// environment at a time.
    pub fn new(name: &str, bootstrap: impl Into<PathBuf>) -> Function {
        Function {
            name: name.to_owned(),
            bootstrap: bootstrap.into(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(3),
            concurrency: 1,
            journal: None,
        }
    }

    /// Sets an environment variable. The function sees these and Lambda's own variables. Of the environment of the test
    /// it sees `RUST_LOG` and, to measure coverage, `LLVM_PROFILE_FILE`.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Function {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Sets many, such as [`s3::Server::env`](crate::s3::Server::env).
    pub fn envs(mut self, env: impl IntoIterator<Item = (String, String)>) -> Function {
        self.env.extend(env);
        self
    }

    /// The timeout of an invocation.
    pub fn timeout(mut self, timeout: Duration) -> Function {
        self.timeout = timeout;
        self
    }

    /// How many environments may run at once. Further invocations wait.
    pub fn concurrency(mut self, concurrency: usize) -> Function {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Writes each line of the function's log to this journal too, and when invocations begin and end.
    pub fn journal(mut self, journal: &Journal) -> Function {
        self.journal = Some(journal.clone());
        self
    }

    /// Makes it ready to be invoked. No process starts before the first invocation.
    pub fn deploy(self) -> Lambda {
        Lambda(Arc::new(Inner {
            permits: Semaphore::new(self.concurrency),
            state: Mutex::new(State { timeout: self.timeout, ..State::default() }),
            function: self,
        }))
    }
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The function answered. An answer that is not JSON is a string.
    Response(Value),
    /// The function reported an error.
    Error {
        /// `errorType`
        kind: String,
        /// `errorMessage`
        message: String,
    },
    /// The process ended before it answered.
    Crashed {
        /// Exit status, if it exited.
        status: Option<i32>,
        /// Signal, if one killed it: 9 for [`Lambda::kill`].
        signal: Option<i32>,
    },
    /// The function's time was up, and it was killed.
    TimedOut,
}

/// An invocation and its outcome.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// `Lambda-Runtime-Aws-Request-Id`
    pub request_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The lines of the function's standard output and standard error.
    pub log: Vec<String>,
    /// From the moment that the function asked for work, or from its start if it never did.
    pub duration: Duration,
    /// The most memory that the process ever had resident; unknown when it crashed.
    pub memory_peak_bytes: Option<u64>,
}

impl Invocation {
    /// The function's answer, if it answered.
    pub fn response(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Response(response) => Some(response),
            _ => None,
        }
    }

    /// Whether the function answered.
    pub fn succeeded(&self) -> bool {
        self.response().is_some()
    }
}

/// A function that can be invoked. Clones are the same function; with the last one its processes
/// end.
#[derive(Clone, Debug)]
pub struct Lambda(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    function: Function,
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    timeout: Duration,
    idle: Vec<Arc<Sandbox>>,
    busy: Vec<Arc<Sandbox>>,
    started: usize,
}

impl Lambda {
    /// Invokes the function and waits for the end.
    pub async fn invoke(&self, payload: &Value) -> Invocation {
        // The semaphore is never closed; without a permit one environment too many would start.
        let _permit = self.0.permits.acquire().await;
        let request_id = crate::dice::uuid();
        let taken = self.take().await;
        let sandbox = match taken {
            Ok(sandbox) => sandbox,
            Err(error) => return not_started(request_id, &error),
        };
        // Puts it back, or ends it, also when this future is dropped half way.
        let mut guard = Busy { inner: &self.0, sandbox: Arc::clone(&sandbox), reusable: false };
        self.note(|| format!("invocation {request_id} begins with {payload}"));
        let started = Instant::now();
        let timeout = self.state().timeout;
        let (outcome, duration) = sandbox.run(&request_id, payload, timeout).await;
        let memory_peak_bytes = sandbox.memory_peak_bytes();
        self.note(|| format!("invocation {request_id} ends with {outcome:?}"));
        let ended = matches!(outcome, Outcome::Crashed { .. } | Outcome::TimedOut);
        guard.reusable = !ended && !sandbox.has_ended();
        Invocation {
            request_id,
            outcome,
            log: sandbox.take_log().await,
            duration: duration.unwrap_or_else(|| started.elapsed()),
            memory_peak_bytes,
        }
    }

    /// Invokes the function as S3 and `--invocation-type Event` do: at most twice again when it
    /// fails. Answers with every attempt. The minutes that Lambda waits in between are left out.
    pub async fn invoke_event(&self, payload: &Value) -> Vec<Invocation> {
        let mut attempts = Vec::new();
        loop {
            let attempt = self.invoke(payload).await;
            let succeeded = attempt.succeeded();
            attempts.push(attempt);
            if succeeded || attempts.len() > RETRIES {
                return attempts;
            }
        }
    }

    /// Kills every process of this function, at once, by SIGKILL. Running invocations end as [`Outcome::Crashed`]. The
    /// next invocation starts a new process.
    pub fn kill(&self) {
        let mut state = self.state();
        state.idle.clear();
        for sandbox in &state.busy {
            sandbox.kill();
        }
    }

    /// Changes the time limit of invocations that begin from now on.
    pub fn set_timeout(&self, timeout: Duration) {
        self.state().timeout = timeout;
    }

    /// How many processes were started so far: cold starts.
    pub fn started(&self) -> usize {
        self.state().started
    }

    /// Process ids of the environments that live.
    pub fn pids(&self) -> Vec<u32> {
        let state = self.state();
        let all = state.idle.iter().chain(&state.busy);
        all.filter_map(|sandbox| sandbox.pid()).collect()
    }

    async fn take(&self) -> std::io::Result<Arc<Sandbox>> {
        {
            let mut state = self.state();
            state.idle.retain(|sandbox| !sandbox.has_ended());
            if let Some(sandbox) = state.idle.pop() {
                state.busy.push(Arc::clone(&sandbox));
                return Ok(sandbox);
            }
        }
        let sandbox = Arc::new(Sandbox::start(&self.0.function).await?);
        let mut state = self.state();
        state.started += 1;
        state.busy.push(Arc::clone(&sandbox));
        Ok(sandbox)
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(journal) = &self.0.function.journal {
            journal.add(format!("{}: {}", self.0.function.name, line()));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_started(request_id: String, error: &std::io::Error) -> Invocation {
    Invocation {
        request_id,
        outcome: Outcome::Error { kind: String::from("Runtime.InvalidEntrypoint"), message: error.to_string() },
        log: Vec::new(),
        duration: Duration::ZERO,
        memory_peak_bytes: None,
    }
}

struct Busy<'a> {
    inner: &'a Inner,
    sandbox: Arc<Sandbox>,
    reusable: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy.retain(|busy| !Arc::ptr_eq(busy, &self.sandbox));
        if self.reusable {
            state.idle.push(Arc::clone(&self.sandbox));
        } else {
            self.sandbox.kill();
        }
    }
}
