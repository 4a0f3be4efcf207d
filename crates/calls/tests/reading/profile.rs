//! The profile of whole files: the same however a file is cut, and what it says of the exports that tools write.

use calls::call::MessageIds;
use calls::dialect::{Compression, Encoding};
use calls::profile::{Detail, Kind, LastRow, Profile};
use calls::refusal::Position;
use calls::translator::{Translated, Translator};
use proptest::prelude::*;
use protocol::id::StreamId;

use crate::laws;
use crate::support::File;

fn translator(file: &File) -> Translator {
    Translator::new(&file.subject(), &file.reading, MessageIds::new(StreamId::new([0; 16])))
}

/// What a reading came to.
#[derive(Debug, Default, PartialEq)]
struct Profiled {
    profile: Profile,
    calls: u64,
    refused: u64,
    /// Where each record ends.
    ends: Vec<Position>,
}

/// Adds the rows since the last part, if the header is read.
fn add(translator: &mut Translator, last: LastRow, profile: &mut Profile) {
    if let (Some(part), Some(none)) = (translator.take_profile(last), translator.no_profile()) {
        let mut more = none.clone();
        part.add_to(&mut more);
        profile.add(&more);
    }
}

/// Reads all that is left, in pieces of one length. A part is taken before or behind every third record.
fn drive(translator: Translator, bytes: &[u8], piece: usize) -> Profiled {
    let mut translator = translator.with_profile(Detail::Counts);
    let mut pieces = bytes.chunks(piece);
    let mut read = Profiled::default();
    loop {
        translator.mark_profile();
        let Ok(step) = translator.next(&mut Vec::new(), &mut Vec::new()) else { break };
        match step {
            Translated::Call { .. } => read.calls += 1,
            Translated::Refused(_) => read.refused += 1,
            Translated::RefusedGroup(refusals) => read.refused += refusals.len() as u64,
            Translated::Dropped { .. } => {}
            Translated::Starved => {
                match pieces.next() {
                    Some(piece) => translator.push(piece),
                    None => translator.finish(),
                }
                continue;
            }
            Translated::End => break,
        }
        read.ends.push(translator.position());
        let last = match read.ends.len() % 3 {
            0 => LastRow::Included,
            1 => LastRow::LeftOut,
            _ => continue,
        };
        add(&mut translator, last, &mut read.profile);
    }
    add(&mut translator, LastRow::Included, &mut read.profile);
    read
}

/// The profile of the records that end up to `to`.
fn beginning(file: &File, to: Position) -> Profile {
    let mut translator = translator(file).with_profile(Detail::Counts);
    translator.push(&file.bytes);
    translator.finish();
    while translator.position() != to {
        assert!(translator.next(&mut Vec::new(), &mut Vec::new()).is_ok());
    }
    let mut profile = Profile::default();
    add(&mut translator, LastRow::Included, &mut profile);
    profile
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_profile_of_a_file_is_the_same_in_any_pieces(file in laws::file(), piece in 1..200_usize) {
        let whole = drive(translator(&file), &file.bytes, usize::MAX);
        prop_assert_eq!(&drive(translator(&file), &file.bytes, piece), &whole);
        // Rows that cannot be split into cells are in no profile.
        prop_assert!((whole.calls..=whole.calls + whole.refused).contains(&whole.profile.rows));
    }

    #[test]
    fn a_run_that_resumes_completes_the_profile(file in laws::file(), at in any::<prop::sample::Index>()) {
        let whole = drive(translator(&file), &file.bytes, usize::MAX);
        prop_assume!(!whole.ends.is_empty());
        let at = whole.ends[at.index(whole.ends.len())];
        let mut sum = beginning(&file, at);
        let mut first = translator(&file);
        first.push(&file.bytes);
        first.finish();
        while first.header().is_none() {
            prop_assert!(first.next(&mut Vec::new(), &mut Vec::new()).is_ok());
        }
        let header = first.header().unwrap();
        prop_assert_eq!(header.dialect.compression, Compression::None);
        let ids = MessageIds::new(StreamId::new([0; 16]));
        let rest = Translator::resume(&file.subject(), &file.reading, ids, header, at).unwrap();
        let rest = drive(rest, &file.bytes[usize::try_from(at.byte).unwrap()..], 7);
        sum.add(&rest.profile);
        prop_assert_eq!(sum, whole.profile);
    }
}

#[test]
fn nothing_is_profiled_unless_it_is_asked_for() {
    let file = File::new("identify_1.csv", "userId\nu1\n");
    let mut translator = translator(&file);
    translator.push(&file.bytes);
    translator.finish();
    while translator.next(&mut Vec::new(), &mut Vec::new()).unwrap() != Translated::End {}
    assert!(translator.take_profile(LastRow::Included).is_none());
    assert_eq!(translator.values(), []);
}

/// Reads an export under a header of ours: its first column is the id, the others are traits.
fn export(name: &str, encoding: Option<Encoding>) -> (Vec<String>, Profile) {
    let path = format!("{}/../../samples/exports/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let delimiter = if bytes[..100].contains(&b';') { b';' } else { b',' };
    let mut rows = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
    let names: Vec<String> =
        rows.byte_headers().unwrap().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let mut header = b"userId".to_vec();
    for column in 1..names.len() {
        header.push(delimiter);
        header.extend_from_slice(format!("traits.c{column}").as_bytes());
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let mut file = File::new("identify_1.csv", [&header, &bytes[end..]].concat());
    file.reading.encoding = encoding;
    (names, drive(translator(&file), &file.bytes, usize::MAX).profile)
}

/// Kind and date format of the columns of an export, those without cells left out.
#[track_caller]
fn check(name: &str, encoding: Option<&str>, rows: u64, expected: &[(&str, Kind, Option<&str>)]) {
    let (names, profile) = export(name, encoding.and_then(Encoding::named));
    assert_eq!((profile.rows, profile.sampled_rows), (rows, rows));
    for (column, kind, format) in expected {
        let at = names.iter().position(|name| name == column).unwrap();
        let profile = &profile.columns[at];
        assert_eq!((profile.kind(), profile.date_format()), (Some(*kind), *format), "{column}: {profile:?}");
    }
}

#[test]
fn the_exports_of_tools_are_profiled_as_a_person_would_describe_them() {
    let (iso, local, day) = (Some("ISO 8601"), Some("ISO 8601 without zone"), Some("%d.%m.%Y"));
    check(
        "hubspot-crm-exports-all-contacts-2025-12-31.csv",
        None,
        30,
        &[
            ("Record ID", Kind::Integer, None),
            ("First Name", Kind::Text, None),
            ("Email", Kind::Email, None),
            ("Create Date", Kind::Date, local),
            ("Associated Company", Kind::Text, None),
        ],
    );
    check(
        "orders_export_1.csv",
        None,
        27,
        &[
            ("Name", Kind::Text, None),
            ("Paid at", Kind::Date, iso),
            ("Accepts Marketing", Kind::Boolean, None),
            ("Total", Kind::Number, None),
            ("Lineitem quantity", Kind::Integer, None),
        ],
    );
    check(
        "unified_payments.csv",
        None,
        32,
        &[
            ("Created date (UTC)", Kind::Date, local),
            ("Amount", Kind::Number, None),
            ("Captured", Kind::Boolean, None),
            ("Customer Email", Kind::Email, None),
        ],
    );
    check(
        "subscribed_email_audience_export_0a1b2c3d4e.csv",
        None,
        28,
        &[
            ("Email Address", Kind::Email, None),
            ("MEMBER_RATING", Kind::Integer, None),
            ("OPTIN_TIME", Kind::Date, local),
            ("LATITUDE", Kind::Number, None),
            ("TAGS", Kind::Text, None),
        ],
    );
    check(
        "kunden_2025-12-31.csv",
        Some("windows-1252"),
        26,
        &[
            ("Kundennummer", Kind::Integer, None),
            ("PLZ", Kind::Integer, None),
            ("E-Mail", Kind::Email, None),
            ("Umsatz", Kind::CommaNumber, None),
            ("Datum", Kind::Date, day),
        ],
    );
}

#[test]
fn an_export_shows_its_leading_zeros_its_blanks_and_its_shapes() {
    let (_, customers) = export("kunden_2025-12-31.csv", Encoding::named("windows-1252"));
    let number = &customers.columns[0];
    assert_eq!((number.leading_zeros, number.shortest_bytes, number.longest_bytes), (26, 8, 8));
    assert_eq!(number.shapes.shown(), (vec![("99999999", 26)], 0));
    let (_, contacts) = export("hubspot-crm-exports-all-contacts-2025-12-31.csv", None);
    assert_eq!(contacts.columns[1].blanks_at_ends, 1);
    let (_, orders) = export("orders_export_1.csv", None);
    assert_eq!(orders.columns[0].shapes.shown(), (vec![("#9999", 27)], 0));
    assert_eq!((orders.columns[2].filled, orders.columns[2].empty), (22, 5));
}
