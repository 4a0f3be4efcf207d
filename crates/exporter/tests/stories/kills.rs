//! The exporter's binary, killed by SIGKILL at any request. The next invocation resumes.

use std::time::Duration;

use serde_json::json;
use standins::faults::{Fault, Rule};
use standins::lambda::{Function, Outcome};

use crate::world::{STATE, World, destination};

/// Many runs. The n-th is killed at its n-th request: alternately before and after its effect.
const LIVES: u64 = 48;

#[tokio::test]
async fn the_next_invocation_resumes_after_a_kill_at_any_request() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    let exporter = Function::new("exporter", env!("CARGO_BIN_EXE_exporter"))
        .envs(world.s3.env())
        .env("STATE_BUCKET", STATE)
        .env("CONFIG", destination("d0", "logs-a", &["*"]) + &destination("d1", "logs-b", &["*"]))
        .timeout(Duration::from_secs(60))
        .deploy();
    let mut kills = 0;
    for life in 0..LIVES {
        for request in 0..4 {
            let events = if request % 2 == 0 { 100 } else { 2 };
            world.receive(&format!("source{request}"), &format!("r{life}-{request}"), events);
        }
        let victim = exporter.clone();
        let kill = Fault::act(move |_| victim.kill());
        let rule = Rule::any().skip(life).times(1);
        world.s3.faults().add(if life % 2 == 0 { rule.before(kill) } else { rule.after(kill) });
        let invocation = exporter.invoke(&json!({})).await;
        kills += usize::from(matches!(invocation.outcome, Outcome::Crashed { signal: Some(9), .. }));
        world.s3.faults().clear();
    }
    assert!(kills > 30, "only {kills} of {LIVES} lives were cut short");
    let invocation = exporter.invoke(&json!({})).await;
    let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
    assert_eq!(report["alarms"], json!([]), "{report:#}");
    for bucket in ["logs-a", "logs-b"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}

#[tokio::test]
async fn two_binaries_at_once_export_each_event_once() {
    let mut world = World::with(&["logs-a", "logs-b"]).await;
    world.s3.faults().add(Rule::any().share(1, 0.3).before(Fault::Slow(Duration::from_millis(5))));
    let routes = destination("d0", "logs-a", &["*"]) + &destination("d1", "logs-b", &["*"]);
    let deployed = || {
        let exporter = Function::new("exporter", env!("CARGO_BIN_EXE_exporter")).envs(world.s3.env());
        exporter.env("STATE_BUCKET", STATE).env("CONFIG", &routes).timeout(Duration::from_secs(60)).deploy()
    };
    let (one, other) = (deployed(), deployed());
    for round in 0..3 {
        for request in 0..6 {
            world.receive(&format!("source{}", request % 3), &format!("r{round}-{request}"), 80);
        }
        let (tick, payload) = (json!({}), json!({}));
        let (one, other) = tokio::join!(one.invoke(&tick), other.invoke(&payload));
        for invocation in [one, other] {
            let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
            assert_eq!(report["alarms"], json!([]), "{report:#}");
        }
    }
    let invocation = one.invoke(&json!({})).await;
    assert!(invocation.response().is_some(), "{invocation:#?}");
    for bucket in ["logs-a", "logs-b"] {
        world.assert_complete(bucket);
    }
    world.assert_settled();
}
