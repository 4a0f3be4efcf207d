//! `segment-s3 config`, and the document that the other commands read by.

use crate::voice::{say, warn};
use anyhow::Context;
use calls::reading::Reading;
use clap::Subcommand;
use config::Config;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit status of wrong input.
const FAULTY: u8 = 2;

/// The commands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report all faults of a configuration, each with line and column
    ///
    /// A fault quotes names and paths of the document, and no other value. The exit status is 2 when there is one. A warning does not change it.
    Check {
        /// The document, `-` for standard input
        file: PathBuf,
    },
}

/// Runs a command of `config`.
pub(crate) fn run(command: &ConfigCommand) -> ExitCode {
    let ConfigCommand::Check { file } = command;
    match read(file).and_then(|text| parse(file, &text, &Reading::default())) {
        Ok(config) => {
            config.warnings.iter().for_each(|warning| warn(format_args!("{}: warning: {warning}", name(file))));
            say(format_args!("{}", described(file, &config)));
            ExitCode::SUCCESS
        }
        Err(faults) => {
            faults.iter().for_each(warn);
            ExitCode::from(FAULTY)
        }
    }
}

/// The configuration of a check: the file, or else the setting `CONFIG`. `base` is the reading of the environment.
pub(crate) fn for_check(file: Option<&Path>, base: &Reading) -> Result<Config, Vec<String>> {
    if let Some(file) = file {
        return read(file).and_then(|text| parse(file, &text, base));
    }
    let Some(text) = config::environment::variable("CONFIG").filter(|text| !text.trim().is_empty()) else {
        return Ok(Config { reading: base.clone(), ..Config::default() });
    };
    if text.starts_with("s3://") {
        return Err(vec![format!(
            "CONFIG is {text}, and a check reads no bucket: copy the object, and name the copy with --config"
        )]);
    }
    parse(Path::new("CONFIG"), &text, base)
}

/// Reads a document.
pub(crate) fn read(file: &Path) -> Result<String, Vec<String>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.context("failed to read it").map_err(|error| vec![format!("{}: {error:#}", name(file))])
}

fn parse(file: &Path, text: &str, base: &Reading) -> Result<Config, Vec<String>> {
    Config::parse(text, base).map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", name(file))).collect())
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// The numbers of tables, then each mapping with its patterns.
fn described(file: &Path, config: &Config) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut out = format!(
        "{}: {}, {}, {}\n",
        name(file),
        count(config.sources.len(), "source"),
        count(config.mappings.len(), "mapping"),
        count(config.routes.destinations.len(), "destination"),
    );
    let width = config.mappings.iter().map(|rule| rule.mapping().name.chars().count()).max().unwrap_or(0);
    for rule in &config.mappings {
        let also = if rule.also { ", and the next mapping that matches" } else { "" };
        let mapping = rule.mapping();
        let patterns = rule.keys.patterns().join(", ");
        let _ = writeln!(out, "  {:<width$}  {:<8}  {patterns}{also}", mapping.name, mapping.call);
    }
    out
}
