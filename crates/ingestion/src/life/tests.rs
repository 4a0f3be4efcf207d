use super::*;
use crate::run::Undelivered;
use calls::refusal::{FaultCode, FileFault};
use protocol::checkpoint::Terms;
use protocol::claim::{Afresh, Claim, Claimant, claim};
use protocol::id::Nonce;
use protocol::mapping::Mapping;
use protocol::position::Position;
use protocol::reading::Reading;

pub(super) const NOW_MS: i64 = 1_000_000_000_000;
pub(super) const HOUR_MS: i64 = 3_600_000;

pub(super) fn rules() -> Rules {
    Rules {
        source_id: "s".parse().unwrap(),
        state_bucket: "state".into(),
        reading: Reading::default(),
        nearest_pattern: None,
        has_queue: true,
    }
}

pub(super) fn notice(key: &str) -> Notice {
    Notice::of("b", key)
}

pub(super) fn found() -> Found {
    Found { version_id: None, etag: "\"e\"".into(), modified_ms: 5, bytes: 9, replay: None, collection: None }
}

pub(super) fn deadline() -> Deadline {
    Deadline::of(NOW_MS, NOW_MS + 900_000)
}

/// The upload that `found` is under `track_1.csv`.
fn upload() -> Identity {
    let (mut life, _) = receive(notice("track_1.csv"), 1);
    match life.on(Event::Opened(found()), NOW_MS) {
        Action::Claim { object, .. } => object,
        other => panic!("{other:?}"),
    }
}

/// Its checkpoint, claimed by a first owner.
pub(super) fn checkpoint() -> Box<Checkpoint> {
    let by = Claimant { nonce: Nonce::new([0; 16]), now_ms: NOW_MS, lease_ms: 10, afresh: Afresh::No };
    match claim(None, &upload(), by) {
        Claim::Begin(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

fn at(byte: u64) -> Box<Checkpoint> {
    Box::new(Checkpoint { position: Position { byte, line: byte + 1 }, ..*checkpoint() })
}

fn continued(position: u64, count: u32) -> Notice {
    let hop = Hop {
        count,
        position,
        stream: Some(upload().stream()),
        trouble_since_ms: None,
        sent_ms: Some(NOW_MS),
        missing: false,
    };
    Notice { hop: Some(hop), ..notice("track_1.csv") }
}

fn receive(notice: Notice, receives: u32) -> (Life, Action) {
    Life::receive(rules(), notice, receives, &deadline(), NOW_MS)
}

/// A message whose file runs, from this checkpoint on.
fn running(notice: Notice, receives: u32, from: Box<Checkpoint>) -> Life {
    let (mut life, mut action) = receive(notice, receives);
    if let Action::LookUp(_) = action {
        action = life.on(Event::LookedUp(Some(from.clone())), NOW_MS);
    }
    assert!(matches!(action, Action::Open(_)), "{action:?}");
    life.on(Event::Opened(found()), NOW_MS);
    let action = life.on(Event::Claimed(from), NOW_MS);
    assert!(matches!(action, Action::Run(_)), "{action:?}");
    life
}

fn run_end(end: End, checkpoint: Box<Checkpoint>) -> Event {
    Event::RunEnded(Box::new(RunEnd {
        end,
        checkpoint,
        columns: Vec::new(),
        warnings: Vec::new(),
        is_untroubled: true,
    }))
}

fn outage() -> Trouble {
    Trouble::new(Remedy::Wait, "S3 is down")
}

fn unreachable(wait_ms: u64) -> End {
    let (host, reason) = ("api".to_owned(), "503".to_owned());
    End::Undelivered(Undelivered::Unreachable { host, reason, attempts: 3, elapsed_ms: 9, wait_ms })
}

#[track_caller]
fn assert_closed(action: &Action, outcome: Outcome, words: &str) {
    let Action::Close(close) = action else { panic!("{action:?}") };
    assert_eq!(close.outcome, outcome, "{close:?}");
    assert!(close.reason.clone().unwrap_or_default().contains(words), "{close:?}");
}

#[test]
fn a_new_file_is_opened_claimed_run_and_ended() {
    let (mut life, action) = receive(notice("track_1.csv"), 1);
    assert_eq!(action, Action::Open(Version::Latest));
    let action = life.on(Event::Opened(found()), NOW_MS);
    assert_eq!(action, Action::Claim { object: upload(), afresh: Afresh::IfFailed });
    let action = life.on(Event::Claimed(checkpoint()), NOW_MS);
    assert!(matches!(action, Action::Run(_)));
    let action = life.on(run_end(End::Complete, at(9)), NOW_MS);
    let Action::End { phase, ending } = action else { panic!("{action:?}") };
    assert_eq!((phase, ending.kind.as_str(), ending.reason), (Phase::Finished, "track", None));
    let ended = Box::new(Checkpoint { phase: Phase::Finished, ..*at(9) });
    assert_eq!(life.on(Event::Ended(ended.clone()), NOW_MS), Action::KeepAccount(ended));
    assert_closed(&life.on(Event::AccountKept { was_there: false }, NOW_MS), Outcome::Finished, "");
}

#[test]
fn a_wrong_name_or_bucket_is_refused_without_a_request() {
    assert_closed(&receive(notice("contacts.csv"), 1).1, Outcome::Refused, "begins with one of identify_");
    let ours = Notice { bucket: "state".into(), ..notice("track_1.csv") };
    assert_closed(&receive(ours, 1).1, Outcome::Refused, "STATE_BUCKET");
}

#[test]
fn a_begun_file_is_continued_although_no_mapping_takes_its_key_any_more() {
    let mapping = Mapping { name: "m".into(), call: "identify".into(), ..Mapping::default() };
    let reading = Reading { mapping: Some(Box::new(mapping)), ..Reading::default() };
    let object = Identity { key: "contacts.csv".into(), mapping: Some("m".into()), ..upload() };
    let terms = Some(Terms { collection: None, reading });
    let begun = Box::new(Checkpoint { object: object.clone(), terms, ..*at(3) });
    let hop = Hop { stream: Some(object.stream()), ..continued(3, 1).hop.unwrap() };
    let named = Notice { mapping: Some("m".into()), hop: Some(hop), ..notice("contacts.csv") };
    let (mut life, action) = receive(named, 1);
    assert_eq!(action, Action::LookUp(object.stream()));
    life.on(Event::LookedUp(Some(begun.clone())), NOW_MS);
    assert_eq!(life.on(Event::Opened(found()), NOW_MS), Action::LookUp(object.stream()));
    let action = life.on(Event::LookedUp(Some(begun.clone())), NOW_MS);
    assert_eq!(action, Action::Claim { object, afresh: Afresh::No });
    let Action::Run(subject) = life.on(Event::Claimed(begun), NOW_MS) else { panic!("it is not continued") };
    assert_eq!((subject.kind.as_str(), subject.name.as_str()), ("identify", "contacts.csv"));
}

#[test]
fn a_begun_version_is_read_before_the_version_of_the_event() {
    let hinted = Notice { version_id: Some("hint".into()), ..notice("track_1.csv") };
    assert_eq!(receive(hinted.clone(), 1).1, Action::Open(Version::Hinted("hint".into())));
    let (mut life, action) = receive(Notice { hop: continued(0, 1).hop, ..hinted }, 1);
    assert_eq!(action, Action::LookUp(upload().stream()));
    let mut begun = checkpoint();
    begun.object.version_id = Some("begun".into());
    assert_eq!(life.on(Event::LookedUp(Some(begun)), NOW_MS), Action::Open(Version::Begun("begun".into())));
}

#[test]
fn a_missing_object_is_looked_for_again_a_minute_later_and_then_reported() {
    let gone = || Event::Failed(Trouble::new(Remedy::Gone, "no such key"));
    let (mut life, _) = receive(notice("track_1.csv"), 1);
    let Action::Send { notice: again, wait_ms: 60_000 } = life.on(gone(), NOW_MS) else { panic!("a second message") };
    assert_closed(&life.on(Event::Sent, NOW_MS), Outcome::Continues, "looked for again");

    let (mut life, action) = receive(again.clone(), 1);
    assert_eq!(action, Action::Open(Version::Latest));
    assert_closed(&life.on(gone(), NOW_MS), Outcome::Missing, "the object does not exist: it was deleted or moved");

    // An outage between the two changes nothing.
    let (mut life, _) = receive(again.clone(), 1);
    let Action::Send { notice: later, .. } = life.on(Event::Failed(outage()), NOW_MS) else { panic!("a wait") };
    let (mut life, _) = receive(later, 1);
    assert_closed(&life.on(gone(), NOW_MS), Outcome::Missing, "");

    // The object has come.
    let (mut life, _) = receive(again, 1);
    assert!(matches!(life.on(Event::Opened(found()), NOW_MS), Action::Claim { .. }));
}

#[test]
fn without_a_queue_a_missing_object_is_reported_at_once() {
    let without = Rules { has_queue: false, ..rules() };
    let (mut life, _) = Life::receive(without, notice("track_1.csv"), 1, &deadline(), NOW_MS);
    let action = life.on(Event::Failed(Trouble::new(Remedy::Gone, "no such key")), NOW_MS);
    assert_closed(&action, Outcome::Missing, "the object does not exist: it was deleted or moved");
}

#[test]
fn a_begun_upload_that_is_gone_ends_as_replaced() {
    let gone = Event::Failed(Trouble::new(Remedy::Gone, "no such key"));
    let other = Event::Opened(Found { etag: "\"other\"".into(), ..found() });
    for event in [gone, other] {
        let (mut life, _) = receive(continued(3, 1), 1);
        life.on(Event::LookedUp(Some(at(3))), NOW_MS);
        let action = life.on(event, NOW_MS);
        assert_eq!(action, Action::Claim { object: upload(), afresh: Afresh::No });
        let action = life.on(Event::Claimed(at(3)), NOW_MS);
        assert!(matches!(action, Action::End { phase: Phase::Replaced, .. }), "{action:?}");
        life.on(Event::Ended(at(3)), NOW_MS);
        assert_closed(&life.on(Event::AccountKept { was_there: false }, NOW_MS), Outcome::Replaced, "its own S3 event");
    }
}

#[test]
fn an_unreadable_version_is_not_mistaken_for_a_deleted_one() {
    let (mut life, _) = receive(continued(3, 1), 1);
    life.on(Event::LookedUp(Some(at(3))), NOW_MS);
    let denied = Trouble::new(Remedy::Person, "AccessDenied");
    assert_closed(&life.on(Event::Failed(denied), NOW_MS), Outcome::Failed, "AccessDenied");
}

#[test]
fn a_file_keeps_the_source_id_under_which_it_was_begun() {
    let renamed = Rules { source_id: "t".parse().unwrap(), ..rules() };
    let (mut life, _) = Life::receive(renamed, continued(3, 1), 1, &deadline(), NOW_MS);
    life.on(Event::LookedUp(Some(at(3))), NOW_MS);
    let action = life.on(Event::Opened(found()), NOW_MS);
    assert_eq!(action, Action::Claim { object: upload(), afresh: Afresh::No });
}

#[test]
fn a_file_that_has_ended_is_not_run_again_and_its_account_is_completed() {
    let (mut life, _) = receive(notice("track_1.csv"), 2);
    life.on(Event::Opened(found()), NOW_MS);
    let ended = Box::new(Checkpoint { phase: Phase::Finished, ..*at(9) });
    assert_eq!(life.on(Event::AlreadyEnded(ended.clone()), NOW_MS), Action::KeepAccount(ended));
    assert_closed(&life.on(Event::AccountKept { was_there: true }, NOW_MS), Outcome::AlreadyDone, "");
}

#[test]
fn the_first_message_that_leaves_the_account_of_an_ended_file_reports_its_end() {
    for (phase, outcome) in
        [(Phase::Finished, Outcome::Finished), (Phase::Stopped, Outcome::Stopped), (Phase::Replaced, Outcome::Replaced)]
    {
        let (mut life, _) = receive(notice("track_1.csv"), 2);
        life.on(Event::Opened(found()), NOW_MS);
        life.on(Event::AlreadyEnded(Box::new(Checkpoint { phase, ..*at(9) })), NOW_MS);
        assert_closed(&life.on(Event::AccountKept { was_there: false }, NOW_MS), outcome, "");
    }
}

#[test]
fn a_busy_file_is_left_alone_and_the_wait_is_not_an_attempt() {
    for (progress_ms, fails) in [(NOW_MS - 12 * HOUR_MS, false), (NOW_MS - 12 * HOUR_MS - 1, true)] {
        let (mut life, _) = receive(continued(3, 7), 3);
        life.on(Event::LookedUp(Some(at(3))), NOW_MS);
        life.on(Event::Opened(found()), NOW_MS);
        let action = life.on(Event::Busy { until_ms: NOW_MS + 40_000, progress_ms }, NOW_MS);
        if fails {
            assert_closed(&action, Outcome::Failed, "no progress for 12 hours");
            continue;
        }
        let Action::Send { notice, wait_ms } = action else { panic!("{action:?}") };
        assert_eq!((notice.hop.unwrap().count, wait_ms), (7, 40_000));
        assert_closed(&life.on(Event::Sent, NOW_MS), Outcome::Continues, "another invocation");
    }
}

#[test]
fn a_message_received_again_after_progress_gets_a_new_message() {
    let (mut life, _) = receive(continued(3, 7), 2);
    life.on(Event::LookedUp(Some(at(5))), NOW_MS);
    life.on(Event::Opened(found()), NOW_MS);
    let action = life.on(Event::Claimed(at(5)), NOW_MS);
    assert!(matches!(action, Action::Release { given_up: false, not_before_ms: 0, .. }), "{action:?}");
    let action = life.on(Event::Released, NOW_MS);
    let Action::Send { notice, wait_ms: 0 } = action else { panic!("{action:?}") };
    let hop = notice.hop.unwrap();
    assert_eq!((hop.position, hop.count), (5, 0));
}

#[test]
fn a_run_with_progress_continues_at_once_and_its_hops_restart() {
    let mut life = running(continued(3, 7), 1, at(3));
    let action = life.on(run_end(End::Undelivered(Undelivered::Deadline), at(5)), NOW_MS);
    assert_eq!(action, Action::Release { trouble_since_ms: None, given_up: false, not_before_ms: NOW_MS });
    let action = life.on(Event::Released, NOW_MS);
    let Action::Send { notice, wait_ms: 0 } = action else { panic!("{action:?}") };
    let hop = notice.hop.unwrap();
    assert_eq!((hop.position, hop.count, hop.trouble_since_ms), (5, 0, None));
}

#[test]
fn an_outage_is_retried_for_twelve_hours() {
    for (since_ms, fails) in [(NOW_MS - 12 * HOUR_MS, false), (NOW_MS - 12 * HOUR_MS - 1, true)] {
        let began = Box::new(Checkpoint { trouble_since_ms: Some(since_ms), ..*at(3) });
        let mut life = running(continued(3, 7), 2, began.clone());
        let action = life.on(run_end(unreachable(300_000), began), NOW_MS);
        let not_before_ms = if fails { 0 } else { NOW_MS + 300_000 };
        let expected = Action::Release { trouble_since_ms: Some(since_ms), given_up: fails, not_before_ms };
        assert_eq!(action, expected);
        match life.on(Event::Released, NOW_MS) {
            Action::Send { notice, wait_ms: 300_000 } if !fails => assert_eq!(notice.hop.unwrap().count, 8),
            action => assert_closed(&action, Outcome::Failed, "no progress for 12 hours"),
        }
    }
}

#[test]
fn a_failure_before_the_rows_is_retried_for_twelve_hours() {
    for (since_ms, fails) in [(NOW_MS - 12 * HOUR_MS, false), (NOW_MS - 12 * HOUR_MS - 1, true)] {
        let mut message = continued(3, 7);
        message.hop.as_mut().unwrap().trouble_since_ms = Some(since_ms);
        let (mut life, _) = receive(message, 2);
        match life.on(Event::Failed(outage()), NOW_MS) {
            Action::Send { notice, wait_ms: 30_000 } if !fails => {
                let hop = notice.hop.unwrap();
                assert_eq!((hop.trouble_since_ms, hop.count), (Some(since_ms), 8));
            }
            action => assert_closed(&action, Outcome::Failed, "no progress for 12 hours"),
        }
    }
}

#[test]
fn two_thousand_invocations_without_progress_fail_the_file() {
    for (count, fails) in [(HOPS_MAX - 1, false), (HOPS_MAX, true)] {
        let mut life = running(continued(3, count), 1, at(3));
        let action = life.on(run_end(unreachable(1), at(3)), NOW_MS);
        assert!(matches!(action, Action::Release { given_up, .. } if given_up == fails), "{action:?}");
        match life.on(Event::Released, NOW_MS) {
            Action::Send { .. } if !fails => {}
            action => assert_closed(&action, Outcome::Failed, "2000 invocations in a row made no progress"),
        }
    }
}

#[test]
fn a_redriven_message_starts_with_new_counts() {
    for (receives, sent_ms, afresh) in
        [(1, NOW_MS - 75 * 60_000 - 1, true), (1, NOW_MS - 75 * 60_000, false), (2, NOW_MS - 13 * HOUR_MS, false)]
    {
        let mut message = continued(3, HOPS_MAX);
        let hop = message.hop.as_mut().unwrap();
        (hop.sent_ms, hop.trouble_since_ms) = (Some(sent_ms), Some(NOW_MS - 13 * HOUR_MS));
        let (mut life, _) = receive(message, receives);
        life.on(Event::LookedUp(Some(at(3))), NOW_MS);
        let action = life.on(Event::Opened(found()), NOW_MS);
        let expected = if afresh { Afresh::Yes } else { Afresh::No };
        assert_eq!(action, Action::Claim { object: upload(), afresh: expected });
        match life.on(Event::Failed(outage()), NOW_MS) {
            Action::Send { notice, .. } if afresh => {
                assert_eq!(notice.hop.map(|hop| (hop.count, hop.trouble_since_ms)), Some((1, Some(NOW_MS))));
            }
            action => assert!(!afresh && matches!(action, Action::Close(_)), "{action:?}"),
        }
    }
}

#[test]
fn a_stream_without_a_checkpoint_is_a_new_file() {
    let renamed = Rules { source_id: "t".parse().unwrap(), ..rules() };
    let (mut life, _) = Life::receive(renamed, continued(0, 1), 1, &deadline(), NOW_MS);
    life.on(Event::LookedUp(None), NOW_MS);
    match life.on(Event::Opened(found()), NOW_MS) {
        Action::Claim { object, .. } => assert_eq!(object.source_id.as_str(), "t"),
        action => panic!("{action:?}"),
    }
}

#[test]
fn an_ended_file_is_done_even_if_its_object_is_gone() {
    let (mut life, _) = receive(continued(9, 1), 1);
    let ended = Box::new(Checkpoint { phase: Phase::Finished, ..*at(9) });
    assert_eq!(life.on(Event::LookedUp(Some(ended.clone())), NOW_MS), Action::KeepAccount(ended));
    assert_closed(&life.on(Event::AccountKept { was_there: true }, NOW_MS), Outcome::AlreadyDone, "");
}

#[test]
fn without_a_queue_waiting_is_a_failure_that_lambda_retries() {
    let (mut life, _) =
        Life::receive(Rules { has_queue: false, ..rules() }, notice("track_1.csv"), 1, &deadline(), NOW_MS);
    assert_closed(&life.on(Event::Failed(outage()), NOW_MS), Outcome::Failed, "S3 is down: the settled rows");
}

#[test]
fn a_successor_that_cannot_be_sent_fails_the_message_and_a_reason_is_said_once() {
    for (sending, words) in [("AccessDenied", "AccessDenied"), ("S3 is down", "for the same reason")] {
        let (mut life, _) = receive(notice("track_1.csv"), 1);
        life.on(Event::Failed(outage()), NOW_MS);
        let action = life.on(Event::Failed(Trouble::new(Remedy::Person, sending)), NOW_MS);
        let words = format!("S3 is down; the message for the rest was not sent: {words}");
        assert_closed(&action, Outcome::Failed, &words);
    }
}

#[test]
fn every_end_of_a_run_has_its_outcome() {
    let fault = FileFault { code: FaultCode::EmptyFile, at: None, message: "it is empty".into() };
    let gone = Trouble::new(Remedy::Gone, "412");
    for (end, phase) in [
        (End::Complete, Phase::Finished),
        (End::Fault(fault), Phase::Stopped),
        (End::Exceeded("too many".into()), Phase::Stopped),
        (End::Unread(gone), Phase::Replaced),
    ] {
        let mut life = running(notice("track_1.csv"), 1, checkpoint());
        let action = life.on(run_end(end, at(9)), NOW_MS);
        assert!(matches!(&action, Action::End { phase: now, .. } if *now == phase), "{action:?}");
    }
    let person = || Trouble::new(Remedy::Person, "AccessDenied");
    let invalid = Undelivered::InvalidKey { host: "api".into(), message: "key".into() };
    let configuration = Undelivered::Configuration { host: "api".into(), message: "key".into() };
    let whole = Undelivered::WholeFile { public: "api refuses this file".into() };
    for (end, waits_ms) in [
        (End::Unanswered, Some(30_000)),
        (End::Unread(outage()), Some(30_000)),
        (End::Unkept(outage()), Some(30_000)),
        (End::Uncommitted(Trouble::lost()), Some(30_000)),
        (End::Undelivered(Undelivered::Paced { wait_ms: 5 }), Some(1_000)),
        (unreachable(7_000_000), Some(900_000)),
        (End::Undelivered(invalid), None),
        (End::Undelivered(configuration), None),
        (End::Undelivered(whole), None),
        (End::Unread(person()), None),
        (End::Unkept(person()), None),
        (End::Uncommitted(person()), None),
        (End::Unresumed("another header".into()), None),
        // The whole invocation was there, nothing was slow, and nothing was settled.
        (End::Undelivered(Undelivered::Deadline), None),
    ] {
        let mut life = running(notice("track_1.csv"), 1, checkpoint());
        let action = life.on(run_end(end.clone(), checkpoint()), NOW_MS);
        assert!(matches!(action, Action::Release { given_up: false, .. }), "{action:?}");
        match (life.on(Event::Released, NOW_MS), waits_ms) {
            (Action::Send { wait_ms, .. }, Some(expected)) => assert_eq!(wait_ms, expected, "{end:?}"),
            (action, None) => assert_closed(&action, Outcome::Failed, ""),
            (action, _) => panic!("{end:?}: {action:?}"),
        }
    }
}

#[test]
fn an_event_that_does_not_fit_fails_loudly() {
    let (mut life, _) = receive(notice("track_1.csv"), 1);
    assert_closed(&life.on(Event::Sent, NOW_MS), Outcome::Failed, "a bug in segment-s3");
}

#[test]
fn the_ledger_of_a_replaced_file_has_its_rejects() {
    let mut life = running(notice("track_1.csv"), 1, checkpoint());
    let mut after = at(5);
    after.rejects.push(serde_json::from_str(r#"{"epoch": 0, "from": 0, "to": 5, "rows": 1, "bytes": 9}"#).unwrap());
    let action = life.on(run_end(End::Complete, after), NOW_MS);
    let Action::End { ending, .. } = action else { panic!("{action:?}") };
    assert_eq!(ending.rejects, None, "without a header no row was refused");
}

#[test]
fn an_object_without_bytes_is_refused_with_a_warning_and_its_content_has_its_own_event() {
    let (mut life, _) = receive(notice("track_1.csv"), 1);
    let action = life.on(Event::Opened(Found { bytes: 0, ..found() }), NOW_MS);
    assert_closed(&action, Outcome::Refused, "it has no bytes");
    let Action::Close(close) = action else { panic!("{action:?}") };
    assert_eq!((close.code.as_deref(), close.is_done()), (Some("empty_file"), true));
}
