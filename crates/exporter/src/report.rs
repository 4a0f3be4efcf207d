//! The report of a tick, for a person.

use std::collections::BTreeMap;

use aws::telemetry::{self, Per, metrics};
use protocol::plan::Size;
use serde::Serialize;
use serde_json::json;
use tracing::Level;

/// The account of one tick.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// A summary in one or two sentences.
    pub summary: String,
    /// The configuration in force: its place, and the beginning of its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Problems that a person should check. Empty without problems.
    pub alarms: Vec<String>,
    /// The plans that this tick made.
    pub planned: Planned,
    /// The exported objects, by the destination's name.
    pub destinations: BTreeMap<String, Put>,
    /// Closed plans: all their objects exist, and their fragments are deleted.
    pub plans_closed: u64,
    /// Plans that are still open.
    pub plans_open: u64,
    /// The waiting fragments, by reason.
    pub waiting: Waiting,
    /// Fragments that were damaged or gone, and are left out of their objects: the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<String>,
    /// How many they are.
    #[serde(skip)]
    pub(crate) quarantined_count: u64,
    /// Events that expired, because no destination accepted them for too long.
    #[serde(skip_serializing_if = "is_nothing")]
    pub expired: Size,
    /// Events that never counted and never will: killed runs left them.
    #[serde(skip_serializing_if = "is_nothing")]
    pub discarded: Size,
    /// Events that were discarded, because checkpoint and ledger of their file are gone. Nobody knows whether they counted.
    #[serde(skip_serializing_if = "is_nothing")]
    pub unaccounted: Size,
    /// The age of the oldest event that was not exported when planning began. `None` if nothing was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_unexported_seconds: Option<u64>,
    /// True once planning has ended.
    #[serde(skip)]
    pub(crate) is_planned: bool,
    /// Why the tick ended early. The next tick resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// The plans that a tick made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// How many.
    pub plans: u64,
    /// The size of their contents.
    #[serde(flatten)]
    pub size: Size,
}

/// The objects that were put to a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Put {
    /// The URIs of the first hundred objects.
    pub objects: Vec<String>,
    /// How many objects were put.
    pub objects_put: u64,
    /// How many existed already, because an earlier run put them and did not write the marker.
    pub objects_found: u64,
    /// The events in all of those.
    pub events: u64,
    /// The compressed bytes that were put.
    pub bytes: u64,
    /// Why the destination got no more objects, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// Objects of a destination, or fragments, named in a report at most. A function's answer has 6 MB (Lambda developer
/// guide, "Lambda quotas").
const NAMED_MAX: usize = 100;

/// Alarms in a report at most; the log has them all.
const ALARMS_MAX: usize = 100;

/// The fragments that wait in the state bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Waiting {
    /// They wait for more events, because their objects are not full.
    #[serde(skip_serializing_if = "is_nothing")]
    pub not_full: Size,
    /// They wait for the checkpoint of their file. Fragments of a killed run stay here until they expire.
    #[serde(skip_serializing_if = "is_nothing")]
    pub uncommitted: Size,
    /// They wait for the next tick, because a tick opens a limited number of plans.
    #[serde(skip_serializing_if = "is_nothing")]
    pub later: Size,
    /// They wait because a destination has the maximum number of open plans; by the destination's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub capped: BTreeMap<String, Size>,
    /// They wait until a destination takes their source; by the source's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unrouted: BTreeMap<String, Size>,
}

fn is_nothing(size: &Size) -> bool {
    *size == Size::default()
}

impl Report {
    /// Adds a problem that a person should check.
    pub(crate) fn alarm(&mut self, words: String) {
        tracing::error!(alarm = words, "a person should check the export");
        if self.alarms.len() < ALARMS_MAX && !self.alarms.contains(&words) {
            self.alarms.push(words);
        }
    }

    pub(crate) fn quarantine(&mut self, fragment: String) {
        self.quarantined_count += 1;
        if self.quarantined.len() < NAMED_MAX {
            self.quarantined.push(fragment);
        }
    }

    /// The entry of a destination.
    pub(crate) fn of(&mut self, destination: &str) -> &mut Put {
        self.destinations.entry(destination.to_owned()).or_default()
    }

    /// Writes the summary line and the metrics records.
    pub(crate) fn publish(&self, now_ms: i64) {
        let level = if self.alarms.is_empty() { Level::INFO } else { Level::ERROR };
        let fields = json!({"summary": self.summary, "alarms": self.alarms, "stopped": self.stopped});
        telemetry::summary(level, "exported", fields);
        for (name, put) in &self.destinations {
            let values = [
                (metrics::EXPORTED, json!(put.events)),
                (metrics::LOG_OBJECTS, json!(put.objects_put)),
                (metrics::LOG_BYTES, json!(put.bytes)),
                (metrics::FAILING, json!(u8::from(put.failed.is_some()))),
            ];
            telemetry::emit(now_ms, &[(Per::Destination, name)], &values);
        }
        let unrouted: u64 = self.waiting.unrouted.values().map(|size| size.events).sum();
        let mut values = vec![
            (metrics::OPEN_PLANS, json!(self.plans_open)),
            (metrics::UNROUTED, json!(unrouted)),
            (metrics::EXPIRED, json!(self.expired.events)),
            (metrics::UNACCOUNTED, json!(self.unaccounted.events)),
            (metrics::QUARANTINED, json!(self.quarantined_count)),
            (metrics::ALARMS, json!(self.alarms.len())),
        ];
        values.extend(self.oldest_unexported_seconds.map(|age| (metrics::OLDEST_UNEXPORTED, json!(age))));
        telemetry::emit(now_ms, &[], &values);
    }

    /// Adds the summary.
    pub(crate) fn finish(mut self) -> Report {
        let sum = |what: fn(&Put) -> u64| self.destinations.values().map(what).sum::<u64>();
        let objects = sum(|put| put.objects_put) + sum(|put| put.objects_found);
        let places = self.destinations.values().filter(|put| put.objects_put + put.objects_found > 0).count() as u64;
        let done = match objects {
            0 => "nothing was exported".to_owned(),
            _ => format!(
                "{} with {} in {}",
                count(objects, "object"),
                count(sum(|put| put.events), "event"),
                count(places, "destination")
            ),
        };
        let left = match self.plans_open {
            0 => String::new(),
            1 => "; 1 plan is open".to_owned(),
            open => format!("; {open} plans are open"),
        };
        let alarms = match self.alarms.len() as u64 {
            0 => String::new(),
            alarms => format!("; {}", count(alarms, "alarm")),
        };
        self.summary = format!("{done}{left}{alarms}");
        self
    }
}

impl Put {
    pub(crate) fn add(&mut self, uri: String, events: u64, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => {
                self.objects_put += 1;
                self.bytes += bytes;
            }
            None => self.objects_found += 1,
        }
        self.events += events;
        if self.objects.len() < NAMED_MAX {
            self.objects.push(uri);
        }
    }
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
