//! Write keys of a configuration in S3.

use crate::api::{Api, STATE, call};
use aws::Clock;
use serde_json::json;
use standins::faults::{Fault, Rule};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const MINUTE_MS: i64 = 60_000;

fn document(key: &str) -> String {
    format!("[[source]]\nname = \"shop\"\nid = \"source3\"\nwrite_key = \"{key}\"\n")
}

async fn send(api: &Api, key: &str) -> u16 {
    api.send("/v1/batch", json!({"writeKey": key, "batch": [call("1")]})).await.status
}

#[tokio::test]
async fn a_configuration_in_s3_is_read_again_every_minute_and_a_fault_keeps_the_keys_that_there_are() {
    let now_ms = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now_ms);
    let uri = format!("s3://{STATE}/segment-s3.toml");
    let api = Api::at(&[("CONFIG", &uri)], Clock::from_fn(move || clock.load(Ordering::SeqCst))).await;
    // Without a document no key is known for certain, so libraries send again.
    assert_eq!(send(&api, "first").await, 503);
    let minute = || now_ms.fetch_add(MINUTE_MS, Ordering::SeqCst);
    api.s3.put(STATE, "segment-s3.toml", document("first")).unwrap();
    assert_eq!((send(&api, "first").await, send(&api, "second").await), (200, 400));
    api.s3.put(STATE, "segment-s3.toml", document("second")).unwrap();
    assert_eq!(send(&api, "second").await, 400, "not read again yet");
    minute();
    assert_eq!((send(&api, "first").await, send(&api, "second").await), (400, 200));
    for fault in [Fault::status(403), Fault::status(404)] {
        minute();
        api.s3.faults().add(Rule::on("GetObject").before(fault));
        assert_eq!(send(&api, "second").await, 200);
        api.s3.faults().clear();
    }
    minute();
    api.s3.put(STATE, "segment-s3.toml", "no document").unwrap();
    assert_eq!(send(&api, "second").await, 200);
}
