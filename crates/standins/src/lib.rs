#![doc = include_str!("../README.md")]

pub mod clock;
pub mod faults;

pub mod iam;
pub mod s3;
mod sts;

pub mod sqs;

pub mod event_source;
pub mod lambda;

pub mod segment;

mod dice;
mod serve;

pub use clock::Clock;
