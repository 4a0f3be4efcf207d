//! The document as a whole: what it says, and where its faults are.

use config::source::Secret;
use config::{Config, ForKey, NoMatch};
use protocol::mapping::{Decimal, IfBad, Rest, Side};
use protocol::reading::{Delimiter, Encoding, Reading};

use crate::{GOOD, faults, parse, with};

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
