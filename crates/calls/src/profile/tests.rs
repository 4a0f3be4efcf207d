use super::*;
use crate::rows::Splitter;
use proptest::prelude::*;

fn names(columns: usize) -> Vec<String> {
    (0..columns).map(|column| format!("c{column}")).collect()
}

/// Takes a part as a profile of its own.
fn take(profiler: &mut Profiler, last: LastRow) -> Profile {
    let mut profile = profiler.none().clone();
    profiler.take(last).add_to(&mut profile);
    profile
}

/// Profiles rows of a file that begin at these places. A new part begins before the rows of `cuts`.
fn profile(rows: &[(u64, String)], columns: usize, cuts: &[usize]) -> Vec<Profile> {
    let mut profiler = Profiler::new(&names(columns), &[], Detail::Counts);
    let mut splitter = Splitter::new(b',');
    let mut parts = Vec::new();
    for (at, (start, row)) in rows.iter().enumerate() {
        if cuts.contains(&at) {
            profiler.mark();
        }
        splitter.split(row.as_bytes());
        profiler.row(row.as_bytes(), splitter.cells(), *start);
        if cuts.contains(&at) {
            parts.push(take(&mut profiler, LastRow::LeftOut));
        }
    }
    parts.push(take(&mut profiler, LastRow::Included));
    parts
}

fn whole(rows: &[(u64, String)], columns: usize) -> Profile {
    profile(rows, columns, &[]).remove(0)
}

/// Rows at the beginning of a file, all of them in the sample.
fn dense(rows: &[&str]) -> Vec<(u64, String)> {
    (0..).zip(rows).map(|(at, row)| (at, (*row).to_owned())).collect()
}

fn rows() -> impl Strategy<Value = Vec<(u64, String)>> {
    let cell = prop_oneof![
        Just(String::new()),
        Just("  ".to_owned()),
        Just("NULL".to_owned()),
        Just(r#""say ""hi""""#.to_owned()),
        "[0-9]{1,4}(\\.[0-9])?",
        "[A-Z]{1,3}-[0-9]{1,3}",
        "[0-3][0-9]/[01][0-9]/2025",
        " ?[a-z]{1,2}@[a-z]{2}\\.de",
    ];
    let row = prop::collection::vec(cell, 0..5).prop_map(|cells| cells.join(","));
    // Some places are in the sample, and some are not.
    prop::collection::vec((0..4 * DENSE_BYTES, row), 0..80).prop_map(|mut rows| {
        rows.sort();
        rows
    })
}

proptest! {
    #[test]
    fn the_parts_of_a_file_add_up_to_its_profile_in_any_order(
        rows in rows(),
        cuts in prop::collection::vec(0..80_usize, 0..6),
    ) {
        let parts = profile(&rows, 3, &cuts);
        let mut sums = [Profile::default(), Profile::default()];
        for part in &parts {
            // As it comes back out of a checkpoint.
            let json = serde_json::to_string(part).unwrap();
            sums[0].add(&serde_json::from_str(&json).unwrap());
        }
        parts.iter().rev().for_each(|part| sums[1].add(part));
        let whole = whole(&rows, 3);
        prop_assert_eq!(&sums[0], &whole);
        prop_assert_eq!(&sums[1], &whole);
    }

    #[test]
    fn every_cell_of_every_row_is_counted_once(rows in rows()) {
        let profile = whole(&rows, 3);
        prop_assert_eq!(profile.rows, rows.len() as u64);
        prop_assert_eq!(profile.sampled_rows, rows.iter().filter(|(start, _)| is_sampled(*start)).count() as u64);
        for column in &profile.columns {
            prop_assert_eq!(column.filled + column.empty + column.nulls, profile.rows);
            prop_assert!(column.sampled() <= column.filled.min(profile.sampled_rows));
            prop_assert!(column.shortest_bytes <= column.longest_bytes);
        }
    }
}

#[test]
fn the_last_row_can_be_left_to_the_next_part() {
    let parts = profile(&dense(&["1", "22", "333"]), 1, &[1]);
    let lengths = parts.iter().map(|part| {
        let column = &part.columns[0];
        (part.rows, part.sampled_rows, column.sampled(), column.shortest_bytes, column.longest_bytes)
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [(1, 1, 1, 1, 1), (2, 2, 2, 2, 3)]);
}

#[test]
fn lengths_are_those_of_the_filled_cells_in_bytes() {
    let profile = whole(&dense(&[r#"é,"a""b""#, "\\N", "NULL,  ", "abc,d,surplus"]), 2);
    let [first, second] = &profile.columns[..] else { panic!("two columns") };
    assert_eq!((first.filled, first.empty, first.nulls), (2, 0, 2));
    assert_eq!((first.shortest_bytes, first.longest_bytes), (2, 3));
    assert_eq!((second.filled, second.empty, second.nulls), (2, 2, 0));
    assert_eq!((second.shortest_bytes, second.longest_bytes), (1, 3));
}

#[test]
fn a_column_without_filled_cells_has_no_lengths() {
    let profile = whole(&dense(&["NULL", "", "\u{a0}"]), 1);
    let column = &profile.columns[0];
    assert_eq!((column.filled, column.empty, column.nulls), (0, 2, 1));
    assert_eq!((column.shortest_bytes, column.longest_bytes, column.kind()), (0, 0, None));
}

#[test]
fn null_markers_are_found_in_every_spelling_that_is_warned_of() {
    let markers = [
        "\\N",
        "NULL",
        "null",
        "(null)",
        "undefined",
        "[object Object]",
        "NaN",
        "nan",
        "NaT",
        "None",
        "<NA>",
        "#N/A",
        "#NV",
        "#REF!",
        "#VALUE!",
        "#NAME?",
        "#DIV/0!",
        "#NUM!",
        "#########################",
        " NULL ",
    ];
    for marker in markers {
        assert_eq!(whole(&dense(&[marker]), 1).columns[0].nulls, 1, "{marker}");
    }
    for cell in ["nuLL", "#1", "nano", "(nul)", "Nora"] {
        assert_eq!(whole(&dense(&[cell]), 1).columns[0].filled, 1, "{cell}");
    }
}

#[test]
fn cells_of_the_settings_are_null_markers_too() {
    let nulls = ["-".to_owned(), "a \"b\"".to_owned()];
    let mut profiler = Profiler::new(&names(1), &nulls, Detail::Counts);
    let mut splitter = Splitter::new(b',');
    for row in ["-", "\"a \"\"b\"\"\"", "\"c \"\"d\"\"\"", "NULL"] {
        splitter.split(row.as_bytes());
        profiler.row(row.as_bytes(), splitter.cells(), 0);
    }
    let column = take(&mut profiler, LastRow::Included).columns.remove(0);
    assert_eq!((column.nulls, column.filled, column.longest_bytes), (3, 1, 5));
}

#[test]
fn every_character_that_shows_nothing_is_empty() {
    let mut profiler = Profiler::new(&names(2), &[], Detail::Counts);
    let mut splitter = Splitter::new(b',');
    for c in ('\0'..=char::MAX).filter(|c| ids::is_nothing(*c) && !matches!(c, '\n' | '\r')) {
        let row = format!("x,{c}");
        splitter.split(row.as_bytes());
        profiler.row(row.as_bytes(), splitter.cells(), 0);
        assert_eq!(take(&mut profiler, LastRow::Included).columns[1].empty, 1, "{:x}", u32::from(c));
    }
}

#[test]
fn the_sample_says_what_cells_look_like() {
    let profile = whole(&dense(&["00012,31.12.2025", "34, 01.02.2026", "5,x-1"]), 2);
    let [code, date] = &profile.columns[..] else { panic!("two columns") };
    assert_eq!((code.kind(), code.leading_zeros), (Some(Kind::Integer), 1));
    assert_eq!(code.shapes.shown().0, [("9", 1), ("99", 1), ("99999", 1)]);
    assert_eq!((date.kind(), date.blanks_at_ends), (Some(Kind::Text), 1));
    assert_eq!(date.dates.shown(), (vec![("%d.%m.%Y", 2)], 0));
    assert_eq!(date.shapes.shown().0, [("99.99.9999", 2), ("A-9", 1)]);
}

#[test]
fn behind_the_beginning_of_a_file_one_row_in_512_is_sampled() {
    let sampled = (0..10_000_u64).filter(|row| is_sampled(DENSE_BYTES + row * 157)).count();
    assert!((8..=35).contains(&sampled), "{sampled} of 10,000 rows");
    assert!(is_sampled(0) && is_sampled(DENSE_BYTES - 1));
}

#[test]
fn columns_beyond_256_are_left_out_and_said_so() {
    let row = ["x"; 300].join(",");
    let profile = whole(&dense(&[&row]), 300);
    assert_eq!((profile.columns.len(), profile.columns_left_out), (COLUMNS_MAX, 44));
}

#[test]
fn a_profile_does_not_grow_with_its_rows() {
    let size = |rows: u64| {
        let rows: Vec<(u64, String)> = (0..rows)
            .map(|row| (row, format!("{},a{row}@b.de,{}", "x".repeat(row as usize % 40), row * 7919)))
            .collect();
        serde_json::to_string(&whole(&rows, 3)).unwrap().len()
    };
    let (few, many) = (size(400), size(4_000));
    assert!(many < few + 100, "{few} bytes of 400 rows, {many} of 4,000");
}

#[test]
fn cells_are_kept_only_where_they_are_wanted() {
    let mut splitter = Splitter::new(b',');
    let mut plain = Profiler::new(&names(2), &[], Detail::Counts);
    let mut wanted = Profiler::new(&names(2), &[], Detail::CountsAndValues);
    // The second row is not in the sample: values are those of all rows.
    let unsampled = (DENSE_BYTES..).find(|start| !is_sampled(*start)).unwrap();
    for (start, row) in [(0, "10,NULL"), (unsampled, " 9 ,")] {
        splitter.split(row.as_bytes());
        plain.row(row.as_bytes(), splitter.cells(), start);
        wanted.row(row.as_bytes(), splitter.cells(), start);
    }
    assert_eq!(plain.values(), []);
    let ranges: Vec<_> = wanted.values().iter().map(Values::range).collect();
    assert_eq!(ranges, [Some(("9", "10")), None]);
    assert_eq!(take(&mut wanted, LastRow::Included), take(&mut plain, LastRow::Included));
}
