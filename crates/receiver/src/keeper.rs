//! Writes to S3 that several requests share.

use crate::recent::Recent;
use aws::{Bucket, Dice, Fault};
use export::fragment::{crc32, encode};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, Nonce, SourceId};
use protocol::keys::received_rejects;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracking::groups::{Groups, WAIT_MS_MAX};

/// Libraries wait 10 seconds for an answer (analytics-next `fetch`, analytics-go). A write that takes longer than this
/// has failed.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_millis(7_500);
/// One try of a write. Puts of this size take S3 far less, and a second try often finds a faster server (S3 user guide,
/// "Performance design patterns").
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Bytes of all requests that wait for a write. A further request fails at once.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The calls of one request.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) lines: Vec<u8>,
    pub(crate) events: u32,
    /// The refused calls, as lines.
    pub(crate) rejects: Vec<u8>,
}

/// The calls could not be kept in time. They may still be written later.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotKept;

/// A source and a day: requests of two never share a write.
type Lane = (SourceId, Day);

struct Waiting {
    calls: Calls,
    kept: oneshot::Sender<bool>,
}

/// The state bucket, and the requests that wait for it.
pub(crate) struct Keeper {
    state: Bucket,
    dice: Dice,
    lanes: Mutex<HashMap<Lane, Groups<Waiting>>>,
    waiting_bytes: AtomicUsize,
    recent: Recent,
}

impl Keeper {
    pub(crate) fn new(state: Bucket, dice: Dice) -> Arc<Keeper> {
        let (lanes, waiting_bytes, recent) = (Mutex::default(), AtomicUsize::new(0), Recent::default());
        Arc::new(Keeper { state, dice, lanes, waiting_bytes, recent })
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Makes the calls of a request durable: only then may they be acknowledged.
    pub(crate) async fn keep(self: &Arc<Self>, lane: Lane, calls: Calls, within: Duration) -> Result<(), NotKept> {
        let bytes = calls.lines.len() + calls.rejects.len();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            tracing::error!("too many calls wait for S3");
            return Err(NotKept);
        }
        let (kept, answer) = oneshot::channel();
        let joined = self.lanes().entry(lane.clone()).or_default().join(Waiting { calls, kept }, bytes);
        // The tasks end on their own: a caller that hangs up does not undo the calls of others.
        if let Some(group) = joined.write {
            tokio::spawn(Arc::clone(self).write_all(lane.clone(), group));
        }
        if let Some(number) = joined.opened {
            tokio::spawn(Arc::clone(self).write_when_due(lane, number));
        }
        match timeout(within, answer).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(NotKept),
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Groups<Waiting>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_when_due(self: Arc<Self>, lane: Lane, number: u64) {
        sleep(Duration::from_millis(WAIT_MS_MAX)).await;
        let due = self.lanes().get_mut(&lane).and_then(|groups| groups.due(number));
        if let Some(group) = due {
            self.write_all(lane, group).await;
        }
    }

    /// Writes a group, and those that have gathered meanwhile.
    async fn write_all(self: Arc<Self>, lane: Lane, group: Vec<Waiting>) {
        let mut next = Some(group);
        while let Some(group) = next {
            self.write(&lane, group).await;
            let mut lanes = self.lanes();
            let Some(groups) = lanes.get_mut(&lane) else { return };
            next = groups.ended();
            if groups.is_idle() {
                lanes.remove(&lane);
            }
        }
    }

    async fn write(&self, lane: &Lane, group: Vec<Waiting>) {
        let (mut all, mut answers) = (Calls::default(), Vec::with_capacity(group.len()));
        for Waiting { calls, kept } in group {
            all.lines.extend_from_slice(&calls.lines);
            all.rejects.extend_from_slice(&calls.rejects);
            all.events += calls.events;
            answers.push(kept);
        }
        let bytes = all.lines.len() + all.rejects.len();
        let written = timeout(WRITE_TIMEOUT, async {
            let (fragment, rejects) =
                tokio::join!(self.put_lines(lane, &all), self.put_rejects(lane, all.rejects.clone()));
            fragment.and(rejects)
        });
        let is_kept = match written.await {
            Ok(Ok(())) => true,
            Ok(Err(fault)) => {
                tracing::error!(%fault, "received calls could not be kept");
                false
            }
            Err(_) => {
                tracing::error!(ms = WRITE_TIMEOUT.as_millis(), "received calls could not be kept in time");
                false
            }
        };
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if is_kept {
            self.recent.note(lane.0.as_str(), &all.lines);
        }
        for answer in answers {
            // The caller may have gone.
            let _ = answer.send(is_kept);
        }
    }

    /// Puts the lines where the exporter finds them.
    async fn put_lines(&self, (source, day): &Lane, calls: &Calls) -> Result<(), Fault> {
        if calls.lines.is_empty() {
            return Ok(());
        }
        let fragment = encode(&calls.lines);
        let id = self.dice.nonce().to_string();
        #[expect(clippy::expect_used, reason = "hexadecimal digits are such an id")]
        let id = id.parse().expect("a nonce is the id of a request");
        let name = FragmentName {
            source: source.clone(),
            day: *day,
            origin: Origin::Request { id },
            events: calls.events,
            raw_bytes: calls.lines.len() as u64,
            crc32: crc32(&fragment),
        };
        self.state.create(&name.to_string(), fragment.into(), "application/gzip").await.map(|_| ())
    }

    async fn put_rejects(&self, (source, day): &Lane, rejects: Vec<u8>) -> Result<(), Fault> {
        if rejects.is_empty() {
            return Ok(());
        }
        let write: Nonce = self.dice.nonce();
        let key = received_rejects(source, *day, write);
        self.state.create(&key, rejects.into(), "application/x-ndjson").await.map(|_| ())
    }
}
