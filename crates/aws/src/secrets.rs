//! Values that the configuration refers to.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use config::source::Secret;

use crate::fault::{Fault, Operation};

/// Reads values that are kept elsewhere.
#[derive(Clone, Debug)]
pub struct Secrets(SdkConfig);

impl Secrets {
    /// With the credentials and endpoints of `sdk`.
    #[must_use]
    pub fn new(sdk: &SdkConfig) -> Secrets {
        Secrets(sdk.clone())
    }

    /// The value of a reference.
    ///
    /// # Errors
    /// Which reference it is, and why it cannot be read. The value is never in it.
    pub async fn value(&self, secret: &Secret) -> Result<String, String> {
        match secret {
            Secret::Value(value) | Secret::FromSecret { value, .. } => Ok(value.clone()),
            Secret::Environment(name) => {
                config::environment::variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))
            }
            Secret::SecretsManager(arn) => {
                let answer = Client::new(&self.0).get_secret_value().secret_id(arn).send().await;
                let answer = answer.map_err(|error| Fault::of(Operation::Get, arn, &error).to_string())?;
                let text = answer.secret_string().map(str::trim).filter(|text| !text.is_empty());
                text.map(str::to_owned).ok_or_else(|| format!("{arn}: the secret has no text"))
            }
        }
    }
}
