//! The profile of whole files: the same however a file is cut, and what it says of the exports that tools write.

use calls::batches::Envelope;
use calls::call::MessageIds;
use calls::dialect::{Compression, Encoding};
use calls::pipeline::{Next, Pipeline};
use calls::profile::{Detail, Kind, LastRow, Profile};
use calls::refusal::Position;
use calls::translator::{Translated, Translator};
use proptest::prelude::*;
use protocol::id::StreamId;
use protocol::mapping::{Column, Field, Filter, Mapping};

use crate::laws;
use crate::mappings;
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
            Translated::Paused => continue,
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

/// The profile of a file that a pipeline settles from `at` on, batch by batch, and where each commit ends with the
/// profile so far.
fn settled(translator: Translator, file: &File, at: Position, calls_max: usize) -> (Profile, Vec<(Position, Profile)>) {
    let envelope = Envelope::of(&file.subject()).with_calls_max(calls_max);
    let mut machine = Pipeline::new(translator.with_profile(Detail::Counts), envelope, at);
    machine.push(&file.bytes[usize::try_from(at.byte).unwrap()..]);
    machine.finish();
    let (mut profile, mut commits) = (Profile::default(), Vec::new());
    while let Next::Batch(batch) = machine.next_batch() {
        machine.settle(&batch, &[]);
        if let Some(commit) = machine.commit() {
            profile.add(&machine.take_profile().unwrap());
            commits.push((commit.to, profile.clone()));
        }
    }
    (profile, commits)
}

/// Resumes a file behind each of its commits: the profile is that of a run that was not interrupted.
#[track_caller]
fn check_resumed(file: &File, calls_max: usize) {
    let (whole, commits) = settled(translator(file), file, Position::START, calls_max);
    let mut begun = translator(file);
    begun.push(&file.bytes);
    begun.finish();
    while begun.header().is_none() {
        // A header that cannot be read has no rows.
        let Ok(_) = begun.next(&mut Vec::new(), &mut Vec::new()) else { return };
    }
    let header = begun.header().unwrap();
    let every = commits.len() / 8 + 1;
    for (to, before) in commits.into_iter().step_by(every) {
        let ids = MessageIds::new(StreamId::new([0; 16]));
        let rest = Translator::resume(&file.subject(), &file.reading, ids, header, to).unwrap();
        let mut sum = before;
        sum.add(&settled(rest, file, to, calls_max).0);
        assert_eq!(sum, whole, "resumed at {to:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_file_that_resumes_after_any_commit_has_the_profile_of_a_whole_run(file in laws::file(), calls_max in 1..9_usize) {
        check_resumed(&file, calls_max);
    }

    #[test]
    fn a_mapped_file_that_resumes_after_any_commit_has_the_profile_of_a_whole_run(file in mappings::file(), calls_max in 1..9_usize) {
        check_resumed(&file, calls_max);
    }
}

#[test]
fn a_row_that_does_not_fit_a_full_batch_is_in_the_profile_of_the_next() {
    for group in [None, Some("userId".to_owned())] {
        let mut csv = "userId,traits.p\n".to_owned();
        (0..90).for_each(|row| csv.push_str(&format!("{row},{}\n", "a".repeat(11_000 + row * 200))));
        let mut file = File::new("identify_1.csv", csv);
        file.reading.mapping = group.map(|group| Box::new(by_group(group)));
        let (whole, commits) = settled(translator(&file), &file, Position::START, usize::MAX);
        assert!(commits.len() > 2);
        for (to, profile) in &commits {
            assert_eq!(profile.rows, to.line - 2, "the rows before line {}", to.line);
            assert_eq!(profile.columns[1].longest_bytes as u64, 11_000 + (profile.rows - 1) * 200);
        }
        assert_eq!((whole.rows, whole.columns[0].name.as_str()), (90, "userId"));
        check_resumed(&file, usize::MAX);
    }
}

fn by_group(group: String) -> Mapping {
    let column = |name: &str, to: &str| Column {
        names: vec![name.to_owned()],
        optional: false,
        fields: vec![Field { to: to.to_owned(), ..Field::default() }],
    };
    Mapping {
        name: "m".to_owned(),
        call: "identify".to_owned(),
        columns: vec![column("userId", "userId"), column("traits.p", "traits.p")],
        group: Some(group),
        ..Mapping::default()
    }
}

#[test]
fn a_group_that_cannot_be_read_to_its_end_is_in_no_profile() {
    let mut file = File::new("identify_1.csv", format!("userId,traits.p\n0,x\n{}", "1,a\n".repeat(10_001)));
    file.reading.mapping = Some(Box::new(by_group("userId".to_owned())));
    let (whole, commits) = settled(translator(&file), &file, Position::START, usize::MAX);
    assert_eq!((whole.rows, commits.len()), (1, 1));
}

#[test]
fn a_mapped_file_is_profiled_by_its_own_cells_with_skipped_rows() {
    let mut file = File::new("identify_1.csv", "userId,traits.p\n1, x \n,,\n2,y\n");
    let mut mapping = by_group("userId".to_owned());
    mapping.group = None;
    mapping.columns[1].fields[0].trim = true;
    mapping.filters = vec![Filter { column: "userId".to_owned(), not: vec!["2".to_owned()], ..Filter::default() }];
    file.reading.mapping = Some(Box::new(mapping));
    let (profile, _) = settled(translator(&file), &file, Position::START, usize::MAX);
    assert_eq!((profile.rows, profile.columns[1].blanks_at_ends, profile.columns[1].longest_bytes), (2, 1, 3));
}

#[track_caller]
fn check_warnings(csv: &str, expected: &[&str]) {
    let file = File::new("identify_1.csv", csv);
    let mut machine =
        Pipeline::new(translator(&file).with_profile(Detail::Counts), Envelope::of(&file.subject()), Position::START);
    machine.push(&file.bytes);
    machine.finish();
    while let Next::Batch(batch) = machine.next_batch() {
        machine.settle(&batch, &[]);
    }
    let account = machine.commit().unwrap().account;
    let profile = machine.take_profile().unwrap();
    let warnings: Vec<String> =
        machine.warnings_of(&profile, &account).into_iter().map(|warning| warning.message).collect();
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, words) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(words), "{warning}");
    }
}

#[test]
fn a_profile_warns_of_blanks_at_ends_and_of_decimal_commas() {
    check_warnings(
        "userId,traits.a,traits.email\n1,x ,a@b.de \n2,y,\n",
        &["column `traits.a` (1 of 2 sampled cells): blanks"],
    );
    check_warnings("userId;traits.a\n1;1.234,56\n2;7\n", &["column `traits.a` (1 of 2 sampled cells): numbers with"]);
    check_warnings("userId;traits.a\n1;1.234,56\n2;none\n", &[]);
    check_warnings("userId,traits.a:number,traits.b\n 1 ,1.5,\n", &[]);
}
