//! Which mappings read a file, and to which source its calls go.

use super::checked::Checked;
use crate::configuration;
use calls::reading::Reading;
use calls::refusal::Warning;
use config::source::Source;
use config::{Config, NoMatch};
use delivery::WriteKey;
use ingester::Settings;
use protocol::id::SourceId;
use std::path::{Component, Path};

/// The key of standard input.
const STDIN_KEY: &str = "track_1.csv";

/// The settings and the configuration of a check.
pub(crate) struct Assignment {
    pub(crate) settings: Settings,
    config: Config,
}

/// How a file is read, and where its calls go.
pub(super) struct Assigned<'a> {
    pub(super) reading: &'a Reading,
    source: Option<&'a Source>,
    /// The pattern that is nearest to the key, if no mapping matches it.
    nearest: Option<&'a str>,
}

impl Assignment {
    /// Reads the settings of the environment and the configuration.
    pub(crate) fn read(document: Option<&Path>) -> Result<Assignment, Vec<String>> {
        let settings = Settings::read(&|name| match name {
            // The document is read apart, so that its faults have its name.
            "CONFIG" => None,
            _ => config::environment::variable(name).or_else(|| without(name)),
        });
        let settings = settings.map_err(|faults| vec![faults.to_string()])?;
        let config = configuration::for_check(document, &settings.reading)?;
        Ok(Assignment { settings, config })
    }

    /// Settings and a configuration that are at hand.
    pub(crate) fn with(settings: Settings, config: Config) -> Assignment {
        Assignment { settings, config }
    }

    /// The mappings and sources for a key; an error says that no source takes it.
    pub(super) fn of(&self, key: &str) -> Result<Vec<Assigned<'_>>, String> {
        let found = self.config.for_key(key).map_err(|NoMatch::Source| {
            format!("no [[source]] takes the key {key}: add a pattern to the `match` of one")
        })?;
        let assigned = found.into_iter().map(|one| Assigned {
            reading: one.reading,
            source: one.source.map(|index| &self.config.sources[index]),
            nearest: if one.reading.mapping.is_none() { self.config.nearest_pattern(key) } else { None },
        });
        Ok(assigned.collect())
    }

    /// Mapping and source of each way in which a key is read, as far as the configuration names them.
    pub(crate) fn readers(&self, key: &str) -> Vec<(Option<String>, Option<SourceId>)> {
        let of = |assigned: &Assigned<'_>| {
            let checked = assigned.checked(&self.settings);
            (checked.mapping, checked.source_id)
        };
        self.of(key).map(|all| all.iter().map(of).collect()).unwrap_or_default()
    }
}

/// Settings that a check does not need.
fn without(name: &str) -> Option<String> {
    match name {
        "WRITE_KEY" | "SOURCE_ID" => Some("check".to_owned()),
        "STATE_BUCKET" => Some("segment-s3-check".to_owned()),
        _ => None,
    }
}

impl Assigned<'_> {
    /// The result for a file of which nothing was read yet.
    pub(super) fn checked(&self, settings: &Settings) -> Checked {
        let pace = match self.source {
            Some(source) => settings.delivery.for_source(source, WriteKey::new("check".to_owned())).events_per_second,
            None => settings.delivery.events_per_second,
        };
        Checked {
            mapping: self.reading.mapping.as_ref().map(|mapping| mapping.name.clone()),
            source: self.source.map(|source| source.name.clone()),
            source_id: self.source.map(|source| source.id.clone()),
            pace,
            zone: self.reading.timestamp_zone.clone(),
            ..Checked::default()
        }
    }

    /// The nearest pattern, as an addition to a name fault.
    pub(super) fn nearest(&self) -> String {
        let words = |pattern| format!("; no mapping matches the key, the nearest has `{pattern}`");
        self.nearest.map_or(String::new(), words)
    }

    /// The same as a warning, if the file is read by its name.
    pub(super) fn unmatched(&self) -> Option<Warning> {
        let pattern = self.nearest?;
        let message =
            format!("no mapping matches the key, the nearest has `{pattern}`; the name says what the rows are");
        Some(Warning { column: String::new(), message })
    }
}

/// The key of a file: the path below the current folder, or else its name.
pub(crate) fn key_of(path: &Path, key: Option<&str>) -> String {
    if let Some(key) = key {
        return key.to_owned();
    }
    if path == Path::new("-") {
        return STDIN_KEY.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let below = path.strip_prefix(&here).unwrap_or(path);
    let parts: Option<Vec<String>> = below
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    parts.map_or_else(name, |parts| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_path_below_the_current_folder() {
        let here = std::env::current_dir().unwrap();
        for (path, key, expected) in [
            ("eu/track_1.csv", None, "eu/track_1.csv"),
            ("./eu/./track_1.csv", None, "eu/track_1.csv"),
            ("../track_1.csv", None, "track_1.csv"),
            ("/elsewhere/eu/track_1.csv", None, "track_1.csv"),
            ("-", None, "track_1.csv"),
            ("track_1.csv", Some("us/track_2.csv"), "us/track_2.csv"),
        ] {
            assert_eq!(key_of(Path::new(path), key), expected, "{path}");
        }
        assert_eq!(key_of(&here.join("eu/track_1.csv"), None), "eu/track_1.csv");
    }
}
