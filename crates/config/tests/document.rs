//! A document is read as it says, and every fault of it is reported with its place and without its values.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use config::environment::{Reader, variable};
use config::settings::READING;
use config::source::Secret;
use config::{Config, ForKey, NoMatch, Single};
use protocol::mapping::{Decimal, IfBad, Rest, Side};
use protocol::reading::{Delimiter, EmptyCells, Encoding, Quote, Quoting, Reading};

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

#[test]
fn a_document_becomes_what_it_says() {
    let config = parse(GOOD);
    assert_eq!(config.reading.timestamp_zone.as_deref(), Some("Europe/Berlin"));
    let [crm, shop] = &config.sources[..] else { panic!("two sources") };
    assert_eq!((crm.name.as_str(), crm.region.as_deref()), ("crm", Some("eu")));
    assert_eq!(crm.write_key, Some(Secret::Environment("CRM_KEY".into())));
    assert!(matches!(shop.write_key, Some(Secret::SecretsManager(_))));
    let hubspot = config.mapping_named("hubspot-contacts").unwrap().mapping();
    let names: Vec<&str> = hubspot.columns.iter().map(|column| column.names[0].as_str()).collect();
    assert_eq!(names, ["Record ID", "Email", "Amount"], "in the order of the document");
    assert_eq!((hubspot.rest, &hubspot.message_id), (Rest::Traits, &vec!["Record ID".to_owned()]));
    let email = &hubspot.columns[1].fields;
    assert!(email[0].to == "userId" && email[1].to == "traits.email" && email[1].lower && email[1].trim);
    let amount = &hubspot.columns[2].fields[0];
    assert_eq!(
        (amount.to.as_str(), amount.cell.as_deref(), amount.if_bad),
        ("traits.amount", Some("number"), IfBad::Omit)
    );

    let erp = config.mapping_named("erp").unwrap();
    assert_eq!((erp.reading.delimiter, erp.reading.skip_lines), (Some(Delimiter::Semicolon), 2));
    assert_eq!(erp.reading.encoding.map(Encoding::name), Some("windows-1252"));
    assert_eq!(erp.reading.timestamp_zone.as_deref(), Some("Europe/Berlin"), "what a mapping leaves out holds");
    let mapping = erp.mapping();
    assert_eq!((mapping.call.as_str(), mapping.collection.as_deref()), ("object", Some("customers")));
    let constants: Vec<_> = mapping.set.iter().map(|set| (set.to.as_str(), set.json.as_str())).collect();
    assert_eq!(constants, [("properties.store", "\"de\""), ("properties.rank", "3")]);
    let number = &mapping.columns[0];
    assert_eq!(
        (number.names.as_slice(), number.optional),
        (&["Kundennummer".to_owned(), "Kd-Nr".to_owned()][..], true)
    );
    assert_eq!(number.fields[0].strip.as_ref().map(|strip| strip.side), Some(Side::Left));
    assert_eq!(mapping.columns[1].fields[0].decimal, Decimal::Comma, "the mapping's");
    assert_eq!(mapping.columns[2].fields[0].decimal, Decimal::Point, "no number");
    let [status, filled] = &mapping.filters[..] else { panic!("two filters") };
    assert!(status.is == ["paid"] && status.not == ["void"] && filled.filled == Some(true));

    let destination = config.routes.named("prod").unwrap();
    assert_eq!((destination.bucket.as_str(), destination.prefix.as_str()), ("their-logs", "some/prefix"));
    assert!(destination.sources.contain(&crm.id) && !destination.sources.contain(&shop.id), "a source by its name");
}

#[test]
fn the_first_mapping_and_the_first_source_that_match_a_key_are_used() {
    let config = parse(GOOD);
    let found = |key: &str| {
        let found = config.for_key(key).unwrap();
        let name = |one: &ForKey<'_>| one.reading.mapping.as_ref().map(|mapping| mapping.name.clone());
        found.iter().map(|one| (name(one), one.source)).collect::<Vec<_>>()
    };
    assert_eq!(found("hubspot/2026/All-Contacts-1.CSV"), [(Some("hubspot-contacts".into()), Some(0))]);
    assert_eq!(found("hubspot/deals.csv"), [(None, Some(0))]);
    assert_eq!(found("erp/kunden.csv"), [(Some("erp".into()), Some(1))], "a mapping's source wins");
    assert_eq!(found("erp/old/kunden.csv"), [(None, Some(1))], "* stops at a folder");
    assert_eq!(config.nearest_pattern("erp2/kunden.csv"), Some("erp/*.csv"));
    let accented = parse(&with("erp/*.csv", "erp/M\u{fc}nchen*.csv"));
    assert_eq!(accented.for_key("erp/mu\u{308}nchen_1.csv").unwrap()[0].mapping_name(), "erp", "as macOS names files");

    let only_crm = GOOD.replace("id = \"mctPe02Qp3\"", "id = \"mctPe02Qp3\"\nmatch = \"shop/**\"");
    assert_eq!(parse(&only_crm).for_key("track_1.csv"), Err(NoMatch::Source));
    let both = GOOD.replace("match = \"hubspot/**/*contacts*.csv\"", "match = \"erp/**\"\nalso = true");
    assert_eq!(parse(&both).for_key("erp/x.csv").unwrap().len(), 2, "one file feeds two mappings");
    assert_eq!(parse("").for_key("track_1.csv").unwrap()[0].source, None);
    let names_alone = "[[source]]\nname = \"Website\"\nid = \"qv5iYYMxd94DahFpRzm58y\"";
    assert_eq!(parse(names_alone).for_key("track_1.csv").unwrap()[0].source, None, "it only names an id");
}

#[test]
fn a_rejects_file_is_read_by_the_mapping_that_refused_its_rows_alone() {
    let both = GOOD.replace("match = \"hubspot/**/*contacts*.csv\"", "match = \"erp/**\"\nalso = true");
    let config = parse(&both);
    let readers = |key: &str| {
        let found = config.for_key(key).unwrap();
        found.iter().map(|one| (one.mapping_name().to_owned(), one.source)).collect::<Vec<_>>()
    };
    let (hubspot, erp) = (("hubspot-contacts".to_owned(), Some(1)), ("erp".to_owned(), Some(1)));
    assert_eq!(readers("erp/kunden.csv"), [hubspot.clone(), erp.clone()]);
    assert_eq!(readers("erp/kunden.hubspot-contacts.rejects.csv"), std::slice::from_ref(&hubspot));
    assert_eq!(readers("erp/kunden.erp.rejects.csv"), std::slice::from_ref(&erp), "not by the mapping before it");
    assert_eq!(readers("erp/kunden.erp.rejects.erp.rejects.csv.gz"), std::slice::from_ref(&erp), "refused again");
    assert_eq!(readers("elsewhere/kunden.erp.rejects.csv"), std::slice::from_ref(&erp), "whatever the patterns say");
    for copy in ["erp/KUNDEN.ERP.REJECTS.CSV", "erp/kunden.erp.rejects (1).csv", "erp/kunden.erp.rejects - Kopie.csv"] {
        assert_eq!(readers(copy), std::slice::from_ref(&erp), "{copy}");
    }
    assert_eq!(readers("erp/kunden.former.rejects.csv"), [hubspot, erp], "no mapping has that name, and each stops it");
}

#[test]
fn a_person_of_the_samples_who_changed_gets_another_message_id() {
    let samples = parse(include_str!("../../../samples/segment-s3.toml"));
    let of_people = samples.mappings.iter().map(|rule| rule.mapping()).filter(|mapping| mapping.call == "identify");
    for mapping in of_people {
        let changes = |name: &String| {
            let column = mapping.columns.iter().find(|column| column.names.contains(name));
            column.is_some_and(|column| column.fields.iter().any(|field| field.to == "timestamp"))
        };
        assert!(mapping.message_id.is_empty() || mapping.message_id.iter().any(changes), "{}", mapping.name);
    }
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let text = r#"
[reading]
delimter = "comma"
zone = "New York"
dates = ["%Y-%m-%d", "%H:%M"]

[[source]]
name = "a\tb"
id = 7

[[mapping]]
name = "m"
match = ["ok/*", "bad[/*"]
call = "identfy"
columns."Email" = { too = "traits.email", type = "nubmer" }
columns."Plan" = { to = "traits.plan", lower = "yes" }
where = { "A" = { } }

[[destination]]
name = "prod"
bucket = "s3://x-y-z"
role_arn = 7

[routes]
"#;
    let faults = faults(text);
    for expected in [
        "line 3, column 1: `reading.delimter` is not known; is `delimiter` meant?",
        "line 4, column 8: `reading.zone` is not a time zone",
        "line 5, column 9: `reading.dates` 2 is not a strftime format",
        "line 8, column 8: source 1: `name` is not a name",
        "line 9, column 6: source 1: `id` is a whole number; write a text in quotes",
        "line 13, column 18: mapping 1 (m): `match[1]` is not a glob",
        "line 14, column 8: mapping 1 (m): `call` is not known; is `identify` meant?",
        "line 15, column 21: mapping 1 (m): `columns.Email.too` is not known; is `to` meant?",
        "`columns.Email` has no `to`",
        "`columns.Email.type` is not known; is `number` meant?",
        "line 16, column 48: mapping 1 (m): `columns.Plan.lower` is a text; write true or false",
        "`where.A` has no condition",
        "destination 1 (prod): `bucket` is an s3:// URI",
        "destination 1 (prod): `role_arn` is a whole number",
        "`destination 1` (prod) has no `region`",
        "`destination 1` (prod) has no `external_id`",
        "destination 1 (prod): `sources` is not set",
        "`routes` is not known",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected} is not in\n{}", faults.join("\n"));
    }
    let all = faults.join("\n");
    assert!(!all.contains("`id` has") && !all.contains("has no `role_arn`"), "a wrong kind is not missing too:\n{all}");
    for value in ["New York", "a\tb", "identfy", "x-y-z", "nubmer"] {
        assert!(!all.contains(value), "{value} is a value of the document:\n{all}");
    }
}

#[test]
fn text_that_is_not_toml_is_reported_with_its_places() {
    let faults = faults("[reading]\nzone = \n[[source]\nname = \"x\"\n");
    assert!(faults[0].starts_with("line 2, column 8: not TOML"), "{faults:?}");
    assert!(faults[1].starts_with("line 3, column 10: not TOML"), "{faults:?}");
}

#[test]
fn a_table_that_may_come_often_needs_two_brackets() {
    let faults = faults("[source]\nname = \"x\"\n");
    assert_eq!(faults, ["line 1, column 1: `source` is one table; write it with two brackets: [[…]]"]);
}

#[test]
fn a_wrong_value_of_a_destination_is_called_by_its_kind() {
    let their_role = "role_arn = \"arn:aws:iam::123456789012:role/SegmentAWSS3Role\"";
    for (before, line, words) in [
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"arn:aws:s3:::x\"", "`bucket` is an ARN"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"https://x.s3.amazonaws.com\"", "is a URL"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"Their_Logs\"", "is not a bucket's name"),
        ("bucket = \"their-logs/some/prefix/\"", "bucket = \"logs/segment-logs\"", "which is added to it"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:user/me\"", "`role_arn` is a user's ARN"),
        (their_role, "role_arn = \"arn:aws:sts::123456789012:assumed-role/L/s\"", "is the ARN of a role's session"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:policy/p\"", "is a policy's ARN"),
        (their_role, "role_arn = \"arn:aws:iam::123456789012:root\"", "is an account's ARN"),
        (their_role, "role_arn = \"arn:aws:iam::1234:role/Logs\"", "has no account of 12 digits"),
        (their_role, "role_arn = \"SegmentAWSS3Role\"", "is not an ARN"),
        ("region = \"eu-west-1\"", "region = \"Ireland\"", "`region` is not a region"),
        ("region = \"eu-west-1\"", "region = \"eu-west-1a\"", "is not a region"),
        ("name = \"prod\"", "name = \"prod\"\nkms_key_arn = \"alias/logs\"", "write the key's: arn:aws:kms:eu-west-1"),
        (
            "name = \"prod\"",
            "name = \"prod\"\nkms_key_arn = \"arn:aws:kms:us-east-1:123456789012:key/1\"",
            "another region",
        ),
        ("name = \"prod\"", "name = \"prod\"\nacl = \"public-read\"", "`acl` is not allowed; write one of private"),
        ("name = \"prod\"", "name = \"prod\"\nexpected_bucket_owner = \"me\"", "write its 12 digits, or any"),
        ("name = \"prod\"", "name = \"prod\"\nsse = \"aes256\"", "`sse` is not allowed; write one of AES256, aws:kms"),
        (
            "name = \"prod\"",
            "name = \"prod\"\nsse = \"AES256\"\nkms_key_arn = \"arn:aws:kms:eu-west-1:123456789012:key/1\"",
            "`sse` is not for KMS keys",
        ),
        (
            "name = \"prod\"",
            "name = \"prod\"\nlayout = \"delta\"",
            "`layout` is not allowed; write one of segment, hive",
        ),
        (
            "name = \"prod\"",
            "name = \"prod\"\nstorage_class = \"OUTPOSTS\"",
            "`storage_class` is not allowed; write one of STANDARD,",
        ),
        ("name = \"prod\"", "name = \"prod\"\nbatch_bytes_max = 10", "write a number from 1000000"),
        ("name = \"prod\"", "name = \"prod\"\nenabled = \"yes\"", "`enabled` is a text; write true or false"),
        ("sources = [\"crm\"]", "sources = [\"*\", \"crm\"]", "has \"*\" and other sources"),
        ("sources = [\"crm\"]", "sources = [\"no source\"]", "`sources[0]` is neither the id"),
        ("external_id = \"workspace-id\"", "external_id = \"x\"", "`external_id` is not an external id"),
        ("external_id = \"workspace-id\"", "external_id = \"workspace-id\"\nrolearn = \"x\"", "is `role_arn` meant?"),
    ] {
        let faults = faults(&with(before, line));
        assert!(faults.len() == 1 && faults[0].contains(words), "{line}: {words}: {faults:?}");
    }
}

#[test]
fn regions_of_every_partition_are_known() {
    for (region, partition) in [
        ("us-gov-east-1", "aws-us-gov"),
        ("cn-northwest-1", "aws-cn"),
        ("ap-southeast-4", "aws"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
    ] {
        let there = with("region = \"eu-west-1\"", &format!("region = {region:?}"));
        parse(&there.replace("arn:aws:iam:", &format!("arn:{partition}:iam:")));
    }
}

#[test]
fn a_role_of_another_partition_than_the_bucket_is_refused() {
    for (region, role, expected) in [
        ("eu-west-1", "arn:aws-cn:iam:", "begin with arn:aws:iam::"),
        ("cn-north-1", "arn:aws:iam:", "begin with arn:aws-cn:iam::"),
        ("us-gov-west-1", "arn:aws-cn:iam:", "begin with arn:aws-us-gov:iam::"),
    ] {
        let faults = faults(&GOOD.replace("arn:aws:iam:", role).replace("\"eu-west-1\"", &format!("{region:?}")));
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert!(fault.contains("`role_arn` is of another partition than the bucket's region"), "{fault}");
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn the_bucket_belongs_to_the_account_of_the_role_unless_the_document_says_otherwise() {
    let owner = |line: &str| {
        let config = parse(&with("name = \"prod\"", &format!("name = \"prod\"\n{line}")));
        config.routes.destinations[0].expected_bucket_owner.clone()
    };
    assert_eq!(owner("").as_deref(), Some("123456789012"));
    assert_eq!(owner("expected_bucket_owner = \"999999999999\"").as_deref(), Some("999999999999"));
    assert_eq!(owner("expected_bucket_owner = \"any\""), None);
}

#[test]
fn a_kms_key_needs_no_word_about_encryption() {
    let sse = |lines: &str| {
        let config = parse(&with("name = \"prod\"", &format!("name = \"prod\"\n{lines}")));
        config.routes.destinations[0].sse.clone()
    };
    let key = "kms_key_arn = \"arn:aws:kms:eu-west-1:123456789012:key/1\"";
    assert_eq!(sse(""), None);
    assert_eq!(sse(key).as_deref(), Some("aws:kms"));
    assert_eq!(sse(&format!("{key}\nsse = \"aws:kms\"")).as_deref(), Some("aws:kms"));
    assert_eq!(sse("sse = \"AES256\"").as_deref(), Some("AES256"));
}

/// The good document with a second destination, which has these lines in place of those that begin alike.
fn with_second(lines: &str) -> String {
    let (_, table) = GOOD.split_once("[[destination]]").unwrap();
    let table = lines.lines().fold(table.replace("\"prod\"", "\"other\""), |table, line| {
        let (key, _) = line.split_once(" = ").unwrap();
        let kept = table.lines().filter(|kept| !kept.starts_with(key)).collect::<Vec<_>>().join("\n");
        format!("{kept}\n{line}\n")
    });
    format!("{GOOD}\n[[destination]]{table}")
}

#[test]
fn one_role_under_two_external_ids_is_warned_of() {
    let warnings = |lines: &str| {
        let config = parse(&with_second(&format!("bucket = \"other-logs\"\n{lines}")));
        config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = warnings("external_id = \"another-secret-id\"");
    let [warning] = &found[..] else { panic!("{found:?}") };
    assert!(
        warning.contains("`destination 2` (other) has the role of destination `prod` and another external id"),
        "{warning}"
    );
    assert!(warning.starts_with("line ") && !warning.contains("secret"), "{warning}");
    assert_eq!(warnings("enabled = true"), [""; 0]);
    let another_role = "role_arn = \"arn:aws:iam::123456789012:role/Another\"\nexternal_id = \"another\"";
    assert_eq!(warnings(another_role), [""; 0]);
}

/// Each secret is damaged at each of its characters. Only faults of the syntax are looked at: other faults name keys, and
/// a damaged value may have become a key.
#[test]
fn no_syntax_error_prints_the_line_that_it_is_in() {
    let secrets = ["env:CRM_KEY", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop", "workspace-id"];
    let mut refused = 0;
    for secret in secrets {
        let at = GOOD.find(secret).unwrap();
        let places = at.saturating_sub(1)..=at + secret.len();
        for (place, damage) in
            places.flat_map(|place| ["", "\"", "'", "\n", "\\", "]", "}", "=", "\0"].map(|damage| (place, damage)))
        {
            let text = format!("{}{damage}{}", &GOOD[..place], &GOOD[place + 1..]);
            let Err(faults) = Config::parse(&text, &Reading::default()) else { continue };
            refused += 1;
            for fault in faults.iter().map(ToString::to_string).filter(|fault| fault.contains("not TOML")) {
                let words = secret.split([':', '-', '_']).filter(|word| word.len() > 4);
                let told: Vec<&str> = words.filter(|word| fault.contains(word)).collect();
                assert_eq!(told, [""; 0], "{text}\n{fault}");
            }
        }
    }
    assert!(refused > 200, "the damage makes faults: {refused}");
}

#[test]
fn no_event_is_put_twice_into_one_place() {
    for sources in ["sources = [\"*\"]", "sources = [\"qv5iYYMxd94DahFpRzm58y\"]"] {
        let faults = faults(&with_second(sources));
        assert!(faults[0].contains("puts the same sources into the same bucket"), "{faults:?}");
        parse(&with_second(&format!("{sources}\nbucket = \"their-logs/other\"")));
    }
    parse(&with_second("sources = [\"shop\"]"));
    let twice = faults(&with_second("name = \"prod\"\nbucket = \"other-logs\""));
    assert!(twice[0].contains("has the name of another destination"), "{twice:?}");
}

#[test]
fn a_colon_in_a_name_stands_before_a_type() {
    for (to, field) in [
        ("\"traits.utm:source:string\"", "traits.utm:source"),
        ("{ to = \"traits.utm:source\", type = \"string\" }", "traits.utm:source"),
        ("{ to = \"traits.a\", type = \"integer\" }", "traits.a"),
    ] {
        let config = parse(&with("{ to = \"traits.amount:number\", if_bad = \"omit\" }", to));
        let mapping = config.mapping_named("hubspot-contacts").unwrap().mapping();
        assert_eq!(mapping.columns[2].fields[0].to, field);
    }
}

#[test]
fn contradictory_mappings_are_refused() {
    for (before, line, words) in [
        ("call = \"identify\"", "call = \"identify\"\nobject = \"x\"", "`object` stands beside `call`"),
        ("call = \"identify\"", "", "has no `call`"),
        ("object = \"customers\"", "object = \"Customers\"", "is not a collection"),
        ("source = \"shop\"", "source = \"shopp\"", "`source` is not known; is `shop` meant?"),
        (
            "write_key = \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop\"",
            "",
            "is a source without `write_key`",
        ),
        ("name = \"erp\"", "name = \"HubSpot-Contacts\"", "is the name of another mapping, in any case"),
        (
            "traits.amount:number",
            "traits.amount:int",
            "`columns.Amount` ends in no type behind its colon; write `string`",
        ),
        ("traits.amount:number", "traits.utm:source", "such as `traits.utm:source:string`"),
        ("\"properties.rank\" = 3", "\"properties.rank:int\" = 3", "has a type; leave it out"),
        ("type = \"number\" }", "type = \"number\", split = \";\" }", "gives a list of texts"),
        ("else = \"none\", ", "else = \"none\", decimal = \",\", ", "is for numbers"),
        ("values = { \"1\" = \"gold\" }, ", "", "stands without `values`"),
        ("name = \"erp\"", "name = \"hubspot-contacts\"", "is the name of another mapping, in any case"),
        ("match = \"erp/*.csv\"", "", "has no `match`"),
        ("name = \"erp\"", "name = \"new.hubspot-contacts\"", "and so do their rejects files"),
    ] {
        let faults = faults(&with(before, line));
        assert!(faults.len() == 1 && faults[0].contains(words), "{line}: {words}: {faults:?}");
    }
}

fn environment(settings: &[(&str, &str)]) -> (Reading, Vec<String>) {
    let get = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let mut reader = Reader::new(&get);
    let reading = config::reading::of_environment(&mut reader);
    (reading, reader.finish(()).err().map(|faults| faults.0).unwrap_or_default())
}

#[test]
fn without_settings_files_are_read_by_the_defaults() {
    assert_eq!(environment(&[]), (Reading::default(), Vec::new()));
    let blank = [("COLLECTIONS", ""), ("INFER_TYPES", " "), ("CSV_ENCODING", ""), ("CSV_DELIMITER", " ")];
    assert_eq!(environment(&blank), (Reading::default(), Vec::new()));
}

#[test]
fn every_key_of_reading_can_be_set_in_the_environment() {
    let (reading, faults) = environment(&[
        ("COLLECTIONS", "room_types, rooms,"),
        ("TIMESTAMP_COLUMNS", "seenAt,traits.born"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y %H:%M; %b %d, %Y;%s"),
        ("INFER_TYPES", "True"),
        ("EMPTY_CELLS", "null"),
        ("UNKNOWN_COLUMNS", "Top"),
        ("CSV_ENCODING", "latin1"),
        ("CSV_DELIMITER", "\t"),
        ("CSV_QUOTE", "single"),
        ("CSV_ESCAPE", "backslash"),
        ("TIMESTAMP_ZONE", "America/New_York"),
        ("NULLS", "NULL, \\N"),
        ("ID_NULLS", "0,[object Object]"),
    ]);
    assert_eq!(faults, Vec::<String>::new());
    let quoting = Quoting { quote: Quote::Single, escape: protocol::reading::Escape::Backslash, ..Quoting::default() };
    assert_eq!(reading.quoting, Some(quoting));
    assert_eq!(reading.timestamp_zone.as_deref(), Some("America/New_York"));
    assert_eq!(reading.nulls, ["NULL", "\\N"]);
    assert_eq!(reading.id_nulls.as_deref(), Some(&["0".to_owned(), "[object Object]".to_owned()][..]));
    assert_eq!(reading.collections, ["room_types", "rooms"]);
    assert_eq!(reading.timestamp_columns, ["seenAt", "traits.born"]);
    assert_eq!(reading.timestamp_formats, ["%d/%m/%Y %H:%M", "%b %d, %Y", "%s"]);
    assert!(reading.infer_types);
    assert_eq!(reading.empty_cells, EmptyCells::Null);
    assert_eq!(reading.unknown_columns, protocol::reading::UnknownColumns::Top);
    assert_eq!(reading.encoding.map(Encoding::name), Some("windows-1252"));
    assert_eq!(reading.delimiter, Some(Delimiter::Tab));
}

#[test]
fn every_key_of_reading_changes_how_files_are_read() {
    let samples = BTreeMap::from([
        ("CSV_ENCODING", "latin1"),
        ("CSV_DELIMITER", "tab"),
        ("CSV_QUOTE", "single"),
        ("CSV_ESCAPE", "backslash"),
        ("NULLS", "-"),
        ("ID_NULLS", "0"),
        ("COLLECTIONS", "rooms"),
        ("TIMESTAMP_COLUMNS", "seenAt"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y"),
        ("TIMESTAMP_ZONE", "Europe/Berlin"),
        ("INFER_TYPES", "true"),
        ("EMPTY_CELLS", "null"),
        ("UNKNOWN_COLUMNS", "top"),
    ]);
    let declared: Vec<_> = READING.iter().map(|setting| setting.name).collect();
    assert!(declared.iter().all(|name| samples.contains_key(name)), "a sample for each: {declared:?}");
    for (name, value) in samples {
        let (reading, faults) = environment(&[(name, value)]);
        assert!(faults.is_empty() && reading != Reading::default(), "{name}: {faults:?}");
    }
}

#[test]
fn recognition_and_off_can_be_set_too() {
    let (reading, faults) = environment(&[("CSV_ENCODING", "Auto"), ("CSV_QUOTE", "double"), ("ID_NULLS", "off")]);
    assert_eq!(faults, Vec::<String>::new());
    assert!(reading.encoding_auto && reading.encoding.is_none());
    assert_eq!(reading.quoting, Some(Quoting::default()));
    assert_eq!(reading.id_nulls, Some(Vec::new()));
}

#[test]
fn faults_of_reading_are_reported_together_by_setting() {
    let (reading, faults) = environment(&[
        ("COLLECTIONS", "rooms,Rooms2"),
        ("TIMESTAMP_FORMATS", "%d/%m/%Y;%H:%M;%Q"),
        ("INFER_TYPES", "maybe"),
        ("EMPTY_CELLS", "drop"),
        ("UNKNOWN_COLUMNS", "bottom"),
        ("CSV_ENCODING", "iso-2022-jp"),
        ("CSV_DELIMITER", ":"),
        ("TIMESTAMP_ZONE", "New York"),
        ("CSV_QUOTE", "`"),
        ("CSV_ESCAPE", "/"),
    ]);
    let all = faults.join("\n");
    for words in [
        "COLLECTIONS 2 is not a collection",
        "TIMESTAMP_FORMATS 2 is not a strftime format",
        "TIMESTAMP_FORMATS 3 reads names of time zones",
        "INFER_TYPES is \"maybe\"",
        "EMPTY_CELLS is not known; write omit",
        "UNKNOWN_COLUMNS is not known; write refuse or top",
        "CSV_ENCODING cannot be read",
        "CSV_DELIMITER is not a delimiter",
        "TIMESTAMP_ZONE is not a time zone",
        "CSV_QUOTE is not known",
        "CSV_ESCAPE is not known",
    ] {
        assert!(all.contains(words), "{words} is not in\n{all}");
    }
    assert_eq!(faults.len(), 11);
    assert_eq!(reading.timestamp_formats, ["%d/%m/%Y"]);
}

#[test]
fn a_delimiter_within_characters_is_refused() {
    let (_, faults) =
        environment(&[("CSV_ENCODING", "shift_jis"), ("CSV_DELIMITER", "|"), ("CSV_ESCAPE", "backslash")]);
    assert!(faults[0].starts_with("CSV_DELIMITER is `|`, which is part of characters in Shift_JIS"), "{faults:?}");
    assert!(faults[1].starts_with("CSV_ESCAPE is a backslash, which is part of characters"), "{faults:?}");
}

#[test]
fn one_destination_comes_from_the_settings() {
    let set = [
        ("DESTINATION_BUCKET", "their-logs/some/prefix/"),
        ("DESTINATION_REGION", "eu-west-1"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:role/SegmentAWSS3Role"),
        ("DESTINATION_EXTERNAL_ID", "workspace-id"),
    ];
    let read = |set: &[(&str, &str)]| {
        let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::new(&get);
        let routes = Single::read(&mut reader);
        reader.finish(routes).map_err(|faults| faults.0)
    };
    let routes = read(&set).unwrap();
    let destination = routes.named(Single::NAME).unwrap();
    assert_eq!((destination.bucket.as_str(), destination.prefix.as_str()), ("their-logs", "some/prefix"));
    assert_eq!(destination.expected_bucket_owner.as_deref(), Some("123456789012"), "the account of the role");
    let more = [
        ("DESTINATION_SSE", "aws:kms"),
        ("DESTINATION_KMS_KEY_ARN", "arn:aws:kms:eu-west-1:123456789012:key/1"),
        ("DESTINATION_STORAGE_CLASS", "STANDARD_IA"),
        ("DESTINATION_ACL", "bucket-owner-full-control"),
        ("DESTINATION_EXPECTED_BUCKET_OWNER", "any"),
    ];
    let routes = read(&[&set[..], &more].concat()).unwrap();
    let destination = routes.named(Single::NAME).unwrap();
    let set_values = [&destination.sse, &destination.kms_key_arn, &destination.storage_class, &destination.acl];
    assert_eq!(set_values.map(|value| value.as_deref().unwrap()), [more[0].1, more[1].1, more[2].1, more[3].1]);
    assert_eq!(destination.expected_bucket_owner, None);
    let wrong = more.map(|(name, _)| (name, "x"));
    let faults = read(&[&set[..], &wrong].concat()).unwrap_err();
    for (name, _) in wrong {
        assert!(faults.iter().any(|fault| fault.starts_with(name)), "{name}: {faults:#?}");
    }
    let faults = read(&[
        ("DESTINATION_BUCKET", "s3://their-logs/prefix"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:user/me"),
        ("DESTINATION_EXTERNAL_ID", "x"),
    ])
    .unwrap_err();
    let [region, bucket, role, id] = &faults[..] else { panic!("{faults:#?}") };
    assert!(bucket.contains("DESTINATION_BUCKET is an s3:// URI"), "{bucket}");
    assert!(region.contains("DESTINATION_REGION is not set"), "{region}");
    assert!(role.contains("is a user's ARN"), "{role}");
    assert!(id.contains("DESTINATION_EXTERNAL_ID is not an external id"), "{id}");
}

#[test]
fn an_empty_variable_is_not_set() {
    assert_eq!(variable("SEGMENT_S3_THAT_NOBODY_SETS"), None);
}

/// A mapping that has every kind of field, with a line in place of the line that begins with the same key.
fn mapping_with(lines: &[&str]) -> String {
    let sound = [
        "name = \"m\"",
        "match = \"in/*.csv\"",
        "call = \"track\"",
        "set.\"event\" = \"Order Completed\"",
        "columns.\"Id\" = \"userId\"",
        "columns.\"Total\" = \"properties.total\"",
    ];
    let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
    let kept = sound.iter().filter(|line| !lines.iter().any(|other| key(other) == key(line)));
    let all: Vec<&str> = kept.chain(lines).copied().filter(|line| !line.ends_with(" = ")).collect();
    format!("[[mapping]]\n{}\n", all.join("\n"))
}

#[test]
fn a_fault_that_every_file_would_meet_is_found_in_the_document() {
    parse(&mapping_with(&[]));
    for (lines, words) in [
        (&["set.\"event\" = "][..], "`mapping 1` (m): the mapping makes no `event`"),
        (&["columns.\"Id\" = "], "makes no `userId` or `anonymousId`"),
        (&["call = \"group\""], "makes no `groupId`"),
        (&["set.\"properties.total\" = 1"], "cannot both go to `properties.total`"),
        (&["set.\"properties.total.net\" = 1"], "cannot both go to"),
        (&["columns.\"A\" = \"properties.total.net\""], "cannot both go to"),
        (&["set.\"event\" = 5"], "`set.event`: always a string"),
        (&["set.\"event\" = \" \""], "the constant `event` is empty"),
        (&["set.\"timestamp\" = \"yesterday\""], "`set.timestamp` is not a date"),
        (&["columns.\"A\" = \"properties.total:number\""], "another column goes there as another type"),
        (&["columns.\"Id\" = { to = \"userId\", split = \";\" }"], "always a string"),
        (&["columns.\"Id\" = \"userId:number\""], "always a string"),
        (&["columns.\"A\" = { to = \"timestamp\", type = \"date\" }"], "always a timestamp"),
        (&["columns.\"A\" = \"properties.p[].list[]\"", "group = \"Id\""], "is no path"),
        (&["columns.\"A\" = \"properties.p[x]\""], "`properties.p[x]` is no path"),
        (
            &["columns.\"A\" = { to = \"properties.a\", type = \"number\", decimal = \",\", prefix = \"x\" }"],
            "goes with no",
        ),
        (&["columns.\"A\" = \"messageId\"", "message_id = [\"Id\"]"], "messageId"),
        (&["group = \"\""], "has an empty name"),
        (&["match = \"\""], "`match` has an empty pattern"),
        (&["columns.\"A\" = \"type\""], "`columns.A` is never sent there"),
    ] {
        let faults = faults(&mapping_with(lines));
        assert!(faults.len() == 1 && faults[0].contains(words), "{lines:?}: {words}: {faults:?}");
        assert!(faults[0].starts_with("line "), "{faults:?}");
    }
}

#[test]
fn every_fault_of_compiling_has_the_place_of_its_part() {
    let text = mapping_with(&[
        "columns.\"Id\" = [\"userId:number\", \"properties.id\"]",
        "columns.\"A\" = \"properties.p[x]\"",
        "set.\"properties.total.net\" = 1",
        "set.\"timestamp\" = \"gestern\"",
        "columns.\"B\" = { to = \"properties.b\", values = {}, if_bad = \"omit\", type = \"number\" }",
    ]);
    let places = [
        "line 7, column 17: mapping 1 (m): `columns.Id[0]`: always a string",
        "line 8, column 15: mapping 1 (m): `columns.A`: `properties.p[x]` is no path",
        "line 9, column 30: mapping 1 (m): `set.\"properties.total.net\"`: `Total` and",
        "line 10, column 19: mapping 1 (m): `set.timestamp` is not a date",
        "line 11, column 47: mapping 1 (m): `columns.B.values` is empty",
    ];
    let faults = faults(&text);
    assert!(faults.len() == places.len(), "{faults:#?}");
    assert!(faults.iter().zip(places).all(|(fault, place)| fault.starts_with(place)), "{faults:#?}");
}

#[test]
fn what_passes_and_is_not_what_it_says_is_a_fault() {
    for (lines, words) in [
        (&["message_id = []"][..], "`message_id` is empty"),
        (&["columns.\"\" = \"properties.a\""], "has an empty name of a column"),
        (&["columns.\"A#0\" = \"properties.a\""], "the second of two equal names is `Name#2`"),
        (&["where.\"A#0\" = { filled = true }"], "has a number that no column has"),
        (&["where.\"A\" = { is = \"x\", not = \"x\" }"], "`where.A.is` has a text that another condition"),
        (&["where.\"A\" = { is = \"x\", empty = true }"], "`where.A.is` has a text that another condition"),
        (&["where.\"A\" = { is = \"…\" }"], "has the blank `…`"),
        (&["columns.\"A\" = { to = \"properties.a\", if_bad = \"omit\" }"], "`columns.A.if_bad` has no effect"),
        (&["set.\"properties.createdAt\" = \"gestern\""], "`set.\"properties.createdAt\"` is not a date"),
        (&["set.\"userId\" = \"NULL\"", "columns.\"Id\" = "], "`set.userId` does not count as an id"),
        (&["columns.\"A\" = [[\"properties.a\"]]"], "is a list; write a path in quotes, or a table"),
        (&["match = \"s3://b/x.csv\""], "`match` is a URI; write the key alone"),
        (&["match = [\"a\", \"/x/*.csv\"]"], "`match[1]` begins with a `/`"),
        (&["columns.\"A\" = \"properties..x\""], "a part of it is empty, write a name between its dots"),
        (&["columns.\"A\" = \"properties[].x\"", "group = \"Id\""], "`properties` is an object and takes no list"),
        (
            &["columns.\"A\" = { to = \"properties.createdAt\", prefix = \"a\" }"],
            "`columns.A.prefix` makes of each cell",
        ),
    ] {
        let faults = faults(&mapping_with(lines));
        assert!(faults.len() == 1 && faults[0].contains(words), "{lines:?}: {words}: {faults:?}");
    }
    let versions = ["columns.\"A\" = { to = \"properties.x\", optional = true }", "columns.\"B\" = \"properties.x.y\""];
    parse(&mapping_with(&versions));
}

#[test]
fn a_mapping_that_an_earlier_one_leaves_no_file_is_refused() {
    let is_hidden = |earlier: &str, later: &str| {
        let one = mapping_with(&[&format!("match = {earlier}")]);
        let other = mapping_with(&["name = \"n\"", &format!("match = {later}")]);
        Config::parse(&format!("{one}{other}"), &Reading::default()).is_err()
    };
    for (earlier, later, expected) in [
        ("\"**\"", "\"in/*.csv\"", true),
        ("\"**/*.csv\"", "\"in/orders*.csv\"", true),
        ("\"in/*\"", "\"IN/a?.csv\"", true),
        ("\"in/**\"", "\"in/**/a*.csv\"", true),
        ("[\"a*\", \"b*\"]", "[\"a1*\", \"b1*\"]", true),
        ("\"a*\"", "[\"a1*\", \"b1*\"]", false),
        ("\"*.csv\"", "\"**/*.csv\"", false),
        ("\"in/a*.csv\"", "\"in/*.csv\"", false),
        ("\"in/*_*.csv\"", "\"in/a*.csv\"", false),
    ] {
        assert_eq!(is_hidden(earlier, later), expected, "{earlier} {later}");
    }
}

#[test]
fn a_fault_quotes_no_value_beside_names_and_paths() {
    let secret = "ZQSECRET";
    let text = GOOD
        .replace("\"env:CRM_KEY\"", "\"ZQSECRET with blanks\"")
        .replace("region = \"eu\"", "region = \"ZQSECRET\"")
        .replace("match = [\"crm/**\"", "match = [\"s3://ZQSECRET/**\"")
        .replace("zone = \"Europe/Berlin\"", "zone = \"ZQSECRET\"\nnulls = [\"ZQSECRET\", 5]")
        .replace("\"properties.store\" = \"de\"", "\"properties.createdAt\" = \"ZQSECRET\", \"id\" = \"ZQSECRET\"")
        .replace("is = [\"paid\"], not = \"void\"", "is = [\"ZQSECRET\"], not = \"ZQSECRET\"")
        .replace("prefix = \"erp-\", ", "prefix = \"…ZQSECRET\", ")
        .replace("else = \"none\"", "type = \"number\", else = \"ZQSECRET\", decimal = \"ZQSECRET\"")
        .replace("\"1\" = \"gold\"", "\"ZQSECRET\" = \"ZQSECRET\", \"2\" = 5")
        .replace("\"workspace-id\"", "\"Z\"")
        .replace("delimiter = \"semicolon\"", "delimiter = \"ZQSECRET\"")
        .replace("call = \"identify\"", "call = \"ZQSECRET\"");
    let faults = faults(&text);
    assert!(faults.len() > 10, "{faults:#?}");
    assert!(!faults.join("\n").contains(secret), "{faults:#?}");
}

#[test]
fn a_mapping_that_would_spoil_data_is_refused() {
    let object = ["call = ", "set.\"event\" = ", "object = \"orders\"", "columns.\"Id\" = \"id\""];
    let of_object = |line: &'static str| [&object[..], &[line]].concat();
    for (lines, words) in [
        (vec!["set.\"messageId\" = \"x\""], "`set.messageId` is the same in every call"),
        (vec!["set.\"writeKey\" = \"x\""], "`set.writeKey` is never sent"),
        (vec!["set.\"type\" = \"page\""], "`set.type` is never sent"),
        (vec!["set.\"properties.h:number\" = \"5\""], "has a type; leave it out"),
        (vec!["set.\"properties.h\" = nan"], "is a number that JSON does not have"),
        (vec!["set.\"properties.h\" = [1.0, -inf]"], "is a number that JSON does not have"),
        (vec!["set.\"properties.h\" = 1e400"], "is a number that JSON does not have"),
        (vec!["rest = \"traits\""], "track calls have properties: write rest = \"properties\""),
        (vec!["call = \"identify\"", "rest = \"properties\""], "identify calls have traits"),
        (
            vec!["columns.\"A\" = { to = \"properties.a\", names = [\"Total\"] }"],
            "`columns.A` has a name that another column has too",
        ),
        (of_object("message_id = [\"Id\"]"), "`message_id` is for calls"),
        (of_object("columns.\"A\" = \"tags[]\""), "`tags[]` is no path"),
        (of_object("columns.\"A\" = { to = \"tags\", split = \";\" }"), "the Objects API takes no lists"),
    ] {
        let faults = faults(&mapping_with(&lines));
        assert!(faults.iter().any(|fault| fault.contains(words)), "{lines:?}: {words}: {faults:?}");
    }
    parse(&mapping_with(&of_object("rest = \"properties\"")));
    let again = mapping_with(&["name = \"n\"", "match = \"IN/*.csv\""]);
    let twice = faults(&format!("{}{again}", mapping_with(&[])));
    assert!(
        twice.len() == 1
            && twice[0].contains(
                "mapping 2 (n): `match` matches no file that an earlier mapping leaves: `m` takes them alone"
            ),
        "{twice:?}"
    );
    parse(&format!("{}{again}", mapping_with(&["also = true"])));
}

#[test]
fn a_fault_is_reported_once_where_it_stands_and_in_words_of_the_document() {
    let check = |text: &str, expected: &[&str]| {
        let faults = faults(text);
        let same = faults.len() == expected.len();
        assert!(same && faults.iter().zip(expected).all(|(fault, words)| fault.contains(words)), "{text}: {faults:#?}");
    };
    check(&mapping_with(&["where.\"T\" = \"x\""]), &["`where.T` is a text; write a table such as { is = "]);
    check(&mapping_with(&["skip_lines = 99999999999"]), &["`skip_lines` is too large; write at most 4294967295"]);
    check(&mapping_with(&["source = \"nope\""]), &["`source` is not known, because the document has no [[source]]"]);
    check(
        &mapping_with(&["match = [\"a\", 5, \"[x\"]"]),
        &["`match[1]` is a whole number", "line 7, column 18: mapping 1 (m): `match[2]` is not a glob"],
    );
    check(&mapping_with(&["match = 5"]), &["`match` is a whole number"]);
    check(&mapping_with(&["call = 5"]), &["`call` is a whole number"]);
    check(
        "[[mapping]]\nname = \"m\"\nmatch = \"*\"\ncall = \"track\"\ncolumns = 5\n",
        &["`columns` is a whole number"],
    );
    check(&mapping_with(&["where.\"Id\" = { filled = true, empty = true }"]), &["stands beside `filled`"]);
    check("reading = \"x\"", &["`reading` is a text; write a table"]);
    check(
        "[[source]]\nname = \"a\"\nid = \"a b\"\nregion = \"mars\"\nmatch = \"[x\"\n",
        &["`id` is not a source's id", "`region` is not a region", "`match` is not a glob"],
    );
}

#[test]
fn letters_of_every_alphabet_match_in_any_case() {
    let config = parse(&mapping_with(&["match = \"**/Übersicht_ΟΔΟΣ*.csv\""]));
    for (key, mapping) in [("eu/übersicht_οδοσ_1.CSV", "m"), ("ÜBERSICHT_ΟΔΟΣ.csv", "m"), ("eu/ubersicht_οδοσ.csv", "")]
    {
        assert_eq!(config.for_key(key).unwrap()[0].mapping_name(), mapping, "{key}");
    }
}
