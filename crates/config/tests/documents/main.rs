//! A document is read as it says, and every fault of it is reported with its place and without its values.

#![allow(clippy::unwrap_used, reason = "tests")]

mod destinations;
mod document;
mod environment;
mod mappings;

use config::Config;
use protocol::reading::Reading;

const GOOD: &str = r#"
[reading]
zone = "Europe/Berlin"

[[source]]
name = "crm"
id = "qv5iYYMxd94DahFpRzm58y"
write_key = "env:CRM_KEY"
region = "eu"
match = ["crm/**", "hubspot/**"]

[[source]]
name = "shop"
id = "mctPe02Qp3"
write_key = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop"

[[mapping]]
name = "hubspot-contacts"
match = "hubspot/**/*contacts*.csv"
call = "identify"
rest = "traits"
message_id = ["Record ID"]
columns."Record ID" = "userId"
columns."Email" = ["userId", { to = "traits.email", lower = true, trim = true }]
columns."Amount" = { to = "traits.amount:number", if_bad = "omit" }

[[mapping]]
name = "erp"
match = "erp/*.csv"
source = "shop"
object = "customers"
delimiter = "semicolon"
encoding = "windows-1252"
dates = ["%d.%m.%Y"]
skip_lines = 2
decimal = ","
also = true
set = { "properties.store" = "de", "properties.rank" = 3 }
where = { "Status" = { is = ["paid"], not = "void" }, "Email" = { filled = true } }
group = "Nr"
[mapping.columns]
"Kundennummer" = { to = "id", prefix = "erp-", strip = { characters = "0", side = "left" }, names = ["Kd-Nr"], optional = true }
"Umsatz" = { to = "properties.total", type = "number" }
"Art" = { to = "properties.kind", values = { "1" = "gold" }, else = "none", sha256 = true, nulls = ["-"] }

[[destination]]
name = "prod"
region = "eu-west-1"
bucket = "their-logs/some/prefix/"
role_arn = "arn:aws:iam::123456789012:role/SegmentAWSS3Role"
external_id = "workspace-id"
sources = ["crm"]
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, &Reading::default()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn faults(text: &str) -> Vec<String> {
    Config::parse(text, &Reading::default()).unwrap_err().iter().map(ToString::to_string).collect()
}

/// The good document with one line in place of the line that begins alike, or behind the line that begins with `after`.
fn with(before: &str, line: &str) -> String {
    assert!(GOOD.contains(before), "{before}");
    GOOD.replacen(before, line, 1)
}
