//! Opens the connections: manifest, secrets, limits, webhook.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_connectors::budget::RateLimit;
use tandem_connectors::manifest::Manifest;
use tandem_connectors::webhook::{Scheme, Secret as WebhookSecret, Verifier};
use tandem_connectors::{
    BatchedReads, Catalog, CatalogError, ConnectionSettings, ConnectorError, RestConnector, Secret,
};
use tandem_domain::ConnectionName;
use url::Url;

use super::address::address_of;
use super::{Builder, ConnectionSetup, Opened, WebhookSetup};
use crate::config::connection::{ConnectionConfig, LimitsConfig, WebhookConfig};
use crate::config::error::FieldPath;
use crate::config::reference::{Environment, Reference, TextOrReference};
use tandem_domain::suggest::advice;

impl Builder<'_> {
    pub(super) fn open_connections(&mut self) {
        let configuration = self.configuration;
        for (name, config) in &configuration.connections {
            let at = FieldPath::of("connections").key(name);
            if let Some(opened) = self.open(name, config, &at) {
                self.opened.insert(name.clone(), opened);
            }
        }
    }

    fn open(
        &mut self,
        name: &ConnectionName,
        config: &ConnectionConfig,
        at: &FieldPath,
    ) -> Option<Opened> {
        let found_before = self.problems.found.len();
        let manifest = self
            .problems
            .note(at.key("connector"), load(&config.connector));
        let settings = self.settings(config, at);
        let manifest = manifest?;
        self.check_names(&manifest, config, at);
        let webhook = config
            .webhook
            .as_ref()
            .and_then(|webhook| self.webhook(&manifest, webhook, &at.key("webhook")));
        if self.problems.found.len() > found_before {
            return self.unusable(manifest);
        }
        let connector = RestConnector::with_budgets(
            name.as_str(),
            manifest.clone(),
            &settings,
            self.clock.clone(),
            self.budgets,
        );
        let connector = self.problems.note(at.clone(), connector.map_err(reason))?;
        Some(Opened {
            connector: Arc::new(BatchedReads::new(Arc::new(connector))),
            setup: ConnectionSetup {
                address: address_of(&manifest, config, &settings),
                manifest,
                webhook,
            },
        })
    }

    /// A connection with mistakes, of which they are noted: never used, but what its manifest says is
    /// needed to check the syncs, so that their mistakes are reported with its own.
    fn unusable(&self, manifest: Arc<Manifest>) -> Option<Opened> {
        let named = |name: &String| (name.clone(), String::from("x"));
        let settings = ConnectionSettings {
            base_url: Some("http://localhost".to_owned()),
            credentials: manifest
                .credentials
                .keys()
                .map(|name| (name.clone(), Secret::new("x".to_owned())))
                .collect(),
            variables: manifest.variables.keys().map(named).collect(),
            ..ConnectionSettings::default()
        };
        let clock = self.clock.clone();
        let connector = RestConnector::new("unusable", manifest.clone(), &settings, clock).ok()?;
        Some(Opened {
            connector: Arc::new(connector),
            setup: ConnectionSetup {
                address: String::new(),
                manifest,
                webhook: None,
            },
        })
    }

    /// The settings with every reference fetched; what cannot be fetched is noted and left out.
    fn settings(&mut self, config: &ConnectionConfig, at: &FieldPath) -> ConnectionSettings {
        let environment = self.environment;
        let base_url = config.base_url.as_ref().and_then(|text| {
            let url = address(text, environment);
            self.problems.note(at.key("base_url"), url)
        });
        let mut credentials = BTreeMap::new();
        for (name, secret) in &config.credentials {
            let secret = secret.0.resolve(environment).map(Secret::new);
            let place = at.key("credentials").key(name);
            credentials.extend(
                self.problems
                    .note(place, secret)
                    .map(|found| (name.clone(), found)),
            );
        }
        let mut variables = BTreeMap::new();
        for (name, text) in &config.variables {
            let text = text.resolve(environment);
            let place = at.key("variables").key(name);
            variables.extend(
                self.problems
                    .note(place, text)
                    .map(|found| (name.clone(), found)),
            );
        }
        // What cannot be fetched is noted with the webhook.
        let signing = config.webhook.iter().flat_map(|webhook| &webhook.secrets);
        let masked = signing
            .filter_map(|secret| secret.0.resolve(environment).ok())
            .map(Secret::new)
            .collect();
        ConnectionSettings {
            base_url,
            credentials,
            masked,
            variables,
            timeout_secs: config.limits.timeout_secs,
            concurrency: config.limits.concurrency,
            requests_per_second: config.limits.requests_per_second,
            rate_limit: self.rate_limit(&config.limits, &at.key("limits")),
        }
    }

    fn rate_limit(&mut self, limits: &LimitsConfig, at: &FieldPath) -> Option<RateLimit> {
        let own = limits.rate_limit.as_ref()?;
        let limit = RateLimit {
            buckets: own.buckets.clone(),
            daily: own.daily,
            headers: Vec::new(),
        };
        let at = at.key("rate_limit");
        let each = own.buckets.iter().map(|bucket| RateLimit {
            buckets: vec![bucket.clone()],
            ..RateLimit::default()
        });
        let daily = RateLimit {
            daily: own.daily,
            ..RateLimit::default()
        };
        let found_before = self.problems.found.len();
        for part in each.chain([daily]) {
            self.problems.note(at.clone(), part.check());
        }
        if self.problems.found.len() > found_before {
            return None;
        }
        // What is wrong between the parts.
        let checked = limit.check().map(|()| limit);
        self.problems.note(at, checked)
    }

    /// Whether the connection gives what the manifest asks for, and nothing else.
    fn check_names(&mut self, manifest: &Manifest, config: &ConnectionConfig, at: &FieldPath) {
        let credentials = at.key("credentials");
        for name in config.credentials.keys() {
            if !manifest.credentials.contains_key(name) {
                let known = manifest.credentials.keys().map(String::as_str);
                let message = format!(
                    "{} has no credential `{name}`{}",
                    manifest.title,
                    advice(name, known)
                );
                self.problems.add(credentials.key(name), message);
            }
        }
        for (name, description) in &manifest.credentials {
            if !config.credentials.contains_key(name) {
                let message = format!("the credential `{name}` is missing: {description}");
                self.problems.add(credentials.clone(), message);
            }
        }
        let variables = at.key("variables");
        for name in config.variables.keys() {
            if !manifest.variables.contains_key(name) {
                let known = manifest.variables.keys().map(String::as_str);
                let message = format!(
                    "{} has no variable `{name}`{}",
                    manifest.title,
                    advice(name, known)
                );
                self.problems.add(variables.key(name), message);
            }
        }
        for (name, variable) in &manifest.variables {
            if variable.default.is_none() && !config.variables.contains_key(name) {
                let message = format!("the variable `{name}` is missing: {}", variable.description);
                self.problems.add(variables.clone(), message);
            }
        }
    }

    fn webhook(
        &mut self,
        manifest: &Manifest,
        config: &WebhookConfig,
        at: &FieldPath,
    ) -> Option<WebhookSetup> {
        let Some(section) = &manifest.webhook else {
            let message = format!(
                "{} sends no webhooks that Tandem understands; remove `webhook`, it is asked for changes instead",
                manifest.title
            );
            self.problems.add(at.clone(), message);
            return None;
        };
        let scheme = section.signature.scheme.value;
        let options = &section.signature.options;
        let verifier = Verifier::new(scheme, options).map_err(|error| error.to_string());
        let verifier = self.problems.note(at.clone(), verifier);
        let public_url = self.public_url(config, at);
        let covers_url = covers_url(scheme, options.template.as_deref());
        if covers_url && config.public_url.is_none() {
            let message = format!(
                "the signatures of {} cover the address that they are sent to; write `public_url`, the address of this server as {} knows it, without /hooks",
                manifest.title, manifest.title
            );
            self.problems.add(at.clone(), message);
        }
        Some(WebhookSetup {
            secrets: self.webhook_secrets(config, verifier.as_ref(), at),
            verifier: verifier?,
            public_url,
            body_bytes_max: config.body_bytes_max,
        })
    }

    fn public_url(&mut self, config: &WebhookConfig, at: &FieldPath) -> Option<String> {
        let url = address(config.public_url.as_ref()?, self.environment);
        self.problems.note(at.key("public_url"), url)
    }

    fn webhook_secrets(
        &mut self,
        config: &WebhookConfig,
        verifier: Option<&Verifier>,
        at: &FieldPath,
    ) -> Vec<WebhookSecret> {
        let at = at.key("secrets");
        if config.secrets.is_empty() {
            let message = "at least one secret is needed: webhooks are never taken unverified";
            self.problems.add(at.clone(), message);
        }
        let mut secrets = Vec::new();
        for (index, secret) in config.secrets.iter().enumerate() {
            let secret = secret.0.resolve(self.environment).map(WebhookSecret::new);
            let secret = secret.and_then(|secret| {
                verifier.map_or(Ok(()), |verifier| verifier.check_secret(&secret))?;
                Ok(secret)
            });
            secrets.extend(self.problems.note(at.index(index), secret));
        }
        secrets
    }
}

fn load(connector: &str) -> Result<Arc<Manifest>, String> {
    Catalog::load(connector).map_err(|error| match error {
        CatalogError::Unknown { name, .. } => format!(
            "there is no connector `{name}`{} The path of a manifest file works too",
            advice(&name, Catalog::names())
        ),
        CatalogError::Unreadable { .. } | CatalogError::Invalid(_) => error.to_string(),
    })
}

fn reason(error: ConnectorError) -> String {
    match error {
        ConnectorError::Misconfigured { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// The address that is written, or stands elsewhere. What stands elsewhere is not repeated: a secret may have been
/// put there by mistake.
fn address(text: &TextOrReference, environment: &Environment<'_>) -> Result<String, String> {
    let value = text.resolve(environment)?;
    http_url(&value).ok_or_else(|| {
        let what = match text {
            TextOrReference::Text(text) => format!("`{text}` is not an address"),
            TextOrReference::Elsewhere(Reference::Env(name)) => {
                format!("what the environment variable {name} holds is not an address")
            }
            TextOrReference::Elsewhere(Reference::File(path)) => {
                format!("what the file {} holds is not an address", path.display())
            }
        };
        format!("{what}; write one such as https://example.com")
    })
}

/// The address without a slash at its end, if it is one.
fn http_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare {
        Some(text.trim_end_matches('/').to_owned())
    } else {
        None
    }
}

/// Whether what is signed includes the address.
fn covers_url(scheme: Scheme, template: Option<&str>) -> bool {
    match scheme {
        Scheme::HubspotV2 | Scheme::HubspotV3 | Scheme::Square => true,
        Scheme::GenericHmacSha256 => template.is_some_and(|template| template.contains("{url}")),
        Scheme::StandardWebhooksV1
        | Scheme::Svix
        | Scheme::HubspotV1
        | Scheme::Xero
        | Scheme::Intuit
        | Scheme::Stripe
        | Scheme::Shopify
        | Scheme::Github
        | Scheme::Slack
        | Scheme::Recurly
        | Scheme::ZohoPayments
        | Scheme::BasicAuth
        | Scheme::UrlToken
        | Scheme::HeaderToken => false,
    }
}
