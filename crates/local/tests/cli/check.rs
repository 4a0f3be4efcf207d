//! `segment-s3 check` as a process.

use crate::scene::{Folder, check, stderr, stdout};
use std::io::Write;
use std::process::{Command, Stdio};

const GOOD: &str = "userId,event\nu1,a\nu2,b\n";
const BAD: &str = "userId,event,timestamp\nu1,a,\nu2,b,never\n,c,\n";

#[test]
fn the_exit_status_is_the_worst_of_all_files() {
    let folder = Folder::new("status");
    let good = folder.file("track_1.csv", GOOD);
    let bad = folder.file("track_2.csv", BAD);
    let unusable = folder.file("track_3.csv", "name\nx\n");
    let misnamed = folder.file("orders.csv", GOOD);
    let missing = folder.0.join("track_4.csv").to_str().unwrap().to_owned();
    let here = folder.0.to_str().unwrap().to_owned();
    for (files, status) in [
        (vec![&good], 0),
        (vec![&good, &bad], 1),
        (vec![&bad, &good], 1),
        (vec![&unusable, &good], 2),
        (vec![&misnamed], 2),
        (vec![&missing, &bad], 2),
        (vec![&here], 2),
    ] {
        let files: Vec<&str> = files.into_iter().map(String::as_str).collect();
        let output = check(&files, &[], b"");
        assert_eq!(output.status.code(), Some(status), "{files:?}: {}", stdout(&output));
    }
}

#[test]
fn the_report_has_plan_calls_account_and_refused_rows() {
    let folder = Folder::new("people");
    let bad = folder.file("track_2.csv", BAD);
    let output = check(&[&bad], &[], b"");
    let text = stdout(&output);
    for part in [
        "track_2.csv  2 of 3 rows refused",
        "track calls, UTF-8, delimiter `,`",
        "timestamp  timestamp  timestamp",
        "\"userId\": \"u1\"",
        "line 3, column `timestamp`: not a date",
        "    u2,b,never\n         ^^^^^\n",
        "    ,c,\n    ^\n",
        "  refused              2\n",
        "    not_a_timestamp    1\n",
        "1 request to /v1/batch",
        "1,000 events a second",
        "Lambda",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks");
    assert_eq!(stderr(&output), "");
}

#[test]
fn calls_go_to_standard_output_alone_and_the_account_to_standard_error() {
    let folder = Folder::new("calls");
    let bad = folder.file("track_2.csv", BAD);
    let good = folder.file("track_1.csv", GOOD);
    let output = check(&["--calls", &bad, &good], &[], b"");
    let calls: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = calls.iter().map(|call| call["userId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["u1", "u1", "u2"]);
    assert!(stderr(&output).contains("2 of 3 rows refused"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn json_output_is_one_document_per_file_without_cells() {
    let folder = Folder::new("json");
    let bad = folder.file("track_2.csv", BAD);
    let misnamed = folder.file("orders.csv", GOOD);
    let output = check(&["--json", &bad, &misnamed], &[], b"");
    assert!(!stdout(&output).contains("never"));
    let documents: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!([&first["rows"], &first["calls"], &first["refused"]], [3, 1, 2]);
    assert_eq!(first["refused_by"]["not_a_timestamp"], 1);
    assert_eq!(first["first_refused"][0]["line"], 3);
    assert_eq!(first["dialect"]["delimiter"], "comma");
    assert_eq!(first["columns"][2]["type"], "timestamp");
    assert_eq!(first["requests"], 1);
    assert_eq!(first["invocations"], 1);
    assert!(second["fault"].as_str().unwrap().contains("orders.csv"));
}

#[test]
fn a_warning_has_the_number_of_rows_and_the_first_line() {
    let csv = b"userId,event,timestamp,properties.a\nu1,e,2024-01-05 \
        10:00:00,NULL\n,,,\nu2,e,,NULL\nuserId,event,timestamp,properties.a\n";
    let output = check(&["-"], &[], csv);
    let text = stdout(&output);
    for part in [
        "! column `properties.a`: 2 rows, the first on line 2: a null marker",
        "! column `timestamp`: 1 row, on line 4: no timestamp",
        "! column `timestamp`: 1 row, on line 2: times without a zone, read as UTC",
        "  times without a zone are read in UTC\n",
        "  blank, dropped       1\n",
        "  headers, dropped     1\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert_eq!(output.status.code(), Some(0));
    let output = check(&["-", "--json"], &[("TIMESTAMP_ZONE", "America/New_York")], csv);
    let document: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!([&document["rows"], &document["blank_rows"], &document["repeated_headers"]], [2, 1, 1]);
    assert_eq!(document["timestamp_zone"], "America/New_York");
    let codes: Vec<&str> =
        document["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["null_marker", "timestamp_empty"]);
    assert_eq!([&document["warnings"][0]["rows"], &document["warnings"][0]["line"]], [2, 2]);
    let output = check(&["-", "--calls"], &[("TIMESTAMP_ZONE", "America/New_York")], csv);
    assert!(stdout(&output).contains("2024-01-05T15:00:00.000Z"));
    assert!(stderr(&output).contains("times without a zone are read in America/New_York"));
}

#[test]
fn the_report_names_the_dialect() {
    let output = check(&["-"], &[], b"userId,event,properties.a\nu,e,\"say \\\"hi\\\"\"\n");
    let text = stdout(&output);
    assert!(text.contains("delimiter `,`, backslash escapes"), "{text}");
    assert!(text.contains("! line 2 is not RFC 4180"), "{text}");
}

#[test]
fn standard_input_is_read_under_the_given_key() {
    let output = check(&["-", "--key", "object_rooms_1.csv", "--json"], &[], b"id,name\n1,x\n");
    let document: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!([&document["collection"], &document["calls"]], [&serde_json::json!("rooms"), &serde_json::json!(1)]);
    let output =
        check(&["-", "--key", "object_rooms_1.csv", "--collection", "halls", "--json"], &[], b"id,name\n1,x\n");
    assert!(stdout(&output).contains(r#""collection":"halls""#), "{}", stdout(&output));
}

#[test]
fn the_settings_are_the_functions_own() {
    let csv = b"userId;event;properties.n\nu;e;5\n";
    let settings = [("INFER_TYPES", "true"), ("EVENTS_PER_SECOND", "1"), ("GZIP_REQUESTS", "false")];
    let output = check(&["-", "--calls"], &settings, csv);
    assert!(stdout(&output).contains(r#""properties":{"n":5}"#), "{}", stdout(&output));
    assert!(stderr(&output).contains("at 1 events a second"), "{}", stderr(&output));
    let output = check(&["-"], &[("EMPTY_CELLS", "sometimes")], csv);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("EMPTY_CELLS"), "{}", stderr(&output));
}

#[test]
fn a_file_that_the_ingester_would_stop_is_reported() {
    let rows: String = (0..1_500).map(|_| ",e\n").collect();
    let csv = format!("userId,event\n{rows}");
    let output = check(&["-"], &[], csv.as_bytes());
    assert!(stdout(&output).contains("the ingester would stop this file: 1500 of 1500 rows"), "{}", stdout(&output));
    assert!(stdout(&output).contains("would be stopped: 1,500 of 1,500 rows refused"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_truncated_file_is_accounted_for_up_to_its_end() {
    let csv = format!("{GOOD}u3,\"{}", "x".repeat(1_100_000));
    let output = check(&["-"], &[], csv.as_bytes());
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(text.contains("line 4: a row begins here that is longer"), "{text}");
    assert!(text.contains("  calls                2\n"), "{text}");
    assert!(text.starts_with("track_1.csv  breaks off at line 4\n"), "{text}");
    assert!(text.contains("  undelivered          from line 4 on\n"), "{text}");
    let rows: String = (0..1_000).map(|row| format!("user-{row},e\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(format!("userId,event\n{rows}").as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let output = check(&["-"], &[], &gzip[..gzip.len() - 4]);
    let text = stdout(&output);
    for part in ["breaks off at line 1,002", "(corrupt_compression)", "  undelivered          from line 1,002 on"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_with_only_a_header_is_reported_without_rows() {
    let output = check(&["-"], &[], b"userId,event\n");
    assert!(stdout(&output).contains("no rows"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("every row"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_fault_of_the_file_has_its_code_and_place() {
    let text = b"userId,event\nu,e\n\n";
    let long = [&text[..], b"u,\"", &vec![b'x'; 1_100_000]].concat();
    for (input, code, line, byte) in [
        (&b"name\nx\n"[..], "missing_column", 1, 0),
        (b"\n\nname\nx\n", "missing_column", 3, 2),
        (b"", "empty_file", 1, 0),
        (b"PK\x03\x04", "not_csv", 1, 0),
        (&long, "row_too_long", 4, text.len()),
    ] {
        let output = check(&["-", "--json"], &[], input);
        let document: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(document["fault_code"], code);
        assert_eq!([&document["fault_line"], &document["fault_byte"]], [line, byte], "{code}");
        let output = check(&["-"], &[], input);
        assert!(stdout(&output).contains(&format!(" ({code})\n")), "{}", stdout(&output));
    }
}

#[test]
fn a_file_with_a_bad_beginning_is_stopped_even_if_its_end_is_good() {
    let folder = Folder::new("stopped");
    let text = format!("userId,event\n{}{}", ",e\n".repeat(5_000), "u,e\n".repeat(50_000));
    let file = folder.file("track_1.csv", text);
    let output = check(&[&file], &[], b"");
    assert!(stdout(&output).contains("the ingester would stop this file"), "{}", stdout(&output));
    assert!(stdout(&output).contains("REJECT_LIMIT_SHARE"), "{}", stdout(&output));
    assert!(stdout(&output).contains("would be stopped: 2,500 of 2,500 rows refused"), "{}", stdout(&output));
    assert!(stdout(&output).contains("undelivered          from line 2,502 on"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("To be expected"), "nothing is sent: {}", stdout(&output));
    assert_eq!(output.status.code(), Some(2));
    let output = check(&["--calls", &file], &[], b"");
    assert_eq!((stdout(&output), output.status.code()), ("", Some(2)));
    let output = check(&["--json", &file], &[], b"");
    let document: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!([&document["rows"], &document["calls"], &document["requests"]], [2_500, 0, 0]);
    assert_eq!(document["undelivered_from_line"], 2_502);
    assert_eq!(document["bytes"], std::fs::metadata(&file).unwrap().len());
}

#[test]
fn warnings_go_to_standard_error_when_calls_are_printed() {
    let output = check(&["--calls", "-"], &[], b"userId,event,plan,properties.a\nu,e,p,a\n");
    assert_eq!(stdout(&output).lines().count(), 1);
    assert!(stderr(&output).contains("column `plan`"), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_does_not_change_the_exit_status() {
    let folder = Folder::new("pipe");
    let bad = folder.file("track_1.csv", BAD);
    let long = folder.file("track_2.csv", format!("userId,event\n{}", "u,e\n".repeat(100_000)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_segment-s3"))
        .args(["check", "--calls", &bad, &long])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Reads only one line of the first file. The rest does not fit into a pipe.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().contains("u1"));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let folder = Folder::new("controls");
    let misnamed = folder.file("a\u{1b}[31m.csv", GOOD);
    let call = folder.file("track_1.csv", "userId,event,properties.\u{9b}x\nu,\u{7f}\u{9b}2J,y\n");
    let output = check(&[&misnamed, &call, "/none\u{1b}[2J.csv"], &[], b"");
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(stdout(&output).contains("The first calls"));
    assert!(!raw(stdout(&output)), "{:?}", stdout(&output));
    assert!(!raw(stderr(&output)), "{:?}", stderr(&output));
}

#[test]
fn the_profile_is_a_table_and_its_cells_stay_out_of_the_json() {
    let folder = Folder::new("profile");
    let rows = "u1,00012,31.12.2025\nu2,00345,01.02.2026\nu3,NULL,\n";
    let file = folder.file("identify_1.csv", format!("userId,traits.zip,traits.day\n{rows}"));
    let output = check(&[&file], &[], b"");
    let text = stdout(&output);
    let line = |name: &str| {
        let table = text.split("The profile").nth(1).unwrap_or_else(|| panic!("{text}"));
        table.lines().find(|line| line.trim_start().starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("traits.zip").join(" "), "traits.zip 2 0 + 1 null 5 integer 99999, leading zeros 00012 … 00345");
    assert_eq!(line("traits.day").join(" "), "traits.day 2 1 10 date %d.%m.%Y 01.02.2026 … 31.12.2025");
    let json = check(&["--json", &file], &[], b"");
    let value: serde_json::Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!(value["profile"]["columns"][1]["leading_zeros"], 2);
    assert!(!value["profile"].to_string().contains("345"), "{}", value["profile"]);
    let off = check(&[&file], &[("PROFILE", "false")], b"");
    assert!(!stdout(&off).contains("The profile"), "{}", stdout(&off));
}

#[test]
fn an_object_that_replaces_an_earlier_one_is_warned_of() {
    let output = check(&["-", "--key", "object_rooms_1.csv"], &[], b"id,size\n1,20\n2,30\n1,40\n");
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("column `id`: 1 row has the id of an earlier row"), "{told}");
    let output = check(&["-", "--key", "object_rooms_1.csv"], &[], b"id,size\n1,20\n2,30\n");
    assert!(!stdout(&output).contains("earlier row"), "{}", stdout(&output));
}
