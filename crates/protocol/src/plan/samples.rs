//! Plans for the tests of plans and of heads.

use super::*;
use crate::fragment::Origin;
use crate::id::Day;

pub(crate) fn staged(source: &str, number: u64, raw_bytes: u64) -> Staged {
    let name = FragmentName {
        source: source.parse().unwrap(),
        day: Day::of(0),
        origin: Origin::Request { id: format!("r{number}").parse().unwrap() },
        events: 1,
        raw_bytes,
        crc32: 0,
    };
    Staged { name, bytes: raw_bytes / 5 + 23 }
}

pub(crate) fn unfit(fragment: usize) -> Quarantined {
    Quarantined { fragment, why: "damaged".into() }
}

/// A plan that puts objects of these ranges of its fragments to each of the destinations.
pub(crate) fn plan(destinations: &[&str], fragments: Vec<Staged>, objects: &[(usize, usize)]) -> Plan {
    let objects: Vec<_> =
        objects.iter().map(|(from, to)| PlannedObject { from: *from, to: *to, rewrite: false }).collect();
    let destination = |name: &&str| PlannedDestination {
        name: (*name).to_owned(),
        bucket: format!("bucket-{name}"),
        prefix: String::new(),
        expected_bucket_owner: None,
        layout: Layout::Segment,
        abandoned: None,
        objects: objects.clone(),
    };
    Plan {
        format: format::PLAN.newest,
        nonce: Nonce::new([1; 16]),
        revision: 0,
        created_ms: 0,
        version: "0.1.0".to_owned(),
        purpose: if destinations.is_empty() { Purpose::Expire } else { Purpose::Export },
        unaccounted: false,
        destinations: destinations.iter().map(destination).collect(),
        fragments,
        quarantined: Vec::new(),
    }
}
