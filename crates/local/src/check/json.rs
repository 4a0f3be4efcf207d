//! The result of a check as JSON.

use super::checked::Checked;
use super::expect::{dollars, expected};
use calls::refusal::FaultCode;
use serde_json::{Value, json};

/// The result as JSON, without cells.
pub(crate) fn of(checked: &Checked) -> Value {
    let dialect = checked.header.as_ref().map(|header| &header.dialect);
    let columns: Vec<Value> = checked
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "path": column.path, "type": column.cell.as_str() }))
        .collect();
    let of_columns = checked
        .warnings
        .iter()
        .map(|warning| json!({ "code": "header", "column": warning.column, "message": warning.message }));
    let of_rows = checked.account.findings.iter().filter(|finding| finding.holds()).map(|finding| {
        json!({
            "code": finding.code,
            "column": finding.column,
            "rows": finding.rows,
            "line": finding.line,
            "message": finding.in_words(),
        })
    });
    let warnings: Vec<Value> = of_columns.chain(of_rows).collect();
    // The place and the reason, without the cell, because a log may keep it.
    let refused: Vec<Value> = checked
        .first_refused
        .iter()
        .map(|(refusal, _)| {
            json!({
                "line": refusal.span.line,
                "byte": refusal.span.start,
                "code": refusal.code.as_str(),
                "column": refusal.column,
                "message": refusal.message,
            })
        })
        .collect();
    let expected = expected(checked);
    json!({
        "file": checked.name,
        "key": checked.key,
        "mapping": checked.mapping,
        "source": checked.source,
        "kind": checked.subject.as_ref().map(|subject| subject.kind.as_str()),
        "collection": checked.subject.as_ref().and_then(|subject| subject.collection.as_deref()),
        "bytes": checked.bytes,
        "dialect": dialect,
        "columns": columns,
        "warnings": warnings,
        "rows": checked.account.rows,
        "calls": checked.calls,
        "refused": checked.account.rejected,
        "refused_by": checked.account.rejected_by,
        "blank_rows": checked.account.blank_rows,
        "repeated_headers": checked.account.repeated_headers,
        "skipped_rows": checked.account.skipped_rows,
        "profile": checked.profile,
        "timestamp_zone": checked.zone.as_deref().unwrap_or("UTC"),
        "first_refused": refused,
        "requests": checked.wire.requests,
        "json_bytes": checked.wire.json_bytes,
        "wire_bytes": checked.wire.wire_bytes(),
        "seconds": expected.map(|expected| expected.seconds),
        "invocations": expected.map(|expected| expected.invocations),
        "aws_usd": dollars(checked),
        "stopped": checked.stopped,
        "undelivered_from_line": checked.undelivered_from.map(|from| from.line),
        "fault": checked.fault,
        "fault_code": checked.fault_code.map(FaultCode::as_str),
        "fault_line": checked.fault_at.map(|at| at.line),
        "fault_byte": checked.fault_at.map(|at| at.byte),
    })
}
