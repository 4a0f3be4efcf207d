#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod settings;

mod request;

mod state;

mod staged;

mod known;

mod tick;

mod carry;

mod put;

mod body;

mod revise;

mod validate;

mod causes;

mod report;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws::roles::Roles;
use aws::{Bucket, Clock, Dice};
use aws_config::SdkConfig;
use config::Config;
use config::environment::Faults;
use export::cut::Flush;
use export::routes::Routes;
use protocol::id::Nonce;
use protocol::place::Place;
use protocol::reading::Reading;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

pub use report::{Planned, Put, Report, Waiting};
pub use request::{Request, Unknown};
pub use revise::Abandoned;
pub use settings::{AtATime, Caps, EXPIRE_DAYS_MAX, RoutesFrom, Settings};
pub use validate::{Checked, Validated};

use put::Memory;
use state::State;
use tick::Tick;

/// A tick stops so long before its deadline, to have time for its report.
pub const STOP_BEFORE_MS: i64 = 5_000;

/// The time that a tick takes for itself when its deadline lies in the past, as `cargo lambda watch` has it.
pub const DEADLINE_MS: i64 = 300_000;

/// Of the time of a tick, so manieth a part at most is spent on listing what is staged.
const LISTING_SHARE: u32 = 3;

/// An event that says an earlier time is not believed: EventBridge retries for at most 24 hours (EventBridge user guide,
/// "Retry policy").
pub const EVENT_AGE_MAX_MS: i64 = 24 * 60 * 60 * 1_000;

/// The exporter.
pub struct App {
    name: String,
    settings: Settings,
    state: State,
    roles: Roles,
    clock: Clock,
    dice: Dice,
    client: aws_sdk_s3::Client,
    fetched: Memory,
    rewritten: Memory,
}

/// What the exporter answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a tick.
    Report(Box<Report>),
    /// To `{"abandon": {"destination": NAME}}`.
    Abandoned(Abandoned),
    /// To `{"abandon": {"plan": NONCE}}`.
    Forgotten {
        /// The plan that is no longer open.
        plan: Nonce,
    },
    /// To `{"validate": [NAME, …]}`.
    Validated(Validated),
}

impl App {
    /// The exporter that the environment describes.
    ///
    /// # Errors
    /// When the settings cannot be used; every fault is told.
    pub async fn from_environment() -> anyhow::Result<App> {
        let settings = Settings::parse(&config::environment::variable)?;
        let config = aws::clients::config().await;
        let name = config::environment::variable("AWS_LAMBDA_FUNCTION_NAME");
        let name = name.unwrap_or_else(|| "segment-s3-exporter".to_owned());
        Ok(App::new(settings, &config, &name, Clock::from_environment(), Dice::system()))
    }

    /// An exporter of these parts. `name` is what metrics, and the sessions of roles, are called by.
    pub fn new(settings: Settings, config: &SdkConfig, name: &str, clock: Clock, dice: Dice) -> App {
        let client = aws::clients::s3(config);
        let bucket = Bucket::new(client.clone(), settings.state_bucket.clone(), dice.clone());
        let roles = Roles::new(config.clone(), name, clock.clone(), dice.clone());
        let Caps { fetched_bytes_max, rewritten_bytes_max, .. } = settings.caps;
        let (fetched, rewritten) = (Memory::of(fetched_bytes_max), Memory::of(rewritten_bytes_max));
        App {
            name: name.to_owned(),
            state: State { bucket, at_a_time: settings.at_a_time },
            settings,
            roles,
            clock,
            dice,
            client,
            fetched,
            rewritten,
        }
    }

    /// Does what an event asks for, and stops in time before the deadline (epoch milliseconds).
    ///
    /// # Errors
    /// When the event or the settings cannot be used, or our own bucket fails; whatever was begun goes on with the next
    /// event. A destination that fails is no error but part of the answer.
    pub async fn handle(&self, event: Value, deadline_ms: i64) -> anyhow::Result<Answer> {
        let request = Request::parse(&event)?;
        let routes = self.routes().await?;
        match request {
            Request::Tick { flush, time_ms } => {
                let now_ms = self.clock.now_ms();
                // An event from the future would make events expire before their time, and so would plans that an old
                // payload, sent by hand, has dated back.
                let oldest_ms = now_ms - EVENT_AGE_MAX_MS;
                let now_ms = time_ms.map_or(now_ms, |time_ms| time_ms.clamp(oldest_ms, now_ms));
                let report = self.tick(&routes, flush, now_ms, deadline_ms).await?;
                Ok(Answer::Report(Box::new(report)))
            }
            Request::Abandon { destination, bucket } => {
                self.abandon(&routes, &destination, bucket.as_deref()).await.map(Answer::Abandoned)
            }
            Request::Forget { plan } => {
                let report = Mutex::default();
                let tick = Tick::new(self, &routes, Flush::All, self.clock.now_ms(), &report);
                tick.abandon_plan(plan).await?;
                Ok(Answer::Forgotten { plan })
            }
            Request::Validate { destinations } => {
                let until = Instant::now() + self.time_left(deadline_ms);
                Ok(Answer::Validated(self.validate(&routes, &destinations, until).await))
            }
        }
    }

    async fn tick(&self, routes: &Routes, flush: Flush, now_ms: i64, deadline_ms: i64) -> anyhow::Result<Report> {
        let report = Mutex::default();
        let tick = Tick::new(self, routes, flush, now_ms, &report);
        let time_left = self.time_left(deadline_ms);
        let ended = tokio::time::timeout(time_left, tick.run(Instant::now() + time_left / LISTING_SHARE)).await;
        drop(tick);
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = ended.unwrap_or_else(|_| {
            report.stopped = Some("its time is over; the next one goes on".to_owned());
            if !report.is_planned {
                report.alarm("its time was over before anything was put: give the function more of it".to_owned());
            }
            Ok(())
        });
        if let Err(fault) = &result {
            report.alarm(format!("our own bucket does not do its part: {fault}"));
        }
        let report = report.finish();
        report.publish(&self.name, now_ms);
        result.context("failed to go on with the export")?;
        Ok(report)
    }

    /// Gives up what is planned for a destination, or for one of its places.
    async fn abandon(&self, routes: &Routes, destination: &str, bucket: Option<&str>) -> anyhow::Result<Abandoned> {
        let is_named = |place: &Place| bucket.is_none_or(|bucket| place.bucket == bucket);
        if routes.named(destination).is_some_and(|today| today.enabled && is_named(&today.place())) {
            anyhow::bail!(
                "destination `{destination}` is in the settings and takes events: remove or disable it first, or new \
                 plans would follow those that are abandoned; or name with \"bucket\" the place that it had before"
            );
        }
        let report = Mutex::default();
        let tick = Tick::new(self, routes, Flush::All, self.clock.now_ms(), &report);
        tick.abandon(destination, bucket).await.context("failed to abandon the destination")
    }

    /// Today's routes.
    async fn routes(&self) -> anyhow::Result<Routes> {
        let (bucket, key) = match &self.settings.routes {
            RoutesFrom::Here(routes) => return Ok(routes.clone()),
            RoutesFrom::Object { bucket, key } => (bucket, key),
        };
        let at = format!("s3://{bucket}/{key}");
        let object = Bucket::new(self.client.clone(), bucket.clone(), self.dice.clone()).get(key).await;
        let object = object.with_context(|| format!("failed to read CONFIG from {at}"))?;
        let object = object.with_context(|| format!("CONFIG names {at}, which is not there"))?;
        let document = std::str::from_utf8(&object.body).with_context(|| format!("{at} is not UTF-8"))?;
        let config = Config::parse(document, &Reading::default())
            .map_err(|faults| Faults(faults.iter().map(|fault| format!("CONFIG ({at}) {fault}")).collect()))?;
        Ok(config.routes)
    }

    fn time_left(&self, deadline_ms: i64) -> Duration {
        let left_ms = deadline_ms - self.clock.now_ms();
        let left_ms = if left_ms <= 0 { DEADLINE_MS } else { left_ms };
        Duration::from_millis(u64::try_from(left_ms - STOP_BEFORE_MS).unwrap_or(0))
    }
}
