//! The Runtime API, with a function that follows its payload.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use standins::evidence::{Evidence, Journal};
use standins::lambda::{Function, Outcome};
use standins::s3::Server;

fn function() -> Function {
    Function::new("told", env!("CARGO_BIN_EXE_standins-bootstrap")).timeout(Duration::from_secs(30))
}

#[tokio::test]
async fn a_function_answers_and_is_used_again() {
    let lambda = function().env("SECRET", "s3cret").deploy();
    for invocations in 1..=3 {
        let before_ms = now_ms();
        let done = lambda.invoke(&json!({"n": invocations})).await;
        let answer = done.response().unwrap_or_else(|| panic!("{done:?}"));
        assert_eq!(answer["payload"], json!({"n": invocations}));
        assert_eq!(answer["invocations"], invocations);
        assert_eq!(answer["secret"], "s3cret");
        // The environment of the test stays out.
        assert_eq!(answer["home"], "");
        let deadline_ms = answer["deadline_ms"].as_u64().unwrap();
        assert!((before_ms + 30_000..=now_ms() + 30_000).contains(&deadline_ms));
        assert_eq!(done.log, [format!("working on {{\"n\":{invocations}}}")]);
        assert!(done.memory_peak_bytes.unwrap() > 100_000);
    }
    assert_eq!(lambda.started(), 1);
}

#[tokio::test]
async fn evidence_has_the_objects_the_requests_and_the_log() {
    let journal = Journal::default();
    let s3 = Server::memory().with_bucket("b").start().await.unwrap();
    for (key, text) in [("in/a.csv", "1"), ("in", "2"), ("../x//", "3")] {
        s3.put("b", key, text).unwrap();
    }
    function().journal(&journal).deploy().invoke(&json!("seen")).await;
    let folder = tempfile::tempdir().unwrap();
    let evidence = Evidence::in_folder(folder.path()).unwrap();
    evidence.s3(&s3).unwrap();
    evidence.journal(&journal).unwrap();
    let text = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    let objects = ["buckets/b/in%2Fa.csv", "buckets/b/in", "buckets/b/%2E%2E/x/%/%"].map(text);
    assert_eq!(objects, ["1", "2", "3"]);
    assert_eq!(text("s3-requests.txt"), "");
    let log = text("functions.log");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines[0].starts_with("told: invocation ") && lines[0].ends_with("begins with \"seen\""), "{log}");
    assert!(lines[1].starts_with("told[") && lines[1].ends_with("]: working on \"seen\""), "{log}");
    assert!(lines[2].contains(" ends with Response("), "{log}");
}

#[tokio::test]
async fn an_error_is_an_outcome_and_the_process_lives_on() {
    let lambda = function().deploy();
    let failed = lambda.invoke(&json!("error")).await;
    let expected = Outcome::Error { kind: String::from("Told"), message: String::from("told to fail") };
    assert_eq!(failed.outcome, expected);
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
    assert_eq!(lambda.started(), 1);
}

#[tokio::test]
async fn an_answer_of_more_than_six_megabytes_is_an_error() {
    let lambda = function().deploy();
    let most = lambda.invoke(&json!("large 6291556")).await;
    assert_eq!(most.response().and_then(|text| text.as_str()).map(str::len), Some(6_291_554));
    let more = lambda.invoke(&json!("large 6291557")).await;
    let Outcome::Error { kind, message } = &more.outcome else { panic!("{:?}", more.log) };
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    assert!(message.contains("6291556 bytes"), "{message}");
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
}

#[tokio::test]
async fn an_answer_to_an_unknown_invocation_is_refused() {
    let lambda = function().deploy();
    let done = lambda.invoke(&json!("stranger")).await;
    let answer = done.response().unwrap_or_else(|| panic!("{done:?}"));
    assert!(answer["status"].as_str().unwrap().starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(answer["body"]["errorType"], "InvalidRequestID");
}

#[tokio::test]
async fn a_crash_is_an_outcome_and_the_next_invocation_starts_a_new_process() {
    let lambda = function().deploy();
    let crashed = lambda.invoke(&json!("crash")).await;
    assert_eq!(crashed.outcome, Outcome::Crashed { status: Some(3), signal: None });
    assert_eq!(crashed.log, ["working on \"crash\""]);
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
    assert_eq!(lambda.started(), 2);
}

#[tokio::test]
async fn a_function_that_overruns_is_killed() {
    let lambda = function().timeout(Duration::from_millis(200)).deploy();
    let late = lambda.invoke(&json!("hang")).await;
    assert_eq!(late.outcome, Outcome::TimedOut);
    lambda.set_timeout(Duration::from_secs(30));
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
    assert_eq!(lambda.started(), 2);
}

#[tokio::test]
async fn a_function_can_be_killed_at_any_moment() {
    let lambda = function().deploy();
    let running = tokio::spawn({
        let lambda = lambda.clone();
        async move { lambda.invoke(&json!("hang")).await }
    });
    while lambda.pids().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lambda.kill();
    let killed = running.await.unwrap();
    assert_eq!(killed.outcome, Outcome::Crashed { status: None, signal: Some(9) });
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
}

#[tokio::test]
async fn asynchronous_invocations_are_tried_three_times() {
    let lambda = function().deploy();
    let attempts = lambda.invoke_event(&json!("error")).await;
    assert_eq!(attempts.len(), 3);
    let attempts = lambda.invoke_event(&json!("fine")).await;
    assert_eq!(attempts.len(), 1);
}

#[tokio::test]
async fn a_function_that_cannot_start_says_so() {
    let lambda = function().env("FAKE_INIT", "error").deploy();
    let failed = lambda.invoke(&json!({})).await;
    let expected = Outcome::Error { kind: String::from("Init"), message: String::from("no settings") };
    assert_eq!(failed.outcome, expected);
    let lambda = function().env("FAKE_INIT", "crash").deploy();
    let crashed = lambda.invoke(&json!({})).await;
    assert_eq!(crashed.outcome, Outcome::Crashed { status: Some(7), signal: None });
    let missing = Function::new("missing", "/no/such/bootstrap").deploy();
    assert!(matches!(missing.invoke(&json!({})).await.outcome, Outcome::Error { .. }));
}

#[tokio::test]
async fn concurrency_is_the_number_of_processes() {
    for concurrency in [1, 3] {
        let lambda = function().concurrency(concurrency).deploy();
        let runs = (0..6).map(|_| {
            let lambda = lambda.clone();
            tokio::spawn(async move { lambda.invoke(&json!("hang")).await })
        });
        let runs: Vec<_> = runs.collect();
        let mut most = 0;
        while runs.iter().any(|run| !run.is_finished()) {
            let alive = lambda.pids().len();
            most = most.max(alive);
            // All that may run do; make room for the rest.
            if alive == concurrency {
                lambda.kill();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(most, concurrency);
    }
}

#[tokio::test]
async fn no_process_outlives_its_function() {
    let lambda = function().deploy();
    assert!(lambda.invoke(&json!("fine")).await.succeeded());
    let pid = lambda.pids()[0];
    drop(lambda);
    let stat = format!("/proc/{pid}/stat");
    // Gone, or a zombie that tokio has yet to reap.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
