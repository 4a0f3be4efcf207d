//! When the exporter runs by itself.

use super::system::System;
use clap::ValueEnum;
use std::sync::Arc;
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;
/// Minutes after which full objects are exported, as the template has it.
const FULL_EVERY: i64 = 5;
/// The minute of the hour at which everything is exported, as the template has it.
const ALL_AT: i64 = 40;

/// When the exporter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Schedule {
    /// Everything, every minute
    Minute,
    /// As on AWS: everything at :40, full objects every five minutes
    Hourly,
    /// Never by itself, only by *Export now*
    Never,
}

impl Schedule {
    /// Whether a tick of this minute exports full objects only; `None` if there is no tick.
    fn tick(self, minute: i64) -> Option<bool> {
        match self {
            Schedule::Minute => Some(false),
            Schedule::Hourly if minute % 60 == ALL_AT => Some(false),
            Schedule::Hourly => (minute % FULL_EVERY == 0).then_some(true),
            Schedule::Never => None,
        }
    }
}

/// Runs the exporter by the schedule.
pub(super) async fn run(schedule: Schedule, system: Arc<System>) {
    loop {
        let now_ms = system.clock.now_ms();
        let wait_ms = MINUTE_MS - now_ms.rem_euclid(MINUTE_MS);
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
        // The log of requests is for stories. Here it would only grow.
        system.s3.requests().clear();
        if let Some(is_full) = schedule.tick((now_ms + wait_ms) / MINUTE_MS) {
            system.export(is_full).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporter_runs_every_minute_or_as_on_aws_or_never() {
        let of = |schedule: Schedule| (0..60).filter_map(move |minute| Some((minute, schedule.tick(minute)?)));
        assert_eq!(of(Schedule::Minute).filter(|(_, is_full)| !is_full).count(), 60);
        assert_eq!(of(Schedule::Never).count(), 0);
        let hourly: Vec<_> = of(Schedule::Hourly).collect();
        assert_eq!(hourly.len(), 12);
        assert_eq!(hourly.iter().filter(|(_, is_full)| !is_full).map(|(minute, _)| *minute).collect::<Vec<_>>(), [40]);
    }
}
