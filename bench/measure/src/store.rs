//! What a run asked of S3.

use serde_json::{Map, Value, json};
use standins::s3::Server;

/// The requests by operation, and the bytes that were put.
pub(crate) fn requests(s3: &Server) -> Value {
    let mut counts = Map::new();
    let mut put_bytes = 0;
    for request in s3.requests().all() {
        let count = counts.entry(request.operation.clone()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
        if request.operation == "PutObject" {
            put_bytes += request.body_bytes;
        }
    }
    json!({"requests": counts, "put_bytes": put_bytes})
}
