//! What the functions report, as entries of the feed.

use super::feed::{Entry, Seer};
use crate::words::grouped;
use serde_json::Value;

/// The entry of a file that an invocation has seen.
pub(super) fn entry(object: &Value, at_ms: i64) -> Entry {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let count = |field: &str| grouped(object[field].as_u64().unwrap_or(0));
    let name = name_of(object);
    let outcome = text("outcome");
    let reason = object["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    let rows = format!("{} rows, {} sent, {} rejected", count("rows"), count("acknowledged"), count("rejected"));
    let title = if object["rows"].as_u64().unwrap_or(0) > 0 {
        format!("{name}: {rows}{reason}")
    } else {
        format!("{name}{reason}")
    };
    let mut whole = object.as_object().cloned().unwrap_or_default();
    // It has a view of its own: the ledger.
    whole.remove("profile");
    let whole = Value::Object(whole).to_string();
    let is_refused = !matches!(outcome.as_str(), "finished" | "already_done" | "ignored" | "continues");
    Entry { number: 0, at_ms, seer: Seer::Ingester, source: text("source"), kind: outcome, title, whole, is_refused }
}

/// The entries of its first refused rows: place and reason, without cells.
pub(super) fn rejected(object: &Value, at_ms: i64) -> impl Iterator<Item = Entry> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (source, name) = (text("source"), name_of(object));
    let rows = object["first_rejected"].as_array().into_iter().flatten().filter_map(Value::as_str).rev();
    rows.map(move |row| Entry {
        number: 0,
        at_ms,
        seer: Seer::Ingester,
        source: source.clone(),
        kind: "rejected".to_owned(),
        title: format!("{name}: {row}"),
        whole: String::new(),
        is_refused: true,
    })
}

fn name_of(object: &Value) -> String {
    object["object"].as_str().and_then(|uri| uri.rsplit('/').next()).unwrap_or_default().to_owned()
}

/// The entry of an export.
pub(super) fn exported(report: &Value, at_ms: i64) -> Entry {
    let alarms = report["alarms"].as_array().map_or(0, Vec::len);
    let title = report["summary"].as_str().unwrap_or_default().to_owned();
    let whole = report.to_string();
    let kind = "exported".to_owned();
    let is_refused = alarms > 0;
    Entry { number: 0, at_ms, seer: Seer::Exporter, source: String::new(), kind, title, whole, is_refused }
}

/// The entry of an invocation that failed as a whole.
pub(super) fn failure(seer: Seer, fault: &str, at_ms: i64) -> Entry {
    let (kind, title) = ("failed".to_owned(), fault.to_owned());
    Entry { number: 0, at_ms, seer, source: String::new(), kind, title, whole: String::new(), is_refused: true }
}
