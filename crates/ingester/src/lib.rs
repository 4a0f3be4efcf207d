#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod causes;
mod ending;
mod file;
mod owner;
mod pipeline;
mod queue;
mod report;
mod settings;
mod source;
mod staging;
mod validate;

pub use app::{App, Failure};
pub use report::{FileReport, Outcome, Report};
pub use settings::Settings;
pub use validate::{Checked, Validated};
