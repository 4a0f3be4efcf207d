//! The tests that SEMANTICS.md names exist.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn each_test_that_the_semantics_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("SEMANTICS.md")).unwrap();
    let named: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("- test: ")).collect();
    assert!(named.len() > 20, "{named:?}");
    let mut found = BTreeSet::new();
    functions(&root.join("crates"), &mut found);
    functions(&root.join("tests"), &mut found);
    assert!(!found.contains("functions"), "a function that is no test is none");
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "SEMANTICS.md names tests that are not there: {missing:?}");
}

/// The tests in all Rust files of a folder: functions below `#[test]` or `#[tokio::test]`. Other attributes and
/// comments may be between.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[") || line.starts_with("//") {
                    is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                    continue;
                }
                let rest = line.strip_prefix("async ").unwrap_or(line);
                let name = rest.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next());
                found.extend(name.filter(|_| is_test).map(str::to_owned));
                is_test = false;
            }
        }
    }
}
