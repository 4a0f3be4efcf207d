//! Mappings: what is refused before a file meets it.

use config::Config;
use protocol::reading::Reading;

use crate::{GOOD, faults, parse, with};

#[test]
fn a_person_of_the_samples_who_changed_gets_another_message_id() {
    let samples = parse(include_str!("../../../../samples/segment-s3.toml"));
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
