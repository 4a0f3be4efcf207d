//! The two functions, on a thread of their own: a large file does not keep the page waiting.

use super::settings;
use aws::clients::SdkConfig;
use aws::{Clock, Dice};
use serde_json::{Value, json};
use std::rc::Rc;
use std::thread;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// How long an invocation may take here. No one pays for it, so a file is read in one.
const INVOCATION_MS: i64 = 24 * 60 * 60 * 1_000;

/// Work, and who waits for its answer.
struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Value, String>>,
}

enum Work {
    Ingest(Value),
    Export(Value),
    /// New settings, for the invocations that begin from now on.
    Configure(Box<settings::Functions>),
}

/// Hands work to the functions. Dropped, it ends their thread.
#[derive(Clone)]
pub(super) struct Functions {
    jobs: mpsc::UnboundedSender<Job>,
}

/// What the functions are made of.
pub(super) struct Parts {
    pub(super) settings: settings::Functions,
    pub(super) sdk: SdkConfig,
    pub(super) clock: Clock,
}

impl Functions {
    /// Starts the thread.
    pub(super) fn start(parts: Parts) -> anyhow::Result<Functions> {
        let (jobs, taken) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("functions".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, serve(parts, taken));
        })?;
        Ok(Functions { jobs })
    }

    /// Invokes the ingester.
    pub(super) async fn ingest(&self, event: Value) -> Result<Value, String> {
        self.hand(Work::Ingest(event)).await
    }

    /// Invokes the exporter.
    pub(super) async fn export(&self, event: Value) -> Result<Value, String> {
        self.hand(Work::Export(event)).await
    }

    /// Puts other settings in force.
    pub(super) async fn configure(&self, settings: settings::Functions) -> Result<(), String> {
        self.hand(Work::Configure(Box::new(settings))).await.map(drop)
    }

    async fn hand(&self, work: Work) -> Result<Value, String> {
        let ended = || "the functions have ended".to_owned();
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { work, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Both functions with the same settings.
struct Apps {
    ingester: ingester::App,
    exporter: exporter::App,
}

impl Apps {
    fn new(parts: &Parts) -> anyhow::Result<Rc<Apps>> {
        let settings = parts.settings.clone();
        let ingester = ingester::App::new(settings.ingester, &parts.sdk, parts.clock.clone(), Dice::system())?;
        let (clock, dice) = (parts.clock.clone(), Dice::system());
        let exporter = exporter::App::new(settings.exporter, &parts.sdk, "segment-s3-local", clock, dice);
        Ok(Rc::new(Apps { ingester, exporter }))
    }
}

async fn serve(mut parts: Parts, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut apps = Apps::new(&parts).map_err(|error| format!("{error:#}"));
    while let Some(Job { work, answer }) = jobs.recv().await {
        let ends_at_ms = parts.clock.now_ms() + INVOCATION_MS;
        match (work, apps.clone()) {
            (Work::Configure(settings), _) => {
                parts.settings = *settings;
                apps = Apps::new(&parts).map_err(|error| format!("{error:#}"));
                let _ = answer.send(apps.as_ref().map(|_| Value::Null).map_err(Clone::clone));
            }
            (_, Err(fault)) => drop(answer.send(Err(fault))),
            (Work::Ingest(event), Ok(apps)) => {
                tokio::task::spawn_local(async move {
                    let done = apps.ingester.handle(event, ends_at_ms).await;
                    let _ = answer.send(done.map_err(|error| format!("{error:#}")));
                });
            }
            (Work::Export(event), Ok(apps)) => {
                tokio::task::spawn_local(async move {
                    let done = apps.exporter.handle(event, ends_at_ms).await;
                    let done = done.map(|answer| serde_json::to_value(answer).unwrap_or_default());
                    let _ = answer.send(done.map_err(|error| format!("{error:#}")));
                });
            }
        }
    }
}

/// The event of a schedule. `full`: only objects of their full size are put.
pub(super) fn tick(is_full: bool) -> Value {
    json!({"flush": if is_full { "full" } else { "all" }})
}
