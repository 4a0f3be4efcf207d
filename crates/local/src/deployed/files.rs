//! `segment-s3 files`: how the newest files ended.

use super::index::{Index, Listed, NEWEST_MAX};
use super::place::{Place, StateArg, Way};
use super::words::{painted, usability_of};
use crate::voice::{Voice, say, say_line};
use crate::words::{grouped, visible};
use clap::Args;
use protocol::outcome::Outcome;
use std::collections::HashSet;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// The arguments of `files`.
#[derive(Args, Debug)]
pub(crate) struct FilesArgs {
    /// How many files at most
    #[arg(long, short = 'n', default_value_t = 20, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Only files that did not finish, among the newest 1,000 outcomes
    #[arg(long)]
    failed: bool,
    /// One JSON document for each file, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    state: StateArg,
}

/// Lists outcomes, the newest first.
pub(super) async fn run(args: &FilesArgs) -> anyhow::Result<ExitCode> {
    let place = Place::open(&args.way).await?;
    let state = place.state(&args.state)?;
    let index = Index::of(&place, state.name())?;
    let count = usize::from(args.count);
    let asked = if args.failed { NEWEST_MAX } else { count };
    let outcomes = index.newest(asked).await.map_err(|error| place.explain(error))?;
    let mut files = latest(outcomes);
    files.retain(|file| !args.failed || file.outcome != Outcome::Finished);
    files.truncate(count);
    let files = index.add_reasons(files).await.map_err(|error| place.explain(error))?;
    if args.json {
        files.iter().try_for_each(|file| serde_json::to_string(file).map(say_line))?;
        return Ok(ExitCode::SUCCESS);
    }
    if files.is_empty() {
        say_line(if args.failed { "every file has finished" } else { "no file has ended yet" });
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{}", table(&files, Voice::of(&std::io::stdout()))));
    Ok(ExitCode::SUCCESS)
}

/// The last outcome of each file: a file that failed, and then finished, has finished.
fn latest(outcomes: Vec<Listed>) -> Vec<Listed> {
    let mut seen = HashSet::new();
    let of_file = |file: &Listed| (file.bucket.clone(), file.key.clone(), file.mapping.clone());
    outcomes.into_iter().filter(|file| seen.insert(of_file(file))).collect()
}

fn table(files: &[Listed], voice: Voice) -> String {
    let headings = ["ended (UTC)", "outcome", "rows", "accepted", "refused", "file"].map(str::to_owned);
    let line = |file: &Listed| {
        let at = file.at.get(..19).unwrap_or(&file.at).replace('T', " ");
        let number = |number: u64| if file.rows == 0 { String::new() } else { grouped(number) };
        let mapping = file.mapping.as_ref().map(|mapping| format!("  ({mapping})")).unwrap_or_default();
        [
            at,
            file.outcome.as_str().to_owned(),
            number(file.rows),
            number(file.acknowledged),
            number(file.rejected),
            format!("{}{}", visible(&file.key), visible(&mapping)),
        ]
    };
    let lines: Vec<[String; 6]> = files.iter().map(line).collect();
    let width = |at: usize| lines.iter().chain([&headings]).map(|line| line[at].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let cell = |line: &[String; 6], at: usize| {
        let blanks = " ".repeat(widths[at].saturating_sub(line[at].width()));
        match at {
            2..=4 => format!("{blanks}{}", line[at]),
            5 => line[at].clone(),
            _ => format!("{}{blanks}", line[at]),
        }
    };
    let cells = |line: &[String; 6]| (0..line.len()).map(|at| cell(line, at)).collect::<Vec<_>>();
    let mut out = format!("{}\n", voice.dim(&cells(&headings).join("  ")));
    for (file, line) in files.iter().zip(&lines) {
        let mut cells = cells(line);
        cells[1] = painted(usability_of(file.outcome, file.rejected), &cells[1], voice);
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
        if let Some(reason) = &file.reason {
            out.push_str(&format!("  {}\n", voice.dim(&visible(reason))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(outcome: Outcome, rejected: u64) -> Listed {
        Listed {
            bucket: "inbox".to_owned(),
            key: "in/track 1.csv".to_owned(),
            outcome,
            mapping: None,
            rows: 2_000,
            acknowledged: 2_000 - rejected,
            rejected,
            reason: None,
            at: "1970-01-01T00:00:01.000Z".to_owned(),
        }
    }

    #[test]
    fn a_file_that_failed_and_then_finished_has_finished() {
        let other = Listed { key: "other.csv".to_owned(), ..listed(Outcome::Failed, 0) };
        let files = latest(vec![listed(Outcome::Finished, 0), listed(Outcome::Failed, 0), other]);
        let outcomes: Vec<_> = files.iter().map(|file| file.outcome).collect();
        assert_eq!(outcomes, [Outcome::Finished, Outcome::Failed]);
    }

    #[test]
    fn a_table_has_its_columns_below_each_other() {
        let failed = Listed { reason: Some("denied".to_owned()), ..listed(Outcome::Failed, 0) };
        let text = table(&[listed(Outcome::Finished, 12), failed], Voice::plain());
        let expected = "ended (UTC)          outcome    rows  accepted  refused  file\n\
            1970-01-01 00:00:01  finished  2,000     1,988       12  in/track 1.csv\n\
            1970-01-01 00:00:01  failed    2,000     2,000        0  in/track 1.csv\n  denied\n";
        assert_eq!(text, expected);
    }
}
