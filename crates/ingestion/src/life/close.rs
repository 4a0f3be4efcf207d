//! How a message ends.

use protocol::checkpoint::{Checkpoint, Ending, Phase};
use protocol::outcome::Outcome as Kept;
use serde::Serialize;

/// How an object ended for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every row is settled.
    Finished,
    /// Nothing was left to do: an earlier delivery of this event ended the file.
    AlreadyDone,
    /// Too many rows were refused, or the file cannot be read as its name says.
    Stopped,
    /// Another object took its place; that object has its own S3 event.
    Replaced,
    /// The object of the event does not exist.
    Missing,
    /// Not one of our files: its name has no known prefix, it is in the state bucket, or it has no bytes.
    Refused,
    /// Nothing to do: the S3 event creates no object, or the settings leave such objects alone.
    Ignored,
    /// The rest follows in another invocation.
    Continues,
    /// It failed; a retry continues where this invocation ended.
    Failed,
}

impl Outcome {
    /// The outcome as the index keeps it; `None` if nothing has ended and nothing has failed. `ended`: how the file ended, if
    /// an earlier message ended it.
    #[must_use]
    pub fn to_keep(self, ended: Option<Phase>) -> Option<Kept> {
        Some(match (self, ended) {
            (Self::Finished, _) | (Self::AlreadyDone, Some(Phase::Finished)) => Kept::Finished,
            (Self::Stopped, _) | (Self::AlreadyDone, Some(Phase::Stopped)) => Kept::Stopped,
            (Self::Replaced, _) | (Self::AlreadyDone, Some(Phase::Replaced)) => Kept::Replaced,
            (Self::Missing, _) => Kept::Missing,
            (Self::Refused, _) => Kept::Refused,
            (Self::Failed, _) => Kept::Failed,
            (Self::AlreadyDone | Self::Ignored | Self::Continues, _) => return None,
        })
    }
}

/// The end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// How the object ended for now.
    pub outcome: Outcome,
    /// The reason, if there is one.
    pub reason: Option<String>,
    /// The stable code of that reason, if it is a fault of the file.
    pub code: Option<String>,
}

impl Close {
    pub(super) fn done(outcome: Outcome, reason: Option<String>) -> Self {
        Self { outcome, reason, code: None }
    }

    /// The object is left alone.
    #[must_use]
    pub fn ignored(reason: String) -> Self {
        Self::done(Outcome::Ignored, Some(reason))
    }

    /// The message failed, and is to be delivered again.
    #[must_use]
    pub fn failed(reason: String) -> Self {
        Self { outcome: Outcome::Failed, reason: Some(reason), code: None }
    }

    /// The end that the checkpoint has; `None` if the file has not ended.
    pub(super) fn of_ended(checkpoint: &Checkpoint) -> Option<Self> {
        let outcome = match checkpoint.phase {
            Phase::Finished => Outcome::Finished,
            Phase::Stopped => Outcome::Stopped,
            Phase::Replaced => Outcome::Replaced,
            Phase::Running => return None,
        };
        let ending = checkpoint.ending.as_ref();
        let of = |field: fn(&Ending) -> &Option<String>| ending.and_then(|ending| field(ending).clone());
        Some(Self { outcome, reason: of(|ending| &ending.reason), code: of(|ending| &ending.code) })
    }

    pub(super) fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// True when the message is not to be delivered again.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome != Outcome::Failed
    }
}
