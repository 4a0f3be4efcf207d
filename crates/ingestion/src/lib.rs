#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod notification;

pub mod life;

pub mod run;

pub mod refusals;

pub mod deadline;

pub mod announcement;

pub mod rejected_folder;

pub mod prices;

pub mod cost;

pub mod estimate;

pub mod trouble;
