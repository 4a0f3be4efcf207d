//! The life of a file, as far as one message takes it.
//!
//! A message names an object. [`Life`] takes the message from its receipt to its end: each event gives the next action,
//! and the last action is [`Action::Close`]. The driver performs the actions and reports their results. Every rule of
//! waiting, giving up, redriving, renewing, replaced objects and final states is here, and each limit is checked once.
//!
//! | state | action under way | next |
//! |---|---|---|
//! | looking up | read the checkpoint that the message names | opening |
//! | opening | first GET of the object | recalling, claiming, sending, or the end |
//! | recalling | read the checkpoint for the collection of the file | claiming, or the end |
//! | claiming | claim the checkpoint | running, ending, keeping the account, releasing, or a wait |
//! | running | send rows | ending or releasing |
//! | ending | write the last checkpoint | keeping the account |
//! | keeping the account | write rejects file and ledger | the end |
//! | releasing | give the lease back | sending, or the end |
//! | sending | send the successor message | the end |

mod close;
mod postpone;
mod search;

use crate::deadline::Deadline;
use crate::notification::{Hop, Notice, replay_tag};
use crate::run::End;
use crate::trouble::{Remedy, Trouble};
use calls::pipeline::Pipeline;
use calls::refusal::FaultCode;
use calls::subject::{Subject, SubjectError, SubjectOf};
use postpone::Pause;
use protocol::checkpoint::{Checkpoint, Ending, Phase};
use protocol::claim::Afresh;
use protocol::id::{SourceId, StreamId};
use protocol::keys;
use protocol::reading::Reading;
use protocol::upload::{Identity, Version};

pub use close::{Close, Outcome};
pub use postpone::{DELAY_MAX_MS, retry_after_s};
pub use search::{Search, Step};

/// A file fails after this time without progress, for any reason.
pub const NO_PROGRESS_MAX_MS: i64 = 12 * 60 * 60 * 1_000;
/// A file fails after this many invocations in a row without progress. Where each one waits, the 12 hours come first.
pub const HOPS_MAX: u32 = 2_000;
/// The reason of a file whose object was replaced between two invocations.
const REPLACED: &str = "it was replaced or deleted before it was finished; the new object has its own S3 event";

/// The settings that decide.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `SOURCE_ID`.
    pub source_id: SourceId,
    /// `STATE_BUCKET`.
    pub state_bucket: String,
    /// How the file is read, unless it was begun otherwise.
    pub reading: Reading,
    /// The pattern of a mapping that is nearest to the key, if no mapping matches it.
    pub nearest_pattern: Option<String>,
    /// Whether successor messages can be sent.
    pub has_queue: bool,
}

/// The answer to the first GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The ETag.
    pub etag: String,
    /// When the object was put, in ms since the epoch.
    pub modified_ms: i64,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// The metadata `segment-replay`, which sends a file again with new ids.
    pub replay: Option<String>,
    /// The metadata `segment-collection`, which overrides the collection in the name.
    pub collection: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Why.
    pub end: End,
    /// The checkpoint after it.
    pub checkpoint: Box<Checkpoint>,
    /// The columns of the file, for the ledger.
    pub columns: Vec<String>,
    /// Warnings about the columns and the dialect, for the ledger.
    pub warnings: Vec<String>,
    /// True when every request was answered at once.
    pub is_untroubled: bool,
}

impl RunEnd {
    /// A run that is complete before it has read a row; the other fields say more once it has.
    #[must_use]
    pub fn at(checkpoint: &Checkpoint) -> Self {
        Self {
            end: End::Complete,
            checkpoint: Box::new(checkpoint.clone()),
            columns: Vec::new(),
            warnings: Vec::new(),
            is_untroubled: true,
        }
    }

    /// The rows of the run, and whether every request was answered at the first try.
    pub fn describe(&mut self, rows: &Pipeline, checkpoint: &Checkpoint, is_untroubled: bool) {
        self.columns = rows.columns();
        self.warnings = column_warnings(rows, checkpoint);
        self.is_untroubled = is_untroubled;
    }
}

/// The warnings about the columns and the dialect, and those that the profile in the checkpoint gives.
#[must_use]
pub fn column_warnings(rows: &Pipeline, checkpoint: &Checkpoint) -> Vec<String> {
    let of_profile =
        checkpoint.profile.as_ref().map(|profile| rows.warnings_of(profile, &checkpoint.account)).unwrap_or_default();
    rows.warnings().iter().chain(&of_profile).map(|warning| warning.message.clone()).collect()
}

/// The result of an action.
#[derive(Debug, Clone)]
pub enum Event {
    /// Of [`Action::LookUp`].
    LookedUp(Option<Box<Checkpoint>>),
    /// Of [`Action::Open`].
    Opened(Found),
    /// Of [`Action::Claim`]: the file is ours, by this checkpoint.
    Claimed(Box<Checkpoint>),
    /// Of [`Action::Claim`]: another invocation is at work, or the file waits.
    Busy {
        /// Until when at least, in ms since the epoch.
        until_ms: i64,
        /// When the file last made progress, in ms since the epoch.
        progress_ms: i64,
    },
    /// Of [`Action::Claim`]: the file has ended.
    AlreadyEnded(Box<Checkpoint>),
    /// Of [`Action::Run`].
    RunEnded(Box<RunEnd>),
    /// Of [`Action::End`]: the last checkpoint.
    Ended(Box<Checkpoint>),
    /// Of [`Action::KeepAccount`].
    AccountKept {
        /// Whether the ledger was there before.
        was_there: bool,
    },
    /// Of [`Action::Release`].
    Released,
    /// Of [`Action::Send`].
    Sent,
    /// Of any action: it failed.
    Failed(Trouble),
}

/// The next action of the driver. It reports the result by [`Life::on`].
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Read the checkpoint of this stream.
    LookUp(StreamId),
    /// Read the beginning of the object.
    Open(Version),
    /// Claim the checkpoint of this upload.
    Claim {
        /// The upload.
        object: Identity,
        /// Whether the file starts its count of hours without progress again.
        afresh: Afresh,
    },
    /// Send rows, beginning where the checkpoint stands.
    Run(Subject),
    /// Write the last checkpoint.
    End {
        /// How the file ended.
        phase: Phase,
        /// Its entry in the ledger.
        ending: Box<Ending>,
    },
    /// Write rejects file and ledger of this checkpoint, unless the ledger is there.
    KeepAccount(Box<Checkpoint>),
    /// Give the lease back. The message does not depend on it: a lease that stays ends by itself.
    Release {
        /// Since when the file has had no progress for an outage, in ms since the epoch.
        trouble_since_ms: Option<i64>,
        /// True when the file fails.
        given_up: bool,
        /// No invocation starts before, in ms since the epoch; 0 is at once.
        not_before_ms: i64,
    },
    /// Send this message to the function's own queue.
    Send {
        /// The message.
        notice: Notice,
        /// Its delay, at most [`DELAY_MAX_MS`].
        wait_ms: u64,
    },
    /// The end of this message.
    Close(Close),
}

impl Action {
    /// The deadline of the action, in ms since the epoch; `None` for an action with its own deadline.
    #[must_use]
    pub fn until_ms(&self, deadline: &Deadline) -> Option<i64> {
        match self {
            Self::LookUp(_) | Self::Open(_) | Self::Claim { .. } => Some(deadline.cut_at_ms),
            Self::End { .. } | Self::KeepAccount(_) | Self::Release { .. } => Some(deadline.hand_on_at_ms),
            Self::Send { .. } => Some(deadline.ends_at_ms),
            Self::Run(_) | Self::Close(_) => None,
        }
    }
}

/// The state of a message.
#[derive(Debug, Clone)]
enum State {
    LookingUp,
    Opening,
    Recalling { object: Identity, unnamed: String },
    Claiming { to: Aim },
    Running { from_byte: u64 },
    Ending(Close),
    KeepingAccount(Close),
    Releasing(Then),
    Sending { reason: String },
    Closed,
}

/// Why a file is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Run,
    EndAsReplaced,
}

/// The step after a release.
#[derive(Debug, Clone)]
enum Then {
    Send { hop: Hop, wait_ms: u64, reason: String },
    Close(Close),
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Life {
    rules: Rules,
    notice: Notice,
    receives: u32,
    afresh: Afresh,
    is_fresh: bool,
    state: State,
    /// The checkpoint of the upload that the message names.
    begun: Option<Box<Checkpoint>>,
    subject: Option<Subject>,
    stream: Option<StreamId>,
    /// The checkpoint as it was last seen.
    checkpoint: Option<Box<Checkpoint>>,
}

impl Life {
    /// A message is received for the `receives`th time.
    #[must_use]
    pub fn receive(rules: Rules, notice: Notice, receives: u32, deadline: &Deadline, now_ms: i64) -> (Self, Action) {
        let afresh = postpone::afresh(&notice, receives, now_ms);
        let notice = if afresh == Afresh::Yes { notice.afresh() } else { notice };
        let stream = notice.hop.as_ref().and_then(|hop| hop.stream);
        let is_fresh = deadline.is_fresh(now_ms);
        let mut life = Self {
            rules,
            notice,
            receives,
            afresh,
            is_fresh,
            state: State::Closed,
            begun: None,
            subject: None,
            stream: None,
            checkpoint: None,
        };
        let action = match stream {
            _ if life.notice.bucket == life.rules.state_bucket => life
                .refuse("it is in STATE_BUCKET, which is never a source: rejects would feed on themselves".to_owned()),
            // The checkpoint says how a begun file is read, even if no mapping of today takes its key.
            Some(stream) => life.go(State::LookingUp, Action::LookUp(stream)),
            // The name alone shows most mistakes, without a request.
            None if let Err(fault) = by_name(&life.rules.reading, &life.notice.key) => {
                let nearest = life.rules.nearest_pattern.as_ref();
                let nearest =
                    nearest.map(|pattern| format!("; no mapping matches the key, the nearest has `{pattern}`"));
                life.refuse(format!("{fault}{}", nearest.unwrap_or_default()))
            }
            None => life.look_up(None),
        };
        (life, action)
    }

    /// The object's kind and collection, once they are known.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The stream of the upload, once it is known.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// The checkpoint as it was last seen.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_deref()
    }

    /// The result of the action under way gives the next action.
    pub fn on(&mut self, event: Event, now_ms: i64) -> Action {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, event) {
            (State::LookingUp, Event::LookedUp(Some(begun))) if begun.phase.is_terminal() => self.already_done(begun),
            (State::LookingUp, Event::LookedUp(begun)) => self.look_up(begun),
            (State::Opening, Event::Opened(found)) => self.opened(found, now_ms),
            (State::Opening, Event::Failed(trouble)) if trouble.remedy == Remedy::Gone => self.gone(now_ms),
            (State::Recalling { object, unnamed }, Event::LookedUp(begun)) => {
                match begun.as_deref().and_then(begun_subject) {
                    Some(subject) => self.claim(object, subject),
                    None => self.refuse(unnamed),
                }
            }
            (State::Claiming { to }, Event::Claimed(checkpoint)) => self.claimed(to, checkpoint, now_ms),
            (State::Claiming { to: Aim::Run }, Event::Busy { until_ms, progress_ms }) => {
                self.pause(Pause::busy(&self.hop(), until_ms, progress_ms, now_ms), now_ms)
            }
            // The other invocation finds the object gone, or was killed: this message sees to the end.
            (State::Claiming { .. }, Event::Busy { .. }) => self.trouble(&Trouble::lost(), now_ms),
            (State::Claiming { .. }, Event::AlreadyEnded(checkpoint)) => self.already_done(checkpoint),
            (State::Running { from_byte }, Event::RunEnded(run)) => self.run_ended(from_byte, *run, now_ms),
            (State::Ending(close), Event::Ended(checkpoint)) => self.keep_account(close, checkpoint),
            (State::KeepingAccount(close), Event::AccountKept { was_there }) => self.account_kept(close, was_there),
            (State::Releasing(then), Event::Released | Event::Failed(_)) => self.released(then),
            (State::Sending { reason }, Event::Sent) => self.close(sent(&reason, Ok(()))),
            (State::Sending { reason }, Event::Failed(trouble)) => self.close(sent(&reason, Err(trouble))),
            (_, Event::Failed(trouble)) => self.trouble(&trouble, now_ms),
            (state, event) => {
                let words = format!("a bug in segment-s3: {event:?} while {state:?}; please report it");
                self.close(Close::failed(words))
            }
        }
    }

    fn go(&mut self, state: State, action: Action) -> Action {
        self.state = state;
        action
    }

    fn close(&mut self, close: Close) -> Action {
        self.go(State::Closed, Action::Close(close))
    }

    fn refuse(&mut self, reason: String) -> Action {
        self.close(Close::done(Outcome::Refused, Some(reason)))
    }

    /// The version to read: the begun version, or else the event's.
    fn look_up(&mut self, begun: Option<Box<Checkpoint>>) -> Action {
        self.begun = begun;
        let version = self.begun.as_ref().and_then(|begun| begun.object.version_id.clone());
        let version = version.map_or_else(|| self.notice.version(), Version::Begun);
        self.go(State::Opening, Action::Open(version))
    }

    /// The first GET decides which upload this is.
    fn opened(&mut self, found: Found, now_ms: i64) -> Action {
        if found.bytes == 0 && self.begun.is_none() {
            let reason =
                "it has no bytes; a tool may write the content in a moment, and that upload has its own S3 event";
            let close = Close::done(Outcome::Refused, Some(reason.to_owned()));
            return self.close(close.with_code(FaultCode::EmptyFile.as_str()));
        }
        let replay = match found.replay.as_deref().map(replay_tag) {
            Some(Err(fault)) => return self.refuse(format!("the object's metadata `segment-replay`: {fault}")),
            Some(Ok(tag)) => self.notice.replay.clone().or(Some(tag)),
            None => self.notice.replay.clone(),
        };
        let collection = found.collection.clone();
        let Some(object) = self.identity(found, replay) else { return self.gone(now_ms) };
        self.stream = Some(object.stream());
        match self.rules.reading.subject(&self.notice.key, collection.as_deref()) {
            Ok(subject) => self.claim(object, subject),
            // A begun file keeps its collection, even if COLLECTIONS has changed.
            Err(unnamed) => {
                let (stream, unnamed) = (object.stream(), unnamed.to_string());
                self.go(State::Recalling { object, unnamed }, Action::LookUp(stream))
            }
        }
    }

    /// The upload; `None` when the message names another one. An upload keeps the source and the mapping under which it
    /// was begun.
    fn identity(&self, found: Found, replay: Option<String>) -> Option<Identity> {
        let object = Identity {
            source_id: self.rules.source_id.clone(),
            bucket: self.notice.bucket.clone(),
            key: self.notice.key.clone(),
            version_id: found.version_id,
            etag: found.etag,
            modified_ms: found.modified_ms,
            bytes: found.bytes,
            replay,
            mapping: self.rules.reading.mapping.as_ref().map(|mapping| mapping.name.clone()),
        };
        let Some(stream) = self.notice.hop.as_ref().and_then(|hop| hop.stream) else { return Some(object) };
        if stream == object.stream() {
            return Some(object);
        }
        // A stream without a checkpoint was never begun: the object is as good as new.
        let Some(begun) = &self.begun else { return Some(object) };
        let Identity { source_id, mapping, .. } = begun.object.clone();
        Some(Identity { source_id, mapping, ..object }).filter(|object| stream == object.stream())
    }

    fn claim(&mut self, object: Identity, subject: Subject) -> Action {
        self.subject = Some(subject);
        let afresh = self.afresh;
        self.go(State::Claiming { to: Aim::Run }, Action::Claim { object, afresh })
    }

    /// The object is missing, or is not the begun one.
    fn gone(&mut self, now_ms: i64) -> Action {
        let Some(stream) = self.notice.hop.as_ref().and_then(|hop| hop.stream) else {
            let then = postpone::missing(&self.notice, self.hop(), self.rules.has_queue, now_ms);
            return self.released(then);
        };
        self.stream = Some(stream);
        let Some(begun) = self.begun.clone() else {
            return self.close(Close::done(Outcome::Replaced, Some(REPLACED.to_owned())));
        };
        let by_rules = || self.rules.reading.subject(&self.notice.key, None).ok();
        self.subject = begun_subject(&begun).or_else(by_rules);
        let action = Action::Claim { object: begun.object.clone(), afresh: Afresh::No };
        self.checkpoint = Some(begun);
        self.go(State::Claiming { to: Aim::EndAsReplaced }, action)
    }

    fn claimed(&mut self, to: Aim, checkpoint: Box<Checkpoint>, now_ms: i64) -> Action {
        if let Some(subject) = begun_subject(&checkpoint) {
            self.subject = Some(subject);
        }
        let position = checkpoint.position.byte;
        self.checkpoint = Some(checkpoint);
        if to == Aim::EndAsReplaced {
            let close = Close::done(Outcome::Replaced, Some(REPLACED.to_owned()));
            return self.end(close, Phase::Replaced, (Vec::new(), Vec::new()), now_ms);
        }
        let hop = self.hop();
        // A message received again although its file made progress is healthy. A new message takes its place, so that
        // waits and kills never use up its receives.
        if self.receives > 1 && position > hop.position && self.rules.has_queue {
            let reason = "its message was received again although the file made progress: a new message replaces it";
            let hop = Hop { position, count: 0, trouble_since_ms: None, sent_ms: Some(now_ms), ..hop };
            let then = Then::Send { hop, wait_ms: 0, reason: reason.to_owned() };
            let release = Action::Release { trouble_since_ms: None, given_up: false, not_before_ms: 0 };
            return self.go(State::Releasing(then), release);
        }
        match self.subject.clone() {
            Some(subject) => self.go(State::Running { from_byte: position }, Action::Run(subject)),
            None => {
                let words = "a bug in segment-s3: a file without a kind is claimed; please report it";
                self.close(Close::failed(words.to_owned()))
            }
        }
    }

    fn run_ended(&mut self, from_byte: u64, run: RunEnd, now_ms: i64) -> Action {
        let has_progressed = run.checkpoint.position.byte != from_byte;
        self.checkpoint = Some(run.checkpoint);
        if has_progressed {
            // The file has progressed since the earlier trouble.
            self.notice = self.notice.afresh();
        }
        let (close, phase) = match run.end {
            End::Complete => (Close::done(Outcome::Finished, None), Phase::Finished),
            End::Fault(fault) => {
                let close = Close::done(Outcome::Stopped, Some(fault.to_string()));
                (close.with_code(fault.code.as_str()), Phase::Stopped)
            }
            End::Exceeded(reason) => (Close::done(Outcome::Stopped, Some(reason)), Phase::Stopped),
            End::Unread(trouble) if trouble.remedy == Remedy::Gone => {
                let reason = "it was replaced or deleted while it was read; the new object has its own S3 event";
                (Close::done(Outcome::Replaced, Some(reason.to_owned())), Phase::Replaced)
            }
            end => {
                let pause = self.postponed(end, has_progressed, run.is_untroubled, now_ms);
                return self.pause(pause, now_ms);
            }
        };
        self.end(close, phase, (run.columns, run.warnings), now_ms)
    }

    fn end(
        &mut self,
        close: Close,
        phase: Phase,
        (columns, warnings): (Vec<String>, Vec<String>),
        now_ms: i64,
    ) -> Action {
        let ending = Box::new(Ending {
            reason: close.reason.clone(),
            code: close.code.clone(),
            kind: self.subject.as_ref().map(|subject| subject.kind.as_str()).unwrap_or_default().to_owned(),
            collection: self.subject.as_ref().and_then(|subject| subject.collection.clone()),
            columns,
            warnings,
            rejects: self.checkpoint.as_deref().and_then(rejects_key),
            at_ms: now_ms,
        });
        self.go(State::Ending(close), Action::End { phase, ending })
    }

    /// The file has ended. The invocation that ended it may have crashed before it wrote the ledger.
    fn already_done(&mut self, checkpoint: Box<Checkpoint>) -> Action {
        self.subject = begun_subject(&checkpoint).or_else(|| self.subject.take());
        self.stream = Some(checkpoint.object.stream());
        self.keep_account(Close::done(Outcome::AlreadyDone, None), checkpoint)
    }

    /// The first message that leaves the account of an ended file reports the end, whichever message ended the file.
    fn account_kept(&mut self, close: Close, was_there: bool) -> Action {
        let ended = self.checkpoint.as_deref().filter(|_| close.outcome == Outcome::AlreadyDone && !was_there);
        let close = ended.and_then(Close::of_ended).unwrap_or(close);
        self.close(close)
    }

    fn keep_account(&mut self, close: Close, checkpoint: Box<Checkpoint>) -> Action {
        self.checkpoint = Some(checkpoint.clone());
        self.go(State::KeepingAccount(close), Action::KeepAccount(checkpoint))
    }

    fn released(&mut self, then: Then) -> Action {
        match then {
            Then::Close(close) => self.close(close),
            Then::Send { hop, wait_ms, reason } => self.send(hop, wait_ms, reason),
        }
    }

    fn send(&mut self, hop: Hop, wait_ms: u64, reason: String) -> Action {
        let begun = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.object.mapping.clone());
        let mapping = begun.or_else(|| self.rules.reading.mapping.as_ref().map(|mapping| mapping.name.clone()));
        let notice = Notice { hop: Some(hop), mapping, ..self.notice.clone() };
        self.go(State::Sending { reason }, Action::Send { notice, wait_ms })
    }

    /// The hop of the next message, if this one makes no progress.
    fn hop(&self) -> Hop {
        let hop = Hop::after(self.notice.hop.as_ref());
        Hop { stream: self.stream.or(hop.stream), ..hop }
    }
}

/// The subject of a file by its name alone.
///
/// # Errors
/// If the name shows that no file can be read under the key.
pub fn by_name(reading: &Reading, key: &str) -> Result<Subject, SubjectError> {
    reading.subject(key, Some("any"))
}

/// The end of a message after its successor message was sent, or was not.
fn sent(reason: &str, result: Result<(), Trouble>) -> Close {
    let Err(trouble) = result else { return Close::done(Outcome::Continues, Some(reason.to_owned())) };
    let words = if reason.contains(&trouble.words) { "for the same reason" } else { &trouble.words };
    Close::failed(format!("{reason}; the message for the rest was not sent: {words}"))
}

/// The subject of a file as it was begun, once its first rows are committed.
fn begun_subject(checkpoint: &Checkpoint) -> Option<Subject> {
    let terms = checkpoint.terms.as_ref()?;
    let reading = Reading { collections: Vec::new(), ..terms.reading.clone() };
    reading.subject(&checkpoint.object.key, terms.collection.as_deref()).ok()
}

/// The key of the rejects file, if the file has refused rows.
fn rejects_key(checkpoint: &Checkpoint) -> Option<String> {
    let object = &checkpoint.object;
    let by_name = || Subject::of(&object.key, &[], None).ok();
    let subject = begun_subject(checkpoint).or_else(by_name)?;
    let has_rejects = !checkpoint.rejects.is_empty() && checkpoint.header.is_some();
    has_rejects.then(|| keys::rejects(object.stream(), &subject.rejects_name()))
}

#[cfg(test)]
mod random_lives;
#[cfg(test)]
mod tests;
