//! `segment-s3 suggest` as a process.

use crate::scene::{Folder, check, run, sample, stderr, stdout};

const EXPORTS: [&str; 5] = [
    "exports/hubspot-crm-exports-all-contacts-2025-12-31.csv",
    "exports/orders_export_1.csv",
    "exports/unified_payments.csv",
    "exports/subscribed_email_audience_export_0a1b2c3d4e.csv",
    "exports/kunden_2025-12-31.csv",
];

/// Files of the corpus whose rows are sound, with the traps of their names.
const CORPUS: [&str; 12] = [
    "corpus/blanks-around-header-names",
    "corpus/duplicate-column",
    "corpus/every-cell-quoted",
    "corpus/gzip",
    "corpus/inferred-types",
    "corpus/names-with-special-characters",
    "corpus/nested-paths",
    "corpus/semicolon",
    "corpus/timestamps-for-none-in-a-zone",
    "corpus/utf8-byte-order-mark",
    "exports/decimal-comma",
    "exports/local-time-without-zone",
];

/// The draft for a file, which `check` must accept. Returns the first line of the check.
fn accepted(folder: &Folder, file: &str) -> (String, String) {
    let output = run(&["suggest", file], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{file}: {}", stderr(&output));
    let draft = stdout(&output).to_owned();
    let config = folder.file("segment-s3.toml", &draft);
    let output = check(&["--config", &config, file], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{file}: {draft}{}{}", stdout(&output), stderr(&output));
    (draft, stdout(&output).to_owned())
}

#[test]
fn a_check_accepts_the_draft_for_each_sample_at_once() {
    let folder = Folder::new("suggest-samples");
    for (name, parts) in EXPORTS.iter().zip([
        &["call = \"identify\"", "{ to = \"userId\", prefix = \"hubspot-\" }", "zone = \"UTC\""][..],
        &[
            "call = \"track\"",
            "group = \"Name\"",
            "\"event\" = \"Order Completed\"",
            "products[].price\", type = \"number\"",
        ],
        &["call = \"track\"", "\"event\" = \"Payment Received\"", "message_id = [\"id\"]", "where.\"Customer Email\""],
        &[
            "call = \"identify\"",
            "\"Email Address\" = [{ to = \"userId\", trim = true, lower = true }",
            "\"LEID\" = \"traits.leid\"",
        ],
        &["encoding = \"windows-1252\"", "delimiter = \"semicolon\"", "decimal = \",\"", "dates = [\"%d.%m.%Y\"]"],
    ]) {
        let (draft, told) = accepted(&folder, &sample(name));
        assert!(told.lines().next().unwrap().ends_with("every row can be sent"), "{told}");
        for part in parts {
            assert!(draft.contains(part), "{name}: {part} in {draft}");
        }
        assert!(!draft.contains("@") && draft.contains("rest = \"refuse\""), "{draft}");
    }
}

#[test]
fn a_check_accepts_the_draft_for_files_of_other_dialects_and_names() {
    let folder = Folder::new("suggest-corpus");
    for case in CORPUS {
        let input = std::fs::read(format!("{}/../../tests/{case}/input", env!("CARGO_MANIFEST_DIR"))).unwrap();
        accepted(&folder, &folder.file("export_1.csv", input));
    }
}

#[test]
fn a_file_without_a_person_becomes_objects() {
    let folder = Folder::new("suggest-objects");
    let file = folder.file("products_2025-12-31.csv", "SKU;Name;Price\nA-1;Lamp;9,50\nA-2;Mug;4,00\n");
    let (draft, _) = accepted(&folder, &file);
    for part in ["object = \"products\"", "\"SKU\" = \"id\"", "\"Price\" = { to = \"price\", type = \"number\" }"] {
        assert!(draft.contains(part), "{part} in {draft}");
    }
}

#[test]
fn a_file_that_cannot_be_read_gives_its_reason_and_no_draft() {
    let folder = Folder::new("suggest-unusable");
    let long = (0..1_100).map(|row| format!("x{row}\n")).collect::<String>();
    for (text, words) in [
        ("", "the file is empty"),
        ("%PDF-1.7\n", "this is no CSV, it is a PDF"),
        (&format!("name\n{long}"), "only one column is found"),
    ] {
        let file = folder.file("export.csv", text);
        let output = run(&["suggest", &file], &[], b"");
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(run(&["suggest", "absent.csv"], &[], b"").status.code(), Some(2));
}
