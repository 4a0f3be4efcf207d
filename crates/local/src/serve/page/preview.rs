//! What becomes of a file, before anything is sent.

use super::html::{heads, is_number, prose, text};
use super::{Answer, Parameters, Refusal, Shared, parameter};
use crate::check::{ColumnView, PROFILE_HEADINGS, RefusedView, Sample, Tone, View, bytes_in_words};
use crate::serve::system::System;
use crate::suggest;
use crate::words::grouped;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};
use tokio::task::spawn_blocking;

/// Columns and values that are shown.
const COLUMNS_MAX: usize = 200;
const VALUE_CHARS: usize = 60;

/// Checks the first bytes of a file. The body is the text of a mapping, which may be empty, and behind it the bytes:
/// `mapping` says how many bytes of it are the mapping. `size` is that of the file.
pub(super) async fn preview(State(system): Shared, parameters: Parameters, body: Bytes) -> Answer {
    let key = parameter(&parameters, "key")?.to_owned();
    let number = |name: &str| parameters.get(name).and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    let (mapping, size) = (number("mapping").min(body.len()), number("size"));
    let shown = spawn_blocking(move || {
        let (mapping, bytes) = body.split_at(mapping);
        let sample = Sample { key: &key, bytes, is_whole: bytes.len() >= size };
        content(&system, &sample, &String::from_utf8_lossy(mapping), size)
    });
    match shown.await {
        Ok(Ok(content)) => Ok(Html(content).into_response()),
        Ok(Err(faults)) => {
            let faults: String = faults.iter().map(|fault| format!("<li>{}</li>", prose(fault))).collect();
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(format!("<ul class=\"alarms\">{faults}</ul>"))).into_response())
        }
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the preview has failed")),
    }
}

/// A draft of a mapping.
pub(super) async fn suggest(parameters: Parameters, body: Bytes) -> Answer {
    let key = parameter(&parameters, "key")?;
    let name = key.rsplit('/').next().unwrap_or(key).to_owned();
    match spawn_blocking(move || suggest::of_bytes(&name, &body)).await {
        Ok(Ok(draft)) => Ok(draft.into_response()),
        Ok(Err(error)) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"))),
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no draft was made")),
    }
}

fn content(system: &Arc<System>, sample: &Sample<'_>, mapping: &str, size: usize) -> Result<String, Vec<String>> {
    let (settings, mut config) = {
        let in_force = system.in_force.read().unwrap_or_else(PoisonError::into_inner);
        (in_force.0.ingester.clone(), Arc::clone(&in_force.1))
    };
    if !mapping.trim().is_empty() {
        config = Arc::new(system.with(mapping, sample.key)?);
    }
    let views = sample.views(&settings, &config).map_err(|fault| vec![fault])?;
    let mut out = String::new();
    if !sample.is_whole {
        let (read, all) = (bytes_in_words(sample.bytes.len() as u64), bytes_in_words(size as u64));
        let _ = write!(out, "<p class=\"quiet\">The preview has read the first {read} of {all}.</p>");
    }
    views.iter().for_each(|view| one(&mut out, view));
    Ok(out)
}

fn one(out: &mut String, view: &View) {
    let tone = match view.tone {
        Tone::Good => "good",
        Tone::Careful => "careful",
        Tone::Bad => "bad",
    };
    let _ = write!(
        out,
        "<section><p class=\"verdict {tone}\"><strong>{}</strong> <span>{}</span></p>",
        text(&view.verdict),
        prose(&view.known.join(", "))
    );
    if let Some(fault) = &view.fault {
        let _ = write!(out, "<p class=\"alarms\">{}</p>", prose(fault));
    }
    if !view.warnings.is_empty() {
        let warnings: String = view.warnings.iter().map(|warning| format!("<li>{}</li>", prose(warning))).collect();
        let _ = write!(out, "<ul class=\"warnings\">{warnings}</ul>");
    }
    columns(out, &view.columns);
    refused(out, &view.refused);
    if !view.calls.is_empty() {
        let calls: String = view.calls.iter().map(|call| format!("<pre>{}</pre>", text(call))).collect();
        let _ =
            write!(out, "<details open><summary>The first calls</summary><div class=\"calls\">{calls}</div></details>");
    }
    profile(out, &view.profile);
    let account = view
        .account
        .iter()
        .map(|(name, rows)| format!("<div><dt>{}</dt><dd>{}</dd></div>", text(name), grouped(*rows)));
    if !view.columns.is_empty() {
        let _ = write!(out, "<dl class=\"account\">{}</dl>", account.collect::<String>());
    }
    out.push_str("</section>");
}

fn columns(out: &mut String, columns: &[ColumnView]) {
    if columns.is_empty() {
        return;
    }
    let _ = write!(out, "<details open><summary>{} columns</summary><div class=\"wide\"><table>", columns.len());
    out.push_str(&heads(&["Column", "Field", "As", "First values, before → after"]));
    out.push_str("<tbody>");
    for column in columns.iter().take(COLUMNS_MAX) {
        let field = match &column.path {
            Some(path) => format!("<code>{}</code>", text(path)),
            None => "<span class=\"quiet\">not sent</span>".to_owned(),
        };
        let values = column.values.iter().map(|(before, after)| match before {
            Some(before) if before != after => {
                format!("<li><s>{}</s> → <code>{}</code></li>", text(&cut(before)), text(&cut(after)))
            }
            _ => format!("<li><code>{}</code></li>", text(&cut(after))),
        });
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{field}</td><td>{}</td><td><ul class=\"values\">{}</ul></td></tr>",
            text(&column.name),
            column.cell,
            values.collect::<String>()
        );
    }
    out.push_str("</tbody></table></div>");
    if columns.len() > COLUMNS_MAX {
        let _ = write!(out, "<p class=\"quiet\">and {} more</p>", columns.len() - COLUMNS_MAX);
    }
    out.push_str("</details>");
}

fn refused(out: &mut String, refused: &[RefusedView]) {
    if refused.is_empty() {
        return;
    }
    out.push_str("<details open><summary>The first refused rows</summary><ul class=\"refused\">");
    for RefusedView { message, before, marked, behind } in refused {
        // An empty cell has its place all the same.
        let mark =
            |cell: &String| format!("<mark>{}</mark>", if cell.is_empty() { "\u{a0}".to_owned() } else { text(cell) });
        let marked = marked.as_ref().map_or(String::new(), mark);
        let _ = write!(out, "<li>{}<pre>{}{marked}{}</pre></li>", prose(message), text(before), text(behind));
    }
    out.push_str("</ul></details>");
}

fn profile(out: &mut String, lines: &[[String; 6]]) {
    if lines.is_empty() {
        return;
    }
    out.push_str("<details><summary>The profile</summary><div class=\"wide\"><table>");
    out.push_str(&heads(&PROFILE_HEADINGS));
    out.push_str("<tbody>");
    for line in lines.iter().take(COLUMNS_MAX) {
        let cell = |(name, cell): (&&str, &String)| {
            let class = if is_number(name) { " class=\"number\"" } else { "" };
            format!("<td{class}>{}</td>", text(cell))
        };
        let cells = PROFILE_HEADINGS.iter().zip(line).map(cell).collect::<String>();
        let _ = write!(out, "<tr>{cells}</tr>");
    }
    out.push_str("</tbody></table></div></details>");
}

fn cut(value: &str) -> String {
    let value = crate::words::visible(value);
    match value.char_indices().nth(VALUE_CHARS) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}
