//! A failed request to S3 or SQS, as far as the life of a file depends on it.

/// How to handle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Not at all: the object, or the begun version, was deleted or replaced.
    Gone,
    /// Wait: S3 or SQS did not answer, or the time of the invocation was over.
    Wait,
    /// Leave the file alone: another invocation owns it. The message waits.
    LeaveToOther,
    /// A person must correct a permission, a setting or a document.
    Person,
}

/// The message, without cells and secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Trouble {
    /// How to handle it.
    pub remedy: Remedy,
    /// The words for report and log.
    pub words: String,
}

impl Trouble {
    /// A trouble with its remedy.
    pub fn new(remedy: Remedy, words: impl Into<String>) -> Self {
        Self { remedy, words: words.into() }
    }

    /// The compare-and-swap of the checkpoint failed: another invocation owns the file.
    #[must_use]
    pub fn lost() -> Self {
        Self::new(Remedy::LeaveToOther, "another invocation has taken this file over")
    }

    /// S3 did not finish within the time of the invocation.
    #[must_use]
    pub fn out_of_time() -> Self {
        let words = "S3 did not finish within this invocation: if this repeats, raise the function's timeout";
        Self::new(Remedy::Wait, words)
    }

    /// True when a later invocation may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.remedy, Remedy::Wait | Remedy::LeaveToOther)
    }
}
