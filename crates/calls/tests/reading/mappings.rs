//! Laws of mappings, that hold for any rows.

use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::pipeline::{Next, Pipeline, RefusedCall};
use calls::refusal::{FaultCode, Position};
use calls::translator::{Dropped, Translator};
use proptest::prelude::*;
use protocol::account::Account;
use protocol::id::StreamId;
use protocol::mapping::{Column, Constant, Decimal, Field, Filter, IfBad, Mapping, Rest, Values};

use crate::support::{File, Outcome, Read};

fn field(to: &str) -> Field {
    Field { to: to.to_owned(), ..Field::default() }
}

fn column(name: &str, fields: Vec<Field>) -> Column {
    Column { names: vec![name.to_owned()], optional: false, fields }
}

fn constant(to: &str, json: &str) -> Constant {
    Constant { to: to.to_owned(), json: json.to_owned() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Cells in which everything that a verb, a filter or a group looks at is frequent.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        4 => "[ab]",
        2 => "[a-c1-3;,.\" ]{0,5}",
        1 => Just("1.234,5".to_owned()),
        1 => Just("2024-01-02".to_owned()),
        1 => Just("gold".to_owned()),
        1 => "[a\\n\\r\"]{0,4}",
    ]
}

/// Rows of a shop: the order, who, the state, a price, a note.
fn rows() -> impl Strategy<Value = Vec<u8>> {
    let order = prop_oneof![4 => "[12]", 1 => Just(String::new()), 1 => cell()];
    let cells = (order, cell(), cell(), cell(), cell());
    let row = prop_oneof![
        12 => cells.prop_map(|(a, b, c, d, e)| {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record([a, b, c, d, e]).unwrap();
            writer.into_inner().unwrap()
        }),
        1 => Just(b",,,,\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"1,\"a\"x,,,\n".to_vec()),
        1 => Just(b"1,a,b,c,d,e,f\n".to_vec()),
        1 => Just(b"2,a\n".to_vec()),
        1 => Just(b"2,\xff,,,\n".to_vec()),
        1 => Just(HEADER.as_bytes().to_vec()),
    ];
    (proptest::collection::vec(row, 0..14), prop_oneof![8 => Just(&b""[..]), 1 => Just(&b"1,\"open"[..])])
        .prop_map(|(rows, end)| [HEADER.as_bytes(), &rows.concat(), end].concat())
}

const HEADER: &str = "Order,Who,State,Price,Note\n";

/// A mapping of everything, of which some parts are left out.
fn mapping() -> impl Strategy<Value = Mapping> {
    (any::<u16>(), 0..3_u8).prop_map(|(parts, rest)| {
        let has = |part: u16| parts & (1 << part) != 0;
        let table = [("a", "A"), ("gold", "")].map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let if_bad = if has(0) { IfBad::Omit } else { IfBad::Refuse };
        let price = Field {
            cell: Some(if has(1) { "integer" } else { "number" }.to_owned()),
            decimal: if has(2) { Decimal::Comma } else { Decimal::Point },
            if_bad,
            ..field(if has(3) { "properties.items[].price" } else { "properties.price" })
        };
        let who = Field { prefix: has(4).then(|| "t-".to_owned()), trim: has(5), ..field("userId") };
        let state = Field {
            values: has(6).then(|| Values { table, otherwise: has(7).then(|| "else".to_owned()) }),
            split: has(8).then(|| ";".to_owned()),
            lower: has(5),
            if_bad,
            ..field("properties.state")
        };
        let note = Field { sha256: has(9), ..field("properties.notes[]") };
        let filter = Filter { column: "State".to_owned(), not: words(&["b"]), ..Filter::default() };
        Mapping {
            name: "law".to_owned(),
            call: "track".to_owned(),
            collection: None,
            columns: vec![
                column("Who", vec![who, field("properties.who")]),
                column("Order", vec![field("userId")]),
                column("State", vec![state]),
                column("Price", vec![price]),
                column("Note", if has(10) { vec![note, field("properties.items[].note")] } else { vec![note] }),
            ],
            set: vec![constant("event", "\"e\""), constant("properties.n", "[1]")],
            rest: [Rest::Properties, Rest::Drop, Rest::Refuse][usize::from(rest)],
            decimal: if has(2) { Decimal::Comma } else { Decimal::Point },
            filters: if has(11) { vec![filter] } else { Vec::new() },
            message_id: if has(12) { words(&["Order", "Who"]) } else { Vec::new() },
            group: has(13).then(|| "Order".to_owned()),
        }
    })
}

pub(crate) fn file() -> impl Strategy<Value = File> {
    (mapping(), rows(), 0..3_u32, any::<bool>()).prop_map(|(mapping, rows, skip_lines, infer_types)| {
        let before = "before \"the\r\n".repeat(skip_lines as usize).into_bytes();
        let mut file = File::new("export.csv", [before, rows].concat());
        file.reading.mapping = Some(Box::new(mapping));
        file.reading.skip_lines = skip_lines;
        file.reading.infer_types = infer_types;
        file
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The column `name` of a header of Segment's fields, under a name that says nothing.
fn renamed(header: &[&str]) -> Mapping {
    let columns = header.iter().zip(1..).map(|(name, number)| {
        let (to, cell) = name.split_once(':').map_or((*name, None), |(to, cell)| (to, Some(cell.to_owned())));
        column(&format!("Spalte {number}"), vec![Field { cell, ..field(to) }])
    });
    Mapping { name: "law".to_owned(), call: "track".to_owned(), columns: columns.collect(), ..Mapping::default() }
}

#[test]
fn rows_with_the_message_id_of_an_earlier_row_are_reported() {
    let mut file = File::new("export.csv", "Order,Who,Item\n1,a,Lamp\n1,a,Mug\n2,b,Mug\n");
    let columns = vec![column("Who", vec![field("userId")]), column("Item", vec![field("properties.item")])];
    file.reading.mapping = Some(Box::new(Mapping {
        name: "orders".to_owned(),
        call: "track".to_owned(),
        columns,
        set: vec![constant("event", "\"Order Completed\"")],
        message_id: words(&["Order"]),
        ..Mapping::default()
    }));
    let (account, _, _) = settled(&file, 7, 1);
    let found: Vec<_> = account.findings.iter().map(|one| (one.code.as_str(), one.rows, one.line)).collect();
    assert_eq!(found, [("message_id_repeated", 1, 3)]);
}

/// Settles every batch of a file, some calls as refused by the other side.
fn settled(file: &File, piece: usize, refused_every: usize) -> (Account, Option<Position>, Vec<u8>) {
    let ids = MessageIds::new(StreamId::new([0; 16]));
    let translator = Translator::new(&file.subject(), &file.reading, ids);
    let mut machine = Pipeline::new(translator, Envelope::of(&file.subject()).with_calls_max(3), Position::START);
    let mut pieces = file.bytes.chunks(piece);
    let (mut account, mut end, mut rejects) = (Account::default(), None, Vec::new());
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => {
                let refused_calls = (0..batch.calls.len()).filter(|call| call % refused_every == 1);
                let refused_calls: Vec<RefusedCall> = refused_calls
                    .map(|call| RefusedCall { call, code: "refused_by_segment", message: "no".to_owned() })
                    .collect();
                machine.settle(&batch, &refused_calls);
                if let Some(commit) = machine.commit() {
                    assert!(commit.account.closes());
                    account.add(&commit.account);
                    rejects.extend(commit.rejects);
                    end = Some(commit.to);
                }
            }
            Next::Hungry => match pieces.next() {
                Some(piece) => machine.push(piece),
                None => machine.finish(),
            },
            Next::Paused => {}
            Next::Done => return (account, end, rejects),
        }
    }
}

/// Rows of a file by what they came to: in calls, refused, skipped.
fn rows_of(read: &Read) -> [u64; 3] {
    let mut rows = [0; 3];
    for taken in &read.taken {
        match &taken.outcome {
            Outcome::Call(_) => rows[0] += taken.rows,
            Outcome::Refused(_) | Outcome::RefusedGroup(_) => rows[1] += taken.refusals().len() as u64,
            Outcome::Dropped(Dropped::Skipped) => rows[2] += taken.rows,
            Outcome::Dropped(_) => {}
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_mapping_that_only_renames_gives_the_calls_of_the_renamed_file(rows in rows(), header in 0..3_usize, infer in any::<bool>()) {
        let header = [
            ["userId", "anonymousId", "event", "properties.price:number", "timestamp"],
            ["event", "userId", "properties.tags[]", "properties.tags[]", "properties.a.b"],
            ["properties:json", "event", "userId", "messageId", "integrations.All:boolean"],
        ][header];
        let rows = &rows[HEADER.len()..];
        let text = header.join(",");
        let mut plain = File::new("track_1.csv", [format!("{text}\n").as_bytes(), rows].concat());
        plain.reading.infer_types = infer;
        // As many bytes, so that the rows stand in the same places.
        let blanks = text.len() - "Spalte 1,Spalte 2,Spalte 3,Spalte 4,Spalte 5".len();
        let other = format!("Spalte 1,Spalte 2,Spalte 3,Spalte 4,Spalte 5{}\n", " ".repeat(blanks));
        let mut mapped = File { bytes: [other.as_bytes(), rows].concat(), ..plain.clone() };
        mapped.reading.mapping = Some(Box::new(renamed(&header)));
        let (plain, mapped) = (plain.read(&[usize::MAX]), mapped.read(&[usize::MAX]));
        prop_assert_eq!(&mapped.fault, &None);
        prop_assert_eq!(mapped.calls(), plain.calls());
        prop_assert_eq!(rows_of(&mapped), rows_of(&plain));
    }

    #[test]
    fn no_cutting_into_pieces_changes_what_a_mapping_makes(file in file(), pieces in proptest::collection::vec(1_usize..30, 1..6)) {
        prop_assert_eq!(file.read(&pieces), file.read(&[usize::MAX]));
    }

    #[test]
    fn reading_by_a_mapping_resumes_after_any_group(
        file in file(),
        compressed in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        piece in 1_usize..50,
    ) {
        let file = if compressed { File { bytes: gzip(&file.bytes), ..file } } else { file };
        let whole = file.read(&[usize::MAX]);
        let header = whole.header.as_ref().unwrap();
        let index = cut.index(whole.taken.len() + 1);
        let at = index.checked_sub(1).map_or(header.rows_from, |before| whole.taken[before].after);
        let rest = file.resume(header, at, &[piece]);
        prop_assert_eq!(&rest.taken[..], &whole.taken[index..]);
        prop_assert_eq!((rest.fault, rest.end, rest.header.as_ref()), (whole.fault, whole.end, Some(header)));
    }

    #[test]
    fn every_row_of_a_mapped_file_is_in_one_place(file in file(), piece in 1_usize..60, refused_every in 2_usize..5) {
        let read = file.read(&[usize::MAX]);
        let header = read.header.as_ref().unwrap();
        let mut at = header.rows_from.byte;
        for taken in &read.taken {
            prop_assert_eq!(taken.span.from, at, "spans are contiguous");
            at = taken.after.byte;
            prop_assert_eq!(taken.span.to, at);
            let inside = taken.group.iter().all(|row| taken.span.from <= row.span.from && row.span.to <= at);
            prop_assert!(inside && taken.group.windows(2).all(|pair| pair[0].span.to == pair[1].span.from));
        }
        let [sent, refused, skipped] = rows_of(&read);
        let (account, end, rejects) = settled(&file, piece, refused_every);
        prop_assert!(account.closes());
        prop_assert_eq!((account.rows, account.skipped_rows), (sent + refused, skipped));
        prop_assert!(account.rejected >= refused);
        prop_assert_eq!(account.repeated_headers, read.dropped(Dropped::RepeatedHeader) as u64);
        prop_assert_eq!(account.blank_rows, read.dropped(Dropped::Blank) as u64 + read.blank_lines);
        prop_assert!(read.taken.is_empty() || end.map(|end| end.byte) == Some(file.bytes.len() as u64));
        prop_assert_eq!(rejects.is_empty(), account.rejected == 0);
    }

    #[test]
    fn refused_rows_of_a_mapped_file_are_refused_again_when_they_come_back(mut file in file()) {
        if let Some(mapping) = &mut file.reading.mapping {
            // Groups that lie apart in the file may be one group among the refused rows.
            mapping.group = None;
        }
        let read = file.read(&[usize::MAX]);
        if read.refusals().is_empty() {
            return Ok(());
        }
        let again = file.refused(&read).read(&[usize::MAX]);
        prop_assert_eq!((again.fault.as_ref(), again.calls().len()), (None, 0));
        prop_assert_eq!(again.refusals().len(), read.refusals().len());
    }

    #[test]
    fn a_group_is_all_adjacent_rows_with_the_same_cell(orders in proptest::collection::vec(0..3_u8, 0..30), piece in 1_usize..9) {
        let mut csv = "Order,Item\n".to_owned();
        orders.iter().zip(0..).for_each(|(order, item)| csv.push_str(&format!("{order},{item}\n")));
        let mut file = File::new("orders.csv", csv);
        file.reading.mapping = Some(Box::new(Mapping {
            name: "law".to_owned(),
            call: "track".to_owned(),
            columns: vec![column("Order", vec![field("userId")]), column("Item", vec![field("properties.items[]")])],
            set: vec![constant("event", "\"e\"")],
            group: Some("Order".to_owned()),
            ..Mapping::default()
        }));
        let read = file.read(&[piece]);
        let items: Vec<(String, Vec<String>)> = read.calls().iter().map(|call| {
            let call: serde_json::Value = serde_json::from_str(call).unwrap();
            let items = call["properties"]["items"].as_array().unwrap();
            (call["userId"].as_str().unwrap().to_owned(), items.iter().map(|item| item.as_str().unwrap().to_owned()).collect())
        }).collect();
        let numbered: Vec<(u8, usize)> = orders.iter().copied().zip(0..).collect();
        let expected: Vec<(String, Vec<String>)> = numbered
            .chunk_by(|one, next| one.0 == next.0)
            .map(|group| (group[0].0.to_string(), group.iter().map(|(_, item)| item.to_string()).collect()))
            .collect();
        prop_assert_eq!(items, expected);
    }
}

/// A file of one group of so many rows.
fn one_group(rows: usize, row: &str) -> File {
    let mut file = File::new("orders.csv", format!("Order,Item\n{}", row.repeat(rows)));
    file.reading.mapping = Some(Box::new(Mapping {
        name: "limit".to_owned(),
        call: "identify".to_owned(),
        columns: vec![column("Order", vec![field("userId")]), column("Item", vec![field("traits.items[]")])],
        group: Some("Order".to_owned()),
        ..Mapping::default()
    }));
    file
}

#[test]
fn a_group_of_exactly_the_limit_is_one_call_and_with_one_row_more_it_is_refused() {
    for (rows, calls, refusals) in [(1_000, 1, 0), (1_001, 0, 1_001), (10_000, 0, 10_000)] {
        let read = one_group(rows, "1,a\n").read(&[1 << 16]);
        assert_eq!((read.calls().len(), read.refusals().len()), (calls, refusals), "{rows}");
        assert_eq!(read.fault, None);
    }
    let read = one_group(100, &format!("1,{}\n", "a".repeat(400))).read(&[1 << 16]);
    assert_eq!(read.refusals()[0].code.as_str(), "call_too_large");
}

#[test]
fn a_group_without_end_ends_the_file_where_it_begins() {
    for file in [one_group(10_001, "1,a\n"), one_group(5_000, &format!("1,{}\n", "a".repeat(1_000)))] {
        let read = file.read(&[1 << 16]);
        let fault = read.fault.unwrap();
        assert_eq!((fault.code, fault.at), (FaultCode::GroupTooLong, Some(Position { byte: 11, line: 2 })));
        assert_eq!(read.end, fault.at, "nothing of it is settled");
    }
}

#[test]
fn a_skipped_group_may_have_any_length() {
    let mut file = one_group(20_000, "1,a\n");
    if let Some(mapping) = &mut file.reading.mapping {
        mapping.filters = vec![Filter { column: "Item".to_owned(), filled: Some(false), ..Filter::default() }];
    }
    let read = file.read(&[1 << 16]);
    assert_eq!((read.fault.as_ref(), read.skipped_rows()), (None, 20_000));
}
