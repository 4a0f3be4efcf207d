#![doc = include_str!("../README.md")]

pub mod clock;
mod dice;
pub mod event_source;
pub mod faults;
pub mod iam;
pub mod lambda;
pub mod s3;
pub mod segment;
mod serve;
pub mod sqs;
mod sts;

pub use clock::Clock;
