//! What arrived at Segment: counted after the run, so that counting takes nothing from it.

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use standins::segment::{Limits, Server};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

/// The part of a body that is counted.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    batch: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    objects: Vec<&'a RawValue>,
}

/// The part of a call, or of an object, that tells it from others.
#[derive(Deserialize)]
struct Item {
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    id: Option<Value>,
}

/// The calls and objects of all bodies, how many of them differ, and the bodies that Segment would refuse.
pub(crate) fn count(segment: &Server) -> anyhow::Result<Value> {
    let limits = Limits::default();
    let hasher = RandomState::new();
    let (mut arrived, mut distinct, mut over_limit, mut wire_bytes, mut json_bytes) = (0_u64, HashSet::new(), 0, 0, 0);
    let mut requests = 0;
    for delivery in segment.record().deliveries() {
        if delivery.unread.is_empty() {
            continue;
        }
        requests += 1;
        wire_bytes += delivery.wire_bytes;
        let mut inflated = Vec::new();
        let body = if delivery.unread.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(&delivery.unread[..]).read_to_end(&mut inflated)?;
            &inflated[..]
        } else {
            &delivery.unread[..]
        };
        json_bytes += body.len();
        over_limit += u32::from(body.len() > limits.body_bytes_max);
        let body: Body<'_> = serde_json::from_slice(body).context("a body is not JSON")?;
        for item in body.batch.iter().chain(&body.objects) {
            let item: Item = serde_json::from_str(item.get())?;
            arrived += 1;
            distinct.insert(hasher.hash_one((item.message_id, item.id.map(|id| id.to_string()))));
        }
    }
    Ok(json!({
        "requests": requests, "arrived": arrived, "distinct": distinct.len(), "bodies_over_limit": over_limit,
        "wire_bytes": wire_bytes, "json_bytes": json_bytes, "connections": segment.connections(),
    }))
}
