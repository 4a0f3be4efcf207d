//! Bytes → rows → calls. Whatever is read: nothing panics, pieces change nothing, spans are
//! contiguous, each record is in one place, every call is JSON, and reading can be taken up again.
//!
//! How the file is quoted and encoded is found out from its beginning, unless the settings say it. The account of the
//! whole closes: each record is a call, a refused row, a blank row or a repeated header.
//!
//! The first bytes of the input choose kind and settings, the rest is the file. Seeds: the corpus
//! (`fuzz/seed.sh`).
#![no_main]

use calls::batches::Envelope;
use calls::call::{CALL_BYTES_MAX, MessageIds};
use calls::dialect::{Compression, Delimiter, Encoding, Escape, Quote, Quoting, StoredHeader};
use calls::kind::Kind;
use calls::pipeline::{Pipeline, Next};
use protocol::account::Account;
use calls::reading::{EmptyCells, Reading};
use calls::refusal::{FileFault, Position};
use calls::subject::Subject;
use calls::translator::{Dropped, Translated, Translator};
use libfuzzer_sys::fuzz_target;
use protocol::id::StreamId;

fuzz_target!(|input: &[u8]| {
    let [kind, settings, more, piece, file @ ..] = input else { return };
    let (subject, reading) = (subject(*kind), reading(*settings, *more));
    let translator = || Translator::new(&subject, &reading, MessageIds::new(StreamId::new([1; 16])));
    let (whole, header) = read(translator(), file, usize::MAX);
    let (pieces, _) = read(translator(), file, usize::from(*piece).max(1));
    assert_eq!(pieces, whole, "pieces change nothing");
    check_account(&subject, translator(), file, usize::from(*piece).max(1), &whole);
    let Some(header) = header else { return };
    let half = whole.records.len() / 2;
    let at = match half.checked_sub(1) {
        None => header.rows_from,
        Some(before) => whole.records[before].1,
    };
    let from = match header.dialect.compression {
        Compression::None => usize::try_from(at.byte).unwrap(),
        _ => 0,
    };
    let resumed = Translator::resume(&subject, &reading, MessageIds::new(StreamId::new([1; 16])), &header, at).unwrap();
    let (rest, _) = read(resumed, &file[from..], usize::MAX);
    assert_eq!(rest.records, whole.records[half..], "reading taken up gives the rest");
    assert_eq!((rest.fault, rest.end), (whole.fault, whole.end));
});

fn subject(byte: u8) -> Subject {
    let kind = Kind::ALL[usize::from(byte) % Kind::ALL.len()];
    Subject::of(&format!("{kind}_rooms_1.csv"), &[], None).unwrap()
}

/// Every record is in one place, and the account says in which.
fn check_account(subject: &Subject, translator: Translator, file: &[u8], piece: usize, read: &Read) {
    let envelope = Envelope::of(subject);
    let mut machine = Pipeline::new(translator, envelope, Position::START);
    let mut pieces = file.chunks(piece);
    let (mut account, mut at) = (Account::default(), None);
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                assert!(at.is_none_or(|at| at == batch.from), "batches are contiguous");
                at = Some(batch.to);
                machine.settle(&batch, &[]);
                if let Some(commit) = machine.commit() {
                    assert!(commit.account.closes());
                    account.add(&commit.account);
                }
            }
            Next::Hungry => match pieces.next() {
                Some(piece) => machine.push(piece),
                None => machine.finish(),
            },
            Next::Done => break,
        }
    }
    assert!(account.closes());
    let of = |place: Place| read.records.iter().filter(|(found, ..)| *found == place).count() as u64;
    let calls = read.records.iter().filter(|(found, ..)| matches!(found, Place::Call(_))).count() as u64;
    assert_eq!(account.acknowledged, calls);
    assert_eq!(account.rejected, of(Place::Refused));
    assert_eq!(account.repeated_headers, of(Place::Dropped(Dropped::RepeatedHeader)));
    assert!(account.blank_rows >= of(Place::Dropped(Dropped::Blank)));
    if read.fault.is_none() && at.is_some() {
        assert_eq!(at, read.end.map(|end| end.byte), "all of the file is settled");
    }
}

fn reading(byte: u8, more: u8) -> Reading {
    let single = Quoting { quote: Quote::Single, ..Quoting::default() };
    let backslash = Quoting { escape: Escape::Backslash, ..Quoting::default() };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let encoding = [None, Encoding::named("utf-16le"), Encoding::named("windows-1252"), Encoding::named("gb18030")]
        [usize::from(byte >> 3) % 4];
    Reading {
        quoting: [None, None, Some(single), Some(backslash)][usize::from(more) % 4],
        timestamp_zone: (more & 4 != 0).then(|| "Europe/Berlin".to_owned()),
        nulls: if more & 8 != 0 { words(&["NULL", "-"]) } else { Vec::new() },
        id_nulls: (more & 16 != 0).then(|| words(&["0"])),
        encoding_auto: more & 32 != 0 && encoding.is_none(),
        encoding,
        infer_types: byte & 1 != 0,
        empty_cells: [EmptyCells::Omit, EmptyCells::Null, EmptyCells::Empty][usize::from(byte >> 1) % 3],
        delimiter: (byte & 32 != 0).then_some(Delimiter::Tab),
        timestamp_formats: if byte & 64 != 0 { vec!["%d/%m/%Y".to_owned()] } else { Vec::new() },
        ..Reading::default()
    }
}

#[derive(Debug, PartialEq)]
enum Place {
    Call(Vec<u8>),
    Refused,
    Dropped(Dropped),
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    /// What each record came to, where reading can be taken up behind it, and its bytes.
    records: Vec<(Place, Position, Vec<u8>)>,
    fault: Option<FileFault>,
    end: Option<Position>,
}

fn read(mut translator: Translator, file: &[u8], piece: usize) -> (Read, Option<StoredHeader>) {
    let mut read = Read::default();
    let mut pieces = file.chunks(piece.min(file.len()).max(1));
    let mut at = translator.header().map(|_| translator.position().byte);
    loop {
        let (mut call, mut record) = (Vec::new(), Vec::new());
        let (span, call) = match translator.next(&mut call, &mut record) {
            Ok(Translated::Call { span, len, timestamp }) => {
                assert_eq!(len, call.len());
                assert!(len <= CALL_BYTES_MAX);
                let value: serde_json::Value = serde_json::from_slice(&call).expect("a call is JSON");
                assert!(value.is_object());
                assert!(timestamp.is_none_or(|at| at.len() == 24 && call[at.end] == b'"'));
                (span, Place::Call(call))
            }
            Ok(Translated::Refused(refusal)) => {
                assert!(call.is_empty());
                (refusal.span, Place::Refused)
            }
            Ok(Translated::Dropped { span, reason }) => {
                assert!(call.is_empty() && record.is_empty());
                (span, Place::Dropped(reason))
            }
            Ok(Translated::Starved) => {
                match pieces.next() {
                    Some(piece) => translator.push(piece),
                    None => translator.finish(),
                }
                continue;
            }
            Ok(Translated::End) => break,
            Err(fault) => {
                read.fault = Some(fault);
                break;
            }
        };
        let from = at.or_else(|| translator.header().map(|header| header.rows_from.byte));
        assert_eq!(Some(span.from), from, "spans are contiguous");
        assert!(span.from <= span.start && span.start < span.to);
        at = Some(span.to);
        read.records.push((call, translator.position(), record));
    }
    read.end = Some(translator.position());
    (read, translator.header().cloned())
}
