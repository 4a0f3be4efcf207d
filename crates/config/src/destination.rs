//! The destinations of the logs: from the document, or one from the settings.

use std::collections::BTreeSet;

use export::routes::{BATCH_BYTES_MAX, Destination, Routes, Sources};

use crate::arn::{is_account, key_fault, role_fault};
use crate::at::At;
use crate::document::DestinationTable;
use crate::environment::{Reader, is_bucket};
use crate::settings::{DESTINATION_BUCKET, DESTINATION_EXTERNAL_ID, DESTINATION_REGION, DESTINATION_ROLE_ARN, Setting};
use crate::source::{NAME_FAULT, Source, is_name};

/// The least that `batch_bytes_max` may say. Below it, each object is so small that requests cost more than storage.
const BATCH_BYTES_LEAST: u64 = 1_000_000;

/// The most: one `PutObject` takes 5 GB, and gzip never makes so much of it.
const BATCH_BYTES_MOST: u64 = 1_000_000_000;

/// S3 user guide, "Canned ACL", without those that make an object public.
const ACLS: [&str; 4] = ["private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read"];

/// STS API reference, `AssumeRole`, `ExternalId`: 2 to 1,224 characters.
const EXTERNAL_ID_LEN: std::ops::RangeInclusive<usize> = 2..=1224;

/// The one destination that the settings `DESTINATION_…` describe.
pub struct Single;

impl Single {
    /// Its name in plans, reports and alarms.
    pub const NAME: &str = "default";
    /// The settings that describe it.
    pub const SETTINGS: [&Setting; 4] =
        [&DESTINATION_BUCKET, &DESTINATION_REGION, &DESTINATION_ROLE_ARN, &DESTINATION_EXTERNAL_ID];

    /// Reads the settings. It takes every source.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Routes {
        let [written, region, role_arn, external_id] = Self::SETTINGS.map(|setting| reader.required(setting));
        let mut check = |setting, value: &str, fault: &dyn Fn(&str) -> Option<String>| {
            if let Some(what) = Some(value).filter(|value| !value.is_empty()).and_then(fault) {
                reader.fault(setting, what);
            }
        };
        check(&DESTINATION_BUCKET, &written, &|written| place(written).err());
        check(&DESTINATION_REGION, &region, &region_fault);
        check(&DESTINATION_ROLE_ARN, &role_arn, &role_fault);
        check(&DESTINATION_EXTERNAL_ID, &external_id, &external_id_fault);
        let (bucket, prefix) = place(&written).unwrap_or_default();
        let destination = Destination {
            name: Self::NAME.to_owned(),
            region,
            bucket,
            prefix,
            role_arn,
            external_id,
            kms_key_arn: None,
            acl: None,
            expected_bucket_owner: None,
            sources: Sources::All,
            batch_bytes_max: BATCH_BYTES_MAX,
            enabled: true,
        };
        Routes { destinations: vec![destination], sources: Vec::new() }
    }
}

pub(crate) fn destinations(tables: &[DestinationTable], sources: &[Source], at: &At<'_>) -> Vec<Destination> {
    let at = at.field("destination");
    tables.iter().enumerate().map(|(index, table)| destination(table, sources, &at.item(index))).collect()
}

fn destination(table: &DestinationTable, named: &[Source], at: &At<'_>) -> Destination {
    let checked = |key: &str, value: Option<&str>, fault: &dyn Fn(&str) -> Option<String>| {
        if let Some(what) = value.and_then(fault) {
            at.field(key).fault(what);
        }
        value.map(|value| value.trim().to_owned())
    };
    let required = |key: &str, value: &'_ Option<String>, purpose: &str, fault: &dyn Fn(&str) -> Option<String>| {
        checked(key, at.required(key, value.as_deref(), purpose), fault).unwrap_or_default()
    };
    let name_fault = |name: &str| (!is_name(name)).then(|| NAME_FAULT.to_owned());
    let name = required("name", &table.name, "the destination's name in reports and alarms", &name_fault);
    let region = required("region", &table.region, "the bucket's region, such as eu-west-1", &region_fault);
    let bucket_fault = |written: &str| place(written).err();
    let written = required("bucket", &table.bucket, "the bucket's name, with an optional /path/prefix", &bucket_fault);
    let (bucket, prefix) = place(&written).unwrap_or_default();
    let role_arn = required("role_arn", &table.role_arn, "the role that may put into the bucket", &role_fault);
    let what = "the external id that the role's trust policy asks for";
    let external_id = required("external_id", &table.external_id, what, &external_id_fault);
    let acl_fault =
        |acl: &str| (!ACLS.contains(&acl)).then(|| format!("is not allowed; write one of {}", ACLS.join(", ")));
    let owner_fault = |owner: &str| (!is_account(owner)).then(|| "is not an account; write its 12 digits".to_owned());
    let batch_bytes_max = table.batch_bytes_max.unwrap_or(BATCH_BYTES_MAX);
    if !(BATCH_BYTES_LEAST..=BATCH_BYTES_MOST).contains(&batch_bytes_max) {
        let what = format!("is out of bounds; write a number from {BATCH_BYTES_LEAST} to {BATCH_BYTES_MOST}");
        at.field("batch_bytes_max").fault(what);
    }
    Destination {
        kms_key_arn: checked("kms_key_arn", table.kms_key_arn.as_deref(), &|arn| key_fault(arn, &region)),
        acl: checked("acl", table.acl.as_deref(), &acl_fault),
        expected_bucket_owner: checked("expected_bucket_owner", table.expected_bucket_owner.as_deref(), &owner_fault),
        sources: sources(&table.sources.0, named, at),
        name,
        region,
        bucket,
        prefix,
        role_arn,
        external_id,
        batch_bytes_max,
        enabled: table.enabled.unwrap_or(true),
    }
}

fn sources(written: &[String], named: &[Source], at: &At<'_>) -> Sources {
    let at = at.field("sources");
    if written.is_empty() {
        at.fault("is not set; write [\"*\"] for every source, or a list of ids or names of sources");
    }
    if written.iter().any(|source| source == "*") {
        if written.len() > 1 {
            at.fault("has \"*\" and other sources; write only one of them");
        }
        return Sources::All;
    }
    let mut ids = BTreeSet::new();
    for (index, source) in written.iter().enumerate() {
        let id = named.iter().find(|known| known.name == *source).map(|known| known.id.clone());
        match id.or_else(|| source.parse().ok()) {
            Some(id) => {
                ids.insert(id);
            }
            None => at.item(index).fault("is neither the id of a source nor the name of one"),
        }
    }
    Sources::These(ids)
}

/// Splits `bucket/path/prefix`.
///
/// # Errors
/// What is wrong with it, and what to write.
fn place(written: &str) -> Result<(String, String), String> {
    let shape = "write the bucket's name, and a prefix if any: my-bucket/some/prefix";
    for (beginning, what) in [("s3://", "is an s3:// URI"), ("arn:", "is an ARN")] {
        if written.starts_with(beginning) {
            return Err(format!("{what}; {shape}"));
        }
    }
    if written.contains("://") {
        return Err(format!("is a URL; {shape}"));
    }
    let (bucket, prefix) = written.split_once('/').unwrap_or((written, ""));
    if !is_bucket(bucket) {
        return Err("is not a bucket's name: 3 to 63 of a-z, 0-9, - and .".to_owned());
    }
    let prefix = prefix.trim_matches('/').to_owned();
    if prefix == "segment-logs" {
        return Err("ends with /segment-logs, which is added to it; leave it out".to_owned());
    }
    if prefix.len() > 512 || prefix.contains("//") {
        return Err("has a prefix with an empty folder, or of more than 512 bytes".to_owned());
    }
    Ok((bucket.to_owned(), prefix))
}

fn region_fault(region: &str) -> Option<String> {
    let mut parts = region.split('-');
    let letters = |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let last = parts.next_back().unwrap_or_default();
    let fits = letters(parts.next()) && letters(parts.next()) && number(last);
    (!fits).then(|| "is not a region; write one such as eu-west-1".to_owned())
}

fn external_id_fault(id: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    let fits = EXTERNAL_ID_LEN.contains(&id.len()) && id.bytes().all(plain);
    (!fits).then(|| "is not an external id: 2 to 1,224 letters, digits and _ + = , . @ : / -".to_owned())
}
