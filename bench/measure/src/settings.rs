//! What a run is given as `NAME=VALUE`: settings of the function, and a few of ours.

use anyhow::Context;
use standins::faults::{Fault, Faults, Rule};
use std::time::Duration;

/// The most that Lambda allows (Lambda quotas).
const TIMEOUT: Duration = Duration::from_secs(900);

/// The settings of a run.
pub(crate) struct Settings {
    /// Those of the function.
    pub(crate) function: Vec<(String, String)>,
    /// `TIMEOUT_S`: the timeout of an invocation.
    pub(crate) timeout: Duration,
    /// `LATENCY_MS`: answers come so much later.
    latency: Duration,
}

impl Settings {
    pub(crate) fn parse(settings: &[&str]) -> anyhow::Result<Settings> {
        let mut function = settings.iter().map(|text| pair(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut own = |name: &str| -> anyhow::Result<Option<u64>> {
            let at = function.iter().position(|(set, _)| set == name);
            at.map(|at| crate::number(&function.remove(at).1)).transpose()
        };
        let (latency_ms, timeout_s) = (own("LATENCY_MS")?, own("TIMEOUT_S")?);
        let latency = Duration::from_millis(latency_ms.unwrap_or(0));
        Ok(Settings { function, timeout: timeout_s.map_or(TIMEOUT, Duration::from_secs), latency })
    }

    /// Makes a server answer so much later.
    pub(crate) fn slow(&self, faults: &Faults) {
        if !self.latency.is_zero() {
            faults.add(Rule::any().before(Fault::Slow(self.latency)));
        }
    }
}

fn pair(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').with_context(|| format!("{text} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
