//! Counts since the last report.

use aws::telemetry::metrics::{RATE_LIMITED, RECEIVED, REFUSED_CALLS, UNKEPT, UNKNOWN_KEYS};
use aws::telemetry::{Per, emit, summary};
use protocol::id::SourceId;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tracing::Level;
use tracking::calls::Received;

/// The counts of all requests since the last report.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<Period>);

#[derive(Debug, Default)]
struct Period {
    sources: BTreeMap<SourceId, Source>,
    unknown_keys: u64,
    unkept: u64,
}

#[derive(Debug, Default)]
struct Source {
    received: u64,
    refused: BTreeMap<&'static str, u64>,
    rate_limited: u64,
}

impl Counts {
    fn with(&self, change: impl FnOnce(&mut Period)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The calls of a request are kept.
    pub(crate) fn kept(&self, source: &SourceId, events: u32, refused: &[&'static str]) {
        self.with(|period| {
            let counts = period.sources.entry(source.clone()).or_default();
            counts.received += u64::from(events);
            refused.iter().for_each(|code| *counts.refused.entry(code).or_default() += 1);
        });
    }

    pub(crate) fn rate_limited(&self, source: &SourceId) {
        self.with(|period| period.sources.entry(source.clone()).or_default().rate_limited += 1);
    }

    pub(crate) fn unknown_key(&self) {
        self.with(|period| period.unknown_keys += 1);
    }

    pub(crate) fn unkept(&self) {
        self.with(|period| period.unkept += 1);
    }

    /// Emits the metrics, and writes a log line: always, or only if there was trouble. Then all counts are zero.
    pub(crate) fn report(&self, at_ms: i64, only_trouble: bool) {
        let mut period = Period::default();
        self.with(|counts| std::mem::swap(counts, &mut period));
        let Period { sources, unknown_keys, unkept } = period;
        let mut trouble = unknown_keys > 0 || unkept > 0;
        for (id, source) in &sources {
            let refused = source.refused.values().sum::<u64>();
            trouble |= refused > 0 || source.rate_limited > 0;
            let counted = [(RECEIVED, source.received), (REFUSED_CALLS, refused), (RATE_LIMITED, source.rate_limited)];
            let counted: Vec<_> = counted.into_iter().map(|(metric, count)| (metric, json!(count))).collect();
            emit(at_ms, &[(Per::Source, id.as_str())], &counted);
        }
        if unknown_keys > 0 || unkept > 0 {
            emit(at_ms, &[], &[(UNKNOWN_KEYS, json!(unknown_keys)), (UNKEPT, json!(unkept))]);
        }
        let is_quiet = only_trouble || sources.is_empty();
        if is_quiet && !trouble {
            return;
        }
        let of_source = |source: &Source| json!({ "received": source.received, "refused": source.refused, "rate_limited": source.rate_limited });
        let sources: BTreeMap<_, _> = sources.iter().map(|(id, source)| (id.as_str(), of_source(source))).collect();
        let level = if trouble { Level::WARN } else { Level::INFO };
        summary(level, "received", json!({ "sources": sources, "unknown_keys": unknown_keys, "unkept": unkept }));
    }
}

/// The codes of the refused calls of a request.
pub(crate) fn codes(received: &Received) -> Vec<&'static str> {
    received.refused.iter().map(|refused| refused.refusal.code).collect()
}
