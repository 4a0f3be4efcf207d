use super::*;
use proptest::prelude::*;
use protocol::checkpoint::Checkpoint;

const PLACES: Places<'_> = Places { state_bucket: "state", in_folder: false };

/// A ledger that a deployed version wrote, with another name and other counts.
fn ledger(key: &str, ended: Phase, rows: u64, rejected_by: &[(&str, u64)]) -> Ledger {
    let ended_with_rejects = include_bytes!("../../../protocol/tests/documents/checkpoint-ended-with-rejects.json");
    let mut ledger = Ledger::of(&Checkpoint::from_json(ended_with_rejects).unwrap()).unwrap();
    ledger.object.bucket = "inbox".to_owned();
    ledger.object.key = key.to_owned();
    ledger.ended = ended;
    let rejected = rejected_by.iter().map(|(_, rows)| rows).sum();
    let by = rejected_by.iter().map(|(code, rows)| ((*code).to_owned(), *rows)).collect();
    ledger.account = Account { rows, acknowledged: rows - rejected, rejected, rejected_by: by, ..Account::default() };
    ledger.rejects = (rejected > 0).then(|| "rejects/ab/orders_export_1.rejects.csv".to_owned());
    (ledger.reason, ledger.code) = (None, None);
    ledger
}

fn subject_of(key: &str, ended: Phase, rows: u64, rejected: u64) -> String {
    Announcement::of(&ledger(key, ended, rows, &[("missing_user_id", rejected)]), PLACES).subject
}

#[test]
fn the_subject_says_what_became_of_the_file() {
    for (key, ended, rows, rejected, expected) in [
        (
            "in/orders_export_1.csv",
            Phase::Finished,
            2_000,
            12,
            "orders_export_1.csv: 1,988 of 2,000 rows sent, 12 need fixing",
        ),
        ("a.csv", Phase::Finished, 1_234_567, 1, "a.csv: 1,234,566 of 1,234,567 rows sent, 1 needs fixing"),
        ("a.csv", Phase::Finished, 1, 0, "a.csv: all 1 row sent"),
        ("a.csv", Phase::Finished, 2_000, 0, "a.csv: all 2,000 rows sent"),
        ("a.csv", Phase::Finished, 0, 0, "a.csv: it has no rows to send"),
        ("a.csv", Phase::Stopped, 0, 0, "a.csv: not sent, it cannot be read"),
        ("a.csv", Phase::Stopped, 1_000, 800, "a.csv: stopped, 200 rows sent, 800 need fixing"),
        ("a.csv", Phase::Replaced, 10, 0, "a.csv: replaced by another file, 10 rows sent"),
        ("Kunden Übersicht – März.csv", Phase::Finished, 2, 0, "Kunden Uebersicht - Maerz.csv: all 2 rows sent"),
        ("Ku\u{308}nstler\t顧客.csv", Phase::Finished, 2, 0, "Kunstler___.csv: all 2 rows sent"),
        (" ", Phase::Finished, 2, 0, "file: all 2 rows sent"),
    ] {
        assert_eq!(subject_of(key, ended, rows, rejected), expected);
    }
    let long = subject_of(&format!("{}_2026.csv", "a".repeat(300)), Phase::Finished, 2_000, 12);
    assert_eq!(long.len(), SUBJECT_CHARS_MAX);
    assert!(long.ends_with("_2026.csv: 1,988 of 2,000 rows sent, 12 need fixing"), "{long}");
}

#[test]
fn the_text_says_what_was_sent_why_not_and_what_to_do_before_the_details() {
    let by = [("missing_user_id", 9), ("not_a_timestamp", 2), ("stray_quote", 1), ("unclosed_quote", 2)];
    let one = ledger("in/orders_export_1.csv", Phase::Finished, 2_000, &by);
    let Announcement { text, attributes, .. } = Announcement::of(&one, PLACES);
    let (for_owner, for_engineers) = text.split_once(LINE).unwrap();
    let expected = "orders_export_1.csv, from s3://inbox/in/orders_export_1.csv\n\n\
        1,986 of 2,000 rows were sent to Segment (track).\n\
        14 rows were not sent:\n\
        \x20 9 rows: the id of the person is empty\n\
        \x20 3 rows: a quotation mark is missing, or there is one too many\n\
        \x20 2 rows: a date or a time cannot be read\n\
        \nWhat to do: open the file of the refused rows. Its column `_error` says what is wrong with each row. Correct the \
        rows in a text editor, because a spreadsheet changes ids and dates. Keep the name of the file, and upload it to \
        s3://inbox/in/.\n  s3://state/rejects/ab/orders_export_1.rejects.csv\n";
    assert_eq!(for_owner, expected);
    assert!(for_engineers.contains("\nmissing_user_id: 9\n"), "{for_engineers}");
    assert!(for_engineers.contains(&format!("ledger: s3://state/ingest/{}/ledger.json\n", one.stream)));
    assert_eq!(attributes[0], ("id", one.stream.to_string()));
    assert_eq!(attributes[1], ("outcome", "finished".to_owned()));
    let in_folder = Announcement::of(&one, Places { in_folder: true, ..PLACES });
    assert!(in_folder.text.contains("  s3://inbox/in/rejected/orders_export_1.rejects.csv\n"), "{}", in_folder.text);
}

/// What its owner reads of a file.
fn for_owner(ledger: &Ledger) -> String {
    let text = Announcement::of(ledger, PLACES).text;
    text.split_once(LINE).unwrap().0.split_once("\n\n").unwrap().1.to_owned()
}

#[test]
fn the_owner_of_a_stopped_file_is_told_which_rows_were_not_sent() {
    let rest = |why: &str| format!("the rows before line 1,001: {why}. Keep the first line, which has the names.");
    let at = |mut ledger: Ledger| {
        ledger.undelivered_from_line = Some(1_001);
        ledger
    };
    let unreadable = Ledger { code: Some("not_csv".to_owned()), ..at(ledger("a.csv", Phase::Stopped, 0, &[])) };
    assert_eq!(
        for_owner(&unreadable),
        "The file was stopped: it is not a CSV file.\n0 rows were sent to Segment (track).\n\nWhat to do: correct the file \
         and upload it again.\n"
    );
    let broken = Ledger { code: Some("row_too_long".to_owned()), ..at(ledger("a.csv", Phase::Stopped, 1_000, &[])) };
    assert_eq!(
        for_owner(&broken),
        format!(
            "The file was stopped: a quotation mark in it is never closed.\n1,000 rows were sent to Segment (track).\n\n\
             What to do: correct the file. Delete {} Then upload it again.\n",
            rest("they were sent")
        )
    );
    let refused = for_owner(&at(ledger("in/a.csv", Phase::Stopped, 1_000, &[("missing_user_id", 800)])));
    let last = format!(
        "\nThe rest of your file was not sent either. From your own file delete {} Upload it again, too.\n",
        rest("they were sent, or are refused")
    );
    assert!(refused.ends_with(&last), "{refused}");
    assert!(refused.contains("upload it to s3://inbox/in/.\n  s3://state/rejects/"), "{refused}");
}

#[test]
fn the_owner_of_a_file_without_rows_or_with_a_newer_one_has_nothing_to_correct() {
    let empty = for_owner(&ledger("a.csv", Phase::Finished, 0, &[]));
    assert_eq!(empty, "It has no rows to send.\n\nWhat to do: nothing, if you expected that.\n");
    let mut filtered = ledger("a.csv", Phase::Finished, 9, &[]);
    filtered.account.skipped_rows = 1;
    assert_eq!(
        for_owner(&filtered),
        "9 of 9 rows were sent to Segment (track).\n1 row was left out on purpose, by a rule of the mapping.\n\n\
         There is nothing to do.\n"
    );
    let replaced = for_owner(&ledger("a.csv", Phase::Replaced, 9, &[("missing_user_id", 2)]));
    assert!(replaced.ends_with(
        "\nWhat to do: nothing, if the new file has all rows. If you deleted it by mistake, upload it again.\n"
    ));
}

#[test]
fn every_reason_has_words_without_its_code() {
    for code in RefusalCode::ALL {
        let text = Announcement::of(&ledger("a.csv", Phase::Finished, 9, &[(code.as_str(), 3)]), PLACES).text;
        let (for_owner, _) = text.split_once(LINE).unwrap();
        assert!(!for_owner.contains(code.as_str()) && !for_owner.contains("not accepted by Segment"), "{for_owner}");
    }
    for code in FaultCode::ALL {
        let stopped = Ledger { code: Some(code.as_str().to_owned()), ..ledger("a.csv", Phase::Stopped, 0, &[]) };
        let text = Announcement::of(&stopped, PLACES).text;
        let (for_owner, for_engineers) = text.split_once(LINE).unwrap();
        assert!(
            !for_owner.contains(code.as_str()) && !for_owner.contains("too many of its rows cannot"),
            "{for_owner}"
        );
        assert!(for_engineers.contains(&format!("code: {code}\n")));
    }
}

proptest! {
    #[test]
    fn a_subject_is_short_and_in_ascii_whatever_the_name(name in "\\PC{0,300}|.{0,300}", rows in 0_u64.., part in 0.0..=1.0_f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "any number")]
        let rejected = ((rows as f64 * part) as u64).min(rows);
        for ended in [Phase::Finished, Phase::Stopped, Phase::Replaced] {
            let subject = subject_of(&name, ended, rows, rejected);
            prop_assert!(subject.len() <= SUBJECT_CHARS_MAX && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(!subject.starts_with(' '));
        }
        let unread = Announcement::of_unread("inbox", &name, &name.repeat(200));
        prop_assert!(unread.subject.len() <= SUBJECT_CHARS_MAX && unread.subject.is_ascii());
        prop_assert!(unread.text.len() <= TEXT_BYTES_MAX && unread.attributes.iter().all(|(_, value)| !value.is_empty()));
    }
}
