//! Requests that share a put.

use crate::api::{Api, KEY, STATE, call, each};
use aws::Clock;
use serde_json::json;
use standins::faults::{Fault, Gate, Rule};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const NOON_MS: i64 = 1_557_576_000_000;
const DAY_MS: i64 = 86_400_000;

/// Sends one call, for the answer's status.
fn send(sending: &mut JoinSet<u16>, api: &Arc<Api>, key: &'static str, user: String) {
    let api = Arc::clone(api);
    sending.spawn(async move {
        let body = json!({"writeKey": key, "batch": [call(&user)]});
        api.send("/v1/batch", body).await.status
    });
}

/// A gate that each put has to pass.
fn hold(api: &Api) -> Gate {
    let gate = Gate::new();
    api.s3.faults().add(Rule::on("PutObject").before(Fault::Hold(gate.clone())));
    gate
}

#[tokio::test]
async fn requests_that_arrive_during_a_put_share_the_next_one() {
    let api = Arc::new(Api::new().await);
    let (gate, mut sending) = (hold(&api), JoinSet::new());
    send(&mut sending, &api, KEY, "first".to_owned());
    gate.reached(1).await;
    (0..100).for_each(|user| send(&mut sending, &api, KEY, format!("{user}")));
    // The next put does not wait for the first one for ever.
    gate.reached(2).await;
    gate.open();
    assert!(sending.join_all().await.into_iter().all(|status| status == 200));
    let kept = api.kept();
    let ids: BTreeSet<_> = each(&kept, "messageId").into_iter().collect();
    assert_eq!((kept.len(), ids.len()), (101, 101), "each once");
    assert!(api.fragments().len() < 101, "{} puts", api.fragments().len());
}

#[tokio::test]
async fn a_put_that_fails_fails_all_of_its_requests() {
    let api = Arc::new(Api::new().await);
    let (gate, mut sending) = (hold(&api), JoinSet::new());
    let began = Instant::now();
    send(&mut sending, &api, KEY, "first".to_owned());
    gate.reached(1).await;
    (0..20).for_each(|user| send(&mut sending, &api, KEY, format!("{user}")));
    gate.reached(2).await;
    api.s3.faults().clear();
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    api.s3.faults().add(Rule::on("PutObject").before(denied));
    gate.open();
    let statuses = sending.join_all().await;
    // Both groups were at the gate, and a later one, if there was one, was denied. On a machine that stalls, a put that has
    // landed may be tried again and denied.
    let kept: BTreeSet<_> = api.kept().iter().map(|line| line["userId"].to_string()).collect();
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    assert!(accepted == kept.len() || (accepted < kept.len() && began.elapsed() > Duration::from_secs(2)));
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    let api = Arc::new(Api::new().await);
    let denied = Fault::status(403).body("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    api.s3.faults().add(Rule::on("PutObject").before(denied));
    let mut sending = JoinSet::new();
    (0..20).for_each(|user| send(&mut sending, &api, KEY, format!("{user}")));
    assert!(sending.join_all().await.into_iter().all(|status| status == 503));
    assert_eq!(api.s3.keys(STATE, ""), [""; 0]);
}

#[tokio::test]
async fn a_put_has_calls_of_one_source_and_one_day() {
    let now_ms = Arc::new(AtomicI64::new(NOON_MS));
    let clock = Arc::clone(&now_ms);
    let api = Arc::new(Api::at(&[], Clock::from_fn(move || clock.load(Ordering::SeqCst))).await);
    let (gate, mut sending) = (hold(&api), JoinSet::new());
    for day in 0..2 {
        now_ms.store(NOON_MS + day * DAY_MS, Ordering::SeqCst);
        for (key, source) in [(KEY, 1), ("other-key", 2)] {
            send(&mut sending, &api, key, format!("{source}-{day}"));
        }
        // All of this day are at the gate before the next day begins: none waits for a put of another day or source.
        gate.reached(2 * (usize::try_from(day).unwrap() + 1)).await;
    }
    gate.open();
    assert!(sending.join_all().await.into_iter().all(|status| status == 200));
    for key in api.fragments() {
        let [source, day] = key.split('/').skip(1).take(2).collect::<Vec<_>>()[..] else { panic!("{key}") };
        let day = (day.parse::<i64>().unwrap() - NOON_MS / DAY_MS * DAY_MS) / DAY_MS;
        let expected = format!("{}-{day}", source.strip_prefix("source").unwrap());
        assert_eq!(each(&api.lines_of(&key), "userId"), [expected], "{key}");
    }
    assert_eq!(api.fragments().len(), 4);
}
