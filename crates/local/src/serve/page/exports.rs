//! The log objects, and what the exporter does.

use super::html::{badge, button, download, heads, prose, text, time, value};
use super::objects::count_lines;
use super::{Shared, view as answer};
use crate::check::bytes_in_words;
use crate::serve::buckets::destinations;
use crate::serve::system::System;
use crate::words::grouped;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::head::Head;
use protocol::ledger::rfc3339;
use serde_json::Value;
use standins::installation::STATE_BUCKET;
use standins::s3::Object;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::PoisonError;

/// Objects that are listed.
const LISTED_MAX: usize = 200;

pub(super) async fn view(State(system): Shared, headers: HeaderMap) -> Response {
    answer(&headers, &system, "Exports", || content(&system))
}

/// Exports all that waits.
pub(super) async fn now(State(system): Shared) -> Response {
    system.export(false).await;
    Redirect::to("/exports").into_response()
}

fn content(system: &System) -> String {
    let exported = system.exported.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let report = exported.as_ref().map_or(Value::Null, |exported| exported["report"].clone());
    let mut out = String::from("<div class=\"heading\"><h1>Exports</h1>");
    out.push_str(&button("/exports/now", "Export now"));
    out.push_str("</div>");
    last(&mut out, exported.as_ref(), &report);
    places(&mut out, system, &report);
    plans(&mut out, system, &report);
    objects(&mut out, system);
    out
}

fn last(out: &mut String, exported: Option<&Value>, report: &Value) {
    let Some(exported) = exported else {
        out.push_str("<p class=\"empty\">The exporter has not run since the start.</p>");
        return;
    };
    let summary = report["summary"].as_str().unwrap_or_default();
    let _ = write!(out, "<p class=\"sum\">{}: {}</p>", time(exported["at_ms"].as_i64().unwrap_or(0)), text(summary));
    let alarms = report["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let alarms: String = alarms.map(|alarm| format!("<li>{}</li>", prose(alarm))).collect();
    if !alarms.is_empty() {
        let _ = write!(out, "<ul class=\"alarms\">{alarms}</ul>");
    }
}

fn places(out: &mut String, system: &System, report: &Value) {
    let exporter = system.in_force.read().unwrap_or_else(PoisonError::into_inner).0.exporter.clone();
    out.push_str("<h2>Destinations</h2><table class=\"cards\">");
    out.push_str(&heads(&["Destination", "State", "Bucket", "Region", "Role"]));
    out.push_str("<tbody>");
    for destination in destinations(&exporter) {
        let put = &report["destinations"][&destination.name];
        let failed = put["failed"].as_str();
        let state = match failed {
            Some(_) => badge("bad", "fails"),
            None if !destination.enabled => badge("quiet", "disabled"),
            None => badge("good", "takes objects"),
        };
        let slash = if destination.prefix.is_empty() { "" } else { "/" };
        let _ = write!(
            out,
            "<tr><td data-label=\"Destination\">{}</td><td data-label=\"State\">{state}<small>{}</small></td>\
             <td data-label=\"Bucket\"><code>{}{slash}{}</code></td><td data-label=\"Region\">{}</td>\
             <td data-label=\"Role\"><code class=\"uri\">{}</code></td></tr>",
            text(&destination.name),
            text(failed.unwrap_or_default()),
            text(&destination.bucket),
            text(&destination.prefix),
            text(&destination.region),
            text(&destination.role_arn)
        );
    }
    out.push_str("</tbody></table>");
}

/// The open plans, and the events that wait, with the reasons.
fn plans(out: &mut String, system: &System, report: &Value) {
    let head = system.s3.bytes(STATE_BUCKET, protocol::keys::HEAD);
    let head = head.and_then(|json| Head::from_json(&json).ok());
    let open = head.map(|head| head.open).unwrap_or_default();
    let mut waits = Vec::new();
    let mut wait = |size: &Value, words: &str| {
        if let Some(events) = size["events"].as_u64().filter(|events| *events > 0) {
            waits.push(format!("{} events wait {words}", grouped(events)));
        }
    };
    let waiting = &report["waiting"];
    wait(&waiting["not_full"], "until their object is full");
    wait(&waiting["uncommitted"], "for the next commit of their file");
    wait(&waiting["later"], "for the next run: a run opens a limited number of plans");
    for (name, size) in waiting["capped"].as_object().into_iter().flatten() {
        wait(size, &format!("for {name}, which has too many open plans"));
    }
    for (name, size) in waiting["unrouted"].as_object().into_iter().flatten() {
        wait(size, &format!("until a destination takes the source {name}"));
    }
    if open.is_empty() && waits.is_empty() {
        return;
    }
    out.push_str("<h2>Plans</h2><ul>");
    for plan in &open {
        let _ = write!(out, "<li>plan <code>{}</code> is open since {}</li>", plan.plan, time(plan.created_ms));
    }
    waits.iter().for_each(|wait| {
        let _ = write!(out, "<li>{}</li>", text(wait));
    });
    out.push_str("</ul>");
}

/// The objects of all destinations by bucket, source and day.
fn objects(out: &mut String, system: &System) {
    let exporter = system.in_force.read().unwrap_or_else(PoisonError::into_inner).0.exporter.clone();
    let buckets = destinations(&exporter).into_iter().map(|destination| destination.bucket);
    let buckets: BTreeSet<String> = buckets.collect();
    let mut groups: BTreeMap<(String, String, Reverse<i64>), Vec<Object>> = BTreeMap::new();
    let mut count = 0;
    for bucket in &buckets {
        for object in system.s3.objects(bucket, "") {
            let Some((source, day_ms)) = source_and_day(&object.key) else { continue };
            count += 1;
            groups.entry((bucket.clone(), source, Reverse(day_ms))).or_default().push(object);
        }
    }
    let _ = write!(out, "<h2>Log objects</h2>");
    if count == 0 {
        out.push_str("<p class=\"empty\">There is none yet. Drop a file, then export.</p>");
    }
    let mut left = LISTED_MAX;
    for ((bucket, source, Reverse(day_ms)), mut objects) in groups {
        objects.sort_by_key(|object| Reverse(object.modified_ms));
        objects.truncate(left);
        left -= objects.len();
        let day = rfc3339(day_ms).get(..10).unwrap_or_default().to_owned();
        let _ =
            write!(out, "<h3>{} <small>source</small> {day} <small>in {}</small></h3>", text(&source), text(&bucket));
        out.push_str("<table class=\"cards\">");
        out.push_str(&heads(&["Object", "Events", "Size", "Put", ""]));
        out.push_str("<tbody>");
        objects.iter().for_each(|object| row(out, system, &bucket, object));
        out.push_str("</tbody></table>");
    }
    if count > LISTED_MAX {
        let _ = write!(out, "<p>and {} more</p>", count - LISTED_MAX);
    }
}

fn row(out: &mut String, system: &System, bucket: &str, object: &Object) {
    let name = object.key.rsplit('/').next().unwrap_or(&object.key);
    let events = counted(system, bucket, object).map_or_else(|| "?".to_owned(), grouped);
    let _ = write!(
        out,
        "<tr><td data-label=\"Object\"><code class=\"uri\">{}</code></td>\
         <td class=\"number\" data-label=\"Events\">{events}</td><td class=\"number\" data-label=\"Size\">{}</td>\
         <td data-label=\"Put\">{}</td><td class=\"actions\"><a href=\"/exports/lines?bucket={}&amp;key={}\">first lines</a>{}</td></tr>",
        text(name),
        bytes_in_words(object.size),
        time(object.modified_ms),
        value(bucket),
        value(&object.key),
        download(bucket, &object.key, "download")
    );
}

fn counted(system: &System, bucket: &str, object: &Object) -> Option<u64> {
    let id = format!("{bucket}/{} {}", object.key, object.etag);
    if let Some(events) = system.counted.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return Some(*events);
    }
    let events = count_lines(&system.s3.bytes(bucket, &object.key)?)?;
    system.counted.lock().unwrap_or_else(PoisonError::into_inner).insert(id, events);
    Some(events)
}

/// Reads `…segment-logs/{source}/{day in ms}/{name}`.
fn source_and_day(key: &str) -> Option<(String, i64)> {
    let (_, rest) = key.split_once("segment-logs/")?;
    let mut parts = rest.split('/');
    Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
}
