//! Manifests: which log objects a plan put for one source and day, for tools that load only what is new.

use std::collections::BTreeMap;

use protocol::id::{Day, SourceId};
use protocol::ledger::rfc3339;
use protocol::mark::Mark;
use protocol::plan::Plan;
use serde::Serialize;

use crate::object::{date, key_of, manifest_key};

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// 1. It rises if the meaning of a field changes.
    pub format: u32,
    /// The plan.
    pub plan: String,
    /// The source.
    pub source: SourceId,
    /// The received day, as the folder of the objects has it: in ms since the epoch.
    pub received_day: i64,
    /// The same as a date.
    pub day: String,
    /// The objects.
    pub objects: Vec<ManifestObject>,
    /// The events in all of them.
    pub events: u64,
    /// Bytes of all of them, as stored, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When the first event was received, RFC 3339, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_received_at: Option<String>,
    /// When the last event was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_received_at: Option<String>,
}

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestObject {
    /// Its key.
    pub key: String,
    /// Its events.
    pub events: u64,
    /// Its size, as stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When its first event was received, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_received_at: Option<String>,
    /// When its last event was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_received_at: Option<String>,
}

/// The manifests of a plan for one of its destinations: one for each source and day, with its key. `marks` are those of
/// the destination's objects, by their places in the plan. An object without events is left out.
#[must_use]
pub fn manifests(plan: &Plan, destination: usize, marks: &BTreeMap<usize, Mark>) -> Vec<(String, Day, Manifest)> {
    let Some(planned) = plan.destinations.get(destination) else { return Vec::new() };
    let mut of_days: BTreeMap<(&SourceId, Day), Vec<(usize, ManifestObject)>> = BTreeMap::new();
    for (index, object) in planned.objects.iter().enumerate() {
        let size = plan.object_size(object);
        let first = plan.content(object).next().map(|(_, staged)| &staged.name);
        let (Some(name), Some(key)) = (first, key_of(plan, destination, index)) else { continue };
        let mark = marks.get(&index);
        let joined = (!object.rewrite).then(|| plan.object_bytes(object));
        let received_ms = mark.and_then(|mark| mark.received_ms);
        let one = ManifestObject {
            key,
            events: size.events,
            bytes: mark.and_then(|mark| mark.bytes).or(joined),
            first_received_at: received_ms.map(|(first, _)| rfc3339(first)),
            last_received_at: received_ms.map(|(_, last)| rfc3339(last)),
        };
        of_days.entry((&name.source, name.day)).or_default().push((index, one));
    }
    let manifest = |((source, day), objects): ((&SourceId, Day), Vec<(usize, ManifestObject)>)| {
        let objects: Vec<ManifestObject> = objects.into_iter().map(|(_, object)| object).collect();
        let all = |of: fn(&ManifestObject) -> Option<&String>| objects.iter().map(of).collect::<Option<Vec<_>>>();
        let manifest = Manifest {
            format: 1,
            plan: plan.nonce.to_string(),
            source: source.clone(),
            received_day: day.ms(),
            day: date(day),
            events: objects.iter().map(|object| object.events).sum(),
            bytes: objects.iter().map(|object| object.bytes).sum(),
            first_received_at: all(|object| object.first_received_at.as_ref())
                .and_then(|times| times.into_iter().min().cloned()),
            last_received_at: all(|object| object.last_received_at.as_ref())
                .and_then(|times| times.into_iter().max().cloned()),
            objects,
        };
        (manifest_key(&planned.prefix, source, day, &format!("{}.json", plan.nonce)), day, manifest)
    };
    of_days.into_iter().map(manifest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::fragment::{FragmentName, Origin, Staged};
    use protocol::id::Nonce;
    use protocol::plan::{Layout, PlannedDestination, PlannedObject, Quarantined};

    use crate::cut::Draft;

    fn staged(source: &str, number: u8, day_ms: i64) -> Staged {
        let origin = Origin::Request { id: format!("r{number}").parse().unwrap() };
        let (source, day) = (source.parse().unwrap(), Day::of(day_ms));
        let name = FragmentName { source, day, origin, events: 10, raw_bytes: 500, crc32: 0 };
        Staged { name, bytes: 123 }
    }

    fn plan() -> Plan {
        let day_ms = 18_027 * 86_400_000;
        let fragments = vec![
            staged("a", 1, day_ms),
            staged("a", 2, day_ms),
            staged("a", 3, day_ms),
            staged("a", 4, day_ms + 86_400_000),
            staged("b", 5, day_ms),
        ];
        let object = |from, to, rewrite| PlannedObject { from, to, rewrite };
        let destination = PlannedDestination {
            name: "d".into(),
            bucket: "logs".into(),
            prefix: "p".into(),
            expected_bucket_owner: None,
            layout: Layout::Hive,
            abandoned: None,
            objects: vec![object(0, 1, false), object(1, 3, true), object(3, 4, false), object(4, 5, false)],
        };
        let draft = Draft { destinations: vec![destination], fragments, ..Draft::default() };
        draft.sign(Nonce::new([7; 16]), 1_557_606_747_940, "0.2.0")
    }

    fn mark(first_ms: i64, last_ms: i64, bytes: Option<u64>) -> Mark {
        Mark { bytes, received_ms: Some((first_ms, last_ms)), ..Mark::of("k") }
    }

    #[test]
    fn each_source_and_day_of_a_plan_has_a_manifest_that_adds_up() {
        let marks = [(0, mark(5_000, 6_000, None)), (1, mark(1_000, 5_500, Some(70)))].into();
        let all = manifests(&plan(), 0, &marks);
        let nonce = "07".repeat(16);
        let keys: Vec<&str> = all.iter().map(|(key, _, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                format!("p/segment-logs/_manifests/a/1557532800000/{nonce}.json"),
                format!("p/segment-logs/_manifests/a/1557619200000/{nonce}.json"),
                format!("p/segment-logs/_manifests/b/1557532800000/{nonce}.json"),
            ]
        );
        let first = &all[0].2;
        assert_eq!((first.objects.len(), first.events, first.bytes), (2, 30, Some(123 + 70)));
        assert_eq!(first.first_received_at.as_deref(), Some("1970-01-01T00:00:01.000Z"));
        assert_eq!(first.last_received_at.as_deref(), Some("1970-01-01T00:00:06.000Z"));
        assert!(first.objects[0].key.starts_with("p/segment-logs/source=a/day=2019-05-11/"), "{first:?}");
        assert_eq!(all[1].2.first_received_at, None, "its marks do not say it");
    }

    #[test]
    fn unknown_sizes_are_left_out_and_so_are_objects_without_events() {
        let all = manifests(&plan(), 0, &BTreeMap::new());
        assert_eq!((all[0].2.bytes, all[0].2.objects[0].bytes), (None, Some(123)));
        let damaged = plan().quarantining([Quarantined { fragment: 0, why: "damaged".into() }]);
        let all = manifests(&damaged, 0, &BTreeMap::new());
        assert_eq!((all[0].2.objects.len(), all[0].2.events), (1, 20));
    }
}
