#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod keys;
mod recent;
mod request;
mod router;

pub use keys::{Keys, KeysFault};
pub use recent::{Recent, Seen};
pub use router::{Keeping, Receiver, router};
