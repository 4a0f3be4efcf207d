#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod table;

pub mod kind;

pub mod subject;

pub mod reading;

mod wording;

mod limits;

pub mod dialect;

mod inflate;

mod text;

pub mod spelling;

mod quoting;

mod rows;

pub mod columns;

pub mod profile;

pub mod translator;

mod ids;

mod timestamps;

mod json;

mod decimals;

pub mod mapping;

pub mod call;

mod flaw;

pub mod refusal;

pub mod rejects;

pub mod warnings;

pub mod batches;

pub mod pipeline;

pub mod pace;

pub mod verdicts;
