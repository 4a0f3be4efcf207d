//! `segment-s3 config check`, and `check --config`, as processes.

use crate::scene::{Folder, check, run, sample, stderr, stdout};

const MAPPING: &str = r#"
[[mapping]]
name = "contacts"
match = "**/contacts*.csv"
also = true
call = "identify"
where."Plan" = { not = "none" }
set = { "traits.tool" = "crm" }
rest = "drop"
columns."Email" = [{ to = "userId", trim = true, lower = true }, "traits.email"]
columns."Score" = { to = "traits.score", type = "number", decimal = "," }

[[mapping]]
name = "signups"
match = "**/contacts*.csv"
call = "track"
set = { "event" = "Signed Up" }
rest = "drop"
columns."Email" = { to = "userId", lower = true }
"#;

const CONTACTS: &str = "Email;Score;Plan;Notes\nAda@Example.com;1.234,50;pro;secret\nbob@example.com;7;none;\n";

#[test]
fn a_document_without_a_fault_is_described() {
    let folder = Folder::new("config-good");
    let file = folder.file("segment-s3.toml", MAPPING);
    let output = run(&["config", "check", &file], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = format!(
        "{file}: 0 sources, 2 mappings, 0 destinations\n  contacts  identify  **/contacts*.csv, and the next mapping that matches\n  signups   track     **/contacts*.csv\n"
    );
    assert_eq!(stdout(&output), expected);
    let output = run(&["config", "check", "-"], &[], MAPPING.as_bytes());
    assert!(stdout(&output).starts_with("standard input: 0 sources, 2 mappings"), "{}", stdout(&output));
}

#[test]
fn all_faults_of_a_document_are_reported_with_line_and_column_and_no_value() {
    let text = MAPPING.replace("\"identify\"", "\"identfy\"").replace("decimal = \",\"", "decimal = \"secret\"");
    let folder = Folder::new("config-bad");
    let file = folder.file("segment-s3.toml", text);
    for command in [vec!["config", "check", &file], vec!["check", "--config", &file, "-"]] {
        let output = run(&command, &[], b"");
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("segment-s3.toml: line 6, column 8: mapping 1 (contacts): `call` is not known"),
            "{told}"
        );
        assert!(told.contains("segment-s3.toml: line 11, column"), "{told}");
        assert!(!told.contains("secret") && !told.contains("identfy"), "{told}");
    }
    let output = run(&["config", "check", "absent.toml"], &[], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("absent.toml: failed to read it"), "{}", stderr(&output));
}

#[test]
fn a_doubtful_document_is_described_with_a_warning() {
    let destination = |name: &str, id: &str| {
        format!(
            "[[destination]]\nname = {name:?}\nregion = \"eu-west-1\"\nbucket = \"logs-{name}\"\nsources = \"*\"\n\
             role_arn = \"arn:aws:iam::123456789012:role/Logs\"\nexternal_id = {id:?}\n"
        )
    };
    let text = destination("a", "workspace-1") + &destination("b", "workspace-2");
    let output = run(&["config", "check", "-"], &[], text.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = "standard input: warning: line 8, column 1: `destination 2` has the role of destination `a` and another \
                    external id";
    assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
    assert!(stdout(&output).ends_with(", 2 destinations\n"), "{}", stdout(&output));
}

#[test]
fn behind_the_last_row_of_a_stopped_file_nothing_is_undelivered() {
    let folder = Folder::new("config-group-too-long");
    let document = MAPPING.replace("columns.\"Score\"", "group = \"Plan\"\ncolumns.\"Score\"");
    let config = folder.file("segment-s3.toml", document);
    let rows = "ada@example.com;7;pro;\n".repeat(1_002);
    let file = folder.file("contacts_1.csv", format!("Email;Score;Plan;Notes\n{rows}"));
    let output = check(&["--config", &config, &file], &[], b"");
    let told = stdout(&output);
    assert!(told.contains("would be stopped") && told.contains("refused              1,002"), "{told}");
    assert!(!told.contains("undelivered"), "{told}");
}

#[test]
fn a_document_with_faults_leaves_the_columns_of_the_file_to_be_seen() {
    let folder = Folder::new("config-faulty-preview");
    let config = folder.file("segment-s3.toml", MAPPING.replace("\"identify\"", "\"identfy\""));
    let file = folder.file("contacts_1.csv", CONTACTS);
    let output = check(&["--config", &config, &file], &[], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("  Plan         2          2  pro · none\n"), "{}", stdout(&output));
}

#[test]
fn a_check_shows_columns_with_their_values_before_and_after_once_for_each_mapping() {
    let folder = Folder::new("config-preview");
    let config = folder.file("segment-s3.toml", MAPPING);
    let file = folder.file("contacts_1.csv", CONTACTS);
    let output = check(&["--config", &config, &file], &[], b"");
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    for part in [
        "mapping contacts, identify calls, UTF-8, delimiter `;`",
        "Email            userId        string     Ada@Example.com → ada@example.com\n",
        "Email            traits.email  string     Ada@Example.com\n",
        "Score            traits.score  number     1.234,50 → 1234.5\n",
        "set traits.tool  traits.tool   string     crm\n",
        "2 columns are not sent: `Plan`, `Notes`",
        "skipped by filters   1",
        "mapping signups, track calls",
        "Email      userId   string     Ada@Example.com → ada@example.com · bob@example.com\n",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let of_environment = check(&[&file], &[("CONFIG", MAPPING)], b"");
    assert_eq!(stdout(&of_environment), told);
    let output = check(&["--config", &config, &file, "--json"], &[], b"");
    let documents: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&documents[0]["mapping"], &documents[1]["mapping"]], ["contacts", "signups"]);
    assert!(!stdout(&output).contains("example.com"), "{}", stdout(&output));
}

#[test]
fn rows_of_a_group_are_counted_as_rows_and_as_calls() {
    let (config, orders) = (sample("segment-s3.toml"), sample("exports/orders_export_1.csv"));
    let output = check(&["--config", &config, &orders], &[], b"");
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("  rows                 25\n  calls                20\n    made of rows       25\n"),
        "{told}"
    );
    assert!(
        told.contains("Lineitem quantity           properties.products[].quantity  integer    3 · 2 · 1\n"),
        "{told}"
    );
}

#[test]
fn a_key_that_no_mapping_matches_is_reported_with_the_nearest_pattern() {
    let folder = Folder::new("config-unmatched");
    let config = folder.file("segment-s3.toml", MAPPING);
    let file = folder.file("contact_1.csv", CONTACTS);
    let output = check(&["--config", &config, &file], &[], b"");
    assert_eq!(output.status.code(), Some(2));
    let words = "no mapping matches the key, the nearest has `**/contacts*.csv`";
    assert!(stdout(&output).contains(words), "{}", stdout(&output));
    let output = check(&["--config", &config, "-"], &[], b"userId,event\nu,e\n");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains(words), "{}", stdout(&output));
    let output = check(&["--config", &config, &file, "--key", "eu/Contacts_1.csv"], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let output = check(&["--config", &config, "-", "--key", "contacts.csv"], &[], CONTACTS.as_bytes());
    assert!(stdout(&output).contains("several mappings read this key"), "{}", stdout(&output));
}

#[test]
fn the_source_that_takes_a_key_gives_the_pace() {
    let source = "[[source]]\nname = \"shop\"\nid = \"shop1\"\nwrite_key = \"env:SHOP\"\nevents_per_second = 5\nmatch = \"shop/**\"\n";
    let settings = [("CONFIG", source)];
    let csv = b"userId,event\nu,e\n";
    let output = check(&["-", "--key", "shop/track_1.csv"], &settings, csv);
    assert!(stdout(&output).contains("source shop, track calls"), "{}", stdout(&output));
    assert!(stdout(&output).contains("at 5 events a second"), "{}", stdout(&output));
    let output = check(&["-", "--key", "crm/track_1.csv"], &settings, csv);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("no [[source]] takes the key crm/track_1.csv"), "{}", stdout(&output));
    let output = check(&["-"], &[("CONFIG", "s3://bucket/segment-s3.toml")], csv);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("name the copy with --config"), "{}", stderr(&output));
}
