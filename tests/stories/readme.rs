//! README.md and template.yaml agree on the parameters of the stack.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A row of README's table of parameters.
struct Row {
    parameter: String,
    default: String,
    setting: String,
}

#[test]
fn the_readme_lists_every_parameter_of_the_template_with_its_default_and_no_other() {
    let listed: BTreeMap<_, _> = rows().into_iter().map(|row| (row.parameter, row.default)).collect();
    assert_eq!(listed.len(), rows().len(), "a parameter is listed twice");
    assert_eq!(listed, parameters());
}

#[test]
fn each_setting_that_the_readme_names_beside_a_parameter_gets_the_parameters_value() {
    let variables = variables();
    for Row { parameter, setting, .. } in rows().into_iter().filter(|row| row.setting != "none") {
        assert_eq!(variables.get(&setting), Some(&format!("!Ref {parameter}")), "{setting}");
    }
}

#[test]
fn the_template_sets_only_variables_that_the_readme_names() {
    let readme = read("README.md");
    let sentence = readme.lines().find(|line| line.starts_with("The template itself sets ")).unwrap();
    let (names, _) = sentence.split_once(". ").unwrap();
    let mut named: BTreeSet<_> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    named.extend(rows().into_iter().map(|row| row.setting).filter(|setting| setting != "none"));
    let mut set: BTreeSet<_> = variables().into_keys().collect();
    assert!(set.remove("GLIBC_TUNABLES"), "the C library's own variable is no setting of ours");
    assert_eq!(set, named);
}

/// The table of parameters in README.md.
fn rows() -> Vec<Row> {
    let readme = read("README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| parameter | default | setting |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        let mut cell = || cells.next().unwrap();
        Row { parameter: cell(), default: cell(), setting: cell() }
    })
    .collect()
}

/// The parameters of the template, each with its default: `required` without one.
fn parameters() -> BTreeMap<String, String> {
    let template = read("template.yaml");
    let section = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let (mut found, mut name) = (BTreeMap::new(), String::new());
    for line in section.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let text = line.trim_start();
        match line.len() - text.len() {
            2 => {
                name = text.trim_end_matches(':').to_owned();
                found.insert(name.clone(), "required".to_owned());
            }
            4 => {
                if let Some(default) = text.strip_prefix("Default:") {
                    found.insert(name.clone(), default.trim().trim_matches('"').to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

/// The environment variables that the template sets, with their values.
fn variables() -> BTreeMap<String, String> {
    let template = read("template.yaml");
    let pairs = template.lines().filter_map(|line| line.trim().split_once(": "));
    let is_variable = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    pairs.filter(|(name, _)| is_variable(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)).unwrap()
}
