//! Every file, and how it stands.

use super::html::{badge, button, download, heads, prose, text, time, value};
use super::{Answer, Parameters, Refusal, Shared, parameter, view as answer};
use crate::check::{bytes_in_words, duration, pretty};
use crate::serve::files::FileState;
use crate::serve::system::System;
use crate::words::grouped;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use calls::kind::Kind;
use protocol::id::StreamId;
use standins::installation::{SOURCE_BUCKET, STATE_BUCKET};
use std::fmt::Write as _;

/// Beside a file of objects.
const OBJECTS: &str = "objects are acknowledged and shown under Live; this machine keeps none, and no logs have them";

pub(super) async fn view(State(system): Shared, headers: HeaderMap) -> Response {
    answer(&headers, &system, "Files", || content(&system, &system.files.all(&system.s3)))
}

fn content(system: &System, files: &[FileState]) -> String {
    let (waiting, dead) = system.messages();
    let mut out = String::from("<h1>Files</h1>");
    let count = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let _ = write!(out, "<p class=\"sum\">{}", count(files.len(), "file", "files"));
    if waiting > 0 {
        let _ = write!(out, " · {} in the queue", count(waiting, "message", "messages"));
    }
    if dead > 0 {
        let _ = write!(out, " · {} given up after three tries", count(dead, "message", "messages"));
    }
    out.push_str("</p>");
    if dead > 0 {
        out.push_str(&button("/files/redrive", "Try all of these again"));
    }
    if files.is_empty() {
        out.push_str("<p class=\"empty\">No file was dropped yet. <a href=\"/\">Drop one.</a></p>");
        return out;
    }
    out.push_str("<table class=\"cards\">");
    out.push_str(&heads(&["File", "Outcome", "Rows", "Sent", "Rejected", "Size", "Begun", "Took", ""]));
    out.push_str("<tbody>");
    files.iter().for_each(|file| row(&mut out, file));
    out.push_str("</tbody></table>");
    out
}

fn row(out: &mut String, file: &FileState) {
    let tone = tone(file);
    let by = [
        file.mapping.as_ref().map(|mapping| format!("mapping {mapping}")),
        (!file.source.is_empty()).then(|| format!("source {}", file.source)),
        (!file.kind.is_empty()).then(|| file.kind.clone()),
        file.replay.as_ref().map(|tag| format!("replay {tag}")),
    ];
    let by = by.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let (taken, left) = file.seconds();
    let took = match left {
        Some(left) => format!("{} left", duration(left)),
        None if file.has_ended && !file.stream.is_empty() => duration(taken),
        None => String::new(),
    };
    let bar = match file.has_ended || file.stream.is_empty() {
        true => String::new(),
        false => {
            format!("<progress max=\"{}\" value=\"{}\"></progress>", file.bytes, file.settled_bytes.min(file.bytes))
        }
    };
    let number =
        |name: &str, number: u64| format!("<td class=\"number\" data-label=\"{name}\">{}</td>", grouped(number));
    let _ = write!(
        out,
        "<tr><td data-label=\"File\"><span class=\"key\">{}</span><small>{}</small></td>\
         <td data-label=\"Outcome\">{}{bar}</td>{}{}{}\
         <td class=\"number\" data-label=\"Size\">{}</td><td data-label=\"Begun\">{}</td><td class=\"number\" data-label=\"Took\">{took}</td>\
         <td class=\"actions\">{}</td></tr>",
        text(&file.key),
        text(&by),
        badge(tone, &file.outcome),
        number("Rows", file.account.rows),
        number("Sent", file.account.acknowledged),
        number("Rejected", file.account.rejected),
        bytes_in_words(file.bytes),
        time(file.started_ms),
        actions(file)
    );
    let of_objects = (file.kind == Kind::Object.as_str()).then(|| OBJECTS.to_owned());
    let notes = file.reason.iter().chain(&file.warnings).chain(&of_objects);
    let notes: Vec<String> = notes.map(|note| format!("<li>{}</li>", prose(note))).collect();
    if !notes.is_empty() {
        let _ = write!(out, "<tr class=\"notes\"><td colspan=\"9\"><ul>{}</ul></td></tr>", notes.concat());
    }
}

fn tone(file: &FileState) -> &'static str {
    match file.outcome.as_str() {
        "finished" if file.account.rejected > 0 => "careful",
        "finished" => "good",
        "running" | "waiting" | "ignored" => "quiet",
        _ => "bad",
    }
}

fn actions(file: &FileState) -> String {
    let mut out = String::new();
    if let Some(rejects) = &file.rejects {
        out.push_str(&download(STATE_BUCKET, rejects, "rejects"));
    }
    if !file.stream.is_empty() && file.has_ended {
        let _ = write!(out, "<a href=\"/files/ledger/{}\">ledger</a>", text(&file.stream));
        out.push_str(&button(&format!("/files/replay?key={}", value(&file.key)), "Replay"));
    } else if file.has_ended {
        out.push_str(&button(&format!("/files/again?key={}", value(&file.key)), "Try again"));
    }
    out
}

/// The ledger of a file.
pub(super) async fn ledger(State(system): Shared, headers: HeaderMap, Path(stream): Path<String>) -> Answer {
    let key = stream.parse::<StreamId>().ok().map(protocol::keys::ledger);
    let bytes = key.as_ref().and_then(|key| system.s3.bytes(STATE_BUCKET, key));
    let Some((key, bytes)) = key.zip(bytes) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no file of this name has ended"));
    };
    let ledger: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let name = ledger["object"]["key"].as_str().unwrap_or_default();
    let content = format!(
        "<h1>{}</h1><p><a href=\"/files\">Files</a> · {}</p><pre>{}</pre>",
        text(name),
        download(STATE_BUCKET, &key, "download the ledger"),
        text(&pretty(&ledger.to_string()))
    );
    Ok(answer(&headers, &system, "Files", || content))
}

/// Sends a file again with new ids.
pub(super) async fn replay(State(system): Shared, parameters: Parameters) -> Answer {
    let tag = format!("page-{}", system.clock.now_ms());
    send(&system, &parameters, Some(&tag))
}

/// Sends all messages again that were given up.
pub(super) async fn redrive(State(system): Shared) -> Response {
    system.redrive();
    Redirect::to("/files").into_response()
}

/// Sends the message of a file again.
pub(super) async fn again(State(system): Shared, parameters: Parameters) -> Answer {
    send(&system, &parameters, None)
}

fn send(system: &System, parameters: &Parameters, replay: Option<&str>) -> Answer {
    let key = parameter(parameters, "key")?;
    if system.s3.object(SOURCE_BUCKET, key).is_none() {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such file"));
    }
    system.notify(key, replay);
    Ok(Redirect::to("/files").into_response())
}
