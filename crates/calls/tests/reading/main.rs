//! What files become: the walkthrough's own, a corpus of the ones people really have, and the laws
//! that hold for any bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cells;
mod corpus;
mod headers;
mod laws;
mod limits;
mod mappings;
mod profile;
mod rejects;
mod support;
mod tables;
mod walkthrough;
