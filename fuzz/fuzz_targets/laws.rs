//! What holds of any file, under any settings and any mapping: nothing panics, pieces change nothing, spans are
//! contiguous, each record is in one place, every call is JSON, and reading can be taken up again.

use calls::batches::Envelope;
use calls::call::{CALL_BYTES_MAX, MessageIds};
use calls::dialect::{Compression, StoredHeader};
use calls::pipeline::{Next, Pipeline};
use calls::reading::Reading;
use calls::refusal::{FileFault, Position, Span};
use calls::subject::Subject;
use calls::translator::{Dropped, Translated, Translator};
use protocol::account::Account;
use protocol::id::StreamId;

/// Checks a file, also in pieces of `piece` bytes.
pub fn check(subject: &Subject, reading: &Reading, piece: usize, file: &[u8]) {
    let ids = || MessageIds::new(StreamId::new([1; 16]));
    let translator = || Translator::new(subject, reading, ids());
    let (whole, header) = read(translator(), file, usize::MAX);
    let (pieces, _) = read(translator(), file, piece);
    assert_eq!(pieces, whole, "pieces change nothing");
    check_account(subject, translator(), file, piece, &whole);
    let Some(header) = header else { return };
    let half = whole.records.len() / 2;
    let at = match half.checked_sub(1) {
        None => header.rows_from,
        Some(before) => whole.records[before].after,
    };
    let from = match header.dialect.compression {
        Compression::None => usize::try_from(at.byte).unwrap(),
        _ => 0,
    };
    let resumed = Translator::resume(subject, reading, ids(), &header, at).unwrap();
    let (rest, _) = read(resumed, &file[from..], usize::MAX);
    assert_eq!(rest.records, whole.records[half..], "reading taken up gives the rest");
    assert_eq!((rest.fault, rest.end), (whole.fault, whole.end));
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
            Next::Paused => {}
            Next::Done => break,
        }
    }
    assert!(account.closes());
    let of = |is: fn(&Place) -> bool| -> u64 {
        read.records.iter().filter(|record| is(&record.place)).map(|record| record.rows).sum()
    };
    assert_eq!(account.acknowledged, of(|place| matches!(place, Place::Call(_))));
    assert_eq!(account.rejected, of(|place| *place == Place::Refused));
    assert_eq!(account.skipped_rows, of(|place| *place == Place::Dropped(Dropped::Skipped)));
    assert_eq!(account.repeated_headers, of(|place| *place == Place::Dropped(Dropped::RepeatedHeader)));
    assert!(account.blank_rows >= of(|place| *place == Place::Dropped(Dropped::Blank)));
    if read.fault.is_none() && at.is_some() {
        assert_eq!(at, read.end.map(|end| end.byte), "all of the file is settled");
    }
}

#[derive(Debug, PartialEq)]
enum Place {
    Call(Vec<u8>),
    Refused,
    Dropped(Dropped),
}

/// A record, or a group of records.
#[derive(Debug, PartialEq)]
struct Record {
    place: Place,
    rows: u64,
    /// Where reading can be taken up behind it.
    after: Position,
    bytes: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    records: Vec<Record>,
    fault: Option<FileFault>,
    end: Option<Position>,
}

fn read(mut translator: Translator, file: &[u8], piece: usize) -> (Read, Option<StoredHeader>) {
    let mut read = Read::default();
    let mut pieces = file.chunks(piece.min(file.len()).max(1));
    let mut at = translator.header().map(|_| translator.position().byte);
    loop {
        let (mut call, mut record) = (Vec::new(), Vec::new());
        let (span, place) = match translator.next(&mut call, &mut record) {
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
            Ok(Translated::RefusedGroup(refusals)) => {
                assert!(call.is_empty());
                let (first, last) = (refusals.first().unwrap(), refusals.last().unwrap());
                assert_eq!(refusals.len(), translator.group().len());
                (Span { to: last.span.to, ..first.span }, Place::Refused)
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
            Ok(Translated::Paused) => continue,
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
        assert_eq!(translator.position().byte, span.to, "no position falls into a group");
        let (rows, after) = (translator.rows_taken(), translator.position());
        read.records.push(Record { place, rows, after, bytes: record });
    }
    read.end = Some(translator.position());
    (read, translator.header().cloned())
}
