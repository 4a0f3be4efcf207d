//! Laws that hold for any bytes whatever.

use calls::dialect::Encoding;
use calls::refusal::RefusalCode;
use calls::translator::Dropped;
use proptest::prelude::*;

use crate::support::{File, Outcome};

/// Rows in which everything that means something is frequent, behind a header that works.
fn hostile_rows() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        3 => Just(b"\"".to_vec()),
        4 => Just(b",".to_vec()),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        2 => Just(b"2019-05-11T20:32:27.940Z".to_vec()),
        2 => Just(b"14.99".to_vec()),
        1 => Just(b"true".to_vec()),
        1 => Just(br#"{""a"":[1,null]}"#.to_vec()),
        2 => "[a-c ]{1,3}".prop_map(String::into_bytes),
        1 => Just("ü€😀".as_bytes().to_vec()),
        1 => prop_oneof![Just("\n\u{FEFF}\""), Just("\u{FEFF}"), Just("\u{1A}\0\n"), Just("\nsep=,\n"), Just("\\\"")]
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
    ];
    proptest::collection::vec(token, 0..80).prop_map(|tokens| tokens.concat())
}

/// Rows of other dialects, whole or nearly so.
fn rows_of_dialects() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        3 => "[a-c1]{0,3}",
        2 => Just(r#""say \"hi\"""#.to_owned()),
        2 => Just(r#" "a, b""#.to_owned()),
        1 => Just(r"a\,b".to_owned()),
        1 => Just("'a'".to_owned()),
        1 => Just("NULL".to_owned()),
        1 => Just("userId".to_owned()),
    ];
    let row = proptest::collection::vec(cell, 1..4).prop_map(|cells| cells.join(","));
    let row = (row, any::<bool>()).prop_map(|(row, whole)| match whole {
        true => format!("\"{}\"\n", row.replace('"', "\"\"")),
        false => format!("{row}\n"),
    });
    proptest::collection::vec(row, 0..12)
        .prop_map(|rows| format!("userId,event,properties.name\n{}", rows.concat()).into_bytes())
}

const HEADERS: [(&str, &str); 9] = [
    ("track_1.csv", "userId,event,properties.n:number,_error_code,_error,_line,_byte\n"),
    ("track_1.csv", "userId,event,timestamp,properties.price:number,properties.tags.0,properties.tags.1\n"),
    ("identify_1.csv", "\u{feff}userId,anonymousId,traits.a:json,traits.b:boolean,traits.createdAt,context:json\n"),
    ("page_1.csv", "userId,name,properties:json,integrations.All,messageId,_error\r\n"),
    ("group_1.csv", "userId,groupId,traits.x[],traits.x[],traits.n:integer,\n"),
    ("alias_1.csv", "\n\nuserId,previousId\r"),
    ("track_1.csv", "type[],userId,event,sentAt[],writeKey[],type[],labels[],labels[]\n"),
    ("track_1.csv", "userId,event,messageId[],timestamp[],properties[]\n"),
    ("object_rooms_1.csv", "id,name,price:number,createdAt\n"),
];

pub(crate) fn file() -> impl Strategy<Value = File> {
    (0..HEADERS.len(), hostile_rows(), 0..8_u8).prop_map(|(index, rows, settings)| {
        let (name, header) = HEADERS[index];
        let mut file = File::new(name, [header.as_bytes(), &rows].concat());
        file.reading.unknown_columns = calls::reading::UnknownColumns::Top;
        file.reading.infer_types = settings & 1 != 0;
        if settings & 2 != 0 {
            file.reading.empty_cells = calls::reading::EmptyCells::Null;
        }
        if settings & 4 != 0 {
            file.reading.encoding = Encoding::named("shift_jis");
        }
        file
    })
}

/// A whole file of anything, header included.
fn anything() -> impl Strategy<Value = File> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        hostile_rows(),
        rows_of_dialects(),
        rows_of_dialects(),
        hostile_rows().prop_map(|rows| utf16(&String::from_utf8_lossy(&rows))),
    ];
    (0..HEADERS.len(), bytes).prop_map(|(index, bytes)| File::new(HEADERS[index].0, bytes))
}

/// Cells in which everything that another dialect gives a meaning to is frequent.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9 ]{0,8}",
        3 => r#"[ab\\"', ;\t]{0,8}"#,
        1 => "[a\\n\\r\\\\\"]{0,6}",
        1 => Just(r#""say \"hi\"""#.to_owned()),
        1 => Just(r#" "a", "b""#.to_owned()),
        1 => Just("\\N".to_owned()),
    ]
}

/// A file as RFC 4180 has it, with its cells.
fn rfc4180() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<String>>)> {
    let rows = proptest::collection::vec(proptest::collection::vec(cell(), 2), 1..12);
    (rows, any::<bool>(), any::<bool>()).prop_map(|(rows, crlf, always)| {
        let mut writer = csv::WriterBuilder::new()
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .from_writer(Vec::new());
        writer.write_record(["userId", "event", "properties.a", "properties.b"]).unwrap();
        for row in &rows {
            writer.write_record(["u", "e"].into_iter().chain(row.iter().map(String::as_str))).unwrap();
        }
        (writer.into_inner().unwrap(), rows)
    })
}

/// A file as RFC 4180 has it, in which rows may lack a cell or have one too many.
fn uneven_rfc4180() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<String>>)> {
    let cell = prop_oneof![
        1 => cell(),
        2 => r#"[ab,]{0,2}[\\"]{1,2}"#,
    ];
    let rows = proptest::collection::vec(proptest::collection::vec(cell, 0..3), 1..5);
    (rows, any::<bool>()).prop_map(|(rows, always)| {
        let mut writer = csv::WriterBuilder::new()
            .flexible(true)
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .from_writer(Vec::new());
        writer.write_record(["userId", "traits.a"]).unwrap();
        for (row, number) in rows.iter().zip(0..) {
            let id = format!("u{number}");
            writer.write_record(std::iter::once(id.as_str()).chain(row.iter().map(String::as_str))).unwrap();
        }
        (writer.into_inner().unwrap(), rows)
    })
}

/// A file as RFC 4180 has it, but for one row of another dialect, with its other cells.
fn one_row_of_a_dialect() -> impl Strategy<Value = (Vec<u8>, Vec<[String; 2]>)> {
    const ROWS: [&str; 8] = [
        r#"x,"p\"q",z"#,
        r#"x, "p",z"#,
        r#"x,"p\",q",z"#,
        r#"x,p\,q,z"#,
        r#""x,p,z""#,
        r#"x, "p, q" ,z"#,
        r#"x,"p"q,z"#,
        r#"x,"p" , "q""#,
    ];
    let cell = || prop_oneof![1 => cell(), 2 => r#"[ab]?\\?[",]{0,2}"#, 2 => r#",? [ab]"#];
    let rows = proptest::collection::vec([cell(), cell()], 1..5);
    (rows, 0..ROWS.len(), any::<prop::sample::Index>()).prop_map(|(rows, other, at)| {
        let mut lines: Vec<String> = vec!["userId,traits.a,traits.b\n".to_owned()];
        for (row, number) in rows.iter().zip(0..) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record([format!("u{number}").as_str(), &row[0], &row[1]]).unwrap();
            lines.push(String::from_utf8(writer.into_inner().unwrap()).unwrap());
        }
        lines.insert(1 + at.index(lines.len()), format!("{}\n", ROWS[other]));
        (lines.concat().into_bytes(), rows)
    })
}

/// The line on which a byte stands, counted the slow way.
fn line_of(text: &[u8], byte: u64) -> u64 {
    let before = &text[..usize::try_from(byte).unwrap()];
    let crlf = before.windows(2).filter(|pair| *pair == b"\r\n").count();
    let ends = before.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    (1 + ends - crlf) as u64
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xFEFF).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_record_is_in_exactly_one_place(file in prop_oneof![3 => file(), 1 => anything()]) {
        let read = file.read(&[usize::MAX]);
        let Some(header) = &read.header else {
            prop_assert!(read.fault.is_some());
            prop_assert!(read.taken.is_empty());
            return Ok(());
        };
        let mut at = header.rows_from;
        for taken in &read.taken {
            let span = taken.span;
            prop_assert_eq!(span.from, at.byte, "spans are contiguous");
            prop_assert!(span.from <= span.start && span.start < span.to);
            if header.dialect.encoding == Encoding::Utf8 {
                prop_assert_eq!(span.line, line_of(&file.bytes, span.start));
            }
            prop_assert_eq!(taken.after.byte, span.to);
            at = taken.after;
        }
        let dropped = read.dropped(Dropped::Blank) + read.dropped(Dropped::RepeatedHeader);
        prop_assert_eq!(read.calls().len() + read.refusals().len() + dropped, read.taken.len());
        if read.fault.is_none() {
            prop_assert_eq!(read.end.map(|end| end.byte), Some(file.bytes.len() as u64));
        }
    }

    #[test]
    fn a_file_that_rfc_4180_reads_is_read_as_the_csv_crate_reads_it((bytes, rows) in rfc4180()) {
        let reference: Vec<Vec<String>> = csv::Reader::from_reader(&bytes[..])
            .records()
            .map(|record| record.unwrap().iter().skip(2).map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(&reference, &rows);
        let read = File::new("track_1.csv", bytes).read(&[usize::MAX]);
        prop_assert!(read.header.as_ref().is_some_and(|header| header.dialect.quoting.is_rfc4180()));
        let cells: Vec<Vec<String>> = read
            .calls()
            .iter()
            .map(|call| {
                let call: serde_json::Value = serde_json::from_str(call).unwrap();
                let cell = |name: &str| call["properties"][name].as_str().unwrap_or_default().to_owned();
                vec![cell("a"), cell("b")]
            })
            .collect();
        prop_assert_eq!(cells, reference);
    }

    #[test]
    fn a_row_that_rfc_4180_reads_whole_is_read_so_whatever_the_rows_beside_it((bytes, rows) in uneven_rfc4180()) {
        let read = File::new("identify_1.csv", bytes).read(&[usize::MAX]);
        let calls: Vec<serde_json::Value> =
            read.calls().iter().map(|call| serde_json::from_str(call).unwrap()).collect();
        for (row, number) in rows.iter().zip(0..).filter(|(row, _)| row.len() == 1) {
            let call = calls.iter().find(|call| call["userId"] == format!("u{number}"));
            let cell = call.map(|call| call["traits"]["a"].as_str().unwrap_or_default());
            prop_assert_eq!(cell, Some(row[0].as_str()));
        }
    }

    #[test]
    fn one_row_of_a_dialect_takes_nothing_but_backslashes_from_the_cells_of_other_rows(
        (bytes, rows) in one_row_of_a_dialect(),
    ) {
        let read = File::new("identify_1.csv", bytes).read(&[usize::MAX]);
        let calls: Vec<serde_json::Value> =
            read.calls().iter().map(|call| serde_json::from_str(call).unwrap()).collect();
        for (row, number) in rows.iter().zip(0..) {
            let call = calls.iter().find(|call| call["userId"] == format!("u{number}"));
            let cell = |name: &str| call.map(|call| call["traits"][name].as_str().unwrap_or_default().replace('\\', ""));
            prop_assert_eq!([cell("a"), cell("b")], row.each_ref().map(|cell| Some(cell.replace('\\', ""))));
        }
    }

    #[test]
    fn every_call_is_json_that_segment_takes(
        mut file in file(),
        long in prop_oneof![4 => Just(0), 1 => 31_700_usize..32_000],
    ) {
        // Around the length that Segment takes.
        file.bytes.extend_from_slice(format!("\nlong,{}\n", "x".repeat(long)).as_bytes());
        for taken in file.read(&[usize::MAX]).taken {
            let Outcome::Call(call) = taken.outcome else { continue };
            prop_assert!(call.len() <= 32_000, "{} bytes", call.len());
            let value: serde_json::Value = serde_json::from_str(&call).unwrap();
            let filled = |field: &str| value[field].as_str().is_some_and(|text| !text.trim().is_empty());
            let required: &[&str] = match file.name.split('_').next() {
                Some("track") => &["event"],
                Some("group") => &["groupId"],
                Some("alias") => &["userId", "previousId"],
                Some("object") => &["id"],
                _ => &[],
            };
            for field in required {
                prop_assert!(filled(field), "{}: {}", field, call);
            }
            prop_assert_eq!(&serde_json::to_string(&value).unwrap().len(), &call.len(), "compact: {}", call);
            if file.name.starts_with("object_") {
                prop_assert!(value["id"].is_string() && value["properties"].is_object());
                continue;
            }
            prop_assert!(file.name.starts_with(value["type"].as_str().unwrap()));
            prop_assert!(value["messageId"].as_str().unwrap().chars().count() < 100);
            let ids = [&value["userId"], &value["anonymousId"]];
            prop_assert!(ids.iter().any(|id| id.as_str().is_some_and(|id| !id.trim().is_empty())));
            prop_assert!(value["context"].is_object());
        }
    }

    #[test]
    fn no_cutting_into_pieces_changes_anything(
        file in prop_oneof![3 => file(), 1 => anything()],
        pieces in proptest::collection::vec(1_usize..30, 1..6),
    ) {
        prop_assert_eq!(file.read(&pieces), file.read(&[usize::MAX]));
    }

    #[test]
    fn reading_that_resumes_after_any_record_gives_exactly_the_rest(
        file in prop_oneof![3 => file(), 1 => anything()],
        compressed in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        piece in 1_usize..50,
    ) {
        let file = if compressed { File { bytes: gzip(&file.bytes), ..file } } else { file };
        let whole = file.read(&[usize::MAX]);
        let Some(header) = &whole.header else { return Ok(()) };
        let index = cut.index(whole.taken.len() + 1);
        let at = match index.checked_sub(1) {
            None => header.rows_from,
            Some(before) => whole.taken[before].after,
        };
        // A checkpoint holds the header as JSON.
        let stored = serde_json::from_str(&serde_json::to_string(header).unwrap()).unwrap();
        let rest = file.resume(&stored, at, &[piece]);
        prop_assert_eq!(&rest.taken[..], &whole.taken[index..]);
        prop_assert_eq!(rest.fault, whole.fault);
        prop_assert_eq!(rest.end, whole.end);
        prop_assert_eq!(rest.header.as_ref(), Some(header));
    }

    #[test]
    fn compression_changes_nothing_but_the_dialect(file in prop_oneof![3 => file(), 1 => anything()], piece in 1_usize..50) {
        let whole = file.read(&[usize::MAX]);
        let compressed = File { bytes: gzip(&file.bytes), ..file }.read(&[piece]);
        prop_assert_eq!(compressed.taken, whole.taken);
        prop_assert_eq!(compressed.end, whole.end);
    }

    #[test]
    fn refused_rows_dropped_back_are_refused_again_and_no_other(file in prop_oneof![3 => file(), 1 => anything()]) {
        let (mut file, mut read) = (file.clone(), file.read(&[usize::MAX]));
        if read.refusals().iter().any(|refusal| refusal.code == RefusalCode::ObjectEmpty) {
            // Padding makes cells of a short row empty that were absent. Where that counts as something, an object
            // that had nothing has something.
            file.reading.empty_cells = calls::reading::EmptyCells::Omit;
            read = file.read(&[usize::MAX]);
        }
        if read.refusals().is_empty() {
            return Ok(());
        }
        let again = File { bytes: read.rejects(), ..file }.read(&[usize::MAX]);
        prop_assert!(again.fault.is_none());
        prop_assert_eq!(again.calls(), Vec::<&str>::new());
        prop_assert_eq!(again.refusals().len(), read.refusals().len());
    }
}
