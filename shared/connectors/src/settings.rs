//! What a connection adds to its manifest: where the system is, as whom to sign in, how hard to push.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::budget::RateLimit;

/// A secret. It never shows itself, neither in `{:?}` nor in errors.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for sending it and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The secrets of a connection, by the names that its manifest gives them.
pub type Credentials = BTreeMap<String, Secret>;

/// What a connection adds to its manifest. Where a limit is `None`, the manifest's applies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionSettings {
    /// The address of the system, without a trailing slash; the manifest's when `None`.
    pub base_url: Option<String>,
    /// The secrets.
    pub credentials: Credentials,
    /// Further secrets that no message may show, such as those that sign its webhooks.
    pub masked: Vec<Secret>,
    /// Values for the manifest's variables, such as the database or the tenant.
    pub variables: BTreeMap<String, String>,
    /// How long one request may take, from sending to the last byte of the answer, in seconds.
    pub timeout_secs: Option<u32>,
    /// How many requests may be under way at once.
    pub concurrency: Option<u32>,
    /// How many requests may start in a second, 0 for no limit; alone it also replaces the manifest's
    /// `rate_limit`.
    pub requests_per_second: Option<f64>,
    /// Buckets and daily budget, instead of the manifest's. Headers are always the manifest's.
    pub rate_limit: Option<RateLimit>,
}

impl ConnectionSettings {
    pub(crate) fn timeout(&self, default_secs: u32) -> Duration {
        Duration::from_secs(u64::from(self.timeout_secs.unwrap_or(default_secs).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let settings = ConnectionSettings {
            credentials: Credentials::from([("token".to_owned(), Secret::new("tok_123456"))]),
            ..ConnectionSettings::default()
        };
        assert!(!format!("{settings:?}").contains("tok_123456"));
    }
}
