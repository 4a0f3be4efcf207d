//! The protocol of checkpoint, fragments and export, every interleaving of it in small scope.
//!
//! Two owners race for a file of two rows; each may be killed at any step and come back. Every lease seems to be over
//! at any time, which is the worst case of wrong clocks. A write may take effect at once, lose its answer, or arrive
//! any time later. An exporter reads all the time. Each row is followed by a refused row, which goes into a part that
//! grows with the commits. The production functions decide claims, commits and which rows count. This file models the
//! rest.
//!
//! `crates/ingester/src/explorer.rs` explores the real driver of two owners, with its real requests and documents, but
//! within bounds on switches and faults. This model has any number of switches, and a crashed owner comes back.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, and a figure for a person")]

use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, Ending, Phase, RejectsPart};
use protocol::claim::{Claim, Claimant, claim};
use protocol::committed::{Committed, CommittedRange};
use protocol::id::{Epoch, Nonce};
use protocol::position::{ByteRange, Position};
use protocol::upload::Identity;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

const ROWS: u8 = 2;
/// How often each of the owners may begin.
const LIVES: [u8; 2] = [2, 1];
/// How often a write is tried.
const TRIES: u8 = 2;
/// How many writes may be under way unseen.
const DELAYED_MAX: usize = 1;

/// The protections of owners from each other, and the protocol without one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fences {
    All,
    /// Checkpoints are put whatever is there.
    BlindPut,
    /// A fragment counts whosever epoch covers it.
    EpochIgnored,
    /// A fragment is written after the checkpoint that counts it.
    FragmentAfterCheckpoint,
    /// A grown rejects part is put in the place of the shorter one.
    PartOverwritten,
}

/// Names a checkpoint document, and is its ETag: no two have the same nonce.
type Document = usize;

/// `(epoch, from, to)`.
type Fragment = (Epoch, u8, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Away,
    /// Sends a write.
    Writing {
        expected: Option<Document>,
        wanted: Document,
        tries: u8,
    },
    /// Has no answer.
    Unsure {
        expected: Option<Document>,
        wanted: Document,
        tries: u8,
    },
    /// Owns the file. The number of rows settled beyond the checkpoint; `sent` if the next row is acknowledged.
    Owning {
        held: Document,
        settled: u8,
        sent: bool,
        owed: Option<Fragment>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    life: u8,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Delayed {
    Swap { expected: Option<Document>, wanted: Document },
    Create(Fragment),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    checkpoint: Option<Document>,
    fragments: BTreeSet<Fragment>,
    exported: BTreeSet<Fragment>,
    /// The rows under the name of each rejects part.
    parts: BTreeMap<String, Vec<u8>>,
    acknowledged: BTreeSet<u8>,
    delayed: Vec<Delayed>,
    owners: [Owner; 2],
    /// Who committed in which epoch: the owner, in which of its lives.
    committed: BTreeSet<(Epoch, [u8; 2])>,
}

struct Model {
    fences: Fences,
    object: Identity,
    documents: Vec<Checkpoint>,
    known: HashMap<Vec<u8>, Document>,
    /// Which fragments count, as far as it was asked already.
    counted: RefCell<HashMap<(Document, Fragment), bool>>,
}

impl Model {
    fn new(fences: Fences) -> Self {
        let object = Identity {
            source_id: "s".parse().unwrap(),
            bucket: "b".into(),
            key: "track_1.csv".into(),
            version_id: None,
            etag: "e".into(),
            modified_ms: 0,
            bytes: ROWS.into(),
            replay: None,
            mapping: None,
        };
        Self { fences, object, documents: Vec::new(), known: HashMap::new(), counted: RefCell::default() }
    }

    fn document(&mut self, checkpoint: Checkpoint) -> Document {
        let json = checkpoint.to_json();
        *self.known.entry(json).or_insert_with(|| {
            self.documents.push(checkpoint);
            self.documents.len() - 1
        })
    }

    /// Visits every reachable state. Returns their number, or the fault of one.
    fn explore(&mut self) -> Result<usize, String> {
        let away = Owner { life: 0, at: At::Away };
        let first = State {
            checkpoint: None,
            fragments: BTreeSet::new(),
            exported: BTreeSet::new(),
            parts: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            delayed: Vec::new(),
            owners: [away.clone(), away],
            committed: BTreeSet::new(),
        };
        let (mut seen, mut open) = (HashSet::from([first.clone()]), vec![first]);
        while let Some(state) = open.pop() {
            self.check(&state)?;
            for next in self.successors(&state) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        Ok(seen.len())
    }

    fn check(&self, state: &State) -> Result<(), String> {
        let Some(document) = state.checkpoint else {
            return if state.exported.is_empty() {
                Ok(())
            } else {
                Err(format!("exported without a checkpoint: {state:?}"))
            };
        };
        let checkpoint = &self.documents[document];
        for row in 0..ROWS {
            let covers = |(_, from, to): &&Fragment| *from <= row && row < *to;
            let counted = |fragment: &&Fragment| covers(fragment) && self.counts(document, **fragment);
            let settled = state.acknowledged.contains(&row) && state.fragments.iter().any(|f| counted(&f));
            if u64::from(row) < checkpoint.position.byte && !settled {
                return Err(format!("row {row} is behind the checkpoint and not settled: {state:?}"));
            }
            if state.exported.iter().filter(covers).count() > 1 {
                return Err(format!("row {row} is exported twice: {state:?}"));
            }
        }
        let held = checkpoint.rejects.iter().map(|part| state.parts.get(&self.name(part)).cloned().unwrap_or_default());
        let rows: Vec<u8> = held.flatten().collect();
        if !rows.iter().copied().eq(0..u8::try_from(checkpoint.position.byte).unwrap()) {
            return Err(format!("rows {rows:?} are in the rejects parts: {state:?}"));
        }
        if let Some(fragment) = state.exported.iter().find(|fragment| !self.is_committed(checkpoint, **fragment)) {
            return Err(format!("{fragment:?} is exported and not committed: {state:?}"));
        }
        let epochs: BTreeSet<Epoch> = state.committed.iter().map(|(epoch, _)| *epoch).collect();
        if epochs.len() < state.committed.len() {
            return Err(format!("two owners committed in one epoch: {state:?}"));
        }
        Ok(())
    }

    /// Whether an exporter takes a fragment, as the protocol decides it.
    fn counts(&self, document: Document, fragment: Fragment) -> bool {
        let counts = || self.ask(&self.documents[document], fragment);
        *self.counted.borrow_mut().entry((document, fragment)).or_insert_with(counts)
    }

    fn ask(&self, checkpoint: &Checkpoint, (epoch, from, to): Fragment) -> bool {
        let stream = self.object.stream();
        let mut committed = Committed::default();
        committed.add_checkpoint(stream, &checkpoint.to_json()).unwrap();
        let name = |epoch: Epoch| {
            let name = format!("received/s/0/file.{stream}.{epoch}.{from}-{to}.1.20.00000000.gz");
            name.parse().unwrap()
        };
        match self.fences {
            Fences::EpochIgnored => checkpoint.committed.iter().any(|range| committed.count(&name(range.epoch))),
            _ => committed.count(&name(epoch)),
        }
    }

    /// Whether that very epoch has committed it.
    fn is_committed(&self, checkpoint: &Checkpoint, (epoch, from, to): Fragment) -> bool {
        let covers = |committed: &CommittedRange| {
            let ByteRange { from: first, to: end } = committed.range;
            committed.epoch == epoch && first <= from.into() && u64::from(to) <= end
        };
        checkpoint.committed.iter().any(covers)
    }

    fn successors(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for owner in 0..2 {
            self.steps_of(state, owner, &mut next);
        }
        for (at, delayed) in state.delayed.iter().enumerate() {
            let mut arrived = state.clone();
            arrived.delayed.remove(at);
            match delayed {
                Delayed::Swap { expected, wanted } => {
                    self.swap(&mut arrived, *expected, *wanted);
                }
                Delayed::Create(fragment) => {
                    arrived.fragments.insert(*fragment);
                }
            }
            next.push(arrived);
        }
        // An exporter that always reads finds everything that a rarer one finds.
        for state in &mut next {
            if let Some(document) = state.checkpoint {
                let counted = state.fragments.iter().filter(|fragment| self.counts(document, **fragment)).copied();
                state.exported = counted.chain(state.exported.iter().copied()).collect();
            }
        }
        next
    }

    /// What S3 does with a conditional put; true when it is carried out.
    fn swap(&self, state: &mut State, expected: Option<Document>, wanted: Document) -> bool {
        if self.fences != Fences::BlindPut && state.checkpoint != expected {
            return false;
        }
        let (before, after) = (expected.map(|document| &self.documents[document]), &self.documents[wanted]);
        let commits = after.position.byte > before.map_or(0, |before| before.position.byte);
        if commits {
            let [owner, life, ..] = after.nonce.bits();
            state.committed.insert((after.epoch, [owner, life]));
        }
        state.checkpoint = Some(wanted);
        true
    }

    fn steps_of(&mut self, state: &State, who: usize, next: &mut Vec<State>) {
        let owner = state.owners[who].clone();
        let with = |at: At| {
            let mut state = state.clone();
            state.owners[who].at = at;
            state
        };
        let gone = |mut state: State| {
            state.owners[who] = Owner { life: owner.life + 1, at: At::Away };
            state
        };
        if owner.at != At::Away {
            next.push(gone(state.clone()));
        }
        let nonce = |sequence: u64| {
            let mut bits = [0; 16];
            bits[..2].copy_from_slice(&[u8::try_from(who).unwrap(), owner.life]);
            bits[8..].copy_from_slice(&sequence.to_be_bytes());
            Nonce::new(bits)
        };
        match owner.at {
            At::Away if owner.life < LIVES[who] => {
                let found = state.checkpoint.map(|document| self.documents[document].clone());
                let sequence = found.as_ref().map_or(0, |found| found.sequence + 1);
                let now_ms = i64::try_from(sequence).unwrap() * 1_000;
                match claim(
                    found,
                    &self.object,
                    Claimant { nonce: nonce(sequence), now_ms, lease_ms: 1, afresh: protocol::claim::Afresh::No },
                ) {
                    Claim::Begin(wanted) | Claim::TakeOver(wanted) => {
                        let wanted = self.document(*wanted);
                        next.push(with(At::Writing { expected: state.checkpoint, wanted, tries: 1 }));
                    }
                    Claim::Busy { .. } | Claim::Ended(_) => {}
                }
            }
            At::Away => {}
            At::Writing { expected, wanted, tries } => {
                // With its answer, with the answer lost, or later.
                let mut state = with(At::Unsure { expected, wanted, tries });
                if state.delayed.len() < DELAYED_MAX {
                    let mut delayed = state.clone();
                    delayed.delayed.push(Delayed::Swap { expected, wanted });
                    delayed.delayed.sort();
                    next.push(delayed);
                }
                let done = self.swap(&mut state, expected, wanted);
                next.push(state.clone());
                if done {
                    state.owners[who].at = self.owning(wanted, expected);
                    next.push(state);
                }
            }
            At::Unsure { expected, wanted, tries } => {
                let nonce_of = |document: Document| &self.documents[document].nonce;
                if state.checkpoint.is_some_and(|found| nonce_of(found) == nonce_of(wanted)) {
                    next.push(with(self.owning(wanted, expected)));
                } else if state.checkpoint == expected && tries < TRIES {
                    next.push(with(At::Writing { expected, wanted, tries: tries + 1 }));
                }
                // Otherwise it is lost, and the owner goes.
            }
            At::Owning { held, settled, sent, owed } => {
                let checkpoint = self.documents[held].clone();
                let at = u8::try_from(checkpoint.position.byte).unwrap() + settled;
                if let Some(fragment) = owed {
                    let mut state = with(At::Owning { held, settled, sent, owed: None });
                    state.fragments.insert(fragment);
                    next.push(state);
                    return;
                }
                if sent {
                    let fragment = (checkpoint.epoch, at, at + 1);
                    let mut state = with(At::Owning { held, settled: settled + 1, sent: false, owed });
                    if self.fences != Fences::FragmentAfterCheckpoint {
                        if state.delayed.len() < DELAYED_MAX {
                            let mut late = gone(state.clone());
                            late.delayed.push(Delayed::Create(fragment));
                            late.delayed.sort();
                            next.push(late);
                        }
                        state.fragments.insert(fragment);
                    }
                    next.push(state);
                } else if at < ROWS {
                    let mut state = with(At::Owning { held, settled, sent: true, owed });
                    state.acknowledged.insert(at);
                    next.push(state);
                }
                let sequence = checkpoint.sequence + 1;
                if settled > 0 && !sent {
                    let mut wanted = checkpoint.next(nonce(sequence), 0);
                    let account = Account { rows: settled.into(), acknowledged: settled.into(), ..Account::default() };
                    let part = self.grown(&checkpoint, at);
                    wanted.commit(Position { byte: at.into(), line: u64::from(at) + 1 }, &account, Some(part), 0);
                    let wanted = self.document(wanted);
                    let mut state = with(At::Writing { expected: Some(held), wanted, tries: 1 });
                    // Where one is already it stays: it is his own.
                    let rows = (u8::try_from(part.range.from).unwrap()..at).collect();
                    state.parts.entry(self.name(&part)).or_insert(rows);
                    next.push(state);
                } else if at == ROWS && checkpoint.phase == Phase::Running {
                    let ending = Ending {
                        reason: None,
                        code: None,
                        kind: "track".to_owned(),
                        collection: None,
                        columns: Vec::new(),
                        warnings: Vec::new(),
                        rejects: None,
                        at_ms: 0,
                    };
                    let wanted = self.document(checkpoint.end(nonce(sequence), Phase::Finished, ending));
                    next.push(with(At::Writing { expected: Some(held), wanted, tries: 1 }));
                }
            }
        }
    }

    /// The part that is written before a commit up to `at`.
    fn grown(&self, checkpoint: &Checkpoint, at: u8) -> RejectsPart {
        let from = checkpoint.open_part().map_or(checkpoint.position.byte, |part| part.range.from);
        let rows = u64::from(at) - from;
        RejectsPart { epoch: checkpoint.epoch, range: ByteRange { from, to: at.into() }, rows, bytes: rows }
    }

    fn name(&self, part: &RejectsPart) -> String {
        let named = match self.fences {
            Fences::PartOverwritten => {
                let range = ByteRange { to: 0, ..part.range };
                RejectsPart { epoch: Epoch::FIRST, range, ..*part }
            }
            _ => *part,
        };
        named.key(self.object.stream())
    }

    fn owning(&self, held: Document, before: Option<Document>) -> At {
        let position = |document: Document| u8::try_from(self.documents[document].position.byte).unwrap();
        let (from, to) = (before.map_or(0, position), position(held));
        let late = self.fences == Fences::FragmentAfterCheckpoint && from < to;
        let owed = late.then(|| (self.documents[held].epoch, from, to));
        At::Owning { held, settled: 0, sent: false, owed }
    }
}

#[test]
fn in_every_interleaving_committed_rows_are_settled_and_exported_once() {
    let states = Model::new(Fences::All).explore().unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{states} states");
    assert!(states > 10_000, "{states} states are too few to mean anything");
}

#[test]
fn without_compare_and_swap_the_check_fails() {
    let wrong = Model::new(Fences::BlindPut).explore().unwrap_err();
    assert!(wrong.contains("is exported and not committed") || wrong.contains("in one epoch"), "{wrong}");
}

#[test]
fn without_epochs_in_the_names_of_fragments_the_check_fails() {
    let wrong = Model::new(Fences::EpochIgnored).explore().unwrap_err();
    assert!(wrong.contains("is exported"), "{wrong}");
}

#[test]
fn with_rejects_parts_that_keep_their_names_while_they_grow_the_check_fails() {
    let wrong = Model::new(Fences::PartOverwritten).explore().unwrap_err();
    assert!(wrong.contains("in the rejects parts"), "{wrong}");
}

#[test]
fn with_fragments_written_after_the_checkpoint_the_check_fails() {
    let wrong = Model::new(Fences::FragmentAfterCheckpoint).explore().unwrap_err();
    assert!(wrong.contains("is behind the checkpoint and not settled"), "{wrong}");
}
