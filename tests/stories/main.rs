//! Stories over the real binaries, on loopback.
#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene has failed")]

mod delivery;
mod main_line;
mod payloads;
mod resume;
