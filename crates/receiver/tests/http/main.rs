//! The API as its callers see it, over HTTP.
#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod batches;
mod browsers;
mod configuration;
mod keeping;
mod stopping;
mod webhooks;
