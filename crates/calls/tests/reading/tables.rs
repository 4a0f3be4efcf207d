//! What holds for every entry of the tables of kinds and cell types.

use calls::columns::CellType;
use calls::kind::{Api, Kind};
use calls::reading::EmptyCells;
use serde_json::Value;

use crate::support::File;

/// Cells of many sorts. Each stands in quotes in the file.
const CELLS: [&str; 12] =
    ["", " ", "x", "a\"\"b", "1", "-1.50", "12%", "true", "2019-05-11", "{}", "[1, \"\"x\"\"]", "null"];

#[test]
fn a_cell_of_any_type_is_json_or_is_refused_with_the_code_of_its_type() {
    for cell_type in CellType::ALL {
        let Some(word) = cell_type.word().map(|named| named.word) else { continue };
        for empty_cells in [EmptyCells::Omit, EmptyCells::Null, EmptyCells::Empty] {
            let rows = CELLS.map(|cell| format!("u,e,\"{cell}\",\"{cell}\"\n")).concat();
            let text = format!("userId,event,properties.a:{word},properties.b[]:{word}\n{rows}");
            let mut file = File::new("track_1.csv", text);
            file.reading.empty_cells = empty_cells;
            let read = file.read(&[usize::MAX]);
            assert_eq!(read.taken.len(), CELLS.len(), "{word}: {:?}", read.fault);
            for call in read.calls() {
                assert!(serde_json::from_str::<Value>(call).is_ok(), "{word}: {call}");
            }
            let code = cell_type.refusal().map(|refusal| refusal.code);
            assert!(read.refusals().iter().all(|refusal| Some(refusal.code) == code), "{word}");
            assert_eq!(read.refusals().is_empty(), code.is_none(), "{word}: a type that can refuse refuses some cell");
            let is_absent = |call: &&str| !call.contains(r#""a":"#);
            let absent = read.calls().into_iter().filter(is_absent).count();
            assert!(empty_cells == EmptyCells::Omit || absent == 0, "{word}: a cell is lost");
        }
    }
}

#[test]
fn a_file_of_any_kind_needs_the_columns_and_cells_that_its_kind_requires() {
    for kind in Kind::ALL {
        let name = format!("{kind}_rooms_1.csv");
        let names: Vec<&str> = kind.entry().texts.iter().map(|text| text.name).collect();
        let (own, cell) = match kind.api() {
            Api::Tracking => ("context.a", "x"),
            Api::Objects => ("a", "x"),
        };
        let row = |without: &[&str]| {
            let cells: Vec<&str> = names.iter().map(|name| if without.contains(name) { "" } else { "v" }).collect();
            format!("{},{cell}\n", cells.join(","))
        };
        let header = format!("{},{own}\n", names.join(","));
        let whole = File::new(&name, format!("{header}{}", row(&[]))).read(&[usize::MAX]);
        assert_eq!(whole.calls().len(), 1, "{kind}: {:?}", whole.fault);
        for required in kind.entry().required {
            let read = File::new(&name, format!("{header}{}", row(required.any_of))).read(&[usize::MAX]);
            let refusals = read.refusals();
            assert_eq!(refusals.len(), 1, "{kind}: {:?}", required.any_of);
            assert_eq!(refusals[0].code, required.code, "{kind}");
            assert!(refusals[0].message.ends_with(required.needs), "{}", refusals[0].message);
            let others: Vec<&str> = names.iter().copied().filter(|name| !required.any_of.contains(name)).collect();
            let fault = File::new(&name, format!("{},{own}\n", others.join(","))).read(&[usize::MAX]).fault.unwrap();
            assert_eq!(fault.code.as_str(), "missing_column", "{kind}: {fault}");
        }
    }
}
