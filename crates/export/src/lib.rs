#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod received;

pub mod lines;

mod times;

pub mod fragment;

pub mod routes;

pub mod cut;

pub mod object;

pub mod manifest;
