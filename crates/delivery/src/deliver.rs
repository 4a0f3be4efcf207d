//! Requests to Segment, each repeated until its answer is final.

use crate::key::{Held, Key};
use crate::lookup::LastLooked;
use crate::settings::Settings;
use crate::write_key::WriteKey;
use aws::secrets::Secrets;
use aws::{Backoff, Clock, Dice};
use bytes::Bytes;
use calls::pace::Pace;
use calls::verdicts::{Answer, FORBIDDEN, Verdict, verdict};
use deflate::{DISTANCE_MAX, Repeats};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use ingestion::deadline::{Deadline, REQUEST_TIMEOUT_MS};
use ingestion::refusals::RefusedRequest;
use ingestion::run::{Sent, Undelivered};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time in which an answer must begin or continue.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two tries of a request; how often is up to the time.
const BACKOFF: Backoff = Backoff { base_ms: 100, limit_ms_max: 60_000, attempts_max: u32::MAX };
/// A longer wait is not sat out: the invocation ends and comes back.
const WAIT_IN_PLACE_MAX_MS: u64 = 30_000;
/// A request that has failed for so long is not repeated by this invocation any more.
const PATIENCE_MS: i64 = 60_000;
/// As much of an answer's body is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// True if our receiver has kept the calls for the exporter.
const STAGED_HEADER: &str = "x-segment-s3-staged";
/// Asks our receiver to refuse a batch with a bad call whole. Its own answer keeps the other calls, and the account of a
/// file would then count the bad one as accepted. Segment ignores it.
const STRICT_HEADER: &str = "x-segment-s3-strict";

/// Counts of requests and answers, for the summary line and the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests begun.
    pub requests: u64,
    /// Of these, answered.
    pub answers: u64,
    /// Of these, sent again.
    pub retries: u64,
    /// Answers that asked us to slow down.
    pub throttles: u64,
    /// Bytes of bodies, as sent.
    pub bytes: u64,
    /// Milliseconds to answers, spread evenly over the run.
    pub latencies_ms: Vec<u64>,
    /// The sampling rate of answers.
    stride: u64,
}

impl Stats {
    /// The values of one embedded metric (CloudWatch embedded metric format: at most 100).
    const LATENCIES_MAX: usize = 100;

    /// Whether every request was answered at the first try, without a 429 or a server error.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        self.retries == 0 && self.throttles == 0 && self.answers == self.requests
    }

    fn began(&mut self, attempt: u32, bytes: usize) {
        self.requests += 1;
        self.retries += u64::from(attempt > 1);
        self.bytes += bytes as u64;
    }

    fn answered(&mut self, latency_ms: i64) {
        let stride = self.stride.max(1);
        if self.answers.is_multiple_of(stride) {
            self.latencies_ms.push(u64::try_from(latency_ms).unwrap_or(0));
        }
        self.answers += 1;
        if self.latencies_ms.len() >= Self::LATENCIES_MAX {
            // Every other sample goes, and from now on half as many come.
            self.latencies_ms = self.latencies_ms.iter().copied().step_by(2).collect();
            self.stride = stride * 2;
        }
    }
}

/// The way to Segment: one pool of connections and one pace for the whole process.
pub struct Delivery {
    pub(crate) http: reqwest::Client,
    settings: Settings,
    pub(crate) key: Key,
    /// The holder is the next sender.
    pace: tokio::sync::Mutex<Pace>,
    encoder: Mutex<deflate::Encoder>,
    pub(crate) looked: LastLooked,
    pub(crate) clock: Clock,
    dice: Dice,
}

/// The body of a request, as sent.
#[derive(Debug)]
pub struct Encoded {
    /// Its bytes.
    pub body: Bytes,
    /// Where the JSON repeats itself, if that was asked for and the body is compressed.
    pub repeats: Option<Repeats>,
}

/// Where a kind of call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Batch,
    Objects,
}

impl Delivery {
    /// Prepares the way.
    ///
    /// # Errors
    /// When no TLS could be set up, or the write key cannot stand in a header.
    pub fn new(settings: Settings, clock: Clock, dice: Dice) -> Result<Self, reqwest::Error> {
        // Reqwest takes the process's provider. Another part of the process may have chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("segment-s3/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(RESPONSE_TIMEOUT)
            // A redirected POST would lose its body; and who may redirect us is not ours to decide.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            key: Key::new(settings.write_key.clone(), None, clock.clone()),
            pace: tokio::sync::Mutex::new(Pace::new(settings.events_per_second)),
            encoder: Mutex::default(),
            looked: LastLooked::default(),
            settings,
            clock,
            dice,
        })
    }

    /// The same. A write key from a secret is read again with `secrets` when Segment does not take it.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &Secrets) -> Self {
        self.key = Key::new(self.settings.write_key.clone(), Some(secrets.clone()), self.clock.clone());
        self
    }

    /// The write key in use.
    #[must_use]
    pub fn write_key(&self) -> WriteKey {
        self.key.held().write_key.clone()
    }

    /// Reads the secret of the write key, if it has one. The key that it has now is in use from then on.
    ///
    /// # Errors
    /// Which secret cannot be read, and why; or that its text is no key.
    pub async fn read_key(&self) -> Result<(), String> {
        self.key.read().await
    }

    /// How to deliver. The write key [in use](Self::write_key) may be a later one.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The body of a request. With `repeats_within` it comes with its repeats, none of which goes back more bytes than that.
    #[must_use]
    pub fn encode(&self, body: &[u8], repeats_within: Option<usize>) -> Encoded {
        if !self.settings.gzip {
            return Encoded { body: Bytes::copy_from_slice(body), repeats: None };
        }
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        let mut compressed = Vec::with_capacity(body.len() / 4);
        encoder.append_gzip(&mut compressed, body, repeats_within.unwrap_or(DISTANCE_MAX));
        Encoded { body: compressed.into(), repeats: repeats_within.map(|_| encoder.repeats().clone()) }
    }

    /// Sends one [encoded](Self::encode) request, and repeats it until its answer is final.
    ///
    /// # Errors
    /// Without a final answer. Segment may or may not have the calls, so all are sent again with the same ids.
    pub async fn send(
        &self,
        objects: bool,
        body: Bytes,
        calls: usize,
        deadline: Deadline,
        stats: &RefCell<Stats>,
    ) -> Result<Sent, Undelivered> {
        let path = if objects { Path::Objects } else { Path::Batch };
        let (key, began_ms) = (self.key.held(), self.clock.now_ms());
        match self.send_with(&key, path, body.clone(), calls, deadline, stats).await {
            Err(Undelivered::InvalidKey { .. }) if self.has_better_key(&key, began_ms, deadline).await => {
                self.send_with(&self.key.held(), path, body, calls, deadline, stats).await
            }
            sent => sent,
        }
    }

    async fn send_with(
        &self,
        key: &Held,
        path: Path,
        body: Bytes,
        calls: usize,
        deadline: Deadline,
        stats: &RefCell<Stats>,
    ) -> Result<Sent, Undelivered> {
        // The time of requests and of the waits between them. Waiting for the pace does not count.
        let mut elapsed_ms = 0;
        let mut attempt = 1;
        let mut failed = None;
        loop {
            match (self.wait_for_pace(calls, deadline).await, failed) {
                // Time ran out since a failure, which is the reason then. Its wait is over.
                (Err(Undelivered::Deadline), Some(failure)) => return Err(failure),
                (paced, _) => paced?,
            }
            let sent_ms = self.clock.now_ms();
            tracing::debug!(calls, sent_ms, "a request is sent");
            stats.borrow_mut().began(attempt, body.len());
            let (answer, staged) = self.request(key, path, body.clone(), attempt, deadline).await;
            let now_ms = self.clock.now_ms();
            stats.borrow_mut().answered(now_ms - sent_ms);
            elapsed_ms += now_ms - sent_ms;
            match verdict(&answer, now_ms) {
                Verdict::Acknowledged => return Ok(Sent::Accepted { staged, at_ms: now_ms }),
                Verdict::Refused { message, public, too_large } => {
                    let public = self.refuses_file(path, &public);
                    return Ok(Sent::Refused(RefusedRequest { message, public, too_large }));
                }
                Verdict::InvalidKey { message } => {
                    return Err(Undelivered::InvalidKey { host: self.host(path), message });
                }
                Verdict::Configuration { message } => {
                    return Err(Undelivered::Configuration { host: self.host(path), message });
                }
                Verdict::Forbidden { message } => {
                    let host = self.host(path);
                    let refused = RefusedRequest {
                        message: FORBIDDEN.to_owned(),
                        public: format!("{host}: {FORBIDDEN}"),
                        too_large: false,
                    };
                    return Ok(Sent::Forbidden { refused, otherwise: Undelivered::Configuration { host, message } });
                }
                Verdict::Retry { asked_ms, throttled, reason } => {
                    let wait_ms = wait_ms(attempt, asked_ms, &self.dice);
                    stats.borrow_mut().throttles += u64::from(throttled);
                    tracing::debug!(attempt, wait_ms, reason, "a request will be sent again");
                    let wakes_at_ms = now_ms.saturating_add_unsigned(wait_ms);
                    let host = self.host(path);
                    let failure =
                        |wait_ms| Undelivered::Unreachable { host, reason, attempts: attempt, elapsed_ms, wait_ms };
                    if wait_ms > WAIT_IN_PLACE_MAX_MS || elapsed_ms > PATIENCE_MS || wakes_at_ms > deadline.drain_at_ms
                    {
                        return Err(failure(wait_ms));
                    }
                    failed = Some(failure(0));
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    elapsed_ms = elapsed_ms.saturating_add_unsigned(wait_ms);
                    attempt += 1;
                }
            }
        }
    }

    /// Waits for the budget in order. A batch that others overtake again and again would delay the next commit. Calls
    /// that would come too late are not begun.
    async fn wait_for_pace(&self, calls: usize, deadline: Deadline) -> Result<(), Undelivered> {
        let mut pace = self.pace.lock().await;
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms > deadline.drain_at_ms {
                return Err(Undelivered::Deadline);
            }
            let Err(wait_ms) = pace.take(calls, now_ms) else { return Ok(()) };
            if now_ms.saturating_add_unsigned(wait_ms) > deadline.drain_at_ms {
                return Err(Undelivered::Paced { wait_ms });
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    async fn request(&self, key: &Held, path: Path, body: Bytes, attempt: u32, deadline: Deadline) -> (Answer, bool) {
        let left_ms = (deadline.answers_until_ms - self.clock.now_ms()).clamp(1, REQUEST_TIMEOUT_MS);
        let request = self
            .http
            .post(self.url(path))
            .timeout(Duration::from_millis(left_ms.unsigned_abs()))
            .headers(self.headers(key, path, attempt))
            .body(body);
        match request.send().await {
            Err(error) => (broken(&error), false),
            Ok(response) => {
                let headers = response.headers().clone();
                let status = response.status().as_u16();
                match read_some(response, ANSWER_BYTES_MAX).await {
                    // Without its body a 200 may be any 200, and a 400 about a call, the key or our JSON; other statuses
                    // speak for themselves.
                    Err(error) if matches!(status, 200 | 400) => (broken(&error), false),
                    read => {
                        let text =
                            |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
                        let answer = Answer::Response {
                            status,
                            retry_after: text(RETRY_AFTER),
                            rate_limit_reset: text(http::HeaderName::from_static("x-ratelimit-reset")),
                            body: read.unwrap_or_default(),
                        };
                        (answer, headers.get(STAGED_HEADER).is_some_and(|value| value == "true"))
                    }
                }
            }
        }
    }

    fn headers(&self, key: &Held, path: Path, attempt: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, key.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if path == Path::Objects {
            // Objects are merged by id: without this they may be applied out of order (Objects API documentation).
            headers.insert("synchronous", HeaderValue::from_static("true"));
        }
        if path == Path::Batch {
            headers.insert(STRICT_HEADER, HeaderValue::from_static("true"));
        }
        if attempt > 1 {
            // As Segment's own libraries do (analytics-next `publisher.ts`).
            headers.insert("x-retry-count", HeaderValue::from(attempt - 1));
        }
        headers
    }

    fn url(&self, path: Path) -> String {
        match path {
            Path::Batch => format!("{}/v1/batch", self.settings.tracking_endpoint),
            Path::Objects => format!("{}/v1/set", self.settings.objects_endpoint),
        }
    }

    fn refuses_file(&self, path: Path, message: &str) -> String {
        format!("{} refuses this file: {message}", self.host(path))
    }

    fn host(&self, path: Path) -> String {
        host_of(&self.url(path)).to_owned()
    }
}

/// The host, and the port if one is named, of a URL.
pub(crate) fn host_of(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// A failure in words: the URL is left out, since it would be repeated in every line.
fn broken(error: &reqwest::Error) -> Answer {
    let words = aws::fault::chain(error);
    let reason = match error.url() {
        Some(url) => words.replace(&format!(" for url ({url})"), ""),
        None => words,
    };
    Answer::Broken { reason }
}

/// The body of an answer, up to a limit.
pub(crate) async fn read_some(mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = bytes_max.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(body)
}

/// How long to wait before a request is sent again: as long as the server asks for, and no less than our own wait.
fn wait_ms(attempt: u32, asked_ms: Option<u64>, dice: &Dice) -> u64 {
    dice.jitter_ms(BACKOFF.limit_ms(attempt)).max(asked_ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_body_comes_with_its_repeats_if_they_are_asked_for() {
        let body =
            format!("{{\"batch\":[{}]}}", ["{\"userId\":\"user-1\",\"event\":\"Order Completed\"}"; 500].join(","));
        let encoded = |gzip: &'static str, within: Option<usize>| {
            let get = |name: &str| {
                [("WRITE_KEY", "k"), ("GZIP_REQUESTS", gzip)]
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            let settings = Settings::read(&mut config::environment::Reader::new(&get), true);
            Delivery::new(settings, Clock::system(), Dice::seeded(1)).unwrap().encode(body.as_bytes(), within)
        };
        assert!(encoded("false", Some(1_000)).repeats.is_none());
        assert!(encoded("true", None).repeats.is_none());
        let repeats = encoded("true", Some(100)).repeats.unwrap();
        assert_eq!(repeats.input_len(), body.len());
        let distances: Vec<usize> = repeats.iter().map(|repeat| repeat.distance).collect();
        assert!(distances.len() > 20 && distances.iter().all(|distance| *distance <= 100), "{distances:?}");
    }

    #[tokio::test]
    async fn a_wait_that_takes_longer_than_the_time_left_ends_with_the_reason_for_it() {
        let get = |name: &str| match name {
            "WRITE_KEY" => Some("k".to_owned()),
            "SEGMENT_ENDPOINT" => Some("http://127.0.0.1:9".to_owned()),
            _ => None,
        };
        let settings = Settings::read(&mut config::environment::Reader::new(&get), true);
        // Each look at the clock takes ten seconds; the failure is seen at the fourth.
        let looks = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
        let clock = {
            let looks = std::sync::Arc::clone(&looks);
            Clock::from_fn(move || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) * 10_000)
        };
        let delivery = Delivery::new(settings, clock, Dice::seeded(1)).unwrap();
        let (held, deadline) = (delivery.key.held(), Deadline::of(0, 60_000));
        let body = Bytes::from_static(b"{}");
        let sent = delivery.send_with(&held, Path::Batch, body, 1, deadline, &RefCell::default()).await;
        assert!((30_000..40_000).contains(&deadline.drain_at_ms), "{deadline:?}");
        assert_eq!(looks.load(std::sync::atomic::Ordering::Relaxed), 5, "it waited, and then it was late");
        let Err(Undelivered::Unreachable { attempts: 1, reason, wait_ms: 0, .. }) = sent else { panic!("{sent:?}") };
        assert!(reason.contains("tcp connect error"), "{reason}");
    }

    #[test]
    fn our_own_waits_double_up_to_the_cap_and_the_server_may_ask_for_longer_ones() {
        let dice = Dice::seeded(1);
        for (attempt, limit_ms) in [(1, 100), (2, 200), (5, 1_600), (11, 60_000), (500, 60_000)] {
            let longest = (0..100).map(|_| wait_ms(attempt, None, &dice)).max().unwrap();
            assert!(longest <= limit_ms && longest > limit_ms / 2, "{longest} of {limit_ms}");
            assert_eq!(wait_ms(attempt, Some(60_001), &dice), 60_001);
        }
    }
}
