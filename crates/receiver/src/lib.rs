#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]
// The futures of the router are nested more deeply than the default limit.
#![recursion_limit = "256"]

mod settings;

mod keyring;

mod router;

mod routes;

mod answer;

mod receive;

mod keeper;

mod counts;

mod recent;

pub mod lambda;

pub mod server;

pub use receive::Receiver;
pub use recent::{Recent, Seen};
pub use router::router;
pub use settings::{Settings, Unknown};
