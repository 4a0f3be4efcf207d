//! The documents, the fuzzer and the strict Segment have the kinds and cell types of the tables.

mod costs;

use aws::telemetry::metrics::{self, Metric};
use calls::columns::{CellType, Form};
use calls::kind::{Api, Kind, Required};
use calls::reading::Reading;
use config::settings::{self, Setting};
use serde_json::json;
use standins::segment::{KINDS, Server};
use std::collections::BTreeMap;
use stories::WRITE_KEY;
use stories::document::{assert_file, assert_region};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[test]
fn the_readme_has_every_kind_with_its_columns() {
    let mut table = String::from("| name | a row becomes | must have | may have |\n|---|---|---|---|\n");
    for kind in Kind::ALL {
        let (prefix, required) = (kind.prefix_shown(), required(kind.entry().required));
        let (call, optional) = match kind.api() {
            Api::Tracking => (format!("call `{kind}`"), optional(*kind)),
            Api::Objects => ("object row: `set` of the Objects API".to_owned(), "any properties".to_owned()),
        };
        table += &format!("| `{prefix}….csv` | {call} | {required} | {optional} |\n");
    }
    assert_region("README.md", "kinds", &table);
}

#[test]
fn the_readme_of_calls_has_every_kind_with_its_codes() {
    let mut table = String::from("| the name begins with | call | each row has, or is refused with |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let codes: Vec<_> =
            kind.entry().required.iter().map(|one| format!("{}: `{}`", any_of(one), one.code)).collect();
        table += &format!("| `{}` | {kind} | {} |\n", kind.prefix_shown(), codes.join("; "));
    }
    assert_region("crates/calls/README.md", "kinds", &table);
}

#[test]
fn both_readmes_have_every_cell_type_that_a_header_can_name() {
    let mut table = String::from(
        "| after the name | a cell becomes | an empty cell with `EMPTY_CELLS=empty` | any other cell is refused with | these words give a warning |\n|---|---|---|---|---|\n",
    );
    let mut words = Vec::new();
    for cell_type in CellType::ALL {
        let Some(named) = cell_type.word() else { continue };
        let word = named.word;
        let empty = match cell_type.entry().form {
            Form::Text => "`\"\"`",
            Form::Time(_) | Form::Literal(_) => "`null`",
        };
        let code = cell_type.refusal().map_or(String::new(), |refusal| format!("`{}`", refusal.code));
        let others = quoted(named.others, ", ");
        table += &format!("| `:{word}` | {} | {empty} | {code} | {others} |\n", named.becomes);
        words.push(format!("`:{word}`"));
    }
    assert_region("crates/calls/README.md", "types", &table);
    let sentence = format!("Types are {}.\n", words.join(", "));
    assert_region("README.md", "types", &sentence);
}

#[test]
fn the_readmes_have_every_setting_with_its_default() {
    let table = |settings: &[&Setting]| {
        let rows = settings
            .iter()
            .map(|setting| format!("| `{}` | {} | {} |\n", setting.name, setting.default.in_words(), setting.meaning));
        format!("| name | default | meaning |\n|---|---|---|\n{}", rows.collect::<String>())
    };
    assert_region("README.md", "settings of all", &table(settings::ALL));
    assert_region("README.md", "settings of the ingester", &table(settings::INGESTER));
    assert_region("README.md", "settings of the exporter", &table(settings::EXPORTER));
    assert_region("docs/receiver.md", "settings of the receiver", &table(settings::RECEIVER));
    assert_region("crates/calls/README.md", "settings of reading", &table(settings::READING));
}

#[test]
fn the_page_of_logs_and_metrics_has_every_metric_with_its_dimensions() {
    let mut table = String::from("| function | metric | unit | dimensions | meaning |\n|---|---|---|---|---|\n");
    for (function, metrics) in [
        ("all", metrics::ALL),
        ("ingester", metrics::INGESTER),
        ("receiver", metrics::RECEIVER),
        ("exporter", metrics::EXPORTER),
    ] {
        for Metric { name, unit, per, meaning } in metrics {
            let dimensions = quoted(per.dimensions(), ", ");
            table += &format!("| {function} | `{name}` | {unit} | {dimensions} | {meaning} |\n");
        }
    }
    assert_region("docs/monitoring.md", "metrics", &table);
}

#[test]
fn the_readme_has_every_key_that_is_left_alone() {
    let rows = config::OF_TOOLS.iter().map(|(pattern, meaning)| format!("| `{pattern}` | {meaning} |\n"));
    assert_region("README.md", "ignored keys", &format!("| key | it is |\n|---|---|\n{}", rows.collect::<String>()));
}

#[test]
fn the_page_of_the_configuration_has_every_key_with_its_meaning() {
    assert_region("docs/configuration.md", "keys", &config::schema::markdown());
}

/// A key that is declared, and that no code looks at, would be ignored in silence.
#[test]
fn every_key_of_the_configuration_changes_what_it_says() {
    let parse = |table: &str, keys: &Keys| {
        let text = document(table, keys);
        let config = config::Config::parse(&text, &Reading::default());
        format!("{:?}", config.unwrap_or_else(|faults| panic!("{text}\n{faults:#?}")))
    };
    for (table, keys) in config::schema::keys_of_tables() {
        for key in keys {
            let before = keys_before(table, key);
            let mut after = before.clone();
            after.insert(key, value(table, key));
            if key == "object" {
                after.remove("call");
            }
            assert_ne!(parse(table, &before), parse(table, &after), "{table}: {key}");
        }
    }
}

type Keys = BTreeMap<&'static str, &'static str>;

/// The keys that a table needs, and those that `key` needs beside it.
fn keys_before(table: &str, key: &str) -> Keys {
    let role = r#""arn:aws:iam::123456789012:role/L""#;
    let mut keys = match table {
        "source" => vec![("name", r#""s""#), ("id", r#""i""#)],
        "mapping" => {
            // What each kind of call needs, and a number.
            let columns = r#"{ "U" = "userId", "G" = "groupId", "O" = "id", "A" = "traits.a:number" }"#;
            vec![("name", r#""m""#), ("match", r#""a""#), ("call", r#""identify""#), ("columns", columns)]
        }
        "field" => vec![("to", r#""traits.a""#), ("values", r#"{ x = "1" }"#)],
        "filter" => vec![("not", r#""q""#)],
        "destination" => vec![
            ("name", r#""d""#),
            ("region", r#""eu-west-1""#),
            ("bucket", r#""logs""#),
            ("role_arn", role),
            ("external_id", r#""id""#),
            ("sources", r#""*""#),
        ],
        _ => Vec::new(),
    };
    if (table, key) == ("field", "decimal") {
        keys.push(("type", r#""number""#));
    }
    keys.into_iter().collect()
}

/// A value that a key does not have in [`keys_before`].
fn value(table: &str, key: &str) -> &'static str {
    match key {
        "write_key" => r#""env:KEY""#,
        "region" if table == "source" => r#""eu""#,
        "region" => r#""us-east-1""#,
        "endpoint" | "objects_endpoint" => r#""https://example.com""#,
        "events_per_second" | "skip_lines" => "7",
        "encoding" => r#""latin1""#,
        "delimiter" => r#""tab""#,
        "quote" => r#""single""#,
        "escape" => r#""backslash""#,
        "zone" => r#""Europe/Berlin""#,
        "dates" => r#"["%d.%m.%Y"]"#,
        "empty_cells" => r#""null""#,
        "unknown_columns" => r#""top""#,
        "infer_types" | "also" | "trim" | "lower" | "sha256" | "optional" | "filled" | "empty" => "true",
        "call" => r#""group""#,
        "source" => r#""s""#,
        "decimal" => r#"",""#,
        "set" => r#"{ "event" = "e" }"#,
        "columns" => r#"{ "A" = "userId" }"#,
        "rest" => r#""traits""#,
        "where" => r#"{ "A" = { filled = true } }"#,
        "values" => r#"{ z = "y" }"#,
        "type" => r#""number""#,
        "if_bad" => r#""omit""#,
        "role_arn" => r#""arn:aws:iam::123456789012:role/M""#,
        "kms_key_arn" => r#""arn:aws:kms:eu-west-1:123456789012:key/1""#,
        "acl" => r#""private""#,
        "expected_bucket_owner" => r#""any""#,
        "sse" => r#""AES256""#,
        "storage_class" => r#""STANDARD_IA""#,
        "batch_bytes_max" => "2000000",
        "layout" => r#""hive""#,
        "manifest" => "true",
        "enabled" => "false",
        "nulls" | "id_nulls" | "collections" | "timestamp_columns" | "names" | "message_id" | "is" | "not" => {
            r#"["other"]"#
        }
        // Any text.
        _ => r#""other""#,
    }
}

/// A document with a table of these keys.
fn document(table: &str, keys: &Keys) -> String {
    let entries: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let source = "[[source]]\nname = \"s\"\nid = \"i\"\n";
    let mapping = "[[mapping]]\nname = \"m\"\nmatch = \"a\"\ncall = \"identify\"\n";
    match table {
        "reading" => format!("[reading]\n{}\n", entries.join("\n")),
        "mapping" => format!("{source}[[mapping]]\n{}\n", entries.join("\n")),
        "field" => {
            let others = "columns.\"U\" = \"userId\"\ncolumns.\"B\" = \"traits.b\"\n";
            format!("{mapping}{others}columns.\"A\" = {{ {} }}\n", entries.join(", "))
        }
        "filter" => {
            format!("{mapping}columns.\"A\" = \"userId\"\nwhere = {{ \"A\" = {{ {} }} }}\n", entries.join(", "))
        }
        _ => format!("[[{table}]]\n{}\n", entries.join("\n")),
    }
}

#[test]
fn the_schema_for_editors_follows_from_the_declarations() {
    let schema = serde_json::to_string_pretty(&config::schema::json()).unwrap() + "\n";
    assert_file("docs/segment-s3.schema.json", &schema);
}

#[test]
fn the_fuzzer_has_a_number_for_every_kind() {
    let words: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_region("fuzz/seed.sh", "kinds", &format!("kinds=\"{}\"\n", words.join(" ")));
}

/// The strict Segment has rules of its own: a fake that shares the code which it checks proves nothing.
#[tokio::test]
async fn the_strict_segment_takes_the_kinds_that_files_have_and_keeps_what_their_rules_let_through() {
    let tracked = || Kind::ALL.iter().copied().filter(|kind| kind.api() == Api::Tracking);
    let ours: Vec<_> = tracked().map(Kind::as_str).collect();
    assert_eq!(KINDS.map(|(word, _)| word).as_slice(), ours);
    let segment = Server::setup().start().await.unwrap();
    for kind in tracked() {
        let mut fields: BTreeMap<_, _> =
            kind.entry().required.iter().map(|required| (required.any_of[0], "v")).collect();
        fields.insert("writeKey", WRITE_KEY);
        for operation in [kind.as_str(), "batch"] {
            let mut call = json!(fields);
            if operation == "batch" {
                call["type"] = json!(kind.as_str());
                call = json!({"writeKey": WRITE_KEY, "batch": [call]});
            }
            assert!(post(&segment, operation, &call.to_string()).await.starts_with("HTTP/1.1 200"), "{kind}");
        }
    }
    let kept: Vec<_> = segment.record().applied().into_iter().map(|call| call.kind).collect();
    assert_eq!(kept, ours.iter().flat_map(|kind| [*kind, *kind]).collect::<Vec<_>>());
}

async fn post(segment: &Server, operation: &str, body: &str) -> String {
    let address = segment.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let length = body.len();
    let head = format!("POST /v1/{operation} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn required(required: &[Required]) -> String {
    required.iter().map(any_of).collect::<Vec<_>>().join(", and ")
}

fn any_of(required: &Required) -> String {
    quoted(required.any_of, " or ")
}

/// The fields that a call may have beside what every call may have.
fn optional(kind: Kind) -> String {
    let entry = kind.entry();
    let is_required = |name: &str| entry.required.iter().any(|one| one.any_of.contains(&name));
    let texts = entry.texts.iter().map(|text| text.name).filter(|name| !is_required(name) && *name != "messageId");
    let mut fields: Vec<_> = texts.map(|name| format!("`{name}`")).collect();
    fields.extend(entry.values.map(|values| format!("`{values}.<name>`")));
    fields.join(", ")
}

fn quoted(words: &[&str], between: &str) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(between)
}
