//! What SEMANTICS.md names is there.

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
    let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "SEMANTICS.md names tests that are not there: {missing:?}");
}

/// The functions defined in all Rust files below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| {
                let rest = line.trim_start();
                let rest = rest.strip_prefix("pub ").unwrap_or(rest);
                let rest = rest.strip_prefix("async ").unwrap_or(rest);
                rest.strip_prefix("fn ")?.split(['(', '<']).next()
            });
            found.extend(names.map(str::to_owned));
        }
    }
}
