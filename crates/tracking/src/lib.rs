#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod surrogates;

pub mod body;

pub mod kinds;

mod call;

pub mod calls;

pub mod refusal;

pub mod pixel;

pub mod webhook;

pub mod keys;

pub mod address;

pub mod rate;

pub mod groups;
