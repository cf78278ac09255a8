//! The configuration: what a user writes in a YAML file, and what is made of it.
//!
//! Three steps, each of which reports everything that is wrong with file, line, column and field:
//! [`Configuration::parse`] turns text into plain data; [`Configuration::build`] checks that data
//! against the manifests and the environment, and makes connectors, policies and schedules of it;
//! [`Configuration::documents`] turns it into what the store keeps, from which
//! [`Configuration::from_store`] makes the same data again.
//!
//! Secrets are never part of it: a configuration only says where they stand.

mod build;
mod connection;
mod documents;
mod error;
mod mending;
mod mistake;
mod parse;
mod places;
mod process;
mod reference;
mod sync;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tandem_domain::{ConnectionName, SyncName};

pub use build::{Built, ConnectionSetup, WebhookSetup};
pub use connection::{ConnectionConfig, LimitsConfig, RateLimitConfig, WebhookConfig};
pub use documents::Documents;
pub use error::{ConfigError, FieldPath, Mark, Problem};
pub use process::{
    RetentionConfig, SchedulerConfig, ServerConfig, WorkerConfig, read_listen_address,
};
pub use reference::{
    Environment, Reference, SecretReference, TextOrReference, process_environment,
};
pub use sync::{
    BrakeConfig, DeletesConfig, EndConfig, FieldConfig, FilterConfig, MatchKey, PlainText,
    ScheduleConfig, SyncConfig,
};

/// A whole configuration, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The connections.
    #[serde(default)]
    pub connections: BTreeMap<ConnectionName, ConnectionConfig>,
    /// The syncs.
    #[serde(default)]
    pub syncs: BTreeMap<SyncName, SyncConfig>,
    /// The HTTP server.
    #[serde(default)]
    pub server: ServerConfig,
    /// The job runners.
    #[serde(default)]
    pub worker: WorkerConfig,
    /// The scheduler.
    #[serde(default)]
    pub scheduler: SchedulerConfig,
    /// How long is kept what has ended.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// Where it was read from, for messages.
    #[serde(skip)]
    source: Source,
}

/// Where a configuration was read from.
#[derive(Clone, Debug, Default)]
struct Source {
    file: Option<PathBuf>,
    places: places::Places,
}
