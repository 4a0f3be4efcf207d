//! Regions of documents that follow from the code.
//!
//! A region stands between two lines: `<!-- NAME -->` and `<!-- /NAME -->` in Markdown, `# NAME` and `# /NAME` in other
//! files.

use std::sync::{Mutex, PoisonError};

/// Compares the region `name` of a file of the repository with `expected`. With `UPDATE_DOCS=1` it writes `expected`
/// there.
///
/// # Panics
/// When the region is missing or differs.
pub fn assert_region(file: &str, name: &str, expected: &str) {
    // Two tests may write the same file.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = crate::root().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    let mark = |name: &str| if is_markdown { format!("<!-- {name} -->\n") } else { format!("# {name}\n") };
    let (before, rest) = text.split_once(&mark(name)).unwrap_or_else(|| panic!("{file} has no region {name}"));
    let end = mark(&format!("/{name}"));
    let (region, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the region {name} of {file} has no end"));
    if region == expected {
        return;
    }
    let update = std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1");
    assert!(
        update,
        "the region {name} of {file} differs from the code: run this test again with UPDATE_DOCS=1\n{expected}"
    );
    std::fs::write(&path, [before, &mark(name), expected, &end, after].concat()).unwrap();
}
