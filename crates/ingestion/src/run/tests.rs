//! A driver without IO: it performs the steps of a run in any order, with answers by script or by chance.

use super::*;
use calls::pipeline::Threshold;
use calls::subject::Subject;
use calls::translator::Limits;
use proptest::prelude::*;
use protocol::claim::{Afresh, Claim, Claimant, claim};
use protocol::id::Nonce;
use protocol::position::Position;
use protocol::reading::Reading;
use protocol::upload::Identity;
use std::collections::{BTreeMap, BTreeSet};

const NOW_MS: i64 = 1_000_000;

fn checkpoint() -> Checkpoint {
    let object = Identity {
        source_id: "s".parse().unwrap(),
        bucket: "b".into(),
        key: "track_1.csv".into(),
        version_id: None,
        etag: "\"e\"".into(),
        modified_ms: 5,
        bytes: 9,
        replay: None,
        mapping: None,
    };
    let by = Claimant { nonce: Nonce::new([0; 16]), now_ms: NOW_MS, lease_ms: 60_000, afresh: Afresh::No };
    match claim(None, &object, by) {
        Claim::Begin(checkpoint) => *checkpoint,
        other => panic!("{other:?}"),
    }
}

/// A file of this many rows whose user ids are their numbers.
fn file(rows: usize) -> Vec<u8> {
    let mut csv = b"userId,event\n".to_vec();
    (0..rows).for_each(|row| csv.extend_from_slice(format!("u{row},e\n").as_bytes()));
    csv
}

/// Work that was begun and not reported.
enum Work {
    Request { batch: u64, users: Vec<usize> },
    Fragment { fragment: u64, users: Vec<usize> },
    Range { from: u64 },
    Checkpoint(Box<Write>),
}

/// The result of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    Unreachable,
}

/// Segment's answer to a request of these users.
type Answers<'a> = dyn FnMut(&[usize]) -> Answer + 'a;

/// The world around a run.
struct Script<'a> {
    csv: Vec<u8>,
    checkpoint: Checkpoint,
    /// The index of the work that is reported next.
    pick: Box<dyn FnMut(usize) -> usize + 'a>,
    answer: Box<Answers<'a>>,
    /// Users accepted, in fragments, and in committed rejects.
    accepted: BTreeSet<usize>,
    kept: BTreeSet<usize>,
    requests: usize,
    most_at_once: usize,
    commit_every_ms: i64,
    batch_calls_max: usize,
    fragments: usize,
    /// Rows of each commit.
    commits: Vec<u64>,
}

/// The users of a body, by their ids.
fn users(body: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(body).unwrap();
    let of = |part: &str| part.split('"').next().unwrap().parse().unwrap();
    text.split("\"userId\":\"u").skip(1).map(of).collect()
}

/// The users of a batch whose calls were not refused.
fn kept_users(accepted: &Accepted) -> Vec<usize> {
    let refused: Vec<usize> = accepted.refused_calls.iter().map(|refused| refused.call).collect();
    let all = users(&accepted.batch.body);
    (0..all.len()).filter(|call| !refused.contains(call)).map(|call| all[call]).collect()
}

impl<'a> Script<'a> {
    fn new(rows: usize, answer: impl FnMut(&[usize]) -> Answer + 'a) -> Self {
        Self {
            csv: file(rows),
            checkpoint: checkpoint(),
            pick: Box::new(|_| 0),
            answer: Box::new(answer),
            accepted: BTreeSet::new(),
            kept: BTreeSet::new(),
            requests: 0,
            most_at_once: 0,
            commit_every_ms: 0,
            batch_calls_max: usize::MAX,
            fragments: 0,
            commits: Vec::new(),
        }
    }

    fn begin(&self, deadline: Deadline) -> Run {
        self.begin_within(Limits::default(), deadline)
    }

    fn begin_within(&self, limits: Limits, deadline: Deadline) -> Run {
        let subject = Subject::of("track_1.csv", &[], None).unwrap();
        let begin = Begin {
            checkpoint: &self.checkpoint,
            renew_at_ms: NOW_MS + 20_000,
            subject: &subject,
            reading: &Reading::default(),
            profile: true,
            threshold: Threshold { rows: None, share: 1.0 },
            keeps: true,
            requests_in_flight: 4,
            batch_calls_max: self.batch_calls_max,
            commit_every_ms: self.commit_every_ms,
            limits,
            object_bytes: self.csv.len() as u64,
            first: Vec::new(),
            memory_mb: 512,
            deadline,
            now_ms: NOW_MS,
        };
        Run::begin(begin).unwrap()
    }

    fn run(&mut self) -> End {
        let mut run = self.begin(Deadline::of(NOW_MS, NOW_MS + 900_000));
        let (mut work, mut compressed) = (Vec::new(), BTreeMap::new());
        loop {
            match run.next(NOW_MS) {
                Step::Send { batch, body, .. } => work.push(Work::Request { batch, users: users(&body) }),
                Step::Compress(accepted) => {
                    compressed.insert(accepted.batch.number, kept_users(accepted));
                    run.compressed();
                }
                Step::Keep { fragment, batches, .. } => {
                    let kept = batches.iter().flat_map(|accepted| compressed.remove(&accepted.batch.number).unwrap());
                    let kept: Vec<usize> = kept.collect();
                    assert!(batches.iter().all(|accepted| accepted.batch.body.is_empty()), "the JSON is freed");
                    assert!(!kept.is_empty(), "a fragment has events");
                    work.push(Work::Fragment { fragment, users: kept });
                }
                Step::Read { from } => work.push(Work::Range { from }),
                Step::Commit(write) => work.push(Work::Checkpoint(write)),
                Step::Pause => {}
                Step::Wait { .. } => {
                    let next = (self.pick)(work.len());
                    let next = work.remove(next);
                    self.report(&mut run, next);
                }
                Step::Over(end) => return end,
            }
            let requests = work.iter().filter(|work| !matches!(work, Work::Range { .. } | Work::Checkpoint(_))).count();
            self.most_at_once = self.most_at_once.max(requests);
        }
    }

    fn report(&mut self, run: &mut Run, work: Work) {
        match work {
            Work::Request { batch, users } => {
                self.requests += 1;
                let answer = match (self.answer)(&users) {
                    Answer::Accepted => {
                        self.accepted.extend(&users);
                        Ok(Sent::Accepted { staged: false, at_ms: NOW_MS })
                    }
                    Answer::Refused => {
                        let (message, public) = ("no".to_owned(), "api refuses this file".to_owned());
                        Ok(Sent::Refused(RefusedRequest { message, public, too_large: false }))
                    }
                    Answer::Unreachable => Err(Undelivered::Unreachable {
                        host: "api".to_owned(),
                        reason: "503".to_owned(),
                        attempts: 1,
                        elapsed_ms: 1,
                        wait_ms: 1,
                    }),
                };
                run.answered(batch, answer);
            }
            Work::Fragment { fragment, users } => {
                self.fragments += 1;
                assert!(users.iter().all(|user| self.accepted.contains(user)), "a fragment has accepted calls only");
                self.kept.extend(users);
                run.kept(fragment, Ok(()));
            }
            Work::Range { from } => {
                // Short ranges, as from a broken connection.
                let from = usize::try_from(from).unwrap();
                let to = (from + 1 + (self.pick)(5_000)).min(self.csv.len());
                run.read(Ok(vec![Bytes::copy_from_slice(&self.csv[from..to])]));
            }
            Work::Checkpoint(write) => {
                let mut next = self.checkpoint.next(Nonce::new([1; 16]), NOW_MS + 60_000);
                if let (None, Some(header)) = (&next.header, &write.header) {
                    next.keep_header(header, &write.terms);
                }
                next.halving_requests = write.halving_requests;
                if let Some(commit) = write.commit {
                    self.commits.push(commit.account.rows);
                    next.commit(commit.to, &commit.account, None, NOW_MS);
                }
                next.add_profile(write.profile);
                self.checkpoint = next;
                run.committed(Ok((&self.checkpoint, NOW_MS + 20_000)), NOW_MS);
            }
        }
    }
}

#[test]
fn every_good_row_is_accepted_kept_and_committed() {
    let mut script = Script::new(10_000, |_| Answer::Accepted);
    assert_eq!(script.run(), End::Complete);
    let account = &script.checkpoint.account;
    assert_eq!((account.rows, account.acknowledged, account.rejected), (10_000, 10_000, 0));
    assert_eq!((script.accepted.len(), script.kept.len()), (10_000, 10_000));
    assert_eq!(script.checkpoint.position.byte, script.csv.len() as u64);
}

#[test]
fn at_full_speed_a_kill_repeats_at_most_the_rows_of_a_commit_and_the_batches_under_way() {
    let mut script = Script::new(120_000, |_| Answer::Accepted);
    script.commit_every_ms = 60_000;
    // Two full fragments have 48,000 rows.
    script.batch_calls_max = 2_400;
    script.pick = Box::new(|choices| if choices == 5_000 { 4_999 } else { 0 });
    assert_eq!(script.run(), End::Complete);
    let under_way = 4 * script.batch_calls_max as u64;
    let (last, full) = script.commits.split_last().unwrap();
    assert!(full.iter().all(|rows| (COMMIT_ROWS..=COMMIT_ROWS + under_way).contains(rows)), "{full:?}");
    assert_eq!((full.len(), full.iter().sum::<u64>() + last), (2, 120_000));
    // Two full ones and a rest for each commit. The order of the answers may part a rest in two.
    assert!((7..=8).contains(&script.fragments), "{} fragments", script.fragments);
}

#[test]
fn accepted_requests_share_a_fragment_unless_a_commit_is_due() {
    // Ten batches of 2,500 rows, and one more.
    for (commit_every_ms, fragments) in [(60_000, 2), (0, 11)] {
        let mut script = Script::new(27_000, |_| Answer::Accepted);
        script.commit_every_ms = commit_every_ms;
        script.pick = Box::new(|choices| if choices == 5_000 { 4_999 } else { 0 });
        assert_eq!(script.run(), End::Complete);
        assert_eq!((script.fragments, script.kept.len()), (fragments, 27_000));
    }
}

#[test]
fn a_commit_waits_a_fifth_of_its_time_for_a_fragment_that_is_being_written() {
    let mut script = Script::new(6_000, |_| Answer::Accepted);
    script.commit_every_ms = 5_000;
    let mut run = script.begin(Deadline::of(NOW_MS, NOW_MS + 900_000));
    let due_ms = NOW_MS + 5_000;
    // The first batch is settled at once, because the receiver keeps it. The others need a fragment.
    let (mut now_ms, mut answers, mut writing) = (NOW_MS, 0, false);
    loop {
        match run.next(now_ms) {
            Step::Read { .. } => run.read(Ok(vec![Bytes::copy_from_slice(&script.csv[..script.csv.len() - 5])])),
            Step::Send { batch, .. } => {
                answers += 1;
                run.answered(batch, Ok(Sent::Accepted { staged: answers == 1, at_ms: NOW_MS }));
                now_ms = due_ms;
            }
            Step::Compress(_) => run.compressed(),
            Step::Keep { .. } => writing = true,
            Step::Wait { until_ms } => {
                assert!(writing && until_ms == due_ms + 1_000, "{writing} {until_ms}");
                now_ms = until_ms;
            }
            Step::Commit(write) => {
                assert_eq!((now_ms, write.commit.unwrap().account.rows), (due_ms + 1_000, 2_500));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_refused_whole_fails_and_no_row_is_rejected() {
    for rows in [1, 5_000] {
        let mut script = Script::new(rows, |_| Answer::Refused);
        let end = script.run();
        assert!(matches!(end, End::Undelivered(Undelivered::WholeFile { .. })), "{end:?}");
        let Checkpoint { account, position, halving_requests, .. } = &script.checkpoint;
        assert_eq!((account.rows, *position, *halving_requests), (0, Position::START, 0));
        assert!(script.requests < 250 && script.most_at_once <= 4, "{} requests", script.requests);
    }
}

#[test]
fn ten_refused_rows_at_the_beginning_are_rejected_and_the_rest_is_delivered() {
    let mut script =
        Script::new(
            5_000,
            |users| {
                if users.iter().any(|user| *user < 10) { Answer::Refused } else { Answer::Accepted }
            },
        );
    assert_eq!(script.run(), End::Complete);
    let account = &script.checkpoint.account;
    assert_eq!((account.acknowledged, account.rejected), (4_990, 10));
    assert_eq!(script.kept, (10..5_000).collect());
}

#[test]
fn a_deferred_batch_with_only_refused_calls_makes_no_fragment() {
    let mut script =
        Script::new(0, |users| if users.iter().any(|user| *user < 16) { Answer::Refused } else { Answer::Accepted });
    script.csv = b"userId,event,properties.p\n".to_vec();
    // Sixteen calls of this size fill a batch.
    (0..40).for_each(|row| script.csv.extend_from_slice(format!("u{row},e,{}\n", "p".repeat(29_000)).as_bytes()));
    assert_eq!(script.run(), End::Complete);
    let account = &script.checkpoint.account;
    assert_eq!((account.rows, account.rejected, script.kept.len()), (40, 16, 24));
}

#[test]
fn an_outage_leaves_the_settled_rows_committed() {
    let mut requests = 0;
    let mut script = Script::new(10_000, move |_| {
        requests += 1;
        if requests > 2 { Answer::Unreachable } else { Answer::Accepted }
    });
    let end = script.run();
    assert!(matches!(end, End::Undelivered(Undelivered::Unreachable { .. })), "{end:?}");
    let account = &script.checkpoint.account;
    assert!(account.rows > 0 && account.rows < 10_000 && account.closes());
}

#[test]
fn after_the_cut_nothing_new_starts_and_the_run_commits() {
    let script = Script::new(10_000, |_| Answer::Accepted);
    let deadline = Deadline::of(NOW_MS, NOW_MS + 60_000);
    let mut run = script.begin(deadline);
    assert!(matches!(run.next(NOW_MS), Step::Read { from: 0 }));
    run.read(Ok(vec![Bytes::copy_from_slice(&script.csv)]));
    let Step::Send { batch, .. } = run.next(NOW_MS) else { panic!("a request") };
    run.answered(batch, Ok(Sent::Accepted { staged: true, at_ms: NOW_MS }));
    match run.next(deadline.cut_at_ms) {
        Step::Commit(write) => assert!(write.commit.unwrap().account.rows > 0),
        other => panic!("{other:?}"),
    }
    assert!(matches!(run.next(deadline.cut_at_ms), Step::Wait { until_ms } if until_ms == deadline.hand_on_at_ms));
    // A commit without an answer is given up when the rest has to be handed on.
    match run.next(deadline.hand_on_at_ms) {
        Step::Over(End::Uncommitted(trouble)) => assert!(trouble.is_transient()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owner_that_lost_its_file_ends_at_once() {
    let script = Script::new(10, |_| Answer::Accepted);
    let mut run = script.begin(Deadline::of(NOW_MS, NOW_MS + 900_000));
    assert!(matches!(run.next(NOW_MS), Step::Read { .. }));
    let renewal = run.next(NOW_MS + 20_000);
    assert!(matches!(renewal, Step::Commit(_)), "the lease is renewed without a settled row: {renewal:?}");
    run.committed(Err(Trouble::lost()), NOW_MS + 20_000);
    assert!(matches!(run.next(NOW_MS + 20_000), Step::Over(End::Uncommitted(_))));
}

/// A frame of zstd that is this text, then `count` blocks of 128 KiB of one byte each (RFC 8878 §3.1.1).
fn zstd_of(text: &[u8], byte: u8, count: usize) -> Vec<u8> {
    const RUN_BYTES: u32 = 128 * 1024;
    let block = |last: u32, kind: u32, size: u32| (last | kind << 1 | size << 3).to_le_bytes()[..3].to_vec();
    // No content size, no checksum, a window of 128 KiB.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 7 << 3];
    frame.extend(block(0, 0, u32::try_from(text.len()).unwrap()));
    frame.extend(text);
    for at in 1..=count {
        frame.extend(block(u32::from(at == count), 1, RUN_BYTES));
        frame.push(byte);
    }
    frame
}

#[test]
fn a_zstd_file_whose_window_is_too_large_for_the_memory_of_the_function_is_a_fault() {
    let mut script = Script::new(0, |_| Answer::Accepted);
    script.csv = zstd_of(b"userId,event\nu1,e\n", b'\n', 1);
    // Its window is 128 KiB, an eighth of 1 MiB.
    let end = |window: u64| {
        let limits = Limits { zstd_window_bytes: window, ..Limits::default() };
        let mut run = script.begin_within(limits, Deadline::of(NOW_MS, NOW_MS + 900_000));
        loop {
            match run.next(NOW_MS) {
                Step::Read { .. } => run.read(Ok(vec![Bytes::copy_from_slice(&script.csv)])),
                Step::Send { .. } => return None,
                Step::Over(end) => return Some(end),
                Step::Commit(_) => run.committed(Ok((&script.checkpoint, i64::MAX)), NOW_MS),
                _ => {}
            }
        }
    };
    assert_eq!(end(128 << 10), None);
    let Some(End::Fault(fault)) = end((128 << 10) - 1) else { panic!("the frame is not read") };
    assert!(fault.message.contains("an eighth of the function's memory"), "{fault}");
    assert_eq!([512, 128].map(|memory_mb| compressed::zstd_window_bytes(memory_mb) >> 20), [64, 16]);
}

#[test]
fn a_file_that_inflates_without_rows_keeps_its_lease_and_its_deadline_and_ends_with_a_fault() {
    let mut script = Script::new(0, |_| Answer::Accepted);
    script.csv = zstd_of(b"userId,event\nu1,e\n", b'\n', 200);
    assert!(script.csv.len() < 1_000);
    let limits = Limits { pause_bytes: 1 << 20, rowless_bytes: 16 << 20, ..Limits::default() };
    // Each look at the clock finds it ten seconds later.
    let play = |ends_at_ms: i64| {
        let mut run = script.begin_within(limits, Deadline::of(NOW_MS, ends_at_ms));
        let (mut now_ms, mut pauses, mut commits) = (NOW_MS, 0, 0);
        let end = loop {
            now_ms += 10_000;
            match run.next(now_ms) {
                Step::Read { .. } => run.read(Ok(vec![Bytes::copy_from_slice(&script.csv)])),
                Step::Send { batch, .. } => run.answered(batch, Ok(Sent::Accepted { staged: true, at_ms: now_ms })),
                Step::Commit(_) => {
                    commits += 1;
                    run.committed(Ok((&script.checkpoint, now_ms + 20_000)), now_ms);
                }
                Step::Pause => pauses += 1,
                Step::Over(end) => break end,
                other => panic!("{other:?}"),
            }
        };
        (end, pauses, commits)
    };
    let (end, pauses, commits) = play(NOW_MS + 900_000);
    let End::Fault(fault) = end else { panic!("{end:?}") };
    assert_eq!(fault.code.as_str(), "no_rows");
    assert!(pauses > 5 && commits > 5 && pauses + commits < 20, "{pauses} pauses, {commits} commits");
    let (end, pauses, commits) = play(NOW_MS + 60_000);
    assert_eq!(end, End::Undelivered(Undelivered::Deadline));
    assert!(pauses + commits < 10, "{pauses} pauses, {commits} commits");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the order of reports, each row is accepted and kept, or rejected; or the file fails as a whole.
    #[test]
    fn each_row_ends_in_one_place(
        rows in 1_usize..6_000,
        bad in prop::collection::btree_set(0_usize..6_000, 0..30),
        order in any::<u64>(),
    ) {
        let mut state = order;
        let dice = move |sides: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % sides.max(1)
        };
        let refused = bad.clone();
        let mut script = Script::new(rows, move |users| {
            if users.iter().any(|user| refused.contains(user)) { Answer::Refused } else { Answer::Accepted }
        });
        script.pick = Box::new(dice);
        let end = script.run();
        let account = &script.checkpoint.account;
        let bad_rows = bad.iter().filter(|row| **row < rows).count();
        if bad_rows == rows {
            prop_assert!(matches!(end, End::Undelivered(Undelivered::WholeFile { .. })), "every row is refused");
            prop_assert_eq!(account.rows, 0);
        } else {
            prop_assert_eq!(end, End::Complete);
            prop_assert_eq!((account.rows, account.rejected), (rows as u64, bad_rows as u64));
            prop_assert!(account.closes());
            prop_assert_eq!(script.kept.len(), rows - bad_rows);
        }
    }
}
