#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod settings;

mod app;

mod targets;

mod spelling;

mod batch;

mod backfill;

mod message;

mod source;

mod owner;

mod rows;

mod sender;

mod fragments;

mod pieces;

mod account;

mod outcomes;

mod queue;

mod topics;

mod trouble;

mod report;

mod validate;

mod causes;

#[cfg(test)]
mod explorer;

pub use app::{App, Failure};
pub use ingestion::life::Outcome;
pub use outcomes::Status;
pub use report::{Backfilled, FileReport, Report, Unreadable};
pub use settings::Settings;
pub use validate::{Checked, Validated};
