//! From plain data to what the processes work with: connectors, policies, schedules.
//!
//! Everything is checked before anything runs, and everything that is wrong is reported at once: a
//! configuration that builds does not fail later for what it says. Nothing here reaches a system.

mod address;
mod connections;
mod fields;
mod policy;
mod ranges;
mod schedules;
mod syncs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_connectors::Connector;
use tandem_connectors::budget::{BudgetFactory, LocalBudgets};
use tandem_connectors::manifest::Manifest;
use tandem_connectors::webhook::{Secret, Verifier};
use tandem_domain::{Clock, ConnectionName};
use tandem_store::{ScheduleKey, ScheduleRow};

use super::documents::Documents;
use super::error::{ConfigError, FieldPath, Problem};
use super::{Configuration, Environment, Source};
use crate::topology::Topology;

/// What a configuration makes.
pub struct Built {
    /// Connectors and syncs.
    pub topology: Arc<Topology>,
    /// What else is known of each connection.
    pub connections: BTreeMap<ConnectionName, ConnectionSetup>,
    /// When the syncs run by themselves. New ones are first due as told here; the store keeps the
    /// clocks of those that it knows.
    pub schedules: Vec<ScheduleRow>,
    /// The polling schedules whose stream cannot be asked for changes: they list the whole side.
    pub sweeping: BTreeSet<ScheduleKey>,
    /// What the store keeps.
    pub documents: Documents,
}

/// What is known of a connection besides its connector.
#[derive(Clone)]
pub struct ConnectionSetup {
    /// Where it leads, in words that are the same for the same account; no secret.
    pub address: String,
    /// How its system is spoken with.
    pub manifest: Arc<Manifest>,
    /// How its webhooks come in, if they do.
    pub webhook: Option<WebhookSetup>,
}

/// How the webhooks of a connection come in. What their bodies mean is in the manifest.
#[derive(Clone)]
pub struct WebhookSetup {
    /// Verifies them.
    pub verifier: Verifier,
    /// The secrets that may sign them, the newest first; at least one.
    pub secrets: Vec<Secret>,
    /// The address under which the sender reaches us, without a slash at its end and without the path
    /// `/hooks/…`. There is one whenever the signature covers the address.
    pub public_url: Option<String>,
    /// A longer body is refused, in bytes.
    pub body_bytes_max: usize,
}

/// A connection that could be opened.
struct Opened {
    setup: ConnectionSetup,
    connector: Arc<dyn Connector>,
}

/// What the steps of building share.
struct Builder<'a> {
    configuration: &'a Configuration,
    environment: &'a Environment<'a>,
    clock: Arc<dyn Clock>,
    budgets: &'a dyn BudgetFactory,
    problems: Problems<'a>,
    opened: BTreeMap<ConnectionName, Opened>,
}

/// Collects what is wrong.
struct Problems<'a> {
    source: &'a Source,
    found: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, field: FieldPath, message: impl Into<String>) {
        self.found.push(Problem {
            file: self.source.file.clone(),
            mark: self.source.places.find(&field),
            field,
            message: message.into(),
        });
    }

    /// The value, or the problem noted.
    fn note<T>(&mut self, field: FieldPath, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }
}

impl Configuration {
    /// Checks everything against manifests and environment, and makes what the processes work with.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, in the order of the file.
    pub fn build(
        &self,
        environment: &Environment<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Built, ConfigError> {
        let budgets = LocalBudgets::new(clock.clone());
        self.build_with(environment, clock, &budgets)
    }

    /// As [`Configuration::build`], with budgets for requests that other processes may share.
    ///
    /// # Errors
    /// As [`Configuration::build`].
    pub fn build_with(
        &self,
        environment: &Environment<'_>,
        clock: Arc<dyn Clock>,
        budgets: &dyn BudgetFactory,
    ) -> Result<Built, ConfigError> {
        let mut builder = Builder {
            configuration: self,
            environment,
            clock,
            budgets,
            problems: Problems {
                source: &self.source,
                found: Vec::new(),
            },
            opened: BTreeMap::new(),
        };
        builder.check_ranges();
        builder.open_connections();
        let syncs = builder.build_syncs();
        let (schedules, sweeping) = builder.build_schedules();
        let mut problems = builder.problems.found;
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.mark);
            return Err(ConfigError { problems });
        }
        let opened = builder.opened;
        Ok(Built {
            topology: Arc::new(Topology {
                syncs,
                connectors: opened
                    .iter()
                    .map(|(name, opened)| (name.clone(), opened.connector.clone()))
                    .collect(),
            }),
            connections: opened
                .into_iter()
                .map(|(name, opened)| (name, opened.setup))
                .collect(),
            schedules,
            sweeping,
            documents: self.documents(),
        })
    }
}
