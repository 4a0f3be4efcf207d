//! The TOML document and the environment's one destination, read field by field so that every
//! fault is told at once.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::arn::{is_account, key_fault, role_fault};
use super::{BATCH_BYTES_MAX, Destination, Routes, Single, Source, Sources};

/// The least that `batch_bytes_max` may say: below, objects are so many that none is worth a put.
const BATCH_BYTES_LEAST: u64 = 1_000_000;

/// The most: one `PutObject` takes 5 GB, and JSON never grows by gzip to that.
const BATCH_BYTES_MOST: u64 = 1_000_000_000;

/// S3 user guide, "Canned ACL"; those that make an object public are not for logs.
const ACLS: [&str; 4] = ["private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read"];

/// STS API reference, `AssumeRole`, `ExternalId`: 2 to 1,224 of these.
const EXTERNAL_ID_LEN: std::ops::RangeInclusive<usize> = 2..=1224;

pub(super) fn read(document: &str) -> (Routes, Vec<String>) {
    let table: Table = match document.parse() {
        Ok(table) => table,
        Err(error) => return (Routes::default(), vec![format!("not TOML: {}", one_line(&error))]),
    };
    let mut faults = Vec::new();
    let mut routes = Routes::default();
    for (name, value) in &table {
        match (name.as_str(), value.as_array()) {
            ("source", Some(tables)) => {
                routes.sources = tables.iter().zip(1..).filter_map(|(v, n)| source(v, n, &mut faults)).collect();
            }
            ("destination", Some(tables)) => {
                let read = |(value, number)| destination(value, number, &mut faults);
                routes.destinations = tables.iter().zip(1..).map(read).collect();
            }
            ("source" | "destination", None) => {
                faults.push(format!("`{name}` is one table; write [[{name}]] with two brackets"));
            }
            _ => faults.push(format!("`{name}` is not known; [[destination]] and [[source]] are")),
        }
    }
    let has_none = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    if table.get("destination").is_none_or(has_none) {
        faults.push("no [[destination]]: nothing would be exported".to_owned());
    }
    faults.extend(names_for_ids(&routes));
    (routes, faults)
}

pub(super) fn single(single: &Single, faults: &mut Vec<String>) -> Destination {
    let mut fault = |name: &str, what: String| faults.push(format!("{name} {what}"));
    let (bucket, prefix) = place("DESTINATION_BUCKET", &single.bucket, &mut fault);
    region_fault(&single.region).into_iter().for_each(|what| fault("DESTINATION_REGION", what));
    role_fault(&single.role_arn).into_iter().for_each(|what| fault("DESTINATION_ROLE_ARN", what));
    external_id_fault(&single.external_id).into_iter().for_each(|what| fault("DESTINATION_EXTERNAL_ID", what));
    Destination {
        name: Single::NAME.to_owned(),
        region: single.region.clone(),
        bucket,
        prefix,
        role_arn: single.role_arn.clone(),
        external_id: single.external_id.clone(),
        kms_key_arn: None,
        acl: None,
        expected_bucket_owner: None,
        sources: Sources::All,
        batch_bytes_max: BATCH_BYTES_MAX,
        enabled: true,
    }
}

/// One table: its fields, taken out one by one; what is left over is not known.
struct Fields<'a> {
    table: Table,
    what: String,
    faults: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn fault(&mut self, field: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{}: {field} {what}", self.what));
    }

    fn text(&mut self, field: &str) -> Option<String> {
        match self.table.remove(field)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::String(_) => None,
            other => {
                self.fault(field, format_args!("is {}; write a text in quotes", other.type_str()));
                None
            }
        }
    }

    fn required(&mut self, field: &str, purpose: &str) -> Option<String> {
        let wrong = self.table.get(field).is_some_and(|value| !value.is_str());
        let text = self.text(field);
        if text.is_none() && !wrong {
            self.fault(field, format_args!("is not set; it is {purpose}"));
        }
        text
    }

    fn checked(&mut self, field: &str, value: Option<&String>, check: impl Fn(&str) -> Option<String>) {
        if let Some(what) = value.and_then(|text| check(text)) {
            self.fault(field, what);
        }
    }

    fn finish(mut self, known: &[&str]) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for field in left {
            let advice = if field == "include_write_key" {
                "belongs to the ingester's and the receiver's settings: a line is written when it is received"
                    .to_owned()
            } else {
                format!("is not known; {} are", known.join(", "))
            };
            self.fault(&field, advice);
        }
    }
}

fn destination(value: &Value, number: usize, faults: &mut Vec<String>) -> Destination {
    let table = value.as_table().cloned().unwrap_or_default();
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    let what = if name.is_empty() { format!("destination {number}") } else { format!("destination `{name}`") };
    let mut fields = Fields { table, what, faults };

    if fields.required("name", "what reports and alarms call it").is_some() && !is_name(&name) {
        fields.fault("name", "may have letters, digits, `.`, `_` and `-`, 64 of them at most: it is part of keys");
    }
    let region = fields.required("region", "the bucket's region, such as eu-west-1");
    fields.checked("region", region.as_ref(), region_fault);
    let written = fields.required("bucket", "the bucket's name, with an optional /path/prefix").unwrap_or_default();
    let (bucket, prefix) = match written.as_str() {
        "" => Default::default(),
        written => place("bucket", written, &mut |field, what| fields.fault(field, what)),
    };
    let role_arn = fields.required("role_arn", "the role that may put into the bucket");
    fields.checked("role_arn", role_arn.as_ref(), role_fault);
    let external_id = fields.required("external_id", "what the role's trust policy asks for");
    fields.checked("external_id", external_id.as_ref(), external_id_fault);
    let kms_key_arn = fields.text("kms_key_arn");
    let in_region = region.clone().unwrap_or_default();
    fields.checked("kms_key_arn", kms_key_arn.as_ref(), |arn| key_fault(arn, &in_region));
    let acl = fields.text("acl");
    fields.checked("acl", acl.as_ref(), |acl| {
        (!ACLS.contains(&acl)).then(|| format!("is {acl:?}; write one of {}", ACLS.join(", ")))
    });
    let expected_bucket_owner = fields.text("expected_bucket_owner");
    fields.checked("expected_bucket_owner", expected_bucket_owner.as_ref(), |owner| {
        (!is_account(owner)).then(|| format!("is {owner:?}; write the account's 12 digits"))
    });
    let sources = sources(&mut fields);
    let batch_bytes_max = batch_bytes_max(&mut fields);
    let enabled = match fields.table.remove("enabled") {
        None => true,
        Some(Value::Boolean(enabled)) => enabled,
        Some(_) => {
            fields.fault("enabled", "is neither true nor false, without quotes");
            true
        }
    };
    fields.finish(&[
        "name",
        "region",
        "bucket",
        "role_arn",
        "external_id",
        "kms_key_arn",
        "acl",
        "expected_bucket_owner",
        "sources",
        "batch_bytes_max",
        "enabled",
    ]);
    Destination {
        name,
        region: region.unwrap_or_default(),
        bucket,
        prefix,
        role_arn: role_arn.unwrap_or_default(),
        external_id: external_id.unwrap_or_default(),
        kms_key_arn,
        acl,
        expected_bucket_owner,
        sources,
        batch_bytes_max,
        enabled,
    }
}

fn sources(fields: &mut Fields<'_>) -> Sources {
    let nobody = Sources::These(BTreeSet::new());
    let list = match fields.table.remove("sources") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => {
            fields.fault("sources", "is no list; write [\"SOURCE_ID\", …], or [\"*\"] for all");
            return nobody;
        }
    };
    if list.iter().any(|value| value.as_str() == Some("*")) {
        if list.len() > 1 {
            fields.fault("sources", "has \"*\" beside others; \"*\" is all of them");
        }
        return Sources::All;
    }
    let mut ids = BTreeSet::new();
    for value in list {
        match value.as_str().map(str::parse) {
            Some(Ok(id)) => {
                ids.insert(id);
            }
            _ => fields.fault("sources", format_args!("has {value}, which is no source's id")),
        }
    }
    Sources::These(ids)
}

fn batch_bytes_max(fields: &mut Fields<'_>) -> u64 {
    let Some(value) = fields.table.remove("batch_bytes_max") else { return BATCH_BYTES_MAX };
    match value.as_integer().and_then(|bytes| u64::try_from(bytes).ok()) {
        Some(bytes) if (BATCH_BYTES_LEAST..=BATCH_BYTES_MOST).contains(&bytes) => bytes,
        _ => {
            fields.fault(
                "batch_bytes_max",
                format_args!("is {value}; write a number from {BATCH_BYTES_LEAST} to {BATCH_BYTES_MOST}"),
            );
            BATCH_BYTES_MAX
        }
    }
}

fn source(value: &Value, number: usize, faults: &mut Vec<String>) -> Option<Source> {
    let table = value.as_table().cloned().unwrap_or_default();
    let mut fields = Fields { table, what: format!("source {number}"), faults };
    let id = fields.required("id", "what Segment's settings call \"Source ID\"");
    let name = fields.required("name", "what reports call it");
    let id = id.and_then(|text| match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            fields.fault("id", format_args!("is {text:?}: {error}"));
            None
        }
    });
    fields.finish(&["id", "name"]);
    Some(Source { id: id?, name: name? })
}

/// A source's name where its id belongs would route nothing, silently.
fn names_for_ids(routes: &Routes) -> Vec<String> {
    let mut faults = Vec::new();
    for destination in &routes.destinations {
        let Sources::These(ids) = &destination.sources else { continue };
        for id in ids {
            if routes.sources.iter().any(|source| source.id == *id) {
                continue;
            }
            if let Some(source) = routes.sources.iter().find(|source| source.name == id.as_str()) {
                faults.push(format!(
                    "destination `{}`: sources has `{id}`, which is a source's name; write its id: {}",
                    destination.name, source.id
                ));
            }
        }
    }
    faults
}

/// Splits `bucket/path/prefix`, and says what is wrong with it.
fn place(field: &str, written: &str, fault: &mut dyn FnMut(&str, String)) -> (String, String) {
    let bare = |text: &str| text.trim_matches('/').to_owned();
    if let Some(rest) = written.strip_prefix("s3://") {
        fault(
            field,
            format!("is an s3:// URI ({written}); write the bucket's name, and a prefix if any: {}", bare(rest)),
        );
        return Default::default();
    }
    if written.starts_with("arn:") {
        let rest = written.rsplit(':').next().unwrap_or_default();
        fault(field, format!("is an ARN ({written}); write the bucket's name, and a prefix if any: {}", bare(rest)));
        return Default::default();
    }
    if written.contains("://") {
        fault(field, format!("is a URL ({written}); write the bucket's name, and a prefix if any"));
        return Default::default();
    }
    let (bucket, prefix) = written.split_once('/').unwrap_or((written, ""));
    if !is_bucket(bucket) {
        fault(field, format!("is {bucket:?}, which is no bucket's name: 3 to 63 of a-z, 0-9, - and ."));
    }
    let prefix = bare(prefix);
    if prefix == "segment-logs" {
        fault(field, format!("ends with /segment-logs, which is added to it; write {bucket}"));
    }
    if prefix.len() > 512 || prefix.contains("//") {
        fault(field, format!("has the prefix {prefix:?}; write at most 512 bytes without empty folders"));
    }
    (bucket.to_owned(), prefix)
}

/// S3 user guide, "General purpose bucket naming rules".
fn is_bucket(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && edge(name.bytes().next())
        && edge(name.bytes().last())
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn region_fault(region: &str) -> Option<String> {
    let mut parts = region.split('-');
    let letters = |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let last = parts.next_back().unwrap_or_default();
    let fits = letters(parts.next()) && letters(parts.next()) && number(last);
    (!fits).then(|| format!("is {region:?}, which is no region; write one such as eu-west-1"))
}

fn external_id_fault(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    let fits = EXTERNAL_ID_LEN.contains(&id.len()) && id.bytes().all(plain);
    // The id is shared with the customer only: it is not repeated here.
    (!fits).then(|| "is no external id: 2 to 1,224 letters, digits and _ + = , . @ : / - are expected".to_owned())
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
