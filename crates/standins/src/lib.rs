#![doc = include_str!("../README.md")]

pub mod clock;
pub mod faults;

pub mod iam;
pub mod s3;

pub mod sqs;

pub mod sns;

pub mod cloudformation;

pub mod event_source;
pub mod lambda;

pub mod segment;

pub mod installation;

pub mod evidence;
pub mod seeds;

#[cfg(feature = "explorer")]
pub mod explorer;

mod dice;
mod serve;

pub use clock::Clock;
