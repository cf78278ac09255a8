//! What the store keeps of a configuration, and back. References stay references.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tandem_domain::{ConnectionName, SyncName};
use tandem_store::{ConnectionRow, SyncRow};

use super::Configuration;
use super::error::{ConfigError, FieldPath, Problem};

/// The documents of a configuration, as `ConfigStore::apply_config` takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// One a connection.
    pub connections: Vec<(ConnectionName, Value)>,
    /// One a sync.
    pub syncs: Vec<(SyncName, Value)>,
}

impl Configuration {
    /// The connections and syncs as the store keeps them. How the processes themselves are set up is
    /// not part of it: that is each process's own.
    #[must_use]
    pub fn documents(&self) -> Documents {
        Documents {
            connections: self
                .connections
                .iter()
                .map(|(name, connection)| (name.clone(), document(connection)))
                .collect(),
            syncs: self
                .syncs
                .iter()
                .map(|(name, sync)| (name.clone(), document(sync)))
                .collect(),
        }
    }

    /// The configuration that was applied, deleted parts left out; how the processes are set up has
    /// its defaults.
    ///
    /// # Errors
    /// [`ConfigError`] names the documents that this version cannot read.
    pub fn from_store(
        connections: &[ConnectionRow],
        syncs: &[SyncRow],
    ) -> Result<Self, ConfigError> {
        let mut configuration = Self::default();
        let mut problems = Vec::new();
        for row in connections.iter().filter(|row| row.deleted_at.is_none()) {
            match read("connections", row.name.as_str(), &row.document) {
                Ok(connection) => {
                    configuration
                        .connections
                        .insert(row.name.clone(), connection);
                }
                Err(problem) => problems.push(problem),
            }
        }
        for row in syncs.iter().filter(|row| row.deleted_at.is_none()) {
            match read("syncs", row.name.as_str(), &row.document) {
                Ok(sync) => {
                    configuration.syncs.insert(row.name.clone(), sync);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(configuration)
        } else {
            Err(ConfigError { problems })
        }
    }
}

/// Configurations are maps of texts, numbers and truths, which always have a JSON form.
fn document(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("a configuration has a JSON form")
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, document: &Value) -> Result<T, Problem> {
    T::deserialize(document).map_err(|error| Problem {
        file: None,
        mark: None,
        field: FieldPath::of(kind).key(name),
        message: format!(
            "what is stored cannot be read by this version: {error}; apply the configuration file again"
        ),
    })
}
