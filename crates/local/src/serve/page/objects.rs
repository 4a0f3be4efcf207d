//! Objects of any bucket: their first lines, and their bytes.

use super::html::{download as link, text};
use super::{Answer, Parameters, Refusal, Shared, parameter, view as answer};
use crate::check::{bytes_in_words, pretty};
use crate::serve::system::System;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use flate2::read::GzDecoder;
use futures_util::stream;
use protocol::upload::Version;
use std::io::{BufRead, BufReader, Read as _};

/// Lines that are shown, and bytes that are read for them.
const LINES_MAX: usize = 20;
const BYTES_MAX: u64 = 1 << 20;

/// The bytes of an object, as they come from S3.
pub(super) async fn download(State(system): Shared, parameters: Parameters) -> Answer {
    let (bucket, key) = (parameter(&parameters, "bucket")?, parameter(&parameters, "key")?);
    let object = system.s3.object(bucket, key).ok_or_else(missing)?;
    let opened = system.bucket(bucket).open(key, &Version::Latest, object.size.max(1)).await;
    let opened = opened.map_err(|fault| Refusal::new(StatusCode::BAD_GATEWAY, fault.to_string()))?;
    let chunks = stream::unfold(opened.body, |mut body| async { body.next().await.map(|chunk| (chunk, body)) });
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, opened.pin.bytes.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", name_of(key))),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn missing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such object")
}

fn name_of(key: &str) -> String {
    super::html::value(key.rsplit('/').next().unwrap_or(key))
}

/// The first lines of a log object.
pub(super) async fn lines(State(system): Shared, headers: HeaderMap, parameters: Parameters) -> Answer {
    let is_raw = parameters.get("raw").is_some_and(|raw| raw == "1");
    let (bucket, key) = (parameter(&parameters, "bucket")?, parameter(&parameters, "key")?);
    let (size, lines) = first_lines(&system, bucket, key).ok_or_else(missing)?;
    let one = |line: &String| {
        let json = if is_raw { line.clone() } else { pretty(line) };
        format!("<pre{}>{}</pre>", if is_raw { " class=\"raw\"" } else { "" }, text(&json))
    };
    let other = format!(
        "/exports/lines?bucket={}&key={}&raw={}",
        super::html::value(bucket),
        super::html::value(key),
        u8::from(!is_raw)
    );
    let content = format!(
        "<h1>The first lines</h1><p><a href=\"/exports\">Exports</a> · <a href=\"{}\">{}</a> · {}, {}</p>\
         <p><code class=\"uri\">s3://{}/{}</code></p>{}",
        text(&other),
        if is_raw { "pretty" } else { "raw" },
        link(bucket, key, "download"),
        bytes_in_words(size),
        text(bucket),
        text(key),
        lines.iter().map(one).collect::<String>()
    );
    Ok(answer(&headers, &system, "Exports", || content))
}

fn first_lines(system: &System, bucket: &str, key: &str) -> Option<(u64, Vec<String>)> {
    let bytes = system.s3.bytes(bucket, key)?;
    let text = BufReader::new(GzDecoder::new(bytes.as_ref()).take(BYTES_MAX));
    Some((bytes.len() as u64, text.lines().map_while(Result::ok).take(LINES_MAX).collect()))
}

/// The lines of a log object; `None` if it is none.
pub(super) fn count_lines(bytes: &[u8]) -> Option<u64> {
    let mut text = BufReader::with_capacity(64 * 1024, GzDecoder::new(bytes));
    let mut lines = 0;
    loop {
        let chunk = text.fill_buf().ok()?;
        if chunk.is_empty() {
            return Some(lines);
        }
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = chunk.len();
        text.consume(length);
    }
}
