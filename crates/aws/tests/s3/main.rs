//! The clients against the stand-in for S3.
#![allow(clippy::unwrap_used)]

mod answers;
mod document;
mod signatures;
