//! The connector for HTTP APIs that speak JSON, as a manifest describes them.
//!
//! [`RestConnector`] turns the verbs of [`Connector`] into requests. `request.rs` fills templates in,
//! `exchange.rs` sends and judges, `auth.rs` signs in, `limits.rs` keeps to the budget, `paging.rs` goes on to the
//! next page, `trail.rs` sees when there is none, `record.rs` turns JSON into canonical fields and back, `errors.rs` says what a failure means.
//! There are no retries here: the caller's job has the attempts. The one exception is a session that ended.

mod answer_memory;
mod auth;
mod call;
mod client;
mod clock_offset;
mod clock_settling;
mod errors;
mod exchange;
mod limits;
mod listing;
mod pages;
mod paging;
mod record;
mod request;
mod response;
mod restraint;
mod trail;
mod two_parts;
pub(crate) mod value_bytes;
mod writing;

pub use client::http_client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::SharedString;
use minijinja::value::Value as TemplateValue;
use tandem_domain::{Clock, MeasuredOffset, RecordId, StreamName};
use tokio::sync::Semaphore;

use self::auth::Authority;
use self::clock_offset::ClockOffset;
use self::clock_settling::Settling;
use self::errors::Operation;
use self::exchange::Exchange;
use self::request::{header_name, header_value};
use self::restraint::Restraint;
use crate::budget::{BudgetFactory, LocalBudgets, RateLimits};
use crate::clock_state::ClockState;
use crate::connector::{
    Capabilities, CheckReport, Connector, ConnectorError, Delete, FieldInfo, Listing, Lookup, Page,
    PageToken, ReadOutcome, RemoteRecord, StreamInfo, Write, Written,
};
use crate::manifest::{Limits, Manifest, Stream};
use crate::pulse::{HoldUp, Pulse, PulseWatch, Underway};
use crate::redactor::Redactor;
use crate::settings::ConnectionSettings;
use crate::template::Scope;

/// A connected system with a REST or JSON-RPC interface.
pub struct RestConnector {
    exchange: Exchange,
    /// `variables`, for requests.
    scope: Scope,
    streams: BTreeMap<StreamName, StreamInfo>,
    settling: Settling,
}

impl RestConnector {
    /// Puts manifest and settings together, with a budget of this process alone. Sends nothing.
    ///
    /// # Errors
    /// [`ConnectorError::Misconfigured`] when the settings lack what the manifest needs, or hold what it does not know.
    pub fn new(
        connection_name: &str,
        manifest: Arc<Manifest>,
        settings: &ConnectionSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectorError> {
        let budgets = LocalBudgets::new(clock.clone());
        Self::with_budgets(connection_name, manifest, settings, clock, &budgets)
    }

    /// As [`RestConnector::new`], with the budget that is made for the connection.
    ///
    /// # Errors
    /// As [`RestConnector::new`].
    pub fn with_budgets(
        connection_name: &str,
        manifest: Arc<Manifest>,
        settings: &ConnectionSettings,
        clock: Arc<dyn Clock>,
        budgets: &dyn BudgetFactory,
    ) -> Result<Self, ConnectorError> {
        Self::build(connection_name, manifest, settings, clock, budgets).map_err(|reason| {
            ConnectorError::Misconfigured {
                system: connection_name.to_owned(),
                reason,
            }
        })
    }

    fn build(
        name: &str,
        manifest: Arc<Manifest>,
        settings: &ConnectionSettings,
        clock: Arc<dyn Clock>,
        budgets: &dyn BudgetFactory,
    ) -> Result<Self, String> {
        check_settings(&manifest, settings)?;
        let scope = Scope::default().with("variables", variables(&manifest, settings));
        let secrets = settings
            .credentials
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.reveal()));
        let secret_scope = scope
            .clone()
            .with("credentials", TemplateValue::from_pairs(secrets));
        let mut redactor = Redactor::default();
        settings
            .credentials
            .values()
            .chain(&settings.masked)
            .for_each(|secret| redactor.add(secret.reveal()));
        let concurrency = settings.concurrency.unwrap_or(manifest.limits.concurrency);
        let exchange = Exchange {
            system: name.to_owned(),
            label: SharedString::from_shared(name.into()),
            client: client::build(concurrency)?,
            base_url: base_url(&manifest, settings, &scope)?,
            common_headers: common_headers(&manifest, &secret_scope)?,
            timeout: settings.timeout(manifest.limits.timeout_secs),
            at_once: Semaphore::new(concurrency.max(1) as usize),
            budget: budgets.budget(name, RateLimits::of(&manifest, settings)),
            authority: Authority::new(&manifest.auth, &secret_scope)?,
            secret_scope,
            clock,
            offset: ClockOffset::default(),
            restraint: Restraint::default(),
            pulse: PulseWatch::default(),
            underway: Underway::default(),
            redactor,
            manifest,
        };
        let streams = exchange
            .manifest
            .streams
            .iter()
            .map(|(name, stream)| (name.clone(), info(name, stream, &exchange.manifest.limits)))
            .collect();
        Ok(Self {
            exchange,
            scope,
            streams,
            settling: Settling::default(),
        })
    }

    fn manifest_stream(&self, name: &StreamName) -> Result<&Stream, ConnectorError> {
        self.exchange.manifest.streams.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.streams.keys().map(StreamName::as_str).collect();
            self.exchange.misconfigured(format!(
                "it has no stream `{name}`; it has {}",
                known.join(", ")
            ))
        })
    }

    fn value_bytes_max(&self) -> usize {
        self.exchange.manifest.limits.value_bytes_max
    }

    /// An id as a write needs it. One that cannot be sent concerns its record alone.
    fn checked_id(&self, stream: &Stream, id: &RecordId) -> Result<TemplateValue, ConnectorError> {
        record::id_value(stream, id).map_err(|reason| ConnectorError::Unreadable {
            system: self.exchange.system.clone(),
            record: id.clone(),
            reason: self.exchange.redactor().clean(&reason),
        })
    }

    fn malformed(&self, operation: &Operation<'_>, reason: impl Into<String>) -> ConnectorError {
        self.exchange
            .judge_by(&[])
            .unexpected(operation, self.exchange.redactor().clean(&reason.into()))
    }
}

#[async_trait]
impl Connector for RestConnector {
    fn stream(&self, stream: &StreamName) -> Option<&StreamInfo> {
        self.streams.get(stream)
    }

    fn streams(&self) -> Vec<StreamName> {
        self.streams.keys().cloned().collect()
    }

    fn clock_offset_micros(&self) -> i64 {
        self.clock_measured().map_or(0, |offset| offset.micros)
    }

    fn clock_state(&self) -> ClockState {
        self.exchange.offset.state()
    }

    fn clock_measured(&self) -> Option<MeasuredOffset> {
        self.exchange.offset.measured()
    }

    async fn settle_clock(&self) {
        self.settle().await;
    }

    fn timeout(&self) -> Duration {
        self.exchange.timeout
    }

    fn pulse(&self) -> Option<Pulse> {
        self.exchange.pulse.pulse()
    }

    fn hold_up(&self) -> HoldUp {
        HoldUp {
            asked_until: self.exchange.budget.paused_until(),
            unanswered_since: self.exchange.underway.oldest(),
        }
    }

    fn masked(&self, text: &str) -> String {
        self.exchange.redactor().clean(text)
    }

    async fn try_again(&self) {
        self.exchange.restraint.forget();
        self.exchange.authority.open();
        self.exchange.budget.lift_pause().await;
    }

    async fn check(&self) -> Result<CheckReport, ConnectorError> {
        let mut streams = BTreeMap::new();
        let mut latency_ms = 0;
        for name in self.streams.keys() {
            let started = self.exchange.clock.now();
            let page = self.list(name, &Listing::All, None).await;
            latency_ms = u64::try_from(self.exchange.clock.now().since(started).as_millis())
                .unwrap_or(u64::MAX);
            let outcome = match page {
                Ok(page) => match page.unreadable.first() {
                    Some(first) if page.records.is_empty() => Err(format!(
                        "none of the {} rows of the first page can be read; the first: {}",
                        page.unreadable.len(),
                        first.reason
                    )),
                    Some(_) | None => Ok(page.records.len()),
                },
                // These concern the connection, not the stream.
                Err(
                    error @ (ConnectorError::Unreachable { .. }
                    | ConnectorError::RateLimited { .. }
                    | ConnectorError::Unauthorized { .. }),
                ) => return Err(error),
                Err(error) => Err(error.to_string()),
            };
            streams.insert(name.clone(), outcome);
        }
        self.settle().await;
        let clock_offset_ms = self.clock_measured().map(|offset| offset.micros / 1_000);
        let doubt = self.clock_state().doubt();
        Ok(CheckReport {
            latency_ms,
            clock_offset_ms,
            clock_doubt: doubt.map(|doubt| doubt.to_string()),
            streams,
        })
    }

    async fn list(
        &self,
        stream: &StreamName,
        listing: &Listing,
        token: Option<&PageToken>,
    ) -> Result<Page, ConnectorError> {
        self.list_page(stream, listing, token).await
    }

    async fn read(
        &self,
        stream: &StreamName,
        ids: &[RecordId],
    ) -> Result<Vec<ReadOutcome>, ConnectorError> {
        self.read_records(stream, ids).await
    }

    async fn find(
        &self,
        stream: &StreamName,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Vec<RemoteRecord>>, ConnectorError> {
        self.find_records(stream, lookup).await
    }

    async fn create(
        &self,
        stream: &StreamName,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.create_record(stream, write).await
    }

    async fn update(
        &self,
        stream: &StreamName,
        id: &RecordId,
        write: &Write<'_>,
    ) -> Result<Written, ConnectorError> {
        self.update_record(stream, id, write).await
    }

    async fn delete(
        &self,
        stream: &StreamName,
        id: &RecordId,
        delete: &Delete<'_>,
    ) -> Result<(), ConnectorError> {
        self.delete_record(stream, id, delete).await
    }
}

fn check_settings(manifest: &Manifest, settings: &ConnectionSettings) -> Result<(), String> {
    for (name, description) in &manifest.credentials {
        if settings
            .credentials
            .get(name)
            .is_none_or(|secret| secret.reveal().is_empty())
        {
            return Err(format!(
                "the credential `{name}` ({description}) is missing"
            ));
        }
    }
    for (name, variable) in &manifest.variables {
        if variable.default.is_none() && !settings.variables.contains_key(name) {
            return Err(format!(
                "the variable `{name}` ({}) is missing",
                variable.description
            ));
        }
    }
    if let Some(unknown) = settings
        .variables
        .keys()
        .find(|name| !manifest.variables.contains_key(*name))
    {
        return Err(format!(
            "the manifest `{}` has no variable `{unknown}`",
            manifest.name
        ));
    }
    Ok(())
}

fn variables(manifest: &Manifest, settings: &ConnectionSettings) -> TemplateValue {
    let values = manifest.variables.iter().filter_map(|(name, variable)| {
        let value = settings.variables.get(name).or(variable.default.as_ref())?;
        Some((name.as_str(), value.as_str()))
    });
    TemplateValue::from_pairs(values)
}

fn base_url(
    manifest: &Manifest,
    settings: &ConnectionSettings,
    scope: &Scope,
) -> Result<String, String> {
    let from_manifest = || match &manifest.base_url {
        Some(text) => text
            .plain(&scope.value())
            .map_err(|error| error.to_string()),
        None => Ok(None),
    };
    let url = match &settings.base_url {
        Some(url) => Some(url.clone()),
        None => from_manifest()?,
    };
    let url = url.ok_or("`base_url` is missing: the manifest has no address of its own")?;
    let url = url.trim_end_matches('/').to_owned();
    let parsed = url::Url::parse(&url)
        .map_err(|error| format!("`base_url` `{url}` is not a URL: {error}"))?;
    match parsed.scheme() {
        "http" | "https" if parsed.query().is_none() => Ok(url),
        _ => Err(format!(
            "`base_url` `{url}` must start with http:// or https:// and have no query"
        )),
    }
}

fn common_headers(manifest: &Manifest, scope: &Scope) -> Result<http::HeaderMap, String> {
    let values = scope.value();
    let mut headers = http::HeaderMap::new();
    headers.insert(
        http::header::ACCEPT,
        http::HeaderValue::from_static("application/json"),
    );
    for (name, node) in &manifest.headers {
        if let Some(text) = node.text(&values).map_err(|error| error.to_string())? {
            headers.insert(header_name(name)?, header_value(name, &text)?);
        }
    }
    Ok(headers)
}

fn info(name: &StreamName, stream: &Stream, limits: &Limits) -> StreamInfo {
    let field = |field: &crate::manifest::Field| FieldInfo {
        field_type: field.field_type,
        writable: field.writable && (stream.create.is_some() || stream.update.is_some()),
        required: field.required,
    };
    let guarded = stream
        .update
        .as_ref()
        .is_some_and(|update| update.uses("expected_version"));
    let guarded_delete = stream
        .delete
        .as_ref()
        .is_some_and(|delete| delete.request.uses("expected_version"));
    StreamInfo {
        name: name.clone(),
        fields: stream
            .fields
            .iter()
            .map(|(name, spec)| (name.clone(), field(spec)))
            .collect(),
        record_bytes_max: limits.record_bytes_max,
        capabilities: Capabilities {
            changed_since: stream.changed_since.is_some(),
            create: stream.create.is_some(),
            update: stream.update.is_some(),
            delete: stream.delete.is_some(),
            idempotent_create: stream
                .create
                .as_ref()
                .is_some_and(|create| create.idempotent),
            external_reference: stream
                .find
                .iter()
                .any(|finder| finder.by.iter().any(|name| name.value == "reference")),
            expected_version: guarded && stream.version.is_some(),
            guarded_delete: guarded_delete && stream.version.is_some(),
            read_batch: stream.read.max.max(1) as usize,
        },
    }
}
