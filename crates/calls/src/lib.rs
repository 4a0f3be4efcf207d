#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batches;
pub mod call;
pub mod columns;
pub mod dialect;
mod flaw;
mod ids;
mod inflate;
pub mod ingestion;
mod json;
mod limits;
pub mod pace;
mod quoting;
pub mod reading;
pub mod refusal;
pub mod rejects;
mod rows;
pub mod subject;
mod text;
mod timestamps;
pub mod translator;
pub mod verdicts;
pub mod warnings;
