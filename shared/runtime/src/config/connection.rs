//! How a connection is written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tandem_connectors::budget::{BucketSpec, DailySpec};

use super::reference::{SecretReference, TextOrReference};

/// The longest webhook body taken unless the connection says otherwise, in bytes.
const WEBHOOK_BODY_BYTES_MAX: usize = 1024 * 1024;

/// A connection: one account of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionConfig {
    /// The name of a shipped manifest, or the path of a manifest file.
    pub connector: String,
    /// The address of the system; the manifest's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<TextOrReference>,
    /// The secrets, by the names that the manifest gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credentials: BTreeMap<String, SecretReference>,
    /// Values for the manifest's variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, TextOrReference>,
    /// How its webhooks come in; without it, none are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
    /// How hard it may be pushed; the manifest's own limits where absent.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// How the webhooks of a connection come in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The secrets that may sign them, the newest first.
    pub secrets: Vec<SecretReference>,
    /// The address under which the sender knows us, where a scheme signs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<TextOrReference>,
    /// A longer body is refused, in bytes.
    #[serde(default = "webhook_body_bytes_max")]
    pub body_bytes_max: usize,
}

const fn webhook_body_bytes_max() -> usize {
    WEBHOOK_BODY_BYTES_MAX
}

/// How hard a system may be pushed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// How long one request may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u32>,
    /// How many requests may be under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many requests may start in a second, 0 for no limit; without `rate_limit` beside it, it also
    /// replaces the manifest's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// How many requests may start in longer times, instead of the manifest's `rate_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitConfig>,
}

/// How many requests may start in longer times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Limits on requests in seconds to an hour; all of them hold at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<BucketSpec>,
    /// The limit on requests in any 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<DailySpec>,
}

impl ConnectionConfig {
    /// Makes the paths in it independent of the working directory.
    pub(super) fn anchor(&mut self, folder: &Path) {
        if names_a_file(&self.connector) {
            self.connector = folder.join(&self.connector).display().to_string();
        }
        let webhook = self.webhook.iter_mut();
        let (secrets, urls): (Vec<_>, Vec<_>) = webhook
            .map(|hook| (&mut hook.secrets, &mut hook.public_url))
            .unzip();
        let secrets = secrets.into_iter().flatten();
        for secret in self.credentials.values_mut().chain(secrets) {
            secret.0.anchor(folder);
        }
        let urls = urls.into_iter().flatten().chain(self.base_url.as_mut());
        for text in self.variables.values_mut().chain(urls) {
            text.anchor(folder);
        }
    }
}

/// Whether a connector is named by the path of its manifest, not by its name.
pub(super) fn names_a_file(connector: &str) -> bool {
    connector.contains('/') || connector.ends_with(".yaml") || connector.ends_with(".yml")
}
