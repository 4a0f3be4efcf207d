//! The corpus: `tests/corpus/<reason>/` at the top of the workspace, and `tests/exports/<reason>/`: files as people's
//! tools really write them, each of which was read wrong by something once.
//!
//! Each folder holds one `input`, optionally `settings` (`NAME=…` for the file's name, else
//! `track_1.csv`, and the reading's own variables) and `mapping.json`, and what must come of it: `calls.ndjson`,
//! `rejects.csv` and a `report` of dialect, columns, warnings, refusals and fault.
//!
//! The expectations are data, reviewed like code. `UPDATE_CORPUS=1 cargo test -p calls corpus`
//! writes them anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use calls::columns::REJECT_COLUMNS;
use calls::translator::Dropped;
use config::environment::Reader;

use crate::support::{File, Read};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn cases_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(tests().join(folder)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

fn cases() -> Vec<PathBuf> {
    let cases = [cases_in("corpus"), cases_in("exports")].concat();
    assert!(cases.len() > 50, "the corpus is not where it should be");
    cases
}

fn file(case: &Path) -> File {
    let settings = fs::read_to_string(case.join("settings")).unwrap_or_default();
    let settings: HashMap<&str, &str> = settings.lines().filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| settings.get(name).map(|value| (*value).to_owned());
    let mut reader = Reader::new(&get);
    let reading = config::reading::of_environment(&mut reader);
    let mut reading = reader.finish(reading).unwrap_or_else(|faults| panic!("{}: {faults}", case.display()));
    if let Ok(mapping) = fs::read(case.join("mapping.json")) {
        reading.mapping = Some(serde_json::from_slice(&mapping).unwrap());
    }
    if let Some(lines) = get("SKIP_LINES") {
        reading.skip_lines = lines.parse().unwrap();
    }
    let name = get("NAME").unwrap_or_else(|| "track_1.csv".to_owned());
    File { reading, ..File::new(&name, fs::read(case.join("input")).unwrap()) }
}

/// What has to be known besides the calls, for people to review.
fn report(read: &Read) -> String {
    let mut out = String::new();
    if let Some(header) = &read.header {
        let dialect = header.dialect;
        let _ = writeln!(
            out,
            "{}{}, {}, {}compression {}, rows from byte {} on line {}",
            dialect.encoding,
            if dialect.bom { " with byte order mark" } else { "" },
            match dialect.delimiter.byte() {
                b'\t' => "tab".to_owned(),
                byte => format!("`{}`", char::from(byte)),
            },
            if dialect.quoting.is_rfc4180() { String::new() } else { format!("{}, ", dialect.quoting) },
            dialect.compression,
            header.rows_from.byte,
            header.rows_from.line,
        );
        for [name, path, cell] in &read.columns {
            let _ = writeln!(out, "column `{name}` -> {path}: {cell}");
        }
    }
    for warning in read.told() {
        let _ = writeln!(out, "warning: {warning}");
    }
    for refusal in read.refusals() {
        let _ = writeln!(out, "refused {} at byte {}: {}", refusal.code, refusal.span.start, refusal.message);
    }
    if let Some(fault) = &read.fault {
        let at = fault.at.map_or(String::new(), |at| format!(" at byte {}", at.byte));
        let _ = writeln!(out, "fault {}{at}: {fault}", fault.code);
    }
    let dropped = [
        (read.blank_lines + read.dropped(Dropped::Blank) as u64, "blank"),
        (read.dropped(Dropped::RepeatedHeader) as u64, "repeated headers"),
        (read.skipped_rows(), "skipped"),
    ];
    let dropped: String = dropped.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
    let _ = writeln!(out, "{} calls, {} refused{dropped}", read.calls().len(), read.refusals().len());
    out
}

/// The version changes with every release and says nothing here.
fn calls(read: &Read) -> String {
    let version = concat!(r#""version":""#, env!("CARGO_PKG_VERSION"), '"');
    let calls: String = read.calls().iter().map(|call| format!("{call}\n")).collect();
    calls.replace(version, r#""version":"…""#)
}

#[test]
fn every_file_of_the_corpus_becomes_what_it_should() {
    check(&cases_in("corpus"));
}

/// A test for each export, under the name of its folder.
macro_rules! exports {
    ($($name:ident = $folder:literal,)*) => {
        mod exports {
            use super::{check, tests};
            $(#[test] fn $name() { check(&[tests().join("exports").join($folder)]); })*
        }

        #[test]
        fn every_export_has_a_test() {
            let tested = [$($folder),*];
            for case in cases_in("exports") {
                let name = case.file_name().unwrap().to_str().unwrap();
                assert!(tested.contains(&name), "{name}");
            }
        }
    };
}

exports! {
    backslash_escaped_quotes = "backslash-escaped-quotes",
    blank_rows_of_commas = "blank-rows-of-commas",
    byte_order_mark_twice = "byte-order-mark-twice",
    day_month_order = "day-month-order",
    decimal_comma = "decimal-comma",
    encoding_setting_on_utf8 = "encoding-setting-on-utf8",
    excel_text_guard = "excel-text-guard",
    float_in_integer = "float-in-integer",
    gzip_twice = "gzip-twice",
    header_with_line_break = "header-with-line-break",
    infer_mixed_zip = "infer-mixed-zip",
    invisible_characters_in_ids = "invisible-characters-in-ids",
    js_date_string = "js-date-string",
    local_time_without_zone = "local-time-without-zone",
    microseconds = "microseconds",
    mixed_line_ends = "mixed-line-ends",
    name_with_copy_number = "name-with-copy-number",
    nbsp_in_number = "nbsp-in-number",
    null_marker_ids = "null-marker-ids",
    partly_empty_timestamps = "partly-empty-timestamps",
    preamble = "preamble",
    python_repr_json = "python-repr-json",
    repeated_header = "repeated-header",
    repeated_message_id = "repeated-message-id",
    scientific_notation_ids = "scientific-notation-ids",
    sentinel_dates = "sentinel-dates",
    sep_line_utf16 = "sep-line-utf16",
    space_before_quote = "space-before-quote",
    surplus_delimiter_in_rows = "surplus-delimiter-in-rows",
    tar_gz = "tar-gz",
    totals_row = "totals-row",
    trailing_delimiter_everywhere = "trailing-delimiter-everywhere",
    undoubled_quote_one_line = "undoubled-quote-one-line",
    unknown_delimiter = "unknown-delimiter",
    unnamed_index_column = "unnamed-index-column",
    unquoted_newline_short_rows = "unquoted-newline-short-rows",
    utf_16be_without_mark = "utf-16be-without-mark",
    warehouse_timestamps = "warehouse-timestamps",
    wide_and_long = "wide-and-long",
    zip = "zip",
}

fn check(cases: &[PathBuf]) {
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    let mut wrong = Vec::new();
    for case in cases {
        let read = file(case).read(&[usize::MAX]);
        let made = [
            ("calls.ndjson", calls(&read).into_bytes()),
            ("rejects.csv", read.rejects()),
            ("report", report(&read).into_bytes()),
        ];
        for (name, made) in made {
            let path = case.join(name);
            let expected = fs::read(&path).unwrap_or_default();
            if expected == made {
                continue;
            }
            if !update {
                let (expected, made) = (String::from_utf8_lossy(&expected), String::from_utf8_lossy(&made));
                wrong.push(format!("{}\n  expected:\n{expected}\n  made:\n{made}", path.display()));
            } else if made.is_empty() {
                fs::remove_file(&path).unwrap();
            } else {
                fs::write(&path, made).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_cutting_into_pieces_changes_what_a_file_becomes() {
    for case in cases() {
        let file = file(&case);
        let whole = file.read(&[usize::MAX]);
        for pieces in [&[1][..], &[2, 3], &[7]] {
            let read = file.read(pieces);
            assert_eq!(read, whole, "{} in pieces of {pieces:?}", case.display());
        }
    }
}

#[test]
fn reading_taken_up_behind_any_record_gives_the_rest() {
    for case in cases() {
        let file = file(&case);
        let whole = file.read(&[usize::MAX]);
        let Some(header) = &whole.header else { continue };
        let starts = std::iter::once(header.rows_from).chain(whole.taken.iter().map(|taken| taken.after));
        for (index, at) in starts.enumerate() {
            let rest = file.resume(header, at, &[5]);
            assert_eq!(rest.taken, whole.taken[index..], "{} from {at:?}", case.display());
            assert_eq!(rest.fault, whole.fault, "{} from {at:?}", case.display());
            assert_eq!(rest.header.as_ref(), Some(header), "{}", case.display());
        }
    }
}

#[test]
fn refused_rows_that_come_back_without_a_correction_are_refused_again() {
    for case in cases() {
        let file = file(&case);
        let read = file.read(&[usize::MAX]);
        if read.refusals().is_empty() {
            continue;
        }
        let again = file.refused(&read).read(&[usize::MAX]);
        assert_eq!(again.fault, None, "{}", case.display());
        assert_eq!(again.calls(), Vec::<&str>::new(), "{}", case.display());
        assert_eq!(again.refusals().len(), read.refusals().len(), "{}", case.display());
        let own = |read: &Read| -> Vec<[String; 3]> {
            let is_own = |column: &&[String; 3]| !REJECT_COLUMNS.contains(&column[0].as_str());
            read.columns.iter().filter(is_own).cloned().collect()
        };
        assert_eq!(own(&again), own(&read), "{}", case.display());
    }
}

#[test]
fn no_message_repeats_what_a_cell_contains() {
    for case in cases() {
        let file = file(&case);
        let read = file.read(&[usize::MAX]);
        for taken in &read.taken {
            let record = String::from_utf8_lossy(&taken.record).into_owned();
            for word in record.split(|c: char| !c.is_alphanumeric()).filter(|word| word.starts_with("secret")) {
                for refusal in taken.refusals() {
                    assert!(!refusal.message.contains(word), "{}: {}", case.display(), refusal.message);
                }
            }
        }
        let Some(fault) = &read.fault else { continue };
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.starts_with("secret")) {
            assert!(!fault.message.contains(word), "{}: {fault}", case.display());
        }
    }
}
