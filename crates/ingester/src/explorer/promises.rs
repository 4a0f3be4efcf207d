//! The promises: some hold at each moment, some in the end.

use super::world::{CSV, NOTES, REFUSED, STATE, World};
use crate::{FileReport, Outcome};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request, Response};
use protocol::checkpoint::{Checkpoint, Phase, RejectsPart};
use protocol::committed::Committed;
use protocol::fragment::{FragmentName, Origin};
use protocol::keys;
use protocol::ledger::Ledger;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;

/// Which objects count.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    /// A fragment counts if any epoch has committed its range.
    pub(super) are_epochs_ignored: bool,
    /// The name of a rejects part.
    pub(super) renamed: Option<fn(&str) -> String>,
}

/// A row of the file: its event, and where it ends.
struct Row {
    event: &'static str,
    to: u64,
}

fn rows() -> Vec<Row> {
    let mut to = 0;
    let line = |line: &'static str| {
        to += line.len() as u64;
        Row { event: line.split(',').next().unwrap(), to }
    };
    CSV.split_inclusive('\n').map(line).skip(1).collect()
}

/// Checks each document when it is written.
pub(super) fn watch(world: &World, rules: Rules, request: &Request<Bytes>, answer: &Response<Bytes>) {
    if request.method() != Method::PUT || !answer.status().is_success() {
        return;
    }
    let path = request.uri().path();
    let text = || std::str::from_utf8(request.body()).unwrap();
    if path.ends_with("/checkpoint.json") {
        assert_checkpoint(world, rules, &Checkpoint::from_json(request.body()).unwrap());
    } else if path.ends_with("/ledger.json") {
        let checkpoint = Checkpoint::from_json(&document(world, "/checkpoint.json")).unwrap();
        assert!(checkpoint.phase.is_terminal(), "the ledger is written before the file has ended");
        assert_ledger(world, &Ledger::from_json(request.body()).unwrap());
        world.note("the ledger", text());
    } else if path.contains("/segment-s3-state/rejects/") {
        world.note("the rejects file", text());
    }
}

/// All rows behind a checkpoint are settled, and its owner is alone in its epoch.
fn assert_checkpoint(world: &World, rules: Rules, checkpoint: &Checkpoint) {
    let position = |noted: String| noted.parse::<u64>().unwrap();
    let (before, now) = (world.noted("position").map_or(0, position), checkpoint.position.byte);
    assert!(before <= now, "the checkpoint went back from byte {before} to {now}");
    if before < now {
        world.s3.put(NOTES, "position", now.to_string()).unwrap();
    }
    if checkpoint.committed.last().is_some_and(|last| last.epoch == checkpoint.epoch) {
        // A nonce begins with the seed of its owner.
        let owner = &checkpoint.nonce.to_string()[..16];
        world.note(&format!("the owner who commits in epoch {}", checkpoint.epoch), owner);
    }
    assert_settled(world, rules, checkpoint);
}

/// Each row behind the checkpoint is in one place, and no other row is anywhere.
fn assert_settled(world: &World, rules: Rules, checkpoint: &Checkpoint) {
    let exported = exported(world, rules, checkpoint);
    let refused = refused(world, rules, checkpoint);
    let is_accepted = |event: &str| {
        let requests = world.s3.keys(NOTES, "accepted ");
        requests.iter().any(|request| request.split(' ').skip(1).any(|accepted| accepted == event))
    };
    for Row { event, to } in rows() {
        let is_settled = to <= checkpoint.position.byte;
        let is_refused = REFUSED.contains(&event);
        let times = |places: &BTreeMap<String, usize>| places.get(event).copied().unwrap_or(0);
        let wanted = |is_there| usize::from(is_settled && is_there);
        assert_eq!(times(&exported), wanted(!is_refused), "how often row {event} is exported");
        assert_eq!(times(&refused), wanted(is_refused), "how often row {event} is in the rejects parts");
        assert!(!is_settled || is_refused || is_accepted(event), "Segment has not accepted row {event}");
    }
}

/// How often each row is in a fragment that counts.
fn exported(world: &World, rules: Rules, checkpoint: &Checkpoint) -> BTreeMap<String, usize> {
    let mut committed = Committed::default();
    committed.add_checkpoint(checkpoint.object.stream(), &checkpoint.to_json()).unwrap();
    let counts = |name: &FragmentName| {
        let of_epoch = |epoch| {
            let Origin::File { stream, range, .. } = name.origin.clone() else { return false };
            committed.count(&FragmentName { origin: Origin::File { stream, epoch, range }, ..name.clone() })
        };
        committed.count(name)
            || rules.are_epochs_ignored && checkpoint.committed.iter().any(|range| of_epoch(range.epoch))
    };
    let mut times = BTreeMap::new();
    for key in world.s3.keys(STATE, keys::RECEIVED).iter().filter(|key| counts(&key.parse().unwrap())) {
        let mut lines = String::new();
        GzDecoder::new(&world.s3.bytes(STATE, key).unwrap()[..]).read_to_string(&mut lines).unwrap();
        for line in lines.lines() {
            let call: Value = serde_json::from_str(line).unwrap();
            *times.entry(call["event"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    times
}

/// How often each row is in a rejects part that counts.
fn refused(world: &World, rules: Rules, checkpoint: &Checkpoint) -> BTreeMap<String, usize> {
    let bytes = |part: &RejectsPart| {
        let key = part.key(checkpoint.object.stream());
        let key = rules.renamed.map_or(key.clone(), |renamed| renamed(&key));
        world.s3.bytes(STATE, &key).unwrap_or_else(|| panic!("{key} is missing"))
    };
    let mut times = BTreeMap::new();
    checkpoint.rejects.iter().for_each(|part| count_rows(&bytes(part), &mut times));
    times
}

fn count_rows(csv: &[u8], times: &mut BTreeMap<String, usize>) {
    for line in std::str::from_utf8(csv).unwrap().lines().skip(1) {
        *times.entry(line.split(',').next().unwrap().to_owned()).or_default() += 1;
    }
}

/// The one document of this name.
fn document(world: &World, name: &str) -> Bytes {
    let key = world.s3.keys(STATE, keys::INGEST).into_iter().find(|key| key.ends_with(name));
    world.s3.bytes(STATE, &key.unwrap_or_else(|| panic!("{name} is missing"))).unwrap()
}

/// The rejects file that the ledger names is there, and has each refused row once.
fn assert_ledger(world: &World, ledger: &Ledger) {
    let rejects = ledger.rejects.as_ref().unwrap_or_else(|| panic!("the ledger names no rejects file"));
    let rejects =
        world.s3.bytes(STATE, rejects).unwrap_or_else(|| panic!("the ledger names {rejects}, which is missing"));
    let mut times = BTreeMap::new();
    count_rows(&rejects, &mut times);
    assert_eq!(times, REFUSED.map(|event| (event.to_owned(), 1)).into(), "rows in the rejects file");
}

/// A message is done, so its file has ended. No other message continues it.
pub(super) fn assert_ended(world: &World) {
    let checkpoint = Checkpoint::from_json(&document(world, "/checkpoint.json")).unwrap();
    assert!(checkpoint.phase.is_terminal(), "a message is done although its file has not ended");
}

/// The undisturbed owner has finished the file: each row is in one place, and the account says so.
pub(super) fn assert_finished(world: &World, rules: Rules, report: &FileReport, is_done: bool) {
    assert!(is_done, "the last run: {}", report.in_words());
    assert!(matches!(report.outcome, Outcome::Finished | Outcome::AlreadyDone), "the last run: {}", report.in_words());
    let checkpoint = Checkpoint::from_json(&document(world, "/checkpoint.json")).unwrap();
    assert_eq!((checkpoint.phase, checkpoint.position.byte), (Phase::Finished, CSV.len() as u64));
    assert_settled(world, rules, &checkpoint);
    let ledger = Ledger::from_json(&document(world, "/ledger.json")).unwrap();
    assert_ledger(world, &ledger);
    assert_eq!(ledger.committed, checkpoint.committed, "the committed ranges of the ledger");
    let account = &ledger.account;
    assert_eq!((account.rows, account.acknowledged, account.rejected), (5, 3, 2), "the account");
}
