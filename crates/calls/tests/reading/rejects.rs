//! A rejects file whose rows are mended gives the calls that the source would have given.

use calls::refusal::RefusalCode;

use crate::support::File;

/// Calls, but for the message ids: those say where a row stands, which is elsewhere now.
fn calls(file: &File) -> Vec<String> {
    let read = file.read(&[usize::MAX]);
    assert_eq!(read.fault, None);
    assert!(read.refusals().is_empty(), "{:?}", read.refusals());
    read.calls()
        .into_iter()
        .map(|call| match call.split_once("\"messageId\":\"") {
            Some((before, id)) => format!("{before}{}", id.split_once("\",").unwrap().1),
            None => call.to_owned(),
        })
        .collect()
}

/// Checks a file in which `wrong` stands wherever a row is wrong, and `right` is what it should be.
fn check(name: &str, csv: &str, wrong: &str, right: &str, encode: fn(&str) -> Vec<u8>) {
    let source = File::new(name, encode(csv));
    let rejects = source.read(&[usize::MAX]).rejects();
    let rejects = String::from_utf8(rejects).expect("rejects are UTF-8");
    let mended = File::new(name, rejects.replace(wrong, right));
    let header = csv.lines().next().unwrap();
    let wrong_rows = csv.lines().skip(1).filter(|line| line.contains(wrong));
    let fixed: String = wrong_rows.map(|line| format!("{}\n", line.replace(wrong, right))).collect();
    assert!(!fixed.is_empty());
    let expected = calls(&File::new(name, encode(&format!("{header}\n{fixed}"))));
    assert_eq!(calls(&mended), expected);
    // Once more: what comes back and is refused once more can come back once more.
    let twice = File::new(name, rejects.clone()).read(&[usize::MAX]).rejects();
    let twice = String::from_utf8(twice).unwrap();
    assert_eq!(twice.lines().next(), rejects.lines().next(), "the header does not grow");
    assert_eq!(calls(&File::new(name, twice.replace(wrong, right))), expected);
}

fn utf8(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn crlf_with_mark(text: &str) -> Vec<u8> {
    format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes()
}

#[test]
fn corrected_rejects_give_the_calls_of_the_corrected_source() {
    for encode in [utf8, utf16, crlf_with_mark] {
        check(
            "track_1.csv",
            "userId,event,timestamp,properties.name\nu1,e,never,x\nu2,e,2019-05-12,y\nu3,e,never\nu4,e,never,\"a \"\"b\"\", c\"\n",
            "never",
            "2019-05-11",
            encode,
        );
        check("identify_1.csv", "userId;\"traits.n:integer\"\nu1;1.5\nu2;\"1.5\"\n", "1.5", "15", encode);
        check("object_rooms_1.csv", "id\tname\tprice:number\n1\tü\tcheap\n\n2\t\tcheap\n", "cheap", "14.90", encode);
    }
}

#[test]
fn a_row_with_only_some_of_the_four_error_cells_loses_no_cell_of_its_own() {
    let header = "userId,event,timestamp,_error_code,_error,_line,_byte";
    // Too many cells, once: the four were removed, and the delimiter in the third was not.
    for row in ["4,e,2019-05-11,extra", "4,e,2019-05-11,a,b", "4,e,2019-05-11,a,b,c", "4,e,2019-05-11,a,b,c,d,e"] {
        let read = File::new("track_1.csv", format!("{header}\n{row}\n")).read(&[usize::MAX]);
        let refusals = read.refusals();
        assert_eq!(
            refusals.iter().map(|refusal| refusal.code).collect::<Vec<_>>(),
            [RefusalCode::TooManyCells],
            "{row}"
        );
        let cell = refusals[0].cell.clone().unwrap();
        assert_eq!(&row[cell], if row.ends_with('e') { "e" } else { &row["4,e,2019-05-11,".len()..] });
    }
    for row in ["4,e,2019-05-11", "4,e", "4,e,2019-05-11,,,,", "4,e,2019-05-11,too_many_cells,words,2,10"] {
        let read = File::new("track_1.csv", format!("{header}\n{row}\n")).read(&[usize::MAX]);
        assert_eq!(read.calls().len(), 1, "{row}");
    }
    // Nor when it comes back once more.
    let file = File::new("track_1.csv", format!("{header}\n4,e,2019-05-11,extra\n4,e,2019-05-11,a,b,c\n"));
    let again = File::new("track_1.csv", file.read(&[usize::MAX]).rejects()).read(&[usize::MAX]);
    assert_eq!((again.calls().len(), again.refusals().len()), (0, 2));
    // A stray quote among the four may have swallowed a row: it stays there to be seen.
    let file = File::new("track_1.csv", format!("{header}\n4,e,2019-05-11,,\"\n5\"e,,\n"));
    let again = File::new("track_1.csv", file.read(&[usize::MAX]).rejects()).read(&[usize::MAX]);
    assert_eq!((again.calls().len(), again.refusals().len()), (0, 1));
    // Columns of these names that are not the last four are only ignored.
    let read = File::new("track_1.csv", "userId,event,_error,timestamp,_line,_byte\n4,e,words,2019-05-11,1\n");
    assert_eq!(read.read(&[usize::MAX]).calls().len(), 1);
}
