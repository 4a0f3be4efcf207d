//! Batches to Segment, each until it has its answer.

use crate::settings::Settings;
use aws::Clock;
use aws::clock::jitter_ms;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use calls::batches::Batch;
use calls::ingestion::Guilty;
use calls::pace::Pace;
use calls::parcel::{BISECTION_REQUESTS_MAX, BODY_BYTES_MIN, Circumstances, HALVING_REQUESTS, Parcel, Refusal};
use calls::verdicts::{Answer, Moment, Verdict, verdict};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use libdeflater::{CompressionLvl, Compressor};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which an answer must begin, or go on.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for a request as a whole.
const REQUEST_TIMEOUT_MS: i64 = 20_000;
/// Time to keep what a request acknowledged: one put, and another try.
const KEEP_TIME_MS: i64 = 5_000;
/// Time to write down what was done, and to hand the rest on.
const COMMIT_TIME_MS: i64 = 8_000;
/// A longer wait is not sat out: the invocation ends and comes back.
const WAIT_IN_PLACE_MAX_MS: u64 = 30_000;
/// A request that has failed for so long is not repeated by this invocation any more.
const PATIENCE_MS: i64 = 60_000;
/// As much of an answer's body is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// libdeflate's fastest level: on bodies of calls 212 to 293 MB per CPU-second and a fifth of the size; zlib-rs at its
/// fastest is no faster and leaves a third.
const GZIP_LEVEL: i32 = 1;
/// Our receiver says so when it keeps for export what it acknowledged.
const STAGED_HEADER: &str = "x-segment-s3-staged";

/// Until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When the invocation began, in ms since the epoch.
    pub began_at_ms: i64,
    /// From here on no request is begun: it might not be finished.
    pub drain_at_ms: i64,
    /// Here requests without an answer are given up, so that what the others acknowledged can be kept.
    pub answers_until_ms: i64,
    /// Here everything under way is given up, so that what was done can be written down.
    pub cut_at_ms: i64,
    /// Here everything is left as it is, so that the rest can be handed on.
    pub hand_on_at_ms: i64,
}

impl Deadline {
    /// Splits the time of an invocation that ends at `ends_at_ms`. A moment in the past is what an emulator hands out;
    /// then the longest time that Lambda gives counts.
    #[must_use]
    pub fn of(now_ms: i64, ends_at_ms: i64) -> Self {
        const LAMBDA_MAX_MS: i64 = 900_000;
        let left_ms = if ends_at_ms > now_ms { ends_at_ms - now_ms } else { LAMBDA_MAX_MS };
        let ends_at_ms = now_ms + left_ms;
        // Of a short time each takes its share.
        let commit_ms = (left_ms / 6).min(COMMIT_TIME_MS);
        let keep_ms = (left_ms / 12).min(KEEP_TIME_MS);
        let request_ms = (left_ms / 6).min(REQUEST_TIMEOUT_MS);
        let cut_at_ms = ends_at_ms - commit_ms;
        Self {
            began_at_ms: now_ms,
            drain_at_ms: cut_at_ms - keep_ms - request_ms,
            answers_until_ms: cut_at_ms - keep_ms,
            cut_at_ms,
            hand_on_at_ms: ends_at_ms - commit_ms / 4,
        }
    }

    /// Whether most of the invocation is still to come at `now_ms`: what cannot be done from here on never can.
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        now_ms - self.began_at_ms <= self.drain_at_ms - now_ms
    }
}

/// What deliveries of one file know of each other.
#[derive(Debug)]
pub struct FileState {
    acknowledged: AtomicU64,
    bisection_requests: AtomicU32,
    body_bytes_max: AtomicUsize,
}

impl FileState {
    /// What earlier runs leave: how many calls were acknowledged, and how many requests were spent on finding out which
    /// are guilty.
    #[must_use]
    pub fn new(acknowledged: u64, bisection_requests: u32) -> Self {
        Self {
            acknowledged: AtomicU64::new(acknowledged),
            bisection_requests: AtomicU32::new(bisection_requests),
            body_bytes_max: AtomicUsize::new(usize::MAX),
        }
    }

    /// How many calls of the file were acknowledged, by earlier runs too.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many requests finding out which calls are guilty has cost the file, in earlier runs too.
    #[must_use]
    pub fn bisection_requests(&self) -> u32 {
        self.bisection_requests.load(Ordering::Relaxed)
    }

    /// A batch's calls, cut as small as the other side is known to want them.
    #[must_use]
    pub fn parcel(&self, batch: &Batch) -> Parcel {
        Parcel::new(batch, self.body_bytes_max.load(Ordering::Relaxed))
    }

    /// A body of so many bytes was too large for the other side (a proxy, most likely): no next one is.
    fn too_large(&self, bytes: usize) {
        self.body_bytes_max.fetch_min((bytes / 2).max(BODY_BYTES_MIN), Ordering::Relaxed);
    }
}

/// What was sent and what came of it, for the summary line and the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests begun.
    pub requests: u64,
    /// Of these, answered.
    pub answers: u64,
    /// Of these, sent again.
    pub retries: u64,
    /// Answers that told us to slow down.
    pub throttles: u64,
    /// Bytes of bodies, as sent.
    pub bytes: u64,
    /// Milliseconds to answers, spread evenly over the run.
    pub latencies_ms: Vec<u64>,
    /// One answer of so many is sampled.
    stride: u64,
}

impl Stats {
    /// What one embedded metric may hold (CloudWatch embedded metric format: 100 values).
    const LATENCIES_MAX: usize = 100;

    /// Whether every request had its answer at once, and none was a refusal to hear us.
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

/// A batch whose every call has its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The calls that Segment would not take.
    pub guilty: Vec<Guilty>,
    /// When the last of the others was acknowledged, in ms since the epoch.
    pub at_ms: i64,
    /// True when the other side keeps the calls for export, so that we need not.
    pub staged: bool,
}

/// Why a batch has no answer yet, or never will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// No time left in this invocation.
    #[error("the time of this invocation is used up")]
    Deadline,
    /// The budget allows nothing more in this invocation: earlier calls of this process have used it up.
    #[error("the next calls are allowed in {wait_ms} ms, later than this invocation lasts")]
    Paced {
        /// How long to wait before the next try.
        wait_ms: u64,
    },
    /// The other side is out of reach, or asks for a longer wait than an invocation should sit out.
    #[error("{host} did not take the calls: {reason} ({attempts} attempts in {elapsed_ms} ms)")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// The last answer, in short.
        reason: String,
        /// How often it was asked.
        attempts: u32,
        /// For how long.
        elapsed_ms: i64,
        /// How long to wait before the next try.
        wait_ms: u64,
    },
    /// Nothing will be taken until a setting is mended.
    #[error("{host} refuses every call: {message}")]
    Configuration {
        /// Who was asked.
        host: String,
        /// What is wrong, and which setting to look at.
        message: String,
    },
    /// Segment refuses the whole file.
    #[error("{host} refuses this file: {message}")]
    WholeFile {
        /// Who was asked.
        host: String,
        /// Its words.
        message: String,
    },
    /// Everything that was sent of a batch was refused, while nothing of the file was ever acknowledged: the file is
    /// refused as a whole, unless another batch is taken. Then the parcel may go on.
    #[error("{host} refuses this file: {message}")]
    PutAside {
        /// Who was asked.
        host: String,
        /// Its words.
        message: String,
    },
}

/// The way to Segment: one pool of connections and one pace for the whole process.
pub struct Delivery {
    pub(crate) http: reqwest::Client,
    settings: Settings,
    authorization: HeaderValue,
    /// Whoever holds it is the next to send.
    pace: tokio::sync::Mutex<Pace>,
    compressor: Mutex<Compressor>,
    clock: Clock,
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
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("segment-s3/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(RESPONSE_TIMEOUT)
            // A redirected POST would lose its body; and who may redirect us is not ours to decide.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let credentials = STANDARD.encode(format!("{}:", settings.write_key.reveal()));
        // Base64 has only characters that a header may have.
        let mut authorization =
            HeaderValue::try_from(format!("Basic {credentials}")).unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        let level = CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
        Ok(Self {
            http,
            authorization,
            pace: tokio::sync::Mutex::new(Pace::new(settings.events_per_second)),
            compressor: Mutex::new(Compressor::new(level)),
            settings,
            clock,
        })
    }

    /// How to deliver.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a batch's calls until each has its answer.
    ///
    /// # Errors
    /// When some have none: then none of the batch counts, and all are sent again with the same ids; but one that was
    /// put aside may go on with its parcel.
    pub async fn deliver(
        &self,
        batch: &Batch,
        parcel: &mut Parcel,
        objects: bool,
        file: &FileState,
        deadline: Deadline,
        stats: &RefCell<Stats>,
    ) -> Result<Delivered, Undelivered> {
        let path = if objects { Path::Objects } else { Path::Batch };
        // One part that the other side does not keep is enough for us to keep all.
        let (mut staged, mut at_ms) = (true, self.clock.now_ms());
        while let Some(calls) = parcel.next() {
            let part = (calls.len() < batch.calls.len()).then(|| batch.body_of(calls.clone()));
            let body = part.as_deref().unwrap_or(&batch.body);
            match self.send(path, self.encode(body), calls.len(), deadline, stats).await? {
                Sent::Acknowledged { staged: kept } => {
                    staged &= kept;
                    at_ms = self.clock.now_ms();
                    file.acknowledged.fetch_add(calls.len() as u64, Ordering::Relaxed);
                    parcel.acknowledged();
                }
                Sent::Refused { message, public, too_large } => {
                    if too_large {
                        file.too_large(body.len());
                    }
                    let cost = if calls.len() > 1 { HALVING_REQUESTS } else { 0 };
                    let spent = file.bisection_requests.fetch_add(cost, Ordering::Relaxed);
                    let at = Circumstances {
                        too_large,
                        file_acknowledged: file.acknowledged() > 0,
                        may_halve: spent < BISECTION_REQUESTS_MAX,
                    };
                    if parcel.refused(&message, at) == Refusal::PutAside {
                        return Err(Undelivered::PutAside { host: self.host(path), message: public });
                    }
                }
            }
        }
        Ok(Delivered { guilty: parcel.guilty(), at_ms, staged })
    }

    /// A body as it is sent.
    fn encode(&self, body: &[u8]) -> Bytes {
        if !self.settings.gzip {
            return Bytes::copy_from_slice(body);
        }
        let mut compressor = self.compressor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut compressed = vec![0; compressor.gzip_compress_bound(body.len())];
        #[expect(clippy::expect_used, reason = "it fails only for want of room, and says itself how much it needs")]
        let len = compressor.gzip_compress(body, &mut compressed).expect("the bound is enough");
        compressed.truncate(len);
        compressed.into()
    }

    /// One request, repeated until its answer is final.
    async fn send(
        &self,
        path: Path,
        body: Bytes,
        calls: usize,
        deadline: Deadline,
        stats: &RefCell<Stats>,
    ) -> Result<Sent, Undelivered> {
        // Time spent on requests and between them; waiting for the pace is nobody's failure.
        let mut elapsed_ms = 0;
        let mut attempt = 1;
        loop {
            self.wait_for_pace(calls, deadline).await?;
            let sent_ms = self.clock.now_ms();
            tracing::debug!(calls, sent_ms, "a request is sent");
            stats.borrow_mut().began(attempt, body.len());
            let (answer, staged) = self.request(path, body.clone(), attempt, deadline).await;
            let now_ms = self.clock.now_ms();
            stats.borrow_mut().answered(now_ms - sent_ms);
            elapsed_ms += now_ms - sent_ms;
            match verdict(&answer, Moment { attempt, now_ms, dice: jitter_ms(u64::MAX - 1) }) {
                Verdict::Acknowledged => return Ok(Sent::Acknowledged { staged }),
                Verdict::Refused { message, public, too_large } => {
                    return Ok(Sent::Refused { message, public, too_large });
                }
                Verdict::Configuration { message } => {
                    return Err(Undelivered::Configuration { host: self.host(path), message });
                }
                Verdict::OurFault { message } => {
                    return Err(Undelivered::WholeFile { host: self.host(path), message });
                }
                Verdict::Retry { wait_ms, throttled, reason } => {
                    stats.borrow_mut().throttles += u64::from(throttled);
                    tracing::debug!(attempt, wait_ms, reason, "a request will be sent again");
                    let wakes_at_ms = now_ms.saturating_add_unsigned(wait_ms);
                    if wait_ms > WAIT_IN_PLACE_MAX_MS || elapsed_ms > PATIENCE_MS || wakes_at_ms > deadline.drain_at_ms
                    {
                        let host = self.host(path);
                        return Err(Undelivered::Unreachable { host, reason, attempts: attempt, elapsed_ms, wait_ms });
                    }
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    elapsed_ms = elapsed_ms.saturating_add_unsigned(wait_ms);
                    attempt += 1;
                }
            }
        }
    }

    /// Waits for the budget, one behind the other: a batch that is overtaken again and again would hold up what can be
    /// committed. Calls that would come too late are not begun.
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

    async fn request(&self, path: Path, body: Bytes, attempt: u32, deadline: Deadline) -> (Answer, bool) {
        let left_ms = (deadline.answers_until_ms - self.clock.now_ms()).clamp(1, REQUEST_TIMEOUT_MS);
        let request = self
            .http
            .post(self.url(path))
            .timeout(Duration::from_millis(left_ms.unsigned_abs()))
            .headers(self.headers(path, attempt))
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

    fn headers(&self, path: Path, attempt: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if path == Path::Objects {
            // Objects are merged by id: without this they may be applied out of order (Objects API documentation).
            headers.insert("synchronous", HeaderValue::from_static("true"));
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

    fn host(&self, path: Path) -> String {
        host_of(&self.url(path)).to_owned()
    }
}

/// The host, and the port if one is named, of a URL.
pub(crate) fn host_of(url: &str) -> &str {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// A final answer that is about the calls.
enum Sent {
    Acknowledged { staged: bool },
    Refused { message: String, public: String, too_large: bool },
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

/// What arrives of an answer's body, up to so much of it.
pub(crate) async fn read_some(mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = bytes_max.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_leaves_time_to_finish_requests_and_to_write_down_what_was_done() {
        let long = Deadline::of(0, 900_000);
        let moments = |at: Deadline| [at.drain_at_ms, at.answers_until_ms, at.cut_at_ms, at.hand_on_at_ms];
        assert_eq!(moments(long), [867_000, 887_000, 892_000, 898_000]);
        assert_eq!(long.answers_until_ms - long.drain_at_ms, REQUEST_TIMEOUT_MS, "a request that is begun can finish");
        assert_eq!(moments(Deadline::of(0, 6_000)), [3_500, 4_500, 5_000, 5_750]);
        assert!(long.is_fresh(300_000) && !long.is_fresh(500_000));
        // What an emulator hands out: a moment in 1970.
        assert_eq!(Deadline::of(1_000_000_000_000, 600_000).cut_at_ms, 1_000_000_892_000);
    }
}
