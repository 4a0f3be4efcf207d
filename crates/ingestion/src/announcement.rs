//! The message about a file that has ended, for the person who dropped it.
//!
//! It has no cell: only counts, the name of the file, and what the ledger says.

use crate::rejected_folder;
use calls::refusal::{FaultCode, RefusalCode};
use protocol::account::Account;
use protocol::backfill::Progress;
use protocol::checkpoint::Phase;
use protocol::ledger::Ledger;
use protocol::outcome::key_of;
use std::fmt::Write as _;

/// A subject has fewer than 100 characters (SNS API reference, `Publish`).
pub const SUBJECT_CHARS_MAX: usize = 99;
/// The characters of a name that stay, whatever the counts.
const NAME_CHARS_MIN: usize = 16;
/// A message has at most 256 KiB with its attributes (SNS API reference, `Publish`). A person reads the beginning.
pub const TEXT_BYTES_MAX: usize = 32 * 1_024;
/// The name of the attribute that is a number: how many rows are refused.
pub const REJECTED: &str = "rejected";
/// Warnings in a message.
const WARNINGS_MAX: usize = 20;
/// The line between the two readers.
const LINE: &str = "\n----------------------------------------\nDetails for engineers\n";

/// A message, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it is about, in ASCII.
    pub subject: String,
    /// The text.
    pub text: String,
    /// Names and values for filters. None is empty.
    pub attributes: Vec<(&'static str, String)>,
}

/// Where a person finds the refused rows.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The bucket of the rejects file that the ledger names.
    pub state_bucket: &'a str,
    /// True if the refused rows are in the folder beside the file too.
    pub in_folder: bool,
}

impl Announcement {
    /// About a file with a ledger. The same ledger gives the same message.
    #[must_use]
    pub fn of(ledger: &Ledger, places: Places<'_>) -> Self {
        let name = name_of(&ledger.object.key);
        let mut text = format!("{name}, from s3://{}/{}\n\n", ledger.object.bucket, ledger.object.key);
        text.push_str(&sent(ledger));
        text.push_str(&refused(&ledger.account));
        text.push_str(&what_to_do(ledger, places));
        text.push_str(LINE);
        text.push_str(&details(ledger, places));
        let attributes = [
            ("id", ledger.stream.to_string()),
            ("outcome", word(ledger.ended).to_owned()),
            ("source", ledger.object.source_id.to_string()),
            ("mapping", ledger.object.mapping.clone().unwrap_or_default()),
            (REJECTED, ledger.account.rejected.to_string()),
        ];
        Self::new(name, &summary(ledger), text, attributes)
    }

    /// About an object that is not read, because it is not one of our files.
    #[must_use]
    pub fn of_unread(bucket: &str, key: &str, reason: &str) -> Self {
        let name = name_of(key);
        let text = format!(
            "{name}, from s3://{bucket}/{key}\n\nNothing of this file was read or sent.\n\nWhat to do: if it was meant for \
             Segment, ask your engineers how to name it, or where to put it.\n{LINE}outcome: refused\nreason: {reason}\n"
        );
        let id = key_of(bucket, key).rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
        let attributes = [("id", id), ("outcome", "refused".to_owned())];
        Self::new(name, "not read, it is not a file for Segment", text, attributes)
    }

    /// About a backfill whose objects are all in the queue. Its files have no messages of their own.
    #[must_use]
    pub fn of_backfill(progress: &Progress) -> Self {
        let Progress { backfill, passed, .. } = progress;
        let place = format!("s3://{}/{}", backfill.bucket, backfill.prefix);
        let (files, left) = (counted(passed.files), counted(passed.left_alone));
        let text = format!(
            "{files} files under {place} are in the queue, with {} bytes. They are sent to Segment one after the other.\n\
             {left} other objects were left alone: their names do not say what they are, they are empty, or a setting leaves them out.\n\n\
             What to do: nothing. The files of a backfill have no messages of their own. Ask your engineers for the status of \
             a file.\n{LINE}id: {}\nstarted: {}\nqueued: {}\n",
            counted(passed.bytes),
            backfill.id(),
            progress.started,
            progress.at
        );
        let attributes = [("id", backfill.id()), ("outcome", "backfill".to_owned())];
        Self::new(&place, &format!("{files} files of the backfill are queued"), text, attributes)
    }

    fn new(
        name: &str,
        summary: &str,
        mut text: String,
        attributes: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { subject: subject(name, summary), text, attributes }
    }
}

fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Finished => "finished",
        Phase::Stopped => "stopped",
        Phase::Replaced => "replaced",
    }
}

/// The name, in ASCII and as long as fits, and the summary.
fn subject(name: &str, summary: &str) -> String {
    let name = in_ascii(name);
    let room = (SUBJECT_CHARS_MAX - ": ".len()).saturating_sub(summary.len()).max(NAME_CHARS_MIN);
    let name = match name.len() > room {
        // Its ending often says more than its middle.
        true => format!("{}...{}", &name[..(room - 3) / 2], &name[name.len() - (room - 3).div_ceil(2)..]),
        false => name,
    };
    let mut subject = format!("{name}: {summary}");
    subject.truncate(SUBJECT_CHARS_MAX);
    subject
}

/// Other letters as ASCII writes them; a `_` where it has no way.
fn in_ascii(name: &str) -> String {
    let mut ascii = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            ' '..='~' => ascii.push(letter),
            // A mark over the letter before it.
            '\u{300}'..='\u{36f}' => {}
            other => ascii.push_str(spelled(other)),
        }
    }
    // A subject begins with a letter, a number or a punctuation mark (SNS API reference, `Publish`).
    let ascii = ascii.trim();
    if ascii.is_empty() { "file".to_owned() } else { ascii.to_owned() }
}

fn spelled(letter: char) -> &'static str {
    match letter {
        'Ä' | 'Æ' => "Ae",
        'ä' | 'æ' => "ae",
        'Ö' | 'Ø' | 'Œ' => "Oe",
        'ö' | 'ø' | 'œ' => "oe",
        'Ü' => "Ue",
        'ü' => "ue",
        'ß' => "ss",
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => "A",
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'Ç' | 'Ć' | 'Č' => "C",
        'ç' | 'ć' | 'č' => "c",
        'Ď' | 'Đ' | 'Ð' => "D",
        'ď' | 'đ' | 'ð' => "d",
        'È'..='Ë' | 'Ē' | 'Ę' | 'Ě' => "E",
        'è'..='ë' | 'ē' | 'ę' | 'ě' => "e",
        'Ğ' => "G",
        'ğ' => "g",
        'Ì'..='Ï' | 'Ī' | 'İ' => "I",
        'ì'..='ï' | 'ī' | 'ı' => "i",
        'Ł' | 'Ľ' => "L",
        'ł' | 'ľ' => "l",
        'Ñ' | 'Ń' | 'Ň' => "N",
        'ñ' | 'ń' | 'ň' => "n",
        'Ò'..='Õ' | 'Ō' | 'Ő' => "O",
        'ò'..='õ' | 'ō' | 'ő' => "o",
        'Ŕ' | 'Ř' => "R",
        'ŕ' | 'ř' => "r",
        'Ś' | 'Ş' | 'Š' | 'Ș' => "S",
        'ś' | 'ş' | 'š' | 'ș' => "s",
        'Ţ' | 'Ť' | 'Ț' => "T",
        'ţ' | 'ť' | 'ț' => "t",
        'Ù'..='Û' | 'Ū' | 'Ů' | 'Ű' => "U",
        'ù'..='û' | 'ū' | 'ů' | 'ű' => "u",
        'Ý' | 'Ÿ' => "Y",
        'ý' | 'ÿ' => "y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'ź' | 'ż' | 'ž' => "z",
        '\u{2010}'..='\u{2015}' => "-",
        '\u{a0}' => " ",
        _ => "_",
    }
}

/// What became of the file, behind its name.
fn summary(ledger: &Ledger) -> String {
    let Account { rows, acknowledged, rejected, .. } = &ledger.account;
    let (all, good, bad) = (counted(*rows), counted(*acknowledged), counted(*rejected));
    let need = if *rejected == 1 { "needs" } else { "need" };
    match ledger.ended {
        Phase::Finished if *rows == 0 => "it has no rows to send".to_owned(),
        Phase::Finished if *rejected == 0 => format!("all {all} {} sent", plural(*rows)),
        Phase::Finished => format!("{good} of {all} {} sent, {bad} {need} fixing", plural(*rows)),
        Phase::Stopped if *rows == 0 => "not sent, it cannot be read".to_owned(),
        Phase::Stopped => format!("stopped, {good} {} sent, {bad} {need} fixing", plural(*acknowledged)),
        Phase::Replaced | Phase::Running => format!("replaced by another file, {good} {} sent", plural(*acknowledged)),
    }
}

/// A number with commas: 1,988.
fn counted(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn plural(rows: u64) -> &'static str {
    if rows == 1 { "row" } else { "rows" }
}

/// How many rows were sent, and why no more.
fn sent(ledger: &Ledger) -> String {
    let account = &ledger.account;
    let mut text = match ledger.ended {
        Phase::Finished => String::new(),
        Phase::Stopped => format!("The file was stopped: {}.\n", why_stopped(ledger)),
        Phase::Replaced | Phase::Running => {
            "The file was replaced or deleted before its end. If there is a new one, it has its own message.\n"
                .to_owned()
        }
    };
    if ledger.ended == Phase::Finished && account.rows == 0 {
        text.push_str("It has no rows to send.\n");
        text.push_str(&skipped(account.skipped_rows));
        return text;
    }
    let of = if ledger.ended == Phase::Finished { format!(" of {}", counted(account.rows)) } else { String::new() };
    let (were, kind) = (if account.acknowledged == 1 { "was" } else { "were" }, &ledger.kind);
    let _ = writeln!(
        text,
        "{}{of} {} {were} sent to Segment ({kind}).",
        counted(account.acknowledged),
        plural(if of.is_empty() { account.acknowledged } else { account.rows })
    );
    text.push_str(&skipped(account.skipped_rows));
    text
}

fn skipped(rows: u64) -> String {
    let were = if rows == 1 { "was" } else { "were" };
    match rows {
        0 => String::new(),
        _ => format!("{} {} {were} left out on purpose, by a rule of the mapping.\n", counted(rows), plural(rows)),
    }
}

fn why_stopped(ledger: &Ledger) -> &'static str {
    let code = ledger.code.as_deref().and_then(|code| FaultCode::ALL.iter().find(|known| known.as_str() == code));
    match code {
        None => "too many of its rows cannot be sent",
        Some(FaultCode::EmptyFile) => "it is empty",
        Some(FaultCode::NotCsv) => "it is not a CSV file",
        Some(FaultCode::CorruptCompression) => "it is damaged, or it was not uploaded to its end",
        Some(FaultCode::Encoding) => "its letters cannot be read: save it as CSV UTF-8",
        Some(FaultCode::Delimiter) => "its columns are separated by a sign that is not known",
        Some(FaultCode::HeaderTooLong | FaultCode::TooManyColumns) => "its first line, with the names, is too long",
        Some(FaultCode::MissingColumn) => "a column that each file needs is missing",
        Some(FaultCode::DuplicateColumn) => "two of its columns have the same name",
        Some(FaultCode::ColumnConflict | FaultCode::BadColumn) => "the name of a column cannot be used",
        Some(FaultCode::NothingArrives) => "none of its columns would arrive in Segment",
        Some(FaultCode::NoRows) => "a very long part of it has no row",
        Some(FaultCode::RowTooLong) => "a quotation mark in it is never closed",
        Some(FaultCode::RejectsOfNoMapping) => "it has refused rows, and its name was changed",
        Some(FaultCode::GroupTooLong) => "too many of its rows belong together",
    }
}

/// The refused rows by reason, the most frequent first.
fn refused(account: &Account) -> String {
    if account.rejected == 0 {
        return String::new();
    }
    let mut reasons: Vec<(&str, u64)> = Vec::new();
    for (code, rows) in &account.rejected_by {
        let words = in_words(code);
        match reasons.iter_mut().find(|(known, _)| *known == words) {
            Some((_, known)) => *known += rows,
            None => reasons.push((words, *rows)),
        }
    }
    reasons.sort_by_key(|(words, rows)| (std::cmp::Reverse(*rows), *words));
    let were = if account.rejected == 1 { "was" } else { "were" };
    let mut text = format!("{} {} {were} not sent:\n", counted(account.rejected), plural(account.rejected));
    for (words, rows) in reasons {
        let _ = writeln!(text, "  {} {}: {words}", counted(rows), plural(rows));
    }
    text
}

/// Why a row is refused, for its owner.
fn in_words(code: &str) -> &'static str {
    let Some(code) = RefusalCode::ALL.iter().find(|known| known.as_str() == code) else {
        return "not accepted by Segment";
    };
    match code {
        RefusalCode::MissingUserId => "the id of the person is empty",
        RefusalCode::EventMissing => "the name of the event is empty",
        RefusalCode::MissingGroupId => "the id of the group is empty",
        RefusalCode::MissingPreviousId => "the former id of the person is empty",
        RefusalCode::MissingId => "the id is empty",
        RefusalCode::IdTooLong | RefusalCode::MessageIdTooLong => "an id is too long",
        RefusalCode::ObjectEmpty => "nothing but an id",
        RefusalCode::RoundedId => "a spreadsheet has shortened an id, such as 1.23E+15",
        RefusalCode::CallTooLarge => "too long for Segment",
        RefusalCode::TooManyCells => "more cells than the file has columns",
        RefusalCode::UnclosedQuote | RefusalCode::StrayQuote => "a quotation mark is missing, or there is one too many",
        RefusalCode::InvalidEncoding => "some of its letters cannot be read",
        RefusalCode::NotATimestamp => "a date or a time cannot be read",
        RefusalCode::NotANumber => "a cell is not a number",
        RefusalCode::NotAnInteger => "a cell is not a whole number",
        RefusalCode::NotABoolean => "a cell is neither true nor false",
        RefusalCode::NotJson | RefusalCode::JsonTooDeep | RefusalCode::NotAnObject => "a cell with JSON cannot be read",
        RefusalCode::UnknownValue => "a cell has a word that is not in the list",
        RefusalCode::GroupRefused => "another row of the same group was not sent",
        RefusalCode::GroupTooLong => "too many rows belong together",
        RefusalCode::GroupIdsDiffer => "rows that belong together have different ids",
        RefusalCode::MessageIdEmpty => "a cell that each row needs is empty",
    }
}

fn what_to_do(ledger: &Ledger, places: Places<'_>) -> String {
    let has_sent = ledger.account.acknowledged > 0;
    let words = match (ledger.ended, &ledger.rejects) {
        (Phase::Replaced | Phase::Running, _) => {
            "nothing, if the new file has all rows. If you deleted it by mistake, upload it again.".to_owned()
        }
        (Phase::Finished, None) if ledger.account.rows == 0 => "nothing, if you expected that.".to_owned(),
        (Phase::Finished, None) => return "\nThere is nothing to do.\n".to_owned(),
        (Phase::Stopped, None) if has_sent => {
            format!(
                "correct the file. {} Then upload it again.",
                rest(ledger, "Delete the rows before", "they were sent")
            )
        }
        (Phase::Stopped, None) => "correct the file and upload it again.".to_owned(),
        (Phase::Finished | Phase::Stopped, Some(rejects)) => correct_rejects(ledger, rejects, places),
    };
    format!("\nWhat to do: {words}\n")
}

/// Which rows of a stopped file are not sent.
fn rest(ledger: &Ledger, before: &str, why: &str) -> String {
    let line = ledger.undelivered_from_line.map(|line| format!("line {}", counted(line)));
    let line = line.unwrap_or_else(|| "the rest".to_owned());
    format!("{before} {line}: {why}. Keep the first line, which has the names.")
}

fn correct_rejects(ledger: &Ledger, rejects: &str, places: Places<'_>) -> String {
    let (bucket, folder) = (&ledger.object.bucket, rejected_folder::parent(&ledger.object.key));
    let of_folder = rejected_folder::key(&ledger.object.key, name_of(rejects)).filter(|_| places.in_folder);
    let place = match of_folder {
        Some(key) => format!("s3://{bucket}/{key}"),
        None => format!("s3://{}/{rejects}", places.state_bucket),
    };
    let rest = match ledger.ended {
        Phase::Stopped => {
            let rest = rest(ledger, "From your own file delete the rows before", "they were sent, or are refused");
            format!("\nThe rest of your file was not sent either. {rest} Upload it again, too.")
        }
        _ => String::new(),
    };
    format!(
        "open the file of the refused rows. Its column `_error` says what is wrong with each row. Correct the rows in a text \
         editor, because a spreadsheet changes ids and dates. Keep the name of the file, and upload it to \
         s3://{bucket}/{folder}.\n  {place}{rest}"
    )
}

fn details(ledger: &Ledger, places: Places<'_>) -> String {
    let mut text =
        format!("outcome: {}\nsource: {}\nstream: {}\n", word(ledger.ended), ledger.object.source_id, ledger.stream);
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{name}: {value}");
        }
    };
    line("mapping", ledger.object.mapping.as_deref());
    line("reason", ledger.reason.as_deref());
    line("code", ledger.code.as_deref());
    let ledger_key = protocol::keys::ledger(ledger.stream);
    for (name, key) in [("ledger", Some(&ledger_key)), ("rejects", ledger.rejects.as_ref())] {
        line(name, key.map(|key| format!("s3://{}/{key}", places.state_bucket)).as_deref());
    }
    line("not settled from line", ledger.undelivered_from_line.map(|number| number.to_string()).as_deref());
    for (code, rows) in &ledger.account.rejected_by {
        line(code, Some(&counted(*rows)));
    }
    for warning in ledger.warnings.iter().take(WARNINGS_MAX) {
        line("warning", Some(warning));
    }
    line("ended", Some(&ledger.ended_at));
    text
}

#[cfg(test)]
mod tests;
