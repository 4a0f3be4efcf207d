#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod settings;

mod account;
mod app;
mod fragments;
mod message;
mod owner;
mod queue;
mod report;
mod rows;
mod source;

mod causes;
mod validate;

pub use app::{App, Failure};
pub use ingestion::life::Outcome;
pub use report::{FileReport, Report};
pub use settings::Settings;
pub use validate::{Checked, Validated};
