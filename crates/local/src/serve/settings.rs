//! The settings of the functions on this machine: those of the environment, with the endpoints of this machine.

use config::Config;
use config::ConfigFrom;
use config::source::Secret;
use delivery::WriteKey;
use standins::installation::{self, SOURCE_BUCKET, STATE_BUCKET};

/// Settings that name a real endpoint.
const REAL: [&str; 4] = ["SEGMENT_ENDPOINT", "SEGMENT_OBJECTS_ENDPOINT", "SEGMENT_SETTINGS_ENDPOINT", "QUEUE_URL"];
/// The source without a configuration.
const SOURCE_ID: &str = "local";
/// The write key of this machine. It opens nothing else.
pub(super) const LOCAL_KEY: &str = "local-write-key";
/// The external id that the roles of this machine require.
pub(super) const EXTERNAL_ID: &str = "local";

/// The settings of both functions, and the write keys of the receiver.
#[derive(Clone, Debug)]
pub(super) struct Functions {
    pub(super) ingester: ingester::Settings,
    pub(super) exporter: exporter::Settings,
    /// `key=source id`, separated by commas.
    pub(super) keys: String,
}

/// Refuses settings that lead away from this machine.
pub(super) fn refuse_real_endpoints(get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let set: Vec<&str> = REAL.into_iter().filter(|name| get(name).is_some_and(|value| !value.is_empty())).collect();
    anyhow::ensure!(
        set.is_empty(),
        "{} is set, and serve sends to this machine only: unset it, or deploy to send to Segment",
        set.join(", ")
    );
    Ok(())
}

/// The settings of this machine for `config`. `get` reads the environment.
pub(super) fn read(
    get: &dyn Fn(&str) -> Option<String>,
    config: &Config,
    segment_url: &str,
) -> anyhow::Result<Functions> {
    let own = here(segment_url);
    let find =
        |of: &[(String, String)], name: &str| of.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let by_default = by_default(get("DESTINATION_BUCKET").is_none());
    let setting = |name: &str| match name {
        // The document is read apart. A topic is not on this machine.
        "CONFIG" | "QUEUE_URL" | "NOTICE_TOPIC_ARN" => None,
        _ => find(&own, name).or_else(|| get(name)).or_else(|| find(&by_default, name)),
    };
    let mut ingester = ingester::Settings::read(&setting)?;
    let mut exporter = exporter::Settings::parse(&setting)?;
    let config = localised(config.clone(), get)?;
    let keys = if config.has_targets() {
        ingester.source = None;
        config.sources.iter().filter_map(key_of).collect::<Vec<_>>().join(",")
    } else {
        let key = ingester.delivery.write_key.reveal();
        let key = if key.starts_with("arn:") { LOCAL_KEY.to_owned() } else { key.to_owned() };
        let source = ingester.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let keys = format!("{key}={source}");
        ingester.delivery.write_key = WriteKey::new(key);
        keys
    };
    let keys =
        [Some(keys), get("WRITE_KEYS")].into_iter().flatten().filter(|keys| !keys.is_empty()).collect::<Vec<_>>();
    let keys = keys.join(",");
    if let Some(single) = &mut exporter.single {
        single.destinations.iter_mut().for_each(|destination| EXTERNAL_ID.clone_into(&mut destination.external_id));
    }
    if !config.routes.destinations.is_empty() {
        exporter.single = None;
    }
    ingester.config = ConfigFrom::Settings(Box::new(config.clone()));
    exporter.config = ConfigFrom::Settings(Box::new(config));
    Ok(Functions { ingester, exporter, keys })
}

fn key_of(source: &config::source::Source) -> Option<String> {
    match &source.write_key {
        Some(Secret::Value(key)) => Some(format!("{key}={}", source.id)),
        _ => None,
    }
}

/// Settings that this machine decides.
fn here(segment_url: &str) -> Vec<(String, String)> {
    let settings = [
        ("STATE_BUCKET", STATE_BUCKET),
        ("SOURCE_BUCKET", SOURCE_BUCKET),
        ("SEGMENT_ENDPOINT", segment_url),
        ("SEGMENT_OBJECTS_ENDPOINT", segment_url),
    ];
    owned(&settings)
}

/// Settings of this machine, if the environment has no others. A commit each second moves the bar of a file.
fn by_default(with_destination: bool) -> Vec<(String, String)> {
    let settings =
        [("WRITE_KEY", LOCAL_KEY), ("SOURCE_ID", SOURCE_ID), ("LEASE_SECONDS", "5"), ("COMMIT_SECONDS", "1")];
    let destination = if with_destination { installation::exporter_settings() } else { Vec::new() };
    [owned(&settings), destination].concat()
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The configuration without the ways to Segment and to secrets.
fn localised(mut config: Config, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Config> {
    for source in &mut config.sources {
        anyhow::ensure!(
            source.endpoint.is_none() && source.objects_endpoint.is_none(),
            "[[source]] `{}` has an endpoint, and serve sends to this machine only: remove it from the document for serve",
            source.name
        );
        source.region = None;
        let local = || Secret::Value(format!("local-{}", source.id));
        source.write_key = source.write_key.take().map(|key| match key {
            Secret::Environment(name) => get(&name).map_or_else(local, Secret::Value),
            Secret::SecretsManager(_) | Secret::FromSecret { .. } => local(),
            value @ Secret::Value(_) => value,
        });
    }
    for destination in &mut config.routes.destinations {
        EXTERNAL_ID.clone_into(&mut destination.external_id);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(settings: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| settings.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_setting_that_names_a_real_endpoint_is_refused() {
        assert!(refuse_real_endpoints(&get(&[("WRITE_KEY", "k")])).is_ok());
        for name in REAL {
            let set = move |asked: &str| (asked == name).then(|| "https://api.segment.io".to_owned());
            let words = refuse_real_endpoints(&set).unwrap_err().to_string();
            assert!(words.starts_with(name), "{words}");
        }
    }

    #[test]
    fn whatever_the_document_says_calls_go_to_this_machine() {
        let text = "[[source]]\nname = \"shop\"\nid = \"s1\"\nregion = \"eu\"\n\
            write_key = \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:k\"\n\
            [[destination]]\nname = \"d\"\nregion = \"eu-west-1\"\nbucket = \"logs\"\n\
            role_arn = \"arn:aws:iam::123456789012:role/r\"\nexternal_id = \"workspace\"\nsources = \"*\"\n";
        let config = Config::parse(text, &Config::default().reading).unwrap();
        let read = read(&get(&[]), &config, "http://127.0.0.1:1").unwrap();
        let ConfigFrom::Settings(config) = &read.ingester.config else { unreachable!() };
        let way = read.ingester.delivery.for_source(&config.sources[0], WriteKey::new("k".to_owned()));
        assert_eq!(way.tracking_endpoint, "http://127.0.0.1:1");
        assert_eq!(way.objects_endpoint, "http://127.0.0.1:1");
        assert_eq!((read.keys.as_str(), read.ingester.source), ("local-s1=s1", None));
        let keys = super::read(&get(&[("WRITE_KEYS", "k2=s2")]), config, "http://127.0.0.1:1").unwrap().keys;
        assert_eq!(keys, "local-s1=s1,k2=s2");
        assert_eq!(config.routes.destinations[0].external_id, EXTERNAL_ID);
        let text = text.replace("region = \"eu\"\n", "endpoint = \"https://events.eu1.segmentapis.com\"\n");
        let config = Config::parse(&text, &config.reading).unwrap();
        assert!(super::read(&get(&[]), &config, "http://127.0.0.1:1").is_err());
    }
}
