//! Bytes → rows → calls, of files that a mapping reads: filters, verbs, groups, lists.
//!
//! The first 24 bytes of the input choose the mapping, the rest is the file, behind a header of the mapping's columns.
//! Any mapping that the bytes can choose is tried, those that no file can be read by among them.
#![no_main]

mod laws;

use calls::reading::{Reading, UnknownColumns};
use calls::subject::Subject;
use libfuzzer_sys::fuzz_target;
use protocol::mapping::{Column, Constant, Decimal, Field, Filter, IfBad, Mapping, Rest, Side, Strip, Values};

fuzz_target!(|input: &[u8]| {
    let Some((choices, rows)) = input.split_at_checked(24) else { return };
    let mut choices = Choices(choices);
    let mapping = mapping(&mut choices);
    let piece = usize::from(choices.next()).max(1);
    let Ok(subject) = Subject::mapped(&mapping, "export.csv") else { return };
    let reading = Reading {
        skip_lines: u32::from(choices.next() % 4 == 0),
        infer_types: choices.next() % 2 == 0,
        timestamp_formats: vec!["%d.%m.%Y".to_owned()],
        unknown_columns: UnknownColumns::Top,
        mapping: Some(Box::new(mapping)),
        ..Reading::default()
    };
    let before: &[u8] = if reading.skip_lines > 0 { b"export \"of\r\n" } else { b"" };
    laws::check(&subject, &reading, piece, &[before, b"A,B,C,D,D\n", rows].concat());
});

/// The bytes that choose, one after the other; 0 where there are no more.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::from(self.next()) % words.len()]
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn mapping(choices: &mut Choices<'_>) -> Mapping {
    const COLUMNS: [&str; 6] = ["A", "B", "C", "D", "D#2", "E"];
    let call = choices.one_of(&["identify", "track", "page", "group", "alias", "object"]);
    let mut columns = vec![Column {
        names: words(&["A"]),
        optional: false,
        fields: vec![field(choices, if call == "object" { "id" } else { "userId" })],
    }];
    for name in ["B", "C", "D#2"] {
        let fields = (0..choices.next() % 3).map(|_| {
            let to = choices.one_of(&PATHS);
            field(choices, to)
        });
        columns.push(Column { names: words(&["X", name]), optional: false, fields: fields.collect() });
    }
    let set = [("event", "\"e\""), ("groupId", "\"g\""), ("previousId", "\"p\""), ("traits.n", "[1.50]")];
    let flags = choices.next();
    let filter = Filter {
        column: choices.one_of(&COLUMNS).to_owned(),
        is: if flags & 1 != 0 { words(&["a", "1"]) } else { Vec::new() },
        not: if flags & 2 != 0 { words(&["b"]) } else { Vec::new() },
        filled: [None, None, Some(true), Some(false)][usize::from(flags >> 2) % 4],
    };
    Mapping {
        name: "fuzz".to_owned(),
        call: call.to_owned(),
        collection: Some("rooms".to_owned()),
        columns,
        set: set.iter().map(|(to, json)| Constant { to: (*to).to_owned(), json: (*json).to_owned() }).collect(),
        rest: [Rest::Traits, Rest::Properties, Rest::Drop, Rest::Refuse][usize::from(flags >> 4) % 4],
        filters: if flags & 64 != 0 { vec![filter] } else { Vec::new() },
        message_id: if flags & 128 != 0 { words(&["B", "C"]) } else { Vec::new() },
        group: (choices.next() % 2 == 0).then(|| choices.one_of(&COLUMNS).to_owned()),
        decimal: if choices.next() % 2 == 0 { Decimal::Comma } else { Decimal::Point },
    }
}

const PATHS: [&str; 12] = [
    "userId",
    "timestamp",
    "traits.a",
    "traits.list[].a",
    "traits.list[].b.c",
    "traits.tags[]",
    "traits.list[]",
    "properties.a",
    "properties.items[].price",
    "messageId",
    "top",
    "a[].b[].c",
];

fn field(choices: &mut Choices<'_>, to: &str) -> Field {
    let (verbs, more) = (choices.next(), choices.next());
    let has = |bit: u8| verbs & (1 << bit) != 0;
    let table = [("a", "b"), ("1", ""), ("b", "\"x\"")].map(|(from, to)| (from.to_owned(), to.to_owned())).into();
    let otherwise = has(4).then(|| "else".to_owned());
    let types = [None, None, None, Some("number"), Some("integer"), Some("json"), Some("date"), Some("timestamp")];
    Field {
        to: to.to_owned(),
        nulls: if has(0) { words(&["-"]) } else { Vec::new() },
        strip: has(1)
            .then(|| Strip { characters: "'a".to_owned(), side: [Side::Both, Side::Left][usize::from(more % 2)] }),
        trim: has(2),
        lower: has(2),
        values: has(3).then_some(Values { table, otherwise }),
        split: has(5).then(|| ";".to_owned()),
        prefix: has(6).then(|| "p\"-".to_owned()),
        sha256: has(7),
        cell: types[usize::from(more >> 1) % 8].map(str::to_owned),
        decimal: if more & 16 != 0 { Decimal::Comma } else { Decimal::Point },
        if_bad: if more & 32 != 0 { IfBad::Omit } else { IfBad::Refuse },
    }
}
