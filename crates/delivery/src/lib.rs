#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod settings;

mod write_key;

mod key;

mod deliver;

mod lookup;

pub use deliver::{Delivery, Encoded, Stats};
pub use lookup::Looked;
pub use settings::{Region, Settings};
pub use write_key::WriteKey;
