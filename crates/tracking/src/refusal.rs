//! Why a request or a call is refused.

use std::fmt;

/// A refusal. The codes are those of Segment's delivery overview, and a few of ours. No message has a value of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }

    /// In Segment's words (answer of the Tracking API to more than 32 KB or 500 KB).
    #[must_use]
    pub fn too_large() -> Refusal {
        Refusal::new("invalid_request", "Exceed payload limit")
    }

    /// In Segment's words.
    #[must_use]
    pub fn malformed() -> Refusal {
        Refusal::new("invalid_request", "malformed JSON")
    }

    /// In Segment's words.
    #[must_use]
    pub fn write_key() -> Refusal {
        Refusal::new("invalid_request", "An invalid write key was provided")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
