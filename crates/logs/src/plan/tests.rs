use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fragment::Origin;
use crate::received::Day;
use crate::routes::{Destination, Routes, Sources};

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
        kms_key_arn: None,
        acl: None,
        expected_bucket_owner: None,
        sources,
        batch_bytes_max,
        enabled: true,
    }
}

fn routes(destinations: Vec<Destination>) -> Routes {
    Routes { destinations, sources: Vec::new() }
}

fn expiring(staged: Staged) -> Draft {
    Draft::giving_up(Purpose::Expire, &[staged], &Limits::default()).remove(0)
}

fn unfit(fragment: usize) -> Quarantined {
    Quarantined { fragment, why: "damaged".into() }
}

fn sign(draft: Draft) -> Plan {
    draft.sign(Nonce::new([1; 16]), 0, "0.1.0")
}

const SMALL: Limits = Limits { fragments_max: 5, raw_bytes_max: 300 };

proptest! {
    /// Planning loses nothing and doubles nothing: every fragment whose source somebody takes is
    /// in one plan, and there in one object of each destination that takes it, within the limits.
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
        staged.sort_by_key(|staged| hash(&staged.name) ^ seed);
        prop_assert_eq!(cut(&staged, &routes, Flush::All, &SMALL), sorted);
    }
}

#[test]
fn a_destination_that_fails_holds_up_nothing_that_does_not_go_there() {
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
fn small_fragments_are_marked_for_compressing_anew() {
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

#[test]
fn a_document_that_breaks_a_law_is_no_plan() {
    let whole = {
        let staged = [staged("a", 0, 1, 10), staged("a", 0, 2, 10), staged("b", 0, 3, 10)];
        let routes = routes(vec![destination("d", &["*"], 15)]);
        sign(cut(&staged, &routes, Flush::All, &Limits::default()).remove(0))
    };
    assert!(Plan::from_json(&whole.to_json()).is_ok());
    let check = |change: fn(&mut Plan), expected: &str| {
        let mut plan = whole.clone();
        change(&mut plan);
        let words = Plan::from_json(&plan.to_json()).unwrap_err().to_string();
        assert!(words.contains(expected), "{words}");
    };
    check(|plan| plan.format = 2, "format 2");
    check(|plan| plan.fragments.clear(), "no fragments");
    check(|plan| plan.purpose = Purpose::Discard, "purpose");
    check(|plan| plan.destinations.clear(), "purpose");
    check(|plan| plan.destinations[0].objects.truncate(2), "each fragment once");
    check(|plan| plan.destinations[0].objects[1].from = 0, "each fragment once");
    check(|plan| plan.destinations[0].objects[2].to = 4, "each fragment once");
    check(|plan| plan.destinations[0].objects = vec![PlannedObject { from: 0, to: 3, rewrite: false }], "mixes");
    check(|plan| *plan = plan.quarantining([unfit(3)]), "does not have");
    assert!(Plan::from_json(b"{}").is_err());
}

#[test]
fn a_plan_holds_what_it_holds() {
    let plan = sign(expiring(staged("a", 0, 1, 10)));
    let mut held = Held::default();
    held.add(&plan.hashes());
    assert!(held.contains(&plan.fragments[0].name));
    assert!(!held.contains(&staged("a", 0, 2, 10).name));
}

#[test]
fn what_is_quarantined_is_left_out_and_the_rest_keeps_its_place() {
    let fragments = vec![staged("a", 0, 1, 100), staged("a", 0, 2, 200), staged("a", 0, 3, 300)];
    let routes = routes(vec![destination("d", &["*"], 1000)]);
    let plan = sign(cut(&fragments, &routes, Flush::All, &Limits::default()).remove(0));
    let object = plan.destinations[0].objects[0];
    let revised = plan.quarantining([unfit(1)]);
    assert_eq!(revised.revision, 1);
    assert_eq!(revised.content(&object).map(|(index, _)| index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(revised.object_bytes(&object), plan.object_bytes(&object) - (fragments[1].bytes - 23));
    assert_eq!(revised.object_size(&object).raw_bytes, 400);
    assert_eq!(revised.size().raw_bytes, 600, "the whole plan still holds it, until it is deleted");
}

#[test]
fn a_destination_is_given_up_once() {
    let routes = routes(vec![destination("x", &["*"], 100), destination("y", &["*"], 100)]);
    let plan = sign(cut(&[staged("a", 0, 1, 10)], &routes, Flush::All, &Limits::default()).remove(0));
    let revised = plan.abandoning(&[0], "told to").unwrap();
    assert_eq!((revised.revision, revised.destinations[0].abandoned.as_deref()), (1, Some("told to")));
    assert_eq!(revised.destinations[1].abandoned, None);
    assert_eq!(revised.abandoning(&[0], "again"), None);
    assert_eq!(plan.abandoning(&[2], "unknown"), None);
}

mod heads {
    use super::*;

    fn plan(number: u8) -> Plan {
        expiring(staged("a", 0, u64::from(number), 10)).sign(Nonce::new([number; 16]), 0, "0.1.0")
    }

    fn nonce(number: u8) -> Nonce {
        Nonce::new([number; 16])
    }

    #[test]
    fn a_plan_opens_is_revised_and_closes() {
        let head = Head::empty().opening(&plan(1), nonce(10)).opening(&plan(2), nonce(11));
        assert_eq!(head.open.iter().map(|open| open.plan).collect::<Vec<_>>(), [nonce(1), nonce(2)]);
        let revised = head.revising(&plan(1).quarantining([unfit(0)]), nonce(12)).unwrap();
        assert_eq!(revised.find(nonce(1)).unwrap().revision, 1);
        let closed = revised.closing(nonce(1), 7, nonce(13)).unwrap();
        assert_eq!(closed.find(nonce(1)), None);
        assert_eq!(closed.sequence, 4);
        assert_eq!(closed.closed, [ClosedPlan { plan: nonce(1), revision: 1, closed_ms: 7 }]);
        assert!(closed.knows(nonce(1)) && closed.knows(nonce(2)) && !closed.knows(nonce(3)));
        assert_eq!(Head::from_json(&closed.to_json()).unwrap(), closed);
    }

    #[test]
    fn what_is_not_open_is_neither_revised_nor_closed() {
        let head = Head::empty().opening(&plan(1), nonce(10));
        assert_eq!(head.closing(nonce(2), 7, nonce(11)), None);
        let twice = plan(1).quarantining([unfit(0)]).quarantining([]);
        assert_eq!(head.revising(&twice, nonce(11)), None, "a revision is not skipped");
        assert_eq!(head.revising(&plan(1), nonce(11)), None, "nor repeated");
    }

    #[test]
    fn a_closed_plan_is_remembered_for_an_hour_and_no_more_than_so_many() {
        let close = |head: Head, number: u8, now_ms| {
            head.opening(&plan(number), nonce(99)).closing(nonce(number), now_ms, nonce(99)).unwrap()
        };
        let head = close(close(Head::empty(), 1, 0), 2, REMEMBERED_MS - 1);
        assert!(head.knows(nonce(1)));
        assert!(!close(head, 3, REMEMBERED_MS).knows(nonce(1)));
        let mut many = close(Head::empty(), 1, 0);
        let closed = many.closed[0];
        many.closed = vec![closed; REMEMBERED_MAX];
        many.closed[0].plan = nonce(7);
        let many = close(many, 2, 0);
        assert_eq!(many.closed.len(), REMEMBERED_MAX);
        assert!(!many.knows(nonce(7)) && many.knows(nonce(1)) && many.knows(nonce(2)));
    }

    /// After a plan was opened and closed the same plans are open, and yet it is another head.
    #[test]
    fn a_head_never_comes_back() {
        let before = Head::empty().opening(&plan(1), nonce(10));
        let after = before.opening(&plan(2), nonce(11)).closing(nonce(2), 7, nonce(12)).unwrap();
        assert_eq!(before.open, after.open);
        assert_ne!(before.to_json(), after.to_json());
        assert!(!before.is(&after));
        let raced = before.opening(&plan(2), nonce(13));
        assert!(!raced.is(&before.opening(&plan(2), nonce(11))), "two writers, two nonces");
    }
}
