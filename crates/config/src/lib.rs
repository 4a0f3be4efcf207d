#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod settings;

pub mod environment;

mod more;

pub mod fault;

mod near;

mod name;

mod at;

mod tree;

mod document;

pub mod reading;

pub mod source;

mod mapping;

mod destination;

mod arn;

#[cfg(feature = "schema")]
pub mod schema;

mod config;

mod ignored;

mod from;

pub use config::{Config, ForKey, NoMatch};
pub use destination::Single;
pub use from::ConfigFrom;
pub use ignored::{IgnoredKeys, OF_TOOLS};
pub use mapping::MappingRule;
