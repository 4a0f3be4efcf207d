use super::*;
use crate::batches::{BATCH_CALLS_MAX, BODY_BYTES_MAX, OBJECTS_MAX};
use crate::call::{CALL_BYTES_MAX, MessageIds};
use crate::reading::Reading;
use crate::subject::Subject;
use proptest::prelude::*;
use protocol::id::StreamId;
use protocol::mapping::{Column, Field, Mapping};

fn machine(name: &str) -> Pipeline {
    let subject = Subject::of(name, &[], None).unwrap();
    let translator = Translator::new(&subject, &Reading::default(), MessageIds::new(StreamId::new([7; 16])));
    let envelope = Envelope::of(&subject);
    Pipeline::new(translator, envelope, Position::START)
}

/// Every batch of a file pushed in pieces of `piece` bytes; none is settled.
fn batches(machine: &mut Pipeline, bytes: &[u8], piece: usize) -> Vec<Batch> {
    let (mut pieces, mut batches) = (bytes.chunks(piece), Vec::new());
    loop {
        match machine.next_batch() {
            Next::Batch(batch) => batches.push(*batch),
            Next::Paused => {}
            Next::Done => return batches,
            Next::Hungry => match pieces.next() {
                Some(piece) => machine.push(piece),
                None => machine.finish(),
            },
        }
    }
}

/// A track row whose call is exactly `bytes` long, in letters of one, two, three and four bytes.
fn row_of(bytes: usize, user: usize) -> String {
    let row = |padding: &str| format!("{user:06},e,{padding}\n");
    let length = |padding: &str| {
        let csv = format!("userId,event,properties.p\n{}", row(padding));
        let batch = batches(&mut machine("track_.csv"), csv.as_bytes(), 1 << 20).pop().unwrap();
        batch.calls.first().map_or(usize::MAX, |call| call.body.len())
    };
    let rest = bytes - length("x") + 1;
    let mut padding: String = "aé€😀".chars().cycle().take(rest / 10 * 4).collect();
    padding.push_str(&"a".repeat(rest - padding.len()));
    row(&padding)
}

#[test]
fn a_call_at_the_limit_passes_and_one_byte_over_does_not() {
    for (bytes, passes) in [(CALL_BYTES_MAX, true), (CALL_BYTES_MAX + 1, false)] {
        // Measured where the row stands: the message id ends in its offset, of as many digits as in the probe.
        let csv = format!("userId,event,properties.p\n{}", row_of(bytes, 1));
        let batch = batches(&mut machine("track_.csv"), csv.as_bytes(), 100).pop().unwrap();
        assert_eq!((batch.calls.len(), batch.refused.len()), (usize::from(passes), usize::from(!passes)));
        match batch.calls.first() {
            Some(call) => assert_eq!(call.body.len(), bytes),
            None => assert_eq!(batch.refused[0].refusal.code.as_str(), "call_too_large"),
        }
    }
}

#[test]
fn a_body_at_the_limit_is_one_batch_and_one_byte_over_is_two() {
    let header = "userId,event,properties.p\n";
    let plain = |padding: usize| -> String {
        let rows =
            (0..20).map(|user| format!("{user:06},e,{}\n", "é".repeat(11_000 + if user == 0 { 0 } else { 300 })));
        let mut csv = header.to_owned();
        csv.extend(rows);
        csv.push_str(&format!("{:06},e,{}\n", 20, "a".repeat(padding)));
        csv
    };
    let bodies = |padding| batches(&mut machine("track_.csv"), plain(padding).as_bytes(), 1 << 16);
    let with_one = bodies(1);
    assert_eq!(with_one.len(), 1);
    let fits = 1 + BODY_BYTES_MAX - with_one[0].body.len();
    let at_limit = bodies(fits);
    assert_eq!((at_limit.len(), at_limit[0].body.len()), (1, BODY_BYTES_MAX));
    let over = bodies(fits + 1);
    assert_eq!(over.len(), 2);
    assert_eq!((over[0].calls.len(), over[1].calls.len()), (20, 1));
}

#[test]
fn calls_and_objects_are_counted_too() {
    let mut csv = "userId,event\n".to_owned();
    (0..5_001).for_each(|user| csv.push_str(&format!("{user},e\n")));
    let counts = |batches: Vec<Batch>| batches.iter().map(|batch| batch.calls.len()).collect::<Vec<_>>();
    assert!(
        counts(batches(&mut machine("track_.csv"), csv.as_bytes(), 1 << 16))
            .iter()
            .all(|calls| *calls <= BATCH_CALLS_MAX)
    );
    let mut csv = "id,a\n".to_owned();
    (0..25).for_each(|id| csv.push_str(&format!("{id},x\n")));
    assert_eq!(counts(batches(&mut machine("object_rooms.csv"), csv.as_bytes(), 7)), [OBJECTS_MAX, OBJECTS_MAX, 5]);
}

#[test]
fn only_rows_before_the_first_unsettled_row_are_committed() {
    let mut csv = "id,a\n".to_owned();
    (0..30).for_each(|id| csv.push_str(&format!("{id},x\n")));
    let mut machine = machine("object_rooms.csv");
    let batches = batches(&mut machine, csv.as_bytes(), 1 << 16);
    machine.settle(&batches[2], &[]);
    assert_eq!(machine.commit(), None);
    machine.settle(&batches[0], &[]);
    assert_eq!(machine.commit().unwrap().to.byte, batches[0].to);
    machine.settle(&batches[1], &[]);
    let rest = machine.commit().unwrap();
    assert_eq!((rest.from.byte, rest.to.byte, rest.account.rows), (batches[0].to, csv.len() as u64, 20));
    assert_eq!(machine.commit(), None);
}

#[test]
fn a_group_that_segment_refuses_is_in_the_rejects_row_by_row() {
    let field = |to: &str| vec![Field { to: to.to_owned(), ..Field::default() }];
    let column = |name: &str, to| Column { names: vec![name.to_owned()], optional: false, fields: field(to) };
    let mapping = Mapping {
        name: "orders".to_owned(),
        call: "identify".to_owned(),
        columns: vec![column("Order", "userId"), column("Item", "traits.items[]")],
        group: Some("Order".to_owned()),
        ..Mapping::default()
    };
    let subject = Subject::mapped(&mapping, "orders.csv").unwrap();
    let reading = Reading { mapping: Some(Box::new(mapping)), ..Reading::default() };
    let translator = Translator::new(&subject, &reading, MessageIds::new(StreamId::new([7; 16])));
    let mut machine = Pipeline::new(translator, Envelope::of(&subject), Position::START);
    let csv = "Order,Item\n1,a\n1,b\n\n2,c\n2,d\n3,e\n";
    let batches = batches(&mut machine, csv.as_bytes(), 3);
    assert_eq!((batches.len(), batches[0].calls.len(), batches[0].rows()), (1, 3, 5));
    let refused_calls = RefusedCall { call: 1, code: "refused_by_segment", message: "no".to_owned() };
    machine.settle(&batches[0], &[refused_calls]);
    let commit = machine.commit().unwrap();
    let account = &commit.account;
    assert!(account.closes());
    assert_eq!((account.rows, account.acknowledged, account.rejected, account.blank_rows), (5, 3, 2, 1));
    let rejects = String::from_utf8(commit.rejects).unwrap();
    let rows: Vec<_> = rejects.lines().skip(1).collect();
    assert_eq!(rows, ["2,c,refused_by_segment,no,5,20", "2,d,refused_by_segment,no,6,24"]);
}

#[test]
fn rejects_have_our_rows_and_segments_in_the_order_of_the_file() {
    let csv = "userId,event,properties.secret\n1,e,a\n,e,b\n3,e,c\n4,,d\n5,e,e\n";
    let mut machine = machine("track_.csv");
    let batches = batches(&mut machine, csv.as_bytes(), 3);
    let refused_calls = RefusedCall { call: 1, code: "refused_by_segment", message: "no, \"thanks\"".to_owned() };
    machine.settle(&batches[0], &[refused_calls]);
    let commit = machine.commit().unwrap();
    assert!(commit.account.closes());
    let rejects = String::from_utf8(commit.rejects).unwrap();
    let codes: Vec<_> = rejects.lines().skip(1).map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(codes, ["missing_user_id", "refused_by_segment", "event_missing"]);
    assert!(rejects.contains(r#"3,e,c,refused_by_segment,"no, ""thanks""",4,"#), "{rejects}");
    // What people see of it repeats nobody else's words.
    assert_eq!(machine.examples()[1], Example { line: 4, code: "refused_by_segment", message: String::new() });
}

#[test]
fn a_file_that_breaks_off_hands_out_what_came_before() {
    let mut csv = b"userId,event\n1,e\n2,e\n\"".to_vec();
    csv.extend(std::iter::repeat_n(b'x', 2 << 20));
    let mut machine = machine("track_.csv");
    let batches = batches(&mut machine, &csv, 1 << 16);
    assert_eq!(batches.iter().map(Batch::rows).sum::<u64>(), 2);
    assert!(machine.fault().unwrap().to_string().contains("line 4"), "{:?}", machine.fault());
}

#[test]
fn a_threshold_is_judged_by_number_and_by_share() {
    let account = |rows, rejected| Account { rows, rejected, acknowledged: rows - rejected, ..Account::default() };
    let share = Threshold::default();
    assert_eq!(share.exceeded(&account(999, 999)), None);
    assert_eq!(share.exceeded(&account(1_000, 500)), None);
    assert!(share.exceeded(&account(1_000, 501)).unwrap().contains("REJECT_LIMIT_SHARE"));
    let rows = Threshold { rows: Some(3), ..share };
    assert_eq!(rows.exceeded(&account(10, 3)), None);
    assert!(rows.exceeded(&account(10, 4)).unwrap().contains("REJECT_LIMIT_ROWS"));
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        4 => "[a-z0-9]{0,8}".prop_map(String::into_bytes),
        1 => Just(b"\"quoted, \"\"cell\"\"\n\"".to_vec()),
        1 => Just(b"\"open".to_vec()),
        1 => Just("é€😀".as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    let row = proptest::collection::vec(cell, 0..5).prop_map(|cells| cells.join(&b','));
    let ending = prop_oneof![Just(b"\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\r".to_vec())];
    proptest::collection::vec((row, ending), 0..60).prop_map(|rows| {
        let mut csv = b"userId,event,timestamp\n".to_vec();
        rows.into_iter().for_each(|(row, ending)| csv.extend([row, ending].concat()));
        csv
    })
}

proptest! {
    /// For any bytes, cut anywhere, settled in any order, with any calls refused: each record is in exactly one place,
    /// the account closes, and nothing of the file is left out.
    #[test]
    fn the_account_closes_and_each_record_is_in_exactly_one_place(
        csv in hostile(),
        piece in 1_usize..40,
        order in any::<u64>(),
        refused_every in 1_usize..5,
    ) {
        let mut machine = machine("track_.csv");
        let mut batches = batches(&mut machine, &csv, piece);
        let rows: u64 = batches.iter().map(Batch::rows).sum();
        for pair in batches.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        let mut spans: Vec<_> = batches
            .iter()
            .flat_map(|batch| {
                batch.calls.iter().map(|call| call.span).chain(batch.refused.iter().map(|refused| refused.refusal.span))
            })
            .collect();
        spans.sort_by_key(|span| span.from);
        // Between two rows stand dropped records at most: nothing but delimiters, blanks and control characters.
        let is_void = |from: u64, to: u64| {
            let gap = &csv[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            let text = String::from_utf8_lossy(gap).replace("userId,event,timestamp", "");
            text.chars().all(|c| c.is_whitespace() || c.is_control() || crate::ids::is_invisible(c) || ",\"".contains(c))
        };
        for pair in spans.windows(2) {
            prop_assert!(pair[0].to <= pair[1].from, "an overlap");
            prop_assert!(is_void(pair[0].to, pair[1].from), "a gap");
        }
        let seed = order;
        batches.sort_by_key(|batch| batch.number.wrapping_mul(seed | 1).rotate_left(17));
        let mut total = Account::default();
        let mut rejects = 0;
        for batch in &batches {
            let refused_calls: Vec<_> = (0..batch.calls.len())
                .filter(|call| call % refused_every == 1)
                .map(|call| RefusedCall { call, code: "refused_by_segment", message: "no".to_owned() })
                .collect();
            machine.settle(batch, &refused_calls);
            if let Some(commit) = machine.commit() {
                prop_assert!(commit.account.closes());
                rejects += commit.account.rejected;
                total.add(&commit.account);
            }
        }
        prop_assert_eq!(machine.in_flight(), 0);
        prop_assert!(total.closes());
        prop_assert_eq!((total.rows, total.rejected), (rows, rejects));
        let dropped: u64 = batches.iter().map(|batch| batch.blank_rows + batch.repeated_headers).sum();
        prop_assert_eq!(total.blank_rows + total.repeated_headers, dropped);
        if let (Some(last), None) = (spans.last(), machine.fault()) {
            prop_assert!(is_void(last.to, csv.len() as u64));
            prop_assert_eq!(batches.iter().map(|batch| batch.to).max(), Some(csv.len() as u64), "all of it is settled");
        }
    }

    #[test]
    fn the_same_rows_give_the_same_batches_however_the_bytes_come(csv in hostile(), piece in 1_usize..40) {
        let whole = batches(&mut machine("track_.csv"), &csv, csv.len().max(1));
        let pieces = batches(&mut machine("track_.csv"), &csv, piece);
        prop_assert_eq!(whole, pieces);
    }

    /// A part of a batch is a body of its own, with just these calls.
    #[test]
    fn halves_of_a_batch_hold_its_calls(calls in 1_usize..40, cut in 0_usize..40) {
        let cut = cut.min(calls);
        let mut csv = "userId,event\n".to_owned();
        (0..calls).for_each(|user| csv.push_str(&format!("{user},e\n")));
        let batch = batches(&mut machine("track_.csv"), csv.as_bytes(), 64).pop().unwrap();
        let users = |body: &[u8]| -> Vec<String> {
            let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let calls = body["batch"].as_array().cloned().unwrap_or_default();
            calls.iter().map(|call| call["userId"].as_str().unwrap().to_owned()).collect()
        };
        let halves = [users(&batch.body_of(0..cut)), users(&batch.body_of(cut..calls))].concat();
        prop_assert_eq!(halves, users(&batch.body));
    }
}
