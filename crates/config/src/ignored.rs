//! Keys that are no files of people: unfinished uploads, and what tools keep beside their output.

use crate::config::Config;
use crate::environment::Reader;
use crate::settings::IGNORE_KEYS;
use crate::source::Globs;

/// Patterns of keys that are always left alone, each with what has such names.
pub const OF_TOOLS: &[(&str, &str)] = &[
    ("**/*.filepart", "an upload of WinSCP that is not finished"),
    ("**/*.part", "an upload or a download that is not finished"),
    ("**/*.tmp", "a temporary file"),
    ("**/_temporary/**", "output of Hadoop or Spark that is not committed"),
    ("**/_SUCCESS", "the mark of Hadoop and Spark that a job is done"),
    ("**/*.crc", "a checksum of Hadoop"),
    ("**/*.metadata", "the description that Athena writes beside a result"),
    ("**/*_$folder$", "a folder, as Hadoop marks it"),
    ("**/*/", "a folder, as the S3 console makes it"),
];

/// The keys that are left alone.
#[derive(Clone, Debug)]
pub struct IgnoredKeys {
    globs: Globs,
}

impl IgnoredKeys {
    /// The keys of tools, and those of `IGNORE_KEYS`.
    pub fn read(reader: &mut Reader<'_>) -> IgnoredKeys {
        let set = reader.optional(&IGNORE_KEYS).unwrap_or_default();
        let own = set.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(str::to_owned);
        let of_tools = || OF_TOOLS.iter().map(|(pattern, _)| (*pattern).to_owned());
        let globs = Globs::new(&of_tools().chain(own).collect::<Vec<_>>()).unwrap_or_else(|(_, why)| {
            reader.fault(&IGNORE_KEYS, format_args!("has a pattern that is no glob ({why}); write such as **/*.bak"));
            Globs::all()
        });
        IgnoredKeys { globs }
    }

    /// Whether a key is left alone. A mapping reads it if the mapping's own pattern has such a name, such as `**/*.tmp`.
    /// A pattern such as `exports/*` only happens to match it.
    #[must_use]
    pub fn leave_alone(&self, key: &str, config: &Config) -> bool {
        let mut patterns = config.mappings.iter().flat_map(|rule| rule.keys.matching(key));
        self.globs.matches(key) && !patterns.any(|pattern| self.globs.matches(pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::reading::Reading;

    fn ignored(setting: &str) -> Result<IgnoredKeys, String> {
        let get = |name: &str| (name == "IGNORE_KEYS").then(|| setting.to_owned());
        let mut reader = Reader::new(&get);
        let ignored = IgnoredKeys::read(&mut reader);
        reader.finish(ignored).map_err(|faults| faults.to_string())
    }

    fn leaves_alone(setting: &str, key: &str, config: &Config) -> bool {
        ignored(setting).unwrap().leave_alone(key, config)
    }

    #[test]
    fn names_of_unfinished_uploads_and_of_tools_are_left_alone() {
        for key in [
            "track_1.csv.filepart",
            "in/track_1.csv.part",
            "a/b/TRACK_1.CSV.TMP",
            "out/_temporary/0/part-00000.csv",
            "_temporary/x",
            "out/_SUCCESS",
            "_SUCCESS",
            "out/.part-00000.csv.crc",
            "results/4b1f.csv.metadata",
            "out_$folder$",
            "in/",
            "in/2026/",
        ] {
            assert!(leaves_alone("", key, &Config::default()), "{key}");
        }
    }

    #[test]
    fn names_of_files_are_not_left_alone() {
        let keys = [
            "track_1.csv",
            "out/part-00000.csv",
            "parts/track_part.csv",
            "tmp/track_1.csv",
            "track_metadata.csv",
            "a.csv.gz",
        ];
        for key in keys {
            assert!(!leaves_alone("", key, &Config::default()), "{key}");
        }
    }

    #[test]
    fn the_setting_adds_patterns() {
        for (key, expected) in [("drafts/a/track_1.csv", true), ("track.BAK", true), ("a.tmp", true), ("a.csv", false)]
        {
            assert_eq!(leaves_alone("drafts/**, **/*.bak,", key, &Config::default()), expected, "{key}");
        }
        let faults = ignored("**/*.bak,[a").unwrap_err();
        assert!(faults.contains("IGNORE_KEYS has a pattern that is no glob"), "{faults}");
    }

    #[test]
    fn a_mapping_reads_such_a_key_only_if_its_pattern_names_it() {
        let config = |pattern: &str| {
            let text = format!(
                "[[mapping]]\nname = \"m\"\nmatch = \"{pattern}\"\ncall = \"identify\"\ncolumns = {{ A = \"userId\" }}"
            );
            Config::parse(&text, &Reading::default()).unwrap()
        };
        for (pattern, expected) in [
            ("exports/*.tmp", false),
            ("exports/people.csv.tmp", false),
            ("exports/*", true),
            ("**/*.csv*", true),
            ("other/*.tmp", true),
        ] {
            assert_eq!(leaves_alone("", "exports/people.csv.tmp", &config(pattern)), expected, "{pattern}");
        }
    }
}
