#![doc = include_str!("../README.md")]

pub mod clock;
mod dice;
pub mod faults;
pub mod iam;
pub mod lambda;
pub mod s3;
pub mod segment;
mod serve;
mod sts;

pub use clock::Clock;
