//! What a cell goes through on its way to a field.

use protocol::mapping::{Decimal, Field, Side, Strip, Values};
use sha2::{Digest, Sha256};

use crate::call::{Settled, cut, day, fits, note_points, odd};
use crate::columns::CellType;
use crate::decimals;
use crate::flaw::{Flaw, Hint};
use crate::ids::{self, Id, NO_NULLS, Names, Nulls};
use crate::json;
use crate::kind::{Kind, TextSort};
use crate::reading::Reading;
use crate::refusal::{RefusalCode, WarningCode};
use crate::timestamps::Times;
use crate::warnings::Note;

/// The verbs of one field, in the order in which they are applied.
#[derive(Debug, Default)]
pub(super) struct Verbs {
    /// Whether the field is an id: what counts as no id is empty then, and blanks around it are none of it.
    pub(super) is_id: bool,
    nulls: Vec<String>,
    strip: Option<Strip>,
    trim: bool,
    lower: bool,
    values: Option<Values>,
    split: Option<String>,
    prefix: Option<String>,
    sha256: bool,
    decimal_comma: bool,
    day: bool,
}

/// What the verbs of all fields need.
#[derive(Debug)]
pub(super) struct Basis {
    nulls: Nulls,
    id_nulls: Nulls,
    times: Times,
    /// Of ids no doubts are noted here: the encoder looks at them again.
    no_names: Names,
    settled: Settled,
    lower: String,
    item: Vec<u8>,
}

/// Where doubts about a cell are noted.
#[derive(Debug)]
pub(super) struct Doubts<'a> {
    /// The column of the made row.
    pub(super) column: usize,
    /// The names of the file's columns, which are no ids.
    pub(super) names: &'a Names,
    pub(super) notes: &'a mut Vec<Note>,
}

impl Doubts<'_> {
    /// Notes a doubt once for a row.
    pub(super) fn note(&mut self, code: WarningCode) {
        if !Note::is_among(self.notes, code, self.column) {
            self.notes.push(Note::cell(code, self.column));
        }
    }
}

impl Basis {
    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    /// Refuses a value that is not of a type.
    pub(super) fn check(&mut self, wanted: CellType, value: &[u8]) -> Result<(), Flaw> {
        fits(wanted, value, &self.times, &mut self.item)
    }

    pub(super) fn new(reading: &Reading) -> Basis {
        Basis {
            nulls: Nulls::new(reading.nulls.clone()),
            id_nulls: Nulls::of_ids(reading),
            times: Times::new(&reading.timestamp_formats, reading.timestamp_zone.as_deref()),
            no_names: Names::default(),
            settled: Settled::default(),
            lower: String::new(),
            item: Vec::new(),
        }
    }
}

impl Verbs {
    pub(super) fn new(field: &Field, kind: Kind) -> Verbs {
        Verbs {
            is_id: kind.text_field(&field.to).is_some_and(|text| text.sort == TextSort::Id),
            nulls: field.nulls.clone(),
            strip: field.strip.clone(),
            trim: field.trim,
            lower: field.lower,
            values: field.values.clone(),
            split: field.split.clone(),
            prefix: field.prefix.clone(),
            sha256: field.sha256,
            decimal_comma: field.decimal == Decimal::Comma,
            day: field.cell.as_deref() == Some("date"),
        }
    }

    /// Whether a cell has something that the field would take.
    pub(super) fn takes(&self, cell: &[u8], basis: &Basis) -> bool {
        !ids::is_void(cell) && !(if self.is_id { &basis.id_nulls } else { &basis.nulls }).has(ids::trim(cell))
    }

    /// Whether every cell stays as it is.
    pub(super) fn is_none(&self) -> bool {
        let Verbs { nulls, strip, trim, lower, values, split, prefix, sha256, decimal_comma, day, is_id: _ } = self;
        let any_text = strip.is_some() || values.is_some() || split.is_some() || prefix.is_some();
        nulls.is_empty() && !any_text && ![*trim, *lower, *sha256, *decimal_comma, *day].contains(&true)
    }

    /// Appends what becomes of a cell, which is valid UTF-8. A cell of blanks becomes empty. On a flaw nothing is
    /// appended.
    pub(super) fn apply(
        &self,
        cell: &[u8],
        basis: &mut Basis,
        doubts: &mut Doubts<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Flaw> {
        let Basis { nulls, id_nulls, times, no_names, settled, lower, item } = basis;
        let mut value = text(cell);
        // Those of ids have a doubt of their own.
        let has = |cell: &[u8]| !self.is_id && nulls.has(cell);
        let is_null = |cell: &[u8]| has(cell) || self.nulls.iter().any(|null| null.as_bytes() == cell);
        if is_null(cell) || is_null(ids::trim(cell)) {
            return Ok(());
        }
        if self.is_id {
            // Of what is taken off, the encoder sees nothing. The other doubts are about what is left.
            let mut note = |code| match code {
                WarningCode::IdGuard | WarningCode::IdNullMarker => doubts.note(code),
                _ => {}
            };
            match ids::read(cell, no_names, id_nulls, &mut note) {
                Id::Sound(id) => value = text(id),
                Id::Empty | Id::Null => return Ok(()),
                Id::Rounded => return Err(Flaw::new(RefusalCode::RoundedId)),
            }
        }
        value = self.shorten(value);
        if self.lower {
            lower.clear();
            lower.extend(value.chars().flat_map(char::to_lowercase));
            value = lower;
        }
        if ids::is_void(value.as_bytes()) {
            return Ok(());
        }
        if let Some(values) = &self.values {
            value = match (values.table.get(value), &values.otherwise) {
                (Some(other), _) | (None, Some(other)) => other,
                (None, None) => return Err(Flaw::new(RefusalCode::UnknownValue)),
            };
            if value.is_empty() {
                return Ok(());
            }
        }
        match &self.split {
            Some(separator) => self.list(value, separator, item, out),
            None if self.decimal_comma => {
                let number = value.trim().as_bytes();
                if !decimals::append(number, out) {
                    return Err(Flaw::new(RefusalCode::NotANumber).hinting(Hint::DecimalComma));
                }
                note_points(doubts.column, number, settled, doubts.notes);
            }
            None if self.day => day(doubts.column, value.as_bytes(), times, settled, doubts.notes, out)?,
            None => {
                if self.prefix.is_some() || self.sha256 {
                    self.doubt(value.as_bytes(), settled, doubts);
                }
                self.finish(value, out);
            }
        }
        Ok(())
    }

    /// Notes what is doubtful about a value that a prefix or a digest hides from the encoder.
    fn doubt(&self, value: &[u8], settled: &mut Settled, doubts: &mut Doubts<'_>) {
        if !self.is_id {
            odd(doubts.column, false, value, &NO_NULLS, doubts.notes);
            return;
        }
        if ids::may_be_cut(value) {
            cut(doubts.column, value, settled, doubts.notes);
        }
        if !ids::is_plain(value, &NO_NULLS, doubts.names) {
            ids::read(value, doubts.names, &NO_NULLS, &mut |code| doubts.note(code));
        }
    }

    /// Whether a cell can be this text where it is looked up in `values`.
    pub(super) fn can_look_up(&self, key: &str) -> bool {
        let is_small = || key.chars().flat_map(char::to_lowercase).eq(key.chars());
        self.shorten(key) == key && (!self.lower || is_small()) && !ids::is_void(key.as_bytes())
    }

    /// Takes characters and white space off the ends.
    fn shorten<'a>(&self, mut value: &'a str) -> &'a str {
        if let Some(Strip { characters, side }) = &self.strip {
            let is_one = |c: char| characters.contains(c);
            value = match side {
                Side::Both => value.trim_matches(is_one),
                Side::Left => value.trim_start_matches(is_one),
                Side::Right => value.trim_end_matches(is_one),
            };
        }
        if self.trim { value.trim() } else { value }
    }

    /// Appends a JSON list of the items, without blanks around them and without empty ones.
    fn list(&self, value: &str, separator: &str, item: &mut Vec<u8>, out: &mut Vec<u8>) {
        let begin = out.len();
        out.push(b'[');
        for part in value.split(separator).map(str::trim).filter(|part| !part.is_empty()) {
            item.clear();
            self.finish(part, item);
            out.push(b'"');
            json::escape(item, out);
            out.extend_from_slice(b"\",");
        }
        match out.last_mut() {
            Some(last) if *last == b',' => *last = b']',
            _ => out.truncate(begin),
        }
    }

    /// Appends a value with its prefix, or the digest of both.
    fn finish(&self, value: &str, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(self.prefix.as_deref().unwrap_or_default().as_bytes());
        out.extend_from_slice(value.as_bytes());
        if self.sha256 {
            let digest = Sha256::digest(&out[begin..]);
            out.truncate(begin);
            append_hex(&digest, out);
        }
    }
}

/// Appends bytes as hex digits, in small letters.
pub(super) fn append_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn text(valid: &[u8]) -> &str {
    std::str::from_utf8(valid).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(field: &Field, cell: &str) -> Result<String, RefusalCode> {
        applied_with_notes(field, cell).0
    }

    fn applied_with_notes(field: &Field, cell: &str) -> (Result<String, RefusalCode>, Vec<WarningCode>) {
        let (mut out, mut notes) = (b"before".to_vec(), Vec::new());
        let formats = vec!["%d.%m.%Y".to_owned()];
        let reading = Reading { timestamp_formats: formats, nulls: vec!["N".to_owned()], ..Reading::default() };
        let names = Names::new(["Kundennummer"].into_iter());
        let mut doubts = Doubts { column: 0, names: &names, notes: &mut notes };
        let verbs = Verbs::new(field, Kind::Identify);
        let done = verbs.apply(cell.as_bytes(), &mut Basis::new(&reading), &mut doubts, &mut out);
        let appended = String::from_utf8(out[b"before".len()..].to_vec()).unwrap();
        (done.map(|()| appended).map_err(|flaw| flaw.code), notes.iter().map(|note| note.code).collect())
    }

    #[track_caller]
    fn check(field: &Field, cases: &[(&str, Result<&str, RefusalCode>)]) {
        for (cell, expected) in cases {
            assert_eq!(applied(field, cell).as_deref(), expected.as_ref().map(|text| *text), "{cell}");
        }
    }

    fn field() -> Field {
        Field { to: "traits.a".to_owned(), ..Field::default() }
    }

    #[test]
    fn a_cell_that_counts_as_empty_stays_empty_in_later_steps() {
        let field = Field { nulls: vec!["-".to_owned()], prefix: Some("p".to_owned()), sha256: true, ..field() };
        check(&field, &[("-", Ok("")), ("", Ok("")), (" \u{a0}", Ok(""))]);
        assert_eq!(applied(&field, "--").unwrap().len(), 64);
    }

    #[test]
    fn characters_and_blanks_go_from_the_ends_and_letters_become_small() {
        let strip = |side| Some(Strip { characters: "'*".to_owned(), side });
        check(&Field { strip: strip(Side::Both), ..field() }, &[("'*a'b*", Ok("a'b")), ("''", Ok(""))]);
        check(&Field { strip: strip(Side::Left), ..field() }, &[("'a'", Ok("a'"))]);
        check(&Field { strip: strip(Side::Right), ..field() }, &[("'a'", Ok("'a"))]);
        check(&Field { trim: true, lower: true, ..field() }, &[(" ÄB \u{a0}", Ok("äb"))]);
    }

    #[test]
    fn a_value_that_the_table_lacks_is_refused_unless_else_is_given() {
        let table = [("M", "male"), ("F", "female"), ("?", "")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let values = Values { table, otherwise: None };
        let unknown = Err(RefusalCode::UnknownValue);
        let field = Field { values: Some(values.clone()), ..field() };
        check(&field, &[("M", Ok("male")), ("", Ok("")), ("?", Ok("")), ("m", unknown), (" M", unknown)]);
        let other = Field { values: Some(Values { otherwise: Some("other".to_owned()), ..values }), ..field };
        check(&other, &[("m", Ok("other")), ("", Ok("")), ("F", Ok("female"))]);
    }

    #[test]
    fn a_list_has_its_items_without_blanks_and_without_empty_ones() {
        let field = Field { split: Some(";".to_owned()), prefix: Some("p-".to_owned()), ..field() };
        check(&field, &[("a; b;;", Ok(r#"["p-a","p-b"]"#)), ("\"x", Ok(r#"["p-\"x"]"#)), (" ; ", Ok(""))]);
    }

    #[test]
    fn a_digest_is_that_of_the_cell_behind_the_earlier_verbs() {
        let field = Field { trim: true, lower: true, sha256: true, ..field() };
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check(&field, &[("abc", Ok(abc)), (" ABC ", Ok(abc)), ("", Ok(""))]);
    }

    #[test]
    fn a_number_with_a_decimal_comma_is_one_with_a_point() {
        let bad = Err(RefusalCode::NotANumber);
        check(
            &Field { decimal: Decimal::Comma, ..field() },
            &[
                (" -1.234.567 ", Ok("-1234567")),
                ("1.234,56", Ok("1234.56")),
                ("1.23,4", bad),
                ("1e5", bad),
                ("", Ok("")),
            ],
        );
    }

    #[test]
    fn a_word_for_an_empty_cell_is_looked_for_in_the_cell_of_the_file_alone() {
        let table = [("Nein", "N"), ("N", "never")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let field = Field { values: Some(Values { table, otherwise: None }), trim: true, ..field() };
        check(&field, &[("Nein", Ok("N")), ("N", Ok("")), (" N ", Ok(""))]);
    }

    #[test]
    fn neither_a_prefix_nor_a_digest_hides_a_doubtful_cell() {
        let id = Field { to: "userId".to_owned(), ..Field::default() };
        let prefixed = |field: &Field| Field { prefix: Some("p-".to_owned()), ..field.clone() };
        let hashed = |field: &Field| Field { sha256: true, ..field.clone() };
        for (field, cell, expected) in [
            (&id, "0", Some(WarningCode::IdPlaceholder)),
            (&id, "Total", Some(WarningCode::IdNoData)),
            (&id, "Kundennummer", Some(WarningCode::IdNoData)),
            (&id, "=\"00101\"", Some(WarningCode::IdGuard)),
            (&id, "NULL", Some(WarningCode::IdNullMarker)),
            (&id, "101", None),
            (&field(), "NULL", Some(WarningCode::NullMarker)),
            (&field(), "4.479E+11", Some(WarningCode::RoundedNumber)),
            (&field(), "pro", None),
        ] {
            let expected: Vec<WarningCode> = expected.into_iter().collect();
            assert_eq!(applied_with_notes(&prefixed(field), cell).1, expected, "{cell}");
            assert_eq!(applied_with_notes(&hashed(field), cell).1, expected, "{cell}");
        }
    }

    #[test]
    fn a_day_has_the_doubts_of_a_date() {
        let field = Field { cell: Some("date".to_owned()), ..field() };
        assert_eq!(applied_with_notes(&field, "03.04.2025").1, [WarningCode::DayMonthOrder]);
        assert_eq!(applied_with_notes(&field, "1900-01-01").1, [WarningCode::TimestampSentinel]);
        assert_eq!(applied_with_notes(&field, "2025-04-03").1, []);
    }

    #[test]
    fn a_day_is_kept_in_every_zone() {
        let bad = Err(RefusalCode::NotATimestamp);
        check(
            &Field { cell: Some("date".to_owned()), ..field() },
            &[
                ("2025-12-31T23:30:00-05:00", Ok("2025-12-31")),
                ("2026-01-01T00:30:00+09:00", Ok("2026-01-01")),
                ("31.12.2025", Ok("2025-12-31")),
                ("2025-12-31", Ok("2025-12-31")),
                ("1767222000", Ok("2025-12-31")),
                ("soon", bad),
                ("2025-02-30", bad),
            ],
        );
    }

    #[test]
    fn no_prefix_makes_an_id_of_a_cell_that_has_none() {
        let field = Field { to: "userId".to_owned(), prefix: Some("erp-".to_owned()), ..Field::default() };
        check(&field, &[(" 101 ", Ok("erp-101")), ("null", Ok("")), ("4.479E+11", Err(RefusalCode::RoundedId))]);
    }
}
