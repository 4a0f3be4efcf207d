//! The Segment sources that calls go to, and which of them a file belongs to.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use aws::configuration::Current;
use aws::secrets::Secrets;
use aws::{Clock, Dice};
use calls::reading::Reading;
use config::{Config, ForKey};
use delivery::{Delivery, WriteKey};
use ingestion::life::by_name;
use ingestion::notification::Notice;
use protocol::id::SourceId;

use crate::settings::Settings;

/// A Segment source that calls go to.
pub(crate) struct Target {
    /// Its name in the configuration.
    pub(crate) name: Option<String>,
    /// Its id.
    pub(crate) id: SourceId,
    /// The way to it, with a pace of its own.
    pub(crate) delivery: Arc<Delivery>,
}

/// The targets of the configuration in force. Those that a new configuration leaves as they are keep connections and pace.
#[derive(Default)]
pub(crate) struct Targets {
    held: Mutex<Held>,
}

#[derive(Clone, Default)]
struct Held {
    config: Option<Arc<Config>>,
    targets: Arc<Vec<Target>>,
}

/// The configuration in force, with its targets.
#[derive(Clone)]
pub(crate) struct InForce {
    pub(crate) config: Arc<Config>,
    /// The place and the hash of the document.
    pub(crate) version: Option<String>,
    /// Why an older document is in force, if one is.
    pub(crate) alarm: Option<String>,
    pub(crate) targets: Arc<Vec<Target>>,
}

/// How a file is read, and which source gets its calls.
pub(crate) struct Assigned<'a> {
    pub(crate) reading: &'a Reading,
    pub(crate) target: &'a Target,
}

impl Targets {
    /// Targets that are ready, for the first configuration.
    #[cfg(test)]
    pub(crate) fn ready(targets: Arc<Vec<Target>>) -> Targets {
        Targets { held: Mutex::new(Held { config: None, targets }) }
    }

    /// The targets of a configuration.
    pub(crate) fn of(
        &self,
        current: Current,
        settings: &Settings,
        secrets: &Secrets,
        clock: &Clock,
        dice: &Dice,
    ) -> anyhow::Result<InForce> {
        let Current { config, version, alarm } = current;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.config.as_ref().is_some_and(|before| Arc::ptr_eq(before, &config)) {
            let described = described(&config, settings)?;
            let make = |(name, id, way): (Option<String>, SourceId, delivery::Settings)| {
                let same = held.targets.iter().find(|target| target.id == id && *target.delivery.settings() == way);
                let delivery = match same {
                    Some(same) => Arc::clone(&same.delivery),
                    None => {
                        let delivery = Delivery::new(way, clock.clone(), dice.clone());
                        Arc::new(delivery.context("failed to set up HTTP")?.with_secrets(secrets))
                    }
                };
                Ok(Target { name, id, delivery })
            };
            let targets = described.into_iter().map(make).collect::<anyhow::Result<Vec<_>>>()?;
            *held = Held { config: Some(Arc::clone(&config)), targets: Arc::new(targets) };
        }
        let targets = Arc::clone(&held.targets);
        Ok(InForce { config, version, alarm, targets })
    }
}

/// Name, id and way of each target, in the order of the configuration's sources.
fn described(
    config: &Config,
    settings: &Settings,
) -> anyhow::Result<Vec<(Option<String>, SourceId, delivery::Settings)>> {
    if !config.has_targets() {
        let id = settings.source.clone();
        let id =
            id.context("CONFIG has no [[source]] with a `write_key`, and SOURCE_ID is not set: set one of them")?;
        let name = config.sources.iter().find(|source| source.id == id).map(|source| source.name.clone());
        return Ok(vec![(name, id, settings.delivery.clone())]);
    }
    anyhow::ensure!(
        settings.source.is_none(),
        "CONFIG has a [[source]] with a `write_key`, and the settings SOURCE_ID and WRITE_KEY describe a source too: keep \
         one of them"
    );
    // A source without a key only names what the receiver or another function sends.
    let with_key = config.sources.iter().filter_map(|source| {
        let key = source.write_key.as_ref().and_then(WriteKey::known)?;
        Some((Some(source.name.clone()), source.id.clone(), settings.delivery.for_source(source, key)))
    });
    Ok(with_key.collect())
}

impl InForce {
    /// How the object of a message is read: once for each mapping that matches its key, or as the message says.
    ///
    /// # Errors
    /// Why no file can be read under the key.
    pub(crate) fn assign(&self, notice: &Notice) -> Result<Vec<Assigned<'_>>, String> {
        let found =
            self.config.for_key(&notice.key).map_err(|_| "no [[source]] of CONFIG takes this key".to_owned())?;
        let decided = notice.mapping.as_deref().or(notice.hop.as_ref().map(|_| ""));
        let found = match decided {
            // The checkpoint keeps how the file was begun, even if the configuration has changed.
            Some(name) => {
                let index = found.iter().position(|one| one.mapping_name() == name).unwrap_or(0);
                vec![found[index]]
            }
            None => found,
        };
        found.into_iter().map(|one| Ok(Assigned { reading: one.reading, target: self.target_of(&one)? })).collect()
    }

    /// Whether a file can be read under a key, by its name alone.
    pub(crate) fn can_read(&self, key: &str) -> bool {
        let found = self.config.for_key(key).unwrap_or_default();
        found.iter().any(|one| by_name(one.reading, key).is_ok())
    }

    fn target_of(&self, one: &ForKey<'_>) -> Result<&Target, String> {
        let Some(index) = one.source else {
            return self.targets.first().ok_or_else(|| "no source is described".to_owned());
        };
        let source = &self.config.sources[index];
        let is_it = |target: &&Target| target.id == source.id;
        self.targets
            .iter()
            .find(is_it)
            .ok_or_else(|| format!("the source {} of CONFIG has no `write_key`", source.name))
    }

    /// The target of a file that was begun for this source. The one source of the settings may have got another id.
    pub(crate) fn target(&self, id: &SourceId) -> Option<&Target> {
        let only = || self.targets.first().filter(|_| !self.config.has_targets());
        self.targets.iter().find(|target| target.id == *id).or_else(only)
    }
}
