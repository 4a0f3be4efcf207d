use std::collections::BTreeMap;

use proptest::prelude::*;

use protocol::fragment::{FragmentName, Origin};
use protocol::id::Day;

use super::*;
use crate::routes::{Destination, Routes, Sources};
use protocol::plan::Layout;

fn staged(source: &str, day: i64, number: u64, raw_bytes: u64) -> Staged {
    let name = FragmentName {
        source: source.parse().unwrap(),
        day: Day::try_from(day * 86_400_000).unwrap(),
        origin: Origin::Request { id: format!("r{number}").parse().unwrap() },
        events: 1,
        raw_bytes,
        crc32: 0,
    };
    Staged { name, bytes: raw_bytes / 5 + 23 }
}

fn destination(name: &str, sources: &[&str], batch_bytes_max: u64) -> Destination {
    let sources = match sources {
        ["*"] => Sources::All,
        ids => Sources::These(ids.iter().map(|id| id.parse().unwrap()).collect()),
    };
    Destination {
        name: name.into(),
        region: "eu-west-1".into(),
        bucket: format!("bucket-{name}"),
        prefix: String::new(),
        role_arn: String::new(),
        external_id: String::new(),
        sse: None,
        kms_key_arn: None,
        storage_class: None,
        acl: None,
        expected_bucket_owner: None,
        sources,
        batch_bytes_max,
        layout: Layout::Segment,
        manifest: false,
        enabled: true,
    }
}

fn routes(destinations: Vec<Destination>) -> Routes {
    Routes { destinations, sources: Vec::new() }
}

fn sign(draft: Draft) -> Plan {
    draft.sign(Nonce::new([1; 16]), 0, "0.1.0")
}

const SMALL: Limits = Limits { fragments_max: 5, raw_bytes_max: 300 };

proptest! {
    /// Planning neither loses nor duplicates a fragment. Each routed fragment is in one plan, and there in one object
    /// of each of its destinations, within the limits.
    #[test]
    fn every_fragment_is_in_one_object_of_each_destination(
        pieces in prop::collection::vec((0usize..4, 0i64..3, 1u64..150), 0..60),
        sizes in prop::collection::vec(20u64..200, 3),
        full in any::<bool>(),
    ) {
        let staged: Vec<Staged> = pieces
            .iter()
            .enumerate()
            .map(|(n, (source, day, raw))| staged(["a", "b", "c", "d"][*source], *day, n as u64, *raw))
            .collect();
        let routes = routes(vec![
            destination("ab", &["a", "b"], sizes[0]),
            destination("bc", &["b", "c"], sizes[1]),
            destination("a", &["a"], sizes[2]),
        ]);
        let flush = if full { Flush::Full } else { Flush::All };
        let mut seen: BTreeMap<(String, FragmentName), usize> = BTreeMap::new();
        let mut planned = std::collections::BTreeSet::new();
        for draft in cut(&staged, &routes, flush, &SMALL) {
            let plan = sign(draft);
            let read = Plan::from_json(&plan.to_json()).unwrap();
            prop_assert_eq!(&read, &plan);
            prop_assert!(plan.fragments.len() <= SMALL.fragments_max);
            for staged in &plan.fragments {
                prop_assert!(planned.insert(staged.name.clone()), "planned twice");
            }
            for wanted in &plan.destinations {
                let taker = routes.named(&wanted.name).unwrap();
                for object in &wanted.objects {
                    let size = plan.object_size(object);
                    prop_assert!(size.raw_bytes <= taker.batch_bytes_max || size.fragments == 1);
                    for (_, staged) in plan.content(object) {
                        *seen.entry((wanted.name.clone(), staged.name.clone())).or_default() += 1;
                    }
                }
            }
        }
        for staged in &staged {
            let takers = routes.taking(&staged.name.source);
            let expected = !full && !takers.is_empty();
            if expected {
                prop_assert!(planned.contains(&staged.name));
            }
            for (index, taker) in routes.destinations.iter().enumerate() {
                let times = seen.get(&(taker.name.clone(), staged.name.clone())).copied().unwrap_or(0);
                let wanted = planned.contains(&staged.name) && takers.contains(&index);
                prop_assert_eq!(times, usize::from(wanted));
            }
        }
    }

    /// A tick for full objects leaves, of every source and day, less than one object.
    #[test]
    fn a_tick_for_full_objects_leaves_less_than_one(
        raws in prop::collection::vec(1u64..100, 0..80),
        max in 50u64..200,
    ) {
        let staged: Vec<Staged> = raws.iter().enumerate().map(|(n, raw)| staged("a", 0, n as u64, *raw)).collect();
        let routes = routes(vec![destination("d", &["*"], max)]);
        let limits = Limits { fragments_max: 1000, raw_bytes_max: 10_000 };
        let drafts = cut(&staged, &routes, Flush::Full, &limits);
        let planned: Vec<&Staged> = drafts.iter().flat_map(|draft| &draft.fragments).collect();
        let left: Vec<&Staged> = staged.iter().filter(|staged| !planned.contains(staged)).collect();
        prop_assert!(left.iter().map(|staged| staged.name.raw_bytes).sum::<u64>() < max);
        for draft in drafts {
            for object in &draft.destinations[0].objects {
                let bytes: u64 = draft.fragments[object.fragments()].iter().map(|staged| staged.name.raw_bytes).sum();
                prop_assert!(bytes + 100 > max, "an object of {bytes} is not full");
            }
        }
    }

    /// The order in which a bucket lists has no say.
    #[test]
    fn the_order_of_the_listing_does_not_matter(raws in prop::collection::vec(1u64..100, 0..30), seed in any::<u64>()) {
        let mut staged: Vec<Staged> = raws.iter().enumerate().map(|(n, raw)| staged("a", 0, n as u64, *raw)).collect();
        let routes = routes(vec![destination("d", &["*"], 150)]);
        let sorted = cut(&staged, &routes, Flush::All, &SMALL);
        staged.sort_by_key(|staged| u64::from(crate::fragment::crc32(staged.name.to_string().as_bytes())) ^ seed);
        prop_assert_eq!(cut(&staged, &routes, Flush::All, &SMALL), sorted);
    }
}

#[test]
fn a_failing_destination_delays_only_its_own_events() {
    let staged = [staged("a", 0, 1, 10), staged("b", 0, 2, 10), staged("c", 0, 3, 10)];
    let routes = routes(vec![destination("x", &["a", "b"], 100), destination("y", &["b", "c"], 100)]);
    let drafts = cut(&staged, &routes, Flush::All, &Limits::default());
    let shape: Vec<(Vec<&str>, usize)> = drafts
        .iter()
        .map(|draft| (draft.destinations.iter().map(|d| d.name.as_str()).collect(), draft.fragments.len()))
        .collect();
    assert_eq!(shape, [(vec!["x"], 1), (vec!["x", "y"], 1), (vec!["y"], 1)]);
}

#[test]
fn sets_of_destinations_take_turns() {
    let staged: Vec<Staged> = (0..30).map(|n| staged(["a", "b"][usize::from(n >= 20)], 0, n, 100)).collect();
    let routes = routes(vec![destination("x", &["a"], 100), destination("y", &["b"], 100)]);
    let drafts = cut(&staged, &routes, Flush::All, &SMALL);
    let order: Vec<&str> = drafts.iter().map(|draft| draft.destinations[0].name.as_str()).collect();
    assert_eq!(order, ["x", "y", "x", "y", "x", "y", "x", "y", "x", "x", "x"]);
}

#[test]
fn a_disabled_destination_takes_nothing_new() {
    let mut off = destination("off", &["*"], 100);
    off.enabled = false;
    assert_eq!(cut(&[staged("a", 0, 1, 10)], &routes(vec![off]), Flush::All, &SMALL), []);
}

#[test]
fn small_fragments_are_marked_for_recompression() {
    let one = |raws: &[u64]| {
        let staged: Vec<Staged> = raws.iter().enumerate().map(|(n, raw)| staged("a", 0, n as u64, *raw)).collect();
        let routes = routes(vec![destination("d", &["*"], 100_000_000)]);
        cut(&staged, &routes, Flush::All, &Limits::default())[0].destinations[0].objects[0].rewrite
    };
    assert!(one(&[200, 300]));
    assert!(one(&[REWRITE_BELOW_BYTES, REWRITE_BELOW_BYTES - 1]));
    assert!(!one(&[REWRITE_BELOW_BYTES, REWRITE_BELOW_BYTES]));
    assert!(!one(&[200]), "there is nothing to gain from one");
}

#[test]
fn five_hundred_megabytes_make_five_objects() {
    let staged: Vec<Staged> = (0..10_000).map(|n| staged("a", 0, n, 50_000)).collect();
    let routes = routes(vec![destination("d", &["*"], crate::routes::BATCH_BYTES_MAX)]);
    let drafts = cut(&staged, &routes, Flush::All, &Limits::default());
    assert_eq!(drafts.len(), 1);
    assert_eq!(drafts[0].destinations[0].objects.len(), 5);
}
