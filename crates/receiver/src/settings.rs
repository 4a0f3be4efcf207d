//! The receiver's settings: plain data, read once, all faults reported together.

use config::ConfigFrom;
use config::environment::{Faults, Reader};
use config::settings::{
    BATCH_BYTES_MAX, BATCH_CALLS_MAX, CALL_BYTES_MAX, CONNECTIONS_MAX, INCLUDE_WRITE_KEY, SERVICE_NAME,
    SOURCE_CALLS_PER_SECOND, STATE_BUCKET, Setting, TRUSTED_HOPS, UNKNOWN_KEYS, WEBHOOK_SECRETS, WRITE_KEYS,
};
use protocol::id::SourceId;
use protocol::reading::Reading;
use std::fmt;
use std::time::Duration;
use tracking::calls::Limits;
use tracking::groups::GROUP_BYTES_MAX;
use tracking::keys::{Keys, Secrets};

/// Time for a request, most of it for a slow body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the receiver works from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our own bucket.
    pub state_bucket: String,
    /// Where the configuration is. Its sources with write keys are added to `keys`.
    pub config: ConfigFrom,
    /// The write keys of the settings.
    pub keys: Keys,
    /// What becomes of other write keys.
    pub unknown: Unknown,
    /// The secrets of webhooks.
    pub secrets: Secrets,
    /// Proxies in front that append to `X-Forwarded-For`.
    pub trusted_hops: usize,
    /// The limits of a request.
    pub limits: Limits,
    /// Calls a second of each source; `None` is no limit.
    pub calls_per_second: Option<u32>,
    /// Connections of the server.
    pub connections_max: usize,
    /// Whether lines have the write key.
    pub include_write_key: bool,
    /// Time for a request. No variable sets it.
    pub request_timeout: Duration,
}

/// What becomes of calls with an unknown write key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// They are refused.
    Refuse,
    /// They are kept for this source.
    Keep(SourceId),
}

impl Settings {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// Every fault, by the setting's name. No fault has a key or a secret.
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
        let config = ConfigFrom::read(reader, &Reading::default());
        let keys: Keys = list(reader, &WRITE_KEYS, Keys::parse);
        let secrets: Secrets = list(reader, &WEBHOOK_SECRETS, Secrets::parse);
        let unknown = unknown(reader);
        let is_described = config.here().is_none_or(config::Config::has_targets);
        if keys.is_empty() && secrets.is_empty() && unknown == Unknown::Refuse && !is_described {
            reader.fault(&WRITE_KEYS, "is not set, and no source of CONFIG has a write key; write key=source");
        }
        let calls_per_second = reader.parsed_if_set(&SOURCE_CALLS_PER_SECOND, "a number of calls");
        let limits = Limits {
            body_bytes_max: bounded(reader, &BATCH_BYTES_MAX, GROUP_BYTES_MAX),
            call_bytes_max: bounded(reader, &CALL_BYTES_MAX, GROUP_BYTES_MAX),
            calls_max: bounded(reader, &BATCH_CALLS_MAX, GROUP_BYTES_MAX),
        };
        Settings {
            state_bucket,
            config,
            keys,
            unknown,
            secrets,
            trusted_hops: reader.parsed(&TRUSTED_HOPS, "a number of proxies"),
            limits,
            calls_per_second: calls_per_second.filter(|calls| *calls > 0),
            connections_max: bounded(reader, &CONNECTIONS_MAX, 1_000_000),
            include_write_key: reader.flag(&INCLUDE_WRITE_KEY),
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// A list of pairs. Its fault does not have the text, which holds keys.
fn list<T: Default, E: fmt::Display>(
    reader: &mut Reader<'_>,
    setting: &'static Setting,
    parse: fn(&str) -> Result<T, E>,
) -> T {
    let Some(text) = reader.optional(setting) else { return T::default() };
    parse(&text).unwrap_or_else(|fault| {
        reader.fault(setting, format_args!("{fault}; write pairs with `=`, separated by commas"));
        T::default()
    })
}

fn unknown(reader: &mut Reader<'_>) -> Unknown {
    match reader.optional(&UNKNOWN_KEYS).as_deref() {
        None | Some("refuse") => Unknown::Refuse,
        Some(source) => source.parse().map(Unknown::Keep).unwrap_or_else(|_| {
            reader.fault(&UNKNOWN_KEYS, "is neither `refuse` nor the id of a source");
            Unknown::Refuse
        }),
    }
}

/// A number from 1 to `max`.
fn bounded(reader: &mut Reader<'_>, setting: &'static Setting, max: usize) -> usize {
    let number = reader.parsed(setting, "a number");
    if !(1..=max).contains(&number) {
        reader.fault(setting, format_args!("is {number}; write 1 to {max}"));
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(set: &[(&str, &str)]) -> Result<Settings, Faults> {
        Settings::parse(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_defaults_are_segments_limits() {
        let settings = parse(&[("STATE_BUCKET", "our-state"), ("WRITE_KEYS", "old=s1,new=s1")]).unwrap();
        let limits = Limits { body_bytes_max: 524_288, call_bytes_max: 32_768, calls_max: 2_500 };
        assert_eq!((settings.limits, settings.trusted_hops, settings.calls_per_second), (limits, 0, None));
        assert_eq!(settings.unknown, Unknown::Refuse);
        assert!(settings.keys.source("old").is_some() && settings.keys.source("new").is_some());
    }

    #[test]
    fn every_fault_is_reported_at_once_and_shows_no_key() {
        let faults = parse(&[
            ("WRITE_KEYS", "secret-key"),
            ("WEBHOOK_SECRETS", "s1=,secret-key"),
            ("UNKNOWN_KEYS", "drop them"),
            ("BATCH_BYTES_MAX", "9999999"),
            ("CONNECTIONS_MAX", "0"),
        ]);
        let faults = faults.unwrap_err();
        assert!(!faults.to_string().contains("secret-key"), "{faults}");
        for words in [
            "STATE_BUCKET is not set",
            "WRITE_KEYS has an entry that cannot be read, number 1",
            "WEBHOOK_SECRETS has an entry that cannot be read, number 1",
            "UNKNOWN_KEYS is neither",
            "BATCH_BYTES_MAX is 9999999; write 1 to 4194304",
            "CONNECTIONS_MAX is 0",
        ] {
            assert!(faults.0.iter().any(|fault| fault.starts_with(words)), "{words}: {faults:#?}");
        }
        let no_source = parse(&[("STATE_BUCKET", "our-state")]).unwrap_err();
        assert!(no_source.0[0].starts_with("WRITE_KEYS is not set"), "{no_source}");
    }

    #[test]
    fn every_declared_setting_of_the_receiver_is_read() {
        let nothing = |_: &str| None;
        let mut reader = Reader::new(&nothing);
        let _ = Settings::read(&mut reader);
        let asked = reader.asked();
        for setting in [config::settings::ALL, config::settings::RECEIVER, &[&INCLUDE_WRITE_KEY]].concat() {
            assert!(asked.contains(setting.name), "{}", setting.name);
        }
    }
}
