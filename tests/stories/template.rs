//! template.yaml and docs/deploy.md agree on the parameters of the stack and on the settings that they become.

use config::settings;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use stories::document::assert_region;

/// A parameter of the stack.
#[derive(Default)]
struct Parameter {
    default: Option<String>,
    description: String,
}

#[test]
fn the_page_of_deployment_has_every_parameter_with_its_setting_and_meaning() {
    let (parameters, variables) = (parameters(), variables());
    let mut table = String::from("| parameter | default | setting | meaning |\n|---|---|---|---|\n");
    for name in grouped() {
        let Parameter { default, description } = &parameters[&name];
        let default = match default.as_deref() {
            None => "required".to_owned(),
            Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let given = |value: &str| value.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name);
        let settings: Vec<_> = variables.iter().filter(|(_, value)| given(value)).map(|(name, _)| name).collect();
        let settings: Vec<_> = settings.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(table, "| `{name}` | {default} | {} | {description} |", settings.join(", "));
    }
    assert_region("docs/deploy.md", "parameters", &table);
}

/// `MoreSettings` gives any of them. A test of the crate `config` shows that each can stand there.
#[test]
fn every_setting_is_deployable_and_the_template_sets_no_other_variable() {
    let variables = variables();
    assert_eq!(variables.get("SETTINGS").map(String::as_str), Some("!Ref MoreSettings"));
    let groups = [settings::ALL, settings::INGESTER, settings::RECEIVER, settings::EXPORTER];
    let declared: BTreeSet<_> = groups.concat().iter().map(|setting| setting.name).collect();
    // The C library's own.
    let others: Vec<_> = variables.keys().filter(|name| *name != "GLIBC_TUNABLES").collect();
    let unknown: Vec<_> = others.iter().filter(|name| !declared.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "variables that no code reads: {unknown:?}");
}

/// The names of the parameters in the order in which the console shows them.
fn grouped() -> Vec<String> {
    let template = read("template.yaml");
    let metadata = template.lines().skip_while(|line| *line != "Metadata:").take_while(|line| *line != "Parameters:");
    let lists: Vec<_> = metadata.map(str::trim).filter(|line| line.contains('[')).collect();
    let lists = lists.iter().filter_map(|line| line.split_once('[')?.1.split_once(']'));
    lists.flat_map(|(names, _)| names.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn parameters() -> BTreeMap<String, Parameter> {
    let template = read("template.yaml");
    let section = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let (mut found, mut name) = (BTreeMap::<String, Parameter>::new(), String::new());
    for line in section.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let text = line.trim_start();
        match line.len() - text.len() {
            2 => name = text.trim_end_matches(':').to_owned(),
            4 => {
                let parameter = found.entry(name.clone()).or_default();
                if let Some(default) = text.strip_prefix("Default:") {
                    parameter.default = Some(default.trim().trim_matches('"').to_owned());
                }
                if let Some(description) = text.strip_prefix("Description: ") {
                    description.clone_into(&mut parameter.description);
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
