//! The command line, as it is called.
#![expect(clippy::unwrap_used, reason = "tests")]

mod check;
mod demo;
