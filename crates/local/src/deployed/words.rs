//! Outcomes as people read them. No cell is among them.

use super::next::Next;
use crate::check::Usability;
use crate::voice::Voice;
use crate::words::{grouped, is_invisible, visible};
use calls::refusal::FaultCode;
use protocol::account::Account;
use protocol::outcome::{FileOutcome, Outcome};
use std::fmt::Write as _;

/// What an exit status says of an outcome.
pub(super) fn usability(outcome: &FileOutcome) -> Usability {
    usability_of(outcome.outcome, outcome.account.rejected)
}

/// The same of its parts.
pub(super) fn usability_of(outcome: Outcome, rejected: u64) -> Usability {
    match outcome {
        Outcome::Finished if rejected == 0 => Usability::Sound,
        Outcome::Finished => Usability::RowsRefused,
        _ => Usability::Unusable,
    }
}

/// The word of an outcome, in its colour.
pub(super) fn painted(usability: Usability, word: &str, voice: Voice) -> String {
    match usability {
        Usability::Sound => voice.good(word),
        Usability::RowsRefused => voice.careful(word),
        Usability::Unusable => voice.bad(word),
    }
}

/// `2,000 rows = 1,988 accepted + 12 refused; 3 skipped`
pub(super) fn counts(account: &Account) -> String {
    let Account { rows, acknowledged, rejected, .. } = account;
    let noun = if *rows == 1 { "row" } else { "rows" };
    let skipped = match account.skipped_rows {
        0 => String::new(),
        skipped => format!("; {} skipped", grouped(skipped)),
    };
    format!("{} {noun} = {} accepted + {} refused{skipped}", grouped(*rows), grouped(*acknowledged), grouped(*rejected))
}

/// Mapping, kind and source.
pub(super) fn reading(outcome: &FileOutcome) -> String {
    let mapping = outcome.mapping.as_ref().map(|mapping| format!("mapping {mapping}"));
    let kind = match (&outcome.kind, &outcome.collection) {
        (Some(_), Some(collection)) => Some(format!("objects of the collection {collection}")),
        (Some(kind), None) => Some(format!("{kind} calls")),
        (None, _) => None,
    };
    let source = outcome.source_id.as_ref().map(|source| format!("source {source}"));
    [mapping, kind, source].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// How a file ended: a line, and what a person does about it.
pub(super) fn told(outcome: &FileOutcome, next: &Next, voice: Voice) -> String {
    let mut out = format!(
        "{}  {}",
        voice.strong(&visible(&outcome.key)),
        painted(usability(outcome), outcome.outcome.as_str(), voice)
    );
    if outcome.account.rows > 0 {
        let _ = write!(out, "  {}", counts(&outcome.account));
    }
    out.push('\n');
    let reading = reading(outcome);
    if !reading.is_empty() {
        let _ = writeln!(out, "  {}", visible(&reading));
    }
    if let Some(reason) = &outcome.reason {
        let code = outcome.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let _ = writeln!(out, "  {}{code}", voice.bad(&visible(reason)));
    }
    for (code, rows) in &outcome.account.rejected_by {
        let _ = writeln!(out, "  refused {:>9}  {code}", grouped(*rows));
    }
    if let Some(line) = outcome.undelivered_from_line {
        let _ = writeln!(out, "  not sent from line {} on", grouped(line));
    }
    if let Some(advice) = advice(outcome, next) {
        let _ = writeln!(out, "  {advice}");
    }
    out
}

/// What to do, where there is something to do.
fn advice(outcome: &FileOutcome, next: &Next) -> Option<String> {
    Some(match outcome.outcome {
        _ if let Some(rejects) = &outcome.rejects => {
            let fetch = next.about("rejects", &outcome.bucket, &outcome.key);
            let fetch = fetch.map(|command| format!("\n  fetch them with: {command}")).unwrap_or_default();
            format!("refused rows: {}{fetch}", visible(rejects))
        }
        Outcome::Failed => format!(
            "the message comes again after 1, 5, 15 and 60 minutes, then it is a dead letter; once the cause is removed: {}",
            next.redrive().unwrap_or_else(|| "send it again".to_owned())
        ),
        Outcome::Missing => "upload it again, if it is wanted".to_owned(),
        Outcome::Refused if outcome.code.as_deref() == Some(FaultCode::EmptyFile.as_str()) => {
            "it has no bytes: upload it again, with its rows".to_owned()
        }
        Outcome::Refused => "rename it, or add a mapping, and upload it again".to_owned(),
        Outcome::Stopped => "correct it, and upload what was not sent".to_owned(),
        Outcome::Finished | Outcome::Replaced => return None,
    })
}

/// A key as a shell takes it, with no character that a terminal does not show.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else if text.chars().any(is_invisible) {
        // Bash manual, "ANSI-C Quoting"; zsh and POSIX.1-2024 have it too.
        let octal = |c: char| c.to_string().bytes().map(|byte| format!("\\{byte:03o}")).collect::<String>();
        let escaped = text.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if is_invisible(c) => octal(c),
            c => c.to_string(),
        });
        format!("$'{}'", escaped.collect::<String>())
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::next::tests::of_stack;
    use super::*;
    use protocol::ledger::rfc3339;

    /// The end of a file.
    pub(crate) fn outcome(outcome: Outcome, rejected: u64) -> FileOutcome {
        let account = Account { rows: 2_000, acknowledged: 2_000 - rejected, rejected, ..Account::default() };
        FileOutcome {
            format: 1,
            version: "0".to_owned(),
            bucket: "inbox".to_owned(),
            key: "in/track 1.csv".to_owned(),
            outcome,
            reason: None,
            code: None,
            source_id: None,
            mapping: None,
            kind: None,
            collection: None,
            stream: None,
            account,
            undelivered_from_line: None,
            ledger: None,
            rejects: (rejected > 0).then(|| "s3://state/rejects/x/track 1.rejects.csv".to_owned()),
            started: None,
            at: rfc3339(1_000),
            at_ms: 1_000,
        }
    }

    #[test]
    fn the_exit_status_follows_the_outcome() {
        for (ended, rejected, expected) in [
            (Outcome::Finished, 0, Usability::Sound),
            (Outcome::Finished, 1, Usability::RowsRefused),
            (Outcome::Stopped, 1, Usability::Unusable),
            (Outcome::Failed, 0, Usability::Unusable),
            (Outcome::Missing, 0, Usability::Unusable),
            (Outcome::Refused, 0, Usability::Unusable),
            (Outcome::Replaced, 0, Usability::Unusable),
        ] {
            assert_eq!(usability(&outcome(ended, rejected)), expected, "{ended:?}");
        }
    }

    #[test]
    fn a_file_without_bytes_need_not_be_renamed() {
        let named = outcome(Outcome::Refused, 0);
        let empty = FileOutcome { code: Some("empty_file".to_owned()), ..named.clone() };
        let next = of_stack("shop");
        assert!(told(&named, &next, Voice::plain()).contains("rename it"));
        assert!(told(&empty, &next, Voice::plain()).contains("upload it again, with its rows"));
    }

    #[test]
    fn an_end_says_the_account_and_the_next_command() {
        let mut ended = outcome(Outcome::Finished, 12);
        ended.account.rejected_by.insert("missing_user_id".to_owned(), 12);
        let told = told(&ended, &of_stack("shop"), Voice::plain());
        assert!(told.contains("2,000 rows = 1,988 accepted + 12 refused"), "{told}");
        assert!(told.contains("refused        12  missing_user_id"), "{told}");
        assert!(told.contains("segment-s3 rejects 'in/track 1.csv' --stack shop"), "{told}");
    }

    #[test]
    fn a_key_is_quoted_where_a_shell_would_change_it() {
        for (key, expected) in [
            ("in/a_1.csv", "in/a_1.csv"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$a", "'$a'"),
            ("", "''"),
            ("a\r\u{1b}\u{202e}'.csv", "$'a\\015\\033\\342\\200\\256\\'.csv'"),
        ] {
            assert_eq!(quoted(key), expected);
        }
    }
}
