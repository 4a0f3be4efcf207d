//! The write keys in force: those of the settings, and those of the configuration as it is now.

use crate::settings::Settings;
use aws::configuration::Configuration;
use aws::{Bucket, Clock};
use aws_config::SdkConfig;
use config::source::Secret;
use protocol::reading::Reading;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracking::keys::Keys;

/// A configuration in S3 is read again after so long.
const FRESH_MS: i64 = 60_000;
/// Calls wait for the configuration no longer than this.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The write keys, read again while calls come.
#[derive(Debug)]
pub(crate) struct Keyring {
    of_settings: Keys,
    configuration: Configuration,
    clock: Clock,
    current: RwLock<Option<(i64, Arc<Keys>)>>,
    reading: Mutex<()>,
}

impl Keyring {
    pub(crate) fn new(settings: &Settings, sdk: &SdkConfig, state: Bucket, clock: Clock) -> Keyring {
        let configuration = Configuration::new(settings.config.clone(), Reading::default(), sdk, state, None);
        let of_settings = settings.keys.clone();
        Keyring { of_settings, configuration, clock, current: RwLock::default(), reading: Mutex::default() }
    }

    /// The keys now; `None` while the configuration cannot be read and never could.
    pub(crate) async fn keys(&self) -> Option<Arc<Keys>> {
        match self.held() {
            Some((read_ms, keys)) if self.clock.now_ms() - read_ms < FRESH_MS => Some(keys),
            // One request reads. The others go on with the keys that there are.
            Some((_, keys)) => match self.reading.try_lock() {
                Ok(_reading) => match self.read().await {
                    Some(keys) => Some(keys),
                    // The next try is a minute later, so that few calls wait for it.
                    None => Some(self.hold(keys)),
                },
                Err(_) => Some(keys),
            },
            None => {
                let _reading = self.reading.lock().await;
                match self.held() {
                    Some((_, keys)) => Some(keys),
                    None => self.read().await,
                }
            }
        }
    }

    fn held(&self) -> Option<(i64, Arc<Keys>)> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Option<Arc<Keys>> {
        let current = match timeout(READ_TIMEOUT, self.configuration.current()).await {
            Ok(Ok(current)) => current,
            Ok(Err(error)) => {
                tracing::error!(%error, "the configuration cannot be used");
                return None;
            }
            Err(_) => {
                tracing::error!(seconds = READ_TIMEOUT.as_secs(), "the configuration was not read in time");
                return None;
            }
        };
        if let Some(alarm) = &current.alarm {
            tracing::error!(alarm, "an older configuration is in force");
        }
        let mut keys = self.of_settings.clone();
        for source in &current.config.sources {
            if let Some(key) = source.write_key.as_ref().and_then(Secret::known) {
                keys.add(key, &source.id);
            }
        }
        Some(self.hold(Arc::new(keys)))
    }

    /// Keeps the keys for a minute.
    fn hold(&self, keys: Arc<Keys>) -> Arc<Keys> {
        let held = (self.clock.now_ms(), Arc::clone(&keys));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
        keys
    }
}
