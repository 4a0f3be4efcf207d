//! Where the configuration is.

use protocol::reading::Reading;

use crate::Config;
use crate::environment::Reader;
use crate::settings::CONFIG;

/// Where the configuration is.
#[derive(Clone, Debug)]
pub enum ConfigFrom {
    /// `CONFIG` is not set: a configuration of the settings alone.
    Settings(Box<Config>),
    /// `CONFIG` is the document.
    Text {
        /// The document.
        text: String,
        /// What it says.
        config: Box<Config>,
    },
    /// `CONFIG` names an object, which is read at every invocation.
    Object {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

impl ConfigFrom {
    /// Reads `CONFIG`. `base` is the reading that the environment describes.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>, base: &Reading) -> ConfigFrom {
        let nothing = || ConfigFrom::Settings(Box::new(Config { reading: base.clone(), ..Config::default() }));
        let Some(text) = reader.optional(&CONFIG) else { return nothing() };
        if let Some(rest) = text.strip_prefix("s3://") {
            return match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    ConfigFrom::Object { bucket: bucket.to_owned(), key: key.to_owned() }
                }
                _ => {
                    reader.fault(&CONFIG, format_args!("is {text:?}, which names no object; write s3://BUCKET/KEY"));
                    nothing()
                }
            };
        }
        match Config::parse(&text, base) {
            Ok(config) => ConfigFrom::Text { text, config: Box::new(config) },
            Err(faults) => {
                faults.iter().for_each(|fault| reader.fault(&CONFIG, fault));
                nothing()
            }
        }
    }

    /// Whether the environment alone describes everything.
    #[must_use]
    pub fn is_settings(&self) -> bool {
        matches!(self, ConfigFrom::Settings(_))
    }

    /// The configuration, unless it lies in an object.
    #[must_use]
    pub fn here(&self) -> Option<&Config> {
        match self {
            ConfigFrom::Settings(config) | ConfigFrom::Text { config, .. } => Some(config),
            ConfigFrom::Object { .. } => None,
        }
    }
}
