//! Stories over the real binaries, on loopback.
#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene has failed")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs a story by hand")]

mod alarms;
mod announcements;
mod answers;
mod backfill;
mod delivery;
mod drills;
mod faults;
mod guide;
mod main_line;
mod mapping;
mod outage;
mod outcomes;
mod payloads;
mod privacy;
mod queue;
mod receiver;
mod resume;
mod rights;
mod runbook;
mod semantics;
mod states;
mod tables;
mod telemetry;
mod template;
mod validate;
mod write_key;
