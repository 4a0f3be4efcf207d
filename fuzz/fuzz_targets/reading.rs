//! Bytes → rows → calls, of files whose headers name Segment's fields.
//!
//! How the file is quoted and encoded is found out from its beginning, unless the settings say it. The account of the
//! whole closes: each record is a call, a refused row, a blank row or a repeated header.
//!
//! The first bytes of the input choose kind and settings, the rest is the file. Seeds: the corpus
//! (`fuzz/seed.sh`).
#![no_main]

mod laws;

use calls::dialect::{Delimiter, Encoding, Escape, Quote, Quoting};
use calls::kind::Kind;
use calls::reading::{EmptyCells, Reading, UnknownColumns};
use calls::subject::Subject;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, settings, more, piece, file @ ..] = input else { return };
    laws::check(&subject(*kind), &reading(*settings, *more), usize::from(*piece).max(1), file);
});

fn subject(byte: u8) -> Subject {
    let kind = Kind::ALL[usize::from(byte) % Kind::ALL.len()];
    Subject::of(&format!("{kind}_rooms_1.csv"), &[], None).unwrap()
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
        unknown_columns: if more & 64 != 0 { UnknownColumns::Refuse } else { UnknownColumns::Top },
        ..Reading::default()
    }
}
