//! The ingester's settings and configuration, as they are deployed.

use super::place::{Place, StateArg};
use super::stack::Stack;
use crate::voice::warn;
use crate::words::visible;
use anyhow::Context;
use config::{Config, ConfigFrom};
use ingester::Settings;
use protocol::id::SourceId;
use protocol::keys::INGEST_CONFIG;

/// What the stack was deployed with.
pub(crate) struct Deployed {
    pub(crate) settings: Settings,
    pub(crate) config: Config,
    /// The source of the settings, if the configuration has none.
    pub(crate) source: Option<SourceId>,
    /// The keys that it reads begin with this.
    pub(crate) prefix: String,
}

/// Parameters that are a setting of the ingester under another name (`template.yaml`, "Ingester").
const PARAMETERS: [(&str, &str); 7] = [
    ("SOURCE_ID", "SourceId"),
    ("SEGMENT_REGION", "SegmentRegion"),
    ("WORKSPACE_EVENTS_PER_SECOND", "EventsPerSecond"),
    ("CONCURRENCY", "Concurrency"),
    ("REJECTED_FOLDER", "RejectedFolder"),
    ("SETTINGS", "MoreSettings"),
    ("CONFIG", "Config"),
];

/// Reads them from the parameters of the stack. The environment of this machine does not count.
///
/// # Errors
/// If they cannot be used, or the configuration cannot be read.
pub(crate) async fn deployed(place: &Place) -> anyhow::Result<Deployed> {
    let stack = place.stack().context("the settings are not known: name the stack with --stack")?;
    let settings = Settings::read(&|name| setting(stack, name));
    let settings = settings.map_err(|faults| anyhow::anyhow!("the stack {}: {faults}", stack.name()))?;
    let config = match &settings.config {
        ConfigFrom::Settings(config) => config.as_ref().clone(),
        ConfigFrom::Text { config, .. } => config.as_ref().clone(),
        ConfigFrom::Object { bucket, key } => in_object(place, bucket, key, &settings).await?,
    };
    let source = settings.source.clone();
    let prefix = stack.parameter("SourcePrefix").unwrap_or_default().to_owned();
    Ok(Deployed { settings, config, source, prefix })
}

fn setting(stack: &Stack, name: &str) -> Option<String> {
    let parameter = |key: &str| stack.parameter(key).map(str::to_owned);
    match name {
        "STATE_BUCKET" => stack.output("StateBucket").map(str::to_owned),
        // Nothing is sent, so the key itself is not needed.
        "WRITE_KEY" => parameter("SourceId").map(|_| "unused".to_owned()),
        _ => PARAMETERS.iter().find(|(setting, _)| *setting == name).and_then(|(_, key)| parameter(key)),
    }
}

/// The configuration of an object; if that has a fault, the last one without, as the ingester reads it.
async fn in_object(place: &Place, bucket: &str, key: &str, settings: &Settings) -> anyhow::Result<Config> {
    let uri = format!("s3://{bucket}/{key}");
    let object = place.bucket(bucket).get(key).await.map_err(|fault| place.explained(&fault))?;
    let faults = match object {
        None => vec!["there is no such object".to_owned()],
        Some(object) => match parse(&object.body, settings) {
            Ok(config) => return Ok(config),
            Err(faults) => faults,
        },
    };
    let state = place.state(&StateArg { state: Some(settings.state_bucket.clone()) })?;
    let kept = state.get(INGEST_CONFIG).await.map_err(|fault| place.explained(&fault))?;
    let kept = kept.and_then(|kept| parse(&kept.body, settings).ok());
    let faults = faults.join("; ");
    let Some(config) = kept else { anyhow::bail!("the configuration {uri} cannot be used: {faults}") };
    let words = format!("{uri} cannot be used, and the last document without a fault is in force: {faults}");
    warn(format_args!("segment-s3: {}", visible(&words)));
    Ok(config)
}

fn parse(text: &[u8], settings: &Settings) -> Result<Config, Vec<String>> {
    let text = std::str::from_utf8(text).map_err(|_| vec!["it is not UTF-8".to_owned()])?;
    let in_words = |faults: Vec<config::fault::Fault>| faults.iter().map(ToString::to_string).collect();
    Config::parse(text, &settings.reading).map_err(in_words)
}
