#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod deliver;
mod lookup;
mod settings;
mod write_key;

pub use deliver::{Delivery, Stats};
pub use lookup::Looked;
pub use settings::{Region, Settings};
pub use write_key::WriteKey;
