//! A secret that cannot be printed.

use aws::secrets::Secrets;
use config::source::Secret;
use std::fmt;

/// A source's write key. Prints as `…`, whatever it is asked for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct WriteKey {
    key: String,
    /// The ARN of the secret that has it, if one has it.
    pub(crate) secret: Option<String>,
}

impl WriteKey {
    /// Takes the key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), secret: None }
    }

    /// The key that a setting or a `[[source]]` has or refers to.
    ///
    /// # Errors
    /// Which reference cannot be read, and why; or that its text is no key.
    pub async fn read(from: &Secret, secrets: &Secrets) -> Result<Self, String> {
        let key = secrets.value(from).await?;
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let place = from.arn().unwrap_or("its value");
            return Err(format!("{place}: the text has blanks or invalid characters; it must be the key alone"));
        }
        Ok(Self { key, secret: from.arn().map(str::to_owned) })
    }

    /// The same for a reference whose value was read; `None` if it was not.
    #[must_use]
    pub fn known(from: &Secret) -> Option<Self> {
        Some(Self { key: from.known()?.to_owned(), secret: from.arn().map(str::to_owned) })
    }

    /// The ARN of the secret that has it, if one has it.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// The key itself. Only a request to Segment may carry it, and a line of the logs if the settings include it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Display for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_key_prints_as_an_ellipsis() {
        let key = WriteKey::new("very-secret");
        assert_eq!(format!("{key} {key:?} {:?}", Some(&key)), "… … Some(…)");
    }
}
