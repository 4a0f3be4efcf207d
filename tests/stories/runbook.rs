//! docs/runbook.md has an entry for whatever a person may meet at night.

use std::path::Path;

use calls::refusal::{FaultCode, RefusalCode};
use ingestion::life::Outcome;

#[test]
fn the_runbook_has_each_alarm_and_notice_of_the_template() {
    let template = read("template.yaml");
    let lines: Vec<_> = template.lines().collect();
    let alarms = lines.windows(2).filter(|pair| pair[1].trim().starts_with("Type: AWS::CloudWatch::Alarm"));
    let names: Vec<_> = alarms.map(|pair| pair[0].trim().trim_end_matches(':')).collect();
    assert!(names.len() > 10, "the template has alarms: {names:?}");
    assert_no_missing(names.into_iter());
}

#[test]
fn the_runbook_has_each_outcome_of_a_file() {
    let outcomes = [
        Outcome::Finished,
        Outcome::AlreadyDone,
        Outcome::Stopped,
        Outcome::Replaced,
        Outcome::Missing,
        Outcome::Refused,
        Outcome::Ignored,
        Outcome::Continues,
        Outcome::Failed,
    ];
    for (index, outcome) in outcomes.iter().enumerate() {
        assert_eq!(place(*outcome), index);
    }
    let names: Vec<_> = outcomes.iter().map(|outcome| serde_json::to_value(outcome).unwrap()).collect();
    assert_no_missing(names.iter().map(|name| name.as_str().unwrap()));
}

/// The place of an outcome in the list above. A new outcome does not compile without one.
fn place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Finished => 0,
        Outcome::AlreadyDone => 1,
        Outcome::Stopped => 2,
        Outcome::Replaced => 3,
        Outcome::Missing => 4,
        Outcome::Refused => 5,
        Outcome::Ignored => 6,
        Outcome::Continues => 7,
        Outcome::Failed => 8,
    }
}

#[test]
fn the_runbook_has_each_code_of_a_refused_row_and_of_a_faulty_file() {
    let rows = RefusalCode::ALL.iter().map(|code| code.as_str());
    assert_no_missing(rows.chain(FaultCode::ALL.iter().map(|code| code.as_str())));
}

/// Each name stands in the first cell of a row of a table.
fn assert_no_missing<'a>(names: impl Iterator<Item = &'a str>) {
    let runbook = read("docs/runbook.md");
    let entries: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let missing: Vec<_> =
        names.filter(|name| !entries.iter().any(|entry| entry.contains(&format!("`{name}`")))).collect();
    assert!(missing.is_empty(), "docs/runbook.md has no entry for {missing:?}");
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)).unwrap()
}
