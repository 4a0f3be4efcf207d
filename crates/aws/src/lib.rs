#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;

pub mod dice;

pub mod backoff;

pub mod fault;

pub mod answer;

pub mod clients;

pub mod bucket;

pub mod document;

pub mod secrets;

pub mod configuration;

pub mod roles;

pub mod telemetry;

pub mod validation;

pub mod causes;

mod memory;

mod sample;

pub use backoff::Backoff;
pub use bucket::{Bucket, Created, Listed, Swapped};
pub use clock::Clock;
pub use dice::Dice;
pub use fault::{Fault, Kind, Operation};
pub use memory::memory_mb;
