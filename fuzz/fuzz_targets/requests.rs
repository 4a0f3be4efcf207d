//! Any bytes → the calls of a request. Each call is in one place, and no line has a write key.
//!
//! The first byte of the input chooses the kind of request, the rest is its body. Seeds: the requests that libraries
//! send (`fuzz/seed.sh`).
#![no_main]

use export::received::Stamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tracking::body::Body;
use tracking::calls::{self, Limits, Received, Sender};
use tracking::kinds::KINDS;
use tracking::{pixel, surrogates, webhook};

const LIMITS: Limits = Limits { body_bytes_max: 524_288, call_bytes_max: 32_768, calls_max: 2_500 };

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let stamp = Stamp::new(1_557_606_747_940, &"source1".parse().expect("an id"));
    let sender = Sender { stamp: &stamp, request: "r", is_client: choice % 2 == 0, ip: Some("::1".to_owned()), user_agent: None };
    let kind = KINDS[usize::from(choice / 8) % KINDS.len()].word;
    let body = match choice % 8 / 2 {
        0 => Body::read(&pixel::body(&String::from_utf8_lossy(bytes))),
        _ => Body::read(bytes),
    };
    let received = match choice % 8 / 2 {
        0 | 1 => calls::single(kind, &body, LIMITS, &sender),
        2 => body.fields().and_then(|fields| calls::batch(&fields, LIMITS, &sender)),
        _ => calls::webhook(&body, Limits::WEBHOOK, &sender),
    };
    if let Ok(received) = received {
        check(&received);
    }
    let _ = webhook::is_signed(bytes, "00", "secret");
    let text = String::from_utf8_lossy(bytes);
    let repaired = surrogates::paired(&text);
    assert_eq!(repaired.len(), text.len());
    if serde_json::from_str::<Value>(&text).is_ok() {
        assert_eq!(repaired, text, "JSON that can be read does not change");
    }
});

fn check(received: &Received) {
    let lines: Vec<_> = received.lines.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), received.events as usize);
    for line in lines {
        let line: Value = serde_json::from_slice(line).expect("a line is JSON");
        assert!(line["messageId"].is_string() && line["timestamp"].is_string() && line["receivedAt"].is_string());
        assert!(line.get("writeKey").is_none() && line.get("write_key").is_none(), "{line}");
    }
    let rejects = received.rejects(0);
    let rejects: Vec<_> = rejects.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(rejects.len(), received.refused.len());
    for line in rejects {
        let raw: &serde_json::value::RawValue = serde_json::from_slice(line).expect("a line is JSON");
        assert!(raw.get().starts_with('{'));
    }
}
