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

mod manifests;

mod body;

mod revise;

mod validate;

mod causes;

mod report;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws::configuration::{Configuration, Current};
use aws::roles::Roles;
use aws::{Bucket, Clock, Dice};
use aws_config::SdkConfig;
use export::cut::Flush;
use export::routes::Routes;
use protocol::id::Nonce;
use protocol::keys::EXPORTS_CONFIG;
use protocol::place::Place;
use protocol::reading::Reading;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

pub use report::{Planned, Put, Report, Waiting};
pub use request::{Request, Unknown};
pub use revise::Abandoned;
pub use settings::{AtATime, Caps, EXPIRE_DAYS_MAX, Settings};
pub use validate::{Checked, Validated};

use put::Memory;
use state::State;
use tick::Tick;

/// A tick stops so long before its deadline, to have time for its report.
pub const STOP_BEFORE_MS: i64 = 5_000;

/// The time of a tick whose deadline is in the past, as with `cargo lambda watch`.
pub const DEADLINE_MS: i64 = 300_000;

/// A tick lists staged fragments for at most this fraction of its time.
const LISTING_SHARE: u32 = 3;

/// An event that says an earlier time is not believed: EventBridge retries for at most 24 hours (EventBridge user guide,
/// "Retry policy").
pub const EVENT_AGE_MAX_MS: i64 = 24 * 60 * 60 * 1_000;

/// The exporter.
pub struct App {
    settings: Settings,
    state: State,
    roles: Roles,
    clock: Clock,
    dice: Dice,
    configuration: Configuration,
    fetched: Memory,
    rewritten: Memory,
}

/// The routes in force.
struct InForce {
    routes: Routes,
    /// The configuration that they come from.
    version: Option<String>,
    /// Why it is not the newest.
    alarm: Option<String>,
}

/// An answer of the exporter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a tick.
    Report(Box<Report>),
    /// To `{"abandon": {"destination": NAME}}`.
    Abandoned(Abandoned),
    /// To `{"abandon": {"plan": NONCE}}`.
    Forgotten {
        /// The plan that was abandoned.
        plan: Nonce,
    },
    /// To `{"validate": [NAME, …]}`.
    Validated(Validated),
}

impl App {
    /// The exporter that the environment describes.
    ///
    /// # Errors
    /// If the settings are invalid. The error has every fault.
    pub async fn from_environment() -> anyhow::Result<App> {
        let settings = Settings::parse(&config::environment::variable)?;
        let config = aws::clients::config().await;
        let name = config::environment::variable("AWS_LAMBDA_FUNCTION_NAME");
        let name = name.unwrap_or_else(|| "segment-s3-exporter".to_owned());
        Ok(App::new(settings, &config, &name, Clock::from_environment(), Dice::system()))
    }

    /// An exporter of these parts. `name` is in the names of role sessions.
    pub fn new(settings: Settings, config: &SdkConfig, name: &str, clock: Clock, dice: Dice) -> App {
        let bucket = Bucket::new(aws::clients::s3(config), settings.state_bucket.clone(), dice.clone());
        let from = settings.config.clone();
        let configuration = Configuration::new(from, Reading::default(), config, bucket.clone(), Some(EXPORTS_CONFIG));
        let roles = Roles::new(config.clone(), name, clock.clone(), dice.clone());
        let Caps { fetched_bytes_max, rewritten_bytes_max, .. } = settings.caps;
        let (fetched, rewritten) = (Memory::of(fetched_bytes_max), Memory::of(rewritten_bytes_max));
        App {
            state: State { bucket, at_a_time: settings.at_a_time },
            settings,
            roles,
            clock,
            dice,
            configuration,
            fetched,
            rewritten,
        }
    }

    /// Handles an event, and stops before the deadline (epoch milliseconds).
    ///
    /// # Errors
    /// If the event or the settings are invalid, or the state bucket fails. The next event resumes the work. A failing
    /// destination is not an error. The answer reports it.
    pub async fn handle(&self, event: Value, deadline_ms: i64) -> anyhow::Result<Answer> {
        let request = Request::parse(&event)?;
        let InForce { routes, version, alarm } = self.routes().await?;
        match request {
            Request::Tick { flush, time_ms } => {
                let now_ms = self.clock.now_ms();
                // A time in the future would expire events too early. So would a plan with an old time, from a payload
                // that a person sent again.
                let oldest_ms = now_ms - EVENT_AGE_MAX_MS;
                let now_ms = time_ms.map_or(now_ms, |time_ms| time_ms.clamp(oldest_ms, now_ms));
                let mut report = Report { config: version, ..Report::default() };
                alarm.into_iter().for_each(|alarm| report.alarm(alarm));
                let report = self.tick(&routes, report, flush, now_ms, deadline_ms).await?;
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

    async fn tick(
        &self,
        routes: &Routes,
        report: Report,
        flush: Flush,
        now_ms: i64,
        deadline_ms: i64,
    ) -> anyhow::Result<Report> {
        let report = Mutex::new(report);
        let tick = Tick::new(self, routes, flush, now_ms, &report);
        let time_left = self.time_left(deadline_ms);
        let ended = tokio::time::timeout(time_left, tick.run(Instant::now() + time_left / LISTING_SHARE)).await;
        drop(tick);
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        let result = ended.unwrap_or_else(|_| {
            report.stopped = Some("the time of this run is over; the next run resumes".to_owned());
            if !report.is_planned {
                report.alarm(
                    "the time of this run was over before it put an object: raise the function's timeout".to_owned(),
                );
            }
            Ok(())
        });
        if let Err(fault) = &result {
            report.alarm(format!("the state bucket failed; see STATE_BUCKET and the exporter's role: {fault}"));
        }
        let report = report.finish();
        report.publish(now_ms);
        result.context("failed to export")?;
        Ok(report)
    }

    /// Abandons the plans for a destination, or for one of its places.
    async fn abandon(&self, routes: &Routes, destination: &str, bucket: Option<&str>) -> anyhow::Result<Abandoned> {
        let is_named = |place: &Place| bucket.is_none_or(|bucket| place.bucket == bucket);
        if routes.named(destination).is_some_and(|today| today.enabled && is_named(&today.place())) {
            anyhow::bail!(
                "destination `{destination}` is in the settings and enabled: remove or disable it first, or new \
                 plans follow the abandoned ones; to abandon plans for its former bucket, name that with \"bucket\""
            );
        }
        let report = Mutex::default();
        let tick = Tick::new(self, routes, Flush::All, self.clock.now_ms(), &report);
        tick.abandon(destination, bucket).await.context("failed to abandon the destination")
    }

    /// The routes in force.
    async fn routes(&self) -> anyhow::Result<InForce> {
        let Current { config, version, alarm } = self.configuration.current().await?;
        let single = self.settings.single.as_ref();
        let routes = match (config.routes.destinations.is_empty(), single) {
            (false, None) => config.routes.clone(),
            (false, Some(_)) => anyhow::bail!(
                "CONFIG has a [[destination]], and the settings DESTINATION_… describe one too: keep one of them"
            ),
            (true, Some(single)) => Routes { sources: config.routes.sources.clone(), ..single.clone() },
            (true, None) => anyhow::bail!("CONFIG has no [[destination]]: nothing can be exported"),
        };
        Ok(InForce { routes, version, alarm })
    }

    fn time_left(&self, deadline_ms: i64) -> Duration {
        let left_ms = deadline_ms - self.clock.now_ms();
        let left_ms = if left_ms <= 0 { DEADLINE_MS } else { left_ms };
        Duration::from_millis(u64::try_from(left_ms - STOP_BEFORE_MS).unwrap_or(0))
    }
}
