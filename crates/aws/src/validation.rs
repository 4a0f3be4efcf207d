//! What `{"validate": …}` answers: what was tried, how it ended, and what that most likely means.

use serde::Serialize;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What.
    pub tried: String,
    /// True if it ended as it should.
    pub ok: bool,
    /// How it ended, in the service's words where it failed.
    pub result: String,
    /// What that most likely means, the likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub likely_causes: Vec<Cause>,
}

impl Step {
    /// It ended as it should.
    pub fn well(tried: impl Into<String>, result: impl Into<String>) -> Self {
        Self { tried: tried.into(), ok: true, result: result.into(), likely_causes: Vec::new() }
    }

    /// It did not.
    pub fn ill(tried: impl Into<String>, result: impl Into<String>, likely_causes: Vec<Cause>) -> Self {
        Self { tried: tried.into(), ok: false, result: result.into(), likely_causes }
    }
}

/// A cause and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What is probably the matter.
    pub cause: String,
    /// What to do then.
    pub fix: String,
}

/// A cause and its fix.
pub fn cause(cause: impl Into<String>, fix: impl Into<String>) -> Cause {
    Cause { cause: cause.into(), fix: fix.into() }
}
