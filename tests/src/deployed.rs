//! What the template gives the functions: their rights, and the alarms that look at their metrics. `make template`
//! checks that it is so.

use serde::Deserialize;
use serde_json::Value;
use standins::iam::{Credentials, Directory, Policy, Role};
use standins::installation::ROLE_ARN;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Longer than a story, by the clock of its server.
const SESSION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `tests/template/deployed.json`.
#[derive(Debug, Deserialize)]
pub struct Deployed {
    /// The roles of the functions, by the functions' names.
    pub roles: BTreeMap<String, OwnRole>,
    /// The role of the customer, as `deploy/destination-role.yaml` makes it.
    pub destination: DestinationRole,
    /// The metrics that each alarm looks at.
    pub alarms: BTreeMap<String, Vec<AlarmMetric>>,
}

/// The role of a function.
#[derive(Debug, Deserialize)]
pub struct OwnRole {
    /// Its ARN.
    pub arn: String,
    /// Its policy document.
    pub policy: Value,
}

/// The role of a destination.
#[derive(Debug, Deserialize)]
pub struct DestinationRole {
    trust: Value,
    policy: Value,
}

/// A metric of an alarm.
#[derive(Debug, Deserialize)]
pub struct AlarmMetric {
    /// Its namespace: ours or one of AWS.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions, by their names.
    pub dimensions: BTreeMap<String, String>,
    /// The alarm rings above it.
    pub threshold: u32,
}

impl Deployed {
    /// Reads it.
    ///
    /// # Panics
    /// When the file cannot be used.
    pub fn read() -> &'static Self {
        static READ: OnceLock<Deployed> = OnceLock::new();
        READ.get_or_init(|| serde_json::from_str(include_str!("../template/deployed.json")).unwrap())
    }

    /// Adds the roles of the functions and of the customer.
    pub fn grant(&self, directory: &Directory) {
        for role in self.roles.values() {
            directory.add_role(Role::new(&role.arn).policy(&role.policy.to_string()));
        }
        let DestinationRole { trust, policy } = &self.destination;
        directory.add_role(Role::new(ROLE_ARN).trust_policy(&trust.to_string()).policy(&policy.to_string()));
    }

    /// The credentials that Lambda gives a function.
    ///
    /// # Panics
    /// When the function has no role.
    pub fn credentials(&self, function: &str, directory: &Directory) -> Credentials {
        directory.session_of(&self.roles[function].arn, function, SESSION).unwrap()
    }

    /// The policy of a function.
    ///
    /// # Panics
    /// When the document cannot be used.
    pub fn policy(&self, function: &str) -> Policy {
        Policy::parse(&self.roles[function].policy.to_string()).unwrap()
    }
}
