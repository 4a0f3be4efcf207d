//! The configuration as it is now, and the last one without a fault when it has one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use bytes::Bytes;
use config::{Config, ConfigFrom};
use protocol::reading::Reading;
use sha2::{Digest, Sha256};

use crate::bucket::Bucket;
use crate::clients;
use crate::dice::Dice;
use crate::fault::Fault;
use crate::secrets::Secrets;

/// A configuration that is in force.
#[derive(Clone, Debug)]
pub struct Current {
    /// What it says.
    pub config: Arc<Config>,
    /// Which document it is: its place, and the beginning of its SHA-256. `None` without `CONFIG`.
    pub version: Option<String>,
    /// Why an older document is in force than the one that `CONFIG` names.
    pub alarm: Option<String>,
}

/// No configuration can be used: there is a fault, and no earlier document.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A secret that the document refers to cannot be read.
    #[error("CONFIG ({uri}) refers to a secret that cannot be read: {what}")]
    Secret {
        /// The document's URI.
        uri: String,
        /// Which reference, and why.
        what: String,
    },
    /// S3 did not give the document. A later try may help.
    #[error("failed to read CONFIG from {uri}: {fault}")]
    Unread {
        /// The document's URI.
        uri: String,
        /// Why.
        fault: Box<Fault>,
    },
    /// The document has faults, or is not there.
    #[error("CONFIG ({uri}) cannot be used: {what}")]
    Faulty {
        /// The document's URI.
        uri: String,
        /// All faults.
        what: String,
    },
}

/// Reads the configuration at every invocation.
#[derive(Debug)]
pub struct Configuration {
    from: ConfigFrom,
    base: Reading,
    client: Client,
    secrets: Secrets,
    state: Bucket,
    dice: Dice,
    /// Where the last document without a fault is kept in the state bucket, if it is kept.
    kept: Option<&'static str>,
    last: Mutex<Option<Current>>,
}

impl Configuration {
    /// The configuration that lies at `from`. `base` is the reading that the environment describes; `kept` is the key in
    /// the state bucket of the last document without a fault; `None` for a function that may not read there.
    #[must_use]
    pub fn new(
        from: ConfigFrom,
        base: Reading,
        sdk: &SdkConfig,
        state: Bucket,
        kept: Option<&'static str>,
    ) -> Configuration {
        let (client, secrets, dice) = (clients::s3(sdk), Secrets::new(sdk), state.dice().clone());
        Configuration { from, base, client, secrets, state, dice, kept, last: Mutex::default() }
    }

    /// The configuration now. If the document cannot be read or has a fault, the last one without a fault is in force,
    /// with an alarm.
    ///
    /// # Errors
    /// When there is no document without a fault.
    pub async fn current(&self) -> Result<Current, ConfigurationError> {
        let (bucket, key) = match &self.from {
            ConfigFrom::Settings(_) | ConfigFrom::Text { .. } if let Some(last) = self.last() => return Ok(last),
            ConfigFrom::Settings(config) => {
                return Ok(self.hold(Current {
                    config: Arc::new(config.as_ref().clone()),
                    version: None,
                    alarm: None,
                }));
            }
            ConfigFrom::Text { text, config } => {
                let config = self.resolved(config.as_ref().clone(), "CONFIG").await?;
                let version = Some(version("CONFIG", text.as_bytes()));
                return Ok(self.hold(Current { config: Arc::new(config), version, alarm: None }));
            }
            ConfigFrom::Object { bucket, key } => (bucket, key),
        };
        let uri = format!("s3://{bucket}/{key}");
        let error = match self.read(bucket, key, &uri).await {
            Ok(current) => return Ok(current),
            Err(error) => error,
        };
        let Some(last) = self.last_good().await else { return Err(error) };
        let version = last.version.as_deref().unwrap_or_default();
        Ok(Current {
            alarm: Some(format!("{error}; the last document without a fault is in force ({version})")),
            ..last
        })
    }

    async fn read(&self, bucket: &str, key: &str, uri: &str) -> Result<Current, ConfigurationError> {
        let bucket = Bucket::new(self.client.clone(), bucket, self.dice.clone());
        let faulty = |what: String| ConfigurationError::Faulty { uri: uri.to_owned(), what };
        let object = bucket.get(key).await;
        let object =
            object.map_err(|fault| ConfigurationError::Unread { uri: uri.to_owned(), fault: Box::new(fault) })?;
        let object = object.ok_or_else(|| faulty("there is no such object".to_owned()))?;
        let version = version(uri, &object.body);
        if let Some(last) = self.last().filter(|last| last.version.as_deref() == Some(&version)) {
            return Ok(last);
        }
        let config = parse(&object.body, &self.base).map_err(faulty)?;
        let config = self.resolved(config, uri).await?;
        self.keep(&object.body).await;
        Ok(self.hold(Current { config: Arc::new(config), version: Some(version), alarm: None }))
    }

    /// The configuration with the values of its references.
    async fn resolved(&self, mut config: Config, uri: &str) -> Result<Config, ConfigurationError> {
        let mut values = BTreeMap::new();
        for reference in config.references() {
            let value = self.secrets.value(&reference).await;
            let failed = |what| ConfigurationError::Secret { uri: uri.to_owned(), what };
            values.insert(reference, value.map_err(failed)?);
        }
        config.resolve(&|reference| values.get(reference).cloned());
        Ok(config)
    }

    /// Puts a document in force, with its warnings in the log.
    fn hold(&self, current: Current) -> Current {
        for warning in &current.config.warnings {
            tracing::warn!(config = current.version, "{warning}");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
        current
    }

    fn last(&self) -> Option<Current> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a document without a fault for later processes, unless it is kept already. If this fails, the next process
    /// has no fallback.
    async fn keep(&self, text: &Bytes) {
        let Some(key) = self.kept else { return };
        let kept = self.state.get(key).await;
        if matches!(&kept, Ok(Some(kept)) if kept.body == *text) {
            return;
        }
        if let Err(fault) = self.state.put(key, text.clone(), "application/toml").await {
            let words =
                "failed to keep a copy of the configuration; a fault in its next version may fail an invocation";
            tracing::warn!(%fault, "{words}");
        }
    }

    /// The last document without a fault: the one of this process, or the kept copy.
    async fn last_good(&self) -> Option<Current> {
        if let Some(last) = self.last() {
            return Some(last);
        }
        let key = self.kept?;
        let kept = self.state.get(key).await.ok()??;
        let config = parse(&kept.body, &self.base).ok()?;
        let config = self.resolved(config, &self.state.target(key)).await.ok()?;
        let version = Some(version(&self.state.target(key), &kept.body));
        Some(Current { config: Arc::new(config), version, alarm: None })
    }
}

fn parse(text: &[u8], base: &Reading) -> Result<Config, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let words =
        |faults: Vec<config::fault::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Config::parse(text, base).map_err(words)
}

fn version(place: &str, text: &[u8]) -> String {
    format!("{place} ({})", hex::encode(&Sha256::digest(text)[..6]))
}
