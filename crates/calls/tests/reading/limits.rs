//! Every limit, from both sides.

use calls::batches::Envelope;
use calls::call::{CALL_BYTES_MAX, MessageIds};
use calls::columns::{COLUMN_NAME_CHARS_MAX, COLUMNS_MAX};
use calls::pipeline::{Next, Pipeline};
use calls::refusal::{FaultCode, FileFault, Position, RefusalCode};
use calls::translator::{BEGINNING_BYTES, HEADER_BYTES_MAX, Limits, ROW_BYTES_MAX, Translator};
use protocol::id::StreamId;
use std::io::Write as _;

use crate::support::{File, Outcome};

fn track(rows: &str) -> File {
    File::new("track_1.csv", format!("userId,event,properties.x\n{rows}"))
}

#[test]
fn a_call_of_exactly_the_limit_is_sent_and_one_byte_more_is_refused() {
    let empty = track("u,e,?\n").read(&[usize::MAX]).calls()[0].len() - 1;
    for filler in ["a", "ü", "€", "😀"] {
        let room = CALL_BYTES_MAX - empty;
        let text = filler.repeat(room / filler.len());
        let text = format!("{text}{}", "a".repeat(room - text.len()));
        let read = track(&format!("u,e,{text}\nu,e,{text}a\n")).read(&[usize::MAX]);
        assert_eq!(read.calls().len(), 1, "{filler}");
        assert_eq!(read.calls()[0].len(), CALL_BYTES_MAX, "counted in bytes");
        assert_eq!(read.refusals()[0].code, RefusalCode::CallTooLarge);
    }
}

#[test]
fn a_row_beyond_the_limit_ends_the_file_and_says_where_it_begins() {
    let long = "x".repeat(ROW_BYTES_MAX);
    for pieces in [&[usize::MAX][..], &[100_000]] {
        let read = track(&format!("u1,e,1\n\nu2,e,\"{long}\nu3,e,1\n")).read(pieces);
        assert_eq!(read.calls().len(), 1);
        let fault = read.fault.unwrap();
        assert_eq!(fault.code, FaultCode::RowTooLong);
        assert_eq!(fault.at, Some(Position { byte: 34, line: 4 }), "behind the blank line");
        assert!(fault.message.starts_with("line 4: "), "{fault}");
        assert!(fault.message.contains("quote"), "{fault}");
    }
    // One of exactly the limit is only a call that is too large.
    let row = format!("u,e,{}", &long[4..]);
    assert_eq!(row.len(), ROW_BYTES_MAX);
    let read = track(&format!("{row}\nu,e,1\n")).read(&[usize::MAX]);
    assert_eq!((read.fault.is_none(), read.refusals().len(), read.calls().len()), (true, 1, 1));
}

#[test]
fn a_header_beyond_the_limit_is_one_fault() {
    for (header, too_long) in [(HEADER_BYTES_MAX, false), (HEADER_BYTES_MAX + 1, true)] {
        let room = header - "userId,event,context.a,".len();
        // Many columns, since a name has a limit of its own.
        let names: String = (0..=room / 500).map(|n| format!("{n:0499},")).collect();
        let name = &names[..room];
        for pieces in [&[usize::MAX][..], &[100_000]] {
            let read = File::new("track_1.csv", format!("\n\nuserId,event,context.a,{name}\nu,e,1\n")).read(pieces);
            assert_eq!(read.fault.as_ref().map(|fault| fault.code), too_long.then_some(FaultCode::HeaderTooLong));
            let at = read.fault.and_then(|fault| fault.at);
            assert_eq!(at, too_long.then_some(Position { byte: 2, line: 3 }), "behind the blank lines");
            assert_eq!(read.taken.len(), usize::from(!too_long));
        }
    }
}

#[test]
fn more_columns_than_the_limit_are_one_fault() {
    for (columns, too_many) in [(COLUMNS_MAX, false), (COLUMNS_MAX + 1, true)] {
        let rest: String = (2..columns).map(|n| format!(",traits.{n}")).collect();
        let read = File::new("identify_1.csv", format!("userId,anonymousId{rest}\nu,a\n")).read(&[usize::MAX]);
        assert_eq!(read.fault.map(|fault| fault.code), too_many.then_some(FaultCode::TooManyColumns));
    }
}

#[test]
fn a_name_of_a_column_beyond_the_limit_is_one_fault() {
    for (chars, too_long) in [(COLUMN_NAME_CHARS_MAX, false), (COLUMN_NAME_CHARS_MAX + 1, true)] {
        let name = format!("context.{}", "ü".repeat(chars - "context.".len()));
        let read = File::new("track_1.csv", format!("userId,event,{name}\nu,e,1\n")).read(&[usize::MAX]);
        assert_eq!(read.fault.as_ref().map(|fault| fault.code), too_long.then_some(FaultCode::BadColumn));
        assert!(read.fault.is_none_or(|fault| fault.message.contains("column 3") && fault.message.len() < 200));
    }
}

#[test]
fn messages_about_refused_rows_count_towards_the_size_of_a_batch() {
    let name = format!("properties.{}", "n".repeat(900));
    let file = track("");
    let csv = format!("userId,event,{name}:number\n{}", "u,e,x\n".repeat(2_400));
    let translator = Translator::new(&file.subject(), &file.reading, MessageIds::new(StreamId::new([0; 16])));
    let mut machine = Pipeline::new(translator, Envelope::batch(), Position::START);
    machine.push(csv.as_bytes());
    machine.finish();
    let mut rows = 0;
    while let Next::Batch(batch) = machine.next_batch() {
        rows += batch.rows();
        let said: usize = batch.refused.iter().map(|refused| refused.refusal.message.len()).sum();
        assert!(said < 1 << 20, "{said} bytes are said of {} rows", batch.rows());
    }
    assert_eq!(rows, 2_400);
}

#[test]
fn blank_lines_take_no_memory() {
    let subject = calls::subject::Subject::of("track_1.csv", &[], None).unwrap();
    let ids = calls::call::MessageIds::new(StreamId::new([0; 16]));
    let mut translator = calls::translator::Translator::new(&subject, &Default::default(), ids);
    let blank = vec![b'\n'; 100_000];
    let (mut calls, mut records) = (Vec::new(), Vec::new());
    for part in [&b""[..], b"\r", b"userId,event\n", b"u,e\n"] {
        translator.push(part);
        for _ in 0..20 {
            translator.push(&blank);
            while translator.next(&mut calls, &mut records) != Ok(calls::translator::Translated::Starved) {}
            // The beginning of a file is read before its first row is.
            assert!(translator.buffered() <= blank.len() + BEGINNING_BYTES, "{}", translator.buffered());
        }
    }
    assert!(calls.starts_with(b"{"));
}

#[test]
fn a_bomb_is_inflated_no_faster_than_it_is_read() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"userId,event\n").unwrap();
    let rows = "u,e\n".repeat(50_000);
    for _ in 0..20 {
        encoder.write_all(rows.as_bytes()).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let subject = calls::subject::Subject::of("track_1.csv", &[], None).unwrap();
    let ids = calls::call::MessageIds::new(StreamId::new([0; 16]));
    let mut translator = calls::translator::Translator::new(&subject, &Default::default(), ids);
    translator.push(&bomb);
    translator.finish();
    let mut taken = 0;
    let (mut calls, mut records) = (Vec::new(), Vec::new());
    while let calls::translator::Translated::Call { .. } = translator.next(&mut calls, &mut records).unwrap() {
        taken += 1;
        (calls, records) = (Vec::new(), Vec::new());
        assert!(translator.buffered() < bomb.len() + 1024 * 1024, "{}", translator.buffered());
    }
    assert_eq!(taken, 20 * 50_000);
}

#[test]
fn a_message_never_repeats_a_cell() {
    let secret = "secret".repeat(6_000);
    let read = track(&format!("{secret},e,1,2\nu,e,{secret}\n,e,{secret}\n")).read(&[usize::MAX]);
    assert_eq!(read.refusals().len(), 3);
    for taken in &read.taken {
        let Outcome::Refused(refusal) = &taken.outcome else { continue };
        assert!(!refusal.message.contains("secret"), "{}", refusal.message);
    }
}

/// Reads a file within these limits, in pieces of 1,000 bytes. Returns its rows, its pauses, and its fault.
fn read_within(limits: Limits, bytes: &[u8]) -> (u64, usize, Option<FileFault>) {
    let file = track("");
    let translator = Translator::new(&file.subject(), &file.reading, MessageIds::new(StreamId::new([7; 16])));
    let mut machine = Pipeline::new(translator.with_limits(limits), Envelope::of(&file.subject()), Position::START);
    let (mut pieces, mut rows, mut pauses) = (bytes.chunks(1_000), 0, 0);
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                rows += batch.calls.len() as u64;
                machine.settle(&batch, &[]);
                machine.commit();
            }
            Next::Hungry => match pieces.next() {
                Some(piece) => machine.push(piece),
                None => machine.finish(),
            },
            Next::Paused => pauses += 1,
            Next::Done => return (rows, pauses, machine.fault().cloned()),
        }
    }
}

/// A frame of zstd that is this text, then `count` blocks of 128 KiB of one byte each (RFC 8878 §3.1.1).
fn zstd_of(text: &str, byte: u8, count: u32) -> Vec<u8> {
    let block = |last: u32, kind: u32, size: u32| (last | kind << 1 | size << 3).to_le_bytes()[..3].to_vec();
    // No content size, no checksum, a window of 128 KiB.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 7 << 3];
    frame.extend(block(0, 0, u32::try_from(text.len()).unwrap()));
    frame.extend(text.as_bytes());
    for at in 1..=count {
        frame.extend(block(u32::from(at == count), 1, 128 * 1024));
        frame.push(byte);
    }
    frame
}

fn gzip_of(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn a_small_file_that_inflates_without_end_ends_with_a_fault_of_its_kind() {
    const BLOCKS: u32 = 32;
    const TEXT_BYTES: usize = 4 << 20;
    let limits = Limits { pause_bytes: 128 << 10, rowless_bytes: 1 << 20, ..Limits::default() };
    let header = "userId,event\n";
    let rows = "userId,event\nu1,e\nu2,e\n";
    let many = |text: &str| text.repeat(TEXT_BYTES / text.len());
    for (name, bytes, code, is_long) in [
        ("newlines of gzip", gzip_of(&many("\n")), FaultCode::NoRows, true),
        ("newlines", zstd_of("", b'\n', BLOCKS), FaultCode::NoRows, true),
        ("newlines behind the header", zstd_of(header, b'\n', BLOCKS), FaultCode::NoRows, true),
        ("newlines behind rows", zstd_of(rows, b'\r', BLOCKS), FaultCode::NoRows, true),
        ("lines of delimiters", gzip_of(&format!("{rows}{}", many(",\r\n"))), FaultCode::NoRows, true),
        ("lines of empty quotes", gzip_of(&format!("{rows}{}", many("\"\",\"\"\n"))), FaultCode::NoRows, true),
        ("repeated headers", gzip_of(&many(header)), FaultCode::NoRows, true),
        ("an endless header", zstd_of("userId,", b'a', BLOCKS), FaultCode::HeaderTooLong, false),
        ("an endless header in quotes", zstd_of("\"userId", b'\n', BLOCKS), FaultCode::HeaderTooLong, false),
        ("delimiters", zstd_of(rows, b',', BLOCKS), FaultCode::RowTooLong, false),
        ("quotes", zstd_of(rows, b'"', BLOCKS), FaultCode::RowTooLong, false),
        ("an open quote", zstd_of(&format!("{rows}\""), b'\n', BLOCKS), FaultCode::RowTooLong, false),
    ] {
        assert!(bytes.len() < TEXT_BYTES / 50, "{name}: {} bytes", bytes.len());
        let (_, pauses, fault) = read_within(limits, &bytes);
        let fault = fault.unwrap_or_else(|| panic!("{name}: no fault"));
        assert_eq!(fault.code, code, "{name}: {fault}");
        assert!(fault.message.starts_with("line "), "{name}: {fault}");
        let inflated = fault.at.unwrap().byte;
        assert!(inflated <= limits.rowless_bytes + (1 << 20), "{name}: {inflated} bytes are read");
        // The clock is looked at.
        assert!(!is_long || pauses >= 3, "{name}: {pauses} pauses");
    }
}

#[test]
fn text_without_rows_is_a_fault_from_one_byte_beyond_the_limit_on() {
    let limits = Limits { pause_bytes: usize::MAX, rowless_bytes: 3_000, ..Limits::default() };
    let exact = |unit: &str| unit.repeat(3_000 / unit.len());
    for unit in ["\n", "\r\n", ",\n"] {
        for more in ["", "\n"] {
            let expected = (!more.is_empty()).then_some(FaultCode::NoRows);
            let check = |text: String, rows: u64| {
                let (read, _, fault) = read_within(limits, text.as_bytes());
                assert_eq!(fault.map(|fault| fault.code), expected, "{unit:?} {more:?}");
                assert_eq!(read, if expected.is_none() { rows } else { 1 }, "{unit:?} {more:?}");
            };
            check(format!("userId,event\nu,e\n{}{more}u,e\n", exact(unit)), 2);
            check(format!("userId,event\nu,e\n{}{more}", exact(unit)), 1);
            // A row in between begins the count again.
            check(format!("userId,event\nu,e\n{0}{more}u,e\n{0}u,e\n", exact(unit)), 3);
        }
    }
}
