//! One request: who sent it, what is in it, and that its calls are durable before it is answered.

use crate::answer::Failure;
use crate::counts::{Counts, codes};
use crate::keeper::{ATTEMPT_TIMEOUT, Calls, Keeper, WRITE_TIMEOUT};
use crate::keyring::Keyring;
use crate::recent::Recent;
use crate::settings::{Settings, Unknown};
use anyhow::Context;
use aws::{Bucket, Clock, Dice};
use aws_config::SdkConfig;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use export::received::Stamp;
use protocol::id::SourceId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracking::body::Fields;
use tracking::calls::{Received, Sender};
use tracking::rate::Rate;
use tracking::refusal::Refusal;

/// Segment's webhooks wait 5 seconds for an answer (Webhooks destination documentation).
const WEBHOOK_TIMEOUT: Duration = Duration::from_millis(3_500);

/// The state of the API.
pub struct Receiver {
    pub(crate) settings: Settings,
    keyring: Keyring,
    keeper: Arc<Keeper>,
    rates: Mutex<HashMap<SourceId, Rate>>,
    counts: Counts,
    clock: Clock,
    dice: Dice,
}

/// A source, and the write key that named it. A webhook has none.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) write_key: Option<String>,
}

/// The facts about a request beside its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Whether a browser or a device sent it.
    pub(crate) is_client: bool,
    /// Whether one bad call refuses all.
    pub(crate) is_strict: bool,
    /// The address that it came from.
    pub(crate) ip: Option<String>,
    /// The browser, for calls that cannot say it themselves.
    pub(crate) user_agent: Option<String>,
}

impl Receiver {
    /// The receiver that the environment describes.
    ///
    /// # Errors
    /// If the settings are invalid. The error has every fault.
    pub async fn from_environment() -> anyhow::Result<Arc<Receiver>> {
        let settings = Settings::parse(&config::environment::variable)?;
        let sdk = aws::clients::config().await;
        let receiver = Receiver::new(settings, &sdk, Clock::from_environment(), Dice::system());
        receiver.keyring.keys().await.context("failed to read CONFIG; the log has the reason")?;
        Ok(receiver)
    }

    /// A receiver with these settings.
    #[must_use]
    pub fn new(settings: Settings, sdk: &SdkConfig, clock: Clock, dice: Dice) -> Arc<Receiver> {
        let client = aws::clients::s3_within(sdk, ATTEMPT_TIMEOUT);
        let state = Bucket::new(client, &settings.state_bucket, dice.clone());
        let keyring = Keyring::new(&settings, sdk, state.clone(), clock.clone());
        let keeper = Keeper::new(state, dice.clone());
        let (rates, counts) = (Mutex::default(), Counts::default());
        Arc::new(Receiver { settings, keyring, keeper, rates, counts, clock, dice })
    }

    /// The last calls received.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        self.keeper.recent()
    }

    /// Reports the counts, with a log line.
    pub fn report(&self) {
        self.counts.report(self.clock.now_ms(), false);
    }

    /// Reports the counts, with a log line if something was refused.
    pub(crate) fn report_trouble(&self) {
        self.counts.report(self.clock.now_ms(), true);
    }

    /// The source of a write key.
    pub(crate) async fn source(&self, write_key: Option<String>) -> Result<Source, Failure> {
        let Some(write_key) = write_key else {
            self.counts.unknown_key();
            return Err(Refusal::write_key().into());
        };
        let keys = self.keyring.keys().await.ok_or_else(|| self.unkept())?;
        if let Some(id) = keys.source(&write_key) {
            return Ok(Source { id: id.clone(), write_key: Some(write_key) });
        }
        self.counts.unknown_key();
        match &self.settings.unknown {
            Unknown::Keep(id) => Ok(Source { id: id.clone(), write_key: Some(write_key) }),
            Unknown::Refuse => Err(Refusal::write_key().into()),
        }
    }

    fn unkept(&self) -> Failure {
        self.counts.unkept();
        Failure::unavailable()
    }

    /// Reads the calls by `read`, and keeps them.
    pub(crate) async fn receive(
        &self,
        source: Source,
        facts: Facts,
        read: impl FnOnce(&Sender<'_>) -> Result<Received, Refusal>,
    ) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        let stamp = Stamp::new(now_ms, &source.id);
        let stamp = match &source.write_key {
            Some(key) if self.settings.include_write_key => stamp.with_write_key(key),
            _ => stamp,
        };
        let request = self.dice.nonce().to_string();
        let Facts { is_client, is_strict, ip, user_agent } = facts;
        let received = read(&Sender { stamp: &stamp, request: &request, is_client, ip, user_agent })?;
        let received = if is_strict { received.strictly()? } else { received };
        self.limit_rate(&source.id, received.events as usize + received.refused.len(), now_ms)?;

        let refused = codes(&received);
        let rejects = received.rejects(now_ms);
        let events = received.events;
        let calls = Calls { lines: received.lines, events, rejects };
        let within = if source.write_key.is_some() { WRITE_TIMEOUT } else { WEBHOOK_TIMEOUT };
        let kept = self.keeper.keep((source.id.clone(), stamp.day()), calls, within).await;
        kept.map_err(|_| self.unkept())?;
        self.counts.kept(&source.id, events, &refused);
        Ok(())
    }

    fn limit_rate(&self, source: &SourceId, calls: usize, now_ms: i64) -> Result<(), Failure> {
        let Some(limit) = self.settings.calls_per_second else { return Ok(()) };
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rates.entry(source.clone()).or_insert_with(|| Rate::new(limit, now_ms));
        rate.take(calls, now_ms).map_err(|seconds| {
            self.counts.rate_limited(source);
            Failure::rate_limited(seconds)
        })
    }
}

/// The write key: Basic (with or without the colon), else in the body, where OAuth's bearers put it too.
pub(crate) fn write_key(headers: &HeaderMap, fields: &Fields<'_>) -> Option<String> {
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        let decoded = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let text = String::from_utf8(decoded).ok()?;
        Some(text.split(':').next().unwrap_or_default().to_owned())
    });
    // Libraries that put the key into the body may send Basic with an empty name.
    basic.filter(|key| !key.is_empty()).or_else(|| fields.write_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_key_is_found_in_the_header_or_the_body() {
        let header = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let fields = Fields::of(r#"{"writeKey": "in-body"}"#).unwrap();
        let nothing = Fields::default();
        let basic = format!("Basic {}", STANDARD.encode("in-header:"));
        assert_eq!(write_key(&header(&basic), &fields).as_deref(), Some("in-header"));
        let bare = format!("basic {}", STANDARD.encode("in-header"));
        assert_eq!(write_key(&header(&bare), &fields).as_deref(), Some("in-header"));
        let nobody = format!("Basic {}", STANDARD.encode(":"));
        assert_eq!(write_key(&header(&nobody), &fields).as_deref(), Some("in-body"));
        assert_eq!(write_key(&header(&nobody), &nothing), None);
        assert_eq!(write_key(&header("Bearer token"), &fields).as_deref(), Some("in-body"));
        assert_eq!(write_key(&HeaderMap::new(), &nothing), None);
        let of_objects = Fields::of(r#"{"write_key": "k", "writeKey": ""}"#).unwrap();
        assert_eq!(write_key(&HeaderMap::new(), &of_objects).as_deref(), Some("k"));
    }
}
