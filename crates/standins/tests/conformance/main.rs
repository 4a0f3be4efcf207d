//! The stand-ins, driven by AWS's own clients: their answers, and above all their refusals.
//!
//! The modules under `s3` run on memory and on a folder. With `CONFORMANCE_S3_ENDPOINT` they run on another S3 instead
//! (its key in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod cloudformation;
mod event_source;
mod faults;
mod folder;
mod lambda;
mod notifications;
mod s3;
mod segment;
mod signed;
mod sns;
mod sqs;
mod support;
