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
        ("{\"name\": \"a\"}\n", "it is JSON, and a mapping reads CSV"),
        ("[\n  {\"name\": \"a\", \"b\": 1}\n]\n", "it is JSON, and a mapping reads CSV"),
    ] {
        let file = folder.file("export.csv", text);
        let output = run(&["suggest", &file], &[], b"");
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(run(&["suggest", "absent.csv"], &[], b"").status.code(), Some(2));
}

/// The draft for a file of this text.
fn draft(folder: &Folder, name: &str, text: &str) -> String {
    let output = run(&["suggest", &folder.file(name, text)], &[], b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn standard_input_gives_the_draft_that_the_file_gives() {
    let folder = Folder::new("suggest-stdin");
    let rows: String = (0..20_000).map(|row| format!("user{row}@example.com,{row}\n")).collect();
    let text = format!("Email,Score\n{rows}");
    let of_file = draft(&folder, "export.csv", &text);
    let output = run(&["suggest", "-"], &[], text.as_bytes());
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), of_file.as_str()), "{}", stderr(&output));
}

#[test]
fn a_line_of_totals_becomes_no_person() {
    let folder = Folder::new("suggest-totals");
    let text = "Record ID,Email,Score\n1,ada@example.com,3\n2,bob@example.com,4\nTotal,,7\n";
    let (told, check) = accepted(&folder, &folder.file("contacts.csv", text));
    assert!(told.contains("where.\"Email\" = { filled = true }"), "{told}");
    assert!(check.contains("skipped by filters   1"), "{check}");
    let text = "Customer ID,Name\n1,Ada\n2,Bob\n3,Eve\nTotal,\n";
    let told = draft(&folder, "customers.csv", text);
    assert!(told.contains("1 id is written otherwise"), "{told}");
}

#[test]
fn no_message_id_is_made_of_the_id_of_a_person() {
    let folder = Folder::new("suggest-person-ids");
    let rows = "1,Signed Up,2025-12-31T10:00:00Z,5\n2,Signed Up,2025-12-31T11:00:00Z,7\n";
    let (told, _) =
        accepted(&folder, &folder.file("app_events.csv", format!("User ID,Event,Timestamp,Amount\n{rows}")));
    assert!(told.contains("\"User ID\" = { to = \"userId\"") && !told.contains("message_id ="), "{told}");
    let (told, _) = accepted(&folder, &folder.file("orders.csv", "id,Amount,Date\n1,5,2025-12-31\n2,7,2025-12-31\n"));
    assert!(told.contains("\"id\" = { to = \"userId\"") && !told.contains("message_id ="), "{told}");
    let (told, _) = accepted(&folder, &folder.file("app_events.csv", format!("User ID,Event,Timestamp,Code\n{rows}")));
    assert!(told.contains("\n# message_id = [\"Code\"] "), "{told}");
    let (told, _) =
        accepted(&folder, &folder.file("app_events.csv", format!("User ID,Event,Timestamp,Order No\n{rows}")));
    assert!(told.contains("\nmessage_id = [\"Order No\"] "), "{told}");
}

#[test]
fn orders_with_one_item_each_are_grouped_because_a_later_one_may_have_more() {
    let folder = Folder::new("suggest-single-items");
    let text = "Order Number,Email,Order Date,Item Name,Item Cost\n\
        7,ada@example.com,2025-12-31,Lamp,20.00\n8,bob@example.com,2025-12-31,Mug,5.50\n";
    let (told, _) = accepted(&folder, &folder.file("export.csv", text));
    for part in ["\ngroup = \"Order Number\"", "products[].name", "products[].cost", "message_id = [\"Order Number\"]"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    let text = text.replace("Order Number", "Code");
    let (told, _) = accepted(&folder, &folder.file("orders.csv", text));
    assert!(told.contains("\n# message_id = [\"Code\"]") && !told.contains("group ="), "{told}");
}

#[test]
fn skipped_rows_with_another_id_are_counted_in_the_draft() {
    let folder = Folder::new("suggest-other-id");
    let text = "Payment ID,Email,Customer ID,Amount,Date\np1,ada@example.com,c1,5,2025-12-31\n\
        p2,,c2,7,2025-12-31\np3,,,9,2025-12-31\n";
    let (told, _) = accepted(&folder, &folder.file("payments.csv", text));
    assert!(told.contains("other rows are skipped; 1 of them has a cell in \"Customer ID\""), "{told}");
}

#[test]
fn a_header_alone_says_whose_the_rows_are() {
    let folder = Folder::new("suggest-header");
    let told = draft(&folder, "export.csv", "Email,Plan\n");
    assert!(told.contains("call = \"identify\"") && told.contains("\"Email\" = [{ to = \"userId\""), "{told}");
    assert!(told.contains("its header and 0 rows"), "{told}");
}

#[test]
fn a_date_that_may_begin_with_the_month_is_left_to_the_user() {
    let folder = Folder::new("suggest-dates");
    let (told, _) = accepted(&folder, &folder.file("users.csv", "Email,Joined\nada@example.com,03/04/2024\n"));
    assert!(told.contains("1 row. "), "{told}");
    assert!(told.contains("write dates = [\"%d/%m/%Y\"] or [\"%m/%d/%Y\"]"), "{told}");
}

#[test]
fn a_name_without_words_leaves_a_blank_for_the_tool() {
    let folder = Folder::new("suggest-blank");
    let told = draft(&folder, "2025-12.csv", "Customer ID,First Name\n1,Ada\n2,Bob\n");
    assert!(told.contains("name = \"2025-12-csv\"") && told.contains("prefix = \"…-\""), "{told}");
    let config = folder.file("segment-s3.toml", &told);
    let output = run(&["config", "check", &config], &[], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`columns.\"Customer ID\"[0].prefix` has the blank `…`"), "{}", stderr(&output));
    let config = folder.file("segment-s3.toml", told.replace("…-", "crm-"));
    assert_eq!(run(&["config", "check", &config], &[], b"").status.code(), Some(0));
}

#[test]
fn lines_before_the_header_are_skipped() {
    let folder = Folder::new("suggest-preamble");
    let text =
        "Customer report\nCreated: 2025-12-31\n\nEmail,Plan,Score\nada@example.com,pro,1\nbob@example.com,free,2\n";
    let (told, _) = accepted(&folder, &folder.file("customers.csv", text));
    // Blank lines before a header count for nothing.
    assert!(told.contains("skip_lines = 2 ") && told.contains("\"Email\" = "), "{told}");
    let surplus = "Email,Plan\nada@example.com,pro,x\nbob@example.com,free,y\n";
    let told = draft(&folder, "customers.csv", surplus);
    assert!(!told.contains("skip_lines"), "a surplus cell is no header: {told}");
}

#[test]
fn a_header_behind_the_lines_of_other_programs_is_found() {
    let folder = Folder::new("suggest-preambles");
    let rows = "Ada;Brandt;ada@example.com;31.12.2025;5\nBob;Lind;bob@example.com;30.12.2025;7\n";
    let title = format!("Mitgliederliste 2024;;;;\nVorname;Nachname;E-Mail;Eintritt;Beitrag\n{rows}");
    let bank = "Kontoinhaber;Ada Brandt\nKonto;DE02120300000000202051\nVon;01.12.2025\nBis;31.12.2025\n\
        Saldo;1.234,56\nStand;31.12.2025\nWaehrung;EUR\nBuchungstag;Empfaenger;Betrag;Zweck;\n\
        30.12.2025;Initech;-5,00;Miete;\n31.12.2025;Hooli;7,50;Lohn;\n";
    let datev = "\"EXTF\";700;21;\"Buchungsstapel\";13;20251231;;\"RE\"\nUmsatz;Konto;Belegdatum;Belegfeld 1\n\
        \"5,00\";1200;3112;\"R-1\"\n\"7,50\";1400;3012;\"R-2\"\n";
    let short =
        format!("Liste;2024\nStand;heute\nVorname;Nachname;E-Mail\n{}", "Ada;Brandt;ada@example.com\n".repeat(3));
    for (name, text, lines, column) in [
        ("mitglieder.csv", title.as_str(), 1, "\"Vorname\" ="),
        ("umsaetze.csv", bank, 7, "\"Empfaenger\" ="),
        ("buchungen.csv", datev, 1, "\"Belegfeld 1\" ="),
        ("liste.csv", short.as_str(), 2, "\"Nachname\" ="),
    ] {
        let told = draft(&folder, name, text);
        assert!(told.contains(&format!("skip_lines = {lines} ")) && told.contains(column), "{name}: {told}");
    }
    for (name, text) in [
        ("years.csv", "Name,2023,2024\nAda,five,six\nBob,two,three\n"),
        ("surplus.csv", "Name,Plan\nAda,pro,x\nBob,free,y\nEve,pro,z\n"),
    ] {
        let told = draft(&folder, name, text);
        assert!(!told.contains("skip_lines") && told.contains("\"Name\" ="), "{name}: {told}");
    }
}

#[test]
fn things_without_an_id_get_a_draft_that_no_file_is_read_by() {
    let folder = Folder::new("suggest-no-id");
    let file = folder.file("rooms.csv", "Name,Size\nBlue,20\nRed,30\n");
    let told = draft(&folder, "rooms.csv", "Name,Size\nBlue,20\nRed,30\n");
    assert!(told.contains("# No column is surely the id of a thing."), "{told}");
    assert!(told.contains("\"Name\" = \"name\""), "a text is no id: {told}");
    let config = folder.file("segment-s3.toml", &told);
    let output = check(&["--config", &config, &file], &[], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the mapping makes no `id`"), "{}", stderr(&output));
    assert!(stdout(&output).contains("  Name         2          2  Blue · Red\n"), "{}", stdout(&output));
}

#[test]
fn an_order_that_each_row_of_its_items_repeats_is_one_call() {
    let folder = Folder::new("suggest-items");
    let text = "Order Number,Order Status,Email,Order Total,Item Name,Quantity (- Refund),Item Cost\n\
        7,processing,ada@example.com,25.50,Lamp,1,20.00\n7,processing,ada@example.com,25.50,Mug,2,5.50\n\
        8,cancelled,bob@example.com,5.50,Mug,1,5.50\n";
    let (told, _) = accepted(&folder, &folder.file("orders.csv", text));
    for part in [
        "group = \"Order Number\"",
        "\"Item Name\" = \"properties.products[].name\"",
        "properties.products[].quantity_refund",
        "properties.products[].cost",
        "# where.\"Order Status\" = { is = [\"…\"] }",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn a_column_that_is_called_as_one_of_rejects_files_is_left_out() {
    let folder = Folder::new("suggest-reserved");
    let text = "Email,_error,Plan\nada@example.com,x,-\nbob@example.com,y,pro\n";
    let (told, _) = accepted(&folder, &folder.file("report1700000000000.csv", text));
    for part in ["name = \"report\"", "match = \"**/report*.csv\"", "rest = \"drop\"", "nulls = [\"-\"]"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn rows_of_several_people_are_not_one_call() {
    let folder = Folder::new("suggest-people");
    let text = "Order Number,Email,Customer Name,Total,Paid at\n\
        7,ada@example.com,Ada,25.50,2025-12-31\n7,bob@example.com,,,\n8,eve@example.com,Eve,5.50,2025-12-31\n";
    let (told, _) = accepted(&folder, &folder.file("orders.csv", text));
    assert!(!told.contains("group ="), "{told}");
}
