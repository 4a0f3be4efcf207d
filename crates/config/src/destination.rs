//! The destinations of the logs: from the document, or one from the settings.

use std::collections::BTreeSet;

use export::routes::{BATCH_BYTES_MAX, Destination, Routes, Sources};
use protocol::plan::Layout;

use crate::arn::{account_of, is_account, key_fault, role_fault};
use crate::at::At;
use crate::document::DestinationTable;
use crate::environment::{Reader, is_bucket};
use crate::name::{NAME_FAULT, is_name};
use crate::settings::{self, Setting};
use crate::source::Source;

/// The least that `batch_bytes_max` may say. Below it, each object is so small that requests cost more than storage.
const BATCH_BYTES_LEAST: u64 = 1_000_000;

/// The most: one `PutObject` takes 5 GB, and gzip never makes so much of it.
const BATCH_BYTES_MOST: u64 = 1_000_000_000;

/// S3 user guide, "Canned ACL", without those that make an object public.
const ACLS: [&str; 4] = ["private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read"];

/// `PutObject`, S3 API reference, `x-amz-server-side-encryption`, without double encryption and other file systems.
const SSE: [&str; 2] = ["AES256", KMS];

/// The values of `layout`.
const LAYOUTS: [&str; 2] = ["segment", HIVE];

/// The layout that is not Segment's.
const HIVE: &str = "hive";

/// Encryption with a key of KMS.
const KMS: &str = "aws:kms";

/// `PutObject`, S3 API reference, `x-amz-storage-class`, without the classes of Outposts, directory buckets and snow
/// devices, and without reduced redundancy, which S3 advises against.
const STORAGE_CLASSES: [&str; 7] =
    ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];

/// STS API reference, `AssumeRole`, `ExternalId`: 2 to 1,224 characters.
const EXTERNAL_ID_LEN: std::ops::RangeInclusive<usize> = 2..=1224;

/// The value of `expected_bucket_owner` that turns the check of the owner off.
const ANY_OWNER: &str = "any";

/// The one destination that the settings `DESTINATION_…` describe.
pub struct Single;

impl Single {
    /// Its name in plans, reports and alarms.
    pub const NAME: &str = "default";
    /// The settings that describe it, each with the key of a `[[destination]]` that means the same.
    pub const SETTINGS: [(&str, &Setting); 9] = [
        ("bucket", &settings::DESTINATION_BUCKET),
        ("region", &settings::DESTINATION_REGION),
        ("role_arn", &settings::DESTINATION_ROLE_ARN),
        ("external_id", &settings::DESTINATION_EXTERNAL_ID),
        ("sse", &settings::DESTINATION_SSE),
        ("kms_key_arn", &settings::DESTINATION_KMS_KEY_ARN),
        ("storage_class", &settings::DESTINATION_STORAGE_CLASS),
        ("acl", &settings::DESTINATION_ACL),
        ("expected_bucket_owner", &settings::DESTINATION_EXPECTED_BUCKET_OWNER),
    ];

    /// Reads the settings. It takes every source.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Routes {
        let table = DestinationTable {
            name: Some(Self::NAME.to_owned()),
            bucket: Some(reader.required(&settings::DESTINATION_BUCKET)),
            region: Some(reader.required(&settings::DESTINATION_REGION)),
            role_arn: Some(reader.required(&settings::DESTINATION_ROLE_ARN)),
            external_id: Some(reader.required(&settings::DESTINATION_EXTERNAL_ID)),
            sse: reader.optional(&settings::DESTINATION_SSE),
            kms_key_arn: reader.optional(&settings::DESTINATION_KMS_KEY_ARN),
            storage_class: reader.optional(&settings::DESTINATION_STORAGE_CLASS),
            acl: reader.optional(&settings::DESTINATION_ACL),
            expected_bucket_owner: reader.optional(&settings::DESTINATION_EXPECTED_BUCKET_OWNER),
            ..DestinationTable::default()
        };
        let destination = checked(&table, Sources::All, &mut |key, what| {
            if let Some((_, setting)) = Self::SETTINGS.iter().find(|(known, _)| *known == key) {
                reader.fault(setting, what);
            }
        });
        Routes { destinations: vec![destination], sources: Vec::new() }
    }
}

pub(crate) fn destinations(tables: &[DestinationTable], named: &[Source], at: &At<'_>) -> Vec<Destination> {
    let at = at.field("destination");
    let destination = |(index, table): (usize, &DestinationTable)| {
        let at = at.item(index);
        for (key, value, purpose) in [
            ("name", &table.name, "the destination's name in reports and alarms"),
            ("region", &table.region, "the bucket's region, such as eu-west-1"),
            ("bucket", &table.bucket, "the bucket's name, with an optional /path/prefix"),
            ("role_arn", &table.role_arn, "the role that may put into the bucket"),
            ("external_id", &table.external_id, "the external id that the role's trust policy asks for"),
        ] {
            at.required(key, value.as_deref(), purpose);
        }
        checked(table, sources(&table.sources.0, named, &at), &mut |key, what| at.field(key).fault(what))
    };
    tables.iter().enumerate().map(destination).collect()
}

/// Checks the values of a destination. `fault` notes what is wrong with the value of a key. A required key without a
/// value has a fault already.
fn checked(table: &DestinationTable, sources: Sources, fault: &mut dyn FnMut(&str, String)) -> Destination {
    let mut check = |key: &str, value: Option<&str>, what: &dyn Fn(&str) -> Option<String>| {
        let value = value?;
        if let Some(what) = what(value) {
            fault(key, what);
        }
        Some(value.to_owned())
    };
    let name_fault = |name: &str| (!is_name(name)).then(|| NAME_FAULT.to_owned());
    let name = check("name", filled(&table.name), &name_fault).unwrap_or_default();
    let region = check("region", filled(&table.region), &region_fault).unwrap_or_default();
    let written = check("bucket", filled(&table.bucket), &|written| place(written).err()).unwrap_or_default();
    let role_arn = check("role_arn", filled(&table.role_arn), &|arn| role_fault(arn, &region)).unwrap_or_default();
    let external_id = check("external_id", filled(&table.external_id), &external_id_fault).unwrap_or_default();
    let kms_key_arn = check("kms_key_arn", trimmed(&table.kms_key_arn), &|arn| key_fault(arn, &region));
    let sse = check("sse", trimmed(&table.sse), &|sse| sse_fault(sse, kms_key_arn.is_some()));
    let storage_class =
        check("storage_class", trimmed(&table.storage_class), &|class| word_fault(class, &STORAGE_CLASSES));
    let acl = check("acl", trimmed(&table.acl), &|acl| word_fault(acl, &ACLS));
    let owner = check("expected_bucket_owner", trimmed(&table.expected_bucket_owner), &owner_fault);
    let batch_bytes_max = table.batch_bytes_max.unwrap_or(BATCH_BYTES_MAX);
    if !(BATCH_BYTES_LEAST..=BATCH_BYTES_MOST).contains(&batch_bytes_max) {
        let what = format!("is out of bounds; write a number from {BATCH_BYTES_LEAST} to {BATCH_BYTES_MOST}");
        fault("batch_bytes_max", what);
    }
    if let Some(what) = trimmed(&table.layout).and_then(|layout| word_fault(layout, &LAYOUTS)) {
        fault("layout", what);
    }
    let layout = if trimmed(&table.layout) == Some(HIVE) { Layout::Hive } else { Layout::Segment };
    let (bucket, prefix) = place(&written).unwrap_or_default();
    Destination {
        sse: sse.or_else(|| kms_key_arn.as_ref().map(|_| KMS.to_owned())),
        kms_key_arn,
        storage_class,
        acl,
        expected_bucket_owner: owner.or_else(|| account_of(&role_arn)).filter(|owner| owner != ANY_OWNER),
        sources,
        name,
        region,
        bucket,
        prefix,
        role_arn,
        external_id,
        batch_bytes_max,
        layout,
        manifest: table.manifest.unwrap_or(false),
        enabled: table.enabled.unwrap_or(true),
    }
}

fn trimmed(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim)
}

fn filled(value: &Option<String>) -> Option<&str> {
    trimmed(value).filter(|value| !value.is_empty())
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

fn word_fault(word: &str, known: &[&str]) -> Option<String> {
    (!known.contains(&word)).then(|| format!("is not allowed; write one of {}", known.join(", ")))
}

fn sse_fault(sse: &str, has_key: bool) -> Option<String> {
    let beside_key = || format!("is not for KMS keys, and a key is set; write {KMS}, or leave the key out");
    word_fault(sse, &SSE).or_else(|| (has_key && sse != KMS).then(beside_key))
}

fn owner_fault(owner: &str) -> Option<String> {
    let is_owner = is_account(owner) || owner == ANY_OWNER;
    (!is_owner).then(|| format!("is not an account; write its 12 digits, or {ANY_OWNER}"))
}
