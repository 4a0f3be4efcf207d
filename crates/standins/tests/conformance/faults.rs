//! Each fault does what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use standins::faults::{Fault, Gate, Rule};
use standins::s3::Server;

use crate::support::{bytes, client, direct, refusal, text};

async fn server(rule: Rule) -> (Server, aws_sdk_s3::Client) {
    let server = Server::memory().with_bucket("state").start().await.unwrap();
    server.faults().add(rule);
    let s3 = client(&server.url(), &server.credentials());
    (server, s3)
}

#[tokio::test]
async fn errors_before_and_after_differ_in_the_effect() {
    for (fault, expected) in [
        (Fault::InternalError, (500, "InternalError")),
        (Fault::SlowDown, (503, "SlowDown")),
        (Fault::Conflict, (409, "ConditionalRequestConflict")),
        (Fault::Reset, (0, "no answer")),
        (Fault::status(460).into(), (460, "")),
    ] {
        for applied in [false, true] {
            let rule = Rule::on("PutObject").times(1);
            let rule = if applied { rule.after(fault.clone()) } else { rule.before(fault.clone()) };
            let (server, s3) = server(rule).await;
            let put = || s3.put_object().bucket("state").key("k").body(bytes("x"));
            let (status, code) = refusal(put().send().await.unwrap_err());
            assert_eq!((status, code.as_str()), expected);
            assert_eq!(server.object("state", "k").is_some(), applied, "{fault:?}");
            let log = server.requests().of("PutObject");
            assert_eq!(log[0].status, (status > 0).then_some(status));
            assert_eq!(log[0].faults, [fault.name()]);
            put().send().await.unwrap();
            assert_eq!(server.faults().strikes().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_gateways_page_is_a_200_in_html() {
    for applied in [false, true] {
        let rule = Rule::any().times(1);
        let page = Fault::gateway_page();
        let (server, s3) = server(if applied { rule.after(page) } else { rule.before(page) }).await;
        let put = s3.put_object().bucket("state").key("k").body(bytes("x")).send().await.unwrap();
        assert_eq!((put.e_tag, put.version_id), (None, None), "a put seems to have succeeded");
        assert_eq!(server.object("state", "k").is_some(), applied);
        server.faults().add(Rule::any().times(3).before(Fault::gateway_page()));
        let got = s3.get_object().bucket("state").key("k").send().await.unwrap();
        assert_eq!((got.e_tag, got.content_type.as_deref()), (None, Some("text/html")));
        assert!(text(got.body).await.starts_with("<!DOCTYPE html>"));
        assert_eq!(s3.head_object().bucket("state").key("k").send().await.unwrap().e_tag, None);
        let listed = refusal(s3.list_objects_v2().bucket("state").send().await.unwrap_err());
        assert_eq!(listed, (200, String::new()), "a page is no listing");
        s3.list_objects_v2().bucket("state").send().await.unwrap();
    }
}

#[tokio::test]
async fn a_truncated_put_leaves_no_object() {
    let (server, s3) = server(Rule::on("PutObject").times(1).before(Fault::CutRequest)).await;
    let put = || s3.put_object().bucket("state").key("k").body(bytes(&"x".repeat(4_000_000)));
    assert_eq!(refusal(put().send().await.unwrap_err()).0, 0);
    assert!(server.object("state", "k").is_none());
    put().send().await.unwrap();
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_in_the_body() {
    let (server, s3) = server(Rule::on("GetObject").times(1).after(Fault::CutAnswer(70_000))).await;
    let body = "0123456789".repeat(100_000);
    server.put("state", "k", &body).unwrap();
    let got = s3.get_object().bucket("state").key("k").send().await.unwrap();
    assert_eq!(got.content_length, Some(1_000_000));
    let mut stream = got.body;
    let mut read = 0;
    let error = loop {
        match stream.next().await {
            Some(Ok(chunk)) => read += chunk.len(),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(error.is_some() && read <= 70_000, "{read}");
    let got = s3.get_object().bucket("state").key("k").send().await.unwrap();
    assert_eq!(text(got.body).await, body);
}

#[tokio::test]
async fn rules_keep_to_operation_bucket_and_key() {
    let (server, s3) = server(Rule::on("PutObject").bucket("state").key("ingest/*").before(Fault::SlowDown)).await;
    server.create_bucket("other").unwrap();
    let put = |bucket: &str, key: &str| s3.put_object().bucket(bucket).key(key).body(bytes("x")).send();
    put("state", "exports/head.json").await.unwrap();
    put("other", "ingest/a").await.unwrap();
    put("state", "ingest/a").await.unwrap_err();
    server.put("state", "ingest/b", "x").unwrap();
    s3.get_object().bucket("state").key("ingest/b").send().await.unwrap();
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let mut schedules = Vec::new();
    for seed in [1, 1, 2] {
        let (_server, s3) = server(Rule::any().share(seed, 0.4).chaos()).await;
        let mut schedule = Vec::new();
        for number in 0..40 {
            let put = s3.put_object().bucket("state").key(format!("k{number}")).body(bytes("x"));
            schedule.push(put.send().await.map(|_| ()).map_err(refusal));
        }
        schedules.push(schedule);
    }
    assert_eq!(schedules[0], schedules[1]);
    assert_ne!(schedules[0], schedules[2]);
    let struck = schedules[0].iter().filter(|result| result.is_err()).count();
    assert!((4..30).contains(&struck), "{struck}");
}

#[tokio::test]
async fn a_held_write_is_applied_later_even_if_its_client_is_gone() {
    let gate = Gate::new();
    let (server, s3) = server(Rule::on("PutObject").times(1).before(Fault::Hold(gate.clone()))).await;
    let put = s3.put_object().bucket("state").key("k").body(bytes("delayed"));
    let held = tokio::spawn(put.send());
    gate.reached(1).await;
    assert!(server.object("state", "k").is_none());
    held.abort();
    drop(s3);
    gate.open();
    while server.object("state", "k").is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(server.bytes("state", "k").unwrap(), "delayed");
}

#[tokio::test]
async fn a_held_conditional_write_is_checked_when_it_is_applied() {
    let gate = Gate::new();
    let (server, s3) = server(Rule::on("PutObject").times(1).before(Fault::Hold(gate.clone()))).await;
    let put = |body: &str| s3.put_object().bucket("state").key("k").if_none_match("*").body(bytes(body)).send();
    let held = tokio::spawn(put("late"));
    gate.reached(1).await;
    put("early").await.unwrap();
    gate.open();
    assert_eq!(refusal(held.await.unwrap().unwrap_err()).0, 412);
    assert_eq!(server.bytes("state", "k").unwrap(), "early");
}

#[tokio::test]
async fn an_action_runs_exactly_before_or_after_a_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let act = Fault::act(move |target| {
        assert_eq!((target.operation.as_str(), target.key.as_str()), ("PutObject", "k"));
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let (_server, s3) = server(Rule::on("PutObject").after(act)).await;
    s3.put_object().bucket("state").key("k").body(bytes("x")).send().await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn sts_faults_have_the_form_of_sts() {
    for (fault, expected) in [
        (Fault::InternalError, (500, "InternalFailure")),
        (Fault::SlowDown, (503, "Throttling")),
        (Fault::Reset, (0, "no answer")),
    ] {
        let (server, _) = server(Rule::on("GetCallerIdentity").before(fault)).await;
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .endpoint_url(server.url())
            .region(aws_sdk_sts::config::Region::new("us-east-1"))
            .credentials_provider(crate::support::provider(&server.credentials()))
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .http_client(direct())
            .build();
        let sts = aws_sdk_sts::Client::from_conf(config);
        let (status, code) = refusal(sts.get_caller_identity().send().await.unwrap_err());
        assert_eq!((status, code.as_str()), expected);
    }
}
