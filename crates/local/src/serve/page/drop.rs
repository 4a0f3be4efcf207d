//! Files that are dropped: their mapping, their bytes, their progress.

use super::html::text;
use super::{Answer, Parameters, Refusal, Shared, parameter, view as answer};
use crate::serve::files::FileState;
use crate::serve::system::System;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use standins::installation::SOURCE_BUCKET;
use std::fmt::Write as _;
use std::sync::PoisonError;

/// Bytes of a part. S3 takes no smaller ones (S3 user guide, "Multipart upload limits": 5 MiB, except the last).
const PART_BYTES: usize = 8 << 20;
/// S3 user guide, "Object key naming guidelines".
const KEY_BYTES_MAX: usize = 1_024;

pub(super) async fn view(State(system): Shared, headers: HeaderMap) -> Response {
    answer(&headers, &system, "Drop", || content(&system))
}

fn content(system: &System) -> String {
    let mut options = String::new();
    for mapping in system.documents.lock().unwrap_or_else(PoisonError::into_inner).mappings() {
        let _ = write!(options, "<option>{}</option>", text(&mapping.name));
    }
    format!(
        "<h1>Drop CSV files</h1>\
         <noscript><p class=\"alarms\">To drop files here the page needs JavaScript. Without it, copy them with any tool for \
         S3, as the end of this page shows. The other views can be read without it.</p></noscript>\
         <label class=\"zone\" id=\"zone\"><input type=\"file\" id=\"chosen\" multiple>\
         <strong>Drop CSV files here</strong> <span>or choose them. You see what becomes of them before anything is sent.</span>\
         <small>They go to this machine's own system and nowhere else.</small></label>\
         <div id=\"dropped\"></div>\
         <template id=\"file\"><article class=\"file\"><header><h2></h2>\
         <button type=\"button\" class=\"remove\" aria-label=\"remove this file from the page\">✕</button></header>\
         <label class=\"row\">key in the bucket <input class=\"key\" spellcheck=\"false\"></label>\
         <p class=\"buttons\"><button type=\"button\" class=\"send primary\" disabled>Send to the local system</button></p>\
         <div class=\"progress\" aria-live=\"polite\" hidden><progress max=\"1\" value=\"0\"></progress><p></p></div>\
         <details class=\"mapping\"><summary>Mapping</summary>\
         <p>A mapping says how columns become calls. Without one, names such as <code>track_1.csv</code> and the columns say it.</p>\
         <p class=\"buttons\"><label>take <select class=\"choose\"><option value=\"\">the one of its name, or none</option>{options}\
         </select></label><button type=\"button\" class=\"suggest\">Suggest one</button>\
         <button type=\"button\" class=\"save\">Download it</button></p>\
         <textarea class=\"toml\" rows=\"16\" spellcheck=\"false\" aria-label=\"the mapping as TOML\" \
         placeholder=\"[[mapping]]\"></textarea></details>\
         <div class=\"preview\" aria-live=\"polite\"><p class=\"quiet\">reading…</p></div>\
         </article></template>"
    )
}

/// The text of a mapping, for a file of this key.
pub(super) async fn mapping(State(system): Shared, parameters: Parameters) -> Answer {
    let name = parameter(&parameters, "name")?;
    let documents = system.documents.lock().unwrap_or_else(PoisonError::into_inner);
    match documents.mappings().into_iter().find(|mapping| mapping.name == name) {
        Some(mapping) => Ok(mapping.text.into_response()),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "there is no mapping of this name")),
    }
}

/// Puts a mapping in force, before a file is sent that it reads.
pub(super) async fn map(State(system): Shared, parameters: Parameters, text: String) -> Answer {
    let key = parameter(&parameters, "key")?;
    match system.map(&text, key).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(faults) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, faults.join("\n"))),
    }
}

/// Takes a file: its bytes go to S3 part by part, so that memory does not grow with it.
pub(super) async fn file(State(system): Shared, parameters: Parameters, body: Body) -> Answer {
    let key = parameter(&parameters, "key")?;
    if key.len() > KEY_BYTES_MAX {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "the key is longer than S3 allows"));
    }
    if let Err(error) = put(&system, key, body).await {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, format!("{key} was not uploaded: {error:#}")));
    }
    let version = system.s3.object(SOURCE_BUCKET, key).and_then(|object| object.version_id);
    Ok(json_answer(&json!({ "key": key, "version": version })))
}

async fn put(system: &System, key: &str, body: Body) -> anyhow::Result<()> {
    let mut chunks = body.into_data_stream();
    let (mut part, mut upload) = (BytesMut::new(), None);
    while let Some(chunk) = chunks.next().await {
        part.extend_from_slice(&chunk?);
        if part.len() >= PART_BYTES {
            let begun = match &mut upload {
                Some(begun) => begun,
                none => none.insert(system.source.upload(key, "text/csv").await?),
            };
            begun.part(part.split().freeze()).await?;
        }
    }
    let Some(mut upload) = upload else {
        return Ok(system.source.put(key, part.freeze(), "text/csv").await?);
    };
    if !part.is_empty() {
        upload.part(part.freeze()).await?;
    }
    upload.complete().await?;
    Ok(())
}

/// How a file stands: an entry for each mapping that reads it.
pub(super) async fn progress(State(system): Shared, parameters: Parameters) -> Answer {
    let key = parameter(&parameters, "key")?;
    let version = parameters.get("version").filter(|version| !version.is_empty());
    let files = system.files.all(&system.s3);
    let of_upload =
        files.iter().filter(|file| file.key == key && file.version_id.as_ref() == version && file.replay.is_none());
    Ok(json_answer(&of_upload.map(state).collect::<Value>()))
}

fn state(file: &FileState) -> Value {
    json!({
        "mapping": file.mapping,
        "outcome": file.outcome,
        "reason": file.reason,
        "rows": file.account.rows,
        "acknowledged": file.account.acknowledged,
        "rejected": file.account.rejected,
        "bytes": file.bytes,
        "settled": file.settled_bytes.min(file.bytes),
        "rate": file.rows_per_second(),
        "seconds_left": file.seconds().1,
        "ended": file.has_ended,
        "stream": file.stream,
        "rejects": file.rejects,
    })
}

fn json_answer(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
