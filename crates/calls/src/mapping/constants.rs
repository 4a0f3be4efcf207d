//! Columns that no column of the file fills: constants, and the message id that is made of cells.

use protocol::mapping::{Constant, Mapping};
use serde_json::Value;

use crate::columns::{CellType, MappingFault, Part, Target, To};
use crate::ids;
use crate::kind::{Api, Kind};
use crate::limits::MESSAGE_ID_CHARS_MAX;
use crate::refusal::{FaultCode, FileFault};
use crate::timestamps::Times;

use super::Made;
use super::empty::EmptyRule;
use super::header::{ABSENT, Header};
use super::paths::check_path;

/// Bytes of a digest that stand in a message id.
pub(super) const DIGEST_BYTES: usize = 16;

pub(super) fn constants(mapping: &Mapping, kind: Kind, times: &Times) -> Result<Vec<(Target, Made)>, MappingFault> {
    let used = mapping.set.iter().enumerate().filter(|(_, constant)| !constant.to.is_empty());
    let target = |(place, constant)| {
        let part = Part::Constant(place);
        self::constant(constant, part, kind, times).map_err(|fault| MappingFault::of(part, fault))
    };
    used.map(target).collect()
}

fn constant(constant: &Constant, part: Part, kind: Kind, times: &Times) -> Result<(Target, Made), FileFault> {
    let fault = |_| FileFault::new(FaultCode::BadColumn, format!("the constant `{}` is no JSON", constant.to));
    let value: Value = serde_json::from_str(&constant.json).map_err(fault)?;
    let to = match constant.to.strip_prefix("properties.") {
        Some(name) if kind.api() == Api::Objects => name,
        _ => &constant.to,
    };
    check_path(to, kind)?;
    check_constant(to, &value, kind, times)?;
    let (cell, text) = match value {
        // Its type is always that of a time.
        Value::String(text) if to == "timestamp" => (None, text),
        Value::String(text) => (Some(CellType::String), text),
        Value::Bool(value) => (Some(CellType::Boolean), value.to_string()),
        Value::Number(_) => (Some(CellType::Number), constant.json.trim().to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => (Some(CellType::Json), constant.json.clone()),
    };
    let name = format!("set {}", constant.to);
    let to = To::Path(to.to_owned());
    let target = Target { name, source: usize::MAX, to, cell, omits_bad: false, is_made: true, part };
    Ok((target, Made::Constant(text.into_bytes())))
}

/// Refuses a constant that every row would be refused for.
fn check_constant(to: &str, value: &Value, kind: Kind, times: &Times) -> Result<(), FileFault> {
    let Value::String(text) = value else { return Ok(()) };
    let fault = |what: &str| Err(FileFault::new(FaultCode::BadColumn, format!("the constant `{to}` {what}")));
    if kind.text_field(to).is_some() && ids::is_void(text.as_bytes()) {
        return fault("is empty: write a value, or leave it out");
    }
    if to == "timestamp" && times.append(text.as_bytes(), &mut Vec::new()).is_none() {
        return fault("is not a date: write one such as 2019-05-11T20:32:27Z");
    }
    Ok(())
}

/// The message id that is made of cells.
pub(super) fn made_id(
    mapping: &Mapping,
    header: &Header,
    empty: &dyn Fn(&str) -> EmptyRule,
) -> Result<Option<(Target, Made)>, FileFault> {
    if mapping.message_id.is_empty() {
        return Ok(None);
    }
    let chars_max = MESSAGE_ID_CHARS_MAX - 2 * DIGEST_BYTES - 1;
    if mapping.name.chars().count() > chars_max {
        return Err(FileFault::new(
            FaultCode::BadColumn,
            format!("the name of the mapping has more than {chars_max} characters, and message ids begin with it"),
        ));
    }
    let target = Target {
        name: mapping.message_id.join(", "),
        source: mapping.message_id.first().and_then(|name| header.find_any(name, mapping)).unwrap_or(ABSENT),
        to: To::Path("messageId".to_owned()),
        cell: None,
        omits_bad: false,
        is_made: true,
        part: Part::MessageId,
    };
    let place = |name: &String| Some((header.find_any(name, mapping)?, empty(name)));
    let columns = mapping.message_id.iter().filter_map(place).collect();
    Ok(Some((target, Made::MessageId { name: mapping.name.clone(), columns })))
}
