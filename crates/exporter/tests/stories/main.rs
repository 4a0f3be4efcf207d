//! Stories of the exporter: the real [`exporter::App`] and the real clients, against stand-ins.
#![allow(clippy::unwrap_used)]

mod basics;
mod explorer;
mod gateway;
mod kills;
mod manifests;
mod model;
mod readers;
mod seeds;
mod troubles;
mod validating;
mod waiting;
mod world;
