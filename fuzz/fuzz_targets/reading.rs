//! Bytes → rows → calls. Whatever is read: nothing panics, pieces change nothing, spans are
//! contiguous, each record is in one place, every call is JSON, and reading can be taken up again.
//!
//! The first bytes of the input choose kind and settings, the rest is the file. Seeds: the corpus
//! (`fuzz/seed.sh`).
#![no_main]

use calls::call::{CALL_BYTES_MAX, MessageIds};
use calls::dialect::{Compression, Delimiter, Encoding, StoredHeader};
use calls::reading::{EmptyCells, Reading};
use calls::refusal::{FileFault, Position};
use calls::subject::{Kind, Subject};
use calls::translator::{Step, Translator};
use libfuzzer_sys::fuzz_target;
use protocol::id::StreamId;

fuzz_target!(|input: &[u8]| {
    let [kind, settings, piece, file @ ..] = input else { return };
    let (subject, reading) = (subject(*kind), reading(*settings));
    let translator = || Translator::new(&subject, &reading, MessageIds::new(StreamId::new([1; 16])));
    let (whole, header) = read(translator(), file, usize::MAX);
    let (pieces, _) = read(translator(), file, usize::from(*piece).max(1));
    assert_eq!(pieces, whole, "pieces change nothing");
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
    let name = match kind {
        Kind::Object => "object_rooms_1.csv".to_owned(),
        kind => format!("{}1.csv", kind.prefix()),
    };
    Subject::of(&name, &[], None).unwrap()
}

fn reading(byte: u8) -> Reading {
    Reading {
        infer_types: byte & 1 != 0,
        empty_cells: [EmptyCells::Omit, EmptyCells::Null, EmptyCells::Empty][usize::from(byte >> 1) % 3],
        encoding: [None, Encoding::named("utf-16le"), Encoding::named("windows-1252"), Encoding::named("gb18030")]
            [usize::from(byte >> 3) % 4],
        delimiter: (byte & 32 != 0).then_some(Delimiter::Tab),
        timestamp_formats: if byte & 64 != 0 { vec!["%d/%m/%Y".to_owned()] } else { Vec::new() },
        ..Reading::default()
    }
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    /// Call or nothing, where reading can be taken up behind the record, and its bytes.
    records: Vec<(Option<Vec<u8>>, Position, Vec<u8>)>,
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
            Ok(Step::Call { span, len, timestamp }) => {
                assert_eq!(len, call.len());
                assert!(len <= CALL_BYTES_MAX);
                let value: serde_json::Value = serde_json::from_slice(&call).expect("a call is JSON");
                assert!(value.is_object());
                assert!(timestamp.is_none_or(|at| at.len() == 24 && call[at.end] == b'"'));
                (span, Some(call))
            }
            Ok(Step::Refused(refusal)) => {
                assert!(call.is_empty());
                (refusal.span, None)
            }
            Ok(Step::Starved) => {
                match pieces.next() {
                    Some(piece) => translator.push(piece),
                    None => translator.finish(),
                }
                continue;
            }
            Ok(Step::End) => break,
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
