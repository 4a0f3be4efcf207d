#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hex_id;

pub mod received;

pub mod fragment;

pub mod staging;

pub mod routes;

pub mod plan;

pub mod object;
