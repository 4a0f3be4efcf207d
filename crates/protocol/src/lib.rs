#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod id;

pub mod position;

pub mod upload;

pub mod mapping;

pub mod reading;

pub mod finding;

pub mod profile;

pub mod account;

pub mod checkpoint;

pub mod claim;

pub mod ledger;

pub mod outcome;

pub mod backfill;

pub mod fragment;

pub mod committed;

pub mod place;

pub mod plan;

pub mod mark;

pub mod head;

pub mod keys;

pub mod format;
