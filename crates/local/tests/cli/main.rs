//! The command line as a process.
#![expect(clippy::unwrap_used, reason = "tests")]

mod check;
mod config;
mod demo;
mod deployed;
mod scene;
mod serve;
mod suggest;
