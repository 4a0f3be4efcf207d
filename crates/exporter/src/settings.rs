//! The exporter's settings: plain data, read once, all faults reported together.

use config::environment::{Faults, Reader};
use config::settings::{EXPIRE_DAYS, SERVICE_NAME, STATE_BUCKET};
use config::{ConfigFrom, Single};
use export::cut::Limits;
use export::routes::Routes;
use protocol::reading::Reading;

/// The maximum and the default of `EXPIRE_DAYS`.
pub const EXPIRE_DAYS_MAX: u32 = 30;

/// What the exporter works from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our own bucket: the events that wait for export, and the state of the exports.
    pub state_bucket: String,
    /// Where the configuration is.
    pub config: ConfigFrom,
    /// The destination that the settings describe, if the configuration has none.
    pub single: Option<Routes>,
    /// Days after which events that could not be exported expire, with an alarm. The lifecycle rule of the state bucket
    /// must be longer.
    pub expire_days: u32,
    /// How large a plan may become.
    pub limits: Limits,
    /// The limits of one tick.
    pub caps: Caps,
    /// How many requests are under way at a time.
    pub at_a_time: AtATime,
}

/// How many requests are under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtATime {
    /// Places that are served.
    pub places: usize,
    /// Objects put to one destination: most are small, and waiting for answers is most of the work.
    pub objects: usize,
    /// Fragments fetched ahead of those that are being sent to one place.
    pub fragments: usize,
    /// Plans that are read; the largest have some two megabytes.
    pub plans: usize,
    /// Accounts of files that are read.
    pub accounts: usize,
}

impl Default for AtATime {
    fn default() -> AtATime {
        AtATime { places: 8, objects: 4, fragments: 32, plans: 8, accounts: 32 }
    }
}

impl AtATime {
    /// One request after the other, so that a run repeats.
    pub const ONE: AtATime = AtATime { places: 1, objects: 1, fragments: 1, plans: 1, accounts: 1 };
}

/// The limits of one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Plans that one tick opens: each is two requests, one after the other.
    pub plans_per_tick_max: usize,
    /// Plans that may be open for one destination. Beyond this, its events wait as fragments, with an alarm.
    pub open_plans_max: usize,
    /// Fragments that the open plans of one destination may hold. A tick has a hash of each in memory.
    pub held_fragments_max: u64,
    /// Fragments that one tick considers. The next tick continues after them.
    pub considered_max: usize,
    /// Bytes of fragments that are fetched and not yet sent, of all objects together.
    pub fetched_bytes_max: u64,
    /// Bytes of all objects that are compressed again at a time, because they are in memory whole. An object with more
    /// bytes is compressed alone.
    pub rewritten_bytes_max: u64,
}

/// With this memory (the template's default) and more, the caps on what is in memory are the largest.
const ROOMY_MB: u32 = 512;

impl Caps {
    /// The caps of a function with this memory.
    fn within(memory_mb: u32) -> Caps {
        let all = Caps::default();
        let share = |cap: u64| cap * u64::from(memory_mb.min(ROOMY_MB)) / u64::from(ROOMY_MB);
        Caps {
            considered_max: usize::try_from(share(all.considered_max as u64)).unwrap_or(all.considered_max),
            fetched_bytes_max: share(all.fetched_bytes_max),
            rewritten_bytes_max: share(all.rewritten_bytes_max),
            ..all
        }
    }
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            plans_per_tick_max: 250,
            // A destination that fails for a month reaches this: one plan an hour for each set of destinations that it
            // belongs to, and one for each full object.
            open_plans_max: 10_000,
            held_fragments_max: 1_000_000,
            considered_max: 200_000,
            fetched_bytes_max: 64 << 20,
            rewritten_bytes_max: 64 << 20,
        }
    }
}

impl Settings {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// Every fault, by the setting's name.
    pub fn parse(get: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Faults> {
        let mut reader = Reader::new(get);
        let settings = Settings::read(&mut reader);
        reader.finish(settings)
    }

    /// The settings, with defaults in place of faulty ones. The reader keeps the faults.
    fn read(reader: &mut Reader<'_>) -> Settings {
        let state_bucket = reader.bucket(&STATE_BUCKET);
        // Read where logging starts.
        let _ = reader.optional(&SERVICE_NAME);
        let expire_days = reader.parsed(&EXPIRE_DAYS, "a number of days");
        if !(1..=EXPIRE_DAYS_MAX).contains(&expire_days) {
            // Events may wait so long unrouted, and as long again for a destination; the bucket's lifecycle is the net
            // below that, and has to be longer.
            reader.fault(&EXPIRE_DAYS, format_args!("is {expire_days}; write 1 to {EXPIRE_DAYS_MAX}"));
        }
        let config = ConfigFrom::read(reader, &Reading::default());
        let single = single(reader, &config);
        let (limits, caps, at_a_time) = (Limits::default(), Caps::within(aws::memory_mb()), AtATime::default());
        Settings { state_bucket, config, single, expire_days, limits, caps, at_a_time }
    }
}

/// The destination that the settings describe, if they describe one. Without `CONFIG` they must.
fn single(reader: &mut Reader<'_>, config: &ConfigFrom) -> Option<Routes> {
    let is_described = Single::SETTINGS.iter().any(|(_, setting)| reader.optional(setting).is_some());
    if config.here().is_some_and(|config| !config.routes.destinations.is_empty()) {
        for (_, setting) in Single::SETTINGS {
            if reader.optional(setting).is_none() {
                continue;
            }
            reader.fault(setting, "is set beside [[destination]] in CONFIG; keep one of them");
        }
        return None;
    }
    (is_described || config.is_settings()).then(|| Single::read(reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(set: &[(&str, &str)]) -> Result<Settings, Faults> {
        Settings::parse(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    const ONE: [(&str, &str); 5] = [
        ("STATE_BUCKET", "our-state"),
        ("DESTINATION_BUCKET", "their-logs/some/prefix/"),
        ("DESTINATION_REGION", "eu-west-1"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:role/SegmentAWSS3Role"),
        ("DESTINATION_EXTERNAL_ID", "workspace-id"),
    ];

    #[test]
    fn a_small_function_holds_less_at_a_time_and_a_large_one_no_more() {
        let (small, usual, large) = (Caps::within(128), Caps::within(512), Caps::within(3_008));
        assert_eq!((usual, large), (Caps::default(), Caps::default()));
        assert_eq!((small.fetched_bytes_max, small.rewritten_bytes_max), (16 << 20, 16 << 20));
        assert_eq!((small.considered_max, small.open_plans_max), (50_000, usual.open_plans_max));
    }

    #[test]
    fn one_destination_comes_from_the_environment() {
        let settings = parse(&ONE).unwrap();
        let routes = settings.single.unwrap();
        let destination = routes.named("default").unwrap();
        assert_eq!((destination.bucket.as_str(), destination.prefix.as_str()), ("their-logs", "some/prefix"));
        assert_eq!(routes.taking(&"anySource".parse().unwrap()), [0]);
    }

    #[test]
    fn every_fault_is_reported_at_once_and_once() {
        let faults = parse(&[
            ("STATE_BUCKET", "s3://our-state"),
            ("DESTINATION_BUCKET", "s3://their-logs/prefix"),
            ("EXPIRE_DAYS", "31"),
        ])
        .unwrap_err();
        for words in [
            "STATE_BUCKET is a URI",
            "EXPIRE_DAYS is 31; write 1 to 30",
            "DESTINATION_REGION is not set",
            "DESTINATION_ROLE_ARN is not set",
            "DESTINATION_EXTERNAL_ID is not set",
            "DESTINATION_BUCKET is an s3:// URI",
        ] {
            assert_eq!(faults.0.iter().filter(|fault| fault.starts_with(words)).count(), 1, "{words}: {faults:#?}");
        }
        assert_eq!(faults.0.len(), 6);
    }

    #[test]
    fn destinations_stand_in_the_configuration_or_in_the_settings() {
        let in_object = [("STATE_BUCKET", "our-state"), ("CONFIG", "s3://our-config/segment-s3.toml")];
        let at = parse(&in_object).unwrap();
        assert!(at.single.is_none() && matches!(at.config, ConfigFrom::Object { .. }));
        let beside = parse(&[&ONE[..], &in_object[1..]].concat()).unwrap();
        assert!(beside.single.is_some(), "an object is only known when it is read");

        let described = r#"
            [[destination]]
            name = "a"
            region = "eu-west-1"
            bucket = "logs-a"
            role_arn = "arn:aws:iam::123456789012:role/Logs"
            external_id = "workspace"
            sources = "*"
        "#;
        let here = parse(&[("STATE_BUCKET", "our-state"), ("CONFIG", described)]).unwrap();
        assert_eq!(here.config.here().unwrap().routes.destinations.len(), 1);
        let faults = parse(&[&ONE[..], &[("CONFIG", described)]].concat()).unwrap_err();
        assert_eq!(faults.0.len(), 4, "{faults}");
        assert!(faults.0.iter().all(|fault| fault.contains("is set beside [[destination]]")), "{faults}");
        let faults = parse(&[&ONE[..], &[("CONFIG", "s3://our-config")]].concat()).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert!(faults.0[0].contains("CONFIG is \"s3://our-config\", which names no object"), "{faults}");
    }

    #[test]
    fn every_declared_setting_of_the_exporter_is_read() {
        let nothing = |_: &str| None;
        let mut reader = Reader::new(&nothing);
        let _ = Settings::read(&mut reader);
        let asked = reader.asked();
        for setting in [config::settings::ALL, config::settings::EXPORTER].concat() {
            assert!(asked.contains(setting.name), "{}", setting.name);
        }
    }
}
